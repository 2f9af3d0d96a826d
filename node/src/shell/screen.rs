//! Screening: changes of peers are decoded in a child process that has nothing to lose.
//!
//! The child has no files, no network, little memory and little time; a change that makes the decoder run away ends the
//! child, never the node. It is started when there is something to decode and ends when there was nothing for a while.
//! On its stdin: each change as its length, four bytes big endian, and its bytes; on its stdout: one byte for each, 1
//! if it passed.

use std::{
    io::{self, Read, Write},
    process::Stdio,
    time::Duration,
};

use aiemp_crdt::vet;
use aiemp_protocol::{limits::CHANGE_BYTES_MAX, replication::EffectId};
use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc,
    time::timeout,
};

/// Address space of the child: the program itself, and what the largest change that passes needs many times over.
const MEMORY_BYTES_MAX: u64 = 768 << 20;
/// Processor seconds of one child. Honest changes take microseconds.
const CPU_SECONDS_MAX: u64 = 20;
/// How long one change may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// After this long without work the child ends.
const IDLE: Duration = Duration::from_secs(10);
/// Requests that wait. More than the machine puts out at once: one for each log and fetched payload.
const REQUESTS_MAX: usize = 256;

/// What is to be decoded, with the id of the answer.
pub type Request = (EffectId, Vec<Vec<u8>>);
/// For each change, in order, whether it passed.
pub type Answer = (EffectId, Vec<bool>);

/// Starts the task that has changes decoded.
pub fn spawn(answers: mpsc::Sender<Answer>) -> mpsc::Sender<Request> {
    let (sender, mut requests) = mpsc::channel::<Request>(REQUESTS_MAX);
    tokio::spawn(async move {
        let mut decoder = None;
        loop {
            let request = match timeout(IDLE, requests.recv()).await {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(_) => {
                    decoder = None;
                    match requests.recv().await {
                        Some(request) => request,
                        None => return,
                    }
                }
            };
            let (effect, changes) = request;
            let mut passed = Vec::with_capacity(changes.len());
            for change in &changes {
                passed.push(screen(&mut decoder, change).await);
            }
            if answers.send((effect, passed)).await.is_err() {
                return;
            }
        }
    });
    sender
}

/// One that ends the decoder may have met it at the end of its time: a fresh one is asked once more.
async fn screen(decoder: &mut Option<Decoder>, change: &[u8]) -> bool {
    for _ in 0..2 {
        let asked = async {
            let asked = match decoder.as_mut() {
                Some(running) => running,
                None => decoder.insert(Decoder::start()?),
            };
            asked.ask(change).await
        };
        match timeout(PATIENCE, asked).await {
            Ok(Ok(passed)) => return passed,
            Ok(Err(error)) => tracing::warn!(error = format!("{error:#}"), "the decoder ended"),
            Err(_) => tracing::warn!("the decoder took too long and was ended"),
        }
        *decoder = None;
    }
    false
}

/// A running child; it is killed when dropped.
struct Decoder {
    _child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl Decoder {
    fn start() -> Result<Self> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut child = Command::new(program)
            .args(["process", "decoder"])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the decoder")?;
        let stdin = child.stdin.take().context("the decoder has no stdin")?;
        let stdout = child.stdout.take().context("the decoder has no stdout")?;
        Ok(Self { _child: child, stdin, stdout })
    }

    async fn ask(&mut self, change: &[u8]) -> Result<bool> {
        let length = u32::try_from(change.len()).context("a change of more than 4 GiB")?;
        let request = [&length.to_be_bytes()[..], change].concat();
        self.stdin.write_all(&request).await?;
        Ok(self.stdout.read_u8().await? == 1)
    }
}

/// The child: answers until its stdin ends.
pub fn decode_all() -> Result<()> {
    limit_resources()?;
    super::walls::around_decoder()?;
    let (mut requests, mut answers) = (io::stdin().lock(), io::stdout().lock());
    let mut length = [0; 4];
    while requests.read_exact(&mut length).is_ok() {
        let length = usize::try_from(u32::from_be_bytes(length))?;
        if length > CHANGE_BYTES_MAX {
            // Passed over, for the next request begins after it.
            io::copy(&mut requests.by_ref().take(length as u64), &mut io::sink())?;
            answers.write_all(&[0])?;
        } else {
            let mut change = vec![0; length];
            requests.read_exact(&mut change)?;
            answers.write_all(&[u8::from(vet::screen(&change).is_ok())])?;
        }
        answers.flush()?;
    }
    Ok(())
}

fn limit_resources() -> Result<()> {
    let limits = [
        (Resource::As, MEMORY_BYTES_MAX),
        (Resource::Cpu, CPU_SECONDS_MAX),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nproc, 0),
    ];
    for (resource, limit) in limits {
        setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
            .with_context(|| format!("cannot limit {resource:?}"))?;
    }
    Ok(())
}
