//! Day logs: what several nodes write for themselves at one place is one file, in which the entries of all stand.
//!
//! A node that begins one begins it empty and adds its entries, so what two begin apart is one document. What was there
//! before, as in a vault that a node adopts, is a content of its own; of several contents one is shown, and whoever
//! answers for another one adds to it what that has beyond it.

use std::time::Duration;

use aiemp_keys::NodeId;
use aiemp_protocol::{
    entry::{FieldWrite, Item},
    ids::{ConflictId, ContentHash, FileId},
    limits::CHANGE_BYTES_MAX,
    vault_path::VaultPath,
    zone::Zone,
};

use super::{
    Projection, Vault, hidden,
    local::note_text,
    open::{DocState, OpenNote, Task},
};
use crate::{
    conflict::Conflict,
    index::{ChangeRef, FileRecord, Origin},
    shape::{self, Shape},
    unite::united,
};

/// What is begun empty costs an operation for each letter; what is longer at first comes as a content.
const BEGUN_BYTES_MAX: usize = 64 << 10;

/// How long the contents of a day log are left alone before one is added to the other: two nodes that have not heard of each
/// other yet would both add what both know.
const UNITE_DELAY: Duration = Duration::from_secs(3);

/// A content of a day log that is not shown.
struct Other {
    base: ContentHash,
    changes: usize,
    item: ConflictId,
    by: Option<NodeId>,
}

impl Vault {
    /// Whether what appeared at a place is a day log.
    pub(super) fn makes_day_log(&self, path: &VaultPath, bytes: &[u8]) -> bool {
        Shape::of_day_log(path).is_some() && note_text(bytes).is_some()
    }

    /// Whether what lay at one place is not moved to the other, but the first that is seen of a day log there: programs
    /// write under another name first.
    pub(super) fn begins_day_log(&self, from: &str, to: &VaultPath) -> bool {
        let is_none_yet = |there: &Projection| {
            let is_beside = there.path.folder() == to.folder();
            is_beside && Shape::of_day_log(&there.path).is_none() && !self.index.shape(there.file).is_day_log()
        };
        Shape::of_day_log(to).is_some() && self.there(from).is_some_and(is_none_yet)
    }

    pub(super) fn day_log_appeared(&mut self, path: VaultPath, zone: Zone, bytes: Vec<u8>) {
        let (key, hash) = (path.key(), ContentHash::of(&bytes));
        let file = self.id_of_day_log(&path, zone, bytes.len());
        if self.index.get(file).is_some() {
            return self.with_document(file, Task::TakeIn { path, bytes });
        }
        self.creating.insert(file);
        let begun = if self.adopts { None } else { self.begun(file, &path, &bytes) };
        let Some((raw, heads)) = begun else {
            self.push_new(file, &path, hash, bytes);
            return self.lies_on_disk(file, path, hash);
        };
        let base = ContentHash::of(b"");
        self.push_new(file, &path, base, Vec::new());
        self.push_change(file, base, raw);
        self.record_projection(key, Some(Projection { path, file, hash, base, heads, merged_changes: None }));
    }

    /// The change that makes this of an empty day log, and the heads of what it makes.
    fn begun(&self, file: FileId, path: &VaultPath, bytes: &[u8]) -> Option<(Vec<u8>, Vec<[u8; 32]>)> {
        let text = note_text(bytes).filter(|text| text.len() <= BEGUN_BYTES_MAX)?;
        let mut note = OpenNote::import("", Shape::of_file(file, path).unwrap_or_default());
        let raw = note.edit_disk(self.me, file, self.generation(), text)?;
        Some((raw, note.disk.head_bytes()))
    }

    /// The day log of the place: the one that others made there, or the first that nobody did. One that was put away or
    /// renamed is over.
    fn id_of_day_log(&mut self, path: &VaultPath, zone: Zone, length: usize) -> FileId {
        let key = path.key();
        let is_here = |file: FileId| {
            let record = self.index.get(file).filter(|record| record.shape().is_day_log())?;
            let lies_here = record.path.shown().is_some_and(|shown| shown.key() == key);
            (lies_here && self.is_live(file) && !self.places.contains_key(&file)).then_some(file)
        };
        let found = shape::day_logs_at(zone, path).find(|file| !self.exists(*file) || is_here(*file).is_some());
        found.unwrap_or_else(|| self.fresh_id(zone, length))
    }

    /// What lies at the place of a day log and is no state of it stands there too: others made the log, or the node was
    /// stopped before it had noted what it took from there.
    pub(super) fn take_in(&mut self, file: FileId, path: VaultPath, bytes: Vec<u8>) {
        let (key, hash) = (path.key(), ContentHash::of(&bytes));
        let is_recorded = self.there(&key).is_some_and(|there| there.file == file);
        let before = match self.docs.get_mut(&file) {
            Some(DocState::Note(note)) if is_recorded => note.beyond_disk(),
            Some(_) | None => None,
        };
        if is_recorded && before.is_none() && !self.taken_in.contains_key(&key) {
            // What is recorded there is all that was taken from there.
            return self.edit_from_disk(file, bytes, Some(key));
        }
        let merged = self.merged_bytes(file).and_then(|merged| String::from_utf8(merged).ok());
        let both = merged.as_ref().zip(note_text(&bytes));
        let both = both.and_then(|(merged, text)| united(self.index.shape(file), merged, text, before.as_deref()));
        let (Some(both), Some(merged)) = (both, merged) else {
            return self.save_beside(file, path, bytes, Some(key));
        };
        self.taken_in.insert(key, (file, hash));
        if both != merged {
            self.rewrite(file, both.into_bytes());
        }
        self.project(file);
    }

