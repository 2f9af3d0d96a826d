//! Shows an action to the person who decides: from its fields alone, every character of them.

use std::{collections::BTreeSet, fmt::Write as _, ops::Range};

use aiemp_keys::{Hash, cbor};

use super::{
    A2a, Action, Attachment, Content, Email, Http, MarkedValue, Payment, Post, Tool, ValueKind, field, links, money,
    spell::{self, EMPTY, FIRST_TIME, FOREIGN_DOMAIN, Manner, PRIVATE},
};
use crate::{ids::ContentHash, vault_path::VaultPath};

/// Raised with every change of what [`render`] writes; a signed approval names the version it was shown in.
pub const RENDERER_VERSION: u64 = 3;

const RENDER_LABEL: &str = "aiemp-node 2026 render";
/// Width of the terminal that everything fits: a line that wraps by itself could begin like one of ours.
const COLUMNS: usize = 80;
/// Width of a label with its colon.
const LABEL_COLUMNS: usize = 13;
/// Before each line of a text.
const MARGIN: &str = "  | ";
/// Before the rest of a line that is longer than the page.
const CONTINUED: &str = "  : ";

/// What the node knows about an action's values; shown beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks {
    /// Values of the action that nothing was approved with before.
    pub first_time: BTreeSet<MarkedValue>,
    /// Where each attachment lies, in the action's order.
    pub attachment_sources: Vec<AttachmentSource>,
    /// The note that the action was derived from.
    pub note: Option<NoteSource>,
}

impl Marks {
    /// Those of an action that was derived from a note, with no value that is new.
    pub fn of_note(path: &VaultPath, note: &[u8]) -> Self {
        let note = NoteSource { path: path.clone(), content: ContentHash::of(note) };
        Self { note: Some(note), ..Self::default() }
    }
}

/// A draft as the action was derived from it. It is shown, so that an approval covers what is filed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSource {
    /// Where it lies.
    pub path: VaultPath,
    /// What it says.
    pub content: ContentHash,
}

/// The file of the vault that an attachment is a copy of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachmentSource {
    /// Its path.
    pub path: VaultPath,
    /// Only Local nodes may read it, until it is sent.
    pub is_private: bool,
}

/// The text that a person reads before deciding.
///
/// Facts stand at the start of a line as `label:`; no text of the action can, because it stands behind `  | `, and
/// what exceeds 80 columns goes on behind `  : `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Lines ended by `\n`.
    pub text: String,
    /// Where the words of the action's text stand, in their order: to colour them.
    pub words: Vec<Shown>,
}

/// A run of the action's text, and where it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Bytes of the mail's body, the post's text, the message or the arguments.
    pub of: Range<usize>,
    /// Bytes of the rendered text.
    pub at: Range<usize>,
}

impl Rendered {
    /// The digest that an approval signs: of the renderer's version and the text.
    pub fn hash(&self) -> Hash {
        Hash::labelled(RENDER_LABEL, [cbor::uint(RENDERER_VERSION), cbor::text(&self.text)])
    }
}

/// Renders an action; different actions never give the same text under equal marks.
pub fn render(action: &Action, marks: &Marks) -> Rendered {
    let mut page = Page { text: String::new(), words: Vec::new(), marks };
    page.name("action", action.kind().as_str());
    match &action.content {
        Content::Email(email) => page.email(email),
        Content::Post(post) => page.post(post),
        Content::Payment(payment) => page.payment(payment),
        Content::Tool(tool) => page.tool(tool),
        Content::Http(http) => page.http(http),
        Content::A2a(a2a) => page.a2a(a2a),
    }
    for host in links::of_content(&action.content) {
        page.marked("link", &host, ValueKind::Link, Manner::Text);
    }
    page.name("work", &action.work.to_string());
    page.name("draft", &action.file.to_string());
    if let Some(NoteSource { path, content }) = &marks.note {
        page.value("  in vault", path.as_str());
        page.name("  content", &content.to_string());
    }
    Rendered { text: page.text, words: page.words }
}

struct Page<'a> {
    text: String,
    words: Vec<Shown>,
    marks: &'a Marks,
}

