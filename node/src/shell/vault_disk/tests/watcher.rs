use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
    time::Duration,
};

use tempfile::{TempDir, tempdir};
use tokio::{
    sync::mpsc,
    time::{error::Elapsed, timeout},
};

use super::{path, paths, put, scan_of};
use crate::shell::vault_disk::{DiskEvent, SkipReason, VaultWatcher, Written, tree::Tree};

/// Far longer than anything takes, so that only a missing event fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// A watched vault, and all that was told of it.
struct Watched {
    root: TempDir,
    _watcher: VaultWatcher,
    events: mpsc::Receiver<DiskEvent>,
    contents: BTreeMap<String, Option<Vec<u8>>>,
    skipped: Vec<(String, SkipReason)>,
    rescans: usize,
}

impl Watched {
    fn new(files: &[(&str, &str)]) -> Self {
        let root = tempdir().expect("a directory");
        for (name, text) in files {
            put(root.path(), name, text);
        }
        let (sender, events) = mpsc::channel(4);
        let watcher = VaultWatcher::spawn(root.path(), sender, Written::default()).expect("watching");
        Self { root, _watcher: watcher, events, contents: BTreeMap::new(), skipped: Vec::new(), rescans: 0 }
    }

    async fn next(&mut self) -> Result<DiskEvent, Elapsed> {
        timeout(PATIENCE, self.events.recv()).await.map(|event| event.expect("the watcher runs"))
    }

    fn take_in(&mut self, event: DiskEvent) {
        match event {
            DiskEvent::Changed { changed, removed, skipped } => {
                self.contents.extend(changed.into_iter().map(|(path, bytes)| (path.to_string(), Some(bytes))));
                self.contents.extend(removed.into_iter().map(|path| (path.to_string(), None)));
                self.skipped.extend(skipped);
            }
            DiskEvent::Rescan => {
                self.rescans += 1;
                let scan = scan_of(self.root.path(), &BTreeMap::new()).expect("scanned");
                self.contents.extend(scan.changed.into_iter().map(|(path, bytes)| (path.to_string(), Some(bytes))));
            }
        }
    }

    /// Takes in events until the claim holds.
    async fn until(&mut self, claim: impl Fn(&Self) -> bool) {
        while !claim(self) {
            let Ok(event) = self.next().await else {
                panic!("nothing more is told; contents {:?}, skipped {:?}", self.contents, self.skipped);
            };
            self.take_in(event);
        }
    }

    fn says(&self, name: &str, text: &str) -> bool {
        self.contents.get(name).is_some_and(|bytes| bytes.as_deref() == Some(text.as_bytes()))
    }

    fn says_gone(&self, name: &str) -> bool {
        self.contents.get(name) == Some(&None)
    }
}

#[tokio::test]
async fn saves_in_place_by_truncation_and_by_rename_are_told() {
    let mut vault = Watched::new(&[("a.md", "old"), ("Plans/b.md", "old"), ("Plans/c.md", "old")]);
    let at = |name: &str| vault.root.path().join(name);
    let mut file = File::options().append(true).open(at("a.md")).expect("opened");
    file.write_all(b" and new").expect("saved");
    fs::write(at("Plans/b.md"), "truncated, then written").expect("saved");
    // As vim does with a backup, and as many others do.
    fs::rename(at("Plans/c.md"), at("Plans/c.md~")).expect("renamed");
    fs::write(at("Plans/c.md"), "by rename").expect("saved");
    fs::remove_file(at("Plans/c.md~")).expect("removed");
    vault
        .until(|vault| {
            vault.says("a.md", "old and new")
                && vault.says("Plans/b.md", "truncated, then written")
                && vault.says("Plans/c.md", "by rename")
        })
        .await;
    let at = |name: &str| vault.root.path().join(name);
    fs::write(at(".a.md.tmp"), "over it").expect("saved");
    fs::rename(at(".a.md.tmp"), at("a.md")).expect("renamed");
    vault.until(|vault| vault.says("a.md", "over it")).await;
    assert_eq!((vault.rescans, vault.skipped.len()), (0, 0));
}

