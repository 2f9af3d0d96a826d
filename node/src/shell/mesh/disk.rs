//! The disk thread: writes, removals and scans, one after the other, away from the core.
//!
//! Its answers come in the order of what it did. So whoever takes them knows of each read which writes it had seen: a
//! read that a write overtook would pass for a save that takes back what was written.

use std::{collections::VecDeque, sync::Arc};

use aiemp_crdt::vault::{EffectId, RemoveOutcome, WriteOutcome};
use aiemp_protocol::{ids::ContentHash, vault_path::VaultPath};
use anyhow::{Context, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

pub(super) use self::worker::Room;
use self::worker::Worker;
use crate::shell::vault_disk::{DiskError, Scan, ScanSize, StampName, Stamped, Stamps, VaultDisk};

mod worker;

/// Jobs that wait for the disk.
const JOBS_MAX: usize = 4096;
/// Bytes that wait to be written: a peer may name one large content for many files.
const WAITING_BYTES_MAX: u32 = 64 << 20;
/// New files that are written together; while they are, nothing else is, and each is open.
const NEW_AT_ONCE: usize = 128;
/// Once they are so many bytes, no further one joins them.
const NEW_BYTES_AT_ONCE: usize = 4 << 20;

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
    /// Compare with what is known to lie there.
    Scan(Vec<(VaultPath, ContentHash)>, ScanSize),
    /// Read the next of what a scan left unread.
    ScanOn(Scan),
    /// Read these, after every write and removal that was asked for before.
    Look(Vec<VaultPath>),
    /// The watcher read this, before or after any write and removal: tell what is true of it still.
    Confirm {
        changed: Vec<(VaultPath, Vec<u8>)>,
        removed: Vec<VaultPath>,
    },
    LateSaves,
    /// These displaced saves are safe elsewhere.
    Forget(Vec<ContentHash>),
}

