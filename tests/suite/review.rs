//! The review as a person at a terminal meets it.

use std::fs;

use crate::{
    node::{Pair, text},
    terminal::Terminal,
};

const PASSPHRASE: &str = "correct horse battery staple";
const ASKED: &str = "[q]uit: ";

fn draft(to: &str, body: &str) -> String {
    format!("---\naction: email\nfrom: Me <me@example.test>\nto: {to}\nsubject: Hello\n---\n\n{body}\n")
}

/// A running mesh whose keys have a passphrase.
fn guarded() -> Pair {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("passphrase");
    fs::write(&file, format!("{PASSPHRASE}\n")).expect("written");
    let words = dir.path().join("words");
    let [file, words] = [file, words].map(|path| path.to_string_lossy().into_owned());
    let mut pair = Pair::strangers_in(dir, &["--passphrase-file", &file, "--recovery-file", &words]);
    pair.pair(&["--passphrase-file", &file]);
    pair.local.start();
    pair
}

#[test]
fn a_review_session_unlocks_once_and_signs_only_what_was_shown_and_typed() {
    let pair = guarded();
    for (name, to) in [("a", "anna@client.test"), ("b", "bob@client.test"), ("c", "carl@client.test")] {
        pair.local.save(&format!("Pending_Approval/{name}.md"), draft(to, "Hello, see https://pay.test/1"));
    }
    pair.wait("all wait", |pair| pair.local.approvals_in("pending").len() == 3);
    let mut terminal = Terminal::run(&pair.local, &["approvals"], "sed -i s/Hello,/Bonjour,/");
    terminal.shows("3 to decide");
    assert!(terminal.shows(ASKED).contains("anna@client.test (first time)"));
    terminal.types("e");
    let came = terminal.shows(ASKED);
    assert!(came.contains("| Bonjour, see") && came.contains("pay.test (first time)"), "{came}");
    // A wrong word approves nothing, and asks for no passphrase.
    terminal.types("a");
    terminal.shows("New recipient: anna@client.test");
    terminal.types("ana@client.test");
    assert!(!terminal.shows("that is not the recipient; nothing was approved").contains("Passphrase"));
    terminal.shows(ASKED);
    terminal.types("a");
    terminal.shows("Type it to go on: ");
    terminal.types("Anna@client.test");
    terminal.shows("New link: pay.test");
    terminal.types("pay.test");
    terminal.shows("Passphrase: ");
    terminal.types(PASSPHRASE);
    terminal.shows("Approved ");
    // The second is put off, the third is sent with the same unlock; its link is known now.
    assert!(terminal.shows(ASKED).contains("bob@client.test"));
    terminal.types("n");
    let came = terminal.shows(ASKED);
    assert!(came.contains("carl@client.test") && came.contains("pay.test\r\n"), "{came}");
    terminal.types("a");
    terminal.shows("New recipient: carl@client.test");
    terminal.types("carl@client.test");
    assert!(!terminal.shows("Approved ").contains("Passphrase"));
    terminal.shows(ASKED);
    terminal.types("r");
    terminal.shows("Why, ");
    terminal.types("not now");
    terminal.shows("Rejected.");
    terminal.shows("Nothing waits any more.");
    assert_eq!(terminal.ends(), Some(0));
    pair.wait("two are sent", |pair| pair.local.outbox().len() == 2);
    let mails = pair.local.outbox();
    assert!(mails.iter().any(|mail| mail.contains("To: anna@client.test") && mail.contains("Bonjour, see")));
    assert!(mails.iter().any(|mail| mail.contains("To: carl@client.test") && mail.contains("Hello, see")));
    pair.wait("the third is turned down", |pair| pair.local.named("Rejected", "b", ".md").len() == 1);
}

#[test]
fn a_kind_that_asks_for_the_passphrase_asks_each_time() {
    let pair = guarded();
    let (limits, passphrase) = (pair.dir().join("limits.toml"), pair.dir().join("passphrase"));
    fs::write(&limits, "[email]\npassphrase = true\nrecipients = [\"@client.test\"]\n").expect("limits");
    let [limits, passphrase] = [limits, passphrase].map(|path| path.to_string_lossy().into_owned());
    pair.local.must(&["policy", "apply", &limits, "--passphrase-file", &passphrase]);
    for name in ["a", "b"] {
        pair.local.save(&format!("Pending_Approval/{name}.md"), draft("anna@client.test", name));
    }
    pair.wait("both wait", |pair| pair.local.approvals_in("pending").len() == 2);
    let mut terminal = Terminal::run(&pair.local, &["approvals"], "true");
    terminal.shows(ASKED);
    terminal.types("a");
    assert!(!terminal.shows("Passphrase: ").contains("New recipient"), "the signed policy names the recipient");
    terminal.types(PASSPHRASE);
    terminal.shows("Approved ");
    for (typed, then) in [("wrong", "the passphrase is wrong"), (PASSPHRASE, "Approved ")] {
        terminal.shows(ASKED);
        terminal.types("a");
        terminal.shows("once more for this kind: ");
        terminal.types(typed);
        terminal.shows(then);
    }
    assert_eq!(terminal.ends(), Some(0));
    pair.wait("both are sent", |pair| pair.local.outbox().len() == 2);
}

