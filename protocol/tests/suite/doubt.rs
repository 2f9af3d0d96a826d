//! Rows that may be sent and nobody heard so: looked for, repeated under the same key, left to the person.

use std::time::Duration;

use aiemp_protocol::{
    approval::{
        Outcome, Policy, Settlement,
        journal::{Dispatched, Found, Input, Journal, Output, State},
        policy::Rule,
    },
    time::Timestamp,
};

use crate::{
    journal::{approve, dispatches, hands, outcomes, row, settle_down},
    mesh::{NOW, Owner, owner},
};

const NONCE: [u8; 16] = [1; 16];

fn seconds(seconds: u64) -> Timestamp {
    NOW + Duration::from_secs(seconds)
}

/// A journal whose process ended while its row was `Dispatching`, and that has just begun to look.
fn found_dispatching(owner: &Owner) -> Journal {
    let mut journal = ended_while_dispatching(owner).by_hands(hands(1));
    assert_eq!(looks(&wait(&mut journal, NOW)), 1);
    journal
}

fn ended_while_dispatching(owner: &Owner) -> Journal {
    let mut before = Journal::default().by_hands(hands(1));
    approve(&mut before, owner, "a@client.test", 1, 1, None);
    assert_eq!(row(&before).state, State::Dispatching);
    Journal::restore([row(&before)], before.times())
}

fn found_unknown(owner: &Owner) -> Journal {
    let mut before = Journal::default().by_hands(hands(1));
    approve(&mut before, owner, "a@client.test", 1, 1, None);
    before.handle(NOW, Input::Dispatched(NONCE, Dispatched::Unknown("cut".into())));
    settle_down(&mut before, NOW);
    let mut journal = Journal::restore([row(&before)], before.times()).by_hands(hands(1));
    journal.handle(NOW, Input::TimeoutReached);
    assert_eq!(looks(&settle_down(&mut journal, NOW)), 1, "asked at the start");
    journal
}

fn looks(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::LookUp(_))).count()
}

fn hear(journal: &mut Journal, now: Timestamp, found: Found) -> Vec<Output> {
    journal.handle(now, Input::LookedUp(NONCE, found));
    settle_down(journal, now)
}

fn answer(journal: &mut Journal, now: Timestamp, dispatched: Dispatched) -> Vec<Output> {
    journal.handle(now, Input::Dispatched(NONCE, dispatched));
    settle_down(journal, now)
}

fn wait(journal: &mut Journal, now: Timestamp) -> Vec<Output> {
    journal.handle(now, Input::TimeoutReached);
    settle_down(journal, now)
}

fn not_sent(retryable: bool) -> Dispatched {
    Dispatched::NotSent { reason: "away".into(), retryable }
}

#[test]
fn what_is_not_seen_is_looked_for_twice_and_sent_again_only_where_that_proves_it() {
    let owner = owner(10);
    for (is_complete, sends, state) in [(false, 0, State::Unknown), (true, 1, State::Dispatching)] {
        let mut journal = found_dispatching(&owner);
        assert!(hear(&mut journal, NOW, Found::NotSeen { is_complete }).is_empty(), "one look is not enough");
        let again = journal.poll_timeout().expect("looks again");
        assert!(again > NOW, "the service gets time");
        assert_eq!(looks(&wait(&mut journal, again)), 1);
        let outputs = hear(&mut journal, again, Found::NotSeen { is_complete });
        assert_eq!((dispatches(&outputs), row(&journal).state), (sends, state));
    }
}

#[test]
fn what_is_seen_at_the_second_look_was_sent() {
    let owner = owner(10);
    let mut journal = found_dispatching(&owner);
    hear(&mut journal, NOW, Found::NotSeen { is_complete: true });
    let again = journal.poll_timeout().expect("looks again");
    wait(&mut journal, again);
    assert_eq!(outcomes(&hear(&mut journal, again, Found::Sent("there".into()))), [Outcome::Sent]);
    assert_eq!(journal.poll_timeout(), None);
}

