//! The weekly audit: what was done in the person's name, whether the bank saw it, and what should be looked at.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    time::Duration,
};

use aiemp_protocol::{
    action::{self, Content, DeriveContext, Payment, derive},
    approval::Receipt,
    time::Timestamp,
};

use super::{Core, Gathering, Outcome, books, day_of, goals::read_goals, inert, listed, recurring::recurring, spelled};
use crate::core::{books::ledger::Entry, work::is_in};

/// How long it is asked whether a payment was booked.
const ASKED_FOR: Duration = Duration::from_secs(45 * 86_400);
/// How long a draft or a task may wait before it is named.
const WAITS: Duration = Duration::from_secs(3 * 86_400);
/// The bank books a payment within these days, seen from when it was ordered.
const BOOKED_DAYS: RangeInclusive<i64> = -1..=5;

impl Core {
    pub(super) fn audit_of(&self, now: Timestamp, gathering: &Gathering) -> String {
        let today = gathering.day;
        let entries = self.work.books.entries();
        let goals = read_goals(&gathering.goals, today, self.work.books.currency());
        let receipts = self.receipts_since(gathering.since);
        let costs = recurring(&entries, today);
        let dearer = costs.iter().filter(|cost| cost.increase_percent > i64::from(goals.increase_percent));
        let dearer = dearer.map(|cost| {
            let name = inert::escape_line(&inert::one_line(&cost.description, 80));
            format!(
                "{name}: {}, {} % more than the time before",
                books::amount(cost.minor, &cost.currency),
                cost.increase_percent
            )
        });
        let sections = [
            ("What was done in your name", self.table_of(&receipts)),
            ("Sent or not, please look", self.unknown()),
            ("Payments", listed(self.payments(now, gathering.since, &entries).into_iter())),
            ("Costs that rose", listed(dearer)),
            ("Drafts that wait for you for more than three days", self.old_drafts(now)),
            ("Tasks that are open for more than three days", self.old_tasks(now, gathering)),
            ("Turned down this week", self.rejected(gathering.since)),
            ("Standing approvals", self.standing_in_force(now)),
            ("Members of which nothing was heard for long", listed(self.members_not_heard_of(now).into_iter())),
            ("Conflicts", self.conflicts_to_look_at()),
        ];
        let told = sections.into_iter().map(|(title, text)| {
            let text = if text.is_empty() { "None.\n".to_owned() } else { text };
            format!("\n## {title}\n\n{text}")
        });
        let told: String = told.collect();
        format!(
            "---\ngenerated: {now}\nsince: {}\n---\n# Weekly audit of {}\n{told}",
            gathering.since, gathering.monday
        )
    }

    fn link_to(&self, receipt: &Receipt) -> String {
        let path = self.path_of(self.copy_of(receipt)).or_else(|| self.path_of(receipt.file));
        path.map_or_else(|| format!("`{}`", &receipt.action.to_string()[..8]), |path| inert::link(&path))
    }

    fn table_of(&self, receipts: &[&Receipt]) -> String {
        if receipts.is_empty() {
            return String::new();
        }
        let mut text = "| When | Kind | What | End | Allowed by |\n|---|---|---|---|---|\n".to_owned();
        for receipt in receipts {
            let by = receipt.standing.map_or_else(
                || "your approval".to_owned(),
                |id| format!("standing approval `{}`", &id.to_string()[..8]),
            );
            let (kind, end) = (receipt.kind.as_str(), receipt.outcome.as_str());
            text.push_str(&format!("| {} | {kind} | {} | {end} | {by} |\n", receipt.at, self.link_to(receipt)));
        }
        text
    }

    fn unknown(&self) -> String {
        let unknown = self.work.receipts.values().filter(|receipt| receipt.outcome == Outcome::Unknown);
        listed(unknown.map(|receipt| format!("{} (`aiemp-node approvals settle`)", self.link_to(receipt))))
    }

