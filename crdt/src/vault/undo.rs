//! Taking back what an author did since some time, by changes that go forward: nothing leaves the logs.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_protocol::{
    entry::{FieldWrite, Item},
    ids::{FileId, LogId},
    vault_path::VaultPath,
    zone::Zone,
};

use super::{
    EffectId, Output, Pending, Vault,
    open::{Reading, Task},
};
use crate::{
    claim::{self, Claim},
    conflict::archivings,
    document::{self, Document},
    index::{ChangeRef, FileRecord, Origin},
    sight, text_diff,
};

/// From which entry on a log is taken back.
pub type UndoFrom = BTreeMap<LogId, u64>;

/// An undo under way.
#[derive(Debug, Default)]
pub(super) struct Undoing {
    from: UndoFrom,
    loading: usize,
    undone: usize,
    left: Vec<VaultPath>,
}

impl Undoing {
    fn note(&mut self, put: Put, record: Option<&FileRecord>) {
        match put {
            Put::Back => self.undone += 1,
            Put::Untouched => {}
            Put::Left => {
                let path = record.and_then(|record| record.path.shown()).filter(|path| !self.left.contains(path));
                self.left.extend(path.cloned());
            }
        }
    }
}

/// How a file came out of it.
enum Put {
    Back,
    Untouched,
    Left,
}

pub(super) fn is_undone(from: &UndoFrom, origin: &Origin) -> bool {
    from.get(&origin.log).is_some_and(|first| origin.seq >= *first)
}

/// Whether changes that would be taken back are part of a text by now with which a document started anew.
fn is_compacted(record: &FileRecord, from: &UndoFrom) -> bool {
    let content = record.base.without(|origin| is_undone(from, origin));
    let before = record.start(&content, |_| true).map(|start| start.before).unwrap_or_default();
    let mut changes = before.into_iter().flat_map(|base| record.changes_under(base));
    changes.any(|change| is_undone(from, &change.origin))
}

impl Vault {
    pub(super) fn undo(&mut self, request: u64, from: UndoFrom) {
        let touched = |record: &FileRecord| {
            let undone = |origin: &Origin| is_undone(&from, origin);
            record.path.has_any(undone)
                || record.kind.has_any(undone)
                || record.base.has_any(undone)
                || record.archived.has_any(undone)
                || record.changes().iter().any(|change| undone(&change.origin))
        };
        let files: Vec<_> = self.index.iter().filter(|(_, record)| touched(record)).map(|(file, _)| file).collect();
        let mut undoing = Undoing { from, ..Undoing::default() };
        for file in files {
            let Some(record) = self.index.get(file).cloned() else { continue };
            let put = self.put_back(file, &record, &undoing.from);
            if self.is_in_sight(file) && is_compacted(&record, &undoing.from) {
                undoing.note(Put::Left, Some(&record));
            }
            if self.load_for_undo(request, file, &record, &undoing.from) {
                undoing.loading += 1;
                continue;
            }
            undoing.note(put, Some(&record));
        }
        self.give_claims_up(&undoing.from);
        self.undoing.insert(request, undoing);
        self.finish_undo(request);
    }

    /// Claims made then are given up, unless something that was made of their copies stays: whoever brings such a copy back
    /// and puts it away made nothing of it.
    fn give_claims_up(&mut self, from: &UndoFrom) {
        let names_first = |author| self.boundaries.names_first(author);
        let has_draft = |claim: &Claim| {
            let archivings = self.index.get(claim.to).into_iter().flat_map(|record| archivings(&record.archived));
            let mut drafts = archivings.flat_map(|archiving| claim::drafts_of(&self.index, claim.to, archiving));
            drafts.any(|draft| self.is_live(draft) || claim::is_decided(&self.index, draft, &names_first))
        };
        let holds = |claim: &Claim| {
            self.index.get(claim.to).is_some_and(FileRecord::is_archived)
                && claim::is_held(&self.index, claim, &names_first)
        };
        let is_given_up = |claim: &Claim| {
            is_undone(from, &claim.origin) && holds(claim) && !self.went_on(claim.to, from) && !has_draft(claim)
        };
        let claims = self.index.claims().iter().map(|(_, claim)| claim).filter(|claim| is_given_up(claim));
        let copies: Vec<_> = claims.map(|claim| claim.to).collect();
        for copy in copies {
            if self.boundaries.may_archive(copy.zone) && !self.archivings.contains_key(&copy) {
                self.set_archived(copy, false);
                self.set_archived(copy, true);
            }
        }
    }

