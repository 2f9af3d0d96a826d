//! A damaged store becomes a new one of all in it that is what was written. What else its entries name is asked of the
//! peers: payloads while the node runs, entries before it starts. The damaged file is kept beside.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use aiemp_keys::Hash;
use aiemp_protocol::ids::{ContentHash, LogId};
use rusqlite::{Connection, Row, params, types::Value};

use super::{
    Store,
    error::{Damage, StoreError},
    files, integer, log_key,
    lost::PUT_BACK,
    order,
    read::{EntryRow, parse_log},
    rows::{ENTRIES, FROZEN, LOST, META, PAYLOADS, PROJECTIONS, QUEUE, Table, blob},
    schema,
    write::put_payload,
};

/// SQLite's page in every store.
const PAGE: usize = 4096;
/// What of the first page changes: two counters, the length, the list of free pages; which version of SQLite wrote last.
const COUNTERS: [std::ops::Range<usize>; 2] = [24..40, 92..100];
/// So many numbers of rows that cannot be read, one after the other, are the end of a table: more than one damaged page of
/// any kind keeps from being read.
const UNREADABLE_MAX: i64 = 1 << 15;

/// What became of a damaged store.
#[derive(Debug)]
pub struct Salvaged {
    /// Where the damaged file is kept, if there are not enough of them already.
    pub kept: Option<PathBuf>,
    /// Entries that were lost.
    pub entries: usize,
    /// Payloads that were lost, or had not come before.
    pub payloads: usize,
}

/// Makes a new store of what is whole in the damaged one at `path`, which nobody has open.
pub fn salvage(path: &Path) -> Result<Salvaged, StoreError> {
    let kept = files::keep_damaged(path)?;
    let copy = files::copied(path, "look")?;
    lend_first_page(path, &copy)?;
    let old = schema::connect(&copy)?;
    schema::check_tables(&old)?;
    let new_path = files::emptied(path, "new")?;
    let mut new = Store { connection: schema::open(&new_path)? };
    copy_whole_rows(&old, &mut new.connection)?;
    let entries = note_lost(&old, &mut new.connection)?;
    drop(old);
    files::discard(&copy)?;
    new.renew_missing()?;
    let payloads = new.connection.query_row("SELECT count(*) FROM missing", [], |row| row.get::<_, i64>(0))?;
    files::put_in_place(new.connection, &new_path, path)?;
    Ok(Salvaged { kept, entries, payloads: usize::try_from(payloads).unwrap_or_default() })
}

/// The first page says how the file is laid out and where its tables are: the same in every store.
fn lend_first_page(path: &Path, copy: &Path) -> Result<(), StoreError> {
    let fresh_path = files::emptied(path, "fresh")?;
    let fresh = schema::open(&fresh_path)?;
    fresh.pragma_update(None, "wal_checkpoint", "TRUNCATE")?;
    drop(fresh);
    let mut page = fs::read(&fresh_path).map_err(StoreError::File)?;
    files::discard(&fresh_path)?;
    page.truncate(PAGE);
    for counters in COUNTERS {
        page[counters].fill(0);
    }
    // The length that it states is of no account then; the file's own is.
    page[27] = 1;
    let file = fs::OpenOptions::new().read(true).write(true).open(copy).map_err(StoreError::File)?;
    let mut found = vec![0; PAGE];
    if file.read_exact_at(&mut found, 0).is_err() {
        return Ok(());
    }
    for counters in COUNTERS {
        found[counters].fill(0);
    }
    found[27] = 1;
    if found == page { Ok(()) } else { file.write_all_at(&page, 0).map_err(StoreError::File) }
}

