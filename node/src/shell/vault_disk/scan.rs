//! What differs between the vault on disk and what was last known to lie there.

use std::{
    collections::{BTreeMap, VecDeque},
    ffi::OsStr,
};

use aiemp_protocol::{ids::ContentHash, vault_path::VaultPath};

use super::{
    DiskError,
    listing::Listing,
    reading::{self, Found, SkipReason},
    saves::Saves,
    stamps::{self, Stamp, Stamped, Stamps},
    tree::{Missing, Tree},
    written::Written,
};

/// What is known to lie at places: spelling and content, by canonical key.
pub type Known = BTreeMap<String, (VaultPath, ContentHash)>;

/// What a scan found. Dot names are not even looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// New files, and files whose content or spelling differs from what was known.
    pub changed: Vec<(VaultPath, Vec<u8>)>,
    /// Known files that are gone. A file that is skipped is not gone.
    pub removed: Vec<VaultPath>,
    /// Names that were not looked into, with the reason. `Busy` ones are worth another scan soon.
    pub skipped: Vec<(String, SkipReason)>,
    /// Places where nothing was known to lie, which [`scan_on`](super::VaultDisk::scan_on) reads.
    pub unread: VecDeque<VaultPath>,
}

/// What may be read at once: a vault as it is found the first time need not fit into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanSize {
    /// All of it.
    Whole,
    /// What differs where something was known to lie; new places are left unread, unless one that was known is gone: it may
    /// have moved to one of them.
    Known,
}

/// Bytes of new files that are read in one go.
const PART_BYTES: usize = 4 << 20;
/// So many small ones, so that whoever looks sees the work go on: as many as one entry takes.
const PART_FILES: usize = 256;

/// A scan under way.
struct Scanning<'s> {
    tree: &'s Tree,
    stamps: &'s mut Stamps,
    written: &'s Written,
    saves: Saves,
    /// The file system's time when it began.
    now: i64,
    scan: Scan,
}

pub(super) fn scan(
    tree: &Tree,
    known: &Known,
    size: ScanSize,
    (stamps, written): (&mut Stamps, &Written),
    now: i64,
) -> Result<Scan, DiskError> {
    let mut listing = Listing::with_stamps(tree)?;
    let scan = Scan { skipped: std::mem::take(&mut listing.skipped), ..Scan::default() };
    let mut scanning = Scanning { tree, stamps, written, saves: Saves::default(), now, scan };
    for (key, paths) in &listing.files {
        let known = known.get(key);
        // The spelling that is known stays the file; without one the first in byte order is.
        let chosen = paths.iter().position(|(path, _)| known.is_some_and(|known| known.0 == *path)).unwrap_or(0);
        for (at, (path, stamp)) in paths.iter().enumerate() {
            match known {
                _ if at != chosen => scanning.skip(path, SkipReason::Twin),
                Some(_) => scanning.look_at(path, *stamp, known),
                None => scanning.scan.unread.push_back(path.clone()),
            }
        }
    }
    let gone = known.iter().filter(|(key, _)| !listing.files.contains_key(*key) && !listing.is_closed(key));
    scanning.scan.removed.extend(gone.map(|(_, (path, _))| path.clone()));
    scanning.stamps.keep(&listing.files.values().flatten().map(|(path, _)| stamps::name_of(path)).collect());
    if size == ScanSize::Whole || !scanning.scan.removed.is_empty() {
        while scanning.read_part() {}
    }
    scanning.saves.sync();
    Ok(scanning.scan)
}

/// Reads some megabytes of what is unread, and skips what cannot be.
pub(super) fn scan_on(tree: &Tree, rest: Scan, (stamps, written): (&mut Stamps, &Written), now: i64) -> Scan {
    let mut scanning = Scanning { tree, stamps, written, saves: Saves::default(), now, scan: rest };
    scanning.read_part();
    scanning.saves.sync();
    scanning.scan
}

impl Scanning<'_> {
    /// Reads the next of what is unread; whether more is.
    fn read_part(&mut self) -> bool {
        let (mut bytes, mut seen) = (0, self.scan.changed.len());
        let mut files = 0;
        while bytes < PART_BYTES && files < PART_FILES {
            files += 1;
            let Some(path) = self.scan.unread.pop_front() else { return false };
            self.look_at(&path, None, None);
            bytes += self.scan.changed[seen..].iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
            seen = self.scan.changed.len();
        }
        true
    }

    fn look_at(&mut self, path: &VaultPath, stamp: Option<Stamp>, known: Option<&(VaultPath, ContentHash)>) {
        let is_known = |hash| known.is_some_and(|known| known.0 == *path && known.1 == hash);
        let content = |stamp| self.stamps.content(path, stamp).or_else(|| self.written.content(path, stamp));
        if stamp.and_then(content).is_some_and(is_known) {
            return;
        }
        let folder = match self.tree.folder_of(path, Missing::Leave) {
            Ok(Some(folder)) => folder,
            Ok(None) => return self.gone(known),
            Err(DiskError::Escape { .. }) => return self.skip(path, SkipReason::Symlink),
            Err(_) => return self.skip(path, SkipReason::Unreadable),
        };
        match reading::read_steady(&folder, OsStr::new(path.name()), Some(&mut self.saves)) {
            Found::File { bytes, stamp, .. } => {
                let hash = ContentHash::of(&bytes);
                self.stamps.note(path, Stamped { stamp, hash }, self.now);
                if !is_known(hash) {
                    self.scan.changed.push((path.clone(), bytes));
                }
            }
            Found::Skipped(reason) => self.skip(path, reason),
            Found::Nothing | Found::Folder => self.gone(known),
        }
    }

    fn gone(&mut self, known: Option<&(VaultPath, ContentHash)>) {
        self.scan.removed.extend(known.map(|known| known.0.clone()));
    }

    fn skip(&mut self, path: &VaultPath, reason: SkipReason) {
        self.scan.skipped.push((path.as_str().to_owned(), reason));
    }
}

impl Scan {
    /// Takes out what is still to be done, with what was skipped so far.
    pub fn take_rest(&mut self) -> Option<Self> {
        let unread = std::mem::take(&mut self.unread);
        (!unread.is_empty()).then(|| Self { unread, skipped: std::mem::take(&mut self.skipped), ..Self::default() })
    }
}
