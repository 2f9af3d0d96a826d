//! Signed rosters, each following the one before.

use aiemp_keys::{
    PublicKey, Signer,
    cbor::{self, CborError, Fields},
    cose, next_root_hash,
};

use super::{Roster, RosterError};
use crate::ids::MeshId;

const DOMAIN: &str = "aiemp-node 2026 roster";

/// A roster with the root signature that makes it one. Wire form: `[root key, COSE_Sign1 over the roster]`.
#[derive(Clone, Debug)]
pub struct SignedRoster {
    root: PublicKey,
    roster: Roster,
    cose: Vec<u8>,
}

impl SignedRoster {
    /// Signs with the root key.
    pub fn sign(root: &Signer, roster: Roster) -> Self {
        let payload = cbor::encode(&roster.to_value());
        let cose = cose::sign1(root, DOMAIN, &[], &payload);
        Self { root: root.public(), roster, cose }
    }

    /// What was signed.
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The wire form.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(&cbor::array([self.root.to_value(), cbor::bytes(&self.cose)]))
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, RosterError> {
        let mut fields = Fields::decode(bytes, "signed roster")?;
        let root = PublicKey::read(&mut fields)?;
        let cose = fields.bytes()?;
        fields.end()?;
        let payload = cose::verify1(&root, DOMAIN, &[], &cose)?;
        let roster = Roster::from_bytes(&payload)?;
        roster.check()?;
        Ok(Self { root, roster, cose })
    }
}

/// Every roster of one mesh from its first, each following the one before: what a node holds and hands on.
#[derive(Clone, Debug)]
pub struct RosterChain {
    rosters: Vec<SignedRoster>,
}

impl RosterChain {
    /// Begins with the first roster of a mesh, which its own root key must have signed.
    pub fn begin(bytes: &[u8]) -> Result<Self, RosterError> {
        let first = SignedRoster::from_bytes(bytes)?;
        if first.roster.mesh != MeshId::founded_by(&first.root) {
            return Err(RosterError::ForeignMesh);
        }
        if first.roster.epoch != 1 || first.roster.prev.is_some() {
            return Err(RosterError::NotNext { held: 0, got: first.roster.epoch });
        }
        Ok(Self { rosters: vec![first] })
    }

    /// Adds the next roster. One that is held already changes nothing and answers `false`.
    pub fn extend(&mut self, bytes: &[u8]) -> Result<bool, RosterError> {
        let next = SignedRoster::from_bytes(bytes)?;
        let current = self.rosters.last().expect("a chain is never empty");
        if next.roster.mesh != current.roster.mesh {
            return Err(RosterError::ForeignMesh);
        }
        let follows_root = next.root == current.root || next_root_hash(&next.root) == current.roster.next_root_hash;
        if let Some(held) = self.at(next.roster.epoch) {
            return if held.hash() == next.roster.hash() {
                Ok(false)
            } else if follows_root {
                Err(RosterError::Fork { epoch: next.roster.epoch })
            } else {
                Err(RosterError::ForeignMesh)
            };
        }
        let held = current.roster.epoch;
        if next.roster.epoch != held + 1 || next.roster.prev != Some(current.roster.hash()) || !follows_root {
            return Err(RosterError::NotNext { held, got: next.roster.epoch });
        }
        self.rosters.push(next);
        Ok(true)
    }

    /// Reads a chain from its rosters' wire forms in an array.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RosterError> {
        let mut rosters = cbor::decode(bytes)?
            .into_array()
            .map_err(|_| CborError::Malformed)?
            .into_iter()
            .map(|value| value.into_bytes().map_err(|_| CborError::Malformed));
        let mut chain = Self::begin(&rosters.next().ok_or(CborError::Malformed)??)?;
        for roster in rosters {
            // One that is there already would make a second form of the same chain.
            if !chain.extend(&roster?)? {
                return Err(CborError::NotCanonical.into());
            }
        }
        Ok(chain)
    }

    /// The wire forms in an array.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(&cbor::array(self.rosters.iter().map(|roster| cbor::bytes(&roster.to_bytes()))))
    }

    /// The roster in force.
    pub fn current(&self) -> &Roster {
        &self.rosters.last().expect("a chain is never empty").roster
    }

    /// The key that signed the roster in force.
    pub fn root(&self) -> PublicKey {
        self.rosters.last().expect("a chain is never empty").root
    }

    /// The root key that founded the mesh, which an executor pins.
    pub fn founder(&self) -> PublicKey {
        self.rosters.first().expect("a chain is never empty").root
    }

    /// The roster of an epoch.
    pub fn at(&self, epoch: u64) -> Option<&Roster> {
        let index = usize::try_from(epoch.checked_sub(1)?).ok()?;
        self.rosters.get(index).map(SignedRoster::roster)
    }

    /// The wire form of the roster of an epoch.
    pub fn bytes_of(&self, epoch: u64) -> Option<Vec<u8>> {
        self.rosters.iter().find(|signed| signed.roster.epoch == epoch).map(SignedRoster::to_bytes)
    }

    /// Wire forms of the rosters after `epoch`, for a peer that is behind.
    pub fn after(&self, epoch: u64) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.rosters.iter().filter(move |signed| signed.roster.epoch > epoch).map(SignedRoster::to_bytes)
    }
}
