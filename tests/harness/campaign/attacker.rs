//! Who holds Cloud's key: signs whatever they like into Cloud's logs, and knows more than any attacker could.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_keys::{Hash, NodeId, Signer};
use aiemp_node::core::Input;
use aiemp_protocol::{
    entry::{Entry, Item, Position, SignedEntry},
    frame::Frame,
    ids::{Audience, ContentHash, EntryHash, FileId, LogId, MeshId},
    limits::GENERATIONS_AHEAD_MAX,
    roster::Roster,
    zone::Zone,
};

use super::{CLOUD, LOCAL, core};
use crate::{
    Violation,
    random::Rng,
    world::{Way, World},
};

/// How long Local's slowest effects take.
const SETTLE_MS: u64 = 6_500;

/// An item with what is sent for its payload, if it has one.
pub(super) type Said = (Item, Option<Vec<u8>>);

/// The attacker.
#[derive(Debug)]
pub(super) struct Attacker {
    pub(super) signer: Signer,
    pub(super) rng: Rng,
    pub(super) mesh: MeshId,
    generation: u64,
    /// The place of each entry that was signed.
    seqs: BTreeMap<EntryHash, u64>,
    /// What each log named as seen.
    seen: BTreeMap<(LogId, LogId), u64>,
    /// Notes under which Local takes no more changes of Cloud's.
    pub(super) spoilt: BTreeSet<FileId>,
    /// The file that the last call named: an answer may name it again.
    pub(super) named: Option<FileId>,
    made: u64,
}

impl Attacker {
    pub(super) fn new(world: &World, rng: Rng) -> Self {
        Self {
            signer: world.nodes[CLOUD].signer(),
            rng,
            mesh: world.nodes[LOCAL].rosters().current().mesh,
            generation: 0,
            seqs: BTreeMap::new(),
            seen: BTreeMap::new(),
            spoilt: BTreeSet::new(),
            named: None,
            made: 0,
        }
    }

    pub(super) fn id(&self) -> NodeId {
        self.signer.node_id()
    }

    /// The log that is still open.
    pub(super) fn log(&self) -> LogId {
        LogId { author: self.id(), generation: self.generation, audience: Audience::All }
    }

    /// A number that was not used before.
    pub(super) fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// A file that nobody has.
    pub(super) fn file(&mut self, zone: Zone) -> FileId {
        let number = self.number();
        FileId { zone, hash: Hash::of_content(format!("file {number}").as_bytes()) }
    }

    /// A file that Cloud may write.
    pub(super) fn shared_file(&mut self, world: &World) -> Option<FileId> {
        let writable = |file: &FileId| matches!(file.zone, Zone::Intake | Zone::Drafts);
        let files: Vec<_> = core(world).vault().index().iter().map(|(file, _)| file).filter(writable).collect();
        self.rng.pick(&files).copied()
    }

    /// A file that Cloud may not write.
    pub(super) fn foreign_file(&mut self, world: &World) -> FileId {
        let foreign = |file: &FileId| matches!(file.zone, Zone::Owner | Zone::Private);
        let files: Vec<_> = core(world).vault().index().iter().map(|(file, _)| file).filter(foreign).collect();
        *self.rng.pick(&files).expect("the person has notes of their own")
    }

    /// Goes on in the next generation where Local found the log invalid.
    fn open_log(&mut self, world: &World) {
        while core(world).replication().frozen().contains_key(&self.log()) {
            self.generation += 1;
        }
    }

    /// Whether the roster allows hardly another generation.
    pub(super) fn is_spent(&self, roster: &Roster) -> bool {
        let least = roster.member(self.id()).map_or(0, |member| member.generation_min);
        self.generation + 1 >= least + GENERATIONS_AHEAD_MAX
    }

    /// The owner closed the logs that were invalid.
    pub(super) fn healed(&mut self, generation: u64) {
        self.generation = generation;
    }

    /// Dials again where Local hung up, and says to hold nothing, so that Local hands over what it may.
    pub(super) fn connect(&mut self, world: &mut World) -> Result<(), Violation> {
        self.open_log(world);
        if core(world).replication().connected().next().is_some() {
            return Ok(());
        }
        world.input(LOCAL, Input::PeerConnected(self.id()))?;
        let epoch = world.nodes[LOCAL].rosters().current().epoch;
        let none = Hash::of_content(b"nothing");
        self.say(world, Frame::Hello { epoch, roster: none, frontier: none, has_brain: true })?;
        self.say(world, Frame::Frontier { positions: Vec::new() })
    }

