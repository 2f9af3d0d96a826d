//! What doctor finds in a home whose files are not as they were made, and advice that works when it is followed.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use aiemp_keys::Keystore;
use aiemp_node::{
    home::Home,
    shell::{self, rosters::signing::Signing},
};
use tempfile::TempDir;

use crate::node::{Node, text};

const CHAIN: &str = "roster/chain";
const SIGNED: &str = "keys/signed/rosters";

fn local() -> (TempDir, Node) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let node = Node::init(dir.path(), "local", &[]);
    (dir, node)
}

/// What doctor says, and whether it says that something is wrong.
fn doctor(node: &Node) -> (String, bool) {
    let output = node.run(&["doctor"]);
    (text(&output.stdout), output.status.code() == Some(1))
}

fn is_told(node: &Node, what: &str, fix: &str) {
    let (told, failed) = doctor(node);
    let mut lines = told.lines().skip_while(|line| !(line.starts_with("error") && line.contains(what)));
    assert!(lines.next().is_some() && failed, "`{what}` is not told: {told}");
    let next = lines.next().unwrap_or_default();
    assert!(told.contains(fix), "{what}: {next}");
}

fn is_well(node: &Node) {
    let (told, failed) = doctor(node);
    assert!(!failed, "{told}");
}

/// Copies a tree.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).expect("closed");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let (inner, kind) = (to.join(entry.file_name()), entry.file_type().expect("a kind"));
        if kind.is_dir() {
            copy(&entry.path(), &inner);
        } else if kind.is_file() {
            fs::copy(entry.path(), inner).expect("copied");
        }
    }
}

fn rosters(node: &Node) -> [(PathBuf, Vec<u8>); 2] {
    [CHAIN, SIGNED].map(|file| {
        let path = node.home.join(file);
        let bytes = fs::read(&path).expect("rosters");
        (path, bytes)
    })
}

fn put(files: &[(PathBuf, Vec<u8>)]) {
    files.iter().for_each(|(path, bytes)| fs::write(path, bytes).expect("put back"));
}

