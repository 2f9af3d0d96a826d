//! The campaign of a captured Cloud: somebody else holds its key, its disk and its programs, and says whatever they
//! like over its session, while the person at Local works on.
//!
//! One round is a mesh of its own with some hundred moves, healings by the root key between them, and one undo at its
//! end. `person` is who works, `attacker` who signs, `entries`, `changes` and `frames` are the moves.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{self, AssertUnwindSafe},
};

use aiemp_node::core::{Answer, Brain, Core, Input, Question};
use aiemp_protocol::{
    ids::FileId,
    roster::{ClosedLog, Role, SignedRoster},
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use crate::{
    Violation, brake, check,
    random::Rng,
    standing,
    world::{World, root_key},
};

mod attacker;
mod changes;
mod entries;
mod frames;
mod person;

use attacker::Attacker;
use person::Person;

/// Where Local stands in the cast.
const LOCAL: usize = 0;
/// Where the captured node stands.
const CLOUD: usize = 1;
/// How long everything that is under way may take to end.
const QUIET_MS: u64 = 60_000;
/// How long the undo may take.
const UNDO_MS: u64 = 60_000;
/// The number of the undo's question.
const UNDO_REQUEST: u64 = 1 << 50;

/// Whom the person's standing approval names, and how many mails it allows.
const LISTED: [&str; 10] = [
    "a0@client.test",
    "a1@client.test",
    "a2@client.test",
    "a3@client.test",
    "a4@client.test",
    "a5@client.test",
    "a6@client.test",
    "a7@client.test",
    "a8@client.test",
    "a9@client.test",
];
const LISTED_COUNT: u64 = 4;

/// What goes out in a round without the person's looking at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// Nothing.
    Nothing,
    /// Mails to a few people, with text of the person's alone.
    TextByLocal,
    /// Mails to a few people, whoever wrote the text.
    TextByCloud,
}

impl Allowance {
    /// All of them.
    pub const EACH: [Self; 3] = [Self::Nothing, Self::TextByLocal, Self::TextByCloud];

    /// The word for it on a command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::TextByLocal => "local",
            Self::TextByCloud => "cloud",
        }
    }
}

/// What became of the moves of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Moves that had an effect at Local, within what Cloud may do.
    pub taken: u64,
    /// Moves that had none.
    pub refused: u64,
}

/// What was tried, by kind, and what the person did meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By the kind's name.
    pub kinds: BTreeMap<&'static str, Count>,
    /// Approvals that the person signed.
    pub approved: usize,
    /// Actions that were sent for them.
    pub sent: usize,
    /// Actions that were sent under standing approvals.
    pub by_standing: u64,
    /// Files that the undos put back.
    pub undone: usize,
    /// Files that they left, for others had built on them.
    pub left: usize,
    /// Logs that Local found invalid.
    pub frozen: usize,
}

impl Tally {
    /// Takes another tally into this one.
    pub fn add(&mut self, other: &Self) {
        for (kind, count) in &other.kinds {
            let sum = self.kinds.entry(kind).or_default();
            sum.taken += count.taken;
            sum.refused += count.refused;
        }
        self.approved += other.approved;
        self.sent += other.sent;
        self.by_standing += other.by_standing;
        self.undone += other.undone;
        self.left += other.left;
        self.frozen += other.frozen;
    }
}

/// A kind of move: its name, how many of a thousand moves are of it, what it does, and whether it may ever be taken.
struct Kind {
    name: &'static str,
    share: usize,
    play: fn(&mut Attacker, &mut World) -> Result<bool, Violation>,
    may_be_taken: bool,
}

const fn kind(
    name: &'static str,
    share: usize,
    may_be_taken: bool,
    play: fn(&mut Attacker, &mut World) -> Result<bool, Violation>,
) -> Kind {
    Kind { name, share, play, may_be_taken }
}

