//! Entries that apply: this node's own and the peers', by one path.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use aiemp_protocol::{
    causality::Past,
    entry::{FieldWrite, Item},
    ids::{FileId, WorkId},
    replication::EntryWithPayloads,
    vault_path::VaultPath,
};

use super::{
    Output, Vault,
    open::{DocState, Reading, Task},
};
use crate::{
    conflict,
    index::{ChangeRef, FileRecord, Origin},
    vet::Refused,
};

/// How many of the last places that files left a start compares with what lies there: as many as may have been under
/// way when the node ended. What lies where a file left earlier was brought back by hand.
const LEFT_MAX: usize = 1_000;

impl Vault {
    pub(super) fn applied(&mut self, entry: EntryWithPayloads, past: Past) {
        let position = entry.signed.position();
        let hlc = entry.signed.entry.hlc;
        let origin = Arc::new(Origin { log: position.log, seq: position.seq, hash: position.hash, hlc, past });
        let mut payloads = entry.payloads.into_iter();
        let mut touched = BTreeSet::new();
        let mut written = BTreeSet::new();
        let mut places_left = BTreeMap::new();
        let mut resolved = BTreeSet::new();
        let mut brought = BTreeMap::new();
        // Also the copies that a claim takes the place of.
        let mut rivals = self.rivals_in(&entry.signed.entry.items);
        for item in &entry.signed.entry.items {
            let payload = if item.payload().is_some() { payloads.next().flatten() } else { None };
            if let Item::Resolve { id, .. } = item {
                self.resolved.entry(*id).or_default().insert(origin.author());
                resolved.insert(*id);
            }
            if let Item::New { file, .. } | Item::Set { file, write: FieldWrite::Path(_) | FieldWrite::Archived(true) } =
                item
                && let Some(path) = self.shown_path(*file)
            {
                self.remember_left(&path, *file);
                *places_left.entry(path).or_default() |= self.names.stands(*file);
            }
            if let Some(file) = self.index.apply(item, &origin, |author| self.boundaries.names_first(author)) {
                // An edit of what was deleted may bring it back into sight.
                let is_archived = |file| self.index.get(file).is_some_and(FileRecord::is_archived);
                if !matches!(item, Item::Change { .. }) || is_archived(file) {
                    written.insert(file);
                }
                let (content, change) =
                    if matches!(item, Item::Change { .. }) { (None, payload) } else { (payload, None) };
                brought.extend(item.payload().zip(content).map(|((hash, _), bytes)| (file, (hash, bytes))));
                self.item_applied(file, item, &origin, change);
                touched.insert(file);
            }
        }
        for file in &written {
            self.names.update(&self.index, *file, &*self.boundaries);
        }
        rivals.append(&mut self.rivals_in(&entry.signed.entry.items));
        self.judge_claims(&rivals, &mut touched, &mut places_left);
        self.read_changed(&entry.signed.entry.items);
        for file in touched.iter().copied() {
            self.watch(file);
            self.outputs.push_back(Output::FileUpdated(file));
            if !self.restoring && self.index.get(file).is_some_and(conflict::is_late) {
                self.with_document(file, Task::Inspect);
            }
            self.inspect_hidden(file);
            self.resume_postponed(file);
        }
        if !self.restoring && origin.author() != self.me && self.bursts.count(self.now) {
            // A change moves nothing and brings nothing in sight.
            let changed = touched.extract_if(.., |file| !written.contains(file) && !rivals.contains(file));
            changed.for_each(|file| self.bursts.gather(file));
        }
        // All of the entry has applied by now: what is opened with these goes by all of it.
        self.brought = brought;
        self.project_with_namesakes(&touched, &places_left);
        self.project_released(&resolved);
        self.brought.clear();
    }

    /// The copies that were claimed for the work which these items speak of, or the drafts of such a copy.
    fn rivals_in(&self, items: &[Item]) -> BTreeSet<FileId> {
        let claims = self.index.claims();
        let work_behind = |file: FileId| claims.work_of(claims.copy_behind(file).unwrap_or(file));
        let works = items.iter().flat_map(|item| match item {
            Item::Claim { work, to, .. } => [Some(*work), claims.work_of(*to)],
            Item::New { file, .. } | Item::Set { file, .. } | Item::Change { file, .. } => [work_behind(*file), None],
            Item::Resolve { .. } | Item::Compacted { .. } => [None, None],
        });
        let works: BTreeSet<WorkId> = works.flatten().collect();
        works.into_iter().flat_map(|work| claims.copies(work)).collect()
    }

