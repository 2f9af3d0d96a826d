//! The bundle: every byte of it is covered by the signature, directly or by what was shown.

use std::{sync::LazyLock, time::Duration};

use aiemp_keys::cbor;
use aiemp_protocol::{
    approval::{
        Bundle, BundleError, Settlement,
        journal::{Input, Journal, Output, Refusal},
    },
    limits::APPROVAL_LIFETIME,
    roster::Roster,
    time::Timestamp,
    vault_path::VaultPath,
};

use super::objects::{bundle, of_cose, settlement, verify_bundle};
use crate::mesh::{NOW, Owner, owner};

fn verify(bytes: &[u8], now: Timestamp) -> Result<(), &'static str> {
    static OWNER: LazyLock<Owner> = LazyLock::new(|| owner(10));
    verify_bundle(&OWNER, OWNER.executor(), now, bytes)
}

#[test]
fn every_flipped_bit_and_every_truncation_of_a_bundle_is_refused() {
    let bytes = bundle().to_bytes();
    assert_eq!(verify(&bytes, NOW), Ok(()));
    for bit in 0..bytes.len() * 8 {
        let mut other = bytes.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&other, NOW).is_err(), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert_eq!(verify(&bytes[..length], NOW), Err("form"), "cut to {length}");
    }
    for at in 0..=bytes.len() {
        let mut other = bytes.clone();
        other.insert(at, 0x40);
        assert!(verify(&other, NOW).is_err(), "a byte at {at}");
    }
}

/// They decide nothing, and become the copy that is filed.
#[test]
fn another_note_or_path_than_was_shown_is_refused() {
    let other_note = Bundle { note: b"another note".to_vec(), ..bundle() };
    assert_eq!(verify(&other_note.to_bytes(), NOW), Err("other render"));
    let other_path = Bundle { path: VaultPath::parse("Plans/else.md").expect("a path"), ..bundle() };
    assert_eq!(verify(&other_path.to_bytes(), NOW), Err("other render"));
}

#[test]
fn marks_have_one_order_and_no_doubles() {
    let recipients = |names: &[&str]| {
        let bytes = bundle().to_bytes();
        let mut value = cbor::decode(&bytes).expect("strict").into_array().expect("an array");
        let recipient = |name: &&str| cbor::array([cbor::uint(0), cbor::text(name), cbor::text("")]);
        let marks = cbor::array(names.iter().map(recipient));
        let sources = value[2].clone().into_array().expect("marks").remove(1);
        value[2] = cbor::array([marks, sources]);
        Bundle::from_bytes(&cbor::encode(&cbor::array(value)))
    };
    assert!(recipients(&["a@client.test", "b@client.test"]).is_ok());
    assert!(recipients(&["b@client.test", "a@client.test"]).is_err(), "unsorted");
    assert!(recipients(&["a@client.test", "a@client.test"]).is_err(), "twice");
}

#[test]
fn parts_of_two_bundles_do_not_mix() {
    let owner = owner(10);
    let (one, two) = (owner.approval("a@client.test", 1, 1, None), owner.approval("b@client.test", 2, 2, None));
    let verify = |bundle: Bundle| bundle.verify(owner.rosters.current(), owner.executor(), NOW).err();
    let signed_elsewhere = Bundle { approval: two.approval.clone(), ..one.clone() };
    assert_eq!(verify(signed_elsewhere), Some(BundleError::OtherAction));
    let other_file = Bundle { file: two.file, ..one.clone() };
    assert_eq!(verify(other_file), Some(BundleError::OtherAction));
    let other_marks = Bundle { marks: two.marks.clone(), ..one.clone() };
    assert_eq!(verify(other_marks), Some(BundleError::OtherRender));
    let other_content = Bundle { attachments: vec![b"repork".to_vec()], ..bundle() };
    assert_eq!(verify(other_content), Some(BundleError::OtherAttachment));
    let other_note = Bundle { note: b"another".to_vec(), ..two };
    assert_eq!(verify(other_note), Some(BundleError::OtherRender));
}

