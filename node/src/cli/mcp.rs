//! `mcp`: tools for agents, on stdin and stdout or over HTTP.

use std::{
    io::{self, IsTerminal as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use aiemp_keys::{Secret, private_file, random};
use aiemp_protocol::{ids::WorkId, roster::Role};
use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use data_encoding::HEXLOWER;
use rmcp::{ServiceExt as _, transport::stdio};

use super::{owner, print};
use crate::{
    fault::Fault,
    home::Home,
    mcp::{Door, PATH, Tools, serve_http},
    shell,
};

#[derive(Debug, Args)]
pub(super) struct McpArgs {
    /// What the agent may read
    #[arg(long, value_enum, default_value_t = CeilingArg::Shared)]
    ceiling: CeilingArg,
    /// For one task alone, by its work id
    #[arg(long, value_name = "ID")]
    work: Option<String>,
    /// Serve over HTTP at this address of this machine, instead of stdin and stdout
    #[arg(long, value_name = "ADDRESS", requires = "token_file")]
    listen: Option<SocketAddr>,
    /// Where the token lies that callers have to give; made if there is none
    #[arg(long, value_name = "FILE", requires = "listen")]
    token_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CeilingArg {
    /// No private notes; plans, drafts and updates that every member may read
    Shared,
    /// All notes, on Local; it writes notes that only Local nodes read, and drafts nothing
    Private,
}

pub(super) fn mcp(home: &Home, args: &McpArgs) -> Result<ExitCode> {
    let config = shell::settings::load(home)?;
    let is_private = args.ceiling == CeilingArg::Private;
    if is_private && role(home)? == Some(Role::Cloud) {
        let message = "a Cloud node has no private notes";
        return Err(Fault::refused("ceiling", message, "Leave --ceiling out here; private notes are on Local.").into());
    }
    let work = args.work.as_deref().map(parse_work).transpose()?;
    let door = Door::new(home.clone(), config.vault, is_private, work);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        match (args.listen, &args.token_file) {
            (Some(address), Some(file)) => {
                let token = token(file)?;
                let ready = |address| {
                    let file = file.display();
                    print::talk(format!("ready: http://{address}{PATH}, for callers that give the token in {file}"));
                };
                serve_http(address, token, door, ready).await
            }
            (Some(_) | None, _) => {
                if io::stdin().is_terminal() {
                    print::talk(
                        "An agent speaks to this on stdin; docs/agents.md says how it is set up. Ctrl-C ends it.",
                    );
                }
                let server = Tools::new(door).serve(stdio()).await.map_err(|error| {
                    let message = format!("no agent spoke MCP on stdin: {error}");
                    Fault::operator("no_agent", message, "Have the agent start this command, or give --listen.")
                })?;
                server.waiting().await.context("the server failed")?;
                Ok(())
            }
        }
    })?;
    // A reader of stdin may wait in a thread of its own.
    runtime.shutdown_background();
    Ok(ExitCode::SUCCESS)
}

fn role(home: &Home) -> Result<Option<Role>> {
    let node = shell::identity::own_id(home)?;
    Ok(owner::rosters(home)?.current().member(node).map(|member| member.role))
}

fn parse_work(text: &str) -> Result<WorkId, Fault> {
    let fix = "Give the 64 hex digits that the tool `claim_task` or `aiemp-node claims list --json` tells.";
    text.parse().map_err(|_| Fault::usage(format!("`{text}` is no work id"), fix))
}

fn token(file: &Path) -> Result<Secret<String>> {
    if !file.exists() {
        let token = HEXLOWER.encode(&random::array::<32>()?);
        private_file::create_private(file, format!("{token}\n").as_bytes())?;
    }
    let bytes = private_file::read_private(file)?;
    let text =
        std::str::from_utf8(bytes.expose()).with_context(|| format!("the token in {} is no text", file.display()))?;
    let token = text.trim();
    anyhow::ensure!(
        token.len() >= 32,
        "the token in {} is shorter than 32 characters: remove the file",
        file.display()
    );
    Ok(Secret::new(token.to_owned()))
}
