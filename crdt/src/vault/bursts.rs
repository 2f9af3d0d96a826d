//! Many entries at once, as after a time apart: each file is brought in step once for all that was changed in it, not once
//! for each change.

use std::{collections::BTreeSet, time::Duration};

use aiemp_protocol::{ids::FileId, time::Timestamp};

use super::Vault;

/// So many entries of others in a row are a burst, each so soon after the one before: not by any clock's count in a second,
/// for what takes long with each entry must not keep it from being one.
const ENTRIES: u32 = 32;
const PAUSE: Duration = Duration::from_millis(50);
/// What was gathered of one that goes on is brought in step all the same: soon the first time, then in intervals that double,
/// for each time may take longer than what came meanwhile.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(4);

/// How many entries came in a row, and what waits for the end of the burst.
#[derive(Debug, Default)]
pub(super) struct Bursts {
    count: u32,
    last: Timestamp,
    /// Since when files wait.
    gathering: Option<Timestamp>,
    /// How often files were brought in step since it began.
    rounds: u32,
    files: BTreeSet<FileId>,
}

impl Bursts {
    /// An entry of somebody else applies; whether it is one of many.
    pub(super) fn count(&mut self, now: Timestamp) -> bool {
        if self.last + PAUSE < now {
            (self.count, self.rounds) = (0, 0);
        }
        self.last = now;
        self.count = self.count.saturating_add(1);
        if self.gathering.is_none() && self.count > ENTRIES {
            self.gathering = Some(now);
        }
        self.gathering.is_some()
    }

    /// A file is to be brought in step when it is over.
    pub(super) fn gather(&mut self, file: FileId) {
        self.files.insert(file);
    }

    /// When it is over.
    pub(super) fn due(&self) -> Option<Timestamp> {
        let longest = FIRST.saturating_mul(1 << self.rounds.min(8)).min(LONGEST);
        self.gathering.map(|since| (self.last + PAUSE).min(since + longest))
    }

    pub(super) const fn is_under_way(&self) -> bool {
        self.gathering.is_some()
    }
}

impl Vault {
    /// Brings in step what was gathered, once the burst is over.
    pub(super) fn end_burst(&mut self) {
        if self.bursts.due().is_some_and(|due| due <= self.now) {
            self.bursts.gathering = None;
            self.bursts.rounds = self.bursts.rounds.saturating_add(1);
            let files = std::mem::take(&mut self.bursts.files);
            self.project_all(files);
        }
    }
}

#[cfg(test)]
mod tests;
