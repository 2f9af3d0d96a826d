//! `hands tools`: starts MCP servers as the executor would, and prints the lines by which their tools are declared.

use std::{
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{ExitCode, Stdio},
    time::Duration,
};

use aiemp_protocol::{action::spelt, roster::Roster};
use anyhow::{Context as _, Result};
use rmcp::{ServiceExt as _, model::Tool};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    time::timeout,
};

use super::{print, read};
use crate::{
    executor::{mcp_http::McpService, secrets},
    fault::Fault,
    hands::{SERVER_BYTES_MAX, Server, ServerAt, schema_digest},
    home::Home,
    shell::{process_group::ProcessGroup, program::Program, program_keeper::program_of, users::Users},
};

/// How long one that was asked may take to end.
const END: Duration = Duration::from_secs(2);
/// How much of a description is shown.
const ABOUT_CHARS_MAX: usize = 100;

pub(super) fn tools(home: &Home, roster: &Roster, file: &Path, only: Option<&str>) -> Result<ExitCode> {
    let (_, hands) = read(file)?;
    let servers: Vec<_> = hands.servers().filter(|server| only.is_none_or(|only| only == server.name)).collect();
    if servers.is_empty() {
        let what = only.map_or_else(|| "no [mcp.NAME] table".to_owned(), |only| format!("no table [mcp.{only}]"));
        let fix = "Write one with at least `command`; docs/hands.md has an example.";
        return Err(Fault::operator("hands_file", format!("{} has {what}", file.display()), fix).into());
    }
    if let Some(users) = Users::load(home)? {
        // It reads credentials and starts programs: as their executor, and not as root.
        users.check_process("executor, which alone starts servers,", users.executor)?;
        let found = file.metadata().with_context(|| format!("cannot look at {}", file.display()))?;
        if ![0, users.executor.uid].contains(&found.uid()) || found.mode() & 0o022 != 0 {
            let message =
                format!("{} is not root's alone: what it names gets the secrets that it names", file.display());
            let fix = "Look at it, make it root's (`sudo install -m 0644 FILE /root-owned/FILE`), and name that one.";
            return Err(Fault::refused("hands_file", message, fix).into());
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut all_answered = true;
    for server in servers {
        match runtime.block_on(listed(home, roster, server)) {
            Ok(tools) => print_tools(server, &tools),
            Err(error) => {
                all_answered = false;
                print::talk(format!("mcp.{}: {error:#}", server.name));
            }
        }
    }
    Ok(ExitCode::from(u8::from(!all_answered)))
}

fn print_tools(server: &Server, tools: &[Tool]) {
    print::data(format!("[mcp.{}.tools]", server.name));
    for tool in tools {
        let about: String = tool.description.as_deref().unwrap_or_default().chars().take(ABOUT_CHARS_MAX).collect();
        let digest = schema_digest(&tool.name, &tool.input_schema);
        let about = spelt(about.lines().next().unwrap_or_default().trim()).to_string();
        // A key of TOML in quotes is written as a string of JSON.
        print::data(format!("# {about}\n{} = \"{digest}\"", serde_json::Value::from(tool.name.as_ref())));
    }
    let changed = server.tools.iter().filter(|(name, digest)| {
        let now = tools.iter().find(|tool| tool.name == name.as_str());
        now.is_none_or(|tool| schema_digest(&tool.name, &tool.input_schema) != **digest)
    });
    for (name, _) in changed {
        print::talk(format!("mcp.{}: `{name}` is not what the file declares any more", server.name));
    }
}

/// What a server says that it has.
async fn listed(home: &Home, roster: &Roster, server: &Server) -> Result<Vec<Tool>> {
    let secrets = secrets::of_server(home, roster, server)?;
    match &server.at {
        ServerAt::Program(program) => {
            of_program(program_of(home, (&server.name, program), &secrets), home, server.timeout).await
        }
        ServerAt::Address(address) => {
            let listing = async {
                let mut service = McpService::open(address, &secrets, server.timeout).await?;
                let tools = service.list_tools().await;
                service.end().await;
                tools
            };
            let listed = timeout(server.timeout, listing).await.ok().with_context(|| late(server.timeout))?;
            listed.map_err(|fault| anyhow::anyhow!("{}", spelt(fault)))
        }
    }
}

fn late(time: Duration) -> String {
    format!("it did not answer within {} s", time.as_secs())
}

/// What it says on stderr is seen.
async fn of_program(program: Program, home: &Home, time: Duration) -> Result<Vec<Tool>> {
    let mut command = tokio::process::Command::from(program.command(home)?);
    // Not this terminal itself, into which it could type.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().context("it cannot be started")?;
    let _group = ProcessGroup::of(&child);
    let stdin = child.stdin.take().context("it has no stdin")?;
    let stdout = child.stdout.take().context("it has no stdout")?.take(SERVER_BYTES_MAX);
    let stderr = child.stderr.take().context("it has no stderr")?;
    tokio::spawn(async move {
        let mut lines = BufReader::new(stderr.take(SERVER_BYTES_MAX)).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            print::talk(spelt(&line));
        }
    });
    let listing = async {
        let client = ().serve((stdout, stdin)).await.context("it does not answer as an MCP server")?;
        let tools = client.list_all_tools().await.context("it names no tools")?;
        timeout(END, client.cancel()).await.ok();
        anyhow::Ok(tools)
    };
    timeout(time, listing).await.ok().with_context(|| late(time))?
}
