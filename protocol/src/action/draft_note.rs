//! Writes the note of a mail draft: the writing side of `docs/draft-format.md`, for brains.

use std::fmt::Write as _;

use super::field;
use crate::{ids::WorkId, time::Timestamp};

/// What a brain knows of the mail it proposes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftFields<'a> {
    /// Recipients.
    pub to: Vec<String>,
    /// Recipients in copy.
    pub cc: Vec<String>,
    /// One line; control characters become spaces.
    pub subject: String,
    /// The message id that this answers; left out when no mail header could carry it.
    pub in_reply_to: Option<String>,
    /// The message ids of the thread; those that no mail header could carry are left out.
    pub references: Vec<String>,
    /// The work that the draft belongs to.
    pub work: WorkId,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops being approvable, to the second.
    pub expires: Option<Timestamp>,
    /// Plain text; a lone carriage return ends a line, other control characters but tabs become spaces.
    pub body: &'a str,
    /// More keys with their values, such as `source` or `brain`. A key that the note has already is left out.
    pub extra: &'a [(&'a str, &'a str)],
}

/// Writes a draft note that reads back as the same mail, whatever its fields hold.
///
/// Every value stands in double quotes, so no text from a mail can add a key.
pub fn write_email_draft(fields: &DraftFields<'_>) -> String {
    let is_sendable = |id: &&String| field::message_id(id).is_ok();
    let in_reply_to = fields.in_reply_to.as_ref().filter(is_sendable);
    let references: Vec<_> = fields.references.iter().filter(is_sendable).cloned().collect();

    let mut keys = vec![("action", quoted(if in_reply_to.is_some() { "reply" } else { "email" }))];
    keys.push(("to", list(&fields.to)));
    if !fields.cc.is_empty() {
        keys.push(("cc", list(&fields.cc)));
    }
    keys.push(("subject", quoted(&fields.subject)));
    keys.extend(in_reply_to.map(|id| ("in_reply_to", quoted(id))));
    if !references.is_empty() {
        keys.push(("references", list(&references)));
    }
    keys.push(("work_id", quoted(&fields.work.to_string())));
    keys.push(("created", quoted(&fields.created.to_string())));
    keys.extend(fields.expires.map(|expires| ("expires", quoted(&expires.to_string()))));
    keys.push(("status", quoted("pending")));
    for (key, value) in fields.extra {
        let is_key = key.starts_with(|c: char| c.is_ascii_lowercase())
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if is_key && keys.iter().all(|(written, _)| written != key) {
            keys.push((key, quoted(value)));
        }
    }

    let mut note = "---\n".to_owned();
    for (key, value) in keys {
        let _written = writeln!(note, "{key}: {value}");
    }
    note.push_str("---\n\n");
    note.push_str(&plain_body(fields.body));
    note
}

fn list(values: &[String]) -> String {
    let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
    format!("[{}]", values.join(", "))
}

/// A double-quoted scalar that JSON and YAML read alike; `<%` is broken up because Templater reads whole files.
fn quoted(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\u{feff}' | '\u{fffe}' | '\u{ffff}' => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ if field::is_control(c) => quoted.push(' '),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted.replace("<%", "<\\u0025")
}

fn plain_body(body: &str) -> String {
    let lines = body.replace("\r\n", "\n").replace('\r', "\n");
    lines.chars().map(|c| if field::is_body_control(c) { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::action::{Content, DeriveContext, Draft, Refusal, derive, fixtures};

    fn fields<'a>(subject: &str, body: &'a str, extra: &'a [(&'a str, &'a str)]) -> DraftFields<'a> {
        DraftFields {
            to: vec!["Client A <a@client.test>".to_owned()],
            cc: vec!["book@client.test".to_owned()],
            subject: subject.to_owned(),
            in_reply_to: Some("<1@client.test>".to_owned()),
            references: vec!["<0@client.test>".to_owned(), "bad id".to_owned()],
            work: fixtures::work(),
            created: Timestamp::from_millis(1_767_781_800_000),
            expires: Some(Timestamp::from_millis(1_767_868_200_000)),
            body,
            extra,
        }
    }

    fn read(note: &str) -> Result<Draft, Vec<Refusal>> {
        let context = DeriveContext {
            file: fixtures::file(),
            fallback_work: WorkId(aiemp_keys::Hash::of_content(b"fallback")),
            default_hand: "smtp",
            default_from: Some("me@mine.test"),
            attachment: &|_| None,
        };
        derive(note.as_bytes(), &context)
    }

    #[test]
    fn golden() {
        let extra = [("brain", "template"), ("to", "x@evil.test"), ("Bad key", "x"), ("source", "Inbox/EMAIL_1.md")];
        let note = write_email_draft(&fields("Re: Invoice [1]\nBcc: x@evil.test", "Hi,\r\n\r\nthanks.\n", &extra));
        let expected = format!(
            "---\naction: \"reply\"\nto: [\"Client A <a@client.test>\"]\ncc: [\"book@client.test\"]\n\
             subject: \"Re: Invoice [1] Bcc: x@evil.test\"\nin_reply_to: \"<1@client.test>\"\n\
             references: [\"<0@client.test>\"]\nwork_id: \"{}\"\ncreated: \"2026-01-07T10:30:00Z\"\n\
             expires: \"2026-01-08T10:30:00Z\"\nstatus: \"pending\"\nbrain: \"template\"\n\
             source: \"Inbox/EMAIL_1.md\"\n\
             ---\n\nHi,\n\nthanks.\n",
            fixtures::work()
        );
        assert_eq!(note, expected);
        assert!(read(&note).is_ok());
    }

    #[test]
    fn a_subject_is_no_command_of_a_template() {
        let note = write_email_draft(&fields("Re: <% tp.x %> <%", "Hi", &[("brain", "<%")]));
        assert!(!note.contains("<%"), "{note}");
        let Content::Email(email) = read(&note).expect("a draft").action.content else { panic!("an email") };
        assert_eq!(email.subject, "Re: <% tp.x %> <%");
    }

    proptest! {
        #[test]
        fn a_written_draft_reads_back(subject in any::<String>(), body in any::<String>(), brain in any::<String>()) {
            let extra = [("brain", brain.as_str())];
            let draft = read(&write_email_draft(&fields(&subject, &body, &extra))).expect("a draft");
            let Content::Email(email) = draft.action.content else { panic!("an email") };
            prop_assert_eq!(email.subject, subject.replace(field::is_control, " "));
            prop_assert_eq!(email.body, plain_body(&body));
            prop_assert_eq!(email.to, ["Client A <a@client.test>"]);
            prop_assert_eq!(email.references, ["<0@client.test>"]);
            prop_assert_eq!(draft.action.work, fixtures::work());
            prop_assert_eq!(draft.expires, Some(Timestamp::from_millis(1_767_868_200_000)));
        }

        #[test]
        fn a_body_without_control_characters_is_exact(body in r"(\PC|\n|\t|---\n){0,60}") {
            prop_assume!(!body.contains(|c: char| c.is_control() && c != '\n' && c != '\t'));
            let draft = read(&write_email_draft(&fields("s", &body, &[]))).expect("a draft");
            let Content::Email(email) = draft.action.content else { panic!("an email") };
            prop_assert_eq!(email.body, body);
        }
    }
}
