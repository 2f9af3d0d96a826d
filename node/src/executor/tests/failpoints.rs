//! The executor, ended at every step of every story, once and twice in a run, and begun again until all is done.
//!
//! Machine, store, receipts, audit log, intake, outbox and HTTP are the real ones; only the provider is played. The second
//! end of a run follows from a seed; `AIEMP_KILL_SEED` runs another one.

mod full_disk;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    panic::{AssertUnwindSafe, resume_unwind},
    thread,
    time::Instant,
};

use aiemp_keys::private_file::{create_private_dir, write_private};
use aiemp_protocol::{
    action::Action,
    approval::{
        Outcome, Settlement,
        journal::{Input, Journal, Nonce, Row, State},
        standing::Request,
    },
};
use data_encoding::HEXLOWER;
use futures::FutureExt as _;
use serde_json::Value;

use super::{
    super::{Executor, JournalStore},
    failpoint::{self, Kill, Killed, Provider, Stage},
    fixtures::{World, call, email, file, payment, post},
    service::Service,
    standing,
};
use crate::audit;

const SEED: u64 = 0x5eed;
const RUNS_MIN: u32 = 2_000;
const SMTP: &str = "[smtp]\nhost = \"127.0.0.1\"\nport = 1\nsecurity = \"plain\"\n";
const FIRST: Nonce = [1; 16];
const RIVAL: Nonce = [2; 16];
const SAME_WORK: Nonce = [3; 16];
const TOO_EARLY: Nonce = [4; 16];
const PROVIDERS: [Provider; 4] = [Provider::Takes, Provider::TakesUnheard, Provider::Refuses, Provider::TakesLater];

/// Which hand sends, and what can be known about it afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Looked up.
    Outbox,
    /// Known as long as the mark stands.
    EmptiedOutbox,
    /// Nothing is known.
    Smtp,
    /// Read back.
    Post,
    /// Repeated under its key, and asked for.
    Payment,
    /// Repeated under its key.
    KeyedCall,
    /// Nothing is known.
    PlainCall,
}

impl Way {
    const EACH: [Self; 7] =
        [Self::Outbox, Self::EmptiedOutbox, Self::Smtp, Self::Post, Self::Payment, Self::KeyedCall, Self::PlainCall];

    const fn is_by_http(self) -> bool {
        match self {
            Self::Outbox | Self::EmptiedOutbox | Self::Smtp => false,
            Self::Post | Self::Payment | Self::KeyedCall | Self::PlainCall => true,
        }
    }

    /// Whether the service tells afterwards what it took.
    const fn can_be_asked(self) -> bool {
        match self {
            Self::Outbox | Self::Post | Self::Payment => true,
            Self::EmptiedOutbox | Self::Smtp | Self::KeyedCall | Self::PlainCall => false,
        }
    }

    fn action(self, number: u8) -> Action {
        match self {
            Self::Outbox | Self::EmptiedOutbox => email("outbox", number),
            Self::Smtp => email("smtp", number),
            Self::Post => post(number),
            Self::Payment => payment(number),
            Self::KeyedCall => call("keyed", number),
            Self::PlainCall => call("plain", number),
        }
    }
}

#[derive(Clone, Debug)]
struct Case {
    way: Way,
    provider: Provider,
    /// With the same file once more, another approval of the action, and an approval of another answer to the work.
    has_rivals: bool,
    /// By a standing approval, with no person's signature on the mail.
    is_standing: bool,
    kills: Vec<Kill>,
}

/// The owner: approves, and settles by what the provider really took.
struct Person<'a> {
    world: &'a World,
    action: Action,
    first: Vec<u8>,
    nonce: Nonce,
    /// What the first is handed in as.
    kind: &'static str,
    /// Names of the files that were handed in, and whose they are.
    files: BTreeMap<String, Nonce>,
}

impl<'a> Person<'a> {
    fn with(world: &'a World, case: &Case) -> Self {
        let action = case.way.action(1);
        let mut person =
            if case.is_standing { Self::allowing(world, action.hand()) } else { Self::deciding(world, action) };
        person.hand_in_first("1");
        if case.has_rivals {
            person.hand_in_first("2");
            person.approve("3.approval", RIVAL, &person.action.clone());
            let mut same_work = case.way.action(2);
            same_work.work = person.action.work;
            person.approve("4.approval", SAME_WORK, &same_work);
        }
        person
    }

    fn deciding(world: &'a World, action: Action) -> Self {
        let first = world.bundle(&action, &world.decision(&action, FIRST)).to_bytes();
        Self { world, action, first, nonce: FIRST, kind: "approval", files: BTreeMap::new() }
    }

