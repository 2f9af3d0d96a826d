//! Documents in memory: loaded when a task needs one, closed when idle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aiemp_keys::cbor;
use aiemp_protocol::{
    entry::FileKind,
    ids::{ContentHash, FileId},
    limits::LANES_MAX,
    vault_path::VaultPath,
};
use automerge::{Change, ChangeHash};

use super::{EffectId, Output, Pending, Vault};
use crate::{
    document::{self, Document},
    index::ChangeRef,
    vet,
};

/// Documents kept in memory; one costs some 22 KiB and a millisecond to make.
const OPEN_MAX: usize = 48;

/// Something to do with a file's content once it is at hand.
#[derive(Debug)]
pub(super) enum Task {
    /// The person saved this at the file's place.
    DiskEdit(Vec<u8>),
    /// The node replaces the merged text.
    Rewrite(Vec<u8>),
    /// The node replaced an earlier merged text; the raw change says what it replaced.
    RewriteEarlier(Vec<u8>),
    /// The file goes out of sight if this is its content.
    ArchiveAs(ContentHash),
    /// The file moves to another zone; the content is the merged one unless the disk already holds another.
    MoveAcross { to: VaultPath, content: Option<Vec<u8>>, claim: Option<aiemp_protocol::ids::WorkId> },
    /// Compare with the disk and write.
    Project,
    /// Remember what open conflicts are about.
    Inspect,
    /// This lay at a place of the file when the node started, while its recorded place was empty. If it is not this
    /// file's, it may be the other's.
    Recognise { path: VaultPath, bytes: Vec<u8>, gone_from: Option<String>, other: Option<FileId> },
    /// Answer a read.
    Read(u64),
}

