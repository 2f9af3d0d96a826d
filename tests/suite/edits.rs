//! A draft that is edited a thousand times a second while it is shown, approved and sent.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::node::{Node, Pair, text};

/// Rounds of an ordinary run; `AIEMP_EDIT_ROUNDS` asks for another number.
const ROUNDS: u64 = 10;
/// Approvals that are tried before the editor has to pause.
const TRIES: usize = 40;
const BETWEEN_EDITS: Duration = Duration::from_millis(1);
/// Every other editor pauses now and then, so that the node takes in what it saved more often.
const EDITS_OF_A_BURST: u64 = 20;
const BETWEEN_BURSTS: Duration = Duration::from_millis(35);

fn draft(round: u64, version: u64) -> String {
    format!(
        "---\naction: email\nfrom: Me <me@example.test>\nto: anna@client.test\nsubject: round {round} version {version}\n\
         ---\n\nThis is version {version}.\n"
    )
}

/// Saves version after version until it is told to stop.
fn edit(vault: &Path, round: u64, version: &AtomicU64, stop: &AtomicBool) {
    let (path, made) = (vault.join(format!("Pending_Approval/{round}.md")), vault.join(format!(".made-{round}")));
    while !stop.load(Ordering::Relaxed) {
        let next = version.fetch_add(1, Ordering::Relaxed) + 1;
        fs::write(&made, draft(round, next)).and_then(|()| fs::rename(&made, &path)).expect("the draft is saved");
        let pauses = round % 2 == 1 && next.is_multiple_of(EDITS_OF_A_BURST);
        thread::sleep(if pauses { BETWEEN_BURSTS } else { BETWEEN_EDITS });
    }
}

/// What a person does: looks what there is, reads it, approves it. Either the ID and what was shown, or it was refused.
fn review(local: &Node, path: &str) -> Option<(String, String)> {
    let items = local.approvals();
    let item = items.iter().find(|item| item["path"] == path && item["state"] == "pending")?;
    let id = item["id"].as_str().expect("an ID");
    let shown = local.run(&["approvals", "show", id, "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).ok()?;
    let render = shown["render"].as_str().expect("a text").to_owned();
    let approved = local.run(&["approvals", "approve", id]);
    let said = text(&approved.stderr);
    let is_known =
        ["changed since shown", "no draft has the ID", "cannot be approved"].iter().any(|why| said.contains(why));
    assert!(approved.status.success() || is_known, "refused for another reason: {said}");
    approved.status.success().then(|| (id.to_owned(), render))
}

#[test]
fn what_is_sent_is_what_was_shown_however_fast_the_draft_is_edited() {
    let rounds = std::env::var("AIEMP_EDIT_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    let pair = Pair::running();
    let (mut shown, mut refused, mut saved) = (BTreeMap::new(), 0, 0);
    for round in 0..rounds {
        let path = format!("Pending_Approval/{round}.md");
        pair.local.save(&path, draft(round, 0));
        pair.wait("it waits", |pair| pair.local.approvals().iter().any(|item| item["path"] == path.as_str()));
        let (version, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let approved = thread::scope(|scope| {
            let editor = scope.spawn(|| edit(&pair.local.vault, round, &version, &stop));
            let mut tries = (0..TRIES).map(|_| review(&pair.local, &path));
            let approved = tries.by_ref().find_map(|tried| {
                refused += u64::from(tried.is_none());
                tried
            });
            // On its way to the hand it is edited, too.
            pair.wait("it is sent, or its editor never rests", |pair| {
                approved.is_none() || pair.local.outbox().len() == shown.len() + 1
            });
            stop.store(true, Ordering::Relaxed);
            editor.join().expect("the editor saves");
            approved
        });
        saved += version.load(Ordering::Relaxed);
        // What was saved since is a draft of its own, and would be asked about in every later round.
        fs::remove_file(pair.local.vault.join(&path)).ok();
        if let Some((id, render)) = approved {
            shown.insert(id, render);
        }
    }
    let is_sent = |pair: &Pair| pair.local.approvals_in("sent").len() == shown.len();
    pair.wait("all that was approved is sent", is_sent);
    let sent: Vec<_> = pair.local.approvals_in("sent");
    assert!(sent.iter().all(|id| shown.contains_key(id)), "{sent:?}");
    let mails = pair.local.outbox();
    assert_eq!(mails.len(), shown.len(), "each once");
    let subject_of = |text: &str, label: &str| {
        text.lines().find_map(|line| line.strip_prefix(label)).map(|subject| subject.trim().to_owned())
    };
    let mut subjects: Vec<_> = mails.iter().filter_map(|mail| subject_of(mail, "Subject:")).collect();
    let mut expected: Vec<_> = shown.values().filter_map(|render| subject_of(render, "subject:")).collect();
    subjects.sort();
    expected.sort();
    assert_eq!(subjects, expected);
    for mail in &mails {
        let version = subject_of(mail, "Subject:").and_then(|subject| subject.rsplit(' ').next().map(str::to_owned));
        assert!(mail.contains(&format!("This is version {}.", version.expect("a subject"))), "{mail}");
    }
    tell(rounds, saved, shown.len(), refused);
    assert!(!shown.is_empty() && saved > rounds * 10, "{saved} saves, {} sent", shown.len());
}

#[expect(clippy::print_stdout, reason = "for the person who reads what was tried")]
fn tell(rounds: u64, saved: u64, sent: usize, refused: u64) {
    println!("{rounds} rounds, {saved} saves, {sent} sent as shown, {refused} approvals refused");
}
