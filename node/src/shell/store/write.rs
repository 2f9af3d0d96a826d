//! Writing: a batch becomes durable as a whole or not at all.

use aiemp_crdt::vault::Projection;
use aiemp_keys::NodeId;
use aiemp_protocol::{
    entry::{Item, SignedEntry},
    ids::{ContentHash, EntryHash, LogId},
    replication::{EntryWithPayloads, FreezeReason, Missing, Record},
    time::Timestamp,
};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params, types::Value};

use super::{
    StampName, Stamped, Store, Write,
    error::StoreError,
    integer, log_key,
    rows::{ENTRIES, FROZEN, META, MISSING, PAYLOADS, PROJECTIONS, QUEUE, blob},
};

impl Store {
    /// Makes `batch` durable in order, in one transaction.
    ///
    /// An entry that is stored already is left as it is; another one for its place is [`StoreError::Conflict`].
    pub fn persist(&mut self, batch: &[Write]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let writer = Writer(&transaction);
        batch.iter().try_for_each(|write| writer.write(write))?;
        Ok(transaction.commit()?)
    }
}

/// Writes within an open transaction.
pub(super) struct Writer<'a>(pub(super) &'a Connection);

impl Writer<'_> {
    fn write(&self, write: &Write) -> Result<(), StoreError> {
        match write {
            Write::Record(Record::Entry { entry, received }) => self.entry(entry, *received),
            Write::Record(Record::Payload(named, bytes)) => self.payload(*named, bytes),
            Write::Record(Record::Frozen { log, reason, evidence }) => self.frozen(*log, *reason, evidence),
            Write::Record(Record::Roster(_)) => Ok(()),
            Write::Projection { key, projection: Some(projection) } => self.projection(key, projection),
            Write::Projection { key, projection: None } => {
                self.execute("DELETE FROM projections WHERE key = ?1", params![key]).map(|_| ())
            }
            Write::Queue { peer, id, bytes, created, expires } => self.queue(*peer, id, bytes, *created, *expires),
            Write::Unqueue { peer, id } => {
                let peer = peer.key().as_bytes();
                self.execute("DELETE FROM queue WHERE peer = ?1 AND id = ?2", params![peer, id]).map(|_| ())
            }
            Write::ExpireQueue { now } => {
                let now = integer(now.as_millis());
                self.execute("DELETE FROM queue WHERE expires <= ?1", params![now]).map(|_| ())
            }
            Write::Truncate { log, keep } => {
                let (log, keep) = (log_key(*log), integer(*keep));
                self.execute("DELETE FROM entries WHERE log = ?1 AND seq > ?2", params![log, keep]).map(|_| ())
            }
            Write::Stamps(stamps) => stamps.iter().try_for_each(|(name, stamped)| self.stamp(name, stamped.as_ref())),
            Write::Meta { key, value } => META.put(self.0, vec![Value::Text(key.clone()), blob(value)]),
        }
    }

    pub(super) fn entry(&self, entry: &EntryWithPayloads, received: Timestamp) -> Result<(), StoreError> {
        let signed = &entry.signed;
        let (log, seq) = (log_key(signed.log), integer(signed.entry.seq));
        if !ENTRIES.add(self.0, entry_row(signed, received))? && self.hash_at(&log, seq)? != signed.hash {
            return Err(StoreError::Conflict { log: signed.log, seq: signed.entry.seq });
        }
        entry.carried().try_for_each(|carried| self.need(carried.named.hash))?;
        entry.carried().try_for_each(|carried| match carried.payload {
            Some(bytes) => self.payload(carried.named, bytes),
            None => self.absent_payload(carried.named),
        })
    }

    fn hash_at(&self, log: &[u8], seq: i64) -> Result<EntryHash, StoreError> {
        let mut statement = self.0.prepare_cached("SELECT hash FROM entries WHERE log = ?1 AND seq = ?2")?;
        let hash = statement.query_row(params![log, seq], |row| row.get(0))?;
        Ok(EntryHash(aiemp_keys::Hash::from_bytes(hash)))
    }

    /// A payload came, with an entry or because one lacked it. Whoever is to share it must have sent it for that, so one
    /// that came for Local nodes alone stays missing for the others; and one that came as content, which is not screened,
    /// stays missing as a change.
    fn payload(&self, named: Missing, bytes: &[u8]) -> Result<(), StoreError> {
        let Missing { hash, length, is_change, is_shared } = named;
        debug_assert_eq!(ContentHash::of(bytes), hash, "payloads are checked where they arrive");
        let sql = "DELETE FROM missing WHERE hash = ?1 AND length = ?2 AND shared <= ?3 AND change <= ?4";
        self.execute(sql, params![hash.0.as_bytes(), integer(length), is_shared, is_change])?;
        self.need(hash)?;
        put_payload(self.0, hash, (is_shared, is_change), bytes)
    }

    /// What is named anew is needed again.
    fn need(&self, hash: ContentHash) -> Result<(), StoreError> {
        self.execute("DELETE FROM forgotten WHERE hash = ?1", params![hash.0.as_bytes()]).map(|_| ())
    }

    pub(super) fn absent_payload(&self, named: Missing) -> Result<(), StoreError> {
        let Missing { hash, length, is_change, is_shared } = named;
        let sql = "SELECT 1 FROM payloads WHERE hash = ?1 AND length(bytes) = ?2 AND shared >= ?3 AND change >= ?4
             UNION ALL SELECT 1 FROM forgotten WHERE hash = ?1";
        let held = params![hash.0.as_bytes(), integer(length), is_shared, is_change];
        if self.0.prepare_cached(sql)?.exists(held)? { Ok(()) } else { put_missing(self.0, named) }
    }

    fn frozen(&self, log: LogId, reason: FreezeReason, evidence: &[u8]) -> Result<(), StoreError> {
        // The first reason stands: a frozen log is not looked at again.
        let row = vec![Value::Blob(log_key(log)), Value::Text(reason.as_str().to_owned()), blob(evidence)];
        FROZEN.add(self.0, row).map(|_| ())
    }

    fn stamp(&self, name: &StampName, stamped: Option<&Stamped>) -> Result<(), StoreError> {
        let Some(Stamped { stamp, hash }) = stamped else {
            return self.execute("DELETE FROM stamps WHERE name = ?1", params![name]).map(|_| ());
        };
        let (size, inode) = (stamp.size.cast_signed(), stamp.inode.cast_signed());
        let row = params![name, size, stamp.modified, stamp.changed, inode, hash.0.as_bytes()];
        let sql = "INSERT OR REPLACE INTO stamps (name, size, modified, changed, inode, hash)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.execute(sql, row).map(|_| ())
    }

    fn projection(&self, key: &str, projection: &Projection) -> Result<(), StoreError> {
        let Projection { path, file, hash, base, heads, merged_changes } = projection;
        let row = vec![
            Value::Text(key.to_owned()),
            Value::Text(path.as_str().to_owned()),
            Value::Blob(file.to_bytes()),
            blob(hash.0.as_bytes()),
            Value::Blob(heads.concat()),
            merged_changes.map_or(Value::Null, |count| Value::Integer(integer(count))),
            blob(base.0.as_bytes()),
        ];
        PROJECTIONS.put(self.0, row)
    }

    fn queue(
        &self,
        peer: NodeId,
        id: &str,
        bytes: &[u8],
        created: Timestamp,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        let time = |at: Timestamp| Value::Integer(integer(at.as_millis()));
        let row =
            vec![blob(peer.key().as_bytes()), Value::Text(id.to_owned()), blob(bytes), time(created), time(expires)];
        QUEUE.put(self.0, row)
    }

    fn execute(&self, sql: &str, row: &[&dyn rusqlite::ToSql]) -> Result<usize, StoreError> {
        Ok(self.0.prepare_cached(sql)?.execute(row)?)
    }
}

