//! The executor's journal on disk: one SQLite file, one durable commit for each step of an approval.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use aiemp_keys::{CborError, CoseError, Hash, PrivacyError, private_file};
use aiemp_protocol::{
    action::{Action, ActionError},
    approval::{
        Bundle, Decision, Verified,
        journal::{Nonce, Row, State, Times},
        standing,
    },
    time::Timestamp,
};
use data_encoding::HEXLOWER;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};
use thiserror::Error;

use crate::{fault::lacks_room, home::Home, shell::free_space::lacks_room_at};

const VERSION: i64 = 3;

/// The machine forbids a second send for one action or piece of work; the indexes are there should it ever fail to.
/// A wanted repetition is outside of them. `receipted` says whether the receipt of the row's state was written.
const SCHEMA: &str = "
    CREATE TABLE rows (
        nonce BLOB PRIMARY KEY,
        action BLOB NOT NULL,
        work BLOB NOT NULL,
        kind INTEGER NOT NULL,
        repeat_of BLOB,
        state TEXT NOT NULL,
        bundle BLOB NOT NULL,
        bundle_hash BLOB NOT NULL,
        detail TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        not_before INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        receipted INTEGER NOT NULL DEFAULT 0,
        asked BLOB
    ) STRICT;
    CREATE UNIQUE INDEX one_send_per_action ON rows (action) WHERE state <> 'failed' AND repeat_of IS NULL;
    CREATE UNIQUE INDEX one_send_per_work ON rows (work, kind) WHERE state <> 'failed' AND repeat_of IS NULL;
    CREATE TABLE meta (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        highest_time INTEGER NOT NULL DEFAULT 0,
        guard_time INTEGER NOT NULL DEFAULT 0,
        clock_settled INTEGER NOT NULL DEFAULT 0,
        epoch INTEGER NOT NULL DEFAULT 0,
        roster BLOB
    ) STRICT;
    INSERT INTO meta (id) VALUES (1);
    PRAGMA user_version = 3;
";
/// Version 1 knew no settled clock.
const FROM_VERSION_1: &str = "
    ALTER TABLE meta ADD COLUMN guard_time INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE meta ADD COLUMN clock_settled INTEGER NOT NULL DEFAULT 0;
    UPDATE meta SET guard_time = highest_time;
";
/// Version 2 did not say what hand was asked. Nobody knows it of its rows, so no service is asked about them.
const FROM_VERSION_2: &str = "
    ALTER TABLE rows ADD COLUMN asked BLOB;
    PRAGMA user_version = 3;
";

/// Why the journal cannot be used. The executor stops with it: without a journal nothing may be sent.
#[derive(Debug, Error)]
pub enum JournalError {
    /// Written by a newer version of this program.
    #[error("{} has format {found}, newer than this program knows ({VERSION}); update aiemp-node", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// A row is not what was stored.
    #[error("the journal's row {nonce} is damaged: {why}; restore the journal from a backup")]
    Damaged {
        /// The approval's nonce in hex.
        nonce: String,
        /// What does not fit.
        why: String,
    },
    /// It is missing or empty, and receipts say that something was handed in before.
    #[error(
        "the executor's journal {} is gone, but receipts in {} say that approvals were carried out: without it any of \
         them could be sent again. Put the newest copy of the journal back. If there is none: remove every standing \
         approval, for what went out under it is not counted any more, move the receipts to another folder, so that a new \
         journal is begun, and approve again only what you know was not sent",
        path.display(), receipts.display()
    )]
    Lost {
        /// Where the journal belongs.
        path: PathBuf,
        /// The folder of the receipts.
        receipts: PathBuf,
    },
    /// The file is open to others, or cannot be reached.
    #[error(transparent)]
    Private(#[from] PrivacyError),
    /// It is no database, or not the one that was written.
    #[error(
        "the executor's journal, executor/journal.sqlite in the home, is damaged ({0}): without it any of what was \
         approved could be sent again. Stop the node, move the journal away with its -wal and -shm, and put its newest \
         copy there. If there is none: remove every standing approval, for what went out under it is not counted any \
         more, move the receipts to another folder as well, so that a new journal is begun, and approve again only what \
         you know was not sent"
    )]
    Unreadable(String),
    /// The disk has no room for a step.
    #[error("the executor's journal cannot be written: {0}")]
    DiskFull(#[source] io::Error),
    /// SQLite refused.
    #[error("the executor's journal cannot be used ({0}): check the disk and the file's rights")]
    Sqlite(#[source] rusqlite::Error),
}

impl JournalError {
    fn full() -> Self {
        Self::DiskFull(io::ErrorKind::StorageFull.into())
    }
}

impl From<rusqlite::Error> for JournalError {
    fn from(source: rusqlite::Error) -> Self {
        let damaged = matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
        if damaged {
            Self::Unreadable(source.to_string())
        } else if lacks_room(&source) {
            Self::full()
        } else {
            Self::Sqlite(source)
        }
    }
}

/// Whether a journal was never begun.
fn is_blank(path: &Path) -> bool {
    fs::metadata(path).map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |file| file.len() == 0)
}

