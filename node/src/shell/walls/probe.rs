//! What code that got into a process would try, and what its wall does about it.
//!
//! The wall is the one that the process puts up itself. A thread raises it and attacks; the thread that asked stays
//! free, clears up behind it, and can try another wall.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::PermissionsExt,
            net::{SocketAddr as UnixAddr, UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, anyhow};
use rustix::{
    mount::{UnmountFlags, unmount},
    net::{AddressFamily, SocketType, socket},
    process::{
        Pid, PidfdFlags, PidfdGetfdFlags, Resource, getrlimit, getuid, pidfd_getfd, pidfd_open, prlimit,
        test_kill_process,
    },
};

use super::Wall;
use crate::{home::Home, shell::users::Users};

/// Behind which wall the attacker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attacker {
    /// In the mesh.
    Mesh,
    /// In the executor.
    Executor,
    /// In a command that holds the approve key.
    Reviewer,
    /// In a command that signs rosters or stores secrets.
    Owner,
    /// In `pair accept`.
    Pairing,
    /// In what decodes the changes of peers.
    Decoder,
    /// Behind none: another program of the same user.
    SameUser,
    /// Behind none, as the mesh's user, where each process has its own.
    MeshUser,
    /// Behind none, as the executor's user.
    ExecutorUser,
    /// Behind none, as the person whose home three users share.
    Person,
}

/// How an attack ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The kernel refused.
    Stopped,
    /// It did what it wanted.
    NotStopped,
    /// It failed for a reason that says nothing about the wall.
    Undecided(String),
}

impl Outcome {
    /// The word in listings.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stopped => "stopped",
            Self::NotStopped => "not stopped",
            Self::Undecided(why) => why,
        }
    }
}

/// One attack, what the wall should do about it, and what it did.
#[derive(Clone, Debug)]
pub struct Tried {
    /// What was tried.
    pub attack: &'static str,
    /// What a whole wall does.
    pub expected: Outcome,
    /// What this one did.
    pub got: Outcome,
}

/// What is attacked.
#[derive(Debug)]
pub struct Ground {
    home: Home,
    vault: PathBuf,
    /// A file of the user's that has nothing to do with the node.
    elsewhere: PathBuf,
    /// Another process of the node.
    sibling: Pid,
    tcp: TcpListener,
    udp: UdpSocket,
    name: UnixAddr,
    _listener: UnixListener,
}

struct Attack {
    name: &'static str,
    /// Who may do this, or is not kept from it.
    open_to: &'static [Attacker],
    attempt: fn(&Ground) -> io::Result<()>,
}

use Attacker::{Decoder, Executor, ExecutorUser, Mesh, MeshUser, Owner, Pairing, Person, Reviewer, SameUser};

