//! Costs that come back each month: who is paid again and again, and whether it became more.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use crate::core::books::ledger::{Entry, Month};

/// A cost that came in each of the last months.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recurring {
    /// Whom it is with, as the last one says.
    pub(super) description: String,
    pub(super) currency: String,
    /// What the last one was, as a positive amount.
    pub(super) minor: i64,
    pub(super) last: NaiveDate,
    /// How much more than the one before, in per cent.
    pub(super) increase_percent: i64,
}

/// The costs that came in three of the last four months, and at most twice in any: the highest first.
pub(super) fn recurring(entries: &[Entry], today: NaiveDate) -> Vec<Recurring> {
    let oldest = Month::of(today).before(3);
    let mut payees: BTreeMap<(&str, String), Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        let transaction = &entry.transaction;
        if transaction.minor < 0 && transaction.day <= today && Month::of(transaction.day) >= oldest {
            payees.entry((&entry.currency, payee(&transaction.description))).or_default().push(entry);
        }
    }
    let mut found = Vec::new();
    for ((currency, _), paid) in payees {
        let months: BTreeSet<_> = paid.iter().map(|entry| Month::of(entry.transaction.day)).collect();
        let [.., before, last] = paid.as_slice() else { continue };
        if months.len() < 3 || paid.len() > 2 * months.len() {
            continue;
        }
        let (minor, before) = (-last.transaction.minor, -before.transaction.minor);
        found.push(Recurring {
            description: last.transaction.description.clone(),
            currency: currency.to_owned(),
            minor,
            last: last.transaction.day,
            increase_percent: (minor - before).saturating_mul(100) / before,
        });
    }
    found.sort_by_key(|cost| (-cost.minor, cost.description.clone()));
    found
}

/// What of a description stays the same from month to month: its words without digits.
fn payee(description: &str) -> String {
    let words = description.split(|c: char| !c.is_alphanumeric());
    let words = words.filter(|word| !word.is_empty() && !word.chars().any(|c| c.is_ascii_digit()));
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::books::ledger::tests::entry;

    #[test]
    fn what_is_paid_each_month_is_told_with_how_much_more_it_became() {
        let mut entries = Vec::new();
        for month in [10, 11, 12] {
            entries.push(entry(2025, month, 6, &format!("NOTION 2025{month} ref 99"), -1_500));
            entries.extend((1..6).map(|day| entry(2025, month, day, "Supermarket", -2_000)));
            entries.push(entry(2025, month, 1, "Client", 100_000));
        }
        entries.push(entry(2026, 1, 6, "Notion 202601 REF 7", -1_950));
        entries.push(entry(2026, 1, 2, "Hotel", -30_000));
        entries.sort();
        let today = NaiveDate::from_ymd_opt(2026, 1, 11).expect("a day");
        let found = recurring(&entries, today);
        let told: Vec<_> =
            found.iter().map(|cost| (cost.description.as_str(), cost.minor, cost.increase_percent)).collect();
        assert_eq!(told, [("Notion 202601 REF 7", 1_950, 30)]);
    }
}