#[tokio::test]
async fn a_file_that_moves_into_a_new_folder_is_told_before_any_rescan() {
    let mut vault = Watched::new(&[("Plans/a.md", "text")]);
    fs::create_dir_all(vault.root.path().join("Plans/Archive/2026")).expect("made");
    fs::rename(vault.root.path().join("Plans/a.md"), vault.root.path().join("Plans/Archive/2026/b.md")).expect("moved");
    vault.until(|vault| vault.says("Plans/Archive/2026/b.md", "text")).await;
    assert!(vault.says_gone("Plans/a.md"), "that it left is told before, or with it");
    assert_eq!(vault.rescans, 0);
}

#[tokio::test]
async fn both_ends_of_a_rename_come_in_one_batch() {
    let mut vault = Watched::new(&[("Pending_Approval/a.md", "text"), ("Approved/x.md", "")]);
    let renames = [("Pending_Approval/a.md", "Pending_Approval/b.md"), ("Pending_Approval/b.md", "Approved/b.md")];
    for (from, to) in renames {
        fs::rename(vault.root.path().join(from), vault.root.path().join(to)).expect("renamed");
        let event = vault.next().await.expect("told");
        let expected = DiskEvent::Changed {
            changed: vec![(path(to), b"text".to_vec())],
            removed: vec![path(from)],
            skipped: vec![],
        };
        assert_eq!(event, expected);
    }
}

#[tokio::test]
async fn a_deleted_file_is_told() {
    let mut vault = Watched::new(&[("Inbox/a.md", "text")]);
    fs::remove_file(vault.root.path().join("Inbox/a.md")).expect("removed");
    vault.until(|vault| vault.says_gone("Inbox/a.md")).await;
}

#[tokio::test]
async fn a_burst_of_files_is_told_in_full() {
    let mut vault = Watched::new(&[("Inbox/first.md", "")]);
    for number in 0..500 {
        put(vault.root.path(), &format!("Inbox/{number}.md"), &number.to_string());
    }
    vault.until(|vault| (0..500).all(|number| vault.says(&format!("Inbox/{number}.md"), &number.to_string()))).await;
}

#[tokio::test]
async fn files_in_new_and_in_moved_folders_are_not_lost() {
    let mut vault = Watched::new(&[("Old/deep/a.md", "a")]);
    for number in 0..20 {
        put(vault.root.path(), &format!("New/{number}/deeper/still/b.md"), "b");
    }
    fs::rename(vault.root.path().join("Old"), vault.root.path().join("Moved")).expect("renamed");
    vault
        .until(|vault| {
            (0..20).all(|number| vault.says(&format!("New/{number}/deeper/still/b.md"), "b"))
                && vault.says("Moved/deep/a.md", "a")
        })
        .await;
    // The folders are watched by now, under their new names.
    put(vault.root.path(), "New/7/deeper/still/b.md", "later");
    put(vault.root.path(), "Moved/deep/a.md", "later");
    vault.until(|vault| vault.says("New/7/deeper/still/b.md", "later") && vault.says("Moved/deep/a.md", "later")).await;
}

#[tokio::test]
async fn a_folder_that_leaves_the_vault_asks_for_a_rescan() {
    let outside = tempdir().expect("a directory");
    let mut vault = Watched::new(&[("Old/a.md", "a")]);
    fs::rename(vault.root.path().join("Old"), outside.path().join("Old")).expect("moved out");
    vault.until(|vault| vault.rescans == 1).await;
}

#[tokio::test]
async fn links_and_names_that_do_not_travel_are_skipped() {
    let outside = tempdir().expect("a directory");
    put(outside.path(), "secret.md", "secret");
    let mut vault = Watched::new(&[]);
    let at = |name: &str| vault.root.path().join(name);
    symlink(outside.path().join("secret.md"), at("link.md")).expect("linked");
    fs::hard_link(outside.path().join("secret.md"), at("hard.md")).expect("linked");
    fs::write(at("a:b.md"), "x").expect("written");
    fs::write(at("trailing..."), "x").expect("written");
    vault.until(|vault| vault.says("trailing...", "x") && vault.skipped.len() >= 3).await;
    vault.skipped.sort();
    vault.skipped.dedup();
    let skipped = [("a:b.md", SkipReason::Name), ("hard.md", SkipReason::HardLink), ("link.md", SkipReason::Symlink)];
    assert_eq!(vault.skipped, skipped.map(|(name, reason)| (name.to_owned(), reason)));
    assert_eq!(vault.contents.len(), 1);
}

