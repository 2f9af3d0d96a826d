//! What notes say that went out of sight before everything in them was known: to be shown with the items about them.

use std::collections::BTreeMap;

use aiemp_protocol::ids::{ContentHash, FileId};

/// Texts that are kept; of further ones only length and digest, for a member may put away any number of notes.
const BYTES_MAX: usize = 8 << 20;

/// The texts, as they were when the documents were open last.
#[derive(Debug, Default)]
pub(super) struct LateTexts {
    texts: BTreeMap<FileId, Late>,
    /// What the kept ones take.
    bytes: usize,
}

#[derive(Debug)]
struct Late {
    hash: ContentHash,
    length: usize,
    text: Option<String>,
}

impl LateTexts {
    pub(super) fn insert(&mut self, file: FileId, hash: ContentHash, text: String) {
        self.remove(file);
        let length = text.len();
        let text = (self.bytes + length <= BYTES_MAX).then_some(text);
        self.bytes += text.as_ref().map_or(0, String::len);
        self.texts.insert(file, Late { hash, length, text });
    }

    pub(super) fn remove(&mut self, file: FileId) {
        let gone = self.texts.remove(&file).and_then(|late| late.text);
        self.bytes -= gone.map_or(0, |text| text.len());
    }

    /// The digest of what the note says, if it is known.
    pub(super) fn hash_of(&self, file: FileId) -> Option<ContentHash> {
        self.texts.get(&file).map(|late| late.hash)
    }

    /// What the note says, or how long that is; empty while it is not known.
    pub(super) fn text_of(&self, file: FileId) -> String {
        let Some(late) = self.texts.get(&file) else { return String::new() };
        late.text.clone().unwrap_or_else(|| format!("({} bytes)", late.length))
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
        let mut late = LateTexts::default();
        for number in 0..20 {
            late.insert(file(number), ContentHash::of(&[number]), "x".repeat(1 << 20));
        }
        assert_eq!(late.bytes, BYTES_MAX);
        assert_eq!(late.text_of(file(19)), "(1048576 bytes)");
        assert_eq!(late.hash_of(file(19)), Some(ContentHash::of(&[19])));
        late.remove(file(0));
        late.insert(file(19), ContentHash::of(b"now"), "now".to_owned());
        assert_eq!((late.text_of(file(19)).as_str(), late.bytes), ("now", BYTES_MAX - (1 << 20) + 3));
    }
}
