//! The brake of the mesh: what anybody said of it goes to every peer.

use aiemp_keys::NodeId;

use super::{
    Replication,
    output::{Output, PeerFault},
};
use crate::{
    frame::Frame,
    freeze::{FreezeError, FreezeRecord, Freezes},
};

impl Replication {
    /// What is known of the brake.
    pub const fn freezes(&self) -> &Freezes {
        &self.freezes
    }

    /// Whether this node may neither claim nor draft nor send.
    pub fn is_stopped(&self) -> bool {
        self.freezes.stop(self.rosters.current(), self.me)
    }

    /// A record of this node's own home that says nothing is passed over: whoever wrote it gains nothing.
    pub(super) fn freeze_found(&mut self, bytes: &[u8]) {
        if let Ok(Some(record)) = self.freezes.accept(self.rosters.current(), bytes) {
            self.brake_changed(record, None, None);
        }
    }

    pub(super) fn receive_freezes(&mut self, peer: NodeId, records: &[Vec<u8>]) {
        for bytes in records {
            match self.freezes.accept(self.rosters.current(), bytes) {
                Ok(Some(record)) => self.brake_changed(record, Some(bytes.clone()), Some(peer)),
                // The signer may be of a newer roster, or of an older one: the peer need not be at fault.
                Ok(None) | Err(FreezeError::NotAMember | FreezeError::Signature(_)) => {}
                Err(FreezeError::Form(_)) => return self.close_peer(peer, PeerFault::BadForm),
            }
        }
    }

    pub(super) fn send_freezes(&mut self, peer: NodeId) {
        let records: Vec<_> = self.freezes.records().map(<[u8]>::to_vec).collect();
        if !records.is_empty() {
            self.send(peer, Frame::Freeze { records });
        }
    }

    fn brake_changed(&mut self, record: FreezeRecord, keep: Option<Vec<u8>>, from: Option<NodeId>) {
        self.outputs.push_back(Output::BrakeChanged { record, keep });
        let others: Vec<_> = self.sessions.keys().copied().filter(|peer| Some(*peer) != from).collect();
        for peer in others {
            self.send_freezes(peer);
        }
    }
}
