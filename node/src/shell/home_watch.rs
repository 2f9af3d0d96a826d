//! Tells that files of the home changed: rosters, invitations and receipts that other processes write.

use std::{os::unix::ffi::OsStrExt, path::PathBuf, time::Duration};

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
    /// Starts watching; the receiver yields once for each burst of changes, save those of the node's own store, which lies
    /// among them. Where the system has no watch left it yields every few seconds.
    pub fn start(folders: &[PathBuf], store: PathBuf) -> (Self, mpsc::Receiver<()>) {
        let (signals, changed) = mpsc::channel(1);
        let watcher = match watch(folders, store, signals.clone()) {
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

fn watch(folders: &[PathBuf], store: PathBuf, signals: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    // SQLite keeps files beside it whose names begin with its own.
    let is_store = move |path: &PathBuf| path.as_os_str().as_bytes().starts_with(store.as_os_str().as_bytes());
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let is_news = |event: notify::Event| {
            !event.kind.is_access() && (event.paths.is_empty() || !event.paths.iter().all(&is_store))
        };
        if event.is_ok_and(is_news) {
            // A full channel holds a signal already.
            signals.try_send(()).ok();
        }
    })?;
    folders.iter().try_for_each(|folder| watcher.watch(folder, RecursiveMode::NonRecursive))?;
    Ok(watcher)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn what_others_write_is_told_and_what_the_store_does_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = folder.path().join("store.sqlite");
        let (_watch, mut changed) = HomeWatch::start(&[folder.path().to_owned()], store.clone());
        for name in ["store.sqlite", "store.sqlite-wal", "store.sqlite-journal"] {
            fs::write(folder.path().join(name), name).expect("written");
        }
        fs::remove_file(&store).expect("removed");
        let told = tokio::time::timeout(Duration::from_millis(300), changed.recv()).await;
        assert!(told.is_err(), "the store wakes nobody");
        fs::write(folder.path().join("invite"), "an invitation").expect("written");
        tokio::time::timeout(Duration::from_secs(20), changed.recv()).await.expect("told").expect("it watches");
    }
}
