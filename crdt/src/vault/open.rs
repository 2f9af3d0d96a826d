//! Documents in memory: loaded when a task needs one, closed when idle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aiemp_keys::cbor;
use aiemp_protocol::{
    entry::ContentRef,
    ids::{ConflictId, ContentHash, FileId},
    limits::LANES_MAX,
    vault_path::VaultPath,
};
use automerge::{Change, ChangeHash};

use super::{Choice, EffectId, Projection, Vault, local::note_text};
use crate::{
    document::{self, Document},
    index::ChangeRef,
    shape::Shape,
    vet::{self, Refused},
};

pub(super) mod recent;

/// Documents kept in memory; one costs some 22 KiB and a millisecond to make.
const OPEN_MAX: usize = 48;

/// Something to do with a file's content once it is at hand.
#[derive(Debug)]
pub(super) enum Task {
    /// The person saved this at a place of the file: the one it has, or one that it is leaving.
    DiskEdit { key: String, bytes: Vec<u8> },
    /// The person saved this where the file lay, over what was recorded there; it was taken away or replaced since.
    DisplacedEdit { bytes: Vec<u8>, over: Option<Projection> },
    /// The node replaces the merged text.
    Rewrite(Vec<u8>),
    /// A person chose this as the content, text or not.
    Replace(Vec<u8>),
    /// The node replaced an earlier merged text; the raw change says what it replaced.
    RewriteEarlier(Vec<u8>),
    /// The file goes out of sight if this is its content.
    ArchiveAs(ContentHash),
    /// The file moves to another zone; the content is the merged one unless the disk already holds another.
    MoveAcross { to: VaultPath, content: Option<Vec<u8>>, claim: Option<aiemp_protocol::ids::WorkId> },
    /// The note starts anew as another document: from this text, or the one that is shown.
    Rebase(Option<Vec<u8>>),
    /// The note starts anew as another document with the same text, and nothing else changes, if it has so many changes.
    Compact { changes: usize },
    /// What is shown of the file becomes its content in place of this one, which is held back.
    KeepShown(ContentHash),
    /// Compare with the disk and write.
    Project,
    /// Remember what open conflicts are about.
    Inspect,
    /// This lay where the day log belongs before it came here from others: what it has beyond theirs is added.
    TakeIn { path: VaultPath, bytes: Vec<u8> },
    /// Contents of the day log that are not shown, and that this node answers for, are added to the one that is.
    Unite,
    /// A person decided a conflict in which the text as it is now has a part.
    Decide { id: ConflictId, choice: Choice },
    /// This lay at a place of the file when the node started. If no state under this base is that, one of the others' may
    /// be.
    Recognise { found: Found, base: ContentHash, others: VecDeque<(FileId, ContentHash)> },
    /// Answer a read.
    Read(u64),
}

/// What lay on disk when the node started, and where the file that it may be is missing from.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: VaultPath,
    pub(super) bytes: Vec<u8>,
    pub(super) gone_from: Option<String>,
}

/// What a load found: the content that a document starts from, and its changes.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) content: Option<Vec<u8>>,
    pub(super) changes: BTreeMap<ContentRef, Option<Vec<u8>>>,
}

/// When the text of a document is taken up that many changes make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Once, after the last: each reading costs as much as the note is long.
    AtTheEnd,
    /// So that the change is known which makes a text that cannot be read, or one that is looked for.
    AfterEach,
}

/// What a note's disk handle stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StandsFor {
    /// What is recorded at the file's place.
    Place,
    /// What was recorded at another place of the file, or is not any more.
    Record(Projection),
    /// What was found when the node started, if it is a state under this base.
    Found { hash: ContentHash, base: ContentHash },
}

/// A note's two handles: `disk` is what was last written or saved, `merged` what the logs say. Usually the same.
#[derive(Debug)]
pub(super) struct OpenNote {
    pub(super) base: ContentHash,
    pub(super) disk: Document,
    pub(super) stands: StandsFor,
    pub(super) merged: Document,
    /// Whether payloads of its changes have not arrived: what follows from them waits.
    pub(super) lacks_changes: bool,
    /// What a write under way puts on disk.
    pub(super) written: Option<Document>,
    /// The last change of this node in each lane.
    own_last: BTreeMap<u64, ChangeHash>,
}

/// A file's content, or the way to it.
#[derive(Debug)]
pub(super) enum DocState {
    /// The entry that creates the file has not applied yet.
    Uncreated(VecDeque<Task>),
    Loading {
        effect: EffectId,
        base: ContentHash,
        changes: Vec<ContentRef>,
        queue: VecDeque<Task>,
    },
    /// A payload has not arrived.
    Incomplete(VecDeque<Task>),
    Note(Box<OpenNote>),
    /// A blob, or a note that nobody edited: its bytes.
    Plain(Vec<u8>),
}