const KINDS: [Kind; 27] = [
    kind("new shared note", 80, true, entries::new_note),
    kind("edit of a shared note", 130, true, changes::edit),
    kind("draft edited while it is shown", 40, true, changes::edit_of_a_shown_draft),
    kind("draft with forged fields", 40, true, entries::forged_draft),
    kind("draft to a listed person", 40, true, entries::listed_draft),
    kind("id of a moved note taken in advance", 30, true, entries::taken_id),
    kind("broken change", 50, false, changes::broken),
    kind("shared note moved", 50, true, entries::moved),
    kind("shared note archived or back", 50, true, entries::archived),
    kind("other content or kind", 40, true, entries::replaced),
    kind("claim of a task", 30, true, entries::claim),
    kind("conflict resolved", 20, true, entries::resolve),
    kind("guessed digest named", 30, true, entries::guessed_digest),
    kind("hostile mail", 30, true, entries::mail),
    kind("file of a foreign zone", 15, false, entries::foreign_zone),
    kind("path outside its zone", 12, false, entries::outside_path),
    kind("hostile name", 12, false, entries::hostile_name),
    kind("two entries at one place", 6, false, entries::fork),
    kind("wrong chain, log or signature", 60, false, entries::wrong_chain),
    kind("wrong time, epoch or past", 30, true, entries::wrong_head),
    kind("payload that is another", 20, false, entries::wrong_payload),
    kind("frontier", 40, true, frames::frontier),
    kind("log fetched", 50, true, frames::fetch),
    kind("private payload asked for", 45, false, frames::payload_wanted),
    kind("roster", 30, false, frames::roster),
    kind("freeze or forged lift", 30, true, frames::freeze),
    kind("agent call", 60, true, frames::call),
];

/// The kinds, each with whether one of its moves may ever be taken.
pub fn kinds() -> impl Iterator<Item = (&'static str, bool)> {
    KINDS.iter().map(|kind| (kind.name, kind.may_be_taken))
}

/// One round. A panic of a machine is a violation like any other.
pub fn round(seed: u64, moves: u64, allowance: Allowance) -> Result<Tally, Violation> {
    let caught = panic::catch_unwind(AssertUnwindSafe(|| play(seed, moves, allowance)));
    caught.unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().map(String::as_str).or(cause.downcast_ref::<&str>().copied());
        Err(format!("no panics: {}", text.unwrap_or("without a message")))
    })
}

fn core(world: &World) -> &Core {
    world.nodes[LOCAL].core.as_ref().expect("Local runs throughout")
}

/// A mesh whose Cloud was just captured, with what the person had until then.
pub fn captured(seed: u64, allowance: Allowance) -> Result<(World, Person), Violation> {
    let cast = [("laptop", Role::Local, Brain::None), ("cloud", Role::Cloud, Brain::None)];
    let mut world = World::new(seed, &cast, &[(LOCAL, CLOUD)])?;
    world.run_for(10_000)?;
    let person = Person::at_work(&mut world, allowance);
    person.allow(&mut world)?;
    world.run_for(30_000)?;
    world.capture(CLOUD);
    world.run_for(5_000)?;
    world.left = Some(Vec::new());
    Ok((world, person))
}

fn play(seed: u64, moves: u64, allowance: Allowance) -> Result<Tally, Violation> {
    let (mut world, mut person) = captured(seed, allowance)?;
    let mut rng = Rng::new(!seed);
    let since = world.time();
    world.run_for(1_000)?;
    let mut attacker = Attacker::new(&world, Rng::new(rng.next()));
    let mut tally = Tally::default();
    for _ in 0..moves {
        if rng.chance(12) {
            person.act(&mut world)?;
        }
        attacker.connect(&mut world)?;
        let kind = some_kind(&mut rng);
        let taken = (kind.play)(&mut attacker, &mut world).map_err(|why| format!("{}: {why}", kind.name))?;
        if taken && !kind.may_be_taken {
            return Err(format!("{}: it was taken", kind.name));
        }
        let count = tally.kinds.entry(kind.name).or_default();
        if taken {
            count.taken += 1;
        } else {
            count.refused += 1;
        }
        attacker.nothing_private_left(&mut world)?;
        heal_now_and_then(&mut world, &person, &mut attacker, &mut tally)?;
        if rng.chance(5) {
            world.run_for(rng.between(100, 20_000))?;
        }
        kept(&world, &person)?;
    }
    tally.frozen += core(&world).replication().frozen().len();
    end(&mut world, &mut person, since, &mut tally)?;
    Ok(tally)
}

fn some_kind(rng: &mut Rng) -> &'static Kind {
    let mut at = rng.below(KINDS.iter().map(|kind| kind.share).sum());
    for kind in &KINDS {
        if at < kind.share {
            return kind;
        }
        at -= kind.share;
    }
    unreachable!("the shares add up")
}

/// What must hold at every moment, whatever was said.
pub fn kept(world: &World, person: &Person) -> Result<(), Violation> {
    let (sent, approved) = (world.executor.sent_count(), world.executor.approved_count());
    if sent > approved {
        return Err(format!("only what was signed is sent: {sent} sends for {approved} approvals"));
    }
    person.own_notes_stand(world)
}

