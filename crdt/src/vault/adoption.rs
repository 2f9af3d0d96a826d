//! A vault that was there before its node: what two of them hold alike is one file.

use aiemp_protocol::{
    ids::{ContentHash, FileId},
    limits::BLOB_BYTES_MAX,
    vault_path::VaultPath,
    zone::Zone,
};

use super::{Choice, Output, Vault, open::Task};
use crate::conflict::Conflict;

impl Vault {
    /// No start before this one looked through the vault to its end: what lies there is adopted.
    pub const fn adopts(&mut self) {
        self.adopts = true;
    }

    /// Whether what lies in the vault is still being adopted.
    pub const fn is_adopting(&self) -> bool {
        self.adopts
    }

    /// The id of a file that appeared on disk.
    ///
    /// That of an adopted one follows from place and content, so that other nodes with the same file come to the same id.
    /// It may be known to others, and taken by them in advance: then the file has the next one, as any other.
    pub(super) fn id_of_found(&mut self, path: &VaultPath, zone: Zone, hash: ContentHash, bytes: &[u8]) -> FileId {
        let copied = self.copied_from(zone, hash, bytes);
        let first = match copied.filter(|other| !self.adopts || self.is_of_others(*other)) {
            Some(other) => other.copied_to(zone, &path.key()),
            None if self.adopts => FileId::adopted(zone, &path.key(), hash),
            None => self.fresh_id(zone, bytes.len()),
        };
        self.free_id(first)
    }

    /// Whether these two are what two vaults held at one place. Nobody can say which of them was meant.
    pub(super) fn are_adopted_apart(&self, one: FileId, other: FileId) -> bool {
        let is_adopted = |file| self.index.get(file).is_some_and(|record| record.is_adopted);
        one.zone == other.zone && is_adopted(one) && is_adopted(other)
    }

    /// Whether this node may decide between them in this way.
    pub(super) fn can_resolve_adoption(&self, item: &Conflict, choice: &Choice) -> bool {
        let (may_write, may_archive) =
            (self.boundaries.may_write(item.file.zone), self.boundaries.may_archive(item.file.zone));
        match choice {
            Choice::Side(number) => *number < item.sides.len() && may_archive,
            Choice::Both => may_write && self.place_chosen(item, choice).is_some(),
            Choice::With(bytes) => bytes.len() <= BLOB_BYTES_MAX && may_write && may_archive,
        }
    }

    /// The one that goes, or its new name, closes the item on every node. What stays is said to stay: whoever lets that
    /// one go without having heard of it contradicts, and it stays in sight.
    pub(super) fn resolve_adoption(&mut self, item: &Conflict, choice: Choice) {
        let Some(first) = self.names.namesakes(&item.path.key()).next() else { return };
        match choice {
            Choice::Both => {
                self.resolve_place(item, &choice);
                self.set_archived(first, false);
                self.set_archived(item.file, false);
            }
            Choice::Side(0) => self.take_one(first, item.file),
            Choice::Side(_) => self.take_one(item.file, first),
            Choice::With(bytes) => {
                self.release_saved(&item.path, first.zone, &bytes);
                self.with_document(first, Task::Replace(bytes));
                self.take_one(first, item.file);
            }
        }
    }

    /// Puts one of two files away for the other.
    pub(super) fn take_one(&mut self, stays: FileId, goes: FileId) {
        self.set_archived(stays, false);
        self.archive(goes);
    }

    /// Adoption ends with what the start found: what appears later is new. Only then it is noted, so that a start after a
    /// crash before goes on with it.
    pub(super) fn end_adoption(&mut self) {
        // What lies in the way of a write is told by that write.
        let is_all_seen = self.recognising.is_empty() && self.in_flight.is_empty() && self.deferred.is_empty();
        if self.adopts && self.is_scanned && is_all_seen && !self.restoring && !self.is_away {
            self.adopts = false;
            self.left.clear();
            self.outputs.push_back(Output::NoteAdopted);
        }
    }
}