    /// Says something over Cloud's session.
    pub(super) fn say(&self, world: &mut World, frame: Frame) -> Result<(), Violation> {
        // What cannot be said on the wire is no move.
        let Ok(frame) = Frame::from_bytes(&frame.to_bytes()) else { return Ok(()) };
        world.input(LOCAL, Input::FrameReceived { peer: self.id(), frame })
    }

    /// The next entry of the open log.
    pub(super) fn entry(&self, world: &World, items: Vec<Item>) -> (Option<EntryHash>, Entry) {
        let log = self.log();
        let replication = core(world).replication();
        let prev = replication.head(log);
        let seq = prev.and_then(|prev| self.seqs.get(&prev)).map_or(1, |seq| seq + 1);
        let is_news = |at: &Position| {
            let known = self.seen.get(&(log, at.log)).copied().unwrap_or(0);
            at.log.audience == Audience::All && at.log != log && at.seq > known
        };
        let seen = replication.frontier().filter(is_news).collect();
        let epoch = world.nodes[LOCAL].rosters().current().epoch;
        (prev, Entry { seq, epoch, hlc: world.time(), seen, items })
    }

    pub(super) fn sign(&mut self, prev: Option<EntryHash>, entry: Entry) -> SignedEntry {
        let signed = SignedEntry::sign(&self.signer, self.mesh, self.log(), prev, entry);
        self.seqs.insert(signed.hash, signed.entry.seq);
        signed
    }

    /// Says an honest entry with these items; whether Local took it.
    pub(super) fn append(&mut self, world: &mut World, said: Vec<Said>) -> Result<bool, Violation> {
        let (items, payloads): (Vec<_>, Vec<_>) = said.into_iter().unzip();
        let carries = items.iter().map(|item| item.payload().is_some());
        let payloads = payloads.into_iter().zip(carries).filter(|(_, carries)| *carries).map(|(bytes, _)| bytes);
        let payloads = payloads.collect();
        let (prev, entry) = self.entry(world, items);
        self.send(world, prev, entry, payloads)
    }

    /// Signs and says an entry, whatever it is; whether Local took it.
    pub(super) fn send(
        &mut self,
        world: &mut World,
        prev: Option<EntryHash>,
        entry: Entry,
        payloads: Vec<Option<Vec<u8>>>,
    ) -> Result<bool, Violation> {
        let seen = entry.seen.clone();
        let signed = self.sign(prev, entry);
        let (log, hash) = (signed.log, signed.hash);
        self.say(world, Frame::Entry { log, cose: signed.cose, payloads })?;
        let screened = signed.entry.items.iter().any(|item| matches!(item, Item::Change { .. }));
        world.run_for(if screened { SETTLE_MS } else { self.rng.between(0, 60) })?;
        let taken = core(world).replication().head(log) == Some(hash);
        if taken {
            self.seen.extend(seen.into_iter().map(|at| ((log, at.log), at.seq)));
        }
        Ok(taken)
    }

    /// What Local sent since the last move: frames, and answers to calls.
    pub(super) fn heard(world: &World) -> impl Iterator<Item = &(usize, Way, Vec<u8>)> {
        world.left.iter().flatten()
    }

    /// No id of a private file was in what Local sent since the last move.
    pub(super) fn nothing_private_left(&mut self, world: &mut World) -> Result<(), Violation> {
        let private = core(world).vault().index().iter().filter(|(file, _)| file.zone == Zone::Private);
        let known = self.named.take();
        let ids: Vec<_> = private.map(|(file, _)| file).filter(|file| Some(*file) != known).collect();
        for (_, way, bytes) in Self::heard(world) {
            // Cloud's own words may come back to it, as the evidence against its log.
            if matches!(Frame::from_bytes(bytes), Ok(Frame::Entry { log, .. }) if log.author == self.id()) {
                continue;
            }
            let named = |file: &FileId| {
                let id = file.hash.as_bytes();
                let text = file.hash.to_string();
                bytes.windows(32).any(|window| window == id) || String::from_utf8_lossy(bytes).contains(&text)
            };
            if let Some(file) = ids.iter().find(|file| named(file)) {
                return Err(format!("private stays private: {file:?} was named by {way:?}"));
            }
        }
        world.left = Some(Vec::new());
        Ok(())
    }

    /// The digest of something that Cloud does not hold, guessed right.
    pub(super) fn guess(&mut self, world: &World) -> (ContentHash, u64) {
        let private = |log: &LogId| log.audience == Audience::Local;
        let entries = world.nodes[LOCAL].store.entries.iter().filter(|kept| private(&kept.signed.log));
        let payloads = entries.flat_map(|kept| &kept.signed.entry.items).filter_map(Item::payload);
        let payloads: Vec<_> = payloads.collect();
        *self.rng.pick(&payloads).expect("the person has private notes")
    }
}
