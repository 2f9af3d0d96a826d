//! The outbox hand: a Maildir that takes each message once.
//!
//! The name of a file is made from the message id, so a message that is delivered again is found, not doubled. Whoever
//! reads the Maildir may take the file at once, so a mark outside of it says that a delivery was tried.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aiemp_keys::{Hash, PrivacyError, private_file};
use thiserror::Error;

use super::message::OutgoingMessage;

/// Longest name that is kept as it is; file systems take 255 bytes, and Maildir flags come on top.
const NAME_BYTES_MAX: usize = 200;
/// Directories of a Maildir.
const DIRECTORIES: [&str; 3] = ["tmp", "new", "cur"];

/// Why a delivery failed. Without a mark nothing was delivered, and it may be repeated; with one nobody knows.
#[derive(Debug, Error)]
pub enum OutboxError {
    /// The file system refused.
    #[error("cannot {doing} {}: {source}; check that the directory is writable and the disk not full", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The name belongs to a message with other bytes.
    #[error("{} holds another message under the same id; move it away and look at both", path.display())]
    Taken {
        /// The file in the way.
        path: PathBuf,
    },
    /// A delivery was tried before, and the message is not there.
    #[error(
        "an earlier try may have put the mail into {}, and it is not there now; find out whether it was sent, then say \
         so with `aiemp-node approvals settle`",
        path.display()
    )]
    Gone {
        /// The Maildir.
        path: PathBuf,
    },
    /// The mark cannot be written.
    #[error("cannot note that a mail is under way: {0}; check that the home is writable and the disk not full")]
    Mark(#[source] PrivacyError),
}

/// Delivers a message into the Maildir `dir`; gives the path of its file.
///
/// `name` is the message id. A message that lies in `new/` or `cur/` already, with the same bytes, is a success. When
/// this returns, file and directory entry are on disk. `mark` is a file that is on disk from before the message can be
/// seen; whoever calls removes it with [`forget`] once the end is durable.
pub fn deliver(dir: &Path, message: &OutgoingMessage, name: &str, mark: &Path) -> Result<PathBuf, OutboxError> {
    create_directories(dir)?;
    if let Some(path) = find(dir, name)? {
        let held = fs::read(&path).map_err(failed("read", &path))?;
        return if held == message.bytes { Ok(path) } else { Err(OutboxError::Taken { path }) };
    }
    if was_tried(mark)? {
        return Err(OutboxError::Gone { path: dir.to_owned() });
    }
    let file_name = file_name(name);
    let (temporary, path) = (dir.join("tmp").join(&file_name), dir.join("new").join(&file_name));
    write_new(&temporary, &message.bytes)?;
    failpoint!("mail in the outbox's tmp");
    write_mark(mark).map_err(OutboxError::Mark)?;
    failpoint!("mark written");
    // A link fails where a rename would replace; the file appears whole or not at all.
    if let Err(source) = fs::hard_link(&temporary, &path) {
        forget(mark)?;
        return Err(failed("create", &path)(source));
    }
    failpoint!("mail in the outbox");
    sync_directory(&dir.join("new"))?;
    fs::remove_file(&temporary).map_err(failed("remove", &temporary))?;
    Ok(path)
}

/// Whether a delivery with this mark came so far that the message may have been seen.
pub fn was_tried(mark: &Path) -> Result<bool, OutboxError> {
    mark.try_exists().map_err(failed("look for", mark))
}

/// Removes a mark; one that is not there is no failure.
pub fn forget(mark: &Path) -> Result<(), OutboxError> {
    match fs::remove_file(mark) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed("remove", mark)(source)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Looks for a delivered message in `new/` and `cur/`, with or without Maildir flags.
///
/// What is found is on disk. A missing directory holds nothing; one that cannot be read is an error, for nothing is known
/// about it.
pub fn find(dir: &Path, name: &str) -> Result<Option<PathBuf>, OutboxError> {
    let file_name = file_name(name);
    let flagged = format!("{file_name}:2,");
    for directory in ["new", "cur"].map(|directory| dir.join(directory)) {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(OutboxError::Io { doing: "list", path: directory, source }),
        };
        for entry in entries {
            let entry = entry.map_err(failed("list", &directory))?.file_name();
            let is_it = entry.to_str().is_some_and(|entry| entry == file_name || entry.starts_with(&flagged));
            if is_it {
                // The process may have ended between the link and its sync.
                sync_directory(&directory)?;
                return Ok(Some(directory.join(entry)));
            }
        }
    }
    Ok(None)
}

/// The message id if it is a harmless name, else its hash; `:` would start Maildir flags.
fn file_name(name: &str) -> String {
    let is_harmless = (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.starts_with(['.', '-'])
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"@._+-".contains(&byte));
    if is_harmless { format!("{name}.eml") } else { format!("{}.eml", Hash::of_content(name.as_bytes())) }
}

fn create_directories(dir: &Path) -> Result<(), OutboxError> {
    for directory in DIRECTORIES.map(|name| dir.join(name)) {
        if !directory.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(private_file::dir_mode(&directory))
                .create(&directory)
                .map_err(failed("create", &directory))?;
            sync_directory(dir)?;
        }
    }
    Ok(())
}

