//! Walls around a process: what the kernel keeps it from, whatever runs inside it.
//!
//! Landlock says which files a process may open and which ports it may use, seccomp which system calls it may make, and
//! a process that is not dumpable keeps its memory to itself. Each is put up as far as the kernel has it; `doctor` tells
//! how far that is.

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::Result;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

pub use self::confined::Confined;
use crate::{config::Config, hands::Hands, home::Home};

mod calls;
mod confined;
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
        /// What it reaches beyond its own files.
        reach: Reach,
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

/// What an executor needs to reach the services that it sends through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// TCP ports that it may connect to.
    pub ports: BTreeSet<u16>,
    /// Certificates of private authorities.
    pub ca_files: BTreeSet<PathBuf>,
    /// Whether programs are started, which a keeper does that is there before the wall.
    pub programs: bool,
}

impl Reach {
    /// By the settings and the declared hands.
    pub fn of(config: &Config, declared: &Hands) -> Self {
        /// Name lookups whose answer does not fit one packet.
        const DNS: u16 = 53;
        let smtp = config.smtp.as_ref();
        let mut ports = declared.ports();
        ports.extend(smtp.map(|smtp| smtp.port()));
        ports.extend(smtp.and_then(|smtp| smtp.sent.as_ref()).map(|sent| sent.port()));
        ports.extend(smtp.and_then(|smtp| Some(smtp.oauth2.as_ref()?.address(None).ok()?.port)));
        if !ports.is_empty() {
            ports.insert(DNS);
        }
        let mut ca_files = declared.ca_files();
        ca_files.extend(smtp.and_then(|smtp| smtp.ca_file.clone()));
        Self { ports, ca_files, programs: declared.starts_programs() }
    }

    /// Whether a wall with this reach leaves open all that another one needs.
    pub fn covers(&self, other: &Self) -> bool {
        self.ports.is_superset(&other.ports)
            && self.ca_files.is_superset(&other.ca_files)
            && (self.programs || !other.programs)
    }
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
    /// The executor's wall by its settings and the hands that were signed.
    pub fn executor(home: &Home, config: &Config, declared: &Hands) -> Self {
        let outbox = config.outbox.dir.clone().unwrap_or_else(|| home.outbox());
        Self::Executor { outbox, reach: Reach::of(config, declared) }
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
