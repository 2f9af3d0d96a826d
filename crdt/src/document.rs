//! A note as an automerge document: `{fm: {key: raw}, fence, order, body: Text, eol, bom}`.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use aiemp_keys::{Hash, NodeId, Value as Cbor, cbor};
use aiemp_protocol::ids::{ContentHash, DocId, FileId};
use automerge::{
    ActorId, AutoCommit, Change, ChangeHash, ObjId, ObjType, ROOT, ReadDoc, ScalarValue, TextEncoding, Value,
    transaction::{CommitOptions, Transactable},
};

use crate::{
    form::{Clock, Form},
    index::Origin,
    note::{Eol, FrontMatter, Note},
    shape::Shape,
    text_diff,
    vet::Refused,
};

mod past;
mod together;

pub(crate) use past::Graph;

/// The document format; part of every [`DocId`].
const FORMAT: u64 = 1;

/// The document that a file's changes under one base belong to.
pub fn doc_id(file: FileId, base: ContentHash) -> DocId {
    let parts = [file.to_value(), base.to_value(), cbor::uint(FORMAT)];
    DocId(Hash::labelled("aiemp-node 2026 document id", parts))
}

/// The actor of an author's changes in one lane of a document: so that nobody can write under another's name.
pub fn actor(author: NodeId, doc: DocId, generation: u64, lane: u64) -> ActorId {
    let parts = [author.to_value(), doc.to_value(), cbor::uint(generation), cbor::uint(lane)];
    ActorId::from(&Hash::labelled("aiemp-node 2026 actor", parts).as_bytes()[..16])
}

/// The actor of a change that is never sent: it carries a replacement over to a later state of the document.
pub(crate) fn actor_of_rewriting(parts: impl IntoIterator<Item = Cbor>) -> ActorId {
    ActorId::from(&Hash::labelled("aiemp-node 2026 rewriting actor", parts).as_bytes()[..16])
}

/// One field that concurrent changes gave different values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldConflict {
    /// The front matter key.
    pub key: String,
    /// The raw block that was there before any of them; none where there was none.
    pub base: Option<String>,
    /// The raw blocks, each with the actor that wrote it, ordered by their operation ids.
    pub sides: Vec<FieldSide>,
    /// The raw block that is shown meanwhile.
    pub shown: String,
}

/// One of the values of a conflicting field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldSide {
    /// The operation, as automerge prints it: equal on every node.
    pub operation: String,
    /// Who wrote it.
    pub actor: ActorId,
    /// The raw block.
    pub block: String,
}

/// What a document knows of one change, to vet the next.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) actor: ActorId,
    pub(crate) max_op: u64,
    /// What its author had, the change included.
    pub(crate) past: Clock,
    /// The entry that it came with; of none the document's beginning, and what was not sent yet.
    origin: Option<Arc<Origin>>,
}

/// An open document.
#[derive(Clone)]
pub struct Document {
    doc: AutoCommit,
    /// Changes that belong to it and are not in it yet: taking some in costs as much as the note is long, be it one or all.
    waiting: Vec<Change>,
    pub(crate) known: BTreeMap<ChangeHash, Known>,
    /// The last change of each actor, with its seq.
    pub(crate) last: BTreeMap<ActorId, (u64, ChangeHash)>,
    pub(crate) form: Form,
    /// Pairs of changes, neither of which follows from the other, that a change brought together.
    merges: Vec<(ChangeHash, ChangeHash)>,
    shape: Shape,
    note: Note,
    /// What is shown in place of that, where edits that came together left something else than their authors write.
    mended: Option<Note>,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({} changes)", self.known.len())
    }
}

impl Document {
    /// Makes the document of a base content: the same bytes give the same document on every node, so it never travels.
    pub fn import(text: &str) -> Self {
        Self::import_as(text, Shape::Note)
    }

