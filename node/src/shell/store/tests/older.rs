//! Stores that versions before wrote.

use aiemp_keys::cbor;

use super::*;

/// The label of the digests of entries then.
const ENTRY_LABEL: &str = "aiemp-node 2026 store entry";

/// What tells the tables of version 4 from those of today.
const TO_TABLES_4: &str = "
ALTER TABLE entries ADD COLUMN cose_hash BLOB NOT NULL DEFAULT x'';
ALTER TABLE entries DROP COLUMN digest;
ALTER TABLE payloads DROP COLUMN digest;
ALTER TABLE missing DROP COLUMN digest;
ALTER TABLE frozen DROP COLUMN digest;
ALTER TABLE projections DROP COLUMN digest;
ALTER TABLE queue RENAME COLUMN digest TO hash;
ALTER TABLE meta DROP COLUMN digest;
DROP TABLE lost;
DROP TABLE forgotten;
PRAGMA user_version = 4;
";

/// A store of today: two entries, what a note is projected from, and payloads that are missing.
fn of_today() -> Disk {
    let disk = Disk::new();
    let mut all = Author::new(Audience::All);
    let entries = [
        all.entry(&[(b"one", false), (b"text", true), (b"both", true)]),
        all.changes(&[(b"change", true), (b"both", true)]),
    ];
    let mut store = disk.open();
    store.persist(&entries.each_ref().map(record)).unwrap();
    store.persist(&[Write::Projection { key: "a".into(), projection: Some(projection(Some(4))) }]).unwrap();
    disk
}

/// A store of version 4 that says the same as one of today.
fn version_4(disk: &Disk) -> Disk {
    let old = Disk::new();
    aiemp_keys::private_file::write_private(&old.path, b"").unwrap();
    let today = Connection::open(&disk.path).unwrap();
    today.execute("VACUUM INTO ?1", [old.path.to_str().unwrap()]).unwrap();
    let connection = Connection::open(&old.path).unwrap();
    connection.execute_batch(TO_TABLES_4).unwrap();
    let mut statement =
        connection.prepare("SELECT position, log, seq, hash, cose, payload_hashes FROM entries").unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let bytes = |index: usize| cbor::bytes(&row.get::<_, Vec<u8>>(index).unwrap());
        let seq = cbor::Value::Integer(row.get::<_, i64>(2).unwrap().into());
        let digest = Hash::labelled(ENTRY_LABEL, [bytes(1), seq, bytes(3), bytes(4), bytes(5)]);
        let update = "UPDATE entries SET cose_hash = ?1 WHERE position = ?2";
        connection.execute(update, rusqlite::params![digest.as_bytes(), row.get::<_, i64>(0).unwrap()]).unwrap();
    }
    old
}

#[test]
fn stores_of_the_versions_before_are_read_and_brought_up_to_date() {
    let now = of_today();
    let log = LogId { author: peer(), generation: 3, audience: Audience::All };
    let batch = [
        Write::Record(Record::Frozen { log, reason: FreezeReason::Equivocation, evidence: vec![1] }),
        Write::Meta { key: "hlc".into(), value: vec![5] },
        message("m", 1, 9),
    ];
    now.open().persist(&batch).unwrap();
    let disk = version_4(&now);
    let loaded = disk.open().load().unwrap();
    let expected = now.open().load().unwrap();
    assert_eq!(loaded.entries, expected.entries);
    assert_eq!((loaded.frozen, loaded.projections), (expected.frozen, expected.projections));
    assert_eq!(loaded.missing, expected.missing);
    assert_eq!(disk.open().read_meta("hlc").unwrap(), Some(vec![5]));
    assert_eq!(disk.open().read_queue(peer(), Timestamp::from_millis(2)).unwrap().len(), 1);
    assert_eq!(disk.open().read_payload(ContentHash::of(b"text"), true).unwrap().as_deref(), Some(&b"text"[..]));
    let mode = fs::metadata(&disk.path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
}

#[test]
fn what_earlier_versions_did_not_note_is_found_or_asked_for() {
    let now = of_today();
    let of_2 = |columns: &str| {
        format!(
            "CREATE TABLE was (hash BLOB PRIMARY KEY NOT NULL, length INTEGER NOT NULL, shared INTEGER NOT NULL{columns}) STRICT;
             INSERT INTO was (hash, length, shared) SELECT hash, length, shared FROM missing WHERE change = 0;
             DROP TABLE missing; ALTER TABLE was RENAME TO missing; ALTER TABLE payloads DROP COLUMN change;
             ALTER TABLE projections DROP COLUMN base; DROP TABLE stamps;"
        )
    };
    let older = |sql: &str| {
        let disk = version_4(&now);
        Connection::open(&disk.path).unwrap().execute_batch(sql).unwrap();
        disk
    };
    let disk = older("DROP TABLE stamps; PRAGMA user_version = 3");
    assert!(disk.open().load().unwrap().stamps.is_empty());
    let disk = older(&(of_2(", change INTEGER NOT NULL DEFAULT 0") + "PRAGMA user_version = 2"));
    let is_change = |bytes| disk.open().read_change(ContentRef::of(bytes), true).unwrap().is_some();
    assert!(is_change(b"change") && !is_change(b"text"), "as the entries call them");
    assert!(!is_change(b"both"), "nobody knows as what it came");
    let both = Missing { is_change: true, ..shared(b"both") };
    assert_eq!(disk.open().load().unwrap().missing, [shared(b"one"), both].into(), "so it is asked for");
    let there = Projection { base: projection(None).hash, ..projection(Some(4)) };
    assert_eq!(disk.open().load().unwrap().projections, [("a".into(), there)].into(), "as if nobody had edited it");

    let disk = older(&(of_2("") + "ALTER TABLE entries DROP COLUMN received; PRAGMA user_version = 1"));
    let loaded = disk.open().load().unwrap();
    assert_eq!(loaded.entries[0].received, Timestamp::default());
    assert_eq!(loaded.missing, [shared(b"one"), both].into());
    assert!(disk.open().load().is_ok(), "once");
}

#[test]
fn a_store_of_a_version_before_is_left_alone_beside_a_running_node() {
    let now = Disk::new();
    drop(now.open());
    let disk = version_4(&now);
    let before = fs::read(&disk.path).unwrap();
    let path = disk.path.display();
    let expected =
        format!("{path} was written by an older aiemp-node: start the node once with this version, then try again");
    assert_eq!(Store::open_beside(&disk.path).unwrap_err().to_string(), expected);
    assert_eq!(fs::read(&disk.path).unwrap(), before);
    drop(disk.open());
    assert!(Store::open_beside(&disk.path).is_ok());
}
