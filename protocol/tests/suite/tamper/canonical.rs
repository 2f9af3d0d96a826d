//! A second encoding of the same content is refused although it is signed.

use aiemp_keys::{Signer, cbor, cose};
use aiemp_protocol::{
    action::Action,
    approval::{Bundle, Decision, Receipt, Settlement},
    entry::SignedEntry,
    frame::Frame,
    ids::Audience,
    pairing::{Invite, Message},
    roster::{RosterChain, SignedRoster},
};

use super::objects::{self, bundle, log, mesh, receipt, receipt_key, second_roster, settlement, signed_entry};
use crate::mesh::{NOW, Owner, owner};

type Judge = Box<dyn Fn(&[u8]) -> bool>;

/// A payload and the reader that must refuse every other encoding of it.
struct Payload {
    name: &'static str,
    bytes: Vec<u8>,
    is_accepted: Judge,
}

fn signed(
    name: &'static str,
    cose: &[u8],
    sign: impl Fn(&[u8]) -> Vec<u8> + 'static,
    verify: impl Fn(&[u8]) -> bool + 'static,
) -> Payload {
    let bytes = objects::parts(cose).payload;
    Payload { name, bytes, is_accepted: Box::new(move |payload| verify(&sign(payload))) }
}

fn by(signer: Signer, domain: &'static str, context: Vec<cbor::Value>) -> impl Fn(&[u8]) -> Vec<u8> {
    move |payload| cose::sign1(&signer, domain, &context, payload)
}

fn payloads() -> Vec<Payload> {
    let Owner { root, approve, node, rosters } = owner(10);
    let first = cose_of(&SignedRoster::sign(&root, rosters.current().clone()).to_bytes());
    let in_mesh = || vec![mesh().to_value()];
    let (key, approver) = (root.public(), approve.public());
    let own_log = log(&owner(10));
    let in_log = vec![mesh().to_value(), own_log.to_value(), cbor::Value::Null];
    let wrap = move |cose: &[u8]| cbor::encode(&cbor::array([key.to_value(), cbor::bytes(cose)]));
    let approval = bundle().approval;
    let plain = |name, bytes: Vec<u8>, reads: fn(&[u8]) -> bool| Payload { name, bytes, is_accepted: Box::new(reads) };
    let hello = Frame::Fetch { log: own_log, from_seq: 1, count: 2 };
    let invite = Invite { dialer: own_log.author, expires: NOW, mesh: None };
    let answer = Message::Answer { nonce: [1; 32], name: "cloud".to_owned() };
    vec![
        signed("roster", &first, by(root, "aiemp-node 2026 roster", Vec::new()), move |cose| {
            RosterChain::begin(&wrap(cose)).is_ok()
        }),
        signed(
            "entry",
            &signed_entry(&owner(10), "both").cose,
            by(node, "aiemp-node 2026 entry", in_log),
            move |cose| SignedEntry::verify(mesh(), own_log, None, cose).is_ok(),
        ),
        signed("approval", &approval, by(approve.clone(), "aiemp-node 2026 approval", in_mesh()), move |cose| {
            Decision::verify(&approver, mesh(), cose).is_ok()
        }),
        signed(
            "settlement",
            &settlement(&owner(10), true),
            by(approve, "aiemp-node 2026 settlement", in_mesh()),
            move |cose| Settlement::verify(&approver, mesh(), cose).is_ok(),
        ),
        signed(
            "receipt",
            &receipt(&owner(10), aiemp_protocol::approval::Outcome::Sent),
            by(receipt_key(), "aiemp-node 2026 receipt", in_mesh()),
            |cose| Receipt::verify(&receipt_key().public(), mesh(), cose).is_ok(),
        ),
        plain("action", bundle().action, |bytes| Action::from_bytes(bytes).is_ok()),
        plain("bundle", bundle().to_bytes(), |bytes| Bundle::from_bytes(bytes).is_ok()),
        plain("signed roster", second_roster(&owner(10), "cloud"), |bytes| owner(10).rosters.extend(bytes).is_ok()),
        plain("roster chain", owner(10).rosters.to_bytes(), |bytes| RosterChain::from_bytes(bytes).is_ok()),
        plain("frame", hello.to_bytes(), |bytes| Frame::from_bytes(bytes).is_ok()),
        plain("invite", invite.to_bytes(), |bytes| Invite::from_bytes(bytes).is_ok()),
        plain("pairing message", answer.to_bytes(), |bytes| Message::from_bytes(bytes).is_ok()),
    ]
}

fn cose_of(signed_roster: &[u8]) -> Vec<u8> {
    let mut fields = cbor::Fields::decode(signed_roster, "signed roster").expect("a roster");
    fields.value().expect("the key");
    fields.bytes().expect("the signature")
}

