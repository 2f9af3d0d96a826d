//! From the merge to the disk: each file at its place, nothing of the person's overwritten.

use std::{collections::BTreeSet, time::Duration};

use aiemp_protocol::{
    ids::{ContentHash, FileId},
    vault_path::VaultPath,
};

use super::{
    EffectId, Output, Pending, Projection, RemoveOutcome, Vault, WriteOutcome,
    names::from,
    open::{DocState, Task},
};

/// How long to wait before a write that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

impl Vault {
    /// Brings a file on disk in step with the logs.
    pub(super) fn project(&mut self, file: FileId) {
        if self.restoring {
            return;
        }
        if self.index.get(file).is_none() {
            return;
        }
        let place = self.place_of(file).map(str::to_owned);
        let is_busy =
            self.writing.contains(&file) || place.as_ref().is_some_and(|key| self.in_flight.contains_key(key));
        if is_busy || self.is_away {
            self.postponed.insert(file);
            return;
        }
        if place.as_ref().is_some_and(|key| self.missing.contains_key(key)) {
            return;
        }
        let Some(wanted) = self.wanted_path(file) else {
            self.held.remove(&file);
            // It may have a field of two values all the same, and nothing else opens what is out of sight.
            self.inspect_changed(file);
            if let Some(key) = place {
                self.remove_from_disk(key);
            }
            return;
        };
        let Some(record) = self.index.get(file) else { return };
        let changes = record.text_writes();
        let in_step = place.as_ref().and_then(|key| self.there(key)).is_some_and(|projection| {
            projection.path == wanted
                && projection.merged_changes == Some(changes)
                && (changes > 0 || record.shown_base() == Some(projection.hash))
        });
        if in_step {
            self.put_twins_away(file);
        } else {
            self.with_document(file, Task::Project);
        }
    }

    /// Where a live file belongs.
    pub(super) fn wanted_path(&mut self, file: FileId) -> Option<VaultPath> {
        self.names.wanted(&self.index, file)
    }

    /// The content is at hand: write what differs.
    pub(super) fn project_open(&mut self, file: FileId) {
        let Some(wanted) = self.wanted_path(file) else { return self.project(file) };
        let key = wanted.key();
        let lies_in_flight = self.place_of(file).is_some_and(|place| self.in_flight.contains_key(place));
        if self.is_away || self.writing.contains(&file) || self.is_in_flight(&key) || lies_in_flight {
            self.postponed.insert(file);
            return;
        }
        if self.unapplied.contains_key(&file) {
            // What lies on disk is ahead of the merge by our own edits, which apply in a moment.
            return;
        }
        let Some(bytes) = self.merged_bytes(file) else { return };
        let hash = ContentHash::of(&bytes);
        let heads = self.merged_heads(file);
        let Some(record) = self.index.get(file) else { return };
        let (Some(base), changes) = (record.shown_base(), record.text_writes()) else { return };
        // What lacks changes is looked at again once they arrive; what has a field with two values, at the next start: only
        // the document says so, be it of two edits by this node.
        let merged_changes = (!self.has_two_values(file) && !self.lacks_changes(file)).then_some(changes);
        let projection = Projection { path: wanted.clone(), file, hash, base, heads, merged_changes };
        let there = self.there(&key).cloned();
        let lies_there = there.as_ref().is_some_and(|there| (there.file, there.hash) == (file, hash));
        if lies_there {
            self.held.remove(&file);
        } else if self.holds_back(file, &wanted, &bytes) {
            return;
        }
        if let Some((place, other)) = self.in_the_way(file, &key) {
            self.postponed.insert(file);
            // What is held back keeps no place that belongs to another.
            if self.held.contains_key(&other) || self.is_in_circle(file, other) {
                self.postponed.insert(other);
                self.remove_from_disk(place);
            }
            return;
        }
        match &there {
            Some(there) if there.path != wanted => {
                // Another spelling of the same place: it goes first, or both would lie there.
                self.postponed.insert(file);
                self.remove_from_disk(key);
            }
            Some(there) if there.hash == hash => {
                self.in_step(file, key, projection);
            }
            Some(_) | None if self.taken_in.get(&key) == Some(&(file, hash)) => self.in_step(file, key, projection),
            Some(_) | None => {
                let taken_in = self.taken_in.get(&key).filter(|(of, _)| *of == file).map(|(_, hash)| *hash);
                let expected = taken_in.or(there.map(|there| there.hash));
                self.write(key, wanted, bytes, expected, projection);
            }
        }
    }

    /// Whether a write or removal is under way at a place, at a folder of it, or in a folder there.
    fn is_in_flight(&self, key: &str) -> bool {
        let folder = format!("{key}/");
        let below =
            || self.in_flight.range(folder.clone()..).next().is_some_and(|(place, _)| place.starts_with(&folder));
        let above = || key.match_indices('/').any(|(end, _)| self.in_flight.contains_key(&key[..end]));
        self.in_flight.contains_key(key) || above() || below()
    }

