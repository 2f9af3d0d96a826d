//! The signed form, log entries and frames.

use aiemp_keys::{FingerprintKey, Fingerprints, cbor, cose as sign};
use aiemp_protocol::{egress::Guard, entry::SignedEntry, frame::Frame, ids::Audience, roster::Role};

use super::seeds::{self, ENTRY_DOMAIN, TEST_DOMAIN};

/// A `COSE_Sign1` has one encoding, and only the key's own bytes verify.
pub fn cose(bytes: &[u8]) {
    let signer = seeds::node();
    if let Ok(value) = cbor::decode(bytes) {
        assert_eq!(cbor::encode(&value), bytes, "a second encoding");
    }
    let context = [cbor::uint(3)];
    let unverified = sign::payload_unverified(bytes);
    match sign::verify1(&signer.public(), TEST_DOMAIN, &context, bytes) {
        Ok(payload) => {
            assert_eq!(unverified.as_ref(), Ok(&payload));
            assert_eq!(sign::sign1(&signer, TEST_DOMAIN, &context, &payload), bytes, "a second form of one signature");
        }
        Err(error) => assert!(unverified.is_ok() == (error == sign::CoseError::BadSignature), "{error}"),
    }
    let signed = sign::sign1(&signer, TEST_DOMAIN, &context, bytes);
    assert_eq!(sign::verify1(&signer.public(), TEST_DOMAIN, &context, &signed), Ok(bytes.to_vec()));
}

/// An entry that verifies is the one that its content signs to.
pub fn entry(bytes: &[u8]) {
    let (signer, mesh, log) = (seeds::node(), seeds::mesh(), seeds::log());
    let _seq = SignedEntry::claimed_seq(bytes);
    let _verified = SignedEntry::verify(mesh, log, None, bytes);
    let context = [mesh.to_value(), log.to_value(), cbor::Value::Null];
    let signed = sign::sign1(&signer, ENTRY_DOMAIN, &context, bytes);
    let Ok(read) = SignedEntry::verify(mesh, log, None, &signed) else { return };
    assert_eq!(SignedEntry::claimed_seq(&signed), Ok(read.entry.seq));
    let again = SignedEntry::sign(&signer, mesh, log, None, read.entry.clone());
    assert_eq!((again.cose, again.hash), (signed, read.hash), "{:?}", read.entry);
    let payload: u64 = read.entry.items.iter().filter_map(|item| item.payload()).map(|(_, length)| length).sum();
    assert!(payload < u64::MAX);
}

/// A frame has one encoding, and what the guard lets through is a frame that its reader may have.
pub fn frame(bytes: &[u8]) {
    let Ok(frame) = Frame::from_bytes(bytes) else { return };
    assert_eq!(frame.to_bytes(), bytes, "{frame:?}");
    let guard = Guard::new(Fingerprints::new(FingerprintKey::from_bytes([1; 32])));
    let Ok((cleared, _)) = guard.clear_frame(Role::Cloud, frame) else { return };
    assert_eq!(Frame::from_bytes(&cleared.get().to_bytes()).as_ref(), Ok(cleared.get()));
    let private = match cleared.get() {
        Frame::Entry { log, .. } => log.audience == Audience::Local,
        Frame::Frontier { positions } => positions.iter().any(|position| position.log.audience == Audience::Local),
        Frame::Hello { .. }
        | Frame::Fetch { .. }
        | Frame::Roster { .. }
        | Frame::PayloadWanted { .. }
        | Frame::PayloadPart { .. }
        | Frame::Freeze { .. } => false,
    };
    assert!(!private, "a private log for Cloud");
}
