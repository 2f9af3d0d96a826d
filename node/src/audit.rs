//! The audit log: who did what, one hash chain per process, never any content.
//!
//! Each line is one JSON object that names the hash of the line before it. A line that was changed, inserted or taken
//! out of the middle breaks the chain; lines cut off its end do not, so the newest hash is worth keeping elsewhere.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use aiemp_keys::{Hash, PrivacyError, Value, cbor, private_file};
use aiemp_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

const LABEL: &str = "aiemp-node 2026 audit";

/// What one line says: hashes, kinds and masked recipients, never content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditEvent {
    /// What was done or refused: `email_send`, `approval_refused`.
    pub action_type: String,
    /// Who did it.
    pub actor: String,
    /// To whom or what; addresses are [`masked`].
    pub target: String,
    /// Hashes and codes, by name.
    pub parameters: BTreeMap<String, String>,
    /// `approved`, `refused` or `none`.
    pub approval_status: String,
    /// `human`, or empty where nobody was asked.
    pub approved_by: String,
    /// How it ended, as a code.
    pub result: String,
}

/// Why a log cannot be continued, or does not stand as it was written.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The file or its directory is open to others, or cannot be reached.
    #[error(transparent)]
    Private(#[from] PrivacyError),
    /// The operating system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The log.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A line is not what its chain says.
    #[error(transparent)]
    BrokenAt(#[from] BrokenAt),
}

/// The first line that does not fit its chain.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{path}: line {line} does not fit the chain; keep the file for inspection and move it away, a new chain begins",
    path = path.display()
)]
pub struct BrokenAt {
    /// The log.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
}

/// The log of one process, open for appending.
#[derive(Debug)]
pub struct AuditLog {
    file: File,
    path: PathBuf,
    head: Option<Hash>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Line {
    timestamp: String,
    action_type: String,
    actor: String,
    target: String,
    parameters: BTreeMap<String, String>,
    approval_status: String,
    approved_by: String,
    result: String,
    prev: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
}

impl AuditLog {
    /// Opens a log, or begins one, mode 0600; its directory is made 0700.
    ///
    /// A last line that a crash left half written is cut off: it was never acknowledged. The line before it must be
    /// whole, for the chain goes on from there; [`verify`] checks the rest.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        if let Some(directory) = path.parent() {
            private_file::create_private_dir(directory)?;
        }
        let failed = |source| AuditError::Io { path: path.to_owned(), source };
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(failed)?;
        let bytes = private_file::read_private(path)?;
        let bytes = bytes.expose().as_slice();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        let mut lines = bytes[..whole].split_inclusive(|byte| *byte == b'\n');
        let number = lines.clone().count();
        let head = match lines.next_back() {
            None => None,
            Some(last) => {
                let (_, hash) = read_line(last).ok_or_else(|| BrokenAt { path: path.to_owned(), line: number })?;
                Some(hash)
            }
        };
        Ok(Self { file, path: path.to_owned(), head })
    }

    /// Adds one line; it is on disk when this returns.
    pub fn append(&mut self, at: Timestamp, event: &AuditEvent) -> Result<(), AuditError> {
        let AuditEvent { action_type, actor, target, parameters, approval_status, approved_by, result } = event.clone();
        let mut line = Line {
            timestamp: at.to_string(),
            action_type,
            actor,
            target,
            parameters,
            approval_status,
            approved_by,
            result,
            prev: self.head.map(|hash| hash.to_string()),
            hash: None,
        };
        let hash = hash_of(self.head, &canonical(&line));
        line.hash = Some(hash.to_string());
        let text = canonical(&line) + "\n";
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|source| AuditError::Io { path: self.path.clone(), source })?;
        self.head = Some(hash);
        Ok(())
    }
}

/// Checks a whole log; gives the number of its lines.
pub fn verify(path: &Path) -> Result<usize, AuditError> {
    let bytes = private_file::read_private(path)?;
    let mut head = None;
    let mut count = 0;
    for line in bytes.expose().split_inclusive(|byte| *byte == b'\n') {
        count += 1;
        match read_line(line) {
            Some((prev, hash)) if prev == head => head = Some(hash),
            Some(_) | None => return Err(BrokenAt { path: path.to_owned(), line: count }.into()),
        }
    }
    Ok(count)
}

