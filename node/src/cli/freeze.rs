//! `freeze` and `unfreeze`: anybody at the node stops the mesh, the approve key lets it go on.

use std::process::ExitCode;

use aiemp_keys::private_file;
use aiemp_protocol::{
    freeze::{Brake, FreezeRecord},
    ids::ContentHash,
    roster::{Role, Roster},
    time::Timestamp,
};
use anyhow::{Context, Result};

use super::{Passphrase, owner, print};
use crate::{
    fault::Fault,
    home::Home,
    shell::{self, control::Client, freezes, walls::Wall},
};

/// Stops: needs no passphrase, for it has to be quick.
pub(super) fn freeze(home: &Home) -> Result<ExitCode> {
    let rosters = owner::rosters(home)?;
    let roster = rosters.current();
    let signer = shell::identity::load(home)?;
    let me = signer.node_id();
    let Some(member) = roster.member(me) else {
        let message = "this node is not in its mesh any more, so its word stops nothing";
        return Err(Fault::operator("revoked", message, "Freeze on a Local node of the mesh.").into());
    };
    let held = freezes::load(&home.freezes(), roster)?;
    let record = held.next(me, shell::clock::now());
    let bytes = record.sign(&signer, roster.mesh);
    say(home, member.role, record, &bytes)?;
    let whom = match member.role {
        Role::Local => "the mesh: nothing is sent, claimed or drafted",
        Role::Cloud => "this node, and the others are told: nothing is claimed or drafted here",
    };
    print::data(format!("frozen {whom}, until `aiemp-node unfreeze` on Local"));
    if Client::connect(&home.control_socket())?.is_none() {
        print::talk("No node runs here: the others hear of it when it runs.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Lifts every freeze that stands.
pub(super) fn unfreeze(home: &Home, passphrase: &Passphrase) -> Result<ExitCode> {
    let rosters = owner::rosters(home)?;
    let roster = rosters.current();
    owner::check_local(home, roster)?;
    let held = freezes::load(&home.freezes(), roster)?;
    let standing: Vec<_> = held.standing(roster).collect();
    if standing.is_empty() {
        print::talk("Nothing is frozen.");
        return Ok(ExitCode::SUCCESS);
    }
    for freeze in &standing {
        print::talk(line_of(roster, freeze));
    }
    let keys = owner::unlock(home, passphrase, &Wall::Reviewer)?;
    for (node, _, at) in standing {
        let record = FreezeRecord { brake: Brake::Lifted, node, at };
        say(home, Role::Local, record, &record.sign(&keys.approve, roster.mesh))?;
    }
    print::data("let go on");
    Ok(ExitCode::SUCCESS)
}

/// Who froze, and when.
pub(super) fn line_of(roster: &Roster, (node, role, at): &(aiemp_keys::NodeId, Role, Timestamp)) -> String {
    let name = roster.member(*node).map_or("a former member", |member| member.name.as_str());
    match role {
        Role::Local => format!("frozen by {name} at {at}"),
        Role::Cloud => format!("{name} froze itself at {at}"),
    }
}

/// Tells the mesh, and on Local the executor in a place where the mesh cannot take it away.
fn say(home: &Home, role: Role, record: FreezeRecord, bytes: &[u8]) -> Result<()> {
    if role == Role::Local {
        let name = format!("{}.freeze", ContentHash::of(bytes));
        private_file::write_private(&home.approved().join(name), bytes).context("cannot tell the executor")?;
    }
    freezes::keep(&home.freezes(), record, bytes)
}
