//! What the node wants done: imperative, in one ordered queue.

use std::collections::BTreeSet;

use aiemp_crdt::{
    conflict::Conflict,
    vault::{self, Event, HoldReason, Projection, Written},
};
use aiemp_keys::NodeId;
use aiemp_protocol::{
    approval::{Receipt, StandingId, standing::Request},
    egress::{Cleared, Held},
    entry::ContentRef,
    frame::Frame,
    freeze::FreezeRecord,
    ids::{ContentHash, FileId, LogId, WorkId},
    replication::{self, FreezeReason, PeerFault, Record, Usage, WaitReason},
    time::Timestamp,
    vault_path::VaultPath,
};

use super::{agent::Told, budget::Bound, input::BrainId, troubles::TroubleClass};

/// What to do.
#[derive(Debug)]
pub enum Output {
    /// Make it durable, then answer `Persisted`.
    Persist(replication::EffectId, Record),
    /// Read entries, then answer `EntriesRead`.
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
    /// Read a payload, then answer `PayloadRead`.
    ReadPayload {
        /// The answer's id.
        effect: replication::EffectId,
        /// Which.
        hash: ContentHash,
        /// Whether only a shared one may be read.
        shared_only: bool,
    },
    /// Decode changes where a fault of the decoder does no harm, then answer `ChangesScreened`.
    Screen {
        /// The answer's id.
        effect: replication::EffectId,
        /// The raw changes.
        changes: Vec<Vec<u8>>,
    },
    /// Send a frame.
    SendFrame {
        /// To whom.
        peer: NodeId,
        /// What the guard let pass.
        frame: Cleared<Frame>,
    },
    /// Close a session.
    ClosePeer {
        /// Whose.
        peer: NodeId,
        /// Why.
        fault: PeerFault,
    },
    /// Read payloads, then answer `Loaded`.
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
    /// Put a file on disk, then answer `FileWritten`.
    WriteFile {
        /// The answer's id.
        effect: vault::EffectId,
        /// Where.
        path: VaultPath,
        /// The content.
        bytes: Vec<u8>,
        /// Digest of what should lie there now.
        expected: Option<ContentHash>,
    },
    /// Take a file off the disk, then answer `FileRemoved`.
    RemoveFile {
        /// The answer's id.
        effect: vault::EffectId,
        /// Where.
        path: VaultPath,
        /// Digest of what should lie there.
        expected: ContentHash,
    },
    /// Look at a place of the vault once more and hand in what lies there now, as `FilesChanged`.
    LookAt(VaultPath),
    /// Take a dropped mail off the disk if it is still this one; its content is in the logs.
    RemoveIntake {
        /// Where.
        path: VaultPath,
        /// Digest of what should lie there.
        expected: ContentHash,
    },
    /// Remember for all starts to come that what lay in the vault is adopted; durable in the order of the queue.
    NoteAdopted,
    /// Remember across a restart whether removals wait for a person.
    NoteHeldRemovals(bool),
    /// Remember what lies on disk: at leisure, but never durable before a record that was to be persisted earlier.
    RecordProjection {
        /// The canonical key.
        key: String,
        /// What lies there; `None` forgets it.
        projection: Option<Projection>,
    },
    /// Forget payloads at leisure: `gone` are not kept any more, `unwanted` are not asked for where they are not held. Of
    /// what was forgotten before, the rest is needed again, and is to be handed in as `PayloadsLost`.
    ForgetPayloads {
        /// Not kept.
        gone: BTreeSet<ContentHash>,
        /// Not asked for.
        unwanted: BTreeSet<ContentHash>,
    },
    /// Run the brain for a task, then answer `BrainAnswered`.
    RunBrain {
        /// The answer's id.
        id: BrainId,
        /// The prompt, with what came from outside wrapped as data.
        prompt: Cleared<String>,
        /// The work for which it gets tools, where it drafts by those.
        for_work: Option<WorkId>,
    },
    /// Make durable what the brain used, before anything that follows.
    KeepSpending(Vec<u8>),
    /// Call a member, now or when it is there; the call waits on disk until then. One that is queued already by this id
    /// is replaced.
    CallPeer {
        /// Whom.
        peer: NodeId,
        /// Tells a call from another.
        id: String,
        /// The call's body.
        body: Cleared<Vec<u8>>,
    },
    /// Answer a `Called`.
    AnswerCall {
        /// The answer's number.
        request: u64,
        /// The answer's body.
        body: Cleared<Vec<u8>>,
    },
    /// Keep what a member announced, for the next start.
    KeepAnnouncement {
        /// Tells an announcement from another.
        id: String,
        /// What to give back to `restore_announcement`.
        bytes: Vec<u8>,
    },
    /// Ask the executor to send a draft under a standing approval.
    AskExecutor(Box<Request>),
    /// The roster in force is another one: who may connect may have changed.
    RosterInstalled,
    /// Keep a roster that the root key signed beside the one in force: nothing is approved or executed any more.
    KeepRosterFork {
        /// Its wire form.
        bytes: Vec<u8>,
    },
    /// Keep a freeze record that came from a peer.
    KeepFreeze {
        /// What it says.
        record: FreezeRecord,
        /// The signed record.
        bytes: Vec<u8>,
    },
    /// Answer a question.
    Answer {
        /// The asker's number.
        request: u64,
        /// The answer.
        answer: Answer,
    },
    /// Tell the operator.
    Notice(Notice),
}

