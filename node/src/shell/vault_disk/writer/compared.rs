//! Replacing where the file system cannot exchange: compared first, then renamed over.

use std::path::Path;

use aiemp_crdt::vault::WriteOutcome;
use aiemp_protocol::ids::ContentHash;
use rustix::{
    fd::BorrowedFd,
    fs::{Mode, RenameFlags},
    io::Errno,
};

use super::{VaultDisk, place::Place};
use crate::shell::vault_disk::{
    DiskError,
    kept::{Kept, Temporary},
    reading::{self, Found},
};

/// Tells whether the file system exchanges two files and renames without replacing.
pub(super) fn probe(kept: &Kept, shown: &Path) -> Result<bool, DiskError> {
    let shown = shown.to_owned();
    let [a, b] = [kept.temporary(b"", Mode::RUSR, &shown)?, kept.temporary(b"", Mode::RUSR, &shown)?];
    let folder: BorrowedFd<'_> = kept.folder();
    let exchanged = rustix::fs::renameat_with(folder, &a.name, folder, &b.name, RenameFlags::EXCHANGE);
    let refused = rustix::fs::renameat_with(folder, &a.name, folder, &b.name, RenameFlags::NOREPLACE);
    Ok(exchanged.is_ok() && refused == Err(Errno::EXIST))
}

impl VaultDisk {
    /// `None`: something appeared at the path, or its folder vanished, or its name was changed by its case.
    ///
    /// A save between the comparison and the rename is lost.
    pub(super) fn replace_compared(
        &self,
        place: &Place<'_>,
        temporary: &Temporary<'_>,
        known: &[ContentHash],
    ) -> Result<Option<WriteOutcome>, DiskError> {
        let there = match reading::read(&place.folder, place.name()).unshared() {
            Found::File { bytes, .. } => bytes,
            Found::Nothing if place.other_spelling().is_some() => return Ok(None),
            Found::Nothing => {
                return match self.rename_new(&temporary.name, &place.folder, place.name()) {
                    Ok(()) => Ok(Some(WriteOutcome::Written)),
                    Err(Errno::EXIST | Errno::NOENT) => Ok(None),
                    Err(error) => Err(place.failed("write", error)),
                };
            }
            found @ (Found::Folder | Found::Skipped(_)) => return Err(place.unfit(&found)),
        };
        let hash = ContentHash::of(&there);
        let is_known = known.contains(&hash);
        if !is_known {
            let copy = self.kept.temporary(&there, Mode::RUSR | Mode::WUSR, &place.shown)?;
            self.kept.keep(&copy.name, hash).map_err(|error| place.failed("keep", error))?;
        }
        match rustix::fs::renameat(self.kept.folder(), &temporary.name, &place.folder, place.path.name()) {
            Ok(()) if is_known => Ok(Some(WriteOutcome::Written)),
            Ok(()) => Ok(Some(WriteOutcome::Displaced(there))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(place.failed("write", error)),
        }
    }
}
