//! A bank's statement: the CSV file that it lets people download, read as its owner says it is written.

use aiemp_protocol::action;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::core::mail::inert;

/// How much of what a transaction is for is kept.
const DESCRIPTION_BYTES_MAX: usize = 300;
/// What stands between the values of a line.
const DELIMITERS: [u8; 3] = *b",;\t";

/// How a bank writes its statements.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Bank {
    /// What the account is called in the notes, and its folder below `Accounting/Statements/`.
    pub name: String,
    /// The account's currency, by ISO 4217.
    pub currency: String,
    /// Heading of the column with the day.
    pub date: String,
    /// How a day is written, as strftime has it.
    #[serde(default = "iso_date")]
    pub date_format: String,
    /// Heading of the column with the amount: what goes out has a minus.
    pub amount: Option<String>,
    /// Instead of that: heading of the column with what comes in.
    pub credit: Option<String>,
    /// And of the one with what goes out.
    pub debit: Option<String>,
    /// Headings of the columns that say whom it is with and what for.
    pub description: Vec<String>,
    /// Heading of a column that tells each transaction from all others.
    pub id: Option<String>,
    /// What stands before the decimals: `.` or `,`.
    #[serde(default = "point")]
    pub decimal: char,
}

fn iso_date() -> String {
    "%Y-%m-%d".to_owned()
}

const fn point() -> char {
    '.'
}

impl Bank {
    /// What is wrong with it.
    pub fn objection(&self) -> Option<String> {
        let name = &self.name;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Some(format!("`{name}` cannot name a `[[bank]]`: letters, digits and `-`"));
        }
        if !action::is_currency(&self.currency) {
            return Some(format!("`[[bank]] {name}`: `{}` is no currency's code, such as EUR", self.currency));
        }
        if self.amount.is_some() == (self.credit.is_some() || self.debit.is_some())
            || self.credit.is_some() != self.debit.is_some()
        {
            return Some(format!("`[[bank]] {name}` needs `amount`, or both `credit` and `debit`"));
        }
        if ![',', '.'].contains(&self.decimal) {
            return Some(format!("`[[bank]] {name}`: `decimal` is \".\" or \",\""));
        }
        let is_format = NaiveDate::from_ymd_opt(2026, 1, 17).is_some_and(|day| {
            use std::fmt::Write as _;
            let mut text = String::new();
            write!(text, "{}", day.format(&self.date_format)).is_ok()
                && NaiveDate::parse_from_str(&text, &self.date_format) == Ok(day)
        });
        (!is_format).then(|| {
            format!(
                "`[[bank]] {name}`: `date_format = \"{}\"` names no day; \"%d.%m.%Y\" is 17.01.2026",
                self.date_format
            )
        })
    }

    fn columns(&self) -> impl Iterator<Item = &String> {
        let single =
            [Some(&self.date), self.amount.as_ref(), self.credit.as_ref(), self.debit.as_ref(), self.id.as_ref()];
        single.into_iter().flatten().chain(&self.description)
    }
}

/// Money that moved on an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Transaction {
    /// When, as the bank says.
    pub(crate) day: NaiveDate,
    /// Whom it is with and what for, on one line.
    pub(crate) description: String,
    /// In the smallest unit of the account's currency; less than nothing for what went out.
    pub(crate) minor: i64,
    /// What tells it from all others, where the bank says so.
    pub(crate) id: Option<String>,
}

/// Reads a statement; an error says what about it is not as the settings say.
pub(crate) fn read_statement(bank: &Bank, bytes: &[u8]) -> Result<Vec<Transaction>, String> {
    // Of the encodings that banks use it is the one, or the other.
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text).into(),
        Err(_) => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0,
    };
    let mut closest: Vec<String> = Vec::new();
    let known = |values: &[String]| bank.columns().filter(|column| values.contains(column)).count();
    for delimiter in DELIMITERS {
        let rows = rows(&text, delimiter)?;
        let is_head = |row: &Row| bank.columns().all(|column| row.position(column).is_some());
        if let Some(head) = rows.iter().position(is_head) {
            let (head, rows) = (&rows[head], &rows[head + 1..]);
            let read = rows.iter().filter(|row| row.has(head, &bank.date)).map(|row| transaction(bank, head, row));
            return read.filter_map(Result::transpose).collect();
        }
        for row in rows {
            if (known(&row.values), row.values.len()) > (known(&closest), closest.len()) {
                closest = row.values;
            }
        }
    }
    let missing: Vec<_> = bank.columns().filter(|column| !closest.contains(column)).cloned().collect();
    let (missing, there) = (missing.join("`, `"), inert::one_line(&closest.join("`, `"), DESCRIPTION_BYTES_MAX));
    Err(format!("no line has all columns of `[[bank]] {}`: `{missing}` is missing in `{there}`", bank.name))
}

/// One line of the file.
struct Row {
    line: u64,
    values: Vec<String>,
}

