//! Log entries: one signed transaction each.

use aiemp_keys::{
    Hash, NodeId, Signer, Value,
    cbor::{self, CborError, Fields},
    cose::{self, CoseError},
};
use thiserror::Error;

use crate::{
    ids::{ConflictId, ContentHash, EntryHash, FileId, LogId, MeshId, WorkId},
    limits::{BLOB_BYTES_MAX, ENTRY_PAYLOAD_BYTES_MAX, FIELD_VALUE_BYTES_MAX, ITEMS_PER_ENTRY_MAX, SEEN_MAX},
    time::Timestamp,
    vault_path::VaultPath,
};

const DOMAIN: &str = "aiemp-node 2026 entry";
const HASH_LABEL: &str = "aiemp-node 2026 entry hash";

/// Version of the entry format.
pub const ENTRY_VERSION: u64 = 1;

/// How a file's bytes become a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// Markdown or other UTF-8 text, merged by blocks and characters.
    Note,
    /// Anything else: kept whole.
    Blob,
}

/// The content of a file, as an entry names it.
///
/// Bytes of another length are not that content, whatever their digest: what a name costs is told by the entry that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContentRef {
    /// Digest of the bytes.
    pub hash: ContentHash,
    /// How many they are.
    pub length: u64,
}

impl ContentRef {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { hash: ContentHash::of(bytes), length: bytes.len() as u64 }
    }
}

/// One field of a file's registers with the value written to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldWrite {
    /// Where the file lies.
    Path(VaultPath),
    /// How its bytes are understood.
    Kind(FileKind),
    /// The content its document starts from; it travels as payload.
    Base(ContentRef),
    /// Whether it is out of sight; our delete.
    Archived(bool),
}

/// One part of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A file comes into being; its content travels as payload.
    New {
        /// Its id.
        file: FileId,
        /// Where it lies.
        path: VaultPath,
        /// How its bytes are understood.
        kind: FileKind,
        /// Digest of its content.
        base: ContentHash,
        /// Length of its content in bytes.
        length: u64,
    },
    /// A register is written.
    Set {
        /// The file.
        file: FileId,
        /// The field and its value.
        write: FieldWrite,
    },
    /// One automerge change; the raw change travels as payload.
    Change {
        /// The file.
        file: FileId,
        /// The base of the document that the change belongs to.
        base: ContentHash,
        /// Length of the raw change in bytes.
        length: u64,
        /// Digest of the raw change.
        hash: ContentHash,
    },
    /// The document of a file starts anew from what it says, so that its changes need not be kept. Nothing else changes.
    Compacted {
        /// The file.
        file: FileId,
        /// The base that the document starts from until then.
        from: ContentHash,
        /// Length of the text in bytes.
        length: u64,
        /// Digest of the text that the document had, and the base from now on.
        base: ContentHash,
    },
    /// A node takes a piece of work.
    Claim {
        /// The work.
        work: WorkId,
        /// The task note before.
        from: FileId,
        /// The task note in the claim folder.
        to: FileId,
        /// How long the claim holds, in ms from the entry's time.
        lease_ms: u64,
    },
    /// A conflict item is closed.
    Resolve {
        /// The item.
        id: ConflictId,
        /// What was chosen, for people to read: a node's name or `both`.
        choice: String,
    },
}

impl Item {
    /// The payload that belongs to the item: its digest and length.
    pub const fn payload(&self) -> Option<(ContentHash, u64)> {
        match self {
            Self::New { base, length, .. } | Self::Compacted { base, length, .. } => Some((*base, *length)),
            Self::Set { write: FieldWrite::Base(ContentRef { hash, length }), .. }
            | Self::Change { hash, length, .. } => Some((*hash, *length)),
            Self::Set { .. } | Self::Claim { .. } | Self::Resolve { .. } => None,
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::New { file, path, kind, base, length } => cbor::array([
                cbor::uint(0),
                file.to_value(),
                cbor::text(path.as_str()),
                kind_value(*kind),
                base.to_value(),
                cbor::uint(*length),
            ]),
            Self::Set { file, write } => {
                let (field, value) = match write {
                    FieldWrite::Path(path) => (0, cbor::text(path.as_str())),
                    FieldWrite::Kind(kind) => (1, kind_value(*kind)),
                    FieldWrite::Base(base) => (2, cbor::array([base.hash.to_value(), cbor::uint(base.length)])),
                    FieldWrite::Archived(archived) => (3, Value::Bool(*archived)),
                };
                cbor::array([cbor::uint(1), file.to_value(), cbor::uint(field), value])
            }
            Self::Change { file, base, length, hash } => {
                cbor::array([cbor::uint(2), file.to_value(), base.to_value(), cbor::uint(*length), hash.to_value()])
            }
            Self::Claim { work, from, to, lease_ms } => {
                cbor::array([cbor::uint(3), work.to_value(), from.to_value(), to.to_value(), cbor::uint(*lease_ms)])
            }
            Self::Resolve { id, choice } => cbor::array([cbor::uint(4), id.to_value(), cbor::text(choice)]),
            Self::Compacted { file, from, length, base } => {
                cbor::array([cbor::uint(5), file.to_value(), from.to_value(), cbor::uint(*length), base.to_value()])
            }
        }
    }

