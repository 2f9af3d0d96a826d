//! A captured Cloud against one Local: whatever it says, nothing that matters is lost, leaked or sent.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use aiemp_protocol::frame::Frame;
use aiemp_tests::{
    campaign::{self, Allowance, Tally},
    check,
};

/// Moves of an ordinary run, among them those of each allowance; `AIEMP_CAMPAIGN_MOVES` asks for another number,
/// `AIEMP_CAMPAIGN_ROUND` for another first round, and alone for that round only. `AIEMP_CAMPAIGN_ALLOWANCE` plays all of
/// them with one allowance: `nothing`, `local` or `cloud`.
const MOVES: u64 = 8_000;
/// Moves of one round, which begins with a new mesh.
const MOVES_OF_A_ROUND: u64 = 200;
const THREADS: u64 = 2;

fn number_from(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}

#[expect(clippy::print_stdout, reason = "for the person who reads what was tried")]
fn tell(tally: &Tally) {
    println!("{:<34}{:>8}{:>8}{:>8}", "kind of move", "tried", "taken", "refused");
    for (kind, count) in &tally.kinds {
        println!("{kind:<34}{:>8}{:>8}{:>8}", count.taken + count.refused, count.taken, count.refused);
    }
    let Tally { approved, sent, by_standing, undone, left, frozen, .. } = tally;
    println!(
        "approved {approved}, sent {sent}, by standing approvals {by_standing}, files undone {undone}, left {left}, logs frozen {frozen}"
    );
}

fn run(rounds: &[(u64, Allowance)]) -> BTreeMap<&'static str, Tally> {
    let (next, sums) = (AtomicUsize::new(0), Mutex::new(BTreeMap::<_, Tally>::new()));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((seed, allowance)) = rounds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let name = allowance.as_str();
                    match campaign::round(*seed, MOVES_OF_A_ROUND, *allowance) {
                        Ok(tally) => sums.lock().expect("no round panics").entry(name).or_default().add(&tally),
                        Err(violation) => {
                            next.store(rounds.len(), Ordering::Relaxed);
                            panic!(
                                "campaign round {seed}: {violation}: reproduce with AIEMP_CAMPAIGN_ROUND={seed} \
                                 AIEMP_CAMPAIGN_ALLOWANCE={name}"
                            );
                        }
                    }
                }
            });
        }
    });
    sums.into_inner().expect("no round panics")
}

/// The rounds that were asked for: each allowance in turn, unless one was named.
fn rounds() -> Vec<(u64, Allowance)> {
    let (first, moves) = (number_from("AIEMP_CAMPAIGN_ROUND"), number_from("AIEMP_CAMPAIGN_MOVES"));
    let from = first.unwrap_or(0);
    let ordinary = if first.is_some() { MOVES_OF_A_ROUND } else { MOVES };
    let rounds = from..from + moves.unwrap_or(ordinary).div_ceil(MOVES_OF_A_ROUND);
    let named = std::env::var("AIEMP_CAMPAIGN_ALLOWANCE").ok();
    let allowance = |seed: u64| match &named {
        Some(name) => *Allowance::EACH.iter().find(|one| one.as_str() == name).expect("an allowance by its word"),
        None => Allowance::EACH[usize::try_from(seed % 3).expect("below three")],
    };
    rounds.map(|seed| (seed, allowance(seed))).collect()
}

#[test]
fn a_captured_cloud_gets_nothing_sent_but_what_was_allowed_nothing_private_and_nothing_that_stays() {
    let rounds = rounds();
    let tallies = run(&rounds);
    let mut tally = Tally::default();
    tallies.values().for_each(|one| tally.add(one));
    tell(&tally);
    if rounds.len() == 1 {
        return;
    }
    for (kind, may_be_taken) in campaign::kinds() {
        let count = tally.kinds.get(kind).copied().unwrap_or_default();
        assert!(count.refused > 0 || may_be_taken, "{kind} was never refused: {count:?}");
        assert_eq!(count.taken > 0, may_be_taken, "{kind}: {count:?}");
    }
    assert!(tally.sent > 0 && tally.approved > tally.sent, "the person approves and the provider takes: {tally:?}");
    assert!(tally.undone > 0 && tally.frozen > 0, "{tally:?}");
    for (allowance, one) in &tallies {
        let is_nothing = *allowance == Allowance::Nothing.as_str();
        assert_eq!(one.by_standing == 0, is_nothing, "what goes out with {allowance}: {one:?}");
    }
}

#[test]
fn the_checks_of_the_campaign_see_what_they_are_for() {
    let (mut world, person) = campaign::captured(1, Allowance::TextByLocal).expect("a mesh");
    campaign::kept(&world, &person).expect("nothing happened yet");
    let (path, diary) = {
        let files = &world.nodes[0].disk.files;
        let (path, bytes) = files.iter().find(|(path, _)| path.as_str() == "Private/diary.md").expect("a diary");
        (path.clone(), bytes.clone())
    };
    assert!(check::said(&world, 1, &Frame::Roster { bytes: diary.clone() }.to_bytes()).is_err());
    assert!(check::said(&world, 0, &diary).is_ok());
    world.nodes[0].disk.files.insert(path, b"written by somebody else\n".to_vec());
    assert!(campaign::kept(&world, &person).is_err());
}
