//! Saves, renames and removals on disk become items.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use aiemp_keys::NodeId;
use aiemp_protocol::{
    egress::Cleared,
    entry::{ContentRef, FieldWrite, FileKind, Item},
    ids::{ContentHash, FileId},
    limits::{BLOB_BYTES_MAX, CHANGE_BYTES_MAX, DOCUMENT_OPS_MAX, NOTE_BYTES_MAX},
    vault_path::VaultPath,
    zone::Zone,
};
use automerge::ChangeHash;

use super::{
    HoldReason, Output, Projection, Vault,
    open::{DocState, Found, OpenNote, StandsFor, Task},
};
use crate::shape::Shape;

/// How long nothing must lie at a place before that counts as a removal: editors that save by rename leave it empty
/// for a moment.
pub(super) const REMOVAL_GRACE: Duration = Duration::from_millis(400);
/// How long after a copy of a file was seen its removal counts as the end of a move.
pub(super) const MOVE_GRACE: Duration = Duration::from_secs(10);
/// Such copies that are remembered; a person moves few files at once to where they cannot be.
const NOT_TAKEN_MAX: usize = 1_000;

impl Vault {
    pub(super) fn files_changed(
        &mut self,
        changed: Vec<(VaultPath, Cleared<Vec<u8>>)>,
        removed: Vec<VaultPath>,
        kept_out: Vec<(VaultPath, ContentHash)>,
    ) {
        for path in removed {
            let key = path.key();
            if self.is_away {
                continue;
            } else if self.in_flight.contains_key(&key) {
                self.deferred.insert(path);
            } else if self.there(&key).is_some_and(|projection| projection.path == path) {
                // Under another spelling it may lie there still.
                self.missing.entry(key).or_insert(self.now);
            }
        }
        for (path, hash) in kept_out {
            match self.renamed_from(hash) {
                Some(from) => self.moved_out(&from, path),
                None => self.not_taken(path, hash),
            }
        }
        for (path, content) in changed {
            self.file_saved(path, content.into_inner());
        }
    }

    /// A file was moved to where it cannot be: it comes back.
    pub(super) fn moved_out(&mut self, from: &str, to: VaultPath) {
        let Some(before) = self.there(from).cloned() else { return };
        self.missing.remove(from);
        self.forget_place(from.to_owned());
        if self.boundaries.zone_of(&to).is_err() {
            // What lies where this node may not write was told when it was seen.
            self.outputs.push_back(Output::Hold { path: to, bytes: Vec::new(), reason: HoldReason::NotWritable });
        }
        self.project(before.file);
    }

    /// Whoever moves a file may first copy it, and then remove what lay at the old place.
    fn not_taken(&mut self, path: VaultPath, hash: ContentHash) {
        let now = self.now;
        self.not_taken.retain(|_, (_, since)| *since + MOVE_GRACE > now);
        if self.not_taken.len() < NOT_TAKEN_MAX {
            self.not_taken.insert(hash, (path, now));
        }
    }

    pub(super) fn file_saved(&mut self, path: VaultPath, bytes: Vec<u8>) {
        let key = path.key();
        // Where this node writes something, that tells what it found there.
        let is_being_written = self.in_flight.contains_key(&key) && !self.recognising.contains(&key);
        let asks = (self.restoring || self.adopts) && !is_being_written;
        let candidates = if asks { self.files_that_may_lie_at(&path) } else { VecDeque::new() };
        self.ask_whose_it_is(path, bytes, candidates);
    }

