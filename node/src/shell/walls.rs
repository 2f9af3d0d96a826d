//! Walls around a process: what the kernel keeps it from, whatever runs inside it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    path_beneath_rules,
};

use crate::home::Home;

/// Whether the kernel enforces a wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wall {
    /// It does.
    Stands,
    /// This kernel cannot; the boundary is off and `doctor` says so.
    Off,
}

/// What any program needs to read to run: libraries, name lookup, certificates, time zones, its own state in /proc.
const SYSTEM: [&str; 9] =
    ["/usr", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev/urandom", "/dev/null", "/run/systemd/resolve"];

/// Shuts the calling thread, and every thread it starts, out of everything but the vault and the mesh's own files.
///
/// Keys, signed approvals, the executor's journal and its credentials stay unreadable for the rest of the process's
/// life. Call it before the runtime starts its threads.
pub fn around_mesh(home: &Home, vault: &Path) -> Result<Wall> {
    let abi = ABI::V3;
    let own = [home.mesh(), home.run(), home.audit(), vault.to_owned()];
    let readable: Vec<PathBuf> = SYSTEM
        .iter()
        .map(PathBuf::from)
        .chain([home.receipts(), home.receipt_key(), home.config()])
        .chain(std::env::current_exe())
        .collect();
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(existing(&readable), AccessFs::from_read(abi)))?
        .add_rules(path_beneath_rules(existing(&own), AccessFs::from_all(abi)))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Wall::Stands,
        RulesetStatus::NotEnforced => Wall::Off,
    })
}

/// Shuts the calling thread out of every file; what is open already stays so.
pub fn around_decoder() -> Result<()> {
    not_dumpable()?;
    let handled = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    handled.handle_access(AccessFs::from_all(ABI::V3))?.create()?.restrict_self()?;
    Ok(())
}

/// Whether this kernel can put the wall up.
pub fn can_stand() -> bool {
    let strict = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    strict.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_ok()
}

/// Keeps other processes of this user from reading the process's memory, and the memory from core files.
pub fn not_dumpable() -> Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

fn existing(paths: &[PathBuf]) -> Vec<&PathBuf> {
    paths.iter().filter(|path| path.exists()).collect()
}
