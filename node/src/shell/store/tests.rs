//! Scenarios of the store, on real files.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use aiemp_crdt::vault::Projection;
use aiemp_keys::{Hash, NodeId, Signer};
use aiemp_protocol::{
    entry::{ContentRef, Entry, FieldWrite, Item, SignedEntry},
    ids::{Audience, ContentHash, EntryHash, FileId, LogId, MeshId},
    limits::ENTRY_PAYLOAD_BYTES_MAX,
    replication::{EntryWithPayloads, FreezeReason, Frozen, Missing, Record},
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};
use rusqlite::Connection;

use super::{Damage, LoadedEntry, Store, StoreError, Write, schema};
use crate::shell::vault_disk::{Stamp, Stamped};

mod damaged;
mod older;
mod thread;

struct Disk {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Disk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.sqlite");
        Self { _dir: dir, path }
    }

    fn open(&self) -> Store {
        Store::open(&self.path).unwrap()
    }

    fn damage(&self, sql: &str) {
        assert_eq!(Connection::open(&self.path).unwrap().execute(sql, []).unwrap(), 1, "one row is damaged");
    }
}

/// An author that writes blobs into one log.
struct Author {
    signer: Signer,
    log: LogId,
    next: u64,
    prev: Option<EntryHash>,
}

impl Author {
    fn new(audience: Audience) -> Self {
        let signer = Signer::from_seed([7; 32]);
        let log = LogId { author: signer.node_id(), generation: 0, audience };
        Self { signer, log, next: 1, prev: None }
    }

    /// An entry that names each content; the flag says whether it comes with its bytes.
    fn entry(&mut self, contents: &[(&[u8], bool)]) -> EntryWithPayloads {
        let file = FileId::at_path(Zone::Drafts, "plans/a.md");
        self.entry_of(contents, |bytes| Item::Set { file, write: FieldWrite::Base(ContentRef::of(bytes)) })
    }

    /// An entry with a change for each content.
    fn changes(&mut self, contents: &[(&[u8], bool)]) -> EntryWithPayloads {
        let (file, base) = (FileId::at_path(Zone::Drafts, "plans/a.md"), ContentHash::of(b"base"));
        self.entry_of(contents, |bytes| Item::Change {
            file,
            base,
            length: bytes.len() as u64,
            hash: ContentHash::of(bytes),
        })
    }

    fn entry_of(&mut self, contents: &[(&[u8], bool)], item: impl Fn(&[u8]) -> Item) -> EntryWithPayloads {
        let items = contents.iter().map(|(bytes, _)| item(bytes)).collect();
        let entry = Entry { seq: self.next, epoch: 1, hlc: Timestamp::from_millis(self.next), seen: vec![], items };
        let mesh = MeshId(Hash::of_content(b"mesh"));
        let signed = SignedEntry::sign(&self.signer, mesh, self.log, self.prev, entry);
        self.next += 1;
        self.prev = Some(signed.hash);
        let payloads = contents.iter().map(|(bytes, held)| held.then(|| bytes.to_vec())).collect();
        EntryWithPayloads { signed, payloads }
    }
}

/// When the entries of these tests were taken.
const RECEIVED: Timestamp = Timestamp::from_millis(7);

fn record(entry: &EntryWithPayloads) -> Write {
    Write::Record(Record::Entry { entry: entry.clone(), received: RECEIVED })
}

/// What an entry says of a payload: of a file for every member.
fn shared(bytes: &[u8]) -> Missing {
    Missing { hash: ContentHash::of(bytes), length: bytes.len() as u64, is_change: false, is_shared: true }
}

fn fetched(named: Missing, bytes: &[u8]) -> Write {
    Write::Record(Record::Payload(named, bytes.to_vec()))
}

fn peer() -> NodeId {
    Signer::from_seed([9; 32]).node_id()
}

fn message(id: &str, created: u64, expires: u64) -> Write {
    let (created, expires) = (Timestamp::from_millis(created), Timestamp::from_millis(expires));
    Write::Queue { peer: peer(), id: id.into(), bytes: id.as_bytes().to_vec(), created, expires }
}

fn projection(merged_changes: Option<u64>) -> Projection {
    Projection {
        path: VaultPath::parse("Notes/Größe.md").unwrap(),
        file: FileId::at_path(Zone::Drafts, "notes/größe.md"),
        hash: ContentHash::of(b"text"),
        base: ContentHash::of(b"its beginning"),
        heads: vec![[1; 32], [2; 32]],
        merged_changes,
    }
}

