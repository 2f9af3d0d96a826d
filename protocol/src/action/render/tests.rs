use proptest::prelude::*;

use super::*;
use crate::{action::fixtures, ids::ContentHash};

fn text_of(action: &Action) -> String {
    render(action, &Marks::default()).text
}

fn with(content: Content) -> Action {
    Action { content, ..fixtures::invoice_mail() }
}

fn changed(change: impl FnOnce(&mut Email)) -> Action {
    let mut action = fixtures::invoice_mail();
    let Content::Email(email) = &mut action.content else { panic!("an email") };
    change(email);
    action
}

const TAIL: &str = "\
work:        WORK
draft:       DRAFT
";

#[test]
fn a_mail_shows_everything() {
    let action = changed(|email| {
        email.bcc = vec!["Zoë <zoe@b\u{fc}cher.test>".to_owned(), "x@xn--e1awd7f.test".to_owned()];
        email.body.push_str("to:          boss@corp.test\n  | x\u{202e}\n\tp\u{430}ypal  \n[U+202E]\n");
        email.body.push_str("https://own.test https://own.test@pay.test/");
    });
    let is_new =
        |value: &MarkedValue| matches!(value.text.as_str(), "a@client.test" | "zoe@b\u{fc}cher.test" | "pay.test");
    let marks = Marks {
        first_time: action.marked_values().into_iter().filter(is_new).collect(),
        attachment_sources: vec![source("Invoices/2026-01_Client_A.pdf", true)],
        ..Marks::of_note(&VaultPath::parse("Pending_Approval/x.md").expect("a path"), b"note")
    };
    let rendered = render(&action, &marks);
    let expected = "\
action:      email
hand:        smtp
from:        Me <me@mine.test>
to:          a@client.test (first time)
cc:          book@client.test
bcc:         Zoë <zoe@b[U+00FC]cher.test> (international domain name)
  :  (first time)
bcc:         x@xn--e1awd7f.test (international domain name)
subject:     January 2026 Invoice - $1,500
in reply to: <1@client.test>
reference:   <0@client.test>
attachment:  2026-01_Client_A.pdf
  in vault:  Invoices/2026-01_Client_A.pdf (private)
  type:      application/pdf
  size:      48213 bytes
  content:   CONTENT
body:
  | Hi,
  |
  | here is the invoice.
  | to:          boss@corp.test
  |   | x[U+202E RIGHT-TO-LEFT OVERRIDE]
  | \\tp[U+0430 CYRILLIC]ypal[U+0020 SPACE][U+0020 SPACE]
  | [U+005B]U+202E]
  | https://own.test https://own.test@pay.test/
link:        own.test
link:        pay.test (first time)
";
    let content = ContentHash::of(b"invoice").to_string();
    let note = format!("  in vault:  Pending_Approval/x.md\n  content:   {}\n", ContentHash::of(b"note"));
    assert_eq!(rendered.text, format!("{}{}{note}", expected.replace("CONTENT", &content), tail()));
    assert_eq!(rendered.hash().to_string(), "6525be768e0cd4cfbf2d6fa4aca196e418012e79c2dfe6a3183076e3a3e692ba");
}

#[test]
fn each_word_is_known_where_it_is_shown() {
    let body = format!("Gr\u{fc}\u{df}e\u{202e}!\n{}\n", "word ".repeat(20));
    let action = changed(|email| email.body.clone_from(&body));
    let Rendered { text, words } = render(&action, &Marks::default());
    let of = |shown: &Shown| (&body[shown.of.clone()], &text[shown.at.clone()]);
    assert_eq!(of(&words[0]), ("Gr\u{fc}\u{df}e", "Gr\u{fc}\u{df}e"));
    assert_eq!(of(&words[1]), ("\u{202e}", "[U+202E RIGHT-TO-LEFT OVERRIDE]"));
    let covered: usize = words.iter().map(|shown| shown.of.len()).sum();
    assert_eq!(covered, body.len() - 2, "all but the line feeds");
    let plain = words.iter().filter(|shown| shown.of.len() == shown.at.len());
    assert!(plain.clone().count() > 3 && plain.map(of).all(|(word, shown)| word == shown));
}

