//! The disk side of the vault against a real directory.

mod new_files;
mod races;
mod scan;
mod stamps;
mod watcher;
mod writer;
mod written;

use std::{fs, path::Path};

use aiemp_protocol::vault_path::VaultPath;
use rustix::io::Errno;

use super::{DiskError, Known, Scan, ScanSize, Stamps, Written, tree::Tree};

fn path(text: &str) -> VaultPath {
    VaultPath::parse(text).expect("a valid path")
}

fn paths(files: &[(VaultPath, Vec<u8>)]) -> Vec<&str> {
    files.iter().map(|(path, _)| path.as_str()).collect()
}

/// Writes a file and the folders on its way.
fn put(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("below the top")).expect("folders");
    fs::write(path, text).expect("written");
}

/// What a scan of the folder finds.
fn scan_of(root: &Path, known: &Known) -> Result<Scan, DiskError> {
    super::scan::scan(&Tree::open(root)?, known, ScanSize::Whole, (&mut Stamps::default(), &Written::default()), 0)
}

/// The names in `.aiemp/`.
fn kept(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join(".aiemp")).expect("listed");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn every_error_says_what_to_do() {
    let error = |errno| DiskError::new("write", "/vault/a.md", errno).to_string();
    let texts = [
        (Errno::NOSPC, "no space left to write /vault/a.md; free some space, nothing was lost and it is tried again"),
        (Errno::ACCESS, "no permission to write /vault/a.md; give the node's user read and write access to the vault"),
        (Errno::ROFS, "/vault/a.md lies on a read-only file system; mount it writable"),
        (Errno::XDEV, "/vault/a.md lies on another file system than the vault's top; keep the whole vault on one"),
        (
            Errno::IO,
            "cannot write /vault/a.md: Input/output error (os error 5); \
             check that the disk is sound and the vault still mounted",
        ),
    ];
    for (errno, text) in texts {
        assert_eq!(error(errno), text);
    }
    let path = || "/vault/a.md".into();
    let texts = [
        (
            DiskError::Escape { path: path() },
            "/vault/a.md is a symbolic link, and the vault is never written through links; \
             put the folder or file itself there",
        ),
        (
            DiskError::InTheWay { path: path() },
            "/vault/a.md is in the way of a synced file or folder; move it to another name",
        ),
        (
            DiskError::naming("write", path(), Errno::INVAL),
            "the file system takes no such name: /vault/a.md; rename the file or folder on a node that has it",
        ),
        (DiskError::TooLarge { path: path() }, "/vault/a.md is larger than 33554432 bytes; move it out of the vault"),
        (
            DiskError::Unsteady { path: path() },
            "/vault/a.md changed each time it was about to be written; close the program that keeps changing it",
        ),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
}
