//! What damage took: a payload is asked of the peers again while the node runs, an entry before it starts. What no peer
//! has is cut off, with all that builds on it.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_crdt::vault::{GivenUp, Projection};
use aiemp_protocol::{
    entry::{Item, SignedEntry},
    ids::{Audience, ContentHash, EntryHash, LogId, MeshId},
    replication::{EntryWithPayloads, Missing},
};
use rusqlite::{OptionalExtension as _, params, types::Value};

use super::{
    Store, Write,
    error::StoreError,
    integer, log_key, order,
    read::{EntryRow, parse_log},
    rows::{ENTRIES, LOST, META, blob},
    write::{Writer, put_payload},
};

/// Whether entries were put back, in the store: then they do not lie in the order of their pasts.
pub(super) const PUT_BACK: &str = "put_back";

impl Store {
    /// Forgets a payload that is damaged, or that the index lost, and notes that it is missing; what is to be asked for.
    pub fn lose_payload(&mut self, hash: ContentHash) -> Result<Vec<Missing>, StoreError> {
        let named = self.names_of(&[hash].into())?;
        let transaction = self.connection.transaction()?;
        let key = params![hash.0.as_bytes()];
        let bytes: Option<Vec<u8>> =
            transaction.query_row("SELECT bytes FROM payloads WHERE hash = ?1", key, |row| row.get(0)).optional()?;
        transaction.execute("DELETE FROM payloads WHERE hash = ?1", key)?;
        // Where only what it may be used as is not known any more, it is used as little as possible.
        if let Some(bytes) = bytes.filter(|bytes| ContentHash::of(bytes) == hash) {
            put_payload(&transaction, hash, (false, false), &bytes)?;
        }
        let writer = Writer(&transaction);
        named.iter().try_for_each(|named| writer.absent_payload(*named))?;
        transaction.commit()?;
        let missing = self.missing()?;
        Ok(named.into_iter().filter(|named| missing.contains(named)).collect())
    }

    /// Whether it is noted that the payload has yet to come.
    #[cfg(test)]
    pub(super) fn is_missing(&self, hash: ContentHash) -> Result<bool, StoreError> {
        Ok(self.missing()?.iter().any(|missing| missing.hash == hash))
    }

    /// What entries say of payloads.
    pub(super) fn names_of(&self, hashes: &BTreeSet<ContentHash>) -> Result<BTreeSet<Missing>, StoreError> {
        let rows = ENTRIES.each(&self.connection, "", params![], EntryRow::of)?;
        let is_named = |row: &&EntryRow| row.payload_hashes.iter().any(|hash| hashes.contains(hash));
        Ok(rows.iter().filter(is_named).flat_map(named_by).filter(|named| hashes.contains(&named.hash)).collect())
    }

    /// Notes anew which payloads entries name and are not there.
    pub(super) fn renew_missing(&mut self) -> Result<(), StoreError> {
        let rows = ENTRIES.each(&self.connection, "", params![], EntryRow::of)?;
        let transaction = self.connection.transaction()?;
        transaction.execute("DELETE FROM missing", [])?;
        let writer = Writer(&transaction);
        rows.iter().flat_map(named_by).try_for_each(|named| writer.absent_payload(named))?;
        Ok(transaction.commit()?)
    }

    /// Places of logs whose entry was damaged. Without them the logs cannot be used.
    pub fn lost_places(&self) -> Result<BTreeSet<(LogId, u64)>, StoreError> {
        let places = LOST.each(&self.connection, "", params![], |mut columns| {
            Ok((parse_log(&columns.blob()?, "lost")?, columns.number()?))
        })?;
        Ok(places.into_iter().collect())
    }