    /// Which copies of claimed notes are in sight may follow from what became of the others.
    fn judge_claims(
        &mut self,
        copies: &BTreeSet<FileId>,
        touched: &mut BTreeSet<FileId>,
        places_left: &mut BTreeMap<VaultPath, bool>,
    ) {
        for copy in copies.iter().copied() {
            let (was_seen, stood) = (self.names.has_file(copy), self.names.stands(copy));
            self.names.update(&self.index, copy, &*self.boundaries);
            if self.names.has_file(copy) != was_seen {
                touched.insert(copy);
                if let Some(path) = self.shown_path(copy).filter(|_| was_seen) {
                    self.remember_left(&path, copy);
                    *places_left.entry(path).or_default() |= stood;
                }
            }
        }
    }

    /// Takes up the text that an entry's changes made in notes that are open.
    fn read_changed(&mut self, items: &[Item]) {
        let changed: BTreeSet<_> = items
            .iter()
            .filter_map(|item| if let Item::Change { file, .. } = item { Some(*file) } else { None })
            .collect();
        for file in changed {
            let Some(DocState::Note(note)) = self.docs.get_mut(&file) else { continue };
            if note.merged.read().is_ok() {
                self.remember_conflicts(file);
            } else {
                // Which change spoils it is found when all are read anew.
                self.load(file, [].into());
            }
        }
    }

    fn remember_left(&mut self, path: &VaultPath, file: FileId) {
        if self.restoring && !self.ended_well {
            self.left.push_back((path.key(), file));
        }
        if self.left.len() > LEFT_MAX {
            self.left.pop_front();
        }
    }

    fn shown_path(&self, file: FileId) -> Option<VaultPath> {
        self.index.get(file)?.path.shown().cloned()
    }

    /// Projects the files that an entry touched, and all that contend with them for a place: a file that comes or goes may
    /// free or take the name of another, the number beside it, or that of a folder. `left` says of each place that a file
    /// left whether that one could keep a folder away. Each name is looked at once, for an entry may touch as many files
    /// of one name as it has items.
    fn project_with_namesakes(&mut self, touched: &BTreeSet<FileId>, left: &BTreeMap<VaultPath, bool>) {
        if self.restoring {
            return;
        }
        for file in touched {
            if !self.names.has_file(*file) {
                self.project(*file);
            }
        }
        let shown = touched.iter().filter_map(|file| Some((self.shown_path(*file)?, self.names.stands(*file))));
        let mut paths: BTreeMap<_, _> = shown.collect();
        for (path, stood) in left {
            *paths.entry(path.clone()).or_default() |= stood;
        }
        let mut looked_at = BTreeSet::new();
        for (path, stands) in paths {
            let key = path.key();
            self.project_named(&path, &mut looked_at);
            if stands {
                self.project_all(self.names.below(&key));
            }
            for (end, _) in key.match_indices('/') {
                let above = &key[..end];
                if let Some(above) = (!looked_at.contains(above)).then(|| VaultPath::parse(above).ok()).flatten() {
                    self.project_named(&above, &mut looked_at);
                }
            }
        }
    }

    /// Projects the files of a name, of the name that it may be a number of, and the one whose id it may hold; where one of
    /// them can keep a folder away, also what lies below.
    fn project_named(&mut self, path: &VaultPath, looked_at: &mut BTreeSet<String>) {
        let bare = path.without_stem_suffix().map(|bare| bare.key());
        for key in bare.into_iter().chain([path.key()]) {
            if looked_at.contains(&key) {
                continue;
            }
            let here: Vec<_> = self.names.namesakes(&key).collect();
            let below =
                if here.iter().any(|file| self.names.stands(*file)) { self.names.below(&key) } else { Vec::new() };
            self.project_all(below);
            self.project_all(here.into_iter().rev());
            looked_at.insert(key);
        }
        self.project_all(self.names.held_in_name(path));
    }

