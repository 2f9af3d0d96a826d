//! What the mesh asks for: a draft, and who wrote it. It proves nothing.

use std::collections::BTreeSet;

use aiemp_keys::{
    NodeId,
    cbor::{self, CborError, Fields},
};

use super::StandingId;
use crate::{ids::FileId, time::Timestamp, vault_path::VaultPath};

/// A draft that a standing approval may cover, as the mesh has it: `[id, file, path, note b, [author…], asked u]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The standing approval.
    pub standing: StandingId,
    /// The draft.
    pub file: FileId,
    /// Where it lies.
    pub path: VaultPath,
    /// Its bytes.
    pub note: Vec<u8>,
    /// Everybody who had a hand in it.
    pub authors: BTreeSet<NodeId>,
    /// When it was looked at.
    pub asked: Timestamp,
}

impl Request {
    /// The wire form.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(&cbor::array([
            cbor::bytes(&self.standing.0),
            self.file.to_value(),
            cbor::text(self.path.as_str()),
            cbor::bytes(&self.note),
            cbor::array(self.authors.iter().map(|author| author.to_value())),
            cbor::uint(self.asked.as_millis()),
        ]))
    }

    /// Reads the wire form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let mut fields = Fields::decode(bytes, "request")?;
        let standing = StandingId(fields.fixed()?);
        let file = FileId::read(&mut fields)?;
        let path = VaultPath::parse(&fields.text()?).map_err(|_| fields.invalid())?;
        let note = fields.bytes()?;
        let authors = fields.list_of(|value| {
            let mut one = Fields::of(cbor::array([value]), "author")?;
            NodeId::read(&mut one)
        })?;
        if !authors.is_sorted_by(|before, after| before < after) {
            return Err(fields.invalid());
        }
        let asked = Timestamp::from_millis(fields.uint()?);
        fields.end()?;
        Ok(Self { standing, file, path, note, authors: authors.into_iter().collect(), asked })
    }
}
