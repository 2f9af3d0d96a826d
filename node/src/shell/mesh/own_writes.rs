//! What this node wrote last and nobody changed since: the watcher tells of such files as of any other, and then there is
//! nothing to do.

use std::collections::HashMap;

use aiemp_protocol::{ids::ContentHash, vault_path::VaultPath};

/// Files that are remembered; what is told of others is looked at once more for nothing.
const WRITES_MAX: usize = 16_384;

/// Written files of which nothing was told since, by canonical key.
#[derive(Debug, Default)]
pub(super) struct OwnWrites(HashMap<String, (VaultPath, ContentHash)>);

impl OwnWrites {
    /// This lies there now by this node's doing.
    pub(super) fn note(&mut self, path: &VaultPath, bytes: &[u8]) {
        if self.0.len() < WRITES_MAX {
            self.0.insert(path.key(), (path.clone(), ContentHash::of(bytes)));
        } else {
            self.forget(path);
        }
    }

    /// Something is told of a file: what is told next of it is news, whatever it is.
    pub(super) fn forget(&mut self, path: &VaultPath) {
        if !self.0.is_empty() {
            self.0.remove(&path.key());
        }
    }

    /// Whether what was read there is what this node wrote, under the same spelling. Told once: the same again may be the
    /// end of changes there and back.
    pub(super) fn take(&mut self, path: &VaultPath, bytes: &[u8]) -> bool {
        let written = if self.0.is_empty() { None } else { self.0.remove(&path.key()) };
        written.is_some_and(|(written, content)| written == *path && content == ContentHash::of(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> VaultPath {
        VaultPath::parse(text).expect("a valid path")
    }

    #[test]
    fn what_was_written_is_known_once() {
        let mut own = OwnWrites::default();
        own.note(&path("a.md"), b"one");
        assert!(own.take(&path("a.md"), b"one"));
        assert!(!own.take(&path("a.md"), b"one"), "somebody may have changed it and put it back");
    }

    #[test]
    fn once_anything_else_is_told_of_a_place_nothing_there_is_known() {
        for other in [("a.md", &b"two"[..]), ("A.md", b"one")] {
            let mut own = OwnWrites::default();
            own.note(&path("a.md"), b"one");
            assert!(!own.take(&path(other.0), other.1));
            assert!(!own.take(&path("a.md"), b"one"), "{other:?}");
        }
        let mut own = OwnWrites::default();
        own.note(&path("a.md"), b"one");
        own.forget(&path("A.md"));
        assert!(!own.take(&path("a.md"), b"one"));
    }

    #[test]
    fn what_finds_no_room_is_not_taken_for_what_lay_there_before() {
        let mut own = OwnWrites::default();
        for number in 0..WRITES_MAX {
            own.note(&path(&format!("{number}.md")), b"one");
        }
        own.note(&path("0.md"), b"two");
        assert!(!own.take(&path("0.md"), b"one") && !own.take(&path("0.md"), b"two"));
        assert!(own.take(&path("1.md"), b"one"));
    }
}
