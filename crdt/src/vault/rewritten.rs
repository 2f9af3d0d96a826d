//! Saves that keep next to nothing of a note: its content is replaced.
//!
//! As a change such a save would take out each old letter and put in each new one, some sixty thousand operations for a
//! note of 30 KB, a second of work on every node; and what somebody else wrote meanwhile would stand between words that
//! it has nothing to do with. As a new content the note starts from the saved text, and that edit is listed beside it.

use aiemp_protocol::{
    ids::{ContentHash, FileId},
    zone::Zone,
};

use super::{Vault, open::DocState};
use crate::text_diff;

/// Shorter texts are changed: that costs little, and an editor may leave a part of a text for a moment.
const REWRITTEN_BYTES_MIN: usize = 4_096;
/// The share of either text that may be the other's: headings and empty lines of a form are.
const KEPT_SHARE: usize = 8;

impl Vault {
    /// Whether this save of a file in step with its disk is a new content and not an edit.
    ///
    /// Not of a draft in which somebody else wrote: its reader is shown who wrote which word, and words that were kept
    /// would be the saver's. Nor of a day log while a content waits to be added to it, which nobody would have seen.
    /// Nor where the text was the file's content before and edited: those edits would be back.
    pub(super) fn is_rewritten(&self, file: FileId, state: &DocState, new: &str) -> bool {
        let is_own =
            || self.index.get(file).is_some_and(|record| record.authors().iter().all(|author| *author == self.me));
        let is_day_log = self.index.shape(file).is_day_log();
        let waits = is_day_log && self.has_others(file);
        let is_draft = file.zone == Zone::Drafts && !is_day_log;
        if new.len() < REWRITTEN_BYTES_MIN || (is_draft && !is_own()) || waits {
            return false;
        }
        let old = match state {
            DocState::Note(note) => note.disk.text(),
            DocState::Plain(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(_) => return false,
            },
            DocState::Uncreated(_) | DocState::Loading { .. } | DocState::Incomplete(_) => return false,
        };
        if old.len() < REWRITTEN_BYTES_MIN || self.was_edited(file, ContentHash::of(new.as_bytes())) {
            return false;
        }
        let kept = text_diff::kept(&old, new);
        kept * KEPT_SHARE < old.len() && kept * KEPT_SHARE < new.len()
    }

    /// Whether the file has changes of a document that starts from this content.
    fn was_edited(&self, file: FileId, base: ContentHash) -> bool {
        self.index.get(file).is_some_and(|record| record.changes_under(base).next().is_some())
    }
}
