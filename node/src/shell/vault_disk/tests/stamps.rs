use std::{fs, os::unix::fs::MetadataExt, path::Path, time::SystemTime};

use aiemp_protocol::ids::ContentHash;
use tempfile::{TempDir, tempdir};

use super::{path, paths, put};
use crate::shell::vault_disk::{
    Known, Scan, ScanSize, SkipReason, Stamp, Stamped, Stamps, VaultDisk, Written, scan, tree::Tree,
};

const SECOND: i64 = 1_000_000_000;
const TEXT: &str = "as it was\n";

fn vault() -> TempDir {
    let root = tempdir().expect("a directory");
    put(root.path(), "a/note.md", TEXT);
    root
}

fn known(text: &str) -> Known {
    let path = path("a/note.md");
    [(path.key(), (path, ContentHash::of(text.as_bytes())))].into()
}

fn looks(root: &Path) -> Stamp {
    Stamp::from(&fs::metadata(root.join("a/note.md")).expect("it is there"))
}

fn scanned(root: &Path, known: &Known, stamps: &mut Stamps, now: i64) -> Scan {
    scan::scan(&Tree::open(root).expect("a vault"), known, ScanSize::Whole, (stamps, &Written::default()), now)
        .expect("scanned")
}

/// As noted by a scan long after the file was written.
fn noted(root: &Path) -> Stamps {
    let mut stamps = Stamps::default();
    assert_eq!(scanned(root, &known(TEXT), &mut stamps, i64::MAX), Scan::default());
    assert_eq!(stamps.take_unsaved().len(), 1);
    stamps
}

#[test]
fn a_file_that_looks_as_it_did_is_not_read_again() {
    let root = vault();
    let mut stamps = Stamps::default();
    // Whoever read the file would see that this is not what it says.
    let other = Stamped { stamp: looks(root.path()), hash: ContentHash::of(b"another") };
    stamps.note(&path("a/note.md"), other, i64::MAX);
    assert_eq!(scanned(root.path(), &known("another"), &mut stamps, 0), Scan::default());
    let found = scanned(root.path(), &known("a third"), &mut stamps, 0);
    assert_eq!(paths(&found.changed), ["a/note.md"], "what it should say is something else, so it is read");
}

#[test]
fn content_that_was_changed_in_place_under_its_old_date_is_found() {
    let root = vault();
    let mut stamps = noted(root.path());
    let (before, at) = (looks(root.path()), root.path().join("a/note.md"));
    fs::write(&at, "as it IS!\n").expect("written");
    let modified = SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(before.modified.cast_unsigned());
    fs::File::options().write(true).open(&at).and_then(|file| file.set_modified(modified)).expect("dated back");
    let after = looks(root.path());
    assert_eq!((after.size, after.modified, after.inode), (before.size, before.modified, before.inode));
    let found = scanned(root.path(), &known(TEXT), &mut stamps, i64::MAX);
    assert_eq!(found.changed, [(path("a/note.md"), b"as it IS!\n".to_vec())]);
}

#[test]
fn what_was_written_within_two_seconds_of_the_look_is_read_at_the_next() {
    let root = vault();
    let mut stamps = Stamps::default();
    let written = looks(root.path()).changed;
    for (now, is_noted) in [(written + 2 * SECOND - 1, false), (written + 2 * SECOND, true), (i64::MIN, false)] {
        stamps.keep(&[].into());
        stamps.take_unsaved();
        assert_eq!(scanned(root.path(), &known(TEXT), &mut stamps, now), Scan::default());
        let content = stamps.content(&path("a/note.md"), looks(root.path()));
        assert_eq!(content, is_noted.then(|| ContentHash::of(TEXT.as_bytes())), "{now}");
    }
}

#[test]
fn a_file_that_got_another_name_or_went_is_looked_at_anew() {
    let root = vault();
    let mut stamps = noted(root.path());
    fs::hard_link(root.path().join("a/note.md"), root.path().join(".outside")).expect("linked");
    let found = scanned(root.path(), &known(TEXT), &mut stamps, i64::MAX);
    assert_eq!(found.skipped, [("a/note.md".to_owned(), SkipReason::HardLink)]);
    fs::remove_file(root.path().join("a/note.md")).expect("removed");
    let found = scanned(root.path(), &known(TEXT), &mut stamps, i64::MAX);
    assert_eq!(found.removed, [path("a/note.md")]);
    assert_eq!(stamps.take_unsaved().into_iter().map(|(_, stamped)| stamped).collect::<Vec<_>>(), [None]);
}

#[test]
fn a_file_of_now_is_noted_only_when_it_was_left_alone_by_the_clock_of_the_disk() {
    let root = vault();
    let disk = VaultDisk::open(root.path()).expect("a vault");
    let mut stamps = Stamps::default();
    disk.stamp([path("a/note.md"), path("none.md")].into_iter(), &mut stamps);
    assert!(stamps.take_unsaved().is_empty());
    let ago = SystemTime::now() - std::time::Duration::from_secs(60);
    let file = fs::File::options().write(true).open(root.path().join("a/note.md")).expect("it opens");
    file.set_modified(ago).expect("dated");
    disk.stamp([path("a/note.md")].into_iter(), &mut stamps);
    assert!(stamps.take_unsaved().is_empty(), "a date that was set says nothing");
    assert!(fs::metadata(root.path().join(".aiemp")).expect("it is there").mtime() > 0);
}
