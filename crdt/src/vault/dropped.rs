//! Logs whose changes to a note are not taken any more, and what their authors typed there since.
//!
//! A change that fails vetting is dropped with all later ones of its log to that document: they may build on it. Of a
//! log all nodes see the same come later; what another log of that author says is judged by itself. The
//! note is repaired by a person who may write it: it starts anew from the text that stands, as another document.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_keys::cbor;
use aiemp_protocol::{
    ids::{ContentHash, FileId, LogId},
    time::Timestamp,
};

use super::{Output, Vault};
use crate::{
    conflict::{self, Conflict, ConflictKind, Side},
    index::{ChangeRef, FileRecord},
    vet::{self, Refused},
};

/// How much of what was typed is kept to be looked at, for each log of a note.
const TEXT_BYTES_MAX: usize = 2_000;
/// Notes of which it is kept; whoever is behind more of them is looked at in the audit log.
const TEXTS_MAX: usize = 1_000;

/// From where on, and what was typed.
#[derive(Debug)]
struct Dropped {
    first: ContentHash,
    hlc: Timestamp,
    texts: BTreeMap<(u64, u64, ContentHash), String>,
}

/// By document, told by its file and base, the logs whose changes it does not take.
#[derive(Debug, Default)]
pub(super) struct DroppedChanges(BTreeMap<(FileId, ContentHash), BTreeMap<LogId, Dropped>>);

impl DroppedChanges {
    /// Whether the log's changes to the document are not taken.
    pub(super) fn has(&self, file: FileId, base: ContentHash, log: LogId) -> bool {
        self.0.get(&(file, base)).is_some_and(|logs| logs.contains_key(&log))
    }

    /// Whether the change is the first that was not taken.
    pub(super) fn begins_with(&self, file: FileId, change: &ChangeRef) -> bool {
        let dropped = self.0.get(&(file, change.base)).and_then(|logs| logs.get(&change.origin.log));
        dropped.is_some_and(|dropped| dropped.first == change.hash)
    }

    /// Files of which some document does not take all.
    pub(super) fn files(&self) -> BTreeSet<FileId> {
        self.0.keys().map(|(file, _)| *file).collect()
    }

    /// Keeps what a change typed.
    pub(super) fn keep_text(&mut self, file: FileId, change: &ChangeRef, raw: &[u8]) {
        let has_room = self.0.len() <= TEXTS_MAX;
        let logs = self.0.get_mut(&(file, change.base));
        let Some(dropped) = logs.and_then(|logs| logs.get_mut(&change.origin.log)) else { return };
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
    /// From this change on nothing of its log is taken into the document. Told once.
    pub(super) fn drop_from(&mut self, file: FileId, change: &ChangeRef, why: Refused) {
        let author = change.origin.author();
        if self.dropped.begins_with(file, change) {
            return;
        }
        let dropped = Dropped { first: change.hash, hlc: change.origin.hlc, texts: BTreeMap::new() };
        self.dropped.0.entry((file, change.base)).or_default().insert(change.origin.log, dropped);
        self.outputs.push_back(Output::ReportRefused { file, author, why });
    }

    /// Items for the logs whose changes the shown document does not take.
    pub(super) fn dropped_items(&self, file: FileId, record: &FileRecord) -> Vec<Conflict> {
        let Some((shown_by, _)) = record.base.writes().next() else { return Vec::new() };
        let Some(base) = record.shown_base() else { return Vec::new() };
        let Some(path) = record.path.shown().filter(|_| self.is_in_sight(file)) else { return Vec::new() };
        let logs = self.dropped.0.get(&(file, base));
        let item = |(log, dropped): (&LogId, &Dropped)| {
            let from = cbor::array([log.author.to_value(), dropped.first.to_value()]);
            let text: String = dropped.texts.values().map(String::as_str).collect();
            Conflict {
                id: conflict::id_of(file, "dropped", base.to_value(), from),
                kind: ConflictKind::Dropped,
                file,
                path: path.clone(),
                field: None,
                line: None,
                base: None,
                sides: vec![
                    Side { node: Some(shown_by.author()), text: "(shown)".to_owned(), hlc: shown_by.hlc },
                    Side { node: Some(log.author), text, hlc: dropped.hlc },
                ],
                merged: "(shown)".to_owned(),
                found: Vec::new(),
            }
        };
        logs.into_iter().flatten().map(item).collect()
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
