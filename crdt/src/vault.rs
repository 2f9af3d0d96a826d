//! The vault machine: files on disk, documents, and log items, kept in step.
//!
//! Contract: [`Vault::handle`] takes one input and never fails; drain [`Vault::poll_output`] after each; call again no
//! later than [`Vault::poll_timeout`]. No clock, IO or randomness inside. What is merged is a function of the applied
//! entries alone; an edit on disk becomes an entry first and merges when that entry applies.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
};

use aiemp_keys::NodeId;
use aiemp_protocol::{
    entry::Item,
    ids::{Audience, ConflictId, ContentHash, FileId, LogId, WorkId},
    limits::{ENTRY_PAYLOAD_BYTES_MAX, ITEMS_PER_ENTRY_MAX},
    time::Timestamp,
    vault_path::VaultPath,
    zone::{NeverPath, Zone},
};

use crate::{
    claim::{self, Claim, Claims},
    document::FieldConflict,
    index::{ChangeRef, Index},
    overlap::Overlaps,
    structure::Broken,
};

mod active;
mod adoption;
mod apply;
mod authors;
mod away;
mod broken;
mod bursts;
mod claimed;
mod command;
mod compact;
mod conflicts;
mod contents;
mod day_logs;
mod dropped;
mod given_up;
mod hidden;
mod history;
mod input;
mod kept;
mod late;
mod load;
mod local;
mod names;
mod open;
mod output;
mod overlaps;
mod places;
mod project;
mod removals;
mod replaced;
mod rewritten;
#[cfg(test)]
mod testing;
mod twins;
mod undo;

pub use authors::Written;
pub use command::work_of_note;
use contents::Contents;
pub use given_up::GivenUp;
pub use history::{Deed, Event};
pub use input::{Choice, EffectId, Input, Positions, RemoveOutcome, WriteOutcome};
use names::Names;
use open::{DocState, Task, recent::Recent};
pub use output::{HoldReason, Output};
pub use undo::UndoFrom;

/// What this node may do where. The roster decides; this crate knows no roles.
pub trait Boundaries: fmt::Debug + Send {
    /// The zone of a path.
    fn zone_of(&self, path: &VaultPath) -> Result<Zone, NeverPath>;
    /// Whether this node may create and change files of the zone.
    fn may_write(&self, zone: Zone) -> bool;
    /// Whether this node may archive files of the zone.
    fn may_archive(&self, zone: Zone) -> bool;
    /// Whether a member may close conflicts of the zone's files.
    fn may_resolve(&self, author: NodeId, zone: Zone) -> bool;
    /// Whether active content waits here until it is released.
    fn holds_active_content(&self) -> bool;
    /// Whether what this member named has its name before what others named so. Never changes for a member.
    fn names_first(&self, author: NodeId) -> bool;
    /// Whether a member's word releases it.
    fn may_release(&self, author: NodeId) -> bool;
}

/// What lies on disk at one place, as far as this node wrote it or read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    /// The spelling on disk.
    pub path: VaultPath,
    /// Whose content it is.
    pub file: FileId,
    /// Digest of the bytes.
    pub hash: ContentHash,
    /// The content that its document starts from: the file's own may be another by now.
    pub base: ContentHash,
    /// Heads of the document it stands for; empty for an import nobody edited, and for blobs.
    pub heads: Vec<[u8; 32]>,
    /// What [`crate::index::FileRecord::text_writes`] counted when it was in step with the merge; to tell at start.
    pub merged_changes: Option<u64>,
}

/// An effect under way.
#[derive(Debug)]
enum Pending {
    Load { file: FileId },
    Hidden { file: FileId, base: ContentHash, changes: Vec<ChangeRef>, chosen: Option<hidden::Chosen> },
    Past { request: u64, file: FileId, base: ContentHash, changes: Vec<ChangeRef> },
    Undo { request: u64, file: FileId, base: ContentHash, changes: Vec<ChangeRef> },
    Write { key: String, projection: Projection },
    Remove { key: String, file: FileId },
}

/// Items collected for one entry.
#[derive(Debug, Default)]
struct Batch {
    items: Vec<Item>,
    payloads: Vec<Option<Vec<u8>>>,
    bytes: usize,
}

