//! What does not sync is seen: in `status`, `doctor` and `conflicts`, with why and what to do, until it is put right.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

use serde_json::Value;

use crate::{
    deploy::skip,
    node::{Node, Pair, free_port, text},
};

const MAIL: &[u8] = b"From: a@client.test\r\nTo: me@example.test\r\nSubject: order\r\n\r\nHello\r\n";

fn unsynced(node: &Node) -> Vec<(String, String)> {
    let listed = node.json(&["conflicts", "list", "--json"]);
    let told = listed["unsynced"].as_array().expect("a list").iter();
    let of = |told: &Value, what: &str| told[what].as_str().expect("a text").to_owned();
    told.map(|told| (of(told, "path"), of(told, "reason"))).collect()
}

fn doctor(node: &Node) -> String {
    text(&node.run(&["doctor"]).stdout)
}

#[test]
fn names_that_do_not_sync_are_counted_named_and_gone_once_they_are_put_right() {
    let mut pair = Pair::running();
    let vault = pair.local.vault.clone();
    let at = |name: &str| vault.join("Plans").join(name);
    pair.save_on_both(&pair.local, "Plans/note.md", "note\n");
    fs::write(at("Note.md"), "twin\n").expect("written");
    fs::write(at("10:30.md"), "a name with a colon\n").expect("written");
    let outside = pair.dir().join("outside.md");
    fs::write(&outside, "outside\n").expect("written");
    fs::hard_link(&outside, at("hard.md")).expect("linked");
    symlink(&outside, at("soft.md")).expect("linked");
    fs::File::create(at("large.bin")).and_then(|file| file.set_len((32 << 20) + 1)).expect("made");
    let expected = [
        ("Plans/10:30.md", "name"),
        ("Plans/Note.md", "twin"),
        ("Plans/hard.md", "hard_link"),
        ("Plans/large.bin", "too_large"),
        ("Plans/soft.md", "symlink"),
    ];
    let expected = expected.map(|(path, reason)| (path.to_owned(), reason.to_owned()));
    pair.wait("all are told", |pair| unsynced(&pair.local) == expected);
    assert_eq!(pair.local.json(&["status", "--json"])["unsynced"], 5);
    assert!(pair.local.must(&["status"]).contains("unsynced   5 in the vault (`aiemp-node conflicts` names them)"));
    let told = pair.local.must(&["conflicts"]);
    assert!(told.contains("did not sync: 5\n"), "{told}");
    assert!(told.contains("  twin         Plans/Note.md\n    the name of another file here"), "{told}");
    let said = doctor(&pair.local);
    assert!(
        said.contains("warning  Plans/large.bin does not sync: larger than 32 MiB\n         Move it out"),
        "{said}"
    );
    // A start finds the same.
    pair.local.stop();
    pair.local.start();
    pair.wait("all are told after a start", |pair| unsynced(&pair.local) == expected);

    fs::rename(at("Note.md"), at("second.md")).expect("renamed");
    fs::rename(at("10:30.md"), at("10.30.md")).expect("renamed");
    fs::copy(at("hard.md"), at("hard.copy")).and_then(|_| fs::rename(at("hard.copy"), at("hard.md"))).expect("copied");
    fs::remove_file(at("soft.md")).expect("removed");
    fs::remove_file(at("large.bin")).expect("removed");
    pair.wait("nothing is told any more", |pair| unsynced(&pair.local).is_empty());
    pair.wait_same("they sync", |files| {
        ["Plans/second.md", "Plans/10.30.md", "Plans/hard.md"].iter().all(|path| files.contains_key(*path))
    });
    assert!(!pair.local.must(&["status"]).contains("unsynced"));
}

/// A small disk at a folder, until it is dropped.
struct SmallDisk<'p>(&'p Path);

impl<'p> SmallDisk<'p> {
    fn at(path: &'p Path) -> Option<Self> {
        fs::create_dir_all(path).expect("a folder");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs"]).arg(path);
        command.output().ok()?.status.success().then_some(Self(path))
    }

