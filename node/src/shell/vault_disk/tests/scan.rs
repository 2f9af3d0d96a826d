use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink, net::UnixListener},
    path::Path,
};

use aiemp_protocol::{ids::ContentHash, limits::BLOB_BYTES_MAX};
use tempfile::tempdir;

use super::{path, paths, put, scan_of};
use crate::shell::vault_disk::{DiskError, Known, Scan, ScanSize, SkipReason, Stamps, VaultDisk};

fn known(files: &[(&str, &str)]) -> Known {
    let entry = |(name, text): &(&str, &str)| {
        let (path, hash) = (path(name), ContentHash::of(text.as_bytes()));
        (path.key(), (path, hash))
    };
    files.iter().map(entry).collect()
}

fn scanned(root: &Path, known: &Known) -> Scan {
    let mut scan = scan_of(root, known).expect("scanned");
    scan.changed.sort();
    scan.skipped.sort();
    scan
}

#[test]
fn new_changed_respelled_and_removed_files_are_told() {
    let root = tempdir().expect("a directory");
    for (name, text) in [("same.md", "1"), ("Plans/changed.md", "2"), ("Plans/new.md", "3"), ("Respelled.md", "4")] {
        put(root.path(), name, text);
    }
    let known = known(&[
        ("same.md", "1"),
        ("Plans/changed.md", "old"),
        ("respelled.md", "4"),
        ("gone.md", "5"),
        ("Gone/too.md", "6"),
    ]);
    let scan = scanned(root.path(), &known);
    assert_eq!(paths(&scan.changed), ["Plans/changed.md", "Plans/new.md", "Respelled.md"]);
    assert_eq!(scan.changed[0].1, b"2");
    assert_eq!(scan.removed, [path("gone.md"), path("Gone/too.md")]);
    assert_eq!(scan.skipped, []);
}

#[test]
fn dot_names_are_not_looked_at() {
    let root = tempdir().expect("a directory");
    for name in [".env", ".aiemp/displaced-1", ".git/HEAD", "Plans/.hidden/a.md", "Plans/.b.md.swp"] {
        put(root.path(), name, "x");
    }
    assert_eq!(scanned(root.path(), &Known::new()), Scan::default());
}

#[test]
fn links_and_special_files_are_skipped_and_not_gone() {
    let (root, outside) = (tempdir().expect("a directory"), tempdir().expect("a directory"));
    let at = |name: &str| root.path().join(name);
    put(outside.path(), "secret.md", "secret");
    put(root.path(), "hard.md", "x");
    fs::hard_link(at("hard.md"), outside.path().join("other.md")).expect("linked");
    symlink(outside.path().join("secret.md"), at("link.md")).expect("linked");
    symlink(outside.path(), at("Folder")).expect("linked");
    let socket = UnixListener::bind(at("socket")).expect("bound");
    let scan = scanned(root.path(), &known(&[("link.md", "1"), ("Folder/secret.md", "2"), ("hard.md", "x")]));
    drop(socket);
    let skipped = [
        ("Folder", SkipReason::Symlink),
        ("hard.md", SkipReason::HardLink),
        ("link.md", SkipReason::Symlink),
        ("socket", SkipReason::Special),
    ];
    assert_eq!(scan.skipped, skipped.map(|(name, reason)| (name.to_owned(), reason)));
    assert_eq!((scan.changed, scan.removed), (vec![], vec![]));
}

