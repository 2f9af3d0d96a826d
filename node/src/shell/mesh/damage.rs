//! A store that turns out to be damaged while the node runs: it is mended, and the node starts again.

use anyhow::{Error, Result};
use tokio::time::timeout;

use super::{Mesh, WIND_DOWN};
use crate::shell::store::{StoreError, StoreEvent, StoreGone};

/// Where a disk damages the store again and again, it is no use to go on.
const MENDS_MAX: u32 = 3;

/// How often this process has mended its store.
#[derive(Debug, Default)]
pub(super) struct Mends {
    count: u32,
    is_due: bool,
}

impl Mends {
    /// Whether the run ended for damage that the next start mends.
    pub(super) fn may_go_on(&mut self, worked: &Result<()>) -> bool {
        let error = worked.as_ref().err().and_then(|error| error.downcast_ref::<StoreError>());
        self.is_due = matches!(error, Some(StoreError::Corrupt(_)));
        self.count += u32::from(self.is_due);
        self.is_due && self.count <= MENDS_MAX
    }

    /// Whether the last run met damage, which a start need not meet: it does not read every content.
    pub(super) const fn is_due(&self) -> bool {
        self.is_due
    }
}

pub(super) fn failed(error: StoreError) -> Error {
    Error::new(error).context("the store failed; the node stops")
}

impl Mesh {
    /// Why the store stopped, where that ended the run.
    pub(super) async fn cause_of(&mut self, error: Error) -> Error {
        if error.downcast_ref::<StoreGone>().is_none() {
            return error;
        }
        let cause = async {
            while let Some(event) = self.store_events.recv().await {
                if let StoreEvent::Failed(cause) = event {
                    return Some(cause);
                }
            }
            None
        };
        match timeout(WIND_DOWN, cause).await {
            Ok(Some(cause)) => failed(cause),
            Ok(None) | Err(_) => error,
        }
    }
}