    /// The same of a file that has this shape for life.
    pub fn import_as(text: &str, shape: Shape) -> Self {
        let content = ContentHash::of(text.as_bytes());
        let importer = Hash::labelled("aiemp-node 2026 import actor", [content.to_value()]);
        let mut doc = AutoCommit::new_with_encoding(TextEncoding::Utf8CodeUnit);
        doc.set_actor(ActorId::from(&importer.as_bytes()[..16]));
        let note = Note::parse_as(text, shape);
        let form = write_new(&mut doc, &note).expect("writing to an empty document");
        doc.commit_with(CommitOptions::default().with_time(0));
        let (known, last, merges) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let mut document = Self { doc, waiting: Vec::new(), known, last, form, merges, shape, note, mended: None };
        for change in document.doc.get_changes(&[]) {
            document.note_change(&change);
        }
        document
    }

    /// Edits the document to hold `text`, as one change of `actor`; the raw change, or none if nothing changed.
    pub fn edit(&mut self, text: &str, actor: ActorId) -> Option<Vec<u8>> {
        let new = Note::parse_as(text, self.shape);
        if new == *self.shown() {
            return None;
        }
        let before = self.heads();
        self.doc.set_actor(actor);
        let written = if new == self.note {
            touch(&mut self.doc, &new)
        } else {
            write_difference(&mut self.doc, &self.note, &new)
        };
        written.expect("the document has the form that import gave it");
        self.doc.commit_with(CommitOptions::default().with_time(0))?;
        for change in self.doc.get_changes(&before) {
            self.form.record(&change);
            self.note_change(&change);
        }
        self.note = new;
        self.mended = None;
        let change = self.doc.get_last_local_change()?;
        Some(change.raw_bytes().to_vec())
    }

    /// Applies a change that [`vet`](crate::vet::vet) let pass for this state; after an error the document is of no use any
    /// more.
    ///
    /// What passes is what automerge can apply, as far as we know it. Where it cannot it panics, and a peer's change must
    /// not end the node.
    pub fn apply(&mut self, change: Change) -> Result<(), Refused> {
        self.apply_unread(change);
        self.read()
    }

    /// Applies one of many changes: what they make of the document follows with [`Document::read`] after the last.
    pub(crate) fn apply_unread(&mut self, change: Change) {
        self.form.record(&change);
        self.note_change(&change);
        self.waiting.push(change);
    }

    fn take_in(&mut self) -> Result<(), Refused> {
        let (doc, waiting) = (&mut self.doc, std::mem::take(&mut self.waiting));
        if waiting.is_empty() {
            return Ok(());
        }
        let applied = panic::catch_unwind(AssertUnwindSafe(|| doc.apply_changes(waiting).is_ok()));
        if applied.unwrap_or(false) { Ok(()) } else { Err(Refused::Apply) }
    }

    /// Takes in what was applied, and the text that it made.
    pub(crate) fn read(&mut self) -> Result<(), Refused> {
        self.take_in()?;
        let doc = &self.doc;
        self.note = panic::catch_unwind(AssertUnwindSafe(|| read_note(doc, None))).map_err(|_| Refused::Apply)?;
        let heads = self.doc.get_heads();
        self.mended = self.mended_at(&heads, &self.note);
        Ok(())
    }

    /// The note that is shown for it.
    pub(crate) fn shown(&self) -> &Note {
        self.mended.as_ref().unwrap_or(&self.note)
    }

    /// Whether something else is shown than its letters.
    pub(crate) const fn is_mended(&self) -> bool {
        self.mended.is_some()
    }

    /// What its text is.
    pub(crate) const fn shape(&self) -> Shape {
        self.shape
    }

    /// The highest operation counter: no fewer operations made the document.
    pub(crate) fn max_op(&self) -> u64 {
        self.known.values().map(|known| known.max_op).max().unwrap_or(0)
    }

    /// Whether the change is held.
    pub fn has(&self, change: &ChangeHash) -> bool {
        self.known.contains_key(change)
    }

    /// The heads, sorted.
    pub fn heads(&mut self) -> Vec<ChangeHash> {
        // Who asks has read it, and knows whether it is of use.
        self.take_in().ok();
        let mut heads = self.doc.get_heads();
        heads.sort();
        heads
    }

