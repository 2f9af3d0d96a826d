//! People at the brake: anybody freezes, the person at the executor lifts.

use aiemp_node::core::Input;
use aiemp_protocol::{
    approval::journal,
    entry::Item,
    freeze::{Brake, FreezeRecord},
    limits::LEASE_BY_HAND_MS,
    replication::Record,
};

use crate::{
    Violation,
    executor::{self, approve_key},
    world::World,
};

/// Somebody freezes at a node.
pub fn freeze(world: &mut World, node: usize) -> Result<(), Violation> {
    let record = world.nodes[node].freezes.next(world.nodes[node].id(), world.time());
    let bytes = record.sign(&world.nodes[node].signer(), world.nodes[node].rosters().current().mesh);
    say(world, node, bytes)
}

/// The person lifts every freeze that node 0 knows of.
pub fn unfreeze(world: &mut World) -> Result<(), Violation> {
    let chain = world.nodes[0].rosters();
    let roster = chain.current();
    let standing: Vec<_> = world.nodes[0].freezes.standing(roster).collect();
    for (node, _, at) in standing {
        let record = FreezeRecord { brake: Brake::Lifted, node, at };
        say(world, 0, record.sign(&approve_key(), roster.mesh))?;
    }
    Ok(())
}

fn say(world: &mut World, node: usize, bytes: Vec<u8>) -> Result<(), Violation> {
    keep(world, node, &bytes)?;
    world.input(node, Input::FreezeFound(bytes))
}

/// A record lies in a node's home from now on.
pub fn keep(world: &mut World, node: usize, bytes: &[u8]) -> Result<(), Violation> {
    let chain = world.nodes[node].rosters();
    let accepted = world.nodes[node].freezes.accept(chain.current(), bytes);
    accepted.map_err(|error| format!("an honest freeze record is refused: {error}"))?;
    if node == 0 { look(world) } else { Ok(()) }
}

/// The executor looks at the brake by itself.
pub fn look(world: &mut World) -> Result<(), Violation> {
    let node = &world.nodes[0];
    let frozen = node.freezes.stop(node.rosters().current(), node.id());
    executor::hear(world, journal::Input::BrakeChanged { frozen })
}

/// A node that is stopped claims nothing.
pub fn nothing_claimed(world: &World, node: usize, record: &Record) -> Result<(), Violation> {
    let Record::Entry { entry, .. } = record else { return Ok(()) };
    if entry.signed.log.author != world.nodes[node].id() {
        return Ok(());
    }
    let items = &entry.signed.entry.items;
    let stopped = world.nodes[node].core.as_ref().is_some_and(|core| core.replication().is_stopped());
    // What a person moves is theirs to move.
    let claims = |item: &Item| matches!(item, Item::Claim { lease_ms, .. } if *lease_ms != LEASE_BY_HAND_MS);
    if stopped && items.iter().any(claims) {
        return Err(format!("frozen is frozen: {} claims", world.nodes[node].name));
    }
    Ok(())
}

/// Everybody knows the same of the brake, and nobody is stopped any more.
pub fn released(world: &World) -> Result<(), Violation> {
    for node in &world.nodes {
        let core = node.core.as_ref().ok_or_else(|| format!("{} does not run", node.name))?;
        if node.freezes != world.nodes[0].freezes || *core.replication().freezes() != node.freezes {
            return Err(format!("{} knows something else of the brake than {}", node.name, world.nodes[0].name));
        }
        if core.replication().is_stopped() {
            return Err(format!("{} stands still although every freeze was lifted", node.name));
        }
    }
    Ok(())
}