/// One draft with everything that its approval is derived from.
#[derive(Clone, Debug)]
pub struct DraftSource {
    /// The file.
    pub file: FileId,
    /// Where it lies.
    pub path: VaultPath,
    /// Its bytes.
    pub note: Vec<u8>,
    /// Who wrote them, run by run.
    pub written: Vec<Written>,
    /// Who created it.
    pub author: Option<NodeId>,
    /// When, by the author's clock.
    pub created: Timestamp,
    /// Open conflicts on the draft; approval waits for them.
    pub blocked_by: Vec<String>,
    /// Whether it was moved to `Approved/` by hand and put back: a signature is asked for.
    pub signature_asked: bool,
    /// The standing approval under which it goes out, unless it is changed.
    pub standing: Option<StandingId>,
}

/// An answer to a question.
#[derive(Debug)]
pub enum Answer {
    /// To `Drafts`.
    Drafts {
        /// The drafts, by path.
        drafts: Vec<DraftSource>,
        /// The newest receipt of each action.
        receipts: Vec<Receipt>,
    },
    /// To `File`; `None` when it is not held.
    File(Option<Vec<u8>>),
    /// To `Conflicts`.
    Conflicts {
        /// The open ones.
        items: Vec<Conflict>,
        /// Whether contents are being read that may show more.
        is_reading: bool,
    },
    /// To `Resolve` and `Reject`.
    Done,
    /// What was asked for does not exist.
    NotFound,
    /// To `Reject` and `Resolve`: what was given may not leave, so nothing was done.
    Withheld(Held),
    /// To `Status`.
    Status(Status),
    /// To `Undo`.
    Undone {
        /// Files that are put back.
        undone: usize,
        /// Files that stay as they are, at least in part.
        left: Vec<VaultPath>,
    },
    /// To `History`, oldest first.
    History(Vec<(Event, Timestamp)>),
    /// To `Past`.
    Past {
        /// Where they lay.
        paths: Vec<VaultPath>,
        /// What each said, as far as it is held; of a folder nothing.
        contents: Vec<Option<Vec<u8>>>,
        /// Those that are not restored.
        left: Vec<VaultPath>,
    },
    /// To `Logs`.
    Logs(Vec<LogStanding>),
    /// To `Claims`.
    Claims(Vec<ClaimStanding>),
    /// To `Arrived`: it is not taken, however often it comes.
    Refused(String),
    /// To `Agent`, and to `Arrived`.
    Agent(Told),
}

/// A piece of work that somebody has in hand.
#[derive(Clone, Debug)]
pub struct ClaimStanding {
    /// The work.
    pub work: WorkId,
    /// The note in the claim folder of whoever has it.
    pub path: VaultPath,
    /// Who that is.
    pub node: NodeId,
    /// Since when, by their clock.
    pub since: Timestamp,
    /// Until when; for good where the note was moved there by hand.
    pub until: Option<Timestamp>,
    /// Copies of others who claimed it, too.
    pub others: Vec<VaultPath>,
}

/// What is held of one log.
#[derive(Clone, Debug)]
pub struct LogStanding {
    /// The log.
    pub log: LogId,
    /// How many of its entries are durable here.
    pub entries: u64,
    /// How many its author's session says there are, as far as known.
    pub known: Option<u64>,
    /// Where the roster says that it ends.
    pub closed_at: Option<u64>,
    /// Why it is invalid.
    pub frozen: Option<FreezeReason>,
    /// Why it is not followed for now.
    pub waiting: Option<WaitReason>,
    /// Whether its next entry waits for entries of other logs.
    pub lacks_past: bool,
    /// Whether it is this node's own and handed to nobody, for a peer says to hold more of it.
    pub is_suspect: bool,
    /// What its author has used of this node.
    pub usage: Usage,
}

