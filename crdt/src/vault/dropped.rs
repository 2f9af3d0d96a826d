//! Authors whose changes to a note are not taken any more, and what they typed there since.
//!
//! A change that fails vetting is dropped with all later ones of its author to that document: they may build on it. The
//! note is repaired by a person who may write it: it starts anew from the text that stands, as another document.

use std::collections::BTreeMap;

use aiemp_keys::{NodeId, cbor};
use aiemp_protocol::{
    ids::{ContentHash, FileId},
    time::Timestamp,
};

use super::{Output, Vault};
use crate::{
    conflict::{self, Conflict, ConflictKind, Side},
    index::{ChangeRef, FileRecord},
    vet::{self, Refused},
};

/// How much of what was typed is kept to be looked at, for each author of a note.
const TEXT_BYTES_MAX: usize = 2_000;
/// Notes and authors of which it is kept; whoever is behind more of them is looked at in the audit log.
const TEXTS_MAX: usize = 1_000;

/// From where on, and what was typed.
#[derive(Debug)]
struct Dropped {
    first: ContentHash,
    hlc: Timestamp,
    texts: BTreeMap<(u64, u64, ContentHash), String>,
}

/// By document, told by its file and base, the authors whose changes it does not take.
#[derive(Debug, Default)]
pub(super) struct DroppedChanges(BTreeMap<(FileId, ContentHash), BTreeMap<NodeId, Dropped>>);

impl DroppedChanges {
    /// Whether the author's changes to the document are not taken.
    pub(super) fn has(&self, file: FileId, base: ContentHash, author: NodeId) -> bool {
        self.0.get(&(file, base)).is_some_and(|authors| authors.contains_key(&author))
    }

    /// Whether the change is the first that was not taken.
    pub(super) fn begins_with(&self, file: FileId, change: &ChangeRef) -> bool {
        let dropped = self.0.get(&(file, change.base)).and_then(|authors| authors.get(&change.origin.author()));
        dropped.is_some_and(|dropped| dropped.first == change.hash)
    }

    /// Keeps what a change typed.
    pub(super) fn keep_text(&mut self, file: FileId, change: &ChangeRef, raw: &[u8]) {
        let has_room = self.0.len() <= TEXTS_MAX;
        let authors = self.0.get_mut(&(file, change.base));
        let Some(dropped) = authors.and_then(|authors| authors.get_mut(&change.origin.author())) else { return };
        let held: usize = dropped.texts.values().map(String::len).sum();
        let position = (change.origin.log.generation, change.origin.seq, change.hash);
        if !has_room || held >= TEXT_BYTES_MAX || dropped.texts.contains_key(&position) {
            return;
        }
        let mut text = vet::typed(raw).unwrap_or_default();
        let end = (0..=(TEXT_BYTES_MAX - held).min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        dropped.texts.insert(position, text);
    }
}

impl Vault {
    /// From this change on nothing of its author is taken into the document. Told once.
    pub(super) fn drop_from(&mut self, file: FileId, change: &ChangeRef, why: Refused) {
        let author = change.origin.author();
        if self.dropped.begins_with(file, change) {
            return;
        }
        let dropped = Dropped { first: change.hash, hlc: change.origin.hlc, texts: BTreeMap::new() };
        self.dropped.0.entry((file, change.base)).or_default().insert(author, dropped);
        self.outputs.push_back(Output::ReportRefused { file, author, why });
    }

    /// Items for the authors whose changes the shown document does not take.
    pub(super) fn dropped_items(&self, file: FileId, record: &FileRecord) -> Vec<Conflict> {
        let Some((shown_by, base)) = record.base.writes().next() else { return Vec::new() };
        let Some(path) = record.path.shown().filter(|_| !record.is_archived()) else { return Vec::new() };
        let authors = self.dropped.0.get(&(file, base.hash));
        let item = |(author, dropped): (&NodeId, &Dropped)| {
            let from = cbor::array([author.to_value(), dropped.first.to_value()]);
            let text: String = dropped.texts.values().map(String::as_str).collect();
            Conflict {
                id: conflict::id_of(file, "dropped", base.hash.to_value(), from),
                kind: ConflictKind::Dropped,
                file,
                path: path.clone(),
                field: None,
                sides: vec![
                    Side { node: Some(shown_by.author()), text: "(shown)".to_owned(), hlc: shown_by.hlc },
                    Side { node: Some(*author), text, hlc: dropped.hlc },
                ],
                merged: "(shown)".to_owned(),
                found: Vec::new(),
            }
        };
        authors.into_iter().flatten().map(item).collect()
    }

    /// The note starts anew as another document, from this text or the one that is shown.
    pub(super) fn rebase(&mut self, file: FileId, text: Option<Vec<u8>>) {
        let Some(mut bytes) = text.or_else(|| self.merged_bytes(file)) else { return };
        let Some(record) = self.index.get(file) else { return };
        // A document is named by the text that it starts from.
        while record.had_base(ContentHash::of(&bytes)) {
            bytes.push(b'\n');
        }
        self.replace_content(file, bytes);
    }
}
