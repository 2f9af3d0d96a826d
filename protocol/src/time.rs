//! Time as the machines know it: handed in, never read from a clock.

use std::{fmt, ops::Add, time::Duration};

use chrono::{DateTime, SecondsFormat, Utc};

/// Milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero when that lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Earlier by `duration`, not before the epoch.
    pub fn earlier_by(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// Reads an RFC 3339 time with its offset; a time without one names no instant and gives `None`.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let instant = DateTime::parse_from_rfc3339(text).ok()?;
        u64::try_from(instant.timestamp_millis()).ok().map(Self)
    }

    /// The UTC date, `2026-01-07`.
    pub fn date(self) -> String {
        self.utc().format("%Y-%m-%d").to_string()
    }

    /// As chrono's type, for formats of other bodies; times past the year 262,000 read as the epoch.
    pub fn utc(self) -> DateTime<Utc> {
        let millis = i64::try_from(self.0).unwrap_or(0);
        DateTime::from_timestamp_millis(millis).unwrap_or_default()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

/// RFC 3339 in UTC with seconds: `2026-01-07T10:30:00Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.utc().to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_reads_back() {
        let time = Timestamp::from_millis(1_767_781_800_000);
        assert_eq!(time.to_string(), "2026-01-07T10:30:00Z");
        assert_eq!(Timestamp::parse_rfc3339("2026-01-07T11:30:00+01:00"), Some(time));
        assert_eq!(Timestamp::parse_rfc3339("2026-01-07T10:30:00"), None);
        assert_eq!(time.date(), "2026-01-07");
    }
}