    /// The mesh asks, and the person signed once that it may.
    fn allowing(world: &'a World, hand: &str) -> Self {
        let standing = standing::allowing(world, hand, 1);
        standing::sign(world, &standing);
        let request = Request { file: file(), ..standing::request(world, "anna@client.test", 1) };
        let (action, nonce) = standing::expected(world, &standing, &request);
        Self { world, action, first: request.to_bytes(), nonce, kind: "request", files: BTreeMap::new() }
    }

    fn hand_in_first(&mut self, stem: &str) {
        let name = format!("{stem}.{}", self.kind);
        if self.kind == "request" {
            create_private_dir(&self.world.home.requests()).unwrap();
            write_private(&self.world.home.requests().join(&name), &self.first).unwrap();
            self.files.insert(name, self.nonce);
        } else {
            self.hand_in(&name, self.nonce, &self.first.clone());
        }
    }

    fn hand_in(&mut self, name: &str, nonce: Nonce, bytes: &[u8]) {
        self.world.hand_in(name, bytes);
        self.files.insert(name.to_owned(), nonce);
    }

    fn approve(&mut self, name: &str, nonce: Nonce, action: &Action) {
        let bundle = self.world.bundle(action, &self.world.decision(action, nonce));
        self.hand_in(name, nonce, &bundle.to_bytes());
    }

    /// What is handed in when nothing is under way any more; whether anything was.
    fn goes_on(&mut self, journal: &Journal) -> bool {
        failpoint::with(Stage::make_room);
        let unknown: Vec<_> = journal.rows().filter(|row| row.state == State::Unknown).collect();
        if !unknown.is_empty() && !self.files.contains_key("too-early.approval") {
            self.approve("too-early.approval", TOO_EARLY, &unknown[0].verified.action);
            return true;
        }
        for row in &unknown {
            let key @ (action, nonce) = key_of(row);
            let sent = failpoint::with(|stage| {
                stage.settled.insert(nonce);
                stage.taken.contains_key(&key)
            });
            let settlement = Settlement { action, nonce, sent };
            let signed = settlement.sign(&self.world.approve, self.world.roster().mesh);
            self.hand_in(&format!("{}.settlement", self.files.len()), nonce, &signed);
        }
        if unknown.is_empty() && !self.files.keys().any(|name| name.starts_with("replay.")) {
            self.hand_in_first("replay");
            return true;
        }
        !unknown.is_empty()
    }
}

/// A run that came to its end.
struct Ran<'a> {
    way: Way,
    person: Person<'a>,
    stage: Stage,
}

/// One process: the loop of `Executor::work`, with each wait over at once.
async fn live(person: &mut Person<'_>) -> anyhow::Result<()> {
    let mut executor = Executor::open(&person.world.home, person.world.me(), None)?;
    executor.begin()?;
    executor.pump()?;
    loop {
        executor.take_in()?;
        executor.take_requests()?;
        loop {
            executor.pump()?;
            if let Some(answer) = executor.running.join_next().await {
                failpoint::die_if_dead();
                executor.answered(answer);
            } else if let Some(due) = executor.journal.poll_timeout() {
                executor.journal.handle(due, Input::TimeoutReached);
            } else {
                break;
            }
        }
        if !person.goes_on(&executor.journal) {
            return Ok(());
        }
    }
}

/// Runs a case to its end; `between` two processes of it, something may happen to the home.
async fn run<'a>(world: &'a World, case: &Case, mut between: impl FnMut(u32)) -> Ran<'a> {
    let service = if case.way.is_by_http() { Some(Service::begin().await) } else { None };
    if let Some(service) = &service {
        world.declare(&service.hands());
    }
    failpoint::begin(Stage::new(&world.home, case.provider, case.way == Way::EmptiedOutbox, &case.kills));
    let mut person = Person::with(world, case);
    loop {
        match AssertUnwindSafe(live(&mut person)).catch_unwind().await {
            Ok(ended) => {
                ended.unwrap_or_else(|error| panic!("{case:?}: {error:#}"));
                drop(service);
                return Ran { way: case.way, person, stage: failpoint::end() };
            }
            Err(ended) if ended.is::<Killed>() => {
                failpoint::restart();
                between(failpoint::with(|stage| stage.restarts));
            }
            Err(panicked) => resume_unwind(panicked),
        }
    }
}

