//! Rosters on their way between members; of one epoch a second one, which only the root key can have made.

use aiemp_keys::{Hash, NodeId};

use super::{
    InFlight, Replication,
    output::{Output, PeerFault, Record},
};
use crate::{frame::Frame, roster::RosterError, time::Timestamp};

impl Replication {
    /// Sends a peer what follows the roster that it said to hold. If this node holds another one of that epoch, that comes
    /// first: two signatures of the root key, side by side, are what proves it.
    pub(super) fn send_rosters(&mut self, peer: NodeId, epoch: u64, theirs: Hash) {
        if self.rosters.at(epoch).is_some_and(|own| own.hash() != theirs) {
            self.show_roster(peer, epoch);
        }
        let missing: Vec<_> = self.rosters.after(epoch).collect();
        for bytes in missing {
            self.send(peer, Frame::Roster { bytes });
        }
    }

    /// Once a session: a peer may say anything of what it holds.
    fn show_roster(&mut self, peer: NodeId, epoch: u64) {
        let Some(session) = self.sessions.get_mut(&peer).filter(|session| !session.has_shown_roster) else { return };
        session.has_shown_roster = true;
        if let Some(bytes) = self.rosters.bytes_of(epoch) {
            self.send(peer, Frame::Roster { bytes });
        }
    }

    pub(super) fn receive_roster(&mut self, now: Timestamp, peer: NodeId, bytes: Vec<u8>) {
        let mut chain = self.rosters.clone();
        match chain.extend(&bytes) {
            Ok(true) => {
                self.persist(Record::Roster(bytes), InFlight::Roster);
                self.rosters = chain;
                self.membership_changed();
                self.retry_waiting(now);
                self.admit_again(now);
            }
            // One that does not follow came out of order: the next hello asks for what lies between.
            Ok(false) | Err(RosterError::NotNext { .. }) => {}
            Err(error @ RosterError::Fork { epoch }) => self.roster_forked(peer, epoch, bytes, error),
            Err(error) => self.close_peer(peer, PeerFault::BadRoster(error)),
        }
    }

    /// Reports it, and shows the peer the other one, for it may know of its own alone.
    fn roster_forked(&mut self, peer: NodeId, epoch: u64, bytes: Vec<u8>, error: RosterError) {
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        if std::mem::replace(&mut session.has_told_fork, true) {
            return self.close_peer(peer, PeerFault::BadRoster(error));
        }
        self.outputs.push_back(Output::ReportRosterFork { bytes });
        self.show_roster(peer, epoch);
    }
}
