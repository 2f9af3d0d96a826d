//! Standing approvals: what one covers, how often, and that it counts as little as it says.

use std::{collections::BTreeSet, time::Duration};

use aiemp_keys::{Hash, NodeId, Signer};
use aiemp_protocol::{
    approval::{
        Bundle, Outcome, Policy, Receipt, Standing, Verified,
        journal::{Dispatched, Found, Input, Journal, Output, Refusal, State},
        standing::{Request, StandingError, Uncovered},
    },
    ids::FileId,
    roster::{Member, Quota, Role, Roster, SignedRoster},
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};
use proptest::prelude::*;

use crate::{
    journal::hands,
    mesh::{NOW, Owner, owner},
    tamper::objects::{mesh, receipt_key},
};

const HOUR: Duration = Duration::from_secs(3_600);

fn note(to: &str) -> String {
    format!("---\naction: email\nto: {to}\nsubject: Hello\n---\nBody\n")
}

/// What the mesh asks for a draft to `to` that Local wrote.
pub(crate) fn request(owner: &Owner, to: &str) -> Request {
    Request {
        standing: owner.standing(&["a@client.test"], 3).0.id,
        file: FileId { zone: Zone::Drafts, hash: Hash::of_content(to.as_bytes()) },
        path: VaultPath::parse("Pending_Approval/email/REPLY_1.md").expect("a path"),
        note: note(to).into_bytes(),
        authors: BTreeSet::from([owner.node.node_id()]),
        asked: NOW,
    }
}

fn admit(owner: &Owner, standing: &Standing, request: Request, now: Timestamp) -> Result<Verified, Uncovered> {
    let signed = standing.sign(&owner.approve, owner.rosters.current().mesh);
    standing.admit(&signed, request, owner.rosters.current(), owner.executor(), Policy::default().digest(), now)
}

/// A row's beginning for a mail to `to`.
pub(crate) fn admitted(owner: &Owner, to: &str) -> Verified {
    admit(owner, &owner.standing(&["a@client.test", "b@client.test"], 3).0, request(owner, to), NOW).expect("covered")
}

/// The receipt of such a row.
pub(crate) fn receipt(owner: &Owner, to: &str) -> Vec<u8> {
    let verified = admitted(owner, to);
    let receipt = Receipt {
        action: verified.decision.action,
        work: verified.action.work,
        kind: verified.action.kind(),
        file: verified.bundle.file,
        nonce: verified.decision.nonce,
        outcome: Outcome::Sent,
        at: NOW,
        message_id: None,
        detail: "250 ok".to_owned(),
        note: verified.bundle.note,
        unattended: false,
        standing: verified.standing.map(|standing| standing.id),
    };
    let signed = receipt.sign(&receipt_key(), mesh());
    assert_eq!(Receipt::verify(&receipt_key().public(), mesh(), &signed), Ok(receipt));
    signed
}

/// A mesh with a Cloud member.
fn with_cloud() -> (Owner, NodeId) {
    let mut owner = owner(10);
    let mut next = owner.rosters.current().successor(NOW);
    let cloud = Signer::from_seed([77; 32]).node_id();
    let name = "cloud".to_owned();
    next.members.push(Member { node: cloud, name, role: Role::Cloud, generation_min: 0, quota: Quota::default() });
    owner.rosters.extend(&SignedRoster::sign(&owner.root, next).to_bytes()).expect("follows");
    (owner, cloud)
}

