//! `<vault>/.aiemp/`: where files are made before they are renamed into place, and what they displaced is kept.
//!
//! Three kinds of names lie there. `tmp-…` is content on its way, worthless after a crash. `held-<hash>-…` was taken
//! off its path, and is worthless if its content is one of the named digests; otherwise it is somebody's save.
//! `displaced-<hash>` is somebody's save, kept until the caller says it is safe elsewhere. A program that has one of
//! the last two open goes on writing to it, whatever becomes of this process: a start looks at them like their maker did.

use std::{
    collections::VecDeque,
    ffi::OsStr,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aiemp_protocol::{ids::ContentHash, vault_path::VaultPath};
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT},
    io::Errno,
};

use self::clean::clean;
use super::{
    DiskError,
    reading::{self, Found},
    stamps::{NANOS, Stamp},
    tree::{self, Tree},
};

mod clean;

/// The folder's name at the vault's top.
pub(super) const FOLDER: &str = ".aiemp";
/// How long a program that has a displaced file open still may write to it: a save takes far less.
const LATE_SAVE_WAIT: Duration = Duration::from_secs(10);
/// Displaced files that are looked at again; many times what a burst of merges displaces within the wait.
const LATE_MAX: usize = 4096;

/// Longer than any tick of a clock that dates files: what is written next is dated later.
const SET_BACK_NANOS: i64 = 40_000_000;

/// Makes the names of one process differ.
static COUNTER: AtomicU64 = AtomicU64::new(0);

/// The folder, and what in it may still be written to.
#[derive(Debug)]
pub(super) struct Kept {
    folder: OwnedFd,
    path: PathBuf,
    late: Mutex<VecDeque<Late>>,
    pub(super) sync_folder: fn(&OwnedFd) -> Result<(), Errno>,
    pub(super) sync_file: fn(&File) -> io::Result<()>,
}

/// A file taken off its path that some program may still have open.
#[derive(Debug)]
struct Late {
    name: String,
    /// Where it lay; what an earlier run took off its path does not say.
    path: Option<VaultPath>,
    known: Vec<ContentHash>,
    since: Instant,
}

/// A file below `.aiemp/` that is taken away unless it is put somewhere.
#[derive(Debug)]
pub(super) struct Temporary<'k> {
    kept: &'k Kept,
    pub(super) name: String,
    /// When its content changed last, as it was set: no program that writes to it later leaves it at that.
    pub(super) modified: Option<i64>,
}

impl Temporary<'_> {
    /// It has another name by now.
    pub(super) fn moved(mut self) {
        self.name.clear();
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            self.kept.unlink(&self.name);
        }
    }
}

/// Says who may use a file. Where the file system keeps no such thing, as FAT, the way it is mounted says it.
fn set_mode(file: impl AsFd, mode: Mode) -> Result<(), Errno> {
    match rustix::fs::fchmod(&file, mode) {
        Err(Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
        // Elsewhere that is not said to the owner.
        Err(Errno::PERM) if rustix::fs::fstat(&file)?.st_uid == rustix::process::geteuid().as_raw() => Ok(()),
        set => set,
    }
}

/// Dates a file that was just written a few ticks of the clock back.
fn set_back(file: &File) -> Option<i64> {
    let modified = Stamp::from(&file.metadata().ok()?).modified - SET_BACK_NANOS;
    let last_modification = Timespec { tv_sec: modified.div_euclid(NANOS), tv_nsec: modified.rem_euclid(NANOS) };
    let times = Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification };
    rustix::fs::futimens(file, &times).ok().map(|()| modified)
}

