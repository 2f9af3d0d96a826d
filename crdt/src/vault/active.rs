//! Notes with active content that nobody released: they wait in the logs, and the disk shows what it showed before.
//!
//! A piece of active content is released for every note at once, by a resolve item of a node that may do so. What a
//! person saves on such a node is released with the save: it lies on a disk already.

use std::collections::BTreeSet;

use aiemp_keys::{NodeId, cbor};
use aiemp_protocol::{
    active::{self, Finding},
    entry::Item,
    ids::{Audience, ConflictId, ContentHash, FileId},
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use super::{
    Choice, Output, Vault,
    open::{DocState, Task},
};
use crate::conflict::{self, Conflict, ConflictKind, Side};

/// Notes whose text is kept for the list, and the longest of them: a peer decides how many are held.
const TEXTS_MAX: usize = 256;
const TEXT_BYTES_MAX: usize = 64 << 10;

/// What a node shows of a note that it holds back.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shown {
    Nothing,
    Text(String),
    /// It lies on disk, and stands in no document any more.
    OnDisk,
}

/// A note that is held back.
#[derive(Debug)]
pub(super) struct Held {
    id: ConflictId,
    /// Digest of what is held back.
    content: ContentHash,
    path: VaultPath,
    found: Vec<Finding>,
    shown: Shown,
    text: String,
}

impl Vault {
    /// The active content for which the disk does not show a file with this content.
    pub fn waits_for(&self, file: FileId, path: &VaultPath, bytes: &[u8]) -> Vec<Finding> {
        let hash = ContentHash::of(bytes);
        let is_shown = self.projection_of(file).is_some_and(|(_, there)| there.hash == hash);
        if is_shown { Vec::new() } else { self.unreleased(file, path, bytes) }
    }

    /// Whether the person's disk shows these bytes as the file, as far as this node knows: nobody took them away, and the
    /// folder is in its place.
    pub fn shows(&self, file: FileId, bytes: &[u8]) -> bool {
        let there = self.projection_of(file).filter(|(key, _)| !self.is_away && !self.missing.contains_key(*key));
        there.is_some_and(|(_, there)| there.hash == ContentHash::of(bytes))
    }

    /// The active content of a file that nobody released; none where this node shows whatever it is given.
    fn unreleased(&self, file: FileId, path: &VaultPath, bytes: &[u8]) -> Vec<Finding> {
        if !self.boundaries.holds_active_content() || file.zone.audience() != Audience::All {
            return Vec::new();
        }
        let mut found = active::find(path, bytes);
        found.retain(|finding| !self.is_released(finding.release));
        found
    }

    fn is_released(&self, release: ConflictId) -> bool {
        let by = self.resolved.get(&release);
        self.releasing.contains(&release)
            || by.is_some_and(|by| by.iter().any(|author| self.boundaries.may_release(*author)))
    }

    /// Releases what a person saved here.
    pub(super) fn release_saved(&mut self, path: &VaultPath, zone: Zone, bytes: &[u8]) {
        if self.boundaries.holds_active_content() && zone.audience() == Audience::All && self.boundaries.may_write(zone)
        {
            self.release(active::find(path, bytes), "saved");
        }
    }

    fn release(&mut self, found: Vec<Finding>, choice: &str) {
        for finding in found {
            if !self.is_released(finding.release) {
                self.releasing.insert(finding.release);
                let item = Item::Resolve { id: finding.release, choice: choice.to_owned() };
                self.push_item(Audience::All, item, None);
            }
        }
    }

    /// Whether a merged content has to wait instead of going to its place on disk.
    pub(super) fn holds_back(&mut self, file: FileId, wanted: &VaultPath, bytes: &[u8]) -> bool {
        let mut found = self.unreleased(file, wanted, bytes);
        let shown = if found.is_empty() { Shown::Nothing } else { self.shown_of(file) };
        if let (Shown::Text(text), Some((_, there))) = (&shown, self.projection_of(file)) {
            // What lies on this disk gets no worse by lying there, but by another name it may.
            let lies_there = active::find(&there.path, text.as_bytes());
            let lies_there: BTreeSet<_> = lies_there.into_iter().map(|finding| finding.release).collect();
            found.retain(|finding| !lies_there.contains(&finding.release));
        }
        if found.is_empty() {
            self.held.remove(&file);
            return false;
        }
        let releases = cbor::array(found.iter().map(|finding| finding.release.to_value()));
        let content = ContentHash::of(bytes);
        let id = conflict::id_of(file, "active", releases, content.to_value());
        let is_short = bytes.len() <= TEXT_BYTES_MAX && self.held.len() < TEXTS_MAX;
        let text = if is_short {
            String::from_utf8_lossy(bytes).into_owned()
        } else {
            format!("({} bytes: too much to show here)", bytes.len())
        };
        let is_new = self.held.get(&file).is_none_or(|before| before.found != found);
        self.held.insert(file, Held { id, content, path: wanted.clone(), found, shown, text });
        if is_new {
            self.outputs.push_back(Output::ReportHeld { path: wanted.clone() });
        }
        true
    }