fn copy_whole_rows(old: &Connection, new: &mut Connection) -> Result<(), StoreError> {
    let transaction = new.transaction()?;
    // What files look like from outside is looked at anew, and what is missing is found from the entries.
    for table in [&ENTRIES, &FROZEN, &PROJECTIONS, &QUEUE, &META, &LOST] {
        each_whole(old, table, "", |values, _| table.add(&transaction, values).map(|_| ()))?;
    }
    each_whole(old, &PAYLOADS, ", bytes", |values, row| {
        let flag = |index: usize| values[index] == Value::Integer(1);
        let bytes: Vec<u8> = row.get(PAYLOADS.columns.len() + 2).unwrap_or_default();
        match &values[0] {
            Value::Blob(hash) if ContentHash::of(&bytes).0.as_bytes()[..] == hash[..] => {
                let hash = ContentHash(Hash::of_content(&bytes));
                put_payload(&transaction, hash, (flag(1), flag(2)), &bytes)
            }
            Value::Blob(_) | Value::Null | Value::Integer(_) | Value::Real(_) | Value::Text(_) => Ok(()),
        }
    })?;
    for hash in readable_hashes(old, "SELECT hash FROM forgotten") {
        transaction.execute("INSERT OR IGNORE INTO forgotten (hash) VALUES (?1)", params![hash])?;
    }
    META.put(&transaction, vec![Value::Text(PUT_BACK.to_owned()), blob(&[1])])?;
    Ok(transaction.commit()?)
}

/// Takes every row that is what was written: in one go, and behind a page that cannot be read by the numbers of the rows.
fn each_whole(
    old: &Connection,
    table: &Table,
    more: &str,
    mut take: impl FnMut(Vec<Value>, &Row<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (mut last, mut whole_at) = (0, 0);
    while last - whole_at <= UNREADABLE_MAX {
        let sql = table.select(&format!(", rowid{more}"), "WHERE rowid > ?1 ORDER BY rowid");
        let mut statement = old.prepare_cached(&sql)?;
        let mut rows = statement.query(params![last])?;
        loop {
            match rows.next() {
                Ok(None) => return Ok(()),
                Ok(Some(row)) => {
                    last = row.get::<_, i64>(table.columns.len() + 1).unwrap_or(last);
                    whole_at = last;
                    if let Ok(values) = table.read(row) {
                        take(values, row)?;
                    }
                }
                Err(_) => break,
            }
        }
        last += 1;
    }
    Ok(())
}

/// As far as they can be read.
fn readable_hashes(old: &Connection, sql: &str) -> Vec<[u8; 32]> {
    let Ok(mut statement) = old.prepare(sql) else { return Vec::new() };
    let Ok(hashes) = statement.query_map([], |row| row.get(0)) else { return Vec::new() };
    hashes.map_while(Result::ok).collect()
}

/// Notes the places whose entry was lost, as the index and the other entries tell; how many.
fn note_lost(old: &Connection, new: &mut Connection) -> Result<usize, StoreError> {
    let rows = ENTRIES.each(new, "", params![], EntryRow::of)?;
    let held: BTreeSet<_> = rows.iter().map(|row| (row.log, row.seq)).collect();
    let mut lost: BTreeSet<_> = order::untold(&rows).into_iter().collect();
    let indexed = indexed_places(old);
    if indexed.len() > held.len() {
        for (log, seq) in indexed {
            let follows = seq == 1 || held.contains(&(log, seq - 1)) || lost.contains(&(log, seq - 1));
            if follows && !held.contains(&(log, seq)) {
                lost.insert((log, seq));
            }
        }
    }
    for (log, seq) in &lost {
        LOST.add(new, vec![Value::Blob(log_key(*log)), Value::Integer(integer(*seq))])?;
    }
    Ok(lost.len())
}

/// The places of all entries, as far as the index can be read.
fn indexed_places(old: &Connection) -> BTreeSet<(LogId, u64)> {
    let sql = "SELECT log, seq FROM entries INDEXED BY sqlite_autoindex_entries_1 ORDER BY log, seq";
    let mut places = BTreeSet::new();
    let Ok(mut statement) = old.prepare(sql) else { return places };
    let Ok(mut rows) = statement.query([]) else { return places };
    while let Ok(Some(row)) = rows.next() {
        let place = |row: &Row<'_>| -> Result<(LogId, u64), StoreError> {
            let log = parse_log(&row.get::<_, Vec<u8>>(0)?, "entries")?;
            let seq = u64::try_from(row.get::<_, i64>(1)?).map_err(|_| Damage::Row("entries"))?;
            Ok((log, seq))
        };
        places.extend(place(row));
    }
    places
}
