//! Scenarios of the store's thread.

use std::time::Duration;

use aiemp_crdt::vault;
use aiemp_protocol::replication::EffectId;
use tokio::{sync::mpsc, time::timeout};

use super::{
    super::{Command, StoreEvent, StoreGone, StoreHandle, spawn},
    *,
};

/// Long enough for the slowest disk; nothing waits this long when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

async fn next(events: &mut mpsc::Receiver<StoreEvent>) -> Option<StoreEvent> {
    timeout(PATIENCE, events.recv()).await.expect("the store answers")
}

async fn send_all(handle: &StoreHandle, commands: Vec<Command>) {
    for command in commands {
        timeout(PATIENCE, handle.send(command)).await.expect("the store takes commands").unwrap();
    }
}

#[tokio::test]
async fn answers_come_in_order_and_reads_see_the_writes_before_them() {
    let disk = Disk::new();
    // Room for one event, so that answers are owed while commands go on.
    let (sender, mut events) = mpsc::channel(1);
    let handle = spawn(disk.open(), sender).unwrap();
    let mut all = Author::new(Audience::All);
    let contents: Vec<_> = (0..100_u64).map(|n| n.to_le_bytes()).collect();
    for (n, content) in contents.iter().enumerate() {
        let (n, hash) = (n as u64, ContentHash::of(content));
        let commands = vec![
            Command::Persist(EffectId(n), Record::Entry { entry: all.entry(&[(content, true)]), received: RECEIVED }),
            Command::ReadEntries { effect: EffectId(1000 + n), log: all.log, from_seq: n + 1, count: 1 },
            Command::ReadPayload { effect: EffectId(2000 + n), hash, shared_only: true },
            Command::Load {
                effect: vault::EffectId(n),
                base: hash,
                changes: vec![ContentRef::of(b"none")],
                shared_only: false,
            },
        ];
        send_all(&handle, commands).await;
    }
    for (n, content) in contents.iter().enumerate() {
        let n = n as u64;
        assert!(matches!(next(&mut events).await, Some(StoreEvent::Persisted(EffectId(e))) if e == n));
        let Some(StoreEvent::EntriesRead(EffectId(effect), entries)) = next(&mut events).await else { panic!() };
        assert_eq!((effect, entries.len()), (1000 + n, 1));
        assert_eq!(entries[0].payloads, [Some(content.to_vec())]);
        let Some(StoreEvent::PayloadRead(EffectId(effect), payload)) = next(&mut events).await else { panic!() };
        assert_eq!((effect, payload.as_deref()), (2000 + n, Some(&content[..])));
        let Some(StoreEvent::Loaded(vault::EffectId(effect), payloads)) = next(&mut events).await else { panic!() };
        assert_eq!((effect, payloads), (n, vec![Some(content.to_vec()), None]));
    }
    drop(handle);
    assert!(next(&mut events).await.is_none(), "the thread has ended");
}