    /// The heads as they are recorded beside a file.
    pub fn head_bytes(&mut self) -> Vec<[u8; 32]> {
        self.heads().iter().map(|head| head.0).collect()
    }

    /// The text it stands for.
    pub fn text(&self) -> String {
        self.shown().to_text()
    }

    /// The note that its edits made, as it is before anything is mended.
    pub const fn note(&self) -> &Note {
        &self.note
    }

    /// Which actor wrote the text, run by run in bytes; none wrote the fences of the front matter.
    pub fn writers(&self) -> Vec<(usize, Option<ActorId>)> {
        if let Some(mended) = &self.mended {
            return vec![(mended.to_text().len(), None)];
        }
        let line_end = if self.note.eol == Eol::CrLf { 2 } else { 1 };
        let on_disk = |text: &str| text.len() + text.matches('\n').count() * (line_end - 1);
        let mut runs = Vec::new();
        let mut add = |bytes: usize, actor: Option<ActorId>| match runs.last_mut() {
            Some((length, last)) if *last == actor => *length += bytes,
            Some(_) | None => runs.push((bytes, actor)),
        };
        let mut framing = if self.note.bom { "\u{feff}".len() } else { 0 };
        if let (Some(front_matter), Some(fields)) = (&self.note.front_matter, object(&self.doc, "fm")) {
            add(framing + on_disk("---\n"), None);
            for (key, block) in front_matter.ordered() {
                let writer = self.doc.get(&fields, key).ok().flatten().and_then(|(_, id)| actor_of(id));
                add(on_disk(block), writer);
            }
            framing = "---".len();
        }
        if framing > 0 {
            add(framing, None);
        }
        if let Some(body) = object(&self.doc, "body") {
            for item in self.doc.list_range(&body, ..) {
                let writer = actor_of(item.id());
                add(item.value.into_value().as_str().map_or(0, on_disk), writer);
            }
        }
        if let Some((bytes, _)) = runs.last_mut().filter(|_| self.note.is_unended && self.note.body.ends_with('\n')) {
            *bytes -= line_end;
        }
        runs.retain(|(bytes, _)| *bytes > 0);
        runs
    }

    /// Fields with more than one concurrent value.
    pub fn field_conflicts(&self) -> Vec<FieldConflict> {
        let Some(fields) = object(&self.doc, "fm") else { return Vec::new() };
        let keys: BTreeSet<String> = self.doc.keys(&fields).collect();
        keys.into_iter()
            .filter_map(|key| {
                let all = self.doc.get_all(&fields, key.as_str()).ok()?;
                let mut sides: Vec<_> = all
                    .iter()
                    .filter_map(|(value, id)| {
                        let (operation, actor) = (id.to_string(), actor_of(id.clone())?);
                        let block = value.as_str()?.to_owned();
                        Some(FieldSide { operation, actor, block })
                    })
                    .collect();
                sides.sort_by(|a, b| a.operation.cmp(&b.operation));
                let shown = self.note.front_matter.as_ref().and_then(|front| front.blocks.get(&key)).cloned();
                let differ = sides.windows(2).any(|pair| pair[0].block != pair[1].block);
                differ.then(|| {
                    let base = self.field_before(&fields, &key, all.iter().map(|(_, id)| id));
                    FieldConflict { key, base, sides, shown: shown.unwrap_or_default() }
                })
            })
            .collect()
    }

