//! One peer's session: a task that reads frames for the application and writes what is queued.

use std::{
    io,
    time::{Duration, Instant},
};

use aiemp_keys::NodeId;
use aiemp_protocol::{egress::Cleared, frame::Frame};
use futures::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
    io::{BufReader, ReadHalf, WriteHalf},
};
use libp2p::{PeerId, Stream};
use libp2p_stream::Control;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::{
    Event,
    actor::Notice,
    frames::{self, BLOCK_BYTES_MAX, Encoder, FrameError},
    outbox::{Drain, Outbox, Watchdog, outbox},
    streams,
};

/// Read from the stream at a time: many small frames at once.
const READ_BYTES: usize = 64 << 10;
/// Handed to the stream at a time: small frames are coalesced up to it.
const WRITE_BYTES: usize = 256 << 10;

/// How a session gets its stream.
pub(super) enum Start {
    /// This side opens it.
    Open(Control, PeerId),
    /// The peer opened it.
    Accepted(Stream),
}

/// Where a session reports.
#[derive(Clone)]
pub(super) struct Reports {
    pub(super) events: mpsc::Sender<Event>,
    pub(super) notices: mpsc::Sender<Notice>,
}

/// The actor's hold on a session; dropping it ends the session.
pub(super) struct Session {
    pub(super) id: u64,
    pub(super) outbox: Outbox,
    /// Whether this side ended it for what the peer did.
    pub(super) was_cut_off: bool,
    stop: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<()>,
}

/// What a session was, once it is over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Past {
    pub(super) lasted: Duration,
    /// Whether the peer sent a frame, and nothing but frames.
    pub(super) was_heard: bool,
}

/// Why a session ends.
#[derive(Debug, Error)]
enum End {
    #[error("the stream ended: {0}")]
    Stream(#[from] io::Error),
    #[error("the peer sent what is no frame: {0}")]
    Received(FrameError),
    #[error("a frame of ours cannot be sent: {0}")]
    Sent(FrameError),
    #[error("too much waited for the peer")]
    Overflow,
    #[error("this side ended it")]
    Stopped,
    #[error("the application is gone")]
    Deaf,
}

impl Session {
    /// Starts a session once the one before has ended, with its events sent.
    pub(super) fn spawn(id: u64, peer: NodeId, start: Start, reports: Reports, previous: Option<Self>) -> Self {
        let (outbox, drain, watchdog) = outbox();
        let (stop, stopped) = oneshot::channel();
        let (ended_sender, ended) = oneshot::channel();
        let previous = previous.map(|mut previous| {
            previous.stop();
            previous.ended
        });
        tokio::spawn(async move {
            if let Some(previous) = previous {
                // An error is the end as well.
                drop(previous.await);
            }
            let past = serve(peer, start, &reports.events, drain, watchdog, stopped).await;
            drop(ended_sender);
            // Fails only when the actor is gone.
            drop(reports.notices.send(Notice::SessionEnded { peer, id, past }).await);
        });
        Self { id, outbox, was_cut_off: false, stop: Some(stop), ended }
    }

    /// Ends the session for what the peer did.
    pub(super) fn cut_off(&mut self) {
        self.was_cut_off = true;
        self.stop();
    }

