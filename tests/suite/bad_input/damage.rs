//! One flipped bit in the store, wherever it is: what is shown was written by somebody, and what was lost comes back from the
//! peer.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use rusqlite::Connection;

use crate::node::{Node, PATIENCE, Pair, becomes, text};

/// Bytes between two that are damaged.
const STEP: usize = 997;
/// How many of those are damaged in an ordinary run.
const ORDINARY: usize = 8;

fn store_of(node: &Node) -> std::path::PathBuf {
    node.home.join("mesh/store.sqlite")
}

/// The store in one file, without a log beside it.
fn at_rest(node: &Node) -> Vec<u8> {
    let connection = Connection::open(store_of(node)).expect("the store opens");
    connection.pragma_update(None, "wal_checkpoint", "TRUNCATE").expect("its log is taken in");
    drop(connection);
    fs::read(store_of(node)).expect("the store")
}

/// A Local and a Cloud with notes of either kind: made, edited by both, deleted, private, large.
fn pair_with_notes() -> Pair {
    let pair = Pair::running();
    for number in 0..12 {
        pair.cloud
            .save(&format!("Plans/cloud-{number}.md"), format!("# Plan {number}\n\nby the cloud\n").repeat(number + 1));
        pair.local.save(
            &format!("Plans/local-{number}.md"),
            format!("# Plan {number}\n\nby the person\n").repeat(number + 1),
        );
    }
    pair.local.save("Plans/scan.bin", [0_u8, 1, 2, 255].repeat(20_000));
    pair.local.save("Private/own.md", "nobody else has this\n");
    pair.wait_same("all is on both", |files| files.len() >= 25);
    for number in 0..6 {
        let path = format!("Plans/cloud-{number}.md");
        for (node, line) in [(&pair.local, "a line by the person\n"), (&pair.cloud, "a line by the cloud\n")] {
            let before = node.read(&path).expect("it is there");
            pair.save_on_both(node, &path, &(text(&before) + line));
        }
    }
    fs::remove_file(pair.local.vault.join("Plans/local-0.md")).expect("it goes");
    pair.wait_same("it is gone", |files| !files.contains_key("Plans/local-0.md"));
    pair
}

fn vault_of(node: &Node) -> BTreeMap<String, Vec<u8>> {
    let mut all = node.shared();
    all.extend(node.files("Private"));
    all
}

fn copy(from: &Path, to: &Path) {
    fs::remove_dir_all(to).ok();
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(copied.success(), "{} was not copied", from.display());
}

fn is_in_step(node: &Node) -> bool {
    let output = node.run(&["status", "--json"]);
    let Ok(status) = serde_json::from_slice::<serde_json::Value>(&output.stdout) else { return false };
    let mut peers = status["peers"].as_array().into_iter().flatten();
    peers.any(|peer| peer["connected"] == true && peer["lag_entries"] == 0) && status["settled"] == true
}

#[test]
fn a_flipped_bit_anywhere_in_the_store_shows_nothing_wrong_and_is_healed_by_the_peer() {
    let mut pair = pair_with_notes();
    let shown = vault_of(&pair.local);
    pair.local.stop();
    let whole = at_rest(&pair.local);
    let (home, vault) = (pair.dir().join("whole-home"), pair.dir().join("whole-vault"));
    copy(&pair.local.home, &home);
    copy(&pair.local.vault, &vault);
    let mut places: Vec<_> = (0..whole.len()).step_by(STEP).collect();
    if std::env::var_os("AIEMP_TEST_ALL").is_none() {
        let some = (places.len() / ORDINARY).max(1);
        places = places.into_iter().step_by(some).collect();
    }
    for at in places {
        copy(&home, &pair.local.home);
        copy(&vault, &pair.local.vault);
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(store_of(&pair.local), &bytes).expect("the store is damaged");
        pair.local.start();
        let healed = becomes(PATIENCE, || is_in_step(&pair.local));
        assert!(healed, "byte {at}: {}", pair.local.last_words());
        assert!(vault_of(&pair.local) == shown, "byte {at}: the vault says something else");
        // All of it can be used: each note is opened once more.
        for number in 1..12 {
            for role in ["cloud", "local"] {
                let path = format!("Plans/{role}-{number}.md");
                // Asked for the first time a content that is damaged is not held; the peer sends it.
                let is_told = || pair.local.run(&["history", &path, "--at", "0s"]).status.success();
                assert!(becomes(PATIENCE, is_told), "byte {at}: {path}: {}", pair.local.last_words());
            }
        }
        assert!(pair.local.is_running(), "byte {at}: {}", pair.local.last_words());
        assert!(vault_of(&pair.local) == shown, "byte {at}: the vault says something else");
        pair.local.stop();
    }
    let files = pair.cloud.shared();
    assert!(files.keys().all(|path| !path.contains('(')), "nothing is there twice: {:?}", files.keys());
}

