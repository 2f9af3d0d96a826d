//! What this node wrote and what it looked like then, and the folders that it made.
//!
//! While it still looks so there is nothing to read and nothing to tell, for the watcher and for a scan alike. Times are
//! coarse, though: what another program changes in place within the tick of our write would look the same. So our files are
//! dated some ticks back, as far as the file system takes the date ([`Own::is_certain`]). Where it does not, each is read
//! once more when it has been left alone for longer than any tick, and told if it says something else
//! ([`VaultDisk::stamp`](super::VaultDisk::stamp)).

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aiemp_protocol::{ids::ContentHash, vault_path::VaultPath};

use super::stamps::{self, Stamp, StampName, Stamped};

/// A file that this node wrote.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    pub(super) stamped: Stamped,
    /// Whether it cannot look so once somebody else wrote to it.
    pub(super) is_certain: bool,
}

/// Shared by the threads that write and that watch.
#[derive(Clone, Debug, Default)]
pub struct Written(Arc<Mutex<All>>);

#[derive(Debug, Default)]
struct All {
    files: HashMap<StampName, Own>,
    /// Those that the watcher was not told of yet.
    folders: BTreeSet<PathBuf>,
}

impl Written {
    /// This lies there now by this node's doing.
    pub(super) fn note(&self, path: &VaultPath, own: Own) {
        self.all().files.insert(stamps::name_of(path), own);
    }

    /// What a file says that looks like this, if this node wrote it.
    pub(super) fn content(&self, path: &VaultPath, stamp: Stamp) -> Option<ContentHash> {
        let files = &self.all().files;
        if files.is_empty() {
            return None;
        }
        let own = files.get(&stamps::name_of(path)).map(|own| own.stamped);
        own.filter(|own| own.stamp == stamp).map(|own| own.hash)
    }

    /// What a file looks like, if nobody else can have made it look so.
    pub fn certain(&self, path: &VaultPath) -> Option<Stamped> {
        self.all().files.get(&stamps::name_of(path)).filter(|own| own.is_certain).map(|own| own.stamped)
    }

    /// Forgets a file; what it was when it was written.
    pub(super) fn take(&self, path: &VaultPath) -> Option<Own> {
        let files = &mut self.all().files;
        if files.is_empty() {
            return None;
        }
        let own = files.remove(&stamps::name_of(path));
        if files.is_empty() {
            files.shrink_to_fit();
        }
        own
    }

    /// This node is about to make a folder.
    pub(super) fn note_folder(&self, path: &Path) {
        self.all().folders.insert(path.to_owned());
    }

    /// Whether this node made the folder that was made there; the next one is another's.
    pub(super) fn take_folder(&self, path: &Path) -> bool {
        self.all().folders.remove(path)
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
