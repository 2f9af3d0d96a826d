//! What the vault wants done: imperative, in one ordered queue.

use aiemp_keys::NodeId;
use aiemp_protocol::{
    entry::{ContentRef, Item},
    ids::{Audience, ContentHash, FileId},
    vault_path::VaultPath,
};

use super::{Projection, input::EffectId};
use crate::vet::Refused;

/// Why a save on disk did not enter a log. The bytes are kept for the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// This node may not write the zone.
    NotWritable,
    /// The file is larger than a blob may be.
    TooLarge,
    /// The guard found a secret in it.
    Secret,
    /// A program wrote into a file that had been replaced under it: the save was made on an older text.
    LateSave,
    /// Many files vanished at once; that is rarely meant.
    MassRemoval,
    /// It holds what others wrote on a branch of a log that does not stand.
    NotStanding,
    /// The node did not end well, and afterwards the file said what it had said before its last known text: by the hand
    /// of a person, or because a program's save was not yet on the disk.
    SetBack,
    /// What is no file of the vault lies at its place, or where a folder should be.
    InTheWay,
}

impl HoldReason {
    /// The code in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotWritable => "not_writable",
            Self::TooLarge => "too_large",
            Self::Secret => "secret",
            Self::LateSave => "late_save",
            Self::MassRemoval => "mass_removal",
            Self::NotStanding => "not_standing",
            Self::SetBack => "set_back",
            Self::InTheWay => "in_the_way",
        }
    }
}

/// What to do.
#[derive(Debug)]
pub enum Output {
    /// Append an entry to the node's own log of the audience.
    Append {
        /// To whom.
        audience: Audience,
        /// The transaction.
        items: Vec<Item>,
        /// For each item with a payload, in order: the payload, or none where an entry before brought or named it.
        payloads: Vec<Option<Vec<u8>>>,
    },
    /// Read payloads, then answer `Loaded`.
    Load {
        /// The answer's id.
        effect: EffectId,
        /// The content that the file starts from.
        base: ContentHash,
        /// Its changes, in the order wanted after the base. Bytes that were not screened as a change are none: a peer may
        /// have sent them as the content of a file. Nor are bytes of another length.
        changes: Vec<ContentRef>,
        /// Whether the file is for all members: then only bytes that came with a shared entry may be read. A digest that
        /// a peer guessed right must not show it a private content.
        shared_only: bool,
    },
    /// Put a file on disk, then answer `FileWritten`.
    WriteFile {
        /// The answer's id.
        effect: EffectId,
        /// Where.
        path: VaultPath,
        /// The content.
        bytes: Vec<u8>,
        /// Digest of what should lie there now; `None` when nothing should.
        expected: Option<ContentHash>,
    },
    /// Take a file off the disk, then answer `FileRemoved`.
    RemoveFile {
        /// The answer's id.
        effect: EffectId,
        /// Where.
        path: VaultPath,
        /// Digest of what should lie there.
        expected: ContentHash,
    },
    /// Look at a place once more and hand in what lies there now, as `FilesChanged`.
    LookAt(VaultPath),
    /// Remember what lies on disk at a canonical key; `None` forgets it. Needs not be durable at once.
    RecordProjection {
        /// The canonical key.
        key: String,
        /// What lies there.
        projection: Option<Projection>,
    },
    /// Answer a `ReadRequested`; `None` when the content is not held.
    Content {
        /// The asker's number.
        request: u64,
        /// The file's bytes.
        bytes: Option<Vec<u8>>,
    },
    /// Answers an `UndoRequested`, once all is asked for that puts the files back.
    Undone {
        /// The asker's number.
        request: u64,
        /// Files that are put back.
        undone: usize,
        /// Files that stay as they are, at least in part: others built on them, or they are not this node's to write.
        left: Vec<VaultPath>,
    },
    /// Tell the node: what the logs say of this file changed.
    FileUpdated(FileId),
    /// Keep bytes that did not enter a log, and tell the operator.
    Hold {
        /// Where they were saved.
        path: VaultPath,
        /// What was saved.
        bytes: Vec<u8>,
        /// Why it is held.
        reason: HoldReason,
    },
    /// Remember for all starts to come that what lay in the vault is adopted, once the entries are durable that say so.
    NoteAdopted,
    /// Remember across a restart whether removals wait for a person.
    NoteHeldRemovals(bool),
    /// Tell the operator: a note holds active content that nobody released, and is not shown as it is now.
    ReportHeld {
        /// Where it belongs.
        path: VaultPath,
    },
    /// Tell the operator: a peer's change was refused, and later ones of that author to that file are too.
    ReportRefused {
        /// The file.
        file: FileId,
        /// The author.
        author: NodeId,
        /// Why.
        why: Refused,
    },
}
