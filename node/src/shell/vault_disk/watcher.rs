//! Tells what others save in the vault, soon after they saved it.

use std::{
    fs,
    hash::RandomState,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use aiemp_protocol::vault_path::VaultPath;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher, event::AccessKind};
use tokio::sync::mpsc;

use self::{
    batch::{Names, Reader},
    settle::{Settle, has_dot_name},
};
use super::{DiskError, file_system, listing::Listing, reading::SkipReason, tree::Tree, written::Written};

mod batch;
mod settle;

/// Events that wait for the thread; more are dropped, and a rescan finds what they told.
const SIGNALS_MAX: usize = 8192;
/// How often the watches are set again at once when folders vanish meanwhile.
const WATCH_ATTEMPTS: usize = 3;
/// Until the next rescan when not all folders can be watched, or not all changes are told.
const RESCANS: Duration = Duration::from_secs(10);

/// What happened on disk.
#[derive(Debug, PartialEq, Eq)]
pub enum DiskEvent {
    /// Files settled. This node's own writes are among them.
    Changed {
        /// Files with their whole content.
        changed: Vec<(VaultPath, Vec<u8>)>,
        /// Paths at which nothing lies any more; perhaps nobody knew of a file there.
        removed: Vec<VaultPath>,
        /// Names that were not looked into.
        skipped: Vec<(String, SkipReason)>,
    },
    /// Folders changed, or events were lost: scan the vault.
    Rescan,
}

/// Watches the vault until it is dropped.
///
/// A file is read when it has been left alone for 30 ms, at the latest 500 ms after its first change. Both ends of a
/// rename come in one batch. What happens from [`VaultWatcher::spawn`] on is told; what was before, a scan finds.
#[derive(Debug)]
pub struct VaultWatcher {
    is_stopped: Arc<AtomicBool>,
    unwatched: Unwatched,
    signals: SyncSender<Signal>,
}

/// Why some folders are not watched, while that is so.
type Unwatched = Arc<Mutex<Option<String>>>;

/// What wakes the thread.
#[derive(Debug)]
enum Signal {
    Seen(notify::Event),
    Failed(notify::Error),
    Stop,
}

impl VaultWatcher {
    /// Watches `root`, and from a thread of its own sends what settles there to `events`.
    /// What was `written` by this node and still looks so is not told.
    pub fn spawn(root: &Path, events: mpsc::Sender<DiskEvent>, written: Written) -> Result<Self, DiskError> {
        let tree = Tree::open(root)?;
        let rescans = file_system::remote(tree.top()).map(|_| RESCANS);
        Self::spawn_with(tree, events, rescans, written)
    }

    pub(super) fn spawn_with(
        tree: Tree,
        events: mpsc::Sender<DiskEvent>,
        rescans: Option<Duration>,
        written: Written,
    ) -> Result<Self, DiskError> {
        let (signals, received) = sync_channel(SIGNALS_MAX);
        let has_lost = Arc::new(AtomicBool::new(false));
        let watcher = notify::recommended_watcher(forward(tree.path(), signals.clone(), Arc::clone(&has_lost)));
        let (is_stopped, unwatched) = (Arc::new(AtomicBool::new(false)), Unwatched::default());
        let path = tree.path().to_owned();
        let mut watch = Watch {
            watcher,
            received,
            has_lost,
            is_stopped: Arc::clone(&is_stopped),
            unwatched: Arc::clone(&unwatched),
            rescans,
            settle: Settle::new(&path, written.clone()),
            reader: Reader { folders: Listing::folders(&tree)?, tree, hashes: RandomState::new(), written },
            events,
        };
        watch.watch_all();
        thread::Builder::new()
            .name("vault watcher".to_owned())
            .spawn(move || watch.run())
            .map_err(|error| DiskError::new("start watching", path, error))?;
        Ok(Self { is_stopped, unwatched, signals })
    }

    /// Why some folders are not watched; the vault is scanned every ten seconds then.
    pub fn unwatched(&self) -> Option<String> {
        self.unwatched.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for VaultWatcher {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Release);
        // Where the queue is full the thread is awake anyway and sees the flag.
        drop(self.signals.try_send(Signal::Stop));
    }
}

/// The handler on the system's event thread. It never waits: that thread also answers `watch`.
fn forward(
    top: &Path,
    signals: SyncSender<Signal>,
    has_lost: Arc<AtomicBool>,
) -> impl Fn(notify::Result<notify::Event>) + Send + 'static {
    let top = top.to_owned();
    move |result| {
        let signal = match result {
            // Our own reading and what we make below `.aiemp/` show as well; they must not wake us.
            Ok(event) if is_reading(event.kind) || is_hidden(&top, &event) => return,
            Ok(event) => Signal::Seen(event),
            Err(error) => Signal::Failed(error),
        };
        if let Err(TrySendError::Full(_)) = signals.try_send(signal) {
            has_lost.store(true, Ordering::Release);
        }
    }
}

