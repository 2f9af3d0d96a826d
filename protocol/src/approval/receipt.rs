//! How an approved action ended, signed by the executor.

use aiemp_keys::{
    PublicKey, Signer, Value,
    cbor::{self, CborError, Fields},
    cose::{self, CoseError},
};

use super::standing::StandingId;
use crate::{
    action::ActionKind,
    ids::{ActionHash, FileId, MeshId, WorkId},
    time::Timestamp,
};

const DOMAIN: &str = "aiemp-node 2026 receipt";

/// Where the action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Reserved in the journal; it will be sent.
    Accepted,
    /// Done, and known to be.
    Sent,
    /// Known not to be done.
    Failed,
    /// It may be done; a person must look.
    Unknown,
}

impl Outcome {
    const EACH: [Self; 4] = [Self::Accepted, Self::Sent, Self::Failed, Self::Unknown];

    /// The word for it in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "approved",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    const fn code(self) -> u64 {
        match self {
            Self::Accepted => 0,
            Self::Sent => 1,
            Self::Failed => 2,
            Self::Unknown => 3,
        }
    }
}

/// One step of an action's end: `[action, work, kind, file, nonce, outcome, at, message id, detail, note, unattended]`,
/// and one more field where it went out under a standing approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The action.
    pub action: ActionHash,
    /// The piece of work.
    pub work: WorkId,
    /// The action's kind.
    pub kind: ActionKind,
    /// The draft it came from.
    pub file: FileId,
    /// The approval that was acted on.
    pub nonce: [u8; 16],
    /// Where it stands.
    pub outcome: Outcome,
    /// When it came to stand there.
    pub at: Timestamp,
    /// The Message-ID of a mail.
    pub message_id: Option<String>,
    /// What the service said, or why not.
    pub detail: String,
    /// The draft's bytes as approved, from which the copy under `Approved/` is made.
    pub note: Vec<u8>,
    /// Whether some key of the mesh opens without a person.
    pub unattended: bool,
    /// The standing approval that it went out under.
    pub standing: Option<StandingId>,
}

impl Receipt {
    /// Signs with the executor's receipt key.
    pub fn sign(&self, signer: &Signer, mesh: MeshId) -> Vec<u8> {
        cose::sign1(signer, DOMAIN, &[mesh.to_value()], &self.to_bytes())
    }

    /// Verifies with the executor's receipt key.
    pub fn verify(key: &PublicKey, mesh: MeshId, bytes: &[u8]) -> Result<Self, CoseError> {
        let payload = cose::verify1(key, DOMAIN, &[mesh.to_value()], bytes)?;
        Self::from_bytes(&payload).map_err(|_| CoseError::Malformed)
    }

    fn to_bytes(&self) -> Vec<u8> {
        let standing = self.standing.map(|standing| cbor::bytes(&standing.0));
        let fields = [
            self.action.to_value(),
            self.work.to_value(),
            cbor::uint(self.kind.code()),
            self.file.to_value(),
            cbor::bytes(&self.nonce),
            cbor::uint(self.outcome.code()),
            cbor::uint(self.at.as_millis()),
            cbor::option(self.message_id.as_deref().map(cbor::text)),
            cbor::text(&self.detail),
            cbor::bytes(&self.note),
            Value::Bool(self.unattended),
        ];
        cbor::encode(&cbor::array(fields.into_iter().chain(standing)))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let mut fields = Fields::decode(bytes, "receipt")?;
        let receipt = Self {
            action: ActionHash::read(&mut fields)?,
            work: WorkId::read(&mut fields)?,
            kind: ActionKind::from_code(fields.uint()?).ok_or_else(|| fields.invalid())?,
            file: FileId::read(&mut fields)?,
            nonce: fields.fixed()?,
            outcome: {
                let code = fields.uint()?;
                Outcome::EACH.into_iter().find(|outcome| outcome.code() == code).ok_or_else(|| fields.invalid())?
            },
            at: Timestamp::from_millis(fields.uint()?),
            message_id: fields.optional_of(Fields::text)?,
            detail: fields.text()?,
            note: fields.bytes()?,
            unattended: fields.bool()?,
            standing: if fields.is_at_end() { None } else { Some(StandingId(fields.fixed()?)) },
        };
        fields.end()?;
        Ok(receipt)
    }
}