/// The row of an entry.
pub(super) fn entry_row(signed: &SignedEntry, received: Timestamp) -> Vec<Value> {
    let payloads = signed.entry.items.iter().filter_map(Item::payload);
    let payload_hashes: Vec<u8> = payloads.flat_map(|(hash, _)| *hash.0.as_bytes()).collect();
    vec![
        Value::Blob(log_key(signed.log)),
        Value::Integer(integer(signed.entry.seq)),
        blob(signed.hash.0.as_bytes()),
        blob(&signed.cose),
        Value::Blob(payload_hashes),
        Value::Integer(integer(received.as_millis())),
    ]
}

/// Keeps a payload; as more than it was held as, where it came as that.
pub(super) fn put_payload(
    connection: &Connection,
    hash: ContentHash,
    (is_shared, is_change): (bool, bool),
    bytes: &[u8],
) -> Result<(), StoreError> {
    let key = hash.0.as_bytes();
    let digest_as = |shared: bool, change: bool| {
        PAYLOADS.digest(&[blob(key), Value::Integer(shared.into()), Value::Integer(change.into())])
    };
    let held = connection
        .prepare_cached("SELECT shared, change FROM payloads WHERE hash = ?1")?
        .query_row(params![key], |row| Ok((row.get::<_, bool>(0)?, row.get::<_, bool>(1)?)))
        .optional()?;
    let Some((was_shared, was_change)) = held else {
        let digest = digest_as(is_shared, is_change);
        let sql = "INSERT INTO payloads (hash, shared, change, digest, bytes) VALUES (?1, ?2, ?3, ?4, ?5)";
        connection.prepare_cached(sql)?.execute(params![key, is_shared, is_change, digest.as_bytes(), bytes])?;
        return Ok(());
    };
    let (shared, change) = (is_shared | was_shared, is_change | was_change);
    if (shared, change) != (was_shared, was_change) {
        let digest = digest_as(shared, change);
        let sql = "UPDATE payloads SET shared = ?2, change = ?3, digest = ?4 WHERE hash = ?1";
        connection.prepare_cached(sql)?.execute(params![key, shared, change, digest.as_bytes()])?;
    }
    Ok(())
}

/// Notes that a payload has yet to come.
pub(super) fn put_missing(connection: &Connection, named: Missing) -> Result<(), StoreError> {
    let Missing { hash, length, is_change, is_shared } = named;
    let flag = |flag: bool| Value::Integer(flag.into());
    let row = vec![blob(hash.0.as_bytes()), Value::Integer(integer(length)), flag(is_shared), flag(is_change)];
    MISSING.add(connection, row).map(|_| ())
}