/// Where each item of strict CBOR begins, and how long its head is.
fn heads(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (major, low) = (bytes[at] >> 5, bytes[at] & 0x1f);
        let extra = match low {
            0..24 => 0,
            24..28 => 1 << (low - 24),
            _ => panic!("not strict"),
        };
        let number = bytes[at + 1..=at + extra].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let length = if extra == 0 { usize::from(low) } else { number };
        found.push((at, 1 + extra));
        at += 1 + extra + if major == 2 || major == 3 { length } else { 0 };
    }
    found
}

/// The head in its next longer form; none for the longest, and for simple values.
fn longer(head: &[u8]) -> Option<Vec<u8>> {
    let (major, low) = (head[0] >> 5, head[0] & 0x1f);
    let number = match low {
        0..24 => u64::from(low),
        _ => head[1..].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    };
    let digits = number.to_be_bytes();
    let (low, extra) = match head.len() {
        1 => (24, 1),
        2 => (25, 2),
        3 => (26, 4),
        5 => (27, 8),
        _ => return None,
    };
    (major < 6).then(|| [&[major << 5 | low], &digits[8 - extra..]].concat())
}

#[test]
fn numbers_and_lengths_have_their_shortest_form() {
    for payload in payloads() {
        assert!((payload.is_accepted)(&payload.bytes), "{}", payload.name);
        for (at, length) in heads(&payload.bytes) {
            let mut head = payload.bytes[at..at + length].to_vec();
            while let Some(next) = longer(&head) {
                let other = [&payload.bytes[..at], &next, &payload.bytes[at + length..]].concat();
                assert!(!(payload.is_accepted)(&other), "{}: the head at {at} as {next:02x?}", payload.name);
                head = next;
            }
        }
    }
}

#[test]
fn indefinite_lengths_are_refused() {
    for payload in payloads() {
        let heads = heads(&payload.bytes);
        for (at, length) in &heads {
            let (at, end) = (*at, at + length);
            let major = payload.bytes[at] >> 5;
            let (before, rest) = (&payload.bytes[..at], &payload.bytes[end..]);
            let open = [major << 5 | 31];
            let other = match major {
                // The outermost array alone: its end is the end of all.
                4 if at == 0 => [&open, rest, &[0xff]].concat(),
                2 | 3 => {
                    let next = heads.iter().find(|(next, _)| *next > at).map_or(payload.bytes.len(), |(next, _)| *next);
                    let chunk = &payload.bytes[at..next];
                    [before, &open, chunk, &[0xff], &payload.bytes[next..]].concat()
                }
                _ => continue,
            };
            assert!(!(payload.is_accepted)(&other), "{}: open at {at}", payload.name);
        }
    }
}

#[test]
fn maps_tags_floats_and_undefined_are_refused_wherever_they_stand() {
    for payload in payloads() {
        for (at, length) in heads(&payload.bytes) {
            let (before, rest) = (&payload.bytes[..at], &payload.bytes[at..]);
            for tag in [[0xc0].as_slice(), &[0xc2], &[0xd2], &[0xd8, 0x2a], &[0xd9, 0xd9, 0xf7]] {
                let tagged = [before, tag, rest].concat();
                assert!(!(payload.is_accepted)(&tagged), "{}: tag {tag:02x?} at {at}", payload.name);
            }
            let after = &payload.bytes[at + length..];
            for other in
                [[0xa0].as_slice(), &[0xf7], &[0xf9, 0x3c, 0x00], &[0xfb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0], &[0xe0]]
            {
                let replaced = [before, other, after].concat();
                assert!(!(payload.is_accepted)(&replaced), "{}: {other:02x?} at {at}", payload.name);
            }
            if payload.bytes[at] >> 5 == 4 {
                let mut map = payload.bytes.clone();
                map[at] = 5 << 5 | map[at] & 0x1f;
                assert!(!(payload.is_accepted)(&map), "{}: a map at {at}", payload.name);
            }
        }
    }
}

#[test]
fn another_number_of_fields_is_refused_at_every_level() {
    fn each(value: &cbor::Value, change: &dyn Fn(&mut Vec<cbor::Value>)) -> Vec<cbor::Value> {
        let Some(items) = value.as_array() else { return Vec::new() };
        let mut changed = items.clone();
        change(&mut changed);
        let mut all = vec![cbor::Value::Array(changed)];
        for (at, item) in items.iter().enumerate() {
            for inner in each(item, change) {
                let mut outer = items.clone();
                outer[at] = inner;
                all.push(cbor::Value::Array(outer));
            }
        }
        all
    }
    for payload in payloads() {
        let whole = cbor::decode(&payload.bytes).expect("strict");
        for other in each(&whole, &|fields| fields.push(cbor::Value::Bool(true))) {
            assert!(!(payload.is_accepted)(&cbor::encode(&other)), "{}: {other:?}", payload.name);
        }
    }
    assert_eq!(Audience::EACH.len(), 2);
}
