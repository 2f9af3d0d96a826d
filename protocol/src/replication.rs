//! The replication machine: which entries are valid, in which order they apply, and who still lacks them.
//!
//! Contract: [`Replication::handle`] takes one input and never fails for what a peer did; drain
//! [`Replication::poll_output`] after each; call again no later than [`Replication::poll_timeout`]. No clock, IO or
//! randomness inside. Own entries apply by the same path as a peer's, so that what a node shows is a function of the
//! logs alone. An entry is sent, applied and counted in a frontier only after its `Persisted`.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use aiemp_keys::{NodeId, Signer};

use crate::{
    causality::{Chains, Past},
    egress::Guard,
    entry::{Position, SignedEntry},
    frame::Frame,
    freeze::Freezes,
    ids::{Audience, ContentHash, EntryHash, LogId, MeshId},
    roster::{Role, RosterChain},
    time::Timestamp,
};

mod accept;
mod admission;
mod append;
mod brake;
mod branches;
mod heard;
mod input;
mod lacking;
mod output;
mod payloads;
mod rosters;
mod screening;
mod send;
mod taken;
mod validity;
mod verdicts;

use admission::Admission;
pub use admission::{Room, Usage, WaitReason};
pub use input::{Carried, EffectId, EntryWithPayloads, Input, StoredEntry};
pub use output::{FreezeReason, Output, PeerFault, Record};

/// How often frontiers are compared again on a standing session: heals whatever a lossy path or a bug lost.
const FRONTIER_INTERVAL: Duration = Duration::from_secs(30);
/// How long a peer that says to hold more of this node's own log has to show it.
const SUSPICION_PATIENCE: Duration = Duration::from_secs(60);
/// How often it may say so and show nothing. After that its word keeps the log from nobody.
const UNSHOWN_MAX: u32 = 3;
/// After this a fetch that nobody answered may be asked again.
const FETCH_PATIENCE: Duration = Duration::from_secs(10);

/// What is known of one connected peer.
#[derive(Debug)]
struct Session {
    role: Role,
    /// Up to where the peer holds each log, as far as known; `None` until its frontier arrived.
    known: Option<BTreeMap<LogId, u64>>,
    /// Up to where this node last said to hold each log.
    told: BTreeMap<LogId, u64>,
    /// Whether it said so since its last hello.
    compares: bool,
    has_brain: bool,
    next_frontier: Timestamp,
    /// An entry of the peer's does not follow what is held; whether a fork lies below is being looked up.
    looks_below: Option<(LogId, u64)>,
    /// It did not send a payload that it was asked for: others are asked until then.
    silent_until: Option<Timestamp>,
    /// Whether this node's roster of an epoch of which the peer holds another was sent to it.
    has_shown_roster: bool,
    /// Whether the peer sent a second roster of an epoch.
    has_told_fork: bool,
}

/// An entry that cannot be taken yet.
#[derive(Debug)]
struct Waiting {
    from: NodeId,
    cose: Vec<u8>,
    payloads: Vec<Option<Vec<u8>>>,
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.cose.len() + self.payloads.iter().flatten().map(Vec::len).sum::<usize>()
    }
}

/// A payload that an entry names and that has yet to come.
///
/// All of it tells one from another, for a hostile author may name any digest: with a length that is not its own, as a
/// change where it is a file, or in the hope that a private one becomes shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// Its digest.
    pub hash: ContentHash,
    /// Its length in bytes, as the entry has it.
    pub length: u64,
    /// Whether the entry calls it a change: it is screened when it comes.
    pub is_change: bool,
    /// Whether the entry is for every member: only bytes that came with such an entry are handed out for it.
    pub is_shared: bool,
}

impl Missing {
    /// Whether what came for this is what the other lacks, too.
    pub fn serves(&self, other: &Self) -> bool {
        (self.hash, self.length) == (other.hash, other.length)
            && self.is_change >= other.is_change
            && self.is_shared >= other.is_shared
    }
}

