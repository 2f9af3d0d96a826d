//! Reading: nothing leaves the store before its digest was checked.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_crdt::vault::Projection;
use aiemp_keys::{Hash, NodeId, cbor};
use aiemp_protocol::{
    entry::ContentRef,
    ids::{Audience, ContentHash, EntryHash, FileId, LogId},
    limits::ENTRY_PAYLOAD_BYTES_MAX,
    replication::{FreezeReason, Frozen, Missing, StoredEntry},
    roster::ClosedLog,
    time::Timestamp,
    vault_path::VaultPath,
};
use rusqlite::{Row, params};

use super::{
    Loaded, LoadedEntry, Store,
    error::{Damage, StoreError},
    integer, log_key,
    lost::PUT_BACK,
    order,
    rows::{Columns, ENTRIES, FROZEN, META, MISSING, PAYLOADS, PROJECTIONS, QUEUE},
};
use crate::shell::vault_disk::{Stamp, StampName, Stamped};

/// Messages of the queue handed out at once: bounds memory. The rest shows when these are delivered.
const QUEUE_READ_MAX: i64 = 256;

impl Store {
    /// Everything that a node starts from.
    pub fn load(&self) -> Result<Loaded, StoreError> {
        if let Some((log, seq)) = self.lost_places()?.first() {
            return Err(Damage::Gap { log: *log, seq: *seq }.into());
        }
        // Of what is read only later damage must be known now: nothing mends the store while the node runs. A payload that
        // is not found is asked of the peers.
        for table in [&META, &QUEUE] {
            table.each(&self.connection, "", params![], |_| Ok(()))?;
        }
        for table in [&ENTRIES, &MISSING, &FROZEN, &PROJECTIONS, &QUEUE, &META] {
            table.check_index(&self.connection)?;
        }
        Ok(Loaded {
            entries: self.all_entries()?,
            frozen: self.frozen()?,
            missing: self.missing()?,
            projections: self.projections()?,
            stamps: self.stamps()?,
        })
    }

    /// At most `count` entries of a log in order of seq, with the payloads that are held and fit inline.
    pub fn read_entries(&self, log: LogId, from_seq: u64, count: u64) -> Result<Vec<StoredEntry>, StoreError> {
        let rest = "WHERE log = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3";
        let range = params![log_key(log), integer(from_seq), integer(count)];
        let rows = ENTRIES.each(&self.connection, rest, range, EntryRow::of)?;
        let stored = |row: EntryRow| {
            let payloads = self.inline_payloads(log, &row.payload_hashes)?;
            Ok(StoredEntry { log, cose: row.cose, payloads })
        };
        rows.into_iter().map(stored).collect()
    }

    /// A payload, if it is held and, for one who may read shared payloads only, shared.
    pub fn read_payload(&self, hash: ContentHash, shared_only: bool) -> Result<Option<Vec<u8>>, StoreError> {
        self.payload_within(hash, shared_only, false, usize::MAX)
    }

    /// A payload that was screened as a change and has the length that is named, for one who may read it. What came as the content of a file was not: a
    /// decoder that trusts its input must not get to see it.
    pub fn read_change(&self, named: ContentRef, shared_only: bool) -> Result<Option<Vec<u8>>, StoreError> {
        let length_max = usize::try_from(named.length).unwrap_or(usize::MAX);
        let bytes = self.payload_within(named.hash, shared_only, true, length_max)?;
        Ok(bytes.filter(|bytes| bytes.len() as u64 == named.length))
    }

