//! What becomes of a row whose action may have been carried out and nobody heard so.
//!
//! | found | `Dispatching`, when the process had ended | `Unknown` |
//! |---|---|---|
//! | `Sent` | `Sent` | `Sent` |
//! | `Absent` | `Reserved`, to be carried out | stays: a person settles it |
//! | `NotSeen`, twice | `Unknown`; `Reserved` where the service shows everything that it took | stays |
//! | `NoAnswer` | `Unknown` | asked again a few times, then stays |
//! | `Repeatable` | carried out once more under the same key, until the approval expires | stays |
//! | `CannotTell` | `Unknown` | stays |
//! | another hand by its name | `Unknown`, and nobody is asked | stays |
//!
//! A repetition says nothing about the first try unless it succeeds: a row in doubt never fails by itself.

use std::time::Duration;

use super::{Dispatched, Journal, Nonce, Output, State, retry_delay};
use crate::time::Timestamp;

/// How often a service is looked through before what it does not show counts as not there.
const LOOKS: u32 = 2;
/// How long a service is given to show what it took.
const LOOK_DELAY: Duration = Duration::from_secs(5);
/// How often in a run of the process a service is asked about an unknown end, before it is left to the person: for some
/// three quarters of an hour.
const LOOKS_MAX: u32 = 8;

/// Why nobody can be asked where a hand was declared anew.
const OTHER_HAND: &str = "the computer stopped while it was being carried out, and its hand is not known to be the one \
                          that was asked then";

/// What looking for an earlier try found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is there.
    Sent(String),
    /// It is certainly not there.
    Absent,
    /// The service was looked through and does not show it. It may take a while to.
    NotSeen {
        /// Whether the service shows everything that it took, sooner or later.
        is_complete: bool,
    },
    /// The service could be asked, and gave no answer now.
    NoAnswer(String),
    /// The service cannot be asked, and takes the same thing under the same key once: it can be handed over again.
    Repeatable,
    /// The service cannot be asked.
    CannotTell,
}

/// A row in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    looks: u32,
    next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Look at this time.
    Look(Timestamp),
    /// Hand over again at this time.
    Repeat(Timestamp),
    /// Something is under way.
    Answer,
}

impl Doubt {
    /// An end that became unknown just now.
    pub(super) fn since(now: Timestamp) -> Self {
        Self { looks: 0, next: Next::Look(now + LOOK_DELAY) }
    }

    /// One of an earlier run of the process.
    pub(super) fn found() -> Self {
        Self { looks: 0, next: Next::Look(Timestamp::default()) }
    }

    /// When it has to be gone on with at the latest.
    pub(super) fn due(&self, is_frozen: bool, expiry: Timestamp) -> Option<Timestamp> {
        match self.next {
            Next::Look(at) => Some(at),
            Next::Repeat(_) if is_frozen => Some(expiry),
            Next::Repeat(at) => Some(at),
            Next::Answer => None,
        }
    }
}

impl Journal {
    /// Asks the services about rows in doubt for which it is time. Nothing is done by it, so the brake lets it be.
    pub(super) fn look_where_due(&mut self, now: Timestamp) {
        for nonce in self.doubted(|next| matches!(next, Next::Look(at) if at <= now)) {
            self.look(nonce);
        }
    }

    /// Hands over again what may be, where it is time.
    pub(super) fn repeat_where_due(&mut self, now: Timestamp) {
        for nonce in self.doubted(|next| matches!(next, Next::Repeat(_))) {
            self.repeat(now, nonce);
        }
    }

    fn doubted(&self, which: impl Fn(Next) -> bool) -> Vec<Nonce> {
        let durable = self.doubts.iter().filter(|(nonce, _)| !self.undurable.contains_key(*nonce));
        durable.filter(|(_, doubt)| which(doubt.next)).map(|(nonce, _)| *nonce).collect()
    }

    fn look(&mut self, nonce: Nonce) {
        let Some(row) = self.rows.get(&nonce) else { return };
        if !self.is_hand_the_same(row) {
            return self.leave_to_person(nonce, OTHER_HAND);
        }
        let row = Box::new(row.clone());
        if let Some(doubt) = self.doubts.get_mut(&nonce) {
            doubt.next = Next::Answer;
            self.outputs.push_back(Output::LookUp(row));
        }
    }

