//! The keeper of programs: a child of the executor that starts MCP servers for it, or of the mesh, for which it starts the brain.
//!
//! Their walls let them start nothing, for code that got into one should not either. So the keeper, started before the wall
//! goes up, is told over a socket that only these two have what to start, and receives the one end of a stream that is the
//! program's stdin and stdout. What that is it reads itself: a server from the declaration that the person signed, a brain from
//! the settings. It looks at nothing that passes on the stream, and ends each program with all that it started: when the other
//! side lets go of its end, when its time is over, or with the one that it was started by.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use aiemp_keys::Secret;
use aiemp_protocol::ids::WorkId;
use anyhow::{Context as _, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
    process::{
        Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper,
        waitid, waitpid,
    },
};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};

use super::{brain, cloud_secrets::CloudSecretError, declared, program::Program, rosters, settings};
use crate::{
    config::{BrainKind, Config, EnvValue},
    fault::causes,
    hands::{ServerAt, ServerProgram},
    home::Home,
};

/// The longest that is told to start one: a server's name and secrets.
const ORDER_BYTES_MAX: usize = 64 << 10;
/// How often it is looked whether a program has ended, or is to end.
const LOOKS: Duration = Duration::from_millis(50);
/// How long a program may take to end once nobody listens to it.
const GRACE: Duration = Duration::from_secs(1);
/// How often in a row it is looked for what programs left, each of which may have left more, and how long that takes to end.
const ROUNDS_MAX: usize = 100;
const ROUND: Duration = Duration::from_millis(1);

/// What the keeper is told.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    what: What,
    /// After so many milliseconds it is ended, whatever it does.
    time_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
enum What {
    /// The declared server of this name, with the secrets of its environment.
    Server { name: String, secrets: BTreeMap<String, String> },
    /// What checks arguments against a schema.
    Check,
    /// The brain of the settings; for a piece of work where it gets tools.
    Brain { for_work: Option<String> },
}

/// How a program ended.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ended {
    /// By itself, with this code, or by a signal.
    Exited(Option<i32>),
    /// A secret that it needs is not there.
    NoSecret(String),
    /// It never began.
    NotStarted(String),
}

/// The other ends of what a brain has: pipes, so that it can open them by their names.
#[derive(Debug)]
pub struct Talk {
    /// Its stdin.
    pub asks: OwnedFd,
    /// Its stdout.
    pub answers: OwnedFd,
    /// Where it is told how it [`Ended`], as JSON.
    pub told: OwnedFd,
}

/// The way to the keeper, which ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub struct ProgramKeeper(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    orders: OwnedFd,
    is_gone: AtomicBool,
}

impl ProgramKeeper {
    /// Starts it.
    pub fn start(home: &Home) -> Result<Self> {
        let (own, its) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        Command::new(program)
            .arg("--home")
            .arg(home.path())
            .args(["process", "program-keeper", "--supervisor", &std::process::id().to_string()])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::from(its))
            .stdout(Stdio::null())
            // Who stops the node at its terminal lets the executor finish what it has in hand.
            .process_group(0)
            .spawn()
            .context("cannot start the keeper of programs")?;
        Ok(Self(Arc::new(Inner { orders: own, is_gone: AtomicBool::new(false) })))
    }

    /// Whether it was found to be gone: another one can be started before a wall alone.
    pub fn is_gone(&self) -> bool {
        self.0.is_gone.load(Ordering::Relaxed)
    }

    /// Has a declared server started; what it says and hears. It ends with the stream, or when its time is over.
    pub fn server(
        &self,
        name: &str,
        secrets: &BTreeMap<String, Secret<String>>,
        time: Duration,
    ) -> io::Result<UnixStream> {
        let secrets = secrets.iter().map(|(variable, value)| (variable.clone(), value.expose().clone())).collect();
        self.open(What::Server { name: name.to_owned(), secrets }, time)
    }

    /// Has arguments checked in a process that can be ended: see [`super::schema_check`].
    pub fn check(&self, time: Duration) -> io::Result<UnixStream> {
        self.open(What::Check, time)
    }

    /// Has the brain started. It ends when nobody reads its answer, or when its time is over.
    pub fn brain(&self, for_work: Option<WorkId>, time: Duration) -> io::Result<Talk> {
        let [(stdin, asks), (answers, stdout), (told, tells)] = [io::pipe()?, io::pipe()?, io::pipe()?];
        let what = What::Brain { for_work: for_work.map(|work| work.to_string()) };
        self.order(what, time, &[stdin.as_fd(), stdout.as_fd(), tells.as_fd()])?;
        Ok(Talk { asks: asks.into(), answers: answers.into(), told: told.into() })
    }

    fn open(&self, what: What, time: Duration) -> io::Result<UnixStream> {
        let (own, its) = UnixStream::pair()?;
        self.order(what, time, &[its.as_fd()])?;
        own.set_nonblocking(true)?;
        Ok(own)
    }

    fn order(&self, what: What, time: Duration, fds: &[BorrowedFd]) -> io::Result<()> {
        let time_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let order = serde_json::to_vec(&Order { what, time_ms })?;
        if order.len() > ORDER_BYTES_MAX {
            return Err(io::Error::other("its secrets are too long"));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut with = SendAncillaryBuffer::new(&mut space);
        with.push(SendAncillaryMessage::ScmRights(fds));
        let sent = sendmsg(&self.0.orders, &[IoSlice::new(&order)], &mut with, SendFlags::NOSIGNAL);
        if sent.is_err() {
            self.0.is_gone.store(true, Ordering::Relaxed);
        }
        sent?;
        Ok(())
    }
}

