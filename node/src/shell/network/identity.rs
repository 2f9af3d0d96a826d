//! Our identities in libp2p's form, and back.

use aiemp_keys::{NodeId, PublicKey, Signer};
use libp2p::{
    PeerId,
    identity::{self, Keypair, ed25519},
};

/// Multihash code of a digest that is the hashed bytes themselves.
const IDENTITY_MULTIHASH: u64 = 0;

/// The libp2p key pair of a node key. libp2p overwrites the copy of the seed that it reads.
pub fn keypair(signer: &Signer) -> Keypair {
    let mut seed = *signer.seed().expose();
    Keypair::ed25519_from_bytes(&mut seed).expect("every 32 bytes are an Ed25519 seed")
}

/// The libp2p form of an identity.
pub fn peer_id(node: NodeId) -> PeerId {
    let key = ed25519::PublicKey::try_from_bytes(node.as_bytes()).expect("a NodeId holds a point of the curve");
    identity::PublicKey::from(key).to_peer_id()
}

/// The identity behind a libp2p one; `None` when it is no Ed25519 key, or one of small order.
pub fn node_id(peer: &PeerId) -> Option<NodeId> {
    let multihash = peer.as_ref();
    if multihash.code() != IDENTITY_MULTIHASH {
        return None;
    }
    let key = identity::PublicKey::try_decode_protobuf(multihash.digest()).ok()?.try_into_ed25519().ok()?;
    PublicKey::from_bytes(key.to_bytes()).ok().map(NodeId::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_libraries_see_one_key() {
        let signer = Signer::from_seed([3; 32]);
        let pair = keypair(&signer);
        assert_eq!(pair.public().to_peer_id(), peer_id(signer.node_id()));
        assert_eq!(pair.sign(b"note").expect("signs"), signer.sign(b"note"));
    }

    #[test]
    fn an_identity_reads_back() {
        let node = Signer::from_seed([4; 32]).node_id();
        assert_eq!(node_id(&peer_id(node)), Some(node));
    }

    #[test]
    fn hashed_and_small_order_identities_are_refused() {
        assert_eq!(node_id(&PeerId::random()), None);
        // Protobuf of an Ed25519 public key, here the neutral element.
        let mut multihash = vec![0x00, 0x24, 0x08, 0x01, 0x12, 0x20, 0x01];
        multihash.resize(38, 0);
        let small = PeerId::from_bytes(&multihash).expect("a PeerId in form");
        assert_eq!(node_id(&small), None);
    }
}