    fn repeat(&mut self, now: Timestamp, nonce: Nonce) {
        let Some(row) = self.rows.get(&nonce) else { return };
        let is_due = self.doubts.get(&nonce).is_some_and(|doubt| matches!(doubt.next, Next::Repeat(at) if at <= now));
        if row.verified.decision.expiry < now {
            let detail = "it may have been carried out before the computer stopped, and the approval expired before it \
                          could be asked for again under the same key";
            return self.unknown(now, nonce, detail.to_owned());
        }
        if let Some(breach) = self.policy.breach(&row.verified.action) {
            let detail = format!("it may have been carried out before the computer stopped, and now {breach}");
            return self.unknown(now, nonce, detail);
        }
        if !self.is_hand_the_same(row) {
            return self.leave_to_person(nonce, OTHER_HAND);
        }
        if self.why_called_off(row).is_some() {
            let detail = "it may have been carried out before the computer stopped, and was called off before it was \
                          asked for again";
            return self.unknown(now, nonce, detail.to_owned());
        }
        if is_due && !self.frozen {
            self.rows.entry(nonce).and_modify(|row| row.attempts += 1);
            self.doubts.insert(nonce, Doubt { looks: LOOKS, next: Next::Answer });
            self.change(nonce, State::Dispatching, "asked for again under the same key".to_owned());
        }
    }

    /// The brake was pulled before the hand was asked again.
    pub(super) fn put_off_repetition(&mut self, nonce: Nonce) {
        if let Some(doubt) = self.doubts.get_mut(&nonce) {
            doubt.next = Next::Repeat(self.times.guard);
        }
    }

    /// How asking again ended. That it was not done now does not say that it was not done before.
    pub(super) fn repeated(&mut self, now: Timestamp, nonce: Nonce, dispatched: Dispatched) {
        match dispatched {
            Dispatched::Sent(detail) => self.change(nonce, State::Sent, detail),
            Dispatched::Unknown(detail) => self.unknown(now, nonce, detail),
            Dispatched::NotSent { reason, retryable: false } => {
                let detail = format!("it may have been carried out before the computer stopped; asked again: {reason}");
                self.unknown(now, nonce, detail);
            }
            Dispatched::NotSent { retryable: true, .. } => {
                let tries = self.rows.get(&nonce).map_or(1, |row| row.attempts);
                if let Some(doubt) = self.doubts.get_mut(&nonce) {
                    doubt.next = Next::Repeat(now + retry_delay(tries));
                }
            }
        }
    }

    pub(super) fn looked_up(&mut self, now: Timestamp, nonce: Nonce, found: Found) {
        let Some(state) = self.rows.get(&nonce).map(|row| row.state) else { return };
        // Settled, or called off, while the service was asked.
        let Some(doubt) = self.doubts.get_mut(&nonce) else { return };
        doubt.looks += 1;
        let looks = doubt.looks;
        match (state, found) {
            (State::Dispatching | State::Unknown, Found::Sent(detail)) => self.change(nonce, State::Sent, detail),
            (State::Dispatching, Found::Absent) => self.not_done(now, nonce),
            (State::Dispatching, Found::NotSeen { .. }) if looks < LOOKS => {
                doubt.next = Next::Look(now + LOOK_DELAY);
            }
            (State::Dispatching, Found::NotSeen { is_complete: true }) => self.not_done(now, nonce),
            (State::Dispatching, Found::NotSeen { is_complete: false }) => {
                let detail = "the computer stopped while it was being carried out, and the service does not show it \
                              so far, which proves nothing";
                self.unknown(now, nonce, detail.to_owned());
            }
            (State::Dispatching, Found::NoAnswer(why)) => {
                let detail = format!("the computer stopped while it was being carried out, and then: {why}");
                self.unknown(now, nonce, detail);
            }
            (State::Dispatching, Found::Repeatable) => doubt.next = Next::Repeat(now),
            (State::Dispatching, Found::CannotTell) => {
                let detail = "the computer stopped while it was being sent, and the service cannot be asked";
                self.leave_to_person(nonce, detail);
            }
            (State::Unknown, Found::NotSeen { .. } | Found::NoAnswer(_)) if looks < LOOKS_MAX => {
                doubt.next = Next::Look(now + retry_delay(looks));
            }
            (
                State::Unknown,
                Found::Absent | Found::NotSeen { .. } | Found::NoAnswer(_) | Found::Repeatable | Found::CannotTell,
            )
            | (State::Reserved | State::Sent | State::Failed, _) => {
                self.doubts.remove(&nonce);
            }
        }
    }

    /// Leaves the row to the person, and goes on asking the service meanwhile.
    pub(super) fn unknown(&mut self, now: Timestamp, nonce: Nonce, detail: String) {
        self.change(nonce, State::Unknown, detail);
        self.doubts.insert(nonce, Doubt::since(now));
    }

    /// Leaves the row to the person, for nobody can be asked.
    fn leave_to_person(&mut self, nonce: Nonce, detail: &str) {
        if self.rows.get(&nonce).is_some_and(|row| row.state == State::Dispatching) {
            self.change(nonce, State::Unknown, detail.to_owned());
        }
        self.doubts.remove(&nonce);
    }

    fn not_done(&mut self, now: Timestamp, nonce: Nonce) {
        if let Some(row) = self.rows.get_mut(&nonce) {
            row.not_before = now;
            row.attempts += 1;
        }
        self.change(nonce, State::Reserved, "stopped before it was sent".to_owned());
    }
}