fn write_mark(mark: &Path) -> Result<(), PrivacyError> {
    if let Some(directory) = mark.parent() {
        private_file::create_private_dir(directory)?;
    }
    private_file::write_private(mark, b"")
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), OutboxError> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(OutboxError::Io { doing: "remove", path: path.to_owned(), source }),
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(private_file::file_mode(path))
        .open(path)
        .map_err(failed("create", path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("write", path))
}

fn sync_directory(path: &Path) -> Result<(), OutboxError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(failed("sync", path))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OutboxError {
    let path = path.to_owned();
    move |source| OutboxError::Io { doing, path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ID: &str = "0123456789abcdef@own.test";

    /// Delivers with a mark beside the Maildir that is removed at the end.
    fn deliver_once(dir: &Path, message: &OutgoingMessage, name: &str) -> Result<PathBuf, OutboxError> {
        let mark = dir.join("marks").join("one");
        let delivered = deliver(dir, message, name, &mark);
        forget(&mark).map(|()| delivered)?
    }

    fn message(bytes: &[u8]) -> OutgoingMessage {
        OutgoingMessage {
            envelope_from: "me@own.test".into(),
            envelope_to: vec!["a@client.test".into()],
            bytes: bytes.to_vec(),
        }
    }

    #[test]
    fn a_message_is_delivered_once() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = home.path().join("outbox");
        assert_eq!(find(&dir, ID).expect("readable"), None);
        let path = deliver_once(&dir, &message(b"one"), ID).expect("delivered");
        assert_eq!(path, dir.join("new").join("0123456789abcdef@own.test.eml"));
        assert_eq!(fs::read(&path).expect("the file"), b"one");
        assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
        assert_eq!(deliver_once(&dir, &message(b"one"), ID).expect("found"), path);
        assert_eq!(fs::read_dir(dir.join("new")).expect("new").count(), 1);
        assert_eq!(fs::read_dir(dir.join("tmp")).expect("tmp").count(), 0);
    }

    #[test]
    fn a_message_that_was_read_is_still_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = deliver_once(dir.path(), &message(b"one"), ID).expect("delivered");
        let seen = dir.path().join("cur").join(format!("{ID}.eml:2,S"));
        fs::rename(path, &seen).expect("renamed");
        assert_eq!(find(dir.path(), ID).expect("readable"), Some(seen.clone()));
        assert_eq!(deliver_once(dir.path(), &message(b"one"), ID).expect("found"), seen);
    }

    #[test]
    fn another_message_under_the_same_id_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = deliver_once(dir.path(), &message(b"one"), ID).expect("delivered");
        let error = deliver_once(dir.path(), &message(b"two"), ID).expect_err("refused");
        let expected =
            format!("{} holds another message under the same id; move it away and look at both", path.display());
        assert_eq!(error.to_string(), expected);
        assert_eq!(fs::read(path).expect("the file"), b"one");
    }

    #[test]
    fn what_a_crash_left_behind_does_not_hinder() {
        let dir = tempfile::tempdir().expect("a directory");
        create_directories(dir.path()).expect("created");
        fs::write(dir.path().join("tmp").join(format!("{ID}.eml")), b"half").expect("written");
        let path = deliver_once(dir.path(), &message(b"whole"), ID).expect("delivered");
        assert_eq!(fs::read(path).expect("the file"), b"whole");
    }

    #[test]
    fn a_name_cannot_leave_the_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["../../x", "a/b@c", ".hidden", "a:2,S", "", "\u{e9}"] {
            let path = deliver_once(dir.path(), &message(b"one"), name).expect("delivered");
            assert_eq!(path.parent(), Some(dir.path().join("new").as_path()));
            assert_eq!(find(dir.path(), name).expect("readable"), Some(path));
        }
    }

    #[test]
    fn the_mark_stands_from_before_the_message_is_seen() {
        let home = tempfile::tempdir().expect("a directory");
        let (dir, mark) = (home.path().join("outbox"), home.path().join("marks").join("one"));
        assert!(!was_tried(&mark).expect("readable"));
        let path = deliver(&dir, &message(b"one"), ID, &mark).expect("delivered");
        assert!(was_tried(&mark).expect("readable"));
        assert_eq!(fs::metadata(&mark).expect("the mark").permissions().mode() & 0o777, 0o600);
        fs::remove_file(path).expect("taken");
        let error = deliver(&dir, &message(b"one"), ID, &mark).expect_err("nobody knows");
        let expected = format!(
            "an earlier try may have put the mail into {}, and it is not there now; find out whether it was sent, then \
             say so with `aiemp-node approvals settle`",
            dir.display()
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(fs::read_dir(dir.join("new")).expect("new").count(), 0);
        forget(&mark).expect("removed");
        forget(&mark).expect("nothing to remove");
        deliver(&dir, &message(b"one"), ID, &mark).expect("delivered");
    }

    #[test]
    fn nothing_is_delivered_without_a_mark() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("marks"), b"in the way").expect("written");
        let mark = dir.path().join("marks").join("one");
        deliver(dir.path(), &message(b"one"), ID, &mark).expect_err("no mark");
        assert_eq!(find(dir.path(), ID).expect("readable"), None);
    }
}
