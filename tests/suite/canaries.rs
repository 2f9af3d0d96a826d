//! Canaries in many spellings at every way out of Local: none reaches the wire, Cloud's disk, a prompt or a call. The
//! same campaign with a guard that knows none of them sees every one, so each would have got out.

mod doors;

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use aho_corasick::AhoCorasick;
use aiemp_node::core::Brain;
use aiemp_protocol::{ids::Audience, roster::Role};
use aiemp_tests::{
    node::Node,
    random::Rng,
    world::{Way, World},
};
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};

use doors::{Cost, DOORS, Door};

const CANARIES: usize = 1000;
/// Canaries at doors where each try costs a merge or a draft.
const BY_TURNS: usize = 100;

/// A way to write a canary.
type Spelling = (&'static str, fn(&str) -> String);

/// What the guard promises to read.
pub(crate) const SPELLINGS: [Spelling; 10] = [
    ("plain", str::to_owned),
    ("base64", |canary| BASE64.encode(canary.as_bytes())),
    ("base64 for addresses", |canary| BASE64URL_NOPAD.encode(format!("??>{canary}").as_bytes())),
    ("hex", |canary| HEXLOWER.encode(canary.as_bytes())),
    ("hex in capitals with spaces", |canary| each(canary, |c| format!("{:02X} ", u32::from(c))).trim_end().to_owned()),
    ("percent", |canary| each(canary, |c| format!("%{:02X}", u32::from(c)))),
    ("zero-width", |canary| each(canary, |c| format!("{c}\u{200b}"))),
    ("broken over two lines", |canary| format!("{}\n{}", &canary[..11], &canary[11..])),
    ("JSON escapes", |canary| each(canary, |c| format!("\\u{:04x}", u32::from(c)))),
    ("HTML entities", |canary| each(canary, |c| format!("&#{};", u32::from(c)))),
];

fn each(canary: &str, spelt: impl Fn(char) -> String) -> String {
    canary.chars().map(spelt).collect()
}

/// A made-up secret, of no provider's form.
pub(crate) fn canary(number: usize) -> String {
    let mut rng = Rng::new(0xca9a_0000 + number as u64);
    let mut part = |length: usize| -> String {
        let letters = (0..length).map(|_| b"bcdfghjkmnpqrstvwxz23456789"[rng.below(27)]);
        letters.map(char::from).collect()
    };
    format!("Finch.{}-{}", part(7), part(6))
}

/// A canary and a spelling, by number.
pub(crate) type Case = (usize, usize);

/// What is tried at once: one text, and the canaries in it.
pub(crate) struct Try {
    pub(crate) text: String,
    cases: Vec<Case>,
}

/// All canaries in all spellings.
struct Campaign {
    canaries: Vec<String>,
    forms: AhoCorasick,
    cases: Vec<Case>,
}

impl Campaign {
    fn of(count: usize) -> Self {
        let canaries: Vec<String> = (0..count).map(canary).collect();
        let (mut forms, mut cases) = (Vec::new(), Vec::new());
        for (number, canary) in canaries.iter().enumerate() {
            for (spelling, (_, spell)) in SPELLINGS.iter().enumerate() {
                let form = spell(canary);
                // Headers and texts of one line write the end of a line in ways of their own, and prompts and the notes
                // of mails what cannot be seen.
                let ways = [("\n", " "), ("\n", "\r\n "), ("\u{200b}", "[U+200B]"), ("\u{200b}", "\\[U+200B\\]")];
                let other = ways.iter().map(|(from, to)| form.replace(from, to)).filter(|other| *other != form);
                for form in other.chain([form.clone()]) {
                    forms.push(form);
                    cases.push((number, spelling));
                }
            }
        }
        Self { canaries, forms: AhoCorasick::new(forms).expect("an automaton"), cases }
    }

    /// What is put through a door: where the guard may hold it, each case by itself, for it is held for any one. A
    /// door at which each try costs a merge gets some canaries, each once, in the spellings by turns.
    fn tries(&self, door: &Door, known: bool) -> Vec<Try> {
        let one = |(number, spelling): Case| Try {
            text: SPELLINGS[spelling].1(&self.canaries[number]),
            cases: vec![(number, spelling)],
        };
        let by_turns = |number: usize| (number, number % SPELLINGS.len());
        let numbers = 0..self.canaries.len();
        let tries: Vec<Try> = if door.cost == Cost::Work || (door.cost == Cost::Merge && !known) {
            numbers.take(BY_TURNS).map(by_turns).map(one).collect()
        } else if known {
            numbers.flat_map(|number| (0..SPELLINGS.len()).map(move |spelling| (number, spelling))).map(one).collect()
        } else {
            let all = |number: usize| (0..SPELLINGS.len()).map(move |spelling| one((number, spelling)).text);
            let cases = |number: usize| (0..SPELLINGS.len()).map(|spelling| (number, spelling)).collect();
            numbers.map(|at| Try { text: all(at).collect::<Vec<_>>().join("\n\n"), cases: cases(at) }).collect()
        };
        tries.into_iter().filter(|tried| (door.takes)(&tried.text)).collect()
    }

    fn seen_in(&self, bytes: &[u8], seen: &mut BTreeSet<Case>) {
        seen.extend(self.forms.find_overlapping_iter(bytes).map(|found| self.cases[found.pattern().as_usize()]));
    }

    /// Everything of the campaign that left Local for anybody else.
    fn seen(&self, world: &World, door: &Door) -> BTreeSet<Case> {
        let mut seen = BTreeSet::new();
        for (from, way, bytes) in world.left.iter().flatten() {
            let counts = match way {
                // What a prompt is made of came from Cloud.
                Way::Frame(_) | Way::Call => !door.from_cloud,
                Way::Answer | Way::Prompt(_) => true,
            };
            if *from == 0 && counts {
                self.seen_in(bytes, &mut seen);
            }
        }
        if !door.from_cloud {
            let cloud = &world.nodes[1];
            for (path, bytes) in &cloud.disk.files {
                self.seen_in(path.as_str().as_bytes(), &mut seen);
                self.seen_in(bytes, &mut seen);
            }
            cloud.store.payloads.values().for_each(|bytes| self.seen_in(bytes, &mut seen));
            cloud.store.entries.iter().for_each(|kept| self.seen_in(&kept.signed.cose, &mut seen));
        }
        seen
    }

    /// Puts everything through one door of a Local whose guard knows the canaries or does not, from the start or only
    /// once they lie in its log. What was tried, and what was seen outside.
    fn run(&self, door: &Door, known: bool) -> (BTreeSet<Case>, BTreeSet<Case>) {
        let brain = if door.brain { Brain::Command } else { Brain::None };
        let cast = [("laptop", Role::Local, brain), ("cloud", Role::Cloud, Brain::None)];
        let mut world = World::new(1, &cast, &[(0, 1)]).expect("a mesh is founded");
        world.left = Some(Vec::new());
        let tries = self.tries(door, known);
        let learn = |world: &mut World| {
            world.nodes[0].canaries = if known { self.canaries.clone() } else { Vec::new() };
            world.crash(0, 10);
            pass(world, 5_000);
        };
        if door.before_known {
            world.partition(0, 1, 1 << 40);
            (door.put)(&mut world, &tries);
            learn(&mut world);
        } else {
            learn(&mut world);
            (door.put)(&mut world, &tries);
        }
        world.heal();
        settle(&mut world);
        (tries.into_iter().flat_map(|tried| tried.cases).collect(), self.seen(&world, door))
    }
}

fn pass(world: &mut World, ms: u64) {
    world.run_for(ms).expect("nothing goes wrong");
}

/// Lets time pass until nothing is under way and both hold the same logs.
pub(crate) fn settle(world: &mut World) {
    const TRIES: usize = 400;
    for _ in 0..TRIES {
        pass(world, 10_000);
        let logs = |node: &Node| {
            let core = node.core.as_ref()?;
            let rests = core.vault().is_settled() && !node.store.is_busy() && node.writes_under_way == 0;
            let shared = core.replication().frontier().filter(|position| position.log.audience == Audience::All);
            rests.then(|| shared.collect::<Vec<_>>())
        };
        let (local, cloud) = (logs(&world.nodes[0]), logs(&world.nodes[1]));
        let apart = world.network.session(0, 1).is_none();
        if local.is_some() && (local == cloud || apart && cloud.is_some()) {
            return;
        }
    }
    panic!("the world does not come to rest");
}

/// Names the first of the cases.
fn told(cases: impl Iterator<Item = Case>) -> String {
    let named = |(number, spelling): Case| format!("{} in {}", canary(number), SPELLINGS[spelling].0);
    cases.take(12).map(named).collect::<Vec<_>>().join(", ")
}

#[expect(clippy::print_stderr, reason = "the figures of a campaign")]
fn run_all(known: bool) {
    let campaign = Campaign::of(CANARIES);
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    let work = || {
        while let Some(door) = DOORS.get(next.fetch_add(1, Ordering::Relaxed)) {
            let start = Instant::now();
            let (tried, seen) = campaign.run(door, known);
            let spent = start.elapsed().as_secs_f64();
            eprintln!("{}: {} tried, {} seen outside, {spent:.1} s", door.name, tried.len(), seen.len());
            let unseen = tried.difference(&seen).copied();
            let faults: Vec<Case> = if known { seen.iter().copied().collect() } else { unseen.collect() };
            if !faults.is_empty() || tried.is_empty() {
                let told = format!("{}: {}, {}", door.name, faults.len(), told(faults.into_iter()));
                wrong.lock().expect("no thread panicked").push(told);
            }
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let wrong = wrong.into_inner().expect("no thread panicked");
    let fault = if known { "got out" } else { "are not seen though nothing held them" };
    assert!(wrong.is_empty(), "canaries that {fault}:\n{}", wrong.join("\n"));
}

#[test]
fn no_canary_gets_out_in_any_spelling_by_any_door() {
    run_all(true);
}

#[test]
fn every_canary_gets_out_by_every_door_where_the_guard_knows_none() {
    run_all(false);
}