    /// `None` for what a later version may say and this one does not know.
    fn from_value(value: Value) -> Result<Option<Self>, CborError> {
        let mut fields = Fields::of(value, "item")?;
        let item = match fields.uint()? {
            0 => Self::New {
                file: FileId::read(&mut fields)?,
                path: read_path(&mut fields)?,
                kind: match read_kind(&mut fields)? {
                    Some(kind) => kind,
                    None => return Ok(None),
                },
                base: ContentHash::read(&mut fields)?,
                length: fields.uint()?,
            },
            1 => {
                let file = FileId::read(&mut fields)?;
                let write = match fields.uint()? {
                    0 => FieldWrite::Path(read_path(&mut fields)?),
                    1 => match read_kind(&mut fields)? {
                        Some(kind) => FieldWrite::Kind(kind),
                        None => return Ok(None),
                    },
                    2 => FieldWrite::Base(read_content(fields.value()?)?),
                    3 => FieldWrite::Archived(fields.bool()?),
                    _ => return Ok(None),
                };
                Self::Set { file, write }
            }
            2 => Self::Change {
                file: FileId::read(&mut fields)?,
                base: ContentHash::read(&mut fields)?,
                length: fields.uint()?,
                hash: ContentHash::read(&mut fields)?,
            },
            3 => Self::Claim {
                work: WorkId::read(&mut fields)?,
                from: FileId::read(&mut fields)?,
                to: FileId::read(&mut fields)?,
                lease_ms: fields.uint()?,
            },
            4 => Self::Resolve { id: ConflictId::read(&mut fields)?, choice: read_choice(&mut fields)? },
            5 => Self::Compacted {
                file: FileId::read(&mut fields)?,
                from: ContentHash::read(&mut fields)?,
                length: fields.uint()?,
                base: ContentHash::read(&mut fields)?,
            },
            _ => return Ok(None),
        };
        fields.end()?;
        Ok(Some(item))
    }
}

fn kind_value(kind: FileKind) -> Value {
    cbor::uint(match kind {
        FileKind::Note => 0,
        FileKind::Blob => 1,
    })
}

fn read_kind(fields: &mut Fields) -> Result<Option<FileKind>, CborError> {
    match fields.uint()? {
        0 => Ok(Some(FileKind::Note)),
        1 => Ok(Some(FileKind::Blob)),
        _ => Ok(None),
    }
}

fn read_content(value: Value) -> Result<ContentRef, CborError> {
    let mut fields = Fields::of(value, "content")?;
    let content = ContentRef { hash: ContentHash::read(&mut fields)?, length: fields.uint()? };
    fields.end()?;
    Ok(content)
}

fn read_path(fields: &mut Fields) -> Result<VaultPath, CborError> {
    let text = fields.text()?;
    VaultPath::parse(&text).map_err(|_| fields.invalid())
}

fn read_choice(fields: &mut Fields) -> Result<String, CborError> {
    let text = fields.text()?;
    if text.len() > FIELD_VALUE_BYTES_MAX { Err(fields.invalid()) } else { Ok(text) }
}

/// How far another log had come when an entry was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The log.
    pub log: LogId,
    /// Its last entry then, counted from 1.
    pub seq: u64,
    /// That entry's hash.
    pub hash: EntryHash,
}

impl Position {
    pub(crate) fn to_value(self) -> Value {
        cbor::array([self.log.to_value(), cbor::uint(self.seq), self.hash.to_value()])
    }

    pub(crate) fn from_value(value: Value) -> Result<Self, CborError> {
        let mut fields = Fields::of(value, "position")?;
        let log = LogId::from_value(fields.value()?)?;
        let seq = fields.uint()?;
        let hash = EntryHash::read(&mut fields)?;
        fields.end()?;
        Ok(Self { log, seq, hash })
    }
}

