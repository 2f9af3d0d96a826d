use std::{path::PathBuf, process::Command};

use aiemp_keys::Hash;
use aiemp_protocol::ids::WorkId;
use proptest::prelude::*;

use super::*;

const PLAIN: &str = "Message-ID: <one@client.test>\r\nFrom: Client A <a@client.test>\r\nTo: me@own.test\r\n\
    Date: Wed, 7 Jan 2026 10:30:00 +0000\r\nSubject: Invoice for January\r\n\r\nHello,\r\n.\r\nplease send it.\r\n";

fn work() -> WorkId {
    WorkId(Hash::of_content(b"work"))
}

fn note_of(mail: &Mail) -> String {
    task_note(mail, &work(), Timestamp::from_millis(1_767_781_800_000), "Needs_Action/email/EMAIL_x.eml")
}

#[test]
fn a_plain_mail_is_read() {
    let mail = read_mail(PLAIN.as_bytes()).expect("a mail");
    assert_eq!(mail.message_id.as_deref(), Some("one@client.test"));
    assert_eq!(mail.from, [Address { name: Some("Client A".into()), addr: "a@client.test".into() }]);
    assert_eq!(mail.subject, "Invoice for January");
    assert_eq!(mail.date, Some(Timestamp::from_millis(1_767_781_800_000)));
    assert_eq!(mail.text, "Hello,\n.\nplease send it.");
    assert!(!mail.truncated && !mail.list_mail && mail.attachments.is_empty());
    let key = source_key(&mail, PLAIN.as_bytes());
    assert_eq!(key, ["one@client.test", "a@client.test", "2026-01-07T10:30:00Z", "Invoice for January"]);
}

#[test]
fn a_task_note_is_front_matter_heading_and_quote() {
    let mail = read_mail(PLAIN.as_bytes()).expect("a mail");
    let id = work().to_string();
    let expected = format!(
        "---\ntype: email\nfrom: \"Client A <a@client.test>\"\nto:\n  - \"me@own.test\"\n\
         subject: \"Invoice for January\"\nreceived: \"2026-01-07T10:30:00Z\"\nmessage_id: \"one@client.test\"\n\
         priority: normal\nstatus: pending\nwork_id: \"{id}\"\nsource: \"Needs_Action/email/EMAIL_x.eml\"\n---\n\n\
         # Invoice for January\n\n> Hello,\n> .\n> please send it.\n"
    );
    assert_eq!(note_of(&mail), expected);
    assert_eq!(note_id(&work()), id[..16]);
    let task = parse_task_note(&expected).expect("a task");
    assert_eq!((task.from.as_str(), task.reply_to), ("Client A <a@client.test>", vec!["a@client.test".to_owned()]));
    assert_eq!(task.text, mail.text);
}

#[test]
fn a_note_saved_by_an_editor_reads_the_same() {
    let mail = read_mail(PLAIN.as_bytes()).expect("a mail");
    let note = note_of(&mail);
    let edited = note.replace("\"Invoice for January\"", "'Invoice for January'").replace('\n', "\r\n");
    assert_eq!(parse_task_note(&edited), parse_task_note(&note));
    assert_eq!(parse_task_note("# no front matter"), None);
    assert_eq!(parse_task_note("---\ntype: email\nwork_id: x\n---\n"), None);
}

#[test]
fn header_values_cannot_inject() {
    let raw = "From: \"A\" <a@b.test>\nSubject: =?utf-8?q?x=0Astatus:_approved=0A---=0A=E2=80=AE?= \"y\" <% z %>\n\
        Message-ID: <a b\u{e9}@c>\nReply-To: <r@b.test>\n\nhi";
    let mail = read_mail(raw.as_bytes()).expect("a mail");
    assert_eq!(mail.subject, "x status: approved --- \"y\" <% z %>");
    let note = note_of(&mail);
    assert_eq!(note.matches("\n---\n").count(), 1);
    assert_eq!(note.matches("\nstatus: ").count(), 1);
    assert!(!note.contains("<%") && !note.contains('\u{202e}'));
    let task = parse_task_note(&note).expect("a task");
    assert_eq!(task.subject, mail.subject);
    assert_eq!((task.message_id.as_deref(), task.reply_to), (Some("ab@c"), vec!["r@b.test".to_owned()]));
}

