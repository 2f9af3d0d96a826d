//! How many files on disk have a content: whether a new file may be a copy is asked for each.

use std::collections::BTreeMap;

use aiemp_protocol::ids::ContentHash;

/// Counts by the first bytes of the digest: others of the same are looked at, and told apart.
#[derive(Debug, Default)]
pub(super) struct Contents(BTreeMap<[u8; 8], u32>);

impl Contents {
    pub(super) fn add(&mut self, content: ContentHash) {
        *self.0.entry(start_of(content)).or_default() += 1;
    }

    pub(super) fn take(&mut self, content: ContentHash) {
        let start = start_of(content);
        match self.0.get_mut(&start) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => {
                self.0.remove(&start);
            }
        }
    }

    /// Whether some file may have this content.
    pub(super) fn may_have(&self, content: ContentHash) -> bool {
        self.0.contains_key(&start_of(content))
    }
}

fn start_of(content: ContentHash) -> [u8; 8] {
    let mut start = [0; 8];
    start.iter_mut().zip(content.0.as_bytes()).for_each(|(to, from)| *to = *from);
    start
}
