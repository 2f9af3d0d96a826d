//! `watcher check`: whether a program does as a watcher should.

use std::{process::ExitCode, time::Duration};

use aiemp_protocol::action::spelt;
use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;

use super::print;
use crate::{config::Watcher, fault::Fault, home::Home, senses, shell};

#[derive(Debug, Subcommand)]
pub(super) enum WatcherCommand {
    /// Run a watcher twice, as the node would, and say what is wrong with it. Nothing that it tells is kept
    Check(CheckArgs),
}

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// A `[[watcher]]` of config.toml
    #[arg(required_unless_present = "command", conflicts_with = "command")]
    name: Option<String>,
    /// Seconds that each run may take
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// A program that is in no settings yet
    #[arg(last = true)]
    command: Vec<String>,
}

pub(super) fn watcher(home: &Home, command: &WatcherCommand) -> Result<ExitCode> {
    let WatcherCommand::Check(args) = command;
    let config = shell::settings::load(home)?;
    let settings = match &args.name {
        Some(name) => config.watcher_named(name).cloned().ok_or_else(|| {
            let names: Vec<_> = config.watcher.iter().map(|watcher| watcher.name.as_str()).collect();
            let fix = match names.is_empty() {
                true => {
                    "Add a [[watcher]] to config.toml, or give the program: `watcher check -- PROGRAM …`.".to_owned()
                }
                false => format!("There are: {}.", names.join(", ")),
            };
            Fault::operator("watcher", format!("there is no watcher named {name}"), fix)
        })?,
        None => Watcher::new("check", args.command.clone()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = runtime.block_on(senses::check::check(home, &settings, Duration::from_secs(args.seconds)));
    if args.json {
        let items = findings.iter().map(|one| json!({ "demand": one.demand, "ok": one.is_met, "seen": one.seen }));
        print::json(json!({ "items": items.collect::<Vec<_>>() }));
    } else {
        for one in &findings {
            let word = if one.is_met { "ok    " } else { "FAILED" };
            print::data(format!("{word}  {}: {}", one.demand, spelt(&one.seen)));
        }
    }
    Ok(ExitCode::from(u8::from(findings.iter().any(|one| !one.is_met))))
}
