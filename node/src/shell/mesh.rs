//! The mesh process: one task around the core; disk, store, network and brains answer it through channels.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use aiemp_crdt::vault::{RemoveOutcome, WriteOutcome};
use aiemp_keys::{NodeId, PublicKey, Signer, private_file};
use aiemp_protocol::{
    egress::Cleared,
    ids::{ContentHash, WorkId},
    replication::{PeerFault, Record},
    roster::{Role, RosterChain},
};
use anyhow::{Context, Result, bail, ensure};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until},
};

use super::{
    clock,
    control::{self, Response},
    mail_in::{MailIn, Sources},
    network::{self, Network},
    program_keeper::ProgramKeeper,
    schedule::Schedule,
    screen::{self, Keeper},
    store::{self, StoreEvent, StoreHandle},
    vault_disk::{DiskEvent, VaultWatcher},
};
use crate::{
    audit::AuditLog,
    config::Config,
    core::{BrainFault, BrainId, BrainRun, Core, Input, Notice, Output, TroubleClass},
    fault::causes,
    home::Home,
};

mod answers;
mod calls;
mod damage;
mod disk;
mod mending;
mod notices;
mod place;
mod progress;
mod receipts;
mod rescans;
mod start;
mod timeouts;
mod troubles;
mod unpaired;
mod unsynced;

use disk::{Disk, DiskDone, DiskJob};
pub use place::{Away, anothers};
pub use progress::log_writer;
pub use start::lock;
pub use troubles::{absent, brain_waits, entries_lost, kept_damaged};

/// Events that wait for the core; whoever sends more, waits.
const EVENTS_MAX: usize = 256;
/// How long each step of an orderly end may take.
const WIND_DOWN: Duration = Duration::from_secs(2);
/// How often a peer is asked again for entries that the store lost.
const FETCH_AGAIN: Duration = Duration::from_secs(10);
/// How often the free space below the home is looked at.
const DISK_CHECKS: Duration = Duration::from_secs(5);
/// How often it is looked whether something is due by the clock on the wall.
const CLOCK_LOOKS: Duration = Duration::from_secs(20);
/// How often saves through old file handles are looked for.
const LATE_SAVES: Duration = Duration::from_secs(5);

/// What the process starts with.
#[derive(Debug)]
pub struct MeshOptions {
    /// The home.
    pub home: Home,
    /// Its settings.
    pub config: Config,
    /// The role asked for, checked against the roster.
    pub role: Role,
    /// The node key, read before the walls went up.
    pub signer: Signer,
    /// Where mails come in.
    pub mail_in: Sources,
    /// What starts the brain, where that is a program.
    pub programs: Option<ProgramKeeper>,
}

/// How the mesh ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// It is to start again at once, behind a wall that leaves open what lies at the vault's path now.
    StartsAgain,
}

/// Runs the mesh, with the keeper of decoders that was started before the walls went up, until SIGTERM, SIGINT, or an error that cannot be lived with.
pub async fn run(options: MeshOptions, keeper: Keeper) -> Result<Ended> {
    let _lock = start::lock(&options.home)?;
    let screen = keeper.serve()?;
    let mut stop = start::stop_signal()?;
    let rosters = loop {
        match super::rosters::load(&options.home)? {
            Some(rosters) => break rosters,
            None => {
                if !unpaired::wait_for_pairing(&options, &mut stop).await? {
                    return Ok(Ended::Stopped);
                }
            }
        }
    };
    let mut rosters = rosters;
    let mut mends = damage::Mends::default();
    loop {
        start::check_membership(&options, &rosters)?;
        let opened = mending::open_store(&options, &rosters, &mut stop, mends.is_due()).await?;
        let Some(opened) = opened else { return Ok(Ended::Stopped) };
        let mut mesh = Mesh::start(&options, rosters, opened, screen.clone()).await?;
        let worked = mesh.work(&mut stop).await;
        let worked = if let Err(error) = worked { Err(mesh.cause_of(error).await) } else { Ok(()) };
        let divergence = mesh.core.divergence().cloned();
        let (starts_again, away) = (mesh.place.starts_again(), mesh.place.away().cloned());
        mesh.wind_down().await;
        if mends.may_go_on(&worked) {
            rosters = super::rosters::load(&options.home)?.context("the rosters are gone")?;
            continue;
        }
        worked?;
        if starts_again {
            return Ok(Ended::StartsAgain);
        }
        let Some(divergence) = divergence else { return Ok(Ended::Stopped) };
        if let Some(away) = away {
            return Err(away.told(&options.config.vault).into());
        }
        start::give_up(&options.home, &options.config.vault, divergence)?;
        rosters = super::rosters::load(&options.home)?.context("the rosters are gone")?;
    }
}

