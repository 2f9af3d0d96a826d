//! What the disk thread does with its jobs.

use std::{
    collections::{BTreeSet, VecDeque},
    path::PathBuf,
    time::{Duration, Instant},
};

use aiemp_crdt::vault::{EffectId, RemoveOutcome, WriteOutcome};
use aiemp_protocol::{ids::ContentHash, vault_path::VaultPath};

use super::{DiskDone, DiskJob};
use crate::{
    config::Config,
    shell::{
        free_space,
        vault_disk::{DiskError, Scan, ScanSize, Stamps, VaultDisk},
    },
};

/// How long a file must be left alone before what it looks like can be told from another state of it.
const STAMPED_AFTER: Duration = Duration::from_secs(3);
/// Such files that are read at once, so that no write waits for long.
const STAMPED_AT_ONCE: usize = 2048;
/// Files that wait for it; beyond that the first one waits no longer.
pub(super) const UNSTAMPED_MAX: usize = 16_384;

/// The vault's folder, and how many megabytes are left free by what is written there.
#[derive(Debug)]
pub(in crate::shell::mesh) struct Room {
    pub(super) root: PathBuf,
    pub(super) floor_megabytes: u64,
}

impl Room {
    pub(in crate::shell::mesh) fn of(config: &Config) -> Self {
        Self { root: config.vault.clone(), floor_megabytes: config.admission.disk_floor_megabytes }
    }

    /// Whether so many bytes fit above the floor; where that cannot be told, the write will show it.
    fn has(&self, bytes: usize) -> bool {
        free_space::has_room(&self.root, bytes as u64, self.floor_megabytes).unwrap_or(true)
    }
}

/// What the thread owns.
pub(super) struct Worker {
    pub(super) disk: VaultDisk,
    room: Room,
    stamps: Stamps,
    /// Files that were written or read as soon as they were: since when they may have been left alone.
    unstamped: VecDeque<(Instant, VaultPath)>,
    /// Places that the disk did not take what was asked for, the last time.
    refused: BTreeSet<VaultPath>,
    /// What the disk refused, or took at last, since the last answer.
    news: Vec<DiskDone>,
}

impl Worker {
    pub(super) fn new(disk: VaultDisk, stamps: Stamps, room: Room) -> Self {
        Self { disk, room, stamps, unstamped: VecDeque::new(), refused: BTreeSet::new(), news: Vec::new() }
    }

    /// Does one job, or several that each write a new file; what comes of them, in their order.
    pub(super) fn work(&mut self, mut jobs: Vec<DiskJob>) -> Vec<DiskDone> {
        let mut answers = match jobs.pop() {
            Some(job) if jobs.is_empty() => {
                let stamped = if matches!(job, DiskJob::LateSaves) { self.stamp_some() } else { None };
                stamped.into_iter().chain(self.work_one(job)).collect()
            }
            last => {
                jobs.extend(last);
                self.write_new(jobs)
            }
        };
        answers.append(&mut self.news);
        let stamps = self.stamps.take_unsaved();
        if !stamps.is_empty() {
            answers.push(DiskDone::Stamps(stamps));
        }
        answers
    }

    fn work_one(&mut self, job: DiskJob) -> Option<DiskDone> {
        match job {
            DiskJob::Write { effect, path, bytes, expected } => {
                let written = self.write(&path, &bytes, expected);
                Some(self.written(effect, &path, written))
            }
            DiskJob::Remove { effect, path, expected } => {
                self.disk.forget_written(&path);
                let outcome = self.disk.remove_with_folders(&path, expected);
                let outcome = self.tell(&path, outcome).unwrap_or(RemoveOutcome::Failed);
                Some(DiskDone::Removed(effect, outcome))
            }
            DiskJob::RemoveIntake { path, expected } => match self.disk.remove(&path, expected) {
                Ok(RemoveOutcome::Changed(bytes)) => {
                    self.disk.forget_written(&path);
                    Some(DiskDone::Seen { changed: vec![(path, bytes)], removed: Vec::new(), has_twins: false })
                }
                Ok(RemoveOutcome::Removed | RemoveOutcome::Failed) => None,
                Err(error) => {
                    tracing::error!(%error, "a mail that was taken up could not be removed from Inbox/");
                    None
                }
            },
            DiskJob::Scan(known, size) => Some(DiskDone::Scanned(self.scan(known, size))),
            DiskJob::ScanOn(rest) => Some(DiskDone::Scanned(self.scan_on(rest))),
            DiskJob::Look(paths) => {
                let (mut changed, mut removed, mut has_twins) = (Vec::new(), Vec::new(), false);
                for path in paths {
                    self.disk.forget_written(&path);
                    match self.disk.read_save(&path) {
                        Some(_) if self.disk.has_twin(&path) => has_twins = true,
                        Some(bytes) => changed.push((path, bytes)),
                        None if self.disk.lacks(&path) => removed.push(path),
                        None => {}
                    }
                }
                Some(DiskDone::Seen { changed, removed, has_twins })
            }
            DiskJob::Confirm { mut changed, mut removed } => {
                changed.iter().map(|(path, _)| path).chain(&removed).for_each(|path| self.disk.forget_written(path));
                // Whoever changed it since, the watcher tells of that too.
                changed.retain(|(path, bytes)| self.disk.read(path).as_ref() == Some(bytes));
                removed.retain(|path| self.disk.lacks(path));
                changed.iter().for_each(|(path, _)| self.stamp_later(path));
                Some(DiskDone::Seen { changed, removed, has_twins: false })
            }
            DiskJob::LateSaves => Some(DiskDone::LateSaves(self.disk.late_saves())),
            DiskJob::Forget(saves) => {
                saves.into_iter().for_each(|save| self.disk.forget_displaced(save));
                None
            }
        }
    }

