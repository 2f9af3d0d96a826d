//! `peers`: who is in the mesh, what is held of each; revoking and healing.

use std::{collections::BTreeSet, process::ExitCode};

use aiemp_keys::{Hash, NodeId};
use aiemp_protocol::{
    action::spelt,
    roster::{ClosedLog, Member, Roster, RosterChain},
};
use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::{Passphrase, owner, print};
use crate::{
    fault::Fault,
    home::Home,
    shell::{
        self,
        control::{Client, Request, Response, WireLog, unexpected},
        store::Store,
        walls::Wall,
    },
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
    /// What this node holds of a member's logs, what waits or is invalid and why, and what the member has used
    Show {
        /// Its name
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say which of two entries stands where a member signed both, and let it go on; needs the passphrase
    Heal {
        /// Its name
        name: String,
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
        PeersCommand::Show { name, json } => show(home, &owner::rosters(home)?, &name, json)?,
        PeersCommand::Heal { name, passphrase } => heal(home, &name, &passphrase)?,
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
        print::data(format!("{:<12} {:<6} {}{executor}", spelt(&member.name), member.role.as_str(), member.node));
    }
}

fn renew(home: &Home, passphrase: &Passphrase) -> Result<()> {
    let mut signing = owner::signing(home)?;
    let keys = owner::unlock(home, passphrase, &Wall::Owner)?;
    let next = signing.rosters().current().successor(shell::clock::now());
    signing.sign(&keys.root, next)?;
    print::data(format!("good until {}", signing.rosters().current().not_after));
    Ok(())
}

fn revoke(home: &Home, name: &str, passphrase: &Passphrase) -> Result<()> {
    let mut signing = owner::signing(home)?;
    let roster = signing.rosters().current();
    let member = named(roster, name)?;
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
    // Read before any key is open: others write the store.
    let ends = ends_of(&Store::open_beside(&home.store())?, node)?;
    let keys = owner::unlock(home, passphrase, &Wall::Owner)?;
    let mut next = roster.successor(shell::clock::now());
    next.members.retain(|member| member.node != node);
    // What it wrote up to here stands, also for nodes that join later.
    next.closed.extend(ends);
    signing.sign(&keys.root, next)?;
    print::data(format!("revoked {name}"));
    print::talk(
        "A running node takes this up at once. What the node wrote before stays; nothing new of it is accepted.",
    );
    Ok(())
}

/// Where the member's logs end here; one that is invalid from its first entry ends before it.
fn ends_of(store: &Store, node: NodeId) -> Result<Vec<ClosedLog>> {
    let mut ends = store.ends_of(node)?;
    let held: BTreeSet<_> = ends.iter().map(|end| end.log).collect();
    let frozen = store.load()?.frozen.into_keys().filter(|log| log.author == node && !held.contains(log));
    ends.extend(frozen.map(|log| ClosedLog { log, seq: 0, hash: Hash::from_bytes([0; 32]) }));
    Ok(ends)
}

fn named<'a>(roster: &'a Roster, name: &str) -> Result<&'a Member, Fault> {
    roster.member_named(name).ok_or_else(|| {
        let names: Vec<_> = roster.members.iter().map(|member| member.name.as_str()).collect();
        let message = format!("no member is named `{name}`");
        Fault::operator("unknown_member", message, format!("Members: {}.", names.join(", ")))
    })
}

