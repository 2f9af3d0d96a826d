//! The journal: at most one send for an action and for a piece of work, whatever ends in between.

use std::{collections::BTreeMap, time::Duration};

use aiemp_keys::Hash;
use aiemp_protocol::{
    action::ActionKind,
    approval::{
        Bundle, ClockSettlement, Outcome, Policy, Settlement,
        journal::{Dispatched, Found, Input, Journal, Output, Refusal, Row, State, Times},
        policy::{Breach, Rule},
    },
    time::Timestamp,
};

use crate::mesh::{NOW, Owner, owner};

/// Runs the machine with a store that is always prompt, and collects the rest.
pub(crate) fn settle_down(journal: &mut Journal, now: Timestamp) -> Vec<Output> {
    let mut seen = Vec::new();
    while let Some(output) = journal.poll_output() {
        if let Output::Persist(row) = &output {
            journal.handle(now, Input::RowDurable(row.verified.decision.nonce));
        }
        seen.push(output);
    }
    seen
}

pub(crate) fn approve(
    journal: &mut Journal,
    owner: &Owner,
    to: &str,
    work: u8,
    nonce: u8,
    repeat_of: Option<[u8; 16]>,
) -> Vec<Output> {
    let bundle = owner.approval(to, work, nonce, repeat_of);
    let verified = bundle.verify(owner.rosters.current(), owner.executor(), NOW).expect("verifies");
    journal.handle(NOW, Input::Approved(Box::new(verified)));
    settle_down(journal, NOW)
}

pub(crate) fn dispatches(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Dispatch(_))).count()
}

fn refusals(outputs: &[Output]) -> Vec<Refusal> {
    let why = |output: &Output| if let Output::Refuse { why, .. } = output { Some(why.clone()) } else { None };
    outputs.iter().filter_map(why).collect()
}

pub(crate) fn outcomes(outputs: &[Output]) -> Vec<Outcome> {
    let outcome =
        |output: &Output| if let Output::WriteReceipt(receipt) = output { Some(receipt.outcome) } else { None };
    outputs.iter().filter_map(outcome).collect()
}

pub(crate) fn row(journal: &Journal) -> Row {
    journal.rows().next().expect("one row").clone()
}

/// What the hands are; another number is another server behind the same name.
pub(crate) fn hands(number: u8) -> BTreeMap<String, Hash> {
    BTreeMap::from([("outbox".to_owned(), Hash::of_content(&[number]))])
}

#[test]
fn nothing_is_sent_before_the_row_says_so_durably() {
    let owner = owner(10);
    let mut journal = Journal::default();
    let verified = owner.approval("a@client.test", 1, 1, None);
    let verified = verified.verify(owner.rosters.current(), owner.executor(), NOW).expect("verifies");
    journal.handle(NOW, Input::Approved(Box::new(verified)));
    let mut states = Vec::new();
    while let Some(output) = journal.poll_output() {
        match output {
            Output::Persist(row) => {
                states.push(row.state);
                journal.handle(NOW, Input::RowDurable(row.verified.decision.nonce));
            }
            Output::Dispatch(_) => {
                assert_eq!(states, [State::Reserved, State::Dispatching]);
                return;
            }
            Output::WriteReceipt(_) => {}
            other @ (Output::LookUp(_) | Output::Refuse { .. } | Output::ReportClockBehind { .. }) => {
                panic!("{other:?}")
            }
        }
    }
    panic!("never dispatched");
}

#[test]
fn a_sent_action_is_never_sent_again() {
    let owner = owner(10);
    let mut journal = Journal::default();
    let outputs = approve(&mut journal, &owner, "a@client.test", 1, 1, None);
    assert_eq!(dispatches(&outputs), 1);
    journal.handle(NOW, Input::Dispatched([1; 16], Dispatched::Sent("250".into())));
    assert_eq!(outcomes(&settle_down(&mut journal, NOW)), [Outcome::Sent]);
    assert_eq!(refusals(&approve(&mut journal, &owner, "a@client.test", 1, 1, None)), [Refusal::Replayed]);
    assert_eq!(refusals(&approve(&mut journal, &owner, "a@client.test", 1, 2, None)), [Refusal::ActionTaken]);
    assert_eq!(refusals(&approve(&mut journal, &owner, "b@client.test", 1, 3, None)), [Refusal::WorkTaken]);
    assert_eq!(dispatches(&approve(&mut journal, &owner, "b@client.test", 2, 4, None)), 1);
}

