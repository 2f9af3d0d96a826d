//! The order of entries: each after all that its author had seen. As they became durable they lie so; entries that were
//! damaged and came back lie last.

use std::collections::BTreeMap;

use aiemp_protocol::{
    entry::{Position, SignedEntry},
    ids::{EntryHash, LogId},
};

use super::read::EntryRow;

/// The entries in such an order, and those that have no place in it, for something before them is not there.
pub(super) fn placed(rows: Vec<EntryRow>) -> (Vec<EntryRow>, Vec<EntryRow>) {
    let mut held: BTreeMap<LogId, Vec<EntryHash>> = BTreeMap::new();
    let mut ordered = Vec::with_capacity(rows.len());
    let mut waiting: Vec<_> = rows.into_iter().map(|row| (SignedEntry::claimed_seen(&row.cose), row)).collect();
    loop {
        let before = ordered.len();
        let mut left = Vec::new();
        for (seen, row) in waiting {
            let has_seen = |seen: &Vec<Position>| seen.iter().all(|position| is_held(&held, position));
            let ends_at = held.get(&row.log).map_or(0, Vec::len) as u64;
            if ends_at + 1 == row.seq && seen.as_ref().is_ok_and(has_seen) {
                held.entry(row.log).or_default().push(row.hash);
                ordered.push(row);
            } else {
                left.push((seen, row));
            }
        }
        if left.is_empty() || ordered.len() == before {
            return (ordered, left.into_iter().map(|(_, row)| row).collect());
        }
        waiting = left;
    }
}

fn is_held(held: &BTreeMap<LogId, Vec<EntryHash>>, seen: &Position) -> bool {
    let index = usize::try_from(seen.seq.saturating_sub(1)).unwrap_or(usize::MAX);
    held.get(&seen.log).and_then(|log| log.get(index)) == Some(&seen.hash)
}

/// Places of which entries that are there tell, and at which none is: gaps, and what others had seen.
pub(super) fn untold(rows: &[EntryRow]) -> Vec<(LogId, u64)> {
    let mut ends: BTreeMap<LogId, u64> = BTreeMap::new();
    let mut end = |log: LogId, seq: u64| {
        let end = ends.entry(log).or_default();
        *end = seq.max(*end);
    };
    for row in rows {
        end(row.log, row.seq);
        for seen in SignedEntry::claimed_seen(&row.cose).unwrap_or_default() {
            end(seen.log, seen.seq);
        }
    }
    let held: std::collections::BTreeSet<_> = rows.iter().map(|row| (row.log, row.seq)).collect();
    let places = ends.into_iter().flat_map(|(log, end)| (1..=end).map(move |seq| (log, seq)));
    places.filter(|place| !held.contains(place)).collect()
}
