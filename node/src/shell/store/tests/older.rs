//! Stores that versions before wrote.

use aiemp_keys::cbor;

use super::*;

/// The label of the digests of entries then.
const ENTRY_LABEL: &str = "aiemp-node 2026 store entry";

const TABLES_4: &str = "
CREATE TABLE entries (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    log BLOB NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    cose BLOB NOT NULL,
    cose_hash BLOB NOT NULL,
    payload_hashes BLOB NOT NULL,
    received INTEGER NOT NULL DEFAULT 0,
    UNIQUE (log, seq)
) STRICT;
CREATE TABLE payloads (
    hash BLOB PRIMARY KEY NOT NULL,
    shared INTEGER NOT NULL CHECK (shared IN (0, 1)),
    change INTEGER NOT NULL CHECK (change IN (0, 1)),
    bytes BLOB NOT NULL
) STRICT;
CREATE TABLE missing (
    hash BLOB NOT NULL,
    length INTEGER NOT NULL,
    shared INTEGER NOT NULL CHECK (shared IN (0, 1)),
    change INTEGER NOT NULL CHECK (change IN (0, 1)),
    PRIMARY KEY (hash, length, shared, change)
) STRICT;
CREATE TABLE frozen (
    log BLOB PRIMARY KEY NOT NULL,
    reason TEXT NOT NULL,
    evidence BLOB NOT NULL
) STRICT;
CREATE TABLE projections (
    key TEXT PRIMARY KEY NOT NULL,
    path TEXT NOT NULL,
    file BLOB NOT NULL,
    hash BLOB NOT NULL,
    heads BLOB NOT NULL,
    merged_changes INTEGER,
    base BLOB NOT NULL
) STRICT;
CREATE TABLE queue (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    peer BLOB NOT NULL,
    id TEXT NOT NULL,
    bytes BLOB NOT NULL,
    hash BLOB NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    UNIQUE (peer, id)
) STRICT;
CREATE TABLE meta (
    key TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
) STRICT;
CREATE TABLE stamps (
    name BLOB PRIMARY KEY NOT NULL,
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT, WITHOUT ROWID;
PRAGMA application_id = 1634297197;
PRAGMA user_version = 4;
";

/// A store of version 4 that says the same as one of today.
fn version_4(disk: &Disk) -> Disk {
    let old = Disk::new();
    aiemp_keys::private_file::write_private(&old.path, b"").unwrap();
    let connection = Connection::open(&old.path).unwrap();
    connection.execute_batch(TABLES_4).unwrap();
    connection.execute("ATTACH ?1 AS now", [disk.path.to_str().unwrap()]).unwrap();
    connection
        .execute_batch(
            "INSERT INTO entries (log, seq, hash, cose, cose_hash, payload_hashes, received)
                 SELECT log, seq, hash, cose, x'', payload_hashes, received FROM now.entries ORDER BY position;
             INSERT INTO payloads SELECT hash, shared, change, bytes FROM now.payloads;
             INSERT INTO missing SELECT hash, length, shared, change FROM now.missing;
             INSERT INTO projections SELECT key, path, file, hash, heads, merged_changes, base FROM now.projections;
             INSERT INTO queue (peer, id, bytes, hash, created, expires)
                 SELECT peer, id, bytes, x'', created, expires FROM now.queue;
             INSERT INTO meta SELECT key, value FROM now.meta;
             INSERT INTO frozen SELECT log, reason, evidence FROM now.frozen",
        )
        .unwrap();
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
    let now = Disk::new();
    let mut all = Author::new(Audience::All);
    let entries = [
        all.entry(&[(b"one", false), (b"text", true), (b"both", true)]),
        all.changes(&[(b"change", true), (b"both", true)]),
    ];
    let log = LogId { author: peer(), generation: 3, audience: Audience::All };
    let mut batch: Vec<_> = entries.iter().map(record).collect();
    batch.extend([
        Write::Projection { key: "a".into(), projection: Some(projection(Some(4))) },
        Write::Record(Record::Frozen { log, reason: FreezeReason::Equivocation, evidence: vec![1] }),
        Write::Meta { key: "hlc".into(), value: vec![5] },
        message("m", 1, 9),
    ]);
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
    let now = Disk::new();
    let mut all = Author::new(Audience::All);
    let entries = [
        all.entry(&[(b"one", false), (b"text", true), (b"both", true)]),
        all.changes(&[(b"change", true), (b"both", true)]),
    ];
    now.open().persist(&entries.each_ref().map(record)).unwrap();
    now.open().persist(&[Write::Projection { key: "a".into(), projection: Some(projection(Some(4))) }]).unwrap();
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
