//! `pair`: an invitation on Cloud, its acceptance on Local.

use std::{
    io::IsTerminal as _,
    process::ExitCode,
    time::{Duration, Instant},
};

use aiemp_keys::{Secret, private_file, random};
use aiemp_protocol::{
    ids::MeshId,
    pairing::{Answered, Invite, Message, Offered, Ticket},
    roster::Role,
};
use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use self::plan::{Agreed, Own};
use super::{Passphrase, owner, print};
use crate::{
    config::Config,
    fault::{Fault, causes},
    home::Home,
    shell::{
        self,
        network::{PairingStream, addresses, dial_pairing},
        rosters::signing::Signing,
        walls::Wall,
    },
};

mod plan;

/// How long a node may take from its start until it listens, and how often that is looked for.
const START_PATIENCE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Debug, Subcommand)]
pub(super) enum PairCommand {
    /// On the Cloud node: print a ticket, good for ten minutes and one pairing
    Invite {
        /// The address Local reaches this node under
        #[arg(long, value_name = "HOST[:PORT]")]
        announce: Vec<String>,
        /// Let no other mesh use the ticket; on Local `init` printed this, and `peers list --json` tells
        #[arg(long, value_name = "ID")]
        mesh: Option<MeshId>,
    },
    /// On the Local node: take the ticket; the Cloud node must be running
    Accept {
        /// The line that `pair invite` printed. Leave it out: it is asked for, or read from stdin. Other users of this
        /// machine can read an argument while the command runs
        ticket: Option<String>,
        /// The four words are taken as compared, and what becomes of the two vaults as wanted
        #[arg(long)]
        yes: bool,
        /// Pair although git keeps both vaults in step with one place, by which Cloud's edits come in as yours
        #[arg(long)]
        accept_shared_remote: bool,
        /// Print JSON: who was paired, and what becomes of the two vaults
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        passphrase: Passphrase,
    },
}

