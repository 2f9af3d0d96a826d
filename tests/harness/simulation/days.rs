//! Three to five nodes over days: relays in a row, everybody asleep at night, some of them away for up to eight days.

use std::collections::BTreeSet;

use aiemp_node::core::Brain;
use aiemp_protocol::roster::Role;

use super::{guarded, recover, step};
use crate::{Violation, network::ends, random::Rng, world::Cast, world::World};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
const DAYS_MAX: u64 = 8;

/// What a run over days was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Days {
    /// How many nodes there were.
    pub nodes: usize,
    /// How many days some of them were away.
    pub days: u64,
    /// Entries in the logs in the end.
    pub entries: usize,
    /// Words that people saved.
    pub words: usize,
    /// Conflict items that every node lists.
    pub conflicts: usize,
    /// How often a note started anew.
    pub compacted: usize,
}

/// Runs one seed from beginning to end. The seeds are others than those of [`super::run`].
pub fn run(seed: u64) -> Result<Days, Violation> {
    guarded(|| run_from(seed, &mut None))
}

/// Runs one seed and tells its story.
pub fn tell(seed: u64) -> (Vec<String>, Result<Days, Violation>) {
    let mut story = Some(Vec::new());
    let outcome = guarded(|| run_from(seed, &mut story));
    (story.unwrap_or_default(), outcome)
}

fn run_from(seed: u64, story: &mut Option<Vec<String>>) -> Result<Days, Violation> {
    let mut rng = Rng::new(seed ^ 0x0da1_5000_0000_0000);
    let (cast, links) = setting(&mut rng);
    let compaction = super::compaction(seed, 60_000);
    let mut world = World::compacting(rng.next(), &cast, &links, compaction)?;
    world.story = story.take();
    let days = rng.between(1, DAYS_MAX);
    let outcome = live(&mut world, &mut rng, days);
    *story = world.story.take();
    outcome?;
    let core = world.nodes[0].core.as_ref().ok_or("the first node does not run")?;
    Ok(Days {
        nodes: cast.len(),
        days,
        entries: world.nodes[0].store.entries.len(),
        words: world.ledger.words.len(),
        conflicts: core.vault().conflicts().len(),
        compacted: super::compacted(&world),
    })
}

/// Locals in a row, so that each private note finds a way; each Cloud somewhere beside them, or behind the other one. More
/// links at random.
fn setting(rng: &mut Rng) -> (Vec<Cast>, Vec<(usize, usize)>) {
    let all: [Cast; 5] = [
        ("laptop", Role::Local, if rng.chance(25) { Brain::Template } else { Brain::None }),
        ("cloud", Role::Cloud, Brain::Template),
        ("desktop", Role::Local, if rng.chance(15) { Brain::Template } else { Brain::None }),
        ("spare", Role::Cloud, if rng.chance(25) { Brain::Template } else { Brain::None }),
        ("studio", Role::Local, Brain::None),
    ];
    let count = if rng.chance(60) { 5 } else { 3 + rng.below(2) };
    let cast = all[..count].to_vec();
    let mut links = BTreeSet::new();
    let of_role = |role| (0..count).filter(move |node| all[*node].1 == role);
    let mut locals: Vec<_> = of_role(Role::Local).collect();
    if rng.chance(50) {
        locals.reverse();
    }
    links.extend(locals.windows(2).map(|pair| ends(pair[0], pair[1])));
    let mut there = locals;
    for cloud in of_role(Role::Cloud) {
        links.insert(ends(cloud, there[rng.below(there.len())]));
        there.push(cloud);
    }
    for _ in 0..rng.below(3) {
        let (one, other) = (rng.below(count), rng.below(count));
        if one != other {
            links.insert(ends(one, other));
        }
    }
    (cast, links.into_iter().collect())
}

fn live(world: &mut World, rng: &mut Rng, days: u64) -> Result<(), Violation> {
    world.network.lossy = rng.chance(25);
    let calm = rng.chance(20);
    let count = world.nodes.len();
    let away: BTreeSet<_> = (0..count).filter(|_| rng.chance(40)).collect();
    let back = world.now + days * DAY_MS;
    let links: Vec<_> = world.network.links.keys().copied().collect();
    for (one, other) in links.iter().filter(|(one, other)| away.contains(one) != away.contains(other)) {
        world.part_until(*one, *other, back);
    }
    for day in 1..=days {
        for _ in 0..rng.between(8, 20) {
            step(world, rng, calm)?;
        }
        let morning = back - (days - day) * DAY_MS;
        for (one, other) in &links {
            world.part_until(*one, *other, morning);
        }
        world.run_for(morning.saturating_sub(world.now))?;
    }
    recover(world)
}
