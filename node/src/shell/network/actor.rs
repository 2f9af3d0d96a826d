//! The task that owns the swarm. It awaits nothing but the swarm, its own queues and its own timer.

mod admission;
mod link;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use aiemp_keys::NodeId;
use futures::StreamExt as _;
use libp2p::{
    PeerId, Stream, StreamProtocol, Swarm, ping,
    swarm::{DialError, SwarmEvent},
};
use libp2p_stream::{Control, IncomingStreams};
use tokio::{
    sync::mpsc,
    time::{sleep_until, timeout},
};

use self::{admission::OpenInvite, link::Link};
use super::{
    Command, Event, NetworkConfig,
    behaviour::{self, Behaviour, BehaviourEvent},
    calls::CallError,
    identity, listen,
    session::{Past, Reports, Session, Start},
    streams,
};

/// Reports of sessions and streams that wait for the actor; streams beyond it are dropped and tried again by the peer.
const NOTICES_MAX: usize = 256;
/// How long closing may take at the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// With nothing to wait for, the timer is set so far ahead.
const FAR: Duration = Duration::from_secs(3600);

/// What other tasks tell the actor.
pub(super) enum Notice {
    /// A peer opened a stream.
    StreamOpened { peer: PeerId, protocol: StreamProtocol, stream: Stream },
    /// A session is over, its events sent.
    SessionEnded { peer: NodeId, id: u64, past: Past },
}

struct Actor {
    swarm: Swarm<Behaviour>,
    control: Control,
    me: NodeId,
    links: BTreeMap<NodeId, Link>,
    // Apart from the links: the session of a member that is gone or came back still has events to send.
    sessions: BTreeMap<NodeId, Session>,
    next_session: u64,
    invite: Option<OpenInvite>,
    reports: Reports,
}

/// Starts listening, then the task.
pub(super) fn spawn(
    config: NetworkConfig,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
) -> anyhow::Result<()> {
    let mut swarm = behaviour::swarm(&config.signer)?;
    let (notices, inbox) = mpsc::channel(NOTICES_MAX);
    let mut control = swarm.behaviour().streams.new_control();
    // Registered before anyone can connect.
    for protocol in [streams::LOG, streams::CALL, streams::PAIR, streams::PAIR_1] {
        let incoming = control.accept(protocol.clone()).expect("each protocol is registered once");
        tokio::spawn(forward(incoming, protocol, notices.clone()));
    }
    listen::listen(&mut swarm, &config.listen)?;
    let actor = Actor {
        swarm,
        control,
        me: config.signer.node_id(),
        links: BTreeMap::new(),
        sessions: BTreeMap::new(),
        next_session: 0,
        invite: None,
        reports: Reports { events, notices },
    };
    tokio::spawn(actor.run(commands, inbox));
    Ok(())
}

/// Takes streams as fast as they come: one that finds the slot occupied is dropped by the library.
async fn forward(mut incoming: IncomingStreams, protocol: StreamProtocol, notices: mpsc::Sender<Notice>) {
    while let Some((peer, stream)) = incoming.next().await {
        let notice = Notice::StreamOpened { peer, protocol: protocol.clone(), stream };
        if notices.try_send(notice).is_err() {
            tracing::debug!(%peer, %protocol, "too many streams at a time; one dropped");
        }
    }
}