/// The machine. Holds state and dispatch; each handler has its own file.
#[derive(Debug)]
pub struct Vault {
    me: NodeId,
    boundaries: Box<dyn Boundaries>,
    positions: Positions,
    index: Index,
    names: Names,
    resolved: BTreeMap<ConflictId, BTreeSet<NodeId>>,
    /// Files of which there may be something to list.
    watched: BTreeSet<FileId>,
    /// Of the document that starts from this content, the last that was open.
    field_conflicts: BTreeMap<FileId, (ContentHash, Vec<FieldConflict>)>,
    /// Of the document that starts from this content, where two members changed one place of the text.
    overlaps: BTreeMap<FileId, (ContentHash, Overlaps)>,
    /// Of the document that starts from this content, how a merge broke its front matter.
    broken: BTreeMap<FileId, (ContentHash, Broken)>,
    /// What archived notes say since an edit that their archiving did not know of, and the digest of all of it.
    late_texts: late::LateTexts,
    /// Content under bases that compete with the shown one.
    hidden: BTreeMap<(FileId, ContentHash), hidden::Hidden>,
    /// Those of it that are being loaded.
    loading_hidden: BTreeSet<(FileId, ContentHash)>,
    dropped: dropped::DroppedChanges,
    /// Notes with active content that nobody released.
    held: BTreeMap<FileId, active::Held>,
    /// What this node released since it started; the entries that say so apply in a moment.
    releasing: BTreeSet<ConflictId>,
    docs: BTreeMap<FileId, DocState>,
    recent: Recent,
    /// What waits until the node's own changes of a file are merged.
    postponed_tasks: BTreeMap<FileId, Vec<Task>>,
    /// Places that a file left and that cannot be emptied yet.
    postponed_removals: BTreeMap<FileId, BTreeSet<String>>,
    /// Own edits appended but not yet applied, by file.
    unapplied: BTreeMap<FileId, usize>,
    /// Files whose creation by this node has not applied.
    creating: BTreeSet<FileId>,
    /// The last places that files left, oldest first, while the stored entries are given back.
    left: VecDeque<(String, FileId)>,
    /// Whether nothing was under way when the last run ended.
    ended_well: bool,
    /// Whether what the start finds on disk lay there before this node was.
    adopts: bool,
    /// Whether all of it was found by now.
    is_scanned: bool,
    /// Own writes of `archived` that have not applied, by file.
    archivings: BTreeMap<FileId, VecDeque<bool>>,
    on_disk: BTreeMap<Arc<str>, Box<Projection>>,
    /// What `on_disk` holds.
    contents: Contents,
    /// Where each file lies on disk; the newer place while it moves.
    places: BTreeMap<FileId, Arc<str>>,
    /// Files that are being written: one write of a file at a time, or the older may end last.
    writing: BTreeSet<FileId>,
    /// Where a write or removal is under way, and what content will lie there.
    in_flight: BTreeMap<String, Option<ContentHash>>,
    /// Such places at which something was seen meanwhile; what lies there is looked at again afterwards.
    deferred: BTreeSet<VaultPath>,
    /// Where content lies that this node may not write there, and since when.
    not_taken: BTreeMap<ContentHash, (VaultPath, Timestamp)>,
    /// Places of which it is not known yet whose content the start found there.
    recognising: BTreeSet<String>,
    /// What the start found there that is of no file.
    strangers: Vec<(VaultPath, Vec<u8>)>,
    /// Places at which a day log lies that came from no node, and of which file all of it is part by now.
    taken_in: BTreeMap<String, (FileId, ContentHash)>,
    /// Day logs with contents that are not shown, and when they are added to the one that is.
    uniting: BTreeMap<FileId, Timestamp>,
    /// Places at which nothing lies any more, until they count as removed.
    missing: BTreeMap<String, Timestamp>,
    removals: removals::Removals,
    /// Places at which something lies that is no file of the vault, each told of once.
    obstructed: BTreeSet<String>,
    bursts: bursts::Bursts,
    /// Files to project when the place they want is free, or the disk works again.
    postponed: BTreeSet<FileId>,
    /// Whether the vault's folder is not in its place.
    is_away: bool,
    /// Whether the node claims nothing.
    is_stopped: bool,
    retry_at: Option<Timestamp>,
    batches: BTreeMap<Audience, Batch>,
    /// Entries asked for since `positions` were told.
    appended: BTreeMap<Audience, u64>,
    undoing: BTreeMap<u64, undo::Undoing>,
    pending: BTreeMap<EffectId, Pending>,
    /// Contents that the entry brought which was just applied, by the file that it says they are of, while files are projected.
    brought: BTreeMap<FileId, (ContentHash, Vec<u8>)>,
    /// Loads under way.
    loads: usize,
    /// Payloads that a load did not find, and whose content waits for them.
    awaited: BTreeMap<ContentHash, BTreeSet<FileId>>,
    /// Payloads that came while loads were under way, each with the last of these: so far they may have missed it.
    came: BTreeMap<ContentHash, EffectId>,
    next_effect: u64,
    now: Timestamp,
    restoring: bool,
    outputs: VecDeque<Output>,
}

