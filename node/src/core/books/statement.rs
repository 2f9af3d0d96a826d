//! A bank's statement: the CSV file that it lets people download, read as its owner says it is written.

use std::{collections::BTreeMap, fmt::Write as _, ops::RangeInclusive};

use aiemp_protocol::action;
use chrono::{Datelike as _, NaiveDate, NaiveDateTime};
use serde::{Deserialize, Serialize};

use crate::core::mail::inert;

/// Years of which there are statements.
const YEARS: RangeInclusive<i32> = 1970..=2200;
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
    /// How a day is written, as strftime has it; a time behind it is passed over.
    #[serde(default = "iso_date")]
    pub date_format: String,
    /// Heading of the column with the amount: what goes out has a minus.
    pub amount: Option<String>,
    /// Instead of that: heading of the column with what comes in.
    pub credit: Option<String>,
    /// And of the one with what goes out; alone, what comes back has a minus there.
    pub debit: Option<String>,
    /// With `amount`: heading of a column that says which way it went, and the word there for what goes out.
    pub direction: Option<Direction>,
    /// Headings of the columns that say whom it is with and what for.
    pub description: Vec<String>,
    /// Heading of a column that tells each transaction from all others.
    pub id: Option<String>,
    /// What stands before the decimals: `.` or `,`.
    #[serde(default = "point")]
    pub decimal: char,
}

