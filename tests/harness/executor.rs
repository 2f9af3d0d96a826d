//! The way out of one node: a person who approves, the journal, and a provider that fails in every way.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_keys::{Hash, Signer};
use aiemp_node::core::{Answer, DraftSource, Input, Question};
use aiemp_protocol::{
    action::{self, ActionKind, DeriveContext, Marks, RENDERER_VERSION},
    approval::{
        Bundle, Decision, Policy, Receipt, Settlement,
        journal::{self, Dispatched, Found, Journal, Nonce, Row, State},
        standing::Request,
    },
    ids::{ActionHash, FileId, LogId, WorkId},
    limits::APPROVAL_LIFETIME,
    time::Timestamp,
};

use crate::{
    Violation, brake, check,
    standing::{self, Allowances},
    story, world,
};
use world::World;

/// What is going to happen at the executor.
#[derive(Debug)]
pub enum Event {
    /// A row reaches the disk.
    Durable(Box<Row>),
    /// The hand comes to a dispatch.
    Perform(Box<Row>),
    /// The journal hears something.
    Hear(journal::Input),
    /// The mesh finds a receipt.
    Receipt(Box<Receipt>),
    /// The mesh asks to send a draft under a standing approval.
    Ask(Box<Request>),
}

/// What can be known about a send afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It is looked up where it lies.
    LookedUp,
    /// It is taken once under its key, and can be handed over again.
    Keyed,
    /// It is looked for among all that the provider took.
    ReadBack,
}

impl Way {
    /// One for each approval, always the same.
    const fn of(nonce: Nonce) -> Self {
        match nonce[0] % 3 {
            0 => Self::LookedUp,
            1 => Self::Keyed,
            _ => Self::ReadBack,
        }
    }
}

/// One thing that a provider took.
#[derive(Clone, Copy, Debug)]
struct Sent {
    nonce: Nonce,
    action: ActionHash,
    work: WorkId,
    kind: ActionKind,
    repeat_of: Option<Nonce>,
}

/// Reviewer, journal and provider.
#[derive(Debug, Default)]
pub struct Executor {
    journal: Journal,
    rows: BTreeMap<Nonce, Row>,
    highest_time: Timestamp,
    life: u64,
    runs: bool,
    rows_durable_until: u64,
    next_request: u64,
    asked: BTreeSet<u64>,
    signed: BTreeSet<ActionHash>,
    bundles: Vec<Bundle>,
    sent: Vec<Sent>,
    /// Standing approvals.
    pub allowances: Allowances,
    /// Logs whose authors lie, on purpose.
    pub hostile: BTreeSet<LogId>,
}

impl Executor {
    /// How many actions were sent that a person approved.
    pub fn sent_count(&self) -> usize {
        self.sent.len() - usize::try_from(self.allowances.sent_count()).unwrap_or(usize::MAX)
    }

    /// Whether it sends nothing because the mesh is frozen.
    pub const fn is_frozen(&self) -> bool {
        self.journal.is_frozen()
    }

    /// Whether a draft was not sent after all: it is shown again.
    pub fn failed(&self, draft: FileId) -> bool {
        self.rows.values().any(|row| row.verified.bundle.file == draft && row.state == State::Failed)
    }

    /// How many approvals the person signed.
    pub fn approved_count(&self) -> usize {
        self.bundles.len()
    }
}

/// The key that approves.
pub fn approve_key() -> Signer {
    Signer::from_seed([203; 32])
}

/// One thing that the person at the executor does.
pub fn act(world: &mut World) -> Result<(), Violation> {
    match world.rng.below(8) {
        0..=3 => review(world),
        4 => replay(world),
        5 => settle(world),
        6 => {
            crash(world);
            start(world)
        }
        _ => hear(world, journal::Input::TimeoutReached),
    }
}

/// Asks for the drafts; the answer is reviewed.
pub fn review(world: &mut World) -> Result<(), Violation> {
    world.executor.next_request += 1;
    let request = world.executor.next_request;
    world.executor.asked.insert(request);
    world.input(0, Input::Asked { request, question: Question::Drafts })
}

/// An answer to a question: a listing is reviewed, one of its drafts approved or turned down.
pub fn answered(world: &mut World, node: usize, request: u64) -> Result<(), Violation> {
    if node != 0 || !world.executor.asked.remove(&request) {
        return Ok(());
    }
    let Some(Answer::Drafts { drafts, .. }) = world.nodes[0].answers.remove(&request) else { return Ok(()) };
    let Some(draft) = world.rng.pick(&drafts).cloned() else { return Ok(()) };
    if world.rng.chance(15) {
        world.executor.next_request += 1;
        let request = world.executor.next_request;
        let question = Question::Reject { file: draft.file, reason: "not like this".to_owned() };
        let life = world.nodes[0].life;
        world.after(0, world::Event::Answer(0, life, Box::new(Input::Asked { request, question })));
        return Ok(());
    }
    approve(world, &draft)
}

