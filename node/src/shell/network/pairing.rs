//! The pairing conversation, seen from either side.

use std::{fmt, io, time::Duration};

use aiemp_keys::NodeId;
use aiemp_protocol::pairing::{Message, PairingError};
use anyhow::{Context as _, anyhow, bail};
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::Stream;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::timeout,
};

use super::{Event, streams};

/// One message; the largest is a proof with the chain of rosters.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// A person compares words between two messages, or reads what becomes of two vaults.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(300);
/// How long the last words may take.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

/// A conversation with the other side of a pairing, whose key Noise has proved.
pub struct PairingStream {
    stream: Stream,
    says_inventory: bool,
    // Dropped after the stream: lets the swarm go, or the next conversation come.
    _hold: Hold,
}

/// What the conversation keeps while it lasts.
pub(super) enum Hold {
    /// The dialer's own swarm, which runs until this is dropped.
    Swarm { _running: oneshot::Sender<()> },
    /// The inviter's one place for a conversation.
    Place { _permit: OwnedSemaphorePermit },
}

impl PairingStream {
    pub(super) fn new(stream: Stream, says_inventory: bool, hold: Hold) -> Self {
        Self { stream, says_inventory, _hold: hold }
    }

    /// Whether the other side is of a version that says what its vault holds.
    pub const fn says_inventory(&self) -> bool {
        self.says_inventory
    }

    /// Sends one message.
    pub async fn send(&mut self, message: &Message) -> anyhow::Result<()> {
        let bytes = message.to_bytes();
        if bytes.len() > MESSAGE_BYTES_MAX {
            bail!("the roster chain is too long to pair; this is a bug, please report it");
        }
        let sending = timeout(MESSAGE_TIMEOUT, streams::write_block(&mut self.stream, &bytes)).await;
        sending.map_err(io::Error::from).flatten().map_err(ended)
    }

    /// Waits for the next message, for five minutes.
    pub async fn receive(&mut self) -> anyhow::Result<Message> {
        let receiving = timeout(MESSAGE_TIMEOUT, streams::read_block(&mut self.stream, MESSAGE_BYTES_MAX)).await;
        let Ok(received) = receiving else {
            bail!(
                "the other side said nothing for {} s; start again with `aiemp-node pair invite`",
                MESSAGE_TIMEOUT.as_secs()
            );
        };
        let bytes = received.map_err(ended)?;
        Message::from_bytes(&bytes).map_err(PairingError::from).context("pairing failed")
    }

    /// Ends the conversation after the last message, which would be lost if the process ended at once.
    pub async fn finish(mut self) {
        let farewell = async {
            self.stream.close().await?;
            // The other side ends too once it has read everything.
            self.stream.read(&mut [0]).await
        };
        if let Ok(Err(reason)) = timeout(FAREWELL_TIMEOUT, farewell).await {
            tracing::debug!(%reason, "pairing stream did not close");
        }
    }
}

impl fmt::Debug for PairingStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairingStream")
    }
}

fn ended(error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::InvalidData {
        return anyhow!("the other side speaks another protocol ({error}); update both nodes to one version");
    }
    anyhow!("the other side ended the pairing ({error}); start again with `aiemp-node pair invite` on the Cloud node")
}

/// Hands the conversation that the invite's dialer opened to the application, in a task of its own.
pub(super) fn admit(dialer: NodeId, stream: Stream, permit: OwnedSemaphorePermit, events: mpsc::Sender<Event>) {
    tokio::spawn(async move {
        match streams::greet(stream).await {
            Ok(stream) => {
                let stream = PairingStream::new(stream, true, Hold::Place { _permit: permit });
                if events.send(Event::PairingRequested { dialer, stream }).await.is_err() {
                    tracing::debug!("nobody takes the pairing");
                }
            }
            Err(reason) => tracing::debug!(%reason, "pairing stream broken"),
        }
    });
}
