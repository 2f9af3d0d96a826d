//! When to try again.

use std::time::{Duration, Instant};

/// Pause after the first failure.
const DELAY_MIN: Duration = Duration::from_millis(250);
/// Longest pause: a laptop that wakes up is back within it.
const DELAY_MAX: Duration = Duration::from_secs(10);
/// A session that held so long was a good one: the next attempt comes at once. A shorter one keeps the pauses growing,
/// for a peer that takes us in only to throw us out must not make us spin.
pub(super) const GOOD_SESSION: Duration = Duration::from_secs(5);

/// Spaces attempts: the first at once, then with pauses that double, from the start of one to the start of the next.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    /// When the next attempt may start; `None` is at once.
    pub(super) fn due(&self) -> Option<Instant> {
        self.not_before
    }

    /// Notes the start of an attempt.
    pub(super) fn attempt(&mut self, now: Instant) {
        let doubled = DELAY_MIN.saturating_mul(1 << self.attempts.min(16));
        self.not_before = Some(now + doubled.min(DELAY_MAX));
        self.attempts = self.attempts.saturating_add(1);
    }

    /// Notes that the next attempt has a fresh chance.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        assert_eq!(backoff.due(), None);
        let pauses: Vec<_> = (0..8)
            .map(|_| {
                backoff.attempt(now);
                backoff.due().expect("set").duration_since(now).as_millis()
            })
            .collect();
        assert_eq!(pauses, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        backoff.reset();
        assert_eq!(backoff.due(), None);
    }
}