    pub(super) fn project_all(&mut self, files: impl IntoIterator<Item = FileId>) {
        files.into_iter().for_each(|file| self.project(file));
    }

    fn resume_postponed(&mut self, file: FileId) {
        if self.unapplied.contains_key(&file) {
            return;
        }
        for task in self.postponed_tasks.remove(&file).into_iter().flatten() {
            self.with_document(file, task);
        }
        self.resume_removals(file);
    }

    /// Empties the places that the file left, where nothing is in the way any more.
    pub(super) fn resume_removals(&mut self, file: FileId) {
        let Some(removals) = self.postponed_removals.remove(&file) else { return };
        let wanted = self.wanted_path(file).map(|wanted| wanted.key());
        for key in removals {
            let lies_there = self.there(&key).is_some_and(|projection| projection.file == file);
            if lies_there && wanted.as_ref() != Some(&key) {
                self.remove_from_disk(key);
            } else if lies_there && self.place_of(file) != Some(&*key) {
                // Its own move away from there has not applied yet.
                self.postponed_removals.entry(file).or_default().insert(key);
            }
        }
    }

    fn item_applied(&mut self, file: FileId, item: &Item, origin: &Arc<Origin>, payload: Option<Vec<u8>>) {
        match item {
            Item::Change { hash, .. } => {
                self.own_edit_applied(file, origin);
                let last = self.index.get(file).and_then(|record| record.changes().last());
                // The index leaves out what is too much.
                let is_this = |change: &&ChangeRef| change.hash == *hash && Arc::ptr_eq(&change.origin, origin);
                if let Some(change) = last.filter(is_this).cloned() {
                    self.change_applied(file, &change, payload);
                }
            }
            Item::New { .. } => self.created(file),
            // The same bytes are understood in another way now.
            Item::Set { write: FieldWrite::Kind(_), .. } => self.reload(file),
            // The content is another one now.
            Item::Set { write: FieldWrite::Base(_), .. } => {
                self.own_edit_applied(file, origin);
                self.reload(file);
            }
            Item::Compacted { .. } => {
                let there = self.places.get(&file).and_then(|place| self.on_disk.get_mut(place));
                if let Some((there, record)) = there.zip(self.index.get(file)) {
                    there.start_anew(record);
                }
                self.own_edit_applied(file, origin);
                self.reload(file);
            }
            Item::Set { write: FieldWrite::Archived(_), .. } if origin.author() == self.me => {
                if let Some(queued) = self.archivings.get_mut(&file) {
                    queued.pop_front();
                    if queued.is_empty() {
                        self.archivings.remove(&file);
                    }
                }
            }
            // By another name it may be understood in another way.
            Item::Set { write: FieldWrite::Path(_), .. } => {
                let shape = self.index.shape(file);
                if matches!(self.docs.get(&file), Some(DocState::Note(note)) if note.merged.shape() != shape) {
                    self.reload(file);
                }
            }
            Item::Set { .. } | Item::Claim { .. } | Item::Resolve { .. } => {}
        }
    }

    fn created(&mut self, file: FileId) {
        self.creating.remove(&file);
        match self.docs.remove(&file) {
            Some(DocState::Uncreated(queue)) => self.load(file, queue),
            Some(state) => {
                // Created twice, perhaps with another content: what is shown may have changed.
                self.docs.insert(file, state);
                self.reload(file);
            }
            None => {}
        }
    }

    fn own_edit_applied(&mut self, file: FileId, origin: &Origin) {
        if origin.author() == self.me
            && let Some(count) = self.unapplied.get_mut(&file)
        {
            *count -= 1;
            if *count == 0 {
                self.unapplied.remove(&file);
            }
        }
    }

