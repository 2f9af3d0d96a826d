//! Walls around a process: what the kernel keeps it from, whatever runs inside it.
//!
//! Landlock says which files a process may open and which ports it may use, seccomp which system calls it may make, and
//! a process that is not dumpable keeps its memory to itself. Each is put up as far as the kernel has it; `doctor` tells
//! how far that is.

use std::path::PathBuf;

use anyhow::Result;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::{config::Config, home::Home};

mod calls;
mod files;
pub mod probe;

/// A process of the node, by what its wall leaves open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wall {
    /// The mesh: its own files, the vault, the network.
    Mesh {
        /// The vault.
        vault: PathBuf,
    },
    /// The executor: approvals, its own files, receipts, and the ports of the services it sends through.
    Executor {
        /// Where mails go as files.
        outbox: PathBuf,
        /// TCP ports that it may connect to.
        ports: Vec<u16>,
        /// The certificate authority of the mail server.
        ca_file: Option<PathBuf>,
    },
    /// A command that holds the approve key: the control socket and `approved/`, no network at all.
    Reviewer,
    /// A command that signs rosters or stores secrets: the mesh's files and the executor's secrets, no network at all.
    Owner,
    /// `pair accept`: the network, and the files that say who is in the mesh.
    Pairing,
    /// What decodes the changes of peers: nothing at all.
    Decoder,
}

/// What stands of a wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The version of landlock in force; absent where it cannot be had, or has no way to allow a rename.
    pub landlock: Option<u8>,
    /// Whether the filter of system calls is in force.
    pub calls: bool,
}

impl Wall {
    /// The executor's wall by its settings.
    pub fn executor(home: &Home, config: &Config) -> Self {
        /// Name lookups whose answer does not fit one packet.
        const DNS: u16 = 53;
        let smtp = config.smtp.as_ref();
        Self::Executor {
            outbox: config.outbox.dir.clone().unwrap_or_else(|| home.outbox()),
            ports: smtp.map(|smtp| vec![smtp.port(), DNS]).unwrap_or_default(),
            ca_file: smtp.and_then(|smtp| smtp.ca_file.clone()),
        }
    }

    /// Its name.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Mesh { .. } => "mesh",
            Self::Executor { .. } => "executor",
            Self::Reviewer => "reviewer",
            Self::Owner => "owner",
            Self::Pairing => "pairing",
            Self::Decoder => "decoder",
        }
    }

    /// Shuts the calling thread, and every thread it starts, in for the rest of the process's life.
    ///
    /// Call it before the first thread is started, and when the keys that the process needs have been read.
    pub fn raise(&self, home: &Home) -> Result<Standing> {
        keep_memory()?;
        let landlock = files::restrict(self, home)?;
        Ok(Standing { landlock, calls: calls::restrict(self) })
    }
}

/// Keeps other processes of this user from reading the process's memory, and the memory from core files.
pub fn keep_memory() -> Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}

/// What this kernel can put up. A thread tries, for a wall stays with whoever put it up.
pub fn possible() -> Standing {
    let tried = std::thread::spawn(|| Standing { landlock: files::newest(), calls: calls::can_stand() });
    tried.join().unwrap_or(Standing { landlock: None, calls: false })
}
