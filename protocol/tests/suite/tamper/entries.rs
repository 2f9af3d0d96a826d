//! Entries in another place: log, predecessor, key; and beyond the caps.

use aiemp_keys::{Hash, Signer, cbor, cose};
use aiemp_protocol::{
    entry::{Entry, Item, SignedEntry},
    ids::{Audience, ContentHash, EntryHash, LogId, MeshId},
};

use super::objects::{self, log, mesh, of_entry, signed_entry};
use crate::mesh::owner;

fn verify(mesh: MeshId, log: LogId, prev: Option<EntryHash>, cose: &[u8]) -> Result<(), &'static str> {
    SignedEntry::verify(mesh, log, prev, cose).map(|_| ()).map_err(|error| of_entry(&error))
}

#[test]
fn an_entry_of_another_log_or_place_is_refused() {
    let owner = owner(10);
    let signed = signed_entry(&owner, "both");
    let log = log(&owner);
    assert_eq!(verify(mesh(), log, None, &signed.cose), Ok(()));
    let stranger = Signer::from_seed([99; 32]).node_id();
    for other in
        [LogId { generation: 1, ..log }, LogId { audience: Audience::Local, ..log }, LogId { author: stranger, ..log }]
    {
        assert_eq!(verify(mesh(), other, None, &signed.cose), Err("signature"), "{other:?}");
    }
    for prev in [signed.hash, EntryHash(Hash::from_bytes([0; 32]))] {
        assert_eq!(verify(mesh(), log, Some(prev), &signed.cose), Err("signature"));
    }
    let second = Entry { seq: 2, ..objects::entry(&owner, "both") };
    let second = SignedEntry::sign(&owner.node, mesh(), log, Some(signed.hash), second);
    assert_eq!(verify(mesh(), log, Some(signed.hash), &second.cose), Ok(()));
    assert_eq!(verify(mesh(), log, None, &second.cose), Err("signature"));
}

#[test]
fn an_entry_beyond_the_caps_is_refused_although_signed() {
    let owner = owner(10);
    let whole = objects::parts(&signed_entry(&owner, "both").cose).payload;
    let verdict = |change: &dyn Fn(&mut Vec<cbor::Value>)| {
        let mut fields = cbor::decode(&whole).expect("strict").into_array().expect("an array");
        change(&mut fields);
        let payload = cbor::encode(&cbor::array(fields));
        let context = [mesh().to_value(), log(&owner).to_value(), cbor::Value::Null];
        let cose = cose::sign1(&owner.node, "aiemp-node 2026 entry", &context, &payload);
        verify(mesh(), log(&owner), None, &cose)
    };
    let (file, hash) = (owner.approval("a@client.test", 1, 1, None).file, ContentHash::of(b"x"));
    let base = |length: u64| {
        let named = cbor::array([hash.to_value(), cbor::uint(length)]);
        cbor::array([cbor::uint(1), file.to_value(), cbor::uint(2), named])
    };
    let change = |length: u64| {
        cbor::array([cbor::uint(2), file.to_value(), hash.to_value(), cbor::uint(length), hash.to_value()])
    };
    let items = |item: cbor::Value, count: usize| {
        verdict(&|fields| fields[5] = cbor::array(std::iter::repeat_n(item.clone(), count)))
    };
    assert_eq!(verdict(&|_| {}), Ok(()));
    assert_eq!(items(base(1), 0), Err("cap"));
    assert_eq!(items(base(1), 256), Ok(()));
    assert_eq!(items(base(1), 257), Err("cap"));
    assert_eq!(items(base(32 << 20), 1), Ok(()));
    assert_eq!(items(base((32 << 20) + 1), 1), Err("cap"));
    assert_eq!(items(base(u64::MAX), 2), Err("cap"));
    assert_eq!(items(change(1 << 20), 1), Ok(()));
    assert_eq!(items(change((1 << 20) + 1), 1), Err("cap"));
    let seen = |count: usize| {
        verdict(&|fields| {
            let one = fields[4].as_array().expect("seen")[0].clone();
            fields[4] = cbor::array(std::iter::repeat_n(one, count));
        })
    };
    assert_eq!(seen(256), Ok(()));
    assert_eq!(seen(257), Err("cap"));
    assert_eq!(verdict(&|fields| fields[0] = cbor::uint(0)), Err("form"));
    for version in [2, u64::MAX] {
        assert_eq!(verdict(&|fields| fields[0] = cbor::uint(version)), Err("newer"), "version {version}");
    }
    let later = |item: &[u64]| items(cbor::array(item.iter().map(|field| cbor::uint(*field))), 1);
    assert_eq!((later(&[6]), later(&[6, 1, 2]), later(&[])), (Err("newer"), Err("newer"), Err("form")));
}

#[test]
fn an_entry_signed_again_over_other_words_is_another_entry() {
    let owner = owner(10);
    let (one, two) = (signed_entry(&owner, "both"), signed_entry(&owner, "local"));
    assert_ne!(one.hash, two.hash, "so the log shows that its author signed twice");
    assert_ne!(one.entry.items.last(), two.entry.items.last());
    assert!(matches!(one.entry.items.last(), Some(Item::Resolve { .. })));
}
