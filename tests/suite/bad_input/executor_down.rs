//! An executor that does not run: what was approved waits, and list, status and doctor say so and why.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use rustix::process::Signal;
use serde_json::Value;

use crate::node::{Node, Pair, signal, text};

fn mail(subject: &str) -> Vec<u8> {
    format!("From: a@client.test\r\nTo: me@example.test\r\nSubject: {subject}\r\n\r\nHello\r\n").into_bytes()
}

fn drafted(pair: &Pair, subject: &str) -> String {
    pair.cloud.drop_mail(&format!("{subject}.eml"), &mail(subject));
    pair.wait("the draft waits", |pair| pair.local.approvals_in("pending").len() == 1);
    pair.local.approvals_in("pending").remove(0)
}

fn listed(node: &Node, id: &str) -> Value {
    node.approvals().into_iter().find(|item| item["id"] == id).expect("it is listed")
}

fn truncate(path: &Path) {
    let bytes = fs::read(path).expect("the file");
    fs::write(path, &bytes[..bytes.len() / 2]).expect("written");
}

fn open_to_others(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("opened");
}

fn put_folder(path: &Path) {
    fs::remove_file(path).expect("it goes");
    fs::create_dir(path).expect("a folder");
}

type Damage = fn(&Path);

const JOURNAL: &str = "executor/journal.sqlite";

#[test]
fn what_was_approved_while_the_executor_is_down_waits_and_every_command_says_why() {
    let mut pair = Pair::paired();
    let other = Node::init(&pair.dir().join("other"), "local", &[]);
    let foreign = fs::read(other.home.join("executor/receipt.key")).expect("another home's");
    fs::write(pair.dir().join("foreign"), foreign).expect("written");
    let put_foreign: Damage = |path| {
        let foreign = path.ancestors().nth(3).expect("the pair's folder").join("foreign");
        fs::write(path, fs::read(foreign).expect("another home's")).expect("written");
    };
    let damages: [(&str, Damage, &str); 7] = [
        ("executor/receipt.key", |path| fs::remove_file(path).expect("it goes"), "receipt.key is missing"),
        ("executor/receipt.key", truncate, "receipt.key does not hold a key"),
        ("executor/receipt.key", open_to_others, "receipt.key is open to other users"),
        ("executor/receipt.key", put_foreign, "are not of one home"),
        ("config.toml", open_to_others, "config.toml is open to other users"),
        (JOURNAL, |path| fs::write(path, [b'x'; 8192]).expect("written"), "is damaged (file is not a database)"),
        (JOURNAL, put_folder, "is damaged (it is a directory)"),
    ];
    for (sent, (file, damage, why)) in damages.into_iter().enumerate() {
        let path = pair.local.home.join(file);
        let whole = fs::read(&path).expect("the file");
        damage(&path);
        pair.local.start();
        let id = drafted(&pair, &format!("order-{sent}"));
        pair.wait("the executor said why", |pair| pair.local.home.join("receipts/executor-ended").exists());
        let approved = pair.local.run(&["approvals", "approve", &id]);
        assert_eq!(approved.status.code(), Some(0), "{}", text(&approved.stderr));
        let told = text(&approved.stderr);
        assert!(told.contains("It is not sent yet: the executor does not run") && told.contains(why), "{told}");
        let item = listed(&pair.local, &id);
        assert_eq!(item["state"], "approved", "{item}");
        assert!(item["waits_for"].as_str().is_some_and(|told| told.contains(why)), "{item}");
        let list = pair.local.must(&["approvals", "list"]);
        assert!(list.contains("approved") && list.contains(why), "{list}");
        let status = pair.local.must(&["status"]);
        assert!(status.contains("EXECUTOR   the executor does not run") && status.contains(why), "{status}");
        assert!(status.contains("1 for your approval, of which 1 approved that the executor has not"), "{status}");
        let doctor = pair.local.run(&["doctor"]);
        let told = text(&doctor.stdout);
        assert_eq!(doctor.status.code(), Some(1), "{told}");
        let found = |line: &str| line.starts_with("error") && line.contains("so nothing is sent") && line.contains(why);
        assert!(told.lines().any(found), "{told}");
        assert_eq!(told.matches(why).count(), 1, "it is told once: {told}");
        pair.local.stop();
        let told = text(&pair.local.run(&["doctor"]).stdout);
        assert_eq!(told.matches(why).count(), 1, "doctor looks for itself, too, and tells it once: {told}");
        fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).ok();
        fs::write(&path, whole).expect("put back");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("closed");
        pair.local.start();
        pair.wait("it is sent once", |pair| pair.local.outbox().len() == sent + 1);
        pair.wait("and nothing is told any more", |pair| !pair.local.must(&["status"]).contains("EXECUTOR"));
        pair.local.stop();
    }
}