impl Vault {
    /// An empty vault; entries and projections are given back before [`Input::Restored`].
    pub fn new(me: NodeId, boundaries: Box<dyn Boundaries>, positions: Positions) -> Self {
        Self {
            me,
            boundaries,
            positions,
            index: Index::default(),
            names: Names::default(),
            resolved: BTreeMap::new(),
            watched: BTreeSet::new(),
            field_conflicts: BTreeMap::new(),
            overlaps: BTreeMap::new(),
            broken: BTreeMap::new(),
            late_texts: late::LateTexts::default(),
            hidden: BTreeMap::new(),
            loading_hidden: BTreeSet::new(),
            dropped: dropped::DroppedChanges::default(),
            held: BTreeMap::new(),
            releasing: BTreeSet::new(),
            docs: BTreeMap::new(),
            recent: Recent::default(),
            postponed_tasks: BTreeMap::new(),
            postponed_removals: BTreeMap::new(),
            unapplied: BTreeMap::new(),
            creating: BTreeSet::new(),
            left: VecDeque::new(),
            ended_well: false,
            adopts: false,
            is_scanned: false,
            archivings: BTreeMap::new(),
            on_disk: BTreeMap::new(),
            contents: Contents::default(),
            places: BTreeMap::new(),
            writing: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            deferred: BTreeSet::new(),
            not_taken: BTreeMap::new(),
            recognising: BTreeSet::new(),
            strangers: Vec::new(),
            taken_in: BTreeMap::new(),
            uniting: BTreeMap::new(),
            missing: BTreeMap::new(),
            removals: removals::Removals::default(),
            obstructed: BTreeSet::new(),
            bursts: bursts::Bursts::default(),
            postponed: BTreeSet::new(),
            is_away: false,
            is_stopped: false,
            retry_at: None,
            batches: BTreeMap::new(),
            appended: BTreeMap::new(),
            undoing: BTreeMap::new(),
            pending: BTreeMap::new(),
            brought: BTreeMap::new(),
            loads: 0,
            awaited: BTreeMap::new(),
            came: BTreeMap::new(),
            next_effect: 0,
            now: Timestamp::default(),
            restoring: true,
            outputs: VecDeque::new(),
        }
    }

    /// The last run ended with nothing under way: what is recorded was there, and whatever differs was done by hand.
    pub const fn ended_well(&mut self) {
        self.ended_well = true;
    }

    /// Whether all that this node has put on disk is recorded: what lies anywhere else, others put there.
    pub fn is_recorded(&self) -> bool {
        let lies = |file| self.places.contains_key(&file) || !self.names.has_file(file);
        let mut files = self.index.iter().map(|(file, _)| file).peekable();
        (self.ended_well || files.peek().is_none()) && files.all(lies)
    }

    /// Takes back what lay on disk when it was last looked at, once the entries are. What they do not know, because an
    /// older copy of the logs took their place, is as good as never seen.
    pub fn restore_projection(&mut self, key: String, mut projection: Projection) {
        let Some(record) = self.index.get(projection.file) else { return };
        if let Some(shown) = record.shown_base().filter(|_| !record.had_base(projection.base)) {
            projection.base = shown;
        }
        projection.start_anew(record);
        if let Some(path) = record.path.shown().filter(|path| **path == projection.path) {
            projection.path = path.clone();
        }
        let key = self.names.shared_key(projection.file, &key);
        self.places.insert(projection.file, Arc::clone(&key));
        self.contents.add(projection.hash);
        if let Some(before) = self.on_disk.insert(key, Box::new(projection)) {
            self.contents.take(before.hash);
        }
    }

    /// The mesh was frozen, or goes on: of what the node was asked to claim, nothing is claimed while it is.
    pub const fn set_stopped(&mut self, is_stopped: bool) {
        self.is_stopped = is_stopped;
    }

    /// The roster changed.
    pub fn set_boundaries(&mut self, boundaries: Box<dyn Boundaries>) {
        self.boundaries = boundaries;
        let files: Vec<_> = self.index.iter().map(|(file, _)| file).collect();
        let moved = files.iter().filter(|file| self.names.update(&self.index, **file, &*self.boundaries)).count();
        if moved > 0 {
            self.project_all(files);
        }
    }

