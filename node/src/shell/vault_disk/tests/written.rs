use std::{collections::BTreeMap, fs, io::Write as _, path::Path, time::Duration};

use aiemp_crdt::vault::WriteOutcome;
use aiemp_protocol::{ids::ContentHash, vault_path::VaultPath};
use rustix::fs::CWD;
use tempfile::tempdir;
use tokio::{sync::mpsc, time::timeout};

use super::{path, put};
use crate::shell::vault_disk::{DiskEvent, ScanSize, Stamped, Stamps, VaultDisk, VaultWatcher, reading, written::Own};

const PATIENCE: Duration = Duration::from_secs(20);

fn ours(count: usize) -> Vec<(VaultPath, Vec<u8>)> {
    (0..count).map(|number| (path(&format!("ours-{number}.md")), b"ours".to_vec())).collect()
}

fn changed(name: &str, text: &str) -> DiskEvent {
    DiskEvent::Changed { changed: vec![(path(name), text.into())], removed: vec![], skipped: vec![] }
}

#[tokio::test]
async fn what_this_node_wrote_is_told_once_somebody_changed_it() {
    let root = tempdir().expect("a folder");
    let disk = VaultDisk::open(root.path()).expect("opened");
    let (sender, mut events) = mpsc::channel(4);
    let _watcher = VaultWatcher::spawn(root.path(), sender, disk.written()).expect("watching");
    let mut next = async || timeout(PATIENCE, events.recv()).await.expect("told").expect("the watcher runs");
    let old = ContentHash::of(b"ours");
    assert!(disk.write_new(&ours(20)).iter().all(|outcome| matches!(outcome, Ok(WriteOutcome::Written))));
    assert!(matches!(disk.write(&path("ours-1.md"), b"merged", Some(old)), Ok(WriteOutcome::Written)));
    put(root.path(), "theirs.md", "theirs");
    assert_eq!(next().await, changed("theirs.md", "theirs"));
    put(root.path(), "ours-1.md", "edited");
    assert_eq!(next().await, changed("ours-1.md", "edited"));
    // The same words by another hand are told, for they may be the end of changes there and back.
    put(root.path(), "ours-2.md", "ours");
    assert_eq!(next().await, changed("ours-2.md", "ours"));
    disk.forget_written(&path("ours-3.md"));
    fs::rename(root.path().join("ours-3.md"), root.path().join("ours-4.md")).expect("renamed over another");
    let removed = vec![path("ours-3.md")];
    let moved = vec![(path("ours-4.md"), b"ours".to_vec())];
    assert_eq!(next().await, DiskEvent::Changed { changed: moved, removed, skipped: vec![] });
}

/// As if another program had changed it in place before the clock went on, where files cannot be dated.
fn change_within_the_tick(disk: &VaultDisk, root: &Path, at: &VaultPath, text: &str) {
    let file = root.join(at.as_str());
    fs::write(&file, text).expect("written");
    let stamp = reading::look(CWD, file.as_os_str()).expect("a file");
    let stamped = Stamped { stamp, hash: ContentHash::of(b"ours") };
    disk.written().note(at, Own { stamped, is_certain: false });
}

#[test]
fn what_was_changed_within_the_tick_of_our_write_is_told_when_it_was_left_alone() {
    let root = tempdir().expect("a folder");
    let (disk, mut stamps) = (VaultDisk::open(root.path()).expect("opened"), Stamps::default());
    disk.write_new(&ours(20));
    let known = |files: &[(VaultPath, Vec<u8>)]| -> BTreeMap<_, _> {
        files.iter().map(|(path, bytes)| (path.key(), (path.clone(), ContentHash::of(bytes)))).collect()
    };
    let known = known(&ours(20));
    let scan = |stamps: &mut Stamps| disk.scan(&known, ScanSize::Whole, stamps).expect("scanned").changed;
    change_within_the_tick(&disk, root.path(), &path("ours-7.md"), "theirs");
    assert_eq!(scan(&mut stamps), [], "nothing is read that looks as it was written");
    let theirs = vec![(path("ours-7.md"), b"theirs".to_vec())];
    let left_alone = ours(20).into_iter().map(|(path, _)| path);
    assert_eq!(disk.stamp(left_alone, &mut stamps), theirs);
    assert_eq!(scan(&mut stamps), theirs, "from now on it is read like any other");
}

#[test]
fn what_is_changed_right_after_our_write_does_not_look_like_ours() {
    let root = tempdir().expect("a folder");
    let disk = VaultDisk::open(root.path()).expect("opened");
    for round in 0..200 {
        let (mut stamps, at) = (Stamps::default(), path(&format!("{round}.md")));
        let known = BTreeMap::from([(at.key(), (at.clone(), ContentHash::of(b"ours")))]);
        disk.write_new(&[(at.clone(), b"ours".to_vec())]);
        disk.stamp_own(&at, &mut stamps);
        assert_eq!(stamps.take_unsaved().len(), 1, "it need not be read again");
        fs::OpenOptions::new().write(true).open(root.path().join(at.as_str())).unwrap().write_all(b"edit").unwrap();
        let scan = disk.scan(&known, ScanSize::Whole, &mut stamps).expect("scanned");
        assert_eq!(scan.changed, [(at.clone(), b"edit".to_vec())]);
        fs::remove_file(root.path().join(at.as_str())).expect("removed");
    }
}
