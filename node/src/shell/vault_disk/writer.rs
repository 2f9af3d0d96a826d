//! Files put on disk and taken off it, so that no interleaving with an editor loses a save.

use std::{ffi::OsStr, path::Path};

use aiemp_crdt::vault::{RemoveOutcome, WriteOutcome};
use aiemp_keys::NodeId;
use aiemp_protocol::{ids::ContentHash, vault_path::VaultPath};
use rustix::{fd::OwnedFd, fs::RenameFlags, io::Errno};

use self::{compared::probe, place::Place};
use super::{
    DiskError, file_system,
    kept::{Kept, Temporary},
    mark::{self, FolderId},
    reading::{self, Found},
    saves::Saves,
    scan::{self, Known, Scan, ScanSize},
    stamps::{Stamped, Stamps},
    tree::{self, Missing, Tree},
    written::{Own, Written},
};

mod compared;
mod emptied;
mod new_files;
mod place;

/// How often a write starts over because the path changed under it.
const ATTEMPTS: usize = 16;

/// The vault's directory, for writing.
///
/// A file is made in `.aiemp/`, synced, and renamed into place: where a file is expected by exchanging the two, which
/// gives back what was really there, else by a rename that never replaces. Blocks; safe to use from several threads.
#[derive(Debug)]
pub struct VaultDisk {
    tree: Tree,
    kept: Kept,
    can_exchange: bool,
    written: Written,
}

impl VaultDisk {
    /// Opens the vault's top, makes `.aiemp/` in it, and clears up what an interrupted run left there.
    pub fn open(root: &Path) -> Result<Self, DiskError> {
        let tree = Tree::open(root)?;
        let kept = Kept::open(&tree)?;
        let can_exchange = probe(&kept, tree.path())?;
        if !can_exchange {
            tracing::warn!(
                vault = %tree.path().display(),
                "the file system cannot exchange files: a save within the same moment as a merge may be lost"
            );
        }
        Ok(Self { tree, kept, can_exchange, written: Written::default() })
    }

    /// Which folder this is.
    pub const fn folder(&self) -> FolderId {
        self.tree.id()
    }

    /// Whether the vault's path still stands for this folder: it may have been moved away, or something mounted over it.
    pub fn is_in_place(&self) -> bool {
        self.tree.is_in_place()
    }

    /// Marks the folder as the vault of a node with this home.
    pub fn mark(&self, node: NodeId, home: &Path) -> Result<(), DiskError> {
        self.kept.mark(&mark::name_of(node), &mark::text_of(self.folder(), home))
    }

    /// Looks at the whole vault and compares it with `known`, by canonical key; how much of it is read, `size` says.
    ///
    /// Fails only if the vault's top cannot be listed, so that an unmounted disk is no mass removal.
    /// Files that look as they did when they were read are not read again.
    pub fn scan(&self, known: &Known, size: ScanSize, stamps: &mut Stamps) -> Result<Scan, DiskError> {
        scan::scan(&self.tree, known, size, (stamps, &self.written), self.kept.time())
    }

    /// Reads some megabytes of what a scan left unread. What is gone by then was never known.
    pub fn scan_on(&self, rest: Scan, stamps: &mut Stamps) -> Scan {
        scan::scan_on(&self.tree, rest, (stamps, &self.written), self.kept.time())
    }

    /// What this disk wrote lately, for whoever watches the vault.
    pub fn written(&self) -> Written {
        self.written.clone()
    }

    /// What was written at a path is no longer told from what others write there.
    pub fn forget_written(&self, path: &VaultPath) {
        self.written.take(path);
    }

    /// Notes what a file looks like that was just written, where nobody else can make it look so.
    pub fn stamp_own(&self, path: &VaultPath, stamps: &mut Stamps) {
        if let Some(stamped) = self.written.certain(path) {
            stamps.note_own(path, stamped);
        }
    }

    /// Notes what these files look like: for those that were written or read while that could not be told. Those that do
    /// not say what was written there, though they looked so, are the answer.
    pub fn stamp(&self, paths: impl Iterator<Item = VaultPath>, stamps: &mut Stamps) -> Vec<(VaultPath, Vec<u8>)> {
        let now = self.kept.time();
        let mut changed = Vec::new();
        for path in paths {
            let own = self.written.take(&path);
            if own.is_some_and(|own| own.is_certain) {
                continue;
            }
            let Ok(Some(place)) = self.place(&path, Missing::Leave) else { continue };
            let found = reading::read(&place.folder, place.name()).unshared();
            drop(place);
            if let Found::File { bytes, is_steady: true, stamp, .. } = found {
                let hash = ContentHash::of(&bytes);
                stamps.note(&path, Stamped { stamp, hash }, now);
                if own.is_some_and(|own| own.stamped.hash != hash) {
                    changed.push((path, bytes));
                }
            }
        }
        changed
    }

