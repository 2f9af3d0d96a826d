//! `secrets`: passwords for the executor. On Local the approve key signs each; on Cloud they are a kind of their own.

use std::{io::IsTerminal, process::ExitCode};

use aiemp_keys::{Fingerprints, Secret};
use aiemp_protocol::roster::Role;
use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::{Passphrase, owner, print};
use crate::{
    executor::secrets,
    fault::Fault,
    home::Home,
    shell::{
        self,
        cloud_secrets::{self, CloudSecret, Purpose},
        walls::Wall,
    },
};

#[derive(Debug, Subcommand)]
pub(super) enum SecretsCommand {
    /// Store a secret, asked for at the terminal or read from stdin
    Add {
        /// What settings call it
        name: String,
        /// On Cloud: what the node needs it for; it lies there, and no passphrase is asked for
        #[arg(long = "use", value_name = "PURPOSE", value_enum)]
        purpose: Option<Purpose>,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// The names, never the values; those of a Cloud node in red
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
    let role = shell::identity::role(home)?;
    if role == Role::Local && home.users().exists() && !rustix::process::getuid().is_root() {
        let message = "the executor's secrets are another user's in this home";
        return Err(Fault::operator("not_root", message, "Run it with sudo, with this --home.").into());
    }
    match (command, role) {
        (SecretsCommand::Add { name, purpose: None, passphrase }, Role::Local) => add(home, &name, &passphrase)?,
        (SecretsCommand::Add { name, purpose: Some(purpose), .. }, Role::Cloud) => add_on_cloud(home, &name, purpose)?,
        (SecretsCommand::Add { purpose: Some(_), .. }, Role::Local) => {
            let message = "`--use` makes a secret of Cloud, and this is a Local node";
            let fix =
                "Run this on the Cloud node, or leave `--use` out: Local's secrets are signed by your approve key.";
            return Err(Fault::refused("role", message, fix).into());
        }
        (SecretsCommand::Add { purpose: None, .. }, Role::Cloud) => {
            let message = "secrets that send belong on Local; this is a Cloud node";
            let fix = "Run this on the Local node. For what Cloud itself needs, give --use model, mail-in or webhook.";
            return Err(Fault::refused("role", message, fix).into());
        }
        (SecretsCommand::List { json }, role) => list(home, role, json)?,
        (SecretsCommand::Remove { name }, role) => {
            match role {
                Role::Local => secrets::remove(home, &name)?,
                Role::Cloud => cloud_secrets::remove(home, &name)?,
            }
            let mut known = shell::fingerprints::load(home)?;
            known.remove(&name);
            shell::fingerprints::store(home, &known)?;
            print::data(format!("removed {name}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(home: &Home, role: Role, as_json: bool) -> Result<()> {
    if role == Role::Local {
        let names = secrets::list(home)?;
        if as_json {
            let items = names.iter().map(|name| json!({ "name": name, "kind": "local" }));
            print::json(json!({ "items": items.collect::<Vec<_>>() }));
        } else {
            names.iter().for_each(print::data);
        }
        return Ok(());
    }
    let stored = cloud_secrets::list(home)?;
    if as_json {
        let items = stored.iter().map(|(name, purpose)| {
            json!({ "name": name, "kind": "cloud", "use": purpose.as_ref().ok().map(|purpose| purpose.as_str()) })
        });
        print::json(json!({ "items": items.collect::<Vec<_>>() }));
        return Ok(());
    }
    for (name, purpose) in &stored {
        let purpose = purpose.as_ref().map_or_else(ToString::to_string, ToString::to_string);
        print::warned(format!("{name}  on Cloud, for {purpose}"));
    }
    if !stored.is_empty() {
        print::talk("Whoever controls this machine has these.");
    }
    Ok(())
}

fn add(home: &Home, name: &str, passphrase: &Passphrase) -> Result<()> {
    let rosters = owner::rosters(home)?;
    let value = read_value(name)?;
    let keys = owner::unlock(home, passphrase, &Wall::Owner)?;
    let known = with_fingerprint(home, name, &value)?;
    secrets::add(home, &keys.approve, rosters.current().mesh, name, &value)?;
    stored(home, name, &known)
}

/// No key is needed: the machine it lies on has it anyway, and it can send nothing.
fn add_on_cloud(home: &Home, name: &str, purpose: Purpose) -> Result<()> {
    let value = read_value(name)?;
    let known = with_fingerprint(home, name, &value)?;
    cloud_secrets::add(home, name, &CloudSecret::new(purpose, value))?;
    stored(home, name, &known)
}

fn with_fingerprint(home: &Home, name: &str, value: &Secret<String>) -> Result<Fingerprints> {
    let mut known = shell::fingerprints::load(home)?;
    known
        .add(name, value.expose().as_bytes())
        .map_err(|error| Fault::operator("too_short", error.to_string(), "A longer password is also a better one."))?;
    Ok(known)
}

fn stored(home: &Home, name: &str, known: &Fingerprints) -> Result<()> {
    shell::fingerprints::store(home, known)?;
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
