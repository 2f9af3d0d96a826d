//! The mesh on the wire: one task owns the swarm, one task serves each peer's session.
//!
//! Goes in: [`Command`]s, of which none blocks. Comes out: [`Event`]s, in order for each peer: `Connected`, its frames,
//! `Disconnected`. A peer that is no member, nor holds the open invite, is refused before any protocol starts.
//!
//! Who talks to whom: a node dials every member that it has addresses of, and again whenever it is cut off. Both sides
//! may dial; of the two the one with the lower [`NodeId`] opens the replication stream, and a new stream replaces the
//! one before it. A consumer of events that is slow slows its peers down, never the swarm.

mod actor;
pub mod addresses;
mod backoff;
mod behaviour;
mod calls;
mod dial_pairing;
mod frames;
pub mod identity;
mod listen;
mod outbox;
mod pairing;
mod session;
mod streams;

use std::collections::BTreeMap;

use aiemp_keys::{NodeId, Signer};
use aiemp_protocol::{egress::Cleared, frame::Frame, pairing::Invite};
use libp2p::Multiaddr;
use tokio::sync::{mpsc, oneshot};

pub use calls::CallError;
pub use dial_pairing::dial_pairing;
pub use pairing::PairingStream;

/// Commands that may wait for the actor, which takes each of them at once: room for one burst of frames.
const COMMANDS_MAX: usize = 1024;

/// What the network needs to start.
#[derive(Debug)]
pub struct NetworkConfig {
    /// The node key, which is the libp2p identity too.
    pub signer: Signer,
    /// Where to listen; nowhere when empty.
    pub listen: Vec<Multiaddr>,
}

/// A running network. It stops on [`Command::Shutdown`], and when the last sender of commands is dropped.
#[derive(Clone, Debug)]
pub struct Network {
    /// Where commands go.
    pub commands: mpsc::Sender<Command>,
}

/// What the network is told.
#[derive(Debug)]
pub enum Command {
    /// Who is in the mesh, with the addresses to dial; who is in it no longer is cut off. This node itself may be named.
    SetMembers(BTreeMap<NodeId, Vec<Multiaddr>>),
    /// Who may dial to pair, until it expires or is taken away, which ends a pairing in progress.
    SetInvite(Option<Invite>),
    /// Queues a frame; without a session it is dropped, for the next session starts from the frontier.
    Send {
        /// To whom.
        peer: NodeId,
        /// What the guard let pass.
        frame: Cleared<Frame>,
    },
    /// Ends the session and every connection with a peer; a member may come back, with growing pauses.
    Close {
        /// With whom.
        peer: NodeId,
    },
    /// Calls a connected member and waits for its answer.
    Call {
        /// Whom.
        peer: NodeId,
        /// The request body.
        request: Cleared<Vec<u8>>,
        /// Gets the response body.
        reply: oneshot::Sender<Result<Vec<u8>, CallError>>,
    },
    /// Closes everything, then answers: the ports are free by then.
    Shutdown(oneshot::Sender<()>),
}

/// What the network tells.
#[derive(Debug)]
pub enum Event {
    /// It listens at this address.
    Listening(Multiaddr),
    /// A session with a member is open both ways.
    Connected(NodeId),
    /// That session is over.
    Disconnected(NodeId),
    /// A frame of a member, its form checked.
    Frame {
        /// From whom.
        peer: NodeId,
        /// The frame.
        frame: Frame,
    },
    /// The holder of the invite's ticket wants to pair.
    PairingRequested {
        /// The one-time identity, proved by Noise.
        dialer: NodeId,
        /// The conversation.
        stream: PairingStream,
    },
    /// A member calls.
    Called {
        /// Who.
        peer: NodeId,
        /// The request body.
        request: Vec<u8>,
        /// Takes the response body; dropping it refuses the call.
        reply: oneshot::Sender<Cleared<Vec<u8>>>,
    },
}

/// Starts the network inside the current tokio runtime, already listening when it returns.
///
/// Fails when an address cannot be listened on; the text says which and what to do.
pub fn spawn(config: NetworkConfig, events: mpsc::Sender<Event>) -> anyhow::Result<Network> {
    let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
    actor::spawn(config, inbox, events)?;
    Ok(Network { commands })
}

#[cfg(test)]
mod tests;
