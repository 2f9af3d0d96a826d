//! Shows an action to the person who decides: from its fields alone, every character of them.

use std::{collections::BTreeSet, fmt::Write as _};

use aiemp_keys::{Hash, cbor};

use super::{
    A2a, Action, Attachment, Content, Email, Http, Payment, Post, Tool, field, money,
    spell::{self, EMPTY, FIRST_TIME, FOREIGN_DOMAIN, Manner, PRIVATE},
};
use crate::vault_path::VaultPath;

/// Raised with every change of what [`render`] writes; a signed approval names the version it was shown in.
pub const RENDERER_VERSION: u64 = 2;

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
    /// Addresses, payees, accounts or agents that nothing was approved to before.
    pub first_time_recipients: BTreeSet<String>,
    /// Where each attachment lies, in the action's order.
    pub attachment_sources: Vec<AttachmentSource>,
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
}

impl Rendered {
    /// The digest that an approval signs: of the renderer's version and the text.
    pub fn hash(&self) -> Hash {
        Hash::labelled(RENDER_LABEL, [cbor::uint(RENDERER_VERSION), cbor::text(&self.text)])
    }
}

/// Renders an action; different actions never give the same text under equal marks.
pub fn render(action: &Action, marks: &Marks) -> Rendered {
    let mut page = Page { text: String::new(), marks };
    page.name("action", action.kind().as_str());
    match &action.content {
        Content::Email(email) => page.email(email),
        Content::Post(post) => page.post(post),
        Content::Payment(payment) => page.payment(payment),
        Content::Tool(tool) => page.tool(tool),
        Content::Http(http) => page.http(http),
        Content::A2a(a2a) => page.a2a(a2a),
    }
    page.name("work", &action.work.to_string());
    page.name("draft", &action.file.to_string());
    Rendered { text: page.text }
}

struct Page<'a> {
    text: String,
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
        self.recipient("payee", payee, Manner::Text);
        self.recipient("account", account, Manner::Identifier);
        self.name("amount", &money::format(*amount_minor, currency));
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
        self.recipient("agent", agent, Manner::Identifier);
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

    fn recipient(&mut self, label: &str, value: &str, manner: Manner) {
        let is_first = self.marks.first_time_recipients.contains(value);
        self.fact(label, spell::pieces(value, manner), if is_first { &[FIRST_TIME] } else { &[] });
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
        let first_time = &self.marks.first_time_recipients;
        let is_first = is_recipient && (first_time.contains(address) || first_time.contains(value));
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
        for line in text.split(|byte| *byte == b'\n') {
            let mut pieces = Vec::new();
            for chunk in line.utf8_chunks() {
                pieces.extend(spell::indented_pieces(chunk.valid()));
                pieces.extend(chunk.invalid().iter().copied().map(spell::byte));
            }
            self.lines(MARGIN, &pieces);
        }
    }

    /// One line, continued behind a margin of its own where the page ends.
    fn lines(&mut self, prefix: &str, pieces: &[String]) {
        let mut prefix = prefix;
        let mut rest = pieces;
        loop {
            let (line, after) = rest.split_at(fitting(rest, COLUMNS.saturating_sub(prefix.len())));
            self.text.push_str(if line.is_empty() { prefix.trim_end() } else { prefix });
            self.text.extend(line.iter().map(String::as_str));
            self.text.push('\n');
            if after.is_empty() {
                return;
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
