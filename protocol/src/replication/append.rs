//! This node's own entries.

use super::{InFlight, Replication, input::EntryWithPayloads, output::Record};
use crate::{
    entry::{Entry, Item, Position, SignedEntry},
    ids::{Audience, LogId},
    limits::{GENERATIONS_AHEAD_MAX, SEEN_MAX},
    replication::Output,
    time::Timestamp,
};
use std::time::Duration;

impl Replication {
    pub(super) fn append(&mut self, now: Timestamp, audience: Audience, items: Vec<Item>, payloads: Vec<Vec<u8>>) {
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
        self.epochs.insert(log, signed.entry.epoch);
        let past = self.chains.push(&signed);
        let entry = EntryWithPayloads { signed, payloads: payloads.into_iter().map(Some).collect() };
        self.persist(Record::Entry(entry.clone()), InFlight::Entry { entry, past, from: None });
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

    /// A peer holds another entry of this node's own log than it does: the store is an older copy that has written
    /// since. What it wrote is taken out of the logs, and written anew in the next generation from what lies on disk.
    pub(super) fn diverged(&mut self, log: LogId, keep: u64) {
        if self.diverged.replace(log).is_none() {
            self.outputs.push_back(Output::ReportDiverged { log, keep });
        }
    }

    /// What a peer held more of this node's own log has been fetched: the log can be handed on again.
    pub(super) fn clear_suspicion(&mut self, log: LogId) {
        let durable = self.durable.get(&log).copied().unwrap_or(0);
        let known = self.sessions.values().filter_map(|session| session.known.as_ref()?.get(&log).copied());
        if self.diverged.is_none() && known.max().unwrap_or(0) <= durable {
            self.suspect.remove(&log);
        }
    }

    /// A peer holds more of this node's own log than it does: the store is an older copy. What the peer has is
    /// fetched; what is written from now on goes into the next generation, for a log cannot fork.
    pub(super) fn own_log_is_behind(&mut self, position: &Position) {
        let minimum = self.rosters.current().member(self.me).map_or(0, |member| member.generation_min);
        let highest = minimum.saturating_add(GENERATIONS_AHEAD_MAX);
        if position.log.generation < self.generation || position.log.generation >= highest {
            return;
        }
        self.generation = position.log.generation + 1;
        self.outputs.push_back(Output::ReportRestored { generation: self.generation });
    }
}
