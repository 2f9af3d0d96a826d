//! The declaration of the connectors that the executor may call, as the person signs it.
//!
//! Its text is for whoever calls: here it is only what was signed, and when.

use aiemp_keys::{
    PublicKey, Signer,
    cbor::{self, CborError, Fields},
    cose::{self, CoseError},
};

use crate::{ids::MeshId, limits::HANDS_BYTES_MAX, time::Timestamp};

const DOMAIN: &str = "aiemp-node 2026 hands";

/// A signed declaration: `[1, issued, text]`. The empty one where none was ever signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignedHands {
    /// When it was signed: an older one does not come back.
    pub issued: Timestamp,
    /// TOML, as the person saw it.
    pub text: String,
}

impl SignedHands {
    /// Signs with the approve key.
    pub fn sign(&self, approve: &Signer, mesh: MeshId) -> Vec<u8> {
        let payload = cbor::array([cbor::uint(1), cbor::uint(self.issued.as_millis()), cbor::text(&self.text)]);
        cose::sign1(approve, DOMAIN, &[mesh.to_value()], &cbor::encode(&payload))
    }

    /// Verifies with one of the roster's approvers.
    pub fn verify(approver: &PublicKey, mesh: MeshId, bytes: &[u8]) -> Result<Self, CoseError> {
        let payload = cose::verify1(approver, DOMAIN, &[mesh.to_value()], bytes)?;
        Self::from_bytes(&payload).map_err(|_| CoseError::Malformed)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let mut fields = Fields::decode(bytes, "hands")?;
        if fields.uint()? != 1 {
            return Err(fields.invalid());
        }
        let hands = Self { issued: Timestamp::from_millis(fields.uint()?), text: fields.text()? };
        if hands.text.len() > HANDS_BYTES_MAX {
            return Err(fields.invalid());
        }
        fields.end()?;
        Ok(hands)
    }
}

#[cfg(test)]
mod tests {
    use aiemp_keys::Hash;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_767_781_800_000);

    #[test]
    fn a_declaration_is_the_approve_keys_for_one_mesh_and_whole() {
        let approve = Signer::from_seed([2; 32]);
        let [mesh, other] = [1, 2].map(|byte| MeshId(Hash::of_content(&[byte])));
        let hands = SignedHands { issued: NOW, text: "[bank]\n".to_owned() };
        let bytes = hands.sign(&approve, mesh);
        assert_eq!(SignedHands::verify(&approve.public(), mesh, &bytes), Ok(hands.clone()));
        assert!(SignedHands::verify(&approve.public(), other, &bytes).is_err());
        assert!(SignedHands::verify(&Signer::from_seed([3; 32]).public(), mesh, &bytes).is_err());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SignedHands::verify(&approve.public(), mesh, &flipped).is_err(), "bit {bit}");
        }
        let long = SignedHands { text: " ".repeat(HANDS_BYTES_MAX + 1), ..hands };
        assert_eq!(SignedHands::verify(&approve.public(), mesh, &long.sign(&approve, mesh)), Err(CoseError::Malformed));
    }
}
