//! A day of two people and their programs on one vault, in real processes on a real disk: nothing that was saved is lost.
//!
//! Each word that is saved occurs once. A ledger says which words were taken out by somebody who had read them; of all
//! others each must be in a file, in a conflict, in what a node holds back, or in the history of a place where it lay.

mod change;
mod editor;
mod link;
mod provenance;
mod side;
mod verdict;

use std::{
    fs,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use aiemp_tests::random::Rng;

use self::{link::Link, provenance::Provenance, side::Side};
use crate::node::Pair;

/// Steps of an ordinary run, of both sides together; `AIEMP_EDITOR_STEPS` asks for another number.
const STEPS: usize = 300;

/// What both sides share.
#[derive(Debug)]
struct Day {
    link: Link,
    provenance: Mutex<Provenance>,
}

fn asked_for(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Two nodes that speak over a link that can be cut.
fn linked() -> (Pair, Link) {
    let mut pair = Pair::strangers();
    pair.cloud.start();
    let addresses = pair.cloud.home.join("run/addresses");
    pair.wait("Cloud listens", |_| fs::metadata(&addresses).is_ok_and(|file| file.len() > 0));
    let addresses = fs::read_to_string(addresses).expect("they are there");
    let port = addresses.trim().rsplit('/').next().and_then(|port| port.parse().ok()).expect("a port");
    let link = Link::to(port);
    let ticket = pair.cloud.must(&["pair", "invite", "--announce", &format!("127.0.0.1:{}", link.port)]);
    pair.local.must(&["pair", "accept", &ticket, "--yes"]);
    pair.wait("Cloud is in the mesh", |pair| pair.cloud.home.join("run/control.sock").exists());
    pair.local.start();
    (pair, link)
}

#[test]
fn nothing_that_two_people_and_their_programs_save_is_lost() {
    let steps = asked_for("AIEMP_EDITOR_STEPS").and_then(|steps| usize::try_from(steps).ok()).unwrap_or(STEPS);
    let seed = asked_for("AIEMP_EDITOR_SEED").unwrap_or_else(|| provenance::now_ms() % 1_000_000);
    tell(&format!("AIEMP_EDITOR_SEED={seed} AIEMP_EDITOR_STEPS={steps}"));
    let (mut pair, link) = linked();
    let day = Day { link, provenance: Mutex::default() };
    tell("linked");
    let started = Instant::now();
    let mut editors = thread::scope(|scope| {
        let nodes = [&mut pair.cloud, &mut pair.local].into_iter().zip(1..);
        let sides = nodes.map(|(node, number)| Side::new(node, Rng::new(seed.wrapping_mul(2) + number), &day));
        let sides: Vec<_> = sides.map(|side| scope.spawn(move || side.work(steps / 2))).collect();
        let editors = sides.into_iter().map(|side| side.join().expect("the side works its day"));
        editors.collect::<Vec<_>>()
    });
    let worked = started.elapsed();
    day.link.join();
    answer_removals(&pair);
    let verdict = verdict::judge(&pair, &day.provenance, &mut editors);
    let did: Vec<_> = editors.iter().map(|editor| &editor.did).collect();
    tell(&format!("worked {worked:.1?}, judged {:.1?}: {did:?}", started.elapsed() - worked));
    match verdict {
        Ok(verdict) => tell(&verdict.to_string()),
        Err(why) => panic!("AIEMP_EDITOR_SEED={seed} AIEMP_EDITOR_STEPS={steps}: {why}"),
    }
}

/// Answers what the nodes ask the person: whether many files that went within seconds were to go. Here they stay.
fn answer_removals(pair: &Pair) {
    for node in [&pair.local, &pair.cloud] {
        for _ in 0..20 {
            let listed = node.json(&["conflicts", "list", "--json"]);
            let items = listed["items"].as_array().into_iter().flatten();
            for item in items.filter(|item| item["kind"] == "mass_removal") {
                node.must(&["conflicts", "resolve", item["id"].as_str().expect("an id"), "--take", "both"]);
            }
            thread::sleep(Duration::from_millis(250));
        }
    }
}

#[expect(clippy::print_stdout, reason = "for the person who reads what was tried")]
fn tell(what: &str) {
    println!("{what}");
}
