//! What the machine wants done: imperative, in one ordered queue.

use std::collections::BTreeMap;

use aiemp_keys::NodeId;

use super::{
    Missing,
    admission::WaitReason,
    input::{EffectId, EntryWithPayloads},
};
use crate::{
    causality::Past,
    egress::Cleared,
    frame::Frame,
    freeze::FreezeRecord,
    ids::{ContentHash, LogId},
    roster::RosterError,
    time::Timestamp,
};

/// Why a session is closed. The node itself lives on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerFault {
    /// It is not in the roster.
    NotAMember,
    /// An entry's signature does not verify, so the author did not say it.
    BadSignature,
    /// An entry is not in the strict form.
    BadForm,
    /// A payload does not have the digest that the entry signs.
    PayloadMismatch,
    /// It offered a log of an audience that one side may not read.
    AudienceLeak,
    /// It said to hold entries of this node's own logs, and did not show them.
    Unshown,
    /// Its roster was refused.
    BadRoster(RosterError),
}

/// Why a log is invalid for ever, at the same seq on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FreezeReason {
    /// Its author signed two entries for one place.
    Equivocation,
    /// A signed entry breaks the form or a cap.
    Malformed,
    /// It names an older epoch than the entry before.
    EpochFell,
    /// An item writes a zone that the author may not write.
    ForeignZone,
    /// A path lies outside the zone of its file, or may not be in any log.
    PathOutsideZone,
    /// The file's audience is not the log's.
    AudienceMismatch,
}

impl FreezeReason {
    /// The code in the store and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equivocation => "equivocation",
            Self::Malformed => "malformed",
            Self::EpochFell => "epoch_fell",
            Self::ForeignZone => "foreign_zone",
            Self::PathOutsideZone => "path_outside_zone",
            Self::AudienceMismatch => "audience_mismatch",
        }
    }

    /// Reads the code.
    pub fn parse(code: &str) -> Option<Self> {
        [
            Self::Equivocation,
            Self::Malformed,
            Self::EpochFell,
            Self::ForeignZone,
            Self::PathOutsideZone,
            Self::AudienceMismatch,
        ]
        .into_iter()
        .find(|reason| reason.as_str() == code)
    }
}

/// What is to become durable in one step.
#[derive(Clone, Debug)]
pub enum Record {
    /// An entry and the payloads at hand.
    Entry {
        /// Both.
        entry: EntryWithPayloads,
        /// When it was taken here: daily amounts count by it.
        received: Timestamp,
    },
    /// A payload that was fetched, and for what: a change was screened.
    Payload(Missing, Vec<u8>),
    /// A log that is invalid, with the entry that shows it.
    Frozen {
        /// The log.
        log: LogId,
        /// Why.
        reason: FreezeReason,
        /// The offending entry's COSE_Sign1.
        evidence: Vec<u8>,
    },
    /// A roster that extends the chain.
    Roster(Vec<u8>),
}

/// What to do.
#[derive(Debug)]
pub enum Output {
    /// Make it durable, then answer `Persisted`.
    Persist(EffectId, Record),
    /// Send a frame on the peer's replication stream.
    SendFrame {
        /// To whom.
        peer: NodeId,
        /// What the guard let pass.
        frame: Cleared<Frame>,
    },
    /// Read entries, then answer `EntriesRead`.
    ReadEntries {
        /// The answer's id.
        effect: EffectId,
        /// Which log.
        log: LogId,
        /// From which seq.
        from_seq: u64,
        /// At most so many.
        count: u64,
    },
    /// Read a payload, then answer `PayloadRead`.
    ReadPayload {
        /// The answer's id.
        effect: EffectId,
        /// Which.
        hash: ContentHash,
        /// Whether the asker may read shared payloads only: a digest guessed right must not open a private one.
        shared_only: bool,
    },
    /// Decode changes where a fault of the decoder does no harm, then answer `ChangesScreened`.
    Screen {
        /// The answer's id.
        effect: EffectId,
        /// The raw changes.
        changes: Vec<Vec<u8>>,
    },
    /// An entry is durable and everything it saw has been applied before: hand it to the vault.
    Apply {
        /// The entry with the payloads at hand.
        entry: EntryWithPayloads,
        /// What its author had.
        past: Past,
    },
    /// A payload that an applied entry lacked is durable.
    PayloadArrived(ContentHash),
    /// A roster of the chain is durable.
    RosterInstalled,
    /// Somebody stopped, or was let go on. A record that came from a peer is to be kept.
    BrakeChanged {
        /// What was said.
        record: FreezeRecord,
        /// The signed record, where it came from a peer.
        keep: Option<Vec<u8>>,
    },
    /// Close the session.
    ClosePeer {
        /// Whose.
        peer: NodeId,
        /// Why.
        fault: PeerFault,
    },
    /// Tell the operator: a log is frozen.
    ReportFrozen {
        /// The log.
        log: LogId,
        /// Why.
        reason: FreezeReason,
    },
    /// Keep a roster that the root key signed beside the one in force, and tell the operator: nothing is to be approved
    /// or executed in a mesh that has two of them.
    ReportRosterFork {
        /// The other roster, in its wire form.
        bytes: Vec<u8>,
    },
    /// Tell the operator: a change did not pass the screening and was dropped.
    ReportDropped {
        /// Its digest.
        hash: ContentHash,
        /// Whose it was, where one entry brought it.
        author: Option<NodeId>,
    },
    /// Tell the operator: a log is not followed for now.
    ReportWaiting {
        /// The log.
        log: LogId,
        /// Why.
        reason: WaitReason,
    },
    /// Tell the operator: this node's own store was restored from an older copy; it writes a new generation now.
    ReportRestored {
        /// The generation it writes from now on.
        generation: u64,
    },
    /// What is held forked from what stands: end, forget what follows in these logs, and start again; where one of them
    /// is this node's own, in the next generation.
    ReportDiverged {
        /// The logs, each with its last entry that stands.
        keep: BTreeMap<LogId, u64>,
    },
    /// Tell the operator: a payload was withheld from a peer by the guard.
    ReportWithheld {
        /// From whom.
        peer: NodeId,
        /// Why.
        why: crate::egress::Held,
    },
}
