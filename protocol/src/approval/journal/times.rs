//! What the journal remembers of time.

use crate::time::Timestamp;

/// What the journal remembers of time; stored with every row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Later than every change of a row. It never goes back, so that receipts stay in order.
    pub highest: Timestamp,
    /// The latest time seen since the clock was last settled: nothing is sent while the clock is behind it.
    pub guard: Timestamp,
    /// When the clock was last settled: no earlier word on it counts any more.
    pub settled: Timestamp,
}

impl Times {
    /// Of a journal whose clock was never settled.
    pub const fn at(highest: Timestamp) -> Self {
        Self { highest, guard: highest, settled: Timestamp::from_millis(0) }
    }
}
