//! Logs that the roster closed on another branch than the one that is held here.
//!
//! Their author signed two entries for one place, and the root key said which stands. A peer that holds the branch that
//! stands shows it entry by entry; only when it leads to the entry that the roster names is the other one given up.

use aiemp_keys::NodeId;

use super::Replication;
use crate::{
    entry::SignedEntry,
    frame::Frame,
    ids::{EntryHash, LogId},
    limits::ENTRIES_PER_FETCH,
    roster::ClosedLog,
};

/// Another branch of a closed log, as far as a peer has shown it.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) peer: NodeId,
    from_seq: u64,
    hashes: Vec<EntryHash>,
}

impl Replication {
    fn end_of(&self, log: LogId) -> Option<&ClosedLog> {
        self.rosters.current().closed.iter().find(|closed| closed.log == log)
    }

    /// Entries after the end of a closed log are given up, unless somebody else built on them.
    pub(super) fn give_up_overruns(&mut self) {
        let overrun = |end: &&ClosedLog| {
            let stands = end.seq == 0 || self.chains.hash(end.log, end.seq).is_some_and(|held| held.0 == end.hash);
            let others = || self.chains.before(end.log, end.seq).into_keys().any(|log| log.author != self.me);
            self.chains.len(end.log) > end.seq && stands && !others()
        };
        let found = self.rosters.current().closed.iter().find(overrun).map(|end| (end.log, end.seq));
        if let Some((log, keep)) = found {
            self.diverged(log, keep);
        }
    }

    /// A verified entry for a place of a closed log that another one holds here.
    pub(super) fn branch_found(&mut self, peer: NodeId, signed: &SignedEntry) {
        let (log, seq) = (signed.log, signed.entry.seq);
        let stands_here = |end: &ClosedLog| self.chains.hash(log, end.seq).is_some_and(|held| held.0 == end.hash);
        if self.end_of(log).is_none_or(|end| seq > end.seq || stands_here(end)) {
            return;
        }
        self.branches.insert(log, Branch { peer, from_seq: seq, hashes: vec![signed.hash] });
        self.branch_grew(log);
    }

    /// Whether this is the next entry of a branch that the peer is showing.
    pub(super) fn follows_branch(&mut self, peer: NodeId, log: LogId, seq: u64, cose: &[u8]) -> bool {
        let Some(branch) = self.branches.get_mut(&log).filter(|branch| branch.peer == peer) else { return false };
        if seq != branch.from_seq + branch.hashes.len() as u64 {
            return false;
        }
        let Ok(signed) = SignedEntry::verify(self.mesh, log, branch.hashes.last().copied(), cose) else { return false };
        branch.hashes.push(signed.hash);
        self.branch_grew(log);
        true
    }

    fn branch_grew(&mut self, log: LogId) {
        let Some(end) = self.end_of(log).map(|end| (end.seq, end.hash)) else { return };
        let Some(Branch { peer, from_seq, hashes }) = self.branches.get(&log) else { return };
        let (peer, from_seq, shown) = (*peer, *from_seq, hashes.len() as u64);
        let last = from_seq + shown - 1;
        if last == end.0 {
            let leads_there = hashes.last().is_some_and(|hash| hash.0 == end.1);
            self.branches.remove(&log);
            if leads_there {
                self.diverged(log, from_seq - 1);
            }
        } else if shown % ENTRIES_PER_FETCH == 1 {
            self.send(peer, Frame::Fetch { log, from_seq: last + 1, count: ENTRIES_PER_FETCH });
        }
    }
}
