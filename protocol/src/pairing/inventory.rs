//! What a vault holds in the folders that both sides will share: told by Cloud before the root key signs.

use aiemp_keys::{
    CborError, Hash,
    cbor::{self, Fields, Value},
};

use super::message::{Message, PairingError};
use crate::{
    ids::ContentHash,
    limits::{INVENTORY_BYTES_MAX, INVENTORY_FILES_MAX, INVENTORY_PART_FILES_MAX, INVENTORY_REMOTES_MAX},
    vault_path::VaultPath,
};

const REMOTE_LABEL: &str = "aiemp-node 2026 git remote";

/// One file: `[path, hash, length]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where it lies.
    pub path: VaultPath,
    /// Digest of its content.
    pub hash: ContentHash,
    /// How many bytes that is.
    pub length: u64,
}

/// What one vault holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Its files, by canonical path; each place once.
    pub files: Vec<Listed>,
    /// How many more there are than may be listed.
    pub left_out: u64,
    /// Digests of the places that git keeps the vault in step with.
    pub remotes: Vec<Hash>,
}

/// A message's worth of an inventory: `[6, [file…], left out u, [remote hash…], last B]`. What is not of single files
/// stands in the last part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    files: Vec<Listed>,
    left_out: u64,
    remotes: Vec<Hash>,
    is_last: bool,
}

/// The parts that have come.
#[derive(Debug, Default)]
pub struct Gathering {
    files: Vec<Listed>,
    last_key: Option<String>,
    bytes: usize,
}

impl Inventory {
    /// What there is to say of these files; those beyond the bound are counted.
    pub fn of(mut files: Vec<Listed>, mut remotes: Vec<Hash>) -> Self {
        files.sort_by_cached_key(|file| file.path.key());
        files.dedup_by_key(|file| file.path.key());
        let mut bytes = 0;
        let fit = files.iter().take(INVENTORY_FILES_MAX).take_while(|file| {
            bytes += file.path.as_str().len();
            bytes <= INVENTORY_BYTES_MAX
        });
        let fit = fit.count();
        let left_out = (files.len() - fit) as u64;
        files.truncate(fit);
        remotes.sort();
        remotes.dedup();
        remotes.truncate(INVENTORY_REMOTES_MAX);
        Self { files, left_out, remotes }
    }

    /// The messages that say it.
    pub fn into_messages(self) -> Vec<Message> {
        let Self { files, left_out, remotes } = self;
        let part = |files: &[Listed]| Part { files: files.to_vec(), left_out: 0, remotes: Vec::new(), is_last: false };
        let mut parts: Vec<_> = files.chunks(INVENTORY_PART_FILES_MAX).map(part).collect();
        if parts.is_empty() {
            parts.push(part(&[]));
        }
        if let Some(last) = parts.last_mut() {
            *last = Part { left_out, remotes, is_last: true, files: std::mem::take(&mut last.files) };
        }
        parts.into_iter().map(Message::Inventory).collect()
    }
}

impl Gathering {
    /// Takes the next message; the whole once the last part is here. However much the other side says, what is kept is
    /// bounded: places come in order, each once.
    pub fn take(&mut self, message: Message) -> Result<Option<Inventory>, PairingError> {
        let part = match message {
            Message::Inventory(part) => part,
            Message::Refused { reason } => return Err(PairingError::Refused(reason)),
            Message::Offer { .. }
            | Message::Answer { .. }
            | Message::Proof { .. }
            | Message::Accepted
            | Message::InventoryWanted { .. } => return Err(PairingError::Protocol),
        };
        for file in part.files {
            let key = file.path.key();
            self.bytes += file.path.as_str().len();
            let is_next = self.last_key.as_ref().is_none_or(|last| *last < key);
            if !is_next || self.files.len() >= INVENTORY_FILES_MAX || self.bytes > INVENTORY_BYTES_MAX {
                return Err(PairingError::Protocol);
            }
            self.last_key = Some(key);
            self.files.push(file);
        }
        if !part.is_last {
            return Ok(None);
        }
        let files = std::mem::take(&mut self.files);
        Ok(Some(Inventory { files, left_out: part.left_out, remotes: part.remotes }))
    }
}

impl Part {
    pub(super) fn to_fields(&self) -> [Value; 4] {
        let file = |file: &Listed| {
            cbor::array([cbor::text(file.path.as_str()), file.hash.to_value(), cbor::uint(file.length)])
        };
        [
            cbor::array(self.files.iter().map(file)),
            cbor::uint(self.left_out),
            cbor::array(self.remotes.iter().map(|remote| remote.to_value())),
            Value::Bool(self.is_last),
        ]
    }

    pub(super) fn read(fields: &mut Fields) -> Result<Self, CborError> {
        let files = fields.list_of(read_file)?;
        let left_out = fields.uint()?;
        let remotes = fields.list_of(|value| {
            let bytes = value.into_bytes().map_err(|_| CborError::Malformed)?;
            bytes.try_into().map(Hash::from_bytes).map_err(|_| CborError::Malformed)
        })?;
        let is_last = fields.bool()?;
        let is_more = !is_last && (files.is_empty() || left_out > 0 || !remotes.is_empty());
        if files.len() > INVENTORY_PART_FILES_MAX || remotes.len() > INVENTORY_REMOTES_MAX || is_more {
            return Err(fields.invalid());
        }
        Ok(Self { files, left_out, remotes, is_last })
    }
}

fn read_file(value: Value) -> Result<Listed, CborError> {
    let mut fields = Fields::of(value, "inventory file")?;
    let path = VaultPath::parse(&fields.text()?).map_err(|_| fields.invalid())?;
    let file = Listed { path, hash: ContentHash::read(&mut fields)?, length: fields.uint()? };
    fields.end()?;
    Ok(file)
}

/// What stands for a place that git keeps a vault in step with: its address may hold a token.
pub fn remote_digest(address: &str) -> Hash {
    Hash::labelled(REMOTE_LABEL, [cbor::text(address)])
}