/// All that is wrong after a run.
fn faults(ran: &Ran<'_>) -> Vec<String> {
    let world = ran.person.world;
    let store = JournalStore::of(&world.home).unwrap();
    let rows = store.load().unwrap();
    let mut faults = faults_of_sends(ran, &rows);
    let lines: Vec<Value> = world.audit().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for row in &rows {
        faults.extend(faults_of_row(ran, row, &lines));
    }
    faults.extend(store.without_receipt().unwrap().iter().map(|nonce| format!("untold: {nonce:?}")));
    faults.extend(faults_of_files(ran, &rows, &lines));
    let verified = audit::verify(&world.home.audit(), "executor", &world.receipts.public());
    faults.extend(verified.err().map(|error| format!("audit log: {error}")));
    faults
}

/// All approvals of a run are of one piece of work, and none of them is a wanted repetition.
fn faults_of_sends(ran: &Ran<'_>, rows: &[Row]) -> Vec<String> {
    let (stage, mut faults) = (&ran.stage, Vec::new());
    let sends: u32 = stage.taken.values().sum();
    if sends > 1 {
        faults.push(format!("double send: {:?}", stage.taken));
    }
    let is_settled = |row: &Row| row.state == State::Failed && row.detail == "settled as not sent";
    if sends == 0 && stage.provider != Provider::Refuses && !rows.iter().any(is_settled) {
        faults.push("lost send".to_owned());
    }
    if stage.asked_too_early > 0 {
        faults.push("asked although the end of an earlier send is unknown".to_owned());
    }
    let known: BTreeSet<_> = rows.iter().map(key_of).collect();
    faults.extend(stage.taken.keys().filter(|key| !known.contains(key)).map(|key| format!("lost row: {key:?}")));
    faults
}

fn faults_of_row(ran: &Ran<'_>, row: &Row, lines: &[Value]) -> Vec<String> {
    let (key, world, mut faults) = (key_of(row), ran.person.world, Vec::new());
    let (end, other) = match row.state {
        State::Sent => (Outcome::Sent, Outcome::Failed),
        State::Failed => (Outcome::Failed, Outcome::Sent),
        State::Reserved | State::Dispatching | State::Unknown => return vec![format!("not at its end: {row:?}")],
    };
    let has = |outcome| world.receipt(&row.verified.action, key.1, outcome).is_some();
    let nonce = HEXLOWER.encode(&key.1);
    for outcome in [Outcome::Accepted, end] {
        if !has(outcome) {
            faults.push(format!("lost receipt: {outcome:?} of {nonce}"));
        }
        let is_told = |line: &&Value| line["parameters"]["nonce"] == *nonce && line["result"] == outcome.as_str();
        if !lines.iter().any(|line| is_told(&line)) {
            faults.push(format!("not in the audit log: {outcome:?} of {nonce}"));
        }
    }
    if has(other) || ran.stage.taken.contains_key(&key) != (end == Outcome::Sent) {
        faults.push(format!("untrue receipt: {end:?} of {nonce}"));
    }
    let (is_unknown, is_settled) = (has(Outcome::Unknown), ran.stage.settled.contains(&key.1));
    // A service that can be asked may end what was unknown by itself.
    if is_unknown != is_settled && !(is_unknown && ran.way.can_be_asked() && end == Outcome::Sent) {
        faults.push(format!("unknown and settled do not agree: {nonce}"));
    }
    faults
}

fn faults_of_files(ran: &Ran<'_>, rows: &[Row], lines: &[Value]) -> Vec<String> {
    let (home, mut faults) = (&ran.person.world.home, Vec::new());
    for (name, nonce) in &ran.person.files {
        let has_reason = || lines.iter().any(|line| line["target"] == **name && line["approval_status"] == "refused");
        let is_acted_on = || rows.iter().any(|row| key_of(row).1 == *nonce);
        if home.approved().join(name).exists() || home.requests().join(name).exists() {
            faults.push(format!("left lying: {name}"));
        } else if home.executor().join("refused").join(name).exists() {
            faults.extend((!has_reason()).then(|| format!("set aside without a reason: {name}")));
        } else if !is_acted_on() && (name.ends_with(".approval") || !has_reason()) {
            faults.push(format!("lost file: {name}"));
        }
    }
    let is_too_early = |row: &Row| key_of(row).1 == TOO_EARLY;
    faults.extend(rows.iter().any(is_too_early).then(|| "taken up before the settlement".to_owned()));
    faults
}

fn key_of(row: &Row) -> (aiemp_protocol::ids::ActionHash, Nonce) {
    (row.verified.decision.action, row.verified.decision.nonce)
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    runs: u32,
    kill_points: usize,
    restarts: u32,
    sends: u32,
    settled: usize,
}

