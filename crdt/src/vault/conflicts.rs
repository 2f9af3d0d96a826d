//! The list of conflicts, and how an item is closed.

use std::collections::BTreeMap;

use aiemp_keys::{NodeId, Value, cbor};
use aiemp_protocol::{
    entry::Item,
    ids::{ConflictId, ContentHash, FileId},
    limits::{BLOB_BYTES_MAX, LANES_MAX},
    vault_path::VaultPath,
    zone::Zone,
};

use super::{
    Choice, Vault,
    hidden::hidden_of,
    late::Late,
    local::note_text,
    open::{DocState, Task},
    places,
};
use crate::{
    conflict::{self, Conflict, ConflictKind, Side},
    document::{self, Document, FieldConflict, FieldSide},
    index::{FileRecord, Origin},
    members,
    shape::Shape,
    sight,
};

impl Vault {
    /// The open items, by id.
    pub fn conflicts(&self) -> Vec<Conflict> {
        let of_fields = self
            .field_conflicts
            .iter()
            // A content that replaced that one has fields of its own, or none.
            .filter(|(file, (base, _))| self.shown_base(**file) == Some(*base))
            .flat_map(|(file, (_, fields))| fields.iter().filter_map(move |field| self.field_item(*file, field)));
        let watched = self.watched.iter().filter_map(|file| Some((*file, self.index.get(*file)?)));
        let of_files = watched.flat_map(|(file, record)| {
            let late = self.archive_items(file, record).into_iter();
            late.chain(self.hidden_items(file, record)).chain(self.move_item(file, record))
        });
        let of_dropped = self.dropped.files().into_iter().flat_map(|file| {
            let record = self.index.get(file);
            record.map(|record| self.dropped_items(file, record)).unwrap_or_default()
        });
        let all = of_fields
            .chain(self.text_items())
            .chain(self.broken_items())
            .chain(of_files)
            .chain(of_dropped)
            .chain(self.claim_items())
            .chain(self.name_items());
        let mut items: Vec<_> = all.filter(|item| !self.is_resolved(item)).collect();
        items.sort_by_key(|item| item.id);
        items.dedup_by_key(|item| item.id);
        items
    }

    /// Whether registers alone say that there may be something to list of a file. Most say nothing, and are not walked. What
    /// is stored says so once all of it is back, for a look may walk all changes of the file.
    pub(super) fn watch(&mut self, file: FileId) {
        if self.restoring {
            return;
        }
        let record = self.index.get(file);
        let is_odd = |record: &FileRecord| {
            !hidden_of(record).is_empty() || places::has_several(record) || conflict::is_late(record)
        };
        if record.is_some_and(is_odd) {
            self.watched.insert(file);
        } else {
            self.watched.remove(&file);
        }
    }

    /// All that a person should look at: the conflicts, which every node lists alike, and what this node holds back.
    pub fn open_items(&self) -> Vec<Conflict> {
        self.conflicts().into_iter().chain(self.held_items()).chain(self.removal_item()).collect()
    }

    /// Closed by somebody who may: a word of others about files that they may not touch closes nothing.
    pub(super) fn is_resolved(&self, item: &Conflict) -> bool {
        self.is_added_to_log(item).unwrap_or_else(|| self.closers(item.id, item.file.zone).next().is_some())
    }

    /// Who closed the item, of those who may.
    pub(super) fn closers(&self, id: ConflictId, zone: Zone) -> impl Iterator<Item = NodeId> {
        let by = self.resolved.get(&id).into_iter().flatten().copied();
        by.filter(move |author| self.boundaries.may_resolve(*author, zone))
    }