/// A draft's body, or why there is none.
type BrainAnswer = (BrainId, Result<BrainRun, BrainFault>);

/// Who was called, and the id of the call that it answered.
type CallDone = (NodeId, String);

struct Mesh {
    home: Home,
    config: Config,
    me: NodeId,
    receipt_key: Option<PublicKey>,
    core: Core,
    screen: mpsc::Sender<screen::Request>,
    screened: (mpsc::Sender<screen::Answer>, mpsc::Receiver<screen::Answer>),
    store: StoreHandle,
    store_events: mpsc::Receiver<StoreEvent>,
    network: Network,
    network_events: mpsc::Receiver<network::Event>,
    disk: Disk,
    disk_events: mpsc::Receiver<DiskEvent>,
    place: place::Place,
    home_changed: mpsc::Receiver<()>,
    asked: mpsc::Receiver<control::Asked>,
    brain: Brain,
    calls: BTreeMap<u64, oneshot::Sender<Cleared<Vec<u8>>>>,
    calls_done: (mpsc::Sender<CallDone>, mpsc::Receiver<CallDone>),
    paired: (mpsc::Sender<Option<RosterChain>>, mpsc::Receiver<Option<RosterChain>>),
    /// Pairings under way.
    pairings: usize,
    answers: BTreeMap<u64, oneshot::Sender<Response>>,
    next_request: u64,
    listening: Vec<String>,
    /// Peers are not heard before.
    hears_at: Instant,
    rescans: rescans::Rescans,
    bar: progress::Bar,
    unsynced: unsynced::Unsynced,
    audit: AuditLog,
    /// Whether less than the floor is free below the home.
    disk_full: bool,
    /// The releases that the guard goes by, as they were written.
    releases_seen: Option<SystemTime>,
    /// Saves that were taken off their paths and are not merged for certain.
    displaced: Vec<ContentHash>,
    watcher: Option<VaultWatcher>,
    /// Payloads that were damaged and forgotten since the start.
    payloads_lost: usize,
    mail_in: MailIn,
    /// What the process with the senses told last.
    senses: answers::Senses,
    schedule: Schedule,
}

/// The brain, where it is a program.
struct Brain {
    keeper: Option<ProgramKeeper>,
    answers: (mpsc::Sender<BrainAnswer>, mpsc::Receiver<BrainAnswer>),
    /// Why it drafted nothing the last time.
    failed: Option<(TroubleClass, String, Instant)>,
}

impl Brain {
    fn new(keeper: Option<ProgramKeeper>) -> Self {
        Self { keeper, answers: mpsc::channel(EVENTS_MAX), failed: None }
    }

    fn check_keeper(&self) -> Result<()> {
        let is_gone = self.keeper.as_ref().is_some_and(ProgramKeeper::is_gone);
        ensure!(!is_gone, "the keeper of programs ended; start the node again");
        Ok(())
    }
}