impl Totals {
    /// Runs a case and adds it; gives the number of steps of its last process.
    async fn add(&mut self, case: &Case, seed: u64) -> usize {
        let world = World::in_memory(SMTP);
        let ran = run(&world, case, |_| {}).await;
        let faults = faults(&ran);
        assert!(faults.is_empty(), "{case:?} of seed {seed}: {faults:#?}");
        self.runs += 1;
        self.restarts += ran.stage.restarts;
        self.sends += ran.stage.taken.values().sum::<u32>();
        self.settled += ran.stage.settled.len();
        ran.stage.steps.len()
    }

    /// Each provider and set of files by one hand, ended at each step, alone and with a second end after it.
    async fn of(way: Way, seed: u64) -> Self {
        let (mut totals, mut random) = (Self::default(), seed);
        // Who else wants to send, and on whose word, is told apart before any hand is asked: the mails show it.
        let stories = [(false, false), (true, false), (false, true)];
        let cases = PROVIDERS.into_iter().flat_map(|provider| stories.map(|story| (provider, story)));
        for (provider, (has_rivals, is_standing)) in
            cases.filter(|(_, story)| *story == (false, false) || !way.is_by_http())
        {
            let mut case = Case { way, provider, has_rivals, is_standing, kills: Vec::new() };
            let steps = totals.add(&case, seed).await;
            totals.kill_points += steps;
            for step in 0..steps {
                case.kills = vec![Kill::Step(step)];
                let left = totals.add(&case, seed).await;
                // Knuth's generator; its high bits are the random ones.
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let second = usize::try_from(random >> 33).unwrap() % left.max(1);
                case.kills.push(Kill::Step(second));
                totals.add(&case, seed).await;
            }
        }
        totals
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    // One thread: what a test arranged for its thread holds for the tasks of the executor too.
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

#[test]
#[expect(clippy::print_stdout, reason = "the numbers are what this test is read for")]
fn ended_at_every_step_it_sends_nothing_twice_and_loses_no_receipt() {
    let (begun, seed) = (Instant::now(), std::env::var("AIEMP_KILL_SEED").ok());
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(SEED);
    let each: Vec<_> = thread::scope(|scope| {
        let threads = Way::EACH.map(|way| scope.spawn(move || block_on(Totals::of(way, seed))));
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panicked| resume_unwind(panicked))).collect()
    });
    let runs: u32 = each.iter().map(|totals| totals.runs).sum();
    println!(
        "runs {runs}, kill points {}, restarts {}, sends {}, unknowns settled {}, double sends 0, lost receipts 0, \
         seed {seed}, {:.1} s",
        each.iter().map(|totals| totals.kill_points).sum::<usize>(),
        each.iter().map(|totals| totals.restarts).sum::<u32>(),
        each.iter().map(|totals| totals.sends).sum::<u32>(),
        each.iter().map(|totals| totals.settled).sum::<usize>(),
        begun.elapsed().as_secs_f64(),
    );
    assert!(runs >= RUNS_MIN, "{runs}");
}

/// Ended when the provider has taken the mail; with the journal of before the dispatch put back, or as it is.
fn faults_with_journal(put_back: bool) -> Vec<String> {
    let kills = vec![Kill::At("receipt marked as written"), Kill::At("provider asked, answer not heard")];
    let case = Case { way: Way::Smtp, provider: Provider::Takes, has_rivals: false, is_standing: false, kills };
    let world = World::in_memory(SMTP);
    let (journal, mut before) = (world.home.journal(), Vec::new());
    let between = |restarts| match restarts {
        1 => before = fs::read(&journal).unwrap(),
        _ if put_back => fs::write(&journal, &before).unwrap(),
        _ => {}
    };
    faults(&block_on(run(&world, &case, between)))
}

#[test]
fn a_journal_that_forgot_a_dispatch_is_seen_to_send_twice() {
    assert_eq!(faults_with_journal(false), Vec::<String>::new());
    let faults = faults_with_journal(true);
    assert!(faults.iter().any(|fault| fault.starts_with("double send")), "{faults:?}");
}

#[test]
fn a_receipt_that_is_missing_is_seen() {
    let (way, provider) = (Way::Outbox, Provider::Takes);
    let case = Case { way, provider, has_rivals: false, is_standing: false, kills: Vec::new() };
    let world = World::in_memory(SMTP);
    let ran = block_on(run(&world, &case, |_| {}));
    assert_eq!(faults(&ran), Vec::<String>::new());
    fs::remove_file(world.receipt_path(&ran.person.action, FIRST, Outcome::Sent)).unwrap();
    let faults = faults(&ran);
    assert!(faults.iter().any(|fault| fault.starts_with("lost receipt: Sent")), "{faults:?}");
}
