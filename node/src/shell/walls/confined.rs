//! Landlock around programs of the person's choice, and around the process that starts them: they see the system, and what
//! was named. Of system calls those are filtered of which landlock says nothing; which others such a program needs, nobody knows.

use std::path::{Path, PathBuf};

use anyhow::Result;
use landlock::{AccessFs, BitFlags, RulesetStatus, make_bitflags};

use super::{
    Wall, calls,
    files::{self, LOOKUP, SYSTEM, WRITE},
};
use crate::{home::Home, shell::places};

const RUN: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir | Execute});
const OWN: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | Execute | WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir | Refer | MakeSock
        | MakeFifo | MakeSym | ResolveUnix
});
/// Programs, and what they need, beside [`SYSTEM`].
const PROGRAMS: [&str; 4] = ["/bin", "/sbin", "/opt", "/nix/store"];
/// Devices that programs write to. Not the terminal, into which one could type as if it were the person.
const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/shm"];

/// What such a program may open.
#[derive(Clone, Debug, Default)]
pub struct Confined {
    /// Files and folders that it reads, and programs there that it runs.
    pub reads: Vec<PathBuf>,
    /// Folders that it changes.
    pub writes: Vec<PathBuf>,
    /// Folders with sockets that it connects to.
    pub sockets: Vec<PathBuf>,
    /// Whether it may change by a path who may open a file, as installers and version control do.
    pub changes_rights: bool,
    /// Devices, and folders of the system that all programs share.
    pub devices: Vec<PathBuf>,
}

impl Confined {
    /// With the system's files and what lies on the program path, outside the home and the vault.
    pub fn with_programs(mut self, home: &Home, vault: &Path) -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let system = SYSTEM.iter().chain(&PROGRAMS).map(PathBuf::from);
        let programs = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
        let outside = system.chain(programs).filter(|folder| places::is_outside(folder, home.path(), vault));
        // One that it changes could lead anywhere.
        let writes = &self.writes;
        let outside = outside.filter(|folder| !writes.iter().any(|own| places::passes(folder, own)));
        self.reads.extend(outside);
        let devices = DEVICES.iter().map(PathBuf::from);
        self.devices.extend(devices.filter(|place| places::is_outside(place, home.path(), vault)));
        self
    }

    /// Shuts the calling thread, and all that it starts, in; the version of landlock in force, if any.
    pub fn enter(&self) -> Result<Option<u8>> {
        let Some(ruleset) = files::handled(&Wall::Pairing) else {
            calls::restrict_program(self.changes_rights);
            return Ok(None);
        };
        let mut ruleset = files::beneath(ruleset.create()?, &self.devices, WRITE)?;
        ruleset = files::beneath(ruleset, &LOOKUP.map(PathBuf::from), AccessFs::ResolveUnix.into())?;
        ruleset = files::beneath(ruleset, &self.reads, RUN)?;
        ruleset = files::beneath(ruleset, &self.sockets, AccessFs::ResolveUnix.into())?;
        ruleset = files::beneath(ruleset, &self.writes, OWN)?;
        let status = ruleset.restrict_self()?;
        calls::restrict_program(self.changes_rights);
        Ok(if status.ruleset == RulesetStatus::NotEnforced { None } else { files::version(status.landlock) })
    }
}
