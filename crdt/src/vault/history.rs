//! What became of a file: who did what and when, and what it said at a time.
//!
//! Events carry their authors' times. What a file said at a time goes by what had come here by then: so a member that lies
//! about its clock changes no past.

use std::collections::BTreeSet;

use aiemp_keys::NodeId;
use aiemp_protocol::{
    entry::{FieldWrite, Item},
    ids::{ContentHash, FileId, LogId},
    time::Timestamp,
    vault_path::VaultPath,
};

use super::{
    EffectId, Output, Pending, UndoFrom, Vault,
    hidden::hidden_among,
    local::note_text,
    open::{Task, vet_and_apply},
    undo::is_undone,
};
use crate::{
    document::Document,
    index::{ChangeRef, FileRecord, Origin},
    sight,
    vet::Refused,
};

/// Something that a member did to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, by the author's clock.
    pub at: Timestamp,
    /// Who.
    pub author: NodeId,
    /// To which file: several may have lain at one place, one after the other or at once.
    pub file: FileId,
    /// What.
    pub what: Deed,
    /// The entry that says so: its log, and its place there.
    pub entry: (LogId, u64),
}

/// What was done to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It came into being.
    Created(VaultPath),
    /// It was moved within its zone.
    Moved(VaultPath),
    /// Its text was changed.
    Edited,
    /// Another content took the place of its own.
    Replaced,
    /// It was put out of sight.
    Archived,
    /// It was brought back.
    BroughtBack,
}

impl Vault {
    /// What was done to the files that ever lay at a path, oldest first.
    pub fn history(&self, path: &VaultPath) -> Vec<Event> {
        let mut events = Vec::new();
        // What lies there may belong elsewhere: of two files of one name one has a number.
        let lies_there = self.file_at(path);
        let mut lay_there: BTreeSet<_> = self.index.ever_at(&path.key()).chain(lies_there).collect();
        if let Some(bare) = path.without_stem_suffix().filter(|_| lay_there.is_empty()) {
            lay_there.extend(self.index.ever_at(&bare.key()));
        }
        for file in lay_there {
            let Some(record) = self.index.get(file) else { continue };
            let mut add = |origin: &Origin, what| {
                events.push((
                    origin.seq,
                    Event { at: origin.hlc, author: origin.author(), file, what, entry: (origin.log, origin.seq) },
                ));
            };
            // Who decides between two files says of both where they lie and that they stay, also where that is no news.
            let mut lay_at = None;
            for (origin, path) in record.path.all() {
                match lay_at.replace(path) {
                    None => add(origin, Deed::Created(path.clone())),
                    Some(before) if before == path => {}
                    Some(_) => add(origin, Deed::Moved(path.clone())),
                }
            }
            record.base.all().skip(1).for_each(|(origin, _)| add(origin, Deed::Replaced));
            record.changes().iter().for_each(|change| add(&change.origin, Deed::Edited));
            let mut was_away = false;
            for (origin, archived) in record.archived.all() {
                match (*archived, was_away) {
                    (true, _) => add(origin, Deed::Archived),
                    (false, true) => add(origin, Deed::BroughtBack),
                    (false, false) => {}
                }
                was_away |= *archived;
            }
        }
        events.sort_by_key(|(seq, event)| (event.at, event.author, *seq));
        events.into_iter().map(|(_, event)| event).collect()
    }

    /// All files that were in sight before these entries, each with its place.
    pub fn lay_anywhere(&self, before: &UndoFrom) -> Vec<(FileId, VaultPath)> {
        self.lay_where(before, |_, _| true)
    }

    /// The files that lay at a path before these entries, or in the folder that it names; each with its place. Which of
    /// those that shared a name had which number is not known any more: under a numbered name there are all of them.
    pub fn lay_at(&self, path: &VaultPath, before: &UndoFrom) -> Vec<(FileId, VaultPath)> {
        let found = self.lay_exactly_at(path, before);
        match path.without_stem_suffix().filter(|_| found.is_empty()) {
            Some(bare) => self.lay_exactly_at(&bare, before),
            None => found,
        }
    }

