//! `[schedule]`: what the node does at its times.

use std::collections::BTreeMap;

use croner::Cron;
use serde::{Deserialize, Serialize};

use crate::core::Report;

/// Times as cron has them, `minute hour day month weekday`, by this computer's clock and time zone. A time that was missed while
/// the computer slept is made up for once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// On Local: a note in `Updates/` on what came, what was sent and what waits since the one before.
    pub digest: Option<String>,
    /// On Local: the briefing of the Monday that comes, in `Briefings/`, for Local nodes alone.
    pub briefing: Option<String>,
    /// On Local: the weekly audit, in `Briefings/`.
    pub audit: Option<String>,
}

impl Schedule {
    const fn pattern(&self, report: Report) -> (&'static str, Option<&String>) {
        match report {
            Report::Digest => ("digest", self.digest.as_ref()),
            Report::Briefing => ("briefing", self.briefing.as_ref()),
            Report::Audit => ("audit", self.audit.as_ref()),
        }
    }

    /// When each report is written.
    pub fn times(&self) -> BTreeMap<Report, Cron> {
        let time = |report| Some((report, self.pattern(report).1?.parse().ok()?));
        Report::EACH.into_iter().filter_map(time).collect()
    }

    pub(super) fn objection(&self) -> Option<String> {
        Report::EACH.into_iter().find_map(|report| {
            let (name, pattern) = self.pattern(report);
            let error = pattern?.parse::<Cron>().err()?;
            let pattern = pattern?;
            Some(format!(
                "`[schedule] {name} = \"{pattern}\"` is no time: {error}; \"0 7 * * *\" is seven in the morning"
            ))
        })
    }
}
