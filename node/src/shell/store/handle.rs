//! What the store's thread is told, and what it answers.

use std::collections::BTreeSet;

use aiemp_crdt::vault;
use aiemp_keys::NodeId;
use aiemp_protocol::{
    entry::ContentRef,
    ids::{ContentHash, LogId},
    replication::{self, Missing, Record, StoredEntry},
    time::Timestamp,
};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::{Write, error::StoreError};

/// What the store is to do.
#[derive(Debug)]
pub enum Command {
    /// Make a record durable, then answer `Persisted`. A roster must lie in its own file before it is handed in.
    Persist(replication::EffectId, Record),
    /// Make something durable without an answer. A projection may wait for others.
    Write(Write),
    /// Answer `EntriesRead`.
    ReadEntries {
        /// The answer's id.
        effect: replication::EffectId,
        /// Which log.
        log: LogId,
        /// From which seq.
        from_seq: u64,
        /// At most so many.
        count: u64,
    },
    /// Answer `PayloadRead`.
    ReadPayload {
        /// The answer's id.
        effect: replication::EffectId,
        /// Which.
        hash: ContentHash,
        /// Whether the asker may read shared payloads only.
        shared_only: bool,
    },
    /// Answer `Loaded`.
    Load {
        /// The answer's id.
        effect: vault::EffectId,
        /// The content that a file starts from.
        base: ContentHash,
        /// Its changes, in the order wanted after the base: only what was screened as one.
        changes: Vec<ContentRef>,
        /// Whether only shared ones may be read.
        shared_only: bool,
    },
    /// Answer `QueueRead`.
    ReadQueue {
        /// For whom the messages are.
        peer: NodeId,
        /// The present time: what expired is left out.
        now: Timestamp,
    },
    /// Forget payloads at leisure: what is `gone`, and what of `unwanted` is missing. Of what was forgotten before, the rest
    /// is needed again: answer `PayloadsLost`.
    Forget {
        /// Not kept.
        gone: BTreeSet<ContentHash>,
        /// Not asked for.
        unwanted: BTreeSet<ContentHash>,
    },
    /// Make all that came before durable, then say so at once; the sender is dropped when that failed.
    Flush(oneshot::Sender<()>),
}

/// What the store answers, in the order of the commands.
#[derive(Debug)]
pub enum StoreEvent {
    /// A `Persist` is durable.
    Persisted(replication::EffectId),
    /// A `ReadEntries` is answered, in order of seq.
    EntriesRead(replication::EffectId, Vec<StoredEntry>),
    /// A `ReadPayload` is answered; `None` when the payload is not held or not for the asker.
    PayloadRead(replication::EffectId, Option<Vec<u8>>),
    /// A `Load` is answered, in the order asked.
    Loaded(vault::EffectId, Vec<Option<Vec<u8>>>),
    /// Payloads were damaged, or are needed again after they were forgotten: they are to be asked for as what entries call them.
    PayloadsLost(Vec<Missing>),
    /// A `ReadQueue` is answered: ids and messages, oldest first.
    QueueRead(NodeId, Vec<(String, Vec<u8>)>),
    /// The store cannot be trusted any more; the last event. What is not answered yet never will be.
    Failed(StoreError),
}

/// The store's thread has ended; why, its last event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the store has stopped")]
pub struct StoreGone;

/// The way to the store's thread, which commits what it has and ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub struct StoreHandle(pub(super) mpsc::Sender<Command>);

impl StoreHandle {
    /// Hands over a command, waiting for room.
    pub async fn send(&self, command: Command) -> Result<(), StoreGone> {
        self.0.send(command).await.map_err(|_| StoreGone)
    }

    /// Waits until all that was handed over before is durable.
    pub async fn flush(&self) -> Result<(), StoreGone> {
        let (done, flushed) = oneshot::channel();
        self.send(Command::Flush(done)).await?;
        flushed.await.map_err(|_| StoreGone)
    }
}
