//! The swarm: TCP, Noise, Yamux; who may connect, how often, and whether it still lives.

use std::time::Duration;

use aiemp_keys::Signer;
use anyhow::Context as _;
use libp2p::{
    Swarm, SwarmBuilder,
    allow_block_list::{self, AllowedPeers},
    connection_limits::{self, ConnectionLimits},
    core::upgrade::Version,
    noise, ping,
    swarm::NetworkBehaviour,
    tcp, yamux,
};

use super::identity;

/// Handshakes in progress each way: bounds what strangers can make us hold.
const PENDING_MAX: u32 = 16;
/// Connections: every member of the largest roster once.
const ESTABLISHED_MAX: u32 = 64;
/// Connections with one peer: both may dial at once, and a dead one may linger beside its successor.
pub(super) const ESTABLISHED_PER_PEER_MAX: u32 = 4;
/// Streams of one connection: the session, pings and calls fit several times; each may hold a window of 256 KiB.
const STREAMS_MAX: usize = 64;
/// Pings find a dead TCP peer long before the kernel does.
const PING: Duration = Duration::from_secs(5);
/// Only duplicates of a connection are ever without a stream.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

// The order of the fields is the order of refusal: who is not allowed gets no handler at all, so no protocol.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) allowed: allow_block_list::Behaviour<AllowedPeers>,
    limits: connection_limits::Behaviour,
    ping: ping::Behaviour,
    pub(super) streams: libp2p_stream::Behaviour,
}

/// A swarm with this identity that allows nobody yet.
pub(super) fn swarm(signer: &Signer) -> anyhow::Result<Swarm<Behaviour>> {
    let limits = ConnectionLimits::default()
        .with_max_pending_incoming(Some(PENDING_MAX))
        .with_max_pending_outgoing(Some(PENDING_MAX))
        .with_max_established(Some(ESTABLISHED_MAX))
        .with_max_established_per_peer(Some(ESTABLISHED_PER_PEER_MAX));
    let muxer = || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(STREAMS_MAX);
        config
    };
    let swarm = SwarmBuilder::with_existing_identity(identity::keypair(signer))
        .with_tokio()
        .with_tcp(tcp::Config::new().nodelay(true), noise::Config::new, muxer)
        .context("the node key does not serve for Noise")?
        .with_dns()
        .context("the resolver's configuration cannot be read; look at /etc/resolv.conf")?
        .with_behaviour(|_| Behaviour {
            allowed: allow_block_list::Behaviour::default(),
            limits: connection_limits::Behaviour::new(limits),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING).with_timeout(PING)),
            streams: libp2p_stream::Behaviour::new(),
        })
        .expect("building the behaviour cannot fail")
        .with_swarm_config(|config| {
            // Lazy negotiation saves one round trip a stream; every stream of ours begins with a write.
            config.with_substream_upgrade_protocol_override(Version::V1Lazy).with_idle_connection_timeout(IDLE_TIMEOUT)
        })
        .build();
    Ok(swarm)
}
