//! A2A calls between members: one stream each, one block there, one block back.

use std::{io, sync::Arc, time::Duration};

use aiemp_keys::NodeId;
use aiemp_protocol::egress::Cleared;
use futures::AsyncWriteExt as _;
use libp2p::{PeerId, Stream};
use libp2p_stream::Control;
use thiserror::Error;
use tokio::{
    sync::{Mutex, Semaphore, mpsc, oneshot},
    time::timeout,
};

use super::{Event, streams};

/// A request or a response; attachments travel by the log, not by calls.
const BODY_BYTES_MAX: usize = 1 << 20;
/// From the call to its response; tasks that take longer answer with their state.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls of one peer that are answered at a time, and calls to one peer: bounds memory, and stays below the streams of
/// a connection.
const CALLS_PER_PEER_MAX: usize = 16;

/// Why a call has no response.
#[derive(Debug, Error)]
pub enum CallError {
    /// No connection with a member of this identity.
    #[error("the peer is not connected; see `aiemp-node status`")]
    NotConnected,
    /// Too many calls to the peer are open.
    #[error("{CALLS_PER_PEER_MAX} calls to the peer wait already; try again when they are answered")]
    Busy,
    /// The request is longer than a call may be.
    #[error("the request has more than {BODY_BYTES_MAX} bytes")]
    TooLong,
    /// No response in time. The peer may have acted on the request.
    #[error("the peer did not answer within {} s; it may have acted on the call", CALL_TIMEOUT.as_secs())]
    TimedOut,
    /// The peer ended the call. It may have acted on the request.
    #[error("the peer ended the call: {0}")]
    Broken(#[from] io::Error),
}

/// Calls with one peer in progress, each way.
pub(super) struct Calls {
    outgoing: Arc<Semaphore>,
    // One stream at a time: the peer drops those that come at the same moment.
    opening: Arc<Mutex<()>>,
    incoming: Arc<Semaphore>,
}

impl Default for Calls {
    fn default() -> Self {
        let semaphore = || Arc::new(Semaphore::new(CALLS_PER_PEER_MAX));
        Self { outgoing: semaphore(), opening: Arc::default(), incoming: semaphore() }
    }
}

impl Calls {
    /// Calls a peer in a task of its own.
    pub(super) fn call(
        &self,
        control: Control,
        peer: PeerId,
        request: Cleared<Vec<u8>>,
        mut reply: oneshot::Sender<Result<Vec<u8>, CallError>>,
    ) {
        let permit = Arc::clone(&self.outgoing).try_acquire_owned();
        let opening = Arc::clone(&self.opening);
        tokio::spawn(async move {
            let outcome = match permit {
                Ok(_permit) => tokio::select! {
                    outcome = call(control, peer, &request, &opening) => outcome,
                    () = reply.closed() => return,
                },
                Err(_) => Err(CallError::Busy),
            };
            // Fails only when nobody waits any more.
            drop(reply.send(outcome));
        });
    }

    /// Answers a call in a task of its own; one too many is dropped.
    pub(super) fn answer(&self, peer: NodeId, stream: Stream, events: mpsc::Sender<Event>) {
        let Ok(permit) = Arc::clone(&self.incoming).try_acquire_owned() else {
            return tracing::debug!(?peer, "too many calls at a time; one dropped");
        };
        tokio::spawn(async move {
            match timeout(CALL_TIMEOUT, answer(peer, stream, events)).await {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => tracing::debug!(?peer, %reason, "call broken"),
                Err(_) => tracing::debug!(?peer, "call not answered in time"),
            }
            drop(permit);
        });
    }
}

async fn call(
    control: Control,
    peer: PeerId,
    request: &Cleared<Vec<u8>>,
    opening: &Mutex<()>,
) -> Result<Vec<u8>, CallError> {
    if request.get().len() > BODY_BYTES_MAX {
        return Err(CallError::TooLong);
    }
    let exchange = async {
        let turn = opening.lock().await;
        let mut stream = streams::open(control, peer, streams::CALL).await?;
        drop(turn);
        streams::write_block(&mut stream, request.get()).await?;
        streams::read_block(&mut stream, BODY_BYTES_MAX).await
    };
    Ok(timeout(CALL_TIMEOUT, exchange).await.map_err(|_| CallError::TimedOut)??)
}

async fn answer(peer: NodeId, stream: Stream, events: mpsc::Sender<Event>) -> io::Result<()> {
    let mut stream = streams::greet(stream).await?;
    let request = streams::read_block(&mut stream, BODY_BYTES_MAX).await?;
    let (reply, response) = oneshot::channel();
    let gone = |_| io::Error::other("the application does not answer");
    events
        .send(Event::Called { peer, request, reply })
        .await
        .map_err(|_| io::Error::other("the application is gone"))?;
    let response = response.await.map_err(gone)?;
    if response.get().len() > BODY_BYTES_MAX {
        return Err(io::Error::other("the response is longer than a call may be"));
    }
    streams::write_block(&mut stream, &response.into_inner()).await?;
    stream.close().await
}