impl Vault {
    /// Does `task` with the file's content, now or when it is loaded.
    pub(super) fn with_document(&mut self, file: FileId, task: Task) {
        let is_of_shown = self.base_of(file, &task) == self.shown_base(file);
        match self.docs.get_mut(&file) {
            Some(DocState::Incomplete(_))
                if matches!(task, Task::Read(_) | Task::Replace(_)) && !self.unapplied.contains_key(&file) =>
            {
                self.without_content(file, task);
            }
            // What it waits for is another content.
            Some(DocState::Incomplete(queue)) if !is_of_shown => {
                let mut queue = std::mem::take(queue);
                queue.push_back(task);
                self.load(file, queue);
            }
            Some(DocState::Uncreated(queue) | DocState::Loading { queue, .. } | DocState::Incomplete(queue)) => {
                queue.push_back(task)
            }
            Some(DocState::Note(_) | DocState::Plain(_)) => {
                self.recent.touch(file);
                self.do_task(file, task);
            }
            None if self.index.get(file).is_none() => {
                self.docs.insert(file, DocState::Uncreated(VecDeque::from([task])));
            }
            None => self.load(file, VecDeque::from([task])),
        }
    }

    /// Nothing lies at a place any more. Saves of the file there that still wait for its content were made over what was
    /// recorded until now.
    pub(super) fn forget_place(&mut self, key: String) {
        if let Some(over) = self.there(&key).cloned()
            && let Some(DocState::Uncreated(queue) | DocState::Loading { queue, .. } | DocState::Incomplete(queue)) =
                self.docs.get_mut(&over.file)
        {
            for task in queue.iter_mut() {
                if let Task::DiskEdit { key: at, bytes } = task
                    && *at == key
                {
                    *task = Task::DisplacedEdit { bytes: std::mem::take(bytes), over: Some(over.clone()) };
                }
            }
        }
        self.record_projection(key, None);
    }

    /// What the disk handle has to stand for in this task; none where it does not matter.
    pub(super) fn disk_handle_of(&self, file: FileId, task: &Task) -> Option<StandsFor> {
        match task {
            Task::DiskEdit { key, .. } => {
                let elsewhere = self.place_of(file) != Some(&**key);
                let there = self.there(key).filter(|there| there.file == file && elsewhere);
                Some(there.map_or(StandsFor::Place, |there| StandsFor::Record(there.clone())))
            }
            Task::TakeIn { path, .. } => {
                let there = self.there(&path.key()).filter(|there| there.file == file);
                there.map(|there| StandsFor::Record(there.clone()))
            }
            Task::DisplacedEdit { over, .. } => Some(over.clone().map_or(StandsFor::Place, StandsFor::Record)),
            Task::Recognise { found, base, .. } => {
                Some(StandsFor::Found { hash: ContentHash::of(&found.bytes), base: *base })
            }
            Task::Rewrite(_)
            | Task::Replace(_)
            | Task::RewriteEarlier(_)
            | Task::ArchiveAs(_)
            | Task::MoveAcross { .. }
            | Task::Rebase(_)
            | Task::Compact { .. }
            | Task::KeepShown(_)
            | Task::Project
            | Task::Inspect
            | Task::Unite
            | Task::Decide { .. }
            | Task::Read(_) => None,
        }
    }

    /// The content that the task's disk handle starts from, where that matters: for a save, what it was made over.
    fn base_of_handle(&self, file: FileId, task: &Task) -> Option<ContentHash> {
        match self.disk_handle_of(file, task)? {
            StandsFor::Place => self.recorded_at_place(file).map(|there| there.base),
            StandsFor::Record(over) => Some(over.base),
            StandsFor::Found { base, .. } => Some(base),
        }
    }

    /// The content to load for the task.
    pub(super) fn base_of(&self, file: FileId, task: &Task) -> Option<ContentHash> {
        self.base_of_handle(file, task).or_else(|| self.shown_base(file))
    }

    /// The content to load for these tasks: that of the first save, for what lies on disk is taken in first.
    pub(super) fn base_of_queue(&self, file: FileId, queue: &VecDeque<Task>) -> Option<ContentHash> {
        queue.iter().find_map(|task| self.base_of_handle(file, task)).or_else(|| self.shown_base(file))
    }

    pub(super) fn shown_base(&self, file: FileId) -> Option<ContentHash> {
        self.index.get(file)?.shown_base()
    }

