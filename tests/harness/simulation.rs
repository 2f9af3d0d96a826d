//! One run: who takes part, what goes wrong, and what must be true in the end.

use std::{
    panic::{self, AssertUnwindSafe},
    time::Duration,
};

use aiemp_crdt::{conflict::ConflictKind, vault::Choice};
use aiemp_node::core::{Brain, Compaction, Input, Question};
use aiemp_protocol::{entry::Item, roster::Role};

use crate::{Violation, brake, check, executor, people, random::Rng, world::Cast, world::World};

pub mod days;

/// How long a healed mesh gets until it must be quiet.
const HEALING_MS: u64 = 100_000;

/// After this every node runs and is connected, so that the person knows of every freeze.
const GATHERING_MS: u64 = 50_000;

/// What a run was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Digest of everything that happened.
    pub trace: u64,
    /// How many actions were sent.
    pub sent: usize,
    /// How often a note started anew.
    pub compacted: usize,
}

/// How often a note started anew, as far as the first node knows.
fn compacted(world: &World) -> usize {
    let items = world.nodes[0].store.entries.iter().flat_map(|kept| &kept.signed.entry.items);
    items.filter(|item| matches!(item, Item::Compacted { .. })).count()
}

/// Runs one seed from beginning to end. A panic of a machine is a violation like any other.
pub fn run(seed: u64) -> Result<Outcome, Violation> {
    guarded(|| run_from(seed, &mut None))
}

/// Runs one seed and tells its story.
pub fn tell(seed: u64) -> (Vec<String>, Result<Outcome, Violation>) {
    let mut story = Some(Vec::new());
    let outcome = guarded(|| run_from(seed, &mut story));
    (story.unwrap_or_default(), outcome)
}

fn guarded<T>(run: impl FnOnce() -> Result<T, Violation>) -> Result<T, Violation> {
    let caught = panic::catch_unwind(AssertUnwindSafe(run));
    caught.unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().map(String::as_str).or(cause.downcast_ref::<&str>().copied());
        Err(format!("no panics: {}", text.unwrap_or("without a message")))
    })
}

fn run_from(seed: u64, story: &mut Option<Vec<String>>) -> Result<Outcome, Violation> {
    let mut rng = Rng::new(seed);
    let (cast, links) = setting(&mut rng);
    let compaction = compaction(seed, 20_000);
    let mut world = World::compacting(rng.next(), &cast, &links, compaction)?;
    world.story = story.take();
    read_late(seed, &mut world);
    let outcome = live(&mut world, &mut rng);
    let told = if world.story.is_some() { world.nodes.len() } else { 0 };
    for node in 0..told {
        let vault = world.nodes[node].core.as_ref().map(|core| format!("{:?}", core.vault()));
        world.tell(node, || format!("ends as {}", vault.unwrap_or_default()));
    }
    *story = world.story;
    outcome
}

/// Every other mesh lets notes start anew that were left alone for moments, be it of one change.
fn compaction(seed: u64, quiet_ms_max: u64) -> Compaction {
    let mut rng = Rng::new(seed ^ 0x0c0a_0000_0000_0000);
    let quiet = Duration::from_millis(rng.between(500, quiet_ms_max));
    if rng.chance(50) { Compaction { quiet, changes_min: rng.below(3) + 1 } } else { Compaction::default() }
}

/// In every fourth mesh a node that starts again reads its vault only after a while.
fn read_late(seed: u64, world: &mut World) {
    let mut rng = Rng::new(seed ^ 0x1a7e_0000_0000_0000);
    if rng.chance(25) {
        world.nodes.iter_mut().for_each(|node| node.reads_after_ms = rng.between(1, 5_000));
    }
}

fn live(world: &mut World, rng: &mut Rng) -> Result<Outcome, Violation> {
    world.network.lossy = rng.chance(25);
    let calm = rng.chance(20);
    let steps = rng.between(25, 60);
    for _ in 0..steps {
        step(world, rng, calm)?;
    }
    recover(world)?;
    Ok(Outcome { trace: world.trace, sent: world.executor.sent_count(), compacted: compacted(world) })
}

/// Nothing goes wrong any more; after a while everything must hold.
fn recover(world: &mut World) -> Result<(), Violation> {
    world.heal();
    world.run_for(GATHERING_MS)?;
    brake::unfreeze(world)?;
    decide_removals(world)?;
    world.run_for(HEALING_MS)?;
    brake::released(world)?;
    if check::healed(world).is_err() {
        decide_removals(world)?;
        world.run_for(3 * HEALING_MS)?;
        check::healed(world)?;
    }
    Ok(())
}

fn setting(rng: &mut Rng) -> (Vec<Cast>, Vec<(usize, usize)>) {
    let local_brain = if rng.chance(25) { Brain::Template } else { Brain::None };
    let mut cast = vec![("laptop", Role::Local, local_brain), ("cloud", Role::Cloud, Brain::Template)];
    if rng.chance(40) {
        return (cast, vec![(0, 1)]);
    }
    cast.push(("desktop", Role::Local, Brain::None));
    let links = match rng.below(4) {
        // One Local relays what is for all between the other and Cloud.
        0 => vec![(0, 1), (0, 2)],
        1 => vec![(0, 2), (1, 2)],
        _ => vec![(0, 1), (0, 2), (1, 2)],
    };
    (cast, links)
}