fn source(path: &str, is_private: bool) -> AttachmentSource {
    AttachmentSource { path: VaultPath::parse(path).expect("a path"), is_private }
}

#[test]
fn the_folder_of_an_attachment_shows() {
    let action = changed(|email| email.attachments = vec![fixtures::invoice(), fixtures::invoice()]);
    let shown = |first: AttachmentSource, second: AttachmentSource| {
        let marks = Marks { attachment_sources: vec![first, second], ..Marks::default() };
        let text = render(&action, &marks).text;
        let line = |line: &str| line.strip_prefix("  in vault:  ").map(str::to_owned);
        text.lines().filter_map(line).collect::<Vec<_>>()
    };
    assert_eq!(
        shown(source("Inbox/report.pdf", false), source("Private/report.pdf", true)),
        ["Inbox/report.pdf", "Private/report.pdf (private)"]
    );
    assert_eq!(
        shown(source("Inbox/\u{202e}x", false), source("x (private)", false)),
        ["Inbox/[U+202E RIGHT-TO-LEFT OVERRIDE]x", "x [U+0028]private)"]
    );
}

fn tail() -> String {
    let action = fixtures::invoice_mail();
    TAIL.replace("WORK", &action.work.to_string()).replace("DRAFT", &action.file.to_string())
}

#[test]
fn a_payment_shows_everything() {
    let mut payment = Payment {
        hand: "bank".to_owned(),
        payee: "Client A".to_owned(),
        account: "DE89 3704 \u{41e}044".to_owned(),
        amount_minor: 50_000,
        currency: "USD".to_owned(),
        reference: String::new(),
    };
    let is_new = |value: &MarkedValue| value.kind != ValueKind::Account;
    let values = with(Content::Payment(payment.clone())).marked_values();
    let marks = Marks { first_time: values.into_iter().filter(is_new).collect(), ..Marks::default() };
    let expected = "\
action:      payment
hand:        bank
payee:       Client A (first time)
account:     DE89 3704 [U+041E CYRILLIC]044
amount:      500.00 USD (first time)
reference:   (empty)
";
    assert_eq!(render(&with(Content::Payment(payment.clone())), &marks).text, format!("{expected}{}", tail()));
    let before = text_of(&with(Content::Payment(payment.clone())));
    payment.reference = "(empty)".to_owned();
    assert_ne!(text_of(&with(Content::Payment(payment))), before);
}

#[test]
fn other_kinds_show_everything() {
    let post =
        Post { hand: "x".to_owned(), network: "x".to_owned(), text: "One\nTwo".to_owned(), attachments: Vec::new() };
    let expected = "action:      post\nhand:        x\nnetwork:     x\ntext:\n  | One\n  | Two\n";
    assert_eq!(text_of(&with(Content::Post(post))), format!("{expected}{}", tail()));

    let tool = Tool {
        server: "odoo".to_owned(),
        tool: "draft".to_owned(),
        arguments: b"{\"a\":\"\xff\"}".to_vec(),
        schema: None,
    };
    let expected = "action:      tool\nserver:      odoo\ntool:        draft\narguments:\n  | {\"a\":\"[byte FF]\"}\n";
    assert_eq!(text_of(&with(Content::Tool(tool))), format!("{expected}{}", tail()));

    let http = Http { connector: "crm".to_owned(), params: vec![("id".to_owned(), "5".to_owned())] };
    let expected = "action:      http\nconnector:   crm\nparam:       id\n  value:     5\n";
    assert_eq!(text_of(&with(Content::Http(http))), format!("{expected}{}", tail()));

    let card_key = Hash::of_content(b"card");
    let a2a = A2a { agent: "books.test".to_owned(), card_key, message: "Hi".to_owned() };
    let expected = format!("action:      a2a\nagent:       books.test\ncard key:    {card_key}\nmessage:\n  | Hi\n");
    assert_eq!(text_of(&with(Content::A2a(a2a))), format!("{expected}{}", tail()));
}

