//! Writes the note of a draft: the writing side of `docs/draft-format.md`, for brains and agents.

use std::fmt::Write as _;

use super::field;
use crate::{ids::WorkId, time::Timestamp};

/// What a draft proposes, its text apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposal {
    /// A mail; the text is its body.
    Email(EmailProposal),
    /// A post; the text is what is posted.
    Post {
        /// Where.
        network: String,
        /// Paths in the vault.
        attachments: Vec<String>,
    },
    /// A payment; the text explains it to whoever decides.
    Payment {
        /// Who is paid.
        payee: String,
        /// Their account.
        account: String,
        /// A plain decimal, `1500.00`.
        amount: String,
        /// ISO 4217.
        currency: String,
        /// What the payee reads.
        reference: Option<String>,
    },
    /// A call of a tool; the text is its arguments, one JSON object.
    Tool {
        /// The MCP server.
        server: String,
        /// Its tool.
        tool: String,
    },
    /// A call of a declared hand; the text explains it to whoever decides.
    Http {
        /// The hand.
        connector: String,
        /// Its parameters, as `name=value`.
        params: Vec<String>,
    },
}

/// The headers of a mail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmailProposal {
    /// Recipients.
    pub to: Vec<String>,
    /// Recipients in copy.
    pub cc: Vec<String>,
    /// Recipients in copy whom the others do not see.
    pub bcc: Vec<String>,
    /// One line; control characters become spaces.
    pub subject: String,
    /// The message id that this answers; left out when no mail header could carry it.
    pub in_reply_to: Option<String>,
    /// The message ids of the thread; those that no mail header could carry are left out.
    pub references: Vec<String>,
    /// Paths in the vault.
    pub attachments: Vec<String>,
}

/// What a draft note says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftFields<'a> {
    /// What it proposes.
    pub proposal: Proposal,
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

/// Writes a draft note that reads back as the same proposal, whatever its fields hold.
///
/// Every value stands in double quotes, so no text from a mail can add a key. Whether it can be approved is for
/// [`derive()`](super::derive()) to say: addresses and amounts are written as they are.
pub fn write_draft(fields: &DraftFields<'_>) -> String {
    let mut keys = Keys::default();
    match &fields.proposal {
        Proposal::Email(email) => email.write(&mut keys),
        Proposal::Post { network, attachments } => {
            keys.one("action", "post");
            keys.one("network", network);
            keys.some("attachments", attachments);
        }
        Proposal::Payment { payee, account, amount, currency, reference } => {
            keys.one("action", "payment");
            keys.one("payee", payee);
            keys.one("account", account);
            keys.one("amount", amount);
            keys.one("currency", currency);
            keys.maybe("reference", reference.as_deref());
        }
        Proposal::Tool { server, tool } => {
            keys.one("action", "tool");
            keys.one("server", server);
            keys.one("tool", tool);
        }
        Proposal::Http { connector, params } => {
            keys.one("action", "http");
            keys.one("connector", connector);
            keys.some("params", params);
        }
    }
    keys.one("work_id", &fields.work.to_string());
    keys.one("created", &fields.created.to_string());
    keys.maybe("expires", fields.expires.map(|expires| expires.to_string()).as_deref());
    keys.one("status", "pending");
    for (key, value) in fields.extra {
        let is_key = key.starts_with(|c: char| c.is_ascii_lowercase())
            && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if is_key && keys.0.iter().all(|(written, _)| written != key) {
            keys.one(key, value);
        }
    }
    let mut note = "---\n".to_owned();
    for (key, value) in keys.0 {
        let _written = writeln!(note, "{key}: {value}");
    }
    note.push_str("---\n\n");
    note.push_str(&plain_body(fields.body));
    note
}

impl EmailProposal {
    fn write<'a>(&self, keys: &mut Keys<'a>) {
        let is_sendable = |id: &&String| field::message_id(id).is_ok();
        let in_reply_to = self.in_reply_to.as_ref().filter(is_sendable);
        let references: Vec<_> = self.references.iter().filter(is_sendable).cloned().collect();
        keys.one("action", if in_reply_to.is_some() { "reply" } else { "email" });
        keys.list("to", &self.to);
        keys.some("cc", &self.cc);
        keys.some("bcc", &self.bcc);
        keys.one("subject", &self.subject);
        keys.maybe("in_reply_to", in_reply_to.map(String::as_str));
        keys.some("references", &references);
        keys.some("attachments", &self.attachments);
    }
}