    /// Whether the open content is fit for the task.
    pub(super) fn is_open_for(&self, file: FileId, task: &Task) -> bool {
        if self.base_of(file, task) != self.shown_base(file) {
            return false;
        }
        match (self.docs.get(&file), self.disk_handle_of(file, task)) {
            (Some(DocState::Note(note)), Some(wanted)) => note.stands == wanted,
            (Some(_) | None, _) => true,
        }
    }

    /// Closes a note whose disk handle stands for something else than its place.
    pub(super) fn close_detached(&mut self, file: FileId) {
        if matches!(self.docs.get(&file), Some(DocState::Note(note)) if note.stands != StandsFor::Place) {
            self.docs.remove(&file);
        }
    }

    /// Whether a save waits in memory alone for the content of its file.
    pub(super) fn saves_wait(&self) -> bool {
        !self.strangers.is_empty()
            || self.docs.values().any(|state| match state {
                DocState::Uncreated(queue) | DocState::Loading { queue, .. } | DocState::Incomplete(queue) => {
                    let is_save = |task: &Task| {
                        matches!(task, Task::DiskEdit { .. } | Task::DisplacedEdit { .. } | Task::TakeIn { .. })
                    };
                    queue.iter().any(is_save)
                }
                DocState::Note(_) | DocState::Plain(_) => false,
            })
    }

    /// Builds the content from its payloads. What was found at the start is a state that the file passed through, or not
    /// of its making: a crash between a write and its record leaves such a state.
    pub(super) fn open(
        &mut self,
        file: FileId,
        base: ContentHash,
        found: &Contents,
        stands: &StandsFor,
        reading: Reading,
    ) -> Option<DocState> {
        let record = self.index.get(file)?;
        let bytes = found.content.as_ref().filter(|bytes| record.names(base, bytes))?;
        // The content decides, not what a member calls it: as bytes a note would show none of its edits.
        let text = note_text(bytes);
        let changes: Vec<ChangeRef> = record.changes_under(base).cloned().collect();
        let Some(text) = text else {
            return Some(DocState::Plain(bytes.clone()));
        };
        if changes.is_empty() {
            return Some(DocState::Plain(bytes.clone()));
        }
        let mut merged = Document::import_as(text, record.shape());
        let mut applied = Vec::new();
        let mut lacks_changes = false;
        let mut dropped = BTreeSet::new();
        let lies_there = if let StandsFor::Found { hash, .. } = stands { Some(*hash) } else { None };
        let reading = if lies_there.is_some() { Reading::AfterEach } else { reading };
        let is_there = |document: &Document| lies_there == Some(ContentHash::of(document.text().as_bytes()));
        let mut passed = lies_there.and_then(|_| is_there(&merged).then(|| merged.clone()));
        for change in &changes {
            // What does not need a payload that is under way is shown; the rest follows when it arrives.
            let Some(raw) = found.changes.get(&change.named()).and_then(Option::as_ref) else {
                lacks_changes = true;
                continue;
            };
            let log = change.origin.log;
            if dropped.contains(&log) || self.dropped.begins_with(file, change) {
                dropped.insert(log);
                self.dropped.keep_text(file, change, raw);
                continue;
            }
            match self.apply_change(file, &mut merged, change, raw, (lacks_changes, reading)) {
                Ok(change) => {
                    applied.push(change);
                    if lies_there.is_some() && is_there(&merged) {
                        passed = Some(merged.clone());
                    }
                }
                // What stands in the document now, nobody knows: it is built once more, without that change.
                Err(Refused::Apply) => return self.open(file, base, found, stands, reading),
                Err(_) => {
                    dropped.extend(self.dropped.has(file, base, log).then_some(log));
                }
            }
        }
        if reading == Reading::AtTheEnd && merged.read().is_err() {
            return self.open(file, base, found, stands, Reading::AfterEach);
        }
        let recorded = if let StandsFor::Record(over) = stands { Some(over) } else { self.recorded_at_place(file) };
        let disk = passed.unwrap_or_else(|| disk_handle(recorded, text, &merged, &applied));
        let mut own_last = BTreeMap::new();
        for change in &changes {
            if change.origin.author() == self.me {
                note_own(&mut own_last, self.me, file, base, change.origin.log.generation, &merged);
            }
        }
        let stands = stands.clone();
        Some(DocState::Note(Box::new(OpenNote { base, disk, stands, merged, lacks_changes, written: None, own_last })))
    }

    fn recorded_at_place(&self, file: FileId) -> Option<&Projection> {
        self.projection_of(file).map(|(_, projection)| projection)
    }

