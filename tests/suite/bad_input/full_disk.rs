//! A disk without space: a clear word, nothing lost, and all is well once there is space again.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    deploy::skip,
    node::{Node, PATIENCE, Pair, becomes, signal, text},
};

/// A small file system of its own; gone with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it; only root can.
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).expect("a folder");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs"]).arg(at);
        let output = command.output().ok()?;
        output.status.success().then(|| Self(at.to_owned()))
    }

    /// Leaves so much space.
    fn fill_but(&self, bytes: u64) -> PathBuf {
        let path = self.fill();
        let file = File::options().write(true).open(&path).expect("the filler");
        let length = file.metadata().expect("its length").len();
        file.set_len(length - bytes).expect("a shorter one");
        path
    }

    /// Leaves no space at all.
    fn fill(&self) -> PathBuf {
        let path = self.0.join(".filler");
        let mut file = File::create(&path).expect("a file");
        while file.write_all(&[7; 4096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What still has files open here ends with the test.
        Command::new("umount").arg("--lazy").arg(&self.0).status().ok();
    }
}

#[test]
fn a_full_vault_disk_is_told_and_filled_up_once_there_is_space() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let Some(disk) = SmallDisk::mount(&dir.path().join("local-vault")) else {
        skip("only root can mount a small disk, so none ran full");
        return;
    };
    let mut pair = Pair::strangers_in(dir, &[]);
    pair.pair(&[]);
    pair.local.start();
    pair.local.save("Plans/before.md", "before\n");
    pair.wait_same("it works with space", |files| files.contains_key("Plans/before.md"));
    let filler = disk.fill();
    for number in 0..20 {
        pair.cloud.save(&format!("Plans/note-{number}.md"), format!("note {number}\n").repeat(2_000));
    }
    pair.cloud.save("Plans/before.md", "before\nand after\n".repeat(500));
    pair.wait("it is told with what to do", |pair| {
        let log = pair.local.log();
        log.contains("no space left to write") && log.contains("free some space, nothing was lost and it is tried")
    });
    assert!(pair.local.is_running() && pair.cloud.is_running());
    assert_eq!(pair.local.read("Plans/before.md").as_deref(), Some(b"before\n".as_slice()));
    pair.local.must(&["status"]);
    fs::remove_file(filler).expect("there is space again");
    pair.wait_same("all arrives", |files| files.len() >= 21 && files["Plans/before.md"].len() > 1_000);
    // Under half a file was never taken for a save.
    assert_eq!(pair.cloud.files("Plans").len(), 21);
    drop(pair);
    drop(disk);
}

/// A running Local whose home lies on a small disk; none where that cannot be mounted, and the reason is noted.
fn local_on_a_small_disk() -> Option<(Node, SmallDisk, TempDir)> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let Some(disk) = SmallDisk::mount(&dir.path().join("local-home")) else {
        skip("only root can mount a small disk, so none ran full");
        return None;
    };
    let mut node = Node::init(dir.path(), "local", &[]);
    node.start();
    // It notes that the vault was looked through: without room for that it would end.
    let is_settled = becomes(PATIENCE, || node.json(&["status", "--json"])["settled"] == true);
    assert!(is_settled, "{}", node.last_words());
    Some((node, disk, dir))
}

#[test]
fn a_full_disk_below_the_home_is_told_by_doctor_and_status() {
    let Some((node, disk, _dir)) = local_on_a_small_disk() else { return };
    let filler = disk.fill();
    let doctor = node.run(&["doctor"]);
    let told = text(&doctor.stdout);
    assert_eq!(doctor.status.code(), Some(1), "{told}");
    let is_told =
        |told: &str| told.contains("is full, so nothing is sent") && told.contains("Free some space: nothing");
    assert!(is_told(&told), "{told}");
    let status = node.must(&["status"]);
    assert!(is_told(&status), "{status}{}", node.last_words());
    fs::remove_file(filler).expect("there is space again");
    assert!(!is_told(&text(&node.run(&["doctor"]).stdout)));
    drop(node);
    drop(disk);
}

#[test]
fn a_start_on_a_full_disk_says_that_it_is_full_and_status_says_what_nobody_knows() {
    let Some((mut node, disk, _dir)) = local_on_a_small_disk() else { return };
    assert_eq!(node.json(&["status", "--json"])["approvals_waiting"], 0);
    node.stop();
    for left in [0, 4096, 8192] {
        let filler = disk.fill_but(left);
        let refusal = node.refused(&["--role", "local"]);
        refusal.assert(1, &["full"]);
        let said = refusal.said.to_lowercase();
        assert!(said.contains("free some space") && !said.contains("rights"), "{left} left: {said}");
        let status = node.must(&["status"]);
        assert!(
            status.contains("is full, so nothing is sent\n           Free some space, then start the node"),
            "{status}"
        );
        assert!(text(&node.run(&["doctor"]).stdout).contains("Free some space, then start the node again"));
        fs::remove_file(filler).expect("there is space again");
    }
    let status = node.must(&["status"]);
    assert!(status.contains("waiting    not known while the node does not run"), "{status}");
    assert!(status.contains("conflicts  not known") && !status.contains("EXECUTOR"), "{status}");
    let status = node.json(&["status", "--json"]);
    for count in ["approvals_waiting", "conflicts", "holds", "files"] {
        assert!(status[count].is_null(), "{count}: {status}");
    }
    node.start();
    drop(node);
    drop(disk);
}

#[test]
fn an_executor_that_ended_on_a_full_disk_runs_again_at_once_when_there_is_room() {
    let Some((node, disk, _dir)) = local_on_a_small_disk() else { return };
    let filler = disk.fill();
    let pauses_long = |node: &Node| {
        let running = node.processes().get("executor").copied();
        running.into_iter().for_each(|executor| signal(executor, Signal::KILL));
        node.log().contains("delay=30s")
    };
    assert!(becomes(Duration::from_secs(30), || pauses_long(&node)), "{}", node.last_words());
    let status = node.must(&["status"]);
    assert!(status.contains("is full, so nothing is sent") && status.contains("Should the node end"), "{status}");
    let before = node.log().len();
    fs::remove_file(filler).expect("there is space again");
    let is_back = || node.log()[before..].contains("executor started");
    assert!(becomes(Duration::from_secs(10), is_back), "it waits on: {}", node.last_words());
    assert!(becomes(Duration::from_secs(10), || !node.must(&["status"]).contains("EXECUTOR")));
    drop(node);
    drop(disk);
}
