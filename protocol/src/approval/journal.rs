//! The journal machine: from a verified approval to at most one send.
//!
//! Contract: [`Journal::handle`] takes one input; drain [`Journal::poll_output`] after each; call again no later than
//! [`Journal::poll_timeout`]. Each state is durable before the next step is taken: a dispatch is asked for only after
//! the `Dispatching` row's `RowDurable`. While the mesh is frozen no dispatch is asked for; approvals expire as ever.
//!
//! ```text
//! Reserved ──► Dispatching ──► Sent
//!    ▲              │├────────► Failed    definitely not sent; may be approved again
//!    └─ not sent, ──┘└────────► Unknown   may be sent; a person settles it, or the service says that it was
//!       worth another try
//! ```
//!
//! What is done about a row that may be sent stands in `doubt`; about one that is not wanted any more, in `called_off`.

mod called_off;
mod doubt;
mod refusal;
mod times;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use aiemp_keys::Hash;

use self::{called_off::CalledOff, doubt::Doubt};
pub use self::{doubt::Found, refusal::Refusal, times::Times};
use super::{
    bundle::Verified,
    decision::{ClockSettlement, Settlement},
    policy::Policy,
    receipt::{Outcome, Receipt},
    standing::{Standing, StandingId},
};
use crate::{
    action::ActionKind,
    ids::ActionHash,
    limits::{APPROVAL_LIFETIME, CLOCK_BEHIND_MAX},
    time::Timestamp,
};

/// An approval's nonce: the key of its row.
pub type Nonce = [u8; 16];

/// Waits between tries while a service is away: quick at first, then every ten minutes until the approval expires.
const RETRY_DELAYS: [Duration; 5] = [
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(600),
];

/// The wait before the next try after so many.
fn retry_delay(tries: u32) -> Duration {
    let tries = usize::try_from(tries).unwrap_or(usize::MAX);
    RETRY_DELAYS[tries.clamp(1, RETRY_DELAYS.len()) - 1]
}

/// Where a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Taken up; nothing was sent.
    Reserved,
    /// The hand was asked; it may have sent.
    Dispatching,
    /// Sent.
    Sent,
    /// Definitely not sent.
    Failed,
    /// Nobody knows.
    Unknown,
}

impl State {
    /// All states.
    pub const EACH: [Self; 5] = [Self::Reserved, Self::Dispatching, Self::Sent, Self::Failed, Self::Unknown];

    /// The word for it in the journal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Dispatching => "dispatching",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the action and its work are taken: nothing else may be sent for them.
    const fn occupies(self) -> bool {
        match self {
            Self::Reserved | Self::Dispatching | Self::Sent | Self::Unknown => true,
            Self::Failed => false,
        }
    }
}

/// One approval on its way.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was approved.
    pub verified: Verified,
    /// Where it stands.
    pub state: State,
    /// What the service said last.
    pub detail: String,
    /// How often the hand was asked.
    pub attempts: u32,
    /// Not before this.
    pub not_before: Timestamp,
    /// When it came to stand there; later than every change before it, whatever the clock did.
    pub changed: Timestamp,
    /// What its hand was when it was asked last, and that of a tool when it was approved, as [`Journal::by_hands`] said.
    pub asked: Option<Hash>,
}

impl Row {
    fn is_under(&self, standing: StandingId) -> bool {
        self.verified.standing.as_ref().is_some_and(|one| one.id == standing)
    }
}

/// How asking the hand ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dispatched {
    /// The service took it.
    Sent(String),
    /// Definitely not sent; worth another try or not.
    NotSent {
        /// Why.
        reason: String,
        /// Whether trying again may help.
        retryable: bool,
    },
    /// It may be sent.
    Unknown(String),
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// An approval was found and verified.
    Approved(Box<Verified>),
    /// A settlement was found and verified.
    Settled(Settlement),
    /// A person said that the clock is right; [`Journal::refusal_of_clock`] has nothing against it.
    ClockSettled(ClockSettlement),
    /// A person does not want an approved action any more.
    Cancelled(ActionHash),
    /// A person does not want anything more sent under a standing approval, or a new roster voids it.
    StandingEnded(StandingId),
    /// The policy in force is this one.
    PolicyChanged(Policy),
    /// The hands are these: see [`Journal::by_hands`].
    HandsChanged(BTreeMap<String, Hash>),
    /// One state of the row is durable: once for each `Persist`, in their order.
    RowDurable(Nonce),
    /// The hand answered.
    Dispatched(Nonce, Dispatched),
    /// A look for an earlier send ended.
    LookedUp(Nonce, Found),
    /// The mesh was frozen, or let go on.
    BrakeChanged {
        /// Whether nothing may be sent from now on.
        frozen: bool,
    },
    /// The time that `poll_timeout` named has come.
    TimeoutReached,
}

