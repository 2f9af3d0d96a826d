//! Actions for tests: one to look at, and a strategy for all that are valid.

use aiemp_keys::Hash;
use proptest::prelude::*;

use super::{A2a, Action, Attachment, Content, Email, Http, Payment, Post, Tool, action_id};
use crate::{
    ids::{ContentHash, FileId, WorkId},
    limits::ATTACHMENT_BYTES_MAX,
    zone::Zone,
};

pub(crate) fn file() -> FileId {
    FileId { zone: Zone::Drafts, hash: Hash::of_content(b"file") }
}

pub(crate) fn work() -> WorkId {
    WorkId(Hash::of_content(b"work"))
}

pub(crate) fn invoice() -> Attachment {
    Attachment {
        name: "2026-01_Client_A.pdf".to_owned(),
        media_type: "application/pdf".to_owned(),
        length: 48_213,
        hash: ContentHash::of(b"invoice"),
    }
}

pub(crate) fn invoice_mail() -> Action {
    let email = Email {
        hand: "smtp".to_owned(),
        from: "Me <me@mine.test>".to_owned(),
        to: vec!["a@client.test".to_owned()],
        cc: vec!["book@client.test".to_owned()],
        bcc: Vec::new(),
        subject: "January 2026 Invoice - $1,500".to_owned(),
        body: "Hi,\n\nhere is the invoice.\n".to_owned(),
        in_reply_to: Some("<1@client.test>".to_owned()),
        references: vec!["<0@client.test>".to_owned()],
        attachments: vec![invoice()],
    };
    Action { file: action_id(file()), work: work(), content: Content::Email(email) }
}

pub(crate) fn email_to(recipients: &[&str]) -> Action {
    let mut action = invoice_mail();
    if let Content::Email(email) = &mut action.content {
        email.to = recipients.iter().map(|to| (*to).to_owned()).collect();
        email.cc.clear();
    }
    action
}

pub(crate) fn payment_of(amount_minor: u64, currency: &str) -> Action {
    let payment = Payment {
        hand: "bank".to_owned(),
        payee: "Client".to_owned(),
        account: "DE02120300000000202051".to_owned(),
        amount_minor,
        currency: currency.to_owned(),
        reference: "2026-01".to_owned(),
    };
    Action { content: Content::Payment(payment), ..invoice_mail() }
}

pub(crate) fn actions() -> impl Strategy<Value = Action> {
    (any::<[u8; 32]>(), any::<[u8; 32]>(), contents()).prop_map(|(file, work, content)| Action {
        file: Hash::from_bytes(file),
        work: WorkId(Hash::from_bytes(work)),
        content,
    })
}

fn contents() -> impl Strategy<Value = Content> {
    let name = || r"[!-~]{1,20}";
    let line = || r"[a-zA-Z\u{a1}-\u{2ff}\u{1f600}\u{202e}\[(]{1,20}";
    let text = || r"[a-z\n\t\u{a1}-\u{2ff}]{0,40}x";
    let hash = || any::<[u8; 32]>().prop_map(Hash::from_bytes);
    let post = (name(), name(), text(), attachments())
        .prop_map(|(hand, network, text, attachments)| Content::Post(Post { hand, network, text, attachments }));
    let payment =
        (name(), line(), line(), 1u64.., line()).prop_map(|(hand, payee, account, amount_minor, reference)| {
            let currency = "EUR".to_owned();
            Content::Payment(Payment { hand, payee, account, amount_minor, currency, reference })
        });
    let tool = (name(), name(), any::<u32>(), prop::option::of(hash())).prop_map(|(server, tool, number, schema)| {
        Content::Tool(Tool { server, tool, arguments: format!("{{\"n\":{number}}}").into_bytes(), schema })
    });
    let http = (name(), prop::collection::btree_map(name(), line(), 0..4))
        .prop_map(|(connector, params)| Content::Http(Http { connector, params: params.into_iter().collect() }));
    let a2a =
        (line(), hash(), text()).prop_map(|(agent, card_key, message)| Content::A2a(A2a { agent, card_key, message }));
    prop_oneof![emails().prop_map(Content::Email), post, payment, tool, http, a2a]
}

pub(crate) fn emails() -> impl Strategy<Value = Email> {
    let address = || r"([A-Za-zé\u{430}]{1,8} <[a-z]{1,8}@[a-zü]{1,8}\.test>)|([a-z\u{430}]{1,8}@(xn--)?[a-z]{1,8})";
    let addresses = |least: usize| prop::collection::vec(address(), least..3);
    let ids = || r"[a-z]{1,8}@[a-z]{1,8}|<[a-z]{1,8}@[a-z]{1,8}>";
    (
        (address(), addresses(1), addresses(0), addresses(0)),
        (r"[^\p{Cc}\u{2028}\u{2029}]{0,30}", r"([^\p{Cc}]|\n|\t|  \| |to: ){0,60}"),
        (prop::option::of(ids()), prop::collection::vec(ids(), 0..3), attachments()),
    )
        .prop_map(|((from, to, cc, bcc), (subject, body), (in_reply_to, references, attachments))| Email {
            hand: "smtp".to_owned(),
            from,
            to,
            cc,
            bcc,
            subject,
            body,
            in_reply_to,
            references,
            attachments,
        })
}

fn attachments() -> impl Strategy<Value = Vec<Attachment>> {
    let attachment = (r"[a-z\u{430}\u{202e}\[(]{1,12}\.pdf", 0..=ATTACHMENT_BYTES_MAX / 2, any::<[u8; 32]>()).prop_map(
        |(name, length, hash)| Attachment {
            name,
            media_type: "application/pdf".to_owned(),
            length,
            hash: ContentHash(Hash::from_bytes(hash)),
        },
    );
    prop::collection::vec(attachment, 0..3)
}