#[test]
fn names_that_do_not_travel_and_large_files_are_skipped() {
    let root = tempdir().expect("a directory");
    for name in ["a:b.md", "back\\slash.md", "line\nbreak.md", "Fol:der/x.md", "fine...md", "trailing. "] {
        put(root.path(), name, name);
    }
    put(root.path(), &"x".repeat(255), "long");
    fs::write(root.path().join(OsStr::from_bytes(b"latin-\xe9.md")), "x").expect("written");
    fs::File::create(root.path().join("large")).and_then(|f| f.set_len(BLOB_BYTES_MAX as u64 + 1)).expect("made");
    let scan = scanned(root.path(), &known(&[("large", "1")]));
    assert_eq!(paths(&scan.changed), ["fine...md", "trailing. ", &"x".repeat(255)]);
    let mut skipped = ["Fol:der", "a:b.md", "back\\slash.md", "line\nbreak.md", "latin-\u{fffd}.md"]
        .map(|name| (name.to_owned(), SkipReason::Name))
        .to_vec();
    skipped.push(("large".to_owned(), SkipReason::TooLarge));
    skipped.sort();
    assert_eq!(scan.skipped, skipped);
    assert_eq!(scan.removed, []);
}

#[test]
fn of_twins_the_known_spelling_is_the_file() {
    let root = tempdir().expect("a directory");
    for name in ["Note.md", "note.md", "caf\u{e9}.md", "cafe\u{301}.md"] {
        put(root.path(), name, name);
    }
    let skipped = |names: [&str; 2]| names.map(|name| (name.to_owned(), SkipReason::Twin)).to_vec();
    let scan = scanned(root.path(), &Known::new());
    assert_eq!(paths(&scan.changed), ["Note.md", "cafe\u{301}.md"]);
    assert_eq!(scan.skipped, skipped(["caf\u{e9}.md", "note.md"]));
    let scan = scanned(root.path(), &known(&[("note.md", "note.md")]));
    assert_eq!(paths(&scan.changed), ["cafe\u{301}.md"]);
    assert_eq!(scan.skipped, skipped(["Note.md", "caf\u{e9}.md"]));
}

#[test]
fn a_vault_that_is_not_there_is_no_removal_of_everything() {
    let root = tempdir().expect("a directory");
    let error = scan_of(&root.path().join("unmounted"), &known(&[("a.md", "1")])).expect_err("refused");
    assert!(matches!(error, DiskError::Io { doing: "open", .. }), "{error}");
}

/// A vault with more new text than is read at once.
fn put_much(root: &Path) {
    for number in 0..5 {
        put(root, &format!("{number}.md"), &"x".repeat(3 << 20));
    }
}

#[test]
fn what_was_never_known_is_read_in_parts() {
    let root = tempdir().expect("a directory");
    put_much(root.path());
    put(root.path(), "known.md", "new");
    symlink("0.md", root.path().join("link.md")).expect("linked");
    let (disk, mut stamps) = (VaultDisk::open(root.path()).expect("a vault"), Stamps::default());
    let known = known(&[("known.md", "old")]);
    let mut part = disk.scan(&known, ScanSize::Known, &mut stamps).expect("scanned");
    assert_eq!(paths(&part.changed), ["known.md"]);
    let (mut read, mut skipped) = (Vec::new(), Vec::new());
    while let Some(rest) = part.take_rest() {
        part = disk.scan_on(rest, &mut stamps);
        assert!(part.changed.len() <= 2, "some megabytes at once");
        read.append(&mut part.changed);
        skipped.clone_from(&part.skipped);
    }
    assert_eq!(paths(&read), ["0.md", "1.md", "2.md", "3.md", "4.md"]);
    assert_eq!(skipped, [("link.md".to_owned(), SkipReason::Symlink)], "told once, at the end");
}

#[test]
fn where_a_known_file_is_gone_its_new_place_is_told_with_it() {
    let root = tempdir().expect("a directory");
    put_much(root.path());
    put(root.path(), "new-name.md", "moved");
    let (disk, mut stamps) = (VaultDisk::open(root.path()).expect("a vault"), Stamps::default());
    let known = known(&[("old-name.md", "moved")]);
    let mut scan = disk.scan(&known, ScanSize::Known, &mut stamps).expect("scanned");
    assert_eq!(scan.removed, [path("old-name.md")]);
    assert!(paths(&scan.changed).contains(&"new-name.md") && scan.take_rest().is_none(), "all of it at once");
}