/// Which way the money went, where the amount does not say it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Direction {
    /// Heading of the column.
    pub column: String,
    /// What stands there for what goes out.
    pub out: String,
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
        let has_columns = self.credit.is_some() || self.debit.is_some();
        if self.amount.is_some() == has_columns || (self.credit.is_some() && self.debit.is_none()) {
            return Some(format!("`[[bank]] {name}` needs `amount`, or `credit` and `debit`, or `debit` alone"));
        }
        if self.direction.is_some() && has_columns {
            return Some(format!("`[[bank]] {name}`: `direction` belongs to `amount`"));
        }
        if ![',', '.'].contains(&self.decimal) {
            return Some(format!("`[[bank]] {name}`: `decimal` is \".\" or \",\""));
        }
        let example = NaiveDate::from_ymd_opt(2026, 1, 17).and_then(|day| day.and_hms_opt(0, 0, 0)).filter(|example| {
            let mut text = String::new();
            write!(text, "{}", example.format(&self.date_format)).is_ok() && self.day(&text) == Ok(example.date())
        });
        example.is_none().then(|| {
            format!(
                "`[[bank]] {name}`: `date_format = \"{}\"` names no day; \"%d.%m.%Y\" is 17.01.2026",
                self.date_format
            )
        })
    }

    fn columns(&self) -> impl Iterator<Item = &String> {
        let direction = self.direction.as_ref().map(|direction| &direction.column);
        let amounts = [self.amount.as_ref(), self.credit.as_ref(), self.debit.as_ref(), direction];
        [Some(&self.date)].into_iter().chain(amounts).chain([self.id.as_ref()]).flatten().chain(&self.description)
    }

    /// The day that a value names.
    fn day(&self, text: &str) -> Result<NaiveDate, String> {
        let shown = || inert::one_line(text, 40);
        let day = match NaiveDate::parse_and_remainder(text, &self.date_format) {
            Ok((day, rest)) if rest.is_empty() || rest.starts_with([' ', 'T', ',']) => Some(day),
            Ok(_) => None,
            Err(_) => NaiveDateTime::parse_from_str(text, &self.date_format).ok().map(|time| time.date()),
        };
        let day = day.ok_or_else(|| format!("`{}` is no day as `{}`", shown(), self.date_format))?;
        if !YEARS.contains(&day.year()) {
            return Err(format!(
                "`{}` as `{}` is in the year {}; %y is a year of two digits",
                shown(),
                self.date_format,
                day.year()
            ));
        }
        Ok(day)
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
            return Table { bank, delimiter, head: &rows[head] }.read(&rows[head + 1..]);
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

    fn at_line(&self, why: impl std::fmt::Display) -> String {
        format!("line {}: {why}", self.line)
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

/// The lines below the headings.
struct Table<'a> {
    bank: &'a Bank,
    delimiter: u8,
    head: &'a Row,
}

impl Table<'_> {
    fn value<'r>(&self, row: &'r Row, heading: &str) -> &'r str {
        self.head.position(heading).and_then(|at| row.values.get(at)).map_or("", String::as_str)
    }

    fn read(&self, rows: &[Row]) -> Result<Vec<Transaction>, String> {
        let Bank { date, .. } = self.bank;
        for column in self.bank.columns() {
            if self.head.values.iter().filter(|value| *value == column).count() > 1 {
                return Err(self.head.at_line(format!("two columns are called `{column}`")));
            }
        }
        // What follows the last day is no transaction: a sum, words of the bank.
        let has_day = |row: &&Row| self.value(row, date).contains(|c: char| c.is_ascii_digit());
        let last = rows.iter().rposition(|row| has_day(&row));
        let rows = &rows[..last.map_or(0, |last| last + 1)];
        let is_one = |row: &&Row| row.values != self.head.values && (has_day(row) || self.moves_money(row));
        let rows: Vec<_> = rows.iter().filter(is_one).collect();
        let debits_have_a_minus = self.bank.credit.is_some() && self.each_debit_has_a_minus(&rows);
        let mut transactions = Vec::new();
        for row in rows {
            self.check(row)?;
            let day = self.bank.day(self.value(row, date)).map_err(|why| row.at_line(why))?;
            let minor = self.minor(row, debits_have_a_minus).map_err(|why| row.at_line(why))?;
            if minor != 0 {
                transactions.push(self.transaction(row, day, minor));
            }
        }
        self.check_ids(&transactions)?;
        Ok(transactions)
    }

    fn moves_money(&self, row: &Row) -> bool {
        let Bank { amount, credit, debit, .. } = self.bank;
        [amount, credit, debit].into_iter().flatten().any(|column| !self.value(row, column).is_empty())
    }

    /// A quotation mark without an end, or a delimiter within a value that has none, would make other lines of these.
    fn check(&self, row: &Row) -> Result<(), String> {
        let delimiter = char::from(self.delimiter);
        if row.values.iter().any(|value| value.contains('\n') && value.contains(delimiter)) {
            return Err(row.at_line("a quotation mark has no end, and takes in the lines that follow"));
        }
        let beyond = row.values.iter().skip(self.head.values.len());
        if beyond.into_iter().any(|value| !value.is_empty()) {
            return Err(
                row.at_line(format!("it has more values than there are columns; is there a `{delimiter}` in one?"))
            );
        }
        if !self.moves_money(row) {
            return Err(row.at_line("it has a day and no amount"));
        }
        Ok(())
    }

    fn read_amount(&self, row: &Row, column: Option<&String>) -> Result<i64, String> {
        let value = column.map_or("", |column| self.value(row, column));
        if value.is_empty() { Ok(0) } else { amount(self.bank, value) }
    }

    /// Some banks write what goes out with a minus also where it has a column of its own.
    fn each_debit_has_a_minus(&self, rows: &[&Row]) -> bool {
        let debits = rows.iter().filter_map(|row| self.read_amount(row, self.bank.debit.as_ref()).ok());
        debits.into_iter().all(|minor| minor <= 0)
    }

    fn minor(&self, row: &Row, debits_have_a_minus: bool) -> Result<i64, String> {
        let Bank { amount, credit, debit, direction, .. } = self.bank;
        if amount.is_none() {
            let debit = self.read_amount(row, debit.as_ref())?;
            let out = if debits_have_a_minus { debit } else { -debit };
            return Ok(self.read_amount(row, credit.as_ref())?.saturating_add(out));
        }
        let minor = self.read_amount(row, amount.as_ref())?;
        Ok(match direction {
            Some(Direction { column, out }) if self.value(row, column) == out => -minor.abs(),
            Some(_) | None => minor,
        })
    }

    fn transaction(&self, row: &Row, day: NaiveDate, minor: i64) -> Transaction {
        let said = self.bank.description.iter().map(|column| self.value(row, column)).filter(|value| !value.is_empty());
        let description = inert::one_line(&said.collect::<Vec<_>>().join(", "), DESCRIPTION_BYTES_MAX);
        let id = self.bank.id.as_ref().map(|column| self.value(row, column).to_owned()).filter(|id| !id.is_empty());
        Transaction { day, description, minor, id }
    }

    /// An id that stands at two transactions tells none from others.
    fn check_ids(&self, transactions: &[Transaction]) -> Result<(), String> {
        let mut seen: BTreeMap<&str, &Transaction> = BTreeMap::new();
        for transaction in transactions {
            let Some(id) = &transaction.id else { continue };
            if seen.insert(id, transaction).is_some_and(|other| other != transaction) {
                let id = inert::one_line(id, 40);
                return Err(format!(
                    "two transactions have the `id` `{id}`; leave `id` out of `[[bank]] {}`",
                    self.bank.name
                ));
            }
        }
        Ok(())
    }
}

