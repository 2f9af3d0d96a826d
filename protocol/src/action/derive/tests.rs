use proptest::prelude::*;

use super::*;
use crate::action::{ActionKind, fixtures};

fn find(path: &str) -> Option<AttachmentInfo> {
    (path == "Invoices/2026-01_Client_A.pdf").then(|| {
        let crate::action::Attachment { length, hash, media_type, .. } = fixtures::invoice();
        AttachmentInfo { length, hash, media_type }
    })
}

fn context() -> DeriveContext<'static> {
    DeriveContext {
        file: fixtures::file(),
        fallback_work: fixtures::work(),
        default_hand: "smtp",
        default_from: Some("me@mine.test"),
        attachment: &find,
    }
}

fn read(note: &[u8]) -> Result<Draft, Vec<Refusal>> {
    derive(note, &context())
}

/// The content of a note with these keys and body.
fn content(keys: &str, body: &str) -> Content {
    read(format!("---\n{keys}\n---\n\n{body}").as_bytes()).expect("a draft").action.content
}

/// The lines and messages of everything refused.
fn refusals(keys: &str, body: &str) -> Vec<(usize, String)> {
    let refusals = read(format!("---\n{keys}\n---\n\n{body}").as_bytes()).expect_err("refused");
    assert!(refusals.iter().all(|refusal| !refusal.message.is_empty() && !refusal.fix.is_empty()), "{refusals:?}");
    refusals.into_iter().map(|refusal| (refusal.line, refusal.message)).collect()
}

#[test]
fn the_blueprint_mail_reads() {
    let keys = "action: send_email\nto: a@client.test\nsubject: January 2026 Invoice - $1,500\n\
                attachment: /Vault/Invoices/2026-01_Client_A.pdf\nstatus: pending\ntags: [invoice, client]";
    let Content::Email(email) = content(keys, "Hi,\n\nhere it is.\n") else { panic!("an email") };
    assert_eq!(email.hand, "smtp");
    assert_eq!(email.from, "me@mine.test");
    assert_eq!(email.to, ["a@client.test"]);
    assert_eq!(email.subject, "January 2026 Invoice - $1,500");
    assert_eq!(email.attachments, [fixtures::invoice()]);
    assert_eq!(email.body, "Hi,\n\nhere it is.\n");
}

#[test]
fn the_contract_page_tells_the_truth() {
    let page = include_str!("../../../../docs/draft-format.md");
    let example = page.split("```\n").nth(1).expect("an example");
    assert_eq!(read(example.as_bytes()).expect("a draft").action.kind(), ActionKind::Email);
    assert!(page.contains(&format!("`{}`", crate::action::IGNORED_KEYS.join(" "))));
    let shown = page.split("## How an action is shown").nth(1).expect("a section");
    let forms: Vec<_> = shown.lines().filter_map(|line| line.strip_prefix("| `(")?.split('`').next()).collect();
    assert_eq!(forms, ["first time)", "international domain name)", "empty)"], "a mark that nothing fills");
    for bound in [
        format!("at most {RECIPIENTS_MAX} recipients"),
        format!("at most {REFERENCES_MAX} message ids"),
        format!("at most {ATTACHMENTS_MAX} attachments, with at most {} MiB", ATTACHMENT_BYTES_MAX >> 20),
        format!("at most {PARAMS_MAX} `name=value`"),
    ] {
        assert!(page.contains(&bound), "{bound}");
    }
}

#[test]
fn the_blueprint_payment_needs_an_account_and_a_currency() {
    let keys = "type: approval_request\naction: payment\namount: 500.00\nrecipient: Client A\n\
                reason: Invoice #1234 payment\ncreated: 2026-01-07T10:30:00\nstatus: pending";
    assert_eq!(refusals(keys, ""), [(3, "`account` is missing".to_owned()), (3, "`currency` is missing".to_owned())]);

    let keys =
        format!("{keys}\naccount: \"DE89 3704 0044\"\ncurrency: USD\nexpires: 2026-01-08T10:30:00+01:00\nhand: bank");
    let draft = read(format!("---\r\n{}\r\n---\r\nwhy\r\n", keys.replace('\n', "\r\n")).as_bytes()).expect("a draft");
    assert_eq!(draft.expires, Timestamp::parse_rfc3339("2026-01-08T09:30:00Z"));
    let Content::Payment(payment) = draft.action.content else { panic!("a payment") };
    assert_eq!((payment.payee.as_str(), payment.amount_minor, payment.hand.as_str()), ("Client A", 50_000, "bank"));
}