#[test]
fn a_repetition_is_sent_only_when_it_was_signed_as_one_and_once() {
    let owner = owner(10);
    let mut journal = Journal::default();
    approve(&mut journal, &owner, "a@client.test", 1, 1, None);
    journal.handle(NOW, Input::Dispatched([1; 16], Dispatched::Sent("250".into())));
    settle_down(&mut journal, NOW);
    assert_eq!(dispatches(&approve(&mut journal, &owner, "a@client.test", 1, 2, Some([1; 16]))), 1);
    assert_eq!(refusals(&approve(&mut journal, &owner, "a@client.test", 1, 3, Some([1; 16]))), [Refusal::ActionTaken]);
}

#[test]
fn a_repetition_that_failed_can_be_repeated() {
    let owner = owner(10);
    let mut journal = Journal::default();
    approve(&mut journal, &owner, "a@client.test", 1, 1, None);
    journal.handle(NOW, Input::Dispatched([1; 16], Dispatched::Sent("250".into())));
    settle_down(&mut journal, NOW);
    approve(&mut journal, &owner, "a@client.test", 1, 2, Some([1; 16]));
    let refused = Dispatched::NotSent { reason: "550".into(), retryable: false };
    journal.handle(NOW, Input::Dispatched([2; 16], refused));
    settle_down(&mut journal, NOW);
    assert_eq!(dispatches(&approve(&mut journal, &owner, "a@client.test", 1, 3, Some([2; 16]))), 1);
}

#[test]
fn an_unknown_end_waits_for_a_person() {
    let owner = owner(10);
    let mut journal = Journal::default();
    approve(&mut journal, &owner, "a@client.test", 1, 1, None);
    journal.handle(NOW, Input::Dispatched([1; 16], Dispatched::Unknown("cut".into())));
    assert_eq!(outcomes(&settle_down(&mut journal, NOW)), [Outcome::Unknown]);
    journal.handle(NOW + Duration::from_secs(60), Input::TimeoutReached);
    assert_eq!(dispatches(&settle_down(&mut journal, NOW)), 0);
    let action = row(&journal).verified.decision.action;
    journal.handle(NOW, Input::Settled(Settlement { action, nonce: [9; 16], sent: false }));
    assert_eq!(refusals(&settle_down(&mut journal, NOW)), [Refusal::NothingToSettle]);
    journal.handle(NOW, Input::Settled(Settlement { action, nonce: [1; 16], sent: false }));
    assert_eq!(outcomes(&settle_down(&mut journal, NOW)), [Outcome::Failed]);
    assert_eq!(dispatches(&approve(&mut journal, &owner, "a@client.test", 1, 2, None)), 1);
}

#[test]
fn after_a_crash_it_looks_before_it_sends() {
    let owner = owner(10);
    for (found, sends, state) in [
        (Found::Sent("there".into()), 0, State::Sent),
        (Found::CannotTell, 0, State::Unknown),
        (Found::Absent, 1, State::Dispatching),
    ] {
        let mut before = Journal::default().by_hands(hands(1));
        approve(&mut before, &owner, "a@client.test", 1, 1, None);
        assert_eq!(row(&before).state, State::Dispatching);
        let mut journal = Journal::restore([row(&before)], before.times()).by_hands(hands(1));
        journal.handle(NOW, Input::TimeoutReached);
        let looked = settle_down(&mut journal, NOW);
        assert!(matches!(looked[..], [Output::LookUp(_)]), "{looked:?}");
        journal.handle(NOW, Input::LookedUp([1; 16], found.clone()));
        assert_eq!(dispatches(&settle_down(&mut journal, NOW)), sends, "{found:?}");
        assert_eq!(row(&journal).state, state, "{found:?}");
    }
}

#[test]
fn a_service_that_is_away_is_tried_until_the_approval_expires() {
    let owner = owner(10);
    let mut journal = Journal::default();
    approve(&mut journal, &owner, "a@client.test", 1, 1, None);
    let away = Dispatched::NotSent { reason: "connection refused".into(), retryable: true };
    journal.handle(NOW, Input::Dispatched([1; 16], away));
    assert_eq!(dispatches(&settle_down(&mut journal, NOW)), 0);
    let again = journal.poll_timeout().expect("tries again");
    journal.handle(again, Input::TimeoutReached);
    assert_eq!(dispatches(&settle_down(&mut journal, again)), 1);
    let away = Dispatched::NotSent { reason: "connection refused".into(), retryable: true };
    journal.handle(again, Input::Dispatched([1; 16], away));
    settle_down(&mut journal, again);
    let late = NOW + Duration::from_secs(3600);
    journal.handle(late, Input::TimeoutReached);
    let outputs = settle_down(&mut journal, late);
    assert_eq!((dispatches(&outputs), outcomes(&outputs)), (0, vec![Outcome::Failed]));
}

