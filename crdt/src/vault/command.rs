//! What the node itself does to notes: create, rewrite, move, archive, claim.

use aiemp_protocol::{
    action::action_id,
    entry::{FieldWrite, Item},
    ids::{ContentHash, FileId, WorkId},
    limits::{CHANGE_BYTES_MAX, LEASE, LEASE_BY_HAND_MS},
    vault_path::VaultPath,
    zone::Zone,
};

use super::{
    Output, Vault,
    local::note_text,
    open::{DocState, OpenNote, Task},
};
use crate::{
    index::{FileRecord, Origin},
    note::Note,
    shape::Shape,
};

impl Vault {
    pub(super) fn do_task(&mut self, file: FileId, task: Task) {
        if !self.is_open_for(file, &task) {
            return self.load(file, [task].into());
        }
        match task {
            Task::DiskEdit { key, bytes } => {
                self.edit_from_disk(file, bytes, Some(key));
                self.close_detached(file);
            }
            Task::DisplacedEdit { bytes, .. } => {
                self.edit_from_disk(file, bytes, None);
                self.close_detached(file);
            }
            Task::Rewrite(bytes) => self.rewrite(file, bytes),
            Task::Replace(bytes) if self.is_text(file) && note_text(&bytes).is_some() => self.rewrite(file, bytes),
            task @ (Task::Replace(_)
            | Task::RewriteEarlier(_)
            | Task::ArchiveAs(_)
            | Task::MoveAcross { .. }
            | Task::Rebase(_)
            | Task::KeepShown(_)
            | Task::TakeIn { .. }
            | Task::Unite)
                if self.unapplied.contains_key(&file) =>
            {
                // What the node does with a file's content must not pass over its own edits that are not merged yet.
                self.postponed_tasks.entry(file).or_default().push(task);
            }
            Task::Replace(bytes) => {
                if self.merged_bytes(file).is_some_and(|merged| merged != bytes) {
                    self.replace_content(file, bytes);
                }
            }
            Task::Rebase(text) => self.rebase(file, text),
            // Somebody works on it.
            Task::Compact { .. } if self.unapplied.contains_key(&file) => {}
            Task::Compact { changes } => self.compact_open(file, changes),
            Task::RewriteEarlier(raw) => self.rewrite_earlier(file, raw),
            Task::ArchiveAs(content) => {
                if self.merged_bytes(file).is_some_and(|bytes| ContentHash::of(&bytes) == content) {
                    self.archive(file);
                } else {
                    self.project(file);
                }
            }
            Task::MoveAcross { to, content, claim } => self.move_across(file, to, content, claim),
            Task::KeepShown(content) => self.keep_shown(file, content),
            Task::Project => self.project_open(file),
            Task::Inspect => self.remember_conflicts(file),
            Task::TakeIn { path, bytes } => self.take_in(file, path, bytes),
            Task::Unite => self.unite(file),
            Task::Decide { id, choice } if matches!(self.docs.get(&file), Some(DocState::Note(_))) => {
                self.resolve(id, choice);
            }
            Task::Decide { .. } => {}
            Task::Recognise { found, base, others } => self.recognise(file, found, base, others),
            Task::Read(request) => {
                let bytes = self.merged_bytes(file);
                self.outputs.push_back(Output::Content { request, bytes });
            }
        }
    }

    pub(super) fn create(&mut self, file: FileId, path: VaultPath, bytes: Vec<u8>) {
        let zone_fits = self.boundaries.zone_of(&path) == Ok(file.zone) && self.boundaries.may_write(file.zone);
        if self.exists(file) || !zone_fits {
            return;
        }
        self.create_new(file, &path, bytes);
    }

    /// Whether the file is there, or will be once this node's own entries have applied.
    pub(super) fn exists(&self, file: FileId) -> bool {
        self.index.get(file).is_some() || self.creating.contains(&file)
    }

    /// The first that is free of an id and those that follow it. They follow from each other, so that whoever looks at a
    /// file finds all that it may come from, also where a member took an id in advance.
    pub(super) fn free_id(&self, first: FileId) -> FileId {
        let mut id = first;
        while self.exists(id) {
            id = id.beside(id.zone);
        }
        id
    }

    /// The file that an id stands for: the first of it and those that follow which nobody has, or of which `is_it` holds.
    /// Whoever may write there can have taken the id in advance, for something else.
    pub fn standing_for(&self, first: FileId, is_it: impl Fn(&FileRecord) -> bool) -> FileId {
        let is_another = |id| self.index.get(id).is_some_and(|record| !is_it(record)) && !self.creating.contains(&id);
        let mut id = first;
        while is_another(id) {
            id = id.beside(id.zone);
        }
        id
    }

    /// As [`Vault::standing_for`], of what this node itself makes.
    pub fn own_standing_for(&self, first: FileId) -> FileId {
        self.standing_for(first, |record| record.base.has_any(|origin| origin.author() == self.me))
    }

