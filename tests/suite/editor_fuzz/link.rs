//! The cable between the two nodes: what goes over it is passed on, held up, or cut off.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::node::free_port;

/// How often a quiet connection looks whether it was cut.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What is wrong with the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Connections end, and new ones are refused.
    Cut,
    /// Connections stand, and nothing arrives.
    Stalled,
}

#[derive(Debug, Default)]
struct Shared {
    trouble: Mutex<Option<(Trouble, Instant)>>,
    is_over: AtomicBool,
}

impl Shared {
    fn trouble(&self) -> Option<Trouble> {
        let trouble = *self.trouble.lock().expect("nobody panics here");
        trouble.filter(|(_, until)| Instant::now() < *until).map(|(trouble, _)| trouble)
    }

    fn is_cut(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) || self.trouble() == Some(Trouble::Cut)
    }
}

/// Passes connections on to a port of this machine.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) port: u16,
    shared: Arc<Shared>,
}

impl Link {
    /// Connections to its port arrive at `to`.
    pub(super) fn to(to: u16) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        listener.set_nonblocking(true).expect("a listener that does not block");
        let link = Self { port, shared: Arc::default() };
        let shared = Arc::clone(&link.shared);
        thread::spawn(move || accept(&listener, to, &shared));
        link
    }

    /// From now on this is wrong with it, for a while.
    pub(super) fn disturb(&self, trouble: Trouble, wait: Duration) {
        *self.shared.trouble.lock().expect("nobody panics here") = Some((trouble, Instant::now() + wait));
    }

    /// Nothing is wrong with it any more.
    pub(super) fn join(&self) {
        *self.shared.trouble.lock().expect("nobody panics here") = None;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

fn accept(listener: &TcpListener, to: u16, shared: &Arc<Shared>) {
    while !shared.is_over.load(Ordering::Relaxed) {
        let Ok((near, _)) = listener.accept() else {
            thread::sleep(LOOK_AGAIN);
            continue;
        };
        if shared.is_cut() {
            continue;
        }
        let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else { continue };
        for (from, into) in [(&near, &far), (&far, &near)] {
            let from = from.try_clone().expect("a second handle");
            let into = into.try_clone().expect("a second handle");
            let shared = Arc::clone(shared);
            thread::spawn(move || pass_on(from, into, &shared));
        }
    }
}

/// Until one of the two ends it, or it is cut.
fn pass_on(mut from: TcpStream, mut into: TcpStream, shared: &Shared) {
    from.set_nonblocking(false).and_then(|()| from.set_read_timeout(Some(LOOK_AGAIN))).expect("a stream that waits");
    let mut bytes = [0; 16 << 10];
    while !shared.is_cut() {
        if shared.trouble() == Some(Trouble::Stalled) {
            thread::sleep(LOOK_AGAIN);
            continue;
        }
        match from.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) if into.write_all(&bytes[..count]).is_ok() => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(_) | Err(_) => break,
        }
    }
    for stream in [from, into] {
        stream.shutdown(Shutdown::Both).ok();
    }
}
