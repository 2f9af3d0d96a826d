//! Tells that files of the home changed: rosters, invitations and receipts that other processes write.

use std::{io, path::PathBuf, time::Duration};

use futures::StreamExt;
use inotify::{EventStream, Inotify, WatchMask};
use tokio::sync::mpsc;

/// What others do to files here. That one is opened or written to is not among it: the node's own store lies beside them,
/// and each page of that would be told.
const CHANGES: WatchMask = WatchMask::CREATE
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::DELETE)
    .union(WatchMask::ATTRIB);
/// How often somebody looks where the system gives no watch.
const LOOKS: Duration = Duration::from_secs(2);

/// Watches folders until the receiver is dropped. A signal says "look again", never what changed; several changes may be
/// one signal. Where the system has no watch left there is one every two seconds.
pub fn watch(folders: &[PathBuf]) -> mpsc::Receiver<()> {
    let (signals, changed) = mpsc::channel(1);
    match open(folders) {
        Ok(watched) => drop(tokio::spawn(tell(watched, signals))),
        Err(error) => {
            tracing::warn!(%error, "the home is not watched, but looked at every two seconds; raise fs.inotify.max_user_watches");
            tokio::spawn(async move {
                while signals.send(()).await.is_ok() {
                    tokio::time::sleep(LOOKS).await;
                }
            });
        }
    }
    changed
}

fn open(folders: &[PathBuf]) -> io::Result<EventStream<[u8; 4096]>> {
    let inotify = Inotify::init()?;
    for folder in folders {
        inotify.watches().add(folder, CHANGES)?;
    }
    inotify.into_event_stream([0; 4096])
}

async fn tell(mut events: EventStream<[u8; 4096]>, signals: mpsc::Sender<()>) {
    loop {
        let event = tokio::select! {
            () = signals.closed() => return,
            event = events.next() => event,
        };
        let Some(event) = event else { return signals.closed().await };
        if let Err(error) = event {
            tracing::error!(%error, "changes in the home may have been missed");
            tokio::time::sleep(LOOKS).await;
        }
        // A full channel holds a signal already.
        signals.try_send(()).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    #[tokio::test]
    async fn what_others_write_is_told_and_what_the_store_writes_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut store = fs::File::create(folder.path().join("store.sqlite")).expect("created");
        let mut changed = watch(&[folder.path().to_owned()]);
        store.write_all(b"a page").expect("written");
        let told = tokio::time::timeout(Duration::from_millis(300), changed.recv()).await;
        assert!(told.is_err(), "the store wakes nobody");
        fs::write(folder.path().join("invite"), "an invitation").expect("written");
        tokio::time::timeout(Duration::from_secs(20), changed.recv()).await.expect("told").expect("it watches");
        while tokio::time::timeout(Duration::from_millis(300), changed.recv()).await.is_ok() {}
        fs::rename(folder.path().join("invite"), folder.path().join("used")).expect("renamed");
        tokio::time::timeout(Duration::from_secs(20), changed.recv()).await.expect("told").expect("it watches");
    }

    #[tokio::test]
    async fn where_there_is_no_watch_somebody_looks_regularly() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut changed = watch(&[folder.path().join("missing")]);
        for _ in 0..2 {
            tokio::time::timeout(Duration::from_secs(20), changed.recv()).await.expect("told").expect("it looks");
        }
    }
}