/// How a node is.
#[derive(Clone, Debug)]
pub struct Status {
    /// Connected peers, each with how many entries it is not known to hold.
    pub connected: Vec<(NodeId, Option<u64>)>,
    /// Drafts that wait.
    pub approvals_waiting: usize,
    /// Open conflicts.
    pub conflicts: usize,
    /// Files that this node shows.
    pub files: usize,
    /// Logs found invalid.
    pub frozen: Vec<(LogId, FreezeReason)>,
    /// Logs that are not followed for now.
    pub waiting: Vec<(LogId, WaitReason)>,
    /// Members of which nothing was heard for long, with since when.
    pub absent: Vec<(NodeId, Timestamp)>,
    /// Members of whom this node knows entries that it does not take, or that wait for entries of others.
    pub behind: BTreeSet<NodeId>,
    /// Files whose content has not come.
    pub lacking: Vec<VaultPath>,
    /// How many tasks wait for the brain, until when, and why.
    pub brain_waits: Option<(usize, Timestamp, Bound)>,
    /// Whether nothing is under way.
    pub settled: bool,
}

/// Something a person should know. The shell logs it and keeps what was held.
#[derive(Debug)]
pub enum Notice {
    /// Payloads in the store were damaged, and are asked of the peers again.
    PayloadsLost(BTreeSet<ContentHash>),
    /// A mail became a task.
    MailTaken {
        /// The work.
        work: WorkId,
        /// The task note.
        path: VaultPath,
    },
    /// What came by another way became a task.
    ArrivalTaken {
        /// The work.
        work: WorkId,
        /// The task note.
        path: VaultPath,
    },
    /// A file in `Inbox/` is no mail.
    NotAMail {
        /// Where.
        path: VaultPath,
        /// Why.
        why: String,
    },
    /// A file did not pass the guard.
    Held {
        /// Where.
        path: VaultPath,
        /// Why.
        why: Held,
    },
    /// A save did not enter a log.
    Kept {
        /// Where.
        path: VaultPath,
        /// What was saved.
        bytes: Vec<u8>,
        /// Why.
        reason: HoldReason,
    },
    /// A draft waits for approval.
    Drafted {
        /// The work.
        work: WorkId,
        /// The draft.
        path: VaultPath,
    },
    /// A task needs nothing to be sent, as its agent says.
    Finished {
        /// The work.
        work: WorkId,
        /// What it says.
        path: VaultPath,
    },
    /// A note holds active content that nobody released: it is not shown as it is now.
    ContentHeld {
        /// The note.
        path: VaultPath,
    },
    /// Tasks wait, for the brain may not be run for now.
    BrainWaits {
        /// Until when.
        until: Timestamp,
        /// What keeps it.
        bound: Bound,
    },
    /// The brain failed.
    BrainFailed {
        /// The work.
        work: WorkId,
        /// What kind of trouble that is.
        class: TroubleClass,
        /// Why.
        why: String,
    },
    /// A note was moved to `Approved/` by hand: only a signature approves.
    SignatureAsked {
        /// The note.
        path: VaultPath,
    },
    /// A receipt was filed.
    Filed {
        /// The receipt's outcome.
        receipt: Box<Receipt>,
    },
    /// A log is invalid.
    Frozen {
        /// The log.
        log: LogId,
        /// Why.
        reason: FreezeReason,
    },
    /// A peer's change was dropped before anything decoded it here.
    Dropped {
        /// Its digest.
        hash: ContentHash,
        /// Whose it was, where one entry brought it.
        author: Option<NodeId>,
    },
    /// A log is not followed for now.
    Waiting {
        /// The log.
        log: LogId,
        /// Why.
        reason: WaitReason,
    },
    /// Somebody froze the mesh, or it was let go on.
    BrakeChanged(FreezeRecord),
    /// This node's store was an older copy.
    Restored {
        /// The generation it writes from now on.
        generation: u64,
    },
    /// A frame was withheld from a peer.
    Withheld {
        /// From whom.
        peer: NodeId,
        /// Why.
        why: Held,
    },
    /// A peer's change was refused.
    ChangeRefused {
        /// The file.
        file: FileId,
        /// The author.
        author: NodeId,
        /// Why.
        why: String,
    },
}