    /// Whether this node may close the item in this way.
    pub fn can_resolve(&self, item: &Conflict, choice: &Choice) -> bool {
        if item.kind == ConflictKind::ActiveContent {
            return self.can_resolve_held(item, choice);
        }
        if item.kind == ConflictKind::MassRemoval {
            return matches!(choice, Choice::Side(0) | Choice::Both);
        }
        if item.kind == ConflictKind::Claim {
            return self.can_resolve_claim(item, choice);
        }
        if item.kind == ConflictKind::Adoption {
            return self.can_resolve_adoption(item, choice);
        }
        if matches!(item.kind, ConflictKind::Move | ConflictKind::Name) {
            return self.place_chosen(item, choice).is_some_and(|(file, _)| self.boundaries.may_write(file.zone));
        }
        if matches!(choice, Choice::With(bytes) if bytes.len() > BLOB_BYTES_MAX) {
            return false;
        }
        let zone = item.file.zone;
        let leaves_all = match (item.kind, choice) {
            (ConflictKind::Field | ConflictKind::Text | ConflictKind::Structure, Choice::Both) => true,
            (ConflictKind::Text, Choice::Side(side)) if !self.has_lines(item, *side) => return false,
            // What was read is deleted, and no more: it must be known.
            (ConflictKind::DeleteEdit, Choice::Side(0)) if self.is_in_dispute(item.file) => {
                self.late_texts.hash_of(item.file).is_some()
            }
            (kind, Choice::Side(0)) if is_of_contents(kind) => true,
            (ConflictKind::DeleteEdit | ConflictKind::LateEdit, Choice::Side(0)) => true,
            (_, Choice::Side(_) | Choice::Both | Choice::With(_)) => false,
        };
        if item.kind == ConflictKind::Dropped && !matches!(choice, Choice::Side(0) | Choice::With(_)) {
            // Nobody knows where in the note it would belong.
            return false;
        }
        let replaces = is_of_contents(item.kind) && !leaves_all && *choice != Choice::Both;
        if (replaces || matches!(choice, Choice::With(_))) && self.held.contains_key(&item.file) {
            // What is held back of the text that would go is not on this disk, and is to be decided by itself.
            return false;
        }
        if replaces && !self.is_in_sight(item.file) && !self.open_archive_items(item.file).is_empty() {
            // Another content would take away an edit that nobody sees, and that is to be decided by itself.
            return false;
        }
        let needs_other = is_of_contents(item.kind) && !leaves_all && !matches!(choice, Choice::With(_));
        if needs_other && self.hidden_behind(item).is_none() {
            return false;
        }
        self.boundaries.may_resolve(self.me, zone) && (leaves_all || self.boundaries.may_write(zone))
    }

    pub(super) fn remember_conflicts(&mut self, file: FileId) {
        self.remember_overlaps(file);
        self.remember_broken(file);
        let record = self.index.get(file).filter(|record| conflict::is_late(record));
        let (fields, late) = match self.docs.get_mut(&file) {
            Some(DocState::Note(note)) => {
                let fields = [note.merged.field_conflicts(), note.merged.member_conflicts()].concat();
                (Some((note.base, fields)), record.map(|record| late_note(record, &note.merged)))
            }
            Some(DocState::Plain(bytes)) => {
                let text = || note_text(bytes).map_or_else(|| length_of(bytes), str::to_owned);
                let late = || Late::new(ContentHash::of(bytes), text(), BTreeMap::new());
                (None, record.map(|_| late()))
            }
            Some(DocState::Uncreated(_) | DocState::Loading { .. } | DocState::Incomplete(_)) | None => return,
        };
        match fields.filter(|(_, found)| !found.is_empty()) {
            Some(fields) => self.field_conflicts.insert(file, fields),
            None => self.field_conflicts.remove(&file),
        };
        match late {
            Some(late) => self.late_texts.insert(file, late),
            None => self.late_texts.remove(file),
        }
    }

    /// Whether a field of the note has two values, or had when it was last open.
    pub fn has_two_values(&self, file: FileId) -> bool {
        self.field_conflicts.get(&file).is_some_and(|(base, _)| self.shown_base(file) == Some(*base))
    }

    fn field_item(&self, file: FileId, field: &FieldConflict) -> Option<Conflict> {
        let record = self.index.get(file)?;
        let first = field.sides.first()?;
        // Who decided between two has not decided about a third that comes to lie between them.
        let last = match &field.sides[1..] {
            [last] => cbor::text(&last.operation),
            others => cbor::array(others.iter().map(|side| cbor::text(&side.operation))),
        };
        let id = conflict::id_of(file, &field.key, cbor::text(&first.operation), last);
        Some(Conflict {
            id,
            kind: ConflictKind::Field,
            file,
            path: record.path.shown()?.clone(),
            field: Some(field.key.clone()),
            line: None,
            base: field.base.as_ref().map(|block| block.trim_end().to_owned()),
            sides: field.sides.iter().map(|side| self.field_side(file, record, side)).collect(),
            merged: field.shown.trim_end().to_owned(),
            found: Vec::new(),
        })
    }

    fn field_side(&self, file: FileId, record: &FileRecord, side: &FieldSide) -> Side {
        let by = record.current_changes().find(|change| {
            let doc = document::doc_id(file, change.base);
            let (author, generation) = (change.origin.author(), change.origin.log.generation);
            (0..LANES_MAX).any(|lane| document::actor(author, doc, generation, lane) == side.actor)
        });
        Side {
            node: by.map(|change| change.origin.author()),
            text: side.block.trim_end().to_owned(),
            hlc: by.map(|change| change.origin.hlc).unwrap_or_default(),
        }
    }