    fn lay_exactly_at(&self, path: &VaultPath, before: &UndoFrom) -> Vec<(FileId, VaultPath)> {
        let folder = format!("{}/", path.key());
        let lies_there = self.file_at(path);
        self.lay_where(before, |file, place| {
            place.key() == path.key() || place.key().starts_with(&folder) || lies_there == Some(file)
        })
    }

    fn lay_where(&self, before: &UndoFrom, is_meant: impl Fn(FileId, &VaultPath) -> bool) -> Vec<(FileId, VaultPath)> {
        let then = |(file, record): (FileId, &FileRecord)| {
            let later = |origin: &Origin| is_undone(before, origin);
            let place = record.path.without(later).shown().cloned();
            let place = place.filter(|place| is_meant(file, place))?;
            let existed = record.base.without(later).shown().is_some();
            let names_first = |author| self.boundaries.names_first(author);
            let was_seen = existed && sight::would_be_live(&self.index, file, names_first, later);
            was_seen.then_some((file, place))
        };
        self.index.iter().filter_map(then).collect()
    }

    /// The contents that a file had before these entries: what was shown, and what was hidden then, until somebody who knew
    /// of both saved or chose.
    pub fn contents_then(&self, file: FileId, before: &UndoFrom) -> Vec<ContentHash> {
        let Some(record) = self.index.get(file) else { return Vec::new() };
        let is_earlier = |origin: &Origin| !is_undone(before, origin);
        let then = record.base.without(|origin| is_undone(before, origin));
        let hidden = hidden_among(record, &then, is_earlier).into_keys();
        record.start(&then, is_earlier).map(|start| start.content.hash).into_iter().chain(hidden).collect()
    }

    /// Asks for what a file said before these entries, under this content; answered by `Content`.
    pub(super) fn read_past(&mut self, request: u64, file: FileId, base: ContentHash, before: &UndoFrom) {
        let later = |origin: &Origin| is_undone(before, origin);
        let Some(record) = self.index.get(file) else {
            return self.outputs.push_back(Output::Content { request, bytes: None });
        };
        let changes: Vec<_> = record.changes_under(base).filter(|change| !later(&change.origin)).cloned().collect();
        let hashes = changes.iter().map(ChangeRef::named).collect();
        let effect = self.effect(Pending::Past { request, file, base, changes });
        self.push_load(effect, file, base, hashes);
    }

    pub(super) fn past_loaded(&mut self, effect: EffectId, payloads: Vec<Option<Vec<u8>>>) {
        let Some(Pending::Past { request, file, base, changes }) = self.pending.remove(&effect) else { return };
        let mut payloads = payloads.into_iter();
        let content = payloads.next().flatten().filter(|bytes| self.is_named(file, base, bytes));
        let changes: Vec<_> = changes.into_iter().zip(payloads).collect();
        let bytes = content.and_then(|bytes| match note_text(&bytes).filter(|_| !changes.is_empty()) {
            Some(text) => self.past_text(file, text, &changes).map(String::into_bytes),
            None => Some(bytes),
        });
        self.outputs.push_back(Output::Content { request, bytes });
    }

    /// The text that changes made of a content, as far as they are held and taken. Looking back, nobody is blamed.
    fn past_text(&self, file: FileId, text: &str, changes: &[(ChangeRef, Option<Vec<u8>>)]) -> Option<String> {
        let mut document = Document::import_as(text, self.index.shape(file));
        let mut dropped = BTreeSet::new();
        for (change, raw) in changes {
            let log = change.origin.log;
            if dropped.contains(&log) || self.dropped.begins_with(file, change) {
                dropped.insert(log);
                continue;
            }
            if let Some(raw) = raw
                && vet_and_apply(file, &mut document, change, raw) == Err(Refused::Apply)
            {
                return None;
            }
        }
        document.read().ok()?;
        Some(document.text())
    }

    /// Gives a file its place and a content of before, where this node may write it.
    pub(super) fn restore(&mut self, file: FileId, path: VaultPath, bytes: Vec<u8>) {
        if !self.exists(file) || !self.boundaries.may_write(file.zone) {
            return;
        }
        self.bring_back(file);
        if self.index.get(file).and_then(|record| record.path.shown()) != Some(&path) {
            self.push_item(file.zone.audience(), Item::Set { file, write: FieldWrite::Path(path) }, None);
        }
        self.with_document(file, Task::Replace(bytes));
    }
}