    /// What a field said before any of these operations.
    fn field_before<'a>(
        &self,
        fields: &ObjId,
        key: &str,
        operations: impl Iterator<Item = &'a ObjId>,
    ) -> Option<String> {
        let graph = Graph::of(self);
        let changes: Vec<_> = operations.filter_map(|operation| graph.change_of(operation)).collect();
        let (value, _) = self.doc.get_at(fields, key, &graph.common_heads(&changes)).ok()??;
        value.as_str().map(str::to_owned)
    }

    /// What the author of a change with these dependencies had; none if one of them is not held.
    pub(crate) fn past_of(&self, change: &Change) -> Option<Clock> {
        let mut past = Clock::new();
        for dep in change.deps() {
            for (actor, last) in &self.known.get(dep)?.past {
                let held = past.entry(actor.clone()).or_default();
                *held = (*last).max(*held);
            }
        }
        Some(past)
    }

    /// Notes the entry that a change came with.
    pub(crate) fn came_with(&mut self, change: &Change, origin: &Arc<Origin>) {
        if let Some(known) = self.known.get_mut(&change.hash()) {
            known.origin = Some(Arc::clone(origin));
        }
    }

    /// Whether an entry had seen all that a change which it carries depends on, as far as that is held. Where it had not,
    /// whether the change applies would hang on the order in which the entries arrive.
    pub(crate) fn has_seen(&self, origin: &Origin, change: &Change) -> bool {
        let known = change.deps().iter().filter_map(|dep| self.known.get(dep)?.origin.as_ref());
        known.into_iter().all(|dep| dep.is_before(origin))
    }

    fn note_change(&mut self, change: &Change) {
        let mut past = self.past_of(change).unwrap_or_default();
        self.merges.extend(pairs(change.deps()));
        let actor = change.actor_id().clone();
        past.insert(actor.clone(), change.max_op());
        self.known.insert(change.hash(), Known { actor, max_op: change.max_op(), past, origin: None });
        self.last.insert(change.actor_id().clone(), (change.seq(), change.hash()));
    }
}

/// All pairs of these changes, each in one order.
fn pairs(changes: &[ChangeHash]) -> Vec<(ChangeHash, ChangeHash)> {
    let each = |(number, one): (usize, &ChangeHash)| {
        let with_one = changes[number + 1..].iter().map(|other| (*one.min(other), *one.max(other)));
        with_one.collect::<Vec<_>>()
    };
    changes.iter().enumerate().flat_map(each).collect()
}

fn actor_of(operation: ObjId) -> Option<ActorId> {
    match operation {
        ObjId::Id(_, actor, _) => Some(actor),
        ObjId::Root => None,
    }
}

type Written = Result<(), automerge::AutomergeError>;

fn write_new(doc: &mut AutoCommit, note: &Note) -> Result<Form, automerge::AutomergeError> {
    let fields = doc.put_object(ROOT, "fm", ObjType::Map)?;
    let body = doc.put_object(ROOT, "body", ObjType::Text)?;
    let empty = FrontMatter::default();
    let front_matter = note.front_matter.as_ref().unwrap_or(&empty);
    doc.put(ROOT, "fence", note.front_matter.is_some())?;
    doc.put(ROOT, "order", front_matter.order.join("\n"))?;
    doc.put(ROOT, "eol", note.line_ends())?;
    doc.put(ROOT, "bom", note.bom)?;
    for (key, block) in &front_matter.blocks {
        doc.put(&fields, key.as_str(), block.as_str())?;
    }
    doc.splice_text(&body, 0, 0, &note.body)?;
    Ok(Form::of_import(&fields, &body, &["fence", "order", "eol", "bom"], note))
}

/// A change that leaves the letters as they are, where something else is shown for them: who wrote it had all that came
/// together. automerge takes no operation that says what is said.
fn touch(doc: &mut AutoCommit, note: &Note) -> Written {
    doc.put(ROOT, "bom", !note.bom)?;
    doc.put(ROOT, "bom", note.bom)
}