    /// At the start a file that differs from its record may be one that a write before a crash left: of the file that
    /// belongs there, the one recorded there, or one that left before its removal or its record was done; under the
    /// content that is shown, or the one recorded there.
    fn files_that_may_lie_at(&mut self, path: &VaultPath) -> VecDeque<(FileId, ContentHash)> {
        let key = path.key();
        if self.ended_well && self.there(&key).is_some() {
            return VecDeque::new();
        }
        let bare = path.without_stem_suffix().map(|bare| bare.key());
        let with_id = self.names.held_in_name(path);
        let numbered = bare.iter().flat_map(|bare| self.names.namesakes(bare));
        let live: Vec<_> = self.names.namesakes(&key).chain(numbered).chain(with_id).collect();
        let belongs_here = |file: &FileId| self.wanted_path(*file).is_some_and(|wanted| wanted.key() == key);
        let wanted = live.into_iter().find(belongs_here);
        let recorded = self.there(&key).map(|projection| projection.file);
        let left_here = |(place, file): &&(String, FileId)| {
            *place == key || bare.as_ref() == Some(place) || path.name().contains(&file.hash.to_string())
        };
        let left = self.left.iter().rev().filter(left_here).map(|(_, file)| *file);
        let mut candidates = VecDeque::new();
        for file in wanted.into_iter().chain(recorded).chain(left) {
            let before = self.there(&key).filter(|there| there.file == file).map(|there| there.base);
            for base in self.shown_base(file).into_iter().chain(before) {
                if !candidates.contains(&(file, base)) {
                    candidates.push_back((file, base));
                }
            }
        }
        candidates
    }

    fn ask_whose_it_is(&mut self, path: VaultPath, bytes: Vec<u8>, mut candidates: VecDeque<(FileId, ContentHash)>) {
        let Some((file, base)) = candidates.pop_front() else { return self.saved_by_hand(path, bytes) };
        let gone_from = self.place_of(file).filter(|place| self.missing.contains_key(*place)).map(str::to_owned);
        if let Some(place) = &gone_from {
            self.missing.remove(place);
        }
        // Nothing else touches the place until it is known.
        self.in_flight.insert(path.key(), Some(ContentHash::of(&bytes)));
        self.recognising.insert(path.key());
        let found = Found { path, bytes, gone_from };
        self.with_document(file, Task::Recognise { found, base, others: candidates });
    }

    /// What lies at the place is the file in a state that it passed through, or a save by hand.
    pub(super) fn recognise(
        &mut self,
        file: FileId,
        found: Found,
        base: ContentHash,
        others: VecDeque<(FileId, ContentHash)>,
    ) {
        let Some(mut state) = self.docs.remove(&file) else { return self.not_recognised(found, others) };
        let is_it = self.recognise_in(&mut state, file, &found);
        if let DocState::Note(note) = &mut state
            && is_it.is_none()
        {
            // None of its states is that one, so the handle was opened for the place.
            note.stands = StandsFor::Place;
        }
        self.docs.insert(file, state);
        self.close_detached(file);
        match is_it {
            Some(heads) => self.recognised(file, found, base, heads),
            None => self.not_recognised(found, others),
        }
    }

    /// The heads of what was found, if the file passed through that state. One set back by hand is kept for the person.
    pub(super) fn recognise_in(&mut self, state: &mut DocState, file: FileId, found: &Found) -> Option<Vec<[u8; 32]>> {
        let hash = ContentHash::of(&found.bytes);
        let heads = match state {
            DocState::Note(note) if ContentHash::of(note.disk.text().as_bytes()) == hash => note.disk.head_bytes(),
            DocState::Plain(bytes) if ContentHash::of(bytes) == hash => Vec::new(),
            DocState::Note(_)
            | DocState::Plain(_)
            | DocState::Uncreated(_)
            | DocState::Loading { .. }
            | DocState::Incomplete(_) => return None,
        };
        if self.is_set_back(state, file, &found.path.key()) {
            let (path, bytes) = (found.path.clone(), found.bytes.clone());
            self.outputs.push_back(Output::Hold { path, bytes, reason: HoldReason::SetBack });
        }
        Some(heads)
    }

    pub(super) fn recognised(&mut self, file: FileId, found: Found, base: ContentHash, heads: Vec<[u8; 32]>) {
        let key = found.path.key();
        self.in_flight.remove(&key);
        self.recognising.remove(&key);
        if let Some(place) = found.gone_from.filter(|place| *place != key) {
            self.record_projection(place, None);
        }
        let hash = ContentHash::of(&found.bytes);
        let projection = Projection { path: found.path, file, hash, base, heads, merged_changes: None };
        let belongs_here = self.wanted_path(file).is_some_and(|wanted| wanted.key() == key);
        let lies_at = |place: &&str| *place != key && !self.in_flight.contains_key(*place);
        match self.place_of(file).filter(lies_at).filter(|_| !belongs_here) {
            // It left this place for that one.
            Some(_) => {
                self.lies_at(&key, projection);
                self.remove_from_disk(key);
            }
            None => self.now_on_disk(key, projection),
        }
        self.judge_strangers();
        self.look_at_deferred();
        self.project_postponed();
    }

