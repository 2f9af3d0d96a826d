//! The task note of a mail: written with inert text only, and read back for a brain.

use std::fmt::Write;

use aiemp_protocol::{ids::WorkId, limits::NOTE_BYTES_MAX, time::Timestamp};

use super::{LINE_BYTES_MAX, Mail, inert};

/// Quoted text of one note; what is above stays in the mail itself. Front matter and heading get the rest.
const QUOTE_BYTES_MAX: usize = NOTE_BYTES_MAX / 8 * 5;
const FENCE: &str = "---";

/// What a task note says about its mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskNote {
    /// What kind of thing came: `email`, `file_drop`, `whatsapp` and the like.
    pub kind: String,
    /// The sender as shown: `Name <addr>` or the address.
    pub from: String,
    /// Where an answer goes; empty when the mail names no address.
    pub reply_to: Vec<String>,
    /// May be empty.
    pub subject: String,
    /// When the mail came in.
    pub received: Option<Timestamp>,
    /// Without angle brackets.
    pub message_id: Option<String>,
    /// The thread before this mail, oldest first, without angle brackets.
    pub references: Vec<String>,
    /// The piece of work.
    pub work_id: WorkId,
    /// Path of the raw mail.
    pub source: Option<String>,
    /// Sent to a list or by a machine.
    pub list_mail: bool,
    /// The mail's text, invisible characters spelt out. Untrusted: data, never instruction.
    pub text: String,
}

/// The part of a work id that file names carry: `EMAIL_<id>.md`, `EMAIL_<id>.eml`, `PLAN_<id>.md`.
pub fn note_id(work: &WorkId) -> String {
    let mut id = work.to_string();
    id.truncate(16);
    id
}

/// Writes the Markdown note of a mail task.
///
/// Every value from the mail stands as a double-quoted one-line scalar, its text as a quote with all Markdown escaped.
/// `eml_path` is where the raw mail lies in the vault. The note stays below the size of a text note.
pub fn task_note(mail: &Mail, work: &WorkId, received: Timestamp, eml_path: &str) -> String {
    let mut note = FrontMatter::open("email");
    note.value("from", &joined(&mail.from));
    let answers = if mail.reply_to.is_empty() && mail.from.len() > 1 { &mail.from } else { &mail.reply_to };
    note.list("reply_to", answers.iter().map(|address| address.addr.clone()));
    note.list("to", mail.to.iter().map(ToString::to_string));
    note.list("cc", mail.cc.iter().map(ToString::to_string));
    note.value("subject", &mail.subject);
    note.value("received", &received.to_string());
    note.optional("message_id", mail.message_id.as_deref());
    note.optional("in_reply_to", mail.in_reply_to.as_deref());
    note.list("references", mail.references.iter().cloned());
    note.constant("priority", "normal");
    note.constant("status", "pending");
    if mail.list_mail {
        note.constant("list_mail", "true");
    }
    note.value("work_id", &work.to_string());
    note.value("source", eml_path);
    note.list(
        "attachments",
        mail.attachments
            .iter()
            .map(|attachment| format!("{} ({}, {})", attachment.name, attachment.media_type, size(attachment.length))),
    );
    let mut note = note.close();
    let subject = if mail.subject.is_empty() { "(no subject)" } else { &mail.subject };
    let (quote, cut) = quoted(&mail.text);
    write!(note, "\n# {}\n\n{quote}", inert::escape_line(subject)).expect("writing to a String cannot fail");
    if cut || mail.truncated {
        note.push_str("\nThe mail has more than is shown here; the whole of it is in the source file.\n");
    }
    note
}

/// The note of what came by another way than mail, below its front matter; whether it has no room for all of the text.
pub(crate) fn arrival_body(note: FrontMatter, title: &str, text: &str, file: Option<&str>) -> (String, bool) {
    let mut note = note.close();
    write!(note, "\n# {}\n", inert::escape_line(&inert::one_line(title, LINE_BYTES_MAX)))
        .expect("writing to a String cannot fail");
    if let Some(file) = file {
        write!(note, "\n[[{file}]]\n").expect("writing to a String cannot fail");
    }
    if text.is_empty() {
        return (note, false);
    }
    let (quote, is_cut) = quoted(text.trim_end_matches('\n'));
    write!(note, "\n{quote}").expect("writing to a String cannot fail");
    if is_cut {
        note.push_str("\nIt says more than is shown here; the whole of it is in the file beside this note.\n");
    }
    (note, is_cut)
}

