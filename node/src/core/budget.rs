//! What the brain may use: runs, tokens and money in an hour and a day, and runs at once. Asked before a run begins, and
//! durable before it does, so that no restart makes room.

use std::time::Duration;

use aiemp_keys::cbor::{self, CborError, Fields};
use aiemp_protocol::{ids::WorkId, time::Timestamp};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const WHAT: &str = "what the brain used";

/// The bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Runs at once.
    pub at_once: usize,
    /// Runs for one task in any 24 hours that end without anything.
    pub runs_per_task: u32,
    /// Runs in any hour.
    pub runs_per_hour: usize,
    /// Runs in any 24 hours.
    pub runs_per_day: usize,
    /// Tokens in any 24 hours, if they are bounded.
    pub tokens_per_day: Option<u64>,
    /// Millionths of a dollar in any 24 hours, if they are bounded.
    pub cost_per_day: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            at_once: 1,
            runs_per_task: 3,
            runs_per_hour: 60,
            runs_per_day: 500,
            tokens_per_day: None,
            cost_per_day: None,
        }
    }
}

/// What one run used, as far as it says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Tokens in and out.
    pub tokens: u64,
    /// Millionths of a dollar.
    pub cost: u64,
}

/// Which bound is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Runs in an hour.
    RunsPerHour,
    /// Runs in a day.
    RunsPerDay,
    /// Tokens in a day.
    TokensPerDay,
    /// Money in a day.
    CostPerDay,
    /// The provider said to wait.
    Provider,
}

impl Bound {
    /// Its words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RunsPerHour => "the runs of an hour are used up",
            Self::RunsPerDay => "the runs of a day are used up",
            Self::TokensPerDay => "the tokens of a day are used up",
            Self::CostPerDay => "the money of a day is used up",
            Self::Provider => "the provider takes no more for now",
        }
    }
}

/// A run that began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Begun {
    at: Timestamp,
    used: Used,
    /// The task for which it ended and gave nothing.
    in_vain: Option<WorkId>,
}

impl Begun {
    /// Whether it began within this time before now. A clock that was far ahead for a while bounds nothing for years.
    fn is_within(&self, window: Duration, now: Timestamp) -> bool {
        self.at + window > now && self.at <= now + DAY
    }
}

/// What was used of late, and what runs.
#[derive(Debug)]
pub(super) struct Budget {
    limits: Limits,
    /// The runs of the last day, oldest first.
    runs: Vec<Begun>,
    running: usize,
    paused_until: Option<Timestamp>,
}

impl Budget {
    pub(super) const fn new(limits: Limits) -> Self {
        Self { limits, runs: Vec::new(), running: 0, paused_until: None }
    }

    /// How many runs may begin beside those that run.
    pub(super) const fn free(&self) -> usize {
        self.limits.at_once.saturating_sub(self.running)
    }

    /// Until when no run may begin, and what keeps it.
    pub(super) fn spent_until(&self, now: Timestamp) -> Option<(Timestamp, Bound)> {
        let paused = self.paused_until.filter(|until| *until > now).map(|until| (until, Bound::Provider));
        let within = |window: Duration| self.runs.iter().filter(move |run| run.is_within(window, now));
        let runs = |max: usize, window, bound| {
            let over = within(window).count().checked_sub(max)?;
            // It is free again once so many have grown older than the window; where none is allowed, for now never.
            Some((within(window).nth(over).map_or(now, |run| run.at) + window, bound))
        };
        let sum = |max: Option<u64>, of: fn(&Used) -> u64, bound| {
            let mut left = within(DAY).map(|run| of(&run.used)).fold(0, u64::saturating_add);
            let max = max?;
            if left < max {
                return None;
            }
            let free_after = within(DAY).find(|run| {
                left = left.saturating_sub(of(&run.used));
                left < max
            });
            // Where none is allowed, for now never.
            Some((free_after.map_or(now, |run| run.at) + DAY, bound))
        };
        let spent = [
            paused,
            runs(self.limits.runs_per_hour, HOUR, Bound::RunsPerHour),
            runs(self.limits.runs_per_day, DAY, Bound::RunsPerDay),
            sum(self.limits.tokens_per_day, |used| used.tokens, Bound::TokensPerDay),
            sum(self.limits.cost_per_day, |used| used.cost, Bound::CostPerDay),
        ];
        spent.into_iter().flatten().max_by_key(|(until, _)| *until)
    }

