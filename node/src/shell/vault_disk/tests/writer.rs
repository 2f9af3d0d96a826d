use std::{
    collections::BTreeSet,
    env,
    fs::{self, File, OpenOptions},
    io::{Read, Seek, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::sync_channel,
    },
    thread,
    time::{Duration, SystemTime},
};

use aiemp_crdt::vault::{RemoveOutcome, WriteOutcome};
use aiemp_protocol::ids::ContentHash;
use rustix::fs::{CWD, RenameFlags};
use tempfile::{TempDir, tempdir};

use super::{kept, path, put};
use crate::shell::vault_disk::{DiskError, VaultDisk};

fn vault() -> (TempDir, VaultDisk) {
    let root = tempdir().expect("a directory");
    let disk = VaultDisk::open(root.path()).expect("opened");
    (root, disk)
}

fn hash(text: &str) -> ContentHash {
    ContentHash::of(text.as_bytes())
}

fn text(path: PathBuf) -> String {
    fs::read_to_string(path).expect("read")
}

#[test]
fn a_new_file_gets_its_folders_and_is_private() {
    let (root, disk) = vault();
    assert!(!disk.fallback(), "the file system of the tests exchanges files");
    let outcome = disk.write(&path("Plans/2026/a.md"), b"new", None).expect("written");
    assert_eq!(outcome, WriteOutcome::Written);
    let file = root.path().join("Plans/2026/a.md");
    assert_eq!(text(file.clone()), "new");
    assert_eq!(fs::metadata(file).expect("there").mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(root.path().join(".aiemp")).expect("there").mode() & 0o7777, 0o700);
    assert_eq!(kept(root.path()), Vec::<String>::new());
}

#[test]
fn folders_that_a_removal_empties_go_and_all_others_stay() {
    let (root, disk) = vault();
    let at = |name: &str| root.path().join(name);
    let remove = |name: &str| disk.remove_with_folders(&path(name), hash("old")).expect("removed");
    for name in
        ["Projects/a/b/x.md", "Plans/2026/x.md", "Dots/x.md", "Dots/.hidden", "Mine/x.md", "Two/x.md", "Two/y.md"]
    {
        put(root.path(), name, "old");
    }
    for name in ["Projects/a/b/x.md", "Plans/2026/x.md", "Dots/x.md", "Two/x.md"] {
        assert_eq!(remove(name), RemoveOutcome::Removed);
    }
    assert!(!at("Projects").exists() && !at("Plans/2026").exists());
    assert!(at("Plans").exists(), "the layout stays");
    assert!(at("Dots/.hidden").exists() && at("Two/y.md").exists(), "what holds anything stays");
    fs::remove_file(at("Mine/x.md")).expect("removed");
    assert_eq!(remove("Mine/x.md"), RemoveOutcome::Removed);
    assert!(at("Mine").exists(), "a person emptied it");
    put(root.path(), "Changed/x.md", "saved");
    assert_eq!(remove("Changed/x.md"), RemoveOutcome::Changed(b"saved".to_vec()));
    assert!(at("Changed").exists());
}

#[test]
fn an_expected_file_is_replaced_and_keeps_its_mode() {
    let (root, disk) = vault();
    put(root.path(), "a.md", "old");
    fs::set_permissions(root.path().join("a.md"), fs::Permissions::from_mode(0o755)).expect("mode");
    let outcome = disk.write(&path("a.md"), b"new", Some(hash("old"))).expect("written");
    assert_eq!(outcome, WriteOutcome::Written);
    assert_eq!(text(root.path().join("a.md")), "new");
    assert_eq!(fs::metadata(root.path().join("a.md")).expect("there").mode() & 0o7777, 0o644);
}

#[test]
fn an_unexpected_save_is_displaced_and_kept_until_it_is_let_go() {
    let (root, disk) = vault();
    put(root.path(), "a.md", "saved");
    let outcome = disk.write(&path("a.md"), b"new", Some(hash("old"))).expect("written");
    assert_eq!(outcome, WriteOutcome::Displaced(b"saved".to_vec()));
    assert_eq!(text(root.path().join("a.md")), "new");
    let name = format!("displaced-{}", hash("saved"));
    assert!(kept(root.path()).contains(&name));
    disk.forget_displaced(hash("saved"));
    assert!(!kept(root.path()).contains(&name));
    drop(disk);
    let disk = VaultDisk::open(root.path()).expect("opened again");
    assert_eq!(disk.interrupted_saves().expect("listed"), Vec::<Vec<u8>>::new());
    disk.pass_late_wait();
    assert_eq!(disk.late_saves(), []);
    assert_eq!(kept(root.path()), Vec::<String>::new());
}

