//! What happens to the node: past tense, one variant each.

use super::{
    agent::{Ask, Session},
    arrivals::Arrival,
    brains::{BrainFault, BrainRun},
    reports::Report,
    troubles::Trouble,
};
use aiemp_crdt::vault::{self, Choice, RemoveOutcome, WriteOutcome};
use aiemp_keys::NodeId;
use aiemp_protocol::{
    approval::{Receipt, Standing},
    egress::Releases,
    frame::Frame,
    ids::{ConflictId, FileId},
    replication::{self, StoredEntry},
    roster::RosterChain,
    time::Timestamp,
    vault_path::VaultPath,
};
use chrono::NaiveDate;

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// Everything stored was given back and the disk was scanned.
    Restored,
    /// The vault was looked through to its end since the start.
    Scanned,
    /// A member's session opened.
    PeerConnected(NodeId),
    /// It ended.
    PeerDisconnected(NodeId),
    /// A frame arrived.
    FrameReceived {
        /// From whom.
        peer: NodeId,
        /// The frame.
        frame: Frame,
    },
    /// Files settled on disk.
    FilesChanged {
        /// New and changed ones with their content.
        changed: Vec<(VaultPath, Vec<u8>)>,
        /// Paths at which nothing lies any more.
        removed: Vec<VaultPath>,
    },
    /// A record is durable.
    Persisted(replication::EffectId),
    /// Entries were read.
    EntriesRead(replication::EffectId, Vec<StoredEntry>),
    /// A payload was read.
    PayloadRead(replication::EffectId, Option<Vec<u8>>),
    /// Payloads in the store are damaged and forgotten: what entries call them is lacked again.
    PayloadsLost(Vec<replication::Missing>),
    /// Payloads were read for the vault.
    Loaded(vault::EffectId, Vec<Option<Vec<u8>>>),
    /// A file was written.
    FileWritten(vault::EffectId, WriteOutcome),
    /// A file was removed.
    FileRemoved(vault::EffectId, RemoveOutcome),
    /// A run of the brain ended.
    BrainAnswered(BrainId, Result<BrainRun, BrainFault>),
    /// The executor wrote a receipt; its signature was verified.
    ReceiptFound(Receipt),
    /// A member calls, as agents do.
    Called {
        /// The answer's number.
        request: u64,
        /// Who.
        peer: NodeId,
        /// The call's body.
        body: Vec<u8>,
    },
    /// The roster chain grew by a command.
    RosterChanged(RosterChain),
    /// Somebody asks through the control socket.
    Asked {
        /// The asker's number.
        request: u64,
        /// What.
        question: Question,
    },
    /// Changes were decoded: for each, in order, whether it passed.
    ChangesScreened(replication::EffectId, Vec<bool>),
    /// The person let something out that the guard holds, or took that back.
    ReleasesChanged(Releases),
    /// The standing approvals of the home are these; each was verified.
    StandingChanged(Vec<Standing>),
    /// A freeze record lies in the home.
    FreezeFound(Vec<u8>),
    /// It was looked what is not as it should be: all of it.
    TroublesFound(Vec<Trouble>),
    /// It is time for a report; the day is that where the person is.
    ReportDue(Report, NaiveDate),
    /// The disk was looked at.
    DiskChecked {
        /// Whether so little is free that peers have to wait.
        full: bool,
    },
    /// It was looked at what lies at the vault's path.
    PlaceChecked {
        /// Whether that is not the vault's folder.
        is_away: bool,
    },
    /// The time that `poll_timeout` named has come.
    TimeoutReached,
}

/// Tells one run of the brain from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BrainId(pub u64);

/// What can be asked of a running node. None of it needs a key.
#[derive(Debug)]
pub enum Question {
    /// The drafts that wait for approval, and what became of those approved.
    Drafts,
    /// The content of the file at a path.
    File(VaultPath),
    /// The open conflicts.
    Conflicts,
    /// Close a conflict.
    Resolve {
        /// Which.
        id: ConflictId,
        /// How.
        choice: Choice,
    },
    /// Turn a draft down.
    Reject {
        /// Which.
        file: FileId,
        /// Why, for whoever drafted it.
        reason: String,
    },
    /// Take back what a member did since then, as far as this node may write there.
    Undo {
        /// Who did it.
        author: NodeId,
        /// From when on, by this node's clock.
        since: Timestamp,
    },
    /// What was done to the files that ever lay at a path.
    History(VaultPath),
    /// The files that lay at a path at a time, or in the folder that it names.
    Past {
        /// The path; none is the whole vault.
        path: Option<VaultPath>,
        /// When.
        at: Timestamp,
        /// Whether they get their places and contents of then back.
        restore: bool,
    },
    /// Who has which work in hand.
    Claims,
    /// What an agent asks.
    Agent {
        /// Its session.
        session: Session,
        /// What.
        ask: Ask,
    },
    /// Make a task of what came.
    Arrived(Box<Arrival>),
    /// How the node is.
    Status,
    /// What this node holds of each log, and what each member has used.
    Logs,
}