fn write_difference(doc: &mut AutoCommit, old: &Note, new: &Note) -> Written {
    let empty = FrontMatter::default();
    let old_front = old.front_matter.as_ref().unwrap_or(&empty);
    let new_front = new.front_matter.as_ref().unwrap_or(&empty);
    set(doc, "fence", ScalarValue::from(new.front_matter.is_some()))?;
    if old.line_ends() != new.line_ends() {
        set(doc, "eol", ScalarValue::from(new.line_ends()))?;
    }
    if old.bom != new.bom {
        set(doc, "bom", ScalarValue::from(new.bom))?;
    }
    if old_front.order != new_front.order {
        set(doc, "order", ScalarValue::from(new_front.order.join("\n")))?;
    }
    if let Some(fields) = object(doc, "fm") {
        for key in old_front.blocks.keys().filter(|key| !new_front.blocks.contains_key(*key)) {
            doc.delete(&fields, key.as_str())?;
        }
        for (key, block) in new_front.blocks.iter().filter(|(key, block)| old_front.blocks.get(*key) != Some(*block)) {
            doc.put(&fields, key.as_str(), block.as_str())?;
        }
    }
    if let Some(body) = object(doc, "body") {
        for splice in text_diff::splices(&old.body, &new.body).into_iter().rev() {
            let delete = isize::try_from(splice.delete).expect("a note fits memory");
            doc.splice_text(&body, splice.at, delete, &splice.insert)?;
        }
    }
    Ok(())
}

/// Writes a register that says something else. What the note shows is not what it says: fields that a peer added show a
/// fence, and an order names fields that a peer took out. One of two values is not written again, for that would delete the
/// other, which no edit does.
fn set(doc: &mut AutoCommit, key: &str, value: ScalarValue) -> Written {
    let is_said = doc.get(ROOT, key)?.is_some_and(|(said, _)| said == Value::Scalar(Cow::Borrowed(&value)));
    if is_said { Ok(()) } else { doc.put(ROOT, key, value) }
}

fn object(doc: &AutoCommit, key: &str) -> Option<ObjId> {
    match doc.get(ROOT, key).ok()?? {
        (Value::Object(_), id) => Some(id),
        (Value::Scalar(_), _) => None,
    }
}

/// The note as it is, or as it was at these heads.
fn read_note(doc: &AutoCommit, heads: Option<&[ChangeHash]>) -> Note {
    let get = |object: &ObjId, key: &str| {
        let found = heads.map_or_else(|| doc.get(object, key), |heads| doc.get_at(object, key, heads));
        found.ok().flatten().map(|(value, _)| value)
    };
    let scalar = |key: &str| get(&ROOT, key);
    let text = |key: &str| scalar(key).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
    let flag = |key: &str| scalar(key).and_then(|value| value.as_bool()).unwrap_or(false);
    let mut blocks = BTreeMap::new();
    if let Some(fields) = object(doc, "fm") {
        let keys = heads.map_or_else(|| doc.keys(&fields), |heads| doc.keys_at(&fields, heads));
        for key in keys.collect::<Vec<_>>() {
            if let Some(Value::Scalar(value)) = get(&fields, key.as_str())
                && let ScalarValue::Str(block) = value.as_ref()
            {
                blocks.insert(key, block.to_string());
            }
        }
    }
    let order = text("order");
    let order = if order.is_empty() && !blocks.contains_key("") {
        Vec::new()
    } else {
        // Each key once, whatever a peer wrote: a megabyte of one name must not stand for half a million of its blocks.
        let mut listed = BTreeSet::new();
        let keys = order.split('\n').filter(|key| blocks.contains_key(*key) && listed.insert(*key));
        keys.map(str::to_owned).collect()
    };
    let fence = flag("fence") || !blocks.is_empty();
    let (eol, is_unended) = Note::read_line_ends(&text("eol"));
    Note {
        bom: flag("bom"),
        eol,
        is_unended,
        front_matter: fence.then_some(FrontMatter { order, blocks }),
        body: object(doc, "body").and_then(|body| text_of(doc, &body, heads).ok()).unwrap_or_default(),
    }
}