#[test]
fn the_same_bytes_are_neither_occupied_nor_displaced() {
    let (root, disk) = vault();
    put(root.path(), "a.md", "same");
    assert_eq!(disk.write(&path("a.md"), b"same", None).expect("written"), WriteOutcome::Written);
    assert_eq!(disk.write(&path("a.md"), b"same", Some(hash("old"))).expect("written"), WriteOutcome::Written);
}

#[test]
fn an_occupied_place_is_left_alone_and_a_vanished_file_is_written_anew() {
    let (root, disk) = vault();
    put(root.path(), "a.md", "theirs");
    assert_eq!(disk.write(&path("a.md"), b"new", None).expect("answered"), WriteOutcome::Occupied(b"theirs".to_vec()));
    assert_eq!(text(root.path().join("a.md")), "theirs");
    assert_eq!(disk.write(&path("b.md"), b"new", Some(hash("gone"))).expect("written"), WriteOutcome::Written);
    assert_eq!(text(root.path().join("b.md")), "new");
    assert_eq!(kept(root.path()), Vec::<String>::new());
}

#[test]
fn what_is_expected_and_has_another_spelling_by_now_is_replaced_under_that() {
    for forgoes_exchange in [false, true] {
        let (root, mut disk) = vault();
        if forgoes_exchange {
            disk.forgo_exchange();
        }
        let files = || {
            let names =
                fs::read_dir(root.path().join("Plans")).expect("listed").map(|entry| entry.expect("one").path());
            names.map(|path| (path.file_name().expect("a name").to_owned(), text(path))).collect::<Vec<_>>()
        };
        put(root.path(), "Plans/C.md", "old");
        fs::rename(root.path().join("Plans/C.md"), root.path().join("Plans/c.md")).expect("renamed");
        let outcome = disk.write(&path("Plans/C.md"), b"new", Some(hash("old"))).expect("written");
        assert_eq!(outcome, WriteOutcome::Written);
        assert_eq!(files(), [("c.md".into(), "new".to_owned())]);
        put(root.path(), "Plans/c.md", "saved");
        let outcome = disk.write(&path("Plans/C.md"), b"newer", Some(hash("new"))).expect("written");
        assert_eq!(outcome, WriteOutcome::Displaced(b"saved".to_vec()));
        assert_eq!(files(), [("c.md".into(), "newer".to_owned())]);
        fs::remove_file(root.path().join("Plans/c.md")).expect("removed");
        disk.write(&path("Plans/C.md"), b"newest", Some(hash("newer"))).expect("written");
        assert_eq!(files(), [("C.md".into(), "newest".to_owned())]);
    }
}

#[test]
fn a_removal_takes_what_was_expected_and_keeps_what_was_not() {
    let (root, disk) = vault();
    put(root.path(), "Done/a.md", "old");
    put(root.path(), "Done/b.md", "saved");
    assert_eq!(disk.remove(&path("Done/a.md"), hash("old")).expect("removed"), RemoveOutcome::Removed);
    assert_eq!(
        disk.remove(&path("Done/b.md"), hash("old")).expect("removed"),
        RemoveOutcome::Changed(b"saved".to_vec())
    );
    assert_eq!(disk.remove(&path("Done/b.md"), hash("old")).expect("removed"), RemoveOutcome::Removed);
    assert_eq!(disk.remove(&path("No/where.md"), hash("old")).expect("removed"), RemoveOutcome::Removed);
    assert_eq!(fs::read_dir(root.path().join("Done")).expect("the folder stays").count(), 0);
    assert_eq!(text(root.path().join(".aiemp").join(format!("displaced-{}", hash("saved")))), "saved");
}

#[test]
fn a_link_on_the_way_or_in_place_of_the_file_is_refused() {
    let (root, disk) = vault();
    let outside = tempdir().expect("a directory");
    put(outside.path(), "a.md", "outside");
    symlink(outside.path(), root.path().join("Plans")).expect("linked");
    symlink(outside.path().join("a.md"), root.path().join("a.md")).expect("linked");
    symlink("nowhere", root.path().join("dangling.md")).expect("linked");
    for name in ["Plans/a.md", "Plans/new.md", "Plans/b/c.md", "a.md", "dangling.md"] {
        for expected in [None, Some(hash("outside"))] {
            let error = disk.write(&path(name), b"new", expected).expect_err(name);
            assert!(matches!(error, DiskError::Escape { .. }), "{name}: {error}");
        }
        let error = disk.remove(&path(name), hash("outside")).expect_err(name);
        assert!(matches!(error, DiskError::Escape { .. }), "{name}: {error}");
    }
    assert_eq!(fs::read_dir(outside.path()).expect("listed").count(), 1);
    assert_eq!(text(outside.path().join("a.md")), "outside");
    assert_eq!(kept(root.path()), Vec::<String>::new());
}