fn is_reading(kind: EventKind) -> bool {
    let EventKind::Access(access) = kind else { return false };
    !matches!(access, AccessKind::Close(notify::event::AccessMode::Write))
}

/// Whether it happened to names alone that do not sync, in great numbers wherever this node writes.
fn is_hidden(top: &Path, event: &notify::Event) -> bool {
    !event.paths.is_empty() && !event.need_rescan() && event.paths.iter().all(|path| has_dot_name(top, path))
}

/// Watches every folder but those that do not sync: this node makes each file in one of them, and others change whenever
/// a program runs.
fn watch(watcher: &mut RecommendedWatcher, top: &Path) -> notify::Result<()> {
    watcher.watch(top, RecursiveMode::Recursive)?;
    for entry in fs::read_dir(top)?.flatten().filter(|entry| has_dot_name(top, &entry.path())) {
        // It may be no folder, or be gone.
        watcher.unwatch(&entry.path()).ok();
    }
    Ok(())
}

/// What the thread owns.
struct Watch {
    /// An error where the system gives none.
    watcher: notify::Result<RecommendedWatcher>,
    received: Receiver<Signal>,
    has_lost: Arc<AtomicBool>,
    is_stopped: Arc<AtomicBool>,
    unwatched: Unwatched,
    /// How often it is scanned anyway, where not all changes are told.
    rescans: Option<Duration>,
    settle: Settle,
    reader: Reader,
    events: mpsc::Sender<DiskEvent>,
}

impl Watch {
    fn run(&mut self) {
        while self.wait() {
            let mut names = Names::new();
            for folder in self.settle.take_created(Instant::now()) {
                self.look_into(&folder, &mut names);
            }
            let due = self.settle.take_due(Instant::now());
            if !due.is_empty() {
                let batch = self.reader.read(due, &mut self.settle);
                if batch.is_some_and(|batch| self.events.blocking_send(batch).is_err()) {
                    return;
                }
            }
            if self.settle.take_rescan(Instant::now()) {
                self.watch_all();
                if let Ok(folders) = Listing::folders(&self.reader.tree) {
                    self.reader.folders = folders;
                }
                if self.events.blocking_send(DiskEvent::Rescan).is_err() {
                    return;
                }
            }
        }
    }

    /// Takes in what was made in a new folder before it was watched.
    fn look_into(&mut self, folder: &Path, names: &mut Names) {
        if let Ok(watcher) = &mut self.watcher {
            // It is on its way in most cases; from here on it is certain. A folder that is gone was told to be.
            watcher.watch(&self.reader.tree.path().join(folder), RecursiveMode::Recursive).ok();
        }
        let found = self.reader.look_into(folder, names);
        if found.needs_rescan {
            self.settle.rescan(Instant::now());
        }
        for path in found.files {
            self.settle.again(path, Instant::now());
        }
    }

    /// Takes in what happened, until something is due; false when it is time to stop.
    fn wait(&mut self) -> bool {
        let mut signal = match self.settle.due_at() {
            Some(at) => match self.received.recv_timeout(at.saturating_duration_since(Instant::now())) {
                Ok(signal) => Some(signal),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return false,
            },
            None => match self.received.recv() {
                Ok(signal) => Some(signal),
                Err(_) => return false,
            },
        };
        let now = Instant::now();
        for _ in 0..SIGNALS_MAX {
            match signal {
                Some(Signal::Seen(event)) => self.settle.note(&event, now),
                Some(Signal::Failed(error)) => {
                    tracing::warn!(%error, "changes in the vault may have been missed; it is scanned");
                    self.settle.rescan(now);
                }
                Some(Signal::Stop) => return false,
                None => break,
            }
            signal = self.received.try_recv().ok();
        }
        if self.has_lost.swap(false, Ordering::AcqRel) {
            self.settle.rescan(now);
        }
        !self.is_stopped.load(Ordering::Acquire)
    }

    /// Sets a watch on every folder, so that a scan after it and the events together miss nothing.
    ///
    /// New folders are watched by then in most cases, but not those beside one that vanished at the wrong moment.
    fn watch_all(&mut self) {
        let root = self.reader.tree.path().to_owned();
        let mut failed = None;
        for _ in 0..WATCH_ATTEMPTS {
            failed = match &mut self.watcher {
                Ok(watcher) => watch(watcher, &root).err().map(|error| error.to_string()),
                Err(error) => Some(error.to_string()),
            };
            if failed.is_none() {
                break;
            }
        }
        let wait = if failed.is_some() { Some(RESCANS) } else { self.rescans };
        if let Some(wait) = wait {
            self.settle.rescan_in(Instant::now(), wait);
        }
        let mut unwatched = self.unwatched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = failed.as_ref().filter(|_| unwatched.is_none()) {
            tracing::warn!(vault = %root.display(), error, "some folders are not watched; the vault is scanned every ten seconds instead");
        }
        *unwatched = failed;
    }
}
