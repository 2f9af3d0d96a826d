//! The outgoing mail: an approved action turned into the exact bytes that are handed over, the same every time.

use std::time::{Duration, SystemTime};

use aiemp_keys::{Hash, cbor};
use aiemp_protocol::{
    action::{Attachment, Email},
    ids::{ActionHash, ContentHash},
    time::Timestamp,
};
use data_encoding::BASE64;
use lettre::{
    Address, Message,
    address::Envelope,
    message::{
        Attachment as AttachmentPart, Body, Mailbox, MultiPart, SinglePart,
        header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue},
    },
};
use thiserror::Error;

const MESSAGE_ID_LABEL: &str = "aiemp-node 2026 message id";
const BOUNDARY_LABEL: &str = "aiemp-node 2026 mime boundary";
/// RFC 5322 allows 998 bytes a line, less the header's name; the encoder folds at spaces only.
const WORD_BYTES_MAX: usize = 900;
/// Longest word of a subject that stands as it is; RFC 5322 asks for lines of 78.
const SUBJECT_WORD_BYTES_MAX: usize = 60;
/// Text in one encoded word, which RFC 2047 limits to 75 characters.
const ENCODED_BYTES_MAX: usize = 42;
/// What file systems take as a name.
const NAME_BYTES_MAX: usize = 255;
/// The end of the year 9999, past which the date format has no form.
const DATE_MILLIS_END: u64 = 253_402_300_800_000;

/// One composed mail with its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// Address of the envelope's sender.
    pub envelope_from: String,
    /// Addresses of `to`, `cc` and `bcc`, each once.
    pub envelope_to: Vec<String>,
    /// RFC 5322 with CRLF line ends; names no `bcc` recipient.
    pub bytes: Vec<u8>,
}

/// Why an action makes no mail. Each of them is found before anything is sent.
#[derive(Debug, Error)]
pub enum ComposeError {
    /// A value of an address field is none.
    #[error(
        "`{field}` holds {value:?}, which is not a mail address; write name@example.org or Name <name@example.org>"
    )]
    Address {
        /// The action's field.
        field: &'static str,
        /// As it stands there.
        value: String,
    },
    /// No `to`, `cc` or `bcc`.
    #[error("the mail has no recipient; add `to`")]
    NoRecipient,
    /// A one-line field has a line end or another control character.
    #[error("`{field}` holds a line break or control character; write it on one line")]
    ControlCharacter {
        /// The action's field.
        field: &'static str,
    },
    /// An attachment's name that is too long, or that mail programs would decode into something else than was shown.
    #[error(
        "the attachment name {name:?} cannot be sent: at most {NAME_BYTES_MAX} bytes, and no \"=?\"; rename the file"
    )]
    AttachmentName {
        /// As it stands in the action.
        name: String,
    },
    /// `in_reply_to` or `references` holds no message id.
    #[error("`{field}` holds {value:?}, which is not a message id; copy it from the mail, or leave it out")]
    MessageId {
        /// The action's field.
        field: &'static str,
        /// As it stands there.
        value: String,
    },
    /// The attachments handed over are not those of the action.
    #[error("the attachments at hand are not the ones of the approved mail; approve it again")]
    AttachmentsDiffer,
    /// Bytes with another length or hash than was approved.
    #[error("the attachment {name:?} is not the one that was approved; approve the mail again")]
    AttachmentBytes {
        /// Of the attachment.
        name: String,
    },
    /// A media type that cannot be carried as an attachment.
    #[error("the attachment {name:?} has the type {media_type:?}, which cannot be sent; use application/octet-stream")]
    MediaType {
        /// Of the attachment.
        name: String,
        /// As it stands in the action.
        media_type: String,
    },
    /// The date has no form in a mail.
    #[error("the date of the mail lies after the year 9999; check the clock")]
    Date,
    /// The builder refused the rest.
    #[error("the mail cannot be built: {0}")]
    Build(#[from] lettre::error::Error),
}

