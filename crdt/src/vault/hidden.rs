//! Content that is not shown: a note created twice with different texts, or edited under a text that was replaced.
//! It is listed beside what is shown until a person decides.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_keys::cbor;
use aiemp_protocol::{
    entry::{ContentRef, FileKind},
    ids::{ConflictId, ContentHash, EntryHash, FileId},
};

use super::{
    Choice, EffectId, Pending, Vault,
    open::{Reading, Task},
};
use crate::{
    conflict::{self, Conflict, ConflictKind, Side},
    document::{Document, FieldConflict},
    index::{ChangeRef, FileRecord, Origin, Register, Start},
    shape::Shape,
    vet::Refused,
};

/// Text of hidden contents that is kept to be looked at. What finds no room, or is no text, is told by its length; it is
/// read again when somebody chooses it.
const TEXT_BYTES_MAX: usize = 32 << 20;

/// What the texts of a hidden content follow from, apart from the payloads: no entry that a writing of the shown content
/// had seen applies after it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MadeOf {
    /// How many changes it has.
    changes: usize,
    shape: Shape,
    /// The entries that made the shown content what it is.
    shown_by: Vec<EntryHash>,
}

impl MadeOf {
    pub(super) fn now(record: &FileRecord, changes: usize) -> Self {
        let start = record.start(&record.base, |_| true);
        let shown_by = start.iter().flat_map(Start::made_by).map(|origin| origin.hash).collect();
        Self { changes, shape: record.shape(), shown_by }
    }
}

/// The content under one hidden base.
#[derive(Debug)]
pub(super) struct Hidden {
    pub(super) made_of: MadeOf,
    /// Whether some of them have not arrived.
    pub(super) lacks_changes: bool,
    length: usize,
    pub(super) text: Option<String>,
    /// Values of its fields that the text does not show, for a concurrent one stands there: as written.
    others: Vec<String>,
    /// What it was when another content took its place; none if none did, or where it finds no room.
    pub(super) base: Option<String>,
    /// Whether that finds no room.
    pub(super) lacks_base: bool,
}

impl Hidden {
    /// As it is told: who takes another content has seen all that this one says.
    fn told(&self) -> String {
        let Some(text) = &self.text else { return format!("({} bytes)", self.length) };
        let line_end = if text.ends_with('\n') { "" } else { "\n" };
        let others = self.others.iter().map(|other| format!("(also written: {})\n", other.trim_end()));
        if self.others.is_empty() {
            text.clone()
        } else {
            [text, line_end].into_iter().map(str::to_owned).chain(others).collect()
        }
    }
}

/// What a person decided about a content that is being read again for it.
pub(super) type Chosen = (ConflictId, Choice);

/// Bases that compete with the shown one, each with its changes.
pub(super) fn hidden_of(record: &FileRecord) -> BTreeMap<ContentHash, Vec<&ChangeRef>> {
    if record.had_bases() { hidden_among(record, &record.base, |_| true) } else { BTreeMap::new() }
}

/// [`hidden_of`] for a register and with the changes of another time.
pub(super) fn hidden_among<'r>(
    record: &'r FileRecord,
    base: &Register<ContentRef>,
    counts: impl Fn(&Origin) -> bool,
) -> BTreeMap<ContentHash, Vec<&'r ChangeRef>> {
    let mut found: BTreeMap<ContentHash, Vec<&ChangeRef>> = BTreeMap::new();
    let (Some(shown), Some(start)) = (base.shown(), record.start(base, &counts)) else { return found };
    for (_, base) in base.writes().filter(|(_, base)| base.hash != shown.hash) {
        found.entry(base.hash).or_default();
    }
    // A change may name any digest: under one that never was the content it says nothing.
    let is_other = |change: &&ChangeRef| change.base != start.content.hash && record.had_base(change.base);
    let others = || record.changes().iter().filter(|change| is_other(change) && counts(&change.origin));
    // What a writer of a content had is dealt with in that one, be it shown or listed.
    let is_dealt_with = |change: &&ChangeRef| base.writes().any(|(origin, _)| change.origin.is_before(origin));
    for change in others().filter(|change| !start.knows(&change.origin) && !is_dealt_with(change)) {
        found.entry(change.base).or_default();
    }
    for change in others() {
        if let Some(changes) = found.get_mut(&change.base) {
            changes.push(change);
        }
    }
    found
}

