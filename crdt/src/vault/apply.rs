//! Entries that apply: this node's own and the peers', by one path.

use std::{collections::BTreeSet, time::Duration};

use aiemp_protocol::{
    causality::Past,
    entry::{FieldWrite, Item},
    ids::{ContentHash, FileId},
    replication::EntryWithPayloads,
    vault_path::VaultPath,
};

use super::{
    Output, Vault,
    open::{DocState, Task},
};
use crate::{
    claim::Claim,
    conflict,
    index::{ChangeRef, FileRecord, Origin},
};

impl Vault {
    pub(super) fn applied(&mut self, entry: EntryWithPayloads, past: Past) {
        let position = entry.signed.position();
        let hlc = entry.signed.entry.hlc;
        let origin = Origin { log: position.log, seq: position.seq, hash: position.hash, hlc, past };
        let mut payloads = entry.payloads.into_iter();
        let mut touched = BTreeSet::new();
        let mut places_left = BTreeSet::new();
        for item in &entry.signed.entry.items {
            let payload = if item.payload().is_some() { payloads.next().flatten() } else { None };
            match item {
                Item::Claim { work, to, lease_ms, .. } => {
                    let lease_until = origin.hlc + Duration::from_millis(*lease_ms);
                    self.claims.apply(*work, Claim { origin: origin.clone(), to: *to, lease_until });
                }
                Item::Resolve { id, .. } => {
                    self.resolved.entry(*id).or_default().insert(origin.author());
                }
                Item::New { .. } | Item::Set { .. } | Item::Change { .. } | Item::Blob { .. } => {}
            }
            if let Item::New { file, .. } | Item::Set { file, write: FieldWrite::Path(_) } = item {
                places_left.extend(self.shown_key(*file));
            }
            if let Some(file) = self.index.apply(item, &origin) {
                self.item_applied(file, item, &origin, payload);
                touched.insert(file);
            }
        }
        for file in touched {
            self.outputs.push_back(Output::FileUpdated(file));
            let late = |record: &FileRecord| !conflict::edits_past_archive(record).is_empty();
            if !self.restoring && self.index.get(file).is_some_and(late) {
                self.with_document(file, Task::Inspect);
            }
            self.resume_postponed(file);
            self.project_with_namesakes(file);
        }
        for key in places_left {
            self.project_all_at(&key);
        }
    }

    fn shown_key(&self, file: FileId) -> Option<String> {
        self.index.get(file).and_then(|record| record.path.shown()).map(VaultPath::key)
    }

    fn project_all_at(&mut self, key: &str) {
        let here: Vec<_> = self.index.namesakes(key).collect();
        for file in here.into_iter().rev() {
            self.project(file);
        }
    }

    /// A file that comes or goes may free or take the name of another.
    fn project_with_namesakes(&mut self, file: FileId) {
        let key = self.shown_key(file);
        let namesakes: Vec<_> = key.iter().flat_map(|key| self.index.namesakes(key)).collect();
        for other in namesakes.into_iter().filter(|other| *other > file).rev() {
            self.project(other);
        }
        self.project(file);
    }

    fn resume_postponed(&mut self, file: FileId) {
        if !self.unapplied.contains_key(&file)
            && let Some(tasks) = self.postponed_tasks.remove(&file)
        {
            for task in tasks {
                self.with_document(file, task);
            }
        }
    }

    fn item_applied(&mut self, file: FileId, item: &Item, origin: &Origin, payload: Option<Vec<u8>>) {
        match item {
            Item::Change { base, hash, .. } => {
                let change = ChangeRef { origin: origin.clone(), base: *base, hash: *hash };
                self.change_applied(file, &change, payload);
            }
            Item::New { .. } => self.created(file),
            // The content is another one now.
            Item::Set { write: FieldWrite::Base(_), .. } => self.reload(file),
            Item::Set { write: FieldWrite::Archived(_), .. } if origin.author() == self.me => {
                if let Some(queued) = self.archivings.get_mut(&file) {
                    queued.pop_front();
                    if queued.is_empty() {
                        self.archivings.remove(&file);
                    }
                }
            }
            Item::Set { .. } | Item::Blob { .. } | Item::Claim { .. } | Item::Resolve { .. } => {}
        }
    }

    fn created(&mut self, file: FileId) {
        match self.docs.remove(&file) {
            Some(DocState::Uncreated(queue)) => self.load(file, queue),
            Some(state) => {
                // Created twice, perhaps with another content: what is shown may have changed.
                self.docs.insert(file, state);
                self.reload(file);
            }
            None => {}
        }
    }

    fn change_applied(&mut self, file: FileId, change: &ChangeRef, payload: Option<Vec<u8>>) {
        if change.origin.author() == self.me
            && let Some(count) = self.unapplied.get_mut(&file)
        {
            *count -= 1;
            if *count == 0 {
                self.unapplied.remove(&file);
            }
        }
        match self.docs.remove(&file) {
            Some(DocState::Note(mut note)) if note.base == change.base => match payload {
                Some(raw) => {
                    if let Some(decoded) = self.vet_change(file, &note.merged, change, &raw) {
                        note.merged.apply(decoded);
                    }
                    self.docs.insert(file, DocState::Note(note));
                    self.remember_conflicts(file);
                }
                None => self.load(file, [].into()),
            },
            // An unedited note gets its document with its first change; a load under way lacks this one.
            Some(DocState::Plain(_)) => self.load(file, [].into()),
            Some(DocState::Loading { queue, .. } | DocState::Incomplete(queue)) => self.load(file, queue),
            Some(state @ (DocState::Note(_) | DocState::Uncreated(_))) => {
                self.docs.insert(file, state);
            }
            None => {}
        }
    }

    fn reload(&mut self, file: FileId) {
        match self.docs.remove(&file) {
            Some(DocState::Loading { queue, .. } | DocState::Incomplete(queue) | DocState::Uncreated(queue)) => {
                self.load(file, queue);
            }
            Some(DocState::Note(_) | DocState::Plain(_)) | None => {}
        }
    }

    pub(super) fn payload_arrived(&mut self, hash: ContentHash) {
        let waits = |record: &FileRecord| {
            record.base.shown() == Some(&hash) || record.changes.iter().any(|change| change.hash == hash)
        };
        let files: Vec<_> = self.index.iter().filter(|(_, record)| waits(record)).map(|(file, _)| file).collect();
        for file in files {
            match self.docs.remove(&file) {
                Some(DocState::Incomplete(queue) | DocState::Loading { queue, .. }) => self.load(file, queue),
                Some(DocState::Note(_) | DocState::Plain(_)) => self.load(file, [].into()),
                Some(state @ DocState::Uncreated(_)) => {
                    self.docs.insert(file, state);
                }
                None => {}
            }
            self.outputs.push_back(Output::FileUpdated(file));
            self.project(file);
        }
    }

    /// Everything stored was given back: find what the disk lacks, and conflicts that only documents show.
    pub(super) fn restored(&mut self) {
        self.restoring = false;
        let files: Vec<_> = self.index.iter().map(|(file, _)| file).collect();
        for file in files {
            let may_conflict = |record: &FileRecord| {
                record.has_concurrent_changes() || !conflict::edits_past_archive(record).is_empty()
            };
            if self.index.get(file).is_some_and(may_conflict) {
                self.with_document(file, Task::Inspect);
            }
            self.project(file);
        }
        let orphans: Vec<_> = self
            .on_disk
            .iter()
            .filter(|(key, projection)| self.places.get(&projection.file) != Some(*key))
            .map(|(key, _)| key.clone())
            .collect();
        for key in orphans {
            self.remove_from_disk(key);
        }
    }
}