impl DiskJob {
    /// How long a new file is that this writes; `None` if it does something else.
    const fn new_file_bytes(&self) -> Option<usize> {
        match self {
            Self::Write { bytes, expected: None, .. } => Some(bytes.len()),
            Self::Write { expected: Some(_), .. }
            | Self::Remove { .. }
            | Self::RemoveIntake { .. }
            | Self::Scan(..)
            | Self::ScanOn(_)
            | Self::Look(_)
            | Self::Confirm { .. }
            | Self::LateSaves
            | Self::Forget(_) => None,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub(super) enum DiskDone {
    Written(EffectId, WriteOutcome),
    Removed(EffectId, RemoveOutcome),
    /// None where the vault was away.
    Scanned(Option<Scan>),
    Seen {
        changed: Vec<(VaultPath, Vec<u8>)>,
        removed: Vec<VaultPath>,
        /// Whether some have twins, of which only a scan can tell which is the file.
        has_twins: bool,
    },
    /// The disk did not take what was asked for at a path; with no error, it took it at last.
    Refused(VaultPath, Option<DiskError>),
    LateSaves(Vec<(Option<VaultPath>, Vec<u8>)>),
    /// What files look like, to be stored.
    Stamps(Vec<(StampName, Option<Stamped>)>),
    /// Something was not looked at, for the vault was away.
    Missed,
}

/// The thread, as the task knows it that sends jobs and takes answers.
#[derive(Debug)]
pub(super) struct Disk {
    jobs: mpsc::Sender<(DiskJob, OwnedSemaphorePermit)>,
    room: Arc<Semaphore>,
    answers: mpsc::Receiver<DiskDone>,
    /// Answers that came while a job waited for room: at most one for each effect that the core waits for.
    taken: VecDeque<DiskDone>,
}

impl Disk {
    /// Hands a job to the thread; waits while too much waits there already.
    pub(super) async fn send(&mut self, job: DiskJob) -> Result<()> {
        let bytes = if let DiskJob::Write { bytes, .. } = &job { bytes.len() } else { 0 };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(WAITING_BYTES_MAX);
        let (jobs, room) = (&self.jobs, Arc::clone(&self.room));
        let sent = async move {
            let room = room.acquire_many_owned(bytes).await.context("the room is never closed")?;
            jobs.send((job, room)).await.context("the disk thread ended")
        };
        tokio::pin!(sent);
        loop {
            // The thread may itself wait until an answer is taken: it makes room only then.
            tokio::select! {
                biased;
                sent = &mut sent => return sent,
                Some(answer) = self.answers.recv() => self.taken.push_back(answer),
            }
        }
    }

    /// The next answer; `None` when the thread ended.
    pub(super) async fn answer(&mut self) -> Option<DiskDone> {
        match self.taken.pop_front() {
            Some(answer) => Some(answer),
            None => self.answers.recv().await,
        }
    }

    /// The next of the answers that came while a job waited.
    pub(super) fn overdue(&mut self) -> Option<DiskDone> {
        self.taken.pop_front()
    }
}

/// Starts the thread; without a disk where the vault is not in its place. It ends when its [`Disk`] is dropped.
pub(super) fn spawn(disk: Option<VaultDisk>, stamps: Stamps, room: Room) -> Result<Disk> {
    spawn_with(disk.map(|disk| Worker::new(disk, stamps, room)), JOBS_MAX)
}

fn spawn_with(mut worker: Option<Worker>, jobs_max: usize) -> Result<Disk> {
    let (jobs, received) = mpsc::channel(jobs_max);
    let (done, answers) = mpsc::channel(jobs_max);
    let mut queue = Queue { received, ahead: None };
    std::thread::Builder::new().name("disk".to_owned()).spawn(move || {
        while let Some((jobs, _rooms)) = queue.next() {
            // A folder that was moved away is not written to, and what is missing in it says nothing.
            let answers = match worker.as_mut().filter(|worker| worker.disk.is_in_place()) {
                Some(worker) => worker.work(jobs),
                None => jobs.into_iter().filter_map(leave).collect(),
            };
            if answers.into_iter().any(|answer| done.blocking_send(answer).is_err()) {
                return;
            }
        }
    })?;
    let room = Arc::new(Semaphore::new(WAITING_BYTES_MAX as usize));
    Ok(Disk { jobs, room, answers, taken: VecDeque::new() })
}

/// Jobs as they come.
struct Queue {
    received: mpsc::Receiver<(DiskJob, OwnedSemaphorePermit)>,
    /// What came after new files and is none.
    ahead: Option<(DiskJob, OwnedSemaphorePermit)>,
}

impl Queue {
    /// The next job, or several in a row that each write a new file; `None` when there will be no more.
    fn next(&mut self) -> Option<(Vec<DiskJob>, Vec<OwnedSemaphorePermit>)> {
        let first = self.ahead.take().or_else(|| self.received.blocking_recv())?;
        let mut bytes = first.0.new_file_bytes();
        let mut jobs = vec![first];
        while let Some(so_far) = bytes.filter(|bytes| *bytes < NEW_BYTES_AT_ONCE && jobs.len() < NEW_AT_ONCE) {
            let Ok(next) = self.received.try_recv() else { break };
            let Some(more) = next.0.new_file_bytes() else {
                self.ahead = Some(next);
                break;
            };
            bytes = Some(so_far + more);
            jobs.push(next);
        }
        Some(jobs.into_iter().unzip())
    }
}

/// What a job comes to while the vault is away.
fn leave(job: DiskJob) -> Option<DiskDone> {
    match job {
        DiskJob::Write { effect, .. } => Some(DiskDone::Written(effect, WriteOutcome::Failed)),
        DiskJob::Remove { effect, .. } => Some(DiskDone::Removed(effect, RemoveOutcome::Failed)),
        DiskJob::Scan(..) | DiskJob::ScanOn(_) => Some(DiskDone::Scanned(None)),
        DiskJob::RemoveIntake { .. } | DiskJob::Look(_) | DiskJob::Confirm { .. } => Some(DiskDone::Missed),
        // Displaced saves lie in the folder that is away, and stay there.
        DiskJob::LateSaves | DiskJob::Forget(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{path::Path, time::Duration};

    fn path(text: &str) -> VaultPath {
        VaultPath::parse(text).expect("a valid path")
    }

    async fn done(jobs: Vec<DiskJob>, root: &Path, floor_megabytes: u64) -> Vec<DiskDone> {
        let room = Room { root: root.to_owned(), floor_megabytes };
        let disk = VaultDisk::open(root).expect("a vault");
        let worker = Worker::new(disk, Stamps::default(), room);
        let mut disk = spawn_with(Some(worker), 2).expect("a thread");
        for job in jobs {
            disk.send(job).await.expect("the thread lives");
        }
        let Disk { jobs, mut answers, taken, .. } = disk;
        drop(jobs);
        let mut done = Vec::from(taken);
        while let Some(answer) = answers.recv().await {
            done.push(answer);
        }
        done.retain(|answer| !matches!(answer, DiskDone::Stamps(_)));
        done
    }

    #[tokio::test]
    async fn any_number_of_jobs_is_sent_before_the_first_answer_is_taken() {
        let root = tempfile::tempdir().expect("a folder");
        let expected = ContentHash::of(b"as it was\n");
        let job = |effect| DiskJob::Remove { effect: EffectId(effect), path: path("a.md"), expected };
        let sent = done((0..100).map(job).collect(), root.path(), 0);
        let answers = tokio::time::timeout(Duration::from_secs(60), sent).await.expect("neither waits for the other");
        let effects = answers.iter().map(|answer| {
            let DiskDone::Removed(EffectId(effect), _) = answer else { panic!("{answer:?}") };
            *effect
        });
        assert!(effects.eq(0..100), "in the order of what was asked for");
    }

    #[tokio::test]
    async fn what_is_in_the_way_is_told_as_that_and_not_as_a_disk_that_fails() {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::create_dir_all(root.path().join("a.md/.obsidian")).expect("made");
        let (path, bytes) = (path("a.md"), b"new\n".to_vec());
        let answers =
            done(vec![DiskJob::Write { effect: EffectId(1), path, bytes, expected: None }], root.path(), 0).await;
        assert!(matches!(&answers[..], [DiskDone::Written(_, WriteOutcome::InTheWay)]), "{answers:?}");
    }

    #[tokio::test]
    async fn a_file_with_a_twin_is_left_to_a_scan() {
        let root = tempfile::tempdir().expect("a folder");
        for name in ["note.md", "Note.md", "other.md"] {
            std::fs::write(root.path().join(name), name).expect("written");
        }
        let jobs = vec![DiskJob::Look(["note.md", "Note.md", "other.md"].map(path).to_vec())];
        let answers = done(jobs, root.path(), 0).await;
        let [DiskDone::Seen { changed, removed, has_twins: true }] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!((&changed[..], &removed[..]), (&[(path("other.md"), b"other.md".to_vec())][..], &[][..]));
    }

    #[tokio::test]
    async fn a_read_that_a_write_overtook_is_not_told() {
        let root = tempfile::tempdir().expect("a folder");
        for name in ["written.md", "steady.md"] {
            std::fs::write(root.path().join(name), "as it was read\n").expect("written");
        }
        let read = |name| (path(name), b"as it was read\n".to_vec());
        let expected = Some(ContentHash::of(b"as it was read\n"));
        let write = |effect, name, expected| DiskJob::Write {
            effect: EffectId(effect),
            path: path(name),
            bytes: b"merged\n".to_vec(),
            expected,
        };
        let jobs = vec![
            write(1, "written.md", expected),
            write(2, "new.md", None),
            DiskJob::Confirm {
                changed: vec![read("written.md"), read("steady.md")],
                removed: vec![path("new.md"), path("gone.md")],
            },
        ];
        let answers = done(jobs, root.path(), 0).await;
        let [DiskDone::Written(..), DiskDone::Written(..), DiskDone::Seen { changed, removed, .. }] = &answers[..]
        else {
            panic!("{answers:?}")
        };
        assert_eq!((changed, removed), (&vec![read("steady.md")], &vec![path("gone.md")]));
    }

    fn write_new(effect: u64, name: &str, bytes: usize) -> DiskJob {
        DiskJob::Write { effect: EffectId(effect), path: path(name), bytes: vec![b'x'; bytes], expected: None }
    }

    #[tokio::test]
    async fn what_is_asked_for_among_new_files_is_done_in_its_turn() {
        let root = tempfile::tempdir().expect("a folder");
        let look = |name| DiskJob::Look(vec![path(name)]);
        let mut jobs: Vec<_> = (0..600).map(|number| write_new(number, &format!("{number}.md"), 10)).collect();
        jobs.insert(300, look("300.md"));
        jobs.insert(300, look("299.md"));
        let answers = done(jobs, root.path(), 0).await;
        let told: Vec<_> = answers
            .iter()
            .map(|done| {
                if let DiskDone::Written(EffectId(effect), WriteOutcome::Written) = done {
                    return *effect;
                }
                let DiskDone::Seen { changed, removed, .. } = done else { panic!("{done:?}") };
                1000 + changed.len() as u64 * 10 + removed.len() as u64
            })
            .collect();
        let expected: Vec<_> = (0..300).chain([1010, 1001]).chain(300..600).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_flood_of_writes_is_still_told_from_what_others_write() {
        let root = tempfile::tempdir().expect("a folder");
        let room = Room { root: root.path().to_owned(), floor_megabytes: 0 };
        let mut worker = Worker::new(VaultDisk::open(root.path()).expect("a vault"), Stamps::default(), room);
        worker.work(vec![write_new(0, "first.md", 10)]);
        (0..worker::UNSTAMPED_MAX).for_each(|_| worker.stamp_later(&path("written.md")));
        worker.work(vec![write_new(1, "last.md", 10)]);
        let is_known = |name| worker.disk.written().certain(&path(name)).is_some();
        assert_eq!((is_known("first.md"), is_known("last.md")), (false, true));
    }

    #[tokio::test]
    async fn more_bytes_than_may_wait_are_all_written() {
        let root = tempfile::tempdir().expect("a folder");
        let jobs = (0..5).map(|number| write_new(number, &format!("{number}.bin"), 24 << 20)).collect();
        let answers = done(jobs, root.path(), 0).await;
        assert!(
            answers.len() == 5
                && answers.iter().all(|done| matches!(done, DiskDone::Written(_, WriteOutcome::Written))),
            "{answers:?}"
        );
    }
}