/// The id of the item that a hidden content is.
pub(super) fn item_id(file: FileId, shown: ContentHash, base: ContentHash, changes: &[&ChangeRef]) -> ConflictId {
    let mut all: Vec<_> = changes.iter().map(|change| change.hash).collect();
    all.sort();
    let all = all.into_iter().map(ContentHash::to_value);
    conflict::id_of(file, "content", shown.to_value(), cbor::array([base.to_value(), cbor::array(all)]))
}

/// Whether whoever wrote a content wrote it as something else than a note.
fn is_blob(record: &FileRecord, base: ContentHash) -> bool {
    let mut written = record.base.all().filter(|(_, content)| content.hash == base).map(|(origin, _)| origin.hash);
    let is_by = |entry| record.kind.all().any(|(origin, kind)| origin.hash == entry && *kind == FileKind::Blob);
    written.any(is_by)
}

/// The values that are not shown of fields that were given several.
fn others_of(document: &mut Document) -> Vec<String> {
    let conflicts = [document.field_conflicts(), document.member_conflicts()].concat();
    let of_one = |conflict: FieldConflict| {
        let shown = conflict.shown;
        conflict.sides.into_iter().map(|side| side.block).filter(move |block| *block != shown)
    };
    conflicts.into_iter().flat_map(of_one).collect()
}

impl Vault {
    /// Loads what is hidden of a file, where it is not known yet. What is being loaded is looked at again when it is here.
    pub(super) fn inspect_hidden(&mut self, file: FileId) {
        let Some(record) = self.index.get(file).filter(|_| !self.restoring) else { return };
        let wanted: Vec<(ContentHash, Vec<ChangeRef>)> = hidden_of(record)
            .into_iter()
            .filter(|(base, changes)| {
                let known = self.hidden.get(&(file, *base));
                known.is_none_or(|hidden| hidden.made_of != MadeOf::now(record, changes.len()))
                    && !self.loading_hidden.contains(&(file, *base))
            })
            .map(|(base, changes)| (base, changes.into_iter().cloned().collect()))
            .collect();
        for (base, changes) in wanted {
            self.load_hidden(file, base, changes, None);
        }
    }

    fn load_hidden(&mut self, file: FileId, base: ContentHash, changes: Vec<ChangeRef>, chosen: Option<Chosen>) {
        let named = changes.iter().map(ChangeRef::named).collect();
        let effect = self.effect(Pending::Hidden { file, base, changes, chosen });
        self.loading_hidden.insert((file, base));
        self.push_load(effect, file, base, named);
    }