/// What runs.
#[derive(Debug, Default)]
struct Running {
    /// The process groups of programs.
    groups: BTreeSet<i32>,
    /// How many folders are being removed.
    removals: usize,
}

type Groups = Arc<Mutex<Running>>;

/// Starts what it is told to, until its other side is gone, whatever signal comes.
pub fn keep(home: &Home) -> Result<()> {
    // Their handlers stay in place, and do nothing.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let entered = runtime.enter();
    let ignored = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    // What leaves its group is a child of this process once the one that started it has ended.
    set_child_subreaper(Some(getpid()))?;
    // As they were when the node started.
    let config = settings::load(home)?;
    if config.brain.kind == BrainKind::Command {
        // Of runs that a crash cut short.
        remove(&home.brain());
    }
    let groups = Groups::default();
    let ended = take_orders(home, &config, &groups);
    let left = std::mem::take(&mut *groups.lock().unwrap_or_else(PoisonError::into_inner));
    for group in left.groups.into_iter().filter_map(Pid::from_raw) {
        kill_process_group(group, Signal::KILL).ok();
    }
    end_children();
    drop((ignored, entered));
    ended
}

fn take_orders(home: &Home, config: &Config, groups: &Groups) -> Result<()> {
    let orders = io::stdin();
    let mut room = vec![0; ORDER_BYTES_MAX];
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut with = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let message = match recvmsg(&orders, &mut [IoSliceMut::new(&mut room)], &mut with, flags) {
            Err(rustix::io::Errno::INTR) => continue,
            message => message?,
        };
        if message.bytes == 0 {
            return Ok(());
        }
        let rights = |message| if let RecvAncillaryMessage::ScmRights(fds) = message { Some(fds) } else { None };
        let fds: Vec<OwnedFd> = with.drain().filter_map(rights).flatten().collect();
        let tells = fds.get(2).map(OwnedFd::try_clone).transpose()?;
        let order = serde_json::from_slice(&room[..message.bytes]).map_err(anyhow::Error::from);
        // Its stream is closed then, which the other side sees.
        if let Err(error) = order.and_then(|order| start(home, config, order, fds, groups)) {
            let (why, is_secret) = (causes(&error), error.is::<CloudSecretError>());
            tracing::warn!(error = why, "a program cannot be started");
            tell(tells.as_ref(), &if is_secret { Ended::NoSecret(why) } else { Ended::NotStarted(why) });
        }
    }
}

// From this thread alone: what is started ends with the thread that started it.
fn start(home: &Home, config: &Config, order: Order, fds: Vec<OwnedFd>, groups: &Groups) -> Result<()> {
    let mut fds = fds.into_iter();
    let stdin = fds.next().context("no stream came with an order")?;
    let stdout = fds.next().map_or_else(|| stdin.try_clone(), Ok)?;
    let (tells, watched) = (fds.next(), stdout.try_clone()?);
    let (mut command, folder) = match order.what {
        What::Server { name, secrets } => (of_server(home, &name, secrets)?.command(home)?, None),
        What::Check => (super::schema_check::command(home)?, None),
        What::Brain { for_work } => {
            let (command, folder) = brain::command(home, config, for_work.map(|work| work.parse()).transpose()?)?;
            (command, Some(folder))
        }
    };
    command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).stderr(Stdio::null());
    let kept = Kept::start(&mut command, (tells, folder), groups)?;
    // It holds the other side's end open as long as it lives.
    drop(command);
    let until = Instant::now() + Duration::from_millis(order.time_ms);
    // Where no thread can be had it ends at once.
    thread::Builder::new().name("program".to_owned()).spawn(move || kept.wait(&watched, until))?;
    Ok(())
}

/// What the person signed, with the secrets of this order.
fn of_server(home: &Home, name: &str, secrets: BTreeMap<String, String>) -> Result<Program> {
    let rosters = rosters::load(home)?.context("there is no roster")?;
    let (_, hands) = declared::load(&home.executor_hands(), rosters.current())?;
    let server = hands.server(name).with_context(|| format!("no server named {name} is declared"))?;
    let secrets = secrets.into_iter().map(|(variable, value)| (variable, Secret::new(value))).collect();
    let ServerAt::Program(program) = &server.at else { anyhow::bail!("{name} is no program") };
    Ok(program_of(home, (&server.name, program), &secrets))
}

