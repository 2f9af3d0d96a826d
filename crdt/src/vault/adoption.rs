//! A vault that was there before its node: what two of them hold alike is one file.

use aiemp_protocol::{
    ids::{ContentHash, FileId},
    vault_path::VaultPath,
    zone::Zone,
};

use super::{Output, Vault};

impl Vault {
    /// No start before this one looked through the vault to its end: what lies there is adopted.
    pub const fn adopts(&mut self) {
        self.adopts = true;
    }

    /// The id of a file that appeared on disk.
    ///
    /// That of an adopted one follows from place and content, so that other nodes with the same file come to the same id.
    /// It may be known to others, and taken by them in advance: then the file has the next one, as any other.
    pub(super) fn id_of_found(&mut self, path: &VaultPath, zone: Zone, hash: ContentHash, bytes: &[u8]) -> FileId {
        let copied = self.copied_from(zone, hash, bytes);
        let first = match copied.filter(|other| !self.adopts || self.is_of_others(*other)) {
            Some(other) => other.beside(zone),
            None if self.adopts => FileId::adopted(zone, &path.key(), hash),
            None => self.fresh_id(zone, bytes.len()),
        };
        self.free_id(first)
    }

    /// Adoption ends with what the start found: what appears later is new. Only then it is noted, so that a start after a
    /// crash before goes on with it.
    pub(super) fn end_adoption(&mut self) {
        if self.adopts && !self.restoring && !self.is_away && self.recognising.is_empty() {
            self.adopts = false;
            self.outputs.push_back(Output::NoteAdopted);
        }
    }
}
