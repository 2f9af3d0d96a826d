//! The command line: one file per command. stdout is data, stderr is talk.

use std::{path::PathBuf, process::ExitCode};

use clap::{
    Args, CommandFactory as _, Parser, Subcommand, ValueEnum,
    error::{ContextKind, ContextValue},
};

use crate::{
    fault::Fault,
    home::Home,
    shell::{users, walls},
};

mod a2a;
mod approvals;
mod audit;
mod claims;
mod config;
mod conflicts;
mod demo;
mod doctor;
mod egress;
mod freeze;
mod hands;
mod history;
mod init;
mod mcp;
mod owner;
mod pair;
mod peers;
mod policy;
mod print;
mod probe;
mod run;
mod secrets;
mod selftest;
mod service;
mod skills;
mod status;
mod terminal;
mod undo;
mod vault;
mod watcher;

/// A peer-to-peer agent mesh for a personal AI employee: Cloud drafts, Local approves and sends once.
#[derive(Debug, Parser)]
#[command(name = "aiemp-node", version, max_term_width = 110)]
pub struct Cli {
    /// The node's home directory [default: $AIEMP_HOME, else ~/.local/state/aiemp-node]
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    #[command(flatten)]
    run: RunArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

/// How a node runs.
#[derive(Clone, Debug, Default, Args)]
struct RunArgs {
    /// Run the node in the foreground in this role; stderr says "ready"
    #[arg(long, value_enum)]
    role: Option<RoleArg>,
    /// The vault, instead of the one in config.toml
    #[arg(long, value_name = "DIR")]
    vault: Option<PathBuf>,
    /// Listen here, instead of where config.toml says; may be repeated
    #[arg(long, value_name = "MULTIADDR")]
    listen: Vec<String>,
    /// The address others reach this node under; goes into tickets
    #[arg(long, value_name = "HOST[:PORT]")]
    announce: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleArg {
    /// Watches and drafts, around the clock.
    Cloud,
    /// Holds approval, sending and every secret.
    Local,
}

impl RoleArg {
    const fn role(self) -> aiemp_protocol::roster::Role {
        match self {
            Self::Cloud => aiemp_protocol::roster::Role::Cloud,
            Self::Local => aiemp_protocol::roster::Role::Local,
        }
    }
}

/// Where a passphrase comes from when it is not asked for.
#[derive(Clone, Debug, Default, Args)]
struct Passphrase {
    /// Read the passphrase from the first line of this file
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new node: keys, settings, and on Local a new mesh
    Init(init::InitArgs),
    /// Make two nodes trust each other
    #[command(subcommand)]
    Pair(pair::PairCommand),
    /// Who is in the mesh
    #[command(subcommand)]
    Peers(peers::PeersCommand),
    /// Read, approve or reject what would be sent
    Approvals(approvals::ApprovalsArgs),
    /// Places where merging may not be what you meant, and notes whose active content waits
    Conflicts(conflicts::ConflictsArgs),
    /// Who has which work in hand
    #[command(subcommand)]
    Claims(claims::ClaimsCommand),
    /// Passwords that the executor, or a Cloud node itself, needs, and canaries; read from the terminal or stdin, never
    /// from the command line
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    /// What the guard holds back from other machines, and letting it out
    #[command(subcommand)]
    Egress(egress::EgressCommand),
    /// Limits on what may be sent: how many, how much, to whom, when
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// What may be called over HTTP to post, to pay and to act: nothing that is not declared here
    #[command(subcommand)]
    Hands(hands::HandsCommand),
    /// What was done to a file, what it said at a time, and getting that back
    History(history::HistoryArgs),
    /// Take back what a member did since some time
    Undo(undo::UndoArgs),
    /// What was done here: lines that are chained and signed, kept for 90 days
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Stop everything at once: nothing is sent, claimed or drafted. Needs no passphrase
    Freeze,
    /// Let the mesh go on
    Unfreeze {
        /// Lift a freeze of a time to come, too: a clock of yours was ahead when it was made
        #[arg(long)]
        clock_was_ahead: bool,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Tools for an agent (MCP): read tasks and notes, plan, and leave drafts. None approves or sends
    Mcp(mcp::McpArgs),
    /// Programs that tell the node what they see
    #[command(subcommand)]
    Watcher(watcher::WatcherCommand),
    /// Agent Skills for whoever works by those tools: triage, draft-reply, plan, briefing, weekly-audit
    #[command(subcommand)]
    Skills(skills::SkillsCommand),
    /// Talk to another member as agents do
    #[command(subcommand)]
    A2a(a2a::A2aCommand),
    /// The settings in force
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// The version of this binary
    Version,
    /// How the node is
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Look for trouble; each finding says what to do
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Mend a damaged store, without what no other node has any more; the node must not run
        #[arg(long, conflicts_with = "json")]
        repair: bool,
    },
    /// The vault's folder
    #[command(subcommand)]
    Vault(vault::VaultCommand),
    /// How the node is installed
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// Attacks on this program, on this machine, each with what should come of it
    Selftest(selftest::SelftestArgs),
    /// The whole story on this machine: two nodes in a temporary folder, one mail, sent once
    Demo(demo::DemoArgs),
    /// One of the node's processes; the node starts them itself
    #[command(hide = true)]
    Process(run::ProcessArgs),
}

impl Cli {
    /// Runs the command and answers the exit code.
    pub fn main() -> ExitCode {
        let cli = Self::try_parse().unwrap_or_else(|error| without_hidden(error).exit());
        let json = std::env::args().any(|argument| argument == "--json");
        match cli.dispatch() {
            Ok(code) => print::finish(code),
            Err(error) => print::failure(&error, json),
        }
    }

