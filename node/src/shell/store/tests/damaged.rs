//! Damaged files: what is whole goes on, what is not is known, and nothing that nobody wrote is ever read.

use std::collections::BTreeSet;

use super::{
    super::{files, salvage},
    *,
};

/// Entries of a log with a payload each, and what else a store holds.
fn filled(disk: &Disk, count: u64) -> Vec<EntryWithPayloads> {
    let mut all = Author::new(Audience::All);
    let contents: Vec<_> = (0..count).map(|number| format!("content {number}").repeat(20)).collect();
    let entries: Vec<_> = contents.iter().map(|content| all.entry(&[(content.as_bytes(), true)])).collect();
    let mut store = disk.open();
    store.persist(&entries.iter().map(record).collect::<Vec<_>>()).unwrap();
    let projections = (0..count)
        .map(|number| Write::Projection { key: format!("key {number}"), projection: Some(projection(Some(number))) });
    store.persist(&projections.collect::<Vec<_>>()).unwrap();
    store.persist(&[message("m", 1, 9), Write::Meta { key: "hlc".into(), value: vec![5] }]).unwrap();
    entries
}

/// The file without a log beside it.
fn at_rest(disk: &Disk) -> Vec<u8> {
    let connection = Connection::open(&disk.path).unwrap();
    connection.pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
    drop(connection);
    fs::read(&disk.path).unwrap()
}

fn mesh() -> MeshId {
    MeshId(Hash::of_content(b"mesh"))
}

/// Opens and loads as a start does; the store and whether it was salvaged.
fn opened(disk: &Disk) -> Result<(Store, bool), StoreError> {
    let open = || {
        let store = Store::open(&disk.path)?;
        if store.lost_places()?.is_empty() {
            store.load()?;
        }
        Ok(store)
    };
    match open() {
        Err(StoreError::Corrupt(_)) => {
            salvage(&disk.path)?;
            open().map(|store| (store, true))
        }
        opened => opened.map(|store| (store, false)),
    }
}

#[test]
fn the_first_page_is_the_same_in_every_store_but_for_counters() {
    let (empty, full) = (Disk::new(), Disk::new());
    drop(empty.open());
    filled(&full, 300);
    let (mut one, mut other) = (at_rest(&empty), at_rest(&full));
    for page in [&mut one, &mut other] {
        assert_eq!(page[100], 13, "all tables are named on it");
        page.truncate(4096);
        page[24..40].fill(0);
        page[92..100].fill(0);
    }
    assert!(one == other);
}

#[test]
fn any_byte_of_a_store_may_be_damaged_and_all_that_was_written_is_read_or_asked_for() {
    let disk = Disk::new();
    let entries = filled(&disk, 40);
    let whole = at_rest(&disk);
    let step = if std::env::var_os("AIEMP_TEST_ALL").is_some() { 61 } else { 2_003 };
    let payloads: BTreeSet<_> = entries.iter().flat_map(|entry| entry.payloads.iter().flatten().cloned()).collect();
    for at in (0..whole.len()).step_by(step) {
        let damaged = Disk::new();
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        aiemp_keys::private_file::write_private(&damaged.path, &bytes).unwrap();
        let (mut store, _) = opened(&damaged).unwrap_or_else(|error| panic!("byte {at}: {error}"));
        // A peer has what was lost.
        for entry in &entries {
            store.put_back(mesh(), entry.signed.log, &entry.signed.cose).unwrap();
        }
        assert!(store.lost_places().unwrap().is_empty(), "byte {at}");
        let loaded = store.load().unwrap_or_else(|error| panic!("byte {at}: {error}"));
        let found: Vec<_> = loaded.entries.iter().map(|entry| entry.cose.clone()).collect();
        let expected: Vec<_> = entries.iter().map(|entry| entry.signed.cose.clone()).collect();
        assert!(found == expected, "byte {at}: {} entries", found.len());
        for bytes in &payloads {
            let hash = ContentHash::of(bytes);
            let found = loop {
                match store.read_payload(hash, true) {
                    Err(StoreError::Corrupt(Damage::Payload(lost))) => drop(store.lose_payload(lost).unwrap()),
                    Err(StoreError::Corrupt(_)) => {
                        drop(store);
                        salvage(&damaged.path).unwrap();
                        store = damaged.open();
                    }
                    found => break found.unwrap_or_else(|error| panic!("byte {at}: {error}")),
                }
            };
            match found {
                Some(found) => assert!(found == *bytes, "byte {at}"),
                None => {
                    store.lose_payload(hash).unwrap();
                    assert!(store.is_missing(hash).unwrap(), "byte {at}: it is asked for");
                }
            }
        }
        for (key, there) in loaded.projections {
            let number: u64 = key.strip_prefix("key ").unwrap().parse().unwrap();
            assert_eq!(there, projection(Some(number)), "byte {at}");
        }
        assert!(store.read_meta("hlc").unwrap().is_none_or(|value| value == [5]), "byte {at}");
    }
}