/// A note's two handles: `disk` is what was last written or saved, `merged` what the logs say. Usually the same.
#[derive(Debug)]
pub(super) struct OpenNote {
    pub(super) base: ContentHash,
    pub(super) disk: Document,
    pub(super) merged: Document,
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
        hashes: Vec<ContentHash>,
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
        match self.docs.get_mut(&file) {
            Some(DocState::Uncreated(queue) | DocState::Loading { queue, .. } | DocState::Incomplete(queue)) => {
                queue.push_back(task)
            }
            Some(DocState::Note(_) | DocState::Plain(_)) => {
                self.touch(file);
                self.do_task(file, task);
            }
            None if self.index.get(file).is_none() => {
                self.docs.insert(file, DocState::Uncreated(VecDeque::from([task])));
            }
            None => self.load(file, VecDeque::from([task])),
        }
    }

    pub(super) fn load(&mut self, file: FileId, queue: VecDeque<Task>) {
        let Some(record) = self.index.get(file) else { return };
        let Some(base) = record.base.shown().copied() else { return };
        let mut hashes = vec![base];
        if record.kind.shown() == Some(&FileKind::Note) {
            hashes.extend(record.current_changes().map(|change| change.hash));
        }
        let effect = self.effect(Pending::Load { file });
        self.docs.insert(file, DocState::Loading { effect, hashes: hashes.clone(), queue });
        self.outputs.push_back(Output::Load { effect, hashes });
    }

    pub(super) fn loaded(&mut self, effect: EffectId, payloads: Vec<Option<Vec<u8>>>) {
        let Some(Pending::Load { file }) = self.pending.remove(&effect) else { return };
        // Another load of the file was asked for since, because more of it applied: its answer is the one to open.
        let is_newest =
            |state: &DocState| matches!(state, DocState::Loading { effect: newest, .. } if *newest == effect);
        if !self.docs.get(&file).is_some_and(is_newest) {
            return;
        }
        let Some(DocState::Loading { hashes, queue, .. }) = self.docs.remove(&file) else { return };
        if self.unapplied.contains_key(&file) {
            // An edit of ours would be missing from the document, and the next edit must follow it. It applies soon.
            self.docs.insert(file, DocState::Incomplete(queue));
            return;
        }
        let found: BTreeMap<_, _> = hashes.into_iter().zip(payloads).collect();
        let lies_there = queue.iter().find_map(|task| match task {
            Task::Recognise { bytes, .. } => Some(ContentHash::of(bytes)),
            Task::DiskEdit(_)
            | Task::Rewrite(_)
            | Task::RewriteEarlier(_)
            | Task::ArchiveAs(_)
            | Task::MoveAcross { .. }
            | Task::Project
            | Task::Inspect
            | Task::Read(_) => None,
        });
        match self.open(file, &found, lies_there) {
            Some(state) => {
                self.docs.insert(file, state);
                self.touch(file);
                self.remember_conflicts(file);
                for task in queue {
                    self.with_document(file, task);
                }
            }
            None => {
                let queue = self.answer_reads(queue);
                self.docs.insert(file, DocState::Incomplete(queue));
            }
        }
    }

    /// Tells whoever asked that the content is not held; the tasks that can wait are left.
    fn answer_reads(&mut self, queue: VecDeque<Task>) -> VecDeque<Task> {
        let mut left = VecDeque::new();
        for task in queue {
            if let Task::Read(request) = task {
                self.outputs.push_back(Output::Content { request, bytes: None });
            } else {
                left.push_back(task);
            }
        }
        left
    }

    /// Builds the content from its payloads. The disk handle is the state that `lies_there` names, if the file passed
    /// through it: a crash between a write and its record leaves such a one.
    fn open(
        &mut self,
        file: FileId,
        found: &BTreeMap<ContentHash, Option<Vec<u8>>>,
        lies_there: Option<ContentHash>,
    ) -> Option<DocState> {
        let record = self.index.get(file)?;
        let base = *record.base.shown()?;
        let bytes = found.get(&base)?.as_ref()?;
        let text = std::str::from_utf8(bytes).ok();
        let changes: Vec<ChangeRef> = record.current_changes().cloned().collect();
        let (Some(FileKind::Note), Some(text)) = (record.kind.shown(), text) else {
            return Some(DocState::Plain(bytes.clone()));
        };
        if changes.is_empty() {
            return Some(DocState::Plain(bytes.clone()));
        }
        let mut merged = Document::import(text);
        let mut applied = Vec::new();
        let is_there = |document: &Document| lies_there == Some(ContentHash::of(document.text().as_bytes()));
        let mut passed = lies_there.and_then(|_| is_there(&merged).then(|| merged.clone()));
        for change in &changes {
            // A payload that is under way ends the prefix that can be shown; the rest follows when it arrives.
            let Some(raw) = found.get(&change.hash).and_then(Option::as_ref) else { break };
            if let Some(change) = self.vet_change(file, &merged, change, raw) {
                applied.push(change.clone());
                merged.apply(change);
                if lies_there.is_some() && is_there(&merged) {
                    passed = Some(merged.clone());
                }
            }
        }
        let disk = passed.unwrap_or_else(|| self.disk_handle(file, text, &merged, &applied));
        let mut own_last = BTreeMap::new();
        for change in &changes {
            if change.origin.author() == self.me {
                note_own(&mut own_last, self.me, file, base, change.origin.log.generation, &merged);
            }
        }
        Some(DocState::Note(Box::new(OpenNote { base, disk, merged, written: None, own_last })))
    }

    /// The handle that stands for what lies on disk: the ancestors of the heads it was written with.
    fn disk_handle(&self, file: FileId, base: &str, merged: &Document, applied: &[Change]) -> Document {
        let Some((_, projection)) = self.projection_of(file) else {
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
        let mut disk = Document::import(base);
        for change in applied.iter().filter(|change| wanted.contains(&change.hash())) {
            disk.apply(change.clone());
        }
        disk
    }

    pub(super) fn vet_change(
        &mut self,
        file: FileId,
        document: &Document,
        change: &ChangeRef,
        raw: &[u8],
    ) -> Option<Change> {
        let author = change.origin.author();
        if self.refused.contains(&(file, author)) {
            return None;
        }
        let doc = document::doc_id(file, change.base);
        match vet::vet(document, doc, author, change.origin.log.generation, raw) {
            Ok(change) => Some(change),
            Err(why) => {
                self.refused.insert((file, author));
                self.outputs.push_back(Output::ReportRefused { file, author, why });
                None
            }
        }
    }

    fn touch(&mut self, file: FileId) {
        self.recent.retain(|other| *other != file);
        self.recent.push_back(file);
    }

    /// Closes the documents used longest ago. One with unapplied edits of our own cannot be rebuilt yet, and stays.
    pub(super) fn close_idle_documents(&mut self) {
        let mut kept = VecDeque::new();
        while self.recent.len() + kept.len() > OPEN_MAX {
            let Some(file) = self.recent.pop_front() else { break };
            let writing = self.places.get(&file).is_some_and(|key| self.in_flight.contains_key(key));
            if self.unapplied.contains_key(&file) || writing {
                kept.push_back(file);
            } else if matches!(self.docs.get(&file), Some(DocState::Note(_) | DocState::Plain(_))) {
                self.docs.remove(&file);
            }
            if kept.len() > OPEN_MAX {
                break;
            }
        }
        kept.append(&mut self.recent);
        self.recent = kept;
    }
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
    pub(super) fn import(text: &str) -> Self {
        let document = Document::import(text);
        Self {
            base: ContentHash::of(text.as_bytes()),
            disk: document.clone(),
            merged: document,
            written: None,
            own_last: BTreeMap::new(),
        }
    }

    /// The first lane whose last change `handle` contains: an edit in it follows on from that change.
    fn lane(&self, handle: &Document) -> Option<u64> {
        (0..LANES_MAX).find(|lane| self.own_last.get(lane).is_none_or(|last| handle.has(last)))
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
        copy.apply(change);
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