    /// Whether the state found there lacks something that was recorded there: a record is made once what it says is on
    /// the disk, so no write of this node left that state.
    fn is_set_back(&self, state: &DocState, file: FileId, key: &str) -> bool {
        let Some(there) = self.there(key).filter(|there| there.file == file) else { return false };
        let DocState::Note(note) = state else { return false };
        let mut heads = there.heads.iter().map(|head| ChangeHash(*head));
        heads.any(|head| note.merged.has(&head) && !note.disk.has(&head))
    }

    pub(super) fn not_recognised(&mut self, found: Found, others: VecDeque<(FileId, ContentHash)>) {
        self.missing.extend(found.gone_from.map(|place| (place, self.now)));
        if others.is_empty() {
            self.recognising.remove(&found.path.key());
            self.strangers.push((found.path, found.bytes));
            self.judge_strangers();
        } else {
            self.ask_whose_it_is(found.path, found.bytes, others);
        }
        self.look_at_deferred();
        self.project_postponed();
    }

    /// Once all that the node itself left on disk is known, the rest was saved by hand. Where a file lies or belongs at
    /// another place, this node was taking it from here when it ended: whether it had, and the save is another file, the
    /// record does not say, and as an edit it could take the whole text away.
    fn judge_strangers(&mut self) {
        if !self.recognising.is_empty() {
            return;
        }
        for (path, bytes) in std::mem::take(&mut self.strangers) {
            let key = path.key();
            self.in_flight.remove(&key);
            if let Some(file) = self.there(&key).map(|there| there.file) {
                let belongs_here = self.wanted_path(file).is_none_or(|wanted| wanted.key() == key);
                if self.place_of(file) != Some(&*key) || (!belongs_here && !self.ended_well) {
                    self.forget_place(key.clone());
                    self.project(file);
                }
            }
            let recorded = self.there(&key).map(|there| there.file).filter(|_| !self.ended_well);
            match recorded.filter(|file| self.index.shape(*file).is_day_log() && self.boundaries.may_write(file.zone)) {
                Some(file) => {
                    self.missing.remove(&key);
                    self.with_document(file, Task::TakeIn { path, bytes });
                }
                None => self.saved_by_hand(path, bytes),
            }
        }
    }

    fn saved_by_hand(&mut self, path: VaultPath, bytes: Vec<u8>) {
        let key = path.key();
        let hash = ContentHash::of(&bytes);
        if let Some(coming) = self.in_flight.get(&key) {
            if *coming != Some(hash) {
                // Whether the writer found this or left it cannot be told from here: it may have been displaced since.
                self.deferred.insert(path);
            }
            return;
        }
        self.missing.remove(&key);
        let Ok(zone) = self.boundaries.zone_of(&path) else { return };
        match self.there(&key).cloned() {
            Some(projection) if projection.hash == hash => self.respelled(key, projection, path),
            Some(projection) => self.saved_over(key, projection, path, bytes),
            None => match self.renamed_from(hash).filter(|from| !self.begins_day_log(from, &path)) {
                Some(from) => self.renamed(&from, path, zone, bytes),
                None => self.appeared(path, zone, hash, bytes),
            },
        }
    }

    /// What lies at the same place may have another spelling by now.
    fn respelled(&mut self, key: String, mut projection: Projection, path: VaultPath) {
        let is_leaving = self.place_of(projection.file) != Some(&*key);
        if projection.path == path || is_leaving {
            return;
        }
        let file = projection.file;
        if !self.boundaries.may_write(file.zone) || !self.may_lie(file, &path) {
            let (told, bytes, reason) = (path.clone(), Vec::new(), HoldReason::NotWritable);
            self.outputs.push_back(Output::Hold { path: told, bytes, reason });
            self.lies_at(&key, Projection { path, ..projection });
            return self.project(file);
        }
        let write = FieldWrite::Path(path.clone());
        self.push_item(file.zone.audience(), Item::Set { file, write }, None);
        projection.path = path;
        self.record_projection(key, Some(projection));
    }

