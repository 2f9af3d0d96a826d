//! `process probe`: attacks a home from behind one of its walls, and says what went through.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::json;

use super::{print, run};
use crate::{
    home::Home,
    shell::{
        self,
        walls::{Wall, probe::Ground},
    },
};

#[derive(Clone, Debug, Default, Args)]
pub(super) struct ProbeArgs {
    /// Which wall the attacker is behind
    #[arg(long, value_enum)]
    wall: Option<WallArg>,
    /// Another process of this node
    #[arg(long, value_name = "PID")]
    sibling: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum WallArg {
    Mesh,
    Executor,
    Reviewer,
    Owner,
    Pairing,
    Decoder,
    None,
}

pub(super) fn probe(home: &Home, args: &ProbeArgs) -> Result<ExitCode> {
    let config = shell::settings::load(home)?;
    let wall = match args.wall.context("--wall is missing")? {
        WallArg::Mesh => Some(Wall::Mesh { vault: config.vault.clone() }),
        WallArg::Executor => Some(Wall::executor(home, &config, &run::declared(home)?)),
        WallArg::Reviewer => Some(Wall::Reviewer),
        WallArg::Owner => Some(Wall::Owner),
        WallArg::Pairing => Some(Wall::Pairing),
        WallArg::Decoder => Some(Wall::Decoder),
        WallArg::None => None,
    };
    let sibling = args.sibling.unwrap_or_else(std::os::unix::process::parent_id);
    let tried = Ground::prepare(home, &config.vault, sibling)?.attack(wall.as_ref())?;
    let is_whole = tried.iter().all(|tried| tried.expected == tried.got);
    let attacks = tried.iter().map(|tried| {
        json!({ "attack": tried.attack, "expected": tried.expected.as_str(), "got": tried.got.as_str(),
                "ok": tried.expected == tried.got })
    });
    print::data(serde_json::Value::Array(attacks.collect()));
    Ok(ExitCode::from(u8::from(!is_whole)))
}