fn joined(addresses: &[super::Address]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

fn quoted(text: &str) -> (String, bool) {
    let mut quote = String::with_capacity(text.len() + text.len() / 8);
    for line in text.split('\n') {
        let room = QUOTE_BYTES_MAX.saturating_sub(quote.len() + 3);
        let (line, cut) = inert::escape_within(line, room);
        quote.push_str(if line.is_empty() { ">" } else { "> " });
        quote.push_str(&line);
        quote.push('\n');
        if cut || room == 0 {
            return (quote, true);
        }
    }
    (quote, false)
}

/// Front matter whose values cannot end their line, their quotes or the block.
pub(crate) struct FrontMatter(String);

impl FrontMatter {
    /// Starts a block with its `type`.
    pub(crate) fn open(kind: &str) -> Self {
        Self(format!("{FENCE}\ntype: {kind}\n"))
    }

    /// A word of ours, as it is.
    pub(crate) fn constant(&mut self, key: &str, word: &str) {
        self.line(&format!("{key}: {word}"));
    }

    /// A value from outside.
    pub(crate) fn value(&mut self, key: &str, value: &str) {
        self.line(&format!("{key}: {}", scalar(value)));
    }

    pub(crate) fn optional(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.value(key, value);
        }
    }

    /// A list of values; an empty one is left out.
    pub(crate) fn list(&mut self, key: &str, values: impl Iterator<Item = String>) {
        let mut values = values.peekable();
        if values.peek().is_some() {
            self.line(&format!("{key}:"));
        }
        for value in values {
            self.line(&format!("  - {}", scalar(&value)));
        }
    }

    /// Ends the block; what follows is body.
    pub(crate) fn close(mut self) -> String {
        self.line(FENCE);
        self.0
    }

    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }
}

/// A JSON string is a double-quoted YAML scalar; `<%` is broken up because Templater reads whole files.
fn scalar(value: &str) -> String {
    let line = inert::one_line(value, LINE_BYTES_MAX * 4);
    serde_json::Value::from(line).to_string().replace("<%", "<\\u0025")
}

/// Reads a task note, also after a person or Obsidian has saved it; `None` when it has no type and work id.
pub fn parse_task_note(text: &str) -> Option<TaskNote> {
    let mut lines = text.lines().map(str::trim_end);
    lines.next().filter(|line| *line == FENCE)?;
    let block: Vec<&str> = lines.by_ref().take_while(|line| *line != FENCE).collect();
    let one = |key: &str| values(&block, key).into_iter().next();
    let kind = one("type")?;
    let from = one("from").unwrap_or_default();
    let mut reply_to = values(&block, "reply_to");
    if reply_to.is_empty() && kind == "email" {
        reply_to.push(address_of(&from).to_owned());
    }
    reply_to.retain(|address| address.contains('@'));
    Some(TaskNote {
        kind,
        reply_to,
        subject: one("subject").unwrap_or_default(),
        received: one("received").and_then(|time| Timestamp::parse_rfc3339(&time)),
        message_id: one("message_id").filter(|id| !id.is_empty()),
        references: values(&block, "references"),
        work_id: one("work_id")?.parse().ok()?,
        source: one("source"),
        list_mail: one("list_mail").is_some_and(|value| value == "true"),
        text: unquoted(text.lines()),
        from,
    })
}

fn address_of(from: &str) -> &str {
    match from.rsplit_once('<') {
        Some((_, address)) => address.trim_end_matches('>'),
        None => from,
    }
}

/// The first quote of the note.
fn unquoted<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let quote = lines.skip_while(|line| !line.starts_with('>')).map_while(|line| line.strip_prefix('>'));
    let lines = quote.map(|line| inert::unescape_line(line.strip_prefix(' ').unwrap_or(line)));
    lines.collect::<Vec<_>>().join("\n")
}

/// The values of one key: a scalar on its line, or the items below it.
fn values(block: &[&str], key: &str) -> Vec<String> {
    let own = |line: &str| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':'));
    let Some(at) = block.iter().position(|line| own(line)) else { return Vec::new() };
    let rest = block[at][key.len() + 1..].trim();
    if rest.starts_with('[') {
        return serde_json::from_str(rest).unwrap_or_default();
    }
    if !rest.is_empty() {
        return unscalar(rest).into_iter().collect();
    }
    let items = block[at + 1..].iter().map_while(|line| line.trim_start().strip_prefix("- "));
    items.filter_map(|item| unscalar(item.trim())).collect()
}

fn unscalar(value: &str) -> Option<String> {
    if value.starts_with('"') {
        return serde_json::from_str(value).ok();
    }
    match value.strip_prefix('\'') {
        Some(quoted) => Some(quoted.strip_suffix('\'')?.replace("''", "'")),
        None => Some(value.to_owned()),
    }
}
