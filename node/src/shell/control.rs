//! The control socket: other commands ask the running node. Reads and requests only; nothing here approves.
//!
//! One JSON object a line, one answer a line. The socket is 0600 and the peer's uid is checked; in a home of three users
//! the person may ask as well, and the executor may not.

pub mod agent;
mod arrival;
mod socket;
mod wire;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    sync::{mpsc, oneshot},
    time::timeout,
};

use self::agent::{WireAsk, WireSession, WireTold};
pub use self::arrival::WireArrival;
pub use self::wire::{
    DISK_FULL, READ_ONLY, WireClaim, WireConflict, WireDraft, WireEvent, WireFound, WireLog, WirePeer, WireProgress,
    WireReceipt, WireSide, WireStatus, WireTrouble, WireUnsynced, WireUsage,
};
use super::users::Users;

/// What one connection may ask in all: the largest file that syncs, in base64, and more.
const REQUEST_BYTES_MAX: u64 = 64 << 20;
/// Connections served at once; later ones wait.
const CONNECTIONS_MAX: usize = 16;
/// How long a connection may be silent: a person reads a draft and types a passphrase between two requests.
const SILENCE_MAX: Duration = Duration::from_secs(600);
/// How long the node may take to answer: twice as long as a command waits.
const ANSWERING_MAX: Duration = Duration::from_secs(60);
/// How long a caller may take to read an answer. It is on this machine.
const READING_MAX: Duration = Duration::from_secs(30);
/// Wait after a connection that could not be taken, so that a lasting reason does not keep a core busy.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a command waits for the node.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a command asks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// The drafts and receipts.
    Drafts,
    /// The content at a vault path.
    File {
        /// The path.
        path: String,
    },
    /// The open conflicts.
    Conflicts,
    /// Who has which work in hand.
    Claims,
    /// Close a conflict.
    Resolve {
        /// Its id.
        id: String,
        /// How.
        choice: ResolveChoice,
    },
    /// Turn a draft down.
    Reject {
        /// Its file id.
        file: String,
        /// Why.
        reason: String,
    },
    /// The tasks that this node announced to a member, as that member sees them.
    Tasks {
        /// The member's name.
        peer: String,
    },
    /// What the node holds of each log, and what each member has used.
    Logs,
    /// Take back what a member did.
    Undo {
        /// Its node id.
        author: String,
        /// From when on, milliseconds since the epoch.
        since_ms: u64,
    },
    /// What was done to the files that ever lay at a path.
    History {
        /// The path.
        path: String,
    },
    /// The files that lay at a path at a time, or in the folder that it names.
    Past {
        /// The path; an empty one is the whole vault.
        path: String,
        /// When, in milliseconds since the epoch.
        at_ms: u64,
        /// Whether they get their places and contents of then back; if not, the contents are told unless it is a folder.
        restore: bool,
    },
    /// What an agent asks.
    Agent {
        /// Its session.
        session: WireSession,
        /// What.
        what: WireAsk,
    },
    /// Make a task of what came by another way than mail.
    Arrived(Box<WireArrival>),
    /// What is the matter with what brings such things; everything that is.
    Senses {
        /// The troubles, by what they are with.
        troubles: BTreeMap<String, WireTrouble>,
    },
    /// How the node is.
    Status,
    /// Take the folder that lies at the vault's path for the vault, and write all files into it.
    FillVault,
}

/// How a conflict is closed.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolveChoice {
    /// One side, by its index.
    Side(usize),
    /// Both.
    Both,
    /// This text, in base64.
    With(String),
}

