//! `status`: how the node is.

use std::process::ExitCode;

use aiemp_protocol::{action::spelt, approval::Standing, roster::Role};
use anyhow::Result;
use serde_json::{Value, json};

use super::{freeze, owner, print};
use crate::{
    home::Home,
    shell::{
        self, cloud_secrets,
        control::{Client, Request, Response, WirePeer, WireStatus, unexpected},
        handed_in::HandedIn,
    },
};

/// Files without their content that are named; of a large vault that comes in there are many for a while.
const LACKING_SHOWN: usize = 5;

pub(super) fn status(home: &Home, as_json: bool) -> Result<ExitCode> {
    shell::settings::load(home)?;
    let node = shell::identity::own_id(home)?;
    let rosters = owner::rosters(home)?;
    let roster = rosters.current();
    let running = match Client::connect(&home.control_socket())? {
        Some(mut client) => {
            let Response::Status(status) = client.ask(&Request::Status)? else { return Err(unexpected()) };
            Some(*status)
        }
        None => None,
    };
    let state = running.clone().unwrap_or_default();
    let freezes = shell::freezes::load(&home.freezes(), roster)?;
    let role = roster.member(node).map_or("revoked", |member| member.role.as_str());
    let role_here = roster.member(node).map(|member| member.role);
    let automatic = shell::standing::in_force(home, roster, shell::clock::now())?;
    let handed_in = match role_here {
        Some(Role::Local) => HandedIn::look(home, roster, running.is_some()),
        Some(Role::Cloud) | None => HandedIn::default(),
    };
    let mut promises = promises(role_here, roster.unattended, &automatic);
    promises.extend(secrets_that_send(home));
    if as_json {
        let peers: Vec<Value> = state.peers.iter().map(|peer| json!(peer)).collect();
        let known = running.as_ref();
        print::json(json!({ "role": role, "node": node.to_string(), "mesh": roster.mesh.to_string(),
            "running": running.is_some(), "peers": peers, "approvals_waiting": known.map(|state| state.approvals_waiting),
            "approvals_handed_in": handed_in.waiting.len(), "executor": handed_in.trouble,
            "conflicts": known.map(|state| state.conflicts), "holds": known.map(|state| state.holds),
            "unsynced": known.map(|state| state.unsynced_count),
            "files": known.map(|state| state.files), "settled": known.map(|state| state.settled),
            "frozen": freezes.stop(roster, node), "frozen_logs": state.frozen_logs,
            "vault": state.vault, "store": state.store, "brain": state.brain, "mail_in": state.mail_in, "senses": state.senses, "progress": state.progress, "waiting_logs": state.waiting_logs, "lacking": state.lacking, "unattended": roster.unattended,
            "promises": promises }));
    } else {
        for freeze in freezes.standing(roster) {
            print::data(format!("FROZEN     {}", freeze::line_of(roster, &freeze)));
        }
        print_text(role, &running, &state, &handed_in);
        if roster.unattended {
            print::data("UNATTENDED keys of this mesh open without a person");
        }
        for promise in promises {
            print::data(format!("promise    {promise}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What this node promises as it is set up.
fn promises(role: Option<Role>, unattended: bool, automatic: &[Standing]) -> Vec<String> {
    let mut promises = match role {
        Some(Role::Cloud) => vec!["this node cannot send, approve, or read private notes".to_owned()],
        Some(Role::Local) => {
            let but = if automatic.is_empty() { "" } else { ", save what your standing approvals allow" };
            vec![
                format!("nothing is sent that you have not approved{but}"),
                "no approved action is sent twice".to_owned(),
            ]
        }
        None => Vec::new(),
    };
    if unattended {
        promises.push("does not hold: a passphrase guards approvals (keys open without a person)".to_owned());
    }
    let on =
        automatic.iter().map(|standing| format!("automatic sending is on: {}", shell::standing::line_of(standing)));
    promises.extend(on);
    promises
}

/// What a person stored on Cloud although it could send.
fn secrets_that_send(home: &Home) -> impl Iterator<Item = String> {
    let stored = cloud_secrets::list(home).unwrap_or_default().into_iter();
    let names =
        stored.filter(|(_, purpose)| purpose.as_ref().is_ok_and(|purpose| purpose.can_send())).map(|(name, _)| name);
    names.map(|name| format!("does not hold: this node cannot send (its secret {name} can)"))
}

/// Drafts, conflicts and holds are counted by the node alone.
fn print_counts(running: Option<&WireStatus>, handed_in: usize) {
    let Some(state) = running else {
        print::data("waiting    not known while the node does not run");
        if handed_in > 0 {
            print::data(format!("           {handed_in} approved that the executor has not taken up"));
        }
        print::data("conflicts  not known");
        print::data("held       not known");
        return;
    };
    let approved = match handed_in {
        0 => String::new(),
        count => format!(", of which {count} approved that the executor has not taken up"),
    };
    print::data(format!("waiting    {} for your approval{approved}", state.approvals_waiting));
    print::data(format!("conflicts  {}", state.conflicts));
    print::data(format!("held       {}", state.holds));
    if state.unsynced_count > 0 {
        print::data(format!("unsynced   {} in the vault (`aiemp-node conflicts` names them)", state.unsynced_count));
    }
}

fn line_of(peer: &WirePeer) -> String {
    let state = match (peer.connected, peer.lag_entries, peer.waits) {
        (false, _, false) => "not connected".to_owned(),
        (false, _, true) => "not connected, a log of it waits here".to_owned(),
        (true, Some(0), false) => "connected, in step".to_owned(),
        (true, Some(0) | None, true) => "connected, a log of it waits here".to_owned(),
        (true, Some(lag), false) => format!("connected, {lag} entries behind"),
        (true, Some(lag), true) => format!("connected, {lag} entries behind, a log of it waits here"),
        (true, None, false) => "connected".to_owned(),
    };
    format!("peer       {}: {state}", spelt(&peer.name))
}

fn print_text(role: &str, running: &Option<WireStatus>, state: &WireStatus, handed_in: &HandedIn) {
    print::data(format!("role       {role}{}", if running.is_some() { "" } else { " (not running)" }));
    for trouble in state.vault.iter().filter(|trouble| trouble.is_error) {
        print::data(format!("VAULT      {}\n           {}", trouble.what, trouble.fix));
    }
    for trouble in &state.store {
        print::data(format!("STORE      {}\n           {}", trouble.what, trouble.fix));
    }
    if let Some(trouble) = &state.brain {
        print::data(format!("BRAIN      {}\n           {}", spelt(&trouble.what), spelt(&trouble.fix)));
    }
    if let Some(trouble) = &state.mail_in {
        print::data(format!("MAIL IN    {}\n           {}", spelt(&trouble.what), spelt(&trouble.fix)));
    }
    for trouble in &state.senses {
        print::data(format!("SENSES     {}\n           {}", spelt(&trouble.what), spelt(&trouble.fix)));
    }
    if let Some(trouble) = &handed_in.trouble {
        print::data(format!("EXECUTOR   {}\n           {}", spelt(&trouble.what), spelt(&trouble.fix)));
    }
    for peer in &state.peers {
        print::data(line_of(peer));
    }
    if let Some(progress) = &state.progress {
        print::data(format!("under way  {progress}"));
    }
    print_counts(running.as_ref(), handed_in.waiting.len());
    for log in &state.frozen_logs {
        print::data(format!("FROZEN     {log}"));
    }
    for log in &state.waiting_logs {
        print::data(format!("WAITS      {log}"));
    }
    for path in state.lacking.iter().take(LACKING_SHOWN) {
        print::data(format!("LACKS      the content of {}: no node that was connected has it", spelt(path)));
    }
    if let Some(more) = state.lacking.len().checked_sub(LACKING_SHOWN).filter(|more| *more > 0) {
        print::data(format!("LACKS      the content of {more} more files (status --json names them)"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_whose_log_waits_is_not_in_step() {
        let told =
            |lag_entries, waits| line_of(&WirePeer { name: "cloud".to_owned(), connected: true, lag_entries, waits });
        assert_eq!(told(Some(0), false), "peer       cloud: connected, in step");
        assert_eq!(told(Some(0), true), "peer       cloud: connected, a log of it waits here");
        assert_eq!(told(Some(3), true), "peer       cloud: connected, 3 entries behind, a log of it waits here");
    }
}
