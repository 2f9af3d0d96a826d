//! `COSE_Sign1` (RFC 9052), narrowed to one form, so that a signed thing has exactly one encoding.
//!
//! Untagged; EdDSA only; the protected header is exactly `a1 01 27`, the unprotected one is empty, the payload is
//! present. `external_aad` is the canonical CBOR array of the domain tag and the context: both are signed, neither is
//! on the wire.

use coset::{CborSerializable as _, CoseSign1, CoseSign1Builder, HeaderBuilder, iana};
use thiserror::Error;

use crate::{
    cbor::{self, Value},
    public_key::PublicKey,
    signer::{self, BadSignature, Signer},
};

/// The only protected header: `{1: -8}`, algorithm EdDSA.
const PROTECTED: [u8; 3] = [0xa1, 0x01, 0x27];

/// What libp2p signs with the same node key begins so; no domain tag of ours may.
const LIBP2P_PREFIXES: [&str; 2] = ["noise-libp2p-static-key:", "libp2p-tls-handshake:"];

/// Why bytes are not what `sign1` makes, or not signed as claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CoseError {
    /// No `COSE_Sign1` structure, or bytes after it.
    #[error("not a COSE_Sign1 structure")]
    Malformed,
    /// The protected header names another algorithm or anything else.
    #[error("the protected header is not a1 01 27")]
    ProtectedHeader,
    /// The unprotected header is not empty.
    #[error("the unprotected header is not empty")]
    UnprotectedHeader,
    /// The payload is detached.
    #[error("the payload is missing")]
    NoPayload,
    /// The signature does not have 64 bytes.
    #[error("the signature does not have 64 bytes")]
    SignatureLength,
    /// The structure is right, but not in its one canonical encoding.
    #[error("not the canonical encoding")]
    NotCanonical,
    /// The signature does not fit key, domain, context and payload.
    #[error("the signature does not fit key, domain, context and payload")]
    BadSignature,
}

impl From<BadSignature> for CoseError {
    fn from(_: BadSignature) -> Self {
        Self::BadSignature
    }
}

/// Signs a payload for one domain and context; deterministic.
pub fn sign1(signer: &Signer, domain: &'static str, context: &[Value], payload: &[u8]) -> Vec<u8> {
    let header = HeaderBuilder::new().algorithm(iana::Algorithm::EdDSA).build();
    CoseSign1Builder::new()
        .protected(header)
        .payload(payload.to_vec())
        .create_signature(&external_aad(domain, context), |message| signer.sign(message).to_vec())
        .build()
        .to_vec()
        .expect("a structure we built encodes")
}

/// Verifies the bytes as received and returns the payload.
pub fn verify1(key: &PublicKey, domain: &'static str, context: &[Value], bytes: &[u8]) -> Result<Vec<u8>, CoseError> {
    let (signed, payload) = parse(bytes)?;
    signed.verify_signature(&external_aad(domain, context), |signature, message| {
        signer::verify(key, message, signature)
    })?;
    Ok(payload)
}

/// Returns the payload without checking the signature; everything else is as strict as [`verify1`].
///
/// Legitimate for one purpose: to learn who claims to have signed and in which context, in order to call [`verify1`]
/// with that key. Nothing else in the payload may be acted upon.
pub fn payload_unverified(bytes: &[u8]) -> Result<Vec<u8>, CoseError> {
    parse(bytes).map(|(_, payload)| payload)
}

fn parse(bytes: &[u8]) -> Result<(CoseSign1, Vec<u8>), CoseError> {
    let signed = CoseSign1::from_slice(bytes).map_err(|_| CoseError::Malformed)?;
    if signed.protected.original_data.as_deref() != Some(PROTECTED.as_slice()) {
        return Err(CoseError::ProtectedHeader);
    }
    if !signed.unprotected.is_empty() {
        return Err(CoseError::UnprotectedHeader);
    }
    let payload = signed.payload.clone().ok_or(CoseError::NoPayload)?;
    if signed.signature.len() != 64 {
        return Err(CoseError::SignatureLength);
    }
    let encoded = signed.clone().to_vec().map_err(|_| CoseError::Malformed)?;
    if encoded != bytes {
        return Err(CoseError::NotCanonical);
    }
    Ok((signed, payload))
}