#[test]
fn a_draft_that_changes_before_the_signature_is_shown_again() {
    let pair = guarded();
    pair.local.save("Pending_Approval/a.md", draft("anna@client.test", "Hello"));
    pair.wait("it waits", |pair| pair.local.approvals_in("pending").len() == 1);
    pair.wait_same("it lies there to be edited", |files| files.contains_key("Pending_Approval/a.md"));
    let before = pair.local.approvals_in("pending");
    let mut terminal = Terminal::run(&pair.local, &["approvals"], "true");
    terminal.shows(ASKED);
    terminal.types("a");
    terminal.shows("Type it to go on: ");
    pair.cloud.save("Pending_Approval/a.md", draft("anna@client.test", "Send me your money"));
    pair.wait("it changed", |pair| pair.local.approvals_in("pending") != before);
    terminal.types("anna@client.test");
    terminal.shows("Passphrase: ");
    terminal.types(PASSPHRASE);
    terminal.shows("the draft changed since it was shown");
    assert!(terminal.shows(ASKED).contains("Send me your money"));
    terminal.types("q");
    terminal.shows("1 waits for another time.");
    assert_eq!(terminal.ends(), Some(0));
    assert!(pair.local.outbox().is_empty() && pair.local.approvals_in("approved").is_empty());
}

#[test]
fn what_is_typed_ahead_answers_for_no_draft_that_was_not_shown_yet() {
    let pair = guarded();
    for name in ["a", "b", "c"] {
        pair.local.save(&format!("Pending_Approval/{name}.md"), draft("anna@client.test", name));
    }
    pair.wait("all wait", |pair| pair.local.approvals_in("pending").len() == 3);
    let mut terminal = Terminal::run(&pair.local, &["approvals"], "true");
    terminal.shows(ASKED);
    terminal.types("a");
    terminal.shows("Type it to go on: ");
    terminal.types("anna@client.test");
    terminal.shows("Passphrase: ");
    terminal.types(PASSPHRASE);
    terminal.shows("Approved ");
    // The key is open and nothing is new: one line more would be a signature more.
    terminal.shows(ASKED);
    terminal.types("a\na");
    terminal.shows("Approved ");
    assert!(terminal.shows(ASKED).contains("1 to decide"));
    terminal.types("q");
    terminal.shows("1 waits for another time.");
    assert_eq!(terminal.ends(), Some(0));
    pair.wait("two are sent", |pair| pair.local.outbox().len() == 2);
    assert_eq!(pair.local.approvals_in("pending").len(), 1);
}

#[test]
fn the_words_of_a_draft_show_who_wrote_them() {
    let pair = Pair::running();
    pair.cloud.save("Pending_Approval/a.md", draft("anna@client.test", "Hello Anna, pay me today"));
    pair.wait("it waits", |pair| pair.local.approvals_in("pending").len() == 1);
    pair.wait_same("it lies there to be edited", |files| files.contains_key("Pending_Approval/a.md"));
    pair.local.save("Pending_Approval/a.md", draft("anna@client.test", "Hello Anna, pay me tomorrow, please"));
    pair.wait("the edit is taken in", |pair| {
        let id = pair.local.approvals_in("pending").pop().expect("it waits");
        text(&pair.local.run(&["approvals", "show", &id]).stdout).contains("tomorrow")
    });
    let id = pair.local.approvals_in("pending").pop().expect("it waits");
    let shown = pair.local.json(&["approvals", "show", &id, "--json"]);
    let render = shown["render"].as_str().expect("a text").to_owned();
    let words = shown["words"].as_array().expect("words").iter().map(|word| {
        let at = |end: &str| usize::try_from(word["at"][end].as_u64().expect("a place")).expect("in memory");
        (word["by"].as_str().expect("a name"), &render[at("start")..at("end")])
    });
    let words: Vec<_> = words.collect();
    assert!(words.contains(&("cloud", "Hello Anna, pay me ")), "{words:?}");
    assert!(words.iter().any(|(by, word)| *by == "local" && word.contains("please")), "{words:?}");
    assert_eq!(shown["lines_by"]["cloud"], serde_json::json!(["action", "from", "to", "subject"]));
    let mut terminal = Terminal::run(&pair.local, &["approvals", "show", &id], "true");
    terminal.shows("\x1b[33mHello Anna, pay me \x1b[0m");
    terminal.shows("words by: cloud (yellow)");
    terminal.shows("lines by cloud: action, from, to, subject");
    assert_eq!(terminal.ends(), Some(0));
}