    fn archive_items(&self, file: FileId, record: &FileRecord) -> Vec<Conflict> {
        let Some(path) = record.path.shown().filter(|_| record.is_archived()) else { return Vec::new() };
        let edits = conflict::edits_past_archive(record).into_iter();
        let contents = conflict::contents_past_archive(record).into_iter();
        let base = record.shown_base();
        let late = self.late_texts.get(file);
        let text = late.map(Late::told).unwrap_or_default();
        let item = |what: Value, written: &Origin, archiving: &Origin| {
            let has_moved_on = sight::has_moved_on(&self.index, file, archiving);
            let (kind, gone) = if has_moved_on {
                (ConflictKind::LateEdit, "(moved away)")
            } else {
                (ConflictKind::DeleteEdit, "(deleted)")
            };
            Conflict {
                id: conflict::archive_edit_id(file, what, archiving),
                kind,
                file,
                path: path.clone(),
                field: None,
                line: None,
                base: late.and_then(|late| late.base_of(archiving)),
                sides: vec![
                    Side { node: Some(archiving.author()), text: gone.to_owned(), hlc: archiving.hlc },
                    Side { node: Some(written.author()), text: text.clone(), hlc: written.hlc },
                ],
                merged: if self.is_in_sight(file) { text.clone() } else { gone.to_owned() },
                found: Vec::new(),
            }
        };
        let mut written: Vec<_> = edits
            .map(|(change, archiving)| (change.hash.to_value(), &*change.origin, archiving))
            .chain(contents.filter_map(|(written, archiving)| Some((base?.to_value(), written, archiving))))
            .collect();
        // Whoever wrote to it wants it: that they said so, too, is not another thing to decide.
        for (word, archiving) in conflict::words_past_archive(record) {
            let is_told = |(_, written, past): &(Value, &Origin, &Origin)| {
                (written.author(), past.hash) == (word.author(), archiving.hash)
            };
            if !written.iter().any(is_told) {
                written.push((word.hash.to_value(), word, archiving));
            }
        }
        written.into_iter().map(|(what, written, archiving)| item(what, written, archiving)).collect()
    }

    /// What is to be decided about a file that somebody put away.
    fn open_archive_items(&self, file: FileId) -> Vec<Conflict> {
        let items = self.index.get(file).map(|record| self.archive_items(file, record)).unwrap_or_default();
        items.into_iter().filter(|item| !self.is_resolved(item)).collect()
    }

    pub(super) fn resolve(&mut self, id: ConflictId, choice: Choice) {
        self.resolve_knowing(id, choice, None);
    }

    /// Closes an item; the bytes of a hidden content may have been read for it.
    pub(super) fn resolve_knowing(&mut self, id: ConflictId, choice: Choice, hidden: Option<Vec<u8>>) {
        let Some(item) = self.open_items().into_iter().find(|item| item.id == id) else { return };
        if !self.can_resolve(&item, &choice) {
            return;
        }
        if self.is_resolved_otherwise(&item, &choice) {
            return;
        }
        if item.kind == ConflictKind::DeleteEdit
            && choice == Choice::Side(0)
            && self.is_in_dispute(item.file)
            && let Some(seen) = self.late_texts.hash_of(item.file)
        {
            // A deletion that knows of the edit closes it; had it been edited meanwhile, it is listed with that.
            return self.with_document(item.file, Task::ArchiveAs(seen));
        }
        let is_of_note = matches!(item.kind, ConflictKind::Field | ConflictKind::Text | ConflictKind::Structure);
        if is_of_note
            && matches!(choice, Choice::Side(_))
            && !matches!(self.docs.get(&item.file), Some(DocState::Note(_)))
        {
            return self.with_document(item.file, Task::Decide { id, choice });
        }
        let takes_hidden = is_of_contents(item.kind) && !matches!(choice, Choice::Side(0) | Choice::With(_));
        let hidden = match hidden {
            None if takes_hidden => match self.hidden_bytes(&item, &choice) {
                None => return,
                kept => kept,
            },
            read => read,
        };
        let resolved = Item::Resolve { id, choice: said(&item, &choice) };
        self.push_item(item.file.zone.audience(), resolved, None);
        match (item.kind, choice) {
            (_, Choice::With(bytes)) => {
                self.release_saved(&item.path, item.file.zone, &bytes);
                self.bring_back(item.file);
                self.with_document(item.file, Task::Replace(bytes));
            }
            (ConflictKind::Field, Choice::Side(index)) => self.take_field(&item, index),
            (ConflictKind::Text, Choice::Side(index)) => self.take_lines(&item, index),
            (ConflictKind::Structure, Choice::Side(index)) => self.mend(item.file, index),
            (ConflictKind::Field | ConflictKind::Text | ConflictKind::Structure, Choice::Both)
            | (ConflictKind::ActiveContent, _) => {}
            (ConflictKind::Content | ConflictKind::Blob, Choice::Side(0)) => {}
            (ConflictKind::DeleteEdit | ConflictKind::LateEdit, Choice::Side(0)) => self.let_lie(item.file),
            // Resolved otherwise.
            (
                ConflictKind::Dropped
                | ConflictKind::MassRemoval
                | ConflictKind::Claim
                | ConflictKind::Move
                | ConflictKind::Name
                | ConflictKind::Adoption,
                _,
            ) => {}
            (ConflictKind::Content | ConflictKind::Blob, Choice::Side(_)) => {
                hidden.into_iter().for_each(|bytes| self.take_hidden(item.file, bytes));
            }
            (ConflictKind::Content | ConflictKind::Blob, Choice::Both) => {
                hidden.into_iter().for_each(|bytes| self.show_hidden_beside(&item, bytes));
            }
            (ConflictKind::DeleteEdit | ConflictKind::LateEdit, Choice::Side(_) | Choice::Both) => {
                self.bring_back(item.file);
            }
        }
    }

