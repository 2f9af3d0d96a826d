//! The outbox hand: a Maildir that takes each message once.
//!
//! The name of a file is made from the message id, so a message that is delivered again is found, not doubled.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aiemp_keys::Hash;
use thiserror::Error;

use super::message::OutgoingMessage;

/// Longest name that is kept as it is; file systems take 255 bytes, and Maildir flags come on top.
const NAME_BYTES_MAX: usize = 200;
/// Directories of a Maildir.
const DIRECTORIES: [&str; 3] = ["tmp", "new", "cur"];

/// Why a message did not get into the outbox. It is then not there, and the delivery may be repeated.
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
}

/// Delivers a message into the Maildir `dir`; gives the path of its file.
///
/// `name` is the message id. A message that lies in `new/` or `cur/` already, with the same bytes, is a success. When
/// this returns, file and directory entry are on disk.
pub fn deliver(dir: &Path, message: &OutgoingMessage, name: &str) -> Result<PathBuf, OutboxError> {
    create_directories(dir)?;
    if let Some(path) = find(dir, name)? {
        let held = fs::read(&path).map_err(failed("read", &path))?;
        return if held == message.bytes { Ok(path) } else { Err(OutboxError::Taken { path }) };
    }
    let file_name = file_name(name);
    let (temporary, path) = (dir.join("tmp").join(&file_name), dir.join("new").join(&file_name));
    write_new(&temporary, &message.bytes)?;
    // A link fails where a rename would replace; the file appears whole or not at all.
    fs::hard_link(&temporary, &path).map_err(failed("create", &path))?;
    sync_directory(&dir.join("new"))?;
    fs::remove_file(&temporary).map_err(failed("remove", &temporary))?;
    Ok(path)
}

/// Looks for a delivered message in `new/` and `cur/`, with or without Maildir flags.
///
/// A missing directory holds nothing; one that cannot be read is an error, for nothing is known about it.
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
            DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(failed("create", &directory))?;
            sync_directory(dir)?;
        }
    }
    Ok(())
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), OutboxError> {
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(OutboxError::Io { doing: "remove", path: path.to_owned(), source }),
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed("create", path))?;
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
        let path = deliver(&dir, &message(b"one"), ID).expect("delivered");
        assert_eq!(path, dir.join("new").join("0123456789abcdef@own.test.eml"));
        assert_eq!(fs::read(&path).expect("the file"), b"one");
        assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
        assert_eq!(deliver(&dir, &message(b"one"), ID).expect("found"), path);
        assert_eq!(fs::read_dir(dir.join("new")).expect("new").count(), 1);
        assert_eq!(fs::read_dir(dir.join("tmp")).expect("tmp").count(), 0);
    }

    #[test]
    fn a_message_that_was_read_is_still_found() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = deliver(dir.path(), &message(b"one"), ID).expect("delivered");
        let seen = dir.path().join("cur").join(format!("{ID}.eml:2,S"));
        fs::rename(path, &seen).expect("renamed");
        assert_eq!(find(dir.path(), ID).expect("readable"), Some(seen.clone()));
        assert_eq!(deliver(dir.path(), &message(b"one"), ID).expect("found"), seen);
    }

    #[test]
    fn another_message_under_the_same_id_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = deliver(dir.path(), &message(b"one"), ID).expect("delivered");
        let error = deliver(dir.path(), &message(b"two"), ID).expect_err("refused");
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
        let path = deliver(dir.path(), &message(b"whole"), ID).expect("delivered");
        assert_eq!(fs::read(path).expect("the file"), b"whole");
    }

    #[test]
    fn a_name_cannot_leave_the_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["../../x", "a/b@c", ".hidden", "a:2,S", "", "\u{e9}"] {
            let path = deliver(dir.path(), &message(b"one"), name).expect("delivered");
            assert_eq!(path.parent(), Some(dir.path().join("new").as_path()));
            assert_eq!(find(dir.path(), name).expect("readable"), Some(path));
        }
    }
}
