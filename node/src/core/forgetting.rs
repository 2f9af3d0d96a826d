//! Once a day, what nobody needs any more is forgotten.

use std::{collections::BTreeSet, time::Duration};

use aiemp_protocol::{
    ids::ContentHash,
    limits::{ABSENCE_MAX, HISTORY_LIFETIME},
    replication,
    time::Timestamp,
};

use super::{Core, output::Output};

/// After a start peers are heard first: what they have is not known before.
const FIRST: Duration = Duration::from_secs(600);
const EVERY: Duration = Duration::from_secs(86_400);
/// While something is on its way to the disk, nobody knows what it names.
const AGAIN: Duration = Duration::from_secs(60);

impl Core {
    pub(super) fn begin_forgetting(&mut self, now: Timestamp) {
        self.work.forget_at = Some(now + FIRST);
    }

    pub(super) fn forget_if_due(&mut self, now: Timestamp) {
        if self.work.forget_at.is_none_or(|at| at > now) {
            return;
        }
        if !self.replication.is_quiet() || !self.vault.is_settled() {
            self.work.forget_at = Some(now + AGAIN);
            return;
        }
        self.work.forget_at = Some(now + EVERY);
        let (gone, unwanted) = self.not_needed(now);
        let forgotten = gone.union(&unwanted).copied().collect();
        self.replication.handle(now, replication::Input::PayloadsForgotten(forgotten));
        self.outputs.push_back(Output::ForgetPayloads { gone, unwanted });
    }

    /// What is not kept here, and what else is not worth asking for: a node that joined late takes all entries at once, so
    /// of what it lacks the authors' clocks tell the age.
    fn not_needed(&self, now: Timestamp) -> (BTreeSet<ContentHash>, BTreeSet<ContentHash>) {
        let since = now.earlier_by(HISTORY_LIFETIME);
        let gone = self.vault.not_kept(self.entries_since(now, since));
        let mut unwanted = self.vault.not_kept(|origin| origin.hlc > since);
        unwanted.retain(|hash| !gone.contains(hash));
        (gone, unwanted)
    }

    /// Members for which contents are kept that nobody else needs, with when something was heard of them last.
    pub(super) fn absent(&self, now: Timestamp) -> Vec<(aiemp_keys::NodeId, Timestamp)> {
        let mut away = self.replication.last_heard();
        away.retain(|(_, heard)| *heard + ABSENCE_MAX < now);
        away
    }
}
