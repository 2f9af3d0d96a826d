//! Notices new files in a few directories: at once by the operating system's word, and in any case every few seconds.

use std::{path::PathBuf, time::Duration};

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior, interval},
};

/// How long a file may lie unnoticed where notifications fail: network file systems, exhausted inotify limits.
const RESCAN: Duration = Duration::from_secs(5);

/// A wake-up for directories. It says that there may be something new, never what.
#[derive(Debug)]
pub(super) struct Watch {
    woken: mpsc::Receiver<()>,
    rescan: Interval,
    _watcher: Option<RecommendedWatcher>,
}

impl Watch {
    /// Watches directories, which must exist.
    pub(super) fn of(directories: &[PathBuf]) -> Self {
        // Room for one is enough: a wake-up that waits already covers all that happens until it is taken.
        let (sender, woken) = mpsc::channel(1);
        let wake = move |event: notify::Result<Event>| {
            // Reading the directory is itself an access; waking for it would never end.
            if event.is_ok_and(|event| event.kind.is_access()) {
                return;
            }
            // Full is as good as sent, and a closed channel means that nobody waits any more.
            sender.try_send(()).ok();
        };
        let watching = notify::recommended_watcher(wake).and_then(|mut watcher| {
            directories.iter().try_for_each(|directory| watcher.watch(directory, RecursiveMode::NonRecursive))?;
            Ok(watcher)
        });
        if let Err(error) = &watching {
            tracing::warn!(%error, "not notified of new files; looking regularly");
        }
        let mut rescan = interval(RESCAN);
        rescan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { woken, rescan, _watcher: watching.ok() }
    }

    /// Returns when it is time to look: at once the first time.
    pub(super) async fn woken(&mut self) {
        tokio::select! {
            Some(()) = self.woken.recv() => {}
            _ = self.rescan.tick() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_renamed_file_wakes_before_the_rescan_and_reading_does_not() {
        let home = tempfile::tempdir().unwrap();
        let (outside, inside) = (tempfile::tempdir().unwrap(), home.path().join("a.approval"));
        let mut watch = Watch::of(&[home.path().to_owned()]);
        watch.woken().await;
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        assert!(tokio::time::timeout(Duration::from_millis(200), watch.woken()).await.is_err());
        let written = outside.path().join("a");
        fs::write(&written, b"x").unwrap();
        fs::rename(written, inside).unwrap();
        let soon = RESCAN / 2;
        tokio::time::timeout(soon, watch.woken()).await.expect("woken by the new file");
    }
}
