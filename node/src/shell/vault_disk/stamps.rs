//! What files look like from outside: one that still looks as it did when it was read need not be read again.
//!
//! Size, times, and inode change with every write and every replacement; the time of change cannot be set back, so content
//! that was changed in place under an old date is found. Times are coarse, though: a file that is written twice within one
//! tick looks the same after both. So only what was left alone for two seconds before it was read is noted, by the clock
//! of the file system itself, as git does it; what this node wrote bears a date of its own ([`Written`](super::Written)).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::Metadata,
    os::unix::fs::MetadataExt,
};

use aiemp_protocol::{ids::ContentHash, vault_path::VaultPath};
use rustix::fs::Stat;

/// The coarsest clock of a file system that is in use.
const RACY_NANOS: i64 = 2_000_000_000;
pub(super) const NANOS: i64 = 1_000_000_000;

/// What changes whenever a file is written, replaced or linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Its length in bytes.
    pub size: u64,
    /// When its content changed last, in nanoseconds since the Unix epoch; a program may set it.
    pub modified: i64,
    /// When anything of it changed last, in nanoseconds; only the clock sets it.
    pub changed: i64,
    /// Which file it is.
    pub inode: u64,
    /// Whether it has further names.
    pub is_linked: bool,
}

impl From<&Metadata> for Stamp {
    fn from(meta: &Metadata) -> Self {
        let nanos = |seconds: i64, nanos: i64| seconds.saturating_mul(NANOS).saturating_add(nanos);
        Self {
            size: meta.size(),
            modified: nanos(meta.mtime(), meta.mtime_nsec()),
            changed: nanos(meta.ctime(), meta.ctime_nsec()),
            inode: meta.ino(),
            is_linked: meta.nlink() > 1,
        }
    }
}

impl From<&Stat> for Stamp {
    fn from(stat: &Stat) -> Self {
        let nanos = |seconds: i64, nanos: u64| {
            seconds.saturating_mul(NANOS).saturating_add(i64::try_from(nanos).unwrap_or_default())
        };
        Self {
            size: stat.st_size.unsigned_abs(),
            modified: nanos(stat.st_mtime, stat.st_mtime_nsec),
            changed: nanos(stat.st_ctime, stat.st_ctime_nsec),
            inode: stat.st_ino,
            is_linked: stat.st_nlink > 1,
        }
    }
}

/// Stands for a path: half of the digest of its spelling.
pub type StampName = [u8; 16];

/// A file as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamped {
    /// What it looked like.
    pub stamp: Stamp,
    /// The digest of what it said.
    pub hash: ContentHash,
}

/// Files that were read and left alone, and what of that is not stored yet.
#[derive(Debug, Default)]
pub struct Stamps {
    all: BTreeMap<StampName, Stamped>,
    unsaved: BTreeSet<StampName>,
}

impl Stamps {
    /// As they were stored.
    pub const fn new(all: BTreeMap<StampName, Stamped>) -> Self {
        Self { all, unsaved: BTreeSet::new() }
    }

    /// What changed since this was asked last; none for what is forgotten.
    pub fn take_unsaved(&mut self) -> Vec<(StampName, Option<Stamped>)> {
        let unsaved = std::mem::take(&mut self.unsaved).into_iter();
        unsaved.map(|name| (name, self.all.get(&name).copied())).collect()
    }

    /// What a file says that looks like this, if it is known.
    pub(super) fn content(&self, path: &VaultPath, stamp: Stamp) -> Option<ContentHash> {
        self.all.get(&name_of(path)).filter(|known| known.stamp == stamp).map(|known| known.hash)
    }

    /// A file was read while it looked like this; `now` is a time of its file system before that.
    pub(super) fn note(&mut self, path: &VaultPath, stamped: Stamped, now: i64) {
        let latest = stamped.stamp.modified.max(stamped.stamp.changed);
        self.put(path, (latest.saturating_add(RACY_NANOS) <= now).then_some(stamped));
    }

    /// A file looks like this, and would not if anybody else had written to it.
    pub(super) fn note_own(&mut self, path: &VaultPath, stamped: Stamped) {
        self.put(path, Some(stamped));
    }

    fn put(&mut self, path: &VaultPath, stamped: Option<Stamped>) {
        let name = name_of(path);
        let before = match stamped {
            Some(stamped) => self.all.insert(name, stamped),
            None => self.all.remove(&name),
        };
        if before != stamped {
            self.unsaved.insert(name);
        }
    }

    /// Forgets all but these.
    pub(super) fn keep(&mut self, names: &BTreeSet<StampName>) {
        let gone = self.all.extract_if(.., |name, _| !names.contains(name)).map(|(name, _)| name);
        self.unsaved.extend(gone);
    }
}

pub(super) fn name_of(path: &VaultPath) -> StampName {
    let digest = ContentHash::of(path.as_str().as_bytes());
    let mut name = StampName::default();
    name.copy_from_slice(&digest.0.as_bytes()[..16]);
    name
}
