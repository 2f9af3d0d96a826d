//! Programs of the person's choice, watchers, MCP servers and brains: started in a folder of their own, with a cleared
//! environment, shut in by landlock.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    ffi::OsString,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use aiemp_keys::private_file;
use anyhow::{Context as _, Result};

use super::{places, walls::Confined};
use crate::{fault::Fault, home::Home};

/// The exit code of a program that could not be started.
pub const NOT_STARTED: u8 = 78;

/// What is started, and what it may open beside the system's files and its own folder.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Its environment, beside `PATH`, `HOME`, `TMPDIR` and `LANG`.
    pub env: BTreeMap<String, String>,
    /// Its own folder, which is its `HOME`.
    pub own: PathBuf,
    /// Files and folders that it reads.
    pub reads: Vec<PathBuf>,
    /// Folders that it changes.
    pub writes: Vec<PathBuf>,
    /// Whether it may start `aiemp-node mcp`, which asks the node.
    pub has_tools: bool,
    /// Whether it may change by a path who may open a file, which could be one of the node's.
    pub changes_rights: bool,
}

impl Program {
    /// A command that becomes it; whoever starts that ends it as a group.
    pub fn command(&self, home: &Home) -> Result<Command> {
        let around = self.own.parent().map(Path::to_owned);
        for folder in around.iter().chain([&self.own, &self.own.join("tmp")]) {
            private_file::create_private_dir(folder)?;
        }
        let shut_in = std::env::current_exe().context("cannot find this program's own file")?;
        let places = |flag: &'static str, paths: &[PathBuf]| {
            paths.iter().flat_map(move |path| [OsString::from(flag), path.clone().into()]).collect::<Vec<_>>()
        };
        let mut command = Command::new(shut_in);
        command
            .arg("--home")
            .arg(home.path())
            .args(["process", "program", "--supervisor", &std::process::id().to_string()])
            .args(places("--reads", &self.reads))
            .args(places("--writes", &self.writes))
            .args(self.has_tools.then_some("--tools"))
            .args(self.changes_rights.then_some("--rights"))
            .arg("--own")
            .arg(&self.own)
            .arg("--")
            .args(&self.command)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.own)
            .env("TMPDIR", self.own.join("tmp"))
            .env("LANG", "C.UTF-8")
            .envs(&self.env)
            .current_dir(&self.own)
            .process_group(0);
        Ok(command)
    }
}

/// The files that a command names: the program, a script; also where a link leads. Not what lies beside them, which may be
/// anything.
pub fn files_of(command: &[String]) -> impl Iterator<Item = PathBuf> {
    let named = command.iter().map(PathBuf::from).filter(|path| path.is_absolute());
    let with_real = named.flat_map(|path| [path.canonicalize().ok(), Some(path)]).flatten();
    with_real.filter(|path| path.is_file())
}

/// Shuts this process in and becomes the program, in the environment that it was started with. Returns why it could not.
pub fn become_program(home: &Home, program: Program) -> Result<Infallible> {
    let Program { command, own, reads, writes, has_tools, changes_rights, .. } = program;
    let (program, arguments) = command.split_first().context("no command is configured")?;
    let vault = super::settings::load(home)?.vault;
    let is_inside = |path: &&PathBuf| !places::is_outside(path, home.path(), &vault);
    if let Some(path) = reads.iter().chain(&writes).find(is_inside) {
        let message = format!("{} lies in the home or the vault, or around them", path.display());
        let fix = "Name something narrower in `reads` or `writes`: no program of yours reads keys or private notes.";
        return Err(Fault::refused("program", message, fix).into());
    }
    // What it can change it could make a link to anything.
    let is_its_own = |path: &Path| {
        let mut others = writes.iter().chain([&own]).filter(|folder| *folder != path);
        others.any(|folder| places::passes(path, folder))
    };
    let words: Vec<_> = command.iter().filter(|word| !is_its_own(Path::new(word))).cloned().collect();
    let named = files_of(&words).filter(|path| !is_inside(&path));
    let fixed = |paths: &[PathBuf]| paths.iter().filter(|path| !is_its_own(path)).cloned().collect::<Vec<_>>();
    let of_tools = if has_tools { vec![std::env::current_exe()?, home.config()] } else { Vec::new() };
    let sockets = if has_tools { vec![home.run()] } else { Vec::new() };
    let reads = fixed(&reads).into_iter().chain(named).chain(of_tools).collect();
    let writes = fixed(&writes).into_iter().chain([own.clone()]).collect();
    Confined { reads, writes, sockets, changes_rights, ..Confined::default() }.with_programs(home, &vault).enter()?;
    let error = Command::new(program).args(arguments).exec();
    let is_walled = error.kind() == std::io::ErrorKind::PermissionDenied;
    let hint = if is_walled { "; it sees the system and what `reads` names, also its own libraries" } else { "" };
    Err(error).with_context(|| format!("cannot start `{program}`{hint}"))
}
