//! What this node wrote within the last seconds, and what it looked like then.
//!
//! While it still looks so there is nothing to read and nothing to tell, for the watcher and for a scan alike. Times are
//! coarse, though: what another program changes in place within the tick of our write looks the same. So each file is
//! read once more when it has been left alone for longer than any tick, and told if it says something else
//! ([`VaultDisk::stamp`](super::VaultDisk::stamp)).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aiemp_protocol::{ids::ContentHash, vault_path::VaultPath};

use super::stamps::{self, Stamp, StampName, Stamped};

/// Shared by the threads that write and that watch.
#[derive(Clone, Debug, Default)]
pub struct Written(Arc<Mutex<HashMap<StampName, Stamped>>>);

impl Written {
    /// This lies there now by this node's doing.
    pub(super) fn note(&self, path: &VaultPath, stamped: Stamped) {
        self.files().insert(stamps::name_of(path), stamped);
    }

    /// What a file says that looks like this, if this node wrote it.
    pub(super) fn content(&self, path: &VaultPath, stamp: Stamp) -> Option<ContentHash> {
        let files = self.files();
        if files.is_empty() {
            return None;
        }
        files.get(&stamps::name_of(path)).filter(|written| written.stamp == stamp).map(|written| written.hash)
    }

    /// Forgets a file; what it said when it was written.
    pub(super) fn take(&self, path: &VaultPath) -> Option<ContentHash> {
        let mut files = self.files();
        if files.is_empty() {
            return None;
        }
        files.remove(&stamps::name_of(path)).map(|written| written.hash)
    }

    fn files(&self) -> MutexGuard<'_, HashMap<StampName, Stamped>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
