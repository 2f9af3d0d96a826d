//! `egress`: files that the guard holds back, and letting one of them out.

use std::process::ExitCode;

use aiemp_protocol::{
    action::spelt,
    egress::{Guard, Hit},
    ids::{Audience, ContentHash},
    roster::Roster,
    vault_path::VaultPath,
};
use anyhow::{Context, Result};
use clap::Subcommand;
use serde_json::{Value, json};

use super::{Passphrase, owner, print};
use crate::{
    config::Config,
    fault::Fault,
    home::Home,
    shell::{self, walls::Wall},
};

/// Characters of an ID that are shown, and the fewest that are taken.
const ID_SHOWN: usize = 16;
const ID_MIN: usize = 8;

#[derive(Debug, Subcommand)]
pub(super) enum EgressCommand {
    /// Files that are held back, with the lines and what stands there; never the values
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a file out as it is; needs the passphrase
    Release {
        /// Its ID, or the first characters of it
        id: String,
        #[command(flatten)]
        passphrase: Passphrase,
    },
}

/// A file that the guard does not let out as it lies there now.
struct HeldFile {
    path: VaultPath,
    bytes: Vec<u8>,
    why: String,
    hits: Vec<Hit>,
}

impl HeldFile {
    fn id(&self) -> String {
        ContentHash::of(&self.bytes).to_string()
    }
}

pub(super) fn egress(home: &Home, command: EgressCommand) -> Result<ExitCode> {
    let config = shell::settings::load(home)?;
    let rosters = owner::rosters(home)?;
    let held = held_files(home, &config, rosters.current())?;
    match command {
        EgressCommand::List { json } => list(&held, json),
        EgressCommand::Release { id, passphrase } => release(home, rosters.current(), &held, &id, &passphrase)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Where files lie that the guard does not let out as they are now.
pub(super) fn held_paths(home: &Home) -> Result<Vec<VaultPath>> {
    let config = shell::settings::load(home)?;
    let rosters = owner::rosters(home)?;
    Ok(held_files(home, &config, rosters.current())?.into_iter().map(|held| held.path).collect())
}

/// What was held, looked at once more: a file that was put right, or went away, is held no longer.
fn held_files(home: &Home, config: &Config, roster: &Roster) -> Result<Vec<HeldFile>> {
    let guard = Guard::new(shell::fingerprints::load(home)?).with_releases(shell::releases::load(home, roster)?);
    let mut held: Vec<HeldFile> = Vec::new();
    for path in shell::holds::secret_paths(home)? {
        let zone = roster.zone_of(&path);
        let Ok(bytes) = std::fs::read(config.vault.join(path.as_str())) else { continue };
        let audience = zone.map_or(Audience::All, |zone| zone.audience());
        let Err(why) = guard.clear_file(&path, audience, bytes.clone()) else { continue };
        let hits = guard.hits(&bytes).into_iter().filter(|hit| !hit.released).collect();
        held.push(HeldFile { path, bytes, why: why.to_string(), hits });
    }
    held.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(held)
}

fn list(held: &[HeldFile], as_json: bool) {
    if as_json {
        let items = held.iter().map(|file| {
            let hits: Vec<Value> =
                file.hits.iter().map(|hit| json!({ "line": hit.line, "what": hit.kind.to_string() })).collect();
            json!({ "id": file.id(), "path": file.path.as_str(), "why": file.why, "hits": hits })
        });
        return print::json(json!({ "items": items.collect::<Vec<_>>() }));
    }
    for file in held {
        print::data(format!("{}  {}", &file.id()[..ID_SHOWN], spelt(file.path.as_str())));
        for hit in &file.hits {
            print::data(format!("    line {}: {}", hit.line, hit.kind));
        }
        if file.hits.is_empty() {
            print::data(format!("    {}", file.why));
        }
    }
    if held.is_empty() {
        print::talk("Nothing is held back.");
    }
}

fn release(home: &Home, roster: &Roster, held: &[HeldFile], id: &str, passphrase: &Passphrase) -> Result<()> {
    let mut named = held.iter().filter(|file| id.len() >= ID_MIN && file.id().starts_with(id));
    let (Some(file), None) = (named.next(), named.next()) else {
        let message = format!("no file with the ID {id} is held back");
        return Err(Fault::operator("unknown_id", message, "Run `aiemp-node egress list`.").into());
    };
    print::talk(format!("{} goes to every member as it is now, Cloud among them:", spelt(file.path.as_str())));
    for hit in &file.hits {
        print::talk(format!("    line {}: {}", hit.line, hit.kind));
    }
    let mut releases = shell::releases::load(home, roster)?;
    let guard = Guard::new(shell::fingerprints::load(home)?).with_releases(releases.clone());
    let release = guard.release(&file.bytes).map_err(|why| {
        Fault::operator("not_releasable", why.to_string(), "Find out what reads that place, then take the value out.")
    })?;
    // A name is not released: the file can be given another one.
    if file.hits.is_empty() {
        return Err(Fault::operator("not_releasable", file.why.clone(), "Rename the file.").into());
    }
    let keys = owner::unlock(home, passphrase, &Wall::Owner)?;
    releases.add(release);
    shell::releases::store(home, &keys.approve, roster, &releases).context("cannot store the release")?;
    print::data(format!("released {}", spelt(file.path.as_str())));
    Ok(())
}