#[test]
fn what_may_be_repeated_is_handed_over_again_until_it_succeeds() {
    let owner = owner(10);
    let mut journal = found_dispatching(&owner);
    assert_eq!(dispatches(&hear(&mut journal, NOW, Found::Repeatable)), 1);
    let outputs = answer(&mut journal, NOW, not_sent(true));
    assert_eq!((dispatches(&outputs), row(&journal).state), (0, State::Dispatching), "it may have been sent before");
    let again = journal.poll_timeout().expect("tries again");
    assert_eq!(dispatches(&wait(&mut journal, again)), 1);
    assert_eq!(outcomes(&answer(&mut journal, again, Dispatched::Sent("201".into()))), [Outcome::Sent]);
}

#[test]
fn a_repetition_that_ends_otherwise_leaves_the_end_unknown_and_never_failed() {
    let owner = owner(10);
    for dispatched in [not_sent(false), Dispatched::Unknown("cut".into())] {
        let mut journal = found_dispatching(&owner);
        hear(&mut journal, NOW, Found::Repeatable);
        assert_eq!(outcomes(&answer(&mut journal, NOW, dispatched)), [Outcome::Unknown]);
        assert_eq!(
            dispatches(&hear(&mut journal, seconds(30), Found::Repeatable)),
            0,
            "an unknown end is not repeated"
        );
        assert_eq!(dispatches(&wait(&mut journal, seconds(30))), 0);
    }
}

#[test]
fn nothing_is_repeated_after_the_approval_expired_or_against_a_policy_that_came_later() {
    let owner = owner(10);
    let late = seconds(3_600);
    let mut journal = found_dispatching(&owner);
    let outputs = hear(&mut journal, late, Found::Repeatable);
    assert_eq!((dispatches(&outputs), outcomes(&outputs)), (0, vec![Outcome::Unknown]));

    let mut journal = found_dispatching(&owner);
    let none = Rule { per_day: Some(0), ..Rule::default() };
    let kind = row(&journal).verified.action.kind();
    journal.handle(NOW, Input::PolicyChanged(Policy { issued: NOW, rules: [(kind, none)].into() }));
    let outputs = hear(&mut journal, NOW, Found::Repeatable);
    assert_eq!((dispatches(&outputs), outcomes(&outputs)), (0, vec![Outcome::Unknown]));
    assert!(row(&journal).detail.contains("the policy allows no email"), "{}", row(&journal).detail);
}

#[test]
fn frozen_it_looks_and_repeats_nothing() {
    let owner = owner(10);
    let mut journal = found_dispatching(&owner);
    journal.handle(NOW, Input::BrakeChanged { frozen: true });
    assert_eq!(dispatches(&hear(&mut journal, NOW, Found::Repeatable)), 0);
    assert!(journal.poll_timeout().is_some_and(|at| at > seconds(30)), "it only waits for its end");
    journal.handle(seconds(30), Input::BrakeChanged { frozen: false });
    assert_eq!(dispatches(&settle_down(&mut journal, seconds(30))), 1);

    let mut journal = found_dispatching(&owner);
    journal.handle(NOW, Input::LookedUp(NONCE, Found::Repeatable));
    // The brake is pulled while the row goes to the disk.
    journal.handle(NOW, Input::BrakeChanged { frozen: true });
    let outputs = settle_down(&mut journal, NOW);
    assert_eq!((dispatches(&outputs), row(&journal).state), (0, State::Dispatching));
    assert_eq!(outcomes(&wait(&mut journal, seconds(3_600))), [Outcome::Unknown], "never failed");
}

#[test]
fn an_unknown_end_is_asked_for_a_few_times_and_becomes_sent_or_stays() {
    let owner = owner(10);
    let mut journal = found_unknown(&owner);
    let mut asked = 1;
    loop {
        assert!(asked < 20, "bounded");
        hear(&mut journal, NOW, Found::NoAnswer("away".into()));
        let Some(next) = journal.poll_timeout() else { break };
        asked += looks(&wait(&mut journal, next));
    }
    assert_eq!((asked, row(&journal).state), (8, State::Unknown));

    let mut journal = found_unknown(&owner);
    hear(&mut journal, NOW, Found::NotSeen { is_complete: true });
    let next = journal.poll_timeout().expect("asks again");
    wait(&mut journal, next);
    assert_eq!(outcomes(&hear(&mut journal, next, Found::Sent("there".into()))), [Outcome::Sent]);
}

