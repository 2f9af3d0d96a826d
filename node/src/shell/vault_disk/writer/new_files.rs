//! Many new files at once, which wait for the disk together.

use std::{collections::BTreeMap, ffi::OsStr, fs::File, path::PathBuf};

use aiemp_crdt::vault::WriteOutcome;
use aiemp_protocol::vault_path::VaultPath;
use rustix::{
    fd::OwnedFd,
    fs::{Advice, Mode},
};

use super::{VaultDisk, place};
use crate::shell::vault_disk::{DiskError, kept::Temporary, tree::Missing};

/// A folder that new files are put into.
struct Folder {
    opened: OwnedFd,
    mode: Mode,
    /// A file that was put there.
    new: Option<PathBuf>,
}

impl VaultDisk {
    /// Puts files at paths where nothing should lie now, with the outcome of [`VaultDisk::write`] for each.
    ///
    /// They are made in `.aiemp/`, all on their way to the disk before the first is waited for, and only then renamed into
    /// place. What is not as it should be at one of the paths is left to [`VaultDisk::write`], which tells what it is.
    pub fn write_new(&self, files: &[(VaultPath, Vec<u8>)]) -> Vec<Result<WriteOutcome, DiskError>> {
        let mut folders = BTreeMap::new();
        let made: Vec<_> = files.iter().map(|(path, bytes)| self.make(path, bytes, &mut folders)).collect();
        let made: Vec<_> = made.into_iter().map(|made| self.synced(made?)).collect();
        let placed: Vec<_> = made
            .into_iter()
            .zip(files)
            .map(|(made, file)| made.is_some_and(|made| self.put(made, file, &mut folders)))
            .collect();
        for folder in folders.values() {
            if let Some(new) = &folder.new {
                self.sync_folder(&folder.opened, new);
            }
        }
        let outcome = |(is_placed, (path, bytes)): (bool, &(VaultPath, Vec<u8>))| {
            if is_placed { Ok(WriteOutcome::Written) } else { self.write(path, bytes, None) }
        };
        placed.into_iter().zip(files).map(outcome).collect()
    }

    fn make<'f>(
        &self,
        path: &'f VaultPath,
        bytes: &[u8],
        folders: &mut BTreeMap<&'f str, Folder>,
    ) -> Option<(Temporary<'_>, File)> {
        if !folders.contains_key(path.folder()) {
            let opened = self.tree.folder_of(path, Missing::Create(&self.written)).ok()??;
            let mode = place::mode_in(&opened);
            folders.insert(path.folder(), Folder { opened, mode, new: None });
        }
        let folder = folders.get(path.folder())?;
        let (temporary, file) = self.kept.unsynced(bytes, folder.mode, &self.tree.shown(path)).ok()?;
        // What need not stay in memory begins to go to the disk at once. Where that is not so, waiting takes longer.
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).ok();
        Some((temporary, file))
    }

    fn synced<'t>(&self, (temporary, file): (Temporary<'t>, File)) -> Option<Temporary<'t>> {
        (self.kept.sync_file)(&file).is_ok().then_some(temporary)
    }

    /// False where something lies there, or the folder is gone.
    fn put(
        &self,
        made: Temporary<'_>,
        (path, bytes): &(VaultPath, Vec<u8>),
        folders: &mut BTreeMap<&str, Folder>,
    ) -> bool {
        let Some(folder) = folders.get_mut(path.folder()) else { return false };
        if self.rename_new(&made.name, &folder.opened, OsStr::new(path.name())).is_err() {
            return false;
        }
        let modified = made.modified;
        made.moved();
        self.note_written(&folder.opened, path, bytes, modified);
        folder.new = Some(self.tree.shown(path));
        true
    }
}