    /// An edit of what was recorded at a place, which is about to change: where the open handle does not stand for that,
    /// the content is loaded once more. Earlier saves at the place that still wait are contained in this one.
    pub(super) fn edit_displaced(&mut self, file: FileId, key: &String, bytes: Vec<u8>) {
        let over_shown = self.there(key).map(|there| there.base) == self.shown_base(file);
        if matches!(self.docs.get(&file), Some(DocState::Note(_) | DocState::Plain(_)))
            && self.place_of(file) == Some(&**key)
            && over_shown
        {
            return self.with_document(file, Task::DisplacedEdit { bytes, over: None });
        }
        let task = Task::DisplacedEdit { bytes, over: self.there(key).cloned() };
        let is_contained = |waiting: &Task| matches!(waiting, Task::DiskEdit { key: at, .. } if at == key);
        match self.docs.remove(&file) {
            Some(DocState::Loading { mut queue, .. } | DocState::Incomplete(mut queue)) => {
                queue.retain(|waiting| !is_contained(waiting));
                queue.push_front(task);
                self.load(file, queue);
            }
            Some(DocState::Uncreated(mut queue)) => {
                queue.retain(|waiting| !is_contained(waiting));
                queue.push_front(task);
                self.docs.insert(file, DocState::Uncreated(queue));
            }
            Some(DocState::Note(_) | DocState::Plain(_)) | None => self.load(file, [task].into()),
        }
    }

    /// Vets a change and applies it. The first one of a log that is refused is reported, and no later one of that log to
    /// that document is taken. Where the document `lacks_changes`, one that does not follow from what is there
    /// is not its author's fault. After [`Refused::Apply`] the document is of no use.
    pub(super) fn apply_change(
        &mut self,
        file: FileId,
        document: &mut Document,
        change: &ChangeRef,
        raw: &[u8],
        (lacks_changes, reading): (bool, Reading),
    ) -> Result<Change, Refused> {
        let applied = vet_and_apply(file, document, change, raw).and_then(|change| {
            if reading == Reading::AfterEach { document.read().map(|()| change) } else { Ok(change) }
        });
        if let Err(why) = applied {
            let does_not_follow = matches!(why, Refused::Sequence | Refused::Dependencies | Refused::Counter);
            if why != Refused::Again && !(lacks_changes && does_not_follow) {
                self.drop_from(file, change, why);
                self.dropped.keep_text(file, change, raw);
            }
        }
        applied
    }

    /// Closes the documents used longest ago. One with unapplied edits of our own cannot be rebuilt yet, and stays.
    pub(super) fn close_idle_documents(&mut self) {
        let excess = self.recent.len().saturating_sub(OPEN_MAX);
        let (mut idle, mut needed) = (Vec::new(), 0);
        for file in self.recent.iter() {
            if idle.len() == excess || needed > OPEN_MAX {
                break;
            }
            if self.unapplied.contains_key(&file) || self.writing.contains(&file) {
                needed += 1;
            } else {
                idle.push(file);
            }
        }
        for file in idle {
            self.recent.forget(file);
            if matches!(self.docs.get(&file), Some(DocState::Note(_) | DocState::Plain(_))) {
                self.docs.remove(&file);
            }
        }
    }
}

/// Vets a change and applies it to a document whose text is not read yet.
pub(super) fn vet_and_apply(
    file: FileId,
    document: &mut Document,
    change: &ChangeRef,
    raw: &[u8],
) -> Result<Change, Refused> {
    let origin = &change.origin;
    let doc = document::doc_id(file, change.base);
    let change = vet::vet(document, doc, origin.author(), origin.log.generation, raw)?;
    if !document.has_seen(origin, &change) {
        return Err(Refused::Unseen);
    }
    document.apply_unread(change.clone());
    document.came_with(&change, origin);
    Ok(change)
}

/// The handle that stands for what lies on disk: the ancestors of the heads it was written with.
fn disk_handle(recorded: Option<&Projection>, base: &str, merged: &Document, applied: &[Change]) -> Document {
    let Some(projection) = recorded else {
        return merged.clone();
    };
    if ContentHash::of(merged.text().as_bytes()) == projection.hash {
        return merged.clone();
    }
    let by_hash: BTreeMap<_, _> = applied.iter().map(|change| (change.hash(), change)).collect();
    let mut wanted = BTreeSet::new();
    let mut stack: Vec<_> = projection.heads.iter().map(|head| ChangeHash(*head)).collect();
    while let Some(hash) = stack.pop() {
        if let Some(change) = by_hash.get(&hash)
            && wanted.insert(hash)
        {
            stack.extend(change.deps());
        }
    }
    let wanted: Vec<_> = applied.iter().filter(|change| wanted.contains(&change.hash())).collect();
    let mut disk = Document::import_as(base, merged.shape());
    wanted.iter().for_each(|change| disk.apply_unread((*change).clone()));
    if disk.read().is_err() {
        disk = Document::import_as(base, merged.shape());
        for change in wanted {
            let before = disk.clone();
            // What does not apply without the others ends the handle there; the merge has it.
            if disk.apply(change.clone()).is_err() {
                return before;
            }
        }
    }
    disk
}