    /// Gives the registers of a file the values that they would have.
    fn put_back(&mut self, file: FileId, record: &FileRecord, from: &UndoFrom) -> Put {
        let undone = |origin: &Origin| is_undone(from, origin);
        let (path, base) = (record.path.without(undone), record.base.without(undone));
        let archived = record.archived.without(undone).is_said();
        let Some(base) = base.shown().copied() else {
            // It was made then. What others did to it since is theirs.
            let has_others = path.shown().is_some() || record.changes().iter().any(|change| !undone(&change.origin));
            return match (self.is_in_sight(file), has_others) {
                (false, _) => Put::Untouched,
                (true, true) => Put::Left,
                (true, false) => {
                    self.archive(file);
                    if self.is_live(file) { Put::Left } else { Put::Back }
                }
            };
        };
        let may_write = self.boundaries.may_write(file.zone);
        let mut writes = Vec::new();
        let kind = record.kind.without(undone).shown().copied();
        let other_kind = kind.filter(|kind| record.kind.shown() != Some(kind));
        let content_returns = record.base.shown() != Some(&base);
        writes.extend(other_kind.map(FieldWrite::Kind));
        if content_returns {
            writes.push(FieldWrite::Base(base));
        }
        writes.extend(path.shown().filter(|path| record.path.shown() != Some(path)).cloned().map(FieldWrite::Path));
        let is_live = self.is_live(file);
        let comes_back = !archived && (!is_live || self.is_in_dispute(file)) && !self.went_on(file, from);
        let goes = is_live && !self.would_be_live(file, from);
        if writes.is_empty() && !comes_back && !goes {
            return Put::Untouched;
        }
        if !may_write {
            return Put::Left;
        }
        if content_returns {
            // What is taken back of its text waits until this is the content again.
            *self.unapplied.entry(file).or_default() += 1;
        }
        for write in writes {
            self.push_item(file.zone.audience(), Item::Set { file, write }, None);
        }
        if comes_back {
            self.bring_back(file);
        } else if goes {
            self.archive(file);
        }
        Put::Back
    }

    fn would_be_live(&self, file: FileId, from: &UndoFrom) -> bool {
        let names_first = |author| self.boundaries.names_first(author);
        sight::would_be_live(&self.index, file, names_first, |origin| is_undone(from, origin))
    }

    /// Whether the file lives on elsewhere by somebody else's doing: what became of it since stands.
    fn went_on(&self, file: FileId, from: &UndoFrom) -> bool {
        // One that the author made before that time leads nowhere: it could stand ready for whatever is put away since.
        let by_others = |origin: &Origin| from.keys().all(|log| log.author != origin.author());
        let made_by_others =
            |target: FileId| self.index.get(target).is_some_and(|record| record.base.has_any(by_others));
        let claims = from.keys().map(|log| Zone::Claim(log.author));
        let passed = claims.map(|zone| file.moved_to(zone)).chain([file]);
        let zones = [Zone::Intake, Zone::Drafts, Zone::Owner, Zone::Private];
        passed.flat_map(|at| zones.map(|zone| at.moved_to(zone))).any(made_by_others)
    }

