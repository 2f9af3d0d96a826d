//! What waits to be written to one peer, bounded.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use aiemp_protocol::{egress::Cleared, frame::Frame};
use tokio::sync::{Notify, mpsc};

/// Bytes that may wait for one peer: above one usual answer to a fetch, small beside the memory of a small VM.
pub(super) const BYTES_MAX: usize = 32 << 20;
/// Frames that may wait for one peer; their own size counts little against the bytes.
const FRAMES_MAX: usize = 8192;
/// Frames written in one go.
const BATCH_MAX: usize = 64;
/// Every frame counts for so much beside its payload.
const FRAME_OVERHEAD_BYTES: usize = 128;
/// A full queue is written out only while the peer takes something within each such span.
const STALL_MAX: Duration = Duration::from_secs(5);

struct Queued {
    frame: Cleared<Frame>,
    bytes: usize,
}

#[derive(Default)]
struct Gauge {
    waiting_bytes: AtomicUsize,
    progress: AtomicU64,
    overflowed: Notify,
    is_over: AtomicBool,
}

/// The end that the actor fills; it never blocks.
pub(super) struct Outbox {
    frames: Option<mpsc::Sender<Queued>>,
    gauge: Arc<Gauge>,
}

/// The end that the session empties.
pub(super) struct Drain {
    frames: mpsc::Receiver<Queued>,
    gauge: Arc<Gauge>,
    batch: std::vec::IntoIter<Queued>,
}

/// Tells when a queue that overflowed is no longer being emptied.
pub(super) struct Watchdog(Arc<Gauge>);

/// A queue for one session.
pub(super) fn outbox() -> (Outbox, Drain, Watchdog) {
    let gauge = Arc::new(Gauge::default());
    let (sender, frames) = mpsc::channel(FRAMES_MAX);
    let outbox = Outbox { frames: Some(sender), gauge: Arc::clone(&gauge) };
    let drain = Drain { frames, gauge: Arc::clone(&gauge), batch: Vec::new().into_iter() };
    (outbox, drain, Watchdog(gauge))
}

impl Outbox {
    /// Queues a frame. On overflow the queue takes no more: what it holds is still written, so that the session that
    /// follows starts further on, then the session ends.
    pub(super) fn push(&mut self, frame: Cleared<Frame>) {
        let Some(frames) = &self.frames else { return };
        let bytes = FRAME_OVERHEAD_BYTES + payload_bytes(frame.get());
        let waiting = self.gauge.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        if waiting + bytes > BYTES_MAX || frames.try_send(Queued { frame, bytes }).is_err() {
            self.frames = None;
            self.gauge.is_over.store(true, Ordering::Relaxed);
            self.gauge.overflowed.notify_one();
        }
    }
}

impl Drain {
    /// Waits for the next frames, once those before are taken; false when there will be none.
    pub(super) async fn wait(&mut self) -> bool {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let count = self.frames.recv_many(&mut batch, BATCH_MAX).await;
        self.batch = batch.into_iter();
        count > 0
    }

    /// The next of the frames waited for. It counts as waiting until it is taken.
    pub(super) fn take(&mut self) -> Option<Cleared<Frame>> {
        let queued = self.batch.next()?;
        self.gauge.waiting_bytes.fetch_sub(queued.bytes, Ordering::Relaxed);
        Some(queued.frame)
    }

    /// Whether the queue ended because too much waited in it.
    pub(super) fn overflowed(&self) -> bool {
        self.gauge.is_over.load(Ordering::Relaxed)
    }

    /// Notes that the peer took something.
    pub(super) fn note_progress(&self) {
        self.gauge.progress.fetch_add(1, Ordering::Relaxed);
    }
}

impl Watchdog {
    /// Returns when the queue has overflowed and the peer takes nothing of it.
    pub(super) async fn stalled(&self) {
        self.0.overflowed.notified().await;
        loop {
            let before = self.0.progress.load(Ordering::Relaxed);
            tokio::time::sleep(STALL_MAX).await;
            if self.0.progress.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

/// Bytes of what can be long in a frame.
fn payload_bytes(frame: &Frame) -> usize {
    match frame {
        Frame::Entry { cose, payloads, .. } => {
            cose.len() + payloads.iter().map(|payload| payload.as_ref().map_or(1, Vec::len)).sum::<usize>()
        }
        Frame::Roster { bytes } | Frame::PayloadPart { bytes, .. } => bytes.len(),
        Frame::Freeze { records } => records.iter().map(Vec::len).sum(),
        Frame::Frontier { positions } => size_of_val(positions.as_slice()),
        Frame::Hello { .. } | Frame::Fetch { .. } | Frame::PayloadWanted { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::network::tests::{cleared, roster};

    #[tokio::test]
    async fn a_full_queue_gives_what_it_holds_then_ends() {
        let (mut outbox, mut drain, _watchdog) = outbox();
        for _ in 0..40 {
            outbox.push(cleared(roster(1 << 20)));
        }
        let mut taken = 0;
        while drain.wait().await {
            taken += std::iter::from_fn(|| drain.take()).count();
        }
        assert_eq!(taken, 31);
    }

    #[tokio::test]
    async fn what_is_taken_makes_room() {
        let (mut outbox, mut drain, _watchdog) = outbox();
        for _ in 0..100 {
            outbox.push(cleared(roster(1 << 20)));
            assert!(drain.wait().await);
            assert!(drain.take().is_some());
        }
    }

    #[tokio::test]
    async fn many_small_frames_overflow_too() {
        let (mut outbox, mut drain, _watchdog) = outbox();
        for _ in 0..FRAMES_MAX + 1 {
            outbox.push(cleared(roster(1)));
        }
        let mut taken = 0;
        while drain.wait().await {
            taken += std::iter::from_fn(|| drain.take()).count();
        }
        assert_eq!(taken, FRAMES_MAX);
    }
}
