//! A libp2p peer that has Cloud's key and none of its manners: streams by hand, frames as bytes.

use std::{
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    time::Duration,
};

use aiemp_keys::{NodeId, Signer};
use aiemp_node::shell::network::identity;
use aiemp_protocol::frame::Frame;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _, io::WriteHalf};
use libp2p::{
    Multiaddr, Stream, StreamProtocol, SwarmBuilder,
    core::upgrade::Version,
    noise, ping,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use libp2p_stream::Control;
use tokio::{runtime::Runtime, task::JoinHandle, time::timeout};

use crate::node::PATIENCE;

pub(super) const LOG: StreamProtocol = StreamProtocol::new("/aiemp/log/1");
pub(super) const CALL: StreamProtocol = StreamProtocol::new("/aiemp/a2a/cbor/1");
const READY: u8 = 1;
const RAW: u8 = 0;
/// Beyond it a frame of Local's is a fault of Local's.
const FRAME_BYTES_MAX: usize = 4 << 20;
/// Frames that wait to be heard: more than any case makes Local say.
const FRAMES_MAX: usize = 1 << 16;
/// How long a stream that is not taken may stay unanswered.
const OPEN_PATIENCE: Duration = Duration::from_secs(5);

/// What comes from Local on the session.
#[derive(Debug)]
pub(super) enum Heard {
    Frame(Frame),
    Nothing,
    Closed,
}

// Who answers no ping is taken for dead.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
struct Behaviour {
    ping: ping::Behaviour,
    streams: libp2p_stream::Behaviour,
}

struct Session {
    writer: WriteHalf<Stream>,
    frames: Receiver<Frame>,
}

struct Connection {
    control: Control,
    running: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.running.abort();
    }
}

pub(super) struct Peer {
    runtime: Runtime,
    pub(super) signer: Signer,
    local: NodeId,
    address: Multiaddr,
    connection: Option<Connection>,
    session: Option<Session>,
}

impl Peer {
    pub(super) fn new(signer: Signer, local: NodeId, port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let address = format!("/ip4/127.0.0.1/tcp/{port}").parse().expect("an address");
        Self { runtime: runtime.expect("a runtime"), signer, local, address, connection: None, session: None }
    }

    /// A stream without its first byte, on a connection that is made if there is none.
    fn stream(&mut self, protocol: &StreamProtocol) -> io::Result<Stream> {
        for _ in 0..20 {
            if self.connection.is_none() {
                let (signer, local, address) = (&self.signer, self.local, self.address.clone());
                self.connection = self.runtime.block_on(connect(signer, local, address));
            }
            let Some(connection) = &mut self.connection else { continue };
            let peer = identity::peer_id(self.local);
            let opening = connection.control.open_stream(peer, protocol.clone());
            match self.runtime.block_on(async { timeout(OPEN_PATIENCE, opening).await }) {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(libp2p_stream::OpenStreamError::UnsupportedProtocol(_))) => {
                    return Err(io::Error::other("not supported"));
                }
                Ok(Err(_)) | Err(_) => self.connection = None,
            }
        }
        panic!("Local takes no connection");
    }

    /// Opens a stream with this first byte; fails when Local does not answer with its own.
    pub(super) fn open(&mut self, protocol: &StreamProtocol, first: u8) -> io::Result<Stream> {
        let mut stream = self.stream(protocol)?;
        self.runtime.block_on(async {
            let greeting = async {
                stream.write_all(&[first]).await?;
                stream.flush().await?;
                let mut answer = [0];
                stream.read_exact(&mut answer).await?;
                if answer == [READY] { Ok(()) } else { Err(io::Error::other("another first byte")) }
            };
            timeout(OPEN_PATIENCE, greeting).await.map_err(io::Error::other)?
        })?;
        Ok(stream)
    }

    /// Whether a session stands, or could be opened now.
    pub(super) fn open_session(&mut self) -> bool {
        for _ in 0..5 {
            if self.session.is_some() {
                return true;
            }
            if let Ok(stream) = self.open(&LOG, READY) {
                let (reader, writer) = stream.split();
                let (sender, frames) = mpsc::sync_channel(FRAMES_MAX);
                self.runtime.spawn(async move {
                    let mut reader = reader;
                    while let Ok(frame) = read_frame(&mut reader).await {
                        if sender.send(frame).is_err() {
                            return;
                        }
                    }
                });
                self.session = Some(Session { writer, frames });
            } else {
                self.connection = None;
            }
        }
        self.session.is_some()
    }

    pub(super) fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// Writes bytes on the session; Local may cut it off in the middle.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let Some(session) = &mut self.session else { return };
        self.runtime.block_on(async {
            let writing = async {
                session.writer.write_all(bytes).await?;
                session.writer.flush().await
            };
            timeout(PATIENCE, writing).await.expect("Local reads or closes").ok();
        });
    }

    pub(super) fn send(&mut self, frame: &Frame) {
        self.write(&block(RAW, &frame.to_bytes()));
    }

    pub(super) fn hear(&mut self, patience: Duration) -> Heard {
        let Some(session) = &self.session else { return Heard::Closed };
        match session.frames.recv_timeout(patience) {
            Ok(frame) => Heard::Frame(frame),
            Err(RecvTimeoutError::Timeout) => Heard::Nothing,
            Err(RecvTimeoutError::Disconnected) => {
                self.session = None;
                Heard::Closed
            }
        }
    }

    /// Ends the session's stream, and nothing else.
    pub(super) fn close_session(&mut self) {
        if let Some(mut session) = self.session.take() {
            self.runtime.block_on(async { timeout(PATIENCE, session.writer.close()).await.ok() });
        }
    }

    pub(super) fn disconnect(&mut self) {
        self.session = None;
        self.connection = None;
    }

    /// One call: bytes as they are, then the answer's block, if there is one.
    pub(super) fn call(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut stream = self.open(&CALL, READY).ok()?;
        self.runtime.block_on(async {
            let exchange = async {
                stream.write_all(bytes).await.ok()?;
                stream.flush().await.ok()?;
                stream.close().await.ok();
                read_block(&mut stream, FRAME_BYTES_MAX).await.ok()
            };
            timeout(PATIENCE, exchange).await.expect("Local answers or closes")
        })
    }

    /// Opens streams at once and holds them; how many Local took.
    pub(super) fn hold_streams(&mut self, protocol: &StreamProtocol, count: usize) -> Vec<Stream> {
        drop(self.stream(protocol));
        let control = self.connection.as_ref().expect("connected").control.clone();
        let peer = identity::peer_id(self.local);
        self.runtime.block_on(async {
            let opening = (0..count).map(|_| {
                let (mut control, protocol) = (control.clone(), protocol.clone());
                async move { timeout(OPEN_PATIENCE, control.open_stream(peer, protocol)).await.ok()?.ok() }
            });
            futures::future::join_all(opening).await.into_iter().flatten().collect()
        })
    }
}