impl Page<'_> {
    fn email(&mut self, email: &Email) {
        let Email { hand, from, to, cc, bcc, subject, body, in_reply_to, references, attachments } = email;
        self.name("hand", hand);
        self.address("from", from, false);
        for (label, recipients) in [("to", to), ("cc", cc), ("bcc", bcc)] {
            recipients.iter().for_each(|recipient| self.address(label, recipient, true));
        }
        self.value("subject", subject);
        in_reply_to.iter().for_each(|id| self.name("in reply to", id));
        references.iter().for_each(|id| self.name("reference", id));
        self.attachments(attachments);
        self.block("body", body.as_bytes());
    }

    fn post(&mut self, Post { hand, network, text, attachments }: &Post) {
        self.name("hand", hand);
        self.name("network", network);
        self.attachments(attachments);
        self.block("text", text.as_bytes());
    }

    fn payment(&mut self, payment: &Payment) {
        let Payment { hand, payee, account, amount_minor, currency, reference } = payment;
        self.name("hand", hand);
        self.marked("payee", payee, ValueKind::Payee, Manner::Text);
        self.marked("account", account, ValueKind::Account, Manner::Identifier);
        let amount = money::format(*amount_minor, currency);
        let notes = self.notes_of(ValueKind::Amount, &amount, account);
        self.fact("amount", spell::pieces(&amount, Manner::Identifier), notes);
        self.value("reference", reference);
    }

    fn tool(&mut self, Tool { server, tool, arguments, schema }: &Tool) {
        self.name("server", server);
        self.name("tool", tool);
        schema.iter().for_each(|schema| self.name("schema", &schema.to_string()));
        self.block("arguments", arguments);
    }

    fn http(&mut self, Http { connector, params }: &Http) {
        self.name("connector", connector);
        for (name, value) in params {
            self.name("param", name);
            self.value("  value", value);
        }
    }

    fn a2a(&mut self, A2a { agent, card_key, message }: &A2a) {
        self.marked("agent", agent, ValueKind::Agent, Manner::Identifier);
        self.name("card key", &card_key.to_string());
        self.block("message", message.as_bytes());
    }

    fn attachments(&mut self, attachments: &[Attachment]) {
        for (at, Attachment { name, media_type, length, hash }) in attachments.iter().enumerate() {
            self.value("attachment", name);
            let source = self.marks.attachment_sources.get(at);
            let (path, is_private) = source.map_or(("", false), |source| (source.path.as_str(), source.is_private));
            let notes: &[&str] = if is_private { &[PRIVATE] } else { &[] };
            self.fact("  in vault", spell::pieces(path, Manner::Text), notes);
            self.name("  type", media_type);
            self.name("  size", &format!("{length} bytes"));
            self.name("  content", &hash.to_string());
        }
    }

    /// A value that machines act upon.
    fn name(&mut self, label: &str, value: &str) {
        self.fact(label, spell::pieces(value, Manner::Identifier), &[]);
    }

    /// A value that people read.
    fn value(&mut self, label: &str, value: &str) {
        self.fact(label, spell::pieces(value, Manner::Text), &[]);
    }

    fn marked(&mut self, label: &str, value: &str, kind: ValueKind, manner: Manner) {
        let notes = self.notes_of(kind, value, "");
        self.fact(label, spell::pieces(value, manner), notes);
    }

    fn notes_of(&self, kind: ValueKind, text: &str, account: &str) -> &'static [&'static str] {
        let value = MarkedValue { kind, text: text.to_owned(), account: account.to_owned() };
        if self.marks.first_time.contains(&value) { &[FIRST_TIME] } else { &[] }
    }

    /// A mail address: its name is for people, the rest for machines.
    fn address(&mut self, label: &str, value: &str, is_recipient: bool) {
        let (name, rest) = value.split_at(value.find('<').unwrap_or(0));
        let mut pieces = spell::indented_pieces(name);
        // The space before `<` ends the name, not the line.
        if let Some(last) = pieces.last_mut().filter(|_| name.ends_with(' ') && !name.ends_with("  ")) {
            " ".clone_into(last);
        }
        pieces.extend(spell::pieces(rest, Manner::Identifier));

        let address = field::address_of(value);
        let is_first = is_recipient && !self.notes_of(ValueKind::Recipient, address, "").is_empty();
        let domain = address.rsplit('@').next().unwrap_or_default();
        let is_foreign = !domain.is_ascii() || domain.to_lowercase().split('.').any(|part| part.starts_with("xn--"));
        let notes: Vec<_> = [(is_foreign, FOREIGN_DOMAIN), (is_first, FIRST_TIME)]
            .into_iter()
            .filter(|(is, _)| *is)
            .map(|(_, note)| note)
            .collect();
        self.fact(label, pieces, &notes);
    }

    fn fact(&mut self, label: &str, mut pieces: Vec<String>, notes: &[&str]) {
        if pieces.is_empty() {
            pieces.push(EMPTY.to_owned());
        }
        for note in notes {
            pieces.push(" ".to_owned());
            pieces.push((*note).to_owned());
        }
        self.lines(&format!("{:<LABEL_COLUMNS$}", format!("{label}:")), &pieces);
    }

    /// A text of several lines behind its margin.
    fn block(&mut self, label: &str, text: &[u8]) {
        if text.is_empty() {
            return self.value(label, "");
        }
        let _written = writeln!(self.text, "{label}:");
        let mut from = 0;
        for line in text.split(|byte| *byte == b'\n') {
            let (mut pieces, mut lengths) = (Vec::new(), Vec::new());
            for chunk in line.utf8_chunks() {
                pieces.extend(spell::indented_pieces(chunk.valid()));
                lengths.extend(chunk.valid().chars().map(char::len_utf8));
                pieces.extend(chunk.invalid().iter().copied().map(spell::byte));
                lengths.extend(chunk.invalid().iter().map(|_| 1));
            }
            let mut shown = self.lines(MARGIN, &pieces).into_iter();
            for (length, piece) in lengths.into_iter().zip(&pieces) {
                let at = shown.next().expect("each piece is shown");
                self.word(Shown { of: from..from + length, at: at..at + piece.len() });
                from += length;
            }
            from += 1;
        }
    }

    /// One more piece of the text. Runs of what shows as it is are kept as one.
    fn word(&mut self, next: Shown) {
        let is_plain = |shown: &Shown| shown.of.len() == shown.at.len();
        if let Some(last) = self.words.last_mut()
            && (last.of.end, last.at.end) == (next.of.start, next.at.start)
            && is_plain(last)
            && is_plain(&next)
        {
            (last.of.end, last.at.end) = (next.of.end, next.at.end);
        } else {
            self.words.push(next);
        }
    }

    /// One line, continued behind a margin of its own where the page ends; where each piece begins.
    fn lines(&mut self, prefix: &str, pieces: &[String]) -> Vec<usize> {
        let mut prefix = prefix;
        let mut rest = pieces;
        let mut begins = Vec::with_capacity(pieces.len());
        loop {
            let (line, after) = rest.split_at(fitting(rest, COLUMNS.saturating_sub(prefix.len())));
            self.text.push_str(if line.is_empty() { prefix.trim_end() } else { prefix });
            for piece in line {
                begins.push(self.text.len());
                self.text.push_str(piece);
            }
            self.text.push('\n');
            if after.is_empty() {
                return begins;
            }
            prefix = CONTINUED;
            rest = after;
        }
    }
}

/// How many pieces go on a line: all, or up to the last space after a word, or as many as fit, but at least one.
fn fitting(pieces: &[String], columns: usize) -> usize {
    let mut used = 0;
    let over = pieces.iter().position(|piece| {
        used += piece.chars().map(columns_of).sum::<usize>();
        used > columns
    });
    let Some(over) = over else { return pieces.len() };
    let is_break = |at: &usize| pieces[*at] == " " && pieces[at - 1] != " ";
    (1..=over).rev().find(is_break).unwrap_or(over.max(1))
}

/// Columns of a terminal, counted too high rather than too low.
fn columns_of(c: char) -> usize {
    if c.is_ascii() { 1 } else { 2 }
}

#[cfg(test)]
mod tests;
