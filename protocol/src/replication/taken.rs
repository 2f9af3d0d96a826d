//! When entries were taken here. A clock that was wrong for a while leaves times behind that were never.

use std::collections::BTreeMap;

use aiemp_keys::NodeId;

use super::Replication;
use crate::{ids::LogId, time::Timestamp};

impl Replication {
    /// For each log of an author, the first entry that was taken here at that time or later.
    ///
    /// What the author's clock said does not count.
    pub fn taken_since(&self, now: Timestamp, author: NodeId, since: Timestamp) -> BTreeMap<LogId, u64> {
        self.first_taken(now, |log| log.author == author, |taken| taken >= since)
    }

    /// For each log, the first entry that was taken here after that time.
    pub fn taken_after(&self, now: Timestamp, at: Timestamp) -> BTreeMap<LogId, u64> {
        self.first_taken(now, |_| true, |taken| taken > at)
    }

    /// When an entry was taken here; `None` if it is not held.
    pub fn taken_at(&self, now: Timestamp, log: LogId, seq: u64) -> Option<Timestamp> {
        let from = usize::try_from(seq.checked_sub(1)?).ok()?;
        let later = self.taken.get(&log)?.get(from..).filter(|later| !later.is_empty())?;
        Some(later.iter().rev().fold(now, |next, at| if *at <= now { *at } else { next }))
    }

    /// For each of these logs, the first entry that was taken here at such a time.
    fn first_taken(
        &self,
        now: Timestamp,
        of: impl Fn(&LogId) -> bool,
        is_meant: impl Fn(Timestamp) -> bool,
    ) -> BTreeMap<LogId, u64> {
        let logs = self.taken.iter().filter(|(log, _)| of(log));
        let first = logs.filter_map(|(log, taken)| Some((*log, first_of(taken, now, &is_meant)?)));
        first.collect()
    }
}

/// The number of the first of these that was taken at such a time. Nothing was taken later than now: where the clock says
/// so, it was ahead then, and the entry was taken at the latest when the next one was.
fn first_of(taken: &[Timestamp], now: Timestamp, is_meant: impl Fn(Timestamp) -> bool) -> Option<u64> {
    let (mut first, mut next) = (None, now);
    for (index, at) in taken.iter().enumerate().rev() {
        if *at <= now {
            next = *at;
        }
        if is_meant(next) {
            first = Some(index as u64 + 1);
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_after(taken: &[u64], at: u64) -> Option<u64> {
        let taken: Vec<_> = taken.iter().map(|at| Timestamp::from_millis(*at)).collect();
        first_of(&taken, Timestamp::from_millis(100), |taken| taken > Timestamp::from_millis(at))
    }

    #[test]
    fn the_first_that_was_taken_after_a_time_is_found() {
        for (at, first) in [(5, Some(1)), (10, Some(2)), (29, Some(3)), (30, None)] {
            assert_eq!(first_after(&[10, 20, 30], at), first, "after {at}");
        }
    }

    #[test]
    fn what_was_taken_while_the_clock_was_ahead_is_as_old_as_what_came_next() {
        let taken = [10, 500, 600, 40, 50];
        for (at, first) in [(5, Some(1)), (10, Some(2)), (39, Some(2)), (40, Some(5)), (50, None)] {
            assert_eq!(first_after(&taken, at), first, "after {at}");
        }
        assert_eq!(first_after(&[10, 500], 99), Some(2), "nothing came since: it was just now");
    }

    #[test]
    fn what_was_taken_while_the_clock_was_behind_hides_nothing_before_it() {
        assert_eq!(first_after(&[50, 1, 60], 40), Some(1));
    }
}
