//! A node that is an older copy of itself: what was written since, anywhere, is there afterwards.

use std::{fs, path::Path, process::Command};

use crate::node::{Node, Pair};

const MAIL: &[u8] =
    b"From: a@client.test\r\nTo: me@example.test\r\nSubject: Second\r\nMessage-ID: <2@client.test>\r\n\r\nHello\r\n";

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(copied.success(), "{} was not copied", from.display());
}

fn replace(old: &Path, with: &Path) {
    fs::remove_dir_all(old).expect("the newer one goes");
    copy(with, old);
}

/// Saves a note on each side and waits until both have both.
fn exchange(pair: &Pair, name: &str) {
    for node in [&pair.cloud, &pair.local] {
        node.save(&format!("Plans/{}-{name}.md", node.role), format!("{} wrote {name}\n", node.role));
    }
    let paths = ["cloud", "local"].map(|role| format!("Plans/{role}-{name}.md"));
    pair.wait_same(name, |files| paths.iter().all(|path| files.contains_key(path)));
}

/// Adds a line to the note that both write.
fn add(pair: &Pair, on_cloud: bool, line: &str) {
    let node = if on_cloud { &pair.cloud } else { &pair.local };
    let before = node.read("Plans/both.md").unwrap_or_default();
    node.save("Plans/both.md", [before.as_slice(), line.as_bytes(), b"\n"].concat());
    pair.wait_same(line, |files| files.get("Plans/both.md").is_some_and(|bytes| has_line(bytes, line)));
}

fn has_line(bytes: &[u8], line: &str) -> bool {
    String::from_utf8_lossy(bytes).lines().any(|found| found == line)
}

/// A pair with a history, of which Cloud was copied in the middle; Cloud is stopped at the end.
fn pair_with_a_copy() -> Pair {
    let mut pair = Pair::running();
    exchange(&pair, "first");
    add(&pair, true, "line one");
    add(&pair, true, "line one and a half");
    pair.cloud.stop();
    copy(&pair.cloud.home, &pair.dir().join("old-home"));
    copy(&pair.cloud.vault, &pair.dir().join("old-vault"));
    pair.cloud.start();
    exchange(&pair, "second");
    add(&pair, true, "line two");
    add(&pair, false, "line three");
    pair.cloud.drop_mail("second.eml", MAIL);
    pair.wait_same("the mail is answered", |files| files.keys().any(|path| path.starts_with("Pending_Approval/")));
    pair.cloud.stop();
    pair
}

fn assert_whole(pair: &Pair) {
    let files = pair.local.shared();
    for name in ["first", "second", "third", "fourth"] {
        for role in ["cloud", "local"] {
            let path = format!("Plans/{role}-{name}.md");
            let wanted = format!("{role} wrote {name}\n");
            assert_eq!(files.get(&path).map(Vec::as_slice), Some(wanted.as_bytes()), "{path}");
        }
    }
    let both = &files["Plans/both.md"];
    for line in ["line one", "line one and a half", "line apart", "line two", "line three", "line four", "line five"] {
        assert!(has_line(both, line), "{line} is not in {}", String::from_utf8_lossy(both));
    }
    assert!(files.keys().any(|path| path.starts_with("Pending_Approval/email/REPLY_")));
    let log = pair.cloud.log();
    assert!(log.contains("an older copy of itself") && log.contains("generation=1"), "{log}");
}

/// Lets the restored node and its peer meet, and edit before and after; answers the pair at the end.
fn goes_on(mut pair: Pair) -> Pair {
    for node in [&pair.cloud, &pair.local] {
        node.save(&format!("Plans/{}-third.md", node.role), format!("{} wrote third\n", node.role));
    }
    let both = pair.cloud.read("Plans/both.md").unwrap_or_default();
    pair.cloud.save("Plans/both.md", [both.as_slice(), b"line apart\n"].concat());
    pair.cloud.start();
    pair.wait_same("third", |files| {
        files.contains_key("Plans/cloud-third.md") && files.contains_key("Plans/local-third.md")
    });
    exchange(&pair, "fourth");
    add(&pair, true, "line four");
    add(&pair, false, "line five");
    assert_whole(&pair);
    // And once more after a restart of both.
    pair.cloud.stop();
    pair.local.stop();
    pair.local.start();
    pair.cloud.start();
    pair.wait_same("after the restart", |files| files.contains_key("Plans/cloud-fourth.md"));
    assert_whole(&pair);
    pair
}

#[test]
fn a_cloud_restored_from_an_old_copy_of_home_and_vault_catches_up_and_goes_on() {
    let pair = pair_with_a_copy();
    replace(&pair.cloud.home, &pair.dir().join("old-home"));
    replace(&pair.cloud.vault, &pair.dir().join("old-vault"));
    let pair = goes_on(pair);
    let both = pair.local.shared().remove("Plans/both.md").unwrap_or_default();
    let mut lines: Vec<_> = String::from_utf8_lossy(&both).lines().map(str::to_owned).collect();
    let count = lines.len();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), count, "a line is there twice: {}", String::from_utf8_lossy(&both));
    for (folder, prefix) in [("Pending_Approval", "REPLY_"), ("In_Progress", "EMAIL_"), ("Plans", "PLAN_")] {
        let notes = pair.local.named(folder, prefix, ".md");
        assert_eq!(notes.len(), 1, "{notes:?}");
    }
}

#[test]
fn a_cloud_whose_home_alone_is_an_old_copy_catches_up_and_goes_on() {
    let pair = pair_with_a_copy();
    replace(&pair.cloud.home, &pair.dir().join("old-home"));
    goes_on(pair);
}

/// The root key signs on an older copy of the owner's home, so that two rosters of one epoch exist: somebody else may have
/// the key.
#[test]
fn an_older_home_of_the_owner_that_signs_again_stops_the_mesh_once_it_meets_a_peer() {
    for renewals in [1, 2] {
        let mut pair = Pair::running();
        pair.cloud.drop_mail("a.eml", MAIL);
        pair.wait("a draft waits", |pair| !pair.local.approvals_in("pending").is_empty());
        pair.local.stop();
        copy(&pair.local.home, &pair.dir().join("old-home"));
        pair.local.start();
        pair.local.must(&["peers", "renew"]);
        let chain = |node: &Node| fs::read(node.home.join("roster/chain")).expect("a chain");
        pair.wait("Cloud takes the roster", |pair| chain(&pair.cloud) == chain(&pair.local));
        pair.cloud.stop();
        pair.local.stop();
        replace(&pair.local.home, &pair.dir().join("old-home"));
        for _ in 0..renewals {
            pair.local.must(&["peers", "renew"]);
        }
        pair.local.start();
        pair.cloud.start();
        let told = |node: &Node| {
            let doctor = node.run(&["doctor"]);
            String::from_utf8_lossy(&doctor.stdout).contains("two different rosters of epoch 3 exist")
        };
        pair.wait("both know", |pair| told(&pair.local) && told(&pair.cloud));
        let [id] = &pair.local.approvals_in("pending")[..] else { panic!("{:?}", pair.local.approvals()) };
        pair.local.refused(&["approvals", "approve", id]).assert(78, &["two different rosters of epoch 3"]);
        pair.local.refused(&["peers", "renew"]).assert(78, &["two different rosters of epoch 3", "Found a new mesh"]);
        pair.local.stop();
        pair.local.refused(&["--role", "local"]).assert(78, &["two different rosters of epoch 3"]);
    }
}