fn note_own(
    own_last: &mut BTreeMap<u64, ChangeHash>,
    me: aiemp_keys::NodeId,
    file: FileId,
    base: ContentHash,
    generation: u64,
    merged: &Document,
) {
    let doc = document::doc_id(file, base);
    for lane in 0..LANES_MAX {
        if let Some((_, hash)) = merged.last.get(&document::actor(me, doc, generation, lane)) {
            own_last.insert(lane, *hash);
        }
    }
}

impl OpenNote {
    /// The note that nobody edited yet.
    pub(super) fn import(text: &str, shape: Shape) -> Self {
        let document = Document::import_as(text, shape);
        Self {
            base: ContentHash::of(text.as_bytes()),
            disk: document.clone(),
            stands: StandsFor::Place,
            merged: document,
            lacks_changes: false,
            written: None,
            own_last: BTreeMap::new(),
        }
    }

    /// The first lane whose last change `handle` contains: an edit in it follows on from that change.
    fn lane(&self, handle: &Document) -> Option<u64> {
        (0..LANES_MAX).find(|lane| self.own_last.get(lane).is_none_or(|last| handle.has(last)))
    }

    /// Whether the note says more than the disk shows, or will: an own save that a write displaced may not have merged yet.
    pub(super) fn is_behind(&mut self) -> bool {
        let lacks_own = self.own_last.values().any(|last| !self.disk.has(last));
        self.lacks_changes || lacks_own || self.merged.heads().iter().any(|head| !self.disk.has(head))
    }

    /// What the note said with all that the disk handle stands for and all that this node had written; none where that is
    /// one.
    pub(super) fn beyond_disk(&mut self) -> Option<String> {
        let lacking = self.own_last.values().filter(|last| !self.disk.has(last) && self.merged.has(last));
        let lacking: Vec<_> = lacking.copied().collect();
        let known = [self.disk.heads(), lacking.clone()].concat();
        if lacking.is_empty() { None } else { self.merged.text_of_pasts(&known) }
    }

    /// Edits the disk handle to hold `text`; the raw change.
    pub(super) fn edit_disk(
        &mut self,
        me: aiemp_keys::NodeId,
        file: FileId,
        generation: u64,
        text: &str,
    ) -> Option<Vec<u8>> {
        let lane = self.lane(&self.disk)?;
        let actor = document::actor(me, document::doc_id(file, self.base), generation, lane);
        let raw = self.disk.edit(text, actor.clone())?;
        if let Some((_, hash)) = self.disk.last.get(&actor) {
            self.own_last.insert(lane, *hash);
        }
        Some(raw)
    }

    /// What replacing the merged text by `text` would change, as a change that merges into any later state.
    pub(super) fn rewriting(&self, text: &str) -> Option<Vec<u8>> {
        let parts = [cbor::text(text), cbor::text(&self.merged.text())];
        self.merged.clone().edit(text, document::actor_of_rewriting(parts))
    }

    /// The text that a change from [`OpenNote::rewriting`] gives now.
    pub(super) fn rewritten(&self, raw: Vec<u8>) -> Option<String> {
        let change = Change::from_bytes(raw).ok()?;
        let mut copy = self.merged.clone();
        copy.apply(change).ok()?;
        Some(copy.text())
    }

    /// Edits a copy of the merged handle; the change merges when its entry applies.
    pub(super) fn edit_merged(
        &mut self,
        me: aiemp_keys::NodeId,
        file: FileId,
        generation: u64,
        text: &str,
    ) -> Option<Vec<u8>> {
        let lane = self.lane(&self.merged)?;
        let actor = document::actor(me, document::doc_id(file, self.base), generation, lane);
        let mut copy = self.merged.clone();
        let raw = copy.edit(text, actor.clone())?;
        if let Some((_, hash)) = copy.last.get(&actor) {
            self.own_last.insert(lane, *hash);
        }
        Some(raw)
    }
}
