//! What notes say that went out of sight before everything in them was known: to be shown with the items about them.

use std::collections::BTreeMap;

use aiemp_protocol::ids::{ContentHash, EntryHash, FileId};

use crate::index::Origin;

/// Texts that are kept; of further ones only length and digest, for a member may put away any number of notes.
const BYTES_MAX: usize = 8 << 20;

/// The texts, as they were when the documents were open last.
#[derive(Debug, Default)]
pub(super) struct LateTexts {
    notes: BTreeMap<FileId, Late>,
    /// What the kept ones take.
    bytes: usize,
}

/// What an archived note says since an edit that its archiving did not know of.
#[derive(Debug)]
pub(super) struct Late {
    /// Digest of all of it.
    pub(super) hash: ContentHash,
    length: usize,
    texts: Option<Texts>,
}

#[derive(Debug)]
struct Texts {
    now: String,
    /// What it said to whoever put it away, by the entry that did.
    bases: BTreeMap<EntryHash, String>,
}

impl Late {
    pub(super) fn new(hash: ContentHash, now: String, bases: BTreeMap<EntryHash, String>) -> Self {
        Self { hash, length: now.len(), texts: Some(Texts { now, bases }) }
    }

    fn bytes(&self) -> usize {
        self.texts.as_ref().map_or(0, |texts| texts.now.len() + texts.bases.values().map(String::len).sum::<usize>())
    }

    /// What the note says, or how long that is.
    pub(super) fn told(&self) -> String {
        self.texts.as_ref().map_or_else(|| format!("({} bytes)", self.length), |texts| texts.now.clone())
    }

    /// What it said to whoever put it away.
    pub(super) fn base_of(&self, archiving: &Origin) -> Option<String> {
        self.texts.as_ref()?.bases.get(&archiving.hash).cloned()
    }
}

impl LateTexts {
    pub(super) fn insert(&mut self, file: FileId, mut late: Late) {
        self.remove(file);
        if self.bytes + late.bytes() > BYTES_MAX {
            late.texts = None;
        }
        self.bytes += late.bytes();
        self.notes.insert(file, late);
    }

    pub(super) fn remove(&mut self, file: FileId) {
        self.bytes -= self.notes.remove(&file).map_or(0, |late| late.bytes());
    }

    pub(super) fn get(&self, file: FileId) -> Option<&Late> {
        self.notes.get(&file)
    }

    /// The digest of what the note says, if it is known.
    pub(super) fn hash_of(&self, file: FileId) -> Option<ContentHash> {
        self.get(file).map(|late| late.hash)
    }
}

#[cfg(test)]
mod tests {
    use aiemp_keys::Hash;
    use aiemp_protocol::zone::Zone;

    use super::*;

    #[test]
    fn beyond_the_room_for_texts_digest_and_length_are_kept() {
        let file = |number: u8| FileId { zone: Zone::Drafts, hash: Hash::of_content(&[number]) };
        let note = |number: u8, text: &str| Late::new(ContentHash::of(&[number]), text.to_owned(), BTreeMap::new());
        let mut late = LateTexts::default();
        for number in 0..20 {
            late.insert(file(number), note(number, &"x".repeat(1 << 20)));
        }
        assert_eq!(late.bytes, BYTES_MAX);
        assert_eq!(late.get(file(19)).map(Late::told).as_deref(), Some("(1048576 bytes)"));
        assert_eq!(late.hash_of(file(19)), Some(ContentHash::of(&[19])));
        late.remove(file(0));
        late.insert(file(19), note(19, "now"));
        assert_eq!(late.get(file(19)).map(Late::told).as_deref(), Some("now"));
        assert_eq!(late.bytes, BYTES_MAX - (1 << 20) + 3);
    }
}