/// The Message-ID of an approved mail, without angle brackets: fixed by the action and the approval's nonce, so that
/// a mail that may have been sent can be looked for.
pub fn message_id(action: &ActionHash, nonce: &[u8; 16], from: &str) -> String {
    let hash = Hash::labelled(MESSAGE_ID_LABEL, [action.to_value(), cbor::bytes(nonce)]).to_string();
    let is_domain_char = |c: &char| c.is_ascii_alphanumeric() || ".-".contains(*c);
    let domain: String = from.rsplit('@').next().unwrap_or_default().chars().filter(is_domain_char).collect();
    let domain = if domain.is_empty() || !from.contains('@') { "localhost" } else { &domain };
    format!("{}@{domain}", &hash[..32])
}

/// Composes the mail of an action; the same input gives the same bytes.
///
/// `attachments` are the action's, in its order, with their bytes, which are checked against length and hash.
/// Fails rather than sends anything else than what the action says.
pub fn compose(
    email: &Email,
    attachments: &[(Attachment, Vec<u8>)],
    message_id: &str,
    date: Timestamp,
) -> Result<OutgoingMessage, ComposeError> {
    check_attachments(email, attachments)?;
    check_line("subject", &email.subject)?;
    if date.as_millis() >= DATE_MILLIS_END {
        return Err(ComposeError::Date);
    }
    let from = mailbox("from", &email.from)?;
    let (to, cc, bcc) = (mailboxes("to", &email.to)?, mailboxes("cc", &email.cc)?, mailboxes("bcc", &email.bcc)?);
    let mut recipients: Vec<Address> = Vec::new();
    for mailbox in to.iter().chain(&cc).chain(&bcc) {
        if !recipients.contains(&mailbox.email) {
            recipients.push(mailbox.email.clone());
        }
    }
    if recipients.is_empty() {
        return Err(ComposeError::NoRecipient);
    }
    let envelope = Envelope::new(Some(from.email.clone()), recipients)?;
    let mut builder = Message::builder()
        .envelope(envelope.clone())
        .message_id(Some(bracketed("message_id", message_id)?))
        .date(SystemTime::UNIX_EPOCH + Duration::from_millis(date.as_millis()))
        .from(from.clone())
        .raw_header(subject(&email.subject));
    builder = to.into_iter().fold(builder, |builder, mailbox| builder.to(mailbox));
    builder = cc.into_iter().fold(builder, |builder, mailbox| builder.cc(mailbox));
    if let Some(id) = &email.in_reply_to {
        builder = builder.in_reply_to(bracketed("in_reply_to", id)?);
    }
    if !email.references.is_empty() {
        let ids = email.references.iter().map(|id| bracketed("references", id)).collect::<Result<Vec<_>, _>>()?;
        builder = builder.references(ids.join(" "));
    }
    let text = text_part(&email.body);
    let message = if attachments.is_empty() {
        builder.singlepart(text)?
    } else {
        builder.multipart(mixed(message_id, text, attachments)?)?
    };
    Ok(OutgoingMessage {
        envelope_from: from.email.to_string(),
        envelope_to: envelope.to().iter().map(ToString::to_string).collect(),
        bytes: message.formatted(),
    })
}

fn check_attachments(email: &Email, attachments: &[(Attachment, Vec<u8>)]) -> Result<(), ComposeError> {
    if !email.attachments.iter().eq(attachments.iter().map(|(attachment, _)| attachment)) {
        return Err(ComposeError::AttachmentsDiffer);
    }
    for (attachment, bytes) in attachments {
        if attachment.length != bytes.len() as u64 || attachment.hash != ContentHash::of(bytes) {
            return Err(ComposeError::AttachmentBytes { name: attachment.name.clone() });
        }
    }
    Ok(())
}

fn check_line(field: &'static str, value: &str) -> Result<(), ComposeError> {
    if value.chars().any(char::is_control) { Err(ComposeError::ControlCharacter { field }) } else { Ok(()) }
}

/// The subject, such that a mail program shows the very text that was approved.
///
/// Text that would be folded, trimmed or decoded on its way is carried in encoded words (RFC 2047), others as it is.
fn subject(text: &str) -> HeaderValue {
    let name = HeaderName::new_from_ascii_str("Subject");
    let is_safe = text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && !text.contains("=?")
        && text.split(' ').all(|word| (1..=SUBJECT_WORD_BYTES_MAX).contains(&word.len()));
    if is_safe || text.is_empty() {
        return HeaderValue::new(name, text.to_owned());
    }
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(ENCODED_BYTES_MAX));
        words.push(format!("=?utf-8?b?{}?=", BASE64.encode(word.as_bytes())));
        rest = after;
    }
    HeaderValue::dangerous_new_pre_encoded(name, text.to_owned(), words.join("\r\n "))
}