/// An amount as banks write it: with a sign before or after it, marks between thousands, and the currency.
fn amount(bank: &Bank, text: &str) -> Result<i64, String> {
    let refuse = || {
        let example = if bank.decimal == ',' { "-1.234,56" } else { "-1,234.56" };
        format!("`{}` is no amount of {}, such as {example}", inert::one_line(text, 40), bank.currency)
    };
    let bare = text.replace(&bank.currency, "").replace("Rs.", "");
    let is_sign = |c: char| c.is_whitespace() || "$€£¥₹₩₺₪+".contains(c);
    let mut bare = bare.trim_matches(is_sign);
    let mut is_negative = false;
    let brackets = |text: &str| text.starts_with('(') && text.ends_with(')');
    if brackets(bare) {
        (is_negative, bare) = (true, bare[1..bare.len() - 1].trim_matches(is_sign));
    }
    for (word, is_out) in [("DR", true), ("CR", false)] {
        if let Some(rest) = bare.strip_suffix(word) {
            (is_negative, bare) = (is_out, rest.trim_matches(is_sign));
        }
    }
    for minus in ['-', '\u{2212}'] {
        if let Some(rest) = bare.strip_prefix(minus).or_else(|| bare.strip_suffix(minus)).filter(|_| !is_negative) {
            (is_negative, bare) = (true, rest.trim_matches(is_sign));
        }
    }
    let thousands = if bank.decimal == ',' { '.' } else { ',' };
    let (whole, decimals) = bare.split_once(bank.decimal).map_or((bare, ""), |(whole, decimals)| (whole, decimals));
    let mut groups = whole.split(|c: char| c == thousands || c == '\'' || c == '\u{2019}' || c.is_whitespace());
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A group of other than three digits at the end is one of decimals, written the other way.
    let last = whole.rsplit(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    let is_grouped = last.len() == whole.len() || last.len() == 3;
    if !groups.all(is_number) || !is_grouped || (!decimals.is_empty() && !is_number(decimals)) {
        return Err(refuse());
    }
    let digits: String = whole.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0');
    let plain = format!(
        "{}{}{decimals}",
        if digits.is_empty() { "0" } else { digits },
        if decimals.is_empty() { "" } else { "." }
    );
    if plain.chars().all(|c| c == '0' || c == '.') {
        return Ok(0);
    }
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
            direction: None,
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

    fn refused(bank: &Bank, text: &str) -> String {
        read_statement(bank, text.as_bytes()).expect_err(text)
    }

    fn minors(bank: &Bank, text: &str) -> Vec<i64> {
        read_statement(bank, text.as_bytes()).expect(text).iter().map(|one| one.minor).collect()
    }

    #[test]
    fn what_is_not_as_the_settings_say_is_told_with_its_line() {
        let why = refused(&bank(), "Date;Payee;Betrag\n2026-01-05;A;5\n");
        assert!(why.contains("`Amount`, `Purpose` is missing in `Date`, `Payee`, `Betrag`"), "{why}");
        let line = |row: &str| format!("Date,Payee,Purpose,Amount\n{row}\n2026-01-05,A,,5\n");
        for (row, why) in [
            ("05.01.2026,A,,5", "line 2: `05.01.2026` is no day"),
            ("26-01-05,A,,5", "line 2: `26-01-05` as `%Y-%m-%d` is in the year 26"),
            ("2026-01-05,Carl, 7,2026,1999.00", "line 2: it has more values than there are columns"),
            ("2026-01-05,A", "line 2: it has a day and no amount"),
            (",A,,5", "line 2: `` is no day"),
            ("2026-01-04,\"5 inch,,5\n2026-01-05,A\",,5", "line 2: a quotation mark has no end"),
        ] {
            let told = refused(&bank(), &line(row));
            assert!(told.starts_with(why), "{row}: {told}");
        }
        for odd in
            ["\"5,50\"", "5.5.0", "x", "1e3", "5.123", "\"1,23.4\"", "99999999999999999999", "5-5", "--5", "-", "1 23"]
        {
            let why = refused(&bank(), &line(&format!("2026-01-05,A,,{odd}")));
            assert!(why.starts_with("line 2: ") && why.contains("no amount of EUR"), "{odd}: {why}");
        }
        assert!(refused(&bank(), "").contains("no line has all columns"));
        assert!(refused(&bank(), "Date,Payee,Purpose,Amount,Amount\n").contains("two columns are called `Amount`"));
        // The other order of day and month begins to fail on the thirteenth, which is no line behind the table.
        let us = Bank { date_format: "%m/%d/%Y".to_owned(), ..bank() };
        assert!(refused(&us, "Date,Payee,Purpose,Amount\n12/01/2026,A,,5\n13/01/2026,A,,5\n").starts_with("line 3"));
        let with_id = Bank { id: Some("Ref".to_owned()), ..bank() };
        let same = "Date,Payee,Purpose,Amount,Ref\n2026-01-05,A,,5,NONE\n2026-01-06,B,,7,NONE\n";
        assert!(refused(&with_id, same).contains("two transactions have the `id` `NONE`"));
    }

    #[test]
    fn banks_write_times_sums_directions_and_amounts_in_many_ways() {
        let with_times = "Date,Payee,Purpose,Amount\n2026-01-05 14:33:10,A,,5\n2026-01-05T09:00:00Z,A,,6\n";
        assert_eq!(minors(&bank(), with_times), [500, 600]);
        let timed = Bank { date_format: "%d/%m/%Y %H:%M".to_owned(), ..bank() };
        assert_eq!(timed.objection(), None);
        assert_eq!(minors(&timed, "Date,Payee,Purpose,Amount\n05/01/2026 14:33,A,,5\n"), [500]);
        // The headings again, and words and a sum behind the table.
        let more = "Date,Payee,Purpose,Amount\n2026-01-05,A,,5\nDate,Payee,Purpose,Amount\n2026-01-06,A,,6\n\
                    Balance,,,11\n,,,11\nDisclaimer: none\n";
        assert_eq!(minors(&bank(), more), [500, 600]);
        let direction = Some(Direction { column: "S/H".to_owned(), out: "S".to_owned() });
        let by_word = Bank { direction, ..bank() };
        assert_eq!(
            minors(&by_word, "Date,Payee,Purpose,Amount,S/H\n2026-01-05,A,,5,S\n2026-01-05,A,,6,H\n"),
            [-500, 600]
        );
        // A card, where what was spent has no sign, and what came back a minus.
        let card = Bank { amount: None, debit: Some("Spent".to_owned()), ..bank() };
        assert_eq!(card.objection(), None);
        assert_eq!(minors(&card, "Date,Payee,Purpose,Spent\n2026-01-05,A,,5\n2026-01-05,A,,-2\n"), [-500, 200]);
        let two = Bank { credit: Some("In".to_owned()), ..card };
        let two_of = |rows: &str| {
            minors(
                &Bank { debit: Some("Out".to_owned()), ..two.clone() },
                &format!("Date,Payee,Purpose,In,Out\n{rows}"),
            )
        };
        assert_eq!(two_of("2026-01-05,A,,,5\n2026-01-05,A,,,-2\n2026-01-05,A,,3,\n"), [-500, 200, 300]);
        assert_eq!(two_of("2026-01-05,A,,,-5\n2026-01-05,A,,3,\n"), [-500, 300], "all of them have a minus");
        for (spelled, minor) in [
            ("(1,234.56)", -123_456),
            ("500.00 DR", -50_000),
            ("500.00CR", 50_000),
            ("$5", 500),
            ("-$5.5", -550),
            ("5 EUR", 500),
            ("₹ 1,00,500", 10_050_000),
            ("1\u{a0}234.50-", -123_450),
            ("1'234'567.00", 123_456_700),
            ("\u{2212}3", -300),
            ("+0.07", 7),
            ("0", 0),
        ] {
            assert_eq!(amount(&bank(), spelled), Ok(minor), "{spelled}");
        }
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
            (Bank { amount: None, credit: Some("In".to_owned()), ..bank() }, "needs `amount`"),
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
