//! Takes mails that servers hand in, by LMTP or SMTP: each is a file in `Inbox/` before it is said to be taken. Nothing is
//! passed on, nobody logs in, and mails for anybody but the named recipients are refused.

mod session;

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use smtp_proto::{
    Error,
    request::receiver::{DataReceiver, DummyDataReceiver, RequestReceiver},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;

use self::session::{Delivered, Next, Session};
use super::{Delivery, Failure};
use crate::{config::Lmtp, core::mail::RAW_BYTES_MAX, fault::Fault, imap::Stream};

/// Connections at once; more wait.
const CONNECTIONS_MAX: usize = 32;
/// Megabytes of mails that are being taken, in all connections.
const MEGABYTES_MAX: usize = 64;
const MEGABYTE: usize = 1 << 20;
/// Connections at once from one address that is not this machine's.
const CONNECTIONS_EACH_MAX: usize = 8;
/// How long a connection may last.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(3600);
/// How long a mail may take, and how many of its bytes come in a second at least beyond that.
const MAIL_TIME: Duration = Duration::from_secs(120);
const BYTES_PER_SECOND_MIN: usize = 16 << 10;
/// How long the other side may be silent: RFC 5321 4.5.3.2 asks for five minutes.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// How long a mail waits for its next megabyte.
const TURN_MAX: Duration = Duration::from_secs(30);
/// Bytes that are read at once.
const READ_BYTES: usize = 16 << 10;
const HOUR: Duration = Duration::from_secs(3600);
/// Wait after a connection that could not be taken, so that a lasting reason does not keep a core busy.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where mails are handed in, with what it needs from behind the mesh's wall.
pub(super) struct Door {
    settings: Lmtp,
    tls: Option<TlsAcceptor>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("listen", &self.settings.listen).finish_non_exhaustive()
    }
}

impl Door {
    /// As the settings say. The key is read now: behind the mesh's wall it cannot be.
    pub(super) fn of(settings: &Lmtp) -> Result<Self, String> {
        let tls = match (&settings.certificate, &settings.key) {
            (Some(certificate), Some(key)) => Some(TlsAcceptor::from(Arc::new(server_config(certificate, key)?))),
            (Some(_) | None, Some(_) | None) => None,
        };
        Ok(Self { settings: settings.clone(), tls })
    }

    /// Begins to listen.
    pub(super) async fn open(&self) -> Result<TcpListener, Fault> {
        let listen = self.settings.listen;
        TcpListener::bind(listen).await.map_err(|error| {
            let fix = "End what listens there, or change `[mail_in.lmtp] listen`; a port below 1024 needs the service's capability.";
            Fault::operator("mail_in", format!("cannot listen on {listen} for mails: {error}"), fix)
        })
    }
}

fn server_config(certificate: &Path, key: &Path) -> Result<ServerConfig, String> {
    let failed = |path: &Path, why: String| format!("cannot use {}: {why}", path.display());
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| failed(certificate, error.to_string()))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, error.to_string()))?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    builder
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| failed(certificate, error.to_string()))
}

/// How many mails are taken in an hour.
#[derive(Debug)]
struct Rate {
    max: u32,
    since: Mutex<(Instant, u32)>,
}

impl Rate {
    fn new(max: u32) -> Self {
        Self { max, since: Mutex::new((Instant::now(), 0)) }
    }

    fn has_room(&self) -> bool {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.0.elapsed() >= HOUR {
            *since = (Instant::now(), 0);
        }
        since.1 < self.max
    }

    fn count(&self) {
        self.since.lock().unwrap_or_else(PoisonError::into_inner).1 += 1;
    }
}

/// What the connections share.
struct Shared {
    door: Arc<Door>,
    delivery: Delivery,
    rate: Rate,
    megabytes: Semaphore,
}

impl Shared {
    /// Whether so much of a mail is taken, for which it gets one megabyte after the other.
    async fn fits<'t>(&'t self, mail: &[u8], turns: &mut Vec<SemaphorePermit<'t>>) -> Result<(), Delivered> {
        if mail.len() > RAW_BYTES_MAX {
            return Err(Delivered::TooLarge);
        }
        while turns.len() * MEGABYTE < mail.len() {
            let turn = timeout(TURN_MAX, self.megabytes.acquire()).await;
            turns.push(turn.ok().and_then(Result::ok).ok_or(Delivered::Full)?);
        }
        Ok(())
    }

    async fn deliver(&self, mail: Vec<u8>) -> Delivered {
        match self.delivery.deliver(vec![mail]).await {
            Ok(()) => {
                self.rate.count();
                Delivered::Taken
            }
            Err(failure) => {
                tracing::warn!(%failure, "a mail that was handed in could not be taken");
                if matches!(failure, Failure::Full) { Delivered::Full } else { Delivered::Failed }
            }
        }
    }
}

