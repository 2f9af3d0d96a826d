//! The audit log: who did what, one hash chain per process, never any content.
//!
//! Each line is one JSON object that names the hash of the line before it; a file holds the lines of a month, and goes
//! once all of them are older than 90 days and four newer files are there. A signed checkpoint beside the files says where the log begins and ends: a
//! line that was changed, inserted, taken out or cut off is found. The checkpoint is written before the line and holds
//! it, so that a crash between the two loses neither. Who writes it can rewrite it: only a checkpoint that was kept
//! elsewhere shows an older copy of log and checkpoint together.

mod checkpoint;
mod line;

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use aiemp_keys::{CoseError, Hash, PrivacyError, PublicKey, Signer, private_file};
use aiemp_protocol::time::Timestamp;
use thiserror::Error;

use self::{checkpoint::Checkpoint, line::Line};

/// How long a line is kept at least.
const KEPT: Duration = Duration::from_secs(90 * 86_400);
/// The newest files stay whatever the clock says: as many as may hold lines that young.
const FILES_KEPT: usize = 4;
/// A month in a timestamp: `2026-01`.
const MONTH_BYTES: usize = 7;
/// Beside the months of a log.
const CHECKPOINT: &str = "checkpoint";

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
    /// A file or the directory is open to others, or cannot be reached.
    #[error(transparent)]
    Private(#[from] PrivacyError),
    /// The operating system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A line is not what its chain says.
    #[error(transparent)]
    BrokenAt(#[from] BrokenAt),
    /// The checkpoint is absent or not signed by the process.
    #[error(
        "{path}: {why}; keep the log for inspection and move its files away, a new chain begins",
        path = path.display()
    )]
    Checkpoint {
        /// Where it should lie.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// The first line that does not fit its chain; the first that is absent, where lines were cut off.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{path}: line {line} does not fit the chain; keep the log for inspection and move its files away, a new chain begins",
    path = path.display()
)]
pub struct BrokenAt {
    /// The file.
    pub path: PathBuf,
    /// Counted from 1.
    pub line: usize,
}

/// The log of one process, open for appending: `<month>.jsonl` and `checkpoint` in a folder of its name.
#[derive(Debug)]
pub struct AuditLog {
    folder: PathBuf,
    name: &'static str,
    signer: Signer,
    standing: Option<Checkpoint>,
}

impl AuditLog {
    /// Opens the log of a process below `audit`, or begins one, mode 0600; folders are made 0700.
    ///
    /// What a crash left half written is put right from the checkpoint. The last line must be the one that it names;
    /// [`verify`] checks the rest.
    pub fn open(audit: &Path, name: &'static str, signer: Signer) -> Result<Self, AuditError> {
        let folder = audit.join(name);
        private_file::create_private_dir(&folder)?;
        let mut log = Self { folder, name, signer, standing: None };
        let last = log.last_line()?;
        let Some(checkpoint) = read_checkpoint(&log.folder, name, &log.signer.public())? else {
            return if last.is_none() { Ok(log) } else { Err(no_checkpoint(&log.folder)) };
        };
        let pending = &checkpoint.last;
        let head = last.as_ref().map(|(_, _, last)| last.hash);
        if head == pending.prev {
            log.write(pending)?;
        } else if head != Some(pending.hash) {
            let (path, line) = match last {
                Some((path, line, _)) => (path, line),
                None => (log.file_for(pending)?, 0),
            };
            return Err(BrokenAt { path, line: line + 1 }.into());
        }
        log.standing = Some(checkpoint);
        Ok(log)
    }

    /// Adds one line; it is on disk when this returns.
    pub fn append(&mut self, at: Timestamp, event: &AuditEvent) -> Result<(), AuditError> {
        let prev = self.standing.as_ref().map(|standing| standing.last.hash);
        let last = Line::following(prev, at, event);
        let mut next = match &self.standing {
            None => Checkpoint { log: self.name.to_owned(), before: None, lines: 1, last },
            Some(standing) => Checkpoint { lines: standing.lines + 1, last, ..standing.clone() },
        };
        let old = self.old_files(at, &mut next)?;
        private_file::write_private(&self.folder.join(CHECKPOINT), &next.sign(&self.signer))?;
        for path in old {
            fs::remove_file(&path).map_err(|source| AuditError::Io { path, source })?;
        }
        self.write(&next.last)?;
        self.standing = Some(next);
        Ok(())
    }

    fn write(&self, line: &Line) -> Result<(), AuditError> {
        let path = self.file_for(line)?;
        let failed = |source| AuditError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(failed)?;
        let written = file.write_all(format!("{}\n", line.text).as_bytes()).and_then(|()| file.sync_data());
        written.map_err(failed)
    }

    /// Files whose lines are all older than what is kept; the checkpoint begins behind them.
    fn old_files(&self, at: Timestamp, checkpoint: &mut Checkpoint) -> Result<Vec<PathBuf>, AuditError> {
        let oldest = month_of(&at.earlier_by(KEPT).to_string()).to_owned();
        let files = files(&self.folder)?;
        let may_go = files.len().saturating_sub(FILES_KEPT);
        let old = files.into_iter().take(may_go).filter(|(month, _)| *month < oldest);
        let old: Vec<_> = old.map(|(_, path)| path).collect();
        for path in &old {
            for line in read_file(path)? {
                let line = line?;
                checkpoint.before = Some(line.hash);
                checkpoint.lines -= 1;
            }
        }
        Ok(old)
    }