#[tokio::test]
async fn a_twin_is_looked_for_when_the_other_goes() {
    let mut vault = Watched::new(&[("Plans/note.md", "text"), ("Plans/NOTE.md", "twin"), ("Plans/other.md", "text")]);
    let at = |name: &str| vault.root.path().join(name);
    fs::remove_file(at("Plans/other.md")).expect("removed");
    fs::rename(at("Plans/note.md"), at("Plans/first.md")).expect("renamed");
    vault.until(|vault| vault.says("Plans/NOTE.md", "twin")).await;
    assert!(vault.says("Plans/first.md", "text") && vault.says_gone("Plans/note.md"), "the rename is told before");
    assert_eq!(vault.rescans, 1);
}

#[tokio::test]
async fn a_twin_is_left_to_a_rescan() {
    let mut vault = Watched::new(&[("Plans/note.md", "known")]);
    put(vault.root.path(), "Plans/NOTE.md", "twin");
    assert_eq!(vault.next().await, Ok(DiskEvent::Rescan));
    fs::remove_file(vault.root.path().join("Plans/NOTE.md")).expect("removed");
    put(vault.root.path(), "Plans/note.md", "edited");
    let mut told = Vec::new();
    while !told.contains(&"Plans/note.md".to_owned()) {
        if let DiskEvent::Changed { changed, .. } = vault.next().await.expect("told") {
            told.extend(paths(&changed).into_iter().map(str::to_owned));
        }
    }
}

#[tokio::test]
async fn our_own_reading_wakes_nobody() {
    let mut vault = Watched::new(&[("a.md", "text")]);
    for _ in 0..3 {
        scan_of(vault.root.path(), &BTreeMap::new()).expect("scanned");
    }
    put(vault.root.path(), ".b.md", "text");
    fs::rename(vault.root.path().join(".b.md"), vault.root.path().join("b.md")).expect("renamed");
    let changed = vec![(path("b.md"), b"text".to_vec())];
    assert_eq!(vault.next().await, Ok(DiskEvent::Changed { changed, removed: vec![], skipped: vec![] }));
}

/// The folders that this process watches, as the system tells them.
fn is_watched(folder: &Path) -> bool {
    let inode = format!("ino:{:x} ", fs::metadata(folder).expect("there").ino());
    let files = fs::read_dir("/proc/self/fdinfo").expect("listed").flatten();
    let told = files.filter_map(|file| fs::read_to_string(file.path()).ok());
    told.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .any(|line| line.starts_with("inotify ") && line.contains(&inode))
}

#[test]
fn folders_that_do_not_sync_are_not_watched() {
    let vault = Watched::new(&[("Plans/a.md", ""), (".aiemp/tmp", ""), (".git/objects/00/11", ""), ("Plans/.x", "")]);
    for (folder, is_expected) in
        [("", true), ("Plans", true), (".aiemp", false), (".git", false), (".git/objects/00", false)]
    {
        assert_eq!(is_watched(&vault.root.path().join(folder)), is_expected, "{folder}");
    }
}

#[tokio::test]
async fn a_dropped_watcher_ends_its_thread() {
    let root = tempdir().expect("a directory");
    let (sender, mut events) = mpsc::channel(1);
    drop(VaultWatcher::spawn(root.path(), sender, Written::default()).expect("watching"));
    assert_eq!(timeout(PATIENCE, events.recv()).await, Ok(None));
}

#[tokio::test]
async fn where_not_all_changes_are_told_scans_come_again_and_again() {
    let root = tempdir().expect("a directory");
    let (sender, mut events) = mpsc::channel(4);
    let tree = Tree::open(root.path()).expect("a vault");
    let every = Some(Duration::from_millis(20));
    let watcher = VaultWatcher::spawn_with(tree, sender, every, Written::default()).expect("watching");
    for _ in 0..3 {
        let event = timeout(PATIENCE, events.recv()).await.expect("in time");
        assert_eq!(event, Some(DiskEvent::Rescan));
    }
    assert_eq!(watcher.unwatched(), None);
}