impl Mesh {
    async fn work(&mut self, stop: &mut mpsc::Receiver<()>) -> Result<()> {
        let mut late_saves = tokio::time::interval(LATE_SAVES);
        let mut disk_checks = tokio::time::interval(DISK_CHECKS);
        let mut clock_looks = tokio::time::interval_at(Instant::now() + CLOCK_LOOKS, CLOCK_LOOKS);
        self.home_has_changed().await?;
        self.handle(Input::Restored).await?;
        start::say_ready();
        let mut timed_at = Instant::now();
        loop {
            self.time_out_if_overdue(&mut timed_at).await?;
            self.go_on_with_first_scan().await?;
            self.draw_progress();
            let (timeout, redraw) = (self.next_timeout(), self.bar.due_at());
            if self.core.divergence().is_some() || self.place.starts_again() {
                return Ok(());
            }
            // Before anything that asks for more.
            if stop.is_empty()
                && let Some(done) = self.disk.overdue()
            {
                self.disk_done(done).await?;
                continue;
            }
            tokio::select! {
                _ = stop.recv() => return Ok(()),
                () = self.screen.closed() => bail!("the keeper of decoders ended; start the node again"),
                () = sleep_until(self.hears_at), if Instant::now() < self.hears_at => {}
                Some(event) = self.network_events.recv(), if self.hears_at <= Instant::now() => {
                    self.network_event(event).await?;
                }
                Some(event) = self.store_events.recv() => self.store_event(event).await?,
                Some((effect, passed)) = self.screened.1.recv() => {
                    self.handle(Input::ChangesScreened(effect, passed)).await?;
                }
                Some(done) = self.disk.answer() => self.disk_done(done).await?,
                Some(event) = self.disk_events.recv() => self.disk_event(event).await?,
                Some(()) = self.home_changed.recv() => self.home_has_changed().await?,
                Some((request, answer)) = self.asked.recv() => self.asked(request, answer).await?,
                Some((id, answer)) = self.brain.answers.1.recv() => {
                    self.handle(Input::BrainAnswered(id, answer)).await?;
                    self.brain.check_keeper()?;
                }
                Some((peer, id)) = self.calls_done.1.recv() => self.call_done(peer, id).await?,
                Some(rosters) = self.paired.1.recv() => self.pairing_ended(rosters).await?,
                _ = late_saves.tick() => self.disk.send(DiskJob::LateSaves).await?,
                _ = disk_checks.tick() => self.disk_checked().await?,
                _ = clock_looks.tick() => self.look_at_the_clock().await?,
                () = sleep_until(redraw.unwrap_or(timeout)), if redraw.is_some() => {}
                () = sleep_until(timeout) => self.time_out().await?,
            }
        }
    }

    /// Some time after the start, so that a node that was away has heard what happened.
    async fn look_at_the_clock(&mut self) -> Result<()> {
        for (report, day) in self.schedule.due(&chrono::Local::now()) {
            self.handle(Input::ReportDue(report, day)).await?;
        }
        let found = self.troubles_to_note();
        self.handle(Input::TroublesFound(found)).await
    }

    async fn handle(&mut self, input: Input) -> Result<()> {
        self.core.handle(clock::now(), input);
        while let Some(output) = self.core.poll_output() {
            self.output(output).await?;
        }
        Ok(())
    }

