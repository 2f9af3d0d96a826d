//! Claude Code, without a terminal: how it is called, and what its answer says. As of its version 2: `claude -p` with
//! `--output-format json`, whose exit code says little; a refused permission and a server that failed end with 0.

use std::{ffi::OsString, path::Path};

use aiemp_keys::private_file;
use aiemp_protocol::{ids::WorkId, time::Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::{Call, fault};
use crate::{
    config::Brain,
    core::{BrainFault, BrainRun, FaultClass, Used},
    home::Home,
};

/// What the program is called when the settings name none.
const PROGRAM: &str = "claude";
/// The name under which it knows our tools.
const SERVER: &str = "aiemp";

/// The program with its own home and an empty folder to work in, no tools but ours, and those for one task alone.
pub(super) fn call(home: &Home, settings: &Brain, work: WorkId) -> Result<Call, String> {
    let (own_home, folder) = (home.brain_home(), home.brain_work());
    for path in [&home.brain(), &own_home, &folder] {
        if !path.exists() {
            private_file::create_private_dir(path).map_err(|error| error.to_string())?;
        }
    }
    let us = std::env::current_exe().map_err(|error| format!("cannot tell where this program lies: {error}"))?;
    let mut words: Vec<OsString> = settings.command.iter().map(OsString::from).collect();
    if words.is_empty() {
        words.push(PROGRAM.into());
    }
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
    words.extend(more.map(OsString::from));
    if let Some(dollars) = settings.budget.dollars_per_day {
        words.extend(["--max-budget-usd".to_owned(), dollars.to_string()].map(OsString::from));
    }
    words.extend(["--mcp-config", &servers, "--allowedTools", &tools].map(OsString::from));
    let environment = [
        ("HOME", own_home.clone().into_os_string()),
        ("CLAUDE_CONFIG_DIR", own_home.join(".claude").into_os_string()),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".into()),
        ("DISABLE_AUTOUPDATER", "1".into()),
        // We try again later ourselves, and without holding a run for it.
        ("CLAUDE_CODE_MAX_RETRIES", "2".into()),
        // The first answer waits until our tools are there.
        ("MCP_CONNECTION_NONBLOCKING", "0".into()),
    ];
    Ok(Call { words, folder: Some(folder), environment: environment.into() })
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
