//! The executor: the one process that sends, and it sends only what a person signed.
//!
//! It takes approvals from `approved/`, checks each against the roster and the root key that it pinned, and lets the
//! [journal](aiemp_protocol::approval::journal) decide; every step is durable before the next is taken. It talks to the
//! services through the hands in [`smtp`], [`outbox`] and `http`, and to the mesh through signed receipts alone.

/// Names a step after which the tests let the process end; nothing of it is in the released program.
macro_rules! failpoint {
    ($step:literal) => {
        #[cfg(test)]
        $crate::executor::tests::failpoint::reached($step);
    };
}

mod authority;
mod brake;
mod dispatch;
pub(crate) mod http;
mod intake;
pub mod journal_store;
mod masked;
pub(crate) mod mcp_http;
pub mod message;
pub mod outbox;
mod receipts;
pub mod secrets;
mod sent_folder;
pub mod smtp;
mod standing;
mod start;
mod tool;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::File,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::atomic::Ordering,
    time::{Duration, SystemTime},
};

use aiemp_keys::NodeId;
use aiemp_protocol::{
    approval::{
        Receipt,
        journal::{Dispatched, Found, Input, Journal, Nonce, Output, Refusal, Row, State},
    },
    ids::ActionHash,
    time::Timestamp,
};
use futures::FutureExt as _;
use thiserror::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};

use self::{
    authority::Authority, brake::Brake, dispatch::Hands, journal_store::JournalStore, masked::masked,
    receipts::Receipts, tool::Unwanted, watch::Watch,
};
pub use self::{
    authority::{RESTORE_ROOT, pinned_root},
    start::{receipt_signer, runs},
};
use crate::{
    fault::is_disk_full,
    home::Home,
    shell::{handed_in, program_keeper::ProgramKeeper, walls::Reach},
};

/// Sends under way at once: a burst of approvals opens no burst of connections.
const DISPATCHES_MAX: usize = 4;
/// Looks for earlier sends among them: services that hang on a look hold up no send.
const LOOKS_MAX: usize = 2;
/// How long a send may go on after the process was asked to end.
const WIND_DOWN: Duration = Duration::from_secs(5);
/// Bounds of the wait for the next due row; the lower one holds while the clock runs behind and nothing may be sent.
const WAIT_MIN: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Role, roster or settings say that this process may not run here: exit code 78. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// Runs the executor of node `me` until SIGTERM or SIGINT; programs are started by the keeper.
///
/// Fails with [`Refused`] when the roster is absent, not founded by the pinned root key, older than one seen before, or
/// names another executor, at the start or later; with other errors when the home or the disk fails.
pub async fn run(home: &Home, me: NodeId, keeper: Option<ProgramKeeper>) -> anyhow::Result<()> {
    let (mut terminated, mut interrupted) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    };
    run_with(home, me, keeper, stop).await
}

/// [`run`], until `stop` completes.
pub async fn run_until(home: &Home, me: NodeId, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    run_with(home, me, None, stop).await
}

async fn run_with(
    home: &Home,
    me: NodeId,
    keeper: Option<ProgramKeeper>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut executor = Executor::open(home, me, keeper).map_err(told)?;
    let worked = executor.work(Watch::of(&[home.approved(), home.freezes(), home.requests()]), stop).await;
    let ended = executor.wind_down().await;
    worked.and(ended).map_err(told)
}

/// Says what to do about a disk without space, whatever was being written.
fn told(error: anyhow::Error) -> anyhow::Error {
    if is_disk_full(&error) {
        return error
            .context("the disk below the home is full: free some space; nothing was lost, and it is taken up again");
    }
    error
}

#[derive(Debug)]
struct Executor {
    home: Home,
    me: NodeId,
    authority: Authority,
    brake: Brake,
    hands: Hands,
    journal: Journal,
    store: JournalStore,
    receipts: Receipts,
    /// What was signed to be declared, and when.
    hands_issued: Timestamp,
    /// What the wall around this process lets it reach.
    reach: Reach,
    /// Whether what is declared now needs another wall than that of this process.
    is_outgrown: bool,
    /// Rows to dispatch or to look for as soon as another one is done.
    waiting: VecDeque<Errand>,
    /// Looks under way.
    looking: usize,
    running: JoinSet<Input>,
    /// Nonces of both: a row is with one hand at a time, whatever is asked.
    in_flight: BTreeSet<Nonce>,
    /// Tools that are being started, and how to say that their calls are not wanted any more.
    starting: BTreeMap<Nonce, Unwanted>,
    /// What the journal refused last.
    refused: Option<(ActionHash, Refusal)>,
    is_stopping: bool,
    /// Released by the operating system however this process ends.
    _lock: File,
}

/// Something to ask a service.
#[derive(Debug)]
enum Errand {
    Dispatch(Box<Row>),
    LookUp(Box<Row>),
}

