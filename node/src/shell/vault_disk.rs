//! The vault as files: written without losing a save, watched, and scanned.
//!
//! Both parts share one way down the tree, which follows no symbolic link: [`VaultDisk`] puts files on disk, takes them
//! off, and finds what changed while nobody looked; [`VaultWatcher`] tells what editors saved. Neither knows whose content
//! a file is; the vault machine tells its own writes by their digests. Both block, so they run on threads of their own.

mod file_system;
mod intake;
mod kept;
mod listing;
mod mark;
mod reading;
mod saves;
mod scan;
mod stamps;
mod stock;
mod tree;
mod watcher;
mod writer;
mod written;

use std::{io, path::PathBuf};

use aiemp_protocol::limits::BLOB_BYTES_MAX;
use rustix::io::Errno;
use thiserror::Error;

pub use self::{
    intake::Intake,
    mark::{FolderId, Lying, Owner, look, owners},
    reading::SkipReason,
    scan::{Known, Scan, ScanSize},
    stamps::{Stamp, StampName, Stamped, Stamps},
    stock::Stock,
    watcher::{DiskEvent, VaultWatcher},
    writer::VaultDisk,
    written::Written,
};

/// Why the vault's disk did not do what was asked. What lay at the path before lies there still.
#[derive(Debug, Error)]
pub enum DiskError {
    /// The way into the vault leads over a symbolic link, and so perhaps out of it.
    #[error(
        "{} is a symbolic link, and the vault is never written through links; put the folder or file itself there",
        path.display()
    )]
    Escape {
        /// The link.
        path: PathBuf,
    },
    /// A folder lies where a file belongs, or a file where a folder belongs, or something that is neither.
    #[error("{} is in the way of a synced file or folder; move it to another name", path.display())]
    InTheWay {
        /// What is in the way.
        path: PathBuf,
    },
    /// What lies at the path is larger than any file that syncs.
    #[error("{} is larger than {BLOB_BYTES_MAX} bytes; move it out of the vault", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Somebody replaced the file or its folder again and again while it was written.
    #[error("{} changed each time it was about to be written; close the program that keeps changing it", path.display())]
    Unsteady {
        /// The file.
        path: PathBuf,
    },
    /// No space, or the quota is used up.
    #[error("no space left to write {}; free some space, nothing was lost and it is tried again", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The node's user may not do this.
    #[error("no permission to {doing} {}; give the node's user read and write access to the vault", path.display())]
    Denied {
        /// What was tried.
        doing: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// The file system is mounted read-only.
    #[error("{} lies on a read-only file system; mount it writable", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The file system takes no such name, as FAT and exFAT take no `?`.
    #[error("the file system takes no such name: {}; rename the file or folder on a node that has it", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// A part of the vault is another file system, between which nothing can be renamed.
    #[error("{} lies on another file system than the vault's top; keep the whole vault on one", path.display())]
    OtherFileSystem {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused for another reason.
    #[error("cannot {doing} {}: {source}; check that the disk is sound and the vault still mounted", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl DiskError {
    /// The error for a system call that failed at `path`; `doing` completes "cannot".
    fn new(doing: &'static str, path: impl Into<PathBuf>, cause: impl Into<io::Error>) -> Self {
        let (path, source) = (path.into(), cause.into());
        match Errno::from_io_error(&source) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::Full { path },
            Some(Errno::ACCESS | Errno::PERM) => Self::Denied { doing, path },
            Some(Errno::ROFS) => Self::ReadOnly { path },
            Some(Errno::XDEV) => Self::OtherFileSystem { path },
            Some(_) | None => Self::Io { doing, path, source },
        }
    }

    /// The error for a call that gives something its name in the vault.
    fn naming(doing: &'static str, path: impl Into<PathBuf>, cause: impl Into<io::Error>) -> Self {
        let (path, source) = (path.into(), cause.into());
        match Errno::from_io_error(&source) {
            Some(Errno::INVAL | Errno::ILSEQ | Errno::NAMETOOLONG) => Self::Name { path },
            Some(_) | None => Self::new(doing, path, source),
        }
    }
}

#[cfg(test)]
mod tests;
