//! The vault's files as the writer of the shell leaves them: by rename, never half written. A name is a file's or a
//! folder's, and a folder ends with its last file.

use std::collections::BTreeMap;

use aiemp_crdt::vault::{RemoveOutcome, WriteOutcome};
use aiemp_protocol::{ids::ContentHash, vault_path::VaultPath};

/// The files below the vault's top.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    /// Content by spelling, as on a file system that tells case apart.
    pub files: BTreeMap<VaultPath, Vec<u8>>,
    /// Saves that a write displaced, set aside until they are safe in the store.
    pub displaced: Vec<(VaultPath, Vec<u8>)>,
}

impl Disk {
    /// Exchanges the file with `bytes`, or puts it where nothing lies.
    pub fn write(&mut self, path: &VaultPath, bytes: Vec<u8>, expected: Option<ContentHash>) -> WriteOutcome {
        let lies_below = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
        let is_in_the_way =
            |other: &VaultPath| lies_below(other.as_str(), path.as_str()) || lies_below(path.as_str(), other.as_str());
        if self.files.keys().any(is_in_the_way) {
            return WriteOutcome::InTheWay;
        }
        match (self.files.get(path), expected) {
            (Some(there), None) => WriteOutcome::Occupied(there.clone()),
            (Some(there), Some(expected)) => {
                let outcome = if ContentHash::of(there) == expected {
                    WriteOutcome::Written
                } else {
                    self.displaced.push((path.clone(), there.clone()));
                    WriteOutcome::Displaced(there.clone())
                };
                self.files.insert(path.clone(), bytes);
                outcome
            }
            (None, _) => {
                self.files.insert(path.clone(), bytes);
                WriteOutcome::Written
            }
        }
    }

    /// Takes the file away.
    pub fn remove(&mut self, path: &VaultPath, expected: ContentHash) -> RemoveOutcome {
        match self.files.remove(path) {
            Some(bytes) if ContentHash::of(&bytes) != expected => {
                self.displaced.push((path.clone(), bytes.clone()));
                RemoveOutcome::Changed(bytes)
            }
            Some(_) | None => RemoveOutcome::Removed,
        }
    }
}
