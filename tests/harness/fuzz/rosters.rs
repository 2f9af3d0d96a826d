//! Rosters and their chain.

use aiemp_keys::{cbor, cose};
use aiemp_protocol::{
    roster::{RosterChain, SignedRoster},
    vault_path::VaultPath,
};

use super::seeds::{self, ROSTER_DOMAIN};

/// A chain has one encoding; a roster that is accepted follows the one before, and a refused one changes nothing.
pub fn roster(bytes: &[u8]) {
    let _first = RosterChain::begin(bytes);
    if let Ok(chain) = RosterChain::from_bytes(bytes) {
        assert_eq!(chain.to_bytes(), bytes);
    }
    let root = seeds::root();
    let signed = cose::sign1(&root, ROSTER_DOMAIN, &[], bytes);
    let wrapped = cbor::encode(&cbor::array([root.public().to_value(), cbor::bytes(&signed)]));
    if let Ok(chain) = RosterChain::begin(&wrapped) {
        check(&chain, &wrapped);
    }
    let base = seeds::chain();
    let mut chain = base.clone();
    match chain.extend(&wrapped) {
        Ok(true) => {
            assert_eq!(chain.current().epoch, base.current().epoch + 1);
            assert_eq!(chain.current().prev, Some(base.current().hash()));
            check(&chain, &wrapped);
        }
        Ok(false) | Err(_) => assert_eq!(chain.to_bytes(), base.to_bytes()),
    }
}

fn check(chain: &RosterChain, last: &[u8]) {
    let roster = chain.current();
    assert_eq!(SignedRoster::sign(&seeds::root(), roster.clone()).to_bytes(), last, "{roster:?}");
    assert_eq!(RosterChain::from_bytes(&chain.to_bytes()).expect("reads back").current(), roster);
    assert!(roster.member(roster.executor).is_some());
    for member in &roster.members {
        let path = VaultPath::parse(&format!("In_Progress/{}/x.md", member.name));
        let _zone = path.map(|path| roster.zone_of(&path));
    }
    for zone in &roster.zones {
        let _zone = VaultPath::parse(&zone.prefix).map(|path| roster.zone_of(&path));
    }
}