    /// The last whole line, with its file and number; a half one behind it is cut off: it was never acknowledged.
    fn last_line(&self) -> Result<Option<(PathBuf, usize, Line)>, AuditError> {
        let Some((_, path)) = files(&self.folder)?.pop() else { return Ok(None) };
        let bytes = private_file::read_private(&path)?;
        let bytes = bytes.expose();
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < bytes.len() {
            let cut = OpenOptions::new().write(true).open(&path).and_then(|file| {
                file.set_len(whole as u64)?;
                file.sync_all()
            });
            cut.map_err(|source| AuditError::Io { path: path.clone(), source })?;
        }
        let lines = read_file(&path)?;
        let number = lines.len();
        match lines.into_iter().next_back() {
            Some(line) => Ok(Some((path, number, line?))),
            None => Ok(None),
        }
    }

    /// The file of the line's month, or a later one that there is already: files are read in the order of their names,
    /// and a clock that was set back must not put a line before the one it follows.
    fn file_for(&self, line: &Line) -> Result<PathBuf, AuditError> {
        let month = month_of(&line.timestamp);
        let newest = files(&self.folder)?.pop().map(|(month, _)| month);
        let month = newest.as_deref().map_or(month, |newest| newest.max(month));
        Ok(self.folder.join(format!("{month}.jsonl")))
    }
}

/// A log that stands as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The lines, as written.
    pub lines: Vec<String>,
    /// The hash of the last one: worth keeping elsewhere.
    pub head: Option<Hash>,
}

/// Checks the whole log of a process below `audit` against its checkpoint.
pub fn verify(audit: &Path, name: &str, key: &PublicKey) -> Result<Verified, AuditError> {
    let folder = audit.join(name);
    let lines = read_lines(&folder)?;
    let Some(checkpoint) = read_checkpoint(&folder, name, key)? else {
        let nothing = Verified { lines: Vec::new(), head: None };
        return if lines.is_empty() { Ok(nothing) } else { Err(no_checkpoint(&folder)) };
    };
    let mut prev = checkpoint.before;
    for (path, number, line) in &lines {
        if line.prev != prev {
            return Err(BrokenAt { path: path.clone(), line: *number }.into());
        }
        prev = Some(line.hash);
    }
    // A crash may have left the last line in the checkpoint alone.
    let awaited = checkpoint.last.prev == prev && checkpoint.lines == lines.len() as u64 + 1;
    if !awaited && (prev != Some(checkpoint.last.hash) || checkpoint.lines != lines.len() as u64) {
        let last = lines.last().map(|(path, number, _)| (path.clone(), *number));
        let (path, line) = last.unwrap_or_else(|| (folder.clone(), 0));
        return Err(BrokenAt { path, line: line + 1 }.into());
    }
    let mut lines: Vec<_> = lines.into_iter().map(|(_, _, line)| line.text).collect();
    lines.extend(awaited.then(|| checkpoint.last.text.clone()));
    Ok(Verified { lines, head: Some(checkpoint.last.hash) })
}

/// An address of which only the first letter and the domain are shown: `a***@client.test`.
pub fn masked(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("{}***@{domain}", local.chars().next().unwrap_or('*')),
        None => "***".to_owned(),
    }
}

fn month_of(timestamp: &str) -> &str {
    timestamp.get(..MONTH_BYTES).unwrap_or(timestamp)
}

fn no_checkpoint(folder: &Path) -> AuditError {
    AuditError::Checkpoint { path: folder.join(CHECKPOINT), why: "the checkpoint is missing".to_owned() }
}

fn read_checkpoint(folder: &Path, name: &str, key: &PublicKey) -> Result<Option<Checkpoint>, AuditError> {
    let path = folder.join(CHECKPOINT);
    let Some(bytes) = private_file::find_private(&path)? else { return Ok(None) };
    let of =
        |error: CoseError| AuditError::Checkpoint { path, why: format!("the checkpoint does not verify: {error}") };
    Checkpoint::verify(key, name, bytes.expose()).map(Some).map_err(of)
}

/// The files of a log by month, the oldest first.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>, AuditError> {
    let failed = |source| AuditError::Io { path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let month = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jsonl").map(str::to_owned));
        files.extend(month.filter(|month| month.len() == MONTH_BYTES).map(|month| (month, path)));
    }
    files.sort();
    Ok(files)
}

/// Every line of a log with its file and number.
fn read_lines(folder: &Path) -> Result<Vec<(PathBuf, usize, Line)>, AuditError> {
    let mut lines = Vec::new();
    for (_, path) in files(folder)? {
        for (line, number) in read_file(&path)?.into_iter().zip(1..) {
            lines.push((path.clone(), number, line?));
        }
    }
    Ok(lines)
}

/// Each line of a file, or where it is broken.
fn read_file(path: &Path) -> Result<Vec<Result<Line, BrokenAt>>, AuditError> {
    let bytes = private_file::read_private(path)?;
    let lines = bytes.expose().split_inclusive(|byte| *byte == b'\n').zip(1..).map(|(bytes, line)| {
        let text = std::str::from_utf8(bytes).ok().and_then(|text| text.strip_suffix('\n'));
        text.and_then(Line::read).ok_or_else(|| BrokenAt { path: path.to_owned(), line })
    });
    Ok(lines.collect())
}

#[cfg(test)]
mod tests;
