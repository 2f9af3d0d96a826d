//! Sessions: hello, frontier, live push, and answers to fetches.

use std::collections::BTreeMap;

use aiemp_keys::NodeId;

use super::{
    FRONTIER_INTERVAL, InFlight, Replication, Session,
    input::{EffectId, EntryWithPayloads, StoredEntry},
    output::{Output, PeerFault},
    readable_by,
};
use crate::{
    entry::{Item, Position, SignedEntry},
    frame::{Frame, frontier_digest},
    ids::{ContentHash, LogId},
    limits::{BLOB_CHUNK_BYTES, ENTRIES_PER_FETCH, ENTRY_PAYLOAD_BYTES_MAX},
    roster::Role,
    time::Timestamp,
};

/// What a read from the store is for.
#[derive(Debug)]
pub(super) enum Serving {
    Entries { peer: NodeId },
    Payload { peer: NodeId, hash: ContentHash, offset: u64 },
}

impl Replication {
    pub(super) fn open_session(&mut self, now: Timestamp, peer: NodeId) {
        let Some(member) = self.rosters.current().member(peer) else {
            return self.close_peer(peer, PeerFault::NotAMember);
        };
        let session = Session {
            role: member.role,
            known: None,
            told: BTreeMap::new(),
            compares: false,
            has_brain: false,
            next_frontier: now + FRONTIER_INTERVAL,
            looks_below: None,
            silent_until: None,
            has_shown_roster: false,
            has_told_fork: false,
        };
        self.sessions.insert(peer, session);
        self.give_up_overruns();
        self.send_hello(peer);
    }