fn mailboxes(field: &'static str, values: &[String]) -> Result<Vec<Mailbox>, ComposeError> {
    values.iter().map(|value| mailbox(field, value)).collect()
}

/// Reads `addr` or `Name <addr>`, and nothing else: no lists, groups, comments or quoted local parts.
fn mailbox(field: &'static str, value: &str) -> Result<Mailbox, ComposeError> {
    check_line(field, value)?;
    let refused = || ComposeError::Address { field, value: value.to_owned() };
    let (name, address) = match value.trim().strip_suffix('>') {
        Some(rest) => rest.rsplit_once('<').ok_or_else(refused)?,
        None => ("", value.trim()),
    };
    let has_special = address.chars().any(|c| c.is_whitespace() || "\"<>(),:;\\".contains(c));
    if has_special || address.contains("=?") || value.len() > WORD_BYTES_MAX {
        return Err(refused());
    }
    let name = name.trim();
    let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
    let name = (!name.is_empty()).then(|| name.to_owned());
    Ok(Mailbox::new(name, address.parse().map_err(|_| refused())?))
}

fn bracketed(field: &'static str, id: &str) -> Result<String, ComposeError> {
    let bare = id.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(id);
    let is_id = (1..=WORD_BYTES_MAX).contains(&bare.len())
        && bare.chars().all(|c| c.is_ascii_graphic() && !"<>".contains(c))
        && !bare.contains("=?");
    if !is_id {
        return Err(ComposeError::MessageId { field, value: id.to_owned() });
    }
    Ok(format!("<{bare}>"))
}

/// UTF-8 text. A bare line end of any kind becomes CRLF and control characters are encoded, so that no server reads
/// the end of the mail into them.
fn text_part(body: &str) -> SinglePart {
    let text = body.replace("\r\n", "\n").replace('\r', "\n");
    let is_tame = text.chars().all(|c| !c.is_control() || c == '\n' || c == '\t');
    let body = if is_tame {
        Body::new(text)
    } else {
        Body::new_with_encoding(text, ContentTransferEncoding::QuotedPrintable)
            .expect("quoted-printable takes any text")
    };
    SinglePart::builder().header(ContentType::TEXT_PLAIN).body(body)
}

fn mixed(message_id: &str, text: SinglePart, attachments: &[(Attachment, Vec<u8>)]) -> Result<MultiPart, ComposeError> {
    // The message id depends on the approval's nonce, so who wrote the body cannot know the boundary.
    let boundary = Hash::labelled(BOUNDARY_LABEL, [cbor::text(message_id), cbor::bytes(text.raw_body())]).to_string();
    let mut parts = MultiPart::mixed().boundary(&boundary[..32]).singlepart(text);
    for (attachment, bytes) in attachments {
        parts = parts.singlepart(attachment_part(attachment, bytes)?);
    }
    Ok(parts)
}

