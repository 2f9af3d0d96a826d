//! What the actor knows of one member: where it is, how it is connected, when to try again.

use std::time::{Duration, Instant};

use libp2p::{
    Multiaddr, PeerId, Swarm,
    swarm::{
        ConnectionId, DialError,
        dial_opts::{DialOpts, PeerCondition},
    },
};

use super::super::{
    backoff::{Backoff, GOOD_SESSION},
    behaviour::Behaviour,
    calls::Calls,
};

/// One member.
#[derive(Default)]
pub(super) struct Link {
    addresses: Vec<Multiaddr>,
    /// Connections open now.
    pub(super) connections: u32,
    dialing: Option<ConnectionId>,
    dials: Backoff,
    opens: Backoff,
    pub(super) calls: Calls,
}

impl Link {
    /// Takes the addresses to dial; new ones are dialed at once.
    pub(super) fn set_addresses(&mut self, addresses: Vec<Multiaddr>) {
        if self.addresses != addresses {
            self.addresses = addresses;
            self.dials.reset();
        }
    }

    /// Whether to dial now; counts as an attempt.
    pub(super) fn take_dial(&mut self, now: Instant) -> bool {
        self.wants_dial() && take(&mut self.dials, now)
    }

    /// Whether to open the session's stream now; counts as an attempt.
    pub(super) fn take_open(&mut self, now: Instant) -> bool {
        take(&mut self.opens, now)
    }

    /// When the next attempt is due, if one is wanted.
    pub(super) fn next_attempt(&self, opens: bool) -> Option<Instant> {
        if self.wants_dial() {
            self.dials.due()
        } else if self.connections > 0 && opens {
            self.opens.due()
        } else {
            None
        }
    }

    /// Dials all addresses; whatever comes of it ends with [`Link::dial_ended`].
    pub(super) fn dial(&mut self, swarm: &mut Swarm<Behaviour>, peer: PeerId) {
        // A port of its own each time: from the listening port, a quick return would meet its own past connection.
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(self.addresses.clone())
            .allocate_new_port()
            .build();
        let id = options.connection_id();
        match swarm.dial(options) {
            Ok(()) => self.dialing = Some(id),
            Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => tracing::debug!(%peer, %error, "not dialed"),
        }
    }

    /// Notes that a dial led to a connection or failed.
    pub(super) fn dial_ended(&mut self, id: ConnectionId) {
        if self.dialing == Some(id) {
            self.dialing = None;
        }
    }

    /// Notes that the peer dialed this node: it is there, and at whose cost it comes and goes is its own.
    pub(super) fn was_dialed(&mut self) {
        self.opens.reset();
    }

    /// Notes the end of a session. After one in which the peer spoke the next attempts come soon, after a good one at once.
    pub(super) fn session_ended(&mut self, lasted: Duration, was_heard: bool, now: Instant) {
        if was_heard {
            self.dials.was_heard(now);
            self.opens.was_heard(now);
        }
        if lasted >= GOOD_SESSION {
            self.dials.reset();
            self.opens.reset();
        }
    }

    fn wants_dial(&self) -> bool {
        self.connections == 0 && self.dialing.is_none() && !self.addresses.is_empty()
    }
}

fn take(backoff: &mut Backoff, now: Instant) -> bool {
    let is_due = backoff.due().is_none_or(|due| due <= now);
    if is_due {
        backoff.attempt(now);
    }
    is_due
}