/// What the node answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Response {
    /// To `drafts`.
    Drafts {
        /// Waiting drafts.
        drafts: Vec<WireDraft>,
        /// What became of approved ones.
        receipts: Vec<WireReceipt>,
    },
    /// To `file`.
    File {
        /// The content in base64; absent when it is not held.
        content: Option<String>,
    },
    /// To `conflicts`.
    Conflicts {
        /// The items.
        items: Vec<WireConflict>,
        /// Whether contents are being read that may show more.
        #[serde(default)]
        is_reading: bool,
    },
    /// To `claims`.
    Claims {
        /// The work.
        items: Vec<WireClaim>,
    },
    /// To `tasks`: each as A2A writes it.
    Tasks {
        /// The tasks.
        tasks: Vec<serde_json::Value>,
    },
    /// To `logs`.
    Logs {
        /// One for each log.
        logs: Vec<WireLog>,
    },
    /// To `undo`.
    Undone {
        /// Files that are put back.
        undone: usize,
        /// Paths of files that stay as they are, at least in part.
        left: Vec<String>,
    },
    /// To `history`, oldest first.
    History {
        /// What was done.
        events: Vec<WireEvent>,
    },
    /// To `past`.
    Past {
        /// The paths of the files; one for each content that a file had, where members had replaced it at once.
        paths: Vec<String>,
        /// The content of each, in base64, as far as it is held; of a folder none.
        contents: Vec<Option<String>>,
        /// Paths of files that are not restored: their content is not held, or may not leave, or is not this node's to write.
        left: Vec<String>,
    },
    /// To `agent`.
    Agent(WireTold),
    /// It is done.
    Done,
    /// There is no such thing.
    NotFound,
    /// The request made no sense.
    BadRequest {
        /// Why.
        message: String,
    },
    /// To `status`.
    Status(Box<WireStatus>),
}

/// A request with the way back.
pub type Asked = (Request, oneshot::Sender<Response>);

/// Opens the socket and hands each request to `asked`. A socket of a node that died is replaced.
pub fn serve(path: &Path, users: Option<&Users>, asked: mpsc::Sender<Asked>) -> Result<()> {
    let own = rustix::process::getuid().as_raw();
    let (callers, mode) = match users {
        Some(users) => (vec![own, users.person.uid], 0o660),
        None => (vec![own], 0o600),
    };
    serve_within(path, asked, Callers { uids: callers, mode }, Patience { silence: SILENCE_MAX, reading: READING_MAX })
}

/// How long a caller is waited for.
#[derive(Clone, Copy, Debug)]
struct Patience {
    silence: Duration,
    reading: Duration,
}

/// Who is answered.
#[derive(Clone, Debug)]
struct Callers {
    uids: Vec<u32>,
    /// The socket's, so that they reach it.
    mode: u32,
}

fn serve_within(path: &Path, asked: mpsc::Sender<Asked>, callers: Callers, patience: Patience) -> Result<()> {
    let listener = socket::listener(path, callers.mode).with_context(|| format!("cannot open {}", path.display()))?;
    let slots = std::sync::Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    tokio::spawn(async move {
        loop {
            let stream = next_connection(|| listener.accept()).await;
            if !stream.peer_cred().is_ok_and(|peer| callers.uids.contains(&peer.uid())) {
                tracing::warn!("another user asked over the control socket and was refused");
                continue;
            }
            let Ok(slot) = slots.clone().acquire_owned().await else { return };
            let asked = asked.clone();
            tokio::spawn(async move {
                if let Err(error) = answer(stream, asked, patience).await {
                    tracing::debug!(%error, "control connection ended");
                }
                drop(slot);
            });
        }
    });
    Ok(())
}