#[test]
fn what_is_in_the_way_is_named() {
    let (root, disk) = vault();
    put(root.path(), "file", "x");
    put(root.path(), "folder/b/.obsidian/app.json", "{}");
    for (name, shown) in [("file/a.md", "file"), ("folder", "folder")] {
        for expected in [None, Some(hash("x"))] {
            let error = disk.write(&path(name), b"new", expected).expect_err(name);
            assert!(matches!(&error, DiskError::InTheWay { path } if path.ends_with(shown)), "{name}: {error}");
        }
    }
    assert_eq!(text(root.path().join("file")), "x");
}

#[test]
fn a_folder_without_files_makes_way_for_a_file() {
    let (root, disk) = vault();
    fs::create_dir_all(root.path().join("a.md/b/c")).expect("made");
    fs::create_dir_all(root.path().join("a.md/d")).expect("made");
    assert_eq!(disk.write(&path("a.md"), b"new", None).expect("written"), WriteOutcome::Written);
    assert_eq!(text(root.path().join("a.md")), "new");
}

#[test]
fn what_is_in_place_counts_as_written_and_removed_also_where_the_folder_does_not_sync() {
    let (root, mut disk) = vault();
    disk.break_sync();
    assert_eq!(disk.write(&path("a.md"), b"one", None).expect("in place"), WriteOutcome::Written);
    put(root.path(), "a.md", "saved");
    let displaced = disk.write(&path("a.md"), b"two", Some(hash("one"))).expect("in place");
    assert_eq!(displaced, WriteOutcome::Displaced(b"saved".to_vec()));
    assert_eq!(kept(root.path()), [format!("displaced-{}", hash("saved"))]);
    put(root.path(), "a.md", "saved again");
    let removed = disk.remove(&path("a.md"), hash("two")).expect("away");
    assert_eq!(removed, RemoveOutcome::Changed(b"saved again".to_vec()));
}

#[test]
fn a_folder_in_the_way_goes_when_it_is_empty_and_stays_whole_when_it_is_not() {
    let (root, disk) = vault();
    let folder = root.path().join("Projects");
    for below in ["2025/old", "2026"] {
        fs::create_dir_all(folder.join(below)).expect("folders");
    }
    for held in ["x.pdf", ".hidden"] {
        put(&folder, held, "not synced");
        disk.write(&path("Projects"), b"one", None).expect_err("in the way");
        assert!(folder.join("2025/old").is_dir() && folder.join("2026").is_dir(), "beside {held}");
        fs::remove_file(folder.join(held)).expect("it goes");
    }
    assert_eq!(disk.write(&path("Projects"), b"one", None).expect("nothing is left"), WriteOutcome::Written);
}

#[test]
fn a_hard_link_elsewhere_keeps_its_content() {
    let (root, disk) = vault();
    let outside = tempdir().expect("a directory");
    put(root.path(), "a.md", "old");
    fs::hard_link(root.path().join("a.md"), outside.path().join("b.md")).expect("linked");
    assert_eq!(disk.write(&path("a.md"), b"new", Some(hash("old"))).expect("written"), WriteOutcome::Written);
    assert_eq!(text(outside.path().join("b.md")), "old");
    assert_eq!(text(root.path().join("a.md")), "new");
}

#[test]
fn an_interrupted_write_loses_no_save() {
    let (root, disk) = vault();
    drop(disk);
    let (old, new) = (hash("old"), hash("new"));
    put(root.path(), ".aiemp/tmp-1-0", "unfinished");
    put(root.path(), &format!(".aiemp/held-{old}-{new}-1-1"), "old");
    put(root.path(), &format!(".aiemp/held-{old}-{new}-1-2"), "new");
    put(root.path(), &format!(".aiemp/held-{old}-{new}-1-3"), "saved");
    let disk = VaultDisk::open(root.path()).expect("opened");
    disk.pass_late_wait();
    assert_eq!(disk.late_saves(), []);
    assert_eq!(kept(root.path()), [format!("displaced-{}", hash("saved"))]);
}