#[test]
fn a_damaged_row_that_is_read_only_while_the_node_runs_is_known_at_the_start() {
    let key = "a key of which there is one";
    for write in [Write::Meta { key: key.to_owned(), value: vec![5] }, message(key, 1, 9)] {
        let disk = Disk::new();
        disk.open().persist(&[write]).unwrap();
        let whole = at_rest(&disk);
        // In the row and in the index.
        let windows = whole.windows(key.len()).enumerate().filter(|(_, window)| *window == key.as_bytes());
        let places: Vec<_> = windows.map(|(at, _)| at).collect();
        assert!(places.len() >= 2);
        for at in places {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let damaged = Disk::new();
            aiemp_keys::private_file::write_private(&damaged.path, &bytes).unwrap();
            let (store, was_salvaged) = opened(&damaged).unwrap();
            assert!(was_salvaged, "byte {at}");
            assert!(store.read_meta(key).unwrap().is_none_or(|value| value == [5]));
            let queue = store.read_queue(peer(), Timestamp::from_millis(0)).unwrap();
            assert!(queue.iter().all(|(id, bytes)| id == key && bytes == key.as_bytes()));
        }
    }
}

#[test]
fn a_page_of_entries_that_is_gone_leaves_places_that_take_the_right_entries_alone() {
    let disk = Disk::new();
    let entries = filled(&disk, 40);
    let mut bytes = at_rest(&disk);
    let last = &entries[39].signed.cose;
    let at = bytes.windows(last.len()).position(|window| window == &last[..]).unwrap() / 4096 * 4096;
    bytes[at..at + 4096].fill(0x5a);
    aiemp_keys::private_file::write_private(&disk.path, &bytes).unwrap();
    let (mut store, was_salvaged) = opened(&disk).unwrap();
    assert!(was_salvaged);
    assert!(files::kept_damaged(&disk.path).iter().any(|kept| fs::read(kept).unwrap() == bytes), "as it was");
    let lost = store.lost_places().unwrap();
    assert!(lost.contains(&(entries[39].signed.log, 40)) && lost.len() < 40, "{lost:?}");
    assert!(store.load().is_err(), "without them the logs are not used");
    let log = entries[0].signed.log;
    // Another entry for the place, by the author's own key, and the right one of another mesh.
    let mut other = Author::new(Audience::All);
    let others: Vec<_> = (0..40).map(|_| other.entry(&[(b"other", true)])).collect();
    for (_, seq) in &lost {
        assert!(!store.put_back(mesh(), log, &others[*seq as usize - 1].signed.cose).unwrap());
    }
    assert!(!store.put_back(MeshId(Hash::of_content(b"x")), log, &entries[39].signed.cose).unwrap());
    assert!(!store.put_back(mesh(), log, &entries[0].signed.cose).unwrap(), "it is there");
    for entry in &entries {
        store.put_back(mesh(), log, &entry.signed.cose).unwrap();
    }
    drop(store);
    let loaded = disk.open().load().unwrap();
    let found: Vec<_> = loaded.entries.iter().map(|entry| &entry.cose).collect();
    assert_eq!(found, entries.iter().map(|entry| &entry.signed.cose).collect::<Vec<_>>());
}

#[test]
fn what_nobody_has_any_more_is_cut_off_and_what_lies_on_disk_counts_as_unseen() {
    let disk = Disk::new();
    let entries = filled(&disk, 40);
    disk.damage("UPDATE entries SET cose = x'00' WHERE seq = 30");
    let (mut store, _) = opened(&disk).unwrap();
    let log = entries[0].signed.log;
    assert_eq!(store.lost_places().unwrap(), [(log, 30)].into());
    assert_eq!(store.cut().unwrap(), [(log, 29)].into());
    let loaded = store.load().unwrap();
    assert_eq!(loaded.entries.len(), 29);
    assert_eq!(loaded.projections.len(), 40);
    let is_unseen = |there: &Projection| there.merged_changes.is_none() && there.hash == ContentHash::of(b"unseen");
    assert!(loaded.projections.values().all(is_unseen));
}