fn text_of(doc: &AutoCommit, body: &ObjId, heads: Option<&[ChangeHash]>) -> Result<String, automerge::AutomergeError> {
    heads.map_or_else(|| doc.text(body), |heads| doc.text_at(body, heads))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn author(byte: u8) -> ActorId {
        ActorId::from([byte; 16])
    }

    #[test]
    fn an_import_is_the_same_on_every_node_and_version() {
        let mut document = Document::import("---\ntype: email\nstatus: pending\n---\nHello\n");
        let heads: Vec<_> = document.heads().iter().map(ToString::to_string).collect();
        assert_eq!(heads, ["67ff7cf0c4946cc13b00b1478eeccd6b4bece7f0d794b12f580153a3aca78d82"]);
    }

    #[test]
    fn the_import_of_a_day_log_is_the_same_on_every_node_and_version() {
        let heads =
            |text, shape| Document::import_as(text, shape).heads().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(heads("[1]", Shape::Array), ["d6175705da2e1123ce9453b715cd5f07e26a9223bea757b750056a45e00f69fa"]);
        assert_eq!(heads("", Shape::Lines), heads("", Shape::Note));
    }

    #[test]
    fn concurrent_field_edits_are_both_kept_and_never_mixed() {
        let base = Document::import("---\nstatus: pending\n---\n");
        let (mut left, mut right) = (base.clone(), base);
        let approved = left.edit("---\nstatus: approved\n---\n", author(1)).expect("a change");
        let rejected = right.edit("---\nstatus: rejected\n---\n", author(2)).expect("a change");
        left.apply(Change::from_bytes(rejected).expect("decodes")).expect("applies");
        right.apply(Change::from_bytes(approved).expect("decodes")).expect("applies");
        assert_eq!(left.text(), right.text());
        assert!(["---\nstatus: approved\n---\n", "---\nstatus: rejected\n---\n"].contains(&left.text().as_str()));
        let conflicts = left.field_conflicts();
        assert_eq!(conflicts, right.field_conflicts());
        assert_eq!(conflicts[0].sides.len(), 2);
    }

    #[test]
    fn each_word_has_the_one_who_wrote_it() {
        let mut document = Document::import("---\r\nto: a\r\nsubject: x\r\n---\r\n\r\nHello Bob\r\n");
        document.edit("---\r\nto: b\r\nsubject: x\r\n---\r\n\r\nHello dear Bob\r\n", author(1)).expect("a change");
        document.edit("---\r\nto: b\r\nsubject: x\r\n---\r\n\r\nHello dear B\u{f6}b\r\n", author(2)).expect("a change");
        let text = document.text();
        let mut at = 0;
        let mut runs = Vec::new();
        for (bytes, actor) in document.writers() {
            let who = actor.map_or("-", |actor| match actor {
                _ if actor == author(1) => "1",
                _ if actor == author(2) => "2",
                _ => "base",
            });
            runs.push((who, &text[at..at + bytes]));
            at += bytes;
        }
        assert_eq!(at, text.len());
        let expected = [
            ("-", "---\r\n"),
            ("1", "to: b\r\n"),
            ("base", "subject: x\r\n"),
            ("-", "---"),
            ("base", "\r\n\r\nHello "),
            ("1", "dear "),
            ("2", "B\u{f6}b"),
            ("base", "\r\n"),
        ];
        assert_eq!(runs, expected);
    }

    proptest! {
        #[test]
        fn an_edit_leaves_exactly_the_new_text(
            old in "(---\n(a: [xé]{0,3}\n|b: 1\n|\\s\\s- q\n){0,3}---\n)?([xé ]{0,5}\r?\n){0,4}",
            new in "(---\n(a: [xé]{0,3}\n|b: 1\n|\\s\\s- q\n){0,3}---\n)?([xé ]{0,5}\r?\n){0,4}",
        ) {
            let mut document = Document::import(&old);
            prop_assert_eq!(document.text(), old.as_str());
            prop_assert_eq!(document.writers().iter().map(|(bytes, _)| bytes).sum::<usize>(), old.len());
            let change = document.edit(&new, author(1));
            prop_assert_eq!(document.text(), new.clone());
            prop_assert_eq!(document.writers().iter().map(|(bytes, _)| bytes).sum::<usize>(), new.len());
            if let Some(change) = change {
                let mut other = Document::import(&old);
                other.apply(Change::from_bytes(change).expect("decodes")).expect("applies");
                prop_assert_eq!(other.text(), new);
            }
        }
    }
}