#[test]
fn only_that_it_was_sent_ends_an_unknown_row() {
    let owner = owner(10);
    for found in [Found::Absent, Found::Repeatable, Found::CannotTell] {
        let mut journal = found_unknown(&owner);
        let outputs = hear(&mut journal, NOW, found.clone());
        assert_eq!((dispatches(&outputs), row(&journal).state), (0, State::Unknown), "{found:?}");
        assert_eq!(journal.poll_timeout(), None, "{found:?}: asking again is of no use");
    }
}

#[test]
fn a_service_that_gives_no_answer_after_a_crash_leaves_it_unknown_and_is_asked_on() {
    let owner = owner(10);
    let mut journal = found_dispatching(&owner);
    let outputs = hear(&mut journal, NOW, Found::NoAnswer("the network is unreachable".into()));
    assert_eq!(outcomes(&outputs), [Outcome::Unknown]);
    assert!(row(&journal).detail.contains("the network is unreachable"), "{}", row(&journal).detail);
    let next = journal.poll_timeout().expect("asks again");
    assert_eq!(looks(&wait(&mut journal, next)), 1);
    assert_eq!(outcomes(&hear(&mut journal, next, Found::Sent("there".into()))), [Outcome::Sent]);
}

#[test]
fn a_settlement_ends_the_asking() {
    let owner = owner(10);
    let mut journal = found_unknown(&owner);
    let action = row(&journal).verified.decision.action;
    journal.handle(NOW, Input::Settled(Settlement { action, nonce: NONCE, sent: false }));
    assert_eq!(outcomes(&settle_down(&mut journal, NOW)), [Outcome::Failed]);
    assert!(hear(&mut journal, NOW, Found::Sent("there".into())).is_empty(), "what comes late changes nothing");
    assert_eq!((row(&journal).state, journal.poll_timeout()), (State::Failed, None));
}

#[test]
fn what_another_hand_was_asked_for_is_neither_looked_for_nor_repeated() {
    let owner = owner(10);
    for hands in [hands(2), [].into()] {
        let mut journal = ended_while_dispatching(&owner).by_hands(hands.clone());
        let outputs = wait(&mut journal, NOW);
        assert_eq!((looks(&outputs), outcomes(&outputs)), (0, vec![Outcome::Unknown]));
        assert!(row(&journal).detail.contains("not known to be the one that was asked"), "{}", row(&journal).detail);
        assert_eq!(journal.poll_timeout(), None, "a person settles it");

        let mut journal = found_unknown(&owner);
        hear(&mut journal, NOW, Found::NoAnswer("away".into()));
        let next = journal.poll_timeout().expect("asks again");
        journal.handle(NOW, Input::HandsChanged(hands.clone()));
        assert_eq!((looks(&wait(&mut journal, next)), row(&journal).state), (0, State::Unknown));
        assert_eq!(journal.poll_timeout(), None);

        let mut journal = found_dispatching(&owner);
        hear(&mut journal, NOW, Found::Repeatable);
        answer(&mut journal, NOW, not_sent(true));
        let again = journal.poll_timeout().expect("tries again");
        journal.handle(NOW, Input::HandsChanged(hands));
        let outputs = wait(&mut journal, again);
        assert_eq!((dispatches(&outputs), row(&journal).state), (0, State::Unknown));
    }
}

#[test]
fn what_was_definitely_not_sent_goes_by_the_hand_of_now_and_is_looked_for_there() {
    let owner = owner(10);
    let mut journal = Journal::default().by_hands(hands(1));
    approve(&mut journal, &owner, "a@client.test", 1, 1, None);
    answer(&mut journal, NOW, not_sent(true));
    journal.handle(NOW, Input::HandsChanged(hands(2)));
    let again = journal.poll_timeout().expect("tries again");
    assert_eq!(dispatches(&wait(&mut journal, again)), 1);
    let mut journal = Journal::restore([row(&journal)], journal.times()).by_hands(hands(2));
    assert_eq!(looks(&wait(&mut journal, again)), 1);
}