    /// The name of the vault's file system, if others may change files there without this system telling.
    pub fn remote(&self) -> Option<&'static str> {
        file_system::remote(self.tree.top())
    }

    /// Whether the file system lacks the exchange, so that content is compared right before the rename instead.
    pub const fn fallback(&self) -> bool {
        !self.can_exchange
    }

    /// Puts `bytes` at `path`, where content with the digest `expected` should lie now, or nothing.
    ///
    /// The file and its directory entry are on disk when this returns, if the folder can be synced. On an error nothing
    /// changed at the path. A folder there that holds no file makes way. What is expected there and lies there under
    /// another spelling keeps that: a second spelling would be a second file.
    pub fn write(
        &self,
        path: &VaultPath,
        bytes: &[u8],
        expected: Option<ContentHash>,
    ) -> Result<WriteOutcome, DiskError> {
        for _ in 0..ATTEMPTS {
            let Some(place) = self.place(path, Missing::Create(&self.written))? else { continue };
            let spelt = expected.and_then(|_| place.other_spelling());
            let place = match &spelt {
                Some(path) => Place { path, shown: self.tree.shown(path), ..place },
                None => place,
            };
            place.take_empty_folder_away();
            let temporary = self.kept.temporary(bytes, place.mode()?, &place.shown)?;
            let modified = temporary.modified;
            let outcome = match expected {
                Some(expected) => self.replace(&place, temporary, bytes, expected)?,
                None => self.create(&place, temporary, bytes)?,
            };
            if let Some(outcome) = outcome {
                self.sync_folder(&place.folder, &place.shown);
                match outcome {
                    WriteOutcome::Written => self.note_written(&place.folder, place.path, bytes, modified),
                    WriteOutcome::Displaced(_)
                    | WriteOutcome::Occupied(_)
                    | WriteOutcome::InTheWay
                    | WriteOutcome::Failed => self.forget_written(place.path),
                }
                return Ok(outcome);
            }
        }
        Err(DiskError::Unsteady { path: self.tree.shown(path) })
    }

    /// Takes away the file at `path`, where content with the digest `expected` should lie.
    pub fn remove(&self, path: &VaultPath, expected: ContentHash) -> Result<RemoveOutcome, DiskError> {
        Ok(self.take_off(path, expected)?.unwrap_or(RemoveOutcome::Removed))
    }

    /// The same, with the folders that are empty by it. One that a person emptied stays.
    pub fn remove_with_folders(&self, path: &VaultPath, expected: ContentHash) -> Result<RemoveOutcome, DiskError> {
        let taken_off = self.take_off(path, expected)?;
        if taken_off == Some(RemoveOutcome::Removed) {
            self.remove_emptied(path);
        }
        Ok(taken_off.unwrap_or(RemoveOutcome::Removed))
    }

    /// `None`: nothing lay there.
    fn take_off(&self, path: &VaultPath, expected: ContentHash) -> Result<Option<RemoveOutcome>, DiskError> {
        let Some(place) = self.place(path, Missing::Leave)? else { return Ok(None) };
        if place.kind()?.is_none() {
            return Ok(None);
        }
        let held = self.kept.held_name(&[expected]);
        match rustix::fs::renameat(&place.folder, place.path.name(), self.kept.folder(), &held) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(place.failed("remove", error)),
        }
        let displaced =
            self.displaced(&place, held, &[expected], &|held| self.rename_new(held, &place.folder, place.name()))?;
        self.sync_folder(&place.folder, &place.shown);
        Ok(Some(displaced.map_or(RemoveOutcome::Removed, RemoveOutcome::Changed)))
    }

    /// The file that lies at a path now; `None` when there is none that syncs.
    pub fn read(&self, path: &VaultPath) -> Option<Vec<u8>> {
        let place = self.place(path, Missing::Leave).ok()??;
        Self::bytes_of(reading::read(&place.folder, place.name()))
    }

    /// The same, for the mesh to take in: it is on disk when this returns.
    pub fn read_save(&self, path: &VaultPath) -> Option<Vec<u8>> {
        let place = self.place(path, Missing::Leave).ok()??;
        let mut saves = Saves::default();
        let found = reading::read_save(&place.folder, place.name(), &mut saves);
        saves.sync();
        Self::bytes_of(found)
    }

    fn bytes_of(found: Found) -> Option<Vec<u8>> {
        match found {
            Found::File { bytes, is_linked: false, .. } => Some(bytes),
            Found::File { is_linked: true, .. } | Found::Nothing | Found::Folder | Found::Skipped(_) => None,
        }
    }

    /// Whether another file lies beside it whose name differs in its spelling alone: which of the two is the file, only a
    /// scan can tell.
    pub fn has_twin(&self, path: &VaultPath) -> bool {
        self.place(path, Missing::Leave).is_ok_and(|place| place.is_some_and(|place| place.twin().is_some()))
    }

    /// Whether nothing at all lies at a path now.
    pub fn lacks(&self, path: &VaultPath) -> bool {
        match self.place(path, Missing::Leave) {
            Ok(Some(place)) => matches!(reading::read(&place.folder, place.name()), Found::Nothing),
            Ok(None) => true,
            Err(_) => false,
        }
    }

    /// Displaced saves that an earlier run did not let go of: it ended before they were safe elsewhere.
    pub fn interrupted_saves(&self) -> Result<Vec<Vec<u8>>, DiskError> {
        self.kept.displaced()
    }

    /// Lets go of a save that a write or removal displaced: it is safe elsewhere.
    pub fn forget_displaced(&self, hash: ContentHash) {
        self.kept.forget(hash);
    }

    /// Saves by programs that still had a file open when it was replaced or removed, each told once.
    ///
    /// Such a save was made on what lay at the path before; where that was, is unknown if an earlier run took the file
    /// off. Call it every few seconds and before stopping; the bytes stay kept as displaced ones.
    pub fn late_saves(&self) -> Vec<(Option<VaultPath>, Vec<u8>)> {
        self.kept.late_saves()
    }

    /// Behaves as on a file system without the exchange.
    #[cfg(test)]
    pub(super) const fn forgo_exchange(&mut self) {
        self.can_exchange = false;
    }

    /// Lets the time pass in which a program may still write to what was replaced or removed.
    #[cfg(test)]
    pub(super) fn pass_late_wait(&self) {
        self.kept.pass_late_wait();
    }

    /// Behaves as on a disk that cannot be written to.
    #[cfg(test)]
    pub(super) fn break_file_sync(&mut self) {
        self.kept.sync_file = |_| Err(std::io::ErrorKind::StorageFull.into());
    }

    /// Behaves as on a disk that does not sync folders any more.
    #[cfg(test)]
    pub(super) fn break_sync(&mut self) {
        self.kept.sync_folder = |_| Err(Errno::IO);
    }

    /// What was renamed into place or away is so, also where the folder does not sync: only the power must not fail. To
    /// call it undone would be to take it for the work of another hand.
    fn sync_folder(&self, folder: &OwnedFd, shown: &Path) {
        if let Err(error) = (self.kept.sync_folder)(folder) {
            let error = DiskError::new("sync the folder of", shown, error);
            tracing::error!(%error, "a change is in place, but may not outlast a power failure");
        }
    }

    /// `modified` is the date that the file was given.
    fn note_written(&self, folder: &OwnedFd, path: &VaultPath, bytes: &[u8], modified: Option<i64>) {
        if let Some(stamp) = reading::look(folder, OsStr::new(path.name())).filter(|stamp| !stamp.is_linked) {
            let stamped = Stamped { stamp, hash: ContentHash::of(bytes) };
            self.written.note(path, Own { stamped, is_certain: modified == Some(stamp.modified) });
        }
    }

    fn place<'p>(&self, path: &'p VaultPath, missing: Missing<'_>) -> Result<Option<Place<'p>>, DiskError> {
        let folder = self.tree.folder_of(path, missing)?;
        Ok(folder.map(|folder| Place { folder, path, shown: self.tree.shown(path) }))
    }

    /// `None`: something appeared at the path, or its folder vanished.
    fn create(
        &self,
        place: &Place<'_>,
        temporary: Temporary<'_>,
        bytes: &[u8],
    ) -> Result<Option<WriteOutcome>, DiskError> {
        match self.rename_new(&temporary.name, &place.folder, place.name()) {
            Ok(()) => {
                temporary.moved();
                Ok(Some(WriteOutcome::Written))
            }
            Err(Errno::EXIST) => {
                let mut found = reading::read(&place.folder, place.name());
                if matches!(found, Found::File { is_steady: false, .. }) {
                    found = reading::read_when_quiet(&place.folder, place.name());
                }
                match found.unshared() {
                    Found::File { bytes: there, .. } if there == bytes => Ok(Some(WriteOutcome::Written)),
                    Found::File { bytes: there, .. } => Ok(Some(WriteOutcome::Occupied(there))),
                    Found::Nothing => Ok(None),
                    found @ (Found::Folder | Found::Skipped(_)) => Err(place.unfit(&found)),
                }
            }
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(place.failed("write", error)),
        }
    }

    /// `None`: something appeared at the path, or its folder vanished, or its name was changed by its case.
    fn replace(
        &self,
        place: &Place<'_>,
        temporary: Temporary<'_>,
        bytes: &[u8],
        expected: ContentHash,
    ) -> Result<Option<WriteOutcome>, DiskError> {
        let known = [expected, ContentHash::of(bytes)];
        if !self.can_exchange {
            return self.replace_compared(place, &temporary, &known);
        }
        let held = self.kept.hold(temporary, &known).map_err(|error| place.failed("write", error))?;
        match self.exchange(&held, place) {
            Ok(()) => {}
            Err(Errno::NOENT) => {
                let renamed = match place.other_spelling() {
                    Some(_) => Err(Errno::NOENT),
                    None => self.rename_new(&held, &place.folder, place.name()),
                };
                return match renamed {
                    Ok(()) => Ok(Some(WriteOutcome::Written)),
                    Err(error) => {
                        self.kept.unlink(&held);
                        let is_changed = matches!(error, Errno::EXIST | Errno::NOENT);
                        if is_changed { Ok(None) } else { Err(place.failed("write", error)) }
                    }
                };
            }
            Err(error) => {
                self.kept.unlink(&held);
                return Err(place.failed("write", error));
            }
        }
        let displaced = self.displaced(place, held, &known, &|held| self.exchange(held, place))?;
        Ok(Some(displaced.map_or(WriteOutcome::Written, WriteOutcome::Displaced)))
    }

    /// Judges what was taken off the path: `None` if its content is among `known`, else the bytes, which stay kept.
    ///
    /// What is no file that syncs is put back with `put_back`.
    fn displaced(
        &self,
        place: &Place<'_>,
        held: String,
        known: &[ContentHash],
        put_back: &dyn Fn(&str) -> Result<(), Errno>,
    ) -> Result<Option<Vec<u8>>, DiskError> {
        let folder = self.kept.folder();
        let is_known =
            |found: &Found| matches!(found, Found::File { bytes, .. } if known.contains(&ContentHash::of(bytes)));
        let mut found = reading::read(folder, OsStr::new(&held));
        if !is_known(&found) {
            found = found.unshared();
        }
        if matches!(found, Found::File { .. }) && !is_known(&found) {
            // An editor may be in the middle of a save in place.
            found = reading::read_when_quiet(folder, OsStr::new(&held)).unshared();
        }
        if is_known(&found) {
            self.kept.watch(held, Some(place.path), known);
            return Ok(None);
        }
        let Found::File { bytes, .. } = found else {
            put_back(&held).map_err(|error| place.failed("put back", error))?;
            self.discard(&held, known);
            return Err(place.unfit(&found));
        };
        let hash = ContentHash::of(&bytes);
        let kept = match self.kept.keep(&held, hash) {
            Ok(kept) => kept,
            Err(error) => {
                put_back(&held).map_err(|error| place.failed("put back", error))?;
                self.discard(&held, known);
                return Err(place.failed("keep", error));
            }
        };
        self.kept.watch(kept, Some(place.path), &[hash]);
        Ok(Some(bytes))
    }

    /// Takes away what came back in exchange, unless it is a save; that stays for the next start to keep.
    fn discard(&self, held: &str, known: &[ContentHash]) {
        if let Found::File { bytes, .. } = reading::read(self.kept.folder(), OsStr::new(held))
            && known.contains(&ContentHash::of(&bytes))
        {
            self.kept.unlink(held);
        }
    }

    fn exchange(&self, held: &str, place: &Place<'_>) -> Result<(), Errno> {
        let name = place.path.name();
        rustix::fs::renameat_with(self.kept.folder(), held, &place.folder, name, RenameFlags::EXCHANGE)
    }

    /// Renames from `.aiemp/` to a place unless something lies there.
    fn rename_new(&self, from: &str, folder: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
        let kept = self.kept.folder();
        if self.can_exchange {
            return rustix::fs::renameat_with(kept, from, folder, name, RenameFlags::NOREPLACE);
        }
        match tree::kind_of(folder, name)? {
            Some(_) => Err(Errno::EXIST),
            None => rustix::fs::renameat(kept, from, folder, name),
        }
    }
}