/// The person closes the logs that are invalid: some day, and when the attacker has hardly a generation left.
fn heal_now_and_then(
    world: &mut World,
    person: &Person,
    attacker: &mut Attacker,
    tally: &mut Tally,
) -> Result<(), Violation> {
    let mut chain = world.nodes[LOCAL].rosters();
    let roster = chain.current();
    let cloud = attacker.id();
    let frozen = core(world).replication().frozen();
    let least = roster.member(cloud).map_or(0, |member| member.generation_min);
    let some_day = frozen.keys().any(|log| log.generation >= least) && attacker.rng.chance(1);
    if !attacker.is_spent(roster) && !some_day {
        return Ok(());
    }
    tally.frozen += frozen.len();
    let closed: BTreeSet<_> = roster.closed.iter().map(|closed| closed.log).collect();
    let highest = frozen.keys().map(|log| log.generation).max().unwrap_or(0).max(least);
    let mut next = roster.successor(world.time());
    let ends = core(world).replication().frontier().filter(|end| end.log.author == cloud);
    let ends = ends.filter(|end| end.log.generation <= highest && !closed.contains(&end.log));
    next.closed.extend(ends.map(|end| ClosedLog { log: end.log, seq: end.seq, hash: end.hash.0 }));
    for member in next.members.iter_mut().filter(|member| member.node == cloud) {
        member.generation_min = highest + 1;
    }
    chain
        .extend(&SignedRoster::sign(&root_key(), next).to_bytes())
        .map_err(|error| format!("the owner's roster is refused: {error}"))?;
    world.nodes[LOCAL].found(&chain);
    world.input(LOCAL, Input::RosterChanged(chain))?;
    // Another roster voids what was allowed: the person signs again.
    standing::end(world)?;
    person.allow(world)?;
    attacker.healed(highest + 1);
    world.run_for(5_000)
}

/// The person takes back what Cloud did, and works on.
fn end(world: &mut World, person: &mut Person, since: Timestamp, tally: &mut Tally) -> Result<(), Violation> {
    brake::unfreeze(world)?;
    world.run_for(QUIET_MS)?;
    kept(world, person)?;
    let question = Question::Undo { author: world.nodes[CLOUD].id(), since };
    world.input(LOCAL, Input::Asked { request: UNDO_REQUEST, question })?;
    world.run_for(UNDO_MS)?;
    let Some(Answer::Undone { undone, left }) = world.nodes[LOCAL].answers.remove(&UNDO_REQUEST) else {
        return Err("progress: the undo is not answered".to_owned());
    };
    tally.undone += undone;
    tally.left += left.len();
    kept(world, person)?;
    check::zones_respected(world, &world.nodes[LOCAL], core(world))?;
    person.shared_notes_stand(world)?;
    nothing_of_cloud(world, person)?;
    person.still_works(world)?;
    tally.approved += world.executor.approved_count();
    tally.sent += world.executor.sent_count();
    tally.by_standing += world.executor.allowances.sent_count();
    Ok(())
}

/// Whether Local or a hand of the person had a part in a file.
fn others_built_on(world: &World, file: FileId) -> bool {
    let local = world.nodes[LOCAL].id();
    let Some(record) = core(world).vault().index().get(file) else { return false };
    let created = record.path.has_any(|origin| origin.author() == local);
    created || record.changes().iter().any(|change| change.origin.author() == local)
}

/// What lies in the shared folders is the person's, or stands on something of theirs. A draft that was on its way when
/// the undo came is shown again where it was not sent after all.
fn nothing_of_cloud(world: &World, person: &Person) -> Result<(), Violation> {
    for path in world.nodes[LOCAL].disk.files.keys() {
        let Some(file) = core(world).vault().file_at(path) else { continue };
        let shared = matches!(file.zone, Zone::Intake | Zone::Drafts | Zone::Claim(_));
        let stands = person.knows(path) || others_built_on(world, file) || world.executor.failed(file);
        if shared && !stands {
            return Err(format!("full undo: {path} of Cloud is still there: {}", tell(world, path)));
        }
    }
    Ok(())
}

/// What the logs say of the file at a place, for whoever reads a failure.
fn tell(world: &World, path: &VaultPath) -> String {
    let file = core(world).vault().file_at(path);
    format!("{:?}", file.map(|file| (file, core(world).vault().index().get(file))))
}
