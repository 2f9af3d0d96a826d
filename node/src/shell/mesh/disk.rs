//! The disk thread: writes, removals and scans, one after the other, away from the core.

use std::{collections::BTreeMap, path::PathBuf};

use aiemp_crdt::vault::{EffectId, Projection, RemoveOutcome, WriteOutcome};
use aiemp_protocol::{ids::ContentHash, vault_path::VaultPath};
use anyhow::{Context, Result};
use tokio::sync::mpsc;

use crate::shell::vault_disk::{Scan, VaultDisk, scan};

/// Jobs that wait for the disk.
const JOBS_MAX: usize = 4096;

/// Something to do on disk.
#[derive(Debug)]
pub(super) enum DiskJob {
    Write {
        effect: EffectId,
        path: VaultPath,
        bytes: Vec<u8>,
        expected: Option<ContentHash>,
    },
    Remove {
        effect: EffectId,
        path: VaultPath,
        expected: ContentHash,
    },
    RemoveIntake {
        path: VaultPath,
        expected: ContentHash,
    },
    Scan(BTreeMap<String, Projection>),
    /// Read these again, after every write and removal that was asked for before.
    LookAgain(Vec<VaultPath>),
    LateSaves,
    /// These displaced saves are safe elsewhere.
    Forget(Vec<ContentHash>),
}

/// What came of it.
#[derive(Debug)]
pub(super) enum DiskDone {
    Written(EffectId, WriteOutcome),
    Removed(EffectId, RemoveOutcome),
    Scanned(Scan),
    LookedAgain { changed: Vec<(VaultPath, Vec<u8>)>, removed: Vec<VaultPath> },
    LateSaves(Vec<(VaultPath, Vec<u8>)>),
}

/// The way to the thread.
#[derive(Debug)]
pub(super) struct DiskHandle(mpsc::Sender<DiskJob>);

impl DiskHandle {
    pub(super) async fn send(&self, job: DiskJob) -> Result<()> {
        self.0.send(job).await.context("the disk thread ended")
    }
}

/// Starts the thread. It ends when the handle is dropped.
pub(super) fn spawn(disk: VaultDisk, root: PathBuf) -> Result<(DiskHandle, mpsc::Receiver<DiskDone>)> {
    let (jobs, mut queue) = mpsc::channel(JOBS_MAX);
    // Answers are taken by the same task that sends jobs: they must never wait for it.
    let (answers, done) = mpsc::channel(JOBS_MAX * 2);
    std::thread::Builder::new().name("disk".to_owned()).spawn(move || {
        while let Some(job) = queue.blocking_recv() {
            if let Some(answer) = work(&disk, &root, job)
                && answers.blocking_send(answer).is_err()
            {
                return;
            }
        }
    })?;
    Ok((DiskHandle(jobs), done))
}

fn work(disk: &VaultDisk, root: &std::path::Path, job: DiskJob) -> Option<DiskDone> {
    match job {
        DiskJob::Write { effect, path, bytes, expected } => {
            let outcome = disk.write(&path, &bytes, expected).unwrap_or_else(|error| {
                tracing::error!(%error, "a file could not be written; it is tried again");
                WriteOutcome::Failed
            });
            Some(DiskDone::Written(effect, outcome))
        }
        DiskJob::Remove { effect, path, expected } => {
            let outcome = disk.remove(&path, expected).unwrap_or_else(|error| {
                tracing::error!(%error, "a file could not be removed; it is tried again");
                RemoveOutcome::Failed
            });
            Some(DiskDone::Removed(effect, outcome))
        }
        DiskJob::RemoveIntake { path, expected } => match disk.remove(&path, expected) {
            Ok(RemoveOutcome::Changed(bytes)) => {
                Some(DiskDone::LookedAgain { changed: vec![(path, bytes)], removed: Vec::new() })
            }
            Ok(RemoveOutcome::Removed | RemoveOutcome::Failed) => None,
            Err(error) => {
                tracing::error!(%error, "a mail that was taken up could not be removed from Inbox/");
                None
            }
        },
        DiskJob::Scan(known) => {
            let found = scan(root, &known).unwrap_or_else(|error| {
                tracing::error!(%error, "the vault could not be scanned");
                Scan::default()
            });
            Some(DiskDone::Scanned(found))
        }
        DiskJob::LookAgain(paths) => {
            let (mut changed, mut removed) = (Vec::new(), Vec::new());
            for path in paths {
                match disk.read(&path) {
                    Some(bytes) => changed.push((path, bytes)),
                    None => removed.push(path),
                }
            }
            Some(DiskDone::LookedAgain { changed, removed })
        }
        DiskJob::LateSaves => Some(DiskDone::LateSaves(disk.late_saves())),
        DiskJob::Forget(saves) => {
            saves.into_iter().for_each(|save| disk.forget_displaced(save));
            None
        }
    }
}
