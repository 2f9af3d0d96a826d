//! Pairing: both keys proved, nothing granted beyond what root signs, no step taken twice.

use aiemp_keys::Signer;
use aiemp_protocol::{
    pairing::{Asked, Message, Offered, PairingError, Ticket},
    roster::{Role, RosterChain},
};

use crate::mesh::{NOW, Owner, owner};

fn cloud() -> Signer {
    Signer::from_seed([77; 32])
}

fn ticket() -> Ticket {
    Ticket::new(cloud().node_id(), vec!["/ip4/127.0.0.1/tcp/4001".to_owned()], [3; 16], NOW)
}

fn offer(owner: &Owner) -> (Offered, Message) {
    Offered::begin(ticket(), owner.executor(), owner.rosters.clone(), [1; 32], NOW).expect("a good ticket")
}

fn ask(offer: Message, own_root: Option<aiemp_keys::PublicKey>) -> Result<(Asked, Message), PairingError> {
    let dialer = ticket().invite().dialer;
    Asked::offered(offer, dialer, cloud().node_id(), "cloud", [2; 32], own_root)
}

/// Both sides up to the proof: Cloud's state, and what Local sends.
fn until_proof(owner: &Owner) -> (Asked, RosterChain, Message) {
    let (offered, message) = offer(owner);
    let (asked, answer) = ask(message, None).expect("asks");
    let answered = offered.answered(answer).expect("answers");
    assert_eq!(answered.words(), asked.words());
    let (rosters, proof) = answered.admit(&owner.root, &owner.node, NOW).expect("admits");
    (asked, rosters, proof)
}

#[test]
fn two_nodes_end_with_one_roster() {
    let owner = owner(10);
    let (asked, rosters, proof) = until_proof(&owner);
    let proof = Message::from_bytes(&proof.to_bytes()).expect("reads back");
    let admitted = asked.proved(proof, None).expect("proved");
    assert_eq!(admitted.local, owner.executor());
    assert_eq!(admitted.rosters.to_bytes(), rosters.to_bytes());
    let member = rosters.current().member(cloud().node_id()).expect("a member");
    assert_eq!((member.role, member.name.as_str()), (Role::Cloud, "cloud"));
}

#[test]
fn no_bit_of_the_proof_can_change() {
    let owner = owner(10);
    let (_, _, proof) = until_proof(&owner);
    let bytes = proof.to_bytes();
    for bit in (0..bytes.len() * 8).step_by(3) {
        let mut other = bytes.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        let Ok(message) = Message::from_bytes(&other) else { continue };
        let (asked, _, _) = until_proof(&owner);
        assert!(asked.proved(message, None).is_err(), "bit {bit}");
    }
}

#[test]
fn a_proof_of_another_conversation_is_refused() {
    let owner = owner(10);
    let (_, _, proof) = until_proof(&owner);
    let (_, message) = offer(&owner);
    let dialer = ticket().invite().dialer;
    let (other, _) =
        Asked::offered(message, dialer, cloud().node_id(), "cloud", [9; 32], None).expect("asks with another nonce");
    assert_eq!(other.proved(proof, None).err(), Some(PairingError::Proof));
}

#[test]
fn a_paired_cloud_takes_its_own_root_alone() {
    let (owner, stranger) = (owner(10), owner(50));
    let (_, message) = offer(&stranger);
    assert_eq!(ask(message, Some(owner.rosters.root())).err(), Some(PairingError::ForeignRoot));
    let (_, message) = offer(&owner);
    assert!(ask(message, Some(owner.rosters.root())).is_ok());
}

#[test]
fn a_ticket_for_one_mesh_is_of_no_use_to_another() {
    let (owner, stranger) = (owner(10), owner(50));
    let invited = Some(owner.rosters.current().mesh);
    let (asked, _, proof) = until_proof(&stranger);
    assert_eq!(asked.proved(proof, invited).err(), Some(PairingError::OtherMesh));
    let (asked, _, proof) = until_proof(&owner);
    assert_eq!(asked.proved(proof, invited).map(|admitted| admitted.local), Ok(owner.executor()));
}

#[test]
fn a_root_that_signs_for_somebody_elses_node_proves_nothing() {
    let (owner, stranger) = (owner(10), owner(50));
    let (offered, message) = offer(&owner);
    let (asked, answer) = ask(message, None).expect("asks");
    let answered = offered.answered(answer).expect("answers");
    let (_, proof) = answered.admit(&owner.root, &stranger.node, NOW).expect("admits");
    assert_eq!(asked.proved(proof, None).err(), Some(PairingError::Proof));
}

#[test]
fn messages_out_of_turn_end_it() {
    let owner = owner(10);
    let (offered, _) = offer(&owner);
    assert_eq!(offered.answered(Message::Accepted).err(), Some(PairingError::Protocol));
    assert_eq!(ask(Message::Accepted, None).err(), Some(PairingError::Protocol));
    let (offered, _) = offer(&owner);
    let refused = Message::Refused { reason: "no".to_owned() };
    assert_eq!(offered.answered(refused).err(), Some(PairingError::Refused("no".to_owned())));
}

#[test]
fn a_name_that_steers_a_terminal_is_none_and_a_reason_is_short() {
    let owner = owner(10);
    let answered = |name: &str| {
        let answer = Message::Answer { nonce: [2; 32], name: name.to_owned() };
        offer(&owner).0.answered(answer).map(|answered| answered.cloud_name().to_owned())
    };
    for name in ["", "\u{1b}[2J", "clo\u{202e}ud", "a b", "..", "clo\nud", &"a".repeat(41)] {
        assert_eq!(answered(name), Err(PairingError::NotAName), "{name:?}");
    }
    assert_eq!(answered("cloud-2_b"), Ok("cloud-2_b".to_owned()));
    let reads = |length| Message::from_bytes(&Message::Refused { reason: "x".repeat(length) }.to_bytes()).is_ok();
    assert_eq!([1024, 1025].map(reads), [true, false]);
}

#[test]
fn two_nodes_cannot_share_a_name() {
    let owner = owner(10);
    let (offered, message) = offer(&owner);
    let dialer = ticket().invite().dialer;
    let (_, answer) = Asked::offered(message, dialer, cloud().node_id(), "local", [2; 32], None).expect("asks");
    let answered = offered.answered(answer).expect("answers");
    let refused = answered.admit(&owner.root, &owner.node, NOW).err();
    assert_eq!(refused, Some(PairingError::NameTaken("local".to_owned())));
}
