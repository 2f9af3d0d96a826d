//! The node's store: one writer that makes records durable in the order they were asked for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aiemp_crdt::vault::Projection;
use aiemp_protocol::{
    entry::{ContentRef, Item, SignedEntry},
    ids::{Audience, ContentHash, EntryHash, LogId},
    replication::{EffectId, EntryWithPayloads, Frozen, Missing, Record, StoredEntry},
    time::Timestamp,
};

use crate::random::Rng;

/// One durable entry.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The entry.
    pub signed: SignedEntry,
    /// When it was taken.
    pub received: Timestamp,
    payloads: Vec<(ContentHash, u64)>,
}

/// What waits for the disk.
#[derive(Clone, Debug)]
enum Queued {
    Record(EffectId, Box<Record>),
    Projection(String, Option<Box<Projection>>),
    Adopted,
}

/// Durable state, and behind it what a crash loses.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// Entries in the order they became durable.
    pub entries: Vec<Kept>,
    by_log: BTreeMap<LogId, Vec<usize>>,
    /// Payloads by digest.
    pub payloads: BTreeMap<ContentHash, Vec<u8>>,
    /// Which of them came for every member, and may be read for one.
    shared: BTreeSet<ContentHash>,
    /// Which of them were screened as changes, and may be read as such.
    changes: BTreeSet<ContentHash>,
    /// Payloads that nobody needs any more.
    pub forgotten: BTreeSet<ContentHash>,
    /// Logs found invalid.
    pub frozen: BTreeMap<LogId, Frozen>,
    /// Rosters that came by the network.
    pub rosters: Vec<Vec<u8>>,
    /// Drafts that members announced, by the id of the row.
    pub announcements: BTreeMap<String, Vec<u8>>,
    /// What lay on disk, by canonical key.
    pub projections: BTreeMap<String, Projection>,
    /// Whether the vault was looked through to the end.
    pub has_adopted: bool,
    queue: VecDeque<Queued>,
}

impl Store {
    /// Takes a record into the queue.
    pub fn enqueue(&mut self, effect: EffectId, record: Record) {
        self.queue.push_back(Queued::Record(effect, Box::new(record)));
    }

    /// Takes a projection into the queue.
    pub fn enqueue_projection(&mut self, key: String, projection: Option<Projection>) {
        self.queue.push_back(Queued::Projection(key, projection.map(Box::new)));
    }

    /// Notes that the vault was looked through, after all that waits.
    pub fn enqueue_adopted(&mut self) {
        if self.queue.is_empty() {
            self.has_adopted = true;
        } else {
            self.queue.push_back(Queued::Adopted);
        }
    }

    /// Makes everything up to the next record durable; the answer it asks for.
    pub fn commit_next(&mut self) -> Option<EffectId> {
        while let Some(queued) = self.queue.pop_front() {
            match queued {
                Queued::Projection(key, projection) => self.set_projection(key, projection),
                Queued::Adopted => self.has_adopted = true,
                Queued::Record(effect, record) => {
                    self.apply(*record);
                    return Some(effect);
                }
            }
        }
        None
    }

    /// Whether something waits for the disk.
    pub fn is_busy(&self) -> bool {
        !self.queue.is_empty()
    }

    /// A crash: some of the queue had reached the disk, unanswered; of the projections possibly less.
    pub fn crash(&mut self, rng: &mut Rng) {
        let queue = std::mem::take(&mut self.queue);
        let survive = rng.below(queue.len() + 1);
        let projections_survive = rng.below(survive + 1);
        for (index, queued) in queue.into_iter().enumerate().take(survive) {
            match queued {
                Queued::Record(_, record) => self.apply(*record),
                Queued::Projection(key, projection) if index < projections_survive => {
                    self.set_projection(key, projection);
                }
                Queued::Projection(..) => {}
                Queued::Adopted => self.has_adopted = true,
            }
        }
    }

