//! Ed25519 signing (RFC 8032).

use std::fmt;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use thiserror::Error;

use crate::{
    public_key::{NodeId, PublicKey},
    random::{self, RandomError},
    secret::Secret,
};

/// A private Ed25519 key that signs; Debug shows the public half only.
pub struct Signer {
    pair: Ed25519KeyPair,
    // ring does not give the seed back, and libp2p builds its own key pair from it.
    seed: Secret<[u8; 32]>,
    public: PublicKey,
}

/// A signature that the key did not make over the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the signature does not fit key and message")]
pub struct BadSignature;

impl Signer {
    /// Makes a new key from the operating system's randomness.
    pub fn generate() -> Result<Self, RandomError> {
        random::array().map(Self::from_seed)
    }

    /// Derives the key pair of a seed: the same seed always gives the same key.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = Secret::new(seed);
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("ring takes every 32-byte seed");
        let bytes = pair.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes");
        // A clamped scalar is no multiple of the group order, so its point is never of small order.
        let public = PublicKey::from_bytes(bytes).expect("a derived key is not of small order");
        Self { pair, seed, public }
    }

    /// The key that verifies what this signer signs.
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    /// The identity of the node whose key this is.
    pub const fn node_id(&self) -> NodeId {
        NodeId::new(self.public)
    }

    /// The 32-byte seed of RFC 8032, from which libp2p makes the same key.
    pub const fn seed(&self) -> &Secret<[u8; 32]> {
        &self.seed
    }

    /// Signs a message; deterministic.
    ///
    /// Messages of this project are signed through [`cose`](crate::cose), which adds the domain tag.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }
}

impl Clone for Signer {
    fn clone(&self) -> Self {
        Self::from_seed(*self.seed.expose())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Signer").field(&self.public).finish()
    }
}

/// Verifies a signature over a message.
pub fn verify(key: &PublicKey, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    UnparsedPublicKey::new(&ED25519, key.as_bytes()).verify(message, signature).map_err(|_| BadSignature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_test_vector_of_rfc_8032() {
        let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let signer = Signer::from_seed(seed.try_into().unwrap());
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(signer.public().to_string(), public);
        let signature = concat!(
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155",
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        );
        assert_eq!(signer.sign(b"").as_slice(), hex(signature));
    }

    #[test]
    fn another_message_or_key_does_not_verify() {
        let signer = Signer::from_seed([1; 32]);
        let signature = signer.sign(b"note");
        assert_eq!(verify(&signer.public(), b"note", &signature), Ok(()));
        assert_eq!(verify(&signer.public(), b"Note", &signature), Err(BadSignature));
        assert_eq!(verify(&Signer::from_seed([2; 32]).public(), b"note", &signature), Err(BadSignature));
        assert_eq!(verify(&signer.public(), b"note", &signature[..63]), Err(BadSignature));
    }

    #[test]
    fn a_clone_is_the_same_key() {
        let signer = Signer::generate().unwrap();
        assert_eq!(signer.clone().sign(b"note"), signer.sign(b"note"));
        assert_eq!(signer.clone().node_id(), NodeId::new(signer.public()));
    }

    #[test]
    fn debug_shows_the_public_key_only() {
        let signer = Signer::from_seed([7; 32]);
        assert_eq!(format!("{signer:?}"), format!("Signer({:?})", signer.public()));
    }
}
