//! When something is due, by the clock on the wall: a computer that slept looks again when it wakes.

use chrono::{DateTime, Local};
use croner::Cron;

/// What is due, and of which day that was told last.
#[derive(Debug, Default)]
pub struct Schedule {
    digest: Option<Cron>,
    told: Option<String>,
}

impl Schedule {
    /// As the settings say.
    pub const fn of(digest: Option<Cron>) -> Self {
        Self { digest, told: None }
    }

    /// The day whose digest is due by now, once: the last one, however many were missed.
    pub fn digest_day(&mut self, now: &DateTime<Local>) -> Option<String> {
        let due = self.digest.as_ref()?.find_previous_occurrence(now, true).ok()?;
        let day = due.format("%Y-%m-%d").to_string();
        (self.told.as_ref() != Some(&day)).then(|| {
            self.told = Some(day.clone());
            day
        })
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;

    use super::*;

    #[test]
    fn each_day_is_told_once_and_of_those_that_were_missed_the_last() {
        let mut schedule = Schedule::of("0 7 * * *".parse().ok());
        let at = |day, hour| Local.with_ymd_and_hms(2026, 1, day, hour, 30, 0).single().expect("a time");
        assert_eq!(schedule.digest_day(&at(7, 6)).as_deref(), Some("2026-01-06"), "that of yesterday was missed");
        assert_eq!(schedule.digest_day(&at(7, 6)), None);
        assert_eq!(schedule.digest_day(&at(7, 7)).as_deref(), Some("2026-01-07"));
        assert_eq!(schedule.digest_day(&at(12, 9)).as_deref(), Some("2026-01-12"), "the computer slept");
        assert_eq!(schedule.digest_day(&at(12, 23)), None);
        assert_eq!(Schedule::default().digest_day(&at(7, 7)), None);
        let mut weekly = Schedule::of("0 7 * * MON".parse().ok());
        assert_eq!(weekly.digest_day(&at(8, 9)).as_deref(), Some("2026-01-05"));
    }
}