/// The program of a declared server; of the secrets it gets those that its declaration names.
pub fn program_of(
    home: &Home,
    (name, server): (&str, &ServerProgram),
    secrets: &BTreeMap<String, Secret<String>>,
) -> Program {
    let value = |variable: &String, value: &EnvValue| match value {
        EnvValue::Plain(text) => Some(text.clone()),
        EnvValue::Secret(_) => secrets.get(variable).map(|secret| secret.expose().clone()),
    };
    Program {
        command: server.command.clone(),
        env: server.env.iter().filter_map(|(name, of)| Some((name.clone(), value(name, of)?))).collect(),
        own: home.tools().join(name),
        reads: server.reads.clone(),
        writes: server.writes.clone(),
        has_tools: false,
        changes_rights: true,
    }
}

/// Nobody may listen any more.
fn tell(tells: Option<&OwnedFd>, ended: &Ended) {
    let Some((tells, bytes)) = tells.zip(serde_json::to_vec(ended).ok()) else { return };
    rustix::io::write(tells, &bytes).ok();
}

/// A program that runs; dropped, it ends with all that it started.
struct Kept {
    child: Child,
    tells: Option<OwnedFd>,
    /// Its own folder, if that ends with it.
    folder: Option<PathBuf>,
    groups: Groups,
}

impl Kept {
    fn group(&self) -> Option<Pid> {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn start(
        command: &mut Command,
        (tells, folder): (Option<OwnedFd>, Option<PathBuf>),
        groups: &Groups,
    ) -> Result<Self> {
        // Until it stands among them it would be taken for one that was left.
        let mut running = groups.lock().unwrap_or_else(PoisonError::into_inner);
        let child = command.process_group(0).spawn().context("it cannot be started")?;
        running.groups.insert(child.id().cast_signed());
        Ok(Self { child, tells, folder, groups: Arc::clone(groups) })
    }

    fn wait(self, stream: &OwnedFd, until: Instant) {
        let mut until = until;
        let mut is_heard = true;
        while Instant::now() < until && !self.has_ended() {
            if is_heard && has_hung_up(stream) {
                is_heard = false;
                // A server may put things in order; nobody waits for what a brain still does.
                until = until.min(Instant::now() + if self.tells.is_some() { Duration::ZERO } else { GRACE });
            }
            thread::sleep(LOOKS);
        }
    }

    /// Its number stays its own until it is waited for.
    fn has_ended(&self) -> bool {
        let Some(pid) = self.group() else { return true };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(pid), options), Ok(None))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(group) = self.group() {
            kill_process_group(group, Signal::KILL).ok();
        }
        self.child.kill().ok();
        let code = self.child.wait().ok().and_then(|status| status.code());
        let mut running = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        running.groups.remove(&self.child.id().cast_signed());
        running.end_what_is_left();
        running.removals += 1;
        drop(running);
        tell(self.tells.as_ref(), &Ended::Exited(code));
        self.folder.as_deref().into_iter().for_each(remove);
        let mut running = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        running.removals -= 1;
        running.end_what_is_left();
    }
}

impl Running {
    /// What left its group is ended when nothing else has this process for its parent.
    fn end_what_is_left(&self) {
        if self.groups.is_empty() && self.removals == 0 {
            end_children();
        }
    }
}

/// Removes a folder that a program made: by programs of the system, for it may be deep enough to end this one.
fn remove(folder: &Path) {
    let run = |program: &str, words: &[&str]| {
        let mut command = Command::new(program);
        command.args(words).arg(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    // It may hold folders that nobody may enter.
    run("chmod", &["-R", "u+rwx", "--"]);
    if !run("rm", &["-rf", "--"]) {
        tracing::warn!(folder = %folder.display(), "what a program left cannot be removed");
    }
}

/// Ends every child of this process, and theirs, which become its own.
fn end_children() {
    for _ in 0..ROUNDS_MAX {
        let children = children();
        if children.is_empty() {
            return;
        }
        for child in children {
            kill_process(child, Signal::KILL).ok();
            waitpid(Some(child), WaitOptions::NOHANG).ok();
        }
        thread::sleep(ROUND);
    }
}

fn children() -> Vec<Pid> {
    let own = getpid().as_raw_nonzero().to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // After the name, which may hold anything: the state, and the parent.
    let parent = |pid: i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(stat.rsplit_once(')')?.1.split_whitespace().nth(1)? == own)
    };
    pids.filter(|pid| parent(*pid) == Some(true)).filter_map(Pid::from_raw).collect()
}

/// Whether the other side let go of its end.
fn has_hung_up(stream: &OwnedFd) -> bool {
    let mut watched = [PollFd::new(stream, PollFlags::empty())];
    poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok()
        && watched[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}
