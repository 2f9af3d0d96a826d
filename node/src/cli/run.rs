//! Running the node: the supervisor on Local, the mesh alone on Cloud.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use aiemp_protocol::roster::Role;
use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use rustix::process::Signal;

use super::{
    RoleArg, RunArgs, approvals, print,
    probe::{self, ProbeArgs},
};
use crate::{
    config::{BrainKind, Config},
    executor,
    fault::Fault,
    hands::Hands,
    home::Home,
    senses,
    shell::{
        self,
        control::WireTrouble,
        handed_in,
        mail_in::Sources,
        mesh::{self, Ended, MeshOptions},
        network::addresses,
        program::{NOT_STARTED, Program, become_program},
        program_keeper::{self, ProgramKeeper},
        schema_check, screen, supervisor,
        users::Users,
        walls::{self, Wall},
    },
};

/// How long the mesh's tasks may take to let go of what they started.
const WIND_DOWN: Duration = Duration::from_secs(1);

/// The processes of a Local node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ProcessName {
    /// Store, vault and network.
    Mesh,
    /// Hands.
    Executor,
    /// Drop folders, webhooks and watchers.
    Senses,
    /// Shuts itself in, and becomes a watcher, an MCP server or a brain.
    Program,
    /// Starts MCP servers for the executor and brains for the mesh, whose walls let them start nothing.
    ProgramKeeper,
    /// Checks the arguments of a tool against its schema.
    SchemaCheck,
    /// Decodes what peers sent, behind the strictest limits.
    Decoder,
    /// Starts decoders and ends them, for the mesh, whose wall lets it start nothing.
    DecoderKeeper,
    /// Starts the person's editor for a review, which may start nothing itself.
    Editor,
    /// Neither: tries what code that got into one of them would try.
    Probe,
}

#[derive(Debug, Args)]
pub(super) struct ProcessArgs {
    /// Which
    #[arg(value_enum)]
    process: ProcessName,
    /// The process id of the node that starts it, and without which it ends
    #[arg(long, value_name = "PID")]
    supervisor: Option<u32>,
    /// What a program reads
    #[arg(long, value_name = "PATH")]
    reads: Vec<PathBuf>,
    /// What a program changes
    #[arg(long, value_name = "PATH")]
    writes: Vec<PathBuf>,
    /// A program's own folder
    #[arg(long, value_name = "PATH")]
    own: Option<PathBuf>,
    /// A program may start `aiemp-node mcp`
    #[arg(long)]
    tools: bool,
    /// A program may change who may open a file
    #[arg(long)]
    rights: bool,
    /// A program, with its arguments
    #[arg(last = true)]
    command: Vec<String>,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    probe: ProbeArgs,
}

