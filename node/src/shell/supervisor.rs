//! A node's processes as siblings, started, watched and stopped together: the mesh, on Local the executor, and what hears
//! strangers.

use std::{
    process::{ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::handed_in;
use crate::home::Home;

/// A process that ends soon after its start is started again later and later.
const RESTART_DELAYS: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];
/// After this long a process has shown that it can run, and begins anew with the first delay.
const STEADY: Duration = Duration::from_secs(60);
const EXECUTOR: &str = "executor";
const SENSES: &str = "senses";
/// How long a process may take to stop before it is ended.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether there is room again for an executor that ended on a full disk.
const ROOM_CHECKS: Duration = Duration::from_secs(1);
/// Exit code of a role or configuration that is refused: starting again would not help.
const REFUSED: i32 = 78;
/// Exit code of a mesh that is to be started again at once, for its wall cannot be moved: whoever started it does so.
pub const STARTS_AGAIN: u8 = 75;

/// What runs beside the mesh.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    /// What sends: on Local.
    pub executor: bool,
    /// What hears strangers, where there is something to hear.
    pub senses: bool,
}

/// A process beside the mesh, which is started again when it ends.
struct Sibling {
    name: &'static str,
    child: Option<Child>,
    started: Instant,
    restart_at: Instant,
    restarts: usize,
    /// How it ended while the disk was too full to note it.
    untold: Option<String>,
}

impl Sibling {
    fn start(home: &std::path::Path, name: &'static str) -> Result<Self> {
        let now = Instant::now();
        let child = Some(start(home, name, &[])?);
        Ok(Self { name, child, started: now, restart_at: now, restarts: 0, untold: None })
    }

    /// Waits until it ended, and starts it again when it is time; its exit code where it is refused.
    async fn keep(&mut self, at: &Home) -> Result<i32> {
        loop {
            if let Some(child) = &mut self.child {
                let ended = child.wait().await?;
                self.child = None;
                // Without what hears strangers, the rest goes on.
                if ended.code() == Some(REFUSED) && self.name == EXECUTOR {
                    return Ok(REFUSED);
                }
                self.has_ended(at, ended);
            }
            if self.untold.is_some() {
                sleep(ROOM_CHECKS).await;
                if !handed_in::is_disk_full(at)
                    && let Some(how) = self.untold.take()
                {
                    handed_in::note_silent_end(at, &how);
                    self.restart_at = Instant::now();
                } else if Instant::now() < self.restart_at {
                    continue;
                }
            }
            sleep_until(self.restart_at).await;
            self.child = Some(start(at.path(), self.name, &[])?);
            (self.started, self.untold) = (Instant::now(), None);
        }
    }

    fn has_ended(&mut self, at: &Home, ended: std::process::ExitStatus) {
        // Asked for by the process itself, whose wall cannot be moved.
        if ended.success() {
            self.restart_at = Instant::now() + RESTART_DELAYS[0];
            return;
        }
        self.restarts = if self.started.elapsed() < STEADY { self.restarts + 1 } else { 1 };
        let delay = RESTART_DELAYS[usize::min(self.restarts, RESTART_DELAYS.len()) - 1];
        self.restart_at = Instant::now() + delay;
        tracing::error!(%ended, ?delay, "the {} ended; it is started again", self.name);
        if self.name == EXECUTOR {
            match handed_in::is_disk_full(at) {
                true => self.untold = Some(format!("{ended}, when the disk was full")),
                false => handed_in::note_silent_end(at, &ended.to_string()),
            }
        }
    }

    async fn stop(mut self) {
        if let Some(child) = &mut self.child {
            stop(child).await;
        }
    }
}

/// Runs all processes until one is told to stop, is refused, or the mesh ends.
///
/// `arguments` are handed to the mesh; the others need the home alone. Those are started again when they die; the mesh only
/// where it asks for it, for whoever started the node should learn of the rest.
pub async fn run(home: &std::path::Path, arguments: &[String], beside: Beside) -> Result<ExitCode> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut mesh = start(home, "mesh", arguments)?;
    let at = Home::at(home);
    let mut executor = beside.executor.then(|| Sibling::start(home, EXECUTOR)).transpose()?;
    let mut senses = beside.senses.then(|| Sibling::start(home, SENSES)).transpose()?;
    let code = loop {
        tokio::select! {
            _ = terminated.recv() => break 0,
            _ = interrupted.recv() => break 0,
            ended = mesh.wait() => {
                let code = ended?.code().unwrap_or(255);
                if code != i32::from(STARTS_AGAIN) {
                    break code;
                }
                mesh = start(home, "mesh", arguments)?;
            }
            Some(code) = kept(&mut executor, &at) => break code?,
            Some(code) = kept(&mut senses, &at) => break code?,
        }
    };
    // What hears goes first: watchers are told to end while what they tell is taken still.
    if let Some(senses) = senses {
        senses.stop().await;
    }
    stop(&mut mesh).await;
    if let Some(executor) = executor {
        executor.stop().await;
    }
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(255)))
}

/// The exit code with which the node ends, should it; none where there is no such process.
async fn kept(sibling: &mut Option<Sibling>, at: &Home) -> Option<Result<i32>> {
    match sibling {
        Some(sibling) => Some(sibling.keep(at).await),
        None => None,
    }
}

fn start(home: &std::path::Path, process: &str, arguments: &[String]) -> Result<Child> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    Command::new(program)
        .arg("--home")
        .arg(home)
        .args(["process", process, "--supervisor", &std::process::id().to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start the {process} process"))
}

async fn stop(child: &mut Child) {
    let pid = child.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
    if let Some(pid) = pid {
        // It may have ended meanwhile.
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        if timeout(STOP_PATIENCE, child.wait()).await.is_err() {
            child.kill().await.ok();
        }
    }
}
