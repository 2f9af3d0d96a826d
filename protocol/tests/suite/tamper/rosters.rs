//! Rosters and their chain: what follows what.

use aiemp_keys::{Hash, Signer, cbor};
use aiemp_protocol::{
    ids::MeshId,
    roster::{Role, Roster, RosterChain, SignedRoster},
};

use super::objects::{of_roster, second_roster};
use crate::mesh::{NOW, owner};

fn extend(change: impl Fn(&mut Roster)) -> Result<bool, &'static str> {
    let owner = owner(10);
    let mut next = owner.rosters.current().successor(NOW);
    change(&mut next);
    let signed = SignedRoster::sign(&owner.root, next).to_bytes();
    owner.rosters.clone().extend(&signed).map_err(|error| of_roster(&error))
}

#[test]
fn a_roster_that_does_not_follow_is_refused_although_the_root_signed_it() {
    assert_eq!(extend(|_| {}), Ok(true));
    assert_eq!(extend(|next| next.epoch = 3), Err("not next"));
    assert_eq!(extend(|next| next.epoch = 0), Err("not next"));
    assert_eq!(extend(|next| next.epoch = u64::MAX), Err("not next"));
    assert_eq!(extend(|next| next.prev = None), Err("not next"));
    assert_eq!(extend(|next| next.prev = Some(Hash::of_content(b"x"))), Err("not next"));
    assert_eq!(extend(|next| next.epoch = 1), Err("fork"));
    assert_eq!(extend(|next| next.mesh = MeshId(Hash::of_content(b"x"))), Err("foreign mesh"));
}

#[test]
fn a_roster_that_contradicts_itself_is_refused_although_the_root_signed_it() {
    assert_eq!(extend(|next| next.members.clear()), Err("inconsistent"));
    assert_eq!(extend(|next| next.members[0].role = Role::Cloud), Err("inconsistent"));
    assert_eq!(extend(|next| next.executor = Signer::from_seed([1; 32]).node_id()), Err("inconsistent"));
    let double = |next: &mut Roster, name: &str, seed: u8| {
        let mut other = next.members[0].clone();
        name.clone_into(&mut other.name);
        if seed > 0 {
            other.node = Signer::from_seed([seed; 32]).node_id();
        }
        next.members.push(other);
    };
    assert_eq!(extend(|next| double(next, "other", 0)), Err("inconsistent"));
    assert_eq!(extend(|next| double(next, "LOCAL. ", 7)), Err("inconsistent"));
    assert_eq!(extend(|next| double(next, "a/b", 7)), Err("inconsistent"));
    assert_eq!(extend(|next| double(next, "..", 7)), Err("inconsistent"));
    assert_eq!(extend(|next| (0..64).for_each(|n| double(next, &format!("n{n}"), n + 100))), Err("inconsistent"));
}

#[test]
fn another_root_key_is_refused_unless_the_roster_before_committed_to_it() {
    let owner = owner(10);
    let next = owner.rosters.current().successor(NOW);
    let by = |seed: u8| {
        let signed = SignedRoster::sign(&Signer::from_seed([seed; 32]), next.clone()).to_bytes();
        owner.rosters.clone().extend(&signed).map_err(|error| of_roster(&error))
    };
    assert_eq!(by(13), Ok(true), "the key of the recovery words");
    assert_eq!(by(11), Err("not next"), "the approve key");
    assert_eq!(by(12), Err("not next"), "the node key");
    assert_eq!(by(99), Err("not next"), "a stranger's");
}

#[test]
fn the_first_roster_founds_only_its_own_keys_mesh() {
    let owner = owner(10);
    let begin = |change: &dyn Fn(&mut Roster), seed: u8| {
        let mut first = owner.rosters.current().clone();
        change(&mut first);
        let signed = SignedRoster::sign(&Signer::from_seed([seed; 32]), first).to_bytes();
        RosterChain::begin(&signed).map(|_| ()).map_err(|error| of_roster(&error))
    };
    assert_eq!(begin(&|_| {}, 10), Ok(()));
    assert_eq!(begin(&|_| {}, 99), Err("foreign mesh"));
    assert_eq!(begin(&|first| first.epoch = 2, 10), Err("not next"));
    assert_eq!(begin(&|first| first.prev = Some(Hash::of_content(b"x")), 10), Err("not next"));
}

#[test]
fn a_chain_with_a_roster_missing_doubled_or_out_of_order_is_refused() {
    let owner = owner(10);
    let mut chain = owner.rosters.clone();
    chain.extend(&second_roster(&owner, "cloud")).expect("follows");
    let third = SignedRoster::sign(&owner.root, chain.current().successor(NOW)).to_bytes();
    chain.extend(&third).expect("follows");
    let all: Vec<Vec<u8>> = chain.after(0).collect();
    let read = |order: &[usize]| {
        let bytes = cbor::encode(&cbor::array(order.iter().map(|at| cbor::bytes(&all[*at]))));
        let read = RosterChain::from_bytes(&bytes).map_err(|error| of_roster(&error))?;
        assert_eq!(read.to_bytes(), bytes, "a second form of {order:?}");
        Ok(read.current().epoch)
    };
    assert_eq!(read(&[0, 1, 2]), Ok(3));
    assert_eq!(read(&[]), Err("form"));
    for order in [[1, 2].as_slice(), &[0, 2], &[0, 2, 1], &[2]] {
        assert_eq!(read(order), Err("not next"), "{order:?}");
    }
    for order in [[0, 0, 1].as_slice(), &[0, 1, 1], &[0, 1, 2, 0]] {
        assert_eq!(read(order), Err("form"), "{order:?}");
    }
}