impl Executor {
    async fn work(&mut self, mut watch: Watch, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let mut stop = pin!(stop);
        self.begin()?;
        handed_in::note_running(&self.home);
        loop {
            self.pump()?;
            if self.is_outgrown {
                tracing::info!("the declared hands need another wall; the executor ends to be started within it");
                return Ok(());
            }
            if self.hands.lost_keeper() && self.running.is_empty() {
                tracing::warn!("what starts MCP servers is gone; the executor ends to be started with another");
                return Ok(());
            }
            self.stop_unwanted();
            let until_due = self.until_due();
            tokio::select! {
                () = &mut stop => return Ok(()),
                Some(answer) = self.running.join_next() => self.answered(answer),
                () = watch.woken() => {
                    self.take_in()?;
                    self.take_requests()?;
                }
                () = sleep(until_due) => self.handle(Input::TimeoutReached),
            }
        }
    }

    /// Starts nothing more, puts back what no hand was asked for, and waits a little for the rest.
    async fn wind_down(&mut self) -> anyhow::Result<()> {
        self.is_stopping = true;
        self.stop_unwanted();
        self.pump()?;
        let finishing = async {
            while let Some(answer) = self.running.join_next().await {
                self.answered(answer);
                self.pump()?;
            }
            Ok(())
        };
        let Ok(finished) = timeout(WIND_DOWN, finishing).await else {
            tracing::warn!("a send was cut off; the next start looks what became of it");
            return Ok(());
        };
        finished
    }

    /// Acts on everything that the journal wants, until it wants nothing more.
    fn pump(&mut self) -> anyhow::Result<()> {
        loop {
            while let Some(output) = self.journal.poll_output() {
                self.act(output)?;
            }
            if !self.dispatch_next()? {
                return Ok(());
            }
        }
    }

    fn act(&mut self, output: Output) -> anyhow::Result<()> {
        match output {
            Output::Persist(row) => {
                failpoint!("about to persist");
                self.store.persist(&row, self.journal.times())?;
                failpoint!("persisted");
                if matches!(row.state, State::Sent | State::Failed | State::Unknown) {
                    self.hands.forget(&row);
                    failpoint!("mark forgotten");
                }
                self.handle(Input::RowDurable(row.verified.decision.nonce));
            }
            Output::Dispatch(row) => {
                if self.in_flight.insert(row.verified.decision.nonce) {
                    self.waiting.push_back(Errand::Dispatch(row));
                }
            }
            Output::LookUp(row) => self.waiting.push_back(Errand::LookUp(row)),
            Output::WriteReceipt(receipt) => self.write_receipt(*receipt)?,
            Output::Refuse { action, why } => self.refused = Some((action, why)),
            Output::ReportClockBehind { seen } => {
                tracing::error!(%seen, "the clock is behind the latest time seen; nothing is sent until it is set right, or settled: see `doctor`");
            }
        }
        Ok(())
    }

    /// The send that waits longest, or else the look.
    fn next_errand(&mut self) -> Option<Errand> {
        let send = self.waiting.iter().position(|errand| matches!(errand, Errand::Dispatch(_)));
        let at = send.or_else(|| (self.looking < LOOKS_MAX || self.is_stopping).then_some(0))?;
        self.waiting.remove(at)
    }

    /// Runs the next errand; false when there is none, or no room.
    fn dispatch_next(&mut self) -> anyhow::Result<bool> {
        if self.running.len() >= DISPATCHES_MAX && !self.is_stopping {
            return Ok(false);
        }
        if !self.waiting.is_empty() && !self.is_stopping {
            self.refresh_authority()?;
        }
        match self.next_errand() {
            None => return Ok(false),
            Some(Errand::Dispatch(row)) => self.dispatch(row),
            // The next start looks again.
            Some(Errand::LookUp(_)) if self.is_stopping => {}
            Some(Errand::LookUp(row)) => {
                failpoint!("about to look up");
                let (nonce, look) = (row.verified.decision.nonce, self.hands.look_up(&row, self.authority.roster()));
                self.looking += 1;
                self.running.spawn(async move {
                    let looked = AssertUnwindSafe(look.run()).catch_unwind().await;
                    failpoint!("looked up");
                    let broken = |_| Found::NoAnswer("the look broke off; see the log".to_owned());
                    Input::LookedUp(nonce, looked.unwrap_or_else(broken))
                });
            }
        }
        Ok(true)
    }

    fn dispatch(&mut self, row: Box<Row>) {
        failpoint!("about to dispatch");
        let nonce = row.verified.decision.nonce;
        let held_back = match self.why_hold().or_else(|| self.why_full(&row)) {
            Some(reason) => Err(Dispatched::NotSent { reason, retryable: true }),
            None => self.prepare(row),
        };
        match held_back {
            Ok(job) => {
                self.starting.extend(job.unwanted().map(|unwanted| (nonce, unwanted)));
                self.running.spawn(async move {
                    let ended = AssertUnwindSafe(job.run()).catch_unwind().await;
                    let broken = |_| Dispatched::Unknown("the hand broke off; see the log".to_owned());
                    Input::Dispatched(nonce, ended.unwrap_or_else(broken))
                });
            }
            Err(dispatched) => {
                self.in_flight.remove(&nonce);
                self.handle(Input::Dispatched(nonce, dispatched));
            }
        }
    }

