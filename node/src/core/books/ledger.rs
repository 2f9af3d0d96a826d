//! All statements of the accounts as one list: what several of them hold is one transaction.

use std::collections::BTreeMap;

use chrono::{Datelike as _, NaiveDate};

use super::statement::Transaction;

/// A month, as `2026-01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Month {
    year: i32,
    month: u32,
}

impl Month {
    /// That of a day.
    pub(crate) fn of(day: NaiveDate) -> Self {
        Self { year: day.year(), month: day.month() }
    }

    /// So many months before.
    pub(crate) fn before(self, count: u32) -> Self {
        let months = self.year * 12 + i32::try_from(self.month).unwrap_or(1) - 1 - i32::try_from(count).unwrap_or(0);
        Self { year: months.div_euclid(12), month: u32::try_from(months.rem_euclid(12)).unwrap_or(0) + 1 }
    }

    /// Its first day.
    pub(crate) fn first_day(self) -> NaiveDate {
        NaiveDate::from_ymd_opt(self.year, self.month, 1).unwrap_or_default()
    }

    /// How many days it has.
    pub(crate) fn days(self) -> u32 {
        self.first_day().num_days_in_month().into()
    }

    /// `January 2026`.
    pub(crate) fn title(self) -> String {
        self.first_day().format("%B %Y").to_string()
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:04}-{:02}", self.year, self.month)
    }
}

/// A transaction with its account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// The transaction.
    pub(crate) transaction: Transaction,
    /// The account's name.
    pub(crate) account: String,
    /// Its currency.
    pub(crate) currency: String,
}

/// What tells a transaction from others of its account.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Told<'a> {
    ById(&'a str),
    ByWhatItSays(&'a Transaction),
}

impl<'a> Told<'a> {
    fn by(transaction: &'a Transaction) -> Self {
        transaction.id.as_deref().map_or(Self::ByWhatItSays(transaction), Self::ById)
    }
}

/// The transactions of an account, in the order of their days. Where the bank gives them no ids, those that look alike are as many as
/// one statement has at most: two that overlap both hold each of them. Of one id the statement counts that goes on for longest.
pub(crate) fn united<'a>(statements: impl IntoIterator<Item = &'a [Transaction]>) -> Vec<Transaction> {
    let mut all: BTreeMap<Told<'a>, Vec<&'a Transaction>> = BTreeMap::new();
    let mut statements: Vec<_> = statements.into_iter().collect();
    statements.sort_by_key(|statement| (statement.iter().map(|transaction| transaction.day).max(), *statement));
    for statement in statements {
        let mut here: BTreeMap<Told<'a>, Vec<&'a Transaction>> = BTreeMap::new();
        for transaction in statement {
            let told = Told::by(transaction);
            let is_by_id = matches!(told, Told::ById(_));
            let alike = here.entry(told).or_default();
            if !is_by_id || alike.is_empty() {
                alike.push(transaction);
            }
        }
        for (told, alike) in here {
            let is_by_id = matches!(told, Told::ById(_));
            let known = all.entry(told).or_default();
            if is_by_id || alike.len() > known.len() {
                *known = alike;
            }
        }
    }
    let mut united: Vec<_> = all.into_values().flatten().cloned().collect();
    united.sort();
    united
}

#[cfg(test)]
pub(in crate::core) mod tests {
    use super::*;

    pub(in crate::core) fn entry(year: i32, month: u32, day: u32, description: &str, minor: i64) -> Entry {
        let day = NaiveDate::from_ymd_opt(year, month, day).expect("a day");
        let transaction = Transaction { day, description: description.to_owned(), minor, id: None };
        Entry { transaction, account: "main".to_owned(), currency: "EUR".to_owned() }
    }

    fn transaction(day: u32, description: &str, minor: i64) -> Transaction {
        let day = NaiveDate::from_ymd_opt(2026, 1, day).expect("a day");
        Transaction { day, description: description.to_owned(), minor, id: None }
    }

    #[test]
    fn what_two_statements_hold_is_one_transaction_and_what_happened_twice_is_two() {
        let (coffee, rent, pay) =
            (transaction(5, "coffee", -300), transaction(1, "rent", -90_000), transaction(9, "pay", 5));
        // Exported at noon of the fifth, and once more on the ninth.
        let first = vec![rent.clone(), coffee.clone()];
        let second = vec![coffee.clone(), coffee.clone(), pay.clone()];
        let expected = [rent, coffee.clone(), coffee, pay];
        assert_eq!(united([first.as_slice(), &second]), expected);
        assert_eq!(united([second.as_slice(), &first, &first, &second]), expected);
    }

    #[test]
    fn the_banks_own_ids_tell_transactions_apart_whatever_else_they_say() {
        let with =
            |id: &str, description: &str| Transaction { id: Some(id.to_owned()), ..transaction(5, description, -300) };
        let day = with("1", "").day.succ_opt().expect("a day");
        let booked = Transaction { day, minor: -4_500, ..with("1", "booked") };
        let (first, second) = (vec![with("1", "pending"), with("2", "coffee")], vec![booked.clone()]);
        for both in [[first.as_slice(), &second], [second.as_slice(), &first]] {
            let united = united(both);
            assert!(united.len() == 2 && united.contains(&booked), "what was told later counts: {united:?}");
        }
    }

    #[test]
    fn months_follow_each_other_over_the_years() {
        let january = Month::of(NaiveDate::from_ymd_opt(2026, 1, 31).expect("a day"));
        assert_eq!((january.to_string().as_str(), january.title().as_str()), ("2026-01", "January 2026"));
        assert_eq!(january.before(1).to_string(), "2025-12");
        assert_eq!(january.before(13).to_string(), "2024-12");
        assert_eq!((january.days(), january.before(11).days()), (31, 28));
    }
}