    fn dispatch(self) -> anyhow::Result<ExitCode> {
        // Most commands read a key, and none has reason to be looked into.
        walls::keep_memory()?;
        let home = self.home()?;
        users::adopt(&home)?;
        match self.command {
            None => run::run(&home, &self.run),
            Some(Command::Init(args)) => init::init(&home, &args),
            Some(Command::Pair(command)) => pair::pair(&home, command),
            Some(Command::Peers(command)) => peers::peers(&home, command),
            Some(Command::Approvals(args)) => approvals::approvals(&home, args),
            Some(Command::Conflicts(args)) => conflicts::conflicts(&home, args),
            Some(Command::Claims(command)) => claims::claims(&home, &command),
            Some(Command::Secrets(command)) => secrets::secrets(&home, command),
            Some(Command::Egress(command)) => egress::egress(&home, command),
            Some(Command::Policy(command)) => policy::policy(&home, &command),
            Some(Command::Hands(command)) => hands::hands(&home, &command),
            Some(Command::History(args)) => history::history(&home, &args),
            Some(Command::Undo(args)) => undo::undo(&home, &args),
            Some(Command::Vault(command)) => vault::vault(&home, &command),
            Some(Command::Audit(command)) => audit::audit(&home, &command),
            Some(Command::Freeze) => freeze::freeze(&home),
            Some(Command::Unfreeze { clock_was_ahead, passphrase }) => {
                freeze::unfreeze(&home, clock_was_ahead, &passphrase)
            }
            Some(Command::Mcp(args)) => mcp::mcp(&home, &args),
            Some(Command::Watcher(command)) => watcher::watcher(&home, &command),
            Some(Command::Skills(command)) => skills::skills(&home, &command),
            Some(Command::A2a(command)) => a2a::a2a(&home, command),
            Some(Command::Config(command)) => config::config(&home, command),
            Some(Command::Version) => {
                print::data(format!("aiemp-node {}", env!("CARGO_PKG_VERSION")));
                Ok(ExitCode::SUCCESS)
            }
            Some(Command::Status { json }) => status::status(&home, json),
            Some(Command::Doctor { json, repair }) => doctor::doctor(&home, json, repair),
            Some(Command::Service(command)) => service::service(&home, &command),
            Some(Command::Selftest(args)) => selftest::selftest(&args),
            Some(Command::Demo(args)) => demo::demo(&args),
            Some(Command::Process(args)) => run::process(&home, &args),
        }
    }

    fn home(&self) -> Result<Home, Fault> {
        let path = self.home.clone().or_else(Home::default_path).ok_or_else(|| {
            Fault::operator("no_home", "neither --home nor $HOME says where the node lives", "Give --home DIR.")
        })?;
        let path = std::path::absolute(&path).unwrap_or(path);
        Ok(Home::at(path))
    }
}

/// A tip for a command that was mistyped names none that is hidden.
fn without_hidden(mut error: clap::Error) -> clap::Error {
    let command = Cli::command();
    let is_hidden = |name: &String| command.find_subcommand(name).is_some_and(clap::Command::is_hide_set);
    if let Some(ContextValue::Strings(mut names)) = error.remove(ContextKind::SuggestedSubcommand) {
        names.retain(|name| !is_hidden(name));
        if !names.is_empty() {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(names));
        }
    }
    error
}

/// Lines of the one text that the other lacks, and the other way round.
fn difference(before: &str, after: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let gone = old.iter().filter(|line| !new.contains(line)).map(|line| format!("- {line}"));
    let come = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {line}"));
    gone.chain(come).collect::<Vec<_>>().join("\n")
}

/// As [`difference`], of tables: each line is told with its own, for under another one it says something else.
fn difference_of_tables(before: &str, after: &str) -> String {
    let told = |text: &str| {
        let (mut table, mut lines) = (String::new(), Vec::new());
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if line.starts_with('[') {
                line.clone_into(&mut table);
                lines.push(line.to_owned());
            } else {
                lines.push(format!("{table} {line}").trim_start().to_owned());
            }
        }
        lines.join("\n")
    };
    let difference = difference(&told(before), &told(after));
    difference.lines().map(aiemp_protocol::action::spelt).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_to_another_table_is_a_difference() {
        let (one, other) = ("[a]\nx = 1\n\n[b]\nx = 2\n", "[a]\nx = 2\n[b]\nx = 1\n");
        assert_eq!(difference(one, other), "- ");
        let told = difference_of_tables(one, other);
        assert_eq!(told, "- [a] x = 1\n- [b] x = 2\n+ [a] x = 2\n+ [b] x = 1");
        assert_eq!(difference_of_tables(one, one), "");
    }
}
