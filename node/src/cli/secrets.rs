//! `secrets`: passwords for the executor. On Local the approve key signs each; on Cloud they are a kind of their own.
//! And canaries: made-up tokens, to be put where nobody should read.

use std::{collections::BTreeMap, process::ExitCode};

use aiemp_keys::{Fingerprints, Secret, random};
use aiemp_protocol::roster::Role;
use anyhow::Result;
use clap::Subcommand;
use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

use super::{Passphrase, owner, print};
use crate::{
    executor::secrets,
    fault::Fault,
    home::Home,
    shell::{
        self,
        cloud_secrets::{self, CloudSecret, Purpose},
        mail_in::trial::{self, Trial},
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
        /// With --use mail-in: store it even if it could send mails; `status` says so from then on
        #[arg(long, requires = "purpose")]
        accept_cloud_can_send: bool,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Make up a token and print it once; put it where nobody should read, and whatever brings it out is held and told
    Canary {
        /// What the hit is told as
        name: String,
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
        (SecretsCommand::Add { name, purpose: None, passphrase, .. }, Role::Local) => add(home, &name, &passphrase)?,
        (SecretsCommand::Add { name, purpose: Some(purpose), accept_cloud_can_send, .. }, Role::Cloud) => {
            add_on_cloud(home, &name, purpose, accept_cloud_can_send)?;
        }
        (SecretsCommand::Add { purpose: Some(_), .. }, Role::Local) => {
            let message = "`--use` makes a secret of Cloud, and this is a Local node";
            let fix =
                "Run this on the Cloud node, or leave `--use` out: Local's secrets are signed by your approve key.";
            return Err(Fault::refused("role", message, fix).into());
        }
        (SecretsCommand::Add { purpose: None, .. }, Role::Cloud) => {
            let message = "secrets that send belong on Local; this is a Cloud node";
            let fix = "Run this on the Local node. For what Cloud itself needs, give --use model, mail-in, webhook or watcher.";
            return Err(Fault::refused("role", message, fix).into());
        }
        (SecretsCommand::Canary { name }, role) => plant(home, role, &name)?,
        (SecretsCommand::List { json }, role) => list(home, role, json)?,
        (SecretsCommand::Remove { name }, role) => remove(home, role, &name)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(home: &Home, role: Role, as_json: bool) -> Result<()> {
    let known = shell::fingerprints::load(home)?;
    let (local, cloud) = match role {
        Role::Local => (secrets::list(home)?, BTreeMap::new()),
        Role::Cloud => (Vec::new(), cloud_secrets::list(home)?),
    };
    if as_json {
        let local = local.iter().map(|name| json!({ "name": name, "kind": "local" }));
        let cloud = cloud.iter().map(|(name, purpose)| {
            json!({ "name": name, "kind": "cloud", "use": purpose.as_ref().ok().map(|purpose| purpose.as_str()) })
        });
        let planted = known.canaries().map(|name| json!({ "name": name, "canary": true }));
        print::json(json!({ "items": local.chain(cloud).chain(planted).collect::<Vec<_>>() }));
        return Ok(());
    }
    local.iter().for_each(print::data);
    for (name, purpose) in &cloud {
        let purpose = purpose.as_ref().map_or_else(ToString::to_string, ToString::to_string);
        print::warned(format!("{name}  on Cloud, for {purpose}"));
    }
    known.canaries().for_each(|name| print::data(format!("{name}  (canary)")));
    if !cloud.is_empty() {
        print::talk("Whoever controls this machine has these.");
    }
    Ok(())
}

fn remove(home: &Home, role: Role, name: &str) -> Result<()> {
    let mut known = shell::fingerprints::load(home)?;
    if !known.canaries().any(|canary| canary == name) {
        match role {
            Role::Local => secrets::remove(home, name)?,
            Role::Cloud => cloud_secrets::remove(home, name)?,
        }
    }
    known.remove(name);
    shell::fingerprints::store(home, &known)?;
    print::data(format!("removed {name}"));
    Ok(())
}

/// Nothing of the value stays here but its fingerprint.
fn plant(home: &Home, role: Role, name: &str) -> Result<()> {
    let mut known = shell::fingerprints::load(home)?;
    let stored = match role {
        Role::Local => secrets::list(home)?,
        Role::Cloud => cloud_secrets::list(home)?.into_keys().collect(),
    };
    if known.names().any(|taken| taken == name) || stored.iter().any(|taken| taken == name) {
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
    let value = owner::ask_or_read("value", &format!("Value of {name}: "))?;
    let keys = owner::unlock(home, passphrase, &Wall::Owner)?;
    let known = with_fingerprint(home, name, &value)?;
    secrets::add(home, &keys.approve, rosters.current().mesh, name, &value)?;
    stored(home, name, &known)
}

/// No key is needed: the machine it lies on has it anyway, and it can send nothing.
fn add_on_cloud(home: &Home, name: &str, purpose: Purpose, may_send: bool) -> Result<()> {
    let value = owner::ask_or_read("value", &format!("Value of {name}: "))?;
    let purpose = if purpose == Purpose::MailIn { mail_in_purpose(home, name, &value, may_send)? } else { purpose };
    let known = with_fingerprint(home, name, &value)?;
    cloud_secrets::add(home, name, &CloudSecret::new(purpose, value))?;
    stored(home, name, &known)
}

/// What opens a mailbox may also open the door for sending: that is tried, and what could send is refused unless the person
/// wants it so.
fn mail_in_purpose(home: &Home, name: &str, value: &Secret<String>, may_send: bool) -> Result<Purpose, Fault> {
    const CODE: &str = "cloud_can_send";
    let config = shell::settings::load(home)?;
    let mailbox = config.mail_in.imap;
    let application = mailbox.as_ref().and_then(|mailbox| mailbox.oauth2.as_ref()?.application());
    if application == Some(name) {
        // It is tried together with the refresh token.
        return Ok(Purpose::MailInApplication);
    }
    let Some(mailbox) = mailbox.filter(|mailbox| mailbox.password_secret == name) else {
        let message = format!("no mailbox of config.toml uses a secret named {name}");
        let fix = format!(
            "Add [mail_in.imap] with host, username and `password_secret = \"{name}\"` first, or name it in [mail_in.imap.oauth2] if it is \
             an application's: what opens the mailbox is tried there."
        );
        return Err(Fault::refused("mail_in", message, fix));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Fault::operator("runtime", error.to_string(), "Try again."))?;
    print::talk("Trying whether it could send mails...");
    let trial = runtime.block_on(trial::can_send(home, &mailbox, value));
    let trial = trial.map_err(|why| Fault::refused("mail_in", why, "See [mail_in.imap] in config.toml."))?;
    let what = if mailbox.oauth2.is_some() { "this refresh token" } else { "this password" };
    let accept = "or give --accept-cloud-can-send: then whoever controls this machine can send in that account's name";
    match trial {
        Trial::CannotSend | Trial::NotTried => Ok(mailbox.purpose()),
        Trial::CanSend(_) | Trial::Untold(_) if may_send => Ok(match mailbox.oauth2 {
            Some(_) => Purpose::MailInTokenThatSends,
            None => Purpose::MailInThatSends,
        }),
        Trial::CanSend(place) => {
            let message = format!("{what} can send mails: {place} lets {} in with it", mailbox.username);
            let fix = format!("Use a mailbox that can only receive (docs/mail-in.md says how), {accept}.");
            Err(Fault::refused(CODE, message, fix))
        }
        Trial::Untold(places) => {
            let message = format!(
                "it cannot be told whether {what} could send mails: neither let in nor turned away at {}",
                places.join(", ")
            );
            let fix = format!(
                "Name the provider's server for sending (`[mail_in.imap] submission = \"HOST:PORT\"`, or \"none\" if there is none), {accept}."
            );
            Err(Fault::refused(CODE, message, fix))
        }
    }
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