#[test]
fn nothing_is_sent_while_the_clock_runs_behind() {
    let owner = owner(10);
    let mut journal = Journal::restore([], Times::at(NOW + Duration::from_secs(3600)));
    let outputs = approve(&mut journal, &owner, "a@client.test", 1, 1, None);
    assert_eq!(dispatches(&outputs), 0);
    assert!(outputs.iter().any(|output| matches!(output, Output::ReportClockBehind { .. })));
}

#[test]
fn a_clock_ten_years_off_sends_nothing() {
    let owner = owner(10);
    let years = Duration::from_secs(10 * 365 * 86_400);
    // Ahead, when an approval that waits for its service comes due: its time is over.
    let mut journal = Journal::default();
    approve(&mut journal, &owner, "a@client.test", 1, 1, None);
    let away = Dispatched::NotSent { reason: "connection refused".into(), retryable: true };
    journal.handle(NOW, Input::Dispatched([1; 16], away));
    settle_down(&mut journal, NOW);
    journal.handle(NOW + years, Input::TimeoutReached);
    let outputs = settle_down(&mut journal, NOW + years);
    assert_eq!((dispatches(&outputs), outcomes(&outputs)), (0, vec![Outcome::Failed]));
    // Behind, from the start on: what was taken up before waits for the clock, and is sent when it is right.
    let mut journal = Journal::default();
    approve(&mut journal, &owner, "b@client.test", 2, 2, None);
    let away = Dispatched::NotSent { reason: "connection refused".into(), retryable: true };
    journal.handle(NOW, Input::Dispatched([2; 16], away));
    settle_down(&mut journal, NOW);
    let mut journal = Journal::restore([row(&journal)], journal.times());
    journal.handle(NOW.earlier_by(years), Input::TimeoutReached);
    let outputs = settle_down(&mut journal, NOW.earlier_by(years));
    assert_eq!(dispatches(&outputs), 0);
    assert!(outputs.iter().any(|output| matches!(output, Output::ReportClockBehind { seen } if *seen >= NOW)));
    let right = NOW + Duration::from_secs(60);
    journal.handle(right, Input::TimeoutReached);
    assert_eq!(dispatches(&settle_down(&mut journal, right)), 1);
}

#[test]
fn a_clock_that_was_set_forward_and_back_is_settled_by_a_fresh_word_alone() {
    let owner = owner(10);
    let years = Duration::from_secs(10 * 365 * 86_400);
    let mut journal = Journal::restore([], Times::at(NOW + years));
    let outputs = approve(&mut journal, &owner, "a@client.test", 1, 1, None);
    assert_eq!(dispatches(&outputs), 0);
    let minute = Duration::from_secs(60);
    let at = |at| ClockSettlement { at };
    for stale in [NOW.earlier_by(years), NOW.earlier_by(6 * minute), NOW + 6 * minute, NOW + years] {
        assert!(journal.refusal_of_clock(NOW, at(stale)).is_some(), "{stale}");
    }
    assert_eq!(journal.refusal_of_clock(NOW, at(NOW)), None);
    journal.handle(NOW, Input::ClockSettled(at(NOW)));
    let outputs = settle_down(&mut journal, NOW);
    assert_eq!(dispatches(&outputs), 1, "what waited is sent");
    assert!(journal.times().highest > NOW + years, "receipts stay in order");
    // Neither the same word nor an earlier one counts again, also after a restart.
    let mut journal = Journal::restore([row(&journal)], journal.times());
    assert!(journal.refusal_of_clock(NOW, at(NOW)).is_some());
    assert!(journal.refusal_of_clock(NOW, at(NOW.earlier_by(minute))).is_some());
    journal.handle(NOW + minute, Input::TimeoutReached);
    assert_eq!(journal.times().guard, NOW + minute, "it watches the clock as before");
    journal.handle(NOW.earlier_by(6 * minute), Input::TimeoutReached);
    let outputs = settle_down(&mut journal, NOW.earlier_by(6 * minute));
    assert!(outputs.iter().any(|output| matches!(output, Output::ReportClockBehind { .. })));
}