    /// The payments since then, and those before that no statement showed so far.
    fn payments(&self, now: Timestamp, since: Timestamp, entries: &[Entry]) -> Vec<String> {
        let mut sent: Vec<_> = self.receipts_since(now.earlier_by(ASKED_FOR));
        sent.retain(|receipt| receipt.outcome == Outcome::Sent);
        let sent: Vec<_> = sent.iter().filter_map(|receipt| Some((*receipt, payment_of(receipt)?))).collect();
        // A line of a statement stands for one of them, and first for one whose payee it names.
        let mut booked: BTreeMap<usize, usize> = BTreeMap::new();
        for by_name in [true, false] {
            for (number, (receipt, payment)) in sent.iter().enumerate() {
                let is_it = |(at, entry): &(usize, &Entry)| {
                    fits(receipt, payment, entry)
                        && (!by_name || names(entry, &payment.payee))
                        && !booked.values().any(|taken| taken == at)
                };
                if !booked.contains_key(&number)
                    && let Some((at, _)) = entries.iter().enumerate().find(is_it)
                {
                    booked.insert(number, at);
                }
            }
        }
        let mut told = Vec::new();
        for (number, (receipt, Payment { amount_minor, currency, payee, .. })) in sent.iter().enumerate() {
            let entry = booked.get(&number).map(|at| &entries[*at]);
            let seen = match entry {
                Some(entry) if names(entry, payee) => format!("booked on {}", entry.transaction.day),
                Some(entry) => format!("booked on {}, under another name", entry.transaction.day),
                None => "**not in a statement yet**".to_owned(),
            };
            if receipt.at > since || entry.is_none() {
                let payee = inert::escape_line(&inert::one_line(payee, 80));
                told.push(format!(
                    "{payee}: {}, {seen}: {}",
                    action::amount(*amount_minor, currency),
                    self.link_to(receipt)
                ));
            }
        }
        told
    }

    fn old_drafts(&self, now: Timestamp) -> String {
        let old = self.drafts_by_age().into_iter().filter(|(made, _)| now.since(*made) > WAITS);
        listed(old.map(|(made, path)| format!("{}: {}", inert::link(&path), spelled(now.since(made)))))
    }

    fn old_tasks(&self, now: Timestamp, gathering: &Gathering) -> String {
        let old = gathering.tasks.iter().filter(|task| task.done.is_none() && task.took(now) > WAITS);
        listed(old.map(|task| format!("{}: {}", task.link(), spelled(task.took(now)))))
    }

    fn rejected(&self, since: Timestamp) -> String {
        let rejected = self.vault.index().iter().filter_map(|(file, record)| {
            let path = record.path.shown().filter(|path| is_in(path, "rejected") && path.extension() == "md")?;
            (self.vault.is_in_sight(file) && self.made_at(file)? > since).then(|| inert::link(path))
        });
        listed(rejected)
    }

    fn standing_in_force(&self, now: Timestamp) -> String {
        let roster = self.replication.rosters().current();
        let in_force =
            self.work.standing.iter().filter(|standing| standing.in_force(roster, self.work.me, now).is_ok());
        listed(in_force.map(|standing| {
            let used = self.work.receipts.values().filter(|receipt| receipt.standing == Some(standing.id)).count();
            format!("`{}`: {used} of {} used", &standing.id.to_string()[..8], standing.count)
        }))
    }

    fn conflicts_to_look_at(&self) -> String {
        let conflicts = self.vault.open_items().len();
        if conflicts == 0 { String::new() } else { format!("{conflicts} (`aiemp-node conflicts`)\n") }
    }
}

/// Whether a line of a statement may be a payment.
fn fits(receipt: &Receipt, payment: &Payment, entry: &Entry) -> bool {
    let days = (entry.transaction.day - day_of(receipt.at)).num_days();
    let is_amount = i64::try_from(payment.amount_minor).is_ok_and(|minor| entry.transaction.minor == -minor);
    is_amount && entry.currency == payment.currency && BOOKED_DAYS.contains(&days)
}

/// Whether it names the payee, each word of it.
fn names(entry: &Entry, payee: &str) -> bool {
    let words = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_lowercase).collect()
    };
    words(payee).is_subset(&words(&entry.transaction.description))
}

/// The payment that a receipt speaks of, as it was approved.
fn payment_of(receipt: &Receipt) -> Option<Payment> {
    let context = DeriveContext {
        file: receipt.file,
        fallback_work: receipt.work,
        default_hand: "",
        default_from: None,
        attachment: &|_| None,
    };
    match derive(&receipt.note, &context).ok()?.action.content {
        Content::Payment(payment) => Some(payment),
        Content::Email(_) | Content::Post(_) | Content::Tool(_) | Content::Http(_) | Content::A2a(_) => None,
    }
}