    /// The contents that compete with the shown one, each with the member that answers for it: of those who wrote to it
    /// without knowing the shown one, the same on every node. Whose word counts first comes before others, for who answers
    /// may also leave it at that.
    fn others_of(&self, file: FileId, record: &FileRecord) -> Vec<Other> {
        let Some(start) = record.start(&record.base, |_| true) else { return Vec::new() };
        let other = |(base, mut changes): (ContentHash, Vec<&ChangeRef>)| {
            changes.sort_by_key(|change| change.hash);
            let written_to = changes.iter().map(|change| &*change.origin);
            let unknown = written_to.filter(|origin| !start.knows(origin));
            let written = record.base.writes().filter(|(_, content)| content.hash == base).map(|(origin, _)| origin);
            let rank = |origin: &&Origin| (!self.boundaries.names_first(origin.author()), origin.hash);
            let by = unknown.chain(written).min_by_key(rank).map(|origin| origin.author());
            Other { base, changes: changes.len(), item: hidden::item_id(file, start.content.hash, base, &changes), by }
        };
        hidden::hidden_of(record).into_iter().map(other).collect()
    }

    /// A content that is not shown was read.
    pub(super) fn unite_soon(&mut self, file: FileId) {
        self.uniting.insert(file, self.now + UNITE_DELAY);
    }

    pub(super) fn unite_due(&mut self) {
        let now = self.now;
        let due: Vec<_> = self.uniting.extract_if(.., |_, at| *at <= now).map(|(file, _)| file).collect();
        due.into_iter().for_each(|file| self.with_document(file, Task::Unite));
    }

    /// Whether whoever answers for a content added it, or somebody whose word counts first decided.
    fn is_added(&self, other: &Other, zone: Zone) -> bool {
        let may = |author: NodeId| Some(author) == other.by || self.boundaries.names_first(author);
        self.closers(other.item, zone).any(may)
    }

    /// Whether an item is a content of a day log, and was added or decided.
    pub(super) fn is_added_to_log(&self, item: &Conflict) -> Option<bool> {
        let record = self.index.get(item.file).filter(|record| record.shape().is_day_log())?;
        let mut others = self.others_of(item.file, record).into_iter();
        others.find(|other| other.item == item.id).map(|other| self.is_added(&other, item.file.zone))
    }

    /// Whether some content of a file is not shown, and nobody added it yet or decided.
    pub(super) fn has_others(&self, file: FileId) -> bool {
        let others = self.index.get(file).map(|record| self.others_of(file, record)).unwrap_or_default();
        others.iter().any(|other| !self.is_added(other, file.zone))
    }

    /// Adds to a day log what this node answers for of its contents that are not shown.
    pub(super) fn unite(&mut self, file: FileId) {
        let may_write = self.boundaries.may_write(file.zone) && self.is_in_sight(file);
        let Some(record) = self.index.get(file).filter(|record| may_write && record.shape().is_day_log()) else {
            return;
        };
        let (shape, Some(shown)) = (record.shape(), record.base.shown().copied()) else { return };
        let mut open = self.others_of(file, record);
        open.retain(|other| !self.is_added(other, file.zone));
        let Some(merged) = self.merged_bytes(file).and_then(|merged| String::from_utf8(merged).ok()) else { return };
        let mut both = merged.clone();
        let mut done = Vec::new();
        for other in open.iter().filter(|other| other.by == Some(self.me)) {
            let read = self.hidden.get(&(file, other.base));
            let now = hidden::MadeOf::now(record, other.changes);
            let read = read.filter(|hidden| hidden.made_of == now && !hidden.lacks_changes && !hidden.lacks_base);
            let Some((text, before)) = read.and_then(|hidden| Some((hidden.text.as_ref()?, hidden.base.as_deref())))
            else {
                continue;
            };
            if let Some(with) = united(shape, &both, text, before) {
                both = with;
                done.push(other.item);
            }
        }
        if done.is_empty() || (both != merged && !self.add_to_shown(file, both)) {
            return;
        }
        let audience = file.zone.audience();
        if done.len() == open.len() {
            // Whoever says so had all of them.
            self.push_item(audience, Item::Set { file, write: FieldWrite::Base(shown) }, None);
            *self.unapplied.entry(file).or_default() += 1;
        } else {
            let choice = "both".to_owned();
            done.into_iter()
                .for_each(|id| self.push_item(audience, Item::Resolve { id, choice: choice.clone() }, None));
        }
    }

    /// Changes the shown content; whether a change can say it. Else this is the content from now on.
    fn add_to_shown(&mut self, file: FileId, text: String) -> bool {
        let (me, generation) = (self.me, self.generation());
        let Some(mut state) = self.docs.remove(&file) else { return false };
        Self::promote(&mut state, self.index.shape(file));
        let changed = match &mut state {
            DocState::Note(note) => note.edit_merged(me, file, generation, &text).map(|raw| (note.base, raw)),
            DocState::Plain(_) | DocState::Uncreated(_) | DocState::Loading { .. } | DocState::Incomplete(_) => None,
        };
        self.docs.insert(file, state);
        match changed {
            Some((base, raw)) if raw.len() <= CHANGE_BYTES_MAX && self.has_room(file, base) => {
                self.push_change(file, base, raw);
                true
            }
            Some(_) | None => {
                self.replace_content(file, text.into_bytes());
                false
            }
        }
    }
}
