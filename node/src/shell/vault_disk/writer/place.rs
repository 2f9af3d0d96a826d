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

    /// The mode for new content: that of the file it replaces, never executable.
    pub(super) fn mode(&self) -> Result<Mode, DiskError> {
        if self.kind()?.is_none() {
            return Ok(Mode::RUSR | Mode::WUSR);
        }
        let stat = rustix::fs::statat(&self.folder, self.path.name(), AtFlags::SYMLINK_NOFOLLOW);
        Ok(stat.map_or(Mode::RUSR | Mode::WUSR, |stat| Mode::from_raw_mode(stat.st_mode & 0o666)))
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
        DiskError::new(doing, &self.shown, error)
    }
}
