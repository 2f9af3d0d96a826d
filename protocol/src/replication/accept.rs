//! Entries from peers: frame bound and form were checked; here signature, chain, `seen`, zones, then persist.

use aiemp_keys::NodeId;

use super::{
    FETCH_PATIENCE, Frozen, InFlight, Replication, Waiting,
    admission::WaitReason,
    input::{Carried, EntryWithPayloads},
    output::{FreezeReason, Output, PeerFault, Record},
    readable_by, validity,
};
use crate::{
    causality::Past,
    entry::{EntryError, Item, SignedEntry},
    frame::Frame,
    ids::{ContentHash, LogId},
    limits::{ENTRIES_PER_FETCH, GENERATIONS_AHEAD_MAX, HLC_AHEAD_MAX},
    roster::{Member, Roster},
    time::Timestamp,
};

/// Bytes of entries that may wait behind the first of their logs.
const WAITING_BYTES_MAX: usize = 32 << 20;

/// Whether the author may still append at this place.
enum Standing<'a> {
    Open(&'a Member, &'a Roster),
    /// The roster of the entry's epoch is not held yet.
    EpochAhead,
    /// Revoked, unknown, or past the end that the roster closed the log at.
    Closed,
}

impl Replication {
    pub(super) fn receive_entry(
        &mut self,
        now: Timestamp,
        peer: NodeId,
        log: LogId,
        cose: Vec<u8>,
        payloads: Vec<Option<Vec<u8>>>,
    ) {
        let theirs = self.sessions.get(&peer).map(|session| session.role);
        if !readable_by(self.role, log.audience) || theirs.is_none_or(|role| !readable_by(role, log.audience)) {
            return self.close_peer(peer, PeerFault::AudienceLeak);
        }
        if self.frozen.contains_key(&log) || !self.may_exist(log) {
            return;
        }
        let Ok(seq) = SignedEntry::claimed_seq(&cose) else {
            return self.close_peer(peer, PeerFault::BadForm);
        };
        self.note_held(peer, log, seq);
        if self.follows_branch(peer, log, seq, &cose) {
            return;
        }
        if self.admission.is_out_of_room(log) {
            return;
        }
        let next = self.chains.len(log) + 1;
        if seq > next {
            return self.receive_later(now, peer, log, seq, Waiting { from: peer, cose, payloads });
        }
        let prev = self.chains.hash(log, seq.saturating_sub(1));
        match SignedEntry::verify(self.mesh, log, prev, &cose) {
            Ok(signed) if seq < next => self.compare_with_held(now, peer, signed),
            Ok(signed) => {
                // Whatever waited for this place is not held, and keeps nobody from it.
                self.pop_waiting(log);
                self.admission.forget(log);
                if self.receive_next(now, peer, EntryWithPayloads { signed, payloads }) {
                    self.retry_waiting(now);
                }
            }
            Err(EntryError::Signature(_)) if 1 < seq => self.look_below(peer, log, seq),
            Err(EntryError::Signature(_)) => self.close_peer(peer, PeerFault::BadSignature),
            // What is held is known to this version, so this is another entry.
            Err(EntryError::Newer) if seq < next => self.forked(log, seq, cose),
            Err(EntryError::Newer) => self.let_wait(now, log, WaitReason::NewerVersion),
            Err(EntryError::Form(_) | EntryError::Cap(_)) => self.freeze(log, FreezeReason::Malformed, cose),
        }
    }

    /// Whether a member may have such a log: anything else is neither kept nor waited for.
    pub(super) fn may_exist(&self, log: LogId) -> bool {
        let roster = self.rosters.current();
        let generations = roster
            .member(log.author)
            .map(|member| member.generation_min..=member.generation_min.saturating_add(GENERATIONS_AHEAD_MAX));
        generations.is_some_and(|generations| generations.contains(&log.generation)) || self.is_closed(log)
    }

    /// An entry for a place that is taken: the same one again, or proof that its author signed two.
    fn compare_with_held(&mut self, now: Timestamp, peer: NodeId, signed: SignedEntry) {
        let (log, seq) = (signed.log, signed.entry.seq);
        if self.chains.hash(log, seq) == Some(signed.hash) {
            let asked = self.sessions.get_mut(&peer).and_then(|session| session.looks_below.take());
            if asked == Some((log, seq)) {
                // Nothing forked below: the entry above was never signed.
                return self.close_peer(peer, PeerFault::BadSignature);
            }
            return self.fetch_on(now, peer, log, seq);
        }
        if self.is_closed(log) && log.author != self.me {
            return self.branch_found(peer, &signed);
        }
        self.forked(log, seq, signed.cose);
    }

    /// Another entry of the author's for a place that is taken, with its signature verified.
    fn forked(&mut self, log: LogId, seq: u64, evidence: Vec<u8>) {
        if log.author == self.me {
            return self.diverged(log, seq - 1);
        }
        if self.is_closed(log) {
            return;
        }
        self.freeze(log, FreezeReason::Equivocation, evidence);
    }

