//! Tells that files of the home changed: rosters, invitations and receipts that other processes write.

use std::{path::PathBuf, time::Duration};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// How often somebody looks where the system gives no watch.
const LOOKS: Duration = Duration::from_secs(2);

/// Watches folders until dropped. A signal says "look again", never what changed; several changes may be one signal.
#[derive(Debug)]
pub struct HomeWatch {
    _watcher: Option<RecommendedWatcher>,
}

impl HomeWatch {
    /// Starts watching; the receiver yields once for each burst of changes. Where the system has no watch left it yields
    /// every few seconds.
    pub fn start(folders: &[PathBuf]) -> (Self, mpsc::Receiver<()>) {
        let (signals, changed) = mpsc::channel(1);
        let watcher = match watch(folders, signals.clone()) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "the home is not watched, but looked at every two seconds; raise fs.inotify.max_user_watches");
                tokio::spawn(async move {
                    while signals.send(()).await.is_ok() {
                        tokio::time::sleep(LOOKS).await;
                    }
                });
                None
            }
        };
        (Self { _watcher: watcher }, changed)
    }
}

fn watch(folders: &[PathBuf], signals: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // A full channel holds a signal already.
            signals.try_send(()).ok();
        }
    })?;
    folders.iter().try_for_each(|folder| watcher.watch(folder, RecursiveMode::NonRecursive))?;
    Ok(watcher)
}