/// Every attack. A file that a process works with is open to it, for its wall cannot tell good code from bad.
const ATTACKS: [Attack; 30] = [
    attack("read the node key", &[Pairing, SameUser, MeshUser, Person], |at| read(&at.home.keys().join("node.key"))),
    attack("read the owner's keys as they lie on disk", &[Pairing, SameUser, Person], |at| read(&owner_keys(&at.home))),
    attack("read a service credential", &[Executor, SameUser, ExecutorUser], |at| read(&first_in(&at.home.secrets())?)),
    attack("read the executor's journal", &[Executor, SameUser, ExecutorUser], |at| read(&at.home.journal())),
    attack("read the key that signs receipts", &[Executor, SameUser, ExecutorUser], |at| {
        read(&at.home.receipt_signer())
    }),
    attack("read the mesh's store", &[Mesh, Owner, SameUser, MeshUser, Person], |at| read(&at.home.store())),
    attack("read a note of the vault", &[Mesh, SameUser, MeshUser, Person], |at| read(&at.vault.join(NOTE))),
    attack("read a file elsewhere", &ANY_USER, |at| read(&at.elsewhere)),
    attack("write into the vault", &[Mesh, SameUser, MeshUser, Person], |at| write(&at.vault)),
    attack("write into approved/", &[Executor, Reviewer, SameUser, ExecutorUser, Person], |at| {
        write(&at.home.approved())
    }),
    attack("write into receipts/", &[Executor, SameUser, ExecutorUser], |at| write(&at.home.receipts())),
    attack("write into executor/", &[Executor, SameUser, ExecutorUser], |at| write(&at.home.executor())),
    attack("write into the mesh's files", &[Mesh, Owner, SameUser, MeshUser, Person], |at| write(&at.home.mesh())),
    attack("write where the root key remembers", &[Owner, Pairing, Reviewer, SameUser, Person], |at| {
        write(&at.home.signed())
    }),
    attack("change the settings", &[SameUser], |at| OpenOptions::new().append(true).open(at.home.config()).map(drop)),
    attack("hard-link a key into the vault", &[SameUser, Person], |at| {
        fs::hard_link(at.home.keys().join("node.key"), at.vault.join(MADE))?;
        fs::remove_file(at.vault.join(MADE))
    }),
    attack("make a set-uid file in its own folder", &[SameUser, MeshUser, ExecutorUser, Person], |at| {
        set_uid(&at.home)
    }),
    // To what they are already: where it is allowed, nothing changes.
    attack("change who may enter the home", &[SameUser], |at| {
        fs::set_permissions(at.home.path(), fs::metadata(at.home.path())?.permissions())
    }),
    attack("run a shell", &ANY_USER, |_| {
        Command::new("/bin/sh").args(["-c", "exit 0"]).stdout(Stdio::null()).status().map(drop)
    }),
    attack("open the memory of a sibling", &[], |at| {
        OpenOptions::new().read(true).write(true).open(proc_of(at.sibling, "mem")).map(drop)
    }),
    attack("take an open file from a sibling", &[], |at| {
        let sibling = pidfd_open(at.sibling, PidfdFlags::empty())?;
        Ok(pidfd_getfd(sibling, 2, PidfdGetfdFlags::empty()).map(drop)?)
    }),
    attack("signal a sibling", &[SameUser], |at| Ok(test_kill_process(at.sibling)?)),
    // To what it is already: where it is allowed, nothing changes.
    attack("set a limit of a sibling, which could end it", &[SameUser], |at| {
        Ok(prlimit(Some(at.sibling), Resource::Core, getrlimit(Resource::Core)).map(drop)?)
    }),
    attack("reach an abstract socket", &ANY_USER, |at| UnixStream::connect_addr(&at.name).map(drop)),
    attack("connect to a TCP port of its choice", &[Mesh, Pairing, SameUser, MeshUser, ExecutorUser, Person], |at| {
        TcpStream::connect(at.tcp.local_addr()?).map(drop)
    }),
    attack("listen on a TCP port", &[Mesh, Pairing, SameUser, MeshUser, ExecutorUser, Person], |_| {
        TcpListener::bind(LOOPBACK).map(drop)
    }),
    attack(
        "send by UDP, as a name lookup does",
        &[Mesh, Executor, Pairing, SameUser, MeshUser, ExecutorUser, Person],
        |at| UdpSocket::bind(LOOPBACK)?.send_to(b"x", at.udp.local_addr()?).map(drop),
    ),
    attack("open a netlink socket", &[Mesh, Executor, Pairing, SameUser, MeshUser, ExecutorUser, Person], |_| {
        Ok(socket(AddressFamily::NETLINK, SocketType::RAW, None).map(drop)?)
    }),
    attack("open a packet socket", &[], |_| Ok(socket(AddressFamily::PACKET, SocketType::RAW, None).map(drop)?)),
    // Where it is allowed, nothing is mounted there.
    attack("change mounts", &[], |_| match unmount("/proc/self/status", UnmountFlags::empty()) {
        Err(error) if error != rustix::io::Errno::INVAL => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }),
];

/// What a program may try besides where three users share the home.
const BETWEEN_USERS: [Attack; 6] = [
    attack("write into roster/", &[MeshUser, Person], |at| write(&at.home.roster_folder())),
    attack("write into freeze/", &[MeshUser, Person], |at| write(&at.home.freezes())),
    attack("change the audit log of the executor", &[ExecutorUser], |at| write(&at.home.executor_audit())),
    attack("say who the users are", &[], |at| OpenOptions::new().append(true).open(at.home.users()).map(drop)),
    attack("put a folder in the place of approved/", &[], |at| {
        fs::rename(at.home.approved(), at.home.path().join(MADE))?;
        fs::rename(at.home.path().join(MADE), at.home.approved())
    }),
    attack("ask the mesh over the control socket", &[MeshUser, Person], ask),
];
/// Any program without a wall.
const ANY_USER: [Attacker; 4] = [SameUser, MeshUser, ExecutorUser, Person];

const LOOPBACK: &str = "127.0.0.1:0";
/// The name of what an attack makes; dot names are taken up by nobody.
const MADE: &str = ".aiemp-probe";
/// A note that the attacks read.
const NOTE: &str = ".aiemp-probe-note";

const fn attack(name: &'static str, open_to: &'static [Attacker], attempt: fn(&Ground) -> io::Result<()>) -> Attack {
    Attack { name, open_to, attempt }
}