#[test]
fn only_mails_to_the_listed_addresses_by_the_hand_and_in_the_name_that_were_signed_are_covered() {
    let owner = owner(10);
    let (standing, _) = owner.standing(&["a@client.test", "b@client.test"], 3);
    let verdict = |text: &str| {
        let request = Request { note: text.as_bytes().to_vec(), ..request(&owner, "a@client.test") };
        admit(&owner, &standing, request, NOW).err()
    };
    let mail = |lines: &str| format!("---\naction: email\nsubject: Hello\n{lines}\n---\nBody\n");
    for covered in
        ["to: a@client.test", "to: Anna <A@Client.test>\ncc: b@client.test", "to: b@client.test\nhand: outbox"]
    {
        assert_eq!(verdict(&mail(covered)), None, "{covered}");
    }
    let other = |address: &str| Some(Uncovered::Recipient(address.to_owned()));
    assert_eq!(verdict(&mail("to: c@client.test")), other("c@client.test"));
    assert_eq!(verdict(&mail("to: a@client.test\ncc: c@client.test")), other("c@client.test"));
    assert_eq!(verdict(&mail("to: a@client.test\nbcc: [b@client.test, thief@evil.test]")), other("thief@evil.test"));
    assert_eq!(verdict(&mail("to: a <thief@evil.test>")), other("thief@evil.test"));
    assert_eq!(verdict(&mail("to: a@client.test\nhand: smtp")), Some(Uncovered::Hand));
    assert_eq!(verdict(&mail("to: a@client.test\nfrom: boss@example.test")), Some(Uncovered::Sender));
    let expired = mail("to: a@client.test\nexpires: 2020-01-01T00:00:00Z");
    assert!(matches!(verdict(&expired), Some(Uncovered::DraftExpired(_))));
    // No file is looked for, so that a note with an attachment is no draft at all.
    assert!(matches!(verdict(&mail("to: a@client.test\nattachment: x.pdf")), Some(Uncovered::NotADraft(_))));
    let payment = "---\naction: payment\npayee: A\naccount: X\namount: 5.00 EUR\nreference: r\nhand: bank\n---\n";
    let refused = verdict(payment);
    assert!(matches!(refused, Some(Uncovered::Kind(_) | Uncovered::NotADraft(_))), "{refused:?}");
    assert!(matches!(verdict("no draft"), Some(Uncovered::NotADraft(_))));
}

#[test]
fn text_that_a_cloud_member_or_nobody_known_had_a_hand_in_is_covered_only_where_it_says_so() {
    let (owner, cloud) = with_cloud();
    let local = owner.node.node_id();
    let gone = Signer::from_seed([78; 32]).node_id();
    for (authors, by_locals) in
        [(vec![local], true), (vec![local, cloud], false), (vec![cloud], false), (vec![gone], false), (vec![], false)]
    {
        for text_by_cloud in [false, true] {
            let standing = Standing { text_by_cloud, ..owner.standing(&["a@client.test"], 3).0 };
            let request = Request { authors: authors.iter().copied().collect(), ..request(&owner, "a@client.test") };
            let refused = admit(&owner, &standing, request, NOW).err();
            let expected = (!by_locals && !text_by_cloud).then_some(Uncovered::TextByCloud);
            assert_eq!(refused, expected, "{authors:?}, {text_by_cloud}");
        }
    }
}

#[test]
fn it_ends_with_its_time_its_roster_and_its_executor_and_a_request_after_a_minute() {
    let owner = owner(10);
    let (standing, _) = owner.standing(&["a@client.test"], 3);
    let at = |now: Timestamp| {
        admit(&owner, &standing, Request { asked: now, ..request(&owner, "a@client.test") }, now).err()
    };
    assert_eq!((at(NOW), at(standing.until)), (None, None));
    assert_eq!(at(standing.until + Duration::from_millis(1)), Some(Uncovered::Ended(standing.until)));
    assert_eq!(at(NOW.earlier_by(HOUR)), Some(Uncovered::NotYet(NOW)));
    let stale = |age| admit(&owner, &standing, request(&owner, "a@client.test"), NOW + age).err();
    assert_eq!((stale(Duration::from_secs(60)), stale(Duration::from_secs(61))), (None, Some(Uncovered::Stale)));
    let (next_epoch, _) = with_cloud();
    assert_eq!(admit(&next_epoch, &standing, request(&owner, "a@client.test"), NOW).err(), Some(Uncovered::OldEpoch));
    let in_force = |roster: &Roster, executor| standing.in_force(roster, executor, NOW);
    let roster = owner.rosters.current();
    let other = Signer::from_seed([78; 32]).node_id();
    assert_eq!(in_force(roster, other), Err(Uncovered::OtherExecutor));
    assert_eq!(
        in_force(&Roster { executor: other, ..roster.clone() }, owner.executor()),
        Err(Uncovered::OtherExecutor)
    );
    let ended = NOW.earlier_by(HOUR);
    let expired = Roster { not_after: ended, ..roster.clone() };
    assert_eq!(in_force(&expired, owner.executor()), Err(Uncovered::RosterExpired(ended)));
}

