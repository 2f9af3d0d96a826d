//! When to try again.

use std::time::{Duration, Instant};

/// Pause after the first failure.
const DELAY_MIN: Duration = Duration::from_millis(250);
/// Longest pause: a laptop that wakes up is back within it.
const DELAY_MAX: Duration = Duration::from_secs(10);
/// A session that held so long was a good one: the next attempt comes at once. A shorter one keeps the pauses growing,
/// for a peer that takes us in only to throw us out must not make us spin.
pub(super) const GOOD_SESSION: Duration = Duration::from_secs(5);
/// Longest pause while a peer was heard of late: it starts anew, or its link was cut for a moment.
const DELAY_MAX_LATELY: Duration = Duration::from_secs(1);
/// How long ago that may be.
const LATELY: Duration = Duration::from_secs(60);
/// Attempts after which the pause is that long.
const ATTEMPTS_LATELY: u32 = 2;

/// Spaces attempts: the first at once, then with pauses that double, from the start of one to the start of the next.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
    not_before: Option<Instant>,
    heard_until: Option<Instant>,
}

impl Backoff {
    /// When the next attempt may start; `None` is at once.
    pub(super) fn due(&self) -> Option<Instant> {
        self.not_before
    }

    /// Notes the start of an attempt.
    pub(super) fn attempt(&mut self, now: Instant) {
        let doubled = DELAY_MIN.saturating_mul(1 << self.attempts.min(16));
        let (delay_max, attempts_max) = match self.heard_until {
            Some(until) if now < until => (DELAY_MAX_LATELY, ATTEMPTS_LATELY),
            Some(_) | None => (DELAY_MAX, u32::MAX),
        };
        self.not_before = Some(now + doubled.min(delay_max));
        self.attempts = self.attempts.saturating_add(1).min(attempts_max);
    }

    /// Notes that the peer was heard until now: for a while the pauses stay short. The next attempt does not come at once:
    /// a peer that says a word only to throw us out must not make us spin either.
    pub(super) fn was_heard(&mut self, now: Instant) {
        self.attempts = self.attempts.min(ATTEMPTS_LATELY);
        self.not_before = self.not_before.map(|due| due.min(now + DELAY_MAX_LATELY));
        self.heard_until = Some(now + LATELY);
    }

    /// Notes that the next attempt has a fresh chance.
    pub(super) fn reset(&mut self) {
        (self.attempts, self.not_before) = (0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pauses after attempts that all fail, each made when it is due.
    fn pauses(backoff: &mut Backoff, mut now: Instant, count: usize) -> Vec<u128> {
        let mut pause = || {
            now = backoff.due().map_or(now, |due| due.max(now));
            backoff.attempt(now);
            backoff.due().expect("set").duration_since(now).as_millis()
        };
        (0..count).map(|_| pause()).collect()
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.due(), None);
        let pauses = pauses(&mut backoff, Instant::now(), 8);
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        backoff.reset();
        assert_eq!(backoff.due(), None);
    }

    #[test]
    fn a_peer_that_was_heard_is_tried_every_second_for_a_minute() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        pauses(&mut backoff, now, 8);
        backoff.was_heard(now);
        assert_eq!(backoff.due(), Some(now + DELAY_MAX_LATELY));
        assert_eq!(pauses(&mut backoff, now, 59), [1_000; 59]);
        let now = now + LATELY;
        assert_eq!(pauses(&mut backoff, now, 5), [1_000, 2_000, 4_000, 8_000, 10_000]);
    }

    #[test]
    fn after_a_good_session_the_first_attempt_comes_at_once() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        pauses(&mut backoff, now, 8);
        backoff.was_heard(now);
        backoff.reset();
        assert_eq!(backoff.due(), None);
        assert_eq!(pauses(&mut backoff, now, 4), [250, 500, 1_000, 1_000]);
    }

    #[test]
    fn a_peer_that_speaks_and_hangs_up_each_time_is_tried_once_a_second() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        let start = now;
        for _ in 0..100 {
            backoff.attempt(now);
            backoff.was_heard(now);
            now = backoff.due().expect("never at once");
        }
        assert!(now - start >= Duration::from_secs(98), "{:?}", now - start);
    }
}
