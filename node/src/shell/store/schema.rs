//! The file: how it is made, recognised and opened.

use std::{collections::BTreeSet, io, path::Path, time::Duration};

use aiemp_keys::private_file;
use aiemp_protocol::{
    entry::{Item, SignedEntry},
    ids::Audience,
};
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params};

use super::{
    error::{Damage, StoreError},
    integer,
    read::parse_log,
};

/// `aiem`: what tells `file(1)` and us that this SQLite file is a store.
const APPLICATION_ID: i32 = 0x6169_656d;
/// Raised with every change of [`TABLES`].
pub(super) const VERSION: i32 = 4;
/// `doctor` may read beside a running node; nobody holds the lock for long.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// More than the number of different statements in this module.
const STATEMENTS_CACHED: usize = 48;

const TABLES: &str = "
CREATE TABLE entries (
    position INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which entries became durable
    log BLOB NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    cose BLOB NOT NULL,
    cose_hash BLOB NOT NULL,                     -- over this whole row
    payload_hashes BLOB NOT NULL,                -- 32 bytes for each item that has a payload, in order
    received INTEGER NOT NULL DEFAULT 0,         -- when it was taken, in milliseconds since the Unix epoch
    UNIQUE (log, seq)
) STRICT;
CREATE TABLE payloads (
    hash BLOB PRIMARY KEY NOT NULL,
    shared INTEGER NOT NULL CHECK (shared IN (0, 1)),
    change INTEGER NOT NULL CHECK (change IN (0, 1)),  -- whether it was screened as a change
    bytes BLOB NOT NULL
) STRICT;
CREATE TABLE missing (
    hash BLOB NOT NULL,
    length INTEGER NOT NULL,                     -- as an entry has it, which may be a lie
    shared INTEGER NOT NULL CHECK (shared IN (0, 1)),
    change INTEGER NOT NULL CHECK (change IN (0, 1)),
    PRIMARY KEY (hash, length, shared, change)
) STRICT;
CREATE TABLE frozen (
    log BLOB PRIMARY KEY NOT NULL,
    reason TEXT NOT NULL,
    evidence BLOB NOT NULL
) STRICT;
CREATE TABLE projections (
    key TEXT PRIMARY KEY NOT NULL,
    path TEXT NOT NULL,
    file BLOB NOT NULL,
    hash BLOB NOT NULL,
    heads BLOB NOT NULL,                         -- 32 bytes each
    merged_changes INTEGER,
    base BLOB NOT NULL                           -- digest of the content that its document starts from
) STRICT;
CREATE TABLE queue (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    peer BLOB NOT NULL,
    id TEXT NOT NULL,
    bytes BLOB NOT NULL,
    hash BLOB NOT NULL,
    created INTEGER NOT NULL,                    -- milliseconds since the Unix epoch
    expires INTEGER NOT NULL,
    UNIQUE (peer, id)
) STRICT;
CREATE TABLE meta (
    key TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT;
";

/// Since version 4: what files look like from outside.
const STAMPS: &str = "
CREATE TABLE stamps (
    name BLOB PRIMARY KEY NOT NULL,              -- half of the digest of a path
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL,                   -- nanoseconds since the Unix epoch
    changed INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    hash BLOB NOT NULL                           -- digest of the content
) STRICT, WITHOUT ROWID;
";

pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    make_private(path)?;
    // Neither created here nor through a URI; SQLite gives its side files the mode of this one.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCK_PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    // Before anything is changed: a file that is not ours stays as it is.
    let found = recognise(&connection, path)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::NoWriteAheadLog { path: path.to_owned(), mode });
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Elsewhere than on Apple's systems fsync reaches the disk by itself and this changes nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    match found {
        Found::Nothing => make_tables(&mut connection)?,
        Found::Version(VERSION) => {}
        Found::Version(version) => bring_up_to_date(&mut connection, version)?,
    }
    Ok(connection)
}

/// Makes the file before SQLite does, which would give it the mode of the umask.
fn make_private(path: &Path) -> Result<(), StoreError> {
    match private_file::check_private(path) {
        Err(error) if error.is_io(io::ErrorKind::NotFound) => Ok(private_file::create_private(path, b"")?),
        checked => Ok(checked?),
    }
}

/// What the file is.
enum Found {
    /// Still empty.
    Nothing,
    /// A store of a version that can be read.
    Version(i32),
}

/// Refuses a file of another program or of a newer version.
fn recognise(connection: &Connection, path: &Path) -> Result<Found, StoreError> {
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if application != APPLICATION_ID {
        let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        return if (application, version, objects) == (0, 0, 0) {
            Ok(Found::Nothing)
        } else {
            Err(StoreError::Foreign { path: path.to_owned() })
        };
    }
    match version {
        1..=VERSION => Ok(Found::Version(version)),
        found if found > VERSION => Err(StoreError::Newer { path: path.to_owned(), found, known: VERSION }),
        found => Err(Damage::Version(found).into()),
    }
}

/// Version 1 noted neither when an entry was taken (those count for no day) nor what a missing payload is (those are not
/// screened). Version 2 did not note what was screened as a change, and held one missing payload of a digest; nor what a text
/// on disk starts from (that of one that was edited is found by the vault). Version 3 did not note what files look like.
fn bring_up_to_date(connection: &mut Connection, version: i32) -> Result<(), StoreError> {
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
    transaction.pragma_update(None, "user_version", VERSION)?;
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

/// All in one transaction: after a crash there is an empty file or a whole store.
fn make_tables(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    transaction.execute_batch(STAMPS)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}
