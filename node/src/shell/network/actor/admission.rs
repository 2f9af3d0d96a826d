//! Who may connect, and who may use which protocol.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use aiemp_keys::NodeId;
use aiemp_protocol::{limits::TICKET_LIFETIME, pairing::Invite, time::Timestamp};
use libp2p::{Multiaddr, Stream, StreamProtocol};
use tokio::sync::Semaphore;

use super::{
    super::{behaviour::ESTABLISHED_PER_PEER_MAX, identity, pairing, session::Start, streams},
    Actor,
};

/// The invite that is open, and the conversations that it may still begin.
pub(super) struct OpenInvite {
    dialer: NodeId,
    pub(super) until: Instant,
    places: Arc<Semaphore>,
}

impl Actor {
    /// Allows exactly these members, and cuts off who is none any more.
    pub(super) fn set_members(&mut self, members: BTreeMap<NodeId, Vec<Multiaddr>>) {
        let gone: BTreeSet<_> = self.links.keys().filter(|peer| !members.contains_key(peer)).copied().collect();
        for peer in gone {
            tracing::info!(?peer, "no longer a member");
            self.links.remove(&peer);
            self.cut_off(peer);
            self.swarm.behaviour_mut().allowed.disallow_peer(identity::peer_id(peer));
        }
        for (peer, addresses) in members {
            if peer != self.me {
                self.swarm.behaviour_mut().allowed.allow_peer(identity::peer_id(peer));
                self.links.entry(peer).or_default().set_addresses(addresses);
            }
        }
    }

    /// Allows the invite's dialer beside the members. The same invite again only sets its end.
    pub(super) fn set_invite(&mut self, invite: Option<Invite>) {
        let now = now();
        let wanted = invite.filter(|invite| invite.expires > now);
        if let Some(open) =
            self.invite.take_if(|open| wanted.as_ref().is_none_or(|wanted| wanted.dialer != open.dialer))
            && !self.links.contains_key(&open.dialer)
        {
            self.swarm.behaviour_mut().allowed.disallow_peer(identity::peer_id(open.dialer));
        }
        let Some(Invite { dialer, expires, .. }) = wanted else { return };
        let until = Instant::now() + expires.since(now).min(TICKET_LIFETIME);
        match &mut self.invite {
            Some(open) => open.until = until,
            None => {
                self.swarm.behaviour_mut().allowed.allow_peer(identity::peer_id(dialer));
                let places = Arc::new(Semaphore::new(ESTABLISHED_PER_PEER_MAX as usize));
                self.invite = Some(OpenInvite { dialer, until, places });
            }
        }
    }

    /// The one place that decides which peer may use which protocol.
    pub(super) fn on_stream(&mut self, peer: NodeId, protocol: &StreamProtocol, stream: Stream) {
        let link = self.links.get(&peer);
        if [streams::PAIR, streams::PAIR_1].contains(protocol) {
            let place = self.invite.as_ref().filter(|invite| invite.dialer == peer && invite.until > Instant::now());
            let Some(Ok(permit)) = place.map(|invite| Arc::clone(&invite.places).try_acquire_owned()) else {
                return tracing::debug!(?peer, "no invite for this peer");
            };
            pairing::admit(peer, stream, permit, self.reports.events.clone());
        } else if let Some(link) = link
            && *protocol == streams::CALL
        {
            link.calls.answer(peer, stream, self.reports.events.clone());
        } else if link.is_some() && peer < self.me {
            self.start_session(peer, Start::Accepted(stream));
        } else {
            tracing::debug!(?peer, %protocol, "stream refused");
        }
    }
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
