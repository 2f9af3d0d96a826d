//! What differs between the vault on disk and what was last known to lie there.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
};

use aiemp_protocol::{ids::ContentHash, vault_path::VaultPath};

use super::{
    DiskError,
    listing::Listing,
    reading::{self, Found, SkipReason},
    stamps::{self, Stamp, StampName, Stamped, Stamps},
    tree::{Missing, Tree},
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
}

/// A scan under way.
struct Scanning<'s> {
    tree: &'s Tree,
    stamps: &'s mut Stamps,
    /// The file system's time when it began.
    now: i64,
    passed: BTreeSet<StampName>,
    scan: Scan,
}

pub(super) fn scan(tree: &Tree, known: &Known, stamps: &mut Stamps, now: i64) -> Result<Scan, DiskError> {
    let mut listing = Listing::with_stamps(tree)?;
    let scan = Scan { skipped: std::mem::take(&mut listing.skipped), ..Scan::default() };
    let mut scanning = Scanning { tree, stamps, now, passed: BTreeSet::new(), scan };
    for (key, paths) in &listing.files {
        let known = known.get(key);
        // The spelling that is known stays the file; without one the first in byte order is.
        let chosen = paths.iter().position(|(path, _)| known.is_some_and(|known| known.0 == *path)).unwrap_or(0);
        for (at, (path, stamp)) in paths.iter().enumerate() {
            if at == chosen {
                scanning.look_at(path, *stamp, known);
            } else {
                scanning.scan.skipped.push((path.as_str().to_owned(), SkipReason::Twin));
            }
        }
    }
    let Scanning { stamps, passed, mut scan, .. } = scanning;
    stamps.keep(&passed);
    let gone = known.iter().filter(|(key, _)| !listing.files.contains_key(*key) && !listing.is_closed(key));
    scan.removed.extend(gone.map(|(_, (path, _))| path.clone()));
    Ok(scan)
}

impl Scanning<'_> {
    fn look_at(&mut self, path: &VaultPath, stamp: Option<Stamp>, known: Option<&(VaultPath, ContentHash)>) {
        self.passed.insert(stamps::name_of(path));
        let is_known = |hash| known.is_some_and(|known| known.0 == *path && known.1 == hash);
        if stamp.and_then(|stamp| self.stamps.content(path, stamp)).is_some_and(is_known) {
            return;
        }
        let folder = match self.tree.folder_of(path, Missing::Leave) {
            Ok(Some(folder)) => folder,
            Ok(None) => return self.gone(known),
            Err(DiskError::Escape { .. }) => return self.skip(path, SkipReason::Symlink),
            Err(_) => return self.skip(path, SkipReason::Unreadable),
        };
        match reading::read_steady(&folder, OsStr::new(path.name())) {
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
