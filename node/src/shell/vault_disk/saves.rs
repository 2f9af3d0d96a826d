//! What a program saved is on disk before the mesh takes it in. Few programs see to that themselves, and after a power
//! failure a file that is empty, or lacks its end, would pass for a save of just that, and be so everywhere.

use std::fs::File;

use rustix::fs::Advice;

use super::stamps::Stamp;
use crate::shell::clock;

/// After this systems have written back what was changed, whether anybody asked for it or not: Linux within 35 seconds.
const WRITTEN_BACK_MS: i64 = 60_000;
/// Files that are held open at once.
const OPEN_MAX: usize = 64;

/// Files that were read, and may not be on disk yet.
#[derive(Debug, Default)]
pub(super) struct Saves(Vec<File>);

impl Saves {
    /// A file was read; this is what it looked like.
    pub(super) fn add(&mut self, file: File, stamp: Stamp) {
        let now = i64::try_from(clock::now().as_millis()).unwrap_or(i64::MAX);
        if stamp.changed / 1_000_000 + WRITTEN_BACK_MS < now {
            return;
        }
        // It begins to go to the disk, so that all of them are waited for together.
        rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).ok();
        self.0.push(file);
        if self.0.len() >= OPEN_MAX {
            self.sync();
        }
    }

    /// Waits until all of them are on disk.
    pub(super) fn sync(&mut self) {
        for file in self.0.drain(..) {
            if let Err(error) = file.sync_all() {
                tracing::error!(%error, "a save cannot be synced, and may not outlast a power failure: check the disk");
            }
        }
    }
}