fn step(world: &mut World, rng: &mut Rng, calm: bool) -> Result<(), Violation> {
    let node = rng.below(world.nodes.len());
    let other = rng.below(world.nodes.len());
    match rng.below(100) {
        0..60 => people::act(world, node),
        60..75 => executor::act(world)?,
        75..82 if !calm => {
            let down = world.rng.delay_ms() * 3;
            let is_told_to = world.nodes[node].life.is_multiple_of(2);
            if !(is_told_to && world.stop(node, down)) {
                world.crash(node, down);
            }
        }
        82..88 if !calm => world.cut(node, other),
        88..92 if !calm => world.partition(node, other, rng.between(1_000, 60_000)),
        92..96 => resolve(world, node)?,
        96..98 if rng.chance(40) => brake::freeze(world, node)?,
        96..98 => brake::unfreeze(world)?,
        _ => {}
    }
    let wait = match rng.below(20) {
        0..10 => rng.between(0, 50),
        10..16 => rng.between(50, 1_500),
        16..19 => rng.between(1_000, 8_000),
        _ => rng.between(8_000, 45_000),
    };
    world.run_for(wait)
}

/// Removals that wait are taken back, for what waits for a person is on one disk alone.
fn decide_removals(world: &mut World) -> Result<(), Violation> {
    for node in 0..world.nodes.len() {
        let items = world.nodes[node].core.as_ref().map(|core| core.vault().open_items()).unwrap_or_default();
        for item in items.iter().filter(|item| item.kind == ConflictKind::MassRemoval) {
            let question = Question::Resolve { id: item.id, choice: Choice::Both };
            world.input(node, Input::Asked { request: 1 << 40, question })?;
        }
    }
    Ok(())
}

/// A person closes a conflict item.
fn resolve(world: &mut World, node: usize) -> Result<(), Violation> {
    let Some(core) = &world.nodes[node].core else { return Ok(()) };
    let conflicts = core.vault().open_items();
    let Some(item) = world.rng.pick(&conflicts) else { return Ok(()) };
    if item.sides.iter().any(|side| side.text.is_empty()) {
        return Ok(());
    }
    let taken = world.rng.below(3);
    let choice = if taken == 0 { Choice::Both } else { Choice::Side(taken - 1) };
    if !core.vault().can_resolve(item, &choice) {
        return Ok(());
    }
    if matches!(item.kind, ConflictKind::Move | ConflictKind::Name) {
        // Nothing that anybody wrote depends on it.
        let question = Question::Resolve { id: item.id, choice };
        return world.input(node, Input::Asked { request: 1 << 40, question });
    }
    if item.kind == ConflictKind::Claim {
        let held = || core.vault().holder(core.vault().claims().work_of(item.file)?).map(|claim| claim.to);
        let copy = [None, Some(item.file), held()][taken];
        let lies = core.vault().on_disk().find(|(_, there)| Some(there.file) == copy);
        if let Some(seen) = lies.and_then(|(_, there)| world.nodes[node].disk.files.get(&there.path)) {
            world.ledger.replaced(seen, b"");
        }
        let question = Question::Resolve { id: item.id, choice };
        return world.input(node, Input::Asked { request: 1 << 40, question });
    }
    // What the person decides against was seen by them. `Both` shows a note too, and lets a field stand as shown.
    let kept = match (taken, item.kind) {
        (
            0,
            ConflictKind::Text
            | ConflictKind::Structure
            | ConflictKind::DeleteEdit
            | ConflictKind::LateEdit
            | ConflictKind::Content
            | ConflictKind::Blob
            | ConflictKind::Dropped
            | ConflictKind::MassRemoval,
        ) => None,
        (_, ConflictKind::ActiveContent) if taken != 1 => {
            world.ledger.released.extend(item.found.iter().map(|finding| finding.release));
            None
        }
        (0, ConflictKind::Field) => Some(item.merged.clone()),
        (side, _) => Some(item.sides.get(side - 1).map(|side| side.text.clone()).unwrap_or_default()),
    };
    if let Some(kept) = kept {
        // Whoever takes another content gives up the note that they see, with all that was edited in it.
        if matches!(item.kind, ConflictKind::Content | ConflictKind::Blob)
            && let Some(seen) = world.nodes[node].disk.files.get(&item.path)
        {
            world.ledger.replaced(seen, kept.as_bytes());
        }
        if matches!(item.kind, ConflictKind::Text | ConflictKind::Structure) {
            world.ledger.replaced(item.merged.as_bytes(), kept.as_bytes());
        }
        for side in &item.sides {
            world.ledger.replaced(side.text.as_bytes(), kept.as_bytes());
        }
    }
    let question = Question::Resolve { id: item.id, choice };
    world.input(node, Input::Asked { request: 1 << 40, question })
}
