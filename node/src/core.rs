//! The pure node: replication, vault and work composed into one machine without IO.
//!
//! Contract: [`Core::handle`] takes one input; drain [`Core::poll_output`] after each; call again no later than
//! [`Core::poll_timeout`]. The shell does what the outputs say and hands the answers back; the simulation does the
//! same for a whole mesh in one thread.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aiemp_crdt::vault::{self, Boundaries, Positions, Projection, Vault};
use aiemp_keys::{Fingerprints, NodeId, Signer};
use aiemp_protocol::{
    a2a::TaskDesk,
    approval::Receipt,
    egress::{Guard, Releases},
    entry::{EntryError, Item, SignedEntry},
    freeze::FreezeRecord,
    ids::{Audience, LogId},
    replication::{self, EntryWithPayloads, Frozen, Missing, Replication, Room},
    roster::{Role, Roster, RosterChain},
    time::Timestamp,
    vault_path::VaultPath,
    zone::{NeverPath, Zone},
};

pub mod agent;
mod announce;
mod arrivals;
mod away;
mod books;
mod brains;
mod budget;
mod claims;
mod compaction;
mod dashboard;
mod digest;
mod divergence;
mod drafting;
mod filing;
mod forgetting;
mod history;
mod input;
mod intake;
pub mod mail;
mod newsletters;
mod output;
mod questions;
mod reports;
mod standing;
pub mod template;
mod troubles;
mod work;

pub use arrivals::{Arrival, is_kind};
pub use books::Bank;
use books::Books;
pub use brains::{BrainFault, BrainRun, FaultClass};
pub use budget::{Bound, Limits, Used};
pub use compaction::Compaction;
pub use divergence::{Divergence, Lost};
pub use input::{BrainId, Input, Question};
pub use output::{Answer, ClaimStanding, DraftSource, LogStanding, Notice, Output, Status};
pub use reports::Report;
pub use troubles::{Trouble, TroubleClass};
pub use work::Brain;
use work::Work;

/// What a node starts from.
pub struct Start {
    /// This node's key.
    pub signer: Signer,
    /// The mesh's rosters.
    pub rosters: RosterChain,
    /// What the guard knows of the local secrets.
    pub fingerprints: Fingerprints,
    /// What the person let out although the guard held it.
    pub releases: Releases,
    /// What drafts here.
    pub brain: Brain,
    /// What it may use, where it is a program.
    pub limits: Limits,
    /// A line under each mail that is drafted here, for those who read it.
    pub disclosure: Option<String>,
    /// How the banks write their statements.
    pub banks: Vec<Bank>,
    /// Which notes start anew.
    pub compaction: Compaction,
    /// Logs found invalid before.
    pub frozen: BTreeMap<LogId, Frozen>,
    /// Payloads that durable entries lack.
    pub missing: BTreeSet<Missing>,
    /// What this node keeps of any one member.
    pub room: Room,
    /// When the last run ended, as far as that is known.
    pub last_there: Option<Timestamp>,
    /// Whether the last run ended with nothing under way.
    pub ended_well: bool,
    /// Whether it ended while removals waited for a person.
    pub removals_held: bool,
    /// Whether the vault was looked through to the end by a start before.
    pub has_adopted: bool,
}

/// The machine. Holds state and dispatch; each handler has its own file.
#[derive(Debug)]
pub struct Core {
    replication: Replication,
    vault: Vault,
    guard: Guard,
    work: Work,
    desk: TaskDesk,
    divergence: Option<Divergence>,
    outputs: VecDeque<Output>,
    /// Records of the disk that follow everything else an input asked for: one that became durable before the entry of
    /// the save it speaks of would hide that save after a crash.
    projections: Vec<Output>,
}

/// What the roster allows this node, in the words of the vault.
#[derive(Debug)]
struct RosterBoundaries {
    roster: Roster,
    /// Every node that a roster ever named as Local: of its entries' authors each node knows this alike, whatever epochs
    /// it lacks.
    locals: BTreeSet<NodeId>,
    me: NodeId,
    role: Role,
}

impl Boundaries for RosterBoundaries {
    fn zone_of(&self, path: &VaultPath) -> Result<Zone, NeverPath> {
        self.roster.zone_of(path)
    }

    fn may_write(&self, zone: Zone) -> bool {
        zone.may_write(self.me, self.role)
    }

    fn may_archive(&self, zone: Zone) -> bool {
        zone.may_archive(self.me, self.role)
    }

