//! The identifiers of the mesh. Each is a type of its own; raw bytes and strings stop at the boundary.

use std::{fmt, str::FromStr};

use aiemp_keys::{
    Hash, NodeId,
    cbor::{self, CborError, Fields, Value},
};

use crate::zone::Zone;

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Hash);

        impl $name {
            /// Reads the next field of an array.
            pub fn read(fields: &mut Fields) -> Result<Self, CborError> {
                fields.hash().map(Self)
            }

            /// As a CBOR byte string.
            pub fn to_value(self) -> Value {
                self.0.to_value()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), " {:?}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = aiemp_keys::hash::ParseHashError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

hash_id! {
    /// One mesh: the digest of the root key that its first roster was signed with.
    MeshId
}
hash_id! {
    /// One entry of a log; also the `prev` of the next one.
    EntryHash
}
hash_id! {
    /// The content address of a file or payload: plain BLAKE3 of its bytes.
    ContentHash
}
hash_id! {
    /// One piece of work, whoever saw it first: `H(mesh, source kind, source key)`.
    WorkId
}
hash_id! {
    /// One automerge document: `H(file id, base, format)`.
    DocId
}
hash_id! {
    /// The digest of an action's canonical bytes: the ID that a person approves.
    ActionHash
}
hash_id! {
    /// One conflict item, equal on every node of its audience.
    ConflictId
}

impl ContentHash {
    /// The content address of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Hash::of_content(bytes))
    }
}

impl MeshId {
    /// The mesh that a root key founds.
    pub fn founded_by(root: &aiemp_keys::PublicKey) -> Self {
        Self(Hash::labelled("aiemp-node 2026 mesh id", [root.to_value()]))
    }
}

impl WorkId {
    /// `H(mesh, source kind, source key)`; the key's parts are joined by the caller.
    pub fn of_source(mesh: MeshId, kind: &str, key: &[&str]) -> Self {
        let key = cbor::array(key.iter().map(|part| cbor::text(part)));
        Self(Hash::labelled("aiemp-node 2026 work id", [mesh.to_value(), cbor::text(kind), key]))
    }
}

/// One file for as long as it stays in its zone.
///
/// The zone stands in clear before the hash, so whether an author may write the file is decided from the id alone.
/// Wire form: a byte string of the zone byte, for `claim` the node's 32 bytes, then the 32-byte hash. Text form: the
/// same bytes in lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// Where the file lies, for life.
    pub zone: Zone,
    /// What tells it from the others of its zone.
    pub hash: Hash,
}

const FILE_ID_LABEL: &str = "aiemp-node 2026 file id";

impl FileId {
    /// The id of a file that came about by no deterministic act: unique by its position in a log.
    pub fn fresh(zone: Zone, log: LogId, seq: u64, item: u64) -> Self {
        Self::derive(zone, "fresh", [log.to_value(), cbor::uint(seq), cbor::uint(item)])
    }

    /// The id that `self` gets when it moves to `zone`; the same move made twice is one file.
    pub fn moved_to(self, zone: Zone) -> Self {
        Self::derive(zone, "move", [self.to_value()])
    }

    /// The id of a copy that somebody makes of `self` at a place; the same copy made twice is one file.
    pub fn copied_to(self, zone: Zone, canonical_path: &str) -> Self {
        Self::derive(zone, "copy", [self.to_value(), cbor::text(canonical_path)])
    }

    /// The id of a file that began with what `self` hides, or that has to do without the id it would have: that of `self`
    /// is taken.
    pub fn beside(self, zone: Zone) -> Self {
        Self::derive(zone, "beside", [self.to_value()])
    }

    /// The id of the file that plays `role` for a piece of work; the same intake made twice is one file.
    pub fn for_work(zone: Zone, work: WorkId, role: &str) -> Self {
        Self::derive(zone, "work", [work.to_value(), cbor::text(role)])
    }

    /// The id of a file found on disk when a vault is adopted.
    pub fn adopted(zone: Zone, canonical_path: &str, content: ContentHash) -> Self {
        Self::derive(zone, "adopt", [cbor::text(canonical_path), content.to_value()])
    }

    /// The id of a file that is known by its path alone: append-only logs and the node's own notes.
    pub fn at_path(zone: Zone, canonical_path: &str) -> Self {
        Self::derive(zone, "path", [cbor::text(canonical_path)])
    }

    fn derive(zone: Zone, how: &str, parts: impl IntoIterator<Item = Value>) -> Self {
        let parts = [zone.to_value(), cbor::text(how), cbor::array(parts)];
        Self { zone, hash: Hash::labelled(FILE_ID_LABEL, parts) }
    }

    /// The wire form as bytes.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.zone.to_bytes();
        bytes.extend_from_slice(self.hash.as_bytes());
        bytes
    }

    /// Reads the wire form; `None` when it is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (zone, hash) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
        Some(Self { zone: Zone::from_bytes(zone)?, hash: Hash::from_bytes(hash.try_into().ok()?) })
    }

    /// As a CBOR byte string.
    pub fn to_value(self) -> Value {
        Value::Bytes(self.to_bytes())
    }

    /// Reads the next field of an array.
    pub fn read(fields: &mut Fields) -> Result<Self, CborError> {
        let bytes = fields.bytes()?;
        Self::from_bytes(&bytes).ok_or_else(|| fields.invalid())
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.to_bytes()))
    }
}

impl fmt::Debug for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file {:?}/{:?}", self.zone, self.hash)
    }
}

impl FromStr for FileId {
    type Err = aiemp_keys::hash::ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(|_| aiemp_keys::hash::ParseHashError)?;
        Self::from_bytes(&bytes).ok_or(aiemp_keys::hash::ParseHashError)
    }
}

/// Who may read a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Audience {
    /// Every member.
    All,
    /// Local nodes only.
    Local,
}

impl Audience {
    /// Both audiences, in wire order.
    pub const EACH: [Self; 2] = [Self::All, Self::Local];

    const fn code(self) -> u64 {
        match self {
            Self::All => 0,
            Self::Local => 1,
        }
    }
}

/// One append-only log: `(author, generation, audience)`. Wire form: an array of the three.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The node that signs the log's entries.
    pub author: NodeId,
    /// Rises by one when the author had to start anew (a restored store).
    pub generation: u64,
    /// Who may read it.
    pub audience: Audience,
}

impl LogId {
    /// As a CBOR array.
    pub fn to_value(self) -> Value {
        cbor::array([self.author.to_value(), cbor::uint(self.generation), cbor::uint(self.audience.code())])
    }

    /// Reads the array.
    pub fn from_value(value: Value) -> Result<Self, CborError> {
        let mut fields = Fields::of(value, "log")?;
        let author = NodeId::read(&mut fields)?;
        let generation = fields.uint()?;
        let audience = match fields.uint()? {
            0 => Audience::All,
            1 => Audience::Local,
            _ => return Err(fields.invalid()),
        };
        fields.end()?;
        Ok(Self { author, generation, audience })
    }
}

impl fmt::Debug for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log {:?}/{}/{:?}", self.author, self.generation, self.audience)
    }
}
