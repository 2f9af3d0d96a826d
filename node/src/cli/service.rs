//! `service`: how the node is installed.

use std::{
    fs::File,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use super::print;
use crate::{
    fault::Fault,
    home::Home,
    shell::{
        self,
        users::{self, User, Users},
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum ServiceCommand {
    /// Let mesh, executor and you be three users, so that no program of yours can read what the executor holds;
    /// as root, on a Local home that does not run
    Separate(SeparateArgs),
}

#[derive(Debug, Args)]
pub(super) struct SeparateArgs {
    /// Who approves and edits the vault
    #[arg(long, value_name = "USER|UID:GID")]
    person: String,
    /// Who the mesh process runs as
    #[arg(long, value_name = "USER|UID:GID", default_value = "aiemp-mesh")]
    mesh_user: String,
    /// Who the executor runs as
    #[arg(long, value_name = "USER|UID:GID", default_value = "aiemp-exec")]
    executor_user: String,
    /// The group of all three
    #[arg(long, value_name = "GROUP|GID", default_value = "aiemp")]
    group: String,
}

pub(super) fn service(home: &Home, command: &ServiceCommand) -> Result<ExitCode> {
    match command {
        ServiceCommand::Separate(args) => separate(home, args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn separate(home: &Home, args: &SeparateArgs) -> Result<()> {
    if !rustix::process::getuid().is_root() {
        let message = "only root gives files to other users";
        return Err(Fault::operator("not_root", message, "Run it with sudo.").into());
    }
    let config = shell::settings::load(home)?;
    if !home.pinned_root().exists() {
        let message = "this is no Local home: only Local has an executor to keep apart";
        return Err(Fault::refused("role", message, "Run this on the Local node.").into());
    }
    users::check_above(home.path())?;
    let users = Users {
        group: group(&args.group)?,
        mesh: user(&args.mesh_user)?,
        executor: user(&args.executor_user)?,
        person: user(&args.person)?,
    };
    users.check()?;
    check_reach(&config.vault)?;
    let _locks = [lock(home.lock())?, lock(home.executor().join("lock"))?];
    users::separate(home, &config.vault, &users)?;
    print::data(format!("{} is shared by three users now", home.path().display()));
    print::talk(format!(
        "next: start the two services, and add {person} to the groups {group} and {mesh}'s own.\n\
         Change settings and store secrets as root. Renew the passwords that the executor holds: until now every\n\
         program of {person} could read them.",
        person = args.person,
        group = args.group,
        mesh = args.mesh_user
    ));
    Ok(())
}

/// Nothing may run while its files change hands.
fn lock(path: std::path::PathBuf) -> Result<Option<File>> {
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot open {}", path.display())),
    };
    if file.try_lock().is_err() {
        return Err(Fault::operator("locked", "the node runs", "Stop it first, then run this again.").into());
    }
    Ok(Some(file))
}

/// The mesh has to get to the vault through every folder above it.
fn check_reach(vault: &std::path::Path) -> Result<(), Fault> {
    use std::os::unix::fs::MetadataExt as _;
    for above in vault.ancestors().skip(1) {
        if std::fs::metadata(above).is_ok_and(|found| found.mode() & 0o001 == 0) {
            let message = format!("the mesh's user cannot get to the vault through {}", above.display());
            let fix = format!("Move the vault, or run `chmod o+x {}`, which lets nobody list it.", above.display());
            return Err(Fault::operator("vault", message, fix));
        }
    }
    Ok(())
}

fn user(name: &str) -> Result<User> {
    if let Some((uid, gid)) = name.split_once(':')
        && let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse())
    {
        return Ok(User { uid, gid });
    }
    Ok(User { uid: asked("id", &["-u", name], name)?, gid: asked("id", &["-g", name], name)? })
}

fn group(name: &str) -> Result<u32> {
    if let Ok(gid) = name.parse() {
        return Ok(gid);
    }
    asked("getent", &["group", name], name)
}

/// The first number that a program of the system answers.
fn asked(program: &str, args: &[&str], name: &str) -> Result<u32> {
    let output = Command::new(program).args(args).output().with_context(|| format!("cannot run {program}"))?;
    let answer = String::from_utf8_lossy(&output.stdout);
    answer.trim().split(':').find_map(|part| part.parse().ok()).ok_or_else(|| {
        let message = format!("there is no user or group {name}");
        let fix = "Make it, as \"Three users\" in deploy/README.md says.";
        Fault::operator("unknown_user", message, fix).into()
    })
}
