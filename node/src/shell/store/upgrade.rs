//! Stores of the versions before.
//!
//! Version 1 noted neither when an entry was taken (those count for no day) nor what a missing payload is (those are not
//! screened). Version 2 did not note what was screened as a change, and held one missing payload of a digest; nor what a text
//! on disk starts from (that of one that was edited is found by the vault). Version 3 did not note what files look like.
//! Version 4 had digests of entries, payloads and messages alone, and never gave room back to the disk.

use std::{collections::BTreeSet, path::Path};

use aiemp_keys::{Hash, cbor};
use aiemp_protocol::{
    entry::{Item, SignedEntry},
    ids::{Audience, ContentHash},
};
use rusqlite::{Connection, Row, TransactionBehavior, params, types::Value};

use super::{
    error::{Damage, StoreError},
    files, integer,
    read::parse_log,
    rows::{ENTRIES, FROZEN, META, MISSING, PROJECTIONS, QUEUE, Table},
    schema,
    write::put_payload,
};

/// Label of the digest that stood beside each entry up to version 4.
const ENTRY_LABEL_4: &str = "aiemp-node 2026 store entry";

/// Since version 4: what files look like from outside.
const STAMPS: &str = "
CREATE TABLE stamps (
    name BLOB PRIMARY KEY NOT NULL,
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Brings a store of a version before up to version 4, in its place.
pub(super) fn to_4(connection: &mut Connection, version: i32) -> Result<(), StoreError> {
    if version >= 4 {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if version < 2 {
        transaction.execute_batch(
            "ALTER TABLE entries ADD COLUMN received INTEGER NOT NULL DEFAULT 0;
             ALTER TABLE missing ADD COLUMN change INTEGER NOT NULL DEFAULT 0 CHECK (change IN (0, 1))",
        )?;
    }
    if version < 3 {
        name_changes(&transaction)?;
    }
    transaction.execute_batch(STAMPS)?;
    transaction.pragma_update(None, "user_version", 4)?;
    Ok(transaction.commit()?)
}

fn name_changes(transaction: &Connection) -> Result<(), StoreError> {
    transaction.execute_batch(
        "ALTER TABLE payloads ADD COLUMN change INTEGER NOT NULL DEFAULT 0 CHECK (change IN (0, 1));
         CREATE TABLE missing_now (
             hash BLOB NOT NULL,
             length INTEGER NOT NULL,
             shared INTEGER NOT NULL CHECK (shared IN (0, 1)),
             change INTEGER NOT NULL CHECK (change IN (0, 1)),
             PRIMARY KEY (hash, length, shared, change)
         ) STRICT;
         INSERT INTO missing_now (hash, length, shared, change) SELECT hash, length, shared, change FROM missing;
         DROP TABLE missing;
         ALTER TABLE missing_now RENAME TO missing;
         ALTER TABLE projections ADD COLUMN base BLOB NOT NULL DEFAULT x'';
         UPDATE projections SET base = hash",
    )?;
    mark_changes(transaction)
}

/// What entries call a change and none a content was screened before it was stored. The rest is asked for once more.
fn mark_changes(transaction: &Connection) -> Result<(), StoreError> {
    let (mut contents, mut changes) = (BTreeSet::new(), BTreeSet::new());
    let mut entries = transaction.prepare("SELECT log, cose FROM entries")?;
    let mut rows = entries.query([])?;
    while let Some(row) = rows.next()? {
        let (log, cose): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
        let shared = parse_log(&log, "entries")?.audience == Audience::All;
        // What cannot be read is found when it is loaded.
        for item in SignedEntry::claimed_items(&cose).unwrap_or_default() {
            match (&item, item.payload()) {
                (Item::Change { .. }, Some((hash, length))) => drop(changes.insert((hash, length, shared))),
                (_, Some((hash, _))) => drop(contents.insert(hash)),
                (_, None) => {}
            }
        }
    }
    let mut mark = transaction.prepare("UPDATE payloads SET change = 1 WHERE hash = ?1")?;
    let mut ask =
        transaction.prepare("INSERT OR IGNORE INTO missing (hash, length, shared, change) VALUES (?1, ?2, ?3, 1)")?;
    for (hash, length, shared) in changes {
        if contents.contains(&hash) {
            ask.execute(params![hash.0.as_bytes(), integer(length), shared])?;
        } else {
            mark.execute(params![hash.0.as_bytes()])?;
        }
    }
    Ok(())
}

/// Copies a store of version 4 into a new file, which takes its place.
pub(super) fn to_5(path: &Path) -> Result<(), StoreError> {
    let old = schema::connect(path)?;
    let new_path = files::emptied(path, "new")?;
    let mut new = schema::open(&new_path)?;
    let transaction = new.transaction()?;
    copy_entries(&old, &transaction)?;
    let mut payloads = old.prepare("SELECT hash, shared, change, bytes FROM payloads ORDER BY rowid")?;
    let mut rows = payloads.query([])?;
    while let Some(row) = rows.next()? {
        let hash = ContentHash(Hash::from_bytes(row.get(0)?));
        put_payload(&transaction, hash, (row.get(1)?, row.get(2)?), row.get_ref(3)?.as_blob().unwrap_or_default())?;
    }
    drop(rows);
    drop(payloads);
    for table in [&MISSING, &FROZEN, &PROJECTIONS, &META] {
        copy(&old, &transaction, table, "rowid")?;
    }
    copy(&old, &transaction, &QUEUE, "position")?;
    transaction.commit()?;
    drop(old);
    files::put_in_place(new, &new_path, path)
}

fn copy_entries(old: &Connection, new: &Connection) -> Result<(), StoreError> {
    let sql = "SELECT log, seq, hash, cose, payload_hashes, received, cose_hash FROM entries ORDER BY position";
    let mut entries = old.prepare(sql)?;
    let mut rows = entries.query([])?;
    while let Some(row) = rows.next()? {
        let values = columns(row, ENTRIES.columns.len())?;
        let digest: Vec<u8> = row.get(6)?;
        if digest != entry_digest_4(&values).as_bytes() {
            let log = parse_log(&row.get::<_, Vec<u8>>(0)?, "entries")?;
            return Err(Damage::Entry { log, seq: row.get::<_, i64>(1)?.unsigned_abs() }.into());
        }
        ENTRIES.put(new, values)?;
    }
    Ok(())
}

/// It covered all but the time.
fn entry_digest_4(values: &[Value]) -> Hash {
    let column = |value: &Value| match value {
        Value::Integer(number) => cbor::Value::Integer((*number).into()),
        Value::Blob(bytes) => cbor::bytes(bytes),
        Value::Null | Value::Real(_) | Value::Text(_) => cbor::Value::Null,
    };
    Hash::labelled(ENTRY_LABEL_4, values[..5].iter().map(column))
}

fn copy(old: &Connection, new: &Connection, table: &Table, order: &str) -> Result<(), StoreError> {
    let mut found =
        old.prepare(&format!("SELECT {} FROM {} ORDER BY {order}", table.columns.join(", "), table.name))?;
    let mut rows = found.query([])?;
    while let Some(row) = rows.next()? {
        table.put(new, columns(row, table.columns.len())?)?;
    }
    Ok(())
}

fn columns(row: &Row<'_>, count: usize) -> Result<Vec<Value>, StoreError> {
    Ok((0..count).map(|index| row.get(index)).collect::<Result<_, _>>()?)
}
