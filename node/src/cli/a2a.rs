//! `a2a`: what another member says of the tasks that this node announced to it.

use std::process::ExitCode;

use aiemp_protocol::action::spelt;
use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{approvals::client, print};
use crate::{
    fault::Fault,
    home::Home,
    shell::control::{Request, Response, unexpected},
};

#[derive(Debug, Subcommand)]
pub(super) enum A2aCommand {
    /// Ask a connected member for the tasks that this node announced to it, newest first
    Tasks {
        /// The member's name
        peer: String,
        /// Print JSON, each task as A2A writes it
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn a2a(home: &Home, command: A2aCommand) -> Result<ExitCode> {
    let A2aCommand::Tasks { peer, json: as_json } = command;
    let answer = client(home)?.ask(&Request::Tasks { peer })?;
    if let Response::BadRequest { message } = answer {
        let fix = "Look at `aiemp-node status` for who is connected.";
        return Err(Fault::operator("no_answer", message, fix).into());
    }
    let Response::Tasks { tasks } = answer else { return Err(unexpected()) };
    if as_json {
        print::json(json!({ "items": tasks }));
    } else {
        for task in &tasks {
            print::data(line_of(task));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The task as a member tells it, which may tell anything.
fn line_of(task: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let id: String = text(&task["id"]).chars().take(12).collect();
    format!("{}  {}", spelt(&id), spelt(text(&task["status"]["state"])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_member_tells_steers_no_terminal() {
        let task = json!({ "id": "\u{1b}[2J", "status": { "state": "a\u{202e}b" } });
        assert_eq!(line_of(&task), "[U+001B ESCAPE][2J  a[U+202E RIGHT-TO-LEFT OVERRIDE]b");
    }
}