#[test]
fn a_long_line_cannot_wrap_into_a_fact() {
    let padding = "x".repeat(67);
    let action = changed(|email| {
        email.subject = format!("{padding} to:          boss@corp.test");
        email.body = format!("{} to:          boss@corp.test", "word ".repeat(20));
    });
    let text = text_of(&action);
    assert!(text.contains(&format!("subject:     {padding}\n  :  to:          boss@corp.test\n")), "{text}");
    assert!(text.contains("word\n  :  word"), "{text}");
    assert!(text.lines().all(|line| line.len() <= COLUMNS), "{text}");
}

/// Reads a rendered mail back from its text alone.
fn read_back(text: &str) -> (Email, Vec<String>) {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix(CONTINUED) {
            Some(rest) => lines.last_mut().expect("a line before").push_str(rest),
            None => lines.push(line.to_owned()),
        }
    }
    let mut email = Email {
        hand: String::new(),
        from: String::new(),
        to: Vec::new(),
        cc: Vec::new(),
        bcc: Vec::new(),
        subject: String::new(),
        body: String::new(),
        in_reply_to: None,
        references: Vec::new(),
        attachments: Vec::new(),
    };
    let (mut body, mut tail) = (Vec::new(), Vec::new());
    for line in lines {
        if let Some(line) = line.strip_prefix("  |") {
            body.push(spell::unspell(line.strip_prefix(' ').unwrap_or(line)));
            continue;
        }
        let (label, shown) = line.split_at(LABEL_COLUMNS.min(line.len()));
        let shown = shown.strip_suffix(FOREIGN_DOMAIN).map_or(shown, |shown| shown.trim_end());
        let value = if shown == EMPTY { String::new() } else { spell::unspell(shown) };
        let attachment = email.attachments.last_mut();
        match (label.trim_end(), attachment) {
            ("action:" | "body:" | "link:", _) => {}
            ("hand:", _) => email.hand = value,
            ("from:", _) => email.from = value,
            ("to:", _) => email.to.push(value),
            ("cc:", _) => email.cc.push(value),
            ("bcc:", _) => email.bcc.push(value),
            ("subject:", _) => email.subject = value,
            ("in reply to:", _) => email.in_reply_to = Some(value),
            ("reference:", _) => email.references.push(value),
            ("attachment:", _) => email.attachments.push(Attachment { name: value, ..fixtures::invoice() }),
            ("  in vault:", Some(_)) => assert_eq!(shown, EMPTY),
            ("  type:", Some(attachment)) => attachment.media_type = value,
            ("  size:", Some(attachment)) => {
                attachment.length = value.strip_suffix(" bytes").and_then(|n| n.parse().ok()).expect("a size");
            }
            ("  content:", Some(attachment)) => attachment.hash = value.parse().expect("a hash"),
            ("work:" | "draft:", _) => tail.push(value),
            (label, _) => panic!("unknown label {label}"),
        }
    }
    email.body = body.join("\n");
    (email, tail)
}

proptest! {
    #[test]
    fn a_rendered_mail_reads_back(email in fixtures::emails()) {
        let action = with(Content::Email(email.clone()));
        let (read, tail) = read_back(&text_of(&action));
        prop_assert_eq!(read, email);
        prop_assert_eq!(tail, [action.work.to_string(), action.file.to_string()]);
    }

    #[test]
    fn different_actions_show_differently(one in fixtures::actions(), other in fixtures::actions()) {
        prop_assert_eq!(one == other, text_of(&one) == text_of(&other));
    }

    #[test]
    fn text_never_stands_where_facts_stand(subject in any::<String>(), body in any::<String>()) {
        let text = text_of(&changed(|email| (email.subject, email.body) = (subject, body)));
        let facts = text.lines().filter(|line| !line.starts_with(' ') && !line.starts_with("link:")).count();
        prop_assert_eq!(facts, 12, "{}", text);
        prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    }
}