    /// Says once more that the file is put away, knowing of the edit: so who decides otherwise without having heard of it
    /// contradicts that. Where there is something else to decide about the file, that would be closed as well, as would an edit
    /// of this node that was not listed yet.
    fn let_lie(&mut self, file: FileId) {
        let is_all = self.open_archive_items(file).len() == 1 && !self.is_changing(file);
        if is_all && self.boundaries.may_archive(file.zone) {
            self.set_archived(file, true);
        }
    }

    /// Resolves an item of a kind that no word closes but what is done about it; false for the others.
    fn is_resolved_otherwise(&mut self, item: &Conflict, choice: &Choice) -> bool {
        match item.kind {
            ConflictKind::Dropped => {
                // The repair itself closes it, on every node that takes it.
                let text = if let Choice::With(bytes) = choice { Some(bytes.clone()) } else { None };
                self.with_document(item.file, Task::Rebase(text));
            }
            ConflictKind::ActiveContent => self.resolve_held(item, choice.clone()),
            ConflictKind::MassRemoval => self.resolve_removals(choice),
            ConflictKind::Claim => self.resolve_claim(item, choice),
            ConflictKind::Move | ConflictKind::Name => self.resolve_place(item, choice),
            ConflictKind::Adoption => self.resolve_adoption(item, choice.clone()),
            ConflictKind::Field
            | ConflictKind::Text
            | ConflictKind::Structure
            | ConflictKind::DeleteEdit
            | ConflictKind::LateEdit
            | ConflictKind::Content
            | ConflictKind::Blob => return false,
        }
        true
    }

    fn take_field(&mut self, item: &Conflict, index: usize) {
        let (Some(side), Some(key)) = (item.sides.get(index), &item.field) else { return };
        let Some(DocState::Note(note)) = self.docs.get(&item.file) else { return };
        let mut chosen = note.merged.shown().clone();
        if note.merged.shape() == Shape::State
            && let Some(body) = members::with(&chosen.body, key, &side.text)
        {
            chosen.body = body;
        } else if let Some(front_matter) = &mut chosen.front_matter {
            front_matter.blocks.insert(key.clone(), format!("{}\n", side.text));
        }
        let text = chosen.to_text().into_bytes();
        self.with_document(item.file, Task::Rewrite(text));
    }

    /// The paths of open items: for listings that must not look away.
    pub fn conflicting_paths(&self) -> Vec<VaultPath> {
        self.conflicts().into_iter().map(|item| item.path).collect()
    }
}

/// What a note that was put away says since, and what it said to those who put it away.
fn late_note(record: &FileRecord, document: &Document) -> Late {
    let text = document.text();
    let base_of = |archiving: &Origin| {
        let (written, content) = record.base.writes().next()?;
        let knew = conflict::knows_content(archiving, &record.base, written, content);
        let base = knew.then(|| document.text_of_those(|origin| conflict::knows_edit(archiving, origin)))?;
        Some((archiving.hash, base?))
    };
    let bases = conflict::archivers(&record.archived).filter_map(base_of).collect();
    Late::new(ContentHash::of(text.as_bytes()), text, bases)
}

/// What is told of a content that is no text.
fn length_of(bytes: &[u8]) -> String {
    format!("({} bytes, {})", bytes.len(), ContentHash::of(bytes))
}

const fn is_of_contents(kind: ConflictKind) -> bool {
    matches!(kind, ConflictKind::Content | ConflictKind::Blob)
}

/// What the log says of a choice.
fn said(item: &Conflict, choice: &Choice) -> String {
    let of_side = |index: usize| item.sides.get(index)?.node.map(|node: NodeId| node.to_string());
    match choice {
        Choice::Side(index) => of_side(*index).unwrap_or_else(|| "side".to_owned()),
        Choice::Both => "both".to_owned(),
        Choice::With(_) => "with".to_owned(),
    }
}
