//! The seam by which a test ends the executor at a step, and plays the provider.
//!
//! All of it is per thread, so that other tests of this process are left alone.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    io::Write as _,
    panic::resume_unwind,
    path::PathBuf,
};

use aiemp_protocol::{
    approval::journal::{Dispatched, Nonce},
    ids::ActionHash,
};
use data_encoding::HEXLOWER;

use crate::home::Home;

/// What a provider does when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    Takes,
    /// It took the mail, and nobody heard so.
    TakesUnheard,
    /// 5xx.
    Refuses,
    /// 4xx the first time.
    TakesLater,
}

/// Where the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kill {
    /// At the step of this number, counted from zero since the process began or ended last.
    Step(usize),
    /// At the first step of this name.
    At(&'static str),
}

/// What the process ends with.
pub(super) struct Killed;

/// One run of the executor, over all its restarts.
pub(super) struct Stage {
    pub(super) home: Home,
    pub(super) provider: Provider,
    /// Whether somebody takes mails out of the outbox as soon as they are there.
    pub(super) is_outbox_emptied: bool,
    pub(super) kills: VecDeque<Kill>,
    /// The steps since the process began or ended last.
    pub(super) steps: Vec<&'static str>,
    is_dead: bool,
    pub(super) restarts: u32,
    pub(super) asked: u32,
    /// Whose call is on its way.
    pub(super) asked_for: Option<(ActionHash, Nonce)>,
    /// Keys under which a service took something, and what it took.
    pub(super) keys: BTreeSet<String>,
    pub(super) texts: Vec<String>,
    /// How often the provider took the mail of an approval.
    pub(super) taken: BTreeMap<(ActionHash, Nonce), u32>,
    in_outbox: usize,
    /// What a person settled.
    pub(super) settled: BTreeSet<Nonce>,
    /// Sends that were asked for although the end of an earlier one is unknown.
    pub(super) asked_too_early: u32,
    /// The step at which the disk below this folder runs full, and the file that then fills it.
    pub(super) full: Option<(usize, PathBuf)>,
}

