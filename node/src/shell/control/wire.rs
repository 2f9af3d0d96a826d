//! What the answers are made of.

use serde::{Deserialize, Serialize};

/// Reasons that the vault's disk takes nothing.
pub const DISK_FULL: &str = "disk_full";
/// See [`DISK_FULL`].
pub const READ_ONLY: &str = "read_only";

/// A draft with what its approval is derived from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WireDraft {
    /// File id.
    pub file: String,
    /// Vault path.
    pub path: String,
    /// The note in base64.
    pub note: String,
    /// Who wrote it, run by run in bytes; a name, or none where it is nobody's.
    pub written: Vec<(usize, Option<String>)>,
    /// Name of the node that created it.
    pub author: String,
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// What approval waits for.
    pub blocked_by: Vec<String>,
    /// Whether it was moved to `Approved/` by hand and put back.
    pub signature_asked: bool,
    /// The standing approval under which it goes out, unless it is changed.
    #[serde(default)]
    pub standing: Option<String>,
}

/// What became of an action.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WireReceipt {
    /// Action hash.
    pub action: String,
    /// Work id.
    pub work: String,
    /// Its kind.
    pub kind: String,
    /// The draft's file id.
    pub file: String,
    /// The approval's nonce in hex.
    pub nonce: String,
    /// `approved`, `sent`, `failed` or `unknown`.
    pub outcome: String,
    /// Milliseconds since the epoch.
    pub at_ms: u64,
    /// Message-ID of a mail.
    pub message_id: Option<String>,
    /// What the service said.
    pub detail: String,
    /// The standing approval that it went out under.
    #[serde(default)]
    pub standing: Option<String>,
    /// Where the draft lay.
    pub path: String,
}

/// A conflict item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WireConflict {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Vault path.
    pub path: String,
    /// Front matter key of a field conflict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// In which line of the file a text conflict is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What was there before the sides parted, where that is known.
    #[serde(default)]
    pub base: Option<String>,
    /// What each side says.
    pub sides: Vec<WireSide>,
    /// What is shown meanwhile.
    pub merged: String,
    /// The active content for which the note waits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<WireFound>,
}

/// One piece of active content.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WireFound {
    /// Its line.
    pub line: usize,
    /// What it is.
    pub what: String,
    /// How it begins.
    pub begins: String,
}

/// A side of a conflict.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WireSide {
    /// The node's name.
    pub node: String,
    /// Its text.
    pub text: String,
    /// Its time, RFC 3339.
    pub hlc: String,
}

/// A piece of work that somebody has in hand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WireClaim {
    /// The work's id.
    pub work: String,
    /// The name of who has it.
    pub node: String,
    /// The note in their claim folder.
    pub path: String,
    /// Since when, RFC 3339, by their clock.
    pub since: String,
    /// Until when; absent where the note was moved there by hand.
    pub until: Option<String>,
    /// Copies of others who claimed it, too.
    pub others: Vec<String>,
}

/// How a node is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WireStatus {
    /// Members with name, whether connected, and entries they are not known to hold.
    pub peers: Vec<WirePeer>,
    /// Drafts that wait.
    pub approvals_waiting: usize,
    /// Open conflicts.
    pub conflicts: usize,
    /// Saves that did not enter a log.
    pub holds: usize,
    /// Files shown.
    pub files: usize,
    /// Logs found invalid: author's name and reason.
    pub frozen_logs: Vec<String>,
    /// Logs that are not followed for now: author's name and reason.
    pub waiting_logs: Vec<String>,
    /// Files whose content has not come.
    pub lacking: Vec<String>,
    /// What is the matter with the vault's folder.
    #[serde(default)]
    pub vault: Vec<WireTrouble>,
    /// How far work has come that takes a while.
    #[serde(default)]
    pub progress: Option<WireProgress>,
    /// What is the matter with the store.
    #[serde(default)]
    pub store: Vec<WireTrouble>,
    /// What lies in the vault and does not sync, and what its disk does not take; of many the first.
    #[serde(default)]
    pub unsynced: Vec<WireUnsynced>,
    /// How many of those there are.
    #[serde(default)]
    pub unsynced_count: usize,
    /// What is the matter with the brain.
    #[serde(default)]
    pub brain: Option<WireTrouble>,
    /// Why no mails are taken up from the mailbox.
    #[serde(default)]
    pub mail_in: Option<WireTrouble>,
    /// What is the matter with drop folders, webhooks and watchers.
    #[serde(default)]
    pub senses: Vec<WireTrouble>,
    /// Whether nothing is under way.
    pub settled: bool,
}

/// A file or name that does not sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireUnsynced {
    /// Where it lies, or should.
    pub path: String,
    /// A word for why.
    pub reason: String,
    /// Why.
    pub what: String,
    /// What to do.
    pub fix: String,
}

impl WireUnsynced {
    /// Whether the vault's disk takes nothing at all.
    pub fn is_of_disk(&self) -> bool {
        [DISK_FULL, READ_ONLY].contains(&self.reason.as_str())
    }
}

/// Work under way, and how much of it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireProgress {
    /// What is counted: "files read", "entries received" or "files written".
    pub doing: String,
    /// So many are done.
    pub done: u64,
    /// Of so many.
    pub total: u64,
}

impl std::fmt::Display for WireProgress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} {}", self.done, self.total, self.doing)
    }
}

/// Something that is not as it should be, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireTrouble {
    /// Whether the node does less than it should until then.
    pub is_error: bool,
    /// What is the matter.
    pub what: String,
    /// What to do.
    pub fix: String,
}

/// What is held of a log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WireLog {
    /// Its author's name.
    pub author: String,
    /// Its generation.
    pub generation: u64,
    /// `all` or `local`.
    pub audience: String,
    /// Entries held.
    pub entries: u64,
    /// Entries that a connected peer says there are.
    pub known: Option<u64>,
    /// The last entry that the roster lets stand.
    pub closed_at: Option<u64>,
    /// Why it is invalid.
    pub frozen: Option<String>,
    /// Why it is not followed for now; `past` where its next entry had seen what is not here yet, `unshown` where it is
    /// this node's own, and handed to nobody until a peer has shown what it says to hold of it.
    pub waits: Option<String>,
    /// What its author has used.
    pub used: WireUsage,
}

/// What a member has used of this node.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct WireUsage {
    /// Entries since midnight UTC.
    pub entries_today: u64,
    /// Bytes since midnight UTC.
    pub bytes_today: u64,
    /// Bytes in all.
    pub bytes: u64,
    /// Files that are not archived.
    pub files: u64,
}

/// Another member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WirePeer {
    /// Its name.
    pub name: String,
    /// Whether a session stands.
    pub connected: bool,
    /// Entries it is not known to hold; absent while unknown.
    pub lag_entries: Option<u64>,
    /// Whether a log of it waits here.
    #[serde(default)]
    pub waits: bool,
}

/// Something that was done to a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WireEvent {
    /// When, RFC 3339, by the author's clock.
    pub at: String,
    /// The member's name.
    pub node: String,
    /// The file's id.
    pub file: String,
    /// `created`, `moved`, `edited`, `replaced`, `archived` or `brought_back`.
    pub what: String,
    /// Where it came to lie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// When it came here, in milliseconds since the epoch.
    #[serde(default)]
    pub came_ms: u64,
}
