//! The power fails: what was not synced is gone.
//!
//! A node's home and vault lie on a file system in an image. What that file system has written to the image at a moment is
//! what a disk would hold after a power failure; so the node is halted, the image is copied, and the node goes on with the
//! copy.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use rusqlite::Connection;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    deploy::skip,
    node::{Node, Pair, becomes, signal},
};

const ROUNDS: usize = 3;
const NOTES: usize = 12;

/// A mounted image.
struct PowerDisk {
    image: PathBuf,
    at: PathBuf,
    /// Held in memory where that can be: the image stands for the disk.
    _dir: TempDir,
}

impl PowerDisk {
    /// None where no image can be mounted; the reason is noted.
    fn new() -> Option<Self> {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a folder");
        let disk = Self { image: dir.path().join("image"), at: dir.path().join("disk"), _dir: dir };
        fs::create_dir(&disk.at).expect("a folder");
        fs::File::create(&disk.image).and_then(|file| file.set_len(160 << 20)).expect("an image");
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk.image).status();
        if made.is_ok_and(|status| status.success()) && disk.mount() {
            return Some(disk);
        }
        skip("a file system in an image can be mounted by root only, where the system has loop devices and mkfs.ext4");
        None
    }

    fn mount(&self) -> bool {
        let mounted = Command::new("mount").args(["-o", "loop"]).args([&self.image, &self.at]).status();
        mounted.is_ok_and(|status| status.success())
    }

    fn unmount(&self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.at).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "cannot unmount {}", self.at.display());
    }

    /// The power fails while nobody on this disk runs; it comes back with what was on the disk.
    fn fail(&self) {
        let rest = self.image.with_extension("rest");
        let changed = || fs::metadata(&self.image).and_then(|file| file.modified()).expect("an image");
        // The kernel writes back what it likes: a copy from before and after that would be of no moment.
        assert!(
            becomes(crate::node::PATIENCE, || {
                let before = changed();
                fs::copy(&self.image, &rest).expect("copied");
                before == changed()
            }),
            "the image never rests"
        );
        self.unmount();
        fs::rename(&rest, &self.image).expect("put in its place");
        assert!(self.mount(), "the disk comes back");
    }
}

impl Drop for PowerDisk {
    fn drop(&mut self) {
        self.unmount();
    }
}

fn text(round: usize, number: usize) -> String {
    format!("# Note {number}\n\nas of round {round}\n{}", "a line that makes it longer\n".repeat(60 + number))
}

/// Saves a note as one of the programs does that people have.
fn save(node: &Node, round: usize, number: usize) {
    let path = node.vault.join(path_of(number));
    let bytes = text(round, number);
    match number % 4 {
        0 => node.save(&path_of(number), bytes),
        1 => fs::write(path, bytes).expect("written in place"),
        2 => {
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(path).expect("it opens");
            bytes.as_bytes().chunks(700).for_each(|part| file.write_all(part).expect("a part"));
        }
        _ => {
            let beside = path.with_extension("bak");
            fs::rename(&path, &beside).ok();
            fs::write(path, bytes).expect("written anew");
            fs::remove_file(beside).ok();
        }
    }
}

fn path_of(number: usize) -> String {
    format!("Plans/note-{number}.md")
}

fn is_saved(node: &Node, round: usize) -> bool {
    (0..NOTES).all(|number| node.read(&path_of(number)).is_some_and(|bytes| bytes == text(round, number).as_bytes()))
}

fn halt(node: &Node) -> Vec<u32> {
    let mut all: Vec<u32> = node.processes().into_values().collect();
    all.push(node.pid());
    all.iter().for_each(|pid| signal(*pid, Signal::STOP));
    all
}

fn assert_whole(node: &Node) {
    let store = Connection::open(node.home.join("mesh/store.sqlite")).expect("the store opens");
    let said: String = store.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it answers");
    assert_eq!(said, "ok", "{}", node.role);
}

fn lose_power_on(role: usize) {
    let Some(disk) = PowerDisk::new() else { return };
    let dir = tempfile::tempdir().expect("a folder");
    let mut places = [dir.path().to_owned(), dir.path().to_owned()];
    places[role].clone_from(&disk.at);
    let mut pair = Pair::strangers_at(dir, &places, &[]);
    pair.pair(&[]);
    pair.local.start();
    for node in [&pair.cloud, &pair.local] {
        fs::create_dir_all(node.vault.join("Plans")).expect("a folder");
    }
    for round in 0..ROUNDS {
        // A person at either side; the power fails at once when the other side has it.
        let writes_here = round % 2 == 0;
        let (here, there) = if role == 0 { (&pair.cloud, &pair.local) } else { (&pair.local, &pair.cloud) };
        let writer = if writes_here { here } else { there };
        (0..NOTES).for_each(|number| save(writer, round, number));
        pair.wait("both have it", |pair| is_saved(&pair.cloud, round) && is_saved(&pair.local, round));
        let node = if role == 0 { &mut pair.cloud } else { &mut pair.local };
        let processes = halt(node);
        disk.fail();
        processes.iter().for_each(|pid| signal(*pid, Signal::KILL));
        node.wait_killed();
        assert_whole(node);
        node.start();
        pair.wait("it is all there again", |pair| is_saved(&pair.cloud, round) && is_saved(&pair.local, round));
        pair.wait_same("nothing else came", |_| true);
        pair.wait("and it stays", |pair| {
            let (cloud, local) = (pair.cloud.shared(), pair.local.shared());
            cloud == local && is_saved(&pair.cloud, round)
        });
    }
    let conflicts = pair.local.json(&["conflicts", "list", "--json"]);
    assert_eq!(conflicts["items"].as_array().map(Vec::len), Some(0), "{conflicts}");
}

#[test]
fn what_the_mesh_has_taken_in_outlasts_a_power_failure_of_cloud() {
    lose_power_on(0);
}

#[test]
fn what_the_mesh_has_taken_in_outlasts_a_power_failure_of_local() {
    lose_power_on(1);
}
