//! What happens to the machine: past tense, one variant each.

use std::collections::BTreeSet;

use super::Missing;
use crate::{
    entry::{Item, SignedEntry},
    frame::Frame,
    ids::{Audience, ContentHash, LogId},
    roster::RosterChain,
};
use aiemp_keys::NodeId;

/// Tells the answer of a slow effect from another's. Counted up by the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId(pub u64);

/// An entry with the payloads that are at hand, parallel to its items that have one.
#[derive(Clone, Debug)]
pub struct EntryWithPayloads {
    /// The entry.
    pub signed: SignedEntry,
    /// For each item with a payload, in order: the payload if it is at hand.
    pub payloads: Vec<Option<Vec<u8>>>,
}

impl EntryWithPayloads {
    /// The payloads that its items name, in order.
    pub fn carried(&self) -> impl Iterator<Item = Carried<'_>> {
        let is_shared = self.signed.log.audience == Audience::All;
        let of_items = self.signed.entry.items.iter().filter_map(|item| Some((item, item.payload()?)));
        of_items.zip(&self.payloads).map(move |((item, (hash, length)), payload)| {
            let is_change = matches!(item, Item::Change { .. });
            Carried { named: Missing { hash, length, is_change, is_shared }, payload: payload.as_ref() }
        })
    }

    /// Those that are not at hand.
    pub fn absent(&self) -> impl Iterator<Item = Missing> + '_ {
        self.carried().filter(|carried| carried.payload.is_none()).map(|carried| carried.named)
    }
}

/// A payload that an item of an entry names.
#[derive(Clone, Copy, Debug)]
pub struct Carried<'a> {
    /// What the entry says of it.
    pub named: Missing,
    /// The payload, if it is at hand.
    pub payload: Option<&'a Vec<u8>>,
}

/// An entry as the store gives it back.
#[derive(Clone, Debug)]
pub struct StoredEntry {
    /// Its log.
    pub log: LogId,
    /// The COSE_Sign1.
    pub cose: Vec<u8>,
    /// For each item with a payload, in order: the payload if it is inline and held.
    pub payloads: Vec<Option<Vec<u8>>>,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A member's session opened; the transport has proved its identity.
    PeerConnected(NodeId),
    /// The session ended.
    PeerDisconnected(NodeId),
    /// A frame arrived.
    FrameReceived {
        /// From whom.
        peer: NodeId,
        /// The frame, its form checked.
        frame: Frame,
    },
    /// This node has something to say.
    AppendRequested {
        /// To whom.
        audience: Audience,
        /// The transaction, within the caps of one entry.
        items: Vec<Item>,
        /// For each item with a payload, in order: the payload, or none where an entry before brought or named it.
        payloads: Vec<Option<Vec<u8>>>,
    },
    /// A `Persist` is durable.
    Persisted(EffectId),
    /// A `ReadEntries` is answered, in order of seq.
    EntriesRead(EffectId, Vec<StoredEntry>),
    /// A `ReadPayload` is answered; `None` when the payload is not held.
    PayloadRead(EffectId, Option<Vec<u8>>),
    /// Payloads that were held are damaged: what entries call them is lacked again.
    PayloadsLost(Vec<Missing>),
    /// Nobody needs these payloads any more: what of them is lacked is not asked for.
    PayloadsForgotten(BTreeSet<ContentHash>),
    /// The roster chain grew by pairing or by the command line.
    RosterChanged(RosterChain),
    /// A `Screen` is answered: for each change, in order, whether it passed.
    ChangesScreened(EffectId, Vec<bool>),
    /// A freeze record lies in this node's home.
    FreezeFound(Vec<u8>),
    /// The disk was looked at.
    DiskChecked {
        /// Whether so little is free that peers have to wait.
        full: bool,
    },
    /// The time that `poll_timeout` named has come.
    TimeoutReached,
}