    /// Whether a task had all its runs of the last day, in vain.
    pub(super) fn is_spent_for(&self, now: Timestamp, work: WorkId) -> bool {
        let in_vain = self.runs.iter().filter(|run| run.in_vain == Some(work) && run.is_within(DAY, now));
        u32::try_from(in_vain.count()).is_ok_and(|count| count >= self.limits.runs_per_task)
    }

    /// A run begins; what is told back is to be durable before it does.
    pub(super) fn begin(&mut self, now: Timestamp) -> Vec<u8> {
        self.running += 1;
        self.runs.retain(|run| run.is_within(DAY, now));
        self.runs.push(Begun { at: now, used: Used::default(), in_vain: None });
        self.to_bytes()
    }

    /// A run that began then has ended; with the task, where it gave nothing for it.
    pub(super) fn end(&mut self, began: Timestamp, used: Used, in_vain: Option<WorkId>) -> Vec<u8> {
        self.running = self.running.saturating_sub(1);
        let is_new = |run: &&mut Begun| run.at == began && run.used == Used::default() && run.in_vain.is_none();
        if let Some(run) = self.runs.iter_mut().find(is_new) {
            (run.used, run.in_vain) = (used, in_vain);
        }
        self.to_bytes()
    }

    pub(super) fn pause(&mut self, until: Timestamp) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    fn to_bytes(&self) -> Vec<u8> {
        let runs = self.runs.iter().map(|Begun { at, used, in_vain }| {
            let run = [cbor::uint(at.as_millis()), cbor::uint(used.tokens), cbor::uint(used.cost)];
            cbor::array(run.into_iter().chain(in_vain.map(WorkId::to_value)))
        });
        cbor::encode(&cbor::array(runs))
    }