fn has_receipts(folder: &Path) -> bool {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| PathBuf::from(entry.file_name()));
    names.into_iter().any(|name| name.extension().is_some_and(|extension| extension == "receipt"))
}

/// The store of [`aiemp_protocol::approval::journal`].
#[derive(Debug)]
pub struct JournalStore {
    connection: Connection,
}

impl JournalStore {
    /// Opens a home's journal; makes an empty one only where nothing was ever done.
    pub fn of(home: &Home) -> Result<Self, JournalError> {
        let (path, receipts) = (home.journal(), home.receipts());
        if is_blank(&path) && has_receipts(&receipts) {
            return Err(JournalError::Lost { path, receipts });
        }
        Self::open(&path)
    }

    /// The journal of a home that has one and may read it, for those who only look.
    pub fn of_begun(home: &Home) -> Option<Self> {
        if Self::is_begun(home) { Self::of(home).ok() } else { None }
    }

    /// Whether a home has a journal, or had one.
    pub fn is_begun(home: &Home) -> bool {
        !is_blank(&home.journal()) || has_receipts(&home.receipts())
    }

    /// Opens the journal, or makes an empty one with mode 0600.
    fn open(path: &Path) -> Result<Self, JournalError> {
        if path.is_dir() {
            return Err(JournalError::Unreadable("it is a directory".to_owned()));
        }
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        if let Err(source) = made.map(drop)
            && source.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(PrivacyError::Io { path: path.to_owned(), source }.into());
        }
        private_file::check_private(path)?;
        let is_full = |error: &_| matches!(error, JournalError::Sqlite(source) if lacks_room_at(source, path));
        Self::connect(path).map_err(|error| if is_full(&error) { JournalError::full() } else { error })
    }

    fn connect(path: &Path) -> Result<Self, JournalError> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
            0 => connection.execute_batch(&format!("BEGIN; {SCHEMA} COMMIT;"))?,
            1 => connection.execute_batch(&format!("BEGIN; {FROM_VERSION_1} {FROM_VERSION_2} COMMIT;"))?,
            2 => connection.execute_batch(&format!("BEGIN; {FROM_VERSION_2} COMMIT;"))?,
            VERSION => {}
            found => return Err(JournalError::Newer { path: path.to_owned(), found }),
        }
        Ok(Self { connection })
    }

    /// Makes the newest state of a row durable, and with it what the journal remembers of time.
    ///
    /// The bundle is written with the first state and never again.
    pub fn persist(&mut self, row: &Row, times: Times) -> Result<(), JournalError> {
        let decision = &row.verified.decision;
        let transaction = self.connection.transaction()?;
        let changed = transaction.execute(
            "UPDATE rows SET state = ?2, detail = ?3, attempts = ?4, not_before = ?5, updated = ?6, receipted = 0,
                 asked = ?7
             WHERE nonce = ?1",
            params![
                decision.nonce,
                row.state.as_str(),
                row.detail,
                row.attempts,
                signed(row.not_before),
                signed(row.changed),
                row.asked.as_ref().map(Hash::as_bytes)
            ],
        )?;
        if changed == 0 {
            let bundle = row.verified.bundle.to_bytes();
            transaction.execute(
                "INSERT INTO rows (nonce, action, work, kind, repeat_of, state, bundle, bundle_hash, detail, attempts,
                                   not_before, updated, asked)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
                params![
                    decision.nonce,
                    decision.action.0.as_bytes(),
                    row.verified.action.work.0.as_bytes(),
                    i64::try_from(row.verified.action.kind().code()).unwrap_or(i64::MAX),
                    decision.repeat_of,
                    row.state.as_str(),
                    bundle,
                    Hash::of_content(&bundle).as_bytes(),
                    row.detail,
                    row.attempts,
                    signed(row.not_before),
                    signed(row.changed),
                    row.asked.as_ref().map(Hash::as_bytes)
                ],
            )?;
        }
        remember(&transaction, times)?;
        Ok(transaction.commit()?)
    }

    /// Makes durable that the clock was settled.
    pub fn settle_clock(&mut self, times: Times) -> Result<(), JournalError> {
        Ok(remember(&self.connection, times)?)
    }

    /// All rows, each rebuilt from its own bundle and compared with what was stored beside it.
    ///
    /// Neither expiry nor roster is asked: what was verified when it was stored stays valid. Attachments of rows that
    /// are at their end are left out, for nothing sends them any more.
    pub fn load(&self) -> Result<Vec<Row>, JournalError> {
        let mut statement = self.connection.prepare(
            "SELECT nonce, action, state, bundle, bundle_hash, detail, attempts, not_before, updated, asked
             FROM rows ORDER BY nonce",
        )?;
        let mut rows = statement.query([])?;
        let mut loaded = Vec::new();
        while let Some(row) = rows.next()? {
            let nonce: Nonce = row.get(0)?;
            let action: [u8; 32] = row.get(1)?;
            let (state, bundle, hash): (String, Vec<u8>, [u8; 32]) = (row.get(2)?, row.get(3)?, row.get(4)?);
            let damaged = |why: String| JournalError::Damaged { nonce: HEXLOWER.encode(&nonce), why };
            if Hash::of_content(&bundle) != Hash::from_bytes(hash) {
                return Err(damaged("its bundle does not have the stored hash".to_owned()));
            }
            let state = State::EACH.into_iter().find(|each| each.as_str() == state);
            let state = state.ok_or_else(|| damaged("its state is unknown".to_owned()))?;
            let mut verified = verified_before(&bundle).map_err(|error| damaged(error.to_string()))?;
            if verified.decision.nonce != nonce || verified.decision.action.0.as_bytes() != &action {
                return Err(damaged("its bundle belongs to another row".to_owned()));
            }
            if !matches!(state, State::Reserved | State::Dispatching) {
                verified.bundle.attachments.clear();
            }
            let (not_before, changed) = (unsigned(row.get(7)?), unsigned(row.get(8)?));
            let (detail, attempts) = (row.get(5)?, row.get(6)?);
            let asked = row.get::<_, Option<_>>(9)?.map(Hash::from_bytes);
            loaded.push(Row { verified, state, detail, attempts, not_before, changed, asked });
        }
        Ok(loaded)
    }

    /// Actions that were taken up and are not at their end, each with what it waits for as far as the journal says.
    pub fn waiting(&self) -> Result<Vec<(String, String)>, JournalError> {
        let mut statement = self
            .connection
            .prepare("SELECT action, detail FROM rows WHERE state IN ('reserved', 'dispatching') ORDER BY nonce")?;
        let told = |row: &rusqlite::Row<'_>| Ok((HEXLOWER.encode(&row.get::<_, [u8; 32]>(0)?), row.get(1)?));
        Ok(statement.query_map([], told)?.collect::<Result<_, _>>()?)
    }

    /// What the journal remembers of time.
    pub fn times(&self) -> Result<Times, JournalError> {
        let query = "SELECT highest_time, guard_time, clock_settled FROM meta";
        let times: (i64, i64, i64) =
            self.connection.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(Times { highest: unsigned(times.0), guard: unsigned(times.1), settled: unsigned(times.2) })
    }

    /// The newest roster that was seen: its epoch and hash.
    pub fn roster_seen(&self) -> Result<Option<(u64, Hash)>, JournalError> {
        let query = "SELECT epoch, roster FROM meta WHERE roster IS NOT NULL";
        let seen = self.connection.query_row(query, [], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?))).optional()?;
        Ok(seen.map(|(epoch, hash)| (epoch.unsigned_abs(), Hash::from_bytes(hash))))
    }

    /// Remembers a newer roster.
    pub fn see_roster(&mut self, epoch: u64, hash: Hash) -> Result<(), JournalError> {
        let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
        let update = "UPDATE meta SET epoch = ?1, roster = ?2 WHERE epoch < ?1";
        self.connection.execute(update, params![epoch, hash.as_bytes()])?;
        Ok(())
    }

    /// Remembers that the receipt of a row's state was written; another state that came meanwhile is left alone.
    pub fn receipt_written(&mut self, nonce: Nonce, state: State) -> Result<(), JournalError> {
        let update = "UPDATE rows SET receipted = 1 WHERE nonce = ?1 AND state = ?2";
        self.connection.execute(update, params![nonce, state.as_str()])?;
        Ok(())
    }

    /// Rows whose state asks for a receipt that was not written: the process ended in between.
    pub fn without_receipt(&self) -> Result<Vec<Nonce>, JournalError> {
        let mut statement = self.connection.prepare(
            "SELECT nonce FROM rows WHERE receipted = 0
             AND (state IN ('sent', 'failed', 'unknown') OR (state = 'reserved' AND attempts = 0)) ORDER BY nonce",
        )?;
        let nonces = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(nonces)
    }
}