    fn change_applied(&mut self, file: FileId, change: &ChangeRef, payload: Option<Vec<u8>>) {
        match self.docs.remove(&file) {
            Some(DocState::Note(mut note)) if note.base == change.base => match payload {
                Some(raw) => {
                    if self.dropped.has(file, change.base, change.origin.log) {
                        self.dropped.keep_text(file, change, &raw);
                    } else {
                        let how = (note.lacks_changes, Reading::AtTheEnd);
                        let applied = self.apply_change(file, &mut note.merged, change, &raw, how);
                        if applied.is_err_and(|why| why == Refused::Apply) {
                            return self.load(file, [].into());
                        }
                    }
                    self.docs.insert(file, DocState::Note(note));
                }
                None => self.load(file, [].into()),
            },
            // An unedited note gets its document with its first change; a load under way lacks this one.
            Some(DocState::Plain(_)) => self.load(file, [].into()),
            Some(DocState::Loading { queue, .. } | DocState::Incomplete(queue)) => self.load(file, queue),
            // By it another document may be the one that is shown.
            Some(DocState::Note(note)) if Some(note.base) != self.shown_base(file) => {}
            Some(state @ (DocState::Note(_) | DocState::Uncreated(_))) => {
                self.docs.insert(file, state);
            }
            None => {}
        }
    }

    fn reload(&mut self, file: FileId) {
        match self.docs.remove(&file) {
            Some(DocState::Loading { queue, .. } | DocState::Incomplete(queue) | DocState::Uncreated(queue)) => {
                self.load(file, queue);
            }
            Some(DocState::Note(_) | DocState::Plain(_)) | None => {}
        }
    }

    /// Everything stored was given back: find what the disk lacks, and conflicts that only documents show.
    pub(super) fn restored(&mut self) {
        self.restoring = false;
        // An adoption asks until it ends.
        if !self.adopts {
            self.left.clear();
        }
        self.settle_places();
        self.forget_own_removals();
        self.none_is_missing();
        let files: Vec<_> = self.index.iter().map(|(file, _)| file).collect();
        for file in files {
            self.watch(file);
            self.inspect_hidden(file);
            self.inspect_changed(file);
            self.project(file);
        }
    }

    /// Opens a document that may show a conflict.
    pub(super) fn inspect_changed(&mut self, file: FileId) {
        let me = self.me;
        let may_conflict = |record: &FileRecord| record.has_changes_of_others(me) || conflict::is_late(record);
        if self.index.get(file).is_some_and(may_conflict) {
            self.with_document(file, Task::Inspect);
        }
    }

    /// A note that was put away, and perhaps brought back, or that belongs at another place, may be missing because this
    /// node removed it before a crash: then nobody wants it gone. Where removals wait for a person, it may be one of them.
    fn forget_own_removals(&mut self) {
        if self.removals_held_before() || self.ended_well {
            return;
        }
        let taken_away = |key: &String| {
            let there = self.on_disk.get(&**key)?;
            let was_put_away = self.index.get(there.file)?.archived.shown().is_some();
            let belongs_here = self.names.wanted(&self.index, there.file).as_ref() == Some(&there.path);
            (was_put_away || !belongs_here).then_some(there.file)
        };
        let files: Vec<_> = self.missing.keys().filter_map(taken_away).collect();
        for file in files {
            self.forget_missing(file);
        }
    }

    /// That nothing lies at the file's place is as it should be.
    pub(super) fn forget_missing(&mut self, file: FileId) {
        if let Some(place) = self.place_of(file).filter(|place| self.missing.contains_key(*place)).map(str::to_owned) {
            self.missing.remove(&place);
            self.forget_place(place);
        }
    }

    /// A crash between the two steps of a move leaves two records of one file: one place is its own, the other goes. Where
    /// neither is where the file belongs, what is recorded still lies at its own.
    fn settle_places(&mut self) {
        let records: Vec<_> = self.on_disk.iter().map(|(key, projection)| (key.clone(), projection.file)).collect();
        for (key, file) in &records {
            if self.place_of(*file) == Some(&**key) {
                continue;
            }
            let wanted = self.wanted_path(*file).map(|wanted| wanted.key());
            let fitness = |place: &str| {
                let wanted = wanted.as_deref() == Some(place);
                (!self.missing.contains_key(place), wanted, !self.in_flight.contains_key(place))
            };
            if self.place_of(*file).is_none_or(|place| fitness(place) < fitness(key)) {
                self.places.insert(*file, key.clone());
            }
        }
        for (key, file) in records {
            if self.place_of(file) == Some(&*key) {
                continue;
            }
            if self.missing.remove(&*key).is_some() {
                self.record_projection(key.to_string(), None);
            } else {
                self.remove_from_disk(key.to_string());
            }
        }
    }
}