#[test]
fn what_was_approved_while_the_clock_was_ahead_ends_when_it_is_settled() {
    let owner = owner(10);
    let years = Duration::from_secs(10 * 365 * 86_400);
    let mut journal = Journal::restore([], Times::at(NOW + years));
    // As the clock is set back before it is sent: its end lies years ahead.
    let bundle = owner.approval("a@client.test", 1, 1, None);
    let mut verified = bundle.verify(owner.rosters.current(), owner.executor(), NOW).expect("verifies");
    verified.decision.expiry = verified.decision.expiry + years;
    journal.handle(NOW, Input::Approved(Box::new(verified)));
    settle_down(&mut journal, NOW);
    journal.handle(NOW, Input::ClockSettled(ClockSettlement { at: NOW }));
    let outputs = settle_down(&mut journal, NOW);
    assert_eq!((dispatches(&outputs), outcomes(&outputs)), (0, vec![Outcome::Failed]));
    assert!(row(&journal).detail.contains("approve it again"), "{}", row(&journal).detail);
}

/// Receipts in the order in which they were written.
fn receipt_times(outputs: &[Output]) -> Vec<(Timestamp, Outcome)> {
    let time = |output: &Output| {
        if let Output::WriteReceipt(receipt) = output { Some((receipt.at, receipt.outcome)) } else { None }
    };
    outputs.iter().filter_map(time).collect()
}

#[test]
fn receipts_stay_in_order_when_the_clock_steps_back() {
    let owner = owner(10);
    let mut journal = Journal::default();
    let earlier = NOW.earlier_by(Duration::from_secs(1));
    let mut outputs = approve(&mut journal, &owner, "a@client.test", 1, 1, None);
    let action = row(&journal).verified.decision.action;
    journal.handle(earlier, Input::Dispatched([1; 16], Dispatched::Unknown("cut".into())));
    outputs.extend(settle_down(&mut journal, earlier));
    let mut journal = Journal::restore([row(&journal)], journal.times());
    journal.handle(earlier, Input::Settled(Settlement { action, nonce: [1; 16], sent: true }));
    outputs.extend(settle_down(&mut journal, earlier));
    let times = receipt_times(&outputs);
    assert_eq!(
        times.iter().map(|(_, outcome)| *outcome).collect::<Vec<_>>(),
        [Outcome::Accepted, Outcome::Unknown, Outcome::Sent]
    );
    assert!(times.is_sorted_by(|before, after| before.0 < after.0), "{times:?}");
}

#[test]
fn a_receipt_told_again_names_the_time_of_the_change() {
    let owner = owner(10);
    let mut journal = Journal::default();
    approve(&mut journal, &owner, "a@client.test", 1, 1, None);
    journal.handle(NOW, Input::Dispatched([1; 16], Dispatched::Sent("250".into())));
    let told = receipt_times(&settle_down(&mut journal, NOW));
    let later = NOW + Duration::from_secs(60);
    let mut journal = Journal::restore([row(&journal)], journal.times());
    journal.handle(later, Input::RowDurable([1; 16]));
    assert_eq!(receipt_times(&settle_down(&mut journal, later)), told);
}

/// A policy with one rule for mails.
fn policy(rule: Rule) -> Policy {
    Policy { issued: NOW, rules: BTreeMap::from([(ActionKind::Email, rule)]) }
}

fn under(policy: &Policy) -> Journal {
    let mut journal = Journal::default();
    journal.handle(NOW, Input::PolicyChanged(policy.clone()));
    journal
}

fn hand_in(journal: &mut Journal, owner: &Owner, bundle: Bundle, now: Timestamp) -> Vec<Output> {
    let verified = bundle.verify(owner.rosters.current(), owner.executor(), now).expect("verifies");
    journal.handle(now, Input::Approved(Box::new(verified)));
    settle_down(journal, now)
}

fn at(journal: &mut Journal, now: Timestamp) -> usize {
    journal.handle(now, Input::TimeoutReached);
    dispatches(&settle_down(journal, now))
}

#[test]
fn an_approval_counts_under_the_policy_it_was_signed_under_and_within_it() {
    let owner = owner(10);
    let listed = Some(["@client.test".to_owned()].into());
    let strict = policy(Rule { recipients: listed, ..Rule::default() });
    let mut journal = under(&strict);
    let other = owner.approval_under(&Policy::default(), "a@client.test", 1, 1);
    assert_eq!(refusals(&hand_in(&mut journal, &owner, other, NOW)), [Refusal::OtherPolicy]);
    let against = owner.approval_under(&strict, "a@stranger.test", 1, 2);
    let breach = Breach::Recipient("a@stranger.test".to_owned());
    assert_eq!(refusals(&hand_in(&mut journal, &owner, against, NOW)), [Refusal::AgainstPolicy(breach)]);
    let good = owner.approval_under(&strict, "a@client.test", 1, 3);
    assert_eq!(dispatches(&hand_in(&mut journal, &owner, good, NOW)), 1);
}