    fn send_hello(&mut self, peer: NodeId) {
        let roster = self.rosters.current();
        let (epoch, roster) = (roster.epoch, roster.hash());
        let frontier = frontier_digest(&self.frontier_for(peer));
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.compares = false;
        }
        self.send(peer, Frame::Hello { epoch, roster, frontier, has_brain: self.has_brain });
    }

    pub(super) fn receive(&mut self, now: Timestamp, peer: NodeId, frame: Frame) {
        if !self.sessions.contains_key(&peer) {
            return;
        }
        match frame {
            Frame::Hello { epoch, roster, frontier, has_brain } => {
                self.send_rosters(peer, epoch, roster);
                self.receive_hello(now, peer, frontier, has_brain);
            }
            Frame::Frontier { positions } => self.receive_frontier(now, peer, positions),
            Frame::Fetch { log, from_seq, count } => self.serve_entries(peer, log, from_seq, count),
            Frame::Entry { log, cose, payloads } => self.receive_entry(now, peer, log, cose, payloads),
            Frame::Roster { bytes } => self.receive_roster(now, peer, bytes),
            Frame::PayloadWanted { hash, offset, shared } => self.serve_payload(peer, hash, offset, shared),
            Frame::PayloadPart { hash, offset, length, bytes } => {
                self.receive_part(now, peer, hash, offset, length, &bytes);
            }
            Frame::Freeze { records } => self.receive_freezes(peer, &records),
        }
    }

    fn receive_hello(&mut self, now: Timestamp, peer: NodeId, digest: aiemp_keys::Hash, has_brain: bool) {
        self.send_freezes(peer);
        self.send_evidence(peer);
        let mine = self.frontier_for(peer);
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.has_brain = has_brain;
        if frontier_digest(&mine) == digest {
            let both: BTreeMap<_, _> = mine.iter().map(|position| (position.log, position.seq)).collect();
            session.told.clone_from(&both);
            session.known = Some(both);
            self.note_frontier(peer, &mine);
            self.request_missing(now);
        } else {
            self.send_frontier(peer);
        }
    }

    /// Tells the peer what is held, so that it asks for what it lacks.
    fn send_frontier(&mut self, peer: NodeId) {
        let positions = self.frontier_for(peer);
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        session.told = positions.iter().map(|position| (position.log, position.seq)).collect();
        session.compares = true;
        self.send(peer, Frame::Frontier { positions });
    }

    fn receive_frontier(&mut self, now: Timestamp, peer: NodeId, positions: Vec<Position>) {
        let Some(session) = self.sessions.get(&peer) else { return };
        let readable = |audience| readable_by(session.role, audience) && readable_by(self.role, audience);
        if !positions.iter().all(|position| readable(position.log.audience)) {
            return self.close_peer(peer, PeerFault::AudienceLeak);
        }
        let possible: Vec<_> = positions.into_iter().filter(|position| self.may_exist(position.log)).collect();
        self.note_frontier(peer, &possible);
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        let compares = session.compares;
        let is_first = session.known.is_none();
        let known = session.known.get_or_insert_default();
        for position in &possible {
            // What was sent on this session since the peer said so arrives, or it asks.
            let held = known.entry(position.log).or_default();
            *held = position.seq.max(*held);
        }
        // Of one that says so again and again, the time for asking again comes with this node's own frontier.
        if is_first {
            self.lacking.ask_again();
        }
        // Its hello said the same as this node's; it has more by now, and does not know what this node has.
        if !compares {
            self.send_frontier(peer);
        }
        for position in &possible {
            self.compare_position(now, peer, position);
        }
        // What the peer lacks it asks for: it got a frontier too, and pushed as well all of it would travel twice.
        for position in self.frontier_for(peer) {
            self.tell_of_more(peer, position);
        }
        self.request_missing(now);
    }

    /// What became durable between this node's frontier and the peer's: it was told to nobody, and pushed to nobody of whom
    /// it was not known what they hold.
    fn tell_of_more(&mut self, peer: NodeId, own: Position) {
        let Some(session) = self.sessions.get(&peer) else { return };
        let of = |held: Option<&u64>| held.copied().unwrap_or(0);
        let (told, known) = (of(session.told.get(&own.log)), of(session.known.as_ref().and_then(|k| k.get(&own.log))));
        if told <= known && known < own.seq {
            self.serve_more(peer, own.log, known);
        }
    }

    fn compare_position(&mut self, now: Timestamp, peer: NodeId, position: &Position) {
        let held = self.chains.len(position.log);
        let same = self.chains.hash(position.log, position.seq) == Some(position.hash);
        if position.log.author == self.me && !same {
            self.suspect(now, peer, position.log);
        }
        if position.seq > held {
            self.fetch(now, peer, position.log);
        } else if !same && !self.frozen.contains_key(&position.log) {
            // One place, two entries: fetch the other as evidence.
            self.send(peer, Frame::Fetch { log: position.log, from_seq: position.seq, count: 1 });
        }
    }

    /// Sends what the peer is known to lack, from the store, a fetch's worth of each log; it asks for the rest.
    pub(super) fn push_all(&mut self, peer: NodeId) {
        let behind: Vec<_> = self
            .frontier_for(peer)
            .into_iter()
            .filter_map(|position| {
                let known = self.sessions.get(&peer)?.known.as_ref()?.get(&position.log).copied().unwrap_or(0);
                (known < position.seq).then(|| (position.log, known + 1))
            })
            .collect();
        for (log, from_seq) in behind {
            self.serve_entries(peer, log, from_seq, ENTRIES_PER_FETCH);
        }
    }

    fn serve_entries(&mut self, peer: NodeId, log: LogId, from_seq: u64, count: u64) {
        let Some(session) = self.sessions.get(&peer) else { return };
        let durable = self.durable.get(&log).copied().unwrap_or(0);
        let unknown = from_seq == 0 || from_seq > durable || self.suspect.contains_key(&log);
        if !readable_by(session.role, log.audience) || unknown {
            return;
        }
        let effect = self.effect();
        self.serving.insert(effect, Serving::Entries { peer });
        let count = count.min(ENTRIES_PER_FETCH).min(durable - from_seq + 1);
        self.outputs.push_back(Output::ReadEntries { effect, log, from_seq, count });
    }

    pub(super) fn entries_read(&mut self, effect: EffectId, entries: Vec<StoredEntry>) {
        let Some(Serving::Entries { peer }) = self.serving.remove(&effect) else { return };
        let mut last = None;
        for StoredEntry { log, cose, payloads } in entries {
            if let Ok(seq) = SignedEntry::claimed_seq(&cose) {
                self.note_held(peer, log, seq);
                last = Some((log, seq));
            }
            let payloads = inline_only(as_named(&cose, payloads));
            self.send(peer, Frame::Entry { log, cose, payloads });
        }
        if let Some((log, seq)) = last {
            self.go_on(peer, log, seq);
        }
    }

    /// What became durable while entries up to this one were read for the peer was not pushed, for the peer lacked these.
    /// A little of it follows by itself; of more the peer is told, and asks as fast as it takes it.
    fn go_on(&mut self, peer: NodeId, log: LogId, seq: u64) {
        let Some(session) = self.sessions.get(&peer) else { return };
        let durable = self.durable.get(&log).copied().unwrap_or(0);
        if session.known.as_ref().and_then(|known| known.get(&log)) != Some(&seq) || durable <= seq {
            return;
        }
        if session.told.get(&log).is_some_and(|told| *told > seq) {
            return;
        }
        self.serve_more(peer, log, seq);
    }

    fn serve_more(&mut self, peer: NodeId, log: LogId, held: u64) {
        let durable = self.durable.get(&log).copied().unwrap_or(0);
        if durable - held < ENTRIES_PER_FETCH {
            self.serve_entries(peer, log, held + 1, ENTRIES_PER_FETCH);
        } else {
            self.send_frontier(peer);
        }
    }

    fn serve_payload(&mut self, peer: NodeId, hash: ContentHash, offset: u64, shared: bool) {
        let Some(session) = self.sessions.get(&peer) else { return };
        // A Local that asks for a shared entry would share what it gets: whoever named the digest may have guessed it.
        let shared_only = shared || session.role == Role::Cloud;
        let effect = self.effect();
        self.serving.insert(effect, Serving::Payload { peer, hash, offset });
        self.outputs.push_back(Output::ReadPayload { effect, hash, shared_only });
    }

    pub(super) fn payload_read(&mut self, effect: EffectId, payload: Option<Vec<u8>>) {
        let Some(Serving::Payload { peer, hash, offset }) = self.serving.remove(&effect) else { return };
        // The whole is looked at, for a secret may lie across two parts. What is withheld is as if it were not held.
        let role = self.sessions.get(&peer).map_or(Role::Cloud, |session| session.role);
        let mut whole = payload.unwrap_or_default();
        if let Err(why) = self.verdicts.of(&self.guard, role, hash, &whole) {
            whole.clear();
            self.outputs.push_back(Output::ReportWithheld { peer, why });
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(whole.len());
        let end = whole.len().min(start + BLOB_CHUNK_BYTES);
        let part = Frame::PayloadPart { hash, offset, length: whole.len() as u64, bytes: whole[start..end].to_vec() };
        self.send(peer, part);
    }

    /// Sends a durable entry to a peer that has everything before it; one that lacks more asks by itself.
    pub(super) fn push_entry(&mut self, peer: NodeId, entry: &EntryWithPayloads) {
        let (log, seq) = (entry.signed.log, entry.signed.entry.seq);
        let Some(session) = self.sessions.get(&peer) else { return };
        let Some(known) = &session.known else { return };
        if self.suspect.contains_key(&log) {
            return;
        }
        if !readable_by(session.role, log.audience) || known.get(&log).copied().unwrap_or(0) != seq - 1 {
            return;
        }
        self.note_held(peer, log, seq);
        let payloads = inline_only(entry.payloads.clone());
        self.send(peer, Frame::Entry { log, cose: entry.signed.cose.clone(), payloads });
    }

    pub(super) fn note_held(&mut self, peer: NodeId, log: LogId, seq: u64) {
        if let Some(known) = self.sessions.get_mut(&peer).and_then(|session| session.known.as_mut()) {
            let held = known.entry(log).or_default();
            *held = seq.max(*held);
        }
    }

    fn frontier_for(&self, peer: NodeId) -> Vec<Position> {
        let role = self.sessions.get(&peer).map_or(Role::Cloud, |session| session.role);
        let both = |audience| readable_by(role, audience) && readable_by(self.role, audience);
        self.frontier().filter(|position| both(position.log.audience)).collect()
    }

    /// Hands over what shows that a log is invalid: it is refused at the same place by whoever holds what came before.
    pub(super) fn send_evidence(&mut self, peer: NodeId) {
        let Some(role) = self.sessions.get(&peer).map(|session| session.role) else { return };
        let on_its_way = |of: &LogId| {
            self.in_flight.values().any(|record| matches!(record, InFlight::Frozen { log, .. } if log == of))
        };
        let readable = self.frozen.iter().filter(|(log, _)| readable_by(role, log.audience) && !on_its_way(log));
        let evidence: Vec<_> = readable.map(|(log, frozen)| (*log, frozen.evidence.clone())).collect();
        for (log, cose) in evidence {
            let items = SignedEntry::claimed_items(&cose).unwrap_or_default();
            let payloads = items.iter().filter_map(Item::payload).map(|_| None).collect();
            self.send(peer, Frame::Entry { log, cose, payloads });
        }
    }

    pub(super) fn timeout(&mut self, now: Timestamp) {
        self.end_suspicions(now);
        self.admit_again(now);
        self.fetching.retain(|_, until| *until > now);
        self.give_up_on_silent(now);
        let due: Vec<_> =
            self.sessions.iter().filter(|(_, session)| session.next_frontier <= now).map(|(peer, _)| *peer).collect();
        if !due.is_empty() {
            self.lacking.ask_again();
        }
        self.request_missing(now);
        for peer in due {
            if let Some(session) = self.sessions.get_mut(&peer) {
                session.next_frontier = now + FRONTIER_INTERVAL;
            }
            self.send_hello(peer);
        }
    }

    pub(super) fn send(&mut self, peer: NodeId, frame: Frame) {
        let Some(session) = self.sessions.get(&peer) else { return };
        match self.guard.clear_frame(session.role, frame) {
            Ok((frame, withheld)) => {
                self.outputs.extend(withheld.into_iter().map(|why| Output::ReportWithheld { peer, why }));
                self.outputs.push_back(Output::SendFrame { peer, frame });
            }
            Err(why) => self.outputs.push_back(Output::ReportWithheld { peer, why }),
        }
    }
}

/// Keeps the payloads whose length is the one that the entry signs: its author may have named any digest with any
/// length, and whoever gets it holds its sender to both.
fn as_named(cose: &[u8], payloads: Vec<Option<Vec<u8>>>) -> Vec<Option<Vec<u8>>> {
    let items = SignedEntry::claimed_items(cose).unwrap_or_default();
    let lengths = items.iter().filter_map(Item::payload).map(|(_, length)| length);
    let of_length = |(payload, length): (Option<Vec<u8>>, u64)| payload.filter(|bytes| bytes.len() as u64 == length);
    payloads.into_iter().zip(lengths).map(of_length).collect()
}

/// Keeps payloads inline up to the entry's bound; the rest is asked for.
fn inline_only(mut payloads: Vec<Option<Vec<u8>>>) -> Vec<Option<Vec<u8>>> {
    let mut budget = ENTRY_PAYLOAD_BYTES_MAX;
    for payload in &mut payloads {
        let length = payload.as_ref().map_or(0, Vec::len);
        if length > budget {
            *payload = None;
        } else {
            budget -= length;
        }
    }
    payloads
}
