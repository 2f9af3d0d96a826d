//! The weekly audit: what was done in the person's name, whether the bank saw it, and what should be looked at.

use aiemp_protocol::{
    action::{Content, DeriveContext, Payment, derive},
    approval::Receipt,
    time::Timestamp,
};

use super::{
    Core, Gathering, Outcome, WEEK, books, day_of, goals::read_goals, inert, listed, recurring::recurring, spelled,
};
use crate::core::{books::ledger::Entry, work::is_in};

/// How long a draft or a task may wait before it is named.
const WAITS: std::time::Duration = std::time::Duration::from_secs(3 * 86_400);
/// The bank books a payment within these days, seen from when it was ordered.
const BOOKED_DAYS: std::ops::RangeInclusive<i64> = -1..=5;

impl Core {
    pub(super) fn audit_of(&self, now: Timestamp, gathering: &Gathering) -> String {
        let today = day_of(now);
        let entries = self.work.books.entries();
        let goals = read_goals(&gathering.goals, today, self.work.books.currency());
        let receipts = self.week_of_receipts(now);
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
        let is_payment = |receipt: &&&Receipt| receipt.outcome == Outcome::Sent;
        let payments = receipts.iter().filter(is_payment).filter_map(|receipt| self.seen_by_bank(receipt, &entries));
        let sections = [
            ("What was done in your name", self.table_of(&receipts)),
            ("Sent or not, please look", self.unknown(&receipts)),
            ("Payments", listed(payments)),
            ("Costs that rose", listed(dearer)),
            ("Drafts that wait for you for more than three days", self.old_drafts(now)),
            ("Tasks that are open for more than three days", self.old_tasks(now, gathering)),
            ("Turned down this week", self.rejected(now)),
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
            now.earlier_by(WEEK),
            gathering.monday
        )
    }

    fn link_to(&self, receipt: &Receipt) -> String {
        let path = self.path_of(self.copy_of(receipt)).or_else(|| self.path_of(receipt.file));
        path.map_or_else(|| format!("`{}`", &receipt.action.to_string()[..8]), |path| format!("[[{path}]]"))
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

    fn unknown(&self, receipts: &[&Receipt]) -> String {
        let unknown = receipts.iter().filter(|receipt| receipt.outcome == Outcome::Unknown);
        listed(unknown.map(|receipt| format!("{} (`aiemp-node approvals settle`)", self.link_to(receipt))))
    }

    /// Whether a payment stands in the statements.
    fn seen_by_bank(&self, receipt: &Receipt, entries: &[Entry]) -> Option<String> {
        let Payment { amount_minor, currency, payee, .. } = payment_of(receipt)?;
        let ordered = day_of(receipt.at);
        let minor = i64::try_from(amount_minor).ok()?;
        let is_it = |entry: &&Entry| {
            let booked = (entry.transaction.day - ordered).num_days();
            entry.currency == currency && entry.transaction.minor == -minor && BOOKED_DAYS.contains(&booked)
        };
        let seen = match entries.iter().find(is_it) {
            Some(entry) => format!("booked on {}", entry.transaction.day),
            None => "**not in a statement yet**".to_owned(),
        };
        let payee = inert::escape_line(&inert::one_line(&payee, 80));
        Some(format!("{payee}: {}, {seen}: {}", books::amount(minor, &currency), self.link_to(receipt)))
    }

    fn old_drafts(&self, now: Timestamp) -> String {
        let old = self.drafts_by_age().into_iter().filter(|(made, _)| now.since(*made) > WAITS);
        listed(old.map(|(made, path)| format!("[[{path}]]: {}", spelled(now.since(made)))))
    }

    fn old_tasks(&self, now: Timestamp, gathering: &Gathering) -> String {
        let old = gathering.tasks.iter().filter(|task| task.done.is_none() && task.took(now) > WAITS);
        listed(old.map(|task| format!("{}: {}", task.link(), spelled(task.took(now)))))
    }

    fn rejected(&self, now: Timestamp) -> String {
        let rejected = self.vault.index().iter().filter_map(|(file, record)| {
            let path = record.path.shown().filter(|path| is_in(path, "rejected") && path.extension() == "md")?;
            (self.vault.is_in_sight(file) && self.made_at(file)? > now.earlier_by(WEEK)).then(|| format!("[[{path}]]"))
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