impl Ground {
    /// Lays out what is attacked: `sibling` is another process of this node.
    pub fn prepare(home: &Home, vault: &Path, sibling: u32) -> Result<Self> {
        let elsewhere = std::env::temp_dir().join(format!("aiemp-probe-{}", std::process::id()));
        let name = UnixAddr::from_abstract_name(format!("aiemp-probe-{}", std::process::id()))?;
        fs::write(&elsewhere, "a file to be read\n")
            .with_context(|| format!("cannot write {}", elsewhere.display()))?;
        let note = vault.join(NOTE);
        match fs::write(&note, "a file to be read\n") {
            // A user that may not write there attacks the note of one who may.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            written => written.with_context(|| format!("cannot write {}", note.display()))?,
        }
        Ok(Self {
            home: home.clone(),
            vault: vault.to_owned(),
            elsewhere,
            sibling: Pid::from_raw(sibling.cast_signed()).context("a process id is not zero")?,
            tcp: TcpListener::bind(LOOPBACK)?,
            udp: UdpSocket::bind(LOOPBACK)?,
            _listener: UnixListener::bind_addr(&name)?,
            name,
        })
    }

    /// Lets an attacker behind `wall`, or behind none, try everything.
    pub fn attack(&self, wall: Option<&Wall>) -> Result<Vec<Tried>> {
        let users = Users::load(&self.home).unwrap_or_default();
        let attacker = wall.map_or_else(|| Attacker::without_wall(users.as_ref()), Attacker::behind);
        let besides: &[Attack] = if wall.is_none() && users.is_some() { &BETWEEN_USERS } else { &[] };
        thread::scope(|scope| {
            let tried = scope.spawn(|| {
                wall.map(|wall| wall.raise(&self.home)).transpose()?;
                Ok(ATTACKS.iter().chain(besides).map(|attack| attack.tried_by(attacker, self)).collect())
            });
            tried.join().map_err(|_| anyhow!("an attack ended the thread"))?
        })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        for path in [self.elsewhere.clone(), self.vault.join(NOTE), self.vault.join(MADE)] {
            // What an attack could not make is not there.
            fs::remove_file(path).ok();
        }
    }
}

impl Attacker {
    const fn behind(wall: &Wall) -> Self {
        match wall {
            Wall::Mesh { .. } => Mesh,
            Wall::Executor { .. } => Executor,
            Wall::Reviewer => Reviewer,
            Wall::Owner => Owner,
            Wall::Pairing => Pairing,
            Wall::Decoder => Decoder,
        }
    }

    fn without_wall(users: Option<&Users>) -> Self {
        let own = getuid();
        match users {
            _ if own.is_root() => SameUser,
            None => SameUser,
            Some(users) if own.as_raw() == users.mesh.uid => MeshUser,
            Some(users) if own.as_raw() == users.executor.uid => ExecutorUser,
            Some(_) => Person,
        }
    }
}

impl Attack {
    fn tried_by(&self, attacker: Attacker, ground: &Ground) -> Tried {
        // Root may do to any process what no wall forbids.
        let is_open = self.open_to.contains(&attacker) || (attacker == SameUser && getuid().is_root());
        let got = match (self.attempt)(ground) {
            Ok(()) => Outcome::NotStopped,
            Err(error) if is_refusal(&error) => Outcome::Stopped,
            Err(error) => Outcome::Undecided(error.to_string()),
        };
        let expected = if is_open { Outcome::NotStopped } else { Outcome::Stopped };
        Tried { attack: self.name, expected, got }
    }
}

/// Landlock answers a link or rename that it forbids as if it led to another file system.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::CrossesDevices)
}

fn read(path: &Path) -> io::Result<()> {
    File::open(path)?.read_exact(&mut [0])
}

fn write(folder: &Path) -> io::Result<()> {
    let path = folder.join(MADE);
    File::create(&path)?.write_all(b"made by a probe\n")?;
    fs::remove_file(path)
}

fn set_uid(home: &Home) -> io::Result<()> {
    // Each wall lets a process make files in one of these.
    let made = [home.mesh(), home.executor(), home.approved(), home.peers()].map(|folder| folder.join(MADE));
    let path = made.iter().find(|path| File::create(path).is_ok());
    let path = path.ok_or(io::ErrorKind::PermissionDenied)?;
    let set = fs::set_permissions(path, Permissions::from_mode(0o4700));
    fs::remove_file(path)?;
    set
}

fn ask(at: &Ground) -> io::Result<()> {
    let mut node = UnixStream::connect(at.home.control_socket())?;
    node.write_all(b"{\"ask\":\"status\"}\n")?;
    node.read_exact(&mut [0])
}

fn owner_keys(home: &Home) -> PathBuf {
    let sealed = home.keys().join("owner.age");
    if sealed.exists() { sealed } else { home.keys().join("owner.key") }
}

/// Where the names cannot be listed, a guess is refused just the same.
fn first_in(folder: &Path) -> io::Result<PathBuf> {
    fs::read_dir(folder)?.next().ok_or(io::ErrorKind::NotFound)?.map(|entry| entry.path())
}

fn proc_of(pid: Pid, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{}/{file}", pid.as_raw_nonzero()))
}