    async fn output(&mut self, output: Output) -> Result<()> {
        match output {
            Output::Persist(effect, record) => {
                if let Record::Roster(_) = &record {
                    super::rosters::store(&self.home, self.core.replication().rosters())?;
                }
                self.store.send(store::Command::Persist(effect, record)).await?;
            }
            Output::ReadEntries { effect, log, from_seq, count } => {
                self.store.send(store::Command::ReadEntries { effect, log, from_seq, count }).await?;
            }
            Output::ReadPayload { effect, hash, shared_only } => {
                self.store.send(store::Command::ReadPayload { effect, hash, shared_only }).await?;
            }
            Output::Load { effect, base, changes, shared_only } => {
                self.store.send(store::Command::Load { effect, base, changes, shared_only }).await?;
            }
            Output::ForgetPayloads { gone, unwanted } => {
                self.store.send(store::Command::Forget { gone, unwanted }).await?;
            }
            Output::RecordProjection { key, projection } => {
                self.store.send(store::Command::Write(store::Write::Projection { key, projection })).await?;
            }
            Output::NoteAdopted => self.store.send(start::adopted()).await?,
            Output::NoteHeldRemovals(held) => self.store.send(start::removals_held(held)).await?,
            Output::Screen { effect, changes } => {
                let request = screen::Request { effect, changes, answer: self.screened.0.clone() };
                self.screen.send(request).await.context("the keeper of decoders ended")?;
            }
            Output::SendFrame { peer, frame } => self.tell_network(network::Command::Send { peer, frame }).await?,
            Output::ClosePeer { peer, fault } => self.close_peer(peer, &fault).await?,
            Output::WriteFile { effect, path, bytes, expected } => {
                self.disk.send(DiskJob::Write { effect, path, bytes, expected }).await?;
            }
            Output::RemoveFile { effect, path, expected } => {
                self.disk.send(DiskJob::Remove { effect, path, expected }).await?;
            }
            Output::LookAt(path) => self.disk.send(DiskJob::Look(vec![path])).await?,
            Output::RemoveIntake { path, expected } => self.disk.send(DiskJob::RemoveIntake { path, expected }).await?,
            Output::CallPeer { peer, id, body } => self.queue_call(peer, id, body).await?,
            Output::AnswerCall { request, body } => self.answer_call(request, body),
            Output::KeepAnnouncement { id, bytes } => self.keep_announcement(id, bytes).await?,
            Output::RunBrain { id, prompt, for_work } => self.run_brain(id, prompt, for_work),
            Output::KeepSpending(bytes) => private_file::write_private(&self.home.brain_spending(), &bytes)?,
            Output::KeepRosterFork { bytes } => super::rosters::keep_fork(&self.home, &bytes)?,
            Output::AskExecutor(request) => super::standing::ask(&self.home.requests(), &request)?,
            Output::KeepFreeze { record, bytes } => super::freezes::keep(&self.home.freezes(), record, &bytes)?,
            Output::RosterInstalled => self.members_changed().await?,
            Output::Answer { request, answer } => self.answered(request, answer),
            Output::Notice(notice) => self.notice(notice)?,
        }
        Ok(())
    }

    fn notice(&mut self, notice: Notice) -> Result<()> {
        if let Some(event) = notices::audited(&notice) {
            self.audit.append(clock::now(), &event).context("the audit log")?;
        }
        if let Notice::BrainFailed { class, why, .. } = &notice {
            self.brain.failed = Some((*class, why.clone(), Instant::now()));
        } else if matches!(notice, Notice::Drafted { .. } | Notice::Finished { .. }) {
            self.brain.failed = None;
        }
        notices::tell(&self.home, notice);
        Ok(())
    }

    async fn tell_network(&self, command: network::Command) -> Result<()> {
        self.network.commands.send(command).await.context("the network task ended")
    }

    async fn close_peer(&self, peer: NodeId, fault: &PeerFault) -> Result<()> {
        tracing::warn!(%peer, ?fault, "session closed");
        self.tell_network(network::Command::Close { peer }).await
    }

    fn run_brain(&self, id: BrainId, prompt: Cleared<String>, for_work: Option<WorkId>) {
        let (keeper, settings, answers) =
            (self.brain.keeper.clone(), self.config.brain.clone(), self.brain.answers.0.clone());
        tokio::spawn(async move {
            let answer = super::brain::run(keeper.as_ref(), &settings, prompt, for_work).await;
            // Only a mesh that is stopping does not take it.
            answers.send((id, answer)).await.ok();
        });
    }

    async fn network_event(&mut self, event: network::Event) -> Result<()> {
        match event {
            network::Event::Listening(address) => {
                self.listening.push(address.to_string());
                start::write_addresses(&self.home, &self.listening)
            }
            network::Event::Connected(peer) => {
                tracing::info!(%peer, "connected");
                self.handle(Input::PeerConnected(peer)).await?;
                self.read_queue(peer).await
            }
            network::Event::Disconnected(peer) => {
                tracing::info!(%peer, "disconnected");
                self.handle(Input::PeerDisconnected(peer)).await
            }
            network::Event::Frame { peer, frame } => self.handle(Input::FrameReceived { peer, frame }).await,
            network::Event::PairingRequested { dialer, stream } => {
                let (home, me, paired) = (self.home.clone(), self.me, self.paired.0.clone());
                let vault = self.config.vault.clone();
                self.pairings += 1;
                tokio::spawn(async move {
                    let answered = super::pairing::respond(&home, &vault, me, dialer, stream).await;
                    if let Err(error) = &answered {
                        tracing::warn!(error = causes(error), "pairing failed");
                    }
                    paired.send(answered.ok()).await.ok();
                });
                Ok(())
            }
            network::Event::Called { peer, request: body, reply } => {
                self.next_request += 1;
                let request = self.next_request;
                self.calls.insert(request, reply);
                self.handle(Input::Called { request, peer, body }).await
            }
        }
    }

