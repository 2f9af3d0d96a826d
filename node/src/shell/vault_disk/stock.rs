//! What lies in a vault, without a node that has it open: for a look before it is paired or made a node's.

use std::{ffi::OsStr, path::Path};

use aiemp_protocol::{ids::ContentHash, limits::BLOB_BYTES_MAX, pairing::Listed, vault_path::VaultPath};

use super::{
    DiskError,
    listing::Listing,
    reading::{self, Found, SkipReason},
    stamps::Stamp,
    tree::{Missing, Tree},
};

/// The files of a vault by name, and what does not sync. Nothing is written, and dot names are not looked at.
#[derive(Debug)]
pub struct Stock {
    tree: Tree,
    /// Its files, by canonical path; of names that are one, the first.
    pub files: Vec<VaultPath>,
    /// Names that were not looked into, with the reason.
    pub skipped: Vec<(String, SkipReason)>,
}

impl Stock {
    /// Lists the vault.
    pub fn of(vault: &Path) -> Result<Self, DiskError> {
        let tree = Tree::open(vault)?;
        let Listing { files, mut skipped, .. } = Listing::with_stamps(&tree)?;
        let mut listed = Vec::new();
        for (nth, (path, stamp)) in files.into_values().flat_map(|paths| (0..).zip(paths)) {
            let reason = match stamp {
                _ if nth > 0 => Some(SkipReason::Twin),
                Some(Stamp { is_linked: true, .. }) => Some(SkipReason::HardLink),
                Some(Stamp { size, .. }) if size > BLOB_BYTES_MAX as u64 => Some(SkipReason::TooLarge),
                Some(_) | None => None,
            };
            match reason {
                Some(reason) => skipped.push((path.as_str().to_owned(), reason)),
                None => listed.push(path),
            }
        }
        Ok(Self { tree, files: listed, skipped })
    }

    /// Reads the files that are asked for, one after the other. What cannot be read, or is no single file, is left out: it
    /// does not sync either.
    pub fn read(&self, wanted: impl Fn(&VaultPath) -> bool) -> Vec<Listed> {
        self.files.iter().filter(|path| wanted(path)).filter_map(|path| self.look(path)).collect()
    }

    fn look(&self, path: &VaultPath) -> Option<Listed> {
        let folder = self.tree.folder_of(path, Missing::Leave).ok()??;
        match reading::read_steady(&folder, OsStr::new(path.name()), None) {
            Found::File { bytes, .. } => {
                let (hash, length) = (ContentHash::of(&bytes), bytes.len() as u64);
                Some(Listed { path: path.clone(), hash, length })
            }
            Found::Skipped(_) | Found::Nothing | Found::Folder => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn what_lies_in_a_vault_is_told_and_nothing_is_written() {
        let root = tempfile::tempdir().expect("a folder");
        let vault = root.path().join("vault");
        for folder in ["Plans", ".git", "Private"] {
            fs::create_dir_all(vault.join(folder)).expect("made");
        }
        for (at, text) in [("Plans/b.md", "b"), ("Plans/a.md", "one"), (".git/config", "x"), ("Private/a.md", "x")] {
            fs::write(vault.join(at), text).expect("written");
        }
        symlink("/etc/passwd", vault.join("Plans/link.md")).expect("a link");
        let stock = Stock::of(&vault).expect("it is there");
        let names: Vec<_> = stock.files.iter().map(VaultPath::as_str).collect();
        assert_eq!(names, ["Plans/a.md", "Plans/b.md", "Private/a.md"]);
        assert_eq!(stock.skipped, [("Plans/link.md".to_owned(), SkipReason::Symlink)]);
        let read = stock.read(|path| path.as_str().starts_with("Plans/"));
        let read: Vec<_> = read.iter().map(|file| (file.path.as_str(), file.hash, file.length)).collect();
        assert_eq!(read, [("Plans/a.md", ContentHash::of(b"one"), 3), ("Plans/b.md", ContentHash::of(b"b"), 1)]);
        assert_eq!(fs::read_dir(&vault).expect("listed").count(), 3, "nothing was made");
        assert!(Stock::of(&root.path().join("nowhere")).is_err());
    }
}
