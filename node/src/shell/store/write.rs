//! Writing: a batch becomes durable as a whole or not at all.

use aiemp_crdt::vault::Projection;
use aiemp_keys::NodeId;
use aiemp_protocol::{
    ids::{ContentHash, EntryHash, LogId},
    replication::{EntryWithPayloads, FreezeReason, Missing, Record},
    time::Timestamp,
};
use rusqlite::{Connection, TransactionBehavior, params};

use super::{StampName, Stamped, Store, Write, entry_row_digest, error::StoreError, integer, log_key};

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
struct Writer<'a>(&'a Connection);

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
            Write::Meta { key, value } => {
                let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2)
                     ON CONFLICT (key) DO UPDATE SET value = excluded.value";
                self.execute(sql, params![key, value]).map(|_| ())
            }
        }
    }

    fn entry(&self, entry: &EntryWithPayloads, received: Timestamp) -> Result<(), StoreError> {
        let signed = &entry.signed;
        let (log, seq) = (log_key(signed.log), integer(signed.entry.seq));
        let mut payload_hashes = Vec::new();
        for carried in entry.carried() {
            payload_hashes.extend_from_slice(carried.named.hash.0.as_bytes());
        }
        let digest = entry_row_digest(&log, seq, signed.hash, &signed.cose, &payload_hashes);
        let sql = "INSERT INTO entries (log, seq, hash, cose, cose_hash, payload_hashes, received)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (log, seq) DO NOTHING";
        let (hash, received) = (signed.hash.0.as_bytes(), integer(received.as_millis()));
        let row = params![log, seq, hash, signed.cose, digest.as_bytes(), payload_hashes, received];
        if self.execute(sql, row)? == 0 && self.hash_at(&log, seq)? != signed.hash {
            return Err(StoreError::Conflict { log: signed.log, seq: signed.entry.seq });
        }
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
        // The condition spares a rewrite of bytes that are there already.
        let sql = "INSERT INTO payloads (hash, shared, change, bytes) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (hash) DO UPDATE SET shared = max(shared, excluded.shared), change = max(change, excluded.change)
             WHERE excluded.shared > shared OR excluded.change > change";
        self.execute(sql, params![hash.0.as_bytes(), is_shared, is_change, bytes]).map(|_| ())
    }

    fn absent_payload(&self, named: Missing) -> Result<(), StoreError> {
        let sql = "INSERT INTO missing (hash, length, shared, change) SELECT ?1, ?2, ?3, ?4
             WHERE NOT EXISTS (SELECT 1 FROM payloads
                               WHERE hash = ?1 AND length(bytes) = ?2 AND shared >= ?3 AND change >= ?4)
             ON CONFLICT DO NOTHING";
        let Missing { hash, length, is_change, is_shared } = named;
        self.execute(sql, params![hash.0.as_bytes(), integer(length), is_shared, is_change]).map(|_| ())
    }

    fn frozen(&self, log: LogId, reason: FreezeReason, evidence: &[u8]) -> Result<(), StoreError> {
        // The first reason stands: a frozen log is not looked at again.
        let sql = "INSERT INTO frozen (log, reason, evidence) VALUES (?1, ?2, ?3) ON CONFLICT (log) DO NOTHING";
        self.execute(sql, params![log_key(log), reason.as_str(), evidence]).map(|_| ())
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
        let row = params![
            key,
            path.as_str(),
            file.to_bytes(),
            hash.0.as_bytes(),
            heads.concat(),
            merged_changes.map(integer),
            base.0.as_bytes(),
        ];
        let sql = "INSERT OR REPLACE INTO projections (key, path, file, hash, heads, merged_changes, base)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        self.execute(sql, row).map(|_| ())
    }

    fn queue(
        &self,
        peer: NodeId,
        id: &str,
        bytes: &[u8],
        created: Timestamp,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        let hash = ContentHash::of(bytes);
        let row = params![
            peer.key().as_bytes(),
            id,
            bytes,
            hash.0.as_bytes(),
            integer(created.as_millis()),
            integer(expires.as_millis()),
        ];
        let sql = "INSERT INTO queue (peer, id, bytes, hash, created, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (peer, id) DO UPDATE
             SET bytes = excluded.bytes, hash = excluded.hash, created = excluded.created, expires = excluded.expires";
        self.execute(sql, row).map(|_| ())
    }

    fn execute(&self, sql: &str, row: &[&dyn rusqlite::ToSql]) -> Result<usize, StoreError> {
        Ok(self.0.prepare_cached(sql)?.execute(row)?)
    }
}