/// Keys in their order, with their values as they are written.
#[derive(Default)]
struct Keys<'a>(Vec<(&'a str, String)>);

impl<'a> Keys<'a> {
    fn one(&mut self, key: &'a str, value: &str) {
        self.0.push((key, quoted(value)));
    }

    fn maybe(&mut self, key: &'a str, value: Option<&str>) {
        self.0.extend(value.map(|value| (key, quoted(value))));
    }

    fn list(&mut self, key: &'a str, values: &[String]) {
        let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
        self.0.push((key, format!("[{}]", values.join(", "))));
    }

    /// An empty list is left out.
    fn some(&mut self, key: &'a str, values: &[String]) {
        if !values.is_empty() {
            self.list(key, values);
        }
    }
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
        let email = EmailProposal {
            to: vec!["Client A <a@client.test>".to_owned()],
            cc: vec!["book@client.test".to_owned()],
            subject: subject.to_owned(),
            in_reply_to: Some("<1@client.test>".to_owned()),
            references: vec!["<0@client.test>".to_owned(), "bad id".to_owned()],
            ..EmailProposal::default()
        };
        of(Proposal::Email(email), body, extra)
    }

    fn of<'a>(proposal: Proposal, body: &'a str, extra: &'a [(&'a str, &'a str)]) -> DraftFields<'a> {
        DraftFields {
            proposal,
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
        let note = write_draft(&fields("Re: Invoice [1]\nBcc: x@evil.test", "Hi,\r\n\r\nthanks.\n", &extra));
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
    fn every_kind_reads_back_as_what_was_proposed() {
        let text = |text: &str| text.to_owned();
        let content = |proposal: Proposal, body: &str| {
            read(&write_draft(&of(proposal, body, &[]))).expect("a draft").action.content
        };
        let post = Proposal::Post { network: text("mastodon"), attachments: Vec::new() };
        let Content::Post(post) = content(post, "Hello: world\n") else { panic!("a post") };
        assert_eq!((post.network.as_str(), post.text.as_str()), ("mastodon", "Hello: world\n"));
        let payment = Proposal::Payment {
            payee: text("Client: A"),
            account: text("DE89370400440532013000"),
            amount: text("1500.00"),
            currency: text("EUR"),
            reference: Some(text("Invoice #1")),
        };
        let Content::Payment(payment) = content(payment, "Because.") else { panic!("a payment") };
        assert_eq!((payment.amount_minor, payment.payee.as_str()), (150_000, "Client: A"));
        let tool = Proposal::Tool { server: text("time"), tool: text("now") };
        let Content::Tool(tool) = content(tool, "{\"zone\": \"UTC\"}") else { panic!("a call of a tool") };
        assert_eq!((tool.server.as_str(), tool.tool.as_str()), ("time", "now"));
        let http = Proposal::Http { connector: text("erp"), params: vec![text("id=4"), text("q=a b")] };
        let Content::Http(http) = content(http, "") else { panic!("a call") };
        assert_eq!(http.params.len(), 2);
    }

    #[test]
    fn a_subject_is_no_command_of_a_template() {
        let note = write_draft(&fields("Re: <% tp.x %> <%", "Hi", &[("brain", "<%")]));
        assert!(!note.contains("<%"), "{note}");
        let Content::Email(email) = read(&note).expect("a draft").action.content else { panic!("an email") };
        assert_eq!(email.subject, "Re: <% tp.x %> <%");
    }

    proptest! {
        #[test]
        fn a_written_draft_reads_back(subject in any::<String>(), body in any::<String>(), brain in any::<String>()) {
            let extra = [("brain", brain.as_str())];
            let draft = read(&write_draft(&fields(&subject, &body, &extra))).expect("a draft");
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
            let draft = read(&write_draft(&fields("s", &body, &[]))).expect("a draft");
            let Content::Email(email) = draft.action.content else { panic!("an email") };
            prop_assert_eq!(email.body, body);
        }
    }
}
