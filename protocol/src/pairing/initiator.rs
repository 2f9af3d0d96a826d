//! Local's side, driven by the pairing command; it alone holds the root key.

use aiemp_keys::{NodeId, Signer};

use super::{
    inventory::Inventory,
    message::{Message, PairingError},
    plan::Plan,
    ticket::Ticket,
    transcript::Transcript,
};
use crate::{
    roster::{Member, Quota, Role, RosterChain, SignedRoster},
    time::Timestamp,
};

/// The offer is sent; the answer is awaited.
#[derive(Debug)]
pub struct Offered {
    ticket: Ticket,
    local: NodeId,
    rosters: RosterChain,
    nonce: [u8; 32],
}

/// Both sides have spoken; the person compares the words.
#[derive(Debug)]
pub struct Answered {
    rosters: RosterChain,
    transcript: Transcript,
}

impl Offered {
    /// Begins with a ticket that is still good; answers the first message.
    pub fn begin(
        ticket: Ticket,
        local: NodeId,
        rosters: RosterChain,
        nonce: [u8; 32],
        now: Timestamp,
    ) -> Result<(Self, Message), PairingError> {
        ticket.check(now)?;
        let offer = Message::Offer { node: local, root: rosters.root(), nonce };
        Ok((Self { ticket, local, rosters, nonce }, offer))
    }

    /// Takes Cloud's answer.
    pub fn answered(self, message: Message) -> Result<Answered, PairingError> {
        let (cloud_nonce, name) = match message {
            Message::Answer { nonce, name } => (nonce, name),
            Message::Refused { reason } => return Err(PairingError::Refused(reason)),
            Message::Offer { .. }
            | Message::Proof { .. }
            | Message::Accepted
            | Message::InventoryWanted { .. }
            | Message::Inventory(_) => return Err(PairingError::Protocol),
        };
        if !Member::may_be_named(&name) {
            return Err(PairingError::NotAName);
        }
        let transcript = Transcript {
            dialer: self.ticket.invite().dialer,
            local: self.local,
            root: self.rosters.root(),
            cloud: self.ticket.cloud,
            name,
            local_nonce: self.nonce,
            cloud_nonce,
        };
        Ok(Answered { rosters: self.rosters, transcript })
    }
}

impl Answered {
    /// The words to compare.
    pub fn words(&self) -> String {
        self.transcript.words()
    }

    /// The name that the Cloud node was given.
    pub fn cloud_name(&self) -> &str {
        &self.transcript.name
    }

    /// The words are equal: Cloud is asked what its vault holds, and shown who asks. Nothing is granted by that.
    pub fn want_inventory(&self, root: &Signer, node: &Signer) -> Message {
        Message::InventoryWanted {
            node_signature: self.transcript.sign(node),
            root_signature: self.transcript.sign(root),
        }
    }

    /// Whether the Cloud node is a member already: then its vault and this one have met.
    pub fn is_member(&self) -> bool {
        self.rosters.current().member(self.transcript.cloud).is_some()
    }

    /// What becomes of the two vaults.
    pub fn plan(&self, here: &Inventory, there: &Inventory) -> Plan {
        Plan::of(here, there, self.rosters.current(), self.transcript.cloud, &self.transcript.name)
    }

    /// The words are equal: the root key admits the node. The chain must be durable here before the message is sent,
    /// for a roster that only Cloud holds would make the next one a fork.
    pub fn admit(self, root: &Signer, node: &Signer, now: Timestamp) -> Result<(RosterChain, Message), PairingError> {
        let Transcript { cloud, ref name, .. } = self.transcript;
        let mut rosters = self.rosters;
        if rosters.current().member(cloud).is_none() {
            if rosters.current().member_named(name).is_some() {
                return Err(PairingError::NameTaken(name.clone()));
            }
            let mut next = rosters.current().successor(now);
            let quota = Quota::default();
            next.members.push(Member { node: cloud, name: name.clone(), role: Role::Cloud, generation_min: 0, quota });
            rosters.extend(&SignedRoster::sign(root, next).to_bytes())?;
        }
        let proof = Message::Proof {
            node_signature: self.transcript.sign(node),
            root_signature: self.transcript.sign(root),
            rosters: rosters.to_bytes(),
        };
        Ok((rosters, proof))
    }
}
