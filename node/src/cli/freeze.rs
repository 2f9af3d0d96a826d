//! `freeze` and `unfreeze`: anybody at the node stops the mesh, the approve key lets it go on.

use std::process::ExitCode;

use aiemp_keys::private_file;
use aiemp_protocol::{
    freeze::{Brake, FreezeRecord, Freezes, NotLifted},
    ids::ContentHash,
    limits::FREEZE_LIFTED_MAX,
    roster::{Role, Roster},
    time::Timestamp,
};
use anyhow::{Context, Result};

use super::{Passphrase, owner, print};
use crate::{
    fault::{Fault, causes},
    home::Home,
    shell::{self, control::Client, freezes, walls::Wall},
};

/// Stops: needs no passphrase, for it has to be quick.
pub(super) fn freeze(home: &Home) -> Result<ExitCode> {
    let rosters = owner::rosters_in_any_case(home)?;
    let roster = rosters.current();
    let signer = shell::identity::load(home)?;
    let me = signer.node_id();
    let Some(member) = roster.member(me) else {
        let message = "this node is not in its mesh any more, so its word stops nothing";
        return Err(Fault::operator("revoked", message, "Freeze on a Local node of the mesh.").into());
    };
    // A mesh that was taken over writes there: what it makes unreadable must not keep anybody from freezing.
    let mut held = known(home, roster, freezes::load_readable(&home.freezes(), roster))?;
    let record = held.next(me, shell::clock::now());
    let bytes = record.sign(&signer, roster.mesh);
    say(home, member.role, record, &bytes)?;
    held.accept(roster, &bytes)?;
    if !held.stop(roster, me) {
        let message = "NOT frozen: a lift of a time that no clock shows outweighs every freeze of this node";
        let fix = "End the nodes themselves, and make a new mesh: `aiemp-node init` with another --home.";
        return Err(Fault::operator("not_frozen", message, fix).into());
    }
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

/// Lifts every freeze that stands, as far as the brake works afterwards.
pub(super) fn unfreeze(home: &Home, clock_was_ahead: bool, passphrase: &Passphrase) -> Result<ExitCode> {
    let rosters = owner::rosters(home)?;
    let roster = rosters.current();
    owner::check_local(home, roster)?;
    let held = known(home, roster, freezes::load(&home.freezes(), roster)?)?;
    let lost = tell_again(home, roster, &held)?;
    let (mut lifts, mut stays) = (Vec::new(), None);
    for freeze in held.standing(roster) {
        let line = line_of(roster, &freeze);
        print::talk(&line);
        let (node, _, at) = freeze;
        match FreezeRecord::lift(node, at, shell::clock::now(), clock_was_ahead) {
            Ok(lift) => lifts.push(lift),
            Err(why) => stays = Some(not_lifted(&line, why)),
        }
    }
    if !lifts.is_empty() {
        let keys = owner::unlock(home, passphrase, &Wall::Reviewer)?;
        for record in &lifts {
            let bytes = record.sign(&keys.approve, roster.mesh);
            // Remembered first: a later freeze has to count for more.
            freezes::keep(&home.signed_lifts(), *record, &bytes)?;
            say(home, Role::Local, *record, &bytes)?;
        }
    }
    if stays.is_none() {
        if lifts.is_empty() && !lost {
            print::talk("Nothing is frozen.");
        } else {
            print::data("let go on");
        }
    }
    stays.map_or(Ok(ExitCode::SUCCESS), |fault| Err(fault.into()))
}

fn not_lifted(line: &str, why: NotLifted) -> Fault {
    let fix = match why {
        NotLifted::Ahead => {
            "If a clock of yours was ahead then: `aiemp-node unfreeze --clock-was-ahead`. If none was, somebody else has \
             that node's key: a Cloud is taken out by `aiemp-node peers revoke`, a mesh whose Local it was is made anew."
        }
        NotLifted::NoTime => {
            "Somebody else has that node's key. A Cloud is taken out by `aiemp-node peers revoke`; if it is the Local node \
             that sends, make a new mesh: `aiemp-node init` with another --home."
        }
    };
    Fault::operator(
        "not_lifted",
        format!("not lifted: {line}. {why}: a lift of it would keep later freezes from working"),
        fix,
    )
}

/// What is known of the brake: by the mesh, as `known`, by whoever lifted here, and by the executor. The last two forget
/// nothing; what cannot be read there is passed over, for a brake that knows less is better than none.
fn known(home: &Home, roster: &Roster, mut known: Freezes) -> Result<Freezes> {
    let lifts = freezes::load_readable(&home.signed_lifts(), roster);
    // With three users the executor's folder is closed to the others.
    let seen = freezes::load(&home.executor_freezes(), roster).unwrap_or_default();
    for record in lifts.records().chain(seen.records()) {
        known.accept(roster, record)?;
    }
    Ok(known)
}

/// Tells the mesh of the lifts that it lost; whether there were any.
fn tell_again(home: &Home, roster: &Roster, held: &Freezes) -> Result<bool> {
    let mut told = freezes::load(&home.freezes(), roster)?;
    let mut lost = false;
    for bytes in held.records() {
        if let Some(record @ FreezeRecord { brake: Brake::Lifted, .. }) = told.accept(roster, bytes)? {
            freezes::keep(&home.freezes(), record, bytes)?;
            lost = true;
        }
    }
    Ok(lost)
}

/// Who froze, and when.
pub(super) fn line_of(roster: &Roster, (node, role, at): &(aiemp_keys::NodeId, Role, Timestamp)) -> String {
    let name = roster.member(*node).map_or("a former member", |member| member.name.as_str());
    let when = if *at > FREEZE_LIFTED_MAX { "a time that no clock shows".to_owned() } else { at.to_string() };
    match role {
        Role::Local => format!("frozen by {name} at {when}"),
        Role::Cloud => format!("{name} froze itself at {when}"),
    }
}

/// On Local tells the executor first, in a place where the mesh cannot take it away; then the mesh. A freeze that the
/// executor knows of stands, also where the mesh's folder takes nothing.
fn say(home: &Home, role: Role, record: FreezeRecord, bytes: &[u8]) -> Result<()> {
    if role == Role::Local {
        let name = format!("{}.freeze", ContentHash::of(bytes));
        private_file::write_private(&home.approved().join(name), bytes).context("cannot tell the executor")?;
    }
    let told = freezes::keep(&home.freezes(), record, bytes);
    match told {
        Err(error) if role == Role::Local && record.brake == Brake::Frozen => {
            print::talk(format!("warning: the executor is told, the other nodes are not: {}", causes(&error)));
            Ok(())
        }
        told => told,
    }
}
