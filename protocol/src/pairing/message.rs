//! What the two sides say. Wire form: strict CBOR arrays, the first field the kind.

use aiemp_keys::{
    CborError, NodeId, PublicKey,
    cbor::{self, Fields},
};
use thiserror::Error;

use super::{inventory::Part, ticket::TicketError};
use crate::{limits::PAIRING_REASON_BYTES_MAX, roster::RosterError};

/// One message of the pairing stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Local says who it is.
    Offer {
        /// Its node key.
        node: NodeId,
        /// The root key of its mesh.
        root: PublicKey,
        /// 32 fresh bytes.
        nonce: [u8; 32],
    },
    /// Cloud says its part.
    Answer {
        /// 32 fresh bytes.
        nonce: [u8; 32],
        /// The name it was given at `init`.
        name: String,
    },
    /// Local proves both keys and hands over the rosters, the last of which admits Cloud.
    Proof {
        /// The node key's signature over the transcript.
        node_signature: Vec<u8>,
        /// The root key's signature over the transcript.
        root_signature: Vec<u8>,
        /// The roster chain's wire form.
        rosters: Vec<u8>,
    },
    /// Cloud holds the roster.
    Accepted,
    /// Local proves both keys and asks what lies in Cloud's vault, before the root key admits it.
    InventoryWanted {
        /// The node key's signature over the transcript.
        node_signature: Vec<u8>,
        /// The root key's signature over the transcript.
        root_signature: Vec<u8>,
    },
    /// Cloud says what lies there, in parts.
    Inventory(Part),
    /// One side ends it.
    Refused {
        /// Why, for the person.
        reason: String,
    },
}

/// Why a pairing ends.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PairingError {
    /// The ticket.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// A message out of turn or malformed.
    #[error("the other side speaks another protocol; update both nodes to one version")]
    Protocol,
    /// The other side ended it.
    #[error("the other side refused: {0}")]
    Refused(String),
    /// A signature over the transcript does not verify.
    #[error("the other side could not prove its keys")]
    Proof,
    /// The roster does not fit.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// A paired Cloud was asked by another mesh.
    #[error("this Cloud node belongs to another mesh; only its own root key can pair with it again")]
    ForeignRoot,
    /// The invitation was for one mesh, and another answered it.
    #[error("the ticket is for another mesh; run `aiemp-node pair invite` on the Cloud node for this one")]
    OtherMesh,
    /// The roster that came does not say what the transcript says.
    #[error("the roster does not admit exactly the two nodes that are pairing")]
    WrongMembers,
    /// A name that no node gives itself, not repeated here: it may steer a terminal.
    #[error("the Cloud node has a name that is none; run `aiemp-node init` on it with another --name")]
    NotAName,
    /// Two members would share a name.
    #[error("the mesh already has a node named `{0}`; run `aiemp-node init` on the new one with another --name")]
    NameTaken(String),
}

impl From<CborError> for PairingError {
    fn from(_: CborError) -> Self {
        Self::Protocol
    }
}

impl Message {
    /// The wire form.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(&match self {
            Self::Offer { node, root, nonce } => {
                cbor::array([cbor::uint(0), node.to_value(), root.to_value(), cbor::bytes(nonce)])
            }
            Self::Answer { nonce, name } => cbor::array([cbor::uint(1), cbor::bytes(nonce), cbor::text(name)]),
            Self::Proof { node_signature, root_signature, rosters } => cbor::array([
                cbor::uint(2),
                cbor::bytes(node_signature),
                cbor::bytes(root_signature),
                cbor::bytes(rosters),
            ]),
            Self::Accepted => cbor::array([cbor::uint(3)]),
            Self::InventoryWanted { node_signature, root_signature } => {
                cbor::array([cbor::uint(5), cbor::bytes(node_signature), cbor::bytes(root_signature)])
            }
            Self::Inventory(part) => cbor::array([cbor::uint(6)].into_iter().chain(part.to_fields())),
            Self::Refused { reason } => cbor::array([cbor::uint(4), cbor::text(reason)]),
        })
    }

    /// Reads the wire form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let mut fields = Fields::decode(bytes, "pairing message")?;
        let message = match fields.uint()? {
            0 => Self::Offer {
                node: NodeId::read(&mut fields)?,
                root: PublicKey::read(&mut fields)?,
                nonce: fields.fixed()?,
            },
            1 => Self::Answer { nonce: fields.fixed()?, name: fields.text()? },
            2 => Self::Proof {
                node_signature: fields.bytes()?,
                root_signature: fields.bytes()?,
                rosters: fields.bytes()?,
            },
            3 => Self::Accepted,
            4 => {
                let reason = fields.text()?;
                if reason.len() > PAIRING_REASON_BYTES_MAX {
                    return Err(fields.invalid());
                }
                Self::Refused { reason }
            }
            5 => Self::InventoryWanted { node_signature: fields.bytes()?, root_signature: fields.bytes()? },
            6 => Self::Inventory(Part::read(&mut fields)?),
            _ => return Err(fields.invalid()),
        };
        fields.end()?;
        Ok(message)
    }
}
