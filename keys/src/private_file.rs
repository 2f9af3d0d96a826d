//! Files that only their owner can read, replaced as a whole or not at all. In a home that several users share, each
//! place has the owners that were [declared](declare).

mod places;

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use thiserror::Error;

pub use self::places::{Place, declare};
use crate::{
    random,
    secret::{Secret, SecretBytes},
};

const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;
const GROUP_AND_OTHER: u32 = 0o077;

/// Why a private file was refused, or could not be read or written.
#[derive(Debug, Error)]
pub enum PrivacyError {
    /// Group or other have rights.
    #[error(
        "{path} is open to other users (mode {mode:03o}): run `chmod {wanted:o} {path}`, and replace what it held if \
         others use this machine",
        path = path.display()
    )]
    Lax {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The permission bits it should have.
        wanted: u32,
    },
    /// The path is a symbolic link.
    #[error("{path} is a symbolic link: put the file itself there", path = path.display())]
    Symlink {
        /// The link.
        path: PathBuf,
    },
    /// Neither a regular file nor a directory, or a directory where a file was to be read.
    #[error("{path} is not a regular file: move it away", path = path.display())]
    Kind {
        /// The thing found.
        path: PathBuf,
    },
    /// Another user owns it.
    #[error(
        "{path} belongs to uid {owner}, this process runs as uid {own}: run as uid {owner}, or `chown {own} {path}`",
        path = path.display()
    )]
    Foreign {
        /// The file or directory.
        path: PathBuf,
        /// The uid that owns it.
        owner: u32,
        /// The uid of this process.
        own: u32,
    },
    /// In a shared home, somebody else than the users of this place owns it.
    #[error(
        "{path} belongs to uid {owner}: find out who put it there, then run `chown {wanted} {path}` as root",
        path = path.display()
    )]
    Outsider {
        /// The file or directory.
        path: PathBuf,
        /// The uid that owns it.
        owner: u32,
        /// The uid that should.
        wanted: u32,
    },
    /// In a shared home, another group than this place's has rights.
    #[error("{path} is open to group {group}: run `chgrp {wanted} {path}` as root", path = path.display())]
    OtherGroup {
        /// The file or directory.
        path: PathBuf,
        /// The gid it has.
        group: u32,
        /// The gid it should have.
        wanted: u32,
    },
    /// The operating system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl PrivacyError {
    /// Whether the operating system gave this reason.
    pub fn is_io(&self, kind: io::ErrorKind) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == kind)
    }
}

/// The mode of a file at a path: 0600, or what its place in a shared home says.
pub fn file_mode(path: &Path) -> u32 {
    places::of(path).map_or(FILE_MODE, |place| place.file_mode)
}

/// The mode with which a directory at a path is made: 0700, or what its place in a shared home says.
pub fn dir_mode(path: &Path) -> u32 {
    // The set-group-id bit comes from the directory around it.
    places::of(path).map_or(DIR_MODE, |place| place.folder_mode & 0o777)
}

/// Writes a file with mode 0600, replacing one that exists; after a crash there is the old file or the new one.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), PrivacyError> {
    place(path, bytes, |temp| fs::rename(temp, path)).map_err(at(path))
}

/// Writes a file with mode 0600 that must not exist yet; of two writers one gets [`io::ErrorKind::AlreadyExists`].
pub fn create_private(path: &Path, bytes: &[u8]) -> Result<(), PrivacyError> {
    // Unlike a rename, a link never replaces.
    place(path, bytes, |temp| fs::hard_link(temp, path).and_then(|()| fs::remove_file(temp))).map_err(at(path))
}

/// Makes a directory with mode 0700, parents included; one that exists must be private already.
pub fn create_private_dir(path: &Path) -> Result<(), PrivacyError> {
    // Whoever made one that exists has synced it. A process that is walled in may not open what lies around its folders.
    if !path.is_dir() {
        DirBuilder::new().recursive(true).mode(dir_mode(path)).create(path).map_err(at(path))?;
        sync_parent(path).map_err(at(path))?;
    }
    check_private(path)
}