impl Actor {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>, mut inbox: mpsc::Receiver<Notice>) {
        let reply = loop {
            let timer = sleep_until(self.next_timer().into());
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm(event),
                Some(notice) = inbox.recv() => self.on_notice(notice),
                () = timer => {}
                command = commands.recv() => match command {
                    Some(Command::Shutdown(reply)) => break Some(reply),
                    Some(command) => self.on_command(command),
                    None => break None,
                },
            }
            self.tend(Instant::now());
        };
        self.shut_down().await;
        if let Some(reply) = reply {
            // Fails only when nobody waits any more.
            let _: Result<(), ()> = reply.send(());
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::SetMembers(members) => self.set_members(members),
            Command::SetInvite(invite) => self.set_invite(invite),
            Command::Send { peer, frame } => match self.sessions.get_mut(&peer) {
                Some(session) => session.outbox.push(frame),
                None => tracing::trace!(?peer, "no session; frame dropped"),
            },
            Command::Close { peer } => self.cut_off(peer),
            Command::Call { peer, request, reply } => match self.links.get(&peer) {
                Some(link) if link.connections > 0 => {
                    link.calls.call(self.control.clone(), identity::peer_id(peer), request, reply);
                }
                Some(_) | None => {
                    // Fails only when nobody waits any more.
                    drop(reply.send(Err(CallError::NotConnected)));
                }
            },
            Command::Shutdown(_) => unreachable!("the loop ends on it"),
        }
    }

    fn cut_off(&mut self, peer: NodeId) {
        if let Some(session) = self.sessions.get_mut(&peer) {
            session.cut_off();
        }
        if self.swarm.disconnect_peer_id(identity::peer_id(peer)).is_err() {
            tracing::debug!(?peer, "was not connected");
        }
    }

    fn on_notice(&mut self, notice: Notice) {
        match notice {
            Notice::StreamOpened { peer, protocol, stream } => {
                let Some(node) = identity::node_id(&peer) else { return };
                self.on_stream(node, &protocol, stream);
            }
            Notice::SessionEnded { peer, id, past } => {
                if self.sessions.get(&peer).is_some_and(|session| session.id == id)
                    && let Some(session) = self.sessions.remove(&peer)
                    && let Some(link) = self.links.get_mut(&peer)
                {
                    link.session_ended(past.lasted, past.was_heard && !session.was_cut_off, Instant::now());
                }
            }
        }
    }

    fn start_session(&mut self, peer: NodeId, start: Start) {
        let id = self.next_session;
        self.next_session += 1;
        let previous = self.sessions.remove(&peer);
        self.sessions.insert(peer, Session::spawn(id, peer, start, self.reports.clone(), previous));
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the rest of the swarm's events changes nothing here")]
        match event {
            SwarmEvent::NewListenAddr { address, .. } => {
                tracing::info!(%address, "listening");
                let events = self.reports.events.clone();
                tokio::spawn(async move { events.send(Event::Listening(address)).await.is_ok() });
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::error!(?addresses, ?reason, "no longer listening; restart the node");
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, num_established, .. } => {
                if let Some(link) = self.link_of(&peer_id) {
                    link.dial_ended(connection_id);
                    link.connections = num_established.get();
                    if endpoint.is_listener() {
                        link.was_dialed();
                    }
                }
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established, cause, .. } => {
                tracing::debug!(%peer_id, num_established, ?cause, "connection closed");
                let Some(peer) = identity::node_id(&peer_id) else { return };
                if let Some(link) = self.links.get_mut(&peer) {
                    link.connections = num_established;
                }
                if num_established == 0
                    && let Some(session) = self.sessions.get_mut(&peer)
                {
                    session.stop();
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer_id), connection_id, error } => {
                log_dial_failure(&peer_id, &error);
                if let Some(link) = self.link_of(&peer_id) {
                    link.dial_ended(connection_id);
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { peer, connection, result: Err(reason) })) => {
                tracing::info!(%peer, %reason, "connection is dead");
                self.swarm.close_connection(connection);
            }
            _ => {}
        }
    }

    fn link_of(&mut self, peer: &PeerId) -> Option<&mut Link> {
        identity::node_id(peer).and_then(|peer| self.links.get_mut(&peer))
    }

    /// Dials, opens and expires what is due.
    fn tend(&mut self, now: Instant) {
        if self.invite.as_ref().is_some_and(|invite| invite.until <= now) {
            self.set_invite(None);
        }
        let mut to_open = Vec::new();
        for (peer, link) in &mut self.links {
            let opens = self.me < *peer && !self.sessions.contains_key(peer);
            if link.take_dial(now) {
                link.dial(&mut self.swarm, identity::peer_id(*peer));
            } else if link.connections > 0 && opens && link.take_open(now) {
                to_open.push(*peer);
            }
        }
        for peer in to_open {
            self.start_session(peer, Start::Open(self.control.clone(), identity::peer_id(peer)));
        }
    }

    fn next_timer(&self) -> Instant {
        let links = self
            .links
            .iter()
            .filter_map(|(peer, link)| link.next_attempt(self.me < *peer && !self.sessions.contains_key(peer)));
        let invite = self.invite.as_ref().map(|invite| invite.until);
        links.chain(invite).min().unwrap_or_else(|| Instant::now() + FAR)
    }

    async fn shut_down(mut self) {
        self.sessions.clear();
        let peers: Vec<_> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            if self.swarm.disconnect_peer_id(peer).is_err() {
                tracing::debug!(%peer, "was not connected");
            }
        }
        let closing = async {
            while self.swarm.connected_peers().next().is_some() {
                drop(self.swarm.select_next_some().await);
            }
        };
        if timeout(SHUTDOWN_TIMEOUT, closing).await.is_err() {
            tracing::warn!("a connection did not close in time");
        }
    }
}

fn log_dial_failure(peer: &PeerId, error: &DialError) {
    if let DialError::WrongPeerId { obtained, address } = error {
        tracing::warn!(expected = %peer, %obtained, %address, "another node answers at a member's address; correct it");
    } else {
        tracing::debug!(%peer, %error, "dial failed");
    }
}