    fn saved_over(&mut self, key: String, projection: Projection, path: VaultPath, bytes: Vec<u8>) {
        let file = projection.file;
        if !self.boundaries.may_write(file.zone) {
            let there =
                Projection { path: path.clone(), hash: ContentHash::of(&bytes), merged_changes: None, ..projection };
            self.lies_at(&key, there);
            self.outputs.push_back(Output::Hold { path, bytes, reason: HoldReason::NotWritable });
            return self.project(file);
        }
        if self.taken_in.contains_key(&key) {
            return self.with_document(file, Task::TakeIn { path, bytes });
        }
        self.respelled(key.clone(), projection, path);
        self.with_document(file, Task::DiskEdit { key, bytes });
    }

    /// A file that vanished a moment ago with exactly this content.
    fn renamed_from(&self, hash: ContentHash) -> Option<String> {
        self.missing.keys().find(|key| self.there(key).is_some_and(|gone| gone.hash == hash)).cloned()
    }

    fn renamed(&mut self, from: &str, path: VaultPath, zone: Zone, bytes: Vec<u8>) {
        let Some(before) = self.there(from).cloned() else { return };
        self.missing.remove(from);
        let file = before.file;
        let stays = zone == file.zone;
        let allowed = if stays {
            self.boundaries.may_write(zone)
        } else {
            self.boundaries.may_write(zone) && self.boundaries.may_archive(file.zone)
        };
        if !allowed && self.boundaries.may_write(zone) {
            // What may not leave its place comes back, and what lies elsewhere is another file.
            self.moved_out(from, path.clone());
            return self.appeared(path, zone, ContentHash::of(&bytes), bytes);
        }
        if !allowed {
            self.outputs.push_back(Output::Hold { path: path.clone(), bytes, reason: HoldReason::NotWritable });
            return self.moved_out(from, path);
        }
        self.release_saved(&path, zone, &bytes);
        if stays {
            self.record_projection(from.to_owned(), None);
            let write = FieldWrite::Path(path.clone());
            self.push_item(zone.audience(), Item::Set { file, write }, None);
            let key = path.key();
            // By another name it may be understood in another way.
            let is_alike = Shape::of_name(&before.path) == Shape::of_name(&path);
            let merged_changes = before.merged_changes.filter(|_| is_alike);
            self.record_projection(key.clone(), Some(Projection { path, merged_changes, ..before }));
            // It may have been on its way from one place to another, and lie at both.
            let elsewhere = self.on_disk.iter().filter(|(at, there)| there.file == file && ***at != *key);
            for other in elsewhere.map(|(at, _)| at.to_string()).collect::<Vec<_>>() {
                self.remove_from_disk(other);
            }
        } else {
            self.forget_place(from.to_owned());
            let claim = self.work_in(file, zone, &bytes);
            self.with_document(file, Task::MoveAcross { to: path, content: Some(bytes), claim });
        }
    }

    fn appeared(&mut self, path: VaultPath, zone: Zone, hash: ContentHash, bytes: Vec<u8>) {
        let reason = if bytes.len() > BLOB_BYTES_MAX {
            HoldReason::TooLarge
        } else if self.boundaries.may_write(zone) {
            self.release_saved(&path, zone, &bytes);
            if self.makes_day_log(&path, &bytes) {
                return self.day_log_appeared(path, zone, bytes);
            }
            let file = self.id_of_found(&path, zone, hash, &bytes);
            self.creating.insert(file);
            self.push_new(file, &path, hash, bytes);
            return self.lies_on_disk(file, path, hash);
        } else if self.adopts {
            // Nobody saved it now: it stays, and is judged beside the file that comes to its place.
            return;
        } else {
            self.not_taken(path.clone(), hash);
            HoldReason::NotWritable
        };
        self.outputs.push_back(Output::Hold { path, bytes, reason });
    }

