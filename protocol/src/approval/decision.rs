//! What the approve key signs.

use aiemp_keys::{
    Hash, NodeId, PublicKey, Signer, Value,
    cbor::{self, CborError, Fields},
    cose::{self, CoseError},
};

use crate::{
    ids::{ActionHash, MeshId},
    time::Timestamp,
};

const APPROVAL_DOMAIN: &str = "aiemp-node 2026 approval";
const SETTLEMENT_DOMAIN: &str = "aiemp-node 2026 settlement";
const CLOCK_DOMAIN: &str = "aiemp-node 2026 clock settlement";

/// One approval: `[action, render, renderer version, nonce, expiry, executor, policy, epoch, repeat of]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What was approved.
    pub action: ActionHash,
    /// Digest of the text that the person saw.
    pub render: Hash,
    /// Version of the renderer that made it.
    pub renderer: u64,
    /// Makes each approval one of a kind.
    pub nonce: [u8; 16],
    /// After this it is void.
    pub expiry: Timestamp,
    /// The one node that may act on it.
    pub executor: NodeId,
    /// [Digest](super::Policy::digest) of the signed policy in force.
    pub policy: Hash,
    /// The roster epoch that named executor and approver.
    pub epoch: u64,
    /// The nonce of an earlier approval whose action is wanted a second time.
    pub repeat_of: Option<[u8; 16]>,
}

impl Decision {
    /// Signs with the approve key.
    pub fn sign(&self, approve: &Signer, mesh: MeshId) -> Vec<u8> {
        cose::sign1(approve, APPROVAL_DOMAIN, &[mesh.to_value()], &self.to_bytes())
    }

    /// Verifies with one of the roster's approvers.
    pub fn verify(approver: &PublicKey, mesh: MeshId, bytes: &[u8]) -> Result<Self, CoseError> {
        let payload = cose::verify1(approver, APPROVAL_DOMAIN, &[mesh.to_value()], bytes)?;
        Self::from_bytes(&payload).map_err(|_| CoseError::Malformed)
    }

    /// Reads a signed decision without checking who signed it.
    ///
    /// Only for rows of a journal: the executor verified the decision itself before it stored it, and a row stays valid
    /// when the roster's approvers change afterwards.
    pub fn from_signed_unverified(bytes: &[u8]) -> Result<Self, CoseError> {
        Self::from_bytes(&cose::payload_unverified(bytes)?).map_err(|_| CoseError::Malformed)
    }

    fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(&cbor::array([
            self.action.to_value(),
            self.render.to_value(),
            cbor::uint(self.renderer),
            cbor::bytes(&self.nonce),
            cbor::uint(self.expiry.as_millis()),
            self.executor.to_value(),
            self.policy.to_value(),
            cbor::uint(self.epoch),
            cbor::option(self.repeat_of.map(|nonce| cbor::bytes(&nonce))),
        ]))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let mut fields = Fields::decode(bytes, "approval")?;
        let decision = Self {
            action: ActionHash::read(&mut fields)?,
            render: fields.hash()?,
            renderer: fields.uint()?,
            nonce: fields.fixed()?,
            expiry: Timestamp::from_millis(fields.uint()?),
            executor: NodeId::read(&mut fields)?,
            policy: fields.hash()?,
            epoch: fields.uint()?,
            repeat_of: fields.optional_of(Fields::fixed)?,
        };
        fields.end()?;
        Ok(decision)
    }
}

/// A person's word that a clock, which was wrong before, is right now: `[at]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSettlement {
    /// The time when it was signed, by the clock that is right.
    pub at: Timestamp,
}

impl ClockSettlement {
    /// Signs with the approve key.
    pub fn sign(self, approve: &Signer, mesh: MeshId) -> Vec<u8> {
        let payload = cbor::array([cbor::uint(self.at.as_millis())]);
        cose::sign1(approve, CLOCK_DOMAIN, &[mesh.to_value()], &cbor::encode(&payload))
    }

    /// Verifies with one of the roster's approvers.
    pub fn verify(approver: &PublicKey, mesh: MeshId, bytes: &[u8]) -> Result<Self, CoseError> {
        let payload = cose::verify1(approver, CLOCK_DOMAIN, &[mesh.to_value()], bytes)?;
        Self::from_bytes(&payload).map_err(|_| CoseError::Malformed)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let mut fields = Fields::decode(bytes, "clock settlement")?;
        let settlement = Self { at: Timestamp::from_millis(fields.uint()?) };
        fields.end()?;
        Ok(settlement)
    }
}

/// A person's word on an action whose end nobody knows: `[action, nonce, sent]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The action.
    pub action: ActionHash,
    /// The approval that was acted on.
    pub nonce: [u8; 16],
    /// Whether it was sent.
    pub sent: bool,
}

impl Settlement {
    /// Signs with the approve key.
    pub fn sign(&self, approve: &Signer, mesh: MeshId) -> Vec<u8> {
        let payload = cbor::array([self.action.to_value(), cbor::bytes(&self.nonce), Value::Bool(self.sent)]);
        cose::sign1(approve, SETTLEMENT_DOMAIN, &[mesh.to_value()], &cbor::encode(&payload))
    }

    /// Verifies with one of the roster's approvers.
    pub fn verify(approver: &PublicKey, mesh: MeshId, bytes: &[u8]) -> Result<Self, CoseError> {
        let payload = cose::verify1(approver, SETTLEMENT_DOMAIN, &[mesh.to_value()], bytes)?;
        Self::from_bytes(&payload).map_err(|_| CoseError::Malformed)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let mut fields = Fields::decode(bytes, "settlement")?;
        let settlement = Self { action: ActionHash::read(&mut fields)?, nonce: fields.fixed()?, sent: fields.bool()? };
        fields.end()?;
        Ok(settlement)
    }
}
