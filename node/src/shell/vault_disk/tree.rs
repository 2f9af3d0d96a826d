//! The way from the vault's top down to a folder, on which no symbolic link is followed.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use aiemp_protocol::vault_path::VaultPath;
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};

use super::{
    DiskError,
    mark::{self, FolderId},
    written::Written,
};

/// Flags with which every folder below the top is opened.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// How often a folder that vanishes while it is being made is made again.
const ATTEMPTS: usize = 3;

/// The vault's top, held open: it stays the same directory whatever happens to its name.
#[derive(Debug)]
pub(super) struct Tree {
    top: OwnedFd,
    path: PathBuf,
    given: PathBuf,
    id: FolderId,
}

/// What to do about a folder that does not exist.
#[derive(Clone, Copy)]
pub(super) enum Missing<'w> {
    /// Makes it, and notes there that this node did.
    Create(&'w Written),
    Leave,
}

impl Tree {
    /// Opens the vault's top, which itself may be named by a link.
    pub(super) fn open(given: &Path) -> Result<Self, DiskError> {
        let failed = |error| DiskError::new("open", given, error);
        let path = fs::canonicalize(given).map_err(failed)?;
        let top = rustix::fs::open(&path, FOLDER, Mode::empty()).map_err(|error| failed(error.into()))?;
        let id = rustix::fs::fstat(&top).map_err(|error| failed(error.into()))?.into();
        Ok(Self { top, path, given: given.to_owned(), id })
    }

    /// Which folder is open.
    pub(super) const fn id(&self) -> FolderId {
        self.id
    }

    /// Whether the path that was given still stands for the folder that is open.
    pub(super) fn is_in_place(&self) -> bool {
        mark::id_of(&self.given) == Some(self.id)
    }

    pub(super) fn top(&self) -> BorrowedFd<'_> {
        self.top.as_fd()
    }

    /// The top without links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path as an operator finds it.
    pub(super) fn shown(&self, path: &VaultPath) -> PathBuf {
        self.path.join(path.as_str())
    }

    /// Opens a folder in one call that the kernel keeps below the top, whatever is swapped on the way.
    fn beneath(&self, folder: &str) -> Result<OwnedFd, Errno> {
        let folder = if folder.is_empty() { "." } else { folder };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(self.top(), folder, FOLDER, Mode::empty(), resolve)
    }

    /// Opens the folder that a path lies in; `None` when it does not exist and is not to be created.
    pub(super) fn folder_of(&self, path: &VaultPath, missing: Missing<'_>) -> Result<Option<OwnedFd>, DiskError> {
        match self.beneath(path.folder()) {
            Ok(folder) => return Ok(Some(folder)),
            Err(Errno::NOENT) if matches!(missing, Missing::Leave) => return Ok(None),
            // It is not all there, a link is on the way, or the system does not know the call: step by step, to tell.
            Err(_) => {}
        }
        let mut shown = self.path.clone();
        let mut folder = open_folder(self.top(), OsStr::new(".")).map_err(|e| DiskError::new("open", &shown, e))?;
        for name in path.folder().split('/').filter(|name| !name.is_empty()) {
            shown.push(name);
            match step(&folder, (name, &shown), missing).map_err(|error| refused(&folder, name, &shown, error))? {
                Some(next) => folder = next,
                None => return Ok(None),
            }
        }
        Ok(Some(folder))
    }
}

/// Opens one folder that lies directly in another; a link in its place is an error.
pub(super) fn open_folder(parent: impl AsFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(parent, name, FOLDER, Mode::empty())
}

/// The kind of what a name stands for, a link being a link; `None` when there is nothing.
pub(super) fn kind_of(folder: impl AsFd, name: &OsStr) -> Result<Option<FileType>, Errno> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names in a folder that do not start with a dot, in byte order, with their kinds.
pub(super) fn entries(folder: impl AsFd) -> Result<Vec<(OsString, FileType)>, Errno> {
    let mut names = all_entries(folder)?;
    names.retain(|(name, _)| !name.as_bytes().starts_with(b"."));
    Ok(names)
}

/// The names in a folder that start with a dot.
pub(super) fn hidden(folder: impl AsFd) -> Result<Vec<OsString>, Errno> {
    let names = all_entries(folder)?.into_iter().map(|(name, _)| name);
    Ok(names.filter(|name| name.as_bytes().starts_with(b".")).collect())
}

/// [`entries`], also of names that start with a dot.
fn all_entries(folder: impl AsFd) -> Result<Vec<(OsString, FileType)>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if [&b"."[..], b".."].contains(&name.as_bytes()) {
            continue;
        }
        // Some file systems do not tell the kind in the listing.
        let kind =
            if entry.file_type() == FileType::Unknown { kind_of(&folder, name)? } else { Some(entry.file_type()) };
        names.extend(kind.map(|kind| (name.to_owned(), kind)));
    }
    names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(names)
}

/// Takes a folder away that holds nothing but such folders; one that holds anything else stays with all that is in it.
pub(super) fn remove_empty(parent: impl AsFd, name: &OsStr) {
    if holds_folders_alone(&parent, name) {
        remove_folders(parent, name);
    }
}

fn holds_folders_alone(parent: impl AsFd, name: &OsStr) -> bool {
    let Ok(folder) = open_folder(parent, name) else { return false };
    let Ok(all) = all_entries(&folder) else { return false };
    all.iter().all(|(below, kind)| *kind == FileType::Directory && holds_folders_alone(&folder, below))
}

/// The system takes none away that holds anything, so what came since it was looked at stays.
fn remove_folders(parent: impl AsFd, name: &OsStr) {
    let Ok(folder) = open_folder(&parent, name) else { return };
    for (below, _) in entries(&folder).unwrap_or_default() {
        remove_folders(&folder, &below);
    }
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR).ok();
}

fn step(folder: &OwnedFd, (name, path): (&str, &Path), missing: Missing<'_>) -> Result<Option<OwnedFd>, Errno> {
    for _ in 0..ATTEMPTS {
        let written = match (open_folder(folder, OsStr::new(name)), missing) {
            (Ok(next), _) => return Ok(Some(next)),
            (Err(Errno::NOENT), Missing::Create(written)) => written,
            (Err(Errno::NOENT), Missing::Leave) => return Ok(None),
            (Err(error), _) => return Err(error),
        };
        written.note_folder(path);
        match rustix::fs::mkdirat(folder, name, Mode::from_raw_mode(0o775)) {
            Ok(()) => rustix::fs::fsync(folder)?,
            Err(error) => {
                written.take_folder(path);
                if error != Errno::EXIST {
                    return Err(error);
                }
            }
        }
    }
    Err(Errno::NOENT)
}

/// The error for a folder that could not be entered: depending on the system a link shows as "loop" or "no directory".
fn refused(folder: &OwnedFd, name: &str, shown: &Path, error: Errno) -> DiskError {
    let path = shown.to_owned();
    match (error, kind_of(folder, OsStr::new(name))) {
        (Errno::LOOP | Errno::NOTDIR, Ok(Some(FileType::Symlink))) => DiskError::Escape { path },
        (Errno::NOTDIR, _) => DiskError::InTheWay { path },
        (error, _) => DiskError::naming("enter", path, error),
    }
}