    /// The file that a new draft is a copy of; what others wrote comes first. Programs that move files may copy first, and
    /// a peer that edits a note all the time can make a move look like that.
    pub(super) fn copied_from(&self, zone: Zone, hash: ContentHash, bytes: &[u8]) -> Option<FileId> {
        if zone != Zone::Drafts || bytes.trim_ascii().is_empty() {
            return None;
        }
        let is_on_its_way = self.in_flight.values().any(|written| *written == Some(hash));
        let placed = is_on_its_way.then(|| self.places.iter()).into_iter().flatten();
        let on_its_way = placed.filter(|(_, place)| self.in_flight.get(&***place) == Some(&Some(hash)));
        let lying = self.contents.may_have(hash).then(|| self.on_disk.values()).into_iter().flatten();
        let on_disk = lying.filter(|there| there.hash == hash).map(|there| there.file);
        on_disk.chain(on_its_way.map(|(file, _)| *file)).max_by_key(|file| self.is_of_others(*file))
    }

    /// Whether others had a hand in it.
    pub(super) fn is_of_others(&self, file: FileId) -> bool {
        let record = self.index.get(file);
        record.is_some_and(|record| record.authors().iter().any(|author| *author != self.me))
    }

    /// Notes that a new file's content lies on disk already.
    pub(super) fn lies_on_disk(&mut self, file: FileId, path: VaultPath, hash: ContentHash) {
        let key = path.key();
        let projection = Projection { path, file, hash, base: hash, heads: Vec::new(), merged_changes: Some(0) };
        self.record_projection(key, Some(projection));
    }

    /// `base` is the digest of the bytes.
    pub(super) fn push_new(&mut self, file: FileId, path: &VaultPath, base: ContentHash, bytes: Vec<u8>) {
        let (kind, length) = (kind_of(&bytes), bytes.len() as u64);
        let item = Item::New { file, path: path.clone(), kind, base, length };
        self.push_item(file.zone.audience(), item, Some(bytes));
    }

    /// Turns a save into a change of the file's document, or replaces a blob. It lies at this place, if at any.
    pub(super) fn edit_from_disk(&mut self, file: FileId, bytes: Vec<u8>, place: Option<String>) {
        let hash = ContentHash::of(&bytes);
        let (me, generation) = (self.me, self.generation());
        let Some(path) = self.index.get(file).and_then(|record| record.path.shown()).cloned() else { return };
        self.release_saved(&path, file.zone, &bytes);
        let Some(mut state) = self.docs.remove(&file) else { return };
        let is_behind = if let DocState::Note(note) = &mut state { note.is_behind() } else { false };
        let text = note_text(&bytes);
        let is_rewritten = !is_behind && text.is_some_and(|text| self.is_rewritten(file, &state, text));
        if !is_rewritten {
            Self::promote(&mut state, self.index.shape(file));
        }
        let edited = match (&mut state, text) {
            (DocState::Note(note), Some(text)) if !is_rewritten && self.has_room(file, note.base) => {
                let on_disk = place.is_none().then(|| note.disk.clone());
                let edited = Edited::of(note, me, file, generation, text);
                if let Some(on_disk) = on_disk {
                    note.disk = on_disk;
                }
                edited
            }
            _ => Edited::Content,
        };
        self.docs.insert(file, state);
        match edited {
            Edited::Change { base, raw, heads } => {
                self.push_change(file, base, raw);
                self.disk_holds(file, place, hash, Some((base, heads)));
            }
            // No change can say it, and as a new content it would take back what did not lie there yet.
            Edited::Content if is_behind => self.save_beside(file, path, bytes, place),
            // The file starts anew from this.
            Edited::Content => {
                let base = self.replace_content(file, bytes);
                self.disk_holds(file, place, hash, Some((base, Vec::new())));
            }
            Edited::Nothing => {
                self.disk_holds(file, place, hash, None);
                self.project(file);
            }
        }
    }

    /// Gives an unedited note its document.
    pub(super) fn promote(state: &mut DocState, shape: Shape) {
        if let DocState::Plain(bytes) = state
            && let Some(text) = note_text(bytes)
        {
            *state = DocState::Note(Box::new(OpenNote::import(text, shape)));
        }
    }

    /// Whether this node may go on changing the document.
    pub(super) fn has_room(&self, file: FileId, base: ContentHash) -> bool {
        self.index.get(file).is_none_or(|record| record.has_room(base, self.own_log(file.zone)))
    }

    pub(super) fn push_change(&mut self, file: FileId, base: ContentHash, raw: Vec<u8>) {
        let hash = ContentHash::of(&raw);
        let item = Item::Change { file, base, length: raw.len() as u64, hash };
        self.follow_archiving(file);
        self.keep_in_sight(file);
        self.push_item(file.zone.audience(), item, Some(raw));
        *self.unapplied.entry(file).or_default() += 1;
    }