    pub(super) fn hidden_loaded(&mut self, effect: EffectId, payloads: Vec<Option<Vec<u8>>>) {
        let Some(Pending::Hidden { file, base, changes, chosen }) = self.pending.remove(&effect) else { return };
        self.loading_hidden.remove(&(file, base));
        let count = changes.len();
        let hashes = [base].into_iter().chain(changes.iter().map(|change| change.hash));
        let came_since = self.await_absent(effect, file, hashes, &payloads);
        let mut payloads = payloads.into_iter();
        let made_of = self.index.get(file).map(|record| MadeOf::now(record, count));
        if let Some(made_of) = made_of
            && let Some(bytes) = payloads.next().flatten().filter(|bytes| self.is_named(file, base, bytes))
        {
            let changes: Vec<_> = changes.into_iter().zip(payloads).collect();
            let (text, others, replaced, lacks_changes) = match super::local::note_text(&bytes) {
                Some(text) => {
                    let replaced = self.replaced_text(file, base, text, &changes);
                    let (mut document, lacks_changes) = self.document_of(file, text, &changes);
                    (Some(document.text()), others_of(&mut document), replaced, lacks_changes)
                }
                None => (None, Vec::new(), None, false),
            };
            let length = text.as_ref().map_or(bytes.len(), String::len);
            if let Some((id, choice)) = chosen {
                let whole = text.clone().map_or(bytes, String::into_bytes);
                self.resolve_knowing(id, choice, Some(whole));
            }
            self.hidden.remove(&(file, base));
            let texts =
                self.hidden.values().flat_map(|hidden| hidden.text.iter().chain(&hidden.base).chain(&hidden.others));
            let mut held: usize = texts.map(String::len).sum();
            let mut kept = |text: Option<String>, others: usize| {
                let text = text.filter(|text| held + text.len() + others <= TEXT_BYTES_MAX);
                held += text.as_ref().map_or(0, |text| text.len() + others);
                text
            };
            let was_replaced = replaced.is_some();
            let (text, replaced) = (kept(text, others.iter().map(String::len).sum()), kept(replaced, 0));
            let others = if text.is_some() { others } else { Vec::new() };
            let lacks_base = was_replaced && replaced.is_none();
            let hidden = Hidden { made_of, lacks_changes, length, text, others, base: replaced, lacks_base };
            self.hidden.insert((file, base), hidden);
        }
        let now = self.index.get(file).and_then(|record| Some(hidden_of(record).get(&base)?.len()));
        if came_since {
            self.hidden.remove(&(file, base));
        }
        if came_since || now.is_some_and(|now| now != count) {
            self.inspect_hidden(file);
        } else if self.index.shape(file).is_day_log() {
            self.unite_soon(file);
        }
    }

    pub(super) fn is_named(&self, file: FileId, base: ContentHash, bytes: &[u8]) -> bool {
        self.index.get(file).is_some_and(|record| record.names(base, bytes))
    }

    /// What a hidden content said when the shown one took its place; none if that was written without knowing it.
    fn replaced_text(
        &mut self,
        file: FileId,
        base: ContentHash,
        text: &str,
        changes: &[(ChangeRef, Option<Vec<u8>>)],
    ) -> Option<String> {
        let record = self.index.get(file)?;
        let start = record.start(&record.base, |_| true)?;
        if !record.contents().any(|(origin, content)| content.hash == base && start.knows(origin)) {
            return None;
        }
        let known: Vec<_> = changes.iter().filter(|(change, _)| start.knows(&change.origin)).cloned().collect();
        Some(self.document_of(file, text, &known).0.text())
    }

    /// What changes make of a content, as far as they are held and taken, and whether some are not held.
    fn document_of(&mut self, file: FileId, text: &str, changes: &[(ChangeRef, Option<Vec<u8>>)]) -> (Document, bool) {
        let mut reading = Reading::AtTheEnd;
        loop {
            let mut document = Document::import_as(text, self.index.shape(file));
            let mut lacks_changes = false;
            let mut dropped = BTreeSet::new();
            let applied = changes.iter().try_for_each(|(change, raw)| {
                let Some(raw) = raw else {
                    lacks_changes = true;
                    return Ok(());
                };
                let log = change.origin.log;
                if dropped.contains(&log) || self.dropped.begins_with(file, change) {
                    dropped.insert(log);
                    return Ok(());
                }
                match self.apply_change(file, &mut document, change, raw, (lacks_changes, reading)) {
                    Err(Refused::Apply) => Err(Refused::Apply),
                    Ok(_) => Ok(()),
                    Err(_) => {
                        dropped.extend(self.dropped.has(file, change.base, log).then_some(log));
                        Ok(())
                    }
                }
            });
            if applied.is_ok() && (reading == Reading::AfterEach || document.read().is_ok()) {
                return (document, lacks_changes);
            }
            // Its author is dropped now, or is found when each is read.
            reading = Reading::AfterEach;
        }
    }