/// What an author signs: `[v, seq, epoch, hlc, seen, items]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position in its log, from 1.
    pub seq: u64,
    /// The roster epoch the author went by.
    pub epoch: u64,
    /// Hybrid time: display and leases only.
    pub hlc: Timestamp,
    /// The other logs of the audience that advanced since the author's previous entry.
    pub seen: Vec<Position>,
    /// The transaction.
    pub items: Vec<Item>,
}

/// Why bytes are no entry of the log they are offered for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EntryError {
    /// Not the fixed form.
    #[error("malformed entry: {0}")]
    Form(#[from] CborError),
    /// Not signed by the author over this mesh, log and predecessor.
    #[error("entry signature: {0}")]
    Signature(#[from] CoseError),
    /// A later version of the format, or an item that only a later one knows. Signed and chained as it is, it may be
    /// valid: whoever reads it with a newer version knows.
    #[error("the entry was written by a newer version; update this node")]
    Newer,
    /// More items, logs or bytes than the format allows.
    #[error("the entry exceeds a cap of the format: {0}")]
    Cap(&'static str),
}

impl Entry {
    fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(&cbor::array([
            cbor::uint(ENTRY_VERSION),
            cbor::uint(self.seq),
            cbor::uint(self.epoch),
            cbor::uint(self.hlc.as_millis()),
            cbor::array(self.seen.iter().map(|position| position.to_value())),
            cbor::array(self.items.iter().map(Item::to_value)),
        ]))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, EntryError> {
        let mut fields = Fields::decode(bytes, "entry")?;
        match fields.uint()? {
            ENTRY_VERSION => {}
            version if version > ENTRY_VERSION => return Err(EntryError::Newer),
            _ => return Err(fields.invalid().into()),
        }
        let seq = fields.uint()?;
        let epoch = fields.uint()?;
        let hlc = Timestamp::from_millis(fields.uint()?);
        let seen = fields.list_of(Position::from_value)?;
        let items: Vec<_> = fields.list_of(Item::from_value)?;
        fields.end()?;
        let items = items.into_iter().collect::<Option<_>>().ok_or(EntryError::Newer)?;
        let entry = Self { seq, epoch, hlc, seen, items };
        entry.check_caps()?;
        Ok(entry)
    }

    fn check_caps(&self) -> Result<(), EntryError> {
        if self.items.is_empty() || self.items.len() > ITEMS_PER_ENTRY_MAX {
            return Err(EntryError::Cap("1 to 256 items"));
        }
        if self.seen.len() > SEEN_MAX {
            return Err(EntryError::Cap("seen names at most 256 logs"));
        }
        let payload = |item: &Item| item.payload().map_or(0, |(_, length)| length);
        if self.items.iter().any(|item| payload(item) > BLOB_BYTES_MAX as u64) {
            return Err(EntryError::Cap("a payload has at most 32 MiB"));
        }
        let change_too_long =
            |item: &Item| matches!(item, Item::Change { length, .. } if *length > ENTRY_PAYLOAD_BYTES_MAX as u64);
        if self.items.iter().any(change_too_long) {
            return Err(EntryError::Cap("a change has at most 1 MiB"));
        }
        Ok(())
    }
}

/// An entry whose signature, form and caps were checked, with the bytes that were signed.
#[derive(Clone, Debug)]
pub struct SignedEntry {
    /// The log it stands in.
    pub log: LogId,
    /// Its digest, the `prev` of the next.
    pub hash: EntryHash,
    /// What it says.
    pub entry: Entry,
    /// The COSE_Sign1 as received.
    pub cose: Vec<u8>,
}

impl SignedEntry {
    /// Signs the next entry of a log. The caller keeps the caps; exceeding them is a bug.
    pub fn sign(signer: &Signer, mesh: MeshId, log: LogId, prev: Option<EntryHash>, entry: Entry) -> Self {
        debug_assert_eq!(signer.node_id(), log.author);
        let payload = entry.to_bytes();
        entry.check_caps().expect("entries are cut to the caps before they are signed");
        let cose = cose::sign1(signer, DOMAIN, &context(mesh, log, prev), &payload);
        Self { log, hash: hash(mesh, log, prev, &payload), entry, cose }
    }

    /// Verifies bytes as the entry that follows `prev` in `log`.
    pub fn verify(mesh: MeshId, log: LogId, prev: Option<EntryHash>, cose: &[u8]) -> Result<Self, EntryError> {
        let payload = cose::verify1(log.author.key(), DOMAIN, &context(mesh, log, prev), cose)?;
        let entry = Entry::from_bytes(&payload)?;
        Ok(Self { log, hash: hash(mesh, log, prev, &payload), entry, cose: cose.to_vec() })
    }

    /// The seq that bytes claim, before anything about them is verified: to tell old from next from ahead.
    pub fn claimed_seq(cose: &[u8]) -> Result<u64, EntryError> {
        let payload = cose::payload_unverified(cose)?;
        let mut fields = Fields::decode(&payload, "entry")?;
        fields.uint()?;
        Ok(fields.uint()?)
    }

    /// The items of an entry, before anything about it is verified.
    pub fn claimed_items(cose: &[u8]) -> Result<Vec<Item>, EntryError> {
        Ok(Entry::from_bytes(&cose::payload_unverified(cose)?)?.items)
    }

    /// What an entry's author had seen, before anything about it is verified.
    pub fn claimed_seen(cose: &[u8]) -> Result<Vec<Position>, EntryError> {
        Ok(Entry::from_bytes(&cose::payload_unverified(cose)?)?.seen)
    }

    /// Where it stands.
    pub const fn position(&self) -> Position {
        Position { log: self.log, seq: self.entry.seq, hash: self.hash }
    }

    /// Its author.
    pub const fn author(&self) -> NodeId {
        self.log.author
    }
}

fn context(mesh: MeshId, log: LogId, prev: Option<EntryHash>) -> [Value; 3] {
    [mesh.to_value(), log.to_value(), cbor::option(prev.map(EntryHash::to_value))]
}

/// Over the signed payload, not the signature: a second signature over the same words is the same entry.
fn hash(mesh: MeshId, log: LogId, prev: Option<EntryHash>, payload: &[u8]) -> EntryHash {
    let [mesh, log, prev] = context(mesh, log, prev);
    EntryHash(Hash::labelled(HASH_LABEL, [mesh, log, prev, cbor::bytes(payload)]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::Audience, zone::Zone};

    fn sample(signer: &Signer) -> (MeshId, LogId, Entry) {
        let mesh = MeshId(Hash::of_content(b"mesh"));
        let log = LogId { author: signer.node_id(), generation: 0, audience: Audience::All };
        let file = FileId::fresh(Zone::Drafts, log, 1, 0);
        let path = VaultPath::parse("Plans/email/PLAN_1.md").expect("a path");
        let base = ContentHash::of(b"text");
        let items = vec![
            Item::New { file, path: path.clone(), kind: FileKind::Note, base, length: 4 },
            Item::Set { file, write: FieldWrite::Path(path) },
            Item::Set { file, write: FieldWrite::Archived(true) },
            Item::Change { file, base, length: 9, hash: base },
            Item::Set { file, write: FieldWrite::Base(ContentRef { hash: base, length: 9 }) },
            Item::Claim { work: WorkId(base.0), from: file, to: file.moved_to(Zone::Intake), lease_ms: 5 },
            Item::Resolve { id: ConflictId(base.0), choice: "both".into() },
            Item::Compacted { file, from: base, length: 4, base: ContentHash::of(b"anew") },
        ];
        let seen = vec![Position { log, seq: 3, hash: EntryHash(base.0) }];
        (mesh, log, Entry { seq: 1, epoch: 1, hlc: Timestamp::from_millis(5), seen, items })
    }

    #[test]
    fn a_signed_entry_verifies_to_itself() {
        let signer = Signer::from_seed([3; 32]);
        let (mesh, log, entry) = sample(&signer);
        let signed = SignedEntry::sign(&signer, mesh, log, None, entry.clone());
        let verified = SignedEntry::verify(mesh, log, None, &signed.cose).expect("verifies");
        assert_eq!((verified.entry, verified.hash), (entry, signed.hash));
    }

    #[test]
    fn every_flipped_bit_and_every_other_context_is_refused() {
        let signer = Signer::from_seed([3; 32]);
        let (mesh, log, entry) = sample(&signer);
        let signed = SignedEntry::sign(&signer, mesh, log, None, entry);
        for index in 0..signed.cose.len() * 8 {
            let mut bytes = signed.cose.clone();
            bytes[index / 8] ^= 1 << (index % 8);
            assert!(SignedEntry::verify(mesh, log, None, &bytes).is_err(), "bit {index}");
        }
        let other_mesh = MeshId(Hash::of_content(b"other"));
        assert!(SignedEntry::verify(other_mesh, log, None, &signed.cose).is_err());
        assert!(SignedEntry::verify(mesh, LogId { generation: 1, ..log }, None, &signed.cose).is_err());
        assert!(SignedEntry::verify(mesh, log, Some(signed.hash), &signed.cose).is_err());
    }
}