fn approve(world: &mut World, draft: &DraftSource) -> Result<(), Violation> {
    if !check::may_be_approved(world, draft)? {
        return Ok(());
    }
    let context = DeriveContext {
        file: draft.file,
        fallback_work: WorkId(draft.file.hash),
        default_hand: "smtp",
        default_from: Some("me@mine.test"),
        attachment: &|_| None,
    };
    let Ok(derived) = action::derive(&draft.note, &context) else { return Ok(()) };
    let action = derived.action.hash();
    let earlier = world.executor.sent.iter().rev().find(|sent| sent.action == action).map(|sent| sent.nonce);
    let repeat_of = earlier.filter(|_| world.rng.chance(30));
    let marks = Marks::of_note(&draft.path, &draft.note);
    let chain = world.nodes[0].rosters();
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&world.rng.next().to_le_bytes());
    let decision = Decision {
        action,
        render: action::render(&derived.action, &marks).hash(),
        renderer: RENDERER_VERSION,
        nonce,
        expiry: world.time() + APPROVAL_LIFETIME,
        executor: chain.current().executor,
        policy: Policy::default().digest(),
        epoch: chain.current().epoch,
        repeat_of,
    };
    let bundle = Bundle {
        approval: decision.sign(&approve_key(), chain.current().mesh),
        action: derived.action.to_bytes(),
        marks,
        file: draft.file,
        path: draft.path.clone(),
        note: draft.note.clone(),
        attachments: Vec::new(),
    };
    world.executor.signed.insert(action);
    world.executor.bundles.push(bundle.clone());
    let mut bytes = bundle.to_bytes();
    if world.rng.chance(25) {
        let at = world.rng.below(bytes.len());
        bytes[at] ^= 1 << world.rng.below(8);
    }
    hand_over(world, &bytes)
}

/// An old approval file is put back.
fn replay(world: &mut World) -> Result<(), Violation> {
    let Some(bytes) = world.rng.pick(&world.executor.bundles).map(Bundle::to_bytes) else { return Ok(()) };
    hand_over(world, &bytes)
}

fn hand_over(world: &mut World, bytes: &[u8]) -> Result<(), Violation> {
    let Ok(bundle) = Bundle::from_bytes(bytes) else { return Ok(()) };
    let chain = world.nodes[0].rosters();
    match bundle.verify(chain.current(), world.nodes[0].id(), world.time()) {
        Ok(verified) => hear(world, journal::Input::Approved(Box::new(verified))),
        Err(_) => Ok(()),
    }
}

/// The person looks whether what nobody knows was sent, and says so.
fn settle(world: &mut World) -> Result<(), Violation> {
    let unknown = world.executor.rows.values().find(|row| row.state == State::Unknown);
    let Some((action, nonce)) = unknown.map(|row| (row.verified.decision.action, row.verified.decision.nonce)) else {
        return Ok(());
    };
    let sent = world.executor.sent.iter().any(|sent| sent.nonce == nonce);
    hear(world, journal::Input::Settled(Settlement { action, nonce, sent }))
}

/// The executor's process dies.
pub fn crash(world: &mut World) {
    world.executor.life += 1;
    world.executor.runs = false;
    world.executor.journal = Journal::default();
}

/// It starts again from its durable rows.
pub fn start(world: &mut World) -> Result<(), Violation> {
    let executor = &mut world.executor;
    if executor.runs {
        return Ok(());
    }
    executor.runs = true;
    let (rows, times) = (executor.rows.values().map(standing::restored), journal::Times::at(executor.highest_time));
    let hands = BTreeMap::from([("smtp".to_owned(), Hash::of_content(b"the hand"))]);
    executor.journal = Journal::restore(rows, times).by_hands(hands);
    standing::tell_ended(world)?;
    brake::look(world)
}

/// Hands the journal an input.
pub fn hear(world: &mut World, input: journal::Input) -> Result<(), Violation> {
    let now = world.time();
    if !world.executor.runs {
        return Ok(());
    }
    world.tell(0, || format!("journal > {}", story::short(&input)));
    world.executor.journal.handle(now, input);
    drain(world)
}

fn drain(world: &mut World) -> Result<(), Violation> {
    while let Some(output) = world.executor.journal.poll_output() {
        world.tell(0, || story::of_journal(&output));
        let life = world.executor.life;
        let mut delay = world.rng.delay_ms();
        let event = match output {
            journal::Output::Persist(row) => {
                let until = world.executor.rows_durable_until.max(world.now + delay);
                world.executor.rows_durable_until = until;
                delay = until - world.now;
                Event::Durable(row)
            }
            journal::Output::Dispatch(_) if world.executor.journal.is_frozen() => {
                return Err("frozen is frozen: a dispatch is asked for".to_owned());
            }
            journal::Output::Dispatch(row) => Event::Perform(row),
            journal::Output::LookUp(row) => {
                let nonce = row.verified.decision.nonce;
                let is_sent = world.executor.sent.iter().any(|sent| sent.nonce == nonce);
                let found = match (Way::of(nonce), is_sent) {
                    (Way::Keyed, _) if row.state == State::Dispatching => Found::Repeatable,
                    (Way::ReadBack, _) if world.rng.chance(15) => Found::NoAnswer("away".to_owned()),
                    (Way::LookedUp | Way::Keyed, _) if world.rng.chance(15) => Found::CannotTell,
                    (_, true) => Found::Sent("found".to_owned()),
                    (Way::LookedUp, false) => Found::Absent,
                    (Way::Keyed, false) => Found::NotSeen { is_complete: false },
                    (Way::ReadBack, false) => Found::NotSeen { is_complete: true },
                };
                Event::Hear(journal::Input::LookedUp(nonce, found))
            }
            journal::Output::WriteReceipt(receipt) => {
                // The file is written at once; the mesh finds it in its own time.
                world.nodes[0].receipts.push((*receipt).clone());
                Event::Receipt(receipt)
            }
            journal::Output::Refuse { .. } | journal::Output::ReportClockBehind { .. } => continue,
        };
        world.after(delay, world::Event::Executor(life, Box::new(event)));
    }
    Ok(())
}

