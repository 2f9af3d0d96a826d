//! Everything both sides know of a pairing, in one digest.

use aiemp_keys::{
    Hash, NodeId, PublicKey, Signer, cbor,
    cose::{self, CoseError},
    short_words,
};

const DOMAIN: &str = "aiemp-node 2026 pairing transcript";

/// All keys and both nonces. The words are its digest for people; the signatures are over it.
#[derive(Clone, Debug)]
pub(super) struct Transcript {
    pub(super) dialer: NodeId,
    pub(super) local: NodeId,
    pub(super) root: PublicKey,
    pub(super) cloud: NodeId,
    pub(super) name: String,
    pub(super) local_nonce: [u8; 32],
    pub(super) cloud_nonce: [u8; 32],
}

impl Transcript {
    fn hash(&self) -> Hash {
        let parts = [
            self.dialer.to_value(),
            self.local.to_value(),
            self.root.to_value(),
            self.cloud.to_value(),
            cbor::text(&self.name),
            cbor::bytes(&self.local_nonce),
            cbor::bytes(&self.cloud_nonce),
        ];
        Hash::labelled(DOMAIN, parts)
    }

    pub(super) fn words(&self) -> String {
        short_words(&self.hash())
    }

    pub(super) fn sign(&self, signer: &Signer) -> Vec<u8> {
        cose::sign1(signer, DOMAIN, &[], self.hash().as_bytes())
    }

    pub(super) fn verify(&self, key: &PublicKey, signature: &[u8]) -> Result<(), CoseError> {
        let payload = cose::verify1(key, DOMAIN, &[], signature)?;
        if payload == self.hash().as_bytes() { Ok(()) } else { Err(CoseError::BadSignature) }
    }
}