impl Row {
    fn position(&self, heading: &str) -> Option<usize> {
        self.values.iter().position(|value| value == heading)
    }

    fn value<'a>(&'a self, head: &Self, heading: &str) -> &'a str {
        head.position(heading).and_then(|at| self.values.get(at)).map_or("", String::as_str)
    }

    /// Lines below the table, such as a sum, lack what each transaction has.
    fn has(&self, head: &Self, heading: &str) -> bool {
        !self.value(head, heading).is_empty()
    }
}

fn rows(text: &str, delimiter: u8) -> Result<Vec<Row>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| format!("it is no CSV: {error}"))?;
        let line = record.position().map_or(0, csv::Position::line);
        rows.push(Row { line, values: record.iter().map(str::to_owned).collect() });
    }
    Ok(rows)
}

fn transaction(bank: &Bank, head: &Row, row: &Row) -> Result<Option<Transaction>, String> {
    let at_line = |why: String| format!("line {}: {why}", row.line);
    let day = row.value(head, &bank.date);
    let day = NaiveDate::parse_from_str(day, &bank.date_format)
        .map_err(|_| at_line(format!("`{}` is no day as `{}`", inert::one_line(day, 40), bank.date_format)))?;
    let read = |column: &Option<String>| -> Result<i64, String> {
        let value = column.as_ref().map_or("", |column| row.value(head, column));
        if value.is_empty() { Ok(0) } else { amount(bank, value).map_err(at_line) }
    };
    let minor = match &bank.amount {
        Some(_) => read(&bank.amount)?,
        // What goes out stands there with or without a minus.
        None => read(&bank.credit)?.saturating_sub(read(&bank.debit)?.abs()),
    };
    if minor == 0 {
        return Ok(None);
    }
    let said = bank.description.iter().map(|column| row.value(head, column)).filter(|value| !value.is_empty());
    let description = inert::one_line(&said.collect::<Vec<_>>().join(", "), DESCRIPTION_BYTES_MAX);
    let id = bank.id.as_ref().map(|column| row.value(head, column).to_owned()).filter(|id| !id.is_empty());
    Ok(Some(Transaction { day, description, minor, id }))
}

