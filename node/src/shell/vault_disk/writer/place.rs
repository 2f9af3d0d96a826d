//! The place of one file: its folder held open, and what may be done there.

use std::{ffi::OsStr, path::PathBuf};

use aiemp_protocol::vault_path::VaultPath;
use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, FileType, Mode},
    io::Errno,
};

use crate::shell::vault_disk::{
    DiskError,
    reading::{Found, SkipReason},
    tree,
};

const SET_GROUP: u32 = 0o2000;

/// The mode of a new file in a folder: its owner's alone, unless the folder hands its group on (set-group-id).
pub(super) fn mode_in(folder: &OwnedFd) -> Mode {
    let is_shared = rustix::fs::fstat(folder).is_ok_and(|folder| folder.st_mode & SET_GROUP != 0);
    Mode::from_raw_mode(if is_shared { 0o660 } else { 0o600 })
}

/// Where one file lies.
pub(super) struct Place<'p> {
    pub(super) folder: OwnedFd,
    pub(super) path: &'p VaultPath,
    pub(super) shown: PathBuf,
}

impl Place<'_> {
    pub(super) fn name(&self) -> &OsStr {
        OsStr::new(self.path.name())
    }

    /// The kind of file there; an error unless a file may be put in its place.
    pub(super) fn kind(&self) -> Result<Option<FileType>, DiskError> {
        let path = || self.shown.clone();
        match tree::kind_of(&self.folder, self.name()).map_err(|error| self.failed("look at", error))? {
            kind @ (Some(FileType::RegularFile) | None) => Ok(kind),
            Some(FileType::Symlink) => Err(DiskError::Escape { path: path() }),
            Some(_) => Err(DiskError::InTheWay { path: path() }),
        }
    }

    /// The path under which the file lies here, if none lies under this one: its name was changed by its case alone.
    pub(super) fn other_spelling(&self) -> Option<VaultPath> {
        if self.kind().is_ok_and(|kind| kind.is_some()) { None } else { self.twin() }
    }

    /// Another file here whose name differs in its spelling alone.
    pub(super) fn twin(&self) -> Option<VaultPath> {
        let key = self.path.key();
        let entries = tree::entries(&self.folder).ok()?.into_iter();
        let files = entries.filter(|(_, kind)| *kind == FileType::RegularFile);
        let mut paths = files.filter_map(|(name, _)| VaultPath::join(self.path.folder(), name.to_str()?).ok());
        paths.find(|other| other != self.path && other.key() == key)
    }

    /// Where nothing but empty folders lies there, they go.
    pub(super) fn take_empty_folder_away(&self) {
        if tree::kind_of(&self.folder, self.name()) == Ok(Some(FileType::Directory)) {
            tree::remove_empty(&self.folder, self.name());
        }
    }

    /// The mode for new content: that of the file it replaces, never executable, and no less than a new file gets there.
    pub(super) fn mode(&self) -> Result<Mode, DiskError> {
        let least = mode_in(&self.folder);
        if self.kind()?.is_none() {
            return Ok(least);
        }
        let replaced = rustix::fs::statat(&self.folder, self.path.name(), AtFlags::SYMLINK_NOFOLLOW);
        let replaced = replaced.map_or(least, |stat| Mode::from_raw_mode(stat.st_mode & 0o666));
        Ok(if least == Mode::RUSR | Mode::WUSR { replaced } else { replaced | least })
    }

    pub(super) fn unfit(&self, found: &Found) -> DiskError {
        let path = self.shown.clone();
        match found {
            Found::Skipped(SkipReason::Symlink) => DiskError::Escape { path },
            Found::Skipped(SkipReason::TooLarge) => DiskError::TooLarge { path },
            Found::Skipped(SkipReason::Unreadable) => DiskError::Denied { doing: "read", path },
            Found::Skipped(_) | Found::Folder | Found::Nothing | Found::File { .. } => DiskError::InTheWay { path },
        }
    }

    pub(super) fn failed(&self, doing: &'static str, error: Errno) -> DiskError {
        DiskError::naming(doing, &self.shown, error)
    }
}
