//! What can be wrong with the store, and what an operator does about it.

use std::path::{Path, PathBuf};

use aiemp_keys::PrivacyError;
use aiemp_protocol::ids::{ContentHash, LogId};
use rusqlite::ErrorCode;
use thiserror::Error;

use crate::{fault::lacks_room, shell::free_space::lacks_room_at};

/// Why the store was not opened, read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Others may read the file, or it cannot be made.
    #[error(transparent)]
    Privacy(#[from] PrivacyError),
    /// A newer program wrote it.
    #[error(
        "{path} was written by a newer aiemp-node (store version {found}, this one knows {known}): update the binary",
        path = path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// The version of this program.
        known: i32,
    },
    /// An older program wrote it, and one may have it open.
    #[error("{path} was written by an older aiemp-node: start the node once with this version, then try again", path = path.display())]
    Older {
        /// The file.
        path: PathBuf,
    },
    /// A SQLite file of another program.
    #[error("{path} is no store of aiemp-node: move it away and start again", path = path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file system lacks what a write-ahead log needs.
    #[error(
        "{path} cannot keep a write-ahead log (journal mode {mode}): put the home on a local disk",
        path = path.display()
    )]
    NoWriteAheadLog {
        /// The file.
        path: PathBuf,
        /// What SQLite fell back to.
        mode: String,
    },
    /// What is on disk is not what was written.
    #[error("the store is damaged: {0}; stop the node and run `aiemp-node doctor --repair`")]
    Corrupt(Damage),
    /// Two entries for one place of a log.
    #[error(
        "{log:?} already holds another entry {seq}: nothing was written; stop the node and run `aiemp-node doctor`"
    )]
    Conflict {
        /// The log.
        log: LogId,
        /// The place.
        seq: u64,
    },
    /// No room.
    #[error("the disk of the store is full: free some space and start the node again; nothing was half written")]
    DiskFull,
    /// SQLite or the operating system refused.
    #[error("the store cannot be used ({0}): check the disk and the file's rights, then start the node again")]
    Sqlite(#[source] rusqlite::Error),
    /// A file beside the store cannot be made, read or moved.
    #[error("the store's file cannot be copied or moved ({0}): check the disk's space and the rights of its folder")]
    File(#[source] std::io::Error),
    /// The thread of the store did not start.
    #[error("the store's thread did not start ({0}): check the limits on processes and files of this user")]
    Thread(#[source] std::io::Error),
}

/// Where the store is damaged.
#[derive(Debug, Error)]
pub enum Damage {
    /// SQLite itself noticed.
    #[error("{0}")]
    File(#[source] rusqlite::Error),
    /// It says that it is a store, but of no version that ever was.
    #[error("it says to be of the impossible version {0}")]
    Version(i32),
    /// Its tables are not those that were made.
    #[error("its tables are not as they were made")]
    Tables,
    /// The bytes of a payload do not have its hash.
    #[error("payload {0} does not have its hash")]
    Payload(ContentHash),
    /// The row of an entry does not have its digest.
    #[error("entry {seq} of {log:?} does not have its digest")]
    Entry {
        /// The log.
        log: LogId,
        /// The place.
        seq: u64,
    },
    /// Entries of a log are not there one after the other.
    #[error("entry {seq} of {log:?} is not there")]
    Gap {
        /// The log.
        log: LogId,
        /// The place.
        seq: u64,
    },
    /// A row of the table is not what was written.
    #[error("table {0} holds a row that nobody wrote")]
    Row(&'static str),
    /// Rows of the table are there for one of its indexes and not for the other.
    #[error("table {0} has lost rows")]
    Rows(&'static str),
}

impl StoreError {
    /// Tells a disk without room from one that fails, of an error at opening the store.
    pub(super) fn at(self, path: &Path) -> Self {
        let is_full = matches!(&self, Self::Sqlite(source) if lacks_room_at(source, path));
        if is_full { Self::DiskFull } else { self }
    }
}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> Self {
        Self::Corrupt(damage)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(source: rusqlite::Error) -> Self {
        let damaged = matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase));
        let mistyped = matches!(
            source,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..)
        );
        if damaged || mistyped {
            return Damage::File(source).into();
        }
        if lacks_room(&source) {
            return Self::DiskFull;
        }
        Self::Sqlite(source)
    }
}
