//! Landlock: which files each process opens, and which ports.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use anyhow::Result;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags, path_beneath_rules,
};

use super::Wall;
use crate::home::Home;

/// The newest landlock that is asked for; an older kernel gives what it has.
const NEWEST: ABI = ABI::V10;
/// The oldest that will do: before it landlock forbids every rename between folders, and nothing could be written.
const OLDEST: ABI = ABI::V2;

const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
/// Regular files and folders. Neither programs, nor devices, links, pipes or sockets.
pub(super) const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | MakeReg | MakeDir | RemoveFile | RemoveDir | Refer
});
/// Replacing files without reading what lies beside them.
const REPLACE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadDir | WriteFile | Truncate | MakeReg | RemoveFile});
/// Where a passphrase is asked for; the process's own terminal, whoever opens it.
const TERMINAL: &str = "/dev/tty";
const TALK: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | WriteFile | IoctlDev});
const SOCKETS: BitFlags<AccessFs> = make_bitflags!(AccessFs::{MakeSock | ResolveUnix});

/// What any program needs to read to run: libraries, name lookup, certificates, time zones, its own state in /proc.
pub(super) const SYSTEM: [&str; 9] =
    ["/usr", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev/urandom", "/dev/null", "/run/systemd/resolve"];
/// Where the system looks names up over a socket.
pub(super) const LOOKUP: [&str; 3] = ["/run/systemd/resolve", "/run/nscd", "/run/avahi-daemon"];

/// Restricts the calling thread; the version in force.
pub(super) fn restrict(wall: &Wall, home: &Home) -> Result<Option<u8>> {
    for folder in needed(wall, home) {
        // One that cannot be made is missed by whoever writes there, who says so.
        DirBuilder::new().recursive(true).mode(0o700).create(folder).ok();
    }
    let Some(ruleset) = handled(wall) else { return Ok(None) };
    let mut ruleset = ruleset.create()?;
    if *wall != Wall::Decoder {
        ruleset = beneath(ruleset, &SYSTEM.map(PathBuf::from), READ)?;
    }
    if matches!(wall, Wall::Mesh { .. } | Wall::Executor { .. } | Wall::Pairing) {
        ruleset = beneath(ruleset, &LOOKUP.map(PathBuf::from), AccessFs::ResolveUnix.into())?;
    }
    for (paths, access) in opens(wall, home) {
        ruleset = beneath(ruleset, &paths, access)?;
    }
    if let Wall::Executor { reach, .. } = wall {
        ruleset = ruleset.add_rules(reach.ports.iter().map(|port| connect(*port)))?;
    }
    let status = ruleset.restrict_self()?;
    Ok(if status.ruleset == RulesetStatus::NotEnforced { None } else { version(status.landlock) })
}

/// The version that this kernel has, or none. Restricts the calling thread.
pub(super) fn newest() -> Option<u8> {
    let status = handled(&Wall::Reviewer)?.create().ok()?.restrict_self().ok()?;
    version(status.landlock)
}

fn connect(port: u16) -> Result<NetPort, RulesetError> {
    Ok(NetPort::new(port, AccessNet::ConnectTcp))
}

/// Folders that have to exist for a rule to name them.
fn needed(wall: &Wall, home: &Home) -> Vec<PathBuf> {
    match wall {
        // Not the vault: one that is missing is somewhere else.
        Wall::Mesh { .. } => {
            vec![home.roster_folder(), home.freezes(), home.mesh_audit(), home.standing(), home.requests()]
        }
        Wall::Executor { outbox, .. } => {
            let shared = [home.approved(), home.receipts(), home.freezes(), home.standing(), home.requests()];
            [outbox.clone(), home.executor_audit()].into_iter().chain(shared).collect()
        }
        Wall::Reviewer => vec![home.approved(), home.freezes(), home.standing(), home.signed_lifts()],
        Wall::Owner => vec![home.roster_folder(), home.secrets(), home.signed()],
        Wall::Pairing => vec![home.roster_folder(), home.peers(), home.signed()],
        Wall::Decoder => Vec::new(),
    }
}

/// What a process opens below the home, and the vault.
fn opens(wall: &Wall, home: &Home) -> Vec<(Vec<PathBuf>, BitFlags<AccessFs>)> {
    match wall {
        Wall::Mesh { vault } => vec![
            (vec![home.mesh(), home.roster_folder(), home.mesh_audit(), home.freezes(), vault.clone()], WRITE),
            (vec![home.requests()], REPLACE),
            (vec![home.run()], WRITE | SOCKETS),
            (vec![home.receipts(), home.receipt_key(), home.config(), home.users(), home.standing()], READ),
        ],
        Wall::Executor { outbox, reach } => vec![
            (vec![home.executor(), home.approved(), home.receipts(), home.executor_audit(), outbox.clone()], WRITE),
            (vec![home.requests()], READ | AccessFs::RemoveFile),
            (vec![home.roster_folder(), home.freezes(), home.config(), home.standing(), home.receipt_key()], READ),
            (reach.ca_files.iter().cloned().collect(), READ),
        ],
        Wall::Reviewer => vec![
            (vec![home.approved(), home.freezes(), home.standing()], REPLACE),
            (vec![home.keys()], REPLACE),
            (vec![home.roster_folder(), home.config(), home.known_values()], READ),
            (vec![home.run()], AccessFs::ResolveUnix.into()),
            (vec![TERMINAL.into()], TALK),
        ],
        Wall::Owner => vec![
            (vec![home.mesh(), home.roster_folder()], WRITE),
            (vec![home.secrets(), home.signed()], REPLACE),
            (vec![home.config()], READ),
        ],
        Wall::Pairing => vec![
            (vec![home.roster_folder(), home.peers()], WRITE),
            (vec![home.signed()], REPLACE),
            (vec![home.keys(), home.config()], READ),
        ],
        Wall::Decoder => Vec::new(),
    }
}

/// What is forbidden unless a rule allows it; none where this kernel cannot.
pub(super) fn handled(wall: &Wall) -> Option<Ruleset> {
    let strict = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let ruleset = strict.handle_access(AccessFs::from_all(OLDEST)).ok()?.set_compatibility(CompatLevel::BestEffort);
    let ruleset = ruleset.handle_access(AccessFs::from_all(NEWEST)).ok()?.scope(Scope::from_all(NEWEST)).ok()?;
    match wall {
        Wall::Mesh { .. } | Wall::Pairing => Some(ruleset),
        Wall::Executor { .. } => ruleset.handle_access(make_bitflags!(AccessNet::{BindTcp | ConnectTcp})).ok(),
        Wall::Reviewer | Wall::Owner | Wall::Decoder => ruleset.handle_access(AccessNet::from_all(NEWEST)).ok(),
    }
}

pub(super) fn beneath(
    ruleset: RulesetCreated,
    paths: &[PathBuf],
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let existing: Vec<&Path> = paths.iter().map(PathBuf::as_path).filter(|path| path.exists()).collect();
    ruleset.add_rules(path_beneath_rules(existing, access))
}

pub(super) fn version(status: LandlockStatus) -> Option<u8> {
    let LandlockStatus::Available { effective_abi, .. } = status else { return None };
    let known = [ABI::V2, ABI::V3, ABI::V4, ABI::V5, ABI::V6, ABI::V7, ABI::V8, ABI::V9, NEWEST];
    known.iter().zip(2..).find_map(|(abi, number)| (*abi == effective_abi).then_some(number))
}
