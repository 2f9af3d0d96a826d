//! Payloads that nobody needs any more: forgotten little by little while nothing else is to be done, and their room given
//! back to the disk.

use std::collections::BTreeSet;

use aiemp_keys::Hash;
use aiemp_protocol::{ids::ContentHash, replication::Missing};
use rusqlite::params;

use super::{Store, error::StoreError, write::Writer};

/// Pages that are given back in one step: a megabyte.
const PAGES_AT_ONCE: u32 = 256;

impl Store {
    /// Forgets these payloads, and notes that they are not to be asked for.
    pub fn forget(&mut self, gone: &[ContentHash]) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        for hash in gone {
            let key = params![hash.0.as_bytes()];
            transaction.prepare_cached("DELETE FROM payloads WHERE hash = ?1")?.execute(key)?;
            transaction.prepare_cached("DELETE FROM missing WHERE hash = ?1")?.execute(key)?;
            transaction.prepare_cached("INSERT OR IGNORE INTO forgotten (hash) VALUES (?1)")?.execute(key)?;
        }
        Ok(transaction.commit()?)
    }

    /// Of these what is missing is not to be asked for any more.
    pub fn give_up_missing(&mut self, unwanted: &BTreeSet<ContentHash>) -> Result<(), StoreError> {
        let missing: BTreeSet<_> = self.missing()?.into_iter().map(|missing| missing.hash).collect();
        let transaction = self.connection.transaction()?;
        for hash in missing.intersection(unwanted) {
            let key = params![hash.0.as_bytes()];
            transaction.execute("DELETE FROM missing WHERE hash = ?1", key)?;
            let sql = "INSERT OR IGNORE INTO forgotten (hash) SELECT ?1
                 WHERE NOT EXISTS (SELECT 1 FROM payloads WHERE hash = ?1)";
            transaction.execute(sql, key)?;
        }
        Ok(transaction.commit()?)
    }

    /// Takes back what was forgotten and is none of these: what of it is to be asked for.
    pub fn need_again(&mut self, not_needed: impl Fn(ContentHash) -> bool) -> Result<Vec<Missing>, StoreError> {
        let mut again = self.forgotten()?;
        again.retain(|hash| !not_needed(*hash));
        if again.is_empty() {
            return Ok(Vec::new());
        }
        let named = self.names_of(&again)?;
        let transaction = self.connection.transaction()?;
        for hash in &again {
            transaction.execute("DELETE FROM forgotten WHERE hash = ?1", params![hash.0.as_bytes()])?;
        }
        let writer = Writer(&transaction);
        named.iter().try_for_each(|named| writer.absent_payload(*named))?;
        transaction.commit()?;
        Ok(named.into_iter().collect())
    }

    fn forgotten(&self) -> Result<BTreeSet<ContentHash>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT hash FROM forgotten")?;
        let hashes = statement.query_map([], |row| Ok(ContentHash(Hash::from_bytes(row.get(0)?))))?;
        Ok(hashes.collect::<Result<_, _>>()?)
    }

    /// Whether the payload need not be there: it was forgotten, or is missing.
    pub(super) fn may_be_absent(&self, hash: ContentHash) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM missing WHERE hash = ?1 UNION ALL SELECT 1 FROM forgotten WHERE hash = ?1";
        Ok(self.connection.prepare_cached(sql)?.exists(params![hash.0.as_bytes()])?)
    }

    /// Gives some free room back to the disk; whether there is more.
    pub fn give_room_back(&self) -> Result<bool, StoreError> {
        let free = || self.connection.pragma_query_value(None, "freelist_count", |row| row.get::<_, u32>(0));
        if free()? == 0 {
            return Ok(false);
        }
        // Each row of the answer is a page.
        let mut statement = self.connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE})"))?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(free()? > 0)
    }
}
