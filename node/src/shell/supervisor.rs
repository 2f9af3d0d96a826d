//! Local's processes: mesh and executor as siblings, started, watched and stopped together.

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

/// An executor that ends soon after its start is started again later and later.
const RESTART_DELAYS: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];
/// After this long a process has shown that it can run, and begins anew with the first delay.
const STEADY: Duration = Duration::from_secs(60);
/// How long a process may take to stop before it is ended.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked whether there is room again for an executor that ended on a full disk.
const ROOM_CHECKS: Duration = Duration::from_secs(1);
/// Exit code of a role or configuration that is refused: starting again would not help.
const REFUSED: i32 = 78;
/// Exit code of a mesh that is to be started again at once, for its wall cannot be moved: whoever started it does so.
pub const STARTS_AGAIN: u8 = 75;

/// Runs both processes until one is told to stop, is refused, or the mesh ends.
///
/// `arguments` are handed to the mesh; the executor needs the home alone. The executor is started again when it dies;
/// the mesh only where it asks for it, for whoever started the node should learn of the rest.
pub async fn run(home: &std::path::Path, arguments: &[String]) -> Result<ExitCode> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut mesh = start(home, "mesh", arguments)?;
    let mut executor = start(home, "executor", &[])?;
    let (mut started, mut restart_at, mut restarts) = (Instant::now(), None, 0);
    let at = Home::at(home);
    // How the executor ended while the disk was too full to note it.
    let mut untold = None;
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
            ended = executor.wait(), if restart_at.is_none() => {
                let ended = ended?;
                if ended.code() == Some(REFUSED) {
                    break REFUSED;
                }
                // Asked for by the executor itself, whose wall cannot be moved.
                if ended.success() {
                    restart_at = Some(Instant::now() + RESTART_DELAYS[0]);
                    continue;
                }
                restarts = if started.elapsed() < STEADY { restarts + 1 } else { 1 };
                let delay = RESTART_DELAYS[usize::min(restarts, RESTART_DELAYS.len()) - 1];
                restart_at = Some(Instant::now() + delay);
                if handed_in::is_disk_full(&at) {
                    untold = Some(format!("{ended}, when the disk was full"));
                } else {
                    handed_in::note_silent_end(&at, &ended.to_string());
                }
                tracing::error!(%ended, ?delay, "the executor ended; it is started again");
            }
            () = sleep(ROOM_CHECKS), if restart_at.is_some() && untold.is_some() => {
                if !handed_in::is_disk_full(&at) && let Some(how) = untold.take() {
                    handed_in::note_silent_end(&at, &how);
                    restart_at = Some(Instant::now());
                }
            }
            () = sleep_until(restart_at.unwrap_or(started)), if restart_at.is_some() => {
                executor = start(home, "executor", &[])?;
                (started, restart_at, untold) = (Instant::now(), None, None);
            }
        }
    };
    stop(&mut mesh).await;
    stop(&mut executor).await;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(255)))
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