#[test]
fn an_approval_ends_with_its_time() {
    let bytes = bundle().to_bytes();
    let expiry = NOW + Duration::from_secs(60);
    assert_eq!(verify(&bytes, expiry), Ok(()));
    assert_eq!(verify(&bytes, expiry + Duration::from_millis(1)), Err("expired"));
    assert_eq!(verify(&bytes, NOW + APPROVAL_LIFETIME), Err("expired"));
}

#[test]
fn an_expired_roster_approves_nothing() {
    let owner = owner(10);
    let bundle = bundle();
    let verify = |not_after| {
        let roster = Roster { not_after, ..owner.rosters.current().clone() };
        bundle.clone().verify(&roster, owner.executor(), NOW).err()
    };
    assert_eq!(verify(NOW), None);
    let ended = NOW.earlier_by(Duration::from_millis(1));
    assert_eq!(verify(ended), Some(BundleError::RosterExpired(ended)));
}

#[test]
fn an_approval_of_a_removed_approver_and_of_another_epoch_is_refused() {
    let mut owner = owner(10);
    let bytes = bundle().to_bytes();
    let executor = owner.executor();
    owner.next_epoch();
    assert_eq!(verify_bundle(&owner, executor, NOW, &bytes), Err("old epoch"));
    let mut roster = owner.rosters.current().clone();
    roster.approvers.clear();
    let refused = Bundle::from_bytes(&bytes).expect("reads").verify(&roster, executor, NOW).err();
    assert!(matches!(refused, Some(BundleError::Signature(error)) if of_cose(error) == "signature"), "{refused:?}");
}

/// The refusals of one approval handed to the journal.
fn hand_in(journal: &mut Journal, bundle: Bundle) -> Vec<Refusal> {
    let owner = owner(10);
    let verified = bundle.verify(owner.rosters.current(), owner.executor(), NOW).expect("verifies");
    journal.handle(NOW, Input::Approved(Box::new(verified)));
    let mut refusals = Vec::new();
    while let Some(output) = journal.poll_output() {
        match output {
            Output::Persist(row) => journal.handle(NOW, Input::RowDurable(row.verified.decision.nonce)),
            Output::Refuse { why, .. } => refusals.push(why),
            Output::Dispatch(_) | Output::LookUp(_) | Output::WriteReceipt(_) | Output::ReportClockBehind { .. } => {}
        }
    }
    refusals
}

#[test]
fn a_replayed_approval_is_refused_by_nonce_action_and_work_also_after_a_restart() {
    let owner = owner(10);
    let mut journal = Journal::default();
    let approval = |to, work, nonce| owner.approval(to, work, nonce, None);
    assert_eq!(hand_in(&mut journal, approval("a@client.test", 1, 1)), []);
    for _ in 0..2 {
        assert_eq!(hand_in(&mut journal, approval("a@client.test", 1, 1)), [Refusal::Replayed]);
        assert_eq!(hand_in(&mut journal, approval("z@client.test", 9, 1)), [Refusal::Replayed]);
        assert_eq!(hand_in(&mut journal, approval("a@client.test", 1, 2)), [Refusal::ActionTaken]);
        assert_eq!(hand_in(&mut journal, approval("b@client.test", 1, 3)), [Refusal::WorkTaken]);
        let rows: Vec<_> = journal.rows().cloned().collect();
        journal = Journal::restore(rows, journal.times());
    }
}

#[test]
fn a_settlement_replayed_settles_nothing() {
    let owner = owner(10);
    let bytes = settlement(&owner, true);
    let read = Settlement::verify(&owner.approve.public(), owner.rosters.current().mesh, &bytes).expect("verifies");
    let mut journal = Journal::default();
    for _ in 0..2 {
        journal.handle(NOW, Input::Settled(read.clone()));
        assert!(matches!(journal.poll_output(), Some(Output::Refuse { why: Refusal::NothingToSettle, .. })));
    }
}