/// Too many open files, or a caller that hung up: either passes, and later commands must not find nobody listening.
async fn next_connection<A, T, S>(mut accept: impl FnMut() -> A) -> T
where
    A: Future<Output = std::io::Result<(T, S)>>,
{
    loop {
        match accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "a command cannot be answered now; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn answer(stream: tokio::net::UnixStream, asked: mpsc::Sender<Asked>, patience: Patience) -> Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = tokio::io::BufReader::new(read.take(REQUEST_BYTES_MAX)).lines();
    while let Some(line) = timeout(patience.silence, lines.next_line()).await.context("it was silent")?? {
        let response = match serde_json::from_str::<Request>(&line) {
            Ok(request) => {
                let (back, response) = oneshot::channel();
                asked.send((request, back)).await?;
                // Nobody waits longer; a question that is never answered would keep others from being asked.
                let late = Response::BadRequest { message: "the node did not answer in time; ask again".to_owned() };
                timeout(ANSWERING_MAX, response).await.unwrap_or(Ok(late))?
            }
            Err(error) => Response::BadRequest { message: error.to_string() },
        };
        let mut bytes = serde_json::to_vec(&response)?;
        bytes.push(b'\n');
        timeout(patience.reading, write.write_all(&bytes)).await.context("it does not read its answer")??;
    }
    Ok(())
}

/// A connection to the running node.
#[derive(Debug)]
pub struct Client {
    /// Gone after a failure: answers carry no id, so one that comes late would be taken for another request's.
    stream: Option<BufReader<UnixStream>>,
}

impl Client {
    /// Connects; `None` when no node runs on this home.
    pub fn connect(path: &Path) -> Result<Option<Self>> {
        match UnixStream::connect(path) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Some(Self { stream: Some(BufReader::new(stream)) }))
            }
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) =>
            {
                Ok(None)
            }
            Err(error) => Err(error).with_context(|| format!("cannot reach the node at {}", path.display())),
        }
    }

    /// Asks and waits for the answer. After a failure every later question fails.
    pub fn ask(&mut self, request: &Request) -> Result<Response> {
        let stream = self.stream.take();
        let mut stream = stream.context("the node failed to answer before; run the command again")?;
        let response = exchange(&mut stream, request)?;
        self.stream = Some(stream);
        Ok(response)
    }
}

/// What to say to an answer that does not belong to its question.
pub fn unexpected() -> anyhow::Error {
    anyhow::anyhow!("the node answered something else; are both of one version?")
}