    /// Puts an entry that a peer sent at the place that lost it, if it is the one: signed over the entry before it, as the
    /// one after it over this one. Whether it is.
    pub fn put_back(&mut self, mesh: MeshId, log: LogId, cose: &[u8]) -> Result<bool, StoreError> {
        let Ok(seq) = SignedEntry::claimed_seq(cose) else { return Ok(false) };
        if !self.lost_places()?.contains(&(log, seq)) {
            return Ok(false);
        }
        let (before, after) = (self.row_at(log, seq.saturating_sub(1))?, self.row_at(log, seq + 1)?);
        if seq > 1 && before.is_none() {
            return Ok(false);
        }
        let follows = |prev: Option<EntryHash>, cose: &[u8]| SignedEntry::verify(mesh, log, prev, cose).ok();
        let Some(signed) = follows(before.as_ref().map(|row| row.hash), cose) else { return Ok(false) };
        if after.as_ref().is_some_and(|after| follows(Some(signed.hash), &after.cose).is_none()) {
            return Ok(false);
        }
        let received = before.or(after).map(|row| row.received).unwrap_or_default();
        let payloads = signed.entry.items.iter().filter_map(Item::payload).map(|_| None).collect();
        let transaction = self.connection.transaction()?;
        Writer(&transaction).entry(&EntryWithPayloads { signed, payloads }, received)?;
        transaction.execute("DELETE FROM lost WHERE log = ?1 AND seq = ?2", params![log_key(log), integer(seq)])?;
        META.put(&transaction, vec![Value::Text(PUT_BACK.to_owned()), blob(&[1])])?;
        transaction.commit()?;
        Ok(true)
    }

    fn row_at(&self, log: LogId, seq: u64) -> Result<Option<EntryRow>, StoreError> {
        let at = params![log_key(log), integer(seq)];
        let rows = ENTRIES.each(&self.connection, "WHERE log = ?1 AND seq = ?2", at, EntryRow::of)?;
        Ok(rows.into_iter().next())
    }

    /// Goes on without the entries that were lost, and without all that builds on them; the logs that were cut, each with
    /// its last entry that stands. What lies in the vault stays, and counts as new saves over what stands.
    pub fn cut(&mut self) -> Result<BTreeMap<LogId, u64>, StoreError> {
        let lost = self.lost_places()?;
        let rows = ENTRIES.each(&self.connection, "ORDER BY position", params![], EntryRow::of)?;
        let (stands, falls) = order::placed(rows);
        let mut keep: BTreeMap<LogId, u64> = BTreeMap::new();
        let cut = lost.into_iter().chain(falls.iter().map(|row| (row.log, row.seq)));
        for (log, seq) in cut {
            let end = keep.entry(log).or_insert(seq - 1);
            *end = (seq - 1).min(*end);
        }
        let given_up = GivenUp::of(self.changes_but(&stands)?);
        let unseen = |(key, there): (String, Projection)| {
            let heads = given_up.heads_without(&there.heads);
            let there = Projection { hash: ContentHash::of(b"unseen"), merged_changes: None, heads, ..there };
            Write::Projection { key, projection: Some(there) }
        };
        let mut writes: Vec<_> = self.projections()?.into_iter().map(unseen).collect();
        writes.extend(keep.iter().map(|(log, keep)| Write::Truncate { log: *log, keep: *keep }));
        writes.push(Write::Meta { key: PUT_BACK.to_owned(), value: vec![1] });
        self.persist(&writes)?;
        self.connection.execute("DELETE FROM lost", [])?;
        Ok(keep)
    }

    /// Changes that are held and that none of these entries names.
    fn changes_but(&self, stands: &[EntryRow]) -> Result<Vec<Vec<u8>>, StoreError> {
        let named: BTreeSet<_> = stands.iter().flat_map(|row| &row.payload_hashes).collect();
        let mut statement = self.connection.prepare("SELECT hash, bytes FROM payloads WHERE change = 1")?;
        let mut rows = statement.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let (hash, bytes): ([u8; 32], Vec<u8>) = (row.get(0)?, row.get(1)?);
            let hash = ContentHash(aiemp_keys::Hash::from_bytes(hash));
            if !named.contains(&hash) && ContentHash::of(&bytes) == hash {
                found.push(bytes);
            }
        }
        Ok(found)
    }
}

/// What an entry says of its payloads.
fn named_by(row: &EntryRow) -> Vec<Missing> {
    let is_shared = row.log.audience == Audience::All;
    let items = SignedEntry::claimed_items(&row.cose).unwrap_or_default();
    let named = |item: &Item| {
        let (hash, length) = item.payload()?;
        Some(Missing { hash, length, is_change: matches!(item, Item::Change { .. }), is_shared })
    };
    items.iter().filter_map(named).collect()
}
