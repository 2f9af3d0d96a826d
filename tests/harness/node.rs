//! One node: its core, what it keeps, and how it starts again.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_keys::{FingerprintKey, Fingerprints, NodeId, Signer};
use aiemp_node::core::{Answer, Bank, Brain, Compaction, Core, Divergence, Input, Limits, Lost, Start};
use aiemp_protocol::{
    approval::{Receipt, Standing},
    egress::Releases,
    freeze::Freezes,
    ids::ContentHash,
    replication::Room,
    roster::{Role, RosterChain},
    time::Timestamp,
    vault_path::VaultPath,
};

use crate::{Violation, disk::Disk, store::Store};

/// The secret that every node's guard knows: it may not leave.
pub const KNOWN_SECRET: &str = "hunter2-swordfish-9431";

/// A node, running or not.
#[derive(Debug)]
pub struct Node {
    /// Its name in the roster.
    pub name: String,
    /// What the roster grants.
    pub role: Role,
    /// What drafts on it.
    pub brain: Brain,
    /// Which notes start anew on it.
    pub compaction: Compaction,
    seed: [u8; 32],
    id: NodeId,
    chain: Option<RosterChain>,
    /// The machine; none while the process is dead.
    pub core: Option<Core>,
    /// Counts starts: answers meant for an earlier process reach nobody.
    pub life: u64,
    /// Its store.
    pub store: Store,
    /// Its vault.
    pub disk: Disk,
    /// Receipts that its executor wrote.
    pub receipts: Vec<Receipt>,
    /// Places that the watcher saw something happen at.
    pub dirty: BTreeSet<VaultPath>,
    /// Whether a look at them is due.
    pub look_due: bool,
    /// Peers whose session broke without this node's noticing.
    pub broken_sessions: BTreeSet<usize>,
    /// Whether the store's writer is at work.
    pub committing: bool,
    /// Writes and removals that were asked for and not answered.
    pub writes_under_way: u32,
    /// When the last answer of the store arrives: answers keep their order.
    pub answers_until: u64,
    /// Saves that were kept from the logs and shown to the person.
    pub kept: Vec<(VaultPath, Vec<u8>)>,
    /// Answers to questions, by number.
    pub answers: BTreeMap<u64, Answer>,
    /// How its banks write their statements.
    pub banks: Vec<Bank>,
    /// What its brain may use.
    pub limits: Limits,
    /// What it used.
    pub spending: Vec<u8>,
    /// What its home says of the brake.
    pub freezes: Freezes,
    /// The standing approvals in its home.
    pub standing: Vec<Standing>,
    /// What its guard knows from its next start on.
    pub secrets: Vec<String>,
    /// The lowest generation that it writes.
    pub generation: u64,
    /// The canaries that it knows from its next start on.
    pub canaries: Vec<String>,
    /// Whether its last run ended with nothing under way.
    pub ended_well: bool,
    /// Whether removals wait for a person.
    pub removals_held: bool,
    /// How long after a start it reads new files, as a node does that finds more than it reads at once.
    pub reads_after_ms: u64,
}

impl Node {
    /// A node that never ran.
    pub fn new(name: &str, role: Role, brain: Brain, seed: [u8; 32]) -> Self {
        Self {
            name: name.to_owned(),
            role,
            brain,
            compaction: Compaction::default(),
            seed,
            id: Signer::from_seed(seed).node_id(),
            chain: None,
            core: None,
            life: 0,
            store: Store::default(),
            disk: Disk::default(),
            receipts: Vec::new(),
            dirty: BTreeSet::new(),
            look_due: false,
            broken_sessions: BTreeSet::new(),
            committing: false,
            writes_under_way: 0,
            answers_until: 0,
            kept: Vec::new(),
            answers: BTreeMap::new(),
            limits: Limits { at_once: 1_000, runs_per_hour: 100_000, runs_per_day: 100_000, ..Limits::default() },
            spending: Vec::new(),
            banks: Vec::new(),
            freezes: Freezes::default(),
            standing: Vec::new(),
            secrets: vec![KNOWN_SECRET.to_owned()],
            generation: 0,
            canaries: Vec::new(),
            ended_well: false,
            removals_held: false,
            reads_after_ms: 0,
        }
    }

    /// Its identity.
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// Its key.
    pub fn signer(&self) -> Signer {
        Signer::from_seed(self.seed)
    }

    /// Gives it the rosters it was paired with.
    pub fn found(&mut self, chain: &RosterChain) {
        self.chain = Some(chain.clone());
    }

    /// The rosters it holds.
    pub fn rosters(&self) -> RosterChain {
        let mut chain = self.chain.clone().expect("the world founded the mesh");
        for roster in &self.store.rosters {
            chain.extend(roster).expect("the store holds rosters that extend the chain");
        }
        chain
    }