    /// Whether `file` waits for the place of `other`, which waits for that of a third, and so on back to `file`: then
    /// one has to leave the disk for a moment.
    fn is_in_circle(&mut self, file: FileId, other: FileId) -> bool {
        let mut passed = BTreeSet::new();
        let mut at = other;
        while at != file && passed.insert(at) {
            let Some(wanted) = self.wanted_path(at) else { return false };
            let Some((_, other)) = self.in_the_way(at, &wanted.key()) else { return false };
            at = other;
        }
        at == file
    }

    /// What keeps a file from a place on disk, and where: another file there, one where a folder of the place should be,
    /// or one in a folder that lies there. That may be the file itself, on its way into its own folder or out of it.
    fn in_the_way(&self, file: FileId, key: &str) -> Option<(String, FileId)> {
        let folder = format!("{key}/");
        let is_taken = |there: &Projection| there.file != file && !self.may_be_replaced(key, there);
        let at = |place| self.there(place).map(|there| (place, there));
        let there = at(key).filter(|(_, there)| is_taken(there));
        let above = || key.match_indices('/').find_map(|(end, _)| at(&key[..end]));
        let own_below = || self.projection_of(file).filter(|(place, _)| place.starts_with(&folder));
        let below = || from(&self.on_disk, &folder).next().map(|(place, there)| (&**place, &**there));
        let (place, there) = there.or_else(above).or_else(own_below).or_else(below)?;
        Some((place.to_owned(), there.file))
    }

    /// Whether what lies there is of a file that lies elsewhere, too, and of which all is durable: whatever belongs there
    /// may take its place.
    fn may_be_replaced(&self, key: &str, there: &Projection) -> bool {
        let lies_elsewhere = self.place_of(there.file).is_some_and(|place| place != key);
        let holds_edit = self.unapplied.contains_key(&there.file) || self.taken_in.contains_key(key);
        lies_elsewhere && !holds_edit && !self.missing.contains_key(key)
    }

    /// Puts the file that has this name in the place of the one that leaves it, if its content is at hand. Were the place
    /// empty for a moment, a program that appends to what lies there would make a new file of its next line.
    fn replace_on_disk(&mut self, key: &str) -> bool {
        let Some(there) = self.there(key).filter(|there| self.may_be_replaced(key, there)).cloned() else {
            return false;
        };
        let Some(next) = self.names.namesakes(key).next().filter(|next| *next != there.file) else { return false };
        let is_open = matches!(self.docs.get(&next), Some(DocState::Note(_) | DocState::Plain(_)));
        if !is_open || self.wanted_path(next).is_none_or(|wanted| wanted != there.path) {
            return false;
        }
        self.project(next);
        self.in_flight.contains_key(key) || self.place_of(next).is_some_and(|place| place == key)
    }

    fn in_step(&mut self, file: FileId, key: String, projection: Projection) {
        if let Some(DocState::Note(note)) = self.docs.get_mut(&file) {
            note.disk = note.merged.clone();
        }
        self.taken_in.remove(&key);
        let before = self.places.insert(file, self.names.shared_key(file, &key));
        if self.there(&key) != Some(&projection) {
            self.record_projection(key.clone(), Some(projection));
        }
        if let Some(before) = before.filter(|before| **before != *key) {
            self.remove_from_disk(before.to_string());
        }
        self.put_twins_away(file);
    }

    fn merged_heads(&mut self, file: FileId) -> Vec<[u8; 32]> {
        match self.docs.get_mut(&file) {
            Some(DocState::Note(note)) => note.merged.head_bytes(),
            Some(DocState::Plain(_) | DocState::Uncreated(_) | DocState::Loading { .. } | DocState::Incomplete(_))
            | None => Vec::new(),
        }
    }

    fn write(
        &mut self,
        key: String,
        path: VaultPath,
        bytes: Vec<u8>,
        expected: Option<ContentHash>,
        projection: Projection,
    ) {
        if let Some(DocState::Note(note)) = self.docs.get_mut(&projection.file) {
            note.written = Some(note.merged.clone());
        }
        self.writing.insert(projection.file);
        self.in_flight.insert(key.clone(), Some(projection.hash));
        let effect = self.effect(Pending::Write { key, projection });
        self.outputs.push_back(Output::WriteFile { effect, path, bytes, expected });
    }

    pub(super) fn remove_from_disk(&mut self, key: String) {
        let Some(projection) = self.there(&key).cloned() else { return };
        // What lies there may be the only copy of an edit that is not durable yet.
        let holds_edit = self.unapplied.contains_key(&projection.file);
        if self.is_away || holds_edit || self.in_flight.contains_key(&key) || self.missing.contains_key(&key) {
            self.postponed_removals.entry(projection.file).or_default().insert(key);
            return;
        }
        if self.replace_on_disk(&key) {
            return;
        }
        self.in_flight.insert(key.clone(), None);
        let effect = self.effect(Pending::Remove { key, file: projection.file });
        self.outputs.push_back(Output::RemoveFile { effect, path: projection.path, expected: projection.hash });
    }

