//! Payloads that did not travel with their entry: asked for, assembled, verified, persisted.

use aiemp_keys::NodeId;

use super::{
    FETCH_PATIENCE, InFlight, Missing, Replication,
    output::{PeerFault, Record},
};
use crate::{frame::Frame, ids::ContentHash, limits::BLOB_BYTES_MAX, time::Timestamp};

/// A payload under way from one peer.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) from: NodeId,
    bytes: Vec<u8>,
    /// After this without a further part it is asked for again.
    pub(super) until: Timestamp,
}

/// Payloads fetched at once: bounds memory to this many times the largest blob.
const INCOMING_MAX: usize = 2;

impl Replication {
    pub(super) fn want_payload(&mut self, now: Timestamp, hash: ContentHash, missing: Missing) {
        if self.dropped.contains(&hash) {
            return;
        }
        let wanted = self.missing.entry(hash).or_insert(missing);
        wanted.is_change |= missing.is_change;
        self.request_missing(now);
    }

    /// Asks connected peers for payloads that are missing, a few at a time.
    pub(super) fn request_missing(&mut self, now: Timestamp) {
        let Some(peer) = self.sessions.iter().find(|(_, session)| session.known.is_some()).map(|(peer, _)| *peer)
        else {
            return;
        };
        let askable = |hash: &&ContentHash| !self.incoming.contains_key(*hash) && !self.unavailable.contains(*hash);
        let room = INCOMING_MAX.saturating_sub(self.incoming.len());
        let wanted: Vec<_> = self.missing.keys().filter(askable).take(room).copied().collect();
        for hash in wanted {
            self.incoming.insert(hash, Incoming { from: peer, bytes: Vec::new(), until: now + FETCH_PATIENCE });
            self.send(peer, Frame::PayloadWanted { hash, offset: 0 });
        }
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
        let Some(Missing { length: expected, is_change }) = self.missing.get(&hash).copied() else { return };
        let Some(incoming) = self.incoming.get_mut(&hash).filter(|incoming| incoming.from == peer) else { return };
        if bytes.is_empty() {
            return self.ask_another(now, peer, hash);
        }
        let held = incoming.bytes.len() as u64;
        if offset != held {
            // A part that was asked for twice.
            return;
        }
        if length != expected || expected > BLOB_BYTES_MAX as u64 || held + bytes.len() as u64 > expected {
            return self.close_peer(peer, PeerFault::PayloadMismatch);
        }
        incoming.until = now + FETCH_PATIENCE;
        incoming.bytes.extend_from_slice(bytes);
        let held = incoming.bytes.len() as u64;
        if held < expected {
            return self.send(peer, Frame::PayloadWanted { hash, offset: held });
        }
        let whole = self.incoming.remove(&hash).map(|incoming| incoming.bytes).unwrap_or_default();
        if ContentHash::of(&whole) != hash {
            return self.close_peer(peer, PeerFault::PayloadMismatch);
        }
        self.missing.remove(&hash);
        if is_change {
            self.screen_fetched(hash, whole);
        } else {
            self.persist(Record::Payload(hash, whole), InFlight::Payload(hash));
        }
        self.request_missing(now);
    }

    /// The peer does not hold it either; the next connected one may. Where none does, others have their turn.
    fn ask_another(&mut self, now: Timestamp, peer: NodeId, hash: ContentHash) {
        self.incoming.remove(&hash);
        let next = self.sessions.keys().copied().find(|other| *other > peer);
        if let Some(next) = next {
            self.incoming.insert(hash, Incoming { from: next, bytes: Vec::new(), until: now + FETCH_PATIENCE });
            self.send(next, Frame::PayloadWanted { hash, offset: 0 });
        } else {
            self.unavailable.insert(hash);
            self.request_missing(now);
        }
    }
}