#[test]
fn a_kept_save_goes_after_thirty_days() {
    let (root, disk) = vault();
    put(root.path(), "a.md", "saved");
    disk.write(&path("a.md"), b"new", Some(hash("old"))).expect("written");
    drop(disk);
    let name = root.path().join(".aiemp").join(format!("displaced-{}", hash("saved")));
    let age = |days: u64| {
        let time = SystemTime::now() - Duration::from_secs(days * 86_400);
        File::options().write(true).open(&name).and_then(|file| file.set_modified(time)).expect("aged");
    };
    age(29);
    VaultDisk::open(root.path()).expect("opened");
    assert!(name.exists());
    age(31);
    VaultDisk::open(root.path()).expect("opened");
    assert!(!name.exists());
}

#[test]
fn a_save_into_a_file_that_was_replaced_meanwhile_is_found() {
    let (root, disk) = vault();
    put(root.path(), "a.md", "old");
    let mut editor = OpenOptions::new().append(true).open(root.path().join("a.md")).expect("opened");
    assert_eq!(disk.write(&path("a.md"), b"new", Some(hash("old"))).expect("written"), WriteOutcome::Written);
    assert_eq!(disk.late_saves(), []);
    editor.write_all(b" and more").expect("saved");
    assert_eq!(disk.late_saves(), [(Some(path("a.md")), b"old and more".to_vec())]);
    assert_eq!(disk.late_saves(), []);
    assert_eq!(kept(root.path()), [format!("displaced-{}", hash("old and more"))]);
}

#[test]
fn a_save_that_ends_after_a_kill_and_a_start_is_found() {
    let (root, disk) = vault();
    let mut editors = ["expected.md", "unexpected.md"].map(|name| {
        put(root.path(), name, "old");
        OpenOptions::new().append(true).open(root.path().join(name)).expect("opened")
    });
    editors[1].write_all(b", begun").expect("saved");
    for name in ["expected.md", "unexpected.md"] {
        disk.write(&path(name), b"new", Some(hash("old"))).expect("written");
    }
    // As a kill: nothing is tidied up. The second start is as soon as the first one.
    drop(disk);
    drop(VaultDisk::open(root.path()).expect("opened again"));
    let disk = VaultDisk::open(root.path()).expect("opened again");
    assert_eq!(disk.interrupted_saves().expect("listed"), [b"old, begun"]);
    disk.forget_displaced(hash("old, begun"));
    assert_eq!(disk.late_saves(), []);
    for editor in &mut editors {
        editor.write_all(b", done").expect("saved");
    }
    let found: BTreeSet<_> = disk.late_saves().into_iter().collect();
    assert_eq!(found, [(None, b"old, begun, done".to_vec()), (None, b"old, done".to_vec())].into());
    assert_eq!(kept(root.path()), kept_saves(["old, begun, done", "old, done"]));
    disk.pass_late_wait();
    assert_eq!(disk.late_saves(), []);
    assert_eq!(kept(root.path()), kept_saves(["old, begun, done", "old, done"]));
}

fn kept_saves<const N: usize>(saves: [&str; N]) -> Vec<String> {
    let mut names = saves.map(|save| format!("displaced-{}", hash(save)));
    names.sort();
    names.to_vec()
}

#[test]
fn names_at_the_limits_are_written() {
    let (root, disk) = vault();
    for name in ["x".repeat(255), "é".repeat(127), "trailing dots...".to_owned(), "a/b. /c .md".to_owned()] {
        assert_eq!(disk.write(&path(&name), b"1", None).expect("written"), WriteOutcome::Written);
        assert_eq!(disk.write(&path(&name), b"2", Some(hash("1"))).expect("written"), WriteOutcome::Written);
        assert_eq!(text(root.path().join(&name)), "2");
        assert_eq!(disk.remove(&path(&name), hash("2")).expect("removed"), RemoveOutcome::Removed);
    }
}

#[test]
fn without_the_exchange_content_is_compared() {
    let (root, mut disk) = vault();
    disk.forgo_exchange();
    assert!(disk.fallback());
    put(root.path(), "a.md", "old");
    assert_eq!(disk.write(&path("a.md"), b"new", Some(hash("old"))).expect("written"), WriteOutcome::Written);
    let outcome = disk.write(&path("a.md"), b"newer", Some(hash("old"))).expect("written");
    assert_eq!(outcome, WriteOutcome::Displaced(b"new".to_vec()));
    assert_eq!(text(root.path().join("a.md")), "newer");
    assert_eq!(kept(root.path()), [format!("displaced-{}", hash("new"))]);
    assert_eq!(disk.write(&path("a.md"), b"x", None).expect("answered"), WriteOutcome::Occupied(b"newer".to_vec()));
    assert_eq!(disk.write(&path("b.md"), b"x", Some(hash("old"))).expect("written"), WriteOutcome::Written);
    assert_eq!(disk.remove(&path("b.md"), hash("x")).expect("removed"), RemoveOutcome::Removed);
}