    pub(super) fn file_written(&mut self, effect: EffectId, outcome: WriteOutcome) {
        let Some(Pending::Write { key, projection }) = self.pending.remove(&effect) else { return };
        let file = projection.file;
        self.writing.remove(&file);
        // Another program, or a write before a crash, had put there what was to be written: nothing was replaced.
        let is_same = matches!(&outcome, WriteOutcome::Displaced(bytes) if ContentHash::of(bytes) == projection.hash);
        let outcome = if is_same { WriteOutcome::Written } else { outcome };
        if let WriteOutcome::Displaced(bytes) = &outcome {
            // The save was made on what lay there before, so it is an edit of the old disk handle, perhaps of the file that
            // left the place to this one; the place stays in flight until what lies there now is recorded.
            let file = self.there(&key).map_or(file, |there| there.file);
            if self.taken_in.contains_key(&key) {
                let (path, bytes) = (projection.path.clone(), bytes.clone());
                self.with_document(file, Task::TakeIn { path, bytes });
            } else if self.boundaries.may_write(file.zone) {
                self.edit_displaced(file, &key, bytes.clone());
            } else {
                let (path, reason) = (projection.path.clone(), super::HoldReason::NotWritable);
                self.outputs.push_back(Output::Hold { path, bytes: bytes.clone(), reason });
            }
        }
        self.in_flight.remove(&key);
        if outcome == WriteOutcome::InTheWay {
            if self.obstructed.insert(key) {
                let (path, reason) = (projection.path, super::HoldReason::InTheWay);
                self.outputs.push_back(Output::Hold { path, bytes: Vec::new(), reason });
            }
            return self.try_again(file);
        }
        self.obstructed.remove(&key);
        match outcome {
            WriteOutcome::Written => self.now_on_disk(key, projection),
            WriteOutcome::Displaced(_) => {
                self.now_on_disk(key, Projection { merged_changes: None, ..projection });
            }
            WriteOutcome::Occupied(bytes) if ContentHash::of(&bytes) == projection.hash => {
                self.now_on_disk(key, projection);
            }
            WriteOutcome::Occupied(bytes) if self.boundaries.may_write(file.zone) => {
                self.postponed.insert(file);
                self.file_saved(projection.path, bytes);
            }
            WriteOutcome::Occupied(bytes) => {
                // Held, so the place is free for the file that belongs there.
                let (path, hash) = (projection.path.clone(), ContentHash::of(&bytes));
                let reason = super::HoldReason::NotWritable;
                self.outputs.push_back(Output::Hold { path, bytes, reason });
                self.now_on_disk(key, Projection { hash, heads: Vec::new(), merged_changes: None, ..projection });
            }
            WriteOutcome::InTheWay | WriteOutcome::Failed => return self.try_again(file),
        }
        self.look_at_deferred();
        self.project_postponed();
    }

    fn try_again(&mut self, file: FileId) {
        self.postponed.insert(file);
        self.retry_at = (!self.is_away).then_some(self.now + RETRY);
        self.look_at_deferred();
    }

    pub(super) fn now_on_disk(&mut self, key: String, projection: Projection) {
        let file = projection.file;
        let before = self.place_of(file).map(str::to_owned);
        self.record_projection(key.clone(), Some(projection));
        if let Some(DocState::Note(note)) = self.docs.get_mut(&file) {
            match note.written.take() {
                Some(written) => note.disk = written,
                // The document was opened again meanwhile; the next task opens it by the new record.
                None => {
                    self.docs.remove(&file);
                }
            }
        }
        if let Some(before) = before.filter(|before| **before != *key) {
            self.remove_from_disk(before.to_string());
        }
        self.project(file);
    }

    pub(super) fn file_removed(&mut self, effect: EffectId, outcome: RemoveOutcome) {
        let Some(Pending::Remove { key, file }) = self.pending.remove(&effect) else { return };
        self.in_flight.remove(&key);
        match outcome {
            RemoveOutcome::Removed => self.record_projection(key, None),
            RemoveOutcome::Changed(bytes) => {
                // Saved on a note that had gone: the edit is kept, and listed against the archiving.
                if self.boundaries.may_write(file.zone) {
                    self.edit_displaced(file, &key, bytes);
                } else if let Some(projection) = self.there(&key) {
                    let (path, reason) = (projection.path.clone(), super::HoldReason::NotWritable);
                    self.outputs.push_back(Output::Hold { path, bytes, reason });
                }
                self.record_projection(key, None);
            }
            RemoveOutcome::Failed => return self.try_again(file),
        }
        self.look_at_deferred();
        self.project_postponed();
    }

    pub(super) fn look_at_deferred(&mut self) {
        for path in std::mem::take(&mut self.deferred) {
            if self.in_flight.contains_key(&path.key()) {
                self.deferred.insert(path);
            } else {
                self.outputs.push_back(Output::LookAt(path));
            }
        }
    }

    pub(super) fn project_postponed(&mut self) {
        if self.is_away {
            return;
        }
        for file in std::mem::take(&mut self.postponed) {
            self.project(file);
        }
        for file in self.postponed_removals.keys().copied().collect::<Vec<_>>() {
            self.resume_removals(file);
        }
    }
}