    fn write_new(&mut self, jobs: Vec<DiskJob>) -> Vec<DiskDone> {
        let (mut effects, mut files) = (Vec::new(), Vec::new());
        for job in jobs {
            if let DiskJob::Write { effect, path, bytes, .. } = job {
                effects.push(effect);
                files.push((path, bytes));
            }
        }
        let outcomes = if self.room.has(files.iter().map(|(_, bytes)| bytes.len()).sum()) {
            self.disk.write_new(&files)
        } else {
            files.iter().map(|(path, bytes)| self.write(path, bytes, None)).collect()
        };
        let written = effects.into_iter().zip(&files).zip(outcomes);
        written.map(|((effect, (path, _)), outcome)| self.written(effect, path, outcome)).collect()
    }

    fn write(&self, path: &VaultPath, bytes: &[u8], expected: Option<ContentHash>) -> Result<WriteOutcome, DiskError> {
        if !self.room.has(bytes.len()) {
            return Err(DiskError::Full { path: self.room.root.join(path.as_str()) });
        }
        self.disk.write(path, bytes, expected)
    }

    fn written(&mut self, effect: EffectId, path: &VaultPath, written: Result<WriteOutcome, DiskError>) -> DiskDone {
        let outcome = match written {
            // Held, with its place.
            Err(DiskError::InTheWay { .. } | DiskError::Escape { .. }) => WriteOutcome::InTheWay,
            written => self.tell(path, written).unwrap_or(WriteOutcome::Failed),
        };
        self.disk.stamp_own(path, &mut self.stamps);
        self.stamp_later(path);
        DiskDone::Written(effect, outcome)
    }

    /// What the disk refuses is tried again and again, so that each time is told, and when it is done.
    fn tell<T>(&mut self, path: &VaultPath, done: Result<T, DiskError>) -> Option<T> {
        match done {
            Ok(outcome) => {
                if self.refused.remove(path) {
                    self.news.push(DiskDone::Refused(path.clone(), None));
                }
                Some(outcome)
            }
            Err(error) => {
                self.refused.insert(path.clone());
                self.news.push(DiskDone::Refused(path.clone(), Some(error)));
                None
            }
        }
    }

    /// None where the vault was moved away meanwhile: then its files look removed.
    fn scan(&mut self, known: Vec<(VaultPath, ContentHash)>, size: ScanSize) -> Option<Scan> {
        let known = known.into_iter().map(|(path, hash)| (path.key(), (path, hash))).collect();
        let found = self.disk.scan(&known, size, &mut self.stamps).unwrap_or_else(|error| {
            tracing::error!(%error, "the vault could not be scanned");
            Scan::default()
        });
        self.told(found)
    }

    fn scan_on(&mut self, rest: Scan) -> Option<Scan> {
        let found = self.disk.scan_on(rest, &mut self.stamps);
        self.told(found)
    }

    fn told(&mut self, found: Scan) -> Option<Scan> {
        found
            .changed
            .iter()
            .map(|(path, _)| path)
            .chain(&found.removed)
            .for_each(|path| self.disk.forget_written(path));
        self.disk.is_in_place().then_some(found)
    }

    pub(super) fn stamp_later(&mut self, path: &VaultPath) {
        self.unstamped.push_back((Instant::now(), path.clone()));
        if self.unstamped.len() > UNSTAMPED_MAX {
            let seen = self.stamp_first(1);
            self.news.extend(seen);
        }
    }

    /// Notes what files look like that have been left alone for a while; tells of those that are not as they were written.
    fn stamp_some(&mut self) -> Option<DiskDone> {
        let is_due = |(since, _): &&(Instant, VaultPath)| since.elapsed() >= STAMPED_AFTER;
        let count = self.unstamped.iter().take(STAMPED_AT_ONCE).take_while(is_due).count();
        self.stamp_first(count)
    }

    fn stamp_first(&mut self, count: usize) -> Option<DiskDone> {
        if count == 0 {
            return None;
        }
        let changed = self.disk.stamp(self.unstamped.drain(..count).map(|(_, path)| path), &mut self.stamps);
        (!changed.is_empty()).then(|| DiskDone::Seen { changed, removed: Vec::new(), has_twins: false })
    }
}