/// A block: its length, a flag, the body.
pub(super) fn block(flag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 1).expect("short").to_be_bytes();
    [&length[..], &[flag], body].concat()
}

async fn connect(signer: &Signer, local: NodeId, address: Multiaddr) -> Option<Connection> {
    let mut swarm = SwarmBuilder::with_existing_identity(identity::keypair(signer))
        .with_tokio()
        .with_tcp(tcp::Config::new().nodelay(true), noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_behaviour(|_| Behaviour { ping: ping::Behaviour::default(), streams: libp2p_stream::Behaviour::new() })
        .expect("a behaviour")
        .with_swarm_config(|config| {
            config
                .with_substream_upgrade_protocol_override(Version::V1Lazy)
                .with_idle_connection_timeout(Duration::from_secs(3600))
        })
        .build();
    swarm.dial(address.with_p2p(identity::peer_id(local)).expect("no peer yet")).expect("it dials");
    let control = swarm.behaviour().streams.new_control();
    let connected = async {
        loop {
            #[expect(clippy::wildcard_enum_match_arm, reason = "the rest of the swarm's events changes nothing here")]
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { .. } => return true,
                SwarmEvent::OutgoingConnectionError { .. } => return false,
                _ => {}
            }
        }
    };
    if !timeout(PATIENCE, connected).await.unwrap_or(false) {
        return None;
    }
    let running = tokio::spawn(async move {
        loop {
            drop(swarm.select_next_some().await);
        }
    });
    Some(Connection { control, running })
}

async fn read_block(reader: &mut (impl futures::AsyncRead + Unpin), bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    reader.read_exact(&mut length).await?;
    let length = usize::try_from(u32::from_be_bytes(length)).expect("fits");
    assert!(length <= bytes_max + 1, "Local sends a block of {length} bytes");
    let mut block = vec![0; length];
    reader.read_exact(&mut block).await?;
    Ok(block)
}

async fn read_frame(reader: &mut (impl futures::AsyncRead + Unpin)) -> io::Result<Frame> {
    let block = read_block(reader, FRAME_BYTES_MAX).await?;
    let (flag, body) = block.split_first().ok_or(io::ErrorKind::InvalidData)?;
    let bytes = if *flag == RAW { body.to_vec() } else { zstd::stream::decode_all(body)? };
    Frame::from_bytes(&bytes).map_err(io::Error::other)
}
