//! What happened while this node was off, or slept: a line on the dashboard, for a day.

use std::{collections::BTreeMap, time::Duration};

use aiemp_protocol::{ids::FileId, time::Timestamp, zone::Zone};

use super::{
    Core,
    mail::inert,
    work::{domain_of, is_in},
};

/// So long without anything is an absence.
const AWAY: Duration = Duration::from_secs(3_600);
/// So long after it what others did meanwhile still comes.
const CATCHES_UP: Duration = Duration::from_secs(600);

/// So long it is told.
const TOLD_FOR: Duration = Duration::from_secs(86_400);

/// When this node was there.
#[derive(Debug, Default)]
pub(super) struct Presence {
    last: Timestamp,
    /// The last time that it was not: from when until when.
    away: Option<(Timestamp, Timestamp)>,
}

impl Presence {
    pub(super) fn was_there(&mut self, at: Option<Timestamp>) {
        self.last = self.last.max(at.unwrap_or_default());
    }
}

impl Core {
    /// It was there at a time before this start.
    pub(super) fn was_there(&mut self, at: Timestamp) {
        self.work.presence.was_there(Some(at));
    }

    pub(super) fn is_there(&mut self, now: Timestamp) {
        let Presence { last, away } = &mut self.work.presence;
        if now < *last {
            // The clock was set back: what it said before is of no use.
            (*last, *away) = (now, None);
        }
        if *last > Timestamp::default() && now.since(*last) >= AWAY {
            *away = Some((*last, now));
            self.work.dashboard_due = Some(now);
        }
        *last = now;
    }

    /// Whether what others did while it was away may have come just now.
    pub(super) fn catches_up(&self, now: Timestamp, file: FileId) -> bool {
        let is_back = self.work.presence.away.is_some_and(|(_, until)| now.since(until) < CATCHES_UP);
        is_back && matches!(file.zone, Zone::Intake | Zone::Drafts)
    }

    /// What others did meanwhile, as one line; nothing where that is nothing.
    pub(super) fn meanwhile(&self, now: Timestamp) -> Option<String> {
        let (from, until) = self.work.presence.away.filter(|(_, until)| now.since(*until) < TOLD_FOR)?;
        let (mut came, mut drafted, mut finished, mut news) = (BTreeMap::new(), 0_usize, 0_usize, 0_usize);
        for (_, record) in self.vault.index().iter() {
            let Some((origin, _)) = record.base.all().min_by_key(|(origin, _)| origin.hlc) else { continue };
            let Some(path) = record.path.values().next().filter(|path| path.extension() == "md") else { continue };
            if origin.author() == self.work.me || origin.hlc <= from || origin.hlc > until {
                continue;
            }
            if is_in(path, "needs_action") {
                *came.entry(domain_of(path).to_owned()).or_insert(0_usize) += 1;
            } else if is_in(path, "pending_approval") {
                drafted += 1;
            } else if is_in(path, "updates") && path.name().starts_with("FINISHED_") {
                finished += 1;
            } else if path.folder() == "Updates/newsletters" {
                news += 1;
            }
        }
        let mut told: Vec<_> = came
            .into_iter()
            .map(|(domain, count)| format!("{count} {} came in", inert::escape_line(&domain)))
            .collect();
        for (count, what) in [(drafted, "drafted"), (finished, "done without sending anything")] {
            told.extend((count > 0).then(|| format!("{count} {what}")));
        }
        told.extend((news > 0).then(|| "newsletters came".to_owned()));
        (!told.is_empty()).then(|| format!("**While you were away** ({from} to {until}): {}", told.join(", ")))
    }
}
