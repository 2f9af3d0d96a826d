//! Where a log begins and ends, signed by the process that writes it.

use aiemp_keys::{
    CborError, Hash, PublicKey, Signer,
    cbor::{self, Fields},
    cose::{self, CoseError},
};

use super::line::Line;

const DOMAIN: &str = "aiemp-node 2026 audit checkpoint";

/// `[log, hash before the first line kept, lines kept, last line]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// The log's name.
    pub(super) log: String,
    /// What the first line that is kept names as its predecessor.
    pub(super) before: Option<Hash>,
    /// How many lines are kept, the last one among them.
    pub(super) lines: u64,
    /// The last line: it may not be in its file yet.
    pub(super) last: Line,
}

impl Checkpoint {
    /// Signs with the key of the process.
    pub(super) fn sign(&self, signer: &Signer) -> Vec<u8> {
        let before = cbor::option(self.before.map(Hash::to_value));
        let fields = [cbor::text(&self.log), before, cbor::uint(self.lines), cbor::text(&self.last.text)];
        cose::sign1(signer, DOMAIN, &[], &cbor::encode(&cbor::array(fields)))
    }

    /// Verifies the checkpoint of a log.
    pub(super) fn verify(key: &PublicKey, log: &str, bytes: &[u8]) -> Result<Self, CoseError> {
        let payload = cose::verify1(key, DOMAIN, &[], bytes)?;
        let checkpoint = Self::read(&payload).map_err(|_| CoseError::Malformed)?;
        if checkpoint.log == log { Ok(checkpoint) } else { Err(CoseError::Malformed) }
    }

    fn read(payload: &[u8]) -> Result<Self, CborError> {
        let mut fields = Fields::decode(payload, "audit checkpoint")?;
        let log = fields.text()?;
        let before = fields.optional_of(Fields::hash)?;
        let lines = fields.uint()?;
        let last = Line::read(&fields.text()?).ok_or_else(|| fields.invalid())?;
        fields.end()?;
        Ok(Self { log, before, lines, last })
    }
}
