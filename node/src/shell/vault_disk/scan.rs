//! What differs between the vault on disk and what was last known to lie there.

use std::{collections::BTreeMap, ffi::OsStr};

use aiemp_crdt::vault::Projection;
use aiemp_protocol::{ids::ContentHash, vault_path::VaultPath};

use super::{
    DiskError,
    listing::Listing,
    reading::{self, Found, SkipReason},
    tree::{Missing, Tree},
};

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

pub(super) fn scan(tree: &Tree, known: &BTreeMap<String, Projection>) -> Result<Scan, DiskError> {
    let mut listing = Listing::of(tree)?;
    let mut scan = Scan { skipped: std::mem::take(&mut listing.skipped), ..Scan::default() };
    for (key, paths) in &listing.files {
        let known = known.get(key);
        // The spelling that is known stays the file; without one the first in byte order is.
        let chosen = paths.iter().position(|path| known.is_some_and(|known| known.path == *path)).unwrap_or(0);
        for (at, path) in paths.iter().enumerate() {
            if at == chosen {
                scan.read(tree, path, known);
            } else {
                scan.skipped.push((path.as_str().to_owned(), SkipReason::Twin));
            }
        }
    }
    let gone = known.iter().filter(|(key, _)| !listing.files.contains_key(*key) && !listing.is_closed(key));
    scan.removed.extend(gone.map(|(_, projection)| projection.path.clone()));
    Ok(scan)
}

impl Scan {
    fn read(&mut self, tree: &Tree, path: &VaultPath, known: Option<&Projection>) {
        let found = match tree.folder_of(path, Missing::Leave) {
            Ok(Some(folder)) => reading::read_steady(&folder, OsStr::new(path.name())),
            Ok(None) => Found::Nothing,
            Err(DiskError::Escape { .. }) => Found::Skipped(SkipReason::Symlink),
            Err(_) => Found::Skipped(SkipReason::Unreadable),
        };
        match found {
            Found::File { bytes, .. } => {
                let is_known = known.is_some_and(|known| known.path == *path && known.hash == ContentHash::of(&bytes));
                if !is_known {
                    self.changed.push((path.clone(), bytes));
                }
            }
            Found::Skipped(reason) => self.skipped.push((path.as_str().to_owned(), reason)),
            Found::Nothing | Found::Folder => self.removed.extend(known.map(|known| known.path.clone())),
        }
    }
}