fn external_aad(domain: &'static str, context: &[Value]) -> Vec<u8> {
    debug_assert!(
        !LIBP2P_PREFIXES.iter().any(|prefix| domain.starts_with(prefix)),
        "the domain tag {domain} could be taken for a libp2p handshake"
    );
    cbor::encode(&cbor::array(std::iter::once(cbor::text(domain)).chain(context.iter().cloned())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DOMAIN: &str = "aiemp test note";

    fn signer() -> Signer {
        Signer::from_seed([7; 32])
    }

    fn context() -> [Value; 2] {
        [cbor::uint(3), cbor::bytes(b"mesh")]
    }

    fn check(bytes: &[u8]) -> Result<Vec<u8>, CoseError> {
        verify1(&signer().public(), DOMAIN, &context(), bytes)
    }

    /// A structure with any parts, over which the signature is right.
    fn forged(protected: &[u8], unprotected: Value, payload: Value, cut: usize) -> Vec<u8> {
        let body = payload.as_bytes().cloned().unwrap_or_default();
        let aad = external_aad(DOMAIN, &context());
        let message =
            cbor::array([cbor::text("Signature1"), cbor::bytes(protected), cbor::bytes(&aad), cbor::bytes(&body)]);
        let signature = signer().sign(&cbor::encode(&message));
        let parts = [cbor::bytes(protected), unprotected, payload, cbor::bytes(&signature[cut..])];
        cbor::encode(&cbor::array(parts))
    }

    fn empty_map() -> Value {
        Value::Map(Vec::new())
    }

    #[test]
    fn golden_vector() {
        let bytes = sign1(&signer(), DOMAIN, &context(), b"hello");
        let expected = concat!(
            "8443a10127a04568656c6c6f5840",
            "b8c5415a6e16cf59420793b052cc2a0f77ff7d7733a3fad27fe90de1c412b36d",
            "b444215b5d3a3e54a48148de9e12cf6ffc09ad5569d0e79ffdb0d789f4fc0c0b",
        );
        assert_eq!(data_encoding::HEXLOWER.encode(&bytes), expected);
        assert_eq!(check(&bytes), Ok(b"hello".to_vec()));
    }

    #[test]
    fn signs_the_sig_structure_of_rfc_9052() {
        let bytes = forged(&PROTECTED, empty_map(), cbor::bytes(b"hello"), 0);
        assert_eq!(bytes, sign1(&signer(), DOMAIN, &context(), b"hello"));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let bytes = sign1(&signer(), DOMAIN, &context(), b"hello");
        for position in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[position / 8] ^= 1 << (position % 8);
            assert!(check(&flipped).is_err(), "bit {position}");
        }
    }

    #[test]
    fn another_domain_context_or_key_is_refused() {
        let bytes = sign1(&signer(), DOMAIN, &context(), b"hello");
        let key = signer().public();
        assert_eq!(verify1(&key, "aiemp test roster", &context(), &bytes), Err(CoseError::BadSignature));
        assert_eq!(verify1(&key, DOMAIN, &context()[..1], &bytes), Err(CoseError::BadSignature));
        assert_eq!(verify1(&key, DOMAIN, &[], &bytes), Err(CoseError::BadSignature));
        let other = Signer::from_seed([8; 32]).public();
        assert_eq!(verify1(&other, DOMAIN, &context(), &bytes), Err(CoseError::BadSignature));
    }

    #[test]
    fn trailing_bytes_and_a_tag_are_refused() {
        let bytes = sign1(&signer(), DOMAIN, &context(), b"hello");
        assert_eq!(check(&[bytes.as_slice(), &[0]].concat()), Err(CoseError::Malformed));
        assert_eq!(check(&[&[0xd2], bytes.as_slice()].concat()), Err(CoseError::Malformed));
        assert_eq!(check(&bytes[..bytes.len() - 1]), Err(CoseError::Malformed));
    }

    #[test]
    fn a_foreign_header_is_refused_although_signed() {
        let hello = || cbor::bytes(b"hello");
        for protected in [&[0xa1, 0x01, 0x26][..], &[], &[0xa0], &[0xa1, 0x01, 0x38, 0x07], &[0xa1, 0x01, 0x32]] {
            assert_eq!(check(&forged(protected, empty_map(), hello(), 0)), Err(CoseError::ProtectedHeader));
        }
        let key_id = Value::Map(vec![(cbor::uint(4), cbor::bytes(b"me"))]);
        assert_eq!(check(&forged(&PROTECTED, key_id, hello(), 0)), Err(CoseError::UnprotectedHeader));
    }

    #[test]
    fn a_detached_payload_and_a_short_signature_are_refused() {
        assert_eq!(check(&forged(&PROTECTED, empty_map(), Value::Null, 0)), Err(CoseError::NoPayload));
        let short = forged(&PROTECTED, empty_map(), cbor::bytes(b"hello"), 1);
        assert_eq!(check(&short), Err(CoseError::SignatureLength));
        assert_eq!(payload_unverified(&short), Err(CoseError::SignatureLength));
    }

    #[test]
    fn a_second_encoding_of_the_same_structure_is_refused() {
        let bytes = sign1(&signer(), DOMAIN, &context(), b"hello");
        // The array header 0x84 in its two-byte form, then the payload's header 0x45 in its two-byte form.
        let long_array = [&[0x98, 0x04], &bytes[1..]].concat();
        assert_eq!(check(&long_array), Err(CoseError::NotCanonical));
        let long_payload = [&bytes[..6], &[0x58, 0x05], &bytes[7..]].concat();
        assert_eq!(check(&long_payload), Err(CoseError::NotCanonical));
        assert_eq!(payload_unverified(&long_payload), Err(CoseError::NotCanonical));
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "could be taken for a libp2p handshake")]
    fn a_domain_of_libp2p_is_a_bug() {
        sign1(&signer(), "noise-libp2p-static-key:x", &[], b"");
    }

    proptest! {
        #[test]
        fn every_payload_comes_back(payload in any::<Vec<u8>>()) {
            let bytes = sign1(&signer(), DOMAIN, &context(), &payload);
            prop_assert_eq!(payload_unverified(&bytes), Ok(payload.clone()));
            prop_assert_eq!(check(&bytes), Ok(payload));
        }

        #[test]
        fn arbitrary_bytes_are_refused(input in any::<Vec<u8>>()) {
            prop_assert!(check(&input).is_err());
        }
    }
}
