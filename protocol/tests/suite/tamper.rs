//! Tampering: every object that decides something, changed in every small way, is refused for the right reason.
//!
//! A [`Kind`] is an object in its wire form with the reader that verifies it. What holds for all kinds is a table test
//! here; what only one of them has (expiry, epochs, replay) stands in the child files.

mod approvals;
mod canonical;
mod entries;
mod keys;
pub(crate) mod objects;
mod rosters;
mod tickets;

use std::collections::BTreeSet;

use aiemp_keys::cbor;

use objects::{Kind, kinds, signed_kinds};

/// Refused, and for a reason that says something about the kind of damage.
fn assert_refused(kind: &Kind, bytes: &[u8], what: &str) -> &'static str {
    match (kind.verify)(bytes) {
        Err(reason) => {
            assert!(kind.reasons.contains(&reason), "{}, {what}: refused as {reason}", kind.name);
            reason
        }
        Ok(()) => panic!("{}, {what}: accepted", kind.name),
    }
}

#[test]
fn the_untouched_object_is_accepted() {
    for kind in kinds() {
        assert_eq!((kind.verify)(&kind.bytes), Ok(()), "{}", kind.name);
    }
}

#[test]
fn every_flipped_bit_is_refused_with_every_reason_that_there_is() {
    for kind in kinds() {
        let mut seen = BTreeSet::new();
        for bit in 0..kind.bytes.len() * 8 {
            let mut bytes = kind.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            seen.insert(assert_refused(&kind, &bytes, &format!("bit {bit}")));
        }
        assert_eq!(seen, kind.reasons.iter().copied().collect(), "{}", kind.name);
    }
}

#[test]
fn every_truncation_is_refused_as_malformed() {
    for kind in kinds() {
        for length in 0..kind.bytes.len() {
            let reason = assert_refused(&kind, &kind.bytes[..length], &format!("cut to {length}"));
            assert_eq!(reason, "form", "{}, cut to {length}", kind.name);
        }
    }
}

#[test]
fn trailing_bytes_are_refused_as_malformed() {
    for kind in kinds() {
        let twice = [kind.bytes.as_slice(), &kind.bytes].concat();
        for byte in 0..=u8::MAX {
            let longer = [kind.bytes.as_slice(), &[byte]].concat();
            // White space around a ticket is what copying it leaves there.
            if kind.name == "ticket" && char::from(byte).is_whitespace() && byte.is_ascii() {
                continue;
            }
            assert_eq!(assert_refused(&kind, &longer, &format!("with {byte:02x}")), "form", "{}", kind.name);
        }
        assert_eq!(assert_refused(&kind, &twice, "twice"), "form", "{}", kind.name);
    }
}

#[test]
fn every_inserted_and_every_removed_byte_is_refused() {
    for kind in kinds() {
        for at in 0..kind.bytes.len() {
            for byte in [0x00, 0x01, 0x40, 0x80, 0xf6, 0xff, kind.bytes[at]] {
                let mut bytes = kind.bytes.clone();
                bytes.insert(at, byte);
                assert_refused(&kind, &bytes, &format!("{byte:02x} put in at {at}"));
            }
            let mut bytes = kind.bytes.clone();
            bytes.remove(at);
            assert_refused(&kind, &bytes, &format!("without byte {at}"));
        }
    }
}

#[test]
fn no_kind_is_taken_for_another() {
    for kind in kinds() {
        for other in kinds().iter().filter(|other| other.name != kind.name) {
            assert_refused(&kind, &other.bytes, &format!("given a {}", other.name));
        }
    }
    // Nor under the other's signature alone, without what it is wrapped in.
    for kind in signed_kinds() {
        for other in signed_kinds().iter().filter(|other| other.name != kind.name) {
            let wrapped = (kind.wrap)(&other.cose);
            assert_eq!((kind.verify)(&wrapped), Err("signature"), "{} signed as {}", kind.name, other.name);
        }
    }
}

#[test]
fn a_signature_over_one_object_does_not_fit_another_of_its_kind() {
    for kind in signed_kinds() {
        let (mine, other) = (objects::parts(&kind.cose), objects::parts(&kind.sibling));
        assert_ne!(mine.payload, other.payload, "{}: two objects", kind.name);
        for (payload, signature) in [(&mine.payload, &other.signature), (&other.payload, &mine.signature)] {
            let swapped = (kind.wrap)(&objects::structure(payload, signature));
            assert_eq!((kind.verify)(&swapped), Err("signature"), "{}", kind.name);
        }
        let whole = (kind.wrap)(&objects::structure(&mine.payload, &mine.signature));
        assert_eq!((kind.verify)(&whole), Ok(()), "{}", kind.name);
    }
}

#[test]
fn another_mesh_is_another_object() {
    for kind in signed_kinds() {
        assert_eq!((kind.verify_elsewhere)(&kind.cose), Err(kind.elsewhere), "{}", kind.name);
    }
}

#[test]
fn the_bytes_read_back_to_themselves() {
    for kind in signed_kinds() {
        let parts = objects::parts(&kind.cose);
        assert_eq!(objects::structure(&parts.payload, &parts.signature), kind.cose, "{}", kind.name);
        let payload = cbor::decode(&parts.payload).expect("strict");
        assert_eq!(cbor::encode(&payload), parts.payload, "{}", kind.name);
    }
}