impl Kept {
    /// Opens or makes the folder, and sorts what an earlier run left: what nobody needs goes, the rest may still be
    /// written to.
    pub(super) fn open(tree: &Tree) -> Result<Self, DiskError> {
        let path = tree.path().join(FOLDER);
        match rustix::fs::mkdirat(tree.top(), FOLDER, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(DiskError::new("create", path, error)),
        }
        let folder = match tree::open_folder(tree.top(), OsStr::new(FOLDER)) {
            Ok(folder) => folder,
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(DiskError::InTheWay { path }),
            Err(error) => return Err(DiskError::new("open", path, error)),
        };
        set_mode(&folder, Mode::RWXU).map_err(|error| DiskError::new("protect", &path, error))?;
        let kept = Self {
            folder,
            path,
            late: Mutex::default(),
            sync_folder: |folder| rustix::fs::fsync(folder),
            sync_file: File::sync_all,
        };
        clean(&kept)?;
        Ok(kept)
    }

    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// The time by the clock of the file system, which need not be this machine's; the beginning of time where it does not
    /// tell, so that nothing was left alone for long.
    pub(super) fn time(&self) -> i64 {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        let dated = rustix::fs::futimens(&self.folder, &times).and_then(|()| rustix::fs::fstat(&self.folder));
        dated.map_or(i64::MIN, |stat| Stamp::from(&stat).changed)
    }

    /// Makes a small file of this name that says this, on disk when this returns.
    pub(super) fn mark(&self, name: &str, text: &str) -> Result<(), DiskError> {
        let failed = |error: std::io::Error| DiskError::new("mark", &self.path, error);
        let is_there = rustix::fs::statat(&self.folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        if is_there && std::fs::read(self.path.join(name)).is_ok_and(|there| there == text.as_bytes()) {
            return Ok(());
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&self.folder, name, flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(opened.map_err(|error| failed(error.into()))?);
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        (self.sync_folder)(&self.folder).map_err(|error| failed(error.into()))
    }

    /// A file with these bytes, on disk when this returns. `shown` is the path it is made for.
    pub(super) fn temporary(&self, bytes: &[u8], mode: Mode, shown: &Path) -> Result<Temporary<'_>, DiskError> {
        let (temporary, file) = self.unsynced(bytes, mode, shown)?;
        (self.sync_file)(&file).map_err(|error| DiskError::new("write", shown, error))?;
        Ok(temporary)
    }

    /// The same before it is on disk, with the file to sync.
    pub(super) fn unsynced(&self, bytes: &[u8], mode: Mode, shown: &Path) -> Result<(Temporary<'_>, File), DiskError> {
        let mut temporary = Temporary { kept: self, name: unique("tmp"), modified: None };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, &temporary.name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| DiskError::new("write", shown, error))?;
        set_mode(&file, mode).map_err(|error| DiskError::new("write", shown, error))?;
        let mut file = File::from(file);
        file.write_all(bytes).map_err(|error| DiskError::new("write", shown, error))?;
        temporary.modified = set_back(&file);
        Ok((temporary, file))
    }

    /// Renames a temporary file so that after a crash, whatever it holds then, a save in it is recognised.
    pub(super) fn hold(&self, temporary: Temporary<'_>, known: &[ContentHash]) -> Result<String, Errno> {
        let name = self.held_name(known);
        rustix::fs::renameat(&self.folder, &temporary.name, &self.folder, &name)?;
        temporary.moved();
        Ok(name)
    }

    /// The name for a file that is worthless if its content is among `known`.
    pub(super) fn held_name(&self, known: &[ContentHash]) -> String {
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        unique(&format!("held-{}", known.join("-")))
    }

    pub(super) fn unlink(&self, name: &str) {
        match rustix::fs::unlinkat(&self.folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => tracing::warn!(name, folder = %self.path.display(), %error, "cannot remove a temporary file"),
        }
    }

    /// Keeps a held file under the name of its content. Once it has that name it is kept, whatever else fails: whoever took
    /// it for held would look for it in vain.
    pub(super) fn keep(&self, name: &str, hash: ContentHash) -> Result<String, Errno> {
        let kept = displaced_name(hash);
        rustix::fs::renameat(&self.folder, name, &self.folder, &kept)?;
        // From now on the file is as old as its keeping.
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let times = Timestamps { last_access: now, last_modification: now };
        let dated = rustix::fs::utimensat(&self.folder, &kept, &times, AtFlags::SYMLINK_NOFOLLOW);
        if let Err(error) = dated.and_then(|()| (self.sync_folder)(&self.folder)) {
            let folder = self.path.display();
            tracing::error!(%folder, %error, "a displaced save is kept, but may not outlast a power failure");
        }
        Ok(kept)
    }

