//! The world around the cores: time, the order of things, and what goes wrong.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_crdt::vault;
use aiemp_keys::Signer;
use aiemp_node::core::{Brain, BrainId, Input};
use aiemp_protocol::{frame::Frame, ids::ContentHash, roster::Role, time::Timestamp, vault_path::VaultPath};

use crate::{
    Violation, check,
    executor::{self, Executor},
    ledger::Ledger,
    network::{Network, ends},
    node::Node,
    random::Rng,
    replacements::{self, Replacements},
    story,
};

mod founding;
mod outputs;

/// When the world begins: 2026-01-07T10:30:00Z.
const BEGINNING: u64 = 1_767_781_800_000;
/// Things that happen at one instant before that counts as a machine that never rests.
const BUSY_MAX: u32 = 20_000;

/// What is going to happen.
#[derive(Debug)]
pub enum Event {
    /// A frame reaches its peer, if its session still stands.
    Arrive {
        /// The sender.
        from: usize,
        /// The receiver.
        to: usize,
        /// The session it was sent in.
        session: u64,
        /// The wire form.
        bytes: Vec<u8>,
    },
    /// An answer reaches a core, if its process still lives.
    Answer(usize, u64, Box<Input>),
    /// The store's writer finishes a transaction.
    Commit(usize, u64),
    /// The vault's writer comes to a file.
    Write(usize, u64, vault::EffectId, VaultPath, Vec<u8>, Option<ContentHash>),
    /// The vault's writer comes to a removal.
    Remove(usize, u64, vault::EffectId, VaultPath, ContentHash),
    /// A dropped mail is taken away.
    RemoveIntake(usize, u64, VaultPath, ContentHash),
    /// The watcher reports.
    Look(usize, u64),
    /// What lies in the vault is read.
    Read(usize, u64),
    /// A side notices that its session broke.
    Hangup(usize, u64, usize),
    /// A link may get a session.
    Dial(usize, usize),
    /// A dead process starts.
    Start(usize),
    /// Something happens at the executor.
    Executor(u64, Box<executor::Event>),
}

/// Which way something left a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A frame to the node at this place of the cast.
    Frame(usize),
    /// A call to another agent.
    Call,
    /// The answer to a call.
    Answer,
    /// A prompt for the program that drafts.
    Prompt(BrainId),
}

/// Everything there is.
#[derive(Debug)]
pub struct World {
    /// The source of all chance.
    pub rng: Rng,
    /// Milliseconds since the epoch.
    pub now: u64,
    /// The nodes; the first is the executor.
    pub nodes: Vec<Node>,
    /// What connects them.
    pub network: Network,
    /// What people saved.
    pub ledger: Ledger,
    /// What people saw of what others replaced.
    pub replacements: Replacements,
    /// Reviewer, journal and provider.
    pub executor: Executor,
    /// Whether nothing goes wrong any more.
    pub healing: bool,
    /// Digest of all that happened.
    pub trace: u64,
    /// All that happened, line by line, if somebody wants to read it.
    pub story: Option<Vec<String>>,
    /// All that left the nodes, with the node it left, if somebody wants to look at it.
    pub left: Option<Vec<(usize, Way, Vec<u8>)>>,
    /// Nodes whose key, disk and programs belong to somebody else.
    pub captured: BTreeSet<usize>,
    /// How often something that a captured node said was refused aloud.
    pub accusations: u64,
    queue: BTreeMap<(u64, u64), Event>,
    next_event: u64,
}