    /// An entry is one moment: an edit that follows the archiving must not stand in the same one.
    fn follow_archiving(&mut self, file: FileId) {
        let audience = file.zone.audience();
        let archives = Item::Set { file, write: FieldWrite::Archived(true) };
        if self.batches.get(&audience).is_some_and(|batch| batch.items.contains(&archives)) {
            self.flush_batch(audience);
        }
    }

    /// A blob, a note that became one, or one that changed beyond what a change can say: a new base, which is answered.
    /// Both versions stay in the logs.
    pub(super) fn replace_content(&mut self, file: FileId, mut bytes: Vec<u8>) -> ContentHash {
        let kind = kind_of(&bytes);
        let edits = self.index.get(file).into_iter().flat_map(|record| record.changes());
        let edited: BTreeSet<_> = edits.map(|change| change.base).collect();
        // A document is named by the text that it starts from: edits of the same text from before would come back.
        while kind == FileKind::Note && edited.contains(&ContentHash::of(&bytes)) {
            bytes.push(b'\n');
        }
        self.follow_archiving(file);
        self.keep_in_sight(file);
        let audience = file.zone.audience();
        let content = ContentRef::of(&bytes);
        self.push_item(audience, Item::Set { file, write: FieldWrite::Kind(kind) }, None);
        self.push_item(audience, Item::Set { file, write: FieldWrite::Base(content) }, Some(bytes));
        *self.unapplied.entry(file).or_default() += 1;
        self.docs.remove(&file);
        content.hash
    }

    /// A save of the file lies at this place, as this state of the document of this base; without them it says what was
    /// recorded there.
    pub(super) fn disk_holds(
        &mut self,
        file: FileId,
        place: Option<String>,
        hash: ContentHash,
        state: Option<(ContentHash, Vec<[u8; 32]>)>,
    ) {
        let Some(key) = place else { return };
        let Some(there) = self.there(&key).filter(|there| there.file == file).cloned() else { return };
        let merged_changes = if state.is_some() { None } else { there.merged_changes };
        let (base, heads) = state.unwrap_or_else(|| (there.base, there.heads.clone()));
        self.lies_at(&key, Projection { hash, base, heads, merged_changes, ..there });
    }

    /// Records what lies at one of the file's places, which stays the one or the other.
    fn lies_at(&mut self, key: &str, projection: Projection) {
        let file = projection.file;
        let place = self.places.get(&file).cloned();
        self.record_projection(key.to_owned(), Some(projection));
        self.places.extend(place.map(|place| (file, place)));
    }

    pub(super) fn timeout(&mut self) {
        self.judge_removals();
        self.unite_due();
        self.end_burst();
        self.retry_at = self.retry_at.filter(|at| *at > self.now);
        if self.retry_at.is_none() {
            // A place may have become free as well.
            self.project_postponed();
        }
    }
}

/// What a save is, compared with what lay there.
pub(super) enum Edited {
    Change { base: ContentHash, raw: Vec<u8>, heads: Vec<[u8; 32]> },
    Content,
    Nothing,
}

impl Edited {
    /// Edits what the note's disk handle stands for.
    pub(super) fn of(note: &mut OpenNote, me: NodeId, file: FileId, generation: u64, text: &str) -> Self {
        let is_long = note.merged.max_op() > DOCUMENT_OPS_MAX / 2;
        match note.edit_disk(me, file, generation, text) {
            Some(_) if is_long => Self::Content,
            Some(raw) if raw.len() <= CHANGE_BYTES_MAX => {
                Self::Change { base: note.base, raw, heads: note.disk.head_bytes() }
            }
            None if note.disk.text() == text => Self::Nothing,
            Some(_) | None => Self::Content,
        }
    }
}

/// The text of bytes that can be a note.
pub(super) fn note_text(bytes: &[u8]) -> Option<&str> {
    if bytes.len() > NOTE_BYTES_MAX {
        return None;
    }
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

fn kind_of(bytes: &[u8]) -> FileKind {
    if note_text(bytes).is_some() { FileKind::Note } else { FileKind::Blob }
}
