//! The Monday briefing: how the week was, in the sections that people ask for.

use std::collections::BTreeMap;

use aiemp_protocol::time::Timestamp;
use chrono::{Days, NaiveDate};

use super::{
    Core, Gathering, Outcome, Task, books, by_kind,
    goals::{Goals, read_goals},
    inert, listed,
    recurring::{Recurring, recurring},
    spelled,
};
use crate::core::books::ledger::{Entry, Month};

/// How far ahead deadlines are told, and how far back those that passed.
const AHEAD_DAYS: i64 = 30;
const PASSED_DAYS: i64 = 14;

impl Core {
    pub(super) fn briefing_of(&self, now: Timestamp, gathering: &Gathering) -> String {
        // Where the person is: by UTC a month may have ended already.
        let (today, monday) = (gathering.day, gathering.monday);
        let goals = read_goals(&gathering.goals, today, self.work.books.currency());
        let entries = self.work.books.entries();
        let begin = monday.checked_sub_days(Days::new(7)).unwrap_or(monday);
        let end = monday.checked_sub_days(Days::new(1)).unwrap_or(monday);
        let (done, open): (Vec<&Task>, Vec<&Task>) = gathering.tasks.iter().partition(|task| task.done.is_some());
        let (revenue, summary_of_money) = match self.work.books.have_statements() {
            true => revenue_of(&entries, &goals, today, (begin, end)),
            false => {
                let none = "No statement of a bank is here: see `[[bank]]` in config.toml.\n".to_owned();
                (none, "No statement of a bank is here.".to_owned())
            }
        };
        let late = late(now, &gathering.tasks, &goals);
        let sent = self.receipts_since(gathering.since).into_iter().filter(|receipt| receipt.outcome == Outcome::Sent);
        let summary = format!(
            "Done: {}. Sent: {}. Open: {}, of those late: {}. Waiting for your approval: {}. {summary_of_money}\n",
            done.len(),
            by_kind(sent.map(|receipt| receipt.kind.as_str())),
            open.len(),
            late.iter().filter(|task| task.done.is_none()).count(),
            self.waiting_drafts().count(),
        );
        let completed = listed(done.iter().rev().map(|task| format!("[x] {}", task.link())));
        let or_none = |text: String| if text.is_empty() { "None.\n".to_owned() } else { text };
        format!(
            "---\ngenerated: {now}\nperiod: {begin} to {end}\nsince: {}\n---\n# Monday briefing of {monday}\n\n## Summary\n\n{summary}\n\
             ## Revenue\n\n{revenue}\n## Completed tasks\n\n{}\n## Bottlenecks\n\n{}\n## Suggestions\n\n{}\n## Deadlines\n\n{}",
            gathering.since,
            or_none(completed),
            or_none(bottlenecks(now, &late, &goals)),
            or_none(suggestions(&recurring(&entries, today), &goals)),
            or_none(deadlines(&goals, today)),
        )
    }
}

/// Tasks that took, or wait, longer than wanted; the longest first.
fn late<'a>(now: Timestamp, tasks: &'a [Task], goals: &Goals) -> Vec<&'a Task> {
    let mut late: Vec<_> = tasks.iter().filter(|task| task.took(now) > goals.answer_within).collect();
    late.sort_by_key(|task| std::cmp::Reverse(task.took(now)));
    late
}

fn bottlenecks(now: Timestamp, late: &[&Task], goals: &Goals) -> String {
    if late.is_empty() {
        return String::new();
    }
    let mut text = "| Task | Expected | Actual | Delay |\n|---|---|---|---|\n".to_owned();
    for task in late.iter().take(super::LISTED_MAX) {
        let (took, expected) = (task.took(now), goals.answer_within);
        let open = if task.done.is_none() { ", still open" } else { "" };
        let delay = spelled(took.saturating_sub(expected));
        // The bar of a link would end the cell.
        let link = task.link();
        text.push_str(&format!("| {link} | {} | {}{open} | {delay} |\n", spelled(expected), spelled(took)));
    }
    text
}

