//! Points of small order, for which one signature verifies every message: refused wherever a key enters.

use aiemp_keys::{PublicKey, PublicKeyError, Signer, cbor, cose};
use aiemp_protocol::{
    approval::Decision,
    frame::Frame,
    ids::{FileId, LogId},
    pairing::{Invite, Message, Ticket},
    roster::RosterChain,
    zone::Zone,
};
use data_encoding::BASE32_NOPAD;

use super::objects::{self, bundle, log, mesh, second_roster, ticket};
use crate::mesh::{NOW, owner};

/// The order-1, -2, -4 and -8 points, canonical and not, each with both signs.
fn small_order() -> Vec<[u8; 32]> {
    let with = |first: u8, middle: u8, last: u8| {
        let mut bytes = [middle; 32];
        (bytes[0], bytes[31]) = (first, last);
        bytes
    };
    let eighth = |hex: &str| {
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).expect("hex");
        <[u8; 32]>::try_from(bytes).expect("32 bytes")
    };
    let mut points = vec![
        [0; 32],
        with(1, 0, 0),
        with(0xec, 0xff, 0x7f),
        with(0xed, 0xff, 0x7f),
        with(0xee, 0xff, 0x7f),
        eighth("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
        eighth("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    ];
    points.extend(points.clone().into_iter().map(|mut point| {
        point[31] ^= 0x80;
        point
    }));
    points
}

/// The bytes with each place where `key` stands replaced by `point`, one at a time.
fn replaced(bytes: &[u8], key: &[u8; 32], point: &[u8; 32]) -> Vec<Vec<u8>> {
    let places = (0..bytes.len().saturating_sub(31)).filter(|at| bytes[*at..at + 32] == *key);
    places.map(|at| [&bytes[..at], point.as_slice(), &bytes[at + 32..]].concat()).collect()
}

/// Refused at each place, of which there are `places`.
fn assert_refused(what: &str, bytes: &[u8], key: &[u8; 32], places: usize, is_accepted: impl Fn(&[u8]) -> bool) {
    assert!(is_accepted(bytes), "{what}");
    for point in small_order() {
        let forged = replaced(bytes, key, &point);
        assert_eq!(forged.len(), places, "{what}");
        for (at, forged) in forged.iter().enumerate() {
            assert!(!is_accepted(forged), "{what}, place {at}: {point:02x?}");
        }
    }
}

#[test]
fn no_key_of_small_order_is_a_key_in_any_form() {
    for point in small_order() {
        assert_eq!(PublicKey::from_bytes(point), Err(PublicKeyError::SmallOrder));
        let hex = data_encoding::HEXLOWER.encode(&point);
        assert_eq!(hex.parse::<PublicKey>(), Err(PublicKeyError::SmallOrder));
        let zone = [&[3], point.as_slice()].concat();
        assert_eq!(Zone::from_bytes(&zone), None);
        assert_eq!(FileId::from_bytes(&[zone, vec![0; 32]].concat()), None);
        let log = cbor::array([cbor::bytes(&point), cbor::uint(0), cbor::uint(0)]);
        assert!(LogId::from_value(log).is_err());
    }
}

#[test]
fn rosters_refuse_them_as_root_node_executor_approver_and_author_of_a_closed_log() {
    let owner = owner(10);
    let mut next = owner.rosters.current().successor(NOW);
    let closed = log(&owner);
    let hash = next.hash();
    next.closed.push(aiemp_protocol::roster::ClosedLog { log: closed, seq: 1, hash });
    let (root, chain) = (owner.root.clone(), owner.rosters.clone());
    let signed = aiemp_protocol::roster::SignedRoster::sign(&root, next).to_bytes();
    let payload = objects::parts(&{
        let mut fields = cbor::Fields::decode(&signed, "signed roster").expect("a roster");
        fields.value().expect("the key");
        fields.bytes().expect("the signature")
    })
    .payload;
    let accepts = |payload: &[u8]| {
        let cose = cose::sign1(&root, "aiemp-node 2026 roster", &[], payload);
        let whole = cbor::encode(&cbor::array([root.public().to_value(), cbor::bytes(&cose)]));
        chain.clone().extend(&whole).is_ok()
    };
    assert_refused("executor, member, closed log", &payload, owner.executor().as_bytes(), 3, accepts);
    assert_refused("approver", &payload, owner.approve.public().as_bytes(), 1, accepts);
    let first = chain.after(0).next().expect("a roster");
    assert_refused("root", &first, root.public().as_bytes(), 1, |bytes| RosterChain::begin(bytes).is_ok());
    let second = second_roster(&owner, "cloud");
    assert_refused("root", &second, root.public().as_bytes(), 1, |bytes| chain.clone().extend(bytes).is_ok());
}

#[test]
fn approvals_tickets_invitations_messages_and_frames_refuse_them() {
    let owner = owner(10);
    let (approve, node) = (owner.approve.clone(), owner.executor());
    let decision = objects::parts(&bundle().approval).payload;
    assert_refused("approval", &decision, node.as_bytes(), 1, |payload| {
        let cose = cose::sign1(&approve, "aiemp-node 2026 approval", &[mesh().to_value()], payload);
        Decision::verify(&approve.public(), mesh(), &cose).is_ok()
    });
    let invite = Invite { dialer: node, expires: NOW, mesh: None }.to_bytes();
    assert_refused("invite", &invite, node.as_bytes(), 1, |bytes| Invite::from_bytes(bytes).is_ok());
    let offer = Message::Offer { node, root: owner.root.public(), nonce: [1; 32] }.to_bytes();
    assert_refused("offer", &offer, node.as_bytes(), 1, |bytes| Message::from_bytes(bytes).is_ok());
    let root = owner.root.public();
    assert_refused("offer", &offer, root.as_bytes(), 1, |bytes| Message::from_bytes(bytes).is_ok());
    let fetch = Frame::Fetch { log: log(&owner), from_seq: 1, count: 1 }.to_bytes();
    assert_refused("frame", &fetch, node.as_bytes(), 1, |bytes| Frame::from_bytes(bytes).is_ok());
}

#[test]
fn a_ticket_with_such_a_key_and_a_right_check_is_refused() {
    let cloud = Signer::from_seed([77; 32]).node_id();
    let body = cbor::encode(&cbor::array([
        cloud.to_value(),
        cbor::array(ticket().addresses.iter().map(|address| cbor::text(address))),
        cbor::bytes(&ticket().secret),
        cbor::uint(ticket().expires.as_millis()),
    ]));
    let text = |body: &[u8]| {
        let check = aiemp_keys::Hash::labelled("aiemp-node 2026 ticket check", [cbor::bytes(body)]);
        let whole = cbor::array([cbor::bytes(body), cbor::bytes(&check.as_bytes()[..4])]);
        format!("aiemp1{}", BASE32_NOPAD.encode(&cbor::encode(&whole)).to_lowercase())
    };
    assert_eq!(text(&body), ticket().to_string());
    assert_refused("ticket", &body, cloud.as_bytes(), 1, |body| text(body).parse::<Ticket>().is_ok());
}
