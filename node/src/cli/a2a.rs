//! `a2a`: what another member says of the tasks that this node announced to it.

use std::process::ExitCode;

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
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            print::data(format!("{}  {}", &text(&task["id"])[..12], text(&task["status"]["state"])));
        }
    }
    Ok(ExitCode::SUCCESS)
}