pub(super) fn run(home: &Home, args: &RunArgs) -> Result<ExitCode> {
    let Some(role) = args.role else {
        let message = "nothing to do";
        return Err(Fault::usage(message, "Give --role cloud or --role local, or a command; --help lists them.").into());
    };
    log();
    if home.users().exists() {
        let message = "this home is shared by three users, so no one command runs its processes";
        let fix = "Run `systemctl start aiemp-node-mesh aiemp-node-executor`, and your own aiemp-node-senses; see \"Three users\" in deploy/README.md.";
        return Err(Fault::refused("users", message, fix).into());
    }
    let config = shell::settings::load(home)?;
    shell::rosters::adopt(home)?;
    check_role(home, role)?;
    senses::check_settings(home, &config, role.role())?;
    // Each process takes its lock itself. Before that the arguments of this start are noted, which are not those of the
    // node that runs.
    drop(mesh::lock(home)?);
    match role {
        RoleArg::Cloud if !config.has_senses() => mesh_process(home, Role::Cloud, args),
        RoleArg::Cloud | RoleArg::Local => {
            check_programs(home, &config, args.vault.as_deref())?;
            if role == RoleArg::Local
                && let Some(WireTrouble { what, fix, .. }) = shell::identity::owner_keys_trouble(home)
            {
                tracing::error!(what, fix, "the owner's keys cannot be used");
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let beside = supervisor::Beside { executor: role == RoleArg::Local, senses: config.has_senses() };
            runtime.block_on(supervisor::run(home.path(), &mesh_arguments(args), beside))
        }
    }
}

pub(super) fn process(home: &Home, args: &ProcessArgs) -> Result<ExitCode> {
    let ProcessArgs { process, supervisor, run, probe, .. } = args;
    log();
    // A child of the supervisor ends with it. One that ended before this line sends no signal any more. A decoder has
    // nothing to put in order, and one that was stopped or hangs would not hear a word that can be ignored.
    let is_killed = matches!(
        process,
        ProcessName::Decoder | ProcessName::DecoderKeeper | ProcessName::Program | ProcessName::SchemaCheck
    );
    let last_word = if is_killed { Signal::KILL } else { Signal::TERM };
    rustix::process::set_parent_process_death_signal(Some(last_word))?;
    if supervisor.is_some_and(|supervisor| supervisor != std::os::unix::process::parent_id()) {
        return Ok(ExitCode::SUCCESS);
    }
    match process {
        ProcessName::Decoder => {
            screen::decode_all(home)?;
            Ok(ExitCode::SUCCESS)
        }
        ProcessName::DecoderKeeper => {
            walls::keep_memory()?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(screen::keep(home))?;
            Ok(ExitCode::SUCCESS)
        }
        ProcessName::Probe => probe::probe(home, probe),
        ProcessName::Editor => {
            approvals::serve_editor(home)?;
            Ok(ExitCode::SUCCESS)
        }
        ProcessName::Mesh => {
            if let Some(users) = Users::load(home)? {
                users.check_process("mesh", users.mesh)?;
            }
            mesh_process(home, shell::identity::role(home)?, run)
        }
        ProcessName::Senses => senses_process(home),
        ProcessName::Program => program_process(home, args),
        ProcessName::ProgramKeeper => {
            walls::keep_memory()?;
            program_keeper::keep(home)?;
            Ok(ExitCode::SUCCESS)
        }
        ProcessName::SchemaCheck => {
            schema_check::answer(home)?;
            Ok(ExitCode::SUCCESS)
        }
        ProcessName::Executor => {
            if let Some(users) = Users::load(home)? {
                users.check_process("executor", users.executor)?;
            }
            let ended = executor_process(home);
            if let Err(error) = &ended {
                handed_in::note_end(home, error);
            }
            ended
        }
    }
}

/// Refuses programs that would be kept out of another vault than that of this run.
fn check_programs(home: &Home, config: &Config, vault: Option<&Path>) -> Result<()> {
    shell::brain::check_settings(home, config)?;
    let is_another = vault.is_some_and(|vault| !shell::places::is_same(vault, &config.vault));
    let has_programs = || {
        Ok::<_, anyhow::Error>(
            config.brain.kind == BrainKind::Command || !config.watcher.is_empty() || declared(home)?.starts_programs(),
        )
    };
    if is_another && has_programs()? {
        let message =
            "--vault names another vault than config.toml, and programs of yours are kept out of the one there";
        return Err(Fault::refused("vault", message, "Set `vault` in config.toml.").into());
    }
    Ok(())
}

fn program_process(home: &Home, args: &ProcessArgs) -> Result<ExitCode> {
    let program = Program {
        command: args.command.clone(),
        env: BTreeMap::new(),
        own: args.own.clone().context("--own is missing")?,
        reads: args.reads.clone(),
        writes: args.writes.clone(),
        has_tools: args.tools,
        changes_rights: args.rights,
    };
    match become_program(home, program) {
        Ok(never) => match never {},
        Err(error) => {
            print::failure(&error, false);
            Ok(ExitCode::from(NOT_STARTED))
        }
    }
}

fn senses_process(home: &Home) -> Result<ExitCode> {
    if let Some(users) = Users::load(home)? {
        users.check_process("senses", users.person)?;
    }
    walls::keep_memory()?;
    let config = shell::settings::load(home)?;
    senses::check_settings(home, &config, shell::identity::role(home)?)?;
    aiemp_keys::private_file::create_private_dir(&home.watchers())?;
    warn_without_landlock("senses", senses::confined(home, &config).enter()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(senses::run(home, &config))?;
    Ok(ExitCode::SUCCESS)
}

fn executor_process(home: &Home) -> Result<ExitCode> {
    walls::keep_memory()?;
    let me = shell::identity::own_id(home)?;
    let config = shell::settings::load(home)?;
    let declared = declared(home)?;
    let wall = Wall::executor(home, &config, &declared);
    // Before the wall, behind which nothing can be started.
    let keeper = declared.starts_programs().then(|| ProgramKeeper::start(home)).transpose()?;
    warn_of_missing(&wall, home)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(executor::run(home, me, keeper))?;
    Ok(ExitCode::SUCCESS)
}

fn mesh_process(home: &Home, role: Role, args: &RunArgs) -> Result<ExitCode> {
    let mut config = shell::settings::load(home)?;
    check_programs(home, &config, args.vault.as_deref())?;
    if let Some(vault) = &args.vault {
        config.vault = std::path::absolute(vault)?;
        shell::places::check_apart(home.path(), &config.vault)?;
    }
    if !args.listen.is_empty() {
        config.listen.clone_from(&args.listen);
    }
    remember_announced(home, &args.announce)?;
    walls::keep_memory()?;
    shell::cloud_secrets::environment(home, &config.brain)
        .map_err(|error| Fault::refused("brain_env", error.to_string(), "`[brain] env` in config.toml names it."))?;
    let mail_in = Sources::of(home, &config, role)?;
    let signer = shell::identity::load(home)?;
    // Later on a folder that is missing is a vault that is away, and an empty one in its place would look like it.
    if !home.store().exists() {
        std::fs::create_dir_all(&config.vault)?;
    }
    // Before the wall, behind which nothing can be started.
    let keeper = screen::Keeper::start(home)?;
    let programs = (config.brain.kind == BrainKind::Command).then(|| ProgramKeeper::start(home)).transpose()?;
    warn_of_missing(&Wall::Mesh { vault: config.vault.clone() }, home)?;
    give_back_while_idle();
    let options = MeshOptions { home: home.clone(), config, role, signer, mail_in, programs };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(mesh::run(options, keeper))?;
    // Long enough for what was started to be ended. Threads that block on the disk do not hold up the end; what mattered
    // is durable.
    runtime.shutdown_timeout(WIND_DOWN);
    Ok(match ended {
        Ended::Stopped => ExitCode::SUCCESS,
        Ended::StartsAgain => ExitCode::from(supervisor::STARTS_AGAIN),
    })
}

/// What is freed goes back to the system also while nothing happens: a thread of the allocator sees to it, which is walled in
/// as this one is. A static program has none.
fn give_back_while_idle() {
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        tracing::debug!(%error, "memory goes back only when more is asked for");
    }
}

/// The hands that the executor goes by; none before there is a roster, without which it does not run.
pub(super) fn declared(home: &Home) -> Result<Hands> {
    let Some(rosters) = shell::rosters::load(home)? else { return Ok(Hands::default()) };
    Ok(shell::declared::load(&home.executor_hands(), rosters.current())?.1)
}

fn warn_of_missing(wall: &Wall, home: &Home) -> Result<()> {
    let standing = wall.raise(home)?;
    warn_without_landlock(wall.as_str(), standing.landlock);
    if !standing.calls {
        tracing::warn!(process = wall.as_str(), "boundary off: this kernel filters no system calls");
    }
    Ok(())
}

fn warn_without_landlock(process: &str, landlock: Option<u8>) {
    if landlock.is_none() {
        tracing::warn!(process, "boundary off: this kernel has no landlock of version 2 or newer; see `doctor`");
    }
}

/// Keeps what `--announce` says for `pair invite`, which is another process.
fn remember_announced(home: &Home, announce: &[String]) -> Result<()> {
    let mut text = String::new();
    for host in announce {
        let address = addresses::announced(host)
            .map_err(|error| Fault::usage(error.to_string(), "Give --announce HOST or HOST:PORT."))?;
        text.push_str(&format!("{address}\n"));
    }
    Ok(aiemp_keys::private_file::write_private(&home.announced(), text.as_bytes())?)
}

fn mesh_arguments(args: &RunArgs) -> Vec<String> {
    let mut arguments = Vec::new();
    if let Some(vault) = &args.vault {
        arguments.extend(["--vault".to_owned(), vault.to_string_lossy().into_owned()]);
    }
    arguments.extend(args.announce.iter().flat_map(|host| ["--announce".to_owned(), host.clone()]));
    arguments.extend(args.listen.iter().flat_map(|address| ["--listen".to_owned(), address.clone()]));
    arguments
}

/// The role is only a request: what the roster says stands.
fn check_role(home: &Home, role: RoleArg) -> Result<()> {
    let actual = shell::identity::role(home)?;
    if actual == role.role() {
        return Ok(());
    }
    let message = format!("this home belongs to a {} node, not a {} one", actual.as_str(), role.role().as_str());
    let fix = format!("Start it with --role {}, or give the other node's --home.", actual.as_str());
    Err(Fault::refused("role", message, fix).into())
}

/// Logs to stderr; `AIEMP_LOG` says how much, in the form of tracing's directives.
fn log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("AIEMP_LOG").unwrap_or_else(|_| EnvFilter::new("info,libp2p=warn"));
    // It would say what servers say, and they know secrets.
    let filter = filter.add_directive("rmcp=off".parse().expect("a directive"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(mesh::log_writer).with_target(false);
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    // A node lives on when nobody reads its log any more; to say so there would end it.
    // A second subscriber in one process can only come from a test; the first one stays.
    log.with_ansi(terminal).log_internal_errors(false).try_init().ok();
}