/// Saves as editors do, in turn in place and by rename; gives what the save itself replaced.
fn save(root: &Path, number: usize) -> Vec<u8> {
    let (file, new) = (root.join("a.md"), root.join(".a.md.new"));
    if number.is_multiple_of(2) {
        let mut file = File::options().read(true).write(true).open(file).expect("opened");
        let mut before = Vec::new();
        file.read_to_end(&mut before).expect("read");
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(&saved(number))).expect("saved");
        before
    } else {
        fs::write(&new, saved(number)).expect("saved");
        rustix::fs::renameat_with(CWD, &new, CWD, &file, RenameFlags::EXCHANGE).expect("renamed");
        fs::read(new).expect("read")
    }
}

#[test]
fn no_interleaving_of_an_editor_and_writes_loses_a_save() {
    const SAVES: usize = 200;
    const SAVES_PER_MERGE: usize = 4;
    let (root, disk) = vault();
    put(root.path(), "a.md", "start");
    let is_done = AtomicBool::new(false);
    let mut seen = BTreeSet::new();
    let mut expected = hash("start");
    let mut merges = 0;
    thread::scope(|scope| {
        // At least one merge for every few saves, however the threads are scheduled.
        let (merged_one, merged) = sync_channel(SAVES);
        let (root, is_done) = (root.path(), &is_done);
        let editor = scope.spawn(move || {
            let mut replaced = Vec::new();
            for number in 0..SAVES {
                if number.is_multiple_of(SAVES_PER_MERGE) {
                    merged.recv().expect("the writer runs");
                }
                replaced.push(save(root, number));
            }
            is_done.store(true, Ordering::Release);
            replaced
        });
        while !is_done.load(Ordering::Acquire) {
            merges += 1;
            let merged = format!("merged {merges}");
            match disk.write(&path("a.md"), merged.as_bytes(), Some(expected)).expect("written") {
                WriteOutcome::Written => {}
                WriteOutcome::Displaced(bytes) => drop(seen.insert(bytes)),
                other @ (WriteOutcome::Occupied(_) | WriteOutcome::InTheWay | WriteOutcome::Failed) => {
                    panic!("{other:?}")
                }
            }
            expected = hash(&merged);
            let _ = merged_one.try_send(());
        }
        seen.extend(editor.join().expect("the editor ended"));
    });
    seen.extend(disk.late_saves().into_iter().map(|(_, bytes)| bytes));
    seen.insert(fs::read(root.path().join("a.md")).expect("read"));
    let lost: Vec<usize> = (0..SAVES).filter(|number| !seen.contains(&saved(*number))).collect();
    assert_eq!(lost, Vec::<usize>::new(), "after {merges} merges");
}

fn saved(number: usize) -> Vec<u8> {
    format!("saved {number}\n").into_bytes()
}

/// A small file system of its own, or `None` where that is not possible; then the reason is noted.
fn small_disk(root: &Path) -> Option<Mounted> {
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "aiemp-test"]).arg(root).status();
    if mounted.is_ok_and(|status| status.success()) {
        return Some(Mounted(root.to_owned()));
    }
    if let Some(skips) = env::var_os("AIEMP_TEST_SKIPS") {
        let mut file = OpenOptions::new().append(true).create(true).open(skips).expect("the list of skips");
        writeln!(file, "a_full_disk_loses_nothing: a tmpfs can be mounted by root only").expect("noted");
    }
    None
}

struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "cannot unmount {}", self.0.display());
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let root = tempdir().expect("a directory");
    let Some(_mounted) = small_disk(root.path()) else { return };
    let disk = VaultDisk::open(root.path()).expect("opened");
    put(root.path(), "a.md", "old");
    let large = vec![b'x'; 128 << 10];
    for (name, expected) in [("a.md", Some(hash("old"))), ("b.md", None)] {
        let error = disk.write(&path(name), &large, expected).expect_err("no space");
        assert!(matches!(error, DiskError::Full { .. }), "{error}");
    }
    assert_eq!(text(root.path().join("a.md")), "old");
    assert!(!root.path().join("b.md").exists());
    assert_eq!(kept(root.path()), Vec::<String>::new());
    assert_eq!(disk.write(&path("a.md"), b"new", Some(hash("old"))).expect("written"), WriteOutcome::Written);
}
