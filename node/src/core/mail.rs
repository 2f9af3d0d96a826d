//! Mail as it comes in: a bounded, lenient reading of RFC 5322 and MIME that never trusts what it reads.
//!
//! [`read_mail`] turns raw bytes into a [`Mail`], [`task_note`] turns that into the Markdown note of a task, and
//! [`parse_task_note`] reads such a note back for a brain. File names are made from the work id, never from what a
//! mail says. Nothing here does IO.

mod decode;
mod html;
pub(crate) mod inert;
mod mime;
mod note;

use std::fmt;

use aiemp_protocol::{ids::ContentHash, time::Timestamp};
use mail_parser::{HeaderValue, Message};
use thiserror::Error;

use mime::{Part, Walk};
pub(crate) use note::{FrontMatter, arrival_body};
pub use note::{TaskNote, note_id, parse_task_note, task_note};

/// Largest mail that is read: the 25 MB that large providers accept.
pub const RAW_BYTES_MAX: usize = 25 << 20;
/// Attachments that are listed; real mails stay below twenty.
pub const ATTACHMENTS_MAX: usize = 64;
/// Parts that are visited: bounds time and memory for a mail made of boundaries only.
pub const PARTS_MAX: usize = 256;
/// Nesting that is followed; real mails stay below six, and each level scans its body once more.
pub const DEPTH_MAX: usize = 32;
/// Text that is kept: longer than any letter, and escaped it still fits a note.
pub const TEXT_BYTES_MAX: usize = 256 << 10;
/// HTML that is read for text; newsletters weigh 100 KB, some carry their images in the markup.
const HTML_BYTES_MAX: usize = 4 << 20;
/// Header block of one part; providers stop at 64 to 256 KB.
const HEADER_BYTES_MAX: usize = 256 << 10;
/// Subjects, ids and address names: one header line of RFC 5322 without folding.
const LINE_BYTES_MAX: usize = 998;
/// Names of attachments: what file systems take.
const NAME_BYTES_MAX: usize = 255;
/// Longest address of RFC 5321, with room for what real mailers do.
const ADDRESS_BYTES_MAX: usize = 320;
/// Addresses kept of one header: more recipients than a person answers by name.
const ADDRESSES_MAX: usize = 64;
/// References kept, newest last; RFC 5322 lets senders trim them.
const REFERENCES_MAX: usize = 32;

/// One incoming mail. Every value but `text` is a single line without control or invisible characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Without angle brackets.
    pub message_id: Option<String>,
    /// Usually one.
    pub from: Vec<Address>,
    /// Where answers are wanted, if not at `from`.
    pub reply_to: Vec<Address>,
    /// Recipients.
    pub to: Vec<Address>,
    /// Recipients of a copy.
    pub cc: Vec<Address>,
    /// May be empty.
    pub subject: String,
    /// When the sender says it was sent.
    pub date: Option<Timestamp>,
    /// Without angle brackets.
    pub in_reply_to: Option<String>,
    /// The thread, oldest first, without angle brackets.
    pub references: Vec<String>,
    /// The plain text, or the words of the HTML; lines end with `\n`. Untrusted, and not yet inert.
    pub text: String,
    /// What else the mail carries.
    pub attachments: Vec<MailAttachment>,
    /// Something is missing here: a limit was reached, or the mail itself ends early.
    pub truncated: bool,
    /// Sent to a list or by a machine.
    pub list_mail: bool,
}

/// One address of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The name shown beside it.
    pub name: Option<String>,
    /// `someone@example.org`, or whatever stood there.
    pub addr: String,
}

/// `Name <addr>`, or the address alone.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} <{}>", self.addr),
            None => f.write_str(&self.addr),
        }
    }
}

/// One attachment, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailAttachment {
    /// As the sender named it; for display, never for a path.
    pub name: String,
    /// `type/subtype`, in lower case.
    pub media_type: String,
    /// Bytes after decoding.
    pub length: u64,
    /// Of the decoded bytes.
    pub hash: ContentHash,
}

/// Why bytes are not taken as a mail.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MailError {
    /// Larger than [`RAW_BYTES_MAX`].
    #[error("the mail has {bytes} bytes and {RAW_BYTES_MAX} is the most; ask the sender for a link to the large files")]
    TooLarge {
        /// Size of the input.
        bytes: usize,
    },
    /// There is no mail header in it.
    #[error(
        "this is not a mail: no header like From or Subject was found; drop the original message (.eml) as your mail program saves it"
    )]
    NotAMail,
}

