//! When something is due, by the clock on the wall: a computer that slept looks again when it wakes.

use std::collections::BTreeMap;

use chrono::{DateTime, Local, NaiveDate};
use croner::Cron;

use crate::core::Report;

/// What is due, and of which day that was told last.
#[derive(Debug, Default)]
pub struct Schedule {
    times: BTreeMap<Report, Cron>,
    told: BTreeMap<Report, NaiveDate>,
}

impl Schedule {
    /// As the settings say.
    pub const fn of(times: BTreeMap<Report, Cron>) -> Self {
        Self { times, told: BTreeMap::new() }
    }

    /// The reports that are due by now, once each: of the days that were missed the last.
    pub fn due(&mut self, now: &DateTime<Local>) -> Vec<(Report, NaiveDate)> {
        let last = |(report, time): (&Report, &Cron)| {
            Some((*report, time.find_previous_occurrence(now, true).ok()?.date_naive()))
        };
        let mut due: Vec<_> = self.times.iter().filter_map(last).collect();
        due.retain(|(report, day)| self.told.insert(*report, *day) != Some(*day));
        due
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    #[test]
    fn each_day_is_told_once_and_of_those_that_were_missed_the_last() {
        let daily = |pattern: &str| pattern.parse().ok().map(|time| (Report::Digest, time));
        let mut schedule = Schedule::of(daily("0 7 * * *").into_iter().collect());
        let at = |day, hour| Local.with_ymd_and_hms(2026, 1, day, hour, 30, 0).single().expect("a time");
        let digest = |day: &str| vec![(Report::Digest, day.parse().expect("a day"))];
        assert_eq!(schedule.due(&at(7, 6)), digest("2026-01-06"), "that of yesterday was missed");
        assert_eq!(schedule.due(&at(7, 6)), []);
        assert_eq!(schedule.due(&at(7, 7)), digest("2026-01-07"));
        assert_eq!(schedule.due(&at(12, 9)), digest("2026-01-12"), "the computer slept");
        assert_eq!(schedule.due(&at(12, 23)), []);
        assert_eq!(Schedule::default().due(&at(7, 7)), []);
        let mut weekly = Schedule::of(daily("0 7 * * MON").into_iter().collect());
        assert_eq!(weekly.due(&at(8, 9)), digest("2026-01-05"));
    }
}
