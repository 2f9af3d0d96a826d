//! `[schedule]`: what the node does at its times.

use croner::Cron;
use serde::{Deserialize, Serialize};

/// Times as cron has them, `minute hour day month weekday`, by this computer's clock and time zone. A time that was missed while
/// the computer slept is made up for once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// On Local: a note in `Updates/` on what came, what was sent and what waits since the one before.
    pub digest: Option<String>,
}

impl Schedule {
    /// When the digest is written.
    pub fn digest(&self) -> Option<Cron> {
        self.digest.as_deref().and_then(|pattern| pattern.parse().ok())
    }

    pub(super) fn objection(&self) -> Option<String> {
        let pattern = self.digest.as_deref()?;
        let error = pattern.parse::<Cron>().err()?;
        Some(format!("`[schedule] digest = \"{pattern}\"` is no time: {error}; \"0 7 * * *\" is seven in the morning"))
    }
}