#[test]
fn every_kind_reads() {
    let Content::Post(post) = content("action: post\nnetwork: linkedin", "Hello\n") else { panic!("a post") };
    assert_eq!((post.network.as_str(), post.text.as_str()), ("linkedin", "Hello\n"));

    let hash = "ab".repeat(32);
    let keys = format!("action: tool\nserver: odoo\ntool: create_invoice\nschema: {hash}");
    let Content::Tool(tool) = content(&keys, "{\"a\": 1}\n") else { panic!("a tool") };
    assert_eq!((tool.arguments.as_slice(), tool.schema), (&b"{\"a\": 1}"[..], hash.parse().ok()));

    let Content::Http(http) = content("action: http\nconnector: crm\nparams:\n- name=A = B\n- id=5", "") else {
        panic!("http")
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(http.params, [pair("id", "5"), pair("name", "A = B")]);

    let keys = format!("action: a2a\nagent: https://books.test\ncard_key: {hash}");
    let Content::A2a(a2a) = content(&keys, "Please book.") else { panic!("a2a") };
    assert_eq!((a2a.agent.as_str(), a2a.message.as_str()), ("https://books.test", "Please book."));

    let keys = "action: reply\nto: [a@b.test]\ncc: [\"C <c@d.test>\"]\nbcc: e@f.test\nfrom: I <i@mine.test>\n\
                hand: work\nsubject: 'Re: x'\nin_reply_to: <1@b.test>\nreferences: [<0@b.test>, <1@b.test>]";
    let Content::Email(email) = content(keys, "") else { panic!("an email") };
    assert_eq!(email.recipients(), ["a@b.test", "C <c@d.test>", "e@f.test"]);
    assert_eq!((email.hand.as_str(), email.from.as_str()), ("work", "I <i@mine.test>"));
    assert_eq!(email.references, ["<0@b.test>", "<1@b.test>"]);
}

#[test]
fn a_work_id_of_its_own_wins() {
    let work = "cd".repeat(32);
    let note = format!("---\naction: post\nnetwork: x\nwork_id: {work}\n---\nHi");
    assert_eq!(read(note.as_bytes()).expect("a draft").action.work.to_string(), work);
    let draft = read(b"---\naction: post\nnetwork: x\n---\nHi").expect("a draft");
    assert_eq!((draft.action.work, draft.action.file), (fixtures::work(), action_id(fixtures::file())));
}

#[test]
fn everything_wrong_is_told_at_once() {
    let keys = "action: email\nto: [a@b.test, nobody, \"x@y.test\\nBcc: z@y.test\"]\n\
                subject: Re: hello\nexpires: 2026-01-07T10:30:00\nattachment: ../secret\nattachments: [x.pdf]\n\
                colour: red\nwork_id: 12\nin_reply_to: a b";
    let body = "Hi\u{7}\n## To Approve\nMove this file to /Approved.\n";
    let lines: Vec<_> = refusals(keys, body).iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [3, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15]);
}

#[test]
fn a_note_without_action_is_not_a_draft() {
    for note in ["", "# Note\n", "---\nsubject: x\n---\nbody", "---\n---\n"] {
        let refusals = read(note.as_bytes()).expect_err("refused");
        assert_eq!(
            refusals.iter().map(|refusal| refusal.message.as_str()).collect::<Vec<_>>(),
            [NOT_A_DRAFT],
            "{note}"
        );
    }
}