    /// Why the row's hand carries nothing more in this hour.
    fn why_full(&self, row: &Row) -> Option<String> {
        const HOUR: Duration = Duration::from_secs(3_600);
        let limit = self.hands.per_hour(row)?;
        let (hand, nonce) = (row.verified.action.hand(), row.verified.decision.nonce);
        let since = now().earlier_by(HOUR);
        let counts = |other: &&Row| {
            other.verified.action.hand() == hand
                && other.verified.action.kind() == row.verified.action.kind()
                && other.verified.decision.nonce != nonce
                && matches!(other.state, State::Dispatching | State::Sent | State::Unknown)
                && other.changed > since
        };
        let carried = u64::try_from(self.journal.rows().filter(counts).count()).unwrap_or(u64::MAX);
        (carried >= limit).then(|| format!("the hand `{hand}` carries at most {limit} in an hour; it waits"))
    }

    /// A new roster voids standing approvals, also for what waited under one. What was called off since the journal gave
    /// the row out is not sent either.
    fn prepare(&self, row: Box<Row>) -> Result<dispatch::Job, Dispatched> {
        let roster = self.authority.roster();
        if let Some(why) = self.journal.why_called_off(&row) {
            return Err(Dispatched::NotSent { reason: why.to_owned(), retryable: false });
        }
        if row.verified.standing.as_ref().is_some_and(|standing| standing.epoch != roster.epoch) {
            let reason = "its standing approval is of an older roster; sign it again".to_owned();
            return Err(Dispatched::NotSent { reason, retryable: false });
        }
        self.hands.prepare(row, roster)
    }

    /// Tools take a while to start. What was frozen, called off or declared anew meanwhile is not called.
    fn stop_unwanted(&self) {
        for (nonce, unwanted) in &self.starting {
            let row = self.journal.rows().find(|row| row.verified.decision.nonce == *nonce);
            let is_off = |row: &Row| self.journal.why_called_off(row).is_some() || self.hands.is_changed(row);
            if self.journal.is_frozen() || self.is_stopping || row.is_some_and(is_off) {
                unwanted.store(true, Ordering::SeqCst);
            }
        }
    }

    /// Why nothing may be sent right now.
    fn why_hold(&mut self) -> Option<String> {
        if self.is_stopping {
            return Some("the executor was stopped".to_owned());
        }
        self.look_at_brake().then(|| "frozen".to_owned())
    }

    /// Whether the mesh is frozen right now; the journal hears of it.
    fn look_at_brake(&mut self) -> bool {
        let frozen = self.brake.is_on(self.authority.roster());
        self.brake_says(frozen);
        frozen
    }

    /// The journal hears of a freeze, and not yet that the mesh goes on.
    fn look_for_freeze(&mut self) {
        if self.brake.is_on(self.authority.roster()) {
            self.brake_says(true);
        }
    }

    fn brake_says(&mut self, frozen: bool) {
        if frozen != self.journal.is_frozen() {
            self.handle(Input::BrakeChanged { frozen });
        }
    }

    fn answered(&mut self, answer: Result<Input, JoinError>) {
        match answer {
            Ok(input) => {
                failpoint!("answer heard");
                if let Input::Dispatched(nonce, _) = &input {
                    self.in_flight.remove(nonce);
                    self.starting.remove(nonce);
                }
                self.looking -= usize::from(matches!(input, Input::LookedUp(..)));
                self.handle(input);
            }
            Err(error) => tracing::error!(%error, "a send was cut off; the next start looks what became of it"),
        }
    }

    fn handle(&mut self, input: Input) {
        self.journal.handle(now(), input);
    }

    fn until_due(&self) -> Duration {
        let wait = self.journal.poll_timeout().map_or(WAIT_MAX, |due| due.since(now()));
        wait.clamp(WAIT_MIN, WAIT_MAX)
    }

    fn refresh_authority(&mut self) -> anyhow::Result<()> {
        if self.authority.refresh()? {
            let roster = self.authority.roster();
            tracing::info!(epoch = roster.epoch, "new roster");
            self.store.see_roster(roster.epoch, roster.hash())?;
        }
        Ok(())
    }

    fn write_receipt(&mut self, receipt: Receipt) -> anyhow::Result<()> {
        let (nonce, state) = (receipt.nonce, receipts::state_of(receipt.outcome));
        let row = self.journal.rows().find(|row| row.verified.decision.nonce == nonce);
        let row = row.expect("the journal writes receipts for its own rows only");
        failpoint!("about to write a receipt");
        self.receipts.write(receipt, row, self.authority.roster())?;
        failpoint!("receipt and audit line written");
        self.store.receipt_written(nonce, state)?;
        failpoint!("receipt marked as written");
        Ok(())
    }
}

fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
