//! Tells that files of the home changed: rosters, invitations and receipts that other processes write.

use std::path::PathBuf;

use anyhow::{Context, Result};
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// Watches folders until dropped. A signal says "look again", never what changed; several changes may be one signal.
#[derive(Debug)]
pub struct HomeWatch {
    _watcher: notify::RecommendedWatcher,
}

impl HomeWatch {
    /// Starts watching; the receiver yields once for each burst of changes.
    pub fn start(folders: &[PathBuf]) -> Result<(Self, mpsc::Receiver<()>)> {
        let (signals, changed) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // A full channel holds a signal already.
                signals.try_send(()).ok();
            }
        })?;
        for folder in folders {
            let watched = watcher.watch(folder, RecursiveMode::NonRecursive);
            watched.with_context(|| format!("cannot watch {}", folder.display()))?;
        }
        Ok((Self { _watcher: watcher }, changed))
    }
}
