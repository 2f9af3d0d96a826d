//! Every bound of the format and of memory, each with its reason.

use std::time::Duration;

use crate::time::Timestamp;

/// Longest vault path; above any real vault's, below PATH_MAX less a home directory.
pub const PATH_BYTES_MAX: usize = 1024;
/// Longest file name that ext4, APFS and NTFS take.
pub const PATH_NAME_BYTES_MAX: usize = 255;

/// Items of one entry: bounds what one signature can make a receiver hold.
pub const ITEMS_PER_ENTRY_MAX: usize = 256;
/// Inline payload bytes of one entry; larger ones travel on request.
pub const ENTRY_PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Largest note kept as text; larger files are blobs.
pub const NOTE_BYTES_MAX: usize = 1 << 20;
/// Largest blob accepted; a mail with attachments at the usual provider limit of 25 MB fits.
pub const BLOB_BYTES_MAX: usize = 32 << 20;
/// Recipients of one mail, in `to`, `cc` and `bcc` together: more than a person reads before approving.
pub const RECIPIENTS_MAX: usize = 64;
/// Message ids of the thread that a mail stands in: what is drafted here names at most 33.
pub const REFERENCES_MAX: usize = 64;
/// Parameters of one connector call.
pub const PARAMS_MAX: usize = 64;
/// Files sent along with one action.
pub const ATTACHMENTS_MAX: usize = 32;
/// Bytes of all files sent along with one action: above any provider's limit, and a quarter of the largest approval
/// file that the executor reads, so that what is approved is never refused for its size.
pub const ATTACHMENT_BYTES_MAX: u64 = 64 << 20;
/// Largest field value of a register.
pub const FIELD_VALUE_BYTES_MAX: usize = 2048;
/// `seen` names at most this many logs: members x generations x audiences, with room.
pub const SEEN_MAX: usize = 256;

/// One frame on the wire before compression: an entry with a full inline payload, or one blob chunk, fits.
pub const FRAME_BYTES_MAX: usize = 4 << 20;
/// Bytes of one blob chunk frame.
pub const BLOB_CHUNK_BYTES: usize = 1 << 20;
/// Entries asked for in one request: bounds what is in flight per peer.
pub const ENTRIES_PER_FETCH: u64 = 64;
/// Members of a roster: the frontier of a mesh must fit a frame many times over.
pub const MEMBERS_MAX: usize = 64;
/// Files of one member that another node keeps by default: twenty times the largest real vault.
pub const DOCUMENTS_PER_MEMBER_MAX: u64 = 200_000;
/// Bytes of one member that another node keeps by default: mails with attachments of some years.
pub const BYTES_PER_MEMBER_MAX: u64 = 32 << 30;
/// Generations a log may open above the roster's `generation_min` before a person must look.
pub const GENERATIONS_AHEAD_MAX: u64 = 16;
/// Lanes of one author in one document: parallel edits on a stale copy; two is the usual most.
pub const LANES_MAX: u64 = 8;
/// Operations of one automerge change: a full note in one edit fits.
pub const CHANGE_OPS_MAX: usize = 1 << 21;
/// Operations of one document, four times a full note: some hundred megabytes of memory. Half way there an edit starts
/// it anew.
pub const DOCUMENT_OPS_MAX: u64 = 1 << 22;
/// Raw bytes of one automerge change.
pub const CHANGE_BYTES_MAX: usize = ENTRY_PAYLOAD_BYTES_MAX;
/// What the changes of one log to one document may take, each counted as [`CHANGE_COST`] more than its length: all of them
/// are read and applied each time that the note is opened. Some 50,000 saves; half way there an edit starts it anew.
pub const CHANGES_COST_MAX: u64 = 16 << 20;
/// What keeping and applying the shortest change costs.
pub const CHANGE_COST: u64 = 128;

/// Text of the declaration of hands: hundreds of connectors.
pub const HANDS_BYTES_MAX: usize = 256 << 10;

/// How long a pairing ticket lives.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(600);
/// Longest name of a node: lists show it in a column.
pub const MEMBER_NAME_BYTES_MAX: usize = 40;
/// Longest reason that one side of a pairing gives the other: a few lines at a terminal.
pub const PAIRING_REASON_BYTES_MAX: usize = 1024;
/// Files that one side of a pairing tells the other of, ten times the largest vault that is tested; more are counted.
pub const INVENTORY_FILES_MAX: usize = 100_000;
/// What their paths may come to: above any real vault's, and little for a process that ends in a minute.
pub const INVENTORY_BYTES_MAX: usize = 32 << 20;
/// Files in one message of them: with the longest paths there are, a message stays below its megabyte.
pub const INVENTORY_PART_FILES_MAX: usize = 900;
/// Places that git keeps one vault in step with.
pub const INVENTORY_REMOTES_MAX: usize = 64;
/// How long a roster lives before the root key must renew it.
pub const ROSTER_LIFETIME: Duration = Duration::from_secs(365 * 86_400);
/// How long a signed approval lives.
pub const APPROVAL_LIFETIME: Duration = Duration::from_secs(86_400);
/// How long a standing approval lives at most: a month is long for what nobody looks at.
pub const STANDING_LIFETIME_MAX: Duration = Duration::from_secs(30 * 86_400);
/// Mails that one standing approval allows at most.
pub const STANDING_COUNT_MAX: u64 = 1_000;
/// How long a draft stands for what it was when the mesh asked to send it under a standing approval.
pub const STANDING_REQUEST_LIFETIME: Duration = Duration::from_secs(60);
/// How far the clock may run behind the highest time seen before the executor stops.
pub const CLOCK_BEHIND_MAX: Duration = Duration::from_secs(300);
/// A hybrid clock further ahead than this is clamped for display.
pub const HLC_AHEAD_MAX: Duration = Duration::from_secs(600);
/// A freeze further ahead than this is lifted only on the word of the person that a clock was ahead.
pub const FREEZE_AHEAD_MAX: Duration = Duration::from_secs(600);
/// The end of the year 9999: no clock shows a later time, and room for later freezes is left behind it.
pub const FREEZE_LIFTED_MAX: Timestamp = Timestamp::from_millis(253_402_300_799_999);
/// How long a claim's lease runs.
pub const LEASE: Duration = Duration::from_secs(900);
/// The lease of a claim that somebody made by moving a note: it ends when they move the note elsewhere.
pub const LEASE_BY_HAND_MS: u64 = u64::MAX;
/// Spacing of claim attempts by rank, so that the first candidate usually stands alone.
pub const CLAIM_RANK_DELAY: Duration = Duration::from_secs(2);
/// How long messages to an absent peer wait.
pub const OUTBOX_LIFETIME: Duration = Duration::from_secs(30 * 86_400);
/// How long what was replaced or put away is kept, so that history and `undo` have it.
pub const HISTORY_LIFETIME: Duration = Duration::from_secs(30 * 86_400);
/// A member of which nothing was heard for so long is named: contents that it may lack are kept for it.
pub const ABSENCE_MAX: Duration = Duration::from_secs(14 * 86_400);