/// A log that is invalid for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    /// Why.
    pub reason: FreezeReason,
    /// The COSE_Sign1 of the entry that shows it; handed to every peer.
    pub evidence: Vec<u8>,
}

/// A record on its way to the disk.
#[derive(Debug)]
enum InFlight {
    Entry { entry: EntryWithPayloads, past: Past, from: Option<NodeId> },
    Payload(ContentHash),
    Roster,
    Frozen { log: LogId, reason: FreezeReason },
}

/// The machine. Holds state and dispatch; each handler has its own file.
#[derive(Debug)]
pub struct Replication {
    mesh: MeshId,
    me: NodeId,
    role: Role,
    signer: Signer,
    has_brain: bool,
    guard: Guard,
    verdicts: verdicts::Verdicts,
    rosters: RosterChain,
    freezes: Freezes,
    generation: u64,
    /// Own logs of which a peer says to hold other or later entries, with the peer and how long it has to show one:
    /// until that is cleared up nothing of them is handed out.
    suspect: BTreeMap<LogId, (NodeId, Timestamp)>,
    /// How often a peer did not show what it said to hold of them, since it last did.
    unshown: BTreeMap<NodeId, u32>,
    /// The log of which another branch than the one that is held stands: the own one, or one that the roster closed.
    diverged: Option<LogId>,
    branches: BTreeMap<LogId, branches::Branch>,
    /// Entries accepted, durable or on their way.
    chains: Chains,
    /// How many entries of each log are durable.
    durable: BTreeMap<LogId, u64>,
    epochs: BTreeMap<LogId, u64>,
    /// When each durable entry was taken, by seq.
    taken: BTreeMap<LogId, Vec<Timestamp>>,
    frozen: BTreeMap<LogId, Frozen>,
    /// Entries that follow what is held, in order, and wait for others that their authors had seen.
    waiting: BTreeMap<LogId, VecDeque<Waiting>>,
    admission: Admission,
    fetching: BTreeMap<LogId, Timestamp>,
    /// The last entry that the running or last fetch of a log asks for.
    fetch_ends: BTreeMap<LogId, u64>,
    /// What this node's own logs have named in `seen` so far.
    seen_said: BTreeMap<(LogId, LogId), u64>,
    hlc: Timestamp,
    sessions: BTreeMap<NodeId, Session>,
    lacking: lacking::Lacking,
    /// How far the members said to hold each log, in sessions of theirs.
    heard: BTreeMap<NodeId, BTreeMap<LogId, u64>>,
    screening: BTreeMap<EffectId, screening::Screening>,
    /// Which changes of the entries that wait passed.
    screened: BTreeMap<ContentHash, bool>,
    /// Changes that did not pass: not asked for again.
    dropped: BTreeSet<ContentHash>,
    incoming: BTreeMap<ContentHash, payloads::Incoming>,
    /// What came of payloads before whoever sent them went away.
    begun: VecDeque<(Missing, Vec<u8>)>,
    in_flight: BTreeMap<EffectId, InFlight>,
    serving: BTreeMap<EffectId, send::Serving>,
    next_effect: u64,
    outputs: VecDeque<Output>,
}

/// What a machine starts from.
#[derive(Debug)]
pub struct Start {
    /// This node's key; it signs entries.
    pub signer: Signer,
    /// Every roster of the mesh.
    pub rosters: RosterChain,
    /// The guard at the door.
    pub guard: Guard,
    /// Whether this node takes part in claims.
    pub has_brain: bool,
    /// What this node keeps of any one member.
    pub room: Room,
    /// Logs found invalid before.
    pub frozen: BTreeMap<LogId, Frozen>,
    /// Payloads that durable entries lack.
    pub missing: BTreeSet<Missing>,
}