#[test]
fn secrets_and_receipt_keys_that_are_damaged_or_open_are_told() {
    let (_dir, node) = local();
    let store = |name: &str| node.store_secret(name, &[], "hunter2-hunter2\n");
    store("smtp-password");
    is_well(&node);
    let secret = node.home.join("executor/secrets/smtp-password");
    let whole = fs::read(&secret).expect("a secret");
    fs::write(&secret, &whole[..whole.len() / 2]).expect("written");
    is_told(&node, "the secret smtp-password is not signed", "Until then nothing that needs it is sent");
    let mut flipped = whole.clone();
    *flipped.last_mut().expect("a byte") ^= 1;
    fs::write(&secret, flipped).expect("written");
    is_told(&node, "store it anew: `aiemp-node secrets add smtp-password`", "Until then nothing that needs it");
    store("smtp-password");
    is_well(&node);
    for (file, what) in [
        ("executor/secrets/smtp-password", "chmod 600"),
        ("executor/receipt.key", "chmod 600"),
        ("keys/owner.key", "chmod 600"),
        ("config.toml", "chmod 600"),
    ] {
        let path = node.home.join(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("opened");
        is_told(&node, what, "Do so before the next start");
        let (told, _) = doctor(&node);
        assert!(!told.contains("open to nobody but"), "{file}: {told}");
        assert_eq!(told.matches(what).count(), 1, "{file} is told once: {told}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("closed");
        is_well(&node);
    }
    let public = node.home.join("receipt.pub");
    let whole = fs::read(&public).expect("a key");
    fs::write(&public, &whole[..whole.len() / 2]).expect("written");
    is_told(&node, "receipt.pub holds no key: restore it from a backup", "Until then the node does not start");
    fs::remove_file(&public).expect("it goes");
    is_told(&node, "receipt.pub: restore it from a backup", "Until then the node does not start");
}

#[test]
fn rosters_that_are_older_than_the_executor_has_seen_are_told_and_nothing_is_signed_on_them() {
    let (_dir, mut node) = local();
    let first = rosters(&node);
    node.must(&["peers", "renew"]);
    let second = rosters(&node);
    node.start();
    node.stop();
    put(&first);
    node.refused(&["--role", "local"]).assert(78, &["older than epoch 2"]);
    is_told(&node, "the rosters here end with epoch 1, and the executor has seen epoch 2", "copy the newer chain to");
    node.refused(&["peers", "renew"]).assert(78, &["has seen epoch 2", "no roster signed"]);
    assert_eq!(rosters(&node), first, "nothing was signed");
    // As the advice says: the chain alone, as other nodes have it.
    put(&second[..1]);
    node.must(&["peers", "renew"]);
    is_well(&node);
    node.start();
}

#[test]
fn a_second_roster_of_an_epoch_that_the_executor_has_seen_is_told_and_nothing_follows_it() {
    let (dir, mut node) = local();
    let other = Node::at(&dir.path().join("copy"), "local");
    copy(&node.home, &other.home);
    node.must(&["peers", "renew"]);
    node.start();
    node.stop();
    other.must(&["peers", "renew"]);
    for (file, (path, _)) in [CHAIN, SIGNED].into_iter().zip(rosters(&node)) {
        fs::copy(other.home.join(file), path).expect("copied");
    }
    node.refused(&["--role", "local"]).assert(78, &["two different rosters of epoch 2 exist"]);
    is_told(&node, "two different rosters of epoch 2 exist", "`aiemp-node init` with another --home");
    let before = rosters(&node);
    node.refused(&["peers", "renew"]).assert(78, &["two different rosters of epoch 2 exist"]);
    assert_eq!(rosters(&node), before, "nothing was signed");
}

#[test]
fn a_roster_that_was_signed_in_the_future_is_told() {
    let (_dir, node) = local();
    let home = Home::at(&node.home);
    let keys = Keystore::at(&node.home).unlock(None).expect("the owner's keys");
    let mut signing = Signing::begin(&home).expect("readable").expect("a roster");
    let ahead = shell::clock::now() + Duration::from_secs(10 * 365 * 86_400);
    let next = signing.rosters().current().successor(ahead);
    signing.sign(&keys.root, next).expect("signed");
    drop(signing);
    is_told(&node, "but the roster was signed at", "Set the clock right. If it is right");
    node.must(&["peers", "renew"]);
    is_well(&node);
}

#[test]
fn advice_for_missing_and_foreign_files_works_when_it_is_followed() {
    let (dir, node) = local();
    let other = Node::init(&dir.path().join("other"), "local", &[]);
    let backup = dir.path().join("backup");
    copy(&node.home, &backup);
    let restore = |file: &str| {
        fs::copy(backup.join(file), node.home.join(file)).expect("restored");
    };
    let take = |file: &str| {
        fs::copy(other.home.join(file), node.home.join(file)).expect("copied");
    };
    node.must(&["peers", "renew"]);

    let gone = |file: &str| fs::remove_file(node.home.join(file)).expect("it goes");
    gone("keys/node.key");
    node.refused(&["status"]).assert(1, &["node.key is missing: restore it from a backup of this home"]);
    is_told(&node, "node.key is missing: restore it from a backup", "Until then the node does not start");
    restore("keys/node.key");
    is_well(&node);

    take("keys/node.key");
    let not_this = "is not the key of a member of this mesh";
    is_told(&node, not_this, "Restore this one file from a backup of this home, however old");
    let (told, _) = doctor(&node);
    assert!(!told.contains("vault fill") && !told.contains("Pair it again"), "{told}");
    node.refused(&["approvals", "list"]).assert(78, &[not_this, "however old"]);
    restore("keys/node.key");
    is_well(&node);

    gone("executor/root.pub");
    node.refused(&["process", "executor"]).assert(78, &["root.pub is missing: restore this one file from a backup"]);
    restore("executor/root.pub");
    is_well(&node);
    take("executor/root.pub");
    is_told(&node, "the executor pinned another root key", "root.pub never changes");
    restore("executor/root.pub");
    is_well(&node);

    gone(CHAIN);
    node.refused(&["process", "executor"]).assert(78, &["roster/chain is missing: `aiemp-node peers renew` brings it"]);
    node.must(&["peers", "renew"]);
    is_well(&node);

    gone("keys/owner.key");
    let refusal = node.refused(&["peers", "renew"]);
    refusal.assert(1, &["the owner's keys are missing", "Restore them from a backup of this home"]);
    assert!(!refusal.said.contains("aiemp-node init"), "{}", refusal.said);
    take("keys/owner.key");
    node.refused(&["peers", "renew"]).assert(1, &["are those of another mesh", "Nothing was done"]);
    restore("keys/owner.key");
    node.must(&["peers", "renew"]);
    is_well(&node);
}