    /// The id that a file gets by a move; none where it made that move before. A file there that nobody wrote who could
    /// have moved this one was put there to be in the way.
    fn moved_id(&self, file: FileId, zone: Zone) -> Option<FileId> {
        let is_in_the_way = |id: FileId| {
            let may_move = |origin: &Origin| self.boundaries.may_resolve(origin.author(), file.zone);
            let record = self.index.get(id).filter(|_| !self.creating.contains(&id));
            record.is_some_and(|record| !record.base.has_any(may_move))
        };
        let mut id = file.moved_to(zone);
        while self.exists(id) {
            if !is_in_the_way(id) {
                return None;
            }
            id = id.beside(zone);
        }
        Some(id)
    }

    pub(super) fn create_new(&mut self, file: FileId, path: &VaultPath, bytes: Vec<u8>) {
        self.creating.insert(file);
        self.docs.entry(file).or_insert_with(|| DocState::Uncreated([].into()));
        self.push_new(file, path, ContentHash::of(&bytes), bytes);
    }

    pub(super) fn rewrite(&mut self, file: FileId, bytes: Vec<u8>) {
        let (me, generation) = (self.me, self.generation());
        let Some(text) = note_text(&bytes) else { return };
        let Some(mut state) = self.docs.remove(&file) else { return };
        Self::promote(&mut state, self.index.shape(file));
        let edited = match &mut state {
            DocState::Note(note) if self.unapplied.contains_key(&file) => {
                // One of our own changes is not merged yet; this one must follow it, and leave it as it is.
                let later = note.rewriting(text).map(Task::RewriteEarlier);
                self.postponed_tasks.entry(file).or_default().extend(later);
                None
            }
            DocState::Note(note) => note.edit_merged(me, file, generation, text).map(|raw| (note.base, raw)),
            DocState::Plain(_) | DocState::Uncreated(_) | DocState::Loading { .. } | DocState::Incomplete(_) => None,
        };
        self.docs.insert(file, state);
        match edited {
            Some((base, raw)) if raw.len() <= CHANGE_BYTES_MAX && self.has_room(file, base) => {
                self.push_change(file, base, raw)
            }
            Some(_) => {
                self.replace_content(file, bytes);
            }
            None => {}
        }
    }

    /// Whether the open content is a note's, which changes can say.
    fn is_text(&self, file: FileId) -> bool {
        match self.docs.get(&file) {
            Some(DocState::Note(_)) => true,
            Some(DocState::Plain(bytes)) => note_text(bytes).is_some(),
            Some(DocState::Uncreated(_) | DocState::Loading { .. } | DocState::Incomplete(_)) | None => false,
        }
    }

    fn rewrite_earlier(&mut self, file: FileId, raw: Vec<u8>) {
        if let Some(DocState::Note(note)) = self.docs.get(&file)
            && let Some(text) = note.rewritten(raw)
        {
            self.rewrite(file, text.into_bytes());
        }
    }

    pub(super) fn move_file(&mut self, file: FileId, to: VaultPath) {
        let Ok(zone) = self.boundaries.zone_of(&to) else { return };
        if zone == file.zone {
            if self.boundaries.may_write(zone) {
                let write = FieldWrite::Path(to);
                self.push_item(zone.audience(), Item::Set { file, write }, None);
            }
        } else {
            self.with_document(file, Task::MoveAcross { to, content: None, claim: None });
        }
    }

    /// Create first, then archive: a crash in between leaves two copies, never none.
    fn move_across(&mut self, file: FileId, to: VaultPath, content: Option<Vec<u8>>, claim: Option<WorkId>) {
        let Ok(zone) = self.boundaries.zone_of(&to) else { return };
        let lies_there = content.is_some();
        if self.is_stopped && claim.is_some() && !lies_there {
            // Frozen since it was asked for.
            return;
        }
        let Some(merged) = self.merged_bytes(file) else { return };
        let bytes = content.unwrap_or_else(|| merged.clone());
        if !self.boundaries.may_write(zone) {
            return;
        }
        // Where it went there before and came back, what the person moved now is a file of its own.
        let target = if lies_there { Some(self.free_id(file.moved_to(zone))) } else { self.moved_id(file, zone) };
        let Some(target) = target else { return };
        let hash = ContentHash::of(&bytes);
        // The person moved what lay on disk. What the merge has beyond it goes along as a change, unless more people
        // would read it than do now, or no change can say it: then it stays where it is.
        let widens = zone.audience() != file.zone.audience();
        let ahead = if widens { None } else { self.change_between(target, &bytes, &merged) };
        let stays = ahead.is_none() && bytes != merged;
        self.create_new(target, &to, bytes);
        if let Some(raw) = ahead {
            self.push_change(target, hash, raw);
        }
        if lies_there {
            self.lies_on_disk(target, to.clone(), hash);
            // It did when the person moved it, which may be a while ago.
            self.outputs.push_back(Output::LookAt(to));
        }
        if let Some(work) = claim {
            let lease_ms = if lies_there { LEASE_BY_HAND_MS } else { lease_of_node() };
            self.push_item(zone.audience(), Item::Claim { work, from: file, to: target, lease_ms }, None);
        }
        if stays {
            self.project(file);
        } else {
            self.archive(file);
        }
    }

