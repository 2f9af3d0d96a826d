//! Causal order: which entries an entry's author had when it was made.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    entry::SignedEntry,
    ids::{EntryHash, LogId},
};

/// For each log but the entry's own, how many of its entries lie in the entry's causal past: in the order of the logs. Of its
/// own log all that came before do. Shared by entries that follow each other with nothing new of others between them: most do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past(Arc<[(LogId, u64)]>);

impl Past {
    /// The other logs with how many of their entries.
    pub fn iter(&self) -> impl Iterator<Item = (LogId, u64)> + '_ {
        self.0.iter().copied()
    }

    /// How many entries of another log.
    pub fn held(&self, log: LogId) -> u64 {
        self.0.binary_search_by_key(&log, |(log, _)| *log).map_or(0, |at| self.0[at].1)
    }

    /// Whether the entry `(log, seq)` of another log lies in it.
    pub fn contains(&self, log: LogId, seq: u64) -> bool {
        self.held(log) >= seq
    }
}

impl FromIterator<(LogId, u64)> for Past {
    fn from_iter<T: IntoIterator<Item = (LogId, u64)>>(past: T) -> Self {
        let sorted: BTreeMap<_, _> = past.into_iter().collect();
        Self(sorted.into_iter().collect())
    }
}

/// The chains of all logs that are held, with the causal past of each entry.
#[derive(Debug, Default)]
pub struct Chains {
    logs: BTreeMap<LogId, Vec<(EntryHash, Past)>>,
}

impl Chains {
    /// Adds the next entry of its log and answers its causal past. All of `seen` must be held.
    pub fn push(&mut self, signed: &SignedEntry) -> Past {
        let before = self.logs.get(&signed.log).and_then(|chain| chain.last()).map(|(_, before)| before.clone());
        let before = before.unwrap_or_default();
        let mut past: BTreeMap<_, _> = before.iter().collect();
        for seen in &signed.entry.seen {
            if let Some((_, theirs)) = self.at(seen.log, seen.seq) {
                for (log, seq) in theirs.iter() {
                    raise(&mut past, log, seq);
                }
            }
            raise(&mut past, seen.log, seen.seq);
        }
        past.remove(&signed.log);
        let past = if before.iter().eq(past.iter().map(|(log, seq)| (*log, *seq))) {
            before
        } else {
            past.into_iter().collect()
        };
        let chain = self.logs.entry(signed.log).or_default();
        debug_assert_eq!(chain.len() as u64 + 1, signed.entry.seq);
        chain.push((signed.hash, past.clone()));
        past
    }

    /// Number of entries held of a log.
    pub fn len(&self, log: LogId) -> u64 {
        self.logs.get(&log).map_or(0, |chain| chain.len() as u64)
    }

    /// Hash of an entry; `None` for seq 0 and what is not held.
    pub fn hash(&self, log: LogId, seq: u64) -> Option<EntryHash> {
        self.at(log, seq).map(|(hash, _)| *hash)
    }

    /// Hash of the last entry held.
    pub fn head(&self, log: LogId) -> Option<EntryHash> {
        self.hash(log, self.len(log))
    }

    /// What the author of a log had when it wrote the last entry that is held.
    pub fn past_of_last(&self, log: LogId) -> Option<&Past> {
        self.at(log, self.len(log)).map(|(_, past)| past)
    }

    /// Of each other log with an entry that had one of `log` beyond `keep` in its past, the last entry before those.
    pub fn before(&self, log: LogId, keep: u64) -> BTreeMap<LogId, u64> {
        let others = self.logs.iter().filter(|(other, _)| **other != log);
        let end = |(other, chain): (&LogId, &Vec<(EntryHash, Past)>)| {
            let first = chain.iter().position(|(_, past)| past.contains(log, keep + 1))?;
            Some((*other, first as u64))
        };
        others.filter_map(end).collect()
    }

    /// The logs, in order.
    pub fn logs(&self) -> impl Iterator<Item = LogId> + '_ {
        self.logs.keys().copied()
    }

    fn at(&self, log: LogId, seq: u64) -> Option<&(EntryHash, Past)> {
        self.logs.get(&log)?.get(usize::try_from(seq.checked_sub(1)?).ok()?)
    }
}

fn raise(past: &mut BTreeMap<LogId, u64>, log: LogId, seq: u64) {
    let held = past.entry(log).or_default();
    *held = seq.max(*held);
}