fn show(home: &Home, rosters: &RosterChain, name: &str, as_json: bool) -> Result<()> {
    let roster = rosters.current();
    let member = named(roster, name)?;
    let logs: Option<Vec<WireLog>> = match Client::connect(&home.control_socket())? {
        Some(mut client) => {
            let Response::Logs { logs } = client.ask(&Request::Logs)? else { return Err(unexpected()) };
            Some(logs.into_iter().filter(|log| log.author == member.name).collect())
        }
        None => None,
    };
    if as_json {
        print::json(json!({ "name": member.name, "role": member.role.as_str(), "node": member.node.to_string(),
            "executor": member.node == roster.executor, "generation_min": member.generation_min,
            "quota": { "entries_per_day": member.quota.entries_per_day, "bytes_per_day": member.quota.bytes_per_day },
            "running": logs.is_some(), "logs": logs }));
        return Ok(());
    }
    print::data(format!("name       {}, {}", spelt(&member.name), member.role.as_str()));
    print::data(format!("node       {}", member.node));
    let Some(logs) = logs else {
        print::talk("The node does not run; what it holds of the member's logs shows while it does.");
        return Ok(());
    };
    let used = logs.first().map(|log| log.used);
    if let Some(used) = used {
        let quota = member.quota;
        print::data(format!("today      {} of {} entries", used.entries_today, quota.entries_per_day));
        print::data(format!("           {} of {} MB", used.bytes_today >> 20, quota.bytes_per_day >> 20));
        print::data(format!("in all     {} files, {} MB", used.files, used.bytes >> 20));
    }
    for log in &logs {
        print::data(format!("log        {}", describe(log, name)));
    }
    Ok(())
}

fn describe(log: &WireLog, name: &str) -> String {
    let mut line = format!("generation {}, {}: {} entries", log.generation, log.audience, log.entries);
    if let Some(known) = log.known.filter(|known| *known > log.entries) {
        line += &format!(" of {known}");
    }
    if let Some(seq) = log.closed_at {
        line += &format!(", closed at {seq}");
    }
    if let Some(reason) = &log.frozen {
        line += &format!(", FROZEN: {reason} (`aiemp-node peers heal {name}` lets the member go on)");
    }
    if let Some(reason) = &log.waits {
        line += &format!(", waits: {}", wait_text(reason));
    }
    line
}

fn wait_text(reason: &str) -> &str {
    match reason {
        "entries_today" => "as many entries today as the roster allows; goes on at midnight UTC",
        "bytes_today" => "as many bytes today as the roster allows; goes on at midnight UTC",
        "bytes_in_all" => "no room left for this member; raise `[admission] megabytes_per_member` and start again",
        "files" => "too many files; archive some, or raise `[admission] files_per_member` and start again",
        "disk" => "the disk below the home is nearly full; free some space",
        "newer_version" => "written by a newer version; update this node",
        "past" => "its author had seen entries of others that are not here yet",
        "unshown" => "a peer says to hold more of it; until it has shown that, or failed to, nobody is handed any",
        other => other,
    }
}

/// What is held here stands; the member goes on in its next generation.
fn heal(home: &Home, name: &str, passphrase: &Passphrase) -> Result<()> {
    let mut signing = owner::signing(home)?;
    let roster = signing.rosters().current();
    let node = named(roster, name)?.node;
    let store = Store::open_beside(&home.store())?;
    let closed: BTreeSet<_> = roster.closed.iter().map(|closed| closed.log).collect();
    let frozen = store.load()?.frozen;
    let frozen: BTreeSet<_> = frozen.into_keys().filter(|log| log.author == node && !closed.contains(log)).collect();
    let Some(highest) = frozen.iter().map(|log| log.generation).max() else {
        print::talk(format!("No log of {name} is invalid; there is nothing to heal."));
        return Ok(());
    };
    // Every log of these generations ends where it is held, for its author goes on in the next.
    let mut ends = ends_of(&store, node)?;
    ends.retain(|end| end.log.generation <= highest && !closed.contains(&end.log));
    drop(store);
    let keys = owner::unlock(home, passphrase, &Wall::Owner)?;
    let mut next = roster.successor(shell::clock::now());
    next.closed.extend(ends);
    for member in next.members.iter_mut().filter(|member| member.node == node) {
        member.generation_min = member.generation_min.max(highest + 1);
    }
    signing.sign(&keys.root, next)?;
    print::data(format!("healed {name}: what is held here stands, and it goes on in generation {}", highest + 1));
    print::talk(
        "Ask yourself how one member could sign two things at one place: a restored copy that ran beside the first one, or a stolen key. For a stolen key, `aiemp-node peers revoke`.",
    );
    Ok(())
}
