//! Many new files at once: one wait for the disk serves all of them.

use std::{collections::BTreeMap, ffi::OsStr, path::PathBuf};

use aiemp_crdt::vault::WriteOutcome;
use aiemp_protocol::vault_path::VaultPath;
use rustix::{fd::OwnedFd, fs::Mode};

use super::{VaultDisk, place};
use crate::shell::vault_disk::{DiskError, kept::Temporary, tree::Missing};

/// So few are synced one by one: what all programs wrote lately need not go to disk for them.
const FEW: usize = 8;

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
    /// They are made in `.aiemp/`, synced together, and only then renamed into place. What is not as it should be at one of
    /// the paths is left to [`VaultDisk::write`], which tells what it is.
    pub fn write_new(&self, files: &[(VaultPath, Vec<u8>)]) -> Vec<Result<WriteOutcome, DiskError>> {
        if files.len() <= FEW {
            return files.iter().map(|(path, bytes)| self.write(path, bytes, None)).collect();
        }
        let mut folders = BTreeMap::new();
        let made: Vec<_> = files.iter().map(|(path, bytes)| self.make(path, bytes, &mut folders)).collect();
        let is_synced = self.kept.sync().is_ok();
        let placed: Vec<_> = made
            .into_iter()
            .zip(files)
            .map(|(made, file)| is_synced && made.is_some_and(|made| self.put(made, file, &mut folders)))
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
    ) -> Option<Temporary<'_>> {
        if !folders.contains_key(path.folder()) {
            let opened = self.tree.folder_of(path, Missing::Create).ok()??;
            let mode = place::mode_in(&opened);
            folders.insert(path.folder(), Folder { opened, mode, new: None });
        }
        let folder = folders.get(path.folder())?;
        let (temporary, _) = self.kept.unsynced(bytes, folder.mode, &self.tree.shown(path)).ok()?;
        Some(temporary)
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
        made.moved();
        self.note_written(&folder.opened, path, bytes);
        folder.new = Some(self.tree.shown(path));
        true
    }
}
