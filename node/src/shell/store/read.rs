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
use rusqlite::{OptionalExtension as _, Row, params};

use super::{
    Loaded, LoadedEntry, Store, entry_row_digest,
    error::{Damage, StoreError},
    integer, log_key,
};
use crate::shell::vault_disk::{Stamp, StampName, Stamped};

/// Messages of the queue handed out at once: bounds memory. The rest shows when these are delivered.
const QUEUE_READ_MAX: i64 = 256;

impl Store {
    /// Everything that a node starts from.
    pub fn load(&self) -> Result<Loaded, StoreError> {
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
        let sql = "SELECT log, seq, hash, cose, cose_hash, payload_hashes FROM entries
             WHERE log = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![log_key(log), integer(from_seq), integer(count)])?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            let EntryRow { log, cose, payload_hashes } = EntryRow::read(row)?;
            entries.push(StoredEntry { log, cose, payloads: self.inline_payloads(log, &payload_hashes)? });
        }
        Ok(entries)
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
        let sql = "SELECT id, bytes, hash FROM queue WHERE peer = ?1 AND expires > ?2
             ORDER BY created, position LIMIT ?3";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![peer.key().as_bytes(), integer(now.as_millis()), count])?;
        let mut messages = Vec::new();
        while let Some(row) = rows.next()? {
            let (id, bytes): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
            if Hash::of_content(&bytes) != digest(row, 2)? {
                return Err(Damage::Queued { id }.into());
            }
            messages.push((id, bytes));
        }
        Ok(messages)
    }

    /// A value of the node's own.
    pub fn read_meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
        Ok(statement.query_row(params![key], |row| row.get(0)).optional()?)
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
        let sql = "SELECT bytes FROM payloads
             WHERE hash = ?1 AND shared >= ?2 AND change >= ?3 AND length(bytes) <= ?4";
        let mut statement = self.connection.prepare_cached(sql)?;
        let query = params![hash.0.as_bytes(), shared_only, changes_only, integer(length_max as u64)];
        let bytes: Option<Vec<u8>> = statement.query_row(query, |row| row.get(0)).optional()?;
        if bytes.as_ref().is_some_and(|bytes| ContentHash::of(bytes) != hash) {
            return Err(Damage::Payload(hash).into());
        }
        Ok(bytes)
    }

    /// Where the logs of an author end here.
    pub fn ends_of(&self, author: NodeId) -> Result<Vec<ClosedLog>, StoreError> {
        let sql = "SELECT log, MAX(seq), hash, cose, cose_hash, payload_hashes FROM entries GROUP BY log";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut ends = Vec::new();
        while let Some(row) = rows.next()? {
            let EntryRow { log, .. } = EntryRow::read(row)?;
            if log.author == author {
                let seq = row.get::<_, i64>(1)?.unsigned_abs();
                ends.push(ClosedLog { log, seq, hash: digest(row, 2)? });
            }
        }
        Ok(ends)
    }

    fn all_entries(&self) -> Result<Vec<LoadedEntry>, StoreError> {
        let sql = "SELECT log, seq, hash, cose, cose_hash, payload_hashes, received FROM entries ORDER BY position";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            let EntryRow { log, cose, .. } = EntryRow::read(row)?;
            let received = Timestamp::from_millis(row.get::<_, i64>(6)?.unsigned_abs());
            entries.push(LoadedEntry { log, cose, received });
        }
        Ok(entries)
    }

    fn frozen(&self) -> Result<BTreeMap<LogId, Frozen>, StoreError> {
        let mut statement = self.connection.prepare("SELECT log, reason, evidence FROM frozen")?;
        let mut rows = statement.query([])?;
        let mut frozen = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let (log, reason, evidence): (Vec<u8>, String, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let reason = FreezeReason::parse(&reason).ok_or(Damage::Value("frozen"))?;
            frozen.insert(parse_log(&log, "frozen")?, Frozen { reason, evidence });
        }
        Ok(frozen)
    }

    fn missing(&self) -> Result<BTreeSet<Missing>, StoreError> {
        let mut statement = self.connection.prepare("SELECT hash, length, change, shared FROM missing")?;
        let mut rows = statement.query([])?;
        let mut missing = BTreeSet::new();
        while let Some(row) = rows.next()? {
            let length = row.get::<_, i64>(1)?.unsigned_abs();
            let (hash, is_change, is_shared) = (ContentHash(digest(row, 0)?), row.get(2)?, row.get(3)?);
            missing.insert(Missing { hash, length, is_change, is_shared });
        }
        Ok(missing)
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

    fn projections(&self) -> Result<BTreeMap<String, Projection>, StoreError> {
        let sql = "SELECT key, path, file, hash, heads, merged_changes, base FROM projections";
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        let mut projections = BTreeMap::new();
        while let Some(row) = rows.next()? {
            projections.insert(row.get(0)?, projection(row)?);
        }
        Ok(projections)
    }
}

/// A row of `entries` that has its digest.
struct EntryRow {
    log: LogId,
    cose: Vec<u8>,
    payload_hashes: Vec<ContentHash>,
}

impl EntryRow {
    fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        let (key, seq): (Vec<u8>, i64) = (row.get(0)?, row.get(1)?);
        let (cose, hashes): (Vec<u8>, Vec<u8>) = (row.get(3)?, row.get(5)?);
        let log = parse_log(&key, "entries")?;
        let expected = entry_row_digest(&key, seq, EntryHash(digest(row, 2)?), &cose, &hashes);
        let (hashes, rest) = hashes.as_chunks::<32>();
        if digest(row, 4)? != expected || !rest.is_empty() {
            return Err(Damage::Entry { log, seq: seq.unsigned_abs() }.into());
        }
        let payload_hashes = hashes.iter().map(|hash| ContentHash(Hash::from_bytes(*hash))).collect();
        Ok(Self { log, cose, payload_hashes })
    }
}

fn projection(row: &Row<'_>) -> Result<Projection, StoreError> {
    let damage = || Damage::Value("projections");
    let (path, file, heads): (String, Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(2)?, row.get(4)?);
    let (heads, rest) = heads.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(damage().into());
    }
    Ok(Projection {
        path: VaultPath::parse(&path).map_err(|_| damage())?,
        file: FileId::from_bytes(&file).ok_or_else(damage)?,
        hash: ContentHash(digest(row, 3)?),
        base: ContentHash(digest(row, 6)?),
        heads: heads.to_vec(),
        merged_changes: row.get::<_, Option<i64>>(5)?.map(i64::unsigned_abs),
    })
}

pub(super) fn parse_log(key: &[u8], table: &'static str) -> Result<LogId, StoreError> {
    let value = cbor::decode(key).map_err(|_| Damage::Value(table))?;
    Ok(LogId::from_value(value).map_err(|_| Damage::Value(table))?)
}

fn digest(row: &Row<'_>, index: usize) -> Result<Hash, StoreError> {
    Ok(Hash::from_bytes(row.get(index)?))
}