    /// The content of the kept files.
    pub(super) fn displaced(&self) -> Result<Vec<Vec<u8>>, DiskError> {
        let entries = tree::entries(&self.folder).map_err(|error| DiskError::new("list", &self.path, error))?;
        let names = entries.iter().filter_map(|(name, _)| name.to_str()).filter(|name| name.starts_with("displaced-"));
        let read = names.filter_map(|name| match reading::read(&self.folder, OsStr::new(name)).unshared() {
            Found::File { bytes, .. } => Some(bytes),
            Found::Nothing | Found::Folder | Found::Skipped(_) => None,
        });
        Ok(read.collect())
    }

    /// Lets go of a kept file. One that may still be written to goes when that time is over.
    pub(super) fn forget(&self, hash: ContentHash) {
        let name = displaced_name(hash);
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = late.iter_mut().find(|entry| entry.name == name) else { return self.unlink(&name) };
        let held = self.held_name(&[hash]);
        match rustix::fs::renameat(&self.folder, &name, &self.folder, &held) {
            Ok(()) => entry.name = held,
            Err(error) => tracing::warn!(name, folder = %self.path.display(), %error, "cannot let go of a kept file"),
        }
    }

    /// Looks at a file again for as long as a program may still be writing to it.
    pub(super) fn watch(&self, name: String, path: Option<&VaultPath>, known: &[ContentHash]) {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        late.push_back(Late { name, path: path.cloned(), known: known.to_vec(), since: Instant::now() });
        if late.len() > LATE_MAX
            && let Some(mut oldest) = late.pop_front()
            && self.look_again(&mut oldest).is_some()
        {
            let path = oldest.path.as_ref().map(tracing::field::display);
            tracing::warn!(path, kept = %self.path.join(&oldest.name).display(), "a late save is kept");
        }
    }

    /// Saves that reached a file after it was taken off its path; an earlier run left no word of where that was.
    pub(super) fn late_saves(&self) -> Vec<(Option<VaultPath>, Vec<u8>)> {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        let mut saves = Vec::new();
        late.retain_mut(|entry| {
            let is_over = entry.since.elapsed() > LATE_SAVE_WAIT;
            match self.look_again(entry) {
                Some(bytes) => saves.push((entry.path.clone(), bytes)),
                None if is_over => return self.is_still_written(entry),
                None => {}
            }
            true
        });
        saves
    }

    /// The content if it is a new one; it is then kept under its digest.
    fn look_again(&self, entry: &mut Late) -> Option<Vec<u8>> {
        let found = reading::read(&self.folder, OsStr::new(&entry.name));
        let Found::File { bytes, is_steady: true, is_linked: false, .. } = found else { return None };
        let hash = ContentHash::of(&bytes);
        if entry.known.contains(&hash) {
            return None;
        }
        entry.known.push(hash);
        match self.keep(&entry.name, hash) {
            Ok(name) => entry.name = name,
            Err(error) => {
                let path = entry.path.as_ref().map(tracing::field::display);
                tracing::warn!(path, %error, "cannot keep a late save under its own name");
            }
        }
        Some(bytes)
    }

    /// Lets the time pass in which files are still written to.
    #[cfg(test)]
    pub(super) fn pass_late_wait(&self) {
        let mut late = self.late.lock().expect("nobody panics here");
        late.iter_mut().for_each(|entry| entry.since -= LATE_SAVE_WAIT);
    }

    /// Whether an entry whose time is over must stay; takes the file away if nobody needs it.
    fn is_still_written(&self, entry: &Late) -> bool {
        let is_written =
            matches!(reading::read(&self.folder, OsStr::new(&entry.name)), Found::File { is_steady: false, .. });
        if !is_written && entry.name.starts_with("held-") {
            self.unlink(&entry.name);
        }
        is_written
    }
}

/// The name under which a save is kept.
fn displaced_name(hash: ContentHash) -> String {
    format!("displaced-{hash}")
}

fn unique(prefix: &str) -> String {
    format!("{prefix}-{}-{}", process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}
