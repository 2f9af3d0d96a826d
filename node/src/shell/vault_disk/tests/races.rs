//! Somebody swaps folders and files of the vault for links to what lies outside, as fast as the system goes.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use aiemp_crdt::vault::{RemoveOutcome, WriteOutcome};
use aiemp_protocol::ids::ContentHash;
use rustix::fs::{CWD, FileType, Mode, RenameFlags};

use super::{path, scan_of};
use crate::shell::vault_disk::VaultDisk;

const OPERATIONS: usize = 100_000;
const OUTSIDE: &str = "OUTSIDE";
const OWN: [&str; 2] = ["own one\n", "own two\n"];
/// What takes turns at each place, beside the folder or file itself.
const DECOYS: [&str; 6] = ["symlink", "hard", "fifo", "socket", "device", "folder"];

/// What lies outside: bytes, mode and time of change of every file.
fn outside_now(outside: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32, i64, i64)> {
    let files = fs::read_dir(outside).expect("listed").map(|entry| entry.expect("entry").path());
    let state = |path: &PathBuf| {
        let meta = fs::symlink_metadata(path).expect("there");
        (fs::read(path).expect("read"), meta.mode(), meta.mtime(), meta.mtime_nsec())
    };
    files.map(|path| (path.clone(), state(&path))).collect()
}

fn exchange(one: &Path, other: &Path) {
    // Whichever of the two the other side has just taken away comes back with the next decoy.
    rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).ok();
}

/// Makes a decoy anew; one that is still there stays.
fn lay(kind: &str, at: &Path, outside: &Path, name: &str) {
    match kind {
        "symlink" => drop(symlink(outside.join(name), at)),
        "hard" => drop(fs::hard_link(outside.join(name), at)),
        "fifo" => {
            rustix::fs::mknodat(CWD, at, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).ok();
        }
        "socket" => drop(std::os::unix::net::UnixListener::bind(at)),
        // The device that never ends; only root can make it.
        "device" => {
            let zero = rustix::fs::makedev(1, 5);
            rustix::fs::mknodat(CWD, at, FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, zero).ok();
        }
        _ => drop(fs::create_dir(at)),
    }
}

/// Swaps until it is told to stop; how often.
fn swap(vault: &Path, outside: &Path, stop: &AtomicBool) -> usize {
    let plans = vault.join("Plans");
    let (folder, folder_link) = (plans.join("sub"), plans.join(".sub-link"));
    let mut swaps = 0;
    while !stop.load(Ordering::Relaxed) {
        lay("symlink", &folder_link, outside, "");
        exchange(&folder, &folder_link);
        exchange(&folder, &folder_link);
        let kind = DECOYS[swaps / 4 % DECOYS.len()];
        for name in ["a.md", "b.md"] {
            let decoy = plans.join(format!(".{kind}-{name}"));
            lay(kind, &decoy, outside, name);
            exchange(&plans.join(name), &decoy);
            exchange(&plans.join(name), &decoy);
        }
        swaps += 6;
    }
    swaps
}

fn assert_own(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert!(!text.contains(OUTSIDE), "read from outside: {text}");
}

