//! Names: which of the files with one name has it bare, and which numbers the others get.

use std::collections::BTreeMap;

use aiemp_protocol::{ids::FileId, vault_path::VaultPath};

use crate::index::Index;

/// Files of one name shown beside each other at most; beyond it something else is wrong.
const NAMESAKES_MAX: usize = 999;

/// Where the files belong that share their name with others, by canonical key.
///
/// A function of the index alone. It is kept from one entry to the next, because each load and write of such a file asks
/// for it, and to number one of them is to number all before it.
#[derive(Debug, Default)]
pub(super) struct Names {
    shared: BTreeMap<String, BTreeMap<FileId, VaultPath>>,
}

impl Names {
    /// The index is about to change.
    pub(super) fn forget(&mut self) {
        self.shared.clear();
    }

    /// Where a live file belongs. Of files with one name, the lowest id has it bare; the others get a number that no
    /// other file has as its name.
    pub(super) fn wanted(&mut self, index: &Index, file: FileId) -> Option<VaultPath> {
        let record = index.get(file)?;
        if record.is_archived() || record.base.shown().is_none() {
            return None;
        }
        let path = record.path.shown()?;
        let key = path.key();
        if index.namesakes(&key).next() == Some(file) {
            return Some(path.clone());
        }
        let places = self.shared.entry(key).or_insert_with_key(|key| places(index, key));
        places.get(&file).cloned()
    }
}

/// Where the files of one name belong; those that there are too many of are left out.
fn places(index: &Index, key: &str) -> BTreeMap<FileId, VaultPath> {
    // A number belongs to a spelling: of two that are one name, only one may have room for it, or be alone with it.
    let mut numbered = BTreeMap::new();
    let mut places = BTreeMap::new();
    for (before, file) in index.namesakes(key).take(NAMESAKES_MAX).enumerate() {
        let Some(path) = index.get(file).and_then(|record| record.path.shown()) else { continue };
        let place = match before.checked_sub(1) {
            None => Some(path.clone()),
            Some(nth) => {
                let (passed, numbers) = numbered.entry(path).or_insert_with(|| (0, free_numbers(index, path)));
                let skipped = nth - *passed;
                *passed = nth + 1;
                numbers.nth(skipped)
            }
        };
        places.extend(place.map(|place| (file, place)));
    }
    places
}

/// The path with each number that no file has as its name.
fn free_numbers<'a>(index: &'a Index, path: &'a VaultPath) -> impl Iterator<Item = VaultPath> + 'a {
    (2..NAMESAKES_MAX)
        .filter_map(|number| path.with_stem_suffix(&format!(" ({number})")).ok())
        .filter(|numbered| index.namesakes(&numbered.key()).next().is_none())
}

#[cfg(test)]
mod tests;