#[test]
fn what_was_persisted_comes_back_after_closing() {
    let disk = Disk::new();
    let (mut all, mut local) = (Author::new(Audience::All), Author::new(Audience::Local));
    let first = local.entry(&[(b"one", true), (b"two", false)]);
    let second = all.entry(&[(b"three", true)]);
    let third = local.entry(&[(b"four", true)]);
    let frozen = LogId { author: peer(), generation: 3, audience: Audience::All };
    let batch = [
        record(&first),
        record(&second),
        record(&third),
        Write::Record(Record::Frozen { log: frozen, reason: FreezeReason::Equivocation, evidence: vec![1] }),
        Write::Projection { key: "a".into(), projection: Some(projection(None)) },
        Write::Projection { key: "b".into(), projection: Some(projection(Some(4))) },
        Write::Projection { key: "a".into(), projection: None },
        Write::Meta { key: "hlc".into(), value: vec![5] },
    ];
    disk.open().persist(&batch).unwrap();

    let store = disk.open();
    let loaded = store.load().unwrap();
    let entry =
        |e: &EntryWithPayloads| LoadedEntry { log: e.signed.log, cose: e.signed.cose.clone(), received: RECEIVED };
    let expected: Vec<_> = [&first, &second, &third].map(entry).into();
    assert_eq!(loaded.entries, expected, "in the order they became durable");
    assert_eq!(loaded.frozen, [(frozen, Frozen { reason: FreezeReason::Equivocation, evidence: vec![1] })].into());
    assert_eq!(loaded.missing, [Missing { is_shared: false, ..shared(b"two") }].into());
    assert_eq!(loaded.projections, [("b".into(), projection(Some(4)))].into());
    assert_eq!(store.read_meta("hlc").unwrap(), Some(vec![5]));
    assert_eq!(store.read_meta("none").unwrap(), None);

    let read = store.read_entries(local.log, 1, 64).unwrap();
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].cose, first.signed.cose);
    assert_eq!(read[0].payloads, [Some(b"one".to_vec()), None]);
    let read = store.read_entries(local.log, 2, 1).unwrap();
    assert_eq!((read.len(), &read[0].cose), (1, &third.signed.cose));
    assert!(store.read_entries(local.log, 3, 64).unwrap().is_empty());
}