fn says(files: &BTreeMap<String, Vec<u8>>, path: &str, text: &str) -> bool {
    files.get(path).is_some_and(|bytes| bytes == text.as_bytes())
}

/// Takes an entry out of a store that nobody has open, as a page does that cannot be read any more.
fn damage_entry(node: &Node, of_itself: bool) {
    let key = node.run(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&key.stdout).expect("a status");
    let me = data_encoding::HEXLOWER.decode(status["node"].as_str().expect("an id").as_bytes()).expect("hex");
    let connection = Connection::open(store_of(node)).expect("the store opens");
    let own = if of_itself { "> 0" } else { "= 0" };
    let sql = format!(
        "UPDATE entries SET cose = x'00' WHERE position = (SELECT max(position) FROM entries WHERE instr(log, ?1) {own})"
    );
    assert_eq!(connection.execute(&sql, [me]).expect("it is damaged"), 1);
}

#[test]
fn an_entry_that_was_lost_is_waited_for_and_comes_back_from_the_peer() {
    for of_itself in [false, true] {
        let mut pair = Pair::running();
        pair.save_on_both(&pair.cloud, "Plans/one.md", "one\n");
        pair.save_on_both(&pair.local, "Plans/two.md", "two\n");
        pair.local.stop();
        pair.cloud.stop();
        damage_entry(&pair.local, of_itself);
        pair.local.spawn();
        let is_told = |pair: &Pair| pair.local.must(&["status"]).contains("lost 1 entries of its logs");
        pair.wait("it waits and says so", |pair| pair.local.home.join("run/control.sock").exists() && is_told(pair));
        let doctor = pair.local.run(&["doctor"]);
        let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(said.contains("doctor --repair") && said.contains("Start the other nodes"), "{said}");
        pair.local.save("Plans/two.md", "two, edited meanwhile\n");
        pair.cloud.start();
        pair.wait_same("all is back", |files| {
            says(files, "Plans/two.md", "two, edited meanwhile\n") && files.len() == 2
        });
        let said = pair.local.must(&["status"]);
        assert!(said.contains("as it was it is kept") && said.contains("store.sqlite.damaged-1"), "{said}");
    }
}

#[test]
fn without_a_peer_that_has_it_the_node_goes_on_by_a_command_and_loses_nothing_that_lies_in_the_vault() {
    let mut pair = Pair::running();
    pair.save_on_both(&pair.cloud, "Plans/one.md", "one\n");
    pair.cloud.stop();
    pair.local.save("Plans/one.md", "one\nand what nobody heard of\n");
    pair.local.save("Plans/two.md", "nobody heard of this\n");
    pair.wait("it is taken in", |pair| pair.local.json(&["status", "--json"])["files"] == 2);
    pair.local.stop();
    damage_entry(&pair.local, true);
    let told = pair.local.must(&["doctor", "--repair"]);
    assert!(told.contains("1 logs were cut"), "{told}");
    assert!(pair.local.must(&["doctor", "--repair"]).contains("the store is whole"));
    pair.local.start();
    pair.cloud.start();
    pair.wait_same("all is there", |files| {
        says(files, "Plans/one.md", "one\nand what nobody heard of\n")
            && says(files, "Plans/two.md", "nobody heard of this\n")
    });
    let running = pair.local.refused(&["doctor", "--repair"]);
    running.assert(1, &["a node runs on", "already"]);
}

#[test]
fn a_content_whose_pages_lead_nowhere_is_met_when_it_is_asked_for_and_comes_from_the_peer() {
    let mut pair = pair_with_notes();
    let shown = vault_of(&pair.local);
    pair.local.stop();
    let mut bytes = at_rest(&pair.local);
    let content = [0_u8, 1, 2, 255].repeat(1_000);
    // The first bytes of such a page number the next one.
    let page = bytes.chunks_mut(4096).find(|page| page[4..].windows(content.len()).any(|window| window == content));
    page.expect("a page that is full of it")[0] ^= 0x40;
    fs::write(store_of(&pair.local), &bytes).expect("the store is damaged");
    pair.local.start();
    let is_told = || pair.local.run(&["history", "Plans/scan.bin", "--at", "0s"]).stdout.len() == 80_000;
    assert!(becomes(PATIENCE, is_told), "{}", pair.local.last_words());
    assert!(becomes(PATIENCE, || is_in_step(&pair.local)), "{}", pair.local.last_words());
    assert!(pair.local.is_running() && vault_of(&pair.local) == shown);
}