#[test]
fn html_alone_becomes_text_and_plain_wins_in_an_alternative() {
    let html =
        "Subject: x\nContent-Type: text/html; charset=iso-8859-1\n\n<p>caf\u{0}</p>".replace('\u{0}', "&eacute;");
    assert_eq!(read_mail(html.as_bytes()).expect("a mail").text, "caf\u{e9}");
    let both = "Subject: x\nContent-Type: multipart/mixed; boundary=o\n\n--o\n\
        Content-Type: multipart/alternative; boundary=i\n\n--i\nContent-Type: text/html\n\n<b>h</b>\n--i\n\nplain\n--i--\n\
        --o\nContent-Type: text/html\n\n<i>footer</i>\n--o\nContent-Type: text/plain; name=\"a b.txt\"\n\
        Content-Transfer-Encoding: base64\n\naGk=\n--o--\n";
    let mail = read_mail(both.as_bytes()).expect("a mail");
    assert_eq!(mail.text, "plain\n\nfooter");
    let hash = ContentHash::of(b"hi");
    let expected = MailAttachment { name: "a b.txt".into(), media_type: "text/plain".into(), length: 2, hash };
    assert_eq!(mail.attachments, [expected]);
    assert!(note_of(&mail).contains("attachments:\n  - \"a b.txt (text/plain, 2 B)\"\n"));
}

#[test]
fn list_mail_is_known_by_its_headers() {
    for header in
        ["List-Id: <a.b>", "List-Unsubscribe: <https://x>", "Precedence: bulk", "auto-submitted: auto-replied"]
    {
        assert!(read_mail(format!("Subject: x\n{header}\n\nhi").as_bytes()).expect("a mail").list_mail, "{header}");
    }
    assert!(!read_mail(b"Subject: x\nAuto-Submitted: no\n\nhi").expect("a mail").list_mail);
}

#[test]
fn what_is_no_mail_is_refused_with_advice() {
    let error = read_mail(b"\x89PNG\r\n\x1a\n\0\0").expect_err("no mail");
    assert_eq!(
        error.to_string(),
        "this is not a mail: no header like From or Subject was found; \
         drop the original message (.eml) as your mail program saves it"
    );
    assert_eq!(read_mail(b""), Err(MailError::NotAMail));
    let large = vec![b'a'; RAW_BYTES_MAX + 1];
    assert_eq!(
        read_mail(&large).expect_err("too large").to_string(),
        "the mail has 26214401 bytes and 26214400 is the most; ask the sender for a link to the large files"
    );
}

#[test]
fn the_largest_mail_is_accepted() {
    let mut raw =
        b"Subject: x\nContent-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\n".to_vec();
    raw.resize(RAW_BYTES_MAX, b'A');
    let mail = read_mail(&raw).expect("a mail");
    assert_eq!((mail.attachments.len(), mail.truncated), (1, false));
}

#[test]
fn bombs_are_cut_and_marked() {
    let parts = "--o\nContent-Type: image/png\n\nx\n".repeat(5000);
    let many = format!("Subject: x\nContent-Type: multipart/mixed; boundary=o\n\n{parts}--o--\n");
    let mail = read_mail(many.as_bytes()).expect("a mail");
    assert_eq!((mail.attachments.len(), mail.truncated), (ATTACHMENTS_MAX, true));

    let attached = format!("Subject: x\n{}", "Content-Type: message/rfc822\n\n".repeat(200_000));
    let mail = read_mail(attached.as_bytes()).expect("a mail");
    assert_eq!(mail.attachments.len(), 1);

    let nested: String =
        (0..2000).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n")).collect();
    let mail = read_mail(format!("Subject: x\n{nested}\ndeep").as_bytes()).expect("a mail");
    assert!(mail.truncated);

    let long = format!("Subject: x\n\n{}", "\u{ad}\n".repeat(1 << 20));
    let mail = read_mail(long.as_bytes()).expect("a mail");
    assert!(mail.truncated && mail.text.len() <= TEXT_BYTES_MAX);
    let note = note_of(&mail);
    assert!(note.len() < aiemp_protocol::limits::NOTE_BYTES_MAX && note.ends_with("in the source file.\n"));
    assert!(parse_task_note(&note).is_some());

    let headers = format!("Subject: x\n{}\n\nbody", "a:\n".repeat(1 << 20));
    assert!(read_mail(headers.as_bytes()).expect("a mail").truncated);
}