impl Replication {
    /// A machine with empty logs; [`Replication::restore`] then gives back what the store holds.
    pub fn new(start: Start) -> Self {
        let me = start.signer.node_id();
        let roster = start.rosters.current();
        let member = roster.member(me);
        let mut frozen = start.frozen;
        // Where a log ends is settled then, and with it which of two entries stands.
        frozen.retain(|log, _| !roster.closed.iter().any(|closed| closed.log == *log));
        Self {
            mesh: roster.mesh,
            me,
            role: member.map_or(Role::Cloud, |member| member.role),
            generation: member.map_or(0, |member| member.generation_min),
            signer: start.signer,
            has_brain: start.has_brain,
            guard: start.guard,
            verdicts: verdicts::Verdicts::default(),
            rosters: start.rosters,
            freezes: Freezes::default(),
            suspect: BTreeMap::new(),
            unshown: BTreeMap::new(),
            diverged: None,
            branches: BTreeMap::new(),
            chains: Chains::default(),
            durable: BTreeMap::new(),
            epochs: BTreeMap::new(),
            taken: BTreeMap::new(),
            frozen,
            waiting: BTreeMap::new(),
            admission: Admission::new(start.room),
            fetching: BTreeMap::new(),
            fetch_ends: BTreeMap::new(),
            seen_said: BTreeMap::new(),
            hlc: Timestamp::default(),
            sessions: BTreeMap::new(),
            lacking: lacking::Lacking::new(start.missing),
            heard: BTreeMap::new(),
            screening: BTreeMap::new(),
            screened: BTreeMap::new(),
            dropped: BTreeSet::new(),
            incoming: BTreeMap::new(),
            begun: VecDeque::new(),
            in_flight: BTreeMap::new(),
            serving: BTreeMap::new(),
            next_effect: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Goes by another guard from now on.
    pub fn set_guard(&mut self, guard: Guard) {
        self.guard = guard;
        self.verdicts = verdicts::Verdicts::default();
    }

    /// Writes no generation below this one: an older one of this node's own had to be given up.
    pub fn raise_generation(&mut self, generation: u64) {
        self.generation = self.generation.max(generation);
    }

    /// Takes back a durable entry, in the order they were made durable, and answers its causal past; `received` is when
    /// it was taken.
    ///
    /// The store checked its bytes against their hashes; signatures were verified before they were stored.
    pub fn restore(&mut self, signed: &SignedEntry, received: Timestamp) -> Past {
        if signed.log.author == self.me {
            self.generation = self.generation.max(signed.log.generation);
            for seen in &signed.entry.seen {
                self.seen_said.insert((signed.log, seen.log), seen.seq);
            }
        }
        self.hlc = self.hlc.max(self.believed(signed, received));
        self.admission.count(self.me, received, signed);
        self.epochs.insert(signed.log, signed.entry.epoch);
        self.taken.entry(signed.log).or_default().push(received);
        self.durable.insert(signed.log, signed.entry.seq);
        self.chains.push(signed)
    }

    /// The hash that the next stored entry of a log must name as its predecessor.
    pub fn head(&self, log: LogId) -> Option<EntryHash> {
        self.chains.head(log)
    }

    /// Handles one input.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        match input {
            Input::PeerConnected(peer) => self.open_session(now, peer),
            Input::PeerDisconnected(peer) => self.close_session(peer),
            Input::FrameReceived { peer, frame } => self.receive(now, peer, frame),
            Input::AppendRequested { audience, items, payloads } => self.append(now, audience, items, payloads),
            Input::Persisted(effect) => self.persisted(now, effect),
            Input::EntriesRead(effect, entries) => self.entries_read(effect, entries),
            Input::PayloadRead(effect, payload) => self.payload_read(effect, payload),
            Input::PayloadsLost(lost) => lost.into_iter().for_each(|missing| self.want_payload(now, missing)),
            Input::PayloadsForgotten(forgotten) => self.forget_payloads(&forgotten),
            Input::RosterChanged(chain) => self.roster_changed(now, chain),
            Input::ChangesScreened(effect, passed) => self.changes_screened(now, effect, &passed),
            Input::DiskChecked { full } => self.disk_checked(now, full),
            Input::FreezeFound(bytes) => self.freeze_found(&bytes),
            Input::TimeoutReached => self.timeout(now),
        }
    }

