//! Standing approvals in the simulation: who signs one, what the executor makes of a request, and what may come of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aiemp_node::core::Input;
use aiemp_protocol::{
    action::{Content, address_of},
    approval::{
        Policy, Standing, StandingId, Verified,
        journal::{self, Row},
        standing::Request,
    },
};

use crate::{
    Violation,
    executor::{self, approve_key},
    world::{self, World},
};

const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// What the person signed, and what came of it.
#[derive(Debug, Default)]
pub struct Allowances {
    /// The one in force, with its signed form.
    pub current: Option<(Standing, Vec<u8>)>,
    /// All that were ever signed.
    signed: BTreeMap<StandingId, Standing>,
    /// Those that were taken back, or that a new roster voided.
    ended: BTreeSet<StandingId>,
    sent: BTreeMap<StandingId, u64>,
    /// Texts that the person wrote without anybody else.
    pub by_person: BTreeSet<Vec<u8>>,
}

impl Allowances {
    /// How many actions were sent under standing approvals.
    pub fn sent_count(&self) -> u64 {
        self.sent.values().sum()
    }
}

/// The person signs one for mails to these people, and Local learns of it.
pub fn sign(world: &mut World, recipients: &[&str], count: u64, text_by_cloud: bool) -> Result<(), Violation> {
    let number = world.executor.allowances.signed.len() as u8;
    let chain = world.nodes[0].rosters();
    let roster = chain.current();
    let standing = Standing {
        id: StandingId([number + 1; 16]),
        hand: "smtp".to_owned(),
        sender: "me@mine.test".to_owned(),
        recipients: recipients.iter().map(|to| (*to).to_owned()).collect(),
        count,
        issued: world.time(),
        until: world.time() + WEEK,
        text_by_cloud,
        executor: roster.executor,
        epoch: roster.epoch,
    };
    let signed = standing.sign(&approve_key(), roster.mesh);
    world.executor.allowances.signed.insert(standing.id, standing.clone());
    world.executor.allowances.current = Some((standing.clone(), signed));
    world.nodes[0].standing = vec![standing.clone()];
    world.input(0, Input::StandingChanged(vec![standing]))
}

/// The person takes it back.
pub fn end(world: &mut World) -> Result<(), Violation> {
    let Some((standing, _)) = world.executor.allowances.current.take() else { return Ok(()) };
    world.nodes[0].standing.clear();
    world.executor.allowances.ended.insert(standing.id);
    tell_ended(world)?;
    world.input(0, Input::StandingChanged(Vec::new()))
}

/// The executor remembers what ended; a process that begins anew takes it up first.
pub fn tell_ended(world: &mut World) -> Result<(), Violation> {
    for id in world.executor.allowances.ended.clone() {
        executor::hear(world, journal::Input::StandingEnded(id))?;
    }
    Ok(())
}

/// The mesh leaves a request; the executor finds it in its own time.
pub fn leave(world: &mut World, request: Box<Request>) {
    let (delay, life) = (world.rng.delay_ms(), world.nodes[0].life);
    world.after(delay, world::Event::Executor(life, Box::new(executor::Event::Ask(request))));
}

/// The mesh asks; the executor judges by its own roster and what it holds itself.
pub fn asked(world: &mut World, request: Request) -> Result<(), Violation> {
    let Some((standing, signed)) = world.executor.allowances.current.clone() else { return Ok(()) };
    if standing.id != request.standing || world.executor.is_frozen() {
        return Ok(());
    }
    let chain = world.nodes[0].rosters();
    let (me, policy, now) = (world.nodes[0].id(), Policy::default().digest(), world.time());
    match standing.admit(&signed, request, chain.current(), me, policy, now) {
        Ok(verified) => executor::hear(world, journal::Input::Approved(Box::new(verified))),
        Err(_) => Ok(()),
    }
}

/// A row as it comes back from its bundle.
pub fn restored(row: &Row) -> Row {
    let rebuilt = Verified::under_standing(&row.verified.bundle);
    let verified = rebuilt.map(|rebuilt| rebuilt.expect("what was stored comes back"));
    Row { verified: verified.unwrap_or_else(|| row.verified.clone()), ..row.clone() }
}

/// Something is sent under one: to its people, as often as it says, and nothing of Cloud's unless it says so.
pub fn check_send(world: &mut World, row: &Row, id: StandingId) -> Result<(), Violation> {
    let wrong = |why: String| Err(format!("only what was signed is sent: under a standing approval {why}"));
    let Some(standing) = world.executor.allowances.signed.get(&id).cloned() else {
        return wrong("that nobody signed".to_owned());
    };
    let Content::Email(email) = &row.verified.action.content else { return wrong("something else than a mail".into()) };
    let people = email.to.iter().chain(&email.cc).chain(&email.bcc).map(|to| address_of(to));
    if let Some(other) = people.into_iter().find(|to| !standing.recipients.contains(*to)) {
        return wrong(format!("a mail to {other}"));
    }
    if email.from != standing.sender || email.hand != standing.hand || !email.attachments.is_empty() {
        return wrong(format!("a mail by {} of {} with {:?}", email.hand, email.from, email.attachments));
    }
    let note = &row.verified.bundle.note;
    if !standing.text_by_cloud && !world.executor.allowances.by_person.contains(note) {
        return wrong(format!("a text that the person did not write: {:?}", String::from_utf8_lossy(note)));
    }
    if let Some(word) = world.ledger.leaked(note).or(world.ledger.leaked(&row.verified.bundle.action)) {
        return Err(format!("private stays private: {word} is sent"));
    }
    let sent = world.executor.allowances.sent.entry(id).or_default();
    *sent += 1;
    if *sent > standing.count {
        return wrong(format!("{sent} mails of {}", standing.count));
    }
    Ok(())
}