    async fn store_event(&mut self, event: StoreEvent) -> Result<()> {
        match event {
            StoreEvent::Persisted(effect) => self.handle(Input::Persisted(effect)).await,
            StoreEvent::EntriesRead(effect, entries) => self.handle(Input::EntriesRead(effect, entries)).await,
            StoreEvent::PayloadRead(effect, payload) => self.handle(Input::PayloadRead(effect, payload)).await,
            StoreEvent::PayloadsLost(lost) => {
                self.payloads_lost += lost.len();
                self.handle(Input::PayloadsLost(lost)).await
            }
            StoreEvent::Loaded(effect, payloads) => self.handle(Input::Loaded(effect, payloads)).await,
            StoreEvent::QueueRead(peer, calls) => {
                self.call_all(peer, calls);
                Ok(())
            }
            StoreEvent::Failed(error) => Err(damage::failed(error)),
        }
    }

    async fn disk_done(&mut self, done: DiskDone) -> Result<()> {
        match done {
            DiskDone::Written(effect, outcome) => {
                let outcome = self.while_waiting(outcome);
                if let WriteOutcome::Displaced(bytes) = &outcome {
                    self.displaced.push(ContentHash::of(bytes));
                }
                self.handle(Input::FileWritten(effect, outcome)).await
            }
            DiskDone::Removed(effect, outcome) => {
                if let RemoveOutcome::Changed(bytes) = &outcome {
                    self.displaced.push(ContentHash::of(bytes));
                }
                self.handle(Input::FileRemoved(effect, outcome)).await
            }
            DiskDone::Scanned(scan) => self.scanned(scan).await,
            DiskDone::Stamps(stamps) => {
                self.store.send(store::Command::Write(store::Write::Stamps(stamps))).await?;
                Ok(())
            }
            DiskDone::Refused(path, error) => {
                self.unsynced.written(path, error.as_ref(), std::time::Instant::now());
                Ok(())
            }
            DiskDone::Missed => {
                self.place.missed();
                Ok(())
            }
            DiskDone::Seen { changed, removed, has_twins } => {
                self.handle(Input::FilesChanged { changed, removed }).await?;
                if has_twins && self.rescans.ask() { self.scan().await } else { Ok(()) }
            }
            DiskDone::LateSaves(saves) => {
                saves.into_iter().for_each(|(path, bytes)| notices::tell_late(&self.home, path, bytes));
                self.forget_displaced().await
            }
        }
    }

    /// Peers wait while little space is left; what is saved here is taken in as long as there is any.
    async fn disk_checked(&mut self) -> Result<()> {
        self.look_at_place().await?;
        let has_room = |path| super::free_space::has_room(path, 0, self.config.admission.disk_floor_megabytes);
        let full = !has_room(self.home.path())? || !has_room(&self.config.vault).unwrap_or(true);
        if full == self.disk_full {
            return Ok(());
        }
        self.disk_full = full;
        if full {
            let floor = self.config.admission.disk_floor_megabytes;
            tracing::warn!(floor_megabytes = floor, "the disk is nearly full: peers wait until there is space again");
        } else {
            tracing::info!("there is space on the disk again");
        }
        self.handle(Input::DiskChecked { full }).await
    }

    /// Where nothing waits any more, every save that was displaced is in the logs.
    async fn forget_displaced(&mut self) -> Result<()> {
        if self.displaced.is_empty() || !self.core.vault().is_settled() {
            return Ok(());
        }
        self.disk.send(DiskJob::Forget(std::mem::take(&mut self.displaced))).await
    }