#[test]
fn an_equal_entry_again_is_fine_and_another_one_is_refused_with_its_whole_batch() {
    let disk = Disk::new();
    let mut store = disk.open();
    let entry = Author::new(Audience::All).entry(&[(b"one", true)]);
    store.persist(&[record(&entry), record(&entry)]).unwrap();
    let other = Author::new(Audience::All).entry(&[(b"two", true)]);
    let error = store.persist(&[fetched(shared(b"three"), b"three"), record(&other)]).unwrap_err();
    let log = entry.signed.log;
    let expected = format!(
        "{log:?} already holds another entry 1: nothing was written; stop the node and run `aiemp-node doctor`"
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(store.load().unwrap().entries.len(), 1);
    assert_eq!(store.read_payload(ContentHash::of(b"three"), false).unwrap(), None);
}

#[test]
fn private_payloads_are_not_for_those_who_may_read_shared_ones_only() {
    let disk = Disk::new();
    let mut store = disk.open();
    let (mut all, mut local) = (Author::new(Audience::All), Author::new(Audience::Local));
    let entries = [local.entry(&[(b"private", true)]), all.entry(&[(b"shared", true)]), all.entry(&[(b"late", false)])];
    store.persist(&entries.each_ref().map(record)).unwrap();
    store
        .persist(&[
            fetched(shared(b"late"), b"late"),
            fetched(Missing { is_shared: false, ..shared(b"nobody's") }, b"nobody's"),
        ])
        .unwrap();
    assert!(store.load().unwrap().missing.is_empty());
    for (bytes, shared) in [(&b"private"[..], false), (b"shared", true), (b"late", true), (b"nobody's", false)] {
        let hash = ContentHash::of(bytes);
        assert_eq!(store.read_payload(hash, false).unwrap().as_deref(), Some(bytes));
        assert_eq!(store.read_payload(hash, true).unwrap().is_some(), shared, "{bytes:?}");
    }
    store.persist(&[record(&all.entry(&[(b"private", true)]))]).unwrap();
    assert!(store.read_payload(ContentHash::of(b"private"), true).unwrap().is_some(), "its author shared it");
    store.persist(&[record(&local.entry(&[(b"private", true)]))]).unwrap();
    assert!(store.read_payload(ContentHash::of(b"private"), true).unwrap().is_some(), "and it stays so");
}

#[test]
fn a_digest_guessed_right_opens_no_private_payload() {
    let disk = Disk::new();
    let mut store = disk.open();
    let (mut all, mut local) = (Author::new(Audience::All), Author::new(Audience::Local));
    // Named before it exists here, and after.
    let entries = [
        all.entry(&[(b"pin 1234", false)]),
        local.entry(&[(b"pin 1234", true), (b"pin 4321", true)]),
        all.entry(&[(b"pin 4321", false)]),
    ];
    store.persist(&entries.each_ref().map(record)).unwrap();
    for bytes in [b"pin 1234", b"pin 4321"] {
        let hash = ContentHash::of(bytes);
        assert_eq!(store.read_payload(hash, true).unwrap(), None);
        assert!(store.read_payload(hash, false).unwrap().is_some());
        assert!(store.load().unwrap().missing.contains(&shared(bytes)), "whoever shares it has yet to send it");
    }
    let served = store.read_entries(all.log, 1, 64).unwrap();
    assert!(served.iter().all(|entry| entry.payloads == [None]));
    store.persist(&[fetched(shared(b"pin 1234"), b"pin 1234"), record(&all.entry(&[(b"pin 4321", true)]))]).unwrap();
    assert!(store.load().unwrap().missing.is_empty());
    assert!(store.read_entries(all.log, 1, 64).unwrap().iter().all(|entry| entry.payloads[0].is_some()));
}

#[test]
fn payloads_beyond_the_inline_bound_are_left_to_be_asked_for() {
    let disk = Disk::new();
    let mut store = disk.open();
    let mut all = Author::new(Audience::All);
    let (large, half) = (vec![1; ENTRY_PAYLOAD_BYTES_MAX + 1], vec![2; ENTRY_PAYLOAD_BYTES_MAX / 2]);
    let contents: &[(&[u8], bool)] = &[(&large, true), (&half, true), (&half, true), (b"x", true), (b"", true)];
    store.persist(&[record(&all.entry(contents))]).unwrap();
    let read = store.read_entries(all.log, 1, 1).unwrap();
    let held: Vec<_> = read[0].payloads.iter().map(Option::is_some).collect();
    assert_eq!(held, [false, true, true, false, true]);
    assert_eq!(store.read_payload(ContentHash::of(&large), true).unwrap(), Some(large));
}

#[test]
fn a_flipped_bit_is_found_before_use() {
    let disk = Disk::new();
    let mut store = disk.open();
    let mut all = Author::new(Audience::All);
    store.persist(&[record(&all.entry(&[(b"one", true)])), message("m", 1, 9)]).unwrap();
    let hash = ContentHash::of(b"one");

    disk.damage("UPDATE payloads SET bytes = CAST('onf' AS BLOB)");
    let error = store.read_payload(hash, false).unwrap_err();
    let expected = format!(
        "the store is damaged: payload {hash} does not have its hash; stop the node and run `aiemp-node doctor --repair`"
    );
    assert_eq!(error.to_string(), expected);
    let error = store.read_entries(all.log, 1, 1).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(Damage::Payload(damaged)) if damaged == hash));
    assert!(store.load().is_ok(), "the entry is whole");
    disk.damage("UPDATE payloads SET bytes = CAST('one' AS BLOB)");

    disk.damage("UPDATE queue SET bytes = CAST('n' AS BLOB)");
    for error in [store.read_queue(peer(), Timestamp::from_millis(2)).unwrap_err(), store.load().unwrap_err()] {
        assert!(matches!(error, StoreError::Corrupt(Damage::Row("queue"))));
    }
    disk.damage("UPDATE queue SET bytes = CAST('m' AS BLOB)");

    for column in ["cose", "payload_hashes", "hash", "digest"] {
        let save = format!("CREATE TABLE saved AS SELECT {column} AS old FROM entries");
        Connection::open(&disk.path).unwrap().execute_batch(&save).unwrap();
        disk.damage(&format!("UPDATE entries SET {column} = CAST(x'ff' || substr({column}, 2) AS BLOB)"));
        for error in [store.load().unwrap_err(), store.read_entries(all.log, 1, 1).unwrap_err()] {
            assert!(matches!(error, StoreError::Corrupt(Damage::Row("entries"))), "{column}: {error}");
        }
        disk.damage(&format!("UPDATE entries SET {column} = (SELECT old FROM saved)"));
        Connection::open(&disk.path).unwrap().execute_batch("DROP TABLE saved").unwrap();
    }
    assert!(store.load().is_ok());
    disk.damage("UPDATE entries SET seq = 2");
    assert!(matches!(store.load().unwrap_err(), StoreError::Corrupt(Damage::Row("entries"))));
}

