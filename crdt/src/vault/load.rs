//! Contents on their way from the store, and those whose payloads have not come.

use std::collections::VecDeque;

use aiemp_protocol::{
    entry::ContentRef,
    ids::{Audience, ContentHash, FileId},
    limits::NOTE_BYTES_MAX,
};

use super::{
    EffectId, Output, Pending, Vault,
    open::{Contents, DocState, Reading, StandsFor, Task},
};
use crate::index::ChangeRef;

impl Vault {
    pub(super) fn load(&mut self, file: FileId, queue: VecDeque<Task>) {
        let Some(record) = self.index.get(file) else { return };
        let Some(base) = self.base_of_queue(file, &queue) else { return self.lacks_content(file, queue) };
        let changes: Vec<_> = record.changes_under(base).map(ChangeRef::named).collect();
        let effect = self.effect(Pending::Load { file });
        self.docs.insert(file, DocState::Loading { effect, base, changes: changes.clone(), queue });
        match self.brought.remove(&file) {
            Some((hash, bytes)) if hash == base && changes.is_empty() => {
                self.payloads_loaded(effect, vec![Some(bytes)]);
            }
            Some(_) | None => self.push_load(effect, file, base, changes),
        }
    }

    pub(super) fn push_load(&mut self, effect: EffectId, file: FileId, base: ContentHash, changes: Vec<ContentRef>) {
        let shared_only = file.zone.audience() == Audience::All;
        self.loads += 1;
        self.outputs.push_back(Output::Load { effect, base, changes, shared_only });
    }

    /// Notes which payloads a load did not find; whether one of them came while it was under way.
    pub(super) fn await_absent(
        &mut self,
        effect: EffectId,
        file: FileId,
        hashes: impl Iterator<Item = ContentHash>,
        payloads: &[Option<Vec<u8>>],
    ) -> bool {
        let mut came_since = false;
        for (hash, _) in hashes.zip(payloads).filter(|(_, payload)| payload.is_none()) {
            came_since |= self.came.get(&hash).is_some_and(|last| effect <= *last);
            self.awaited.entry(hash).or_default().insert(file);
        }
        came_since
    }

    pub(super) fn loaded(&mut self, effect: EffectId, payloads: Vec<Option<Vec<u8>>>) {
        self.payloads_loaded(effect, payloads);
        self.loads = self.loads.saturating_sub(1);
        if self.loads == 0 {
            self.came.clear();
        }
    }

    fn payloads_loaded(&mut self, effect: EffectId, payloads: Vec<Option<Vec<u8>>>) {
        if matches!(self.pending.get(&effect), Some(Pending::Hidden { .. })) {
            return self.hidden_loaded(effect, payloads);
        }
        if matches!(self.pending.get(&effect), Some(Pending::Past { .. })) {
            return self.past_loaded(effect, payloads);
        }
        if matches!(self.pending.get(&effect), Some(Pending::Undo { .. })) {
            return self.undo_loaded(effect, payloads);
        }
        let Some(Pending::Load { file }) = self.pending.remove(&effect) else { return };
        // Another load of the file was asked for since, because more of it applied: its answer is the one to open.
        let is_newest =
            |state: &DocState| matches!(state, DocState::Loading { effect: newest, .. } if *newest == effect);
        if !self.docs.get(&file).is_some_and(is_newest) {
            return;
        }
        let Some(DocState::Loading { base: loaded, changes, queue, .. }) = self.docs.remove(&file) else { return };
        let hashes = [loaded].into_iter().chain(changes.iter().map(|change| change.hash));
        if self.await_absent(effect, file, hashes, &payloads) {
            return self.load(file, queue);
        }
        if self.unapplied.contains_key(&file) {
            // An edit of ours would be missing from the document, and the next edit must follow it. It applies soon.
            self.docs.insert(file, DocState::Incomplete(queue));
            return;
        }
        let Some(base) = self.base_of_queue(file, &queue).filter(|base| *base == loaded) else {
            // A save came meanwhile, over another content.
            return self.load(file, queue);
        };
        let mut payloads = payloads.into_iter();
        let content = payloads.next().flatten();
        let found = Contents { content, changes: changes.into_iter().zip(payloads).collect() };
        if self.shown_base(file) != Some(base) {
            return self.replaced_loaded(file, base, &found, queue);
        }
        let stands = queue.iter().find_map(|task| self.disk_handle_of(file, task)).unwrap_or(StandsFor::Place);
        match self.open(file, base, &found, &stands, Reading::AtTheEnd) {
            Some(state) => {
                self.docs.insert(file, state);
                self.recent.touch(file);
                self.remember_conflicts(file);
                // What lies on disk is taken in before anything is written there.
                let (writes, others): (Vec<_>, Vec<_>) =
                    queue.into_iter().partition(|task| matches!(task, Task::Project));
                for task in others.into_iter().chain(writes) {
                    self.with_document(file, task);
                }
                // What is larger than a note is read anew when it is needed again: as many of them would fill the memory.
                if matches!(self.docs.get(&file), Some(DocState::Plain(bytes)) if bytes.len() > NOTE_BYTES_MAX) {
                    self.docs.remove(&file);
                }
            }
            None => {
                self.lacks_content(file, queue);
            }
        }
    }

    fn lacks_content(&mut self, file: FileId, queue: VecDeque<Task>) {
        self.docs.insert(file, DocState::Incomplete([].into()));
        for task in queue {
            self.without_content(file, task);
        }
    }

    /// The content is not held: who asked is told, what lies on disk cannot be compared, and the rest waits.
    pub(super) fn without_content(&mut self, file: FileId, task: Task) {
        if let Task::Read(request) = task {
            self.outputs.push_back(Output::Content { request, bytes: None });
        } else if let Task::Replace(bytes) = task {
            // What takes the place of all of it needs none of it. The rest goes on when that has applied.
            let waiting = self.docs.remove(&file);
            self.replace_content(file, bytes);
            self.docs.extend(waiting.map(|waiting| (file, waiting)));
        } else if let Task::Recognise { found, others, .. } = task {
            self.not_recognised(found, others);
        } else {
            self.with_document(file, task);
        }
    }

    pub(super) fn payload_arrived(&mut self, hash: ContentHash) {
        if self.loads > 0 {
            self.came.insert(hash, EffectId(self.next_effect));
        }
        for file in self.awaited.remove(&hash).unwrap_or_default() {
            match self.docs.remove(&file) {
                Some(DocState::Incomplete(queue) | DocState::Loading { queue, .. }) => self.load(file, queue),
                Some(DocState::Note(_) | DocState::Plain(_)) => self.load(file, [].into()),
                Some(state @ DocState::Uncreated(_)) => {
                    self.docs.insert(file, state);
                }
                None => {}
            }
            self.outputs.push_back(Output::FileUpdated(file));
            self.forget_incomplete_hidden(file);
            self.inspect_hidden(file);
            self.project(file);
        }
    }
}