    fn shown_of(&self, file: FileId) -> Shown {
        let Some((_, projection)) = self.projection_of(file) else { return Shown::Nothing };
        let text = match self.docs.get(&file) {
            Some(DocState::Note(note)) => Some(note.disk.text()),
            Some(DocState::Plain(bytes)) => String::from_utf8(bytes.clone()).ok(),
            Some(DocState::Uncreated(_) | DocState::Loading { .. } | DocState::Incomplete(_)) | None => None,
        };
        let is_it = |text: &String| ContentHash::of(text.as_bytes()) == projection.hash;
        text.filter(is_it).map_or(Shown::OnDisk, Shown::Text)
    }

    /// Somebody released something: notes that waited for it are looked at once more.
    pub(super) fn project_released(&mut self, released: &BTreeSet<ConflictId>) {
        let waits = |held: &Held| held.found.iter().any(|finding| released.contains(&finding.release));
        let files: Vec<_> = self.held.iter().filter(|(_, held)| waits(held)).map(|(file, _)| *file).collect();
        for file in files {
            self.project(file);
        }
    }

    /// Notes that are held back, as items of the list.
    pub fn held_items(&self) -> Vec<Conflict> {
        self.held.iter().map(|(file, held)| self.held_item(*file, held)).collect()
    }

    fn held_item(&self, file: FileId, held: &Held) -> Conflict {
        let (by, hlc) = self.came_from(file);
        let shown = match &held.shown {
            Shown::Nothing => "(not shown)",
            Shown::Text(text) => text,
            Shown::OnDisk => "(shown as it lies on disk)",
        };
        Conflict {
            id: held.id,
            kind: ConflictKind::ActiveContent,
            file,
            path: held.path.clone(),
            field: None,
            line: None,
            base: None,
            sides: vec![
                Side { node: Some(self.me), text: shown.to_owned(), hlc: Timestamp::default() },
                Side { node: by, text: held.text.clone(), hlc },
            ],
            merged: shown.to_owned(),
            found: held.found.clone(),
        }
    }

    /// Who wrote last of those whose word does not release anything.
    fn came_from(&self, file: FileId) -> (Option<NodeId>, Timestamp) {
        let Some(record) = self.index.get(file) else { return (None, Timestamp::default()) };
        let writers = record.writers_of_start();
        let origins = writers.chain(record.current_changes().map(|change| &*change.origin));
        let by = origins.filter(|origin| !self.boundaries.may_release(origin.author())).last();
        (by.map(crate::index::Origin::author), by.map(|origin| origin.hlc).unwrap_or_default())
    }

    pub(super) fn can_resolve_held(&self, item: &Conflict, choice: &Choice) -> bool {
        let zone = item.file.zone;
        let Some(held) = self.held.get(&item.file) else { return false };
        match (choice, &held.shown) {
            (Choice::Side(0), Shown::Nothing) => self.boundaries.may_archive(zone),
            // Of two values of a field the item tells one: the other would go unseen.
            (Choice::Side(0), Shown::Text(_)) => self.boundaries.may_write(zone) && !self.has_two_values(item.file),
            (Choice::With(_), _) => self.boundaries.may_write(zone),
            (Choice::Side(1), _) => true,
            (Choice::Side(_) | Choice::Both, _) => false,
        }
    }

    pub(super) fn resolve_held(&mut self, item: &Conflict, choice: Choice) {
        let Some(content) = self.held.get(&item.file).map(|held| held.content) else { return };
        match choice {
            Choice::Side(0) => self.with_document(item.file, Task::KeepShown(content)),
            Choice::Side(_) | Choice::Both => self.release(item.found.clone(), "released"),
            Choice::With(bytes) => {
                self.release_saved(&item.path, item.file.zone, &bytes);
                self.with_document(item.file, Task::Rewrite(bytes));
            }
        }
    }

    /// The person does not want what is held: what is shown becomes the note, and a note that is not shown goes.
    /// Only what they saw is given up; what came since is listed again.
    pub(super) fn keep_shown(&mut self, file: FileId, seen: ContentHash) {
        if self.merged_bytes(file).is_none_or(|bytes| ContentHash::of(&bytes) != seen) {
            return self.project(file);
        }
        match self.shown_of(file) {
            Shown::Nothing => self.archive(file),
            Shown::Text(text) => self.rewrite(file, text.into_bytes()),
            Shown::OnDisk => {}
        }
    }
}