    fn change_between(&self, file: FileId, old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
        if old == new {
            return None;
        }
        let (old, new) = (note_text(old)?, note_text(new)?);
        let raw = OpenNote::import(old, Shape::Note).edit_merged(self.me, file, self.generation(), new);
        raw.filter(|raw| raw.len() <= CHANGE_BYTES_MAX)
    }

    pub(super) fn archive(&mut self, file: FileId) {
        if !self.will_be_out_of_sight(file) && self.boundaries.may_archive(file.zone) {
            self.set_archived(file, true);
        }
    }

    /// Also takes back an archiving that still waits for the content.
    pub(super) fn bring_back(&mut self, file: FileId) {
        let archives = |task: &Task| matches!(task, Task::ArchiveAs(_));
        if let Some(DocState::Uncreated(queue) | DocState::Loading { queue, .. } | DocState::Incomplete(queue)) =
            self.docs.get_mut(&file)
        {
            queue.retain(|task| !archives(task));
        }
        if let Some(tasks) = self.postponed_tasks.get_mut(&file) {
            tasks.retain(|task| !archives(task));
        }
        let is_archived = self.index.get(file).is_some_and(FileRecord::is_archived);
        if self.last_asked(file).unwrap_or(is_archived) && self.boundaries.may_write(file.zone) {
            self.forget_missing(file);
            self.set_archived(file, false);
        }
    }

    pub(super) fn set_archived(&mut self, file: FileId, archived: bool) {
        self.archivings.entry(file).or_default().push_back(archived);
        self.push_item(file.zone.audience(), Item::Set { file, write: FieldWrite::Archived(archived) }, None);
    }

    /// Whether the file is in sight once this node's own entries have applied.
    pub fn is_live(&self, file: FileId) -> bool {
        self.exists(file) && !self.will_be_out_of_sight(file)
    }

    /// What this node last asked for, if that has not applied yet.
    fn last_asked(&self, file: FileId) -> Option<bool> {
        self.archivings.get(&file)?.back().copied()
    }

    fn will_be_out_of_sight(&self, file: FileId) -> bool {
        let is_archived = || self.index.get(file).is_some_and(FileRecord::is_archived);
        self.last_asked(file).unwrap_or_else(|| is_archived() && !self.names.has_file(file))
    }

    /// Whether the file is in sight, as far as the applied entries say.
    pub fn is_in_sight(&self, file: FileId) -> bool {
        self.names.has_file(file)
    }

    /// Whether somebody deleted the file that is in sight all the same.
    pub fn is_in_dispute(&self, file: FileId) -> bool {
        self.is_in_sight(file) && self.index.get(file).is_some_and(FileRecord::is_archived)
    }

    /// Whoever edits what somebody deleted has it before them, and wants it.
    pub(super) fn keep_in_sight(&mut self, file: FileId) {
        if self.is_in_dispute(file) && !self.archivings.contains_key(&file) && self.boundaries.may_write(file.zone) {
            self.set_archived(file, false);
        }
    }

    /// What somebody claims who moves this file to the node's own claim folder: the work that the note names, or the file.
    pub(super) fn work_in(&self, file: FileId, to: Zone, bytes: &[u8]) -> Option<WorkId> {
        let is_claim = to == Zone::Claim(self.me) && file.zone.audience() == to.audience();
        is_claim.then(|| work_of_note(file, bytes))
    }

    /// A claim from the copy that it is for begins the lease anew.
    pub(super) fn renew(&mut self, work: WorkId, file: FileId) {
        if file.zone == Zone::Claim(self.me) {
            let claim = Item::Claim { work, from: file, to: file, lease_ms: lease_of_node() };
            self.push_item(file.zone.audience(), claim, None);
        }
    }

    pub(super) fn claim(&mut self, work: WorkId, file: FileId, to: VaultPath) {
        self.with_document(file, Task::MoveAcross { to, content: None, claim: Some(work) });
    }

    pub(super) fn lacks_changes(&self, file: FileId) -> bool {
        matches!(self.docs.get(&file), Some(DocState::Note(note)) if note.lacks_changes)
    }

    /// The file's content as merged.
    pub(super) fn merged_bytes(&self, file: FileId) -> Option<Vec<u8>> {
        match self.docs.get(&file)? {
            DocState::Note(note) => Some(note.merged.text().into_bytes()),
            DocState::Plain(bytes) => Some(bytes.clone()),
            DocState::Uncreated(_) | DocState::Loading { .. } | DocState::Incomplete(_) => None,
        }
    }
}

/// The work that a note stands for: the one that it names, or itself.
pub fn work_of_note(file: FileId, bytes: &[u8]) -> WorkId {
    let note = note_text(bytes).map(Note::parse);
    let named = note.as_ref().and_then(|note| note.field("work_id"));
    let named = named.and_then(|named| named.trim_matches(['"', '\'']).parse().ok());
    named.unwrap_or_else(|| WorkId(action_id(file)))
}

fn lease_of_node() -> u64 {
    u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX)
}