    /// Takes back what was used before a restart.
    pub(super) fn restore(&mut self, bytes: &[u8]) -> Result<(), CborError> {
        let mut runs = Fields::decode(bytes, WHAT)?;
        while !runs.is_at_end() {
            let mut fields = Fields::of(runs.value()?, WHAT)?;
            let at = Timestamp::from_millis(fields.uint()?);
            let used = Used { tokens: fields.uint()?, cost: fields.uint()? };
            let in_vain = if fields.is_at_end() { None } else { Some(WorkId::read(&mut fields)?) };
            fields.end()?;
            self.runs.push(Begun { at, used, in_vain });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aiemp_keys::Hash;

    use super::*;

    const BEGIN: Timestamp = Timestamp::from_millis(1_767_781_800_000);

    fn work(number: u64) -> WorkId {
        WorkId(Hash::labelled("a task of a test", [cbor::uint(number)]))
    }

    fn run(budget: &mut Budget, at: Timestamp, used: Used) {
        budget.begin(at);
        budget.end(at, used, None);
    }

    #[test]
    fn a_task_has_its_runs_in_vain_also_over_restarts_and_as_many_the_next_day() {
        let (minute, other) = (Duration::from_secs(60), work(8));
        let mut budget = Budget::new(Limits { runs_per_task: 2, ..Limits::default() });
        run(&mut budget, BEGIN, Used::default());
        budget.begin(BEGIN + minute);
        budget.end(BEGIN + minute, Used::default(), Some(work(7)));
        assert!(!budget.is_spent_for(BEGIN + minute, work(7)), "one run gave something");
        // One that a restart ended says nothing of the task.
        budget.begin(BEGIN + minute * 2);
        budget.begin(BEGIN + minute * 3);
        let kept = budget.end(BEGIN + minute * 3, Used::default(), Some(work(7)));
        let mut after = Budget::new(budget.limits);
        after.restore(&kept).expect("it is ours");
        assert!(after.is_spent_for(BEGIN + minute * 3, work(7)) && !after.is_spent_for(BEGIN + minute * 3, other));
        assert!(!after.is_spent_for(BEGIN + minute + DAY, work(7)));
        // As it was written before runs were counted for their tasks.
        let run = [BEGIN.as_millis(), 4, 2].map(cbor::uint);
        after.restore(&cbor::encode(&cbor::array([cbor::array(run)]))).expect("it is ours");
    }

    #[test]
    fn what_is_used_up_is_free_again_as_it_grows_old() {
        let minute = Duration::from_secs(60);
        let mut budget = Budget::new(Limits { runs_per_hour: 2, runs_per_day: 3, ..Limits::default() });
        run(&mut budget, BEGIN, Used::default());
        assert_eq!(budget.spent_until(BEGIN), None);
        run(&mut budget, BEGIN + minute, Used::default());
        assert_eq!(budget.spent_until(BEGIN + minute), Some((BEGIN + HOUR, Bound::RunsPerHour)));
        assert_eq!(budget.spent_until(BEGIN + HOUR), None);
        run(&mut budget, BEGIN + HOUR, Used::default());
        assert_eq!(budget.spent_until(BEGIN + HOUR), Some((BEGIN + DAY, Bound::RunsPerDay)));
        assert_eq!(budget.spent_until(BEGIN + DAY), None);
        let none = Budget::new(Limits { runs_per_day: 0, ..Limits::default() });
        assert!(none.spent_until(BEGIN).is_some(), "none is allowed");
        let free = Budget::new(Limits { cost_per_day: Some(0), ..Limits::default() });
        assert_eq!(free.spent_until(BEGIN), Some((BEGIN + DAY, Bound::CostPerDay)), "nor is any money");
    }

    #[test]
    fn tokens_and_money_are_bounded_and_a_provider_is_waited_for() {
        let minute = Duration::from_secs(60);
        let mut budget = Budget::new(Limits { tokens_per_day: Some(10), cost_per_day: Some(5), ..Limits::default() });
        run(&mut budget, BEGIN, Used { tokens: 6, cost: 1 });
        run(&mut budget, BEGIN + minute, Used { tokens: 3, cost: 4 });
        let spent = budget.spent_until(BEGIN + minute);
        assert_eq!(spent, Some((BEGIN + DAY, Bound::CostPerDay)));
        run(&mut budget, BEGIN + minute * 2, Used { tokens: 1_000, cost: 0 });
        let spent = budget.spent_until(BEGIN + minute * 2);
        assert_eq!(spent, Some((BEGIN + minute * 2 + DAY, Bound::TokensPerDay)), "the largest goes last");
        budget.pause(BEGIN + DAY * 3);
        budget.pause(BEGIN + DAY);
        assert_eq!(budget.spent_until(BEGIN), Some((BEGIN + DAY * 3, Bound::Provider)));
    }

    #[test]
    fn a_restart_forgets_nothing_that_was_used_also_of_a_run_that_never_ended() {
        let mut before = Budget::new(Limits { runs_per_hour: 2, ..Limits::default() });
        run(&mut before, BEGIN, Used { tokens: 4, cost: 2 });
        let kept = before.begin(BEGIN + Duration::from_secs(1));
        let mut after = Budget::new(before.limits);
        after.restore(&kept).expect("it is ours");
        assert_eq!(after.runs, before.runs);
        assert_eq!((before.free(), after.free()), (0, 1), "what ran then does not run any more");
        assert!(after.spent_until(BEGIN + Duration::from_secs(2)).is_some());
        assert!(after.restore(b"no").is_err());
    }
}
