//! A submission server on loopback that takes every mail and says when.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

/// More than are ever sent.
const MAILS_MAX: usize = 256;

/// What happened to one mail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    /// The client was connected.
    pub(crate) connected: Instant,
    /// The reply to the final dot was written.
    pub(crate) answered: Instant,
}

#[derive(Debug)]
pub(crate) struct SmtpSink {
    address: SocketAddr,
    pub(crate) mails: Receiver<Accepted>,
    stopping: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl SmtpSink {
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (accepted, mails) = sync_channel(MAILS_MAX);
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let listening = thread::Builder::new().name("smtp".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let accepted = accepted.clone();
                // A client that breaks off is missed by whoever waits for its mail.
                thread::spawn(move || serve(stream, &accepted).ok());
            }
        })?;
        Ok(Self { address, mails, stopping, listening: Some(listening) })
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        let woken = TcpStream::connect(self.address).is_ok();
        if let Some(listening) = self.listening.take().filter(|_| woken) {
            listening.join().ok();
        }
    }
}

fn serve(mut stream: TcpStream, accepted: &SyncSender<Accepted>) -> io::Result<()> {
    let connected = Instant::now();
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream.try_clone()?);
    stream.write_all(b"220 sink.test ESMTP\r\n")?;
    let mut line = Vec::new();
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let verb: String = line.iter().take(4).map(|byte| char::from(byte.to_ascii_uppercase())).collect();
        match verb.as_str() {
            "EHLO" => stream.write_all(b"250-sink.test\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")?,
            "HELO" | "MAIL" | "RCPT" | "RSET" | "NOOP" => stream.write_all(b"250 ok\r\n")?,
            "DATA" => {
                stream.write_all(b"354 go on\r\n")?;
                while line != b".\r\n" {
                    line.clear();
                    if lines.read_until(b'\n', &mut line)? == 0 {
                        return Ok(());
                    }
                }
                stream.write_all(b"250 taken\r\n")?;
                // Nobody waits any more when the bench ends.
                accepted.try_send(Accepted { connected, answered: Instant::now() }).ok();
            }
            "QUIT" => return stream.write_all(b"221 bye\r\n"),
            _ => stream.write_all(b"502 not here\r\n")?,
        }
    }
}