#[test]
fn a_draft_counts_only_where_drafts_wait() {
    let owner = owner(10);
    let (standing, _) = owner.standing(&["a@client.test"], 3);
    for (path, waits) in [
        ("Pending_Approval/email/a.md", true),
        ("pending_approval/a.md", true),
        ("Plans/a.md", false),
        ("Done/Pending_Approval/a.md", false),
        ("Pending_Approval", false),
    ] {
        let path = VaultPath::parse(path).expect("a path");
        let request = Request { path: path.clone(), ..request(&owner, "a@client.test") };
        let refused = admit(&owner, &standing, request, NOW).err();
        assert_eq!(refused, (!waits).then_some(Uncovered::NotWaiting), "{path}");
    }
}

#[test]
fn what_is_too_wide_cannot_be_signed_into_force() {
    let owner = owner(10);
    let (good, _) = owner.standing(&["a@client.test"], 3);
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let address = |text: &str| StandingError::Address(text.to_owned());
    let many: Vec<_> = (0..65).map(|number| format!("a{number}@client.test")).collect();
    let month = Duration::from_secs(30 * 86_400);
    for (standing, why) in [
        (Standing { recipients: BTreeSet::new(), ..good.clone() }, StandingError::Recipients),
        (Standing { recipients: many.into_iter().collect(), ..good.clone() }, StandingError::Recipients),
        (Standing { recipients: named(&["@client.test"]), ..good.clone() }, address("@client.test")),
        (Standing { recipients: named(&["A@client.test"]), ..good.clone() }, address("A@client.test")),
        (Standing { recipients: named(&["A <a@client.test>"]), ..good.clone() }, address("A <a@client.test>")),
        (Standing { sender: "me".to_owned(), ..good.clone() }, StandingError::Sender("me".to_owned())),
        (Standing { hand: "two words".to_owned(), ..good.clone() }, StandingError::Hand),
        (Standing { count: 0, ..good.clone() }, StandingError::Count),
        (Standing { count: 1_001, ..good.clone() }, StandingError::Count),
        (Standing { until: NOW, ..good.clone() }, StandingError::Lifetime),
        (Standing { until: NOW + month + Duration::from_millis(1), ..good.clone() }, StandingError::Lifetime),
    ] {
        assert_eq!(standing.check(), Err(why));
        let signed = standing.sign(&owner.approve, mesh());
        assert!(Standing::verify(&owner.approve.public(), mesh(), &signed).is_err(), "{standing:?}");
    }
    assert_eq!(Standing { until: NOW + month, count: 1_000, ..good }.check(), Ok(()));
}

/// Hands something to the journal and makes each state durable; what it refused, and how many it let out.
fn hand_in(journal: &mut Journal, now: Timestamp, input: Input) -> (Vec<Refusal>, usize) {
    let (mut refusals, mut dispatched) = (Vec::new(), 0);
    journal.handle(now, input);
    while let Some(output) = journal.poll_output() {
        match output {
            Output::Persist(row) => journal.handle(now, Input::RowDurable(row.verified.decision.nonce)),
            Output::Refuse { why, .. } => refusals.push(why),
            Output::Dispatch(_) => dispatched += 1,
            Output::LookUp(_) | Output::WriteReceipt(_) | Output::ReportClockBehind { .. } => {}
        }
    }
    (refusals, dispatched)
}

/// A mail to Anna from one of many drafts.
fn draft(owner: &Owner, standing: &Standing, number: u8) -> Input {
    let file = FileId { zone: Zone::Drafts, hash: Hash::of_content(&[number]) };
    let request = Request { file, ..request(owner, "a@client.test") };
    Input::Approved(Box::new(admit(owner, standing, request, NOW).expect("covered")))
}

#[test]
fn as_many_go_out_as_were_signed_and_asking_twice_is_one() {
    let owner = owner(10);
    let (standing, _) = owner.standing(&["a@client.test"], 3);
    let mut journal = Journal::default();
    for number in 0..3 {
        assert_eq!(hand_in(&mut journal, NOW, draft(&owner, &standing, number)), (vec![], 1));
        assert_eq!(hand_in(&mut journal, NOW, draft(&owner, &standing, number)), (vec![Refusal::Replayed], 0));
    }
    let rows: Vec<_> = journal.rows().cloned().collect();
    let mut restored = Journal::restore(rows, journal.times());
    for journal in [&mut journal, &mut restored] {
        assert_eq!(hand_in(journal, NOW, draft(&owner, &standing, 9)), (vec![Refusal::StandingUsedUp], 0));
        assert_eq!(journal.used(standing.id), 3);
    }
    // What definitely did not go out counts for nothing, and is not tried again by itself.
    let nonce = journal.rows().next().expect("a row").verified.decision.nonce;
    let refused = Dispatched::NotSent { reason: "550".into(), retryable: false };
    hand_in(&mut journal, NOW, Input::Dispatched(nonce, refused));
    assert_eq!(journal.used(standing.id), 2);
    assert_eq!(hand_in(&mut journal, NOW, draft(&owner, &standing, 9)), (vec![], 1));
}

