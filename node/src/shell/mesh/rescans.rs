//! Scans of the whole vault: one at a time, each in parts that fit into memory.

use std::time::Duration;

use aiemp_crdt::vault::WriteOutcome;
use anyhow::Result;
use tokio::time::Instant;

use super::{Mesh, disk::DiskJob};
use crate::{
    core::Input,
    shell::vault_disk::{Scan, ScanSize},
};

/// How long a node that joined a mesh waits for a member before it takes up what it found in its vault, and how long for all
/// that a member says it has.
const MEMBER_WAIT: Duration = Duration::from_secs(10);
const ENTRIES_WAIT: Duration = Duration::from_secs(120);

/// The one under way.
#[derive(Debug, Default)]
pub(super) struct Rescans {
    state: State,
    /// New files that it found, and how many of them are left to be taken in.
    new: u64,
    unread: u64,
    /// Since when what the first one found waits for what the mesh has: then it is looked for anew, for it may have changed.
    waiting: Option<Instant>,
}

/// Whether one is under way.
#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Busy,
    /// What the one under way has read already may have changed since: another follows it.
    BusyAndAsked,
}

impl Rescans {
    /// One is asked for; whether it starts now.
    pub(super) fn ask(&mut self) -> bool {
        let starts = matches!(self.state, State::Idle);
        self.state = if starts { State::Busy } else { State::BusyAndAsked };
        starts
    }

    /// The one under way ended; whether the next starts now.
    pub(super) fn end(&mut self) -> bool {
        let follows = matches!(self.state, State::BusyAndAsked);
        *self = Self { state: if follows { State::Busy } else { State::Idle }, ..Self::default() };
        follows
    }

    /// So many files are left to read.
    fn left(&mut self, unread: usize) {
        self.unread = unread as u64;
        self.new = self.new.max(self.unread);
    }

    /// Whether none is under way, and the first was gone through.
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle) && self.waiting.is_none()
    }

    /// How many new files were taken in, and how many there are.
    pub(super) const fn progress(&self) -> (u64, u64) {
        (self.new - self.unread, self.new)
    }
}

impl Mesh {
    pub(super) async fn scan(&mut self) -> Result<()> {
        self.unsynced.scan_begins();
        let known = self.core.vault().seen_on_disk().map(|there| (there.path.clone(), there.hash));
        self.disk.send(DiskJob::Scan(known.collect(), ScanSize::Known)).await
    }

    /// The scan before anything else is done.
    ///
    /// Whoever joins a mesh with a vault first hears what the mesh has: a file that the mesh knows, as it is or as it was, is
    /// that file then, and no second one of its name.
    pub(super) async fn first_scanned(&mut self, scan: Scan) -> Result<()> {
        self.rescans.ask();
        let rosters = self.core.replication().rosters();
        let has_founded = rosters.at(1).is_none_or(|roster| roster.member(self.me).is_some());
        if has_founded || !self.core.vault().is_adopting() {
            return self.scanned(Some(scan)).await;
        }
        self.rescans.waiting = Some(Instant::now());
        Ok(())
    }

    /// What lies in the way of a write is looked at once the mesh's entries are here, too: then the write is made again.
    pub(super) fn while_waiting(&self, outcome: WriteOutcome) -> WriteOutcome {
        match outcome {
            WriteOutcome::Occupied(_) if self.rescans.waiting.is_some() => WriteOutcome::Failed,
            WriteOutcome::Occupied(_)
            | WriteOutcome::Displaced(_)
            | WriteOutcome::Written
            | WriteOutcome::InTheWay
            | WriteOutcome::Failed => outcome,
        }
    }

    /// When the first scan is gone on with although nothing happens.
    pub(super) fn first_scan_due(&self) -> Option<Instant> {
        let since = self.rescans.waiting?;
        let is_alone = self.core.replication().connected().next().is_none();
        Some(since + if is_alone { MEMBER_WAIT } else { ENTRIES_WAIT })
    }

    /// Goes on with the first scan once it has waited long enough.
    pub(super) async fn go_on_with_first_scan(&mut self) -> Result<()> {
        let Some(due) = self.first_scan_due() else { return Ok(()) };
        if Instant::now() < due && !self.core.replication().has_caught_up() {
            return Ok(());
        }
        self.rescans.waiting = None;
        self.scan().await
    }

    /// A scan, or the next part of one, is done; `None` where the vault was away.
    pub(super) async fn scanned(&mut self, scan: Option<Scan>) -> Result<()> {
        let Some(mut scan) = scan else {
            self.place.missed();
            return self.scan_ended().await;
        };
        let rest = scan.take_rest();
        let goes_on = rest.is_some();
        let mut unread = 0;
        match rest {
            // The disk reads on while this part is taken in.
            Some(rest) => {
                unread = rest.unread.len();
                self.disk.send(DiskJob::ScanOn(rest)).await?;
            }
            None => self.unsynced.scan_ended(scan.skipped),
        }
        self.handle(Input::FilesChanged { changed: scan.changed, removed: scan.removed }).await?;
        self.rescans.left(unread);
        if goes_on {
            return Ok(());
        }
        self.handle(Input::Scanned).await?;
        self.scan_ended().await
    }

    async fn scan_ended(&mut self) -> Result<()> {
        if self.rescans.end() { self.scan().await } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_once_they_are_taken_in_and_until_then_nothing_is_settled() {
        let mut rescans = Rescans::default();
        rescans.ask();
        rescans.left(1_000);
        assert_eq!((rescans.progress(), rescans.is_idle()), ((0, 1_000), false));
        rescans.left(744);
        assert_eq!((rescans.progress(), rescans.is_idle()), ((256, 1_000), false));
        rescans.left(0);
        rescans.end();
        assert!(rescans.is_idle());
    }

    #[test]
    fn a_scan_asked_for_during_another_follows_it_once() {
        let mut rescans = Rescans::default();
        assert!(rescans.ask());
        assert!(!rescans.ask() && !rescans.ask(), "one at a time");
        assert!(rescans.end(), "what came too late for the first is seen by the second");
        assert!(!rescans.ask());
        assert!(rescans.end());
        assert!(!rescans.end(), "nobody asked");
        assert!(rescans.ask());
    }
}