    /// Starts the process: everything durable is given back, then the disk is compared with what was recorded.
    pub fn start(&mut self) -> Result<Vec<Input>, Violation> {
        self.life += 1;
        let mut fingerprints = Fingerprints::new(FingerprintKey::from_bytes([7; 32]));
        for secret in &self.secrets {
            fingerprints.add("test", secret.as_bytes()).map_err(|error| error.to_string())?;
        }
        for (number, canary) in self.canaries.iter().enumerate() {
            let name = format!("canary {number}");
            fingerprints.add_canary(&name, canary.as_bytes()).map_err(|error| error.to_string())?;
        }
        let mut core = Core::new(Start {
            ended_well: std::mem::take(&mut self.ended_well),
            removals_held: self.removals_held,
            compaction: self.compaction,
            disclosure: None,
            last_there: None,
            banks: self.banks.clone(),
            has_adopted: self.store.has_adopted,
            signer: self.signer(),
            rosters: self.rosters(),
            fingerprints,
            brain: self.brain,
            limits: self.limits,
            frozen: self.store.frozen.clone(),
            missing: self.store.missing(),
            releases: Releases::new(FingerprintKey::from_bytes([7; 32])),
            room: Room::default(),
        });
        core.raise_generation(self.generation);
        if !self.spending.is_empty() {
            core.restore_spending(&self.spending).map_err(|error| format!("spending: {error}"))?;
        }
        for kept in &self.store.entries {
            core.restore_entry(kept.signed.log, &kept.signed.cose, kept.received)
                .map_err(|error| format!("restore: {error}"))?;
        }
        for (key, projection) in &self.store.projections {
            core.restore_projection(key.clone(), projection.clone());
        }
        self.store.announcements.values().for_each(|bytes| core.restore_announcement(bytes));
        for receipt in &self.receipts {
            core.restore_receipt(receipt.clone());
        }
        self.core = Some(core);
        self.dirty.clear();
        self.broken_sessions.clear();
        self.look_due = false;
        let freezes = self.freezes.records().map(|record| Input::FreezeFound(record.to_vec()));
        let standing = Input::StandingChanged(self.standing.clone());
        let found = if self.reads_after_ms > 0 { vec![self.scan_known()] } else { vec![self.scan(), Input::Scanned] };
        Ok(freezes.chain([standing]).chain(found).chain([Input::Restored]).collect())
    }

    /// Takes out of the store what does not stand, as the shell does.
    pub fn give_up(&mut self, divergence: Divergence) {
        while self.store.is_busy() {
            self.store.commit_next();
        }
        let read = |hash| Ok::<_, std::convert::Infallible>(self.store.change(hash, false));
        let Ok(projections) = divergence.remembered(read);
        let Divergence { keep, generation, lost, .. } = divergence;
        self.generation = self.generation.max(generation);
        for (key, projection) in projections {
            self.store.enqueue_projection(key, projection);
        }
        self.store.commit_next();
        self.store.truncate(&keep);
        for Lost { path, goes } in lost {
            if let Some(bytes) = self.disk.files.get(&path) {
                self.kept.push((path.clone(), bytes.clone()));
            }
            if goes.is_some() {
                self.disk.files.remove(&path);
            }
        }
    }

    /// What differs between the disk and what was recorded of it.
    pub fn scan(&self) -> Input {
        let recorded = |path: &VaultPath| self.store.projections.get(&path.key());
        let differs = |(path, bytes): &(&VaultPath, &Vec<u8>)| {
            recorded(path).is_none_or(|there| there.path != **path || there.hash != ContentHash::of(bytes))
        };
        let changed = self.disk.files.iter().filter(differs).map(|(path, bytes)| (path.clone(), bytes.clone()));
        let present: BTreeSet<_> = self.disk.files.keys().map(VaultPath::key).collect();
        let gone = self.store.projections.iter().filter(|(key, _)| !present.contains(*key));
        Input::FilesChanged { changed: changed.collect(), removed: gone.map(|(_, there)| there.path.clone()).collect() }
    }

    /// As [`Self::scan`], of places alone where something was recorded.
    fn scan_known(&self) -> Input {
        let mut found = self.scan();
        if let Input::FilesChanged { changed, .. } = &mut found {
            changed.retain(|(path, _)| self.store.projections.contains_key(&path.key()));
        }
        found
    }

    /// What the watcher reports: the places it saw, as they are now.
    pub fn look(&mut self) -> Input {
        self.look_due = false;
        let (mut changed, mut removed) = (Vec::new(), Vec::new());
        for path in std::mem::take(&mut self.dirty) {
            match self.disk.files.get(&path) {
                Some(bytes) => changed.push((path, bytes.clone())),
                None => removed.push(path),
            }
        }
        Input::FilesChanged { changed, removed }
    }

    /// Whether the core has to be called by now.
    pub fn next_timeout(&self) -> Option<Timestamp> {
        self.core.as_ref()?.poll_timeout()
    }
}