    /// Whether the roster says where a log ends, and so which of two entries stands.
    pub(super) fn is_closed(&self, log: LogId) -> bool {
        self.rosters.current().closed.iter().any(|closed| closed.log == log)
    }

    /// Whether nothing that is still to come of a log would stand.
    pub(super) fn has_ended(&self, log: LogId) -> bool {
        let closed = self.rosters.current().closed.iter().find(|closed| closed.log == log);
        closed.map_or(!self.may_exist(log), |closed| closed.seq <= self.chains.len(log))
    }

    /// The entry follows another predecessor than ours: the fork lies further down, so ask for the one before.
    fn look_below(&mut self, peer: NodeId, log: LogId, seq: u64) {
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.looks_below = Some((log, seq - 1));
        }
        self.send(peer, Frame::Fetch { log, from_seq: seq - 1, count: 1 });
    }

    /// Takes the entry that follows what is held, or lets it wait; says whether it was taken.
    fn receive_next(&mut self, now: Timestamp, peer: NodeId, mut entry: EntryWithPayloads) -> bool {
        let log = entry.signed.log;
        if !payloads_match(&entry) {
            self.close_peer(peer, PeerFault::PayloadMismatch);
            return false;
        }
        match self.standing(&entry.signed) {
            Standing::Closed => return false,
            Standing::EpochAhead => {
                self.wait(peer, entry);
                return false;
            }
            Standing::Open(author, roster) => {
                let before = self.epochs.get(&log).copied().unwrap_or(0);
                if let Err(reason) = validity::check(&entry.signed, author, roster, before) {
                    self.freeze(log, reason, entry.signed.cose);
                    return false;
                }
            }
        }
        if self.has_seen(&entry.signed) && !self.is_admitted(now, &entry.signed) {
            return false;
        }
        if !self.has_seen(&entry.signed) || !self.is_screened(&mut entry) {
            self.wait(peer, entry);
            return false;
        }
        self.take(now, peer, entry);
        true
    }

    fn standing(&self, signed: &SignedEntry) -> Standing<'_> {
        let current = self.rosters.current();
        let closed = current.closed.iter().find(|closed| closed.log == signed.log);
        let seq = signed.entry.seq;
        let beyond_end =
            closed.is_some_and(|closed| seq > closed.seq || (seq == closed.seq && signed.hash.0 != closed.hash));
        let revoked = current.member(signed.author()).is_none() && closed.is_none();
        if beyond_end || revoked {
            return Standing::Closed;
        }
        match self.rosters.at(signed.entry.epoch) {
            None if signed.entry.epoch > current.epoch => Standing::EpochAhead,
            None => Standing::Closed,
            Some(roster) => match roster.member(signed.author()) {
                Some(member) if signed.log.generation >= member.generation_min => Standing::Open(member, roster),
                Some(_) | None => Standing::Closed,
            },
        }
    }

    /// Whether every position that the author had is held here, on the same branch.
    fn has_seen(&self, signed: &SignedEntry) -> bool {
        signed.entry.seen.iter().all(|seen| self.chains.hash(seen.log, seen.seq) == Some(seen.hash))
    }

    fn wait(&mut self, from: NodeId, entry: EntryWithPayloads) {
        let log = entry.signed.log;
        let waiting = self.waiting.entry(log).or_default();
        waiting.push_front(Waiting { from, cose: entry.signed.cose, payloads: entry.payloads });
        self.fetch_ends.insert(log, self.chains.len(log) + waiting.len() as u64);
    }

    fn pop_waiting(&mut self, log: LogId) -> Option<Waiting> {
        let waiting = self.waiting.get_mut(&log)?;
        let first = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&log);
        }
        first
    }

    /// What follows an entry that waits, waits behind it, as far as there is room; anything else is asked for.
    fn receive_later(&mut self, now: Timestamp, peer: NodeId, log: LogId, seq: u64, entry: Waiting) {
        let held: usize = self.waiting.values().flatten().map(Waiting::bytes).sum();
        let Some(waiting) = self.waiting.get_mut(&log) else { return self.fetch(now, peer, log) };
        let follows = seq == self.chains.len(log) + waiting.len() as u64 + 1;
        let room = (waiting.len() as u64) < ENTRIES_PER_FETCH && held + entry.bytes() <= WAITING_BYTES_MAX;
        if follows && room {
            waiting.push_back(entry);
            self.fetch_ends.insert(log, seq);
        }
    }

    fn take(&mut self, now: Timestamp, peer: NodeId, entry: EntryWithPayloads) {
        let (log, entry_seq) = (entry.signed.log, entry.signed.entry.seq);
        self.epochs.insert(log, entry.signed.entry.epoch);
        self.hlc = self.hlc.max(self.believed(&entry.signed, now));
        self.admission.count(self.me, now, &entry.signed);
        if log.author == self.me {
            self.own_log_was_behind(now, peer, log);
        }
        let past = self.chains.push(&entry.signed);
        let record = Record::Entry { entry: entry.clone(), received: now };
        self.persist(record, InFlight::Entry { entry, past, from: Some(peer) });
        self.fetch_on(now, peer, log, entry_seq);
    }

    /// An entry's time as far as it is believed: a peer's clock must not push this node's ahead.
    pub(super) fn believed(&self, signed: &SignedEntry, received: Timestamp) -> Timestamp {
        if signed.author() == self.me { signed.entry.hlc } else { signed.entry.hlc.min(received + HLC_AHEAD_MAX) }
    }

    /// Offers every waiting entry again, until none is taken: one that was may be what another waits for.
    pub(super) fn retry_waiting(&mut self, now: Timestamp) {
        loop {
            let logs: Vec<_> = self.waiting.keys().copied().collect();
            let mut taken = false;
            for log in logs {
                taken |= self.retry_first(now, log);
            }
            if !taken {
                return;
            }
        }
    }

    fn retry_first(&mut self, now: Timestamp, log: LogId) -> bool {
        let Some(first) = self.pop_waiting(log) else { return false };
        match SignedEntry::verify(self.mesh, log, self.chains.head(log), &first.cose) {
            Ok(signed) => self.receive_next(now, first.from, EntryWithPayloads { signed, payloads: first.payloads }),
            Err(_) => {
                // Nothing can follow it.
                self.waiting.remove(&log);
                false
            }
        }
    }

    pub(super) fn freeze(&mut self, log: LogId, reason: FreezeReason, evidence: Vec<u8>) {
        self.frozen.insert(log, Frozen { reason, evidence: evidence.clone() });
        self.waiting.remove(&log);
        self.fetching.remove(&log);
        self.admission.forget(log);
        self.persist(Record::Frozen { log, reason, evidence }, InFlight::Frozen { log, reason });
    }

    /// An entry is on disk: it counts, it applies, and whoever lacks it gets it.
    pub(super) fn entry_durable(&mut self, now: Timestamp, entry: EntryWithPayloads, past: Past, from: Option<NodeId>) {
        let position = entry.signed.position();
        self.durable.insert(position.log, position.seq);
        self.taken.entry(position.log).or_default().push(now);
        self.clear_suspicion(position.log);
        // What this node's own word names was named before.
        let absent: Vec<_> = entry.absent().filter(|_| from.is_some()).collect();
        for peer in self.sessions.keys().copied().collect::<Vec<_>>() {
            if Some(peer) != from {
                self.push_entry(peer, &entry);
            }
        }
        self.outputs.push_back(Output::Apply { entry, past });
        for missing in absent {
            self.want_payload(now, missing);
        }
    }

    /// The next fetch of a log follows the last entry of the one before, not each of them.
    fn fetch_on(&mut self, now: Timestamp, peer: NodeId, log: LogId, seq: u64) {
        if self.fetch_ends.get(&log).is_none_or(|end| *end <= seq) {
            self.fetching.remove(&log);
            self.fetch_if_behind(now, peer, log);
        }
    }

    pub(super) fn fetch_if_behind(&mut self, now: Timestamp, peer: NodeId, log: LogId) {
        let theirs = self.sessions.get(&peer).and_then(|session| session.known.as_ref()?.get(&log).copied());
        if theirs.is_some_and(|theirs| theirs > self.chains.len(log)) {
            self.fetch(now, peer, log);
        }
    }

    pub(super) fn fetch(&mut self, now: Timestamp, peer: NodeId, log: LogId) {
        let busy = self.fetching.get(&log).is_some_and(|until| *until > now);
        let waits = self.waiting.contains_key(&log) || self.admission.is_waiting(log);
        if busy || waits || self.frozen.contains_key(&log) {
            return;
        }
        self.fetching.insert(log, now + FETCH_PATIENCE);
        let from_seq = self.chains.len(log) + 1;
        let theirs = self.sessions.get(&peer).and_then(|session| session.known.as_ref()?.get(&log).copied());
        self.fetch_ends.insert(log, theirs.unwrap_or(from_seq).min(from_seq + ENTRIES_PER_FETCH - 1));
        self.send(peer, Frame::Fetch { log, from_seq, count: ENTRIES_PER_FETCH });
    }
}

fn payloads_match(entry: &EntryWithPayloads) -> bool {
    let with_payload = entry.signed.entry.items.iter().filter_map(Item::payload).count();
    with_payload == entry.payloads.len()
        && entry.carried().all(|Carried { named, payload }| {
            payload.is_none_or(|bytes| bytes.len() as u64 == named.length && ContentHash::of(bytes) == named.hash)
        })
}
