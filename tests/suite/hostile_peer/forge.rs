//! Entries as bytes, written from `docs/wire.md` and not with the node's own encoder, which refuses to make these.

use aiemp_keys::{Hash, NodeId, Signer, Value, cbor, cose};
use aiemp_protocol::{
    ids::{Audience, ContentHash, EntryHash, FileId, LogId, MeshId},
    zone::Zone,
};

/// Stands in whatever the hostile peer writes, so that it is found wherever it may have come.
pub(super) const MARK: &str = "written by the hostile peer";

/// An entry that was signed, with its payloads.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) log: LogId,
    pub(super) hash: EntryHash,
    pub(super) cose: Vec<u8>,
    pub(super) payloads: Vec<Option<Vec<u8>>>,
}

/// What an entry says; every part may be wrong.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) version: u64,
    pub(super) seq: u64,
    pub(super) epoch: u64,
    pub(super) time: u64,
    pub(super) seen: Vec<Value>,
    pub(super) items: Vec<Item>,
    /// Fields after the last one.
    pub(super) more: Vec<Value>,
}

impl Draft {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let head = [self.version, self.seq, self.epoch, self.time].map(cbor::uint);
        let items = self.items.iter().map(|item| item.value.clone());
        let fields = head.into_iter().chain([cbor::array(self.seen.clone()), cbor::array(items)]);
        cbor::encode(&cbor::array(fields.chain(self.more.clone())))
    }
}

/// An item, with its payload if it has one.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) value: Value,
    pub(super) payload: Option<Vec<u8>>,
}

impl Item {
    pub(super) fn of(fields: impl IntoIterator<Item = Value>) -> Self {
        Self { value: cbor::array(fields), payload: None }
    }

    pub(super) fn with(self, payload: &[u8]) -> Self {
        Self { payload: Some(payload.to_vec()), ..self }
    }

    pub(super) fn new(file: FileId, path: &str, content: &[u8]) -> Self {
        Self::new_of_kind(file, path, 0, content)
    }

    pub(super) fn new_of_kind(file: FileId, path: &str, kind: u64, content: &[u8]) -> Self {
        let (base, length) = (ContentHash::of(content).to_value(), cbor::uint(content.len() as u64));
        Self::of([cbor::uint(0), file.to_value(), cbor::text(path), cbor::uint(kind), base, length]).with(content)
    }

    pub(super) fn set_path(file: FileId, path: &str) -> Self {
        Self::of([cbor::uint(1), file.to_value(), cbor::uint(0), cbor::text(path)])
    }

    pub(super) fn archive(file: FileId) -> Self {
        Self::of([cbor::uint(1), file.to_value(), cbor::uint(3), Value::Bool(true)])
    }

    pub(super) fn change(file: FileId, base: &[u8], raw: &[u8]) -> Self {
        Self::change_of_length(file, base, raw, raw.len() as u64)
    }

    pub(super) fn change_of_length(file: FileId, base: &[u8], raw: &[u8], length: u64) -> Self {
        let (base, hash) = (ContentHash::of(base).to_value(), ContentHash::of(raw).to_value());
        Self::of([cbor::uint(2), file.to_value(), base, cbor::uint(length), hash]).with(raw)
    }

    pub(super) fn compacted(file: FileId, from: &[u8], text: &[u8]) -> Self {
        let (from, base) = (ContentHash::of(from).to_value(), ContentHash::of(text).to_value());
        Self::of([cbor::uint(5), file.to_value(), from, cbor::uint(text.len() as u64), base]).with(text)
    }

    /// Names a content of a file that nobody made.
    pub(super) fn base(content: &[u8], length: u64) -> Self {
        let file = FileId::at_path(Zone::Drafts, "plans/nowhere.md").to_value();
        let named = cbor::array([ContentHash::of(content).to_value(), cbor::uint(length)]);
        Self::of([cbor::uint(1), file, cbor::uint(2), named]).with(content)
    }

    pub(super) fn claim(work: Hash, from: FileId, to: FileId, lease_ms: u64) -> Self {
        Self::of([cbor::uint(3), work.to_value(), from.to_value(), to.to_value(), cbor::uint(lease_ms)])
    }

    pub(super) fn resolve(id: Hash, choice: &str) -> Self {
        Self::of([cbor::uint(4), id.to_value(), cbor::text(choice)])
    }
}

/// Signs whatever bytes as the entry after `prev`.
pub(super) fn sign(signer: &Signer, mesh: MeshId, log: LogId, prev: Option<EntryHash>, payload: &[u8]) -> Vec<u8> {
    cose::sign1(signer, "aiemp-node 2026 entry", &context(mesh, log, prev), payload)
}

pub(super) fn hash(mesh: MeshId, log: LogId, prev: Option<EntryHash>, payload: &[u8]) -> EntryHash {
    let [mesh, log, prev] = context(mesh, log, prev);
    EntryHash(Hash::labelled("aiemp-node 2026 entry hash", [mesh, log, prev, cbor::bytes(payload)]))
}

fn context(mesh: MeshId, log: LogId, prev: Option<EntryHash>) -> [Value; 3] {
    [mesh.to_value(), log.to_value(), cbor::option(prev.map(EntryHash::to_value))]
}

pub(super) fn position(log: LogId, seq: u64, hash: Hash) -> Value {
    cbor::array([log.to_value(), cbor::uint(seq), hash.to_value()])
}

pub(super) fn log(author: NodeId, generation: u64) -> LogId {
    LogId { author, generation, audience: Audience::All }
}

/// A file that nobody has, in this zone.
pub(super) fn file(zone: Zone, name: &str) -> FileId {
    FileId { zone, hash: Hash::of_content(name.as_bytes()) }
}

/// A digest that belongs to nothing.
pub(super) fn digest(name: &str) -> Hash {
    Hash::of_content(name.as_bytes())
}
