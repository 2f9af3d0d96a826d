//! Payloads that did not travel with their entry: asked for, assembled, verified, persisted.

use aiemp_keys::NodeId;

use super::{
    FETCH_PATIENCE, FRONTIER_INTERVAL, InFlight, Missing, Replication, Session,
    output::{PeerFault, Record},
    readable_by,
};
use crate::{
    frame::Frame,
    ids::{Audience, ContentHash},
    limits::{BLOB_BYTES_MAX, BLOB_CHUNK_BYTES},
    time::Timestamp,
};

/// A payload under way from one peer.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) missing: Missing,
    pub(super) from: NodeId,
    bytes: Vec<u8>,
    /// How much of it others sent: if it is not what was asked for in the end, nobody knows whose fault that is.
    from_others: usize,
    /// After this without a further part it is asked for again.
    pub(super) until: Timestamp,
}

/// Payloads fetched from a peer at once: bounds memory to this many times the largest blob, and leaves room for what
/// others have.
const INCOMING_MAX: usize = 2;
/// Payloads of which the first parts are kept when their sender goes away: whoever is asked next sends the rest.
const BEGUN_MAX: usize = 2;

impl Replication {
    pub(super) fn want_payload(&mut self, now: Timestamp, missing: Missing) {
        if missing.is_change && self.dropped.contains(&missing.hash) {
            return;
        }
        self.lacking.want(missing);
        self.request_missing(now);
    }

    /// Asks connected peers for payloads that are missing, a few at a time.
    pub(super) fn request_missing(&mut self, now: Timestamp) {
        while let Some((missing, peer)) = self.next_wanted() {
            self.ask(now, peer, missing);
        }
    }

    fn next_wanted(&self) -> Option<(Missing, NodeId)> {
        let asked = |peer: NodeId| self.incoming.values().filter(|incoming| incoming.from == peer).count();
        // Private ones come first: of those no Cloud can name so many that others wait.
        [false, true].into_iter().find_map(|is_shared| {
            let peer = self.holder(is_shared, None).filter(|peer| asked(*peer) < INCOMING_MAX)?;
            let missing = self.lacking.next(is_shared, |hash| self.incoming.contains_key(&hash))?;
            Some((missing, peer))
        })
    }

    /// The next peer that may know of such a payload: of a private one no Cloud learns even the digest.
    fn holder(&self, is_shared: bool, after: Option<NodeId>) -> Option<NodeId> {
        let audience = if is_shared { Audience::All } else { Audience::Local };
        let mut peers = self.sessions.iter().filter(|(peer, _)| after.is_none_or(|after| **peer > after));
        let may_know = |session: &Session| {
            session.known.is_some() && session.silent_until.is_none() && readable_by(session.role, audience)
        };
        peers.find(|(_, session)| may_know(session)).map(|(peer, _)| *peer)
    }

    fn ask(&mut self, now: Timestamp, peer: NodeId, missing: Missing) {
        let Missing { hash, is_shared: shared, .. } = missing;
        let until = now + FETCH_PATIENCE;
        let begun = self.begun.iter().position(|(of, _)| *of == missing).and_then(|index| self.begun.remove(index));
        let bytes = begun.map(|(_, bytes)| bytes).unwrap_or_default();
        let (from_others, offset) = (bytes.len(), bytes.len() as u64);
        self.lacking.asked(missing);
        self.incoming.insert(hash, Incoming { missing, from: peer, bytes, from_others, until });
        self.send(peer, Frame::PayloadWanted { hash, offset, shared });
    }

    /// Its sender is gone: the next one goes on where this one stopped.
    pub(super) fn keep_parts(&mut self, incoming: Incoming) {
        if incoming.bytes.is_empty() {
            return;
        }
        if self.begun.len() >= BEGUN_MAX {
            self.begun.pop_front();
        }
        self.begun.push_back((incoming.missing, incoming.bytes));
    }

    pub(super) fn receive_part(
        &mut self,
        now: Timestamp,
        peer: NodeId,
        hash: ContentHash,
        offset: u64,
        length: u64,
        bytes: &[u8],
    ) {
        let Some(incoming) = self.incoming.get_mut(&hash).filter(|incoming| incoming.from == peer) else { return };
        let missing @ Missing { length: expected, is_change, is_shared: shared, .. } = incoming.missing;
        // An author may have named a digest with a length that is not its own: whoever holds the bytes is not to blame.
        if bytes.is_empty() || length != expected || expected > BLOB_BYTES_MAX as u64 {
            return self.ask_another(now, peer, missing);
        }
        let held = incoming.bytes.len() as u64;
        if offset != held {
            // A part that was asked for twice.
            return;
        }
        // Parts are as large as they may be, so that nobody sends one for ever.
        if bytes.len() as u64 != (expected - held).min(BLOB_CHUNK_BYTES as u64) {
            incoming.bytes.clear();
            return self.close_peer(peer, PeerFault::PayloadMismatch);
        }
        incoming.until = now + FETCH_PATIENCE;
        incoming.bytes.extend_from_slice(bytes);
        let held = incoming.bytes.len() as u64;
        if held < expected {
            return self.send(peer, Frame::PayloadWanted { hash, offset: held, shared });
        }
        if ContentHash::of(&incoming.bytes) != hash {
            if incoming.from_others == 0 {
                incoming.bytes.clear();
                return self.close_peer(peer, PeerFault::PayloadMismatch);
            }
            // Asked once more for all of it, the peer answers for it alone.
            self.incoming.remove(&hash);
            return self.ask(now, peer, missing);
        }
        let whole = self.incoming.remove(&hash).map(|incoming| incoming.bytes).unwrap_or_default();
        if is_change {
            self.screen_fetched(missing, whole);
        } else {
            self.lacking.came(missing);
            self.persist(Record::Payload(missing, whole), InFlight::Payload(hash));
        }
        self.request_missing(now);
    }

    /// Asks others for what a peer was asked for and does not send; who was silent long enough is asked again.
    pub(super) fn give_up_on_silent(&mut self, now: Timestamp) {
        for session in self.sessions.values_mut() {
            session.silent_until = session.silent_until.filter(|until| *until > now);
        }
        let silent = self.incoming.values().filter(|incoming| incoming.until <= now);
        let silent: Vec<_> = silent.map(|incoming| (incoming.from, incoming.missing)).collect();
        for (peer, missing) in silent {
            if let Some(session) = self.sessions.get_mut(&peer) {
                session.silent_until = Some(now + FRONTIER_INTERVAL);
            }
            self.ask_another(now, peer, missing);
        }
    }

    /// The peer does not hold it either; the next connected one may. Where none does, others have their turn.
    fn ask_another(&mut self, now: Timestamp, peer: NodeId, missing: Missing) {
        if let Some(incoming) = self.incoming.remove(&missing.hash) {
            self.keep_parts(incoming);
        }
        if let Some(next) = self.holder(missing.is_shared, Some(peer)) {
            self.ask(now, next, missing);
        } else {
            self.lacking.unavailable(missing);
            self.request_missing(now);
        }
    }
}
