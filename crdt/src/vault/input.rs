//! What happens to the vault: past tense, one variant each.

use super::undo::UndoFrom;
use aiemp_protocol::{
    causality::Past,
    egress::Cleared,
    ids::{ConflictId, ContentHash, FileId, LogId, WorkId},
    replication::EntryWithPayloads,
    vault_path::VaultPath,
};

/// Tells the answer of a slow effect from another's. Counted up by the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId(pub u64);

/// Where this node's own logs stand: new files are named by their position.
#[derive(Clone, Copy, Debug)]
pub struct Positions {
    /// The log for every member and its next seq.
    pub all: (LogId, u64),
    /// The log for Local nodes and its next seq.
    pub local: (LogId, u64),
}

/// How a write of a file ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// The new content is on disk, what was there was what we expected.
    Written,
    /// The new content is on disk; what it displaced was not what we expected but these bytes.
    Displaced(Vec<u8>),
    /// Nothing was written: where nothing was expected, these bytes lie.
    Occupied(Vec<u8>),
    /// Nothing was written: what is no file of the vault lies there, or where a folder of the place should be.
    InTheWay,
    /// Nothing was written; the shell told the operator why.
    Failed,
}

/// How a removal ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoveOutcome {
    /// The file is gone.
    Removed,
    /// The file is gone; it held these bytes, not what we expected.
    Changed(Vec<u8>),
    /// Nothing was removed; the shell told the operator why.
    Failed,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// Files settled on disk: new, changed, or gone. The guard let the contents pass.
    FilesChanged {
        /// Paths with their whole content.
        changed: Vec<(VaultPath, Cleared<Vec<u8>>)>,
        /// Paths at which nothing lies any more.
        removed: Vec<VaultPath>,
        /// Files whose name or content keeps them out of the logs.
        kept_out: Vec<(VaultPath, ContentHash)>,
    },
    /// An entry applies, this node's own included.
    Applied {
        /// The entry with the payloads at hand.
        entry: EntryWithPayloads,
        /// What its author had.
        past: Past,
    },
    /// A payload that an applied entry lacked is stored.
    PayloadArrived(ContentHash),
    /// A `Load` is answered, in the order asked; `None` where the payload is not stored.
    Loaded(EffectId, Vec<Option<Vec<u8>>>),
    /// A `WriteFile` ended.
    FileWritten(EffectId, WriteOutcome),
    /// A `RemoveFile` ended.
    FileRemoved(EffectId, RemoveOutcome),
    /// Everything stored was given back and the disk was scanned where something was known to lie: project what differs.
    Restored,
    /// The vault was looked through to its end since the start.
    Scanned,
    /// The node itself creates a note; one that exists by this id already stays as it is.
    CreateRequested {
        /// Its id.
        file: FileId,
        /// Where.
        path: VaultPath,
        /// Its content.
        content: Cleared<Vec<u8>>,
    },
    /// The node itself replaces a note's text.
    RewriteRequested {
        /// The note.
        file: FileId,
        /// The whole new text.
        content: Cleared<Vec<u8>>,
    },
    /// The node itself moves a file; across zones it becomes a new file and the old one is archived.
    MoveRequested {
        /// The file.
        file: FileId,
        /// Where to.
        to: VaultPath,
    },
    /// Notes whose documents are to start anew from what they say.
    CompactRequested(Vec<FileId>),
    /// The node itself archives a note if it says exactly this; one that says something else stays in sight.
    ArchiveAsRequested {
        /// The note.
        file: FileId,
        /// Digest of what it should say.
        content: ContentHash,
    },
    /// The node itself brings an archived file back.
    UnarchiveRequested(FileId),
    /// The node takes a piece of work: a move into its claim folder, with a lease.
    ClaimRequested {
        /// The work.
        work: WorkId,
        /// The task note.
        file: FileId,
        /// Its place in the claim folder.
        to: VaultPath,
    },
    /// The node goes on with a piece of work that it claimed, or takes it up again: the lease begins anew.
    RenewRequested {
        /// The work.
        work: WorkId,
        /// The task note in the claim folder.
        file: FileId,
    },
    /// A conflict item is closed by a person.
    ResolveRequested {
        /// The item.
        id: ConflictId,
        /// How.
        choice: Choice,
    },
    /// What these logs say from these entries on is to be taken back; answered by `Undone`.
    UndoRequested {
        /// The asker's number.
        request: u64,
        /// Log, and its first entry that is taken back.
        from: UndoFrom,
    },
    /// Someone wants to know what a file said; answered by `Content`.
    PastRequested {
        /// The asker's number.
        request: u64,
        /// The file.
        file: FileId,
        /// Which of the contents that it had then.
        base: ContentHash,
        /// Log, and its first entry that had not come by then.
        before: UndoFrom,
    },
    /// A file gets its place and a content of before.
    RestoreRequested {
        /// The file.
        file: FileId,
        /// The place.
        path: VaultPath,
        /// The content, as the guard passed it.
        content: Cleared<Vec<u8>>,
    },
    /// Someone wants a file's content.
    ReadRequested {
        /// The asker's number.
        request: u64,
        /// The file.
        file: FileId,
    },
    /// The shell looked whether the vault's folder is in its place.
    PlaceChecked {
        /// Whether another folder lies there, or none: then nothing counts as removed, and nothing is written.
        is_away: bool,
    },
    /// The time that `poll_timeout` named has come.
    TimeoutReached,
}

/// How a conflict is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// One side's text stands; its index in the item.
    Side(usize),
    /// What is shown stands, or for a deleted note: the note comes back with the edits.
    Both,
    /// This text stands.
    With(Vec<u8>),
}