#[test]
fn a_cut_off_mail_yields_what_there_is() {
    let raw = "Subject: x\nContent-Type: multipart/mixed; boundary=o\n\n--o\n\nhello\n--o\n\
        Content-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\nSGVsbG8gd";
    let mail = read_mail(raw.as_bytes()).expect("a mail");
    assert_eq!((mail.text.as_str(), mail.attachments[0].length, mail.truncated), ("hello", 6, true));
}

#[test]
fn real_world_mails_read_and_their_notes_parse_back() {
    let locate = "import test.test_email as t, os; print(os.path.join(os.path.dirname(t.__file__), 'data'))";
    let found = Command::new("python3").args(["-c", locate]).output();
    let directory = match found {
        Ok(output) if output.status.success() => PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()),
        Ok(_) | Err(_) => return skip("python3 has no test.test_email"),
    };
    let Ok(files) = std::fs::read_dir(&directory) else { return skip("the directory of test mails is missing") };
    let mut read = 0;
    for file in files {
        let path = file.expect("a directory entry").path();
        let raw = std::fs::read(&path).expect("a readable file");
        // The pictures there, and one text without a header, are rightly refused.
        let Ok(mail) = read_mail(&raw) else { continue };
        let task = parse_task_note(&note_of(&mail)).expect("a task");
        assert_eq!(task.subject, mail.subject);
        for cut in (0..raw.len()).step_by(97) {
            // A prefix may be no mail any more; that it does not panic is the point.
            drop(read_mail(&raw[..cut]));
        }
        read += 1;
    }
    assert!(read > 40, "only {read} mails in {}", directory.display());
}

#[expect(clippy::print_stderr, reason = "a test that did not run says so")]
fn skip(why: &str) {
    eprintln!("skipped: {why}");
}

proptest! {
    #[test]
    fn a_task_note_reads_back(
        subject in any::<String>(), name in any::<Option<String>>(), text in any::<String>(), list_mail: bool,
        references in proptest::collection::vec("[!-;=?-~]{1,20}", 0..4),
    ) {
        let subject = inert::one_line(&subject, LINE_BYTES_MAX);
        let name = name.map(|name| inert::one_line(&name.replace(['<', '>'], " "), 100)).filter(|name| !name.is_empty());
        let from = vec![Address { name, addr: "a@client.test".into() }];
        let mail = Mail {
            message_id: references.first().cloned(), from: from.clone(), reply_to: vec![], to: from.clone(), cc: vec![],
            subject: subject.clone(), date: None, in_reply_to: None, references: references.clone(), text: text.clone(),
            attachments: vec![], truncated: false, list_mail,
        };
        let spelt = |line: &str| inert::unescape_line(&inert::escape_line(line));
        let task = parse_task_note(&note_of(&mail)).expect("a task");
        prop_assert_eq!(task.from, from[0].to_string());
        prop_assert_eq!(task.reply_to, vec!["a@client.test".to_owned()]);
        prop_assert_eq!(task.subject, subject);
        prop_assert_eq!(task.references, references);
        prop_assert_eq!((task.work_id, task.list_mail), (work(), list_mail));
        prop_assert_eq!(task.text, text.split('\n').map(spelt).collect::<Vec<_>>().join("\n"));
    }

    #[test]
    fn arbitrary_bytes_never_panic(head in "(Subject|From|Content-Type|To|Date|References|content-transfer-encoding): .{0,40}\n", tail: Vec<u8>) {
        let raw = [head.as_bytes(), &tail].concat();
        if let Ok(mail) = read_mail(&raw) {
            prop_assert!(parse_task_note(&note_of(&mail)).is_some());
        }
    }
}