    /// Asks for the content of a note in which some changes are to be taken back.
    fn load_for_undo(&mut self, request: u64, file: FileId, record: &FileRecord, from: &UndoFrom) -> bool {
        // Of the content and at the place that the file has once its registers are put back.
        let undone = |origin: &Origin| is_undone(from, origin);
        let content = record.base.without(undone);
        let Some(base) = record.start(&content, |_| true).map(|start| start.content.hash) else { return false };
        let changes: Vec<_> = record.changes_under(base).cloned().collect();
        if !changes.iter().any(|change| undone(&change.origin)) || !self.would_be_live(file, from) {
            return false;
        }
        let hashes = changes.iter().map(ChangeRef::named).collect();
        let effect = self.effect(Pending::Undo { request, file, base, changes });
        self.push_load(effect, file, base, hashes);
        true
    }

    pub(super) fn undo_loaded(&mut self, effect: EffectId, payloads: Vec<Option<Vec<u8>>>) {
        let Some(Pending::Undo { request, file, base, changes }) = self.pending.remove(&effect) else { return };
        let Some(mut undoing) = self.undoing.remove(&request) else { return };
        undoing.loading -= 1;
        let mut payloads = payloads.into_iter();
        let content = payloads.next().flatten().filter(|bytes| self.is_named(file, base, bytes));
        let put = match content.and_then(|bytes| String::from_utf8(bytes).ok()) {
            Some(text) => self.undo_text(file, &text, &changes, payloads, &undoing.from),
            None => Put::Left,
        };
        undoing.note(put, self.index.get(file));
        self.undoing.insert(request, undoing);
        self.finish_undo(request);
    }

    /// Takes the changes back from the last to the first.
    fn undo_text(
        &mut self,
        file: FileId,
        base: &str,
        changes: &[ChangeRef],
        payloads: impl Iterator<Item = Option<Vec<u8>>>,
        from: &UndoFrom,
    ) -> Put {
        if !self.boundaries.may_write(file.zone) {
            return Put::Left;
        }
        let mut document = Document::import_as(base, self.index.shape(file));
        let mut steps: Vec<(String, String)> = Vec::new();
        // What the text was before the changes that are taken back in one step.
        let mut begun: Option<String> = None;
        let mut lacks_changes = false;
        let mut dropped = BTreeSet::new();
        for (change, raw) in changes.iter().zip(payloads) {
            // What is not shown, for it never came or was refused, is not there to be taken back.
            let Some(raw) = raw else {
                lacks_changes = true;
                continue;
            };
            let log = change.origin.log;
            if dropped.contains(&log) || self.dropped.begins_with(file, change) {
                dropped.insert(log);
                continue;
            }
            if is_undone(from, &change.origin) != begun.is_some() {
                let Some(text) = document.read().ok().map(|()| document.text()) else { return Put::Left };
                begun = match begun.take() {
                    Some(before) => {
                        steps.push((before, text));
                        None
                    }
                    None => Some(text),
                };
            }
            let how = (lacks_changes, Reading::AtTheEnd);
            if self.apply_change(file, &mut document, change, &raw, how).is_err()
                && self.dropped.begins_with(file, change)
            {
                dropped.insert(log);
            }
        }
        if document.read().is_err() {
            return Put::Left;
        }
        steps.extend(begun.map(|before| (before, document.text())));
        let mut whole = true;
        let mut text = document.text();
        for (before, after) in steps.into_iter().rev() {
            let (reverted, all) = text_diff::revert(&before, &after, &text);
            text = reverted;
            whole &= all;
        }
        let parts = [aiemp_keys::cbor::text(&text), file.to_value()];
        let edited = document.edit(&text, document::actor_of_rewriting(parts));
        let put = match (whole, &edited) {
            (false, _) => Put::Left,
            (true, Some(_)) => Put::Back,
            (true, None) => Put::Untouched,
        };
        // It merges with whatever was written meanwhile.
        edited.into_iter().for_each(|raw| self.with_document(file, Task::RewriteEarlier(raw)));
        put
    }

    fn finish_undo(&mut self, request: u64) {
        if self.undoing.get(&request).is_some_and(|undoing| undoing.loading == 0)
            && let Some(Undoing { undone, left, .. }) = self.undoing.remove(&request)
        {
            self.outputs.push_back(Output::Undone { request, undone, left });
        }
    }
}