/// Reads one raw mail (RFC 5322, with MIME).
///
/// Damaged, cut-off and oddly encoded mails give what there is; past a limit the rest is left out and `truncated` is
/// set. Fails only for input that is too large or has no mail header at all.
pub fn read_mail(raw: &[u8]) -> Result<Mail, MailError> {
    if raw.len() > RAW_BYTES_MAX {
        return Err(MailError::TooLarge { bytes: raw.len() });
    }
    let root = Part::split(without_preamble(raw));
    if root.is_bare() || root.headers.headers().iter().all(|header| header.name.is_other()) {
        return Err(MailError::NotAMail);
    }
    let mut walk = Walk::default();
    let text = walk.text_of(&root);
    let headers = &root.headers;
    Ok(Mail {
        message_id: ids(headers.header(mail_parser::HeaderName::MessageId)).into_iter().next(),
        from: addresses(headers.from()),
        reply_to: addresses(headers.reply_to()),
        to: addresses(headers.to()),
        cc: addresses(headers.cc()),
        subject: inert::one_line(headers.subject().unwrap_or_default(), LINE_BYTES_MAX),
        date: date(headers),
        in_reply_to: ids(Some(headers.in_reply_to())).into_iter().next(),
        references: newest(ids(Some(headers.references()))),
        text,
        attachments: walk.attachments,
        truncated: walk.truncated,
        list_mail: mime::is_list_mail(headers),
    })
}

/// What makes two deliveries of one mail the same piece of work.
///
/// (Message-ID, From, Date, Subject), so that different transports give one key; where the first two are absent, the
/// hash of the raw mail.
pub fn source_key(mail: &Mail, raw: &[u8]) -> Vec<String> {
    match &mail.message_id {
        Some(id) if !mail.from.is_empty() => {
            let from = mail.from.iter().map(|address| address.addr.as_str()).collect::<Vec<_>>().join(", ");
            let date = mail.date.map(|date| date.to_string()).unwrap_or_default();
            vec![id.clone(), from, date, mail.subject.clone()]
        }
        Some(_) | None => vec![ContentHash::of(raw).to_string()],
    }
}

/// Skips what mail programs put before the first header: a byte order mark, empty lines, the mbox separator.
fn without_preamble(raw: &[u8]) -> &[u8] {
    let raw = raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(raw).trim_ascii_start();
    if !raw.starts_with(b"From ") {
        return raw;
    }
    raw.iter().position(|byte| *byte == b'\n').map_or(raw, |end| &raw[end + 1..])
}

fn addresses(header: Option<&mail_parser::Address<'_>>) -> Vec<Address> {
    let Some(header) = header else { return Vec::new() };
    let read = |found: &mail_parser::Addr<'_>| {
        let is_outside = |c: char| c.is_whitespace() || "<>\"".contains(c);
        let addr = inert::one_line(found.address()?, ADDRESS_BYTES_MAX).replace(is_outside, "");
        let name = found.name().map(|name| inert::one_line(&name.replace(['<', '>'], " "), LINE_BYTES_MAX));
        (!addr.is_empty()).then(|| Address { name: name.filter(|name| !name.is_empty()), addr })
    };
    header.iter().filter_map(read).take(ADDRESSES_MAX).collect()
}

/// Message ids without brackets and without what may not stand in one, so that an answer can always name them.
fn ids(header: Option<&HeaderValue<'_>>) -> Vec<String> {
    let listed = header.and_then(HeaderValue::as_text_list).unwrap_or_default();
    let single = if listed.is_empty() { header.and_then(HeaderValue::as_text) } else { None };
    let usable = |id: &str| {
        let is_id_char = |c: &char| c.is_ascii_graphic() && !"<>".contains(*c);
        id.chars().filter(is_id_char).take(LINE_BYTES_MAX - 98).collect::<String>()
    };
    let ids = listed.iter().map(|id| usable(id)).chain(single.map(usable));
    ids.filter(|id| !id.is_empty()).collect()
}

fn newest(mut ids: Vec<String>) -> Vec<String> {
    ids.drain(..ids.len().saturating_sub(REFERENCES_MAX));
    ids
}

fn date(headers: &Message<'_>) -> Option<Timestamp> {
    let date = headers.date().filter(|date| date.is_valid())?;
    u64::try_from(date.to_timestamp()).ok().map(|seconds| Timestamp::from_millis(seconds * 1000))
}

#[cfg(test)]
mod tests;