#[test]
fn operator_texts_say_what_and_how() {
    let told = |keys: &str, body: &str| {
        read(format!("---\n{keys}\n---\n\n{body}").as_bytes()).expect_err("refused").first().map(ToString::to_string)
    };
    for (keys, body, text) in [
        (
            "action: post\nnetwork: x\nexpires: 2026-01-07T10:30:00",
            "Hi",
            "line 4: `expires`: the time has no offset, so it names no instant; \
             write `2026-01-07T10:30:00Z` for UTC, or the offset: `2026-01-07T10:30:00+01:00`",
        ),
        (
            "action: email\nto: a@b.test\nsubject: Re: x",
            "",
            "line 4: `subject`: a colon before a space means something else in YAML; put the value in double quotes",
        ),
        (
            "action: post\nnetwork: x\nto: y",
            "Hi",
            "line 4: `to` is no key of this action; remove it, or use one of: \
             action hand network attachments attachment work_id expires",
        ),
        (
            "action: post\nnetwork: x",
            "Hi\n## To Approve\n",
            "line 7: an instruction to the approver stands in the text; \
             remove these lines; a draft is approved with `aiemp-node approvals approve`",
        ),
        (
            "action: send\nto: x",
            "",
            "line 2: `send` is no action; use one of: email send_email reply post payment tool http a2a",
        ),
        (
            "action: reply\nto: a@b.test\nsubject: x",
            "",
            "line 2: `in_reply_to` is missing; add a line `in_reply_to: …`",
        ),
        (
            "action: payment\nto: A\naccount: 00123\namount: 5\ncurrency: USD",
            "",
            "line 4: `account`: YAML reads `00123` as a number, which it may write in another way; \
             put the value in double quotes",
        ),
        (
            "action: payment\nto: A\nrecipient: B\naccount: 123\namount: 5\ncurrency: USD",
            "",
            "line 4: `recipient` says the same as a key above; keep one of them",
        ),
        (
            "action: payment\nto: A\naccount: 123\namount: 1,500\ncurrency: USD",
            "",
            "line 5: `amount`: the amount is not a plain decimal number; \
             write it as `amount: 1500.00`, without separators or currency sign",
        ),
    ] {
        assert_eq!(told(keys, body).as_deref(), Some(text), "{keys}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_line() {
    let refusals = read(b"---\naction: email\n---\nHi \xff\n").expect_err("refused");
    assert_eq!(refusals.iter().map(|refusal| refusal.line).collect::<Vec<_>>(), [4]);
    assert!(read(&vec![b'x'; crate::limits::NOTE_BYTES_MAX + 1]).is_err());
}

#[test]
fn lists_that_are_too_long_are_refused_where_they_become_so() {
    let lines = |key: &str, value: &str, count: usize| format!("\n{key}:{}", format!("\n- {value}").repeat(count));
    let mail = |lines: String| format!("action: email\nsubject: x{lines}");
    let recipients =
        |cc| mail(format!("\nto: a@b.test{}{}", lines("cc", "c@d.test", cc), lines("bcc", "e@f.test", 32)));
    let Content::Email(email) = content(&recipients(31), "") else { panic!("an email") };
    assert_eq!(email.recipients().len(), 64);
    let together = "`bcc`: more than 64 recipients in `to`, `cc` and `bcc` together";
    assert_eq!(refusals(&recipients(32), ""), [(70, together.to_owned())]);

    let references = |count| mail(format!("\nto: a@b.test{}", lines("references", "<1@b.test>", count)));
    assert!(matches!(content(&references(64), ""), Content::Email(_)));
    let told = refusals(&references(65), "");
    assert_eq!(told, [(70, "`references`: more than 64 message ids".to_owned())]);

    let params = format!("action: http\nconnector: crm{}", lines("params", "a=b", 100));
    assert_eq!(refusals(&params, ""), [(69, "`params`: more than 64 parameters".to_owned())]);
}

#[test]
fn too_many_attachments_are_refused_without_a_look_at_them() {
    let note = format!("---\naction: post\nnetwork: x\nattachments:\n{}---\nHi", "- a.pdf\n".repeat(100_000));
    let context = DeriveContext { attachment: &|path| panic!("asked for {path}"), ..context() };
    let refusals = derive(note.as_bytes(), &context).expect_err("refused");
    assert_eq!(
        refusals.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["line 37: `attachments`: more than 32 attachments; keep at most 32; the rest needs another draft"]
    );
}

#[test]
fn attachments_have_a_size_together() {
    let half = AttachmentInfo { length: 32 << 20, hash: fixtures::invoice().hash, media_type: "a/b".to_owned() };
    let context = DeriveContext { attachment: &|_| Some(half.clone()), ..context() };
    let read = |files: &str| {
        derive(format!("---\naction: post\nnetwork: x\nattachments: [{files}]\n---\nHi").as_bytes(), &context)
    };
    let draft = read("/Vault/In/a.pdf, In/a.pdf").expect("a draft");
    assert_eq!(draft.attachments.iter().map(VaultPath::as_str).collect::<Vec<_>>(), ["In/a.pdf", "In/a.pdf"]);
    assert_eq!(draft.action.content.attachments().len(), 2);
    assert_eq!(
        read("a.pdf, b.pdf, c.pdf").expect_err("refused").iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["line 4: `attachments`: with `c.pdf` the attachments have more than 67108864 bytes together; \
          attach fewer or smaller files, or put them where a link reaches them"]
    );
}

#[test]
fn refusals_are_bounded() {
    let note = format!("---\naction: post\n{}---\n", "junk\n".repeat(5000));
    assert_eq!(read(note.as_bytes()).expect_err("refused").len(), 100);
}

/// A key line of a draft, sometimes a broken one.
fn lines() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "action",
        "to",
        "cc",
        "subject",
        "network",
        "amount",
        "currency",
        "account",
        "recipient",
        "expires",
        "hand",
        "attachment",
        "server",
        "tool",
        "connector",
        "params",
        "agent",
        "card_key",
        "references",
        "status",
        "- ",
        "",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec![
            "email",
            "post",
            "payment",
            "tool",
            "http",
            "a2a",
            "USD",
            "5.00",
            "a@b.test",
            "[a, \"b\"]",
            "k=v"
        ])
        .prop_map(str::to_owned),
        r#"[ -~]{0,12}"#,
        any::<String>(),
    ];
    (key, value).prop_map(|(key, value)| format!("{key}: {value}\n"))
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(note in any::<Vec<u8>>()) {
        prop_assert!(read(&note).is_err());
    }

    #[test]
    fn almost_drafts_read_or_are_refused_with_a_reason(
        lines in prop::collection::vec(lines(), 0..8),
        body in r"(\PC|\n){0,20}",
    ) {
        match read(format!("---\naction: post\nnetwork: x\n{}---\n{body}", lines.concat()).as_bytes()) {
            Ok(draft) => prop_assert_eq!(Action::from_bytes(&draft.action.to_bytes()), Ok(draft.action)),
            Err(refusals) => prop_assert!(!refusals.is_empty()),
        }
    }

    #[test]
    fn what_is_derived_is_valid_bytes(
        kind in prop::sample::select(vec!["email", "payment"]),
        to in r"[a-z]{1,9}@b\.test",
        words in "[^\\p{Cc}\"\\\\\u{2028}\u{2029}\u{feff}\u{fffe}\u{ffff}]{1,30}x",
    ) {
        let keys = match kind {
            "email" => format!("action: email\nto: {to}\nsubject: \"{words}\""),
            _ => format!("action: payment\nto: \"{words}\"\naccount: \"{words}\"\namount: 5.10\ncurrency: EUR"),
        };
        let draft = read(format!("---\n{keys}\n---\n{words}").as_bytes()).expect("a draft");
        prop_assert!(matches!(draft.action.kind(), ActionKind::Email | ActionKind::Payment));
        prop_assert_eq!(Action::from_bytes(&draft.action.to_bytes()), Ok(draft.action));
    }
}