/// One member of a world: name, role, brain.
pub type Cast = (&'static str, Role, Brain);

impl World {
    /// The time as the cores see it.
    pub const fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    /// Lets something happen later.
    pub fn after(&mut self, delay_ms: u64, event: Event) {
        self.next_event += 1;
        self.queue.insert((self.now + delay_ms, self.next_event), event);
    }

    /// Lets time pass.
    pub fn run_for(&mut self, ms: u64) -> Result<(), Violation> {
        let until = self.now + ms;
        let mut busy = 0;
        while let Some(at) = self.step(until)? {
            busy = if at > self.now { 0 } else { busy + 1 };
            if busy > BUSY_MAX {
                let due = |node: &Node| node.next_timeout().map(|at| at.as_millis().saturating_sub(BEGINNING));
                let due: Vec<_> = self.nodes.iter().map(due).collect();
                let next = self.queue.first_key_value();
                return Err(format!("progress: a machine never rests: timeouts {due:?}, next {next:?}"));
            }
            self.now = self.now.max(at);
        }
        self.now = until;
        Ok(())
    }

    /// Does the next thing that is due until then; when it was due.
    fn step(&mut self, until: u64) -> Result<Option<u64>, Violation> {
        let event = self.queue.first_key_value().map(|(key, _)| *key);
        let timeouts = self.nodes.iter().enumerate();
        let timeout = timeouts.filter_map(|(node, state)| Some((state.next_timeout()?.as_millis(), node))).min();
        let timeout = timeout.filter(|(at, _)| event.is_none_or(|(event_at, _)| *at < event_at));
        let at = timeout.map(|(at, _)| at).or(event.map(|(at, _)| at));
        let Some(at) = at.filter(|at| *at <= until) else { return Ok(None) };
        let before = self.now;
        self.now = self.now.max(at);
        match timeout {
            Some((_, node)) => self.input(node, Input::TimeoutReached)?,
            None => {
                if let Some(event) = event.and_then(|key| self.queue.remove(&key)) {
                    self.happen(event)?;
                }
            }
        }
        let at = self.now;
        self.now = before;
        Ok(Some(at))
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Arrive { from, to, session, bytes } => self.arrive(from, to, session, &bytes),
            Event::Answer(node, life, input) => self.input_to(node, life, *input),
            Event::Commit(node, life) => self.commit(node, life),
            Event::Write(node, life, effect, path, bytes, expected) if self.lives(node, life) => {
                let outcome = self.nodes[node].disk.write(&path, bytes, expected);
                self.touched(node, path);
                self.answer(node, Input::FileWritten(effect, outcome));
                Ok(())
            }
            Event::Remove(node, life, effect, path, expected) if self.lives(node, life) => {
                let outcome = self.nodes[node].disk.remove(&path, expected);
                self.touched(node, path);
                self.answer(node, Input::FileRemoved(effect, outcome));
                Ok(())
            }
            Event::RemoveIntake(node, life, path, expected) if self.lives(node, life) => {
                let disk = &mut self.nodes[node].disk;
                if disk.files.get(&path).is_some_and(|bytes| ContentHash::of(bytes) == expected) {
                    disk.files.remove(&path);
                    self.touched(node, path);
                }
                Ok(())
            }
            Event::Look(node, life) if self.lives(node, life) => {
                let input = self.nodes[node].look();
                self.input(node, input)
            }
            Event::Read(node, life) if self.lives(node, life) => {
                let found = self.nodes[node].scan();
                self.input(node, found)?;
                self.input(node, Input::Scanned)
            }
            Event::Hangup(node, life, peer) if self.lives(node, life) => self.hang_up(node, peer),
            Event::Dial(one, other) => self.dial(one, other),
            Event::Start(node) => self.start(node),
            Event::Executor(life, event) => executor::happen(self, life, *event),
            Event::Write(..)
            | Event::Remove(..)
            | Event::RemoveIntake(..)
            | Event::Look(..)
            | Event::Read(..)
            | Event::Hangup(..) => Ok(()),
        }
    }

    /// A side notices that its session broke, at the latest when the next one opens.
    fn hang_up(&mut self, node: usize, peer: usize) -> Result<(), Violation> {
        if self.nodes[node].broken_sessions.remove(&peer) {
            let peer = self.nodes[peer].id();
            self.input(node, Input::PeerDisconnected(peer))?;
        }
        Ok(())
    }

    fn lives(&self, node: usize, life: u64) -> bool {
        self.nodes[node].core.is_some() && self.nodes[node].life == life
    }

    fn input_to(&mut self, node: usize, life: u64, input: Input) -> Result<(), Violation> {
        if self.lives(node, life) { self.input(node, input) } else { Ok(()) }
    }

    /// Hands an input to a core and does what it wants done.
    pub fn input(&mut self, node: usize, input: Input) -> Result<(), Violation> {
        let now = self.time();
        if self.nodes[node].core.is_some() {
            self.tell(node, || story::of_input(&input));
        }
        replacements::asked(self, node, &input);
        let state = &mut self.nodes[node];
        let Some(core) = &mut state.core else { return Ok(()) };
        if matches!(input, Input::FileWritten(..) | Input::FileRemoved(..)) {
            state.writes_under_way -= 1;
        }
        core.handle(now, input);
        while let Some(output) = self.nodes[node].core.as_mut().and_then(aiemp_node::core::Core::poll_output) {
            self.carry_out(node, output)?;
        }
        let divergence = self.nodes[node].core.as_ref().and_then(|core| core.divergence().cloned());
        if let Some(divergence) = divergence {
            self.nodes[node].give_up(divergence);
            self.crash(node, 100);
        }
        check::durable_before_visible(self, node)
    }

    /// Answers a slow effect after a while; the answers of one node keep their order half of the time.
    fn answer(&mut self, node: usize, input: Input) {
        let (delay, life) = (self.rng.delay_ms(), self.nodes[node].life);
        self.after(delay, Event::Answer(node, life, Box::new(input)));
    }

    fn keep_committing(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        if !state.committing && state.store.is_busy() {
            state.committing = true;
            let (delay, life) = (self.rng.delay_ms(), state.life);
            self.after(delay, Event::Commit(node, life));
        }
    }

    fn commit(&mut self, node: usize, life: u64) -> Result<(), Violation> {
        if !self.lives(node, life) {
            return Ok(());
        }
        let answered = self.nodes[node].store.commit_next();
        let state = &mut self.nodes[node];
        state.committing = false;
        let settled = state.core.as_ref().is_some_and(|core| core.vault().is_settled());
        if settled && !state.store.is_busy() && state.writes_under_way == 0 {
            state.disk.displaced.clear();
        }
        self.keep_committing(node);
        if let Some(effect) = answered {
            let delay = self.rng.between(0, 20);
            let state = &mut self.nodes[node];
            state.answers_until = state.answers_until.max(self.now + delay);
            let wait = state.answers_until - self.now;
            self.after(wait, Event::Answer(node, life, Box::new(Input::Persisted(effect))));
        }
        Ok(())
    }

    /// Something happened at a place of the vault; the watcher will look.
    pub fn touched(&mut self, node: usize, path: VaultPath) {
        let delay = 30 + self.rng.delay_ms();
        let state = &mut self.nodes[node];
        state.dirty.insert(path);
        if !state.look_due {
            state.look_due = true;
            let life = state.life;
            self.after(delay, Event::Look(node, life));
        }
    }

    fn send(&mut self, from: usize, peer: aiemp_keys::NodeId, frame: Frame) -> Result<(), Violation> {
        let to = self.index_of(peer);
        let bytes = frame.to_bytes();
        check::frame(self, from, to, &frame, &bytes)?;
        self.leaves(from, Way::Frame(to), || bytes.clone());
        let Some(session) = self.network.session(from, to) else { return Ok(()) };
        self.mix(&bytes);
        for at in self.network.arrivals(&mut self.rng, self.now, from, to) {
            let event = Event::Arrive { from, to, session, bytes: bytes.clone() };
            self.after(at - self.now, event);
        }
        Ok(())
    }

    fn arrive(&mut self, from: usize, to: usize, session: u64, bytes: &[u8]) -> Result<(), Violation> {
        if self.network.session(from, to) != Some(session) {
            return Ok(());
        }
        let frame = Frame::from_bytes(bytes).map_err(|error| format!("a frame does not read back: {error}"))?;
        let peer = self.nodes[from].id();
        self.input(to, Input::FrameReceived { peer, frame })
    }

    /// The place of a node in the cast.
    pub fn index_of(&self, id: aiemp_keys::NodeId) -> usize {
        self.nodes.iter().position(|node| node.id() == id).expect("all peers are of the cast")
    }

    /// Opens a session if both ends run and nothing is in the way.
    fn dial(&mut self, one: usize, other: usize) -> Result<(), Violation> {
        let Some(link) = self.network.links.get(&ends(one, other)) else { return Ok(()) };
        let blocked = link.blocked_until.max(link.parted_until);
        if link.session.is_some() {
            return Ok(());
        }
        if blocked > self.now {
            let wait = blocked - self.now;
            self.after(wait, Event::Dial(one, other));
            return Ok(());
        }
        if self.nodes[one].core.is_none() || self.nodes[other].core.is_none() {
            return Ok(());
        }
        if self.network.open(ends(one, other)).is_some() {
            self.hang_up(one, other)?;
            self.hang_up(other, one)?;
            let (id_one, id_other) = (self.nodes[one].id(), self.nodes[other].id());
            self.input(one, Input::PeerConnected(id_other))?;
            self.input(other, Input::PeerConnected(id_one))?;
        }
        Ok(())
    }

    /// Breaks a session. Each side notices in its own time, then it is dialled again.
    pub fn cut(&mut self, one: usize, other: usize) {
        if !self.network.cut(ends(one, other)) {
            return;
        }
        let mut noticed = 0;
        for (side, peer) in [(one, other), (other, one)] {
            let (delay, life) = (self.rng.delay_ms(), self.nodes[side].life);
            noticed = noticed.max(delay);
            self.nodes[side].broken_sessions.insert(peer);
            self.after(delay, Event::Hangup(side, life, peer));
        }
        let wait = noticed + 1 + self.rng.delay_ms();
        self.after(wait, Event::Dial(one, other));
    }

    /// Keeps a link without session for a while.
    pub fn partition(&mut self, one: usize, other: usize, ms: u64) {
        let until = self.now + ms;
        if let Some(link) = self.network.links.get_mut(&ends(one, other)) {
            link.blocked_until = until;
            self.cut(one, other);
        }
    }

    /// Keeps a link without session until then, whatever comes between; never shorter than it was to be.
    pub fn part_until(&mut self, one: usize, other: usize, until: u64) {
        if let Some(link) = self.network.links.get_mut(&ends(one, other)) {
            link.parted_until = link.parted_until.max(until);
            self.cut(one, other);
        }
    }

    /// Ends a process as it ends when it is told to, if no write is under way; it starts again after a while.
    pub fn stop(&mut self, node: usize, down_ms: u64) -> bool {
        let state = &mut self.nodes[node];
        let is_idle = state.core.as_ref().is_some_and(|core| !core.vault().has_effects());
        if is_idle {
            while state.store.is_busy() {
                state.store.commit_next();
            }
            state.ended_well = true;
            self.crash(node, down_ms);
        }
        is_idle
    }

    /// Kills a process; what was not durable is gone. It starts again after a while.
    pub fn crash(&mut self, node: usize, down_ms: u64) {
        if self.nodes[node].core.take().is_none() {
            return;
        }
        for other in 0..self.nodes.len() {
            self.cut(node, other);
        }
        let Self { nodes, rng, .. } = self;
        nodes[node].store.crash(rng);
        nodes[node].committing = false;
        nodes[node].writes_under_way = 0;
        self.crash_writes(node);
        if node == 0 {
            executor::crash(self);
        }
        self.tell(node, || "crashes".to_owned());
        self.after(down_ms, Event::Start(node));
    }

    /// Writes of the vault that were under way: some reached the disk, their answers reach nobody.
    fn crash_writes(&mut self, node: usize) {
        let is_of_node = |event: &Event| match event {
            Event::Write(of, ..) | Event::Remove(of, ..) | Event::RemoveIntake(of, ..) => *of == node,
            Event::Arrive { .. }
            | Event::Answer(..)
            | Event::Commit(..)
            | Event::Look(..)
            | Event::Read(..)
            | Event::Hangup(..)
            | Event::Dial(..)
            | Event::Start(..)
            | Event::Executor(..) => false,
        };
        let keys: Vec<_> = self.queue.iter().filter(|(_, event)| is_of_node(event)).map(|(key, _)| *key).collect();
        for key in keys {
            let reached = self.rng.chance(50);
            let Some(event) = self.queue.remove(&key).filter(|_| reached) else { continue };
            let disk = &mut self.nodes[node].disk;
            if let Event::Write(_, _, _, path, bytes, expected) = event {
                disk.write(&path, bytes, expected);
            } else if let Event::Remove(_, _, _, path, expected) = event {
                disk.remove(&path, expected);
            }
        }
        // What was set aside and perhaps not stored yet is shown to the person at the next start.
        let state = &mut self.nodes[node];
        state.kept.append(&mut state.disk.displaced);
    }

    fn start(&mut self, node: usize) -> Result<(), Violation> {
        if self.nodes[node].core.is_some() {
            return Ok(());
        }
        let inputs = self.nodes[node].start()?;
        for input in inputs {
            self.input(node, input)?;
        }
        let (life, reads_after) = (self.nodes[node].life, self.nodes[node].reads_after_ms);
        if reads_after > 0 {
            self.after(reads_after, Event::Read(node, life));
        }
        for other in 0..self.nodes.len() {
            let delay = self.rng.delay_ms();
            self.after(delay, Event::Dial(node, other));
        }
        if node == 0 {
            executor::start(self)?;
        }
        Ok(())
    }

    /// Ends everything that goes wrong.
    pub fn heal(&mut self) {
        self.healing = true;
        self.network.lossy = false;
        for link in self.network.links.values_mut() {
            (link.blocked_until, link.parted_until) = (0, 0);
        }
        let links: Vec<_> = self.network.links.keys().copied().collect();
        for (one, other) in links {
            self.after(1, Event::Dial(one, other));
        }
    }

    /// Adds a line to the story.
    pub fn tell(&mut self, node: usize, line: impl FnOnce() -> String) {
        let (now, name) = (self.now - BEGINNING, &self.nodes[node].name);
        if let Some(story) = &mut self.story {
            story.push(format!("{now:>8} {name}: {}", line()));
        }
    }

    /// Takes a node from its owner: its process ends for good, and whoever holds its key speaks for it.
    pub fn capture(&mut self, node: usize) {
        self.nodes[node].core = None;
        self.nodes[node].life += 1;
        for other in 0..self.nodes.len() {
            self.cut(node, other);
        }
        self.captured.insert(node);
    }

    /// Whether somebody else speaks for this member; what nobody else can have said is theirs.
    fn is_captured(&self, author: Option<aiemp_keys::NodeId>) -> bool {
        author.map_or(!self.captured.is_empty(), |author| self.captured.contains(&self.index_of(author)))
    }

    fn leaves(&mut self, node: usize, way: Way, bytes: impl FnOnce() -> Vec<u8>) {
        if let Some(left) = &mut self.left {
            left.push((node, way, bytes()));
        }
    }

    /// Takes bytes into the digest of the run.
    pub fn mix(&mut self, bytes: &[u8]) {
        let now = self.now.to_le_bytes();
        for byte in now.iter().chain(bytes) {
            self.trace = (self.trace ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// The key that signs rosters.
pub fn root_key() -> Signer {
    Signer::from_seed([201; 32])
}
