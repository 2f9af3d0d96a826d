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

    /// Takes the proof; `mesh` is the one that was invited, if one was named.
    pub fn proved(self, message: Message, mesh: Option<MeshId>) -> Result<Admitted, PairingError> {
        let (node_signature, root_signature, rosters) = match message {
            Message::Proof { node_signature, root_signature, rosters } => (node_signature, root_signature, rosters),
            Message::Refused { reason } => return Err(PairingError::Refused(reason)),
            Message::Offer { .. } | Message::Answer { .. } | Message::Accepted => return Err(PairingError::Protocol),
        };
        let transcript = &self.transcript;
        transcript.verify(transcript.local.key(), &node_signature).map_err(|_| PairingError::Proof)?;
        transcript.verify(&transcript.root, &root_signature).map_err(|_| PairingError::Proof)?;
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