    /// Forgets what lacks changes, for one of them came.
    pub(super) fn forget_incomplete_hidden(&mut self, file: FileId) {
        self.hidden.retain(|(of, _), hidden| *of != file || !hidden.lacks_changes);
    }

    pub(super) fn hidden_items(&self, file: FileId, record: &FileRecord) -> Vec<Conflict> {
        let Some((shown_by, _)) = record.base.writes().next() else { return Vec::new() };
        let Some(shown) = record.start(&record.base, |_| true).map(|start| start.content) else { return Vec::new() };
        let Some(path) = record.path.shown() else { return Vec::new() };
        let item = |(base, mut changes): (ContentHash, Vec<&ChangeRef>)| {
            changes.sort_by_key(|change| change.hash);
            let written = record.base.writes().find(|(_, written)| written.hash == base).map(|(origin, _)| origin);
            let by = changes.last().map(|change| &*change.origin).or(written);
            let is_blob = is_blob(record, shown.hash) && is_blob(record, base);
            let named = record.base.values().find(|content| content.hash == base);
            let (kind, shown_as, text, replaced) = if is_blob {
                let told = |content: &ContentRef| format!("{} bytes, {}", content.length, content.hash);
                let replaced = record.base.before_parting().map(told);
                (ConflictKind::Blob, format!("(shown) {}", told(&shown)), named.map(told), replaced)
            } else {
                let hidden = self.hidden.get(&(file, base));
                let (text, replaced) = (hidden.map(Hidden::told), hidden.and_then(|hidden| hidden.base.clone()));
                (ConflictKind::Content, "(shown)".to_owned(), text, replaced)
            };
            Conflict {
                id: item_id(file, shown.hash, base, &changes),
                kind,
                file,
                path: path.clone(),
                field: None,
                line: None,
                base: replaced,
                sides: vec![
                    Side { node: Some(shown_by.author()), text: shown_as.clone(), hlc: shown_by.hlc },
                    Side {
                        node: by.map(Origin::author),
                        text: text.unwrap_or_default(),
                        hlc: by.map(|origin| origin.hlc).unwrap_or_default(),
                    },
                ],
                merged: shown_as,
                found: Vec::new(),
            }
        };
        hidden_of(record).into_iter().map(item).collect()
    }

    /// What was hidden is shown from now on.
    pub(super) fn take_hidden(&mut self, file: FileId, bytes: Vec<u8>) {
        self.bring_back(file);
        self.with_document(file, Task::Replace(bytes));
    }

    /// What was hidden becomes a file of its own, with a number.
    pub(super) fn show_hidden_beside(&mut self, item: &Conflict, bytes: Vec<u8>) {
        let file = self.free_id(item.file.beside(item.file.zone));
        // Of a file that is the owner's by its whole name, one with a number is not.
        let numbered = self.names.numbered(&item.path);
        let place = numbered.filter(|place| self.may_lie(file, place)).unwrap_or_else(|| item.path.clone());
        self.create_new(file, &place, bytes);
    }

    /// The content that an item hides, once it was read, with its changes.
    pub(super) fn hidden_behind(&self, item: &Conflict) -> Option<(ContentHash, Vec<&ChangeRef>)> {
        let record = self.index.get(item.file)?;
        let shown = record.shown_base()?;
        let is_it = |(base, changes): &(ContentHash, Vec<&ChangeRef>)| {
            self.hidden.contains_key(&(item.file, *base)) && item_id(item.file, shown, *base, changes) == item.id
        };
        hidden_of(record).into_iter().find(is_it)
    }

    /// The bytes that an item hides, where they are kept; else they are read, and the choice is made then.
    pub(super) fn hidden_bytes(&mut self, item: &Conflict, choice: &Choice) -> Option<Vec<u8>> {
        let (base, changes) = self.hidden_behind(item)?;
        if let Some(text) = &self.hidden.get(&(item.file, base))?.text {
            return Some(text.clone().into_bytes());
        }
        let changes = changes.into_iter().cloned().collect();
        self.load_hidden(item.file, base, changes, Some((item.id, choice.clone())));
        None
    }
}
