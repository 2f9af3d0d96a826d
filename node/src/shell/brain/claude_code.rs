//! Claude Code, without a terminal: how it is called, and what its answer says. As of its version 2: `claude -p` with
//! `--output-format json`, whose exit code says little; a refused permission and a server that failed end with 0.

use std::path::{Path, PathBuf};

use aiemp_protocol::{ids::WorkId, time::Timestamp};
use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use super::fault;
use crate::{
    config::Config,
    core::{BrainFault, BrainRun, FaultClass, Used},
    home::Home,
    shell::{places, program::Program},
};

/// What the program is called when the settings name none.
const PROGRAM: &str = "claude";
/// The name under which it knows our tools.
const SERVER: &str = "aiemp";

/// The program without a terminal, no tools but ours, and those for one task alone.
pub(super) fn set_up(program: &mut Program, home: &Home, config: &Config, work: WorkId) -> Result<()> {
    let us = std::env::current_exe().context("cannot tell where this program lies")?;
    if program.command.is_empty() {
        program.command.push(PROGRAM.to_owned());
    }
    let package = program.command.first().and_then(|name| package_of(name));
    program.reads.extend(package.filter(|folder| places::is_outside(folder, home.path(), &config.vault)));
    let tools = format!("mcp__{SERVER}");
    let servers = servers(&us, home.path(), work);
    let more = [
        "-p",
        "--output-format",
        "json",
        "--tools",
        "",
        "--setting-sources",
        "",
        "--strict-mcp-config",
        "--no-session-persistence",
    ];
    program.command.extend(more.map(str::to_owned));
    if let Some(dollars) = config.brain.budget.dollars_per_day {
        program.command.extend(["--max-budget-usd".to_owned(), dollars.to_string()]);
    }
    program.command.extend(["--mcp-config", &servers, "--allowedTools", &tools].map(str::to_owned));
    let settings = program.own.join(".claude");
    let environment = [
        ("CLAUDE_CONFIG_DIR", &*settings.to_string_lossy()),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
        // We try again later ourselves, and without holding a run for it.
        ("CLAUDE_CODE_MAX_RETRIES", "2"),
        // The first answer waits until our tools are there.
        ("MCP_CONNECTION_NONBLOCKING", "0"),
    ];
    program.env.extend(environment.map(|(variable, value)| (variable.to_owned(), value.to_owned())));
    Ok(())
}

/// What belongs to a program: the files that npm put beside it, or it alone; also where a link leads.
fn package_of(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())?;
    let real = found.canonicalize().ok()?;
    let modules = real.ancestors().find(|folder| folder.file_name().is_some_and(|name| name == "node_modules"));
    Some(modules.unwrap_or(&real).to_owned())
}

fn servers(us: &Path, home: &Path, work: WorkId) -> String {
    let arguments = ["--home".into(), home.to_string_lossy(), "mcp".into(), "--work".into(), work.to_string().into()];
    serde_json::json!({ "mcpServers": { SERVER: { "command": us.to_string_lossy(), "args": arguments } } }).to_string()
}

/// What it counts of tokens.
const TOKENS: [&str; 4] = ["input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"];

/// The one object that it prints at its end.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Printed {
    subtype: String,
    is_error: bool,
    api_error_status: Option<u16>,
    result: String,
    total_cost_usd: Value,
    usage: Value,
}

/// What it printed, told in words of ours: its own may quote a mail.
pub(super) fn read(output: &[u8]) -> Result<BrainRun, BrainFault> {
    let printed: Printed = serde_json::from_slice(output).map_err(|_| {
        fault(FaultClass::Transient, "it did not print the JSON of a headless run: run it once by hand")
    })?;
    let tokens = TOKENS.iter().filter_map(|kind| printed.usage[kind].as_u64());
    let used = Used {
        tokens: tokens.fold(0, u64::saturating_add),
        // What is no number, or below zero, becomes 0.
        cost: (printed.total_cost_usd.as_f64().unwrap_or_default() * 1_000_000.0).ceil() as u64,
    };
    if !printed.is_error && printed.subtype == "success" {
        return Ok(BrainRun { text: printed.result, used });
    }
    let (class, why) = classed(&printed);
    Err(BrainFault { used, ..fault(class, &why) })
}

fn classed(printed: &Printed) -> (FaultClass, String) {
    let text = printed.result.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let status = printed.api_error_status.unwrap_or_default();
    if status == 429 || says(&["limit reached"]) {
        return (FaultClass::Limit(until(&text)), "its provider says that a limit is reached".to_owned());
    }
    if matches!(status, 401..=403) || says(&["invalid api key", "/login", "credit balance"]) {
        let why = "its provider refuses the key or the account: check `[brain] env` and the secret it names";
        return (FaultClass::Authentication, why.to_owned());
    }
    if status >= 500 || says(&["connection", "network", "timed out"]) {
        return (FaultClass::Transient, "its provider could not be reached, or failed".to_owned());
    }
    let kind: String = printed.subtype.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(40).collect();
    (FaultClass::Logic, format!("it ended with an error ({kind})"))
}

/// The seconds since the epoch that stand after a bar.
fn until(text: &str) -> Option<Timestamp> {
    let digits: String = text.split_once('|')?.1.chars().take_while(char::is_ascii_digit).collect();
    digits.parse::<u64>().ok().map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: Option<u16>, result: &str) -> FaultClass {
        let printed = serde_json::json!({ "type": "result", "subtype": "success", "is_error": true,
            "api_error_status": status, "result": result });
        read(printed.to_string().as_bytes()).expect_err("an error").class
    }

    #[test]
    fn what_a_run_used_is_read_and_its_faults_are_told_apart() {
        let printed = r#"{"type":"result","subtype":"success","is_error":false,"result":"Done.","total_cost_usd":0.0123451,
            "usage":{"input_tokens":10,"cache_read_input_tokens":5,"output_tokens":7,"service_tier":"standard"},"num_turns":4}"#;
        let run = read(printed.as_bytes()).expect("it ended well");
        assert_eq!((run.text.as_str(), run.used), ("Done.", Used { tokens: 22, cost: 12_346 }));
        let limit = class(None, "Claude AI usage limit reached|1767781800");
        assert_eq!(limit, FaultClass::Limit(Some(Timestamp::from_millis(1_767_781_800_000))));
        assert_eq!(class(Some(429), "API Error: Request rejected (429)"), FaultClass::Limit(None));
        assert_eq!(class(None, "Not logged in · Please run /login"), FaultClass::Authentication);
        assert_eq!(class(Some(401), "API Error"), FaultClass::Authentication);
        assert_eq!(class(Some(529), "API Error: Overloaded"), FaultClass::Transient);
        assert_eq!(class(None, "something else"), FaultClass::Logic);
        assert_eq!(read(b"not JSON").expect_err("an error").class, FaultClass::Transient);
        let turns = read(br#"{"subtype":"error_max_turns","total_cost_usd":-1}"#).expect_err("an error");
        assert!(turns.why.contains("error_max_turns") && turns.used.cost == 0, "{turns:?}");
    }
}
