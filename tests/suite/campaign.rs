//! A captured Cloud against one Local: whatever it says, nothing that matters is lost, leaked or sent.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use aiemp_protocol::frame::Frame;
use aiemp_tests::{
    campaign::{self, Tally},
    check,
};

/// Moves of an ordinary run; `AIEMP_CAMPAIGN_MOVES` asks for another number, `AIEMP_CAMPAIGN_ROUND` for another first
/// round, and alone for that round only.
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
    let Tally { approved, sent, undone, left, frozen, .. } = tally;
    println!("approved {approved}, sent {sent}, files undone {undone}, left {left}, logs frozen {frozen}");
}

fn run(rounds: std::ops::Range<u64>) -> Tally {
    let (next, sum) = (AtomicU64::new(rounds.start), Mutex::new(Tally::default()));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= rounds.end {
                        return;
                    }
                    match campaign::round(seed, MOVES_OF_A_ROUND) {
                        Ok(tally) => sum.lock().expect("no round panics").add(&tally),
                        Err(violation) => {
                            next.store(rounds.end, Ordering::Relaxed);
                            panic!("campaign round {seed}: {violation}: reproduce with AIEMP_CAMPAIGN_ROUND={seed}");
                        }
                    }
                }
            });
        }
    });
    sum.into_inner().expect("no round panics")
}

#[test]
fn a_captured_cloud_gets_nothing_sent_nothing_private_and_nothing_that_stays() {
    let (first, moves) = (number_from("AIEMP_CAMPAIGN_ROUND"), number_from("AIEMP_CAMPAIGN_MOVES"));
    let from = first.unwrap_or(0);
    if first.is_some() && moves.is_none() {
        return tell(&run(from..from + 1));
    }
    let tally = run(from..from + moves.unwrap_or(MOVES).div_ceil(MOVES_OF_A_ROUND));
    tell(&tally);
    for (kind, may_be_taken) in campaign::kinds() {
        let count = tally.kinds.get(kind).copied().unwrap_or_default();
        assert!(count.refused > 0 || may_be_taken, "{kind} was never refused: {count:?}");
        assert_eq!(count.taken > 0, may_be_taken, "{kind}: {count:?}");
    }
    assert!(tally.sent > 0 && tally.approved > tally.sent, "the person approves and the provider takes: {tally:?}");
    assert!(tally.undone > 0 && tally.frozen > 0, "{tally:?}");
}

#[test]
fn the_checks_of_the_campaign_see_what_they_are_for() {
    let (mut world, person) = campaign::captured(1).expect("a mesh");
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
