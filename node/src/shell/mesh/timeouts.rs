//! When the core wants to be told the time.

use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use super::Mesh;
use crate::{core::Input, shell::clock};

/// No two timeouts follow each other sooner.
const TIMEOUTS_APART: Duration = Duration::from_millis(1);

impl Mesh {
    /// However much else there is to do: or a member that sends without pause could keep the time from its turn.
    pub(super) async fn time_out_if_overdue(&mut self, last: &mut Instant) -> Result<()> {
        let is_due = self.core.poll_timeout().is_some_and(|at| at <= clock::now());
        if is_due && last.elapsed() >= TIMEOUTS_APART {
            self.time_out().await?;
            *last = Instant::now();
        }
        Ok(())
    }

    pub(super) async fn time_out(&mut self) -> Result<()> {
        self.look_at_place().await?;
        self.handle(Input::TimeoutReached).await
    }

    pub(super) fn next_timeout(&self) -> Instant {
        let now = clock::now();
        let far = Duration::from_secs(3600);
        let wait = self.core.poll_timeout().map_or(far, |at| at.since(now).max(TIMEOUTS_APART));
        let due = Instant::now() + wait.min(far);
        self.first_scan_due().map_or(due, |scan| scan.min(due))
    }
}
