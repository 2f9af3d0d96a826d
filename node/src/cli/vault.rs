//! `vault`: which folder it is.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::{approvals::client, print};
use crate::{
    fault::Fault,
    home::Home,
    shell::control::{Request, Response, unexpected},
};

#[derive(Debug, Subcommand)]
pub(super) enum VaultCommand {
    /// Take the folder that lies at the vault's path now for the vault: the node writes all files into it
    Fill,
}

pub(super) fn vault(home: &Home, command: &VaultCommand) -> Result<ExitCode> {
    match command {
        VaultCommand::Fill => fill(home),
    }
}

fn fill(home: &Home) -> Result<ExitCode> {
    let answer = client(home)?.ask(&Request::FillVault)?;
    if let Response::BadRequest { message } = answer {
        let fix = "Nothing was changed; `aiemp-node status` says how the vault is.";
        return Err(Fault::operator("not_filled", message, fix).into());
    }
    let Response::Done = answer else { return Err(unexpected()) };
    print::data("the node starts again and fills the folder");
    Ok(ExitCode::SUCCESS)
}
