//! Notes that were changed often and then left alone start anew. The executor's node sees to it for all.

use std::time::Duration;

use aiemp_crdt::{index::Origin, vault};
use aiemp_protocol::{limits::HISTORY_LIFETIME, time::Timestamp};

use super::Core;

/// After a start peers are heard first: what they have is not known before.
const FIRST: Duration = Duration::from_secs(600);
const EVERY: Duration = Duration::from_secs(86_400);
/// Until the next are looked at, where there are more.
const AGAIN: Duration = Duration::from_secs(60);
/// So many notes start anew at once: each is read, and its text goes to all members.
const AT_ONCE_MAX: usize = 256;

/// Which notes start anew.
#[derive(Clone, Copy, Debug)]
pub struct Compaction {
    /// How long nobody must have changed them.
    pub quiet: Duration,
    /// How many changes make it worth it.
    pub changes_min: usize,
}

impl Default for Compaction {
    /// As far as history goes back, so that it reads the changes themselves; and enough changes that reading them costs more
    /// than reading the text.
    fn default() -> Self {
        Self { quiet: HISTORY_LIFETIME, changes_min: 16 }
    }
}

impl Core {
    pub(super) fn begin_compaction(&mut self, now: Timestamp) {
        self.work.compact_at = Some(now + FIRST.min(self.work.compaction.quiet));
    }

    pub(super) fn compact_if_due(&mut self, now: Timestamp) {
        if self.work.compact_at.is_none_or(|at| at > now) {
            return;
        }
        let Compaction { quiet, changes_min } = self.work.compaction;
        let roster = self.replication.rosters().current();
        // An older copy of this home learns from the first it meets that it is one.
        let is_mine = roster.executor == self.work.me && (self.work.has_met || roster.members.len() == 1);
        if !is_mine {
            self.work.compact_at = Some(now + EVERY.min(quiet));
            return;
        }
        let after = self.work.compacted.take();
        let is_recent = self.entries_since(now, now.earlier_by(quiet));
        let files: Vec<_> = self.vault.compactable(is_recent, after, changes_min).take(AT_ONCE_MAX).collect();
        self.work.compacted = files.last().copied().filter(|_| files.len() == AT_ONCE_MAX);
        let next = if self.work.compacted.is_some() { AGAIN } else { EVERY };
        self.work.compact_at = Some(now + next.min(quiet));
        if !files.is_empty() {
            self.vault_input(now, vault::Input::CompactRequested(files));
        }
    }

    /// Whether an entry came here since then, or some member has not heard of it.
    pub(super) fn entries_since(&self, now: Timestamp, since: Timestamp) -> impl Fn(&Origin) -> bool + use<> {
        let (recent, known) = (self.replication.taken_after(now, since), self.replication.known_to_all());
        move |origin: &Origin| {
            let came_since = recent.get(&origin.log).is_some_and(|first| origin.seq >= *first);
            came_since || known.get(&origin.log).is_none_or(|known| origin.seq > *known)
        }
    }
}