#[derive(Debug, Error)]
enum RebuildError {
    #[error(transparent)]
    Bundle(#[from] CborError),
    #[error(transparent)]
    Decision(#[from] CoseError),
    #[error(transparent)]
    Action(#[from] ActionError),
    #[error(transparent)]
    Standing(#[from] standing::RebuildError),
    #[error("its action is not the one that was approved")]
    OtherAction,
}

/// The times go back only where a later word on the clock says so.
fn remember(connection: &Connection, times: Times) -> Result<(), rusqlite::Error> {
    connection.execute(
        "UPDATE meta SET highest_time = max(highest_time, ?1),
             guard_time = CASE WHEN ?3 > clock_settled THEN ?2 ELSE max(guard_time, ?2) END,
             clock_settled = max(clock_settled, ?3)",
        params![signed(times.highest), signed(times.guard), signed(times.settled)],
    )?;
    Ok(())
}

/// What [`Bundle::verify`] gave when the row was stored.
fn verified_before(bytes: &[u8]) -> Result<Verified, RebuildError> {
    let bundle = Bundle::from_bytes(bytes)?;
    if let Some(rebuilt) = Verified::under_standing(&bundle) {
        return Ok(rebuilt?);
    }
    let decision = Decision::from_signed_unverified(&bundle.approval)?;
    let action = Action::from_bytes(&bundle.action)?;
    if action.hash() != decision.action {
        return Err(RebuildError::OtherAction);
    }
    Ok(Verified { decision, action, bundle, standing: None })
}

fn signed(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn unsigned(millis: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests;