#[test]
fn messages_wait_in_order_until_delivered_or_expired() {
    let disk = Disk::new();
    let mut store = disk.open();
    store.persist(&[message("b", 2, 9), message("a", 1, 5), message("c", 3, 9), message("c", 3, 9)]).unwrap();
    let ids = |store: &Store, now| {
        let messages = store.read_queue(peer(), Timestamp::from_millis(now)).unwrap();
        messages.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&store, 4), ["a", "b", "c"]);
    assert_eq!(ids(&store, 5), ["b", "c"]);
    let now = Timestamp::from_millis(5);
    store.persist(&[Write::ExpireQueue { now }, Write::Unqueue { peer: peer(), id: "b".into() }]).unwrap();
    assert_eq!(ids(&store, 0), ["c"]);
    assert!(store.read_queue(Signer::from_seed([1; 32]).node_id(), now).unwrap().is_empty());
}

#[test]
fn the_file_and_its_side_files_are_private() {
    let disk = Disk::new();
    let mut store = disk.open();
    store.persist(&[message("a", 1, 2)]).unwrap();
    let names: Vec<_> = ["", "-wal", "-shm"].map(|end| format!("{}{end}", disk.path.display())).into();
    for name in names {
        assert_eq!(fs::metadata(&name).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    drop(store);
    fs::set_permissions(&disk.path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(Store::open(&disk.path), Err(StoreError::Privacy(_))));
}

#[test]
fn the_file_is_opened_for_durability() {
    let store = Disk::new().open();
    let pragma = |name| store.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(pragma("synchronous"), 2, "FULL");
    let mode: String = store.connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
}

fn refusal(path: &Path) -> String {
    Store::open(path).unwrap_err().to_string()
}

#[test]
fn a_newer_version_is_refused_with_the_remedy_and_left_alone() {
    let disk = Disk::new();
    drop(disk.open());
    let newer = schema::VERSION + 1;
    let connection = Connection::open(&disk.path).unwrap();
    connection.execute_batch(&format!("CREATE TABLE more (a); PRAGMA user_version = {newer}")).unwrap();
    drop(connection);
    let before = fs::read(&disk.path).unwrap();
    let path = disk.path.display();
    let expected =
        format!("{path} was written by a newer aiemp-node (store version 6, this one knows 5): update the binary");
    assert_eq!(refusal(&disk.path), expected);
    assert_eq!(fs::read(&disk.path).unwrap(), before);
}

#[test]
fn what_came_as_content_is_no_change_before_it_was_screened() {
    let disk = Disk::new();
    let mut all = Author::new(Audience::All);
    let entries = [all.entry(&[(b"smuggled", true)]), all.changes(&[(b"smuggled", false), (b"plain", true)])];
    let mut store = disk.open();
    store.persist(&entries.each_ref().map(record)).unwrap();
    let is_change = |store: &Store, bytes| store.read_change(ContentRef::of(bytes), true).unwrap().is_some();
    for length in [1, 6] {
        let named = ContentRef { length, ..ContentRef::of(b"plain") };
        assert_eq!(store.read_change(named, true).unwrap(), None, "of another length");
    }
    let missing = || disk.open().load().unwrap().missing;
    assert!(!is_change(&store, b"smuggled") && is_change(&store, b"plain"));
    let expected = Missing { is_change: true, ..shared(b"smuggled") };
    assert_eq!(missing(), [expected].into(), "it is asked for, to be screened");
    store.persist(&[record(&all.entry(&[(b"smuggled", true)]))]).unwrap();
    assert_eq!(missing(), [expected].into(), "as content once more");
    store.persist(&[fetched(shared(b"smuggled"), b"smuggled")]).unwrap();
    assert!(!is_change(&store, b"smuggled"), "it was asked for as content, before the change was named");
    store.persist(&[fetched(expected, b"smuggled")]).unwrap();
    assert!(is_change(&store, b"smuggled"), "whoever fetched it had it screened");
    assert_eq!(missing(), [].into());
}

#[test]
fn what_is_no_store_is_refused_with_the_remedy() {
    let disk = Disk::new();
    aiemp_keys::private_file::write_private(&disk.path, &[7; 5000]).unwrap();
    let expected = "the store is damaged: file is not a database; stop the node and run `aiemp-node doctor --repair`";
    assert_eq!(refusal(&disk.path), expected);
    assert_eq!(fs::read(&disk.path).unwrap(), [7; 5000]);

    aiemp_keys::private_file::write_private(&disk.path, b"").unwrap();
    Connection::open(&disk.path).unwrap().execute_batch("CREATE TABLE other (a)").unwrap();
    let path = disk.path.display();
    assert_eq!(refusal(&disk.path), format!("{path} is no store of aiemp-node: move it away and start again"));
}

#[test]
fn what_files_look_like_is_read_as_it_was_noted_and_forgotten() {
    let disk = Disk::new();
    let stamp = Stamp { size: 3, modified: -1, changed: i64::MAX, inode: u64::MAX, is_linked: false };
    let stamped = Stamped { stamp, hash: ContentHash::of(b"one") };
    let later = Stamped { stamp: Stamp { changed: 0, ..stamp }, ..stamped };
    disk.open().persist(&[Write::Stamps(vec![([1; 16], Some(stamped)), ([2; 16], Some(stamped))])]).unwrap();
    assert_eq!(disk.open().load().unwrap().stamps, [([1; 16], stamped), ([2; 16], stamped)].into());
    disk.open().persist(&[Write::Stamps(vec![([1; 16], None), ([2; 16], Some(later))])]).unwrap();
    assert_eq!(disk.open().load().unwrap().stamps, [([2; 16], later)].into());
}

#[test]
fn what_is_forgotten_is_not_asked_for_until_it_is_needed_again_and_its_room_goes_back_to_the_disk() {
    let disk = Disk::new();
    let mut store = disk.open();
    let mut all = Author::new(Audience::All);
    let contents: Vec<_> = (0..64_u8).map(|number| vec![number; 20_000]).collect();
    let entries: Vec<_> = contents.iter().map(|content| all.entry(&[(content, true)])).collect();
    store.persist(&entries.iter().map(record).collect::<Vec<_>>()).unwrap();
    store.persist(&[record(&all.entry(&[(b"never came", false)]))]).unwrap();
    let size = |store: &Store| {
        store.connection.pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
        fs::metadata(&disk.path).unwrap().len()
    };
    let before = size(&store);
    let hashes: Vec<_> = contents.iter().map(|content| ContentHash::of(content)).collect();
    store.forget(&hashes[1..]).unwrap();
    store.give_up_missing(&[ContentHash::of(b"never came"), hashes[0]].into()).unwrap();
    while store.give_room_back().unwrap() {}
    let after = size(&store);
    assert!(after < before / 5, "{before} bytes, then {after}");
    assert!(store.read_payload(hashes[0], true).unwrap().is_some(), "what is held is only not asked for");
    assert_eq!(store.read_payload(hashes[1], true).unwrap(), None);
    assert!(store.load().unwrap().missing.is_empty());
    assert!(store.may_be_absent(hashes[1]).unwrap() && store.lose_payload(hashes[1]).unwrap().is_empty());
    let needed = |hash| hash != hashes[1];
    assert_eq!(store.need_again(needed).unwrap(), [shared(&contents[1])]);
    assert_eq!(store.load().unwrap().missing, [shared(&contents[1])].into());
    assert!(store.need_again(needed).unwrap().is_empty(), "once");
    store.persist(&[record(&all.entry(&[(&contents[2], false)]))]).unwrap();
    assert!(store.load().unwrap().missing.contains(&shared(&contents[2])), "an entry names it anew");
    store.persist(&[fetched(shared(&contents[2]), &contents[2])]).unwrap();
    assert_eq!(store.read_payload(hashes[2], true).unwrap().as_deref(), Some(&contents[2][..]));
}
