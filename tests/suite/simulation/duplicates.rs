//! How often work is done twice: claims are there to make that rare, and nothing rests on it.

use std::collections::BTreeSet;

use aiemp_node::core::Brain;
use aiemp_protocol::{
    ids::{FileId, WorkId},
    roster::Role,
    zone::Zone,
};
use aiemp_tests::{
    people,
    world::{Cast, World},
};

use super::{
    number_from,
    scenarios::{core, pass, path, settle, world},
};

const MAILS: usize = 10;
/// Worlds of each kind in the ordinary run; `AIEMP_DUPLICATES_SEEDS` asks for more.
const SEEDS: u64 = 3;
/// A mail comes every so often.
const EVERY_MS: u64 = 60_000;

const CAST: [Cast; 3] = [
    ("laptop", Role::Local, Brain::Template),
    ("cloud", Role::Cloud, Brain::Template),
    ("cloud2", Role::Cloud, Brain::Template),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Weather {
    /// Nothing goes wrong, but one frame of eight takes up to three seconds.
    Healthy,
    /// Each minute one node ends, and starts again half a minute later.
    Crashing,
    /// Each minute two nodes do not hear each other for 45 seconds.
    Partitioned,
}

/// How many pieces of work were done, and how often one was done by one more node.
fn done(seed: u64, nodes: usize, weather: Weather) -> (usize, usize) {
    let links: Vec<_> = (0..nodes).flat_map(|one| (0..one).map(move |other| (other, one))).collect();
    let mut world = world(seed, &CAST[..nodes], &links);
    pass(&mut world, EVERY_MS);
    for mail in 0..MAILS {
        match weather {
            Weather::Healthy => {}
            Weather::Crashing => {
                let crashing = world.rng.below(nodes);
                world.crash(crashing, 30_000);
            }
            Weather::Partitioned => {
                let (one, other) = links[world.rng.below(links.len())];
                world.partition(one, other, 45_000);
            }
        }
        // Every node takes it from the mail server, about the same time.
        for node in 0..nodes {
            if world.nodes[node].core.is_some() {
                people::save(&mut world, node, path(&format!("Inbox/{mail}.eml")), people::mail(mail as u64, "soon"));
            }
            let apart = world.rng.below(500);
            pass(&mut world, apart as u64);
        }
        pass(&mut world, EVERY_MS);
    }
    settle(&mut world);
    let works: BTreeSet<_> = core(&world, 0).vault().claims().iter().map(|(work, _)| work).collect();
    let drafts = works.iter().map(|work| drafts_of(&world, nodes, *work)).filter(|drafts| *drafts > 0);
    drafts.fold((0, 0), |(works, twice), drafts| (works + 1, twice + drafts - 1))
}

fn drafts_of(world: &World, nodes: usize, work: WorkId) -> usize {
    let draft = |node: usize| FileId::for_work(Zone::Drafts, work, &format!("draft:{}", world.nodes[node].id()));
    (0..nodes).filter(|node| core(world, 0).vault().index().get(draft(*node)).is_some()).count()
}

#[test]
#[expect(clippy::print_stdout, reason = "the table is for the person who asks for it")]
fn work_is_seldom_done_twice() {
    let seeds = number_from("AIEMP_DUPLICATES_SEEDS").unwrap_or(SEEDS);
    println!("| nodes | | pieces of work | done once more | rate |\n|---|---|---|---|---|");
    for (nodes, weather, percent_max) in [
        (2, Weather::Healthy, 10),
        (2, Weather::Crashing, 100),
        (2, Weather::Partitioned, 100),
        (3, Weather::Healthy, 10),
        (3, Weather::Crashing, 100),
        (3, Weather::Partitioned, 100),
    ] {
        let runs = (0..seeds).map(|seed| done(700 + seed, nodes, weather));
        let (works, twice) = runs.fold((0, 0), |all, run| (all.0 + run.0, all.1 + run.1));
        let percent = 100.0 * twice as f64 / works as f64;
        println!("| {nodes} | {weather:?} | {works} | {twice} | {percent:.1} % |");
        assert!(works > 0 && 100 * twice <= percent_max * works, "{nodes} nodes, {weather:?}: {twice} of {works}");
    }
}
