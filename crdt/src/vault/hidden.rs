//! Content that is not shown: a note created twice with different texts, or edited under a text that was replaced.
//! It is listed beside what is shown until a person decides.

use std::collections::BTreeMap;

use aiemp_keys::cbor;
use aiemp_protocol::ids::{ContentHash, FileId};

use super::{EffectId, Pending, Vault, open::Task};
use crate::{
    conflict::{self, Conflict, ConflictKind, Side},
    document::Document,
    index::{ChangeRef, FileRecord},
    vet::Refused,
};

/// The content under one hidden base.
#[derive(Debug)]
pub(super) struct Hidden {
    /// The changes that it contains.
    changes: Vec<ContentHash>,
    pub(super) bytes: Vec<u8>,
}

/// Bases that compete with the shown one, each with its changes.
fn hidden_of(record: &FileRecord) -> BTreeMap<ContentHash, Vec<&ChangeRef>> {
    let mut found: BTreeMap<ContentHash, Vec<&ChangeRef>> = BTreeMap::new();
    let Some((shown_by, shown)) = record.base.writes().next() else { return found };
    for (_, base) in record.base.writes().filter(|(_, base)| *base != shown) {
        found.entry(*base).or_default();
    }
    let others = || record.changes.iter().filter(|change| change.base != *shown);
    for change in others().filter(|change| !change.origin.is_before(shown_by)) {
        found.entry(change.base).or_default();
    }
    for change in others() {
        if let Some(changes) = found.get_mut(&change.base) {
            changes.push(change);
        }
    }
    found
}

impl Vault {
    /// Loads what is hidden of a file, where it is not known yet.
    pub(super) fn inspect_hidden(&mut self, file: FileId) {
        let Some(record) = self.index.get(file).filter(|_| !self.restoring) else { return };
        let wanted: Vec<_> = hidden_of(record)
            .into_iter()
            .map(|(base, changes)| (base, changes.iter().map(|change| change.hash).collect::<Vec<_>>()))
            .filter(|(base, changes)| {
                self.hidden.get(&(file, *base)).is_none_or(|hidden| hidden.changes.len() != changes.len())
            })
            .collect();
        for (base, changes) in wanted {
            let hashes = [base].into_iter().chain(changes.iter().copied()).collect();
            let effect = self.effect(Pending::Hidden { file, hashes });
            self.push_load(effect, file, base, changes);
        }
    }

    pub(super) fn hidden_loaded(&mut self, effect: EffectId, payloads: Vec<Option<Vec<u8>>>) {
        let Some(Pending::Hidden { file, hashes }) = self.pending.remove(&effect) else { return };
        let Some(record) = self.index.get(file) else { return };
        let mut payloads = hashes.iter().zip(payloads);
        let Some((base, Some(bytes))) = payloads.next() else { return };
        let known: BTreeMap<_, _> = record.changes.iter().map(|change| (change.hash, change.clone())).collect();
        let mut hidden = Hidden { changes: Vec::new(), bytes };
        if let Some(text) = super::local::note_text(&hidden.bytes) {
            let mut document = Document::import(text);
            for (hash, raw) in payloads {
                let (Some(change), Some(raw)) = (known.get(hash), raw) else { return };
                let is_dropped = self.dropped.has(file, change.base, change.origin.author());
                if !is_dropped && self.apply_change(file, &mut document, change, &raw, false) == Err(Refused::Apply) {
                    return self.inspect_hidden(file);
                }
            }
            hidden.bytes = document.text().into_bytes();
        }
        hidden.changes = hashes[1..].to_vec();
        self.hidden.insert((file, *base), hidden);
    }

    pub(super) fn hidden_items(&self, file: FileId, record: &FileRecord) -> Vec<Conflict> {
        let Some((shown_by, shown)) = record.base.writes().next() else { return Vec::new() };
        let Some(path) = record.path.shown() else { return Vec::new() };
        let item = |(base, mut changes): (ContentHash, Vec<&ChangeRef>)| {
            changes.sort_by_key(|change| change.hash);
            let all = changes.iter().map(|change| change.hash.to_value());
            let other = cbor::array([base.to_value(), cbor::array(all)]);
            let written = record.base.writes().find(|(_, written)| **written == base).map(|(origin, _)| origin);
            let by = changes.last().map(|change| &change.origin).or(written);
            let text = self.hidden.get(&(file, base)).map(|hidden| String::from_utf8_lossy(&hidden.bytes).into_owned());
            Conflict {
                id: conflict::id_of(file, "content", shown.to_value(), other),
                kind: ConflictKind::Content,
                file,
                path: path.clone(),
                field: None,
                sides: vec![
                    Side { node: Some(shown_by.author()), text: "(shown)".to_owned(), hlc: shown_by.hlc },
                    Side {
                        node: by.map(crate::index::Origin::author),
                        text: text.unwrap_or_default(),
                        hlc: by.map(|origin| origin.hlc).unwrap_or_default(),
                    },
                ],
                merged: "(shown)".to_owned(),
                found: Vec::new(),
            }
        };
        hidden_of(record).into_iter().map(item).collect()
    }

    /// What was hidden is shown from now on.
    pub(super) fn take_hidden(&mut self, item: &Conflict) {
        let Some(bytes) = self.hidden_bytes(item) else { return };
        self.bring_back(item.file);
        self.with_document(item.file, Task::Replace(bytes));
    }

    /// What was hidden becomes a file of its own, of the same name.
    pub(super) fn show_hidden_beside(&mut self, item: &Conflict) {
        let Some(bytes) = self.hidden_bytes(item) else { return };
        let file = self.free_id(item.file.beside(item.file.zone));
        self.create_new(file, &item.path, bytes);
    }

    /// The bytes that an item hides.
    pub(super) fn hidden_bytes(&self, item: &Conflict) -> Option<Vec<u8>> {
        let record = self.index.get(item.file)?;
        let bases = hidden_of(record).into_keys();
        let mut texts = bases.filter_map(|base| self.hidden.get(&(item.file, base)));
        let said = |hidden: &&Hidden| {
            item.sides.get(1).is_some_and(|side| String::from_utf8_lossy(&hidden.bytes) == side.text)
        };
        texts.find(said).map(|hidden| hidden.bytes.clone())
    }
}