#[test]
fn what_a_person_approved_is_not_sent_again_by_a_standing_approval_nor_the_other_way() {
    let owner = owner(10);
    let (standing, _) = owner.standing(&["a@client.test"], 3);
    let approval = |nonce| {
        let Input::Approved(mut verified) = draft(&owner, &standing, 1) else { unreachable!("an approval") };
        verified.standing = None;
        verified.decision.nonce = [nonce; 16];
        Input::Approved(verified)
    };
    let mut journal = Journal::default();
    assert_eq!(hand_in(&mut journal, NOW, approval(1)), (vec![], 1));
    assert_eq!(hand_in(&mut journal, NOW, draft(&owner, &standing, 1)), (vec![Refusal::ActionTaken], 0));
    let mut journal = Journal::default();
    assert_eq!(hand_in(&mut journal, NOW, draft(&owner, &standing, 1)), (vec![], 1));
    assert_eq!(hand_in(&mut journal, NOW, approval(1)), (vec![Refusal::ActionTaken], 0));
}

#[test]
fn what_waits_fails_when_the_standing_approval_ends() {
    let owner = owner(10);
    let (standing, _) = owner.standing(&["a@client.test"], 3);
    let waiting = || {
        let mut journal = Journal::default().under(Policy::default(), true);
        assert_eq!(hand_in(&mut journal, NOW, draft(&owner, &standing, 1)), (vec![], 0), "frozen");
        journal
    };
    let state = |journal: &Journal| journal.rows().next().expect("a row").state;
    let mut journal = waiting();
    hand_in(&mut journal, NOW, Input::StandingEnded(standing.id));
    assert_eq!(state(&journal), State::Failed);
    let mut journal = waiting();
    hand_in(&mut journal, NOW, Input::BrakeChanged { frozen: false });
    assert_eq!(state(&journal), State::Dispatching);
    let short = Standing { until: NOW + HOUR, ..standing };
    let mut journal = Journal::default().under(Policy::default(), true);
    hand_in(&mut journal, NOW, draft(&owner, &short, 1));
    let after = NOW + HOUR + Duration::from_millis(1);
    assert_eq!(journal.poll_timeout(), Some(after));
    hand_in(&mut journal, after, Input::TimeoutReached);
    assert_eq!(state(&journal), State::Failed);
}

#[test]
fn a_row_comes_back_from_its_bundle_and_a_changed_one_does_not() {
    let owner = owner(10);
    let verified = admitted(&owner, "a@client.test");
    let bytes = verified.bundle.to_bytes();
    let rebuilt = |bundle: &Bundle| Verified::under_standing(bundle).expect("under a standing approval");
    let back = rebuilt(&Bundle::from_bytes(&bytes).expect("reads")).expect("whole");
    assert_eq!((&back.decision, &back.action), (&verified.decision, &verified.action));
    assert_eq!(back.standing, verified.standing);
    // No bundle of a person's decision is one, and none of these is taken for a person's.
    assert!(Verified::under_standing(&owner.approval("a@client.test", 1, 1, None)).is_none());
    assert!(verified.bundle.clone().verify(owner.rosters.current(), owner.executor(), NOW).is_err());
    let other = owner.approval("thief@evil.test", 1, 1, None);
    let changed = Bundle { action: other.action, file: other.file, ..verified.bundle.clone() };
    assert!(rebuilt(&changed).is_err(), "it goes to somebody else");
    let moved = Bundle { file: other.file, ..verified.bundle };
    assert!(rebuilt(&moved).is_err(), "it came from another draft");
}