    /// Messages that wait for a peer, oldest first; after a full answer there may be more.
    pub fn read_queue(&self, peer: NodeId, now: Timestamp) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.queued(peer, now, QUEUE_READ_MAX)
    }

    /// Every message that waits for a peer.
    pub fn read_whole_queue(&self, peer: NodeId, now: Timestamp) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.queued(peer, now, i64::MAX)
    }

    fn queued(&self, peer: NodeId, now: Timestamp, count: i64) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let rest = "WHERE peer = ?1 AND expires > ?2 ORDER BY created, position LIMIT ?3";
        let range = params![peer.key().as_bytes(), integer(now.as_millis()), count];
        QUEUE.each(&self.connection, rest, range, |mut columns| {
            columns.blob()?;
            Ok((columns.text()?, columns.blob()?))
        })
    }

    /// A value of the node's own.
    pub fn read_meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let found = META.each(&self.connection, "WHERE key = ?1", params![key], |mut columns| {
            columns.text()?;
            columns.blob()
        })?;
        Ok(found.into_iter().next())
    }

    /// As many payloads as the replication would send inline, so that an entry that names one payload many times, or
    /// many large ones, does not fill memory. Entries for every member come with shared payloads only.
    fn inline_payloads(&self, log: LogId, hashes: &[ContentHash]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut room = ENTRY_PAYLOAD_BYTES_MAX;
        let shared_only = log.audience == Audience::All;
        let payload = |hash: &ContentHash| {
            let payload = self.payload_within(*hash, shared_only, false, room)?;
            room -= payload.as_ref().map_or(0, Vec::len);
            Ok(payload)
        };
        hashes.iter().map(payload).collect()
    }

    fn payload_within(
        &self,
        hash: ContentHash,
        shared_only: bool,
        changes_only: bool,
        length_max: usize,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let sql =
            PAYLOADS.select(", bytes", "WHERE hash = ?1 AND shared >= ?2 AND change >= ?3 AND length(bytes) <= ?4");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows =
            statement.query(params![hash.0.as_bytes(), shared_only, changes_only, integer(length_max as u64)])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let damaged = || StoreError::from(Damage::Payload(hash));
        PAYLOADS.read(row).map_err(|_| damaged())?;
        let bytes: Vec<u8> = row.get(PAYLOADS.columns.len() + 1)?;
        if ContentHash::of(&bytes) == hash { Ok(Some(bytes)) } else { Err(damaged()) }
    }

    /// Where the logs of an author end here.
    pub fn ends_of(&self, author: NodeId) -> Result<Vec<ClosedLog>, StoreError> {
        let rest = "WHERE (log, seq) IN (SELECT log, MAX(seq) FROM entries GROUP BY log)";
        let ends = ENTRIES.each(&self.connection, rest, params![], EntryRow::of)?;
        let end = |row: EntryRow| ClosedLog { log: row.log, seq: row.seq, hash: row.hash.0 };
        Ok(ends.into_iter().filter(|row| row.log.author == author).map(end).collect())
    }

    fn all_entries(&self) -> Result<Vec<LoadedEntry>, StoreError> {
        let mut next: BTreeMap<LogId, u64> = BTreeMap::new();
        let mut rows = ENTRIES.each(&self.connection, "ORDER BY position", params![], EntryRow::of)?;
        if self.read_meta(PUT_BACK)?.is_some() {
            let (placed, left) = order::placed(rows);
            if let Some(row) = left.first() {
                return Err(Damage::Gap { log: row.log, seq: row.seq }.into());
            }
            rows = placed;
        }
        for EntryRow { log, seq, .. } in &rows {
            let next = next.entry(*log).or_insert(1);
            if seq != next {
                return Err(Damage::Gap { log: *log, seq: *next }.into());
            }
            *next += 1;
        }
        let loaded = |EntryRow { log, cose, received, .. }| LoadedEntry { log, cose, received };
        Ok(rows.into_iter().map(loaded).collect())
    }

    fn frozen(&self) -> Result<BTreeMap<LogId, Frozen>, StoreError> {
        let frozen = FROZEN.each(&self.connection, "", params![], |mut columns| {
            let (log, reason, evidence) = (columns.blob()?, columns.text()?, columns.blob()?);
            let reason = FreezeReason::parse(&reason).ok_or_else(|| columns.damage())?;
            Ok((parse_log(&log, "frozen")?, Frozen { reason, evidence }))
        })?;
        Ok(frozen.into_iter().collect())
    }

    pub(super) fn missing(&self) -> Result<BTreeSet<Missing>, StoreError> {
        let missing = MISSING.each(&self.connection, "", params![], |mut columns| {
            let (hash, length) = (ContentHash(columns.hash()?), columns.number()?);
            Ok(Missing { hash, length, is_shared: columns.flag()?, is_change: columns.flag()? })
        })?;
        Ok(missing.into_iter().collect())
    }

    /// They need no digest: one that does not fit its file is read again.
    fn stamps(&self) -> Result<BTreeMap<StampName, Stamped>, StoreError> {
        let sql = "SELECT name, size, modified, changed, inode, hash FROM stamps";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut stamps = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let unsigned = |index| row.get::<_, i64>(index).map(i64::cast_unsigned);
            let (size, inode) = (unsigned(1)?, unsigned(4)?);
            let stamp = Stamp { size, modified: row.get(2)?, changed: row.get(3)?, inode, is_linked: false };
            stamps.insert(row.get(0)?, Stamped { stamp, hash: ContentHash(digest(row, 5)?) });
        }
        Ok(stamps)
    }

    pub(super) fn projections(&self) -> Result<BTreeMap<String, Projection>, StoreError> {
        let projections = PROJECTIONS.each(&self.connection, "", params![], |mut columns| {
            let key = columns.text()?;
            Ok((key, projection(columns)?))
        })?;
        Ok(projections.into_iter().collect())
    }
}

/// A row of `entries` that is what was written.
#[derive(Debug)]
pub(super) struct EntryRow {
    pub(super) log: LogId,
    pub(super) seq: u64,
    pub(super) hash: EntryHash,
    pub(super) cose: Vec<u8>,
    pub(super) payload_hashes: Vec<ContentHash>,
    pub(super) received: Timestamp,
}

impl EntryRow {
    pub(super) fn of(mut columns: Columns) -> Result<Self, StoreError> {
        let (log, seq, hash) = (columns.blob()?, columns.number()?, EntryHash(columns.hash()?));
        let (cose, hashes) = (columns.blob()?, columns.blob()?);
        let (hashes, _) = hashes.as_chunks::<32>();
        Ok(Self {
            log: parse_log(&log, "entries")?,
            seq,
            hash,
            cose,
            payload_hashes: hashes.iter().map(|hash| ContentHash(Hash::from_bytes(*hash))).collect(),
            received: Timestamp::from_millis(columns.number()?),
        })
    }
}

fn projection(mut columns: Columns) -> Result<Projection, StoreError> {
    let (path, file, hash) = (columns.text()?, columns.blob()?, ContentHash(columns.hash()?));
    let (heads, merged_changes) = (columns.blob()?, columns.number_or_none()?);
    let (heads, _) = heads.as_chunks::<32>();
    Ok(Projection {
        path: VaultPath::parse(&path).map_err(|_| columns.damage())?,
        file: FileId::from_bytes(&file).ok_or_else(|| columns.damage())?,
        hash,
        base: ContentHash(columns.hash()?),
        heads: heads.to_vec(),
        merged_changes,
    })
}

pub(super) fn parse_log(key: &[u8], table: &'static str) -> Result<LogId, StoreError> {
    let value = cbor::decode(key).map_err(|_| Damage::Row(table))?;
    Ok(LogId::from_value(value).map_err(|_| Damage::Row(table))?)
}

fn digest(row: &Row<'_>, index: usize) -> Result<Hash, StoreError> {
    Ok(Hash::from_bytes(row.get(index)?))
}