    fn set(&self, option: &str) {
        let options = format!("remount,{option}");
        let done = Command::new("mount").args(["-o", &options]).arg(self.0).status().expect("mount runs");
        assert!(done.success(), "{option}");
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(self.0).status().ok();
    }
}

#[test]
fn a_disk_of_the_vault_that_takes_nothing_is_told_once_and_seen_until_it_does() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let vault = dir.path().join("local-vault");
    let Some(disk) = SmallDisk::at(&vault) else {
        skip("only root can mount a small disk");
        return;
    };
    let mut pair = Pair::strangers_in(dir, &[]);
    pair.local.configure("[mail]\nfrom = \"Me <me@example.test>\"\n[admission]\ndisk_floor_megabytes = 0\n");
    pair.pair(&[]);
    pair.local.start();
    pair.save_on_both(&pair.cloud, "Plans/first.md", "first\n");
    let troubles = |pair: &Pair| pair.local.json(&["status", "--json"])["vault"].to_string();

    let blocks = fs::write(vault.join(".filler"), vec![0; 1 << 20]);
    assert!(blocks.is_err(), "the disk is full");
    for number in 0..3 {
        pair.cloud.save(&format!("Plans/big-{number}.md"), "x\n".repeat(20_000));
    }
    pair.wait("it is told that the disk is full", |pair| {
        troubles(pair).contains("the vault's disk is full: 3 files are waiting to be written or removed")
    });
    let listed = pair.local.must(&["conflicts"]);
    assert!(listed.contains("did not sync: 3\n  disk_full    Plans/big-0.md\n"), "{listed}");
    assert!(doctor(&pair.local).contains("error    the vault's disk is full: 3 files"), "{}", doctor(&pair.local));
    fs::remove_file(vault.join(".filler")).expect("removed");
    pair.wait_same("they are written at last", |files| files.len() == 4);
    pair.wait("all is well", |pair| troubles(pair) == "[]" && unsynced(&pair.local).is_empty());
    assert_eq!(pair.local.log().matches("no space left to write").count(), 1, "{}", pair.local.last_words());

    disk.set("ro");
    pair.cloud.save("Plans/first.md", "first\nsecond\n");
    pair.wait("it is told that the disk is read-only", |pair| troubles(pair).contains("the vault's disk is read-only"));
    disk.set("rw");
    pair.wait_same("it is written", |files| files["Plans/first.md"] == b"first\nsecond\n");
    pair.wait("all is well again", |pair| troubles(pair) == "[]");
}

#[test]
fn a_brain_that_fails_is_named_until_it_drafts() {
    let mut pair = Pair::strangers();
    let outside = pair.dir().join("outside");
    fs::create_dir(&outside).expect("made");
    let works = outside.join("works");
    let script = format!("test -e {} && echo Thanks. || exit 3", works.display());
    let command = serde_json::json!(["/bin/sh", "-c", script]);
    let listen = format!("listen = [\"/ip4/127.0.0.1/tcp/{}\"]\n", free_port());
    pair.cloud.configure(&format!("{listen}[brain]\nkind = \"command\"\ncommand = {command}\nreads = [{outside:?}]\n"));
    pair.pair(&[]);
    assert_eq!(pair.cloud.json(&["status", "--json"])["brain"], Value::Null);
    pair.cloud.drop_mail("order.eml", MAIL);
    pair.wait("it is told", |pair| pair.cloud.must(&["status"]).contains("BRAIN      the brain failed the last time"));
    assert!(doctor(&pair.cloud).contains("error    the brain failed the last time"), "{}", doctor(&pair.cloud));
    fs::write(works, "").expect("written");
    pair.cloud.drop_mail("second.eml", &[MAIL, b"P.S.\r\n"].concat());
    pair.wait("it drafts", |pair| pair.cloud.json(&["status", "--json"])["brain"] == Value::Null);
}