/// Takes mails until it is dropped.
pub(super) async fn serve(door: Arc<Door>, listener: TcpListener, delivery: Delivery) {
    let rate = Rate::new(door.settings.per_hour);
    let shared = Arc::new(Shared { door, delivery, rate, megabytes: Semaphore::new(MEGABYTES_MAX) });
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let from_each = Arc::new(Mutex::new(BTreeMap::<IpAddr, usize>::new()));
    // They end with this task.
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let Some(place) = Seat::of(&from_each, from.ip()) else { continue };
                let shared = Arc::clone(&shared);
                tasks.spawn(async move {
                    let served = timeout(CONNECTION_TIME_MAX, Connection::new(stream, &shared).run()).await;
                    if let Ok(Err(error)) = served {
                        tracing::debug!(%from, %error, "a mail server's connection ended");
                    }
                    drop((permit, place));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a mail server's connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while tasks.try_join_next().is_some() {}
    }
}

/// One of the connections from an address.
struct Seat(Arc<Mutex<BTreeMap<IpAddr, usize>>>, IpAddr);

impl Seat {
    fn of(all: &Arc<Mutex<BTreeMap<IpAddr, usize>>>, from: IpAddr) -> Option<Self> {
        let mut taken = all.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(from).or_default();
        let has_room = *count < CONNECTIONS_EACH_MAX || from.to_canonical().is_loopback();
        has_room.then(|| {
            *count += 1;
            Self(Arc::clone(all), from)
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.1);
            }
        }
    }
}

/// One mail server.
struct Connection<'s> {
    shared: &'s Shared,
    stream: Box<dyn Stream>,
    session: Session,
    receiver: RequestReceiver,
}

impl<'s> Connection<'s> {
    fn new(stream: TcpStream, shared: &'s Shared) -> Self {
        let session = Session::new(&shared.door.settings.recipients, shared.door.tls.is_some());
        Self { shared, stream: Box::new(stream), session, receiver: RequestReceiver::default() }
    }

    async fn run(mut self) -> io::Result<()> {
        self.say(&Session::greeting()).await?;
        let mut room = vec![0; READ_BYTES];
        loop {
            let read = self.read(&mut room).await?;
            let mut bytes = room[..read].to_vec();
            while !bytes.is_empty() {
                let mut rest = bytes.iter();
                let command = match self.receiver.ingest(&mut rest) {
                    Err(Error::NeedsMoreData { .. }) if rest.as_slice().is_empty() => break,
                    command => command.map(smtp_proto::Request::into_owned),
                };
                let has_room = self.shared.rate.has_room();
                let next = self.session.answer(command, has_room);
                let mut left = rest.as_slice().to_vec();
                match next {
                    Next::Say(said) => self.say(&said).await?,
                    Next::End(said) => return self.say(&said).await,
                    Next::Take(said) => {
                        self.say(&said).await?;
                        let replies = self.take(&mut left).await?;
                        self.say(&replies).await?;
                    }
                    Next::Encrypt(said) => {
                        // What somebody put behind the word on the way would be taken for encrypted.
                        let Some(tls) = self.shared.door.tls.as_ref().filter(|_| left.is_empty()) else {
                            return Ok(());
                        };
                        self.say(&said).await?;
                        self = self.encrypted(tls).await?;
                    }
                }
                bytes = left;
            }
        }
    }

    async fn encrypted(self, tls: &TlsAcceptor) -> io::Result<Self> {
        let Self { shared, stream, mut session, receiver } = self;
        let stream = timeout(SILENCE_MAX, tls.accept(stream)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        session.encrypted();
        Ok(Self { shared, stream: Box::new(stream), session, receiver })
    }

    /// A mail, up to its end; `bytes` are what was read already, and then what follows the mail.
    async fn take(&mut self, bytes: &mut Vec<u8>) -> io::Result<String> {
        let begun = Instant::now();
        let (mut mail, mut read_in_all, mut turns) = (Vec::new(), 0, Vec::new());
        let (mut receiver, mut room) = (DataReceiver::new(), vec![0; READ_BYTES]);
        // The line before it has ended: a dot may come at once.
        receiver.ingest(&mut b"\r\n".iter(), &mut Vec::new());
        let mut refused: Option<(DummyDataReceiver, Delivered)> = None;
        loop {
            let mut rest = bytes.iter();
            let is_whole = match &mut refused {
                Some((discards, _)) => discards.ingest(&mut rest),
                None => receiver.ingest(&mut rest, &mut mail),
            };
            let left = rest.as_slice().to_vec();
            if refused.is_none()
                && let Err(why) = self.shared.fits(&mail, &mut turns).await
            {
                refused = Some((DummyDataReceiver::new_data(&receiver), why));
                (mail, turns) = (Vec::new(), Vec::new());
            }
            if is_whole {
                *bytes = left;
                break;
            }
            if begun.elapsed() > MAIL_TIME + Duration::from_secs((read_in_all / BYTES_PER_SECOND_MIN) as u64) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let read = self.read(&mut room).await?;
            read_in_all += read;
            *bytes = room[..read].to_vec();
        }
        let delivered = match refused {
            Some((_, why)) => why,
            None => self.shared.deliver(mail).await,
        };
        Ok(self.session.delivered(delivered))
    }

    async fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = timeout(SILENCE_MAX, self.stream.read(room)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(read) }
    }

    async fn say(&mut self, said: &str) -> io::Result<()> {
        let say = async {
            self.stream.write_all(said.as_bytes()).await?;
            self.stream.flush().await
        };
        timeout(SILENCE_MAX, say).await.map_err(|_| io::ErrorKind::TimedOut)?
    }
}