thread_local! {
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

impl Stage {
    pub(super) fn new(home: &Home, provider: Provider, is_outbox_emptied: bool, kills: &[Kill]) -> Self {
        Self {
            home: home.clone(),
            provider,
            is_outbox_emptied,
            kills: kills.iter().copied().collect(),
            steps: Vec::new(),
            is_dead: false,
            restarts: 0,
            asked: 0,
            asked_for: None,
            keys: BTreeSet::new(),
            texts: Vec::new(),
            taken: BTreeMap::new(),
            in_outbox: 0,
            settled: BTreeSet::new(),
            asked_too_early: 0,
            full: None,
        }
    }

    fn fill_disk(&mut self) {
        if let Some((_, filler)) = self.full.as_ref().filter(|(step, _)| *step == self.steps.len()) {
            let mut file = fs::File::create(filler).expect("a file");
            while file.write_all(&[7; 4096]).is_ok() {}
        }
    }

    /// There is space again, for good.
    pub(super) fn make_room(&mut self) {
        if let Some((step, filler)) = &mut self.full
            && fs::remove_file(filler).is_ok()
        {
            *step = usize::MAX;
        }
    }

    /// Mails that came into the outbox count for the approval that was asked for.
    fn look_into_outbox(&mut self, asked_for: (ActionHash, Nonce)) {
        let files: Vec<_> = fs::read_dir(self.home.outbox().join("new")).into_iter().flatten().flatten().collect();
        let came = files.len() - self.in_outbox;
        if came > 0 {
            *self.taken.entry(asked_for).or_default() += u32::try_from(came).unwrap();
        }
        self.in_outbox = files.len();
        if self.is_outbox_emptied {
            files.iter().for_each(|file| fs::remove_file(file.path()).unwrap());
            self.in_outbox = 0;
        }
    }

    fn is_end_unknown(&self, action: ActionHash) -> bool {
        let names = fs::read_dir(self.home.receipts()).into_iter().flatten().flatten().map(|file| file.file_name());
        names.filter_map(|name| name.into_string().ok()).any(|name| {
            let unknown =
                name.strip_prefix(&format!("{action}-")).and_then(|name| name.strip_suffix("-unknown.receipt"));
            unknown.is_some_and(|nonce| !self.settled.iter().any(|settled| HEXLOWER.encode(settled) == nonce))
        })
    }
}

/// Begins a run on this thread.
pub(super) fn begin(stage: Stage) {
    STAGE.set(Some(stage));
}

/// Ends the run of this thread.
pub(super) fn end() -> Stage {
    STAGE.take().expect("a run is under way")
}

/// Looks at or changes the run of this thread.
pub(super) fn with<T>(act: impl FnOnce(&mut Stage) -> T) -> T {
    STAGE.with_borrow_mut(|stage| act(stage.as_mut().expect("a run is under way")))
}

/// The process begins again after it was ended.
pub(super) fn restart() {
    with(|stage| {
        stage.is_dead = false;
        stage.restarts += 1;
        stage.steps.clear();
    });
}

/// What a hand noticed inside of its task holds for the whole process.
pub(super) fn die_if_dead() {
    if with(|stage| stage.is_dead) {
        resume_unwind(Box::new(Killed));
    }
}

/// The executor has come to a step; the process may end here.
pub(in crate::executor) fn reached(step: &'static str) {
    let is_end = STAGE.with_borrow_mut(|stage| {
        let Some(stage) = stage.as_mut().filter(|stage| !stage.is_dead) else { return false };
        stage.fill_disk();
        let is_end = match stage.kills.front() {
            Some(Kill::Step(number)) => *number == stage.steps.len(),
            Some(Kill::At(name)) => *name == step,
            None => false,
        };
        stage.steps.push(step);
        if is_end {
            stage.kills.pop_front();
            stage.is_dead = true;
        }
        is_end
    });
    if is_end {
        // Unwinds without a word, and past every `?`: nothing on the way can take it for an error of its own.
        resume_unwind(Box::new(Killed));
    }
}

/// Whether a test plays the provider on this thread.
pub(in crate::executor) fn is_played() -> bool {
    STAGE.with_borrow(Option::is_some)
}

/// The provider is asked for an approval; `take` is what the hand does when it takes the mail.
pub(in crate::executor) fn play(asked_for: (ActionHash, Nonce), take: impl FnOnce() -> Dispatched) -> Dispatched {
    reached("about to ask the provider");
    let (provider, asked) = with(|stage| {
        stage.asked += 1;
        // A hand that had no space tries again later.
        if stage.asked > 1 {
            stage.make_room();
        }
        stage.asked_too_early += u32::from(stage.is_end_unknown(asked_for.0));
        (stage.provider, stage.asked)
    });
    let not_sent = |reason: &str, retryable| Dispatched::NotSent { reason: reason.to_owned(), retryable };
    let answer = match provider {
        Provider::Refuses => not_sent("550 no such mailbox", false),
        Provider::TakesLater if asked == 1 => not_sent("451 try again later", true),
        Provider::Takes | Provider::TakesLater => taken(asked_for, take),
        Provider::TakesUnheard => match taken(asked_for, take) {
            Dispatched::Sent(_) => Dispatched::Unknown("no answer came".to_owned()),
            other @ (Dispatched::NotSent { .. } | Dispatched::Unknown(_)) => other,
        },
    };
    reached("provider asked, answer not heard");
    answer
}

/// The provider is called by the real hand; a server of the test plays it.
pub(in crate::executor) async fn play_http(
    asked_for: (ActionHash, Nonce),
    call: impl Future<Output = Dispatched>,
) -> Dispatched {
    reached("about to ask the provider");
    with(|stage| {
        stage.asked_too_early += u32::from(stage.is_end_unknown(asked_for.0));
        stage.asked_for = Some(asked_for);
    });
    let answer = call.await;
    reached("provider asked, answer not heard");
    answer
}

fn taken(asked_for: (ActionHash, Nonce), take: impl FnOnce() -> Dispatched) -> Dispatched {
    // Whatever ends the delivery, the mail may have come into the outbox before.
    let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(take));
    let by_smtp = matches!(&answer, Ok(Dispatched::Sent(response)) if response == "250 queued");
    with(|stage| {
        if by_smtp {
            *stage.taken.entry(asked_for).or_default() += 1;
        }
        stage.look_into_outbox(asked_for);
    });
    answer.unwrap_or_else(|ended| resume_unwind(ended))
}