#[test]
fn a_delay_leaves_time_to_cancel_and_ends() {
    let owner = owner(10);
    let slow = policy(Rule { delay_minutes: 5, ..Rule::default() });
    let mut journal = under(&slow);
    let minutes = |minutes: u64| NOW + Duration::from_secs(minutes * 60);
    let outputs = hand_in(&mut journal, &owner, owner.approval_under(&slow, "a@client.test", 1, 1), NOW);
    assert_eq!(dispatches(&outputs), 0);
    assert_eq!((row(&journal).state, journal.poll_timeout()), (State::Reserved, Some(minutes(5))));
    assert!(row(&journal).detail.contains("the delay of the policy"), "{}", row(&journal).detail);
    assert_eq!(at(&mut journal, minutes(4)), 0);
    let action = row(&journal).verified.decision.action;
    journal.handle(minutes(4), Input::Cancelled(action));
    assert_eq!(outcomes(&settle_down(&mut journal, minutes(4))), [Outcome::Failed]);
    assert_eq!(at(&mut journal, minutes(6)), 0);
    journal.handle(minutes(6), Input::Cancelled(action));
    assert_eq!(refusals(&settle_down(&mut journal, minutes(6))), [], "cancelling twice is one");
    // What is not cancelled goes, in an other run of the executor too.
    let outputs = hand_in(&mut journal, &owner, owner.approval_under(&slow, "a@client.test", 1, 2), minutes(6));
    assert_eq!(dispatches(&outputs), 1, "it was approved six minutes ago");
    journal.handle(minutes(6), Input::Dispatched([2; 16], Dispatched::Sent("250".into())));
    journal.handle(minutes(6), Input::Cancelled(action));
    assert_eq!(refusals(&settle_down(&mut journal, minutes(6))), [Refusal::NothingToCancel]);
}

#[test]
fn what_exceeds_an_hour_waits_also_after_a_restart_and_under_a_policy_that_came_later() {
    let owner = owner(10);
    let hourly = policy(Rule { per_hour: Some(2), ..Rule::default() });
    let mut journal = under(&hourly);
    for work in 1..=3 {
        let outputs = hand_in(&mut journal, &owner, owner.approval_under(&hourly, "a@client.test", work, work), NOW);
        assert_eq!(dispatches(&outputs), usize::from(work < 3));
        journal.handle(NOW, Input::Dispatched([work; 16], Dispatched::Sent("250".into())));
        settle_down(&mut journal, NOW);
    }
    let rows: Vec<_> = journal.rows().cloned().collect();
    let mut journal = Journal::restore(rows, Times::at(NOW));
    journal.handle(NOW, Input::PolicyChanged(hourly));
    assert_eq!(at(&mut journal, NOW + Duration::from_secs(3_590)), 0);
    let none = policy(Rule { per_day: Some(0), ..Rule::default() });
    journal.handle(NOW, Input::PolicyChanged(none));
    assert_eq!(at(&mut journal, NOW + Duration::from_secs(3_700)), 0);
    let last = journal.rows().find(|row| row.verified.decision.nonce == [3; 16]).expect("the third");
    assert_eq!((last.state, last.detail.as_str()), (State::Failed, "the policy allows no email"));
}

#[test]
fn nothing_is_dispatched_while_the_mesh_is_frozen_and_approvals_expire_meanwhile() {
    let owner = owner(10);
    let mut journal = Journal::default();
    journal.handle(NOW, Input::BrakeChanged { frozen: true });
    let day = owner.approval_under(&Policy::default(), "a@client.test", 1, 1);
    assert_eq!(dispatches(&hand_in(&mut journal, &owner, day, NOW)), 0);
    let minute = owner.approval("b@client.test", 2, 2, None);
    assert_eq!(dispatches(&hand_in(&mut journal, &owner, minute, NOW)), 0);
    assert_eq!(at(&mut journal, NOW + Duration::from_secs(120)), 0);
    let state = |journal: &Journal, nonce| {
        journal.rows().find(|row| row.verified.decision.nonce == [nonce; 16]).map(|row| row.state)
    };
    assert_eq!((state(&journal, 1), state(&journal, 2)), (Some(State::Reserved), Some(State::Failed)));
    journal.handle(NOW + Duration::from_secs(120), Input::BrakeChanged { frozen: false });
    assert_eq!(dispatches(&settle_down(&mut journal, NOW + Duration::from_secs(120))), 1);
}
