//! `secrets`: passwords for the executor. On Local the approve key signs each; on Cloud they are a kind of their own.

use std::{io::IsTerminal, process::ExitCode};

use aiemp_keys::Secret;
use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::{Passphrase, owner, print};
use crate::{
    executor::secrets,
    fault::Fault,
    home::Home,
    shell::{self, walls::Wall},
};

#[derive(Debug, Subcommand)]
pub(super) enum SecretsCommand {
    /// Store a secret, asked for at the terminal or read from stdin
    Add {
        /// What settings call it
        name: String,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// The names, never the values
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Forget a secret
    Remove {
        /// Its name
        name: String,
    },
}

pub(super) fn secrets(home: &Home, command: SecretsCommand) -> Result<ExitCode> {
    shell::settings::load(home)?;
    if !home.pinned_root().exists() {
        let message = "secrets that send belong on Local; this is a Cloud node";
        return Err(Fault::refused("role", message, "Run this on the Local node.").into());
    }
    match command {
        SecretsCommand::Add { name, passphrase } => add(home, &name, &passphrase)?,
        SecretsCommand::List { json: as_json } => {
            let names = secrets::list(home)?;
            if as_json {
                print::json(json!({ "items": names.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>() }));
            } else {
                names.iter().for_each(print::data);
            }
        }
        SecretsCommand::Remove { name } => {
            secrets::remove(home, &name)?;
            let mut known = shell::fingerprints::load(home)?;
            known.remove(&name);
            shell::fingerprints::store(home, &known)?;
            print::data(format!("removed {name}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn add(home: &Home, name: &str, passphrase: &Passphrase) -> Result<()> {
    let rosters = owner::rosters(home)?;
    let value = read_value(name)?;
    let keys = owner::unlock(home, passphrase, &Wall::Owner)?;
    let mut known = shell::fingerprints::load(home)?;
    known
        .add(name, value.expose().as_bytes())
        .map_err(|error| Fault::operator("too_short", error.to_string(), "A longer password is also a better one."))?;
    secrets::add(home, &keys.approve, rosters.current().mesh, name, &value)?;
    shell::fingerprints::store(home, &known)?;
    print::data(format!("stored {name}"));
    print::talk("A running node guards it from its next start on.");
    Ok(())
}

fn read_value(name: &str) -> Result<Secret<String>> {
    if std::io::stdin().is_terminal() {
        return owner::ask(&format!("Value of {name}: "));
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let value = line.trim_end_matches(['\r', '\n']).to_owned();
    if value.is_empty() {
        return Err(Fault::usage("stdin held no value", "Pipe the secret in, or run this at a terminal.").into());
    }
    Ok(Secret::new(value))
}
