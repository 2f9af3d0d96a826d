//! `peers`: who is in the mesh; revoking.

use std::process::ExitCode;

use aiemp_protocol::roster::{RosterChain, SignedRoster};
use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::{Passphrase, owner, print};
use crate::{
    fault::Fault,
    home::Home,
    shell::{self, store::Store, walls::Wall},
};

#[derive(Debug, Subcommand)]
pub(super) enum PeersCommand {
    /// The members, their roles and keys
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Sign the roster anew, for another year; needs the passphrase
    Renew {
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Take a node out of the mesh for good; needs the passphrase
    Revoke {
        /// Its name
        name: String,
        #[command(flatten)]
        passphrase: Passphrase,
    },
}

pub(super) fn peers(home: &Home, command: PeersCommand) -> Result<ExitCode> {
    match command {
        PeersCommand::List { json } => list(&owner::rosters(home)?, json),
        PeersCommand::Renew { passphrase } => renew(home, &passphrase)?,
        PeersCommand::Revoke { name, passphrase } => revoke(home, &name, &passphrase)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(rosters: &RosterChain, as_json: bool) {
    let roster = rosters.current();
    if as_json {
        let members = roster.members.iter().map(|member| {
            json!({ "name": member.name, "role": member.role.as_str(), "node": member.node.to_string(),
                    "executor": member.node == roster.executor })
        });
        return print::json(json!({ "mesh": roster.mesh.to_string(), "epoch": roster.epoch,
            "not_after": roster.not_after.to_string(), "members": members.collect::<Vec<_>>() }));
    }
    for member in &roster.members {
        let executor = if member.node == roster.executor { "  sends" } else { "" };
        print::data(format!("{:<12} {:<6} {}{executor}", member.name, member.role.as_str(), member.node));
    }
}

fn renew(home: &Home, passphrase: &Passphrase) -> Result<()> {
    let mut rosters = owner::rosters(home)?;
    let keys = owner::unlock(home, passphrase, &Wall::Owner)?;
    let next = rosters.current().successor(shell::clock::now());
    rosters.extend(&SignedRoster::sign(&keys.root, next).to_bytes())?;
    shell::rosters::store(home, &rosters)?;
    print::data(format!("good until {}", rosters.current().not_after));
    Ok(())
}

fn revoke(home: &Home, name: &str, passphrase: &Passphrase) -> Result<()> {
    let mut rosters = owner::rosters(home)?;
    let roster = rosters.current();
    let Some(member) = roster.member_named(name) else {
        let names: Vec<_> = roster.members.iter().map(|member| member.name.as_str()).collect();
        let message = format!("no member is named `{name}`");
        return Err(Fault::operator("unknown_member", message, format!("Members: {}.", names.join(", "))).into());
    };
    if member.node == roster.executor {
        let message = format!("`{name}` is the node that sends; a mesh without it cannot act");
        return Err(Fault::operator(
            "executor",
            message,
            "To leave this mesh, make a new one: `aiemp-node init --role local` with another --home.",
        )
        .into());
    }
    let node = member.node;
    let keys = owner::unlock(home, passphrase, &Wall::Owner)?;
    let mut next = roster.successor(shell::clock::now());
    next.members.retain(|member| member.node != node);
    // What it wrote up to here stands, also for nodes that join later.
    next.closed.extend(Store::open(&home.store())?.ends_of(node)?);
    rosters.extend(&SignedRoster::sign(&keys.root, next).to_bytes())?;
    shell::rosters::store(home, &rosters)?;
    print::data(format!("revoked {name}"));
    print::talk(
        "A running node takes this up at once. What the node wrote before stays; nothing new of it is accepted.",
    );
    Ok(())
}