/// What to do.
#[derive(Debug)]
pub enum Output {
    /// Make the row durable, then answer `RowDurable`.
    Persist(Box<Row>),
    /// Ask the hand, then answer `Dispatched`.
    Dispatch(Box<Row>),
    /// Look for an earlier send, then answer `LookedUp`.
    LookUp(Box<Row>),
    /// Write a receipt.
    WriteReceipt(Box<Receipt>),
    /// Say that an approval was refused.
    Refuse {
        /// Which action.
        action: ActionHash,
        /// Why.
        why: Refusal,
    },
    /// Tell the operator: the clock runs behind the highest time seen; nothing is sent until it does not.
    ReportClockBehind {
        /// The highest time seen.
        seen: Timestamp,
    },
}

/// The machine.
#[derive(Debug, Default)]
pub struct Journal {
    rows: BTreeMap<Nonce, Row>,
    /// How many states of a row are on their way to the disk; nothing is decided about the row meanwhile.
    undurable: BTreeMap<Nonce, u32>,
    /// Rows that may be sent, as far as something can still be done about it.
    doubts: BTreeMap<Nonce, Doubt>,
    times: Times,
    frozen: bool,
    policy: Policy,
    hands: BTreeMap<String, Hash>,
    called_off: CalledOff,
    clock_reported: bool,
    outputs: VecDeque<Output>,
}

impl Journal {
    /// A journal with the rows that were durable, and what it remembers of time.
    ///
    /// What was under way when the process ended is looked up before anything else is done with it.
    pub fn restore(rows: impl IntoIterator<Item = Row>, times: Times) -> Self {
        let rows: BTreeMap<_, _> = rows.into_iter().map(|row| (row.verified.decision.nonce, row)).collect();
        let may_be_sent = |row: &&Row| matches!(row.state, State::Dispatching | State::Unknown);
        let in_doubt = rows.values().filter(may_be_sent).map(|row| (row.verified.decision.nonce, Doubt::found()));
        let doubts = in_doubt.collect();
        Self { times, rows, doubts, ..Self::default() }
    }

    /// With the policy and the brake as they stood: nothing is dispatched before both are known.
    pub fn under(mut self, policy: Policy, frozen: bool) -> Self {
        self.policy = policy;
        self.frozen = frozen;
        self
    }

    /// With the hands as they are: a digest by name, which is another one where a hand calls somebody else, or says
    /// something else by its answers. What another hand was asked for, a hand knows nothing of.
    #[must_use]
    pub fn by_hands(mut self, hands: BTreeMap<String, Hash>) -> Self {
        self.hands = hands;
        self
    }

    /// Tells the states of rows again whose receipts may not have been written.
    ///
    /// All of them before the first input: an input may move other rows on, whose states would then go untold.
    #[must_use]
    pub fn telling(mut self, untold: impl IntoIterator<Item = Nonce>) -> Self {
        for nonce in untold {
            self.row_durable(nonce);
        }
        self
    }