pub(super) fn pair(home: &Home, command: PairCommand) -> Result<ExitCode> {
    match command {
        PairCommand::Invite { announce, mesh } => invite(home, &announce, mesh)?,
        PairCommand::Accept { ticket, yes, accept_shared_remote, json, passphrase } => {
            let agreed = Agreed { all: yes, shared_remote: accept_shared_remote };
            accept(home, ticket, (agreed, json), &passphrase)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn invite(home: &Home, announce: &[String], mesh: Option<MeshId>) -> Result<()> {
    let config = shell::settings::load(home)?;
    let node = shell::identity::own_id(home)?;
    let role = shell::rosters::load(home)?.and_then(|chain| chain.current().member(node).map(|member| member.role));
    if role == Some(Role::Local) || home.keys().join("owner.age").exists() || home.keys().join("owner.key").exists() {
        let message = "this is a Local node; it takes tickets, Cloud makes them";
        return Err(Fault::refused("role", message, "Run `aiemp-node pair invite` on the Cloud node.").into());
    }
    let addresses = own_addresses(home, &config, announce)?;
    let parsed: Vec<_> = addresses.iter().filter_map(|address| address.parse().ok()).collect();
    if parsed.iter().all(addresses::is_private) {
        print::talk("warning: every address in this ticket is private; it works only from the same network.");
        print::talk("  On a VM give its public name: aiemp-node pair invite --announce HOST");
    }
    let ticket = Ticket::new(node, addresses, random::array()?, shell::clock::now());
    private_file::write_private(&home.invite(), &Invite { mesh, ..ticket.invite() }.to_bytes())?;
    print::data(&ticket);
    print::talk(format!("good until {}, for one pairing. On Local: aiemp-node pair accept", ticket.expires));
    Ok(())
}

fn own_addresses(home: &Home, config: &Config, announce: &[String]) -> Result<Vec<String>> {
    let announced = if announce.is_empty() { &config.announce } else { announce };
    if !announced.is_empty() {
        let parsed = announced.iter().map(|text| addresses::announced(text).map(|address| address.to_string()));
        return parsed
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Fault::usage(error.to_string(), "Give HOST or HOST:PORT.").into());
    }
    let lines = |path| std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    // Of a node that was started in the same moment they are there soon.
    let until = Instant::now() + START_PATIENCE;
    loop {
        let found = [home.announced(), home.addresses()].into_iter().map(lines).find(|lines| !lines.is_empty());
        if let Some(addresses) = found {
            return Ok(addresses);
        }
        if Instant::now() > until {
            let message = "where this node can be reached is not known";
            let fix = "Start the node first, or give --announce HOST[:PORT].";
            return Err(Fault::operator("no_address", message, fix).into());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn accept(
    home: &Home,
    ticket: Option<String>,
    (agreed, as_json): (Agreed, bool),
    passphrase: &Passphrase,
) -> Result<()> {
    // Before anybody pastes a ticket where it is of no use.
    owner::check_keys(home)?;
    let ticket = match ticket {
        Some(ticket) => Secret::new(ticket),
        None => owner::ask_or_read("ticket", "Ticket (not shown): ")?,
    };
    let now = shell::clock::now();
    let as_fault = |error: &dyn std::fmt::Display| {
        Fault::operator("ticket", error.to_string(), "A ticket is good for ten minutes and one pairing.")
    };
    let ticket: Ticket = ticket.expose().trim().parse().map_err(|error| as_fault(&error))?;
    ticket.check(now).map_err(|error| as_fault(&error))?;
    let mut signing = owner::signing(home)?;
    let node = shell::identity::load(home)?;
    let rosters = signing.rosters().clone();
    if rosters.current().member(ticket.cloud).is_none() && ticket.cloud == node.node_id() {
        return Err(as_fault(&"this ticket was made by this very node").into());
    }
    if !agreed.all && !std::io::stdin().is_terminal() {
        let message = "there is nobody to compare the four words: stdin is no terminal";
        let fix = "Run this at a terminal. Give --yes where you trust the way that the ticket came.";
        return Err(Fault::operator("no_terminal", message, fix).into());
    }
    let own = Own::of(&shell::settings::load(home)?.vault, rosters.current());
    let keys = owner::unlock(home, passphrase, &Wall::Pairing)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stream = dial_pairing(&ticket).await?;
        let (offered, offer) = Offered::begin(ticket.clone(), node.node_id(), rosters, random::array()?, now)?;
        stream.send(&offer).await?;
        let answered = offered.answered(stream.receive().await?).map_err(|error| as_fault(&error))?;
        if !compare(&answered, agreed.all) {
            let reason = "the words differ, or nobody compared them".to_owned();
            stream.send(&Message::Refused { reason }).await?;
            stream.finish().await;
            let message = "not paired: the words were not confirmed";
            return Err(Fault::operator("not_confirmed", message, "Run pair invite and pair accept again.").into());
        }
        let plan = match plan::agree(&mut stream, &answered, &keys, &node, &own, agreed).await {
            Ok(plan) => plan,
            Err(error) => {
                stream.finish().await;
                return Err(error);
            }
        };
        let name = finish(home, stream, answered, &keys, &node, &ticket, &mut signing).await?;
        if as_json {
            print::json(json!({ "paired": name, "plan": plan::to_json(plan.as_ref()) }));
        } else {
            print::data(format!("paired with {name}"));
        }
        print::talk("next: aiemp-node --role local");
        Ok(())
    })
}

fn compare(answered: &Answered, yes: bool) -> bool {
    print::talk(format!("The Cloud node `{}` should show the same four words:", answered.cloud_name()));
    print::talk(format!("\n    {}\n", answered.words()));
    yes || owner::confirm("Are they the same?")
}

async fn finish(
    home: &Home,
    mut stream: PairingStream,
    answered: Answered,
    keys: &aiemp_keys::OwnerKeys,
    node: &aiemp_keys::Signer,
    ticket: &Ticket,
    signing: &mut Signing,
) -> Result<String> {
    let name = answered.cloud_name().to_owned();
    if let Err(error) = signing.check_newest() {
        stream.send(&Message::Refused { reason: "the rosters changed meanwhile".to_owned() }).await?;
        stream.finish().await;
        return Err(error);
    }
    let (rosters, proof) = answered
        .admit(&keys.root, node, shell::clock::now())
        .map_err(|error| Fault::operator("pairing", error.to_string(), "Nothing was changed."))?;
    shell::peers::store(home, ticket.cloud, &ticket.addresses)?;
    signing.publish(rosters)?;
    let unconfirmed = |error: anyhow::Error| {
        member_all_the_same(&name, &format!("the Cloud node did not confirm: {}", causes(&error)), "If it is yours")
    };
    stream.send(&proof).await.map_err(unconfirmed)?;
    let answer = stream.receive().await.map_err(unconfirmed)?;
    match answer {
        Message::Accepted => Ok(name),
        Message::Refused { reason } => {
            Err(member_all_the_same(&name, &format!("the Cloud node refused: {reason}"), "If it is yours").into())
        }
        Message::Offer { .. }
        | Message::Answer { .. }
        | Message::Proof { .. }
        | Message::InventoryWanted { .. }
        | Message::Inventory(_) => {
            let message = "the Cloud node speaks another protocol";
            Err(member_all_the_same(&name, message, "Once both are updated to one version").into())
        }
    }
}

/// What ends a pairing after the root key admitted the Cloud node.
fn member_all_the_same(name: &str, what: &str, when: &str) -> Fault {
    let message = format!("{what}. It is a member of your mesh all the same, and may fetch every shared note");
    let fix = format!("`aiemp-node peers revoke {name}` takes it out. {when}, run pair invite and pair accept again.");
    Fault::operator("refused", message, fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_admitted_and_does_not_confirm_is_a_member_all_the_same() {
        let told = member_all_the_same("cloud", "the Cloud node refused: no", "If it is yours").to_string();
        for piece in
            ["refused: no", "is a member of your mesh all the same", "`aiemp-node peers revoke cloud`", "again"]
        {
            assert!(told.contains(piece), "{piece}: {told}");
        }
    }
}