/// What came in, by currency; and one sentence of it.
fn revenue_of(
    entries: &[Entry],
    goals: &Goals,
    today: NaiveDate,
    (begin, end): (NaiveDate, NaiveDate),
) -> (String, String) {
    let income = |from: NaiveDate, to: NaiveDate| {
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for Entry { transaction, currency, .. } in entries {
            if transaction.minor > 0 && (from..=to).contains(&transaction.day) {
                *sums.entry(currency).or_default() += transaction.minor;
            }
        }
        sums
    };
    let told = |sums: &BTreeMap<&str, i64>| {
        let sums: Vec<_> = sums.iter().map(|(currency, minor)| books::amount(*minor, currency)).collect();
        if sums.is_empty() { "nothing".to_owned() } else { sums.join(", ") }
    };
    let back = |days: u64| begin.checked_sub_days(Days::new(days)).unwrap_or(begin);
    let (week, before) = (income(begin, end), income(back(28), back(1)));
    let month_begins = Month::of(today).first_day();
    let month = income(month_begins, today);
    let goal = goals.monthly.as_ref().map(|(minor, currency)| {
        let percent = month.get(currency.as_str()).copied().unwrap_or(0).saturating_mul(100) / minor;
        (percent, books::amount(*minor, currency))
    });
    let of_goal = goal.as_ref().map_or(String::new(), |(percent, goal)| format!(" ({percent} % of the goal, {goal})"));
    let passed = (today - month_begins).num_days() + 1;
    let passed_percent = passed * 100 / i64::from(Month::of(today).days());
    let trend = match &goal {
        Some((percent, _)) if *percent >= 100 => "the goal is reached".to_owned(),
        Some((percent, _)) if *percent >= passed_percent => {
            format!("on track: {passed_percent} % of the month is over")
        }
        Some((_, _)) => format!("behind: {passed_percent} % of the month is over"),
        None => "`Business_Goals.md` names no `Monthly goal: …`".to_owned(),
    };
    let average: BTreeMap<&str, i64> = before.iter().map(|(currency, minor)| (*currency, minor / 4)).collect();
    let text = format!(
        "- **This week**: {}; in the four weeks before {} each\n- **Month to date**: {}{of_goal}\n- **Trend**: {trend}\n",
        told(&week),
        told(&average),
        told(&month),
    );
    (text, format!("Income of the week: {}; of the month: {}{of_goal}.", told(&week), told(&month)))
}

fn suggestions(costs: &[Recurring], goals: &Goals) -> String {
    let limit = i64::from(goals.increase_percent);
    let told = costs.iter().map(|cost| {
        let more = match cost.increase_percent {
            percent if percent > limit => format!(", **{percent} % more than the time before**"),
            _ => String::new(),
        };
        let name = inert::escape_line(&inert::one_line(&cost.description, 80));
        let amount = books::amount(cost.minor, &cost.currency);
        format!("{name}: {amount} each month, last on {}{more}. Is it still needed?", cost.last)
    });
    let mut months: BTreeMap<&str, i64> = BTreeMap::new();
    for cost in costs {
        *months.entry(&cost.currency).or_default() += cost.minor;
    }
    let sums: Vec<_> = months.iter().map(|(currency, minor)| books::amount(*minor, currency)).collect();
    let sum = if sums.is_empty() {
        String::new()
    } else {
        format!("Costs that come back each month: {}.\n\n", sums.join(", "))
    };
    format!("{sum}{}", listed(told))
}

fn deadlines(goals: &Goals, today: NaiveDate) -> String {
    listed(goals.deadlines.iter().filter_map(|(day, what)| {
        let days = (*day - today).num_days();
        let when = match days {
            ..0 => format!("{} days ago", -days),
            0 => "today".to_owned(),
            1.. => format!("in {days} days"),
        };
        let what = inert::one_line(what, 120);
        (-PASSED_DAYS..=AHEAD_DAYS).contains(&days).then(|| format!("{what}: {day} ({when})"))
    }))
}
