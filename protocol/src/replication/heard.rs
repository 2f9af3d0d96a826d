//! What the other members have, as far as they said: in the entries that they signed, and in the frontiers of their sessions.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_keys::NodeId;

use super::{Replication, readable_by};
use crate::{
    entry::Position,
    ids::{ContentHash, LogId},
    time::Timestamp,
};

impl Replication {
    /// A peer said in its own session how far it holds the logs. That it lies harms nobody but itself.
    pub(super) fn note_frontier(&mut self, peer: NodeId, positions: &[Position]) {
        let held = self.heard.entry(peer).or_default();
        for position in positions {
            let seq = held.entry(position.log).or_default();
            *seq = position.seq.max(*seq);
        }
    }

    /// Of each log, the last entry that every other member has who may read it.
    pub fn known_to_all(&self) -> BTreeMap<LogId, u64> {
        let roster = self.rosters.current();
        let others = || roster.members.iter().filter(|member| member.node != self.me);
        let by_all = |log: LogId| {
            let readers = others().filter(|member| readable_by(member.role, log.audience) && member.node != log.author);
            readers.map(|member| self.has_said_to_hold(member.node, log)).min().unwrap_or(u64::MAX)
        };
        self.chains.logs().map(|log| (log, by_all(log))).collect()
    }

    /// How much of a log the author of `own` had when it wrote the last entry of that.
    fn holds_by_last(&self, own: LogId, log: LogId) -> Option<u64> {
        if own == log {
            return self.chains.len(log).checked_sub(1);
        }
        self.chains.past_of_last(own).map(|past| past.held(log))
    }

    fn has_said_to_hold(&self, member: NodeId, log: LogId) -> u64 {
        let signed = self.chains.logs().filter(|own| own.author == member);
        let signed = signed.filter_map(|own| self.holds_by_last(own, log));
        let told = self.heard.get(&member).and_then(|held| held.get(&log)).copied();
        signed.chain(told).max().unwrap_or(0)
    }

    /// Members that are not connected, each with the time of the last entry that was taken from it, or when it joined.
    pub fn last_heard(&self) -> Vec<(NodeId, Timestamp)> {
        let roster = self.rosters.current();
        let away = roster.members.iter().filter(|member| !self.sessions.contains_key(&member.node));
        let away = away.map(|member| member.node).filter(|node| *node != self.me);
        let joined = |node: NodeId| {
            let mut rosters = (1..=roster.epoch).filter_map(|epoch| self.rosters.at(epoch));
            rosters.find(|roster| roster.member(node).is_some()).map(|roster| roster.issued).unwrap_or_default()
        };
        let heard = |node: NodeId| {
            let logs = self.taken.iter().filter(|(log, _)| log.author == node);
            logs.filter_map(|(_, taken)| taken.iter().max().copied()).max()
        };
        away.map(|node| (node, heard(node).unwrap_or_default().max(joined(node)))).collect()
    }

    /// Whether nothing is on its way to the disk, or to be looked at before it goes there.
    pub fn is_quiet(&self) -> bool {
        self.in_flight.is_empty() && self.screening.is_empty() && self.incoming.is_empty() && self.waiting.is_empty()
    }

    pub(super) fn forget_payloads(&mut self, forgotten: &BTreeSet<ContentHash>) {
        self.lacking.forget(forgotten);
    }
}