proptest! {
    #[test]
    fn every_standing_approval_and_request_reads_back(
        names in proptest::collection::btree_set("[a-z]{1,8}@[a-z]{1,8}\\.test", 1..=64),
        id: [u8; 16],
        count in 1_u64..=1_000,
        lifetime in 1_u64..=30 * 86_400_000,
        text_by_cloud: bool,
        text in ".{0,60}",
    ) {
        let owner = owner(10);
        let until = NOW + Duration::from_millis(lifetime);
        let standing = Standing {
            id: aiemp_protocol::approval::StandingId(id), recipients: names, count, until, text_by_cloud,
            ..owner.standing(&["a@client.test"], 3).0
        };
        let signed = standing.sign(&owner.approve, mesh());
        prop_assert_eq!(Standing::verify(&owner.approve.public(), mesh(), &signed), Ok(standing));
        let request = Request { note: text.into_bytes(), ..request(&owner, "a@client.test") };
        prop_assert_eq!(Request::from_bytes(&request.to_bytes()), Ok(request));
    }
}

#[test]
fn what_is_on_its_way_when_it_is_called_off_is_not_tried_again() {
    let owner = owner(10);
    let (standing, _) = owner.standing(&["a@client.test"], 3);
    let under_way = || {
        let mut journal = Journal::default().by_hands(hands(1));
        assert_eq!(hand_in(&mut journal, NOW, draft(&owner, &standing, 1)), (vec![], 1));
        journal
    };
    let row = |journal: &Journal| journal.rows().next().expect("a row").clone();
    let (action, nonce) = (row(&under_way()).verified.decision.action, row(&under_way()).verified.decision.nonce);
    let later = NOW + Duration::from_secs(60);
    let away = || Dispatched::NotSent { reason: "away".to_owned(), retryable: true };
    for (end, why, refused) in [
        (
            Input::StandingEnded(standing.id),
            "its standing approval ended before it was sent",
            vec![Refusal::NothingToCancel],
        ),
        (Input::Cancelled(action), "cancelled before it was sent", vec![]),
    ] {
        let mut journal = under_way();
        assert_eq!(hand_in(&mut journal, NOW, end).0, vec![], "{why}");
        assert_eq!(row(&journal).state, State::Dispatching, "it may still be sent");
        hand_in(&mut journal, NOW, Input::Dispatched(nonce, away()));
        assert_eq!((row(&journal).state, row(&journal).detail.as_str()), (State::Failed, why));
        assert_eq!(hand_in(&mut journal, later, Input::TimeoutReached).1, 0);
        assert_eq!(hand_in(&mut journal, later, Input::Cancelled(action)).0, refused, "cancelling twice is one");
    }
    // While the row goes to the disk.
    let mut journal = Journal::default().by_hands(hands(1));
    journal.handle(NOW, draft(&owner, &standing, 1));
    journal.handle(NOW, Input::RowDurable(nonce));
    assert_eq!(row(&journal).state, State::Dispatching);
    journal.handle(NOW, Input::StandingEnded(standing.id));
    assert_eq!(hand_in(&mut journal, NOW, Input::RowDurable(nonce)).1, 0);
    assert_eq!(row(&journal).state, State::Failed);
    assert_eq!(hand_in(&mut journal, NOW, draft(&owner, &standing, 2)).0, [Refusal::StandingEnded]);
}

#[test]
fn what_was_called_off_is_not_sent_after_a_crash_either() {
    let owner = owner(10);
    let (standing, _) = owner.standing(&["a@client.test"], 3);
    let found = |found: Found, is_cancelled: bool| {
        let mut before = Journal::default().by_hands(hands(1));
        hand_in(&mut before, NOW, draft(&owner, &standing, 1));
        let rows: Vec<_> = before.rows().cloned().collect();
        let (action, nonce) = (rows[0].verified.decision.action, rows[0].verified.decision.nonce);
        assert!(before.is_under_way(action));
        let mut journal = Journal::restore(rows, before.times()).by_hands(hands(1));
        if is_cancelled {
            hand_in(&mut journal, NOW, Input::Cancelled(action));
        } else {
            journal = journal.after_end_of([standing.id]);
            hand_in(&mut journal, NOW, Input::TimeoutReached);
        }
        let dispatched = hand_in(&mut journal, NOW, Input::LookedUp(nonce, found)).1;
        let row = journal.rows().next().expect("a row");
        (dispatched, row.state)
    };
    for is_cancelled in [false, true] {
        assert_eq!(found(Found::Absent, is_cancelled), (0, State::Failed));
        assert_eq!(found(Found::Repeatable, is_cancelled), (0, State::Unknown), "it may have been sent");
        assert_eq!(found(Found::Sent("there".to_owned()), is_cancelled), (0, State::Sent));
    }
}