/// What would act in a note, one a line; each may stand in every place of a mail.
const ACTIVE: [&str; 14] = [
    "![x](https://track.test/p)",
    "![[https://track.test/p]]",
    "<img src=https://track.test/p onerror=x>",
    "<script>x</script>",
    "<style>*{background:url(//x)}</style>",
    "<a href=\"javascript:x\">x</a>",
    "<% tp.x %>",
    "`= this.x`",
    "```dataviewjs",
    "obsidian://open",
    "[x](java&#115;cript:x)",
    "file:///etc/passwd",
    "data:text/html,x",
    "\u{200b}<i\u{200b}mg src=//x>",
];

/// Everything that is written of a mail: its task note, the plan for it, and the draft that answers it.
fn notes_of(raw: &[u8]) -> [String; 3] {
    use aiemp_protocol::action::{DraftFields, EmailProposal, Proposal, write_draft};
    let task_note = note_of(&read_mail(raw).expect("a mail"));
    let task = parse_task_note(&task_note).expect("a task");
    let output = crate::core::template::draft_reply(&task, Timestamp::default());
    let email = EmailProposal {
        to: output.reply_to,
        subject: output.subject,
        in_reply_to: task.message_id.clone(),
        references: task.references.clone(),
        ..EmailProposal::default()
    };
    let draft = write_draft(&DraftFields {
        proposal: Proposal::Email(email),
        work: task.work_id,
        created: Timestamp::default(),
        expires: None,
        body: &output.body,
        extra: &[("source", task.source.as_deref().unwrap_or_default())],
    });
    [task_note, output.plan, draft]
}

#[track_caller]
fn is_inert(raw: &[u8]) {
    let path = aiemp_protocol::vault_path::VaultPath::parse("Needs_Action/email/EMAIL_1.md").expect("a path");
    for note in notes_of(raw) {
        assert_eq!(aiemp_protocol::active::find(&path, note.as_bytes()), [], "{note}");
    }
}

#[test]
fn nothing_that_is_written_of_a_mail_is_held_back() {
    for active in ACTIVE {
        let subject = format!("=?utf-8?B?{}?=", data_encoding::BASE64.encode(active.as_bytes()));
        let name = active.replace(['"', '\n'], "");
        is_inert(
            format!(
                "Message-ID: <{active}@client.test>\r\nFrom: \"{name}\" <a@client.test>\r\nReply-To: {subject} \
                 <b@client.test>\r\nSubject: {subject}\r\nReferences: <{active}@x.test>\r\nContent-Type: \
                 multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{active}\r\n{active}\r\n--b\r\nContent-Disposition: \
                 attachment; filename=\"{name}\"\r\n\r\nx\r\n--b--\r\n"
            )
            .as_bytes(),
        );
    }
}

proptest! {
    #[test]
    fn no_text_of_a_mail_is_held_back(
        parts in proptest::collection::vec("[!\\[\\](){}<>`~:=%$&#;\\\\\"' /.a-z\u{200b}\n-]{0,12}|\\PC{0,4}", 0..8),
        picks in proptest::collection::vec(0..ACTIVE.len(), 8),
    ) {
        let text: String = parts.iter().zip(picks).flat_map(|(part, pick)| [part.as_str(), ACTIVE[pick]]).collect();
        let subject = format!("=?utf-8?B?{}?=", data_encoding::BASE64.encode(text.as_bytes()));
        is_inert(format!("From: {subject} <a@client.test>\r\nSubject: {subject}\r\n\r\n{text}\r\n").as_bytes());
    }
}