    fn may_resolve(&self, author: NodeId, zone: Zone) -> bool {
        self.roster.member(author).is_some_and(|member| zone.may_archive(author, member.role))
    }

    fn holds_active_content(&self) -> bool {
        self.role == Role::Local
    }

    fn names_first(&self, author: NodeId) -> bool {
        self.locals.contains(&author)
    }

    fn may_release(&self, author: NodeId) -> bool {
        self.roster.member(author).is_some_and(|member| member.role == Role::Local)
    }
}

impl Core {
    /// A node that holds nothing yet.
    pub fn new(start: Start) -> Self {
        let mut guard = Guard::new(start.fingerprints).with_releases(start.releases);
        if start.rosters.current().member(start.signer.node_id()).is_none_or(|member| member.role == Role::Cloud) {
            guard = guard.at_cloud();
        }
        let replication = Replication::new(replication::Start {
            signer: start.signer,
            rosters: start.rosters,
            guard: guard.clone(),
            has_brain: start.brain != Brain::None,
            frozen: start.frozen,
            missing: start.missing,
            room: start.room,
        });
        let me = replication.me();
        let boundaries = boundaries(replication.rosters(), me);
        let brain = (start.brain, start.limits, start.disclosure);
        let mut work = Work::new(replication.rosters().current(), me, brain, start.compaction);
        work.books = Books::of(start.banks);
        work.presence.was_there(start.last_there);
        let mut vault = Vault::new(me, Box::new(boundaries), positions(&replication));
        if start.ended_well {
            vault.ended_well();
        }
        if !start.has_adopted {
            vault.adopts();
        }
        if start.removals_held {
            vault.removals_were_held();
        }
        Self {
            replication,
            vault,
            guard,
            work,
            desk: TaskDesk::default(),
            divergence: None,
            outputs: VecDeque::new(),
            projections: Vec::new(),
        }
    }

    /// Takes back a durable entry, in the order they became durable. An entry that does not verify ends the start:
    /// the store is not the one this node wrote.
    pub fn restore_entry(&mut self, log: LogId, cose: &[u8], received: Timestamp) -> Result<(), EntryError> {
        let mesh = self.replication.rosters().current().mesh;
        let signed = SignedEntry::verify(mesh, log, self.replication.head(log), cose)?;
        self.was_there(received);
        let past = self.replication.restore(&signed, received);
        let payloads = signed.entry.items.iter().filter_map(Item::payload).map(|_| None).collect();
        let entry = EntryWithPayloads { signed, payloads };
        let positions = positions(&self.replication);
        self.vault.handle(Timestamp::default(), positions, vault::Input::Applied { entry, past });
        while self.vault.poll_output().is_some() {}
        Ok(())
    }

    /// Takes back what lay on disk.
    pub fn restore_projection(&mut self, key: String, projection: Projection) {
        self.vault.restore_projection(key, projection);
    }

    /// Takes back a receipt of an earlier run; its filing is looked at once everything is restored.
    pub fn restore_receipt(&mut self, receipt: Receipt) {
        self.remember_receipt(receipt);
    }