    /// Ends the session; it stays in its peer's place until it says that it ended.
    pub(super) fn stop(&mut self) {
        self.stop = None;
    }
}

/// Runs the session; returns what it was.
async fn serve(
    peer: NodeId,
    start: Start,
    events: &mpsc::Sender<Event>,
    drain: Drain,
    watchdog: Watchdog,
    mut stopped: oneshot::Receiver<()>,
) -> Past {
    let opening = async {
        let stream = match start {
            Start::Open(control, peer) => streams::open(control, peer, streams::LOG).await,
            Start::Accepted(stream) => streams::greet(stream).await,
        }?;
        let permit = events.reserve().await.map_err(|_| End::Deaf)?;
        Ok::<_, End>((stream, permit))
    };
    let opened = tokio::select! {
        opened = opening => opened,
        _ = &mut stopped => return Past::default(),
    };
    let stream = match opened {
        Ok((stream, permit)) => {
            permit.send(Event::Connected(peer));
            stream
        }
        Err(reason) => {
            tracing::debug!(?peer, %reason, "no session");
            return Past::default();
        }
    };
    let (since, mut was_heard) = (Instant::now(), false);
    tracing::info!(?peer, "session opened");
    tokio::select! {
        end = converse(peer, stream, events, drain, watchdog, &mut was_heard) => log_end(peer, &end),
        _ = &mut stopped => tracing::info!(?peer, "session closed"),
    }
    let past = Past { lasted: since.elapsed(), was_heard };
    // Fails only when the application is gone.
    drop(events.send(Event::Disconnected(peer)).await);
    past
}

fn log_end(peer: NodeId, end: &End) {
    match end {
        End::Stream(reason) if reason.kind() != io::ErrorKind::InvalidData => {
            tracing::info!(?peer, %reason, "session ended");
        }
        End::Stopped => tracing::info!(?peer, "session closed"),
        End::Stream(_) | End::Received(_) | End::Sent(_) | End::Overflow | End::Deaf => {
            tracing::warn!(?peer, reason = %end, "session closed");
        }
    }
}

/// Reads and writes side by side, so that neither waits for the other, until one of them ends.
async fn converse(
    peer: NodeId,
    stream: Stream,
    events: &mpsc::Sender<Event>,
    drain: Drain,
    watchdog: Watchdog,
    was_heard: &mut bool,
) -> End {
    let (reader, writer) = stream.split();
    tokio::select! {
        end = read_frames(peer, reader, events, was_heard) => end,
        end = write_frames(writer, drain) => end,
        () = watchdog.stalled() => End::Overflow,
    }
}

async fn read_frames(
    peer: NodeId,
    reader: ReadHalf<Stream>,
    events: &mpsc::Sender<Event>,
    was_heard: &mut bool,
) -> End {
    let mut reader = BufReader::with_capacity(READ_BYTES, reader);
    loop {
        match next_frame(&mut reader).await {
            Ok(frame) => {
                tracing::trace!(?peer, "frame received");
                *was_heard = true;
                if events.send(Event::Frame { peer, frame }).await.is_err() {
                    return End::Deaf;
                }
            }
            Err(end) => {
                *was_heard &= !matches!(end, End::Received(_));
                return end;
            }
        }
    }
}

async fn next_frame(reader: &mut (impl AsyncRead + Unpin)) -> Result<Frame, End> {
    let block = streams::read_block(reader, BLOCK_BYTES_MAX).await?;
    frames::decode(&block).map_err(End::Received)
}

async fn write_frames(mut writer: WriteHalf<Stream>, mut drain: Drain) -> End {
    match write_until_closed(&mut writer, &mut drain).await {
        // What was queued is written out: what follows is the next session's.
        Ok(()) => match writer.close().await {
            Ok(()) if drain.overflowed() => End::Overflow,
            Ok(()) => End::Stopped,
            Err(error) => End::Stream(error),
        },
        Err(end) => end,
    }
}

async fn write_until_closed(writer: &mut (impl AsyncWrite + Unpin), drain: &mut Drain) -> Result<(), End> {
    let mut encoder = Encoder::new()?;
    let mut wire = Vec::new();
    while drain.wait().await {
        while let Some(frame) = drain.take() {
            // The door: what was cleared leaves here.
            encoder.encode(&Cleared::into_inner(frame), &mut wire).map_err(End::Sent)?;
            if wire.len() >= WRITE_BYTES {
                write_out(writer, &mut wire, drain).await?;
            }
        }
        write_out(writer, &mut wire, drain).await?;
        writer.flush().await?;
    }
    Ok(())
}

async fn write_out(writer: &mut (impl AsyncWrite + Unpin), wire: &mut Vec<u8>, drain: &Drain) -> io::Result<()> {
    let mut rest = wire.as_slice();
    while !rest.is_empty() {
        let taken = writer.write(rest).await?;
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        rest = &rest[taken..];
        drain.note_progress();
    }
    wire.clear();
    Ok(())
}
