//! Changes of the vault that the system does not tell of.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    deploy::skip,
    node::{Node, PATIENCE, Pair, becomes, binary, signal, text},
};

/// A number below `/proc/sys`.
fn limit(name: &str) -> usize {
    fs::read_to_string(format!("/proc/sys/{name}")).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(usize::MAX)
}

#[test]
fn what_a_full_queue_of_events_lost_is_found() {
    const EVENTS_MAX: usize = 200_000;
    let events = limit("fs/inotify/max_queued_events");
    if events > EVENTS_MAX {
        skip("this system queues too many events for a test to fill the queue");
        return;
    }
    let pair = Pair::running();
    pair.local.save("Plans/first.md", "first\n");
    pair.wait_same("it works", |files| files.contains_key("Plans/first.md"));
    let mesh = pair.local.processes()["mesh"];
    signal(mesh, Signal::STOP);
    // Each renaming is two events, and none of them is left to be told when the last file is made.
    let names = [pair.local.vault.join("Plans/one.txt"), pair.local.vault.join("Plans/two.txt")];
    fs::write(&names[0], "moving\n").expect("written");
    for round in 0..events {
        fs::rename(&names[round % 2], &names[(round + 1) % 2]).expect("renamed");
    }
    fs::write(pair.local.vault.join("Plans/last.md"), "nobody told of it\n").expect("written");
    signal(mesh, Signal::CONT);
    pair.wait_same("a scan finds it", |files| files.contains_key("Plans/last.md") && files.len() == 3);
}

/// A node in a user namespace of its own, in which few folders can be watched; ended when dropped.
struct Limited(Child);

impl Limited {
    fn start(node: &Node, watches: usize) -> Option<Self> {
        let may = Command::new("unshare").args(["-Ur", "true"]).stderr(Stdio::null()).status();
        if !may.is_ok_and(|status| status.success()) {
            return None;
        }
        let log = fs::File::create(node.home.with_extension("limited")).expect("a log");
        let script = format!("echo {watches} > /proc/sys/user/max_inotify_watches && exec \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["-Ur", "sh", "-c", &script, "sh"]).arg(binary()).arg("--home").arg(&node.home);
        command.args(["--role", node.role]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Some(Self(command.spawn().expect("the node starts")))
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        signal(self.0.id(), Signal::TERM);
        self.0.wait().ok();
    }
}

#[test]
fn more_folders_than_can_be_watched_are_scanned_and_doctor_says_so() {
    let mut pair = Pair::running();
    pair.local.stop();
    let log = pair.local.home.with_extension("limited");
    // Enough for the folders of the home, and not for those of the vault.
    for number in 0..40 {
        pair.local.save(&format!("Plans/folder-{number}/note.md"), "a note\n");
    }
    let Some(_running) = Limited::start(&pair.local, 20) else {
        skip("no user namespace can be made here, so the number of watches was not limited");
        return;
    };
    let is_ready = || fs::read_to_string(&log).is_ok_and(|log| log.lines().any(|line| line == "ready"));
    assert!(becomes(PATIENCE, is_ready), "{}", fs::read_to_string(&log).unwrap_or_default());
    pair.wait_same("the start finds all", |files| files.len() == 40);
    let doctor = text(&pair.local.run(&["doctor"]).stdout);
    assert!(doctor.contains("some folders of the vault are not watched"), "{doctor}");
    assert!(doctor.contains("Raise fs.inotify.max_user_watches"), "{doctor}");
    assert_eq!(pair.local.json(&["status", "--json"])["vault"][0]["is_error"], false);
    for number in 0..40 {
        fs::write(pair.local.vault.join(format!("Plans/folder-{number}/note.md")), "edited\n").expect("written");
    }
    assert!(PATIENCE > Duration::from_secs(30), "a scan comes every ten seconds");
    pair.wait_same("a scan finds what nobody told", |files| files.values().all(|bytes| bytes == b"edited\n"));
}
