//! Screening: changes of peers are decoded in a child process that has nothing to lose.
//!
//! Three processes take part. The mesh asks, and can start nothing, for that is what its wall is for. The *keeper*, which
//! the mesh starts before its wall goes up, starts and ends decoders and looks at nothing that passes through it. A
//! *decoder* has no files, no network, little memory and little time; a change that makes it run away ends it, never the
//! node. It is started when there is something to decode and ends when there was nothing for a while.
//!
//! On the stdin of keeper and decoder: each change as its length, four bytes big endian, and its bytes; on their stdout:
//! one byte for each, 1 if it passed.

use std::{
    io::{self, Read, Write},
    os::fd::AsFd,
    process::Stdio,
    time::Duration,
};

use aiemp_crdt::vet;
use aiemp_protocol::{limits::CHANGE_BYTES_MAX, replication::EffectId};
use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::unix::pipe,
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc,
    time::timeout,
};

use super::walls::Wall;
use crate::home::Home;

/// Address space of a decoder: the program itself, and what the largest change that passes needs many times over.
const MEMORY_BYTES_MAX: u64 = 768 << 20;
/// Processor seconds of one decoder. Honest changes take microseconds.
const CPU_SECONDS_MAX: u64 = 20;
/// How long one change may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// After this long without work the decoder ends.
const IDLE: Duration = Duration::from_secs(10);
/// Requests that wait. More than the machine puts out at once: one for each log and fetched payload.
const REQUESTS_MAX: usize = 256;

/// Changes to be decoded.
#[derive(Debug)]
pub struct Request {
    /// The answer's id.
    pub effect: EffectId,
    /// The raw changes.
    pub changes: Vec<Vec<u8>>,
    /// Takes the answer.
    pub answer: mpsc::Sender<Answer>,
}

/// For each change, in order, whether it passed.
pub type Answer = (EffectId, Vec<bool>);

/// The running keeper. It ends when this is dropped, for its stdin ends then.
#[derive(Debug)]
pub struct Keeper(std::process::Child);

impl Keeper {
    /// Starts it.
    pub fn start(home: &Home) -> Result<Self> {
        let mut command = command(home, "decoder-keeper")?;
        let child = command.spawn().context("cannot start the keeper of decoders")?;
        Ok(Self(child))
    }

    /// Starts the task that asks it.
    pub fn serve(mut self) -> Result<mpsc::Sender<Request>> {
        let (stdin, stdout) = (self.0.stdin.take(), self.0.stdout.take());
        let mut stdin = ChildStdin::from_std(stdin.context("the keeper has no stdin")?)?;
        let mut stdout = ChildStdout::from_std(stdout.context("the keeper has no stdout")?)?;
        let (sender, mut requests) = mpsc::channel::<Request>(REQUESTS_MAX);
        tokio::spawn(async move {
            while let Some(Request { effect, changes, answer }) = requests.recv().await {
                let mut passed = Vec::with_capacity(changes.len());
                for change in &changes {
                    match ask(&mut stdin, &mut stdout, change).await {
                        Ok(verdict) => passed.push(verdict),
                        Err(error) => {
                            // Whoever asks next learns of it: the channel is closed.
                            return tracing::error!(error = format!("{error:#}"), "the keeper of decoders is gone");
                        }
                    }
                }
                // A mesh that starts anew asks again.
                answer.send((effect, passed)).await.ok();
            }
        });
        Ok(sender)
    }
}

fn command(home: &Home, process: &str) -> Result<std::process::Command> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut command = std::process::Command::new(program);
    command.arg("--home").arg(home.path()).args(["process", process]);
    command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped());
    Ok(command)
}

async fn ask(
    stdin: &mut (impl AsyncWrite + Unpin),
    stdout: &mut (impl AsyncRead + Unpin),
    change: &[u8],
) -> Result<bool> {
    let length = u32::try_from(change.len()).context("a change of more than 4 GiB")?;
    let request = [&length.to_be_bytes()[..], change].concat();
    stdin.write_all(&request).await?;
    Ok(stdout.read_u8().await? == 1)
}

/// The keeper: answers until its stdin ends.
pub async fn keep(home: &Home) -> Result<()> {
    let mut requests = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
    let mut answers = pipe::Sender::from_owned_fd(io::stdout().as_fd().try_clone_to_owned()?)?;
    let mut decoder = None;
    loop {
        let length = match timeout(IDLE, requests.read_u32()).await {
            Ok(length) => length,
            Err(_) => {
                decoder = None;
                requests.read_u32().await
            }
        };
        let Ok(length) = length else { return Ok(()) };
        let mut change = vec![0; usize::try_from(length)?];
        requests.read_exact(&mut change).await?;
        let passed = change.len() <= CHANGE_BYTES_MAX && screen(home, &mut decoder, &change).await;
        answers.write_all(&[u8::from(passed)]).await?;
        answers.flush().await?;
    }
}

/// One that ends the decoder may have met it at the end of its time: a fresh one is asked once more.
async fn screen(home: &Home, decoder: &mut Option<Decoder>, change: &[u8]) -> bool {
    for _ in 0..2 {
        let asked = async {
            let running = match decoder.as_mut() {
                Some(running) => running,
                None => decoder.insert(Decoder::start(home)?),
            };
            ask(&mut running.stdin, &mut running.stdout, change).await
        };
        match timeout(PATIENCE, asked).await {
            Ok(Ok(passed)) => return passed,
            Ok(Err(error)) => tracing::warn!(error = format!("{error:#}"), "a decoder ended"),
            Err(_) => tracing::warn!("a decoder took too long and was ended"),
        }
        *decoder = None;
    }
    false
}

/// A running decoder; it is killed when dropped.
struct Decoder {
    _child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl Decoder {
    fn start(home: &Home) -> Result<Self> {
        let mut command = Command::from(command(home, "decoder")?);
        let mut child = command.kill_on_drop(true).spawn().context("cannot start a decoder")?;
        let stdin = child.stdin.take().context("the decoder has no stdin")?;
        let stdout = child.stdout.take().context("the decoder has no stdout")?;
        Ok(Self { _child: child, stdin, stdout })
    }
}

/// A decoder: answers until its stdin ends.
pub fn decode_all(home: &Home) -> Result<()> {
    limit_resources()?;
    Wall::Decoder.raise(home)?;
    let (mut requests, mut answers) = (io::stdin().lock(), io::stdout().lock());
    let mut length = [0; 4];
    while requests.read_exact(&mut length).is_ok() {
        let mut change = vec![0; usize::try_from(u32::from_be_bytes(length))?];
        requests.read_exact(&mut change)?;
        answers.write_all(&[u8::from(vet::screen(&change).is_ok())])?;
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