    /// The next thing to do, or none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to hand in `TimeoutReached` at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let frontiers = self.sessions.values().map(|session| session.next_frontier);
        let silences = self.sessions.values().filter_map(|session| session.silent_until);
        let payloads = self.incoming.values().map(|incoming| incoming.until);
        let suspicions = self.suspect.values().map(|(_, until)| *until);
        let waits = frontiers.chain(silences).chain(self.fetching.values().copied()).chain(payloads).chain(suspicions);
        waits.chain(self.admission.next_day()).min()
    }

    /// The roster in force.
    pub const fn rosters(&self) -> &RosterChain {
        &self.rosters
    }

    /// This node's identity.
    pub const fn me(&self) -> NodeId {
        self.me
    }

    /// The log that this node appends to.
    pub const fn own_log(&self, audience: Audience) -> LogId {
        LogId { author: self.me, generation: self.generation, audience }
    }

    /// The seq that this node's next entry in the audience will have.
    pub fn next_own_seq(&self, audience: Audience) -> u64 {
        self.chains.len(self.own_log(audience)) + 1
    }

    /// Logs found invalid, with the reason.
    pub const fn frozen(&self) -> &BTreeMap<LogId, Frozen> {
        &self.frozen
    }

    /// Members that are connected, with whether each has a brain.
    pub fn connected(&self) -> impl Iterator<Item = (NodeId, bool)> + '_ {
        self.sessions.iter().map(|(node, session)| (*node, session.has_brain))
    }

    /// How many entries of a log its author's session says there are, or whoever else is connected.
    pub fn known_of(&self, log: LogId) -> Option<u64> {
        self.sessions.values().filter_map(|session| session.known.as_ref()?.get(&log).copied()).max()
    }

    /// Whether the next entry of a log waits for entries of others that its author had seen.
    pub fn lacks_past(&self, log: LogId) -> bool {
        self.waiting.contains_key(&log)
    }

    /// Whether a log of ours is handed to nobody for now: a peer says that there is more of it, and has to show it.
    pub fn is_suspect(&self, log: LogId) -> bool {
        self.suspect.contains_key(&log)
    }

    /// Every log of which that is true.
    pub fn lacking_past(&self) -> impl Iterator<Item = LogId> + '_ {
        self.waiting.keys().copied()
    }

    /// How many durable entries a connected peer is not known to hold; `None` while that is not known.
    pub fn lag_of(&self, peer: NodeId) -> Option<u64> {
        let session = self.sessions.get(&peer)?;
        let known = session.known.as_ref()?;
        let readable = |log: &LogId| readable_by(session.role, log.audience);
        let lag = |(log, durable): (&LogId, &u64)| durable.saturating_sub(known.get(log).copied().unwrap_or(0));
        Some(self.durable.iter().filter(|(log, _)| readable(log)).map(lag).sum())
    }

    /// How many of the entries are held that are known to be there, and how many those are.
    pub fn received(&self) -> (u64, u64) {
        let mut known = self.durable.clone();
        for (log, seq) in self.sessions.values().filter_map(|session| session.known.as_ref()).flatten() {
            let most = known.entry(*log).or_default();
            *most = (*seq).max(*most);
        }
        // What is not followed would never come to its end.
        known.retain(|log, _| !self.frozen.contains_key(log) && !self.waiting.contains_key(log));
        let held = known.keys().filter_map(|log| self.durable.get(log)).sum();
        // A peer may say any number.
        (held, known.into_values().fold(0, u64::saturating_add))
    }

    /// Whether a peer is connected that has told what it holds, and all of that is here.
    pub fn has_caught_up(&self) -> bool {
        let told: Vec<_> = self.sessions.values().filter_map(|session| session.known.as_ref()).collect();
        let is_held = |log: &LogId, seq: u64| self.frozen.contains_key(log) || self.durable.get(log) >= Some(&seq);
        !told.is_empty() && told.into_iter().flatten().all(|(log, seq)| is_held(log, *seq))
    }

    /// The durable end of each log.
    pub fn frontier(&self) -> impl Iterator<Item = Position> + '_ {
        self.durable
            .iter()
            .filter_map(|(log, seq)| self.chains.hash(*log, *seq).map(|hash| Position { log: *log, seq: *seq, hash }))
    }

    fn effect(&mut self) -> EffectId {
        self.next_effect += 1;
        EffectId(self.next_effect)
    }

    fn persist(&mut self, record: Record, in_flight: InFlight) {
        let effect = self.effect();
        self.in_flight.insert(effect, in_flight);
        self.outputs.push_back(Output::Persist(effect, record));
    }

    fn persisted(&mut self, now: Timestamp, effect: EffectId) {
        match self.in_flight.remove(&effect) {
            Some(InFlight::Entry { entry, past, from }) => self.entry_durable(now, entry, past, from),
            Some(InFlight::Payload(hash)) => self.outputs.push_back(Output::PayloadArrived(hash)),
            Some(InFlight::Roster) => self.outputs.push_back(Output::RosterInstalled),
            Some(InFlight::Frozen { log, reason }) => {
                self.outputs.push_back(Output::ReportFrozen { log, reason });
                for peer in self.sessions.keys().copied().collect::<Vec<_>>() {
                    self.send_evidence(peer);
                }
            }
            None => {}
        }
    }

    fn close_peer(&mut self, peer: NodeId, fault: PeerFault) {
        self.close_session(peer);
        self.outputs.push_back(Output::ClosePeer { peer, fault });
    }

    fn close_session(&mut self, peer: NodeId) {
        self.sessions.remove(&peer);
        let broken: Vec<_> = self.incoming.extract_if(.., |_, incoming| incoming.from == peer).collect();
        for (_, incoming) in broken {
            self.lacking.want(incoming.missing);
            self.keep_parts(incoming);
        }
        self.branches.retain(|_, branch| branch.peer != peer);
        if self.sessions.is_empty() {
            self.fetching.clear();
        }
    }

    fn roster_changed(&mut self, now: Timestamp, chain: RosterChain) {
        let grown = chain.current().epoch > self.rosters.current().epoch;
        if chain.current().mesh != self.mesh || !grown {
            return;
        }
        let after = self.rosters.current().epoch;
        self.rosters = chain;
        self.membership_changed();
        self.give_up_overruns();
        let newer: Vec<_> = self.rosters.after(after).collect();
        let peers: BTreeSet<_> = self.sessions.keys().copied().collect();
        for peer in peers {
            for bytes in &newer {
                self.send(peer, Frame::Roster { bytes: bytes.clone() });
            }
        }
        self.retry_waiting(now);
        self.admit_again(now);
    }

    fn membership_changed(&mut self) {
        let roster = self.rosters.current();
        let closed: BTreeSet<_> = roster.closed.iter().map(|closed| closed.log).collect();
        self.frozen.retain(|log, _| !closed.contains(log));
        let waiting = self.waiting().map(|(log, _)| log).chain(self.lacking_past());
        let ended: Vec<_> = waiting.filter(|log| self.has_ended(*log)).collect();
        for log in ended {
            self.admission.forget(log);
            self.waiting.remove(&log);
        }
        let roster = self.rosters.current();
        if let Some(member) = roster.member(self.me) {
            self.role = member.role;
            self.generation = self.generation.max(member.generation_min);
        }
        let gone: Vec<_> = self.sessions.keys().filter(|peer| roster.member(**peer).is_none()).copied().collect();
        for peer in gone {
            self.close_peer(peer, PeerFault::NotAMember);
        }
    }
}

fn readable_by(role: Role, audience: Audience) -> bool {
    audience == Audience::All || role == Role::Local
}
