//! Cloud's side, driven by its mesh while an invitation is open.

use aiemp_keys::{NodeId, PublicKey};

use super::{
    message::{Message, PairingError},
    transcript::Transcript,
};
use crate::{
    ids::MeshId,
    roster::{Role, RosterChain},
};

/// Cloud has answered; the proof is awaited.
#[derive(Debug)]
pub struct Asked {
    transcript: Transcript,
}

/// The roster verified; once it is durable here, Cloud says so.
#[derive(Debug)]
pub struct Admitted {
    /// The chain to hold.
    pub rosters: RosterChain,
    /// Who paired.
    pub local: NodeId,
}

impl Asked {
    /// Takes the offer of the dialer that the invitation named. The invitation must be out of use, durably, before
    /// the answer is sent. `own_root` is the root key of the mesh that this node belongs to already.
    pub fn offered(
        message: Message,
        dialer: NodeId,
        cloud: NodeId,
        name: &str,
        nonce: [u8; 32],
        own_root: Option<PublicKey>,
    ) -> Result<(Self, Message), PairingError> {
        let Message::Offer { node: local, root, nonce: local_nonce } = message else {
            return Err(PairingError::Protocol);
        };
        if own_root.is_some_and(|own| own != root) {
            return Err(PairingError::ForeignRoot);
        }
        let name = name.to_owned();
        let answer = Message::Answer { nonce, name: name.clone() };
        let transcript = Transcript { dialer, local, root, cloud, name, local_nonce, cloud_nonce: nonce };
        Ok((Self { transcript }, answer))
    }

    /// The words to compare.
    pub fn words(&self) -> String {
        self.transcript.words()
    }

    /// Whether the message asks for the inventory, by the keys of the offer: what lies in a vault is told to nobody else.
    /// `mesh` is the one that was invited, if one was named.
    pub fn wants_inventory(&self, message: &Message, mesh: Option<MeshId>) -> Result<bool, PairingError> {
        let Message::InventoryWanted { node_signature, root_signature } = message else { return Ok(false) };
        self.check_signatures(node_signature, root_signature)?;
        match mesh.filter(|mesh| *mesh != MeshId::founded_by(&self.transcript.root)) {
            Some(_) => Err(PairingError::OtherMesh),
            None => Ok(true),
        }
    }

    fn check_signatures(&self, by_node: &[u8], by_root: &[u8]) -> Result<(), PairingError> {
        let transcript = &self.transcript;
        transcript.verify(transcript.local.key(), by_node).map_err(|_| PairingError::Proof)?;
        transcript.verify(&transcript.root, by_root).map_err(|_| PairingError::Proof)
    }

    /// Takes the proof; `mesh` is the one that was invited, if one was named.
    pub fn proved(self, message: Message, mesh: Option<MeshId>) -> Result<Admitted, PairingError> {
        let (node_signature, root_signature, rosters) = match message {
            Message::Proof { node_signature, root_signature, rosters } => (node_signature, root_signature, rosters),
            Message::Refused { reason } => return Err(PairingError::Refused(reason)),
            Message::Offer { .. }
            | Message::Answer { .. }
            | Message::Accepted
            | Message::InventoryWanted { .. }
            | Message::Inventory(_) => return Err(PairingError::Protocol),
        };
        self.check_signatures(&node_signature, &root_signature)?;
        let transcript = &self.transcript;
        let rosters = RosterChain::from_bytes(&rosters)?;
        let current = rosters.current();
        if mesh.is_some_and(|mesh| mesh != current.mesh) {
            return Err(PairingError::OtherMesh);
        }
        let role = |node| current.member(node).map(|member| member.role);
        let admits = role(transcript.local) == Some(Role::Local) && role(transcript.cloud) == Some(Role::Cloud);
        if !admits || rosters.root() != transcript.root {
            return Err(PairingError::WrongMembers);
        }
        Ok(Admitted { rosters, local: transcript.local })
    }
}