/// One writer's and reader's turn; nothing that comes back may be from outside. Whether it wrote or removed.
fn work(disk: &VaultDisk, vault: &Path, turn: usize) -> bool {
    let at = path(["Plans/a.md", "Plans/b.md", "Plans/sub/a.md", "Plans/sub/new/b.md"][turn / 32 % 4]);
    let [old, new] = [OWN[turn / 128 % 2], OWN[(turn / 128 + 1) % 2]];
    let (old, new_hash, new) = (ContentHash::of(old.as_bytes()), ContentHash::of(new.as_bytes()), new.as_bytes());
    match turn % 32 {
        // What is in the way is an error, and each one is well here.
        0..=3 => match disk.write(&at, new, (turn % 4 < 3).then_some(old)) {
            Ok(WriteOutcome::Displaced(bytes) | WriteOutcome::Occupied(bytes)) => assert_own(&bytes),
            Ok(WriteOutcome::Written) => return true,
            Ok(WriteOutcome::InTheWay | WriteOutcome::Failed) | Err(_) => {}
        },
        4 => match disk.remove(&at, new_hash) {
            Ok(RemoveOutcome::Changed(bytes)) => assert_own(&bytes),
            Ok(RemoveOutcome::Removed) => return true,
            Ok(RemoveOutcome::Failed) | Err(_) => {}
        },
        5 if turn % 4096 == 5 => {
            let found = scan_of(vault, &BTreeMap::new()).map(|scan| scan.changed).unwrap_or_default();
            found.iter().for_each(|(_, bytes)| assert_own(bytes));
            disk.late_saves().iter().for_each(|(_, bytes)| assert_own(bytes));
        }
        6 if turn % 512 == 6 => {
            let paths = ["Plans/a.md", "Plans/b.md", "Plans/sub/a.md", "Plans/sub/new/b.md"].repeat(3);
            let files: Vec<_> = paths.into_iter().map(|at| (path(at), new.to_vec())).collect();
            for outcome in disk.write_new(&files) {
                if let Ok(WriteOutcome::Occupied(bytes)) = outcome {
                    assert_own(&bytes);
                }
            }
        }
        _ => disk.read(&at).iter().for_each(|bytes| assert_own(bytes)),
    }
    false
}

#[test]
fn no_swap_of_links_leads_a_write_or_a_read_out_of_the_vault() {
    // Held in memory where that can be: each write waits for its disk.
    let memory = Path::new("/dev/shm");
    let root = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a directory");
    let (vault, outside) = (root.path().join("vault"), root.path().join("outside"));
    fs::create_dir_all(vault.join("Plans/sub/new")).expect("folders");
    fs::create_dir_all(&outside).expect("a folder");
    for name in ["a.md", "b.md"] {
        fs::write(outside.join(name), format!("{OUTSIDE} {name}\n")).expect("written");
        fs::set_permissions(outside.join(name), fs::Permissions::from_mode(0o755)).expect("mode");
        fs::write(vault.join("Plans").join(name), OWN[0]).expect("written");
        fs::set_permissions(vault.join("Plans").join(name), fs::Permissions::from_mode(0o755)).expect("mode");
    }
    let before = outside_now(&outside);
    let disk = VaultDisk::open(&vault).expect("opened");
    let (stop, turns, done) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let swaps = thread::scope(|scope| {
        let swapper = scope.spawn(|| swap(&vault, &outside, &stop));
        let workers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    while let turn @ 0..OPERATIONS = turns.fetch_add(1, Ordering::Relaxed) {
                        done.fetch_add(usize::from(work(&disk, &vault, turn)), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let ended: Vec<_> = workers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a read or write reached outside");
        swapper.join().expect("it swaps to the end")
    });
    let done = done.into_inner();
    assert!(swaps >= OPERATIONS / 10 && done >= OPERATIONS / 100, "only {swaps} swaps and {done} writes");
    assert_eq!(outside_now(&outside), before, "nothing outside was made, changed or removed");
    drop(disk);
    for bytes in VaultDisk::open(&vault).and_then(|disk| disk.interrupted_saves()).expect("kept saves") {
        assert_own(&bytes);
    }
    assert_eq!(outside_now(&outside), before, "nor by clearing up");
    assert_no_program(&vault.join("Plans"));
}

/// A file that this node wrote is no program, whatever lay there before.
fn assert_no_program(folder: &Path) {
    for entry in fs::read_dir(folder).expect("listed").flatten() {
        let meta = fs::symlink_metadata(entry.path()).expect("there");
        if meta.is_dir() {
            assert_no_program(&entry.path());
        } else if meta.is_file() && fs::read(entry.path()).is_ok_and(|bytes| bytes == OWN[1].as_bytes()) {
            assert_eq!(meta.mode() & 0o7111, 0, "{}", entry.path().display());
        }
    }
}