    async fn disk_event(&mut self, event: DiskEvent) -> Result<()> {
        match event {
            DiskEvent::Changed { changed, removed, skipped } => {
                let taken = changed.iter().map(|(path, _)| path).chain(&removed);
                self.unsynced.looked_at(taken, skipped);
                self.disk.send(DiskJob::Confirm { changed, removed }).await
            }
            DiskEvent::Rescan if self.rescans.ask() => self.scan().await,
            DiskEvent::Rescan => Ok(()),
        }
    }

    /// Another process wrote a roster, an invitation, an address or a receipt.
    async fn home_has_changed(&mut self) -> Result<()> {
        if let Some(rosters) = super::rosters::load(&self.home)?
            && rosters.current().epoch > self.core.replication().rosters().current().epoch
        {
            self.handle(Input::RosterChanged(rosters)).await?;
        }
        self.members_changed().await?;
        self.invite_changed().await?;
        self.releases_changed().await?;
        let roster = self.core.replication().rosters().current();
        let standing = super::standing::load(&self.home.standing(), roster)?;
        self.handle(Input::StandingChanged(standing)).await?;
        for record in super::freezes::read_all(&self.home.freezes())? {
            self.handle(Input::FreezeFound(record)).await?;
        }
        for receipt in receipts::load(&self.home, self.receipt_key.as_ref(), self.core.replication().rosters()) {
            self.handle(Input::ReceiptFound(receipt)).await?;
        }
        Ok(())
    }

    /// What was held before may go now: everything is looked at once more.
    async fn releases_changed(&mut self) -> Result<()> {
        let written = std::fs::metadata(self.home.releases()).and_then(|file| file.modified()).ok();
        if written == self.releases_seen {
            return Ok(());
        }
        self.releases_seen = written;
        let releases = super::releases::load(&self.home, self.core.replication().rosters().current())?;
        self.handle(Input::ReleasesChanged(releases)).await?;
        self.disk_event(DiskEvent::Rescan).await
    }

    async fn pairing_ended(&mut self, rosters: Option<RosterChain>) -> Result<()> {
        self.pairings -= 1;
        if let Some(rosters) = rosters {
            self.handle(Input::RosterChanged(rosters)).await?;
        }
        self.invite_changed().await
    }

    /// The network cuts off whoever is not invited any more, and a ticket is out of use as soon as its pairing begins.
    async fn invite_changed(&self) -> Result<()> {
        if self.pairings > 0 {
            return Ok(());
        }
        self.tell_network(network::Command::SetInvite(super::pairing::open_invite(&self.home))).await
    }

    async fn members_changed(&self) -> Result<()> {
        let members = super::peers::of(&self.home, self.core.replication().rosters().current(), self.me);
        self.tell_network(network::Command::SetMembers(members)).await
    }

    /// Until nothing is being loaded, written or removed.
    async fn end_effects(&mut self) -> Result<()> {
        while self.core.vault().has_effects() {
            tokio::select! {
                Some(event) = self.store_events.recv() => self.store_event(event).await?,
                Some(done) = self.disk.answer() => self.disk_done(done).await?,
                else => return Ok(()),
            }
        }
        Ok(())
    }

    /// Stops in the order that loses nothing: no more input, what is under way ends, then what is queued for the store
    /// becomes durable.
    async fn wind_down(mut self) {
        let (done, stopped) = oneshot::channel();
        if self.network.commands.send(network::Command::Shutdown(done)).await.is_ok() {
            tokio::time::timeout(WIND_DOWN, stopped).await.ok();
        }
        // A store or a disk that failed has told so already, logs that forked are taken back, and a vault that is away may
        // come back as a copy: the next start looks closer then.
        let is_whole = self.core.divergence().is_none() && self.place.away().is_none();
        if is_whole && let Ok(Ok(())) = tokio::time::timeout(WIND_DOWN, self.end_effects()).await {
            self.store.send(start::ended_well(true)).await.ok();
        }
        self.store.flush().await.ok();
        std::fs::remove_file(self.home.control_socket()).ok();
        std::fs::remove_file(self.home.addresses()).ok();
    }
}
