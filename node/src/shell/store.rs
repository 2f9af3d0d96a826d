//! The store: what must survive a crash, in one SQLite file that only its owner can read.
//!
//! A [`Store`] is synchronous and serves one thread; a running node gives it to [`spawn`], which makes it the one
//! writer. What is stored has a BLAKE3 digest that every read checks, for SQLite itself does not notice a flipped bit
//! in a value. A payload that is damaged is forgotten and asked of the peers again; after any other error the store is
//! to be closed: what a failed commit left behind is known only after opening the file again, and of a damaged file
//! [`salvage`] makes a new one.
//!
//! A payload is *shared* once an entry for every member came together with its bytes. An entry that only names a
//! digest proves nothing about its author having the bytes, so it opens no payload that is held as private: the
//! payload counts as missing until somebody sends it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use aiemp_crdt::vault::Projection;
use aiemp_keys::{NodeId, cbor};
use aiemp_protocol::{
    ids::LogId,
    replication::{Frozen, Missing, Record},
    time::Timestamp,
};
use rusqlite::Connection;

use super::vault_disk::{StampName, Stamped};

mod actor;
mod error;
mod files;
mod forget;
mod handle;
mod lost;
mod order;
mod read;
mod rows;
mod salvage;
mod schema;
#[cfg(test)]
mod tests;
mod upgrade;
mod write;

pub use actor::spawn;
pub use error::{Damage, StoreError};
pub use files::kept_damaged;
pub use handle::{Command, StoreEvent, StoreGone, StoreHandle};
pub use salvage::{Salvaged, salvage};

/// The logs and what hangs on them, on disk.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
}

/// One thing to make durable.
#[derive(Clone, Debug)]
pub enum Write {
    /// Part of a log. Rosters lie in a file of their own and are passed over here.
    Record(Record),
    /// What lies on disk at a canonical key; `None` forgets it.
    Projection {
        /// The canonical key.
        key: String,
        /// What lies there.
        projection: Option<Projection>,
    },
    /// A message that waits for an absent peer; one of the same id is replaced.
    Queue {
        /// To whom.
        peer: NodeId,
        /// The message's id, unique for its peer.
        id: String,
        /// The message.
        bytes: Vec<u8>,
        /// Since when it waits.
        created: Timestamp,
        /// When it is dropped.
        expires: Timestamp,
    },
    /// A message was delivered or withdrawn.
    Unqueue {
        /// To whom it was.
        peer: NodeId,
        /// Its id.
        id: String,
    },
    /// Messages whose time is over are dropped.
    ExpireQueue {
        /// The present time.
        now: Timestamp,
    },
    /// Takes the entries of a log after `keep` out: they stand nowhere else, and their author writes them anew.
    Truncate {
        /// The log.
        log: LogId,
        /// Its last entry that stands.
        keep: u64,
    },
    /// What files look like from outside; none for what is forgotten.
    Stamps(Vec<(StampName, Option<Stamped>)>),
    /// A value of the node's own.
    Meta {
        /// Its name.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
}

/// An entry as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadedEntry {
    /// Its log.
    pub log: LogId,
    /// The COSE_Sign1.
    pub cose: Vec<u8>,
    /// When it was taken.
    pub received: Timestamp,
}

/// What a node starts from.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Entries, in the order in which they were made durable.
    pub entries: Vec<LoadedEntry>,
    /// Logs found invalid, with the reason.
    pub frozen: BTreeMap<LogId, Frozen>,
    /// Payloads that entries refer to and that have yet to come.
    pub missing: BTreeSet<Missing>,
    /// What lay on disk when it was last looked at, by canonical key.
    pub projections: BTreeMap<String, Projection>,
    /// What files looked like from outside when they were read.
    pub stamps: BTreeMap<StampName, Stamped>,
}

/// The lowest generation that this node may write.
const GENERATION: &str = "generation";

/// Notes the lowest generation that this node may write.
pub fn generation(generation: u64) -> Write {
    Write::Meta { key: GENERATION.to_owned(), value: generation.to_be_bytes().to_vec() }
}

impl Store {
    /// The lowest generation that this node may write.
    pub fn lowest_generation(&self) -> Result<u64, StoreError> {
        let noted = self.read_meta(GENERATION)?.and_then(|bytes| bytes.try_into().ok());
        Ok(noted.map_or(0, u64::from_be_bytes))
    }

    /// Opens a store beside the node that may be running: one of a version before is left as it is.
    pub fn open_beside(path: &Path) -> Result<Self, StoreError> {
        schema::open_beside(path).map(|connection| Self { connection }).map_err(|error| error.at(path))
    }

    /// Opens the store at `path`, making an empty one (mode 0600) where there is none; its directory must exist.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        schema::open(path).map(|connection| Self { connection }).map_err(|error| error.at(path))
    }
}

/// A log's name in the store: its wire form.
fn log_key(log: LogId) -> Vec<u8> {
    cbor::encode(&log.to_value())
}

/// SQLite's integers are signed; nothing that is counted here comes near the end of their range.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