#[tokio::test]
async fn projections_are_durable_after_a_flush_after_a_while_and_at_the_end() {
    let disk = Disk::new();
    let reader = disk.open();
    let held = |key: &str| reader.load().unwrap().projections.contains_key(key);
    let write = |key: &str| Command::Write(Write::Projection { key: key.into(), projection: Some(projection(None)) });
    let (sender, mut events) = mpsc::channel(8);
    let handle = spawn(disk.open(), sender).unwrap();
    handle.send(write("flushed")).await.unwrap();
    timeout(PATIENCE, handle.flush()).await.unwrap().unwrap();
    assert!(held("flushed"));
    handle.send(write("late")).await.unwrap();
    let wait = async {
        while !held("late") {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, wait).await.expect("nobody else writes, so it is committed alone");
    handle.send(write("last")).await.unwrap();
    drop(handle);
    assert!(next(&mut events).await.is_none());
    assert!(held("last"));
}

#[tokio::test]
async fn queued_messages_are_read_by_their_peer() {
    let disk = Disk::new();
    let (sender, mut events) = mpsc::channel(8);
    let handle = spawn(disk.open(), sender).unwrap();
    let now = Timestamp::from_millis(5);
    send_all(&handle, vec![Command::Write(message("a", 1, 9)), Command::ReadQueue { peer: peer(), now }]).await;
    let Some(StoreEvent::QueueRead(to, messages)) = next(&mut events).await else { panic!() };
    assert_eq!((to, messages), (peer(), vec![("a".to_owned(), b"a".to_vec())]));
}

#[tokio::test]
async fn after_a_failed_commit_the_store_says_so_once_and_stops() {
    let disk = Disk::new();
    let (sender, mut events) = mpsc::channel(1);
    let handle = spawn(disk.open(), sender).unwrap();
    let first = Author::new(Audience::All).entry(&[(b"one", true)]);
    let other = Author::new(Audience::All).entry(&[(b"two", true)]);
    handle.send(Command::Persist(EffectId(1), Record::Entry { entry: first, received: RECEIVED })).await.unwrap();
    assert!(matches!(next(&mut events).await, Some(StoreEvent::Persisted(EffectId(1)))));
    handle.send(Command::Persist(EffectId(2), Record::Entry { entry: other, received: RECEIVED })).await.unwrap();
    assert_eq!(timeout(PATIENCE, handle.flush()).await.unwrap(), Err(StoreGone));
    assert!(matches!(next(&mut events).await, Some(StoreEvent::Failed(StoreError::Conflict { seq: 1, .. }))));
    assert!(next(&mut events).await.is_none());
    let reopened = disk.open();
    assert_eq!(reopened.load().unwrap().entries.len(), 1);
}

#[tokio::test]
async fn a_damaged_payload_is_never_answered_and_is_asked_for_again() {
    let disk = Disk::new();
    let mut store = disk.open();
    let mut all = Author::new(Audience::All);
    let entries = [all.entry(&[(b"one", true)]), all.changes(&[(b"two", true)])];
    store.persist(&entries.each_ref().map(record)).unwrap();
    disk.damage("UPDATE payloads SET bytes = CAST('onf' AS BLOB) WHERE bytes = CAST('one' AS BLOB)");
    disk.damage("UPDATE payloads SET shared = 0 WHERE bytes = CAST('two' AS BLOB)");
    let (sender, mut events) = mpsc::channel(1);
    let handle = spawn(store, sender).unwrap();
    let (one, two) = (ContentHash::of(b"one"), ContentRef::of(b"two"));
    let load = Command::Load { effect: vault::EffectId(1), base: one, changes: vec![two], shared_only: false };
    send_all(&handle, vec![load]).await;
    let Some(StoreEvent::Loaded(_, found)) = next(&mut events).await else { panic!() };
    assert_eq!(found, [None, None]);
    let mut lost = Vec::new();
    for _ in 0..2 {
        let Some(StoreEvent::PayloadsLost(named)) = next(&mut events).await else { panic!() };
        lost.extend(named);
    }
    let as_change = Missing { is_change: true, ..shared(b"two") };
    lost.sort();
    let mut expected = [shared(b"one"), as_change];
    expected.sort();
    assert_eq!(lost, expected);
    assert_eq!(disk.open().load().unwrap().missing, expected.into(), "also after a restart");
    let came = [(shared(b"one"), b"one"), (as_change, b"two")];
    let came = came.map(|(named, bytes)| Command::Persist(EffectId(1), Record::Payload(named, bytes.to_vec())));
    send_all(&handle, came.into()).await;
    let load = Command::Load { effect: vault::EffectId(2), base: one, changes: vec![two], shared_only: true };
    send_all(&handle, vec![load]).await;
    for _ in 0..2 {
        assert!(matches!(next(&mut events).await, Some(StoreEvent::Persisted(_))));
    }
    let Some(StoreEvent::Loaded(_, found)) = next(&mut events).await else { panic!() };
    assert_eq!(found, [Some(b"one".to_vec()), Some(b"two".to_vec())]);
    assert!(disk.open().load().unwrap().missing.is_empty());
}

#[tokio::test]
async fn what_is_named_while_it_waits_to_be_forgotten_is_kept() {
    let disk = Disk::new();
    let mut store = disk.open();
    let mut all = Author::new(Audience::All);
    let entry = all.entry(&[(b"one", true), (b"two", true)]);
    store.persist(&[record(&entry)]).unwrap();
    let (one, two) = (ContentHash::of(b"one"), ContentHash::of(b"two"));
    let (sender, mut events) = mpsc::channel(4);
    let handle = spawn(store, sender).unwrap();
    let again = all.entry(&[(b"one", true)]);
    let commands = vec![
        Command::Forget { gone: [one, two].into(), unwanted: [].into() },
        Command::Persist(EffectId(1), Record::Entry { entry: again, received: RECEIVED }),
    ];
    send_all(&handle, commands).await;
    assert!(matches!(next(&mut events).await, Some(StoreEvent::Persisted(_))));
    let is_held = |hash| disk.open().read_payload(hash, true).unwrap().is_some();
    let wait = async {
        while is_held(two) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, wait).await.expect("it is forgotten when there is nothing else to do");
    assert!(is_held(one));
}