    /// Handles one input; `positions` are those of the node's own logs at this moment.
    pub fn handle(&mut self, now: Timestamp, positions: Positions, input: Input) {
        self.now = now;
        self.positions = positions;
        self.appended.clear();
        match input {
            Input::FilesChanged { changed, removed, kept_out } => self.files_changed(changed, removed, kept_out),
            Input::Applied { entry, past } => self.applied(entry, past),
            Input::PayloadArrived(hash) => self.payload_arrived(hash),
            Input::Loaded(effect, payloads) => self.loaded(effect, payloads),
            Input::FileWritten(effect, outcome) => self.file_written(effect, outcome),
            Input::FileRemoved(effect, outcome) => self.file_removed(effect, outcome),
            Input::Restored => self.restored(),
            Input::Scanned => self.is_scanned = true,
            Input::CreateRequested { file, path, content } => self.create(file, path, content.into_inner()),
            Input::RewriteRequested { file, content } => self.with_document(file, Task::Rewrite(content.into_inner())),
            Input::MoveRequested { file, to } => self.move_file(file, to),
            Input::CompactRequested(files) => self.compact(files),
            Input::ArchiveAsRequested { file, content } if self.exists(file) => {
                self.with_document(file, Task::ArchiveAs(content));
            }
            Input::ArchiveAsRequested { .. } => {}
            Input::UnarchiveRequested(file) => self.bring_back(file),
            Input::ClaimRequested { work, file, to } => self.claim(work, file, to),
            Input::RenewRequested { work, file } => self.renew(work, file),
            Input::ResolveRequested { id, choice } => self.resolve(id, choice),
            Input::ReadRequested { request, file } => self.with_document(file, Task::Read(request)),
            Input::PastRequested { request, file, base, before } => self.read_past(request, file, base, &before),
            Input::RestoreRequested { file, path, content } => self.restore(file, path, content.into_inner()),
            Input::UndoRequested { request, from } => self.undo(request, from),
            Input::PlaceChecked { is_away } => self.place_checked(is_away),
            Input::TimeoutReached => self.timeout(),
        }
        self.forget_found();
        self.flush_batches();
        self.end_adoption();
        self.close_idle_documents();
    }