fn exchange(stream: &mut BufReader<UnixStream>, request: &Request) -> Result<Response> {
    let mut bytes = serde_json::to_vec(request)?;
    bytes.push(b'\n');
    stream.get_mut().write_all(&bytes).context("the node stopped listening; run the command again")?;
    let mut line = String::new();
    if stream.read_line(&mut line).context("the node did not answer in 30 seconds; run the command again")? == 0 {
        bail!("the node stopped while it was asked; run the command again");
    }
    Ok(serde_json::from_str(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_cannot_be_taken_does_not_end_the_listening() {
        let refused = [rustix::io::Errno::MFILE, rustix::io::Errno::CONNABORTED].map(|errno| Err(errno.into()));
        let mut connections = refused.into_iter().chain([Ok(("the stream", ()))]);
        let stream = next_connection(|| std::future::ready(connections.next().expect("not asked again"))).await;
        assert_eq!(stream, "the stream");
    }

    /// A node that answers each request with `bytes` bytes of content.
    fn served(bytes: usize, patience: Patience) -> (tempfile::TempDir, std::path::PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("control.sock");
        let (asked_sent, mut asked) = mpsc::channel::<Asked>(1);
        let callers = Callers { uids: vec![rustix::process::getuid().as_raw()], mode: 0o600 };
        serve_within(&path, asked_sent, callers, patience).unwrap();
        tokio::spawn(async move {
            while let Some((_, back)) = asked.recv().await {
                back.send(Response::File { content: Some("x".repeat(bytes)) }).ok();
            }
        });
        (home, path)
    }

    /// Whether whoever calls gets an answer in time.
    async fn is_answered(path: &Path) -> bool {
        let asking = async {
            let mut stream = tokio::net::UnixStream::connect(path).await?;
            stream.write_all(b"{\"ask\":\"status\"}\n").await?;
            stream.read_u8().await
        };
        timeout(Duration::from_secs(20), asking).await.is_ok_and(|answer| answer.is_ok())
    }

    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn callers_that_do_not_read_their_answers_hold_nobody_up() {
        let (_home, path) = served(1 << 20, Patience { silence: LONG, reading: SHORT });
        let mut deaf = Vec::new();
        for _ in 0..2 * CONNECTIONS_MAX {
            let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
            stream.write_all(b"{\"ask\":\"status\"}\n").await.unwrap();
            deaf.push(stream);
        }
        assert!(is_answered(&path).await, "after the time to read, each slot is free again");
    }

    #[tokio::test]
    async fn callers_that_say_nothing_hold_nobody_up() {
        let (_home, path) = served(1, Patience { silence: SHORT, reading: LONG });
        let mut silent = Vec::new();
        for _ in 0..2 * CONNECTIONS_MAX {
            silent.push(tokio::net::UnixStream::connect(&path).await.unwrap());
        }
        assert!(is_answered(&path).await, "after the time to speak, each slot is free again");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn another_user_gets_no_answer_even_where_the_socket_lets_it_in() {
        use std::os::unix::fs::PermissionsExt;
        if !rustix::process::getuid().is_root() {
            return skip("only root can become another user, so none was refused at the control socket");
        }
        let (home, path) = served(1, Patience { silence: LONG, reading: LONG });
        for (place, mode) in [(home.path(), 0o755), (&path, 0o666)] {
            std::fs::set_permissions(place, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let there = path.clone();
        // A thread's user is its own: the kernel notes it when the thread connects.
        let answered = std::thread::spawn(move || {
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_534)).unwrap();
            let mut stream = UnixStream::connect(there).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            stream.write_all(b"{\"ask\":\"status\"}\n").ok();
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).unwrap_or_default()
        });
        let answered = tokio::task::spawn_blocking(move || answered.join().unwrap()).await.unwrap();
        assert_eq!(answered, 0);
        assert!(is_answered(&path).await, "the node's own user is still served");
    }

    #[expect(clippy::print_stderr, reason = "a test that was not made says so")]
    fn skip(why: &str) {
        eprintln!("skipped: {why}");
    }

    /// A new kind of request has to be judged here before this compiles.
    #[test]
    fn requests_read_or_ask_and_none_needs_a_key() {
        let carries_authority = |request: &Request| match request {
            Request::Drafts
            | Request::File { .. }
            | Request::Conflicts
            | Request::Claims
            | Request::Tasks { .. }
            | Request::Logs
            | Request::History { .. }
            | Request::Past { restore: false, .. }
            | Request::Status => {
                false // These read.
            }
            // No key: as editing or archiving the notes.
            Request::Resolve { .. }
            | Request::Reject { .. }
            | Request::Undo { .. }
            | Request::FillVault
            | Request::Past { restore: true, .. } => false,
            // As a file that a person drops; and what `status` shows.
            Request::Arrived(_) | Request::Senses { .. } => false,
            // Reads below the session's ceiling; writes task copies, plans, updates and drafts, on which a person decides.
            Request::Agent { .. } => false,
        };
        let kinds = [
            r#"{"ask":"drafts"}"#,
            r#"{"ask":"file","path":"a"}"#,
            r#"{"ask":"conflicts"}"#,
            r#"{"ask":"resolve","id":"a","choice":"both"}"#,
            r#"{"ask":"reject","file":"a","reason":"b"}"#,
            r#"{"ask":"tasks","peer":"a"}"#,
            r#"{"ask":"logs"}"#,
            r#"{"ask":"status"}"#,
            r#"{"ask":"fill_vault"}"#,
            r#"{"ask":"undo","author":"a","since_ms":1}"#,
            r#"{"ask":"history","path":"a"}"#,
            r#"{"ask":"agent","session":{"is_private":false,"work":null},"what":{"do":"tasks"}}"#,
            r#"{"ask":"arrived","source":"shop","id":"1","kind":"webhook","domain":"shop"}"#,
            r#"{"ask":"senses","troubles":{}}"#,
            r#"{"ask":"past","path":"a","at_ms":1,"restore":true}"#,
        ];
        for kind in kinds {
            assert!(!carries_authority(&serde_json::from_str(kind).unwrap()), "{kind}");
        }
    }

    #[test]
    fn a_late_answer_is_taken_for_no_other_request() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("control.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let mut client = Client::connect(&path).unwrap().expect("somebody listens");
        let (mut node, _) = listener.accept().unwrap();
        client.stream.as_mut().unwrap().get_mut().set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let error = client.ask(&Request::Conflicts).unwrap_err();
        assert_eq!(error.to_string(), "the node did not answer in 30 seconds; run the command again");
        node.write_all(b"{\"answer\":\"done\"}\n").ok();
        let error = client.ask(&Request::Reject { file: "f".to_owned(), reason: "r".to_owned() }).unwrap_err();
        assert_eq!(error.to_string(), "the node failed to answer before; run the command again");
    }
}
