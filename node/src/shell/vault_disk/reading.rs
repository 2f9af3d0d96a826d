//! Reading a file that an editor may be writing at the same moment.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    thread,
    time::{Duration, Instant},
};

use aiemp_protocol::limits::BLOB_BYTES_MAX;
use rustix::{
    fd::AsFd,
    fs::{AtFlags, FileType, Mode, OFlags},
    io::Errno,
};

use super::{saves::Saves, stamps::Stamp};

/// How long a file must be left alone before its content counts as saved.
pub(super) const QUIET: Duration = Duration::from_millis(30);
/// How long a file that is written without end is waited for.
pub(super) const QUIET_WAIT_MAX: Duration = Duration::from_millis(500);
/// How often a scan reads a file that changes under it.
const READS_MAX: usize = 3;

/// Why a name in the vault is not looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SkipReason {
    /// A symbolic link; what it points to may lie outside the vault.
    Symlink,
    /// A file with further names, perhaps outside the vault.
    HardLink,
    /// A socket, pipe or device.
    Special,
    /// A name that not every system of the mesh could write.
    Name,
    /// Larger than a blob may be.
    TooLarge,
    /// Another name of the same folder is the same name on some systems.
    Twin,
    /// Being written all the time; it is read when that ends.
    Busy,
    /// The system does not let us read it.
    Unreadable,
}

impl SkipReason {
    /// The code in listings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Symlink => "symlink",
            Self::HardLink => "hard_link",
            Self::Special => "special",
            Self::Name => "name",
            Self::TooLarge => "too_large",
            Self::Twin => "twin",
            Self::Busy => "busy",
            Self::Unreadable => "unreadable",
        }
    }
}

/// What stands behind a name.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Folder,
    Skipped(SkipReason),
    /// A regular file.
    File {
        bytes: Vec<u8>,
        /// Whether nothing changed between the first look and the last.
        is_steady: bool,
        /// Whether the file has further names.
        is_linked: bool,
        /// What it looked like when it was opened.
        stamp: Stamp,
    },
}

/// Reads once.
pub(super) fn read(folder: impl AsFd, name: &OsStr) -> Found {
    try_read(folder, name, None).unwrap_or(Found::Skipped(SkipReason::Unreadable))
}

/// [`read`], for the mesh to take in what was saved.
pub(super) fn read_save(folder: impl AsFd, name: &OsStr, saves: &mut Saves) -> Found {
    try_read(folder, name, Some(saves)).unwrap_or(Found::Skipped(SkipReason::Unreadable))
}

impl Found {
    /// With a file whose content is not its place's alone taken for what it is: perhaps a file outside the vault.
    pub(super) fn unshared(self) -> Self {
        if let Self::File { is_linked: true, .. } = self { Self::Skipped(SkipReason::HardLink) } else { self }
    }
}

/// Reads a file that syncs: steady, under one name only.
pub(super) fn read_steady(folder: impl AsFd, name: &OsStr, mut saves: Option<&mut Saves>) -> Found {
    for attempt in 0..READS_MAX {
        if attempt > 0 {
            thread::sleep(QUIET);
        }
        let found = try_read(&folder, name, saves.as_deref_mut());
        match found.unwrap_or(Found::Skipped(SkipReason::Unreadable)).unshared() {
            Found::File { is_steady: false, .. } => {}
            found @ (Found::Nothing | Found::Folder | Found::Skipped(_) | Found::File { .. }) => return found,
        }
    }
    Found::Skipped(SkipReason::Busy)
}

/// Reads a file when it has been quiet for a while, or at last as it is.
pub(super) fn read_when_quiet(folder: impl AsFd, name: &OsStr) -> Found {
    let started = Instant::now();
    let mut before = look(&folder, name);
    loop {
        thread::sleep(QUIET);
        let now = look(&folder, name);
        if now == before || started.elapsed() >= QUIET_WAIT_MAX {
            return read(folder, name);
        }
        before = now;
    }
}

/// What a regular file looks like, without opening it.
pub(super) fn look(folder: impl AsFd, name: &OsStr) -> Option<Stamp> {
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then(|| Stamp::from(&stat))
}

/// Opens without following a link and without waiting for a pipe's other end.
fn open(folder: impl AsFd, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, name, flags, Mode::empty())?.into())
}

fn try_read(folder: impl AsFd, name: &OsStr, saves: Option<&mut Saves>) -> io::Result<Found> {
    let mut file = match open(&folder, name) {
        Ok(file) => file,
        Err(error) => {
            return match Errno::from_io_error(&error) {
                Some(Errno::NOENT | Errno::NOTDIR) => Ok(Found::Nothing),
                Some(Errno::LOOP) => Ok(Found::Skipped(SkipReason::Symlink)),
                // A socket cannot be opened.
                Some(Errno::NXIO) => Ok(Found::Skipped(SkipReason::Special)),
                Some(_) | None => Err(error),
            };
        }
    };
    let before = file.metadata()?;
    let kind = before.file_type();
    if kind.is_dir() {
        return Ok(Found::Folder);
    }
    if !kind.is_file() {
        return Ok(Found::Skipped(SkipReason::Special));
    }
    let stamp = Stamp::from(&before);
    if stamp.size > BLOB_BYTES_MAX as u64 {
        return Ok(Found::Skipped(SkipReason::TooLarge));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(stamp.size).unwrap_or_default());
    (&mut file).take(BLOB_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > BLOB_BYTES_MAX {
        return Ok(Found::Skipped(SkipReason::TooLarge));
    }
    if let Some(saves) = saves {
        saves.add(file, stamp);
    }
    // Looked up by name again: a save by rename leaves the file we hold as it was.
    let is_steady = look(&folder, name) == Some(stamp) && bytes.len() as u64 == stamp.size;
    Ok(Found::File { bytes, is_steady, is_linked: stamp.is_linked, stamp })
}