    /// Handles one input.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        self.is_there(now);
        match input {
            Input::Restored => {
                self.vault_input(now, vault::Input::Restored);
                self.look_at_names();
                self.resume_work(now);
                self.begin_forgetting(now);
                self.begin_compaction(now);
            }
            Input::Scanned => self.vault_input(now, vault::Input::Scanned),
            Input::PeerConnected(peer) => {
                self.work.has_met = true;
                self.replication.handle(now, replication::Input::PeerConnected(peer));
            }
            Input::PeerDisconnected(peer) => self.replication.handle(now, replication::Input::PeerDisconnected(peer)),
            Input::FrameReceived { peer, frame } => {
                self.replication.handle(now, replication::Input::FrameReceived { peer, frame });
            }
            Input::FilesChanged { changed, removed } => self.files_changed(now, changed, removed),
            Input::Persisted(effect) => self.replication.handle(now, replication::Input::Persisted(effect)),
            Input::EntriesRead(effect, entries) => {
                self.replication.handle(now, replication::Input::EntriesRead(effect, entries));
            }
            Input::PayloadRead(effect, payload) => {
                self.replication.handle(now, replication::Input::PayloadRead(effect, payload));
            }
            Input::PayloadsLost(lost) => {
                self.notice(Notice::PayloadsLost(lost.iter().map(|missing| missing.hash).collect()));
                self.replication.handle(now, replication::Input::PayloadsLost(lost));
            }
            Input::Loaded(effect, payloads) => self.vault_input(now, vault::Input::Loaded(effect, payloads)),
            Input::FileWritten(effect, outcome) => {
                let outcome = self.clear_written(effect, outcome);
                self.vault_input(now, vault::Input::FileWritten(effect, outcome));
            }
            Input::FileRemoved(effect, outcome) => {
                let outcome = self.clear_removed(effect, outcome);
                self.vault_input(now, vault::Input::FileRemoved(effect, outcome));
            }
            Input::BrainAnswered(id, answer) => self.brain_answered(now, id, answer),
            Input::ReceiptFound(receipt) => self.receipt_found(now, receipt),
            Input::Called { request, peer, body } => self.called(now, request, peer, &body),
            Input::RosterChanged(chain) => {
                self.replication.handle(now, replication::Input::RosterChanged(chain));
                self.roster_installed(now);
            }
            Input::ChangesScreened(effect, passed) => {
                self.replication.handle(now, replication::Input::ChangesScreened(effect, passed));
            }
            Input::ReleasesChanged(releases) => {
                self.guard = self.guard.clone().with_releases(releases);
                self.replication.set_guard(self.guard.clone());
                self.write_day_log(now);
            }
            Input::StandingChanged(standing) => self.standing_changed(now, standing),
            Input::FreezeFound(bytes) => self.replication.handle(now, replication::Input::FreezeFound(bytes)),
            Input::TroublesFound(found) => self.troubles_found(now, found),
            Input::ReportDue(report, day) => self.report_due(now, report, day),
            Input::DiskChecked { full } => self.replication.handle(now, replication::Input::DiskChecked { full }),
            Input::PlaceChecked { is_away } => self.vault_input(now, vault::Input::PlaceChecked { is_away }),
            Input::Asked { request, question } => self.asked(now, request, question),
            Input::TimeoutReached => self.timeout(now),
        }
        self.pump(now);
    }

    /// The next thing to do, or none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to hand in `TimeoutReached` at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        [self.replication.poll_timeout(), self.vault.poll_timeout(), self.work.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The vault, to look at.
    pub const fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The guard at the doors, for what waited on disk meanwhile.
    pub const fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The replication machine, to look at.
    pub const fn replication(&self) -> &Replication {
        &self.replication
    }

    fn timeout(&mut self, now: Timestamp) {
        self.replication.handle(now, replication::Input::TimeoutReached);
        self.vault_input(now, vault::Input::TimeoutReached);
        self.work_timeout(now);
        self.forget_if_due(now);
        self.compact_if_due(now);
    }

    fn vault_input(&mut self, now: Timestamp, input: vault::Input) {
        let positions = positions(&self.replication);
        self.vault.handle(now, positions, input);
        self.pump_vault(now);
    }

    fn pump(&mut self, now: Timestamp) {
        self.carry_all(now);
        self.refresh_dashboard(now);
        self.books_due(now);
        self.carry_all(now);
        self.outputs.extend(self.projections.drain(..));
    }

    /// Carries outputs of one machine to the other until both are quiet.
    fn carry_all(&mut self, now: Timestamp) {
        loop {
            self.pump_vault(now);
            let Some(output) = self.replication.poll_output() else { break };
            self.carry_replication(now, output);
        }
    }

    fn pump_vault(&mut self, now: Timestamp) {
        while let Some(output) = self.vault.poll_output() {
            self.carry_vault(now, output);
        }
    }

    fn carry_replication(&mut self, now: Timestamp, output: replication::Output) {
        let output = match output {
            replication::Output::Apply { entry, past } => {
                return self.vault_input(now, vault::Input::Applied { entry, past });
            }
            replication::Output::PayloadArrived(hash) => {
                return self.vault_input(now, vault::Input::PayloadArrived(hash));
            }
            replication::Output::RosterInstalled => {
                self.roster_installed(now);
                Output::RosterInstalled
            }
            replication::Output::BrakeChanged { record, keep } => return self.brake_changed(now, record, keep),
            replication::Output::Persist(effect, record) => Output::Persist(effect, record),
            replication::Output::SendFrame { peer, frame } => Output::SendFrame { peer, frame },
            replication::Output::ReadEntries { effect, log, from_seq, count } => {
                Output::ReadEntries { effect, log, from_seq, count }
            }
            replication::Output::ReadPayload { effect, hash, shared_only } => {
                Output::ReadPayload { effect, hash, shared_only }
            }
            replication::Output::ClosePeer { peer, fault } => Output::ClosePeer { peer, fault },
            replication::Output::ReportFrozen { log, reason } => Output::Notice(Notice::Frozen { log, reason }),
            replication::Output::Screen { effect, changes } => Output::Screen { effect, changes },
            replication::Output::ReportDropped { hash, author } => Output::Notice(Notice::Dropped { hash, author }),
            replication::Output::ReportRosterFork { bytes } => Output::KeepRosterFork { bytes },
            replication::Output::ReportWaiting { log, reason } => Output::Notice(Notice::Waiting { log, reason }),
            replication::Output::ReportRestored { generation } => Output::Notice(Notice::Restored { generation }),
            replication::Output::ReportDiverged { keep } => {
                self.divergence = Some(self.divergence_of(keep));
                return;
            }
            replication::Output::ReportWithheld { peer, why } => Output::Notice(Notice::Withheld { peer, why }),
        };
        self.outputs.push_back(output);
    }

    fn roster_installed(&mut self, now: Timestamp) {
        let rosters = self.replication.rosters();
        self.vault.set_boundaries(Box::new(boundaries(rosters, self.replication.me())));
        self.work.roster_changed(rosters.current());
        self.work.is_stopped = self.replication.is_stopped();
        self.vault.set_stopped(self.work.is_stopped);
        self.keep_books(now);
        self.work.dashboard_due = Some(now);
    }

    /// What was let go on begins with what it finds.
    fn brake_changed(&mut self, now: Timestamp, record: FreezeRecord, keep: Option<Vec<u8>>) {
        self.outputs.extend(keep.map(|bytes| Output::KeepFreeze { record, bytes }));
        self.notice(Notice::BrakeChanged(record));
        let is_stopped = self.replication.is_stopped();
        self.vault.set_stopped(is_stopped);
        if std::mem::replace(&mut self.work.is_stopped, is_stopped) && !is_stopped {
            self.resume_work(now);
        }
        self.work.dashboard_due = Some(now);
    }

    fn carry_vault(&mut self, now: Timestamp, output: vault::Output) {
        let output = match output {
            vault::Output::Append { audience, items, payloads } => {
                let append = replication::Input::AppendRequested { audience, items, payloads };
                return self.replication.handle(now, append);
            }
            vault::Output::FileUpdated(file) => return self.file_updated(now, file),
            // Not before the entries that adopt, which are put out first.
            vault::Output::NoteAdopted => return self.projections.push(Output::NoteAdopted),
            vault::Output::NoteHeldRemovals(held) => {
                self.work.dashboard_due = Some(now);
                Output::NoteHeldRemovals(held)
            }
            vault::Output::Content { request, bytes } => return self.content_read(now, request, bytes),
            vault::Output::Undone { request, undone, left } => {
                Output::Answer { request, answer: Answer::Undone { undone, left } }
            }
            vault::Output::Load { effect, base, changes, shared_only } => {
                Output::Load { effect, base, changes, shared_only }
            }
            vault::Output::WriteFile { effect, path, bytes, expected } => {
                Output::WriteFile { effect, path, bytes, expected }
            }
            vault::Output::RemoveFile { effect, path, expected } => Output::RemoveFile { effect, path, expected },
            vault::Output::LookAt(path) => Output::LookAt(path),
            vault::Output::RecordProjection { key, projection } => {
                return self.projections.push(Output::RecordProjection { key, projection });
            }
            vault::Output::Hold { path, bytes, reason } => Output::Notice(Notice::Kept { path, bytes, reason }),
            vault::Output::ReportHeld { path } => {
                self.work.dashboard_due = Some(now);
                Output::Notice(Notice::ContentHeld { path })
            }
            vault::Output::ReportRefused { file, author, why } => {
                Output::Notice(Notice::ChangeRefused { file, author, why: why.to_string() })
            }
        };
        self.outputs.push_back(output);
    }

    fn notice(&mut self, notice: Notice) {
        self.outputs.push_back(Output::Notice(notice));
    }
}

fn boundaries(rosters: &RosterChain, me: NodeId) -> RosterBoundaries {
    let roster = rosters.current().clone();
    let members = (1..=roster.epoch).filter_map(|epoch| rosters.at(epoch)).flat_map(|roster| &roster.members);
    let locals = members.filter(|member| member.role == Role::Local).map(|member| member.node).collect();
    let role = roster.member(me).map_or(Role::Cloud, |member| member.role);
    RosterBoundaries { roster, locals, me, role }
}

fn positions(replication: &Replication) -> Positions {
    let of = |audience| (replication.own_log(audience), replication.next_own_seq(audience));
    Positions { all: of(Audience::All), local: of(Audience::Local) }
}
