//! The names in the vault, before any file is read.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
};

use aiemp_protocol::vault_path::VaultPath;
use rustix::{
    fd::{AsFd, BorrowedFd},
    fs::FileType,
    io::Errno,
};

use super::{
    DiskError,
    reading::{self, SkipReason},
    stamps::Stamp,
    tree::{self, Missing, Tree},
};

/// Every name that does not start with a dot, from the top down, links not followed.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Regular files by canonical key; more than one where names are twins. With what they look like, if that was asked.
    pub(super) files: BTreeMap<String, Vec<(VaultPath, Option<Stamp>)>>,
    /// Folders that were looked into.
    pub(super) folders: BTreeSet<String>,
    /// Names that were not looked into.
    pub(super) skipped: Vec<(String, SkipReason)>,
    /// Canonical keys of skipped names: what lies there or below is not gone.
    closed: BTreeSet<String>,
    of: Of,
}

/// What a listing is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Of {
    Folders,
    #[default]
    Files,
    FilesWithStamps,
}

impl Listing {
    /// Lists the whole vault, and looks at each file without opening it: who watches is told of every opening.
    pub(super) fn with_stamps(tree: &Tree) -> Result<Self, DiskError> {
        Self { of: Of::FilesWithStamps, ..Self::default() }.filled(tree)
    }

    /// The folders of the vault, no matter what files lie in them.
    pub(super) fn folders(tree: &Tree) -> Result<BTreeSet<String>, DiskError> {
        Ok(Self { of: Of::Folders, ..Self::default() }.filled(tree)?.folders)
    }

    fn filled(mut self, tree: &Tree) -> Result<Self, DiskError> {
        self.add_folder(tree.top(), "").map_err(|error| DiskError::new("list", tree.path(), error))?;
        Ok(self)
    }

    /// Lists one folder and all below it.
    pub(super) fn below(tree: &Tree, folder: &VaultPath) -> Result<Self, DiskError> {
        let mut listing = Self::default();
        let failed = |error| DiskError::new("list", tree.shown(folder), error);
        let Some(parent) = tree.folder_of(folder, Missing::Leave)? else { return Ok(listing) };
        let opened = tree::open_folder(parent, OsStr::new(folder.name())).map_err(failed)?;
        listing.add_folder(opened.as_fd(), folder.as_str()).map_err(failed)?;
        Ok(listing)
    }

    /// Whether a canonical key lies at or below a name that was not looked into.
    pub(super) fn is_closed(&self, key: &str) -> bool {
        let ends = key.match_indices('/').map(|(at, _)| at).chain([key.len()]);
        ends.into_iter().any(|end| self.closed.contains(&key[..end]))
    }

    fn add_folder(&mut self, folder: BorrowedFd<'_>, at: &str) -> Result<(), Errno> {
        for (name, kind) in tree::entries(folder)? {
            if kind == FileType::RegularFile && self.of == Of::Folders {
                continue;
            }
            let shown = if at.is_empty() {
                name.to_string_lossy().into_owned()
            } else {
                format!("{at}/{}", name.to_string_lossy())
            };
            let Some(path) = name.to_str().and_then(|name| VaultPath::join(at, name).ok()) else {
                self.skipped.push((shown, SkipReason::Name));
                continue;
            };
            match kind {
                FileType::RegularFile => {
                    let stamp = (self.of == Of::FilesWithStamps).then(|| reading::look(folder, &name)).flatten();
                    self.files.entry(path.key()).or_default().push((path, stamp));
                }
                FileType::Directory => match tree::open_folder(folder, &name) {
                    Ok(child) => {
                        self.folders.insert(shown);
                        if self.add_folder(child.as_fd(), path.as_str()).is_err() {
                            self.skip(&path, SkipReason::Unreadable);
                        }
                    }
                    Err(Errno::NOENT) => {}
                    Err(_) => self.skip(&path, SkipReason::Unreadable),
                },
                FileType::Symlink => self.skip(&path, SkipReason::Symlink),
                FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown => self.skip(&path, SkipReason::Special),
            }
        }
        Ok(())
    }

    fn skip(&mut self, path: &VaultPath, reason: SkipReason) {
        self.closed.insert(path.key());
        self.skipped.push((path.as_str().to_owned(), reason));
    }
}
