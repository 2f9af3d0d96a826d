//! `audit`: what was done on this node, whether the record stands, and taking it elsewhere.

use std::process::ExitCode;

use aiemp_keys::PublicKey;
use aiemp_protocol::action::spelt;
use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use super::print;
use crate::{
    audit::{self, AuditError, Verified},
    home::Home,
    shell,
};

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Every line, the oldest first
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Whether every log stands as it was written; exits 1 where one does not
    Verify {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// The lines as they were written, one JSON object a line, to keep elsewhere
    Export,
}

pub(super) fn audit(home: &Home, command: &AuditCommand) -> Result<ExitCode> {
    let logs = logs(home)?;
    match command {
        AuditCommand::Show { json } => show(&logs, *json),
        AuditCommand::Verify { json } => return Ok(verify(&logs, *json)),
        AuditCommand::Export => {
            for log in &logs {
                log.standing()?.lines.iter().for_each(print::data);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The log of one process, checked.
struct Log {
    process: &'static str,
    standing: Result<Verified, AuditError>,
}

impl Log {
    fn standing(&self) -> Result<&Verified> {
        self.standing.as_ref().map_err(|error| anyhow::anyhow!("the log of the {} process: {error}", self.process))
    }
}

fn logs(home: &Home) -> Result<Vec<Log>> {
    let mut keys = vec![("mesh", *shell::identity::own_id(home)?.key())];
    if let Some(key) = shell::identity::receipt_key(home, shell::identity::role(home)?)? {
        keys.push(("executor", key));
    }
    let checked = |(process, key): (&'static str, PublicKey)| Log {
        process,
        standing: audit::verify(&home.audit(), process, &key),
    };
    Ok(keys.into_iter().map(checked).collect())
}

fn show(logs: &[Log], as_json: bool) {
    let mut lines: Vec<Value> = Vec::new();
    for log in logs {
        match log.standing() {
            Ok(standing) => lines.extend(standing.lines.iter().filter_map(|line| serde_json::from_str(line).ok())),
            Err(error) => print::talk(format!("error: {error}")),
        }
    }
    lines.sort_by_key(|line| line["timestamp"].as_str().unwrap_or_default().to_owned());
    if as_json {
        return print::json(json!({ "items": lines }));
    }
    for line in &lines {
        // The mesh signs its own log, and files are named by whoever made them.
        let field = |name: &str| spelt(line[name].as_str().unwrap_or_default());
        let result = field("result");
        print::data(format!(
            "{}  {:<8}  {:<18}  {result:<10}  {}",
            field("timestamp"),
            field("actor"),
            field("action_type"),
            field("target")
        ));
    }
}

fn verify(logs: &[Log], as_json: bool) -> ExitCode {
    if as_json {
        let item = |log: &Log| match &log.standing {
            Ok(standing) => json!({ "log": log.process, "ok": true, "lines": standing.lines.len(),
                "head": standing.head.map(|head| head.to_string()) }),
            Err(error) => {
                let line = if let AuditError::BrokenAt(broken) = error { Some(broken.line) } else { None };
                json!({ "log": log.process, "ok": false, "line": line, "why": error.to_string() })
            }
        };
        print::json(json!({ "items": logs.iter().map(item).collect::<Vec<_>>() }));
    } else {
        for log in logs {
            match &log.standing {
                Ok(Verified { lines, head }) => {
                    let head = head.map_or_else(|| "nothing yet".to_owned(), |head| format!("ends with {head}"));
                    print::data(format!("ok      {:<8}  {} lines, {head}", log.process, lines.len()));
                }
                Err(error) => print::data(format!("BROKEN  {:<8}  {error}", log.process)),
            }
        }
    }
    if logs.iter().all(|log| log.standing.is_ok()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