/// Something happens, if its process still lives; receipts outlive it.
pub fn happen(world: &mut World, life: u64, event: Event) -> Result<(), Violation> {
    if let Event::Receipt(receipt) = event {
        return world.input(0, Input::ReceiptFound(*receipt));
    }
    if let Event::Ask(request) = event {
        return standing::asked(world, *request);
    }
    if world.executor.life != life {
        return Ok(());
    }
    match event {
        Event::Durable(row) => {
            let nonce = row.verified.decision.nonce;
            world.executor.rows.insert(nonce, *row);
            world.executor.highest_time = world.executor.journal.times().highest;
            hear(world, journal::Input::RowDurable(nonce))
        }
        Event::Perform(row) => perform(world, &row),
        Event::Hear(input) => hear(world, input),
        Event::Receipt(_) | Event::Ask(_) => Ok(()),
    }
}

/// The provider takes it, or not, or nobody learns.
fn perform(world: &mut World, row: &Row) -> Result<(), Violation> {
    let decision = &row.verified.decision;
    let durable = world.executor.rows.get(&decision.nonce).map(|row| row.state);
    if durable != Some(State::Dispatching) {
        return Err(format!("durable before visible: a dispatch whose row is {durable:?}"));
    }
    if world.executor.journal.is_frozen() {
        // The hand is not asked: what was handed over before is given back.
        let answer = Dispatched::NotSent { reason: "frozen".to_owned(), retryable: true };
        return hear(world, journal::Input::Dispatched(decision.nonce, answer));
    }
    let taken = world.rng.below(10);
    // Under its key a thing is taken once, however often it is handed over.
    let is_known =
        Way::of(decision.nonce) == Way::Keyed && world.executor.sent.iter().any(|sent| sent.nonce == decision.nonce);
    if matches!(taken, 0..=6) && !is_known {
        record_send(world, row)?;
    }
    let answer = match taken {
        0..=5 => Dispatched::Sent("250 ok".to_owned()),
        6 | 7 => Dispatched::Unknown("the connection broke".to_owned()),
        8 => Dispatched::NotSent { reason: "away".to_owned(), retryable: true },
        _ => Dispatched::NotSent { reason: "refused".to_owned(), retryable: false },
    };
    let (delay, life) = (world.rng.delay_ms(), world.executor.life);
    let heard = Event::Hear(journal::Input::Dispatched(decision.nonce, answer));
    world.after(delay, world::Event::Executor(life, Box::new(heard)));
    Ok(())
}

fn record_send(world: &mut World, row: &Row) -> Result<(), Violation> {
    let (decision, action) = (&row.verified.decision, &row.verified.action);
    let sent = Sent {
        nonce: decision.nonce,
        action: action.hash(),
        work: action.work,
        kind: action.kind(),
        repeat_of: decision.repeat_of,
    };
    match row.verified.standing.as_ref().map(|standing| standing.id) {
        Some(id) => standing::check_send(world, row, id)?,
        None if world.executor.signed.contains(&sent.action) => {}
        None => return Err(format!("only what was signed is sent: {}", sent.action)),
    }
    if sent.action != decision.action {
        return Err(format!("only what was signed is sent: {}", sent.action));
    }
    for earlier in &world.executor.sent {
        let repeated = repeats(&world.executor.sent, &sent, earlier.nonce);
        let same = earlier.action == sent.action || (earlier.work == sent.work && earlier.kind == sent.kind);
        if earlier.nonce == sent.nonce || (same && !repeated) {
            return Err(format!("sent at most once: {} again", sent.action));
        }
    }
    let hash = sent.action.to_string();
    world.mix(hash.as_bytes());
    world.executor.sent.push(sent);
    Ok(())
}

/// Whether a send was wanted as a repetition of an earlier one.
fn repeats(all: &[Sent], sent: &Sent, earlier: Nonce) -> bool {
    let mut at = sent.repeat_of;
    while let Some(nonce) = at {
        if nonce == earlier {
            return true;
        }
        at = all.iter().find(|sent| sent.nonce == nonce).and_then(|sent| sent.repeat_of);
    }
    false
}
