//! Two bare swarms, set up as ours: TCP without delay, Noise, Yamux, lazy negotiation. One echoes.

use std::{
    io,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, Swarm, SwarmBuilder, core::upgrade::Version, noise, swarm::SwarmEvent,
    tcp, yamux,
};
use libp2p_stream::{Behaviour, Control};
use tokio::{runtime::Handle, time::timeout};

use super::PATIENCE;

const PLAIN: StreamProtocol = StreamProtocol::new("/bench/plain/1");
const GREETED: StreamProtocol = StreamProtocol::new("/bench/greeted/1");
const GREETING: [u8; 1] = [1];

pub(super) struct Bare {
    control: Control,
    peer: PeerId,
    request: Vec<u8>,
    response_bytes: usize,
}

impl Bare {
    /// The caller's swarm runs here, the echoing one `there`.
    pub(super) async fn start(there: &Handle, request: Vec<u8>, response: Vec<u8>) -> Result<Self> {
        let mut here = swarm()?;
        let (echoing, address) = there.spawn(timeout(PATIENCE, listening())).await???;
        let (peer, response_bytes) = (*echoing.local_peer_id(), response.len());
        let mut control = echoing.behaviour().new_control();
        for protocol in [PLAIN, GREETED] {
            let mut incoming = control.accept(protocol.clone())?;
            let (request_bytes, response) = (request.len(), response.clone());
            there.spawn(async move {
                while let Some((_, stream)) = incoming.next().await {
                    let (response, greets) = (response.clone(), protocol == GREETED);
                    // The caller notices a stream that breaks.
                    tokio::spawn(async move { serve(stream, greets, request_bytes, &response).await.ok() });
                }
            });
        }
        let control = here.behaviour().new_control();
        there.spawn(run(echoing));
        here.dial(address.with_p2p(peer).ok().context("an address without a peer")?)?;
        timeout(PATIENCE, established(&mut here)).await?;
        tokio::spawn(run(here));
        Ok(Self { control, peer, request, response_bytes })
    }

    /// Opens a stream that is to stay, used once already.
    pub(super) async fn stand(&self) -> Result<Stream> {
        let mut stream = self.open(PLAIN).await?;
        self.exchange(&mut stream).await?;
        Ok(stream)
    }

    /// A round trip on a stream that stands.
    pub(super) async fn on(&self, stream: &mut Stream) -> Result<Duration> {
        let began = Instant::now();
        self.exchange(stream).await?;
        Ok(began.elapsed())
    }

    /// A round trip on a stream of its own.
    pub(super) async fn opened(&self) -> Result<Duration> {
        let began = Instant::now();
        let mut stream = self.open(PLAIN).await?;
        self.exchange(&mut stream).await?;
        Ok(began.elapsed())
    }

    /// The same after one byte each way, which tells both sides that the stream stands.
    pub(super) async fn greeted(&self) -> Result<Duration> {
        let began = Instant::now();
        let mut stream = self.open(GREETED).await?;
        greet(&mut stream).await?;
        self.exchange(&mut stream).await?;
        Ok(began.elapsed())
    }

    async fn open(&self, protocol: StreamProtocol) -> Result<Stream> {
        let mut control = self.control.clone();
        Ok(timeout(PATIENCE, control.open_stream(self.peer, protocol)).await??)
    }

    async fn exchange(&self, stream: &mut Stream) -> Result<()> {
        stream.write_all(&self.request).await?;
        stream.flush().await?;
        let mut response = vec![0; self.response_bytes];
        timeout(PATIENCE, stream.read_exact(&mut response)).await??;
        Ok(())
    }
}

fn swarm() -> Result<Swarm<Behaviour>> {
    let tcp = tcp::Config::new().nodelay(true);
    Ok(SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp, noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| Behaviour::new())?
        .with_swarm_config(|config| {
            config
                .with_substream_upgrade_protocol_override(Version::V1Lazy)
                .with_idle_connection_timeout(Duration::from_secs(3600))
        })
        .build())
}

async fn listening() -> Result<(Swarm<Behaviour>, Multiaddr)> {
    let mut swarm = swarm()?;
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return Ok((swarm, address));
        }
    }
}

async fn established(swarm: &mut Swarm<Behaviour>) {
    while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionEstablished { .. }) {}
}

async fn run(mut swarm: Swarm<Behaviour>) {
    loop {
        drop(swarm.select_next_some().await);
    }
}

/// Answers each request of a stream until its end.
async fn serve(mut stream: Stream, greets: bool, request_bytes: usize, response: &[u8]) -> io::Result<()> {
    if greets {
        greet(&mut stream).await?;
    }
    let mut request = vec![0; request_bytes];
    loop {
        stream.read_exact(&mut request).await?;
        stream.write_all(response).await?;
        stream.flush().await?;
    }
}

async fn greet(stream: &mut Stream) -> io::Result<()> {
    stream.write_all(&GREETING).await?;
    stream.flush().await?;
    let mut greeting = [0; GREETING.len()];
    stream.read_exact(&mut greeting).await
}