/// An amount as banks write it: with a sign before or after it, marks between thousands, and the currency.
fn amount(bank: &Bank, text: &str) -> Result<i64, String> {
    let refuse = || {
        let example = if bank.decimal == ',' { "-1.234,56" } else { "-1,234.56" };
        format!("`{}` is no amount of {}, such as {example}", inert::one_line(text, 40), bank.currency)
    };
    let bare = text.replace(&bank.currency, "");
    let (mut is_negative, mut has_decimals, mut digits) = (false, false, String::new());
    let thousands = if bank.decimal == ',' { '.' } else { ',' };
    for c in bare.chars() {
        match c {
            '0'..='9' => digits.push(c),
            '-' | '\u{2212}' if !is_negative => is_negative = true,
            c if c == bank.decimal && !has_decimals => {
                has_decimals = true;
                digits.push('.');
            }
            c if c == thousands && !has_decimals => {}
            '+' | '\'' | '\u{2019}' | '$' | '€' | '£' | '¥' => {}
            c if c.is_whitespace() => {}
            _ => return Err(refuse()),
        }
    }
    // An amount with a single mark that is not the one before the decimals is as likely written the other way.
    if let Some((_, after)) = bare.rsplit_once(thousands)
        && after.chars().take_while(char::is_ascii_digit).count() != 3
    {
        return Err(refuse());
    }
    if digits.is_empty() {
        return Err(refuse());
    }
    if digits.chars().all(|c| c == '0' || c == '.') {
        return Ok(0);
    }
    let whole = digits.trim_start_matches('0');
    let plain = if whole.starts_with('.') { format!("0{whole}") } else { whole.to_owned() };
    let minor = action::parse_amount(&plain, &bank.currency).ok().and_then(|minor| i64::try_from(minor).ok());
    let minor = minor.ok_or_else(refuse)?;
    Ok(if is_negative { -minor } else { minor })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bank() -> Bank {
        Bank {
            name: "main".to_owned(),
            currency: "EUR".to_owned(),
            date: "Date".to_owned(),
            date_format: iso_date(),
            amount: Some("Amount".to_owned()),
            credit: None,
            debit: None,
            description: vec!["Payee".to_owned(), "Purpose".to_owned()],
            id: None,
            decimal: '.',
        }
    }

    fn german() -> Bank {
        Bank {
            date: "Buchungstag".to_owned(),
            date_format: "%d.%m.%Y".to_owned(),
            amount: Some("Betrag (€)".to_owned()),
            description: vec!["Empfänger".to_owned(), "Verwendungszweck".to_owned()],
            decimal: ',',
            ..bank()
        }
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }

    #[test]
    fn a_statement_is_read_as_its_owner_says_it_is_written() {
        let text = "Date,Payee,Purpose,Amount\n2026-01-05,Client A,\"Invoice 7, January\",\"1,500.00\"\n2026-01-06,Notion,,-15\n";
        let read = read_statement(&bank(), text.as_bytes()).expect("a statement");
        let expected = |day_of: &str, description: &str, minor| Transaction {
            day: day(day_of),
            description: description.to_owned(),
            minor,
            id: None,
        };
        assert_eq!(
            read,
            [expected("2026-01-05", "Client A, Invoice 7, January", 150_000), expected("2026-01-06", "Notion", -1_500),]
        );
        // Lines before and after the table, semicolons, a decimal comma, and the encoding of old.
        let text = "\"Konto:\";\"DE02\"\n\n\"Buchungstag\";\"Empfänger\";\"Verwendungszweck\";\"Betrag (€)\"\n\
                    \"05.01.2026\";\"Müller\";\"Miete\";\"-1.234,56 €\"\n\"\";\"Saldo\";\"\";\"9,00\"\n";
        let old = encoding_rs::WINDOWS_1252.encode(text).0;
        for bytes in [text.as_bytes(), &old] {
            let read = read_statement(&german(), bytes).expect("a statement");
            assert_eq!(read, [expected("2026-01-05", "Müller, Miete", -123_456)]);
        }
        // Two columns instead of a sign, and the bank's own ids.
        let two = Bank {
            amount: None,
            credit: Some("Paid in".to_owned()),
            debit: Some("Paid out".to_owned()),
            description: vec!["Details".to_owned()],
            id: Some("Ref".to_owned()),
            date_format: "%d %b %Y".to_owned(),
            ..bank()
        };
        let text = "\u{feff}Date\tDetails\tPaid in\tPaid out\tRef\n07 Jan 2026\tRent\t\t900.00\tx1\n08 Jan 2026\tA\t5.00\t\tx2\n";
        let read = read_statement(&two, text.as_bytes()).expect("a statement");
        let told: Vec<_> = read.iter().map(|one| (one.minor, one.id.as_deref())).collect();
        assert_eq!(told, [(-90_000, Some("x1")), (500, Some("x2"))]);
    }

    #[test]
    fn what_is_not_as_the_settings_say_is_told_with_its_line() {
        let refused = |bank: &Bank, text: &str| read_statement(bank, text.as_bytes()).expect_err("refused");
        let why = refused(&bank(), "Date;Payee;Betrag\n2026-01-05;A;5\n");
        assert!(why.contains("`Amount`, `Purpose` is missing in `Date`, `Payee`, `Betrag`"), "{why}");
        let line = |row: &str| format!("Date,Payee,Purpose,Amount\n2026-01-05,A,,5\n{row}\n");
        assert!(refused(&bank(), &line("05.01.2026,A,,5")).starts_with("line 3: `05.01.2026` is no day"));
        for odd in ["\"5,50\"", "5.5.0", "x", "1e3", "5.123", "\"1,23.4\"", "99999999999999999999"] {
            let why = refused(&bank(), &line(&format!("2026-01-05,A,,{odd}")));
            assert!(why.starts_with("line 3: ") && why.contains("no amount of EUR"), "{odd}: {why}");
        }
        assert!(refused(&bank(), "").contains("no line has all columns"));
    }

    #[test]
    fn settings_that_cannot_be_are_named() {
        assert_eq!(bank().objection(), None);
        assert_eq!(german().objection(), None);
        for (odd, why) in [
            (Bank { name: "a/b".to_owned(), ..bank() }, "cannot name"),
            (Bank { currency: "EURO".to_owned(), ..bank() }, "no currency"),
            (Bank { amount: None, ..bank() }, "needs `amount`"),
            (Bank { credit: Some("In".to_owned()), ..bank() }, "needs `amount`"),
            (Bank { decimal: ';', ..bank() }, "`decimal`"),
            (Bank { date_format: "%H:%M".to_owned(), ..bank() }, "names no day"),
            (Bank { date_format: "%Q".to_owned(), ..bank() }, "names no day"),
        ] {
            assert!(odd.objection().is_some_and(|objection| objection.contains(why)), "{why}");
        }
    }

    proptest! {
        #[test]
        fn no_file_breaks_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            read_statement(&bank(), &bytes).ok();
            let table = [b"Date,Payee,Purpose,Amount\n".as_slice(), &bytes].concat();
            read_statement(&bank(), &table).ok();
        }

        #[test]
        fn an_amount_is_read_as_it_was_written(minor in -10_000_000i64..10_000_000) {
            let (sign, whole, cents) = (if minor < 0 { "-" } else { "" }, minor.abs() / 100, minor.abs() % 100);
            let spelled = format!("{sign}{whole}.{cents:02}");
            prop_assert_eq!(amount(&bank(), &spelled), Ok(minor));
            let grouped = if whole >= 1000 { format!("{}.{:03}", whole / 1000, whole % 1000) } else { whole.to_string() };
            prop_assert_eq!(amount(&german(), &format!("{grouped},{cents:02}{sign}")), Ok(minor));
        }
    }
}