#[test]
fn an_approval_that_the_executor_refused_is_listed_with_the_reason_and_can_be_given_again() {
    let mut pair = Pair::paired();
    let key = pair.local.home.join("executor/receipt.key");
    open_to_others(&key);
    pair.local.start();
    let id = drafted(&pair, "order");
    pair.local.must(&["approvals", "approve", &id]);
    assert_eq!(listed(&pair.local, &id)["state"], "approved");
    pair.local.must(&["peers", "renew"]);
    pair.local.stop();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("closed");
    pair.local.start();
    pair.wait("the executor refuses what was signed under the roster before", |pair| {
        listed(&pair.local, &id)["state"] == "refused"
    });
    let list = pair.local.must(&["approvals", "list"]);
    assert!(list.contains("refused by the executor at") && list.contains("approve again"), "{list}");
    pair.local.must(&["approvals", "approve", &id]);
    pair.wait("it is sent", |pair| pair.local.outbox().len() == 1);
    pair.wait("and filed", |pair| !pair.local.must(&["approvals", "list"]).contains("refused"));
}

#[test]
fn an_executor_that_is_killed_again_and_again_is_told() {
    let mut pair = Pair::paired();
    pair.local.start();
    for _ in 0..3 {
        pair.wait("the executor runs", |pair| pair.local.processes().contains_key("executor"));
        let executor = pair.local.processes()["executor"];
        signal(executor, Signal::KILL);
        pair.wait("it is gone", |pair| pair.local.processes().get("executor") != Some(&executor));
    }
    // It is started again after five seconds.
    pair.wait("it is told", |pair| pair.local.must(&["status"]).contains("it was ended (signal: 9"));
    let doctor = pair.local.run(&["doctor"]);
    assert!(text(&doctor.stdout).contains("it was ended (signal: 9"), "{}", text(&doctor.stdout));
    assert_eq!(doctor.status.code(), Some(1));
}

#[test]
fn a_second_start_is_refused_once_and_says_nothing_of_the_node_that_runs() {
    let mut pair = Pair::paired();
    pair.local.start();
    let announced = pair.local.home.join("run/announced");
    let before = fs::read(&announced).expect("what the start announced");
    let refusal = pair.local.refused(&["--role", "local", "--announce", "elsewhere.test"]);
    refusal.assert(1, &["a node runs on", "already", "Stop it first, or give this one another --home."]);
    assert_eq!(refusal.said.trim_end().lines().count(), 2, "it is told once: {}", refusal.said);
    assert_eq!(fs::read(&announced).expect("what the start announced"), before);
    pair.local.refused(&["process", "executor"]).assert(1, &["another executor runs in", "Stop it first"]);
    assert!(!pair.local.home.join("receipts/executor-ended").exists());
    let id = drafted(&pair, "order");
    let approved = pair.local.run(&["approvals", "approve", &id]);
    assert_eq!(approved.status.code(), Some(0), "{}", text(&approved.stderr));
    assert!(!text(&approved.stderr).contains("not sent"), "{}", text(&approved.stderr));
    assert!(!pair.local.must(&["status"]).contains("EXECUTOR"));
    assert!(!text(&pair.local.run(&["doctor"]).stdout).contains("does not run"));
    pair.wait("it is sent", |pair| pair.local.outbox().len() == 1);
}
