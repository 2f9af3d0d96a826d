//! The network on real loopback, on free ports. Nothing sleeps to synchronise: each step waits for its event.

mod calls;
mod hostile;
mod members;
mod pairing;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aiemp_keys::{FingerprintKey, Fingerprints, NodeId, Signer};
use aiemp_protocol::{
    egress::{Cleared, Guard},
    frame::Frame,
    ids::Audience,
    roster::Role,
    time::Timestamp,
    vault_path::VaultPath,
};
use futures::StreamExt as _;
use libp2p::{Multiaddr, Stream, StreamProtocol};
use libp2p_stream::Control;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{Command, Event, Network, NetworkConfig, behaviour, identity, spawn, streams};

/// Far above what anything here takes, so that a failure ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node with its events at hand.
struct Node {
    signer: Signer,
    network: Network,
    events: mpsc::Receiver<Event>,
    address: Multiaddr,
}

impl Node {
    async fn start(signer: Signer) -> Self {
        Self::start_at(signer, "/ip4/127.0.0.1/tcp/0".parse().unwrap()).await
    }

    async fn start_at(signer: Signer, listen: Multiaddr) -> Self {
        let (sender, mut events) = mpsc::channel(16);
        let network = spawn(NetworkConfig { signer: signer.clone(), listen: vec![listen] }, sender).unwrap();
        let Event::Listening(address) = within(events.recv()).await.unwrap() else { panic!("listening comes first") };
        Self { signer, network, events, address }
    }

    fn id(&self) -> NodeId {
        self.signer.node_id()
    }

    async fn tell(&self, command: Command) {
        self.network.commands.send(command).await.unwrap();
    }

    async fn set_members(&self, members: &[(NodeId, Option<&Multiaddr>)]) {
        let members: BTreeMap<_, _> =
            members.iter().map(|(peer, address)| (*peer, address.iter().copied().cloned().collect())).collect();
        self.tell(Command::SetMembers(members)).await;
    }

    async fn send(&self, peer: NodeId, frame: Frame) {
        self.tell(Command::Send { peer, frame: cleared(frame) }).await;
    }

    async fn next(&mut self) -> Event {
        within(self.events.recv()).await.expect("the network runs")
    }

    async fn expect_connected(&mut self, peer: NodeId) {
        let event = self.next().await;
        assert!(matches!(event, Event::Connected(other) if other == peer), "{event:?}");
    }

    async fn expect_disconnected(&mut self, peer: NodeId) {
        let event = self.next().await;
        assert!(matches!(event, Event::Disconnected(other) if other == peer), "{event:?}");
    }

    async fn expect_frame(&mut self, peer: NodeId, expected: &Frame) {
        let event = self.next().await;
        let Event::Frame { peer: from, frame } = event else { panic!("{event:?}") };
        assert_eq!((from, &frame), (peer, expected));
    }

    async fn shut_down(self) {
        let (reply, done) = oneshot::channel();
        self.tell(Command::Shutdown(reply)).await;
        within(done).await.unwrap();
    }
}

/// A peer that speaks the protocols by hand, and may break them.
struct RawPeer {
    signer: Signer,
    control: Control,
    _running: oneshot::Sender<()>,
}

impl RawPeer {
    /// Dials a node.
    fn dial(signer: Signer, node: &Node) -> Self {
        let mut swarm = behaviour::swarm(&signer).unwrap();
        swarm.behaviour_mut().allowed.allow_peer(identity::peer_id(node.id()));
        swarm.dial(node.address.clone().with_p2p(identity::peer_id(node.id())).unwrap()).unwrap();
        let control = swarm.behaviour().streams.new_control();
        let (running, mut dropped) = oneshot::channel();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = &mut dropped => break,
                    event = swarm.select_next_some() => drop(event),
                }
            }
        });
        Self { signer, control, _running: running }
    }

    async fn open(&self, node: NodeId, protocol: StreamProtocol) -> std::io::Result<Stream> {
        within(streams::open(self.control.clone(), identity::peer_id(node), protocol)).await
    }
}

/// Different keys, in the order of their identities: an earlier one opens the session with a later one.
fn signers<const N: usize>() -> [Signer; N] {
    let mut signers: Vec<_> = (0..N).map(|_| Signer::generate().unwrap()).collect();
    signers.sort_by_key(Signer::node_id);
    signers.try_into().expect("as many as asked for")
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it takes too long")
}

fn guard() -> Guard {
    Guard::new(Fingerprints::new(FingerprintKey::from_bytes([1; 32])))
}

pub(super) fn cleared(frame: Frame) -> Cleared<Frame> {
    guard().clear_frame(Role::Local, frame).unwrap().0
}

pub(super) fn roster(length: usize) -> Frame {
    Frame::Roster { bytes: vec![7; length] }
}

/// A frame that does not compress.
pub(super) fn noise(length: usize) -> Frame {
    // xorshift64, Marsaglia 2003.
    let step = |state: &u64| {
        let state = state ^ (state << 13);
        let state = state ^ (state >> 7);
        Some(state ^ (state << 17))
    };
    let states = std::iter::successors(Some(0x9e37_79b9_7f4a_7c15), step);
    Frame::Roster { bytes: states.flat_map(u64::to_le_bytes).take(length).collect() }
}

fn body(text: &[u8]) -> Cleared<Vec<u8>> {
    guard().clear_file(&VaultPath::parse("a.md").unwrap(), Audience::Local, text.to_vec()).unwrap()
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(u64::try_from(now.as_millis()).unwrap())
}
