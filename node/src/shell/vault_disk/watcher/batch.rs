//! Reads the paths that settled.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    hash::{BuildHasher, Hasher, RandomState},
    path::{Path, PathBuf},
    time::Instant,
};

use aiemp_protocol::vault_path::VaultPath;
use rustix::fd::OwnedFd;

use super::{
    DiskEvent,
    settle::{Due, Settle},
};
use crate::shell::vault_disk::{
    DiskError,
    listing::Listing,
    reading::{self, Found, SkipReason},
    saves::Saves,
    tree::{self, Missing, Tree},
    written::Written,
};

/// Reads below the vault's top, knowing which folders there were when it was last listed.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) tree: Tree,
    pub(super) folders: BTreeSet<String>,
    pub(super) hashes: RandomState,
    pub(super) written: Written,
}

/// The names in folders, listed once for a batch: of each the spelling that it shares with its twins, and its own, as numbers
/// in order. That two names have the same by chance costs a rescan at most.
pub(super) type Names = BTreeMap<String, Vec<[u64; 2]>>;

/// What a new folder holds.
#[derive(Debug, Default)]
pub(super) struct NewFolder {
    pub(super) files: Vec<PathBuf>,
    /// Whether something lies in it that does not sync, or beside it, or on the way to it, a name that differs in its spelling
    /// alone.
    pub(super) needs_rescan: bool,
}

impl Reader {
    /// Reads what is due; what cannot be judged alone goes back to `settle`. `None` when there is nothing to tell.
    pub(super) fn read(&self, due: Vec<Due>, settle: &mut Settle) -> Option<DiskEvent> {
        let (mut changed, mut removed, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        let (mut names, mut saves) = (Names::new(), Saves::default());
        let mut opened = None;
        for Due { path, is_busy } in due {
            let shown = path.to_string_lossy().into_owned();
            let Some(at) = parse(&path) else {
                skipped.push((shown, SkipReason::Name));
                continue;
            };
            // If it has a twin, that was told when it came.
            if self.is_own(&at, &mut opened) {
                continue;
            }
            match self.find(&at, &mut saves) {
                Found::File { is_linked: true, .. } => skipped.push((shown, SkipReason::HardLink)),
                Found::File { is_steady: false, .. } => {
                    if is_busy {
                        skipped.push((shown, SkipReason::Busy));
                    }
                    settle.again(path, Instant::now());
                }
                // Which of two twins is the file, only a scan can tell.
                Found::File { .. } if self.has_twin(&at, &mut names) => settle.rescan(Instant::now()),
                Found::File { bytes, .. } => changed.push((at, bytes)),
                Found::Skipped(reason) => skipped.push((shown, reason)),
                Found::Folder if self.folders.contains(&shown) => {}
                Found::Folder => settle.rescan(Instant::now()),
                Found::Nothing if self.folders.contains(&shown) => settle.rescan(Instant::now()),
                Found::Nothing => {
                    // Told to be gone, it must be told again when it is back, though it look the same.
                    self.written.take(&at);
                    // A twin of it was passed over until now, and nothing more may happen to that.
                    if self.has_twin(&at, &mut names) {
                        settle.rescan(Instant::now());
                    }
                    removed.push(at);
                }
            }
        }
        saves.sync();
        let is_empty = changed.is_empty() && removed.is_empty() && skipped.is_empty();
        (!is_empty).then_some(DiskEvent::Changed { changed, removed, skipped })
    }

    /// Looks into a folder that is new: until it is watched, what is made in it is told by nobody.
    pub(super) fn look_into(&mut self, folder: &Path, names: &mut Names) -> NewFolder {
        let Some(folder) = parse(folder) else { return NewFolder::default() };
        // Also one that is gone already: then its files are.
        self.folders.insert(folder.as_str().to_owned());
        let Ok(listing) = Listing::below(&self.tree, &folder) else { return NewFolder::default() };
        self.folders.extend(listing.folders);
        let needs_rescan = !listing.skipped.is_empty() || self.has_twin(&folder, names);
        let files = listing.files.into_values().flatten().map(|(path, _)| PathBuf::from(path.as_str()));
        NewFolder { files: files.collect(), needs_rescan }
    }

    /// Whether what this node wrote lies there as it was written. The folder stays open for the next file: thousands of one
    /// folder may come in a row.
    fn is_own(&self, path: &VaultPath, opened: &mut Option<(String, OwnedFd)>) -> bool {
        if opened.as_ref().is_none_or(|(folder, _)| folder != path.folder()) {
            *opened = self.folder_of(path).ok().flatten().map(|folder| (path.folder().to_owned(), folder));
        }
        let stamp = opened.as_ref().and_then(|(_, folder)| reading::look(folder, OsStr::new(path.name())));
        stamp.is_some_and(|stamp| self.written.content(path, stamp).is_some())
    }

    fn find(&self, path: &VaultPath, saves: &mut Saves) -> Found {
        match self.folder_of(path) {
            Ok(Some(folder)) => reading::read_save(&folder, OsStr::new(path.name()), saves),
            Ok(None) | Err(DiskError::InTheWay { .. }) => Found::Nothing,
            Err(DiskError::Escape { .. }) => Found::Skipped(SkipReason::Symlink),
            Err(_) => Found::Skipped(SkipReason::Unreadable),
        }
    }

    fn folder_of(&self, path: &VaultPath) -> Result<Option<OwnedFd>, DiskError> {
        self.tree.folder_of(path, Missing::Leave)
    }

    /// Whether the file, or a folder on the way to it, has a twin beside it.
    fn has_twin(&self, path: &VaultPath, names: &mut Names) -> bool {
        let text = path.as_str();
        let ends = text.match_indices('/').map(|(at, _)| at).chain([text.len()]);
        ends.filter_map(|end| VaultPath::parse(&text[..end]).ok()).any(|part| {
            let beside = names.entry(part.folder().to_owned()).or_insert_with(|| self.names_beside(&part));
            let Some([spelling, own]) = self.spellings(part.name()) else { return false };
            let first = beside.partition_point(|name| name[0] < spelling);
            beside[first..].iter().take_while(|name| name[0] == spelling).any(|name| name[1] != own)
        })
    }

    fn names_beside(&self, path: &VaultPath) -> Vec<[u64; 2]> {
        let Ok(Some(folder)) = self.folder_of(path) else { return Vec::new() };
        let entries = tree::entries(folder).unwrap_or_default();
        let mut names: Vec<_> = entries.iter().filter_map(|(name, _)| self.spellings(name.to_str()?)).collect();
        names.sort_unstable();
        names
    }

    /// What a name has in common with all that have its canonical key, and what is its own.
    fn spellings(&self, name: &str) -> Option<[u64; 2]> {
        let mut shared = self.hashes.build_hasher();
        if name.is_ascii() {
            let bytes = name.trim_end_matches(['.', ' ']).bytes();
            bytes.for_each(|byte| shared.write_u8(byte.to_ascii_lowercase()));
        } else {
            VaultPath::parse(name).ok()?.key().bytes().for_each(|byte| shared.write_u8(byte));
        }
        Some([shared.finish(), self.hashes.hash_one(name)])
    }
}

fn parse(path: &Path) -> Option<VaultPath> {
    VaultPath::parse(path.to_str()?).ok()
}
