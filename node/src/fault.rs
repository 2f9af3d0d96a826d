//! What an operator reads when something does not go: what happened and what to do next.

use std::{fmt, io};

use rusqlite::ErrorCode;

/// A refusal with its way out. Exit codes: 1 operator or environment, 2 usage, 78 role or configuration refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Stable word for tools.
    pub code: &'static str,
    /// What happened, and why.
    pub message: String,
    /// What to do next.
    pub fix: String,
    /// The process's exit code.
    pub exit: u8,
}

impl Fault {
    /// Something an operator can change.
    pub fn operator(code: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code, message: message.into(), fix: fix.into(), exit: 1 }
    }

    /// A wrong command line.
    pub fn usage(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code: "usage", message: message.into(), fix: fix.into(), exit: 2 }
    }

    /// A role or configuration that this node may not run with.
    pub fn refused(code: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code, message: message.into(), fix: fix.into(), exit: 78 }
    }

    /// The form for tools: `{"error":{code,message,fix}}`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "error": { "code": self.code, "message": self.message, "fix": self.fix } })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  {}", self.message, self.fix)
    }
}

impl std::error::Error for Fault {}

/// An error with its causes, each once: many an error's own text ends with its cause already.
pub fn causes(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = cause;
        } else if !told.contains(&cause) {
            told = format!("{told}: {cause}");
        }
    }
    told
}

/// Whether a disk without space is the cause, whatever was being written.
pub fn is_disk_full(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let by_system =
            cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull);
        let by_store = cause.downcast_ref::<rusqlite::Error>().is_some_and(lacks_room);
        by_system || by_store
    })
}

/// Whether SQLite found no room. The index of a write-ahead log, which is the first thing it enlarges, has a code of its
/// own.
pub fn lacks_room(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.code == ErrorCode::DiskFull || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
    })
}

#[cfg(test)]
mod tests {
    use aiemp_keys::PrivacyError;
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_cause_that_an_error_names_itself_is_told_once() {
        let full = || io::Error::from_raw_os_error(28);
        let named: Result<(), _> = Err(PrivacyError::Io { path: "/home/x".into(), source: full() });
        let error = named.context("cannot hand the approval to the executor").unwrap_err();
        assert_eq!(
            causes(&error),
            "cannot hand the approval to the executor: /home/x: No space left on device (os error 28)"
        );
        assert!(is_disk_full(&error));
        let code = |code| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        assert!(lacks_room(&code(rusqlite::ffi::SQLITE_FULL)));
        assert!(lacks_room(&code(rusqlite::ffi::SQLITE_IOERR_SHMSIZE)));
        assert!(!lacks_room(&code(rusqlite::ffi::SQLITE_IOERR_READ)), "the disk is to be checked");
        let unnamed: Result<(), _> = Err(full());
        let error = unnamed.context("cannot write").unwrap_err();
        assert_eq!(causes(&error), "cannot write: No space left on device (os error 28)");
    }
}
