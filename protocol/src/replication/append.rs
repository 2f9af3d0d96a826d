//! This node's own entries.

use aiemp_keys::NodeId;

use super::{
    InFlight, Replication, SUSPICION_PATIENCE, UNSHOWN_MAX,
    input::EntryWithPayloads,
    output::{PeerFault, Record},
    validity,
};
use crate::{
    entry::{Entry, Item, Position, SignedEntry},
    ids::{Audience, LogId},
    limits::{GENERATIONS_AHEAD_MAX, SEEN_MAX},
    replication::Output,
    time::Timestamp,
};
use std::time::Duration;

impl Replication {
    /// A payload that is not given with it is one that an entry before named.
    pub(super) fn append(
        &mut self,
        now: Timestamp,
        audience: Audience,
        items: Vec<Item>,
        payloads: Vec<Option<Vec<u8>>>,
    ) {
        let log = self.own_log(audience);
        self.hlc = now.max(self.hlc + Duration::from_millis(1));
        let entry = Entry {
            seq: self.chains.len(log) + 1,
            epoch: self.rosters.current().epoch,
            hlc: self.hlc,
            seen: self.newly_seen(log),
            items,
        };
        let signed = SignedEntry::sign(&self.signer, self.mesh, log, self.chains.head(log), entry);
        debug_assert!(self.is_valid(&signed), "each peer would freeze the log: {:?}", signed.entry.items);
        self.epochs.insert(log, signed.entry.epoch);
        self.admission.count(self.me, now, &signed);
        let past = self.chains.push(&signed);
        let entry = EntryWithPayloads { signed, payloads };
        let record = Record::Entry { entry: entry.clone(), received: now };
        self.persist(record, InFlight::Entry { entry, past, from: None });
    }

    fn is_valid(&self, own: &SignedEntry) -> bool {
        let roster = self.rosters.current();
        roster.member(self.me).is_none_or(|me| validity::check(own, me, roster, own.entry.epoch).is_ok())
    }

    /// The other logs of the audience that advanced since this log named them last.
    ///
    /// Only durable, applied entries are named: what the author had is what it could have reacted to.
    fn newly_seen(&mut self, own: LogId) -> Vec<Position> {
        let advanced: Vec<_> = self
            .frontier()
            .filter(|position| position.log.audience == own.audience && position.log != own)
            .filter(|position| self.seen_said.get(&(own, position.log)).copied().unwrap_or(0) < position.seq)
            .take(SEEN_MAX)
            .collect();
        for position in &advanced {
            self.seen_said.insert((own, position.log), position.seq);
        }
        advanced
    }

    /// Another branch of a log stands than the one that is held: of this node's own, because the store is an older copy
    /// that has written since, or of one that the roster closed. What does not stand is taken out of the logs, with all
    /// that builds on it; what this node itself wrote is written anew in the next generation from what lies on disk.
    pub(super) fn diverged(&mut self, log: LogId, keep: u64) {
        if self.diverged.replace(log).is_none() {
            let mut ends = self.chains.before(log, keep);
            ends.insert(log, keep);
            self.outputs.push_back(Output::ReportDiverged { keep: ends });
        }
    }

    /// A peer says to hold other or later entries of this node's own log: until it has shown one, nothing of the log is
    /// handed out, so that a log never forks for others to see. Whoever showed none several times holds up nothing more.
    pub(super) fn suspect(&mut self, now: Timestamp, peer: NodeId, log: LogId) {
        if self.unshown.get(&peer).is_some_and(|times| *times >= UNSHOWN_MAX) {
            return;
        }
        self.suspect.entry(log).or_insert((peer, now + SUSPICION_PATIENCE));
    }

    /// Peers that did not show what they said to hold.
    pub(super) fn end_suspicions(&mut self, now: Timestamp) {
        let over = |(log, (peer, until)): (&LogId, &(_, Timestamp))| (*until <= now).then_some((*log, *peer));
        let over: Vec<_> = self.suspect.iter().filter_map(over).collect();
        if self.diverged.is_some() {
            return;
        }
        for (log, peer) in over {
            self.suspect.remove(&log);
            *self.unshown.entry(peer).or_default() += 1;
            if self.sessions.contains_key(&peer) {
                self.close_peer(peer, PeerFault::Unshown);
            }
        }
    }

    /// What a peer held more of this node's own log has been fetched: the log can be handed on again.
    pub(super) fn clear_suspicion(&mut self, log: LogId) {
        let durable = self.durable.get(&log).copied().unwrap_or(0);
        let known = self.sessions.values().filter_map(|session| session.known.as_ref()?.get(&log).copied());
        let is_over = self.diverged.is_none() && known.max().unwrap_or(0) <= durable;
        if is_over && self.suspect.remove(&log).is_some() {
            // What was kept back meanwhile is not pushed with the entries to come.
            for peer in self.sessions.keys().copied().collect::<Vec<_>>() {
                self.push_all(peer);
            }
        }
    }

    /// A peer showed an entry of this node's own that it lacked: the store is an older copy. What the peer has is
    /// fetched; what is written from now on goes into the next generation, for a log cannot fork.
    pub(super) fn own_log_was_behind(&mut self, now: Timestamp, peer: NodeId, log: LogId) {
        self.unshown.remove(&peer);
        if let Some(suspicion) = self.suspect.get_mut(&log) {
            *suspicion = (peer, now + SUSPICION_PATIENCE);
        }
        let minimum = self.rosters.current().member(self.me).map_or(0, |member| member.generation_min);
        let highest = minimum.saturating_add(GENERATIONS_AHEAD_MAX);
        if log.generation < self.generation || log.generation >= highest {
            return;
        }
        self.generation = log.generation + 1;
        self.outputs.push_back(Output::ReportRestored { generation: self.generation });
    }
}