    /// The next thing to do, or none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to hand in `TimeoutReached` at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let due = self.next_removal().into_iter().chain(self.retry_at).chain(self.bursts.due());
        due.chain(self.uniting.values().copied().min()).min()
    }

    /// Whether this node may create and change files of the zone.
    pub fn may_write(&self, zone: Zone) -> bool {
        self.boundaries.may_write(zone)
    }

    /// The registers of all files.
    pub const fn index(&self) -> &Index {
        &self.index
    }

    /// Who works on what.
    pub const fn claims(&self) -> &Claims {
        self.index.claims()
    }

    /// Who has a piece of work.
    pub fn holder(&self, work: WorkId) -> Option<&Claim> {
        claim::holder(&self.index, work, |author| self.boundaries.names_first(author))
    }

    /// The file whose content lies at a path on disk.
    pub fn file_at(&self, path: &VaultPath) -> Option<FileId> {
        self.there(&path.key()).map(|projection| projection.file)
    }

    /// Where a write or removal under way works, and on whose behalf.
    pub fn place_of_effect(&self, effect: EffectId) -> Option<(VaultPath, FileId)> {
        match self.pending.get(&effect)? {
            Pending::Write { projection, .. } => Some((projection.path.clone(), projection.file)),
            Pending::Remove { key, file } => Some((self.there(key)?.path.clone(), *file)),
            Pending::Load { .. } | Pending::Hidden { .. } | Pending::Past { .. } | Pending::Undo { .. } => None,
        }
    }

    /// What lies on disk, by canonical key.
    pub fn on_disk(&self) -> impl ExactSizeIterator<Item = (&str, &Projection)> {
        self.on_disk.iter().map(|(key, there)| (&**key, &**there))
    }

    /// What lies on disk but for what is missing: whatever is found at such a place is told, however much it looks as before.
    pub fn seen_on_disk(&self) -> impl Iterator<Item = &Projection> {
        self.on_disk.iter().filter(|(key, _)| !self.missing.contains_key(&***key)).map(|(_, there)| &**there)
    }

    /// How many of the files that are in sight lie on disk, and how many those are.
    pub fn placed(&self) -> (u64, u64) {
        (self.places.len() as u64, self.names.len() as u64)
    }

    /// Whether nothing is under way: no load, write, removal, or save that waits.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
            && self.deferred.is_empty()
            && self.removals_are_settled()
            && !self.bursts.is_under_way()
            && self.unapplied.is_empty()
            && !self.saves_wait()
    }

    /// Files that cannot be shown, for no node that was connected had their content.
    pub fn lacking(&self) -> impl Iterator<Item = &VaultPath> {
        let waits = |state: &DocState| matches!(state, DocState::Incomplete(_));
        let lacking = self.docs.iter().filter(move |(file, state)| waits(state) && !self.unapplied.contains_key(file));
        let in_sight = lacking.map(|(file, _)| *file).filter(|file| self.is_in_sight(*file));
        in_sight.filter_map(|file| self.index.get(file)?.path.shown())
    }

    /// Whether this node changed the file and not all of that has applied yet.
    pub fn is_changing(&self, file: FileId) -> bool {
        self.unapplied.contains_key(&file)
    }

    /// Whether contents are being read: conflicts may come to light that only they show.
    pub const fn is_reading(&self) -> bool {
        self.restoring || self.loads > 0
    }

    /// Whether a load, write or removal is under way.
    pub fn has_effects(&self) -> bool {
        !self.pending.is_empty()
    }

    fn effect(&mut self, pending: Pending) -> EffectId {
        self.next_effect += 1;
        let effect = EffectId(self.next_effect);
        self.pending.insert(effect, pending);
        effect
    }

    /// Adds an item to the next entry of the file's audience, opening another entry where this one would be too large.
    fn push_item(&mut self, audience: Audience, item: Item, payload: Option<Vec<u8>>) {
        let length = payload.as_ref().map_or(0, Vec::len);
        self.make_room(audience, length);
        let batch = self.batches.entry(audience).or_default();
        if item.payload().is_some() {
            batch.payloads.push(payload);
        }
        batch.items.push(item);
        batch.bytes += length;
    }

    /// The id of a new file that the next pushed item will create.
    fn fresh_id(&mut self, zone: Zone, length: usize) -> FileId {
        let audience = zone.audience();
        self.make_room(audience, length);
        let (log, next) = match audience {
            Audience::All => self.positions.all,
            Audience::Local => self.positions.local,
        };
        let seq = next + self.appended.get(&audience).copied().unwrap_or(0);
        let item = self.batches.get(&audience).map_or(0, |batch| batch.items.len());
        FileId::fresh(zone, log, seq, item as u64)
    }

    fn make_room(&mut self, audience: Audience, length: usize) {
        let full = self.batches.get(&audience).is_some_and(|batch| {
            batch.items.len() >= ITEMS_PER_ENTRY_MAX
                || (batch.bytes > 0 && batch.bytes + length > ENTRY_PAYLOAD_BYTES_MAX)
        });
        if full {
            self.flush_batch(audience);
        }
    }

    fn flush_batches(&mut self) {
        for audience in Audience::EACH {
            self.flush_batch(audience);
        }
    }

    fn flush_batch(&mut self, audience: Audience) {
        if let Some(batch) = self.batches.remove(&audience) {
            *self.appended.entry(audience).or_default() += 1;
            self.outputs.push_back(Output::Append { audience, items: batch.items, payloads: batch.payloads });
        }
    }

    fn record_projection(&mut self, key: String, projection: Option<Projection>) {
        self.taken_in.remove(&key);
        let before = match &projection {
            Some(projection) => {
                let key = self.names.shared_key(projection.file, &key);
                self.places.insert(projection.file, Arc::clone(&key));
                self.contents.add(projection.hash);
                self.on_disk.insert(key, Box::new(projection.clone()))
            }
            None => self.on_disk.remove(&*key),
        };
        before.iter().for_each(|before| self.contents.take(before.hash));
        let still = projection.as_ref().map(|projection| projection.file);
        if let Some(before) = before.filter(|before| Some(before.file) != still)
            && self.place_of(before.file) == Some(&*key)
        {
            self.places.remove(&before.file);
        }
        self.outputs.push_back(Output::RecordProjection { key, projection });
    }

    fn projection_of(&self, file: FileId) -> Option<(&str, &Projection)> {
        let key = self.place_of(file)?;
        self.there(key).map(|projection| (key, projection))
    }

    /// What lies at a place.
    fn there(&self, key: &str) -> Option<&Projection> {
        self.on_disk.get(key).map(|there| &**there)
    }

    /// The key of the place where a file lies on disk; of the newer one while it moves.
    fn place_of(&self, file: FileId) -> Option<&str> {
        self.places.get(&file).map(|place| &**place)
    }

    /// This node's log for files of the zone.
    fn own_log(&self, zone: Zone) -> LogId {
        match zone.audience() {
            Audience::All => self.positions.all.0,
            Audience::Local => self.positions.local.0,
        }
    }

    const fn generation(&self) -> u64 {
        self.positions.all.0.generation
    }
}
