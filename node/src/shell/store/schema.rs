//! The file: how it is made, recognised and opened.

use std::{io, path::Path, time::Duration};

use aiemp_keys::private_file;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{
    error::{Damage, StoreError},
    upgrade,
};

/// `aiem`: what tells `file(1)` and us that this SQLite file is a store.
const APPLICATION_ID: i32 = 0x6169_656d;
/// Raised with every change of [`TABLES`].
pub(super) const VERSION: i32 = 5;
/// `doctor` may read beside a running node; nobody holds the lock for long.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// More than the number of different statements in this module.
const STATEMENTS_CACHED: usize = 64;

/// Each row has the digest of its other columns, but for what says otherwise. All of this fits the first page of the file, which
/// is the same in every store but for a few counters: so a damaged one is replaced by that of a new store.
///
/// - `entries`: `position` is the order in which entries became durable, `payload_hashes` 32 bytes for each item that has a
///   payload, `received` when it was taken. Times are milliseconds since the Unix epoch.
/// - `payloads`: `change` tells whether it was screened as one. The digest does not cover `bytes`, which have the hash.
/// - `missing`: `length` is as an entry has it, which may be a lie.
/// - `projections`: `heads` are 32 bytes each, `base` is the digest of the content that the document starts from.
/// - `forgotten`: payloads that entries name and nobody needs any more. One that is not there is asked for once more.
/// - `stamps`: what files look like from outside, by half of the digest of a path; times in nanoseconds. One that does not fit its
///   file does no harm, so it has no digest.
const TABLES: [&str; 10] = [
    "CREATE TABLE entries (position INTEGER PRIMARY KEY AUTOINCREMENT, log BLOB NOT NULL, seq INTEGER NOT NULL, hash BLOB NOT NULL, cose BLOB NOT NULL, payload_hashes BLOB NOT NULL, received INTEGER NOT NULL, digest BLOB NOT NULL, UNIQUE (log, seq)) STRICT",
    "CREATE TABLE payloads (hash BLOB PRIMARY KEY NOT NULL, shared INTEGER NOT NULL, change INTEGER NOT NULL, digest BLOB NOT NULL, bytes BLOB NOT NULL) STRICT",
    "CREATE TABLE missing (hash BLOB NOT NULL, length INTEGER NOT NULL, shared INTEGER NOT NULL, change INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (hash, length, shared, change)) STRICT",
    "CREATE TABLE frozen (log BLOB PRIMARY KEY NOT NULL, reason TEXT NOT NULL, evidence BLOB NOT NULL, digest BLOB NOT NULL) STRICT",
    "CREATE TABLE projections (key TEXT PRIMARY KEY NOT NULL, path TEXT NOT NULL, file BLOB NOT NULL, hash BLOB NOT NULL, heads BLOB NOT NULL, merged_changes INTEGER, base BLOB NOT NULL, digest BLOB NOT NULL) STRICT",
    "CREATE TABLE queue (position INTEGER PRIMARY KEY AUTOINCREMENT, peer BLOB NOT NULL, id TEXT NOT NULL, bytes BLOB NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL, digest BLOB NOT NULL, UNIQUE (peer, id)) STRICT",
    "CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL, digest BLOB NOT NULL) STRICT",
    "CREATE TABLE lost (log BLOB NOT NULL, seq INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (log, seq)) STRICT",
    "CREATE TABLE forgotten (hash BLOB PRIMARY KEY NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE stamps (name BLOB PRIMARY KEY NOT NULL, size INTEGER NOT NULL, modified INTEGER NOT NULL, changed INTEGER NOT NULL, inode INTEGER NOT NULL, hash BLOB NOT NULL) STRICT, WITHOUT ROWID",
];

pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    make_private(path)?;
    // Before anything is changed: a file that is not ours stays as it is.
    let mut connection = connect(path)?;
    match recognise(&connection, path)? {
        Found::Nothing => {
            // Room that is given back goes back to the disk; nothing else than an empty file can be told so.
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
            make_durable(&connection, path)?;
            make_tables(&mut connection)?;
        }
        Found::Version(VERSION) => make_durable(&connection, path)?,
        Found::Version(version) => {
            upgrade::to_4(&mut connection, version)?;
            drop(connection);
            upgrade::to_5(path)?;
            return open(path);
        }
    }
    check_tables(&connection)?;
    Ok(connection)
}

/// Opens it beside a process that may have it open: what is no store of this version is left as it is.
pub(super) fn open_beside(path: &Path) -> Result<Connection, StoreError> {
    make_private(path)?;
    let connection = connect(path)?;
    match recognise(&connection, path)? {
        Found::Version(version) if version < VERSION => Err(StoreError::Older { path: path.to_owned() }),
        Found::Nothing | Found::Version(_) => {
            drop(connection);
            open(path)
        }
    }
}

/// A connection that has changed nothing yet.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    // Neither created here nor through a URI; SQLite gives its side files the mode of this one.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(LOCK_PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

fn make_durable(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::NoWriteAheadLog { path: path.to_owned(), mode });
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Elsewhere than on Apple's systems fsync reaches the disk by itself and this changes nothing.
    Ok(connection.pragma_update(None, "fullfsync", true)?)
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
    if (application, version) == (APPLICATION_ID, VERSION) {
        return Ok(Found::Version(VERSION));
    }
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if (application, version, objects) == (0, 0, 0) {
        return Ok(Found::Nothing);
    }
    // Each version has tables of its own: these are of this one, whatever the numbers say.
    if check_tables(connection).is_ok() {
        return Err(Damage::Version(version).into());
    }
    match version {
        _ if application != APPLICATION_ID => Err(StoreError::Foreign { path: path.to_owned() }),
        1..VERSION => Ok(Found::Version(version)),
        found if found > VERSION => Err(StoreError::Newer { path: path.to_owned(), found, known: VERSION }),
        found => Err(Damage::Version(found).into()),
    }
}

/// Whether the tables are those that were made.
pub(super) fn check_tables(connection: &Connection) -> Result<(), StoreError> {
    let mut statement = connection
        .prepare("SELECT sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid")?;
    let found = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    if found == TABLES { Ok(()) } else { Err(Damage::Tables.into()) }
}

/// All in one transaction: after a crash there is an empty file or a whole store.
fn make_tables(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    TABLES.iter().try_for_each(|table| transaction.execute_batch(table))?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}