    fn set_projection(&mut self, key: String, projection: Option<Box<Projection>>) {
        match projection {
            Some(projection) => self.projections.insert(key, *projection),
            None => self.projections.remove(&key),
        };
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Entry { entry, received } => self.apply_entry(entry, received),
            Record::Payload(named, bytes) => self.apply_payload(named, bytes),
            Record::Frozen { log, reason, evidence } => {
                self.frozen.entry(log).or_insert(Frozen { reason, evidence });
            }
            Record::Roster(bytes) => self.rosters.push(bytes),
        }
    }

    fn apply_entry(&mut self, entry: EntryWithPayloads, received: Timestamp) {
        entry.carried().for_each(|carried| {
            self.forgotten.remove(&carried.named.hash);
        });
        let log = entry.signed.log;
        let payloads: Vec<_> = entry.signed.entry.items.iter().filter_map(Item::payload).collect();
        let carried = entry.carried().filter_map(|carried| Some((carried.named, carried.payload?.clone())));
        carried.for_each(|(named, bytes)| self.apply_payload(named, bytes));
        self.by_log.entry(log).or_default().push(self.entries.len());
        self.entries.push(Kept { signed: entry.signed, received, payloads });
    }

    fn apply_payload(&mut self, named: Missing, bytes: Vec<u8>) {
        self.forgotten.remove(&named.hash);
        self.payloads.insert(named.hash, bytes);
        self.shared.extend(named.is_shared.then_some(named.hash));
        self.changes.extend(named.is_change.then_some(named.hash));
    }

    /// Durable entries of a log, from `from_seq` on.
    pub fn read(&self, log: LogId, from_seq: u64, count: u64) -> Vec<StoredEntry> {
        let shared_only = log.audience == Audience::All;
        let skip = usize::try_from(from_seq - 1).expect("small");
        let take = usize::try_from(count).expect("small");
        let found = self.by_log.get(&log).into_iter().flatten().skip(skip).take(take);
        found
            .map(|index| &self.entries[*index])
            .map(|kept| StoredEntry {
                log,
                cose: kept.signed.cose.clone(),
                payloads: kept.payloads.iter().map(|(hash, _)| self.payload(*hash, shared_only)).collect(),
            })
            .collect()
    }

    /// A payload, if the asker may have it.
    pub fn payload(&self, hash: ContentHash, shared_only: bool) -> Option<Vec<u8>> {
        if shared_only && !self.shared.contains(&hash) {
            return None;
        }
        self.payloads.get(&hash).cloned()
    }

    /// A payload that was screened as a change, if the asker may have it.
    pub fn change(&self, named: ContentRef, shared_only: bool) -> Option<Vec<u8>> {
        let bytes = self.payload(named.hash, shared_only).filter(|_| self.changes.contains(&named.hash));
        bytes.filter(|bytes| bytes.len() as u64 == named.length)
    }

    /// Payloads that durable entries lack.
    pub fn missing(&self) -> BTreeSet<Missing> {
        let missing = self.entries.iter().flat_map(|kept| {
            let is_shared = kept.signed.log.audience == Audience::All;
            kept.signed.entry.items.iter().filter_map(move |item| {
                let (hash, length) = item.payload()?;
                Some(Missing { hash, length, is_change: matches!(item, Item::Change { .. }), is_shared })
            })
        });
        missing.filter(|named| !self.holds_as(named) && !self.forgotten.contains(&named.hash)).collect()
    }

    /// Forgets what nobody needs any more; what of it that was forgotten before is needed again.
    pub fn forget(&mut self, gone: &BTreeSet<ContentHash>, unwanted: &BTreeSet<ContentHash>) -> Vec<Missing> {
        let again: BTreeSet<_> =
            self.forgotten.iter().filter(|hash| !gone.contains(hash) && !unwanted.contains(hash)).copied().collect();
        let missing = self.missing();
        let given_up = missing.iter().map(|missing| missing.hash).filter(|hash| unwanted.contains(hash));
        self.forgotten.extend(given_up.filter(|hash| !self.payloads.contains_key(hash)).chain(gone.iter().copied()));
        self.forgotten.retain(|hash| !again.contains(hash));
        self.payloads.retain(|hash, _| !gone.contains(hash));
        for flags in [&mut self.shared, &mut self.changes] {
            flags.retain(|hash| !gone.contains(hash));
        }
        self.missing().into_iter().filter(|missing| again.contains(&missing.hash)).collect()
    }

    /// Whether an entry for every member names the payload.
    pub fn names_for_all(&self, hash: ContentHash) -> bool {
        let for_all = self.entries.iter().filter(|kept| kept.signed.log.audience == Audience::All);
        for_all.flat_map(|kept| &kept.payloads).any(|(named, _)| *named == hash)
    }

    fn holds_as(&self, named: &Missing) -> bool {
        let length = self.payloads.get(&named.hash).map(|bytes| bytes.len() as u64);
        length == Some(named.length)
            && (!named.is_shared || self.shared.contains(&named.hash))
            && (!named.is_change || self.changes.contains(&named.hash))
    }

    /// Forgets what follows the last entry of each log that stands.
    pub fn truncate(&mut self, keep: &BTreeMap<LogId, u64>) {
        let stands = |kept: &Kept| keep.get(&kept.signed.log).is_none_or(|keep| kept.signed.entry.seq <= *keep);
        self.entries.retain(stands);
        self.by_log.clear();
        for (index, kept) in self.entries.iter().enumerate() {
            self.by_log.entry(kept.signed.log).or_default().push(index);
        }
    }

    /// How many entries of a log are durable.
    pub fn length(&self, log: LogId) -> u64 {
        self.by_log.get(&log).map_or(0, |entries| entries.len() as u64)
    }

    /// The durable entry at a place.
    pub fn entry_at(&self, log: LogId, seq: u64) -> Option<EntryHash> {
        let index = usize::try_from(seq.checked_sub(1)?).ok()?;
        let at = self.by_log.get(&log)?.get(index)?;
        Some(self.entries[*at].signed.hash)
    }

    /// Whether these bytes are a durable entry of the log.
    pub fn holds(&self, log: LogId, cose: &[u8]) -> bool {
        let Ok(seq) = SignedEntry::claimed_seq(cose) else { return false };
        let index = usize::try_from(seq).unwrap_or(usize::MAX).wrapping_sub(1);
        let found = self.by_log.get(&log).and_then(|entries| entries.get(index));
        found.is_some_and(|at| self.entries[*at].signed.cose == cose)
    }
}