/// An address of which only the first letter and the domain are shown: `a***@client.test`.
pub fn masked(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("{}***@{domain}", local.chars().next().unwrap_or('*')),
        None => "***".to_owned(),
    }
}

/// The hash of the line before and of this one, if the line is in its one form and hashes to what it says.
fn read_line(bytes: &[u8]) -> Option<(Option<Hash>, Hash)> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let mut line: Line = serde_json::from_str(text).ok()?;
    if canonical(&line) != text {
        return None;
    }
    let prev = line.prev.as_deref().map(str::parse).transpose().ok()?;
    let claimed: Hash = line.hash.take()?.parse().ok()?;
    (hash_of(prev, &canonical(&line)) == claimed).then_some((prev, claimed))
}

fn canonical(line: &Line) -> String {
    serde_json::to_string(line).expect("strings and maps of strings have a JSON form")
}

fn hash_of(prev: Option<Hash>, canonical: &str) -> Hash {
    Hash::labelled(LABEL, [cbor::option(prev.map(Hash::to_value)), Value::Text(canonical.to_owned())])
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_767_781_800_000);

    fn event(result: &str) -> AuditEvent {
        AuditEvent {
            action_type: "email_send".to_owned(),
            actor: "executor".to_owned(),
            target: masked("a@client.test"),
            parameters: BTreeMap::from([("hand".to_owned(), "outbox".to_owned())]),
            approval_status: "approved".to_owned(),
            approved_by: "human".to_owned(),
            result: result.to_owned(),
        }
    }

    fn three_lines() -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit/executor.jsonl");
        let mut log = AuditLog::open(&path).unwrap();
        log.append(AT, &event("one")).unwrap();
        log.append(AT, &event("two")).unwrap();
        drop(log);
        AuditLog::open(&path).unwrap().append(AT, &event("three")).unwrap();
        (home, path)
    }

    fn broken_line(path: &Path) -> usize {
        match verify(path) {
            Err(AuditError::BrokenAt(BrokenAt { line, .. })) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_chain_goes_on_after_a_restart() {
        let (_home, path) = three_lines();
        assert_eq!(verify(&path).unwrap(), 3);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        let start = "{\"timestamp\":\"2026-01-07T10:30:00Z\",\"action_type\":\"email_send\",\"actor\":\"executor\",\
                     \"target\":\"a***@client.test\",\"parameters\":{\"hand\":\"outbox\"},\
                     \"approval_status\":\"approved\",\"approved_by\":\"human\",\"result\":\"one\",\"prev\":null,\
                     \"hash\":\"";
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn a_changed_a_missing_and_an_added_line_are_found() {
        let (_home, path) = three_lines();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let changed = text.replace("\"two\"", "\"six\"");
        let missing = format!("{}\n{}\n", lines[0], lines[2]);
        let added = format!("{text}{}\n", lines[1]);
        let spaced = text.replacen("{\"timestamp\"", "{ \"timestamp\"", 1);
        for (text, line) in [(changed, 2), (missing, 2), (added, 4), (spaced, 1), (format!("{text}half"), 4)] {
            fs::write(&path, text).unwrap();
            assert_eq!(broken_line(&path), line);
        }
    }

    #[test]
    fn a_half_written_line_is_cut_off_and_a_broken_one_stops_the_log() {
        let (_home, path) = three_lines();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}{{\"timestamp\":\"20")).unwrap();
        AuditLog::open(&path).unwrap().append(AT, &event("four")).unwrap();
        assert_eq!(verify(&path).unwrap(), 4);
        fs::write(&path, text.replace("\"three\"", "\"other\"")).unwrap();
        let expected = format!(
            "{}: line 3 does not fit the chain; keep the file for inspection and move it away, a new chain begins",
            path.display()
        );
        assert_eq!(AuditLog::open(&path).unwrap_err().to_string(), expected);
    }

    #[test]
    fn addresses_show_one_letter_and_the_domain() {
        assert_eq!(masked("anna@client.test"), "a***@client.test");
        assert_eq!(masked("@x"), "****@x");
        assert_eq!(masked("no address"), "***");
    }
}