    /// Handles one input.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        if let Input::ClockSettled(settlement) = &input {
            self.clock_settled(now, *settlement);
        }
        let behind = now + CLOCK_BEHIND_MAX < self.times.guard;
        self.times.guard = self.times.guard.max(now);
        self.times.highest = self.times.highest.max(now);
        if behind && !self.clock_reported {
            self.outputs.push_back(Output::ReportClockBehind { seen: self.times.guard });
        }
        self.clock_reported = behind;
        match input {
            Input::Approved(verified) => self.approved(now, *verified),
            Input::Settled(settlement) => self.settled(&settlement),
            Input::Cancelled(action) => self.cancelled(action),
            Input::StandingEnded(standing) => self.standing_ended(standing),
            Input::PolicyChanged(policy) => self.policy = policy,
            Input::HandsChanged(hands) => self.hands = hands,
            Input::RowDurable(nonce) => self.row_durable(nonce),
            Input::Dispatched(nonce, dispatched) => self.dispatched(now, nonce, dispatched),
            Input::LookedUp(nonce, found) => self.looked_up(now, nonce, found),
            Input::BrakeChanged { frozen } => self.frozen = frozen,
            Input::ClockSettled(_) | Input::TimeoutReached => {}
        }
        self.fail_where_called_off();
        self.look_where_due(now);
        if !behind {
            self.repeat_where_due(now);
            self.dispatch_due(now);
        }
    }

    /// The next thing to do, or none.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to hand in `TimeoutReached` at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        // Frozen, a row only waits for its end.
        let just_after = |expiry: Timestamp| expiry + Duration::from_millis(1);
        let due = |row: &Row| {
            if self.frozen { just_after(row.verified.ends()) } else { row.not_before }
        };
        let expiry = |nonce| self.rows.get(nonce).map(|row| just_after(row.verified.decision.expiry));
        let in_doubt = self.doubts.iter().filter_map(|(nonce, doubt)| doubt.due(self.frozen, expiry(nonce)?));
        self.durably_reserved().map(|(_, row)| due(row)).chain(in_doubt).min()
    }

    /// The policy in force.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether nothing is sent because the mesh is frozen.
    pub const fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// The rows, by nonce.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// What to store of time with the rows.
    pub const fn times(&self) -> Times {
        self.times
    }

    /// Why a word on the clock does not count: it is of another time than the clock says, or as old as one that counted.
    pub fn refusal_of_clock(&self, now: Timestamp, settlement: ClockSettlement) -> Option<&'static str> {
        let at = settlement.at;
        if at <= self.times.settled {
            return Some("a word on the clock that is as new or newer has been taken");
        }
        let is_now = at <= now + CLOCK_BEHIND_MAX && now <= at + CLOCK_BEHIND_MAX;
        (!is_now).then_some("it was signed at another time than the clock says now")
    }

    /// What to store before [`Input::ClockSettled`] is handed in.
    pub const fn times_when_settled(&self, now: Timestamp, settlement: ClockSettlement) -> Times {
        Times { highest: self.times.highest, guard: now, settled: settlement.at }
    }

    /// Forgets the times that a wrong clock showed. Its approvals would last as long as it was ahead, so they end.
    fn clock_settled(&mut self, now: Timestamp, settlement: ClockSettlement) {
        self.times = self.times_when_settled(now, settlement);
        let reserved: Vec<_> = self.durably_reserved().map(|(nonce, _)| *nonce).collect();
        for nonce in reserved {
            let Some(row) = self.rows.get_mut(&nonce) else { continue };
            if row.verified.decision.expiry > now + APPROVAL_LIFETIME + CLOCK_BEHIND_MAX {
                self.change(
                    nonce,
                    State::Failed,
                    "it was approved while the clock was wrong; approve it again".to_owned(),
                );
            } else {
                row.not_before = row.not_before.min(now);
            }
        }
    }

    fn approved(&mut self, now: Timestamp, verified: Verified) {
        let decision = &verified.decision;
        let action = decision.action;
        if let Some(why) = self.refusal_of(&verified) {
            self.outputs.push_back(Output::Refuse { action, why });
            return;
        }
        let nonce = decision.nonce;
        let (not_before, changed) = (now, self.time_of_change());
        // What a tool is stands in its declaration: another one is not what was approved.
        let is_tool = verified.action.kind() == ActionKind::Tool;
        let asked = self.hands.get(verified.action.hand()).copied().filter(|_| is_tool);
        let (state, detail, attempts) = (State::Reserved, String::new(), 0);
        self.rows.insert(nonce, Row { verified, state, detail, attempts, not_before, changed, asked });
        self.persist(nonce);
    }

    /// How many mails went out under a standing approval, or may have, or are about to.
    pub fn used(&self, standing: StandingId) -> u64 {
        self.rows.values().filter(|row| row.state.occupies() && row.is_under(standing)).count() as u64
    }

    fn refusal_of(&self, verified: &Verified) -> Option<Refusal> {
        let decision = &verified.decision;
        if self.rows.contains_key(&decision.nonce) {
            return Some(Refusal::Replayed);
        }
        let same_work = (verified.action.work, verified.action.kind());
        let taken = |row: &&Row| row.state.occupies() && !self.is_repeated(row, decision.repeat_of);
        for row in self.rows.values().filter(taken) {
            if row.verified.decision.action == decision.action {
                return Some(Refusal::ActionTaken);
            }
            if (row.verified.action.work, row.verified.action.kind()) == same_work {
                return Some(Refusal::WorkTaken);
            }
        }
        let is_used_up = |standing: &Standing| self.used(standing.id) >= standing.count;
        if verified.standing.as_ref().is_some_and(|standing| self.has_ended(standing.id)) {
            return Some(Refusal::StandingEnded);
        }
        if verified.standing.as_ref().is_some_and(is_used_up) {
            return Some(Refusal::StandingUsedUp);
        }
        if decision.policy != self.policy.digest() {
            return Some(Refusal::OtherPolicy);
        }
        self.policy.breach(&verified.action).map(Refusal::AgainstPolicy)
    }

    /// Whether `row` lies before the approval `repeat_of` in a chain of wanted repetitions.
    fn is_repeated(&self, row: &Row, repeat_of: Option<Nonce>) -> bool {
        let mut at = repeat_of;
        while let Some(nonce) = at {
            if nonce == row.verified.decision.nonce {
                return true;
            }
            at = self.rows.get(&nonce).and_then(|row| row.verified.decision.repeat_of);
        }
        false
    }

    fn row_durable(&mut self, nonce: Nonce) {
        let left = self.undurable.remove(&nonce).unwrap_or(1) - 1;
        if left > 0 {
            self.undurable.insert(nonce, left);
            return;
        }
        let Some(row) = self.rows.get(&nonce) else { return };
        match row.state {
            State::Reserved if row.attempts == 0 => self.receipt(nonce, Outcome::Accepted),
            State::Reserved => {}
            // The brake was pulled, or it was called off, while the row went to the disk; no hand was asked.
            State::Dispatching if self.frozen || self.why_called_off(row).is_some() => {
                if self.doubts.contains_key(&nonce) {
                    self.put_off_repetition(nonce);
                } else {
                    self.change(nonce, State::Reserved, "frozen".to_owned());
                }
            }
            State::Dispatching => self.outputs.push_back(Output::Dispatch(Box::new(row.clone()))),
            State::Sent => self.receipt(nonce, Outcome::Sent),
            State::Failed => self.receipt(nonce, Outcome::Failed),
            State::Unknown => self.receipt(nonce, Outcome::Unknown),
        }
    }

    fn dispatch_due(&mut self, now: Timestamp) {
        let due: Vec<_> =
            self.durably_reserved().filter(|(_, row)| row.not_before <= now).map(|(nonce, _)| *nonce).collect();
        for nonce in due {
            let Some(row) = self.rows.get(&nonce) else { continue };
            let expiry = row.verified.ends();
            let (not_before, why) = self.allowed_from(row, now);
            if expiry < now {
                self.change(nonce, State::Failed, "the approval expired before it could be sent".to_owned());
            } else if let Some(breach) = self.policy.breach(&row.verified.action) {
                self.change(nonce, State::Failed, breach.to_string());
            } else if not_before > now {
                self.put_off(nonce, not_before, why);
            } else if !self.frozen {
                self.note_hand(nonce);
                self.change(nonce, State::Dispatching, String::new());
            }
        }
    }

    fn note_hand(&mut self, nonce: Nonce) {
        let is_noted = |row: &&mut Row| row.asked.is_some() && row.verified.action.kind() == ActionKind::Tool;
        if let Some(row) = self.rows.get_mut(&nonce).filter(|row| !is_noted(row)) {
            row.asked = self.hands.get(row.verified.action.hand()).copied();
        }
    }

    /// Whether the row's hand is the one that was asked.
    fn is_hand_the_same(&self, row: &Row) -> bool {
        row.asked.is_some_and(|asked| self.hands.get(row.verified.action.hand()) == Some(&asked))
    }

    fn allowed_from(&self, row: &Row, now: Timestamp) -> (Timestamp, &'static str) {
        let kind = row.verified.action.kind();
        let is_done = |other: &&Row| {
            other.verified.action.kind() == kind
                && matches!(other.state, State::Dispatching | State::Sent | State::Unknown)
        };
        let done: Vec<_> = self.rows.values().filter(is_done).map(|row| row.changed).collect();
        let approved = row.verified.decision.expiry.earlier_by(APPROVAL_LIFETIME);
        self.policy.not_before(kind, approved, &done, now)
    }

    fn put_off(&mut self, nonce: Nonce, until: Timestamp, why: &str) {
        if let Some(row) = self.rows.get_mut(&nonce) {
            row.not_before = until;
        }
        self.change(nonce, State::Reserved, format!("waits until {until}: {why}"));
    }

    fn durably_reserved(&self) -> impl Iterator<Item = (&Nonce, &Row)> {
        self.rows.iter().filter(|(nonce, row)| row.state == State::Reserved && !self.undurable.contains_key(*nonce))
    }

    fn dispatched(&mut self, now: Timestamp, nonce: Nonce, dispatched: Dispatched) {
        let Some(row) = self.rows.get_mut(&nonce).filter(|row| row.state == State::Dispatching) else { return };
        if self.doubts.contains_key(&nonce) {
            return self.repeated(now, nonce, dispatched);
        }
        row.attempts += 1;
        match dispatched {
            Dispatched::Sent(detail) => self.change(nonce, State::Sent, detail),
            Dispatched::Unknown(detail) => self.unknown(now, nonce, detail),
            Dispatched::NotSent { reason, retryable: false } => self.change(nonce, State::Failed, reason),
            Dispatched::NotSent { reason, retryable: true } => {
                row.not_before = now + retry_delay(row.attempts);
                self.change(nonce, State::Reserved, reason);
            }
        }
    }

    fn settled(&mut self, settlement: &Settlement) {
        let nonce = settlement.nonce;
        let unknown = self
            .rows
            .get(&nonce)
            .is_some_and(|row| row.state == State::Unknown && row.verified.decision.action == settlement.action);
        if !unknown {
            let refusal = Output::Refuse { action: settlement.action, why: Refusal::NothingToSettle };
            return self.outputs.push_back(refusal);
        }
        let (state, detail) =
            if settlement.sent { (State::Sent, "settled as sent") } else { (State::Failed, "settled as not sent") };
        self.change(nonce, state, detail.to_owned());
    }

    fn change(&mut self, nonce: Nonce, state: State, detail: String) {
        let changed = self.time_of_change();
        if let Some(row) = self.rows.get_mut(&nonce) {
            row.changed = changed;
            row.state = state;
            row.detail = detail;
            if matches!(state, State::Reserved | State::Sent | State::Failed) {
                self.doubts.remove(&nonce);
            }
            self.persist(nonce);
        }
    }

    /// Receipts are put in order by this: it goes on by a millisecond where the clock stands still or steps back.
    fn time_of_change(&mut self) -> Timestamp {
        self.times.highest = self.times.highest + Duration::from_millis(1);
        self.times.highest
    }

    fn persist(&mut self, nonce: Nonce) {
        if let Some(row) = self.rows.get(&nonce) {
            self.outputs.push_back(Output::Persist(Box::new(row.clone())));
            *self.undurable.entry(nonce).or_default() += 1;
        }
    }

    fn receipt(&mut self, nonce: Nonce, outcome: Outcome) {
        let Some(row) = self.rows.get(&nonce) else { return };
        let action = &row.verified.action;
        let receipt = Receipt {
            action: row.verified.decision.action,
            work: action.work,
            kind: action.kind(),
            file: row.verified.bundle.file,
            nonce,
            outcome,
            at: row.changed,
            message_id: None,
            detail: row.detail.clone(),
            note: row.verified.bundle.note.clone(),
            unattended: false,
            standing: row.verified.standing.as_ref().map(|standing| standing.id),
        };
        self.outputs.push_back(Output::WriteReceipt(Box::new(receipt)));
    }
}
