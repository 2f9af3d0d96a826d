//! Entries of a closed log after its end: they stand where a member whose own log is open built on them.
//!
//! Whoever lacks them and holds what was built on them takes them as well, or it could follow none of those members. A
//! word is not enough: they wait until they lead to the very entry that was named as seen.

use std::collections::BTreeSet;

use super::{Replication, accept::Standing};
use crate::{
    entry::SignedEntry,
    frame::Frame,
    ids::{EntryHash, LogId},
    limits::ENTRIES_PER_FETCH,
};

impl Replication {
    /// Entries of a closed log that are not held, as entries name them that stand and wait for what they had seen.
    fn named_past_end(&self, log: LogId) -> BTreeSet<(u64, EntryHash)> {
        if !self.is_closed(log) {
            return BTreeSet::new();
        }
        let held = self.chains.len(log);
        let firsts = self.waiting.iter().filter(|(other, _)| **other != log);
        let firsts = firsts.filter_map(|(other, waiting)| {
            SignedEntry::verify(self.mesh, *other, self.chains.head(*other), &waiting.front()?.cose).ok()
        });
        let standing = firsts.filter(|signed| matches!(self.standing(signed), Standing::Open(..)));
        let seen = standing.flat_map(|signed| signed.entry.seen);
        seen.filter(|seen| seen.log == log && seen.seq > held).map(|seen| (seen.seq, seen.hash)).collect()
    }

    /// Whether somebody built on what follows in a closed log.
    pub(super) fn is_built_on(&self, log: LogId) -> bool {
        !self.named_past_end(log).is_empty()
    }

    /// Looks whether what waits of a closed log leads to an entry that was named; says whether more of it stands now.
    pub(super) fn prove_past_end(&mut self, log: LogId) -> bool {
        let named = self.named_past_end(log);
        let Some(waiting) = self.waiting.get_mut(&log) else { return false };
        let mut chain: Vec<EntryHash> = Vec::new();
        let (mut head, held) = (self.chains.head(log), self.chains.len(log));
        let mut proven = 0;
        for entry in waiting.iter() {
            let seq = held + chain.len() as u64 + 1;
            let Ok(signed) = SignedEntry::verify(self.mesh, log, head, &entry.cose) else { break };
            if signed.entry.seq != seq {
                break;
            }
            head = Some(signed.hash);
            chain.push(signed.hash);
            if named.contains(&(seq, signed.hash)) {
                proven = chain.len();
            }
        }
        // What does not follow keeps nothing else from its place.
        waiting.truncate(chain.len());
        let before = self.past_end.len();
        self.past_end.extend(chain.into_iter().take(proven));
        self.past_end.len() > before
    }

    /// Another entry of a closed log waits; says whether more of the log stands now.
    pub(super) fn waits_past_end(&mut self, peer: aiemp_keys::NodeId, log: LogId, seq: u64) -> bool {
        let named = self.named_past_end(log);
        if named.iter().any(|(at, _)| *at == seq) && self.prove_past_end(log) {
            return true;
        }
        let is_last_of_fetch = (seq - self.chains.len(log)).is_multiple_of(ENTRIES_PER_FETCH);
        if is_last_of_fetch && named.iter().any(|(at, _)| *at > seq) {
            self.send(peer, Frame::Fetch { log, from_seq: seq + 1, count: ENTRIES_PER_FETCH });
        }
        false
    }
}