fn attachment_part(attachment: &Attachment, bytes: &[u8]) -> Result<SinglePart, ComposeError> {
    check_line("attachment", &attachment.name)?;
    if attachment.name.len() > NAME_BYTES_MAX || attachment.name.contains("=?") {
        return Err(ComposeError::AttachmentName { name: attachment.name.clone() });
    }
    let lower = attachment.media_type.to_ascii_lowercase();
    let content_type = ContentType::parse(&attachment.media_type).ok().filter(|_| {
        lower.len() <= NAME_BYTES_MAX
            && lower.bytes().all(|byte| matches!(byte, b' '..=b'~'))
            && !lower.starts_with("multipart/")
    });
    let refused =
        || ComposeError::MediaType { name: attachment.name.clone(), media_type: attachment.media_type.clone() };
    let content_type = content_type.ok_or_else(refused)?;
    let body =
        Body::new_with_encoding(bytes.to_vec(), ContentTransferEncoding::Base64).expect("base64 takes any bytes");
    Ok(AttachmentPart::new(attachment.name.clone()).body(body, content_type))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::mail::read_mail;
    use mail_parser::MessageParser;
    use proptest::prelude::*;

    fn email() -> Email {
        Email {
            hand: "outbox".into(),
            from: "Me <me@own.test>".into(),
            to: vec!["Client A <a@client.test>".into()],
            cc: vec!["b@client.test".into()],
            bcc: vec!["secret@own.test".into()],
            subject: "January 2026 Invoice - $1,500".into(),
            body: "Hello,\n.\nhere it is: caf\u{e9}.\n".into(),
            in_reply_to: Some("one@client.test".into()),
            references: vec!["zero@client.test".into(), "<one@client.test>".into()],
            attachments: Vec::new(),
        }
    }

    fn attached(name: &str, media_type: &str, bytes: &[u8]) -> (Attachment, Vec<u8>) {
        let hash = ContentHash::of(bytes);
        let (name, media_type) = (name.to_owned(), media_type.to_owned());
        (Attachment { name, media_type, length: bytes.len() as u64, hash }, bytes.to_vec())
    }

    fn composed(email: &Email, attachments: &[(Attachment, Vec<u8>)]) -> Result<OutgoingMessage, ComposeError> {
        compose(email, attachments, "0123@own.test", Timestamp::from_millis(1_767_781_800_000))
    }

    #[test]
    fn a_mail_has_exactly_these_bytes() {
        let message = composed(&email(), &[]).expect("a mail");
        let expected = "Message-ID: <0123@own.test>\r\nDate: Wed, 07 Jan 2026 10:30:00 +0000\r\n\
            From: Me <me@own.test>\r\nSubject: January 2026 Invoice - $1,500\r\n\
            To: \"Client A\" <a@client.test>\r\nCc: b@client.test\r\nIn-Reply-To: <one@client.test>\r\n\
            References: <zero@client.test> <one@client.test>\r\nMIME-Version: 1.0\r\n\
            Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
            Hello,\r\n.\r\nhere it is: caf=C3=A9.\r\n\r\n";
        assert_eq!(String::from_utf8(message.bytes).expect("ASCII"), expected);
        assert_eq!(message.envelope_from, "me@own.test");
        assert_eq!(message.envelope_to, ["a@client.test", "b@client.test", "secret@own.test"]);
    }

    #[test]
    fn attachments_come_back_and_bytes_repeat() {
        let files = [
            attached("2026-01_Client_A.pdf", "application/pdf", b"%PDF\n.\n\xff"),
            attached("r\u{e9}sum\u{e9} \"x\".txt", "text/plain; charset=utf-8", b"a\n.\r\nQUIT\n"),
        ];
        let email = Email { attachments: files.iter().map(|(file, _)| file.clone()).collect(), ..email() };
        let message = composed(&email, &files).expect("a mail");
        assert_eq!(message, composed(&email, &files).expect("a mail"));
        let mail = read_mail(&message.bytes).expect("a readable mail");
        assert_eq!(mail.text, email.body.trim_end());
        let read: Vec<_> = mail.attachments.iter().map(|file| (file.name.clone(), file.length, file.hash)).collect();
        let sent: Vec<_> = files.iter().map(|(file, _)| (file.name.clone(), file.length, file.hash)).collect();
        assert_eq!(read, sent);
        assert!(!mail.truncated && !String::from_utf8_lossy(&message.bytes).contains("secret@"));
    }

    #[test]
    fn bytes_other_than_the_approved_ones_are_refused() {
        let mut files = [attached("a.txt", "text/plain", b"approved")];
        let email = Email { attachments: vec![files[0].0.clone()], ..email() };
        files[0].1 = b"replaced".to_vec();
        let error = composed(&email, &files).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "the attachment \"a.txt\" is not the one that was approved; approve the mail again"
        );
        assert!(matches!(composed(&email, &[]), Err(ComposeError::AttachmentsDiffer)));
    }

    #[test]
    fn a_field_cannot_inject_a_header() {
        type Change = fn(&mut Email);
        let refusals: [(&str, Change); 6] = [
            ("subject", |email| email.subject = "x\r\nBcc: y@z.test".into()),
            ("from", |email| email.from = "Me\n <me@own.test>".into()),
            ("to", |email| email.to = vec!["a@b.test, c@d.test".into()]),
            ("cc", |email| email.cc = vec!["a@b.test> SIZE=1 <c@d.test".into()]),
            ("bcc", |email| email.bcc = vec!["\"a b\"@c.test".into()]),
            ("in_reply_to", |email| email.in_reply_to = Some("a>\r\nBcc: y@z.test".into())),
        ];
        for (field, change) in refusals {
            let mut email = email();
            change(&mut email);
            let error = composed(&email, &[]).expect_err(field).to_string();
            assert!(error.starts_with(&format!("`{field}` holds ")), "{error}");
        }
    }

    #[test]
    fn a_subject_that_looks_encoded_is_shown_as_approved() {
        let email = Email { subject: "=?utf-8?q?other?= ".into(), ..email() };
        let message = composed(&email, &[]).expect("a mail");
        let wire = String::from_utf8(message.bytes).expect("ASCII");
        assert!(wire.contains("Subject: =?utf-8?b?PT91dGYtOD9xP290aGVyPz0g?=\r\n"), "{wire}");
    }

    #[test]
    fn a_mail_without_recipients_or_with_a_strange_type_is_refused() {
        let nobody = Email { to: vec![], cc: vec![], bcc: vec![], ..email() };
        assert!(matches!(composed(&nobody, &[]), Err(ComposeError::NoRecipient)));
        let hidden = Email { to: vec![], cc: vec![], ..email() };
        assert_eq!(composed(&hidden, &[]).expect("a mail").envelope_to, ["secret@own.test"]);
        for media_type in ["multipart/mixed", "nonsense", "a/b\r\nX: y"] {
            let file = [attached("a", media_type, b"x")];
            let email = Email { attachments: vec![file[0].0.clone()], ..email() };
            assert!(matches!(composed(&email, &file), Err(ComposeError::MediaType { .. })), "{media_type}");
        }
    }

    #[test]
    fn the_message_id_is_fixed_by_action_and_nonce() {
        let action = ActionHash(Hash::of_content(b"action"));
        let id = message_id(&action, &[1; 16], "Me <me@own.test>");
        assert_eq!(id, message_id(&action, &[1; 16], "other@own.test"));
        assert_ne!(id, message_id(&action, &[2; 16], "Me <me@own.test>"));
        assert_eq!((id.len(), id.ends_with("@own.test")), (32 + "@own.test".len(), true));
        assert!(message_id(&action, &[1; 16], "nobody").ends_with("@localhost"));
    }

    proptest! {
        #[test]
        fn what_is_composed_reads_back(subject in "(=\\?|\\?=|  |\\PC){0,80}", name in "\\PC{0,30}", body in any::<String>()) {
            let email = Email { subject, from: format!("{name} <me@own.test>"), body, ..email() };
            let file = [attached("a b.bin", "application/octet-stream", email.body.as_bytes())];
            let email = Email { attachments: vec![file[0].0.clone()], ..email };
            let Ok(message) = composed(&email, &file) else { return Ok(()) };
            prop_assert_eq!(&message.bytes, &composed(&email, &file).expect("again").bytes);
            let wire = String::from_utf8(message.bytes.clone()).expect("ASCII");
            prop_assert!(wire.lines().all(|line| line.len() <= 998));
            prop_assert!(wire.is_ascii() && !wire.replace("\r\n", "").contains(['\r', '\n', '\0']));
            let parsed = MessageParser::default().parse(&message.bytes).expect("a readable mail");
            prop_assert_eq!(parsed.subject().unwrap_or_default(), email.subject);
            let mail = read_mail(&message.bytes).expect("a readable mail");
            prop_assert_eq!(&mail.from[0].addr, "me@own.test");
            prop_assert_eq!(mail.attachments[0].hash, file[0].0.hash);
            let sent = email.body.replace("\r\n", "\n").replace('\r', "\n");
            let shown = if sent.trim().is_empty() { "" } else { sent.trim_end_matches('\n') };
            prop_assert_eq!(mail.text, shown);
        }
    }
}