/// Checks that a file or directory is ours alone: no symbolic link, our uid, no rights for group and other. In a shared
/// home: the owners, the group and the rights of its place.
pub fn check_private(path: &Path) -> Result<(), PrivacyError> {
    inspect(path).map(|_| ())
}

/// [`read_private`], or none where nothing lies.
pub fn find_private(path: &Path) -> Result<Option<SecretBytes>, PrivacyError> {
    match read_private(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.is_io(io::ErrorKind::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a file that passes [`check_private`]; the file checked is the file read.
pub fn read_private(path: &Path) -> Result<SecretBytes, PrivacyError> {
    let mut file = open_private(path, OpenOptions::new().read(true))?;
    let opened = file.metadata().map_err(at(path))?;
    // One byte more than the length, so that the end is seen without moving the buffer, which would leave a copy.
    let capacity = usize::try_from(opened.len()).unwrap_or(0).saturating_add(1);
    let mut buffer = Vec::with_capacity(capacity);
    let read = file.read_to_end(&mut buffer);
    let bytes = Secret::new(buffer);
    read.map_err(at(path))?;
    Ok(bytes)
}

/// Opens a file that passes [`check_private`]; the file checked is the file opened.
pub fn open_private(path: &Path, options: &OpenOptions) -> Result<File, PrivacyError> {
    // Opening some things is an act, so what lies there is looked at first.
    if !inspect(path)?.is_file() {
        return Err(PrivacyError::Kind { path: path.to_owned() });
    }
    open_as_it_is(path, options)
}

/// Whoever may write the folder may have put something else there since: no link is followed, nothing is waited for, and
/// what was opened is checked.
fn open_as_it_is(path: &Path, options: &OpenOptions) -> Result<File, PrivacyError> {
    let opened = options.clone().custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|source| match source.raw_os_error() {
        Some(libc::ELOOP) => PrivacyError::Symlink { path: path.to_owned() },
        _ => PrivacyError::Io { path: path.to_owned(), source },
    })?;
    let metadata = file.metadata().map_err(at(path))?;
    judge(path, &metadata)?;
    if metadata.is_file() { Ok(file) } else { Err(PrivacyError::Kind { path: path.to_owned() }) }
}

fn inspect(path: &Path) -> Result<fs::Metadata, PrivacyError> {
    let metadata = fs::symlink_metadata(path).map_err(at(path))?;
    judge(path, &metadata).map(|()| metadata)
}

fn judge(path: &Path, metadata: &fs::Metadata) -> Result<(), PrivacyError> {
    let path = path.to_owned();
    if metadata.is_symlink() {
        return Err(PrivacyError::Symlink { path });
    }
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(PrivacyError::Kind { path });
    }
    if let Some(place) = places::of(&path) {
        return place.check(&path, metadata);
    }
    let owner = metadata.uid();
    let own = own_uid().map_err(at(&path))?;
    if owner != own {
        return Err(PrivacyError::Foreign { path, owner, own });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & GROUP_AND_OTHER != 0 {
        let wanted = if metadata.is_dir() { DIR_MODE } else { FILE_MODE };
        return Err(PrivacyError::Lax { path, mode, wanted });
    }
    Ok(())
}

/// The uid with which this process makes files: that of a fresh pipe.
///
/// It needs no writable directory, and unlike `/proc/self` it is right in a process that is not dumpable.
fn own_uid() -> io::Result<u32> {
    let (reader, _writer) = io::pipe()?;
    Ok(File::from(OwnedFd::from(reader)).metadata()?.uid())
}

/// Writes a temporary sibling of `path`, syncs it, lets `publish` put it in place and syncs the directory.
fn place(path: &Path, bytes: &[u8], publish: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let suffix = u64::from_le_bytes(random::array().map_err(io::Error::other)?);
    let temp = path.with_file_name(format!(".{}.{suffix:016x}.tmp", name.to_string_lossy()));
    let written = write_new(&temp, path, bytes).and_then(|()| publish(&temp));
    if written.is_err() {
        // The first error is the one to report.
        fs::remove_file(&temp).ok();
    }
    written?;
    sync_parent(path)
}

/// Writes `temp`, with the owner and mode that belong to `path`.
fn write_new(temp: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(file_mode(path)).open(temp)?;
    if let Some(place) = places::of(path)
        && own_uid()? == 0
    {
        place.hand_over(&file)?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> PrivacyError {
    let path = path.to_owned();
    move |source| PrivacyError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn home() -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("node.key");
        (home, file)
    }

    #[test]
    fn written_files_are_private_and_come_back() {
        let (home, file) = home();
        write_private(&file, b"one").unwrap();
        write_private(&file, b"two").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read_private(&file).unwrap().expose(), b"two");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn creating_never_replaces() {
        let (home, file) = home();
        create_private(&file, b"one").unwrap();
        let error = create_private(&file, b"two").unwrap_err();
        assert!(error.is_io(io::ErrorKind::AlreadyExists));
        assert_eq!(read_private(&file).unwrap().expose(), b"one");
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn rights_for_others_are_refused_with_the_remedy() {
        let (_home, file) = home();
        write_private(&file, b"seed").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            set_mode(&file, mode);
            let path = file.display();
            let expected = format!(
                "{path} is open to other users (mode {mode:03o}): run `chmod 600 {path}`, and replace what it held if \
                 others use this machine"
            );
            assert_eq!(check_private(&file).unwrap_err().to_string(), expected);
            assert!(read_private(&file).is_err());
        }
        set_mode(&file, 0o400);
        check_private(&file).unwrap();
    }

    #[test]
    fn a_symbolic_link_is_refused_even_to_a_private_file() {
        let (home, file) = home();
        write_private(&file, b"seed").unwrap();
        let link = home.path().join("link");
        symlink(&file, &link).unwrap();
        let expected = format!("{} is a symbolic link: put the file itself there", link.display());
        assert_eq!(check_private(&link).unwrap_err().to_string(), expected);
        assert!(read_private(&link).is_err());
    }

    #[test]
    fn what_was_exchanged_after_it_was_checked_is_not_opened() {
        let (home, file) = home();
        write_private(&file, b"seed").unwrap();
        let options = OpenOptions::new().read(true).write(true).clone();
        open_as_it_is(&file, &options).unwrap();
        let link = home.path().join("link");
        symlink(&file, &link).unwrap();
        assert!(matches!(open_as_it_is(&link, &options), Err(PrivacyError::Symlink { .. })));
        let pipe = home.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap().success());
        for options in [&options, OpenOptions::new().read(true)] {
            // Opened to be read it would wait for a writer for ever.
            assert!(matches!(open_as_it_is(&pipe, options), Err(PrivacyError::Kind { .. })));
        }
        assert!(matches!(read_private(&pipe), Err(PrivacyError::Kind { .. })));
        set_mode(&file, 0o644);
        assert!(matches!(open_as_it_is(&file, &options), Err(PrivacyError::Lax { .. })));
    }

    #[test]
    fn directories_are_made_private_and_lax_ones_refused() {
        let (home, _) = home();
        let dir = home.path().join("a/keys");
        create_private_dir(&dir).unwrap();
        create_private_dir(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        set_mode(&dir, 0o755);
        let error = create_private_dir(&dir).unwrap_err();
        assert!(matches!(error, PrivacyError::Lax { wanted: 0o700, .. }), "{error}");
        assert!(matches!(read_private(&home.path().join("a")), Err(PrivacyError::Kind { .. })));
    }

    #[test]
    fn our_uid_is_the_one_our_files_get() {
        let (_home, file) = home();
        write_private(&file, b"seed").unwrap();
        assert_eq!(own_uid().unwrap(), fs::metadata(&file).unwrap().uid());
    }

    #[test]
    fn a_foreign_owner_is_refused_with_the_remedy() {
        let (_home, file) = home();
        write_private(&file, b"seed").unwrap();
        if std::os::unix::fs::chown(&file, Some(4242), None).is_err() {
            return; // Only root can give files away.
        }
        let (path, own) = (file.display(), own_uid().unwrap());
        let expected = format!(
            "{path} belongs to uid 4242, this process runs as uid {own}: run as uid 4242, or `chown {own} {path}`"
        );
        assert_eq!(check_private(&file).unwrap_err().to_string(), expected);
    }
}
