//! `secrets`: passwords for the executor. On Local the approve key signs each; on Cloud they are a kind of their own.
//! And canaries: made-up tokens, to be put where nobody should read.

use std::{io::IsTerminal, process::ExitCode};

use aiemp_keys::{Secret, random};
use anyhow::Result;
use clap::Subcommand;
use data_encoding::BASE64URL_NOPAD;
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
    /// Make up a token and print it once; put it where nobody should read, and whatever brings it out is held and told
    Canary {
        /// What the hit is told as
        name: String,
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
        SecretsCommand::Canary { name } => plant(home, &name)?,
        SecretsCommand::List { json } => list(home, json)?,
        SecretsCommand::Remove { name } => remove(home, &name)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(home: &Home, as_json: bool) -> Result<()> {
    let (names, known) = (secrets::list(home)?, shell::fingerprints::load(home)?);
    if as_json {
        let stored = names.iter().map(|name| json!({ "name": name, "canary": false }));
        let planted = known.canaries().map(|name| json!({ "name": name, "canary": true }));
        print::json(json!({ "items": stored.chain(planted).collect::<Vec<_>>() }));
    } else {
        names.iter().for_each(print::data);
        known.canaries().for_each(|name| print::data(format!("{name}  (canary)")));
    }
    Ok(())
}

fn remove(home: &Home, name: &str) -> Result<()> {
    let mut known = shell::fingerprints::load(home)?;
    if !known.canaries().any(|canary| canary == name) {
        secrets::remove(home, name)?;
    }
    known.remove(name);
    shell::fingerprints::store(home, &known)?;
    print::data(format!("removed {name}"));
    Ok(())
}

/// Nothing of the value stays here but its fingerprint.
fn plant(home: &Home, name: &str) -> Result<()> {
    let mut known = shell::fingerprints::load(home)?;
    if known.names().any(|taken| taken == name) || secrets::list(home)?.iter().any(|taken| taken == name) {
        let message = format!("`{name}` is taken");
        return Err(Fault::usage(message, "Give the canary another name, or remove that one first.").into());
    }
    let value = canary_value()?;
    known.add_canary(name, value.as_bytes())?;
    shell::fingerprints::store(home, &known)?;
    print::data(&value);
    print::talk(
        "This is shown once. Put it where nobody should read: a private note, a folder, another program's settings.",
    );
    print::talk("A running node guards it from its next start on.");
    Ok(())
}

/// A token as a thief looks for, which opens nothing: the form of one provider, without a checksum that could betray it.
fn canary_value() -> Result<String> {
    Ok(format!("{}{}", ["gl", "pat-"].concat(), BASE64URL_NOPAD.encode(&random::array::<15>()?)))
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
