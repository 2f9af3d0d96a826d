//! Saves over a content that was replaced: what replaced it did not lie on the disk yet, so nobody who saved has seen it.
//!
//! Such a save is a change of the document that it was made over. It is listed beside what is shown, and takes nothing
//! back. What no change can say becomes a file of its own; so it does over a note of which the disk lacks changes.

use std::collections::VecDeque;

use aiemp_protocol::{
    ids::{ContentHash, FileId},
    vault_path::VaultPath,
};

use super::{
    Vault,
    local::{Edited, note_text},
    open::{Contents, DocState, OpenNote, Reading, StandsFor, Task},
};
use crate::index::FileRecord;

impl Vault {
    /// A content that is not shown any more is at hand: for the first task that asks for it. It stays open for none.
    pub(super) fn replaced_loaded(
        &mut self,
        file: FileId,
        base: ContentHash,
        found: &Contents,
        mut queue: VecDeque<Task>,
    ) {
        let first = queue.iter().position(|task| self.base_of(file, task) == Some(base));
        if let Some(task) = first.and_then(|first| queue.remove(first)) {
            let stands = self.disk_handle_of(file, &task).unwrap_or(StandsFor::Place);
            let state = self.open(file, base, found, &stands, Reading::AtTheEnd);
            self.do_replaced(file, base, state, task);
        }
        for task in queue {
            self.with_document(file, task);
        }
    }

    fn do_replaced(&mut self, file: FileId, base: ContentHash, state: Option<DocState>, task: Task) {
        match task {
            Task::DiskEdit { key, bytes } => {
                let path = self.there(&key).filter(|there| there.file == file).map(|there| there.path.clone());
                self.edit_replaced(file, state, bytes, path, Some(key));
            }
            Task::DisplacedEdit { bytes, over } => {
                self.edit_replaced(file, state, bytes, over.map(|over| over.path), None);
            }
            // What is added to a log that was replaced is found beside what replaced it, and added there.
            Task::TakeIn { path, bytes } => {
                let key = path.key();
                self.edit_replaced(file, state, bytes, Some(path), Some(key));
            }
            Task::Recognise { found, others, .. } => {
                match state.and_then(|mut state| self.recognise_in(&mut state, file, &found)) {
                    Some(heads) => self.recognised(file, found, base, heads),
                    None => self.not_recognised(found, others),
                }
            }
            task @ (Task::Rewrite(_)
            | Task::Replace(_)
            | Task::RewriteEarlier(_)
            | Task::ArchiveAs(_)
            | Task::MoveAcross { .. }
            | Task::Rebase(_)
            | Task::Compact { .. }
            | Task::KeepShown(_)
            | Task::Project
            | Task::Inspect
            | Task::Unite
            | Task::Decide { .. }
            | Task::Read(_)) => self.with_document(file, task),
        }
    }

    fn edit_replaced(
        &mut self,
        file: FileId,
        state: Option<DocState>,
        bytes: Vec<u8>,
        path: Option<VaultPath>,
        place: Option<String>,
    ) {
        let Some(path) = path.or_else(|| self.index.get(file)?.path.shown().cloned()) else { return };
        self.release_saved(&path, file.zone, &bytes);
        let hash = ContentHash::of(&bytes);
        let shape = self.index.shape(file);
        let note = match state {
            Some(DocState::Note(note)) => Some(note),
            Some(DocState::Plain(bytes)) => note_text(&bytes).map(|text| Box::new(OpenNote::import(text, shape))),
            Some(DocState::Uncreated(_) | DocState::Loading { .. } | DocState::Incomplete(_)) | None => None,
        };
        // Where nobody takes this node's changes any more, nobody would list them.
        let note = note.filter(|note| !self.dropped.has(file, note.base, self.own_log(file.zone)));
        let edited = match (note, note_text(&bytes)) {
            (Some(mut note), Some(text)) if self.has_room(file, note.base) => {
                Edited::of(&mut note, self.me, file, self.generation(), text)
            }
            (Some(_) | None, _) => Edited::Content,
        };
        match edited {
            Edited::Change { base, raw, heads } => {
                self.push_change(file, base, raw);
                self.disk_holds(file, place, hash, Some((base, heads)));
            }
            Edited::Content => self.save_beside(file, path, bytes, place),
            Edited::Nothing => {
                self.disk_holds(file, place, hash, None);
                self.project(file);
            }
        }
    }

    /// The save becomes a file of its own, of the same name; where it lies, it is that file's.
    pub(super) fn save_beside(&mut self, file: FileId, path: VaultPath, bytes: Vec<u8>, place: Option<String>) {
        let hash = ContentHash::of(&bytes);
        let mut beside = file.beside(file.zone);
        // A crash may have come between the entry and the record: then the save is that file already.
        while self.exists(beside) && !self.is_still(beside, hash) {
            beside = beside.beside(beside.zone);
        }
        if !self.exists(beside) {
            self.create_new(beside, &path, bytes);
        }
        if place.is_some_and(|key| self.there(&key).is_none_or(|there| there.file == file)) {
            self.lies_on_disk(beside, path, hash);
        }
        self.project(file);
    }

    /// Whether the file is in sight and says what it said at first.
    fn is_still(&self, file: FileId, content: ContentHash) -> bool {
        let is_unedited = |record: &FileRecord| {
            !record.is_archived() && record.shown_base() == Some(content) && record.current_changes().next().is_none()
        };
        self.index.get(file).is_some_and(is_unedited)
    }
}
