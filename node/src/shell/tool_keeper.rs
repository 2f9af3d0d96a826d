//! The keeper of tools: a child of the executor that starts MCP servers for it.
//!
//! The executor's wall lets it start nothing, for code that got into it should not either. So the keeper, started before the wall
//! goes up, is told over a socket that only these two have what to start, and gets with it the one end of a stream that is the
//! server's stdin and stdout. It looks at nothing that passes there, and ends each server when its time is over.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::{Child, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::{
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
    process::{Pid, Signal, kill_process_group},
};
use serde::{Deserialize, Serialize};

use super::program::Program;
use crate::home::Home;

/// The longest that is told to start one: the command, its environment and its paths.
const ORDER_BYTES_MAX: usize = 64 << 10;
/// How often it is looked whether a server has ended.
const LOOKS: Duration = Duration::from_millis(50);

/// What the keeper is told.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    program: Program,
    /// After so many milliseconds it is ended, whatever it does.
    time_ms: u64,
}

/// The way to the keeper, which ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub struct ToolKeeper(Arc<OwnedFd>);

impl ToolKeeper {
    /// Starts it.
    pub fn start(home: &Home) -> Result<Self> {
        let (own, its) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        std::process::Command::new(program)
            .arg("--home")
            .arg(home.path())
            .args(["process", "tool-keeper", "--supervisor", &std::process::id().to_string()])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::from(its))
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start the keeper of tools")?;
        Ok(Self(Arc::new(own)))
    }

    /// Has a program started; what it says and hears. It ends when the stream is closed, or its time is over.
    pub fn open(&self, program: Program, time: Duration) -> io::Result<UnixStream> {
        let (own, its) = UnixStream::pair()?;
        let time_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let order = serde_json::to_vec(&Order { program, time_ms })?;
        if order.len() > ORDER_BYTES_MAX {
            return Err(io::Error::other("its command and environment are too long"));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut with = SendAncillaryBuffer::new(&mut space);
        let fds = [its.as_fd()];
        with.push(SendAncillaryMessage::ScmRights(&fds));
        sendmsg(&*self.0, &[IoSlice::new(&order)], &mut with, SendFlags::NOSIGNAL)?;
        Ok(own)
    }
}

/// Starts what it is told to, until the executor is gone.
pub fn keep(home: &Home) -> Result<()> {
    let orders = io::stdin();
    let mut room = vec![0; ORDER_BYTES_MAX];
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut with = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let message = match recvmsg(&orders, &mut [IoSliceMut::new(&mut room)], &mut with, flags) {
            Err(rustix::io::Errno::INTR) => continue,
            message => message?,
        };
        if message.bytes == 0 {
            return Ok(());
        }
        let stream = with
            .drain()
            .find_map(|message| if let RecvAncillaryMessage::ScmRights(mut fds) = message { fds.next() } else { None });
        let order: Result<Order, _> = serde_json::from_slice(&room[..message.bytes]);
        let started = match (order, stream) {
            (Ok(order), Some(stream)) => start(home, &order, stream),
            (Err(error), _) => Err(error.into()),
            (Ok(_), None) => Err(anyhow::anyhow!("no stream came with an order")),
        };
        // Its stream is closed then, which the executor sees.
        if let Err(error) = started {
            tracing::warn!(error = format!("{error:#}"), "a tool cannot be started");
        }
    }
}

// From this thread alone: what is started ends with the thread that started it.
fn start(home: &Home, order: &Order, stream: OwnedFd) -> Result<()> {
    let mut command = order.program.command(home)?;
    command.stdin(Stdio::from(stream.try_clone()?)).stdout(Stdio::from(stream)).stderr(Stdio::null());
    let child = command.spawn().context("it cannot be started")?;
    let until = Instant::now() + Duration::from_millis(order.time_ms);
    thread::Builder::new().name("tool".to_owned()).spawn(move || wait(child, until))?;
    Ok(())
}

fn wait(mut child: Child, until: Instant) {
    let group = Pid::from_raw(child.id().cast_signed());
    while Instant::now() < until && matches!(child.try_wait(), Ok(None)) {
        thread::sleep(LOOKS);
    }
    // With whatever it started itself.
    if let Some(group) = group {
        kill_process_group(group, Signal::KILL).ok();
    }
    child.wait().ok();
}
