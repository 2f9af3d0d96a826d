//! The books: what the bank's statements say, month by month, in `Accounting/`. A statement is a CSV file in the vault, and all
//! else follows from those: there is nothing that could be counted twice, or lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aiemp_crdt::vault;
use aiemp_protocol::{
    action,
    ids::{Audience, ContentHash, FileId},
    limits::NOTE_BYTES_MAX,
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};
use chrono::NaiveDate;

use self::{
    ledger::{Entry, Month, united},
    statement::{Transaction, read_statement},
};
use super::{
    Core,
    agent::{Step, Told},
    dashboard::{BEGIN, END, replace_section},
    mail::inert,
    output::Notice,
    work::Reading,
};

pub use statement::Bank;

pub(super) mod ledger;
mod statement;

/// The folder of the statements, one below it for each account.
const STATEMENTS: &str = "Accounting/Statements";
const CURRENT: &str = "Accounting/Current_Month.md";
/// The notes are rewritten at most once in this time.
const CALM: Duration = Duration::from_millis(500);
/// Months that are kept in memory, and whose notes follow what statements say, beside the current one.
const MONTHS: u32 = 12;
/// Transactions listed in the note of a month; of more, the newest.
const LISTED_MAX: usize = 2_000;

/// What is known of the statements.
#[derive(Debug, Default)]
pub(super) struct Books {
    banks: Vec<Bank>,
    statements: BTreeMap<FileId, Statement>,
    /// Those that are being read.
    reading: BTreeSet<FileId>,
    pub(super) due: Option<Timestamp>,
    /// What the notes of months say, as far as they were looked at, and whether the month was the current one.
    shown: BTreeMap<(Month, bool), String>,
}

#[derive(Debug)]
struct Statement {
    path: VaultPath,
    account: String,
    currency: String,
    read: Result<Vec<Transaction>, String>,
}

impl Books {
    pub(super) fn of(banks: Vec<Bank>) -> Self {
        Self { banks, ..Self::default() }
    }

    fn bank(&self, name: &str) -> Result<&Bank, String> {
        let none = || format!("config.toml of the node has no `[[bank]]` named `{name}`");
        self.banks.iter().find(|bank| bank.name.eq_ignore_ascii_case(name)).ok_or_else(none)
    }

    /// Whether any statement could be read.
    pub(super) fn have_statements(&self) -> bool {
        self.statements.values().any(|statement| statement.read.is_ok())
    }

    /// The currency of all accounts, if that is one.
    pub(super) fn currency(&self) -> Option<&str> {
        let first = self.banks.first()?.currency.as_str();
        self.banks.iter().all(|bank| bank.currency == first).then_some(first)
    }

    /// Everything that moved, by its day.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut accounts: BTreeMap<(&str, &str), Vec<&[Transaction]>> = BTreeMap::new();
        for statement in self.statements.values() {
            if let Ok(transactions) = &statement.read {
                accounts.entry((&statement.account, &statement.currency)).or_default().push(transactions);
            }
        }
        let mut entries = Vec::new();
        for ((account, currency), statements) in accounts {
            let entry = |transaction| Entry { transaction, account: account.to_owned(), currency: currency.to_owned() };
            entries.extend(united(statements).into_iter().map(entry));
        }
        entries.sort();
        entries
    }
}

impl Core {
    /// Takes a bank's statement into the vault: it is told as done once that is durable, also where it came before.
    pub(super) fn take_statement(&mut self, now: Timestamp, request: u64, bank: &str, file: (&str, Vec<u8>)) -> Step {
        let (name, bytes) = file;
        let bank = self.work.books.bank(bank)?;
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(format!("it is larger than {} MiB: download fewer days at once", NOTE_BYTES_MAX >> 20));
        }
        read_statement(bank, &bytes)?;
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let id = ContentHash::of(&bytes).to_string();
        let name = format!("{}_{}.csv", inert::one_line(stem, 80), &id[..8]);
        let path = VaultPath::join(&format!("{STATEMENTS}/{}", bank.name), &name).map_err(|error| error.to_string())?;
        let zone = self.replication.rosters().current().zone_of(&path).map_err(|why| format!("`{path}`: {why}"))?;
        if zone != Zone::Private || !self.vault.may_write(zone) {
            return Err(format!("`{path}` is not for Local nodes alone: take it out of `zones share`"));
        }
        let file = self.vault.own_standing_for(FileId::at_path(zone, &path.key()));
        let told = Told::Done { work: None, path: path.clone() };
        if self.vault.index().get(file).is_some() {
            return Ok(Some(told));
        }
        let content = self.guard.clear_file(&path, Audience::Local, bytes);
        let content = content.map_err(|why| format!("the guard holds it: {why}"))?;
        self.await_file(now, file, request, told);
        self.vault_input(now, vault::Input::CreateRequested { file, path, content });
        Ok(None)
    }

    /// A statement is there, or changed, or is gone.
    pub(super) fn statement_seen(&mut self, now: Timestamp, file: FileId) {
        if file.zone != Zone::Private || self.work.books.banks.is_empty() {
            return;
        }
        let shown = self.path_of(file).filter(|_| self.vault.is_in_sight(file) && self.is_executor());
        let Some((path, bank)) = shown.and_then(|path| bank_of(&path).map(|bank| (path, bank))) else {
            if self.work.books.statements.remove(&file).is_some() {
                self.work.books.due = Some(now + CALM);
            }
            return;
        };
        let (currency, refused) = match self.work.books.bank(&bank) {
            Ok(bank) => (bank.currency.clone(), "it is being read".to_owned()),
            Err(why) => (String::new(), why),
        };
        let is_known = !currency.is_empty();
        let statement = Statement { path, account: bank, currency, read: Err(refused) };
        self.work.books.statements.insert(file, statement);
        if is_known {
            self.work.books.reading.insert(file);
            self.read(now, file, Reading::Statement(file));
        }
    }

    pub(super) fn statement_read(&mut self, now: Timestamp, file: FileId, bytes: Option<Vec<u8>>) {
        let books = &mut self.work.books;
        books.reading.remove(&file);
        books.due = Some(now + CALM);
        let Some(statement) = books.statements.get_mut(&file) else { return };
        let bank = books.banks.iter().find(|bank| bank.name.eq_ignore_ascii_case(&statement.account));
        let oldest = current_month(now).before(MONTHS).first_day();
        statement.read = match (bytes, bank) {
            (Some(bytes), Some(bank)) => read_statement(bank, &bytes).map(|mut transactions| {
                transactions.retain(|transaction| transaction.day >= oldest);
                transactions
            }),
            (None, _) | (_, None) => Err("its content has not come yet".to_owned()),
        };
    }

    /// Writes what the notes of the months lack.
    pub(super) fn books_due(&mut self, now: Timestamp) {
        if self.work.books.due.is_none_or(|due| due > now) || !self.work.books.reading.is_empty() {
            return;
        }
        let current = current_month(now);
        let next = current.first_day() + chrono::Months::new(1);
        self.work.books.due = at_midnight(next).filter(|_| !self.work.books.statements.is_empty());
        let mut months: BTreeMap<Month, Vec<Entry>> =
            self.work.books.shown.keys().map(|(month, _)| (*month, Vec::new())).collect();
        if !self.work.books.statements.is_empty() {
            months.entry(current).or_default();
        }
        for entry in self.work.books.entries() {
            let month = Month::of(entry.transaction.day);
            // What is dated ahead stands in its month once that has come.
            if month >= current.before(MONTHS) && month <= current {
                months.entry(month).or_default().push(entry);
            }
        }
        for (month, entries) in months {
            let is_current = month == current;
            let section = self.section_of(month, &entries, is_current);
            if self.work.books.shown.get(&(month, is_current)) == Some(&section) {
                continue;
            }
            let name = if is_current { CURRENT.to_owned() } else { format!("Accounting/{month}.md") };
            let Ok(path) = VaultPath::parse(&name) else { continue };
            match self.vault.file_at(&path) {
                Some(file) => self.read(now, file, Reading::Month { file, of: (month, is_current), section }),
                None => {
                    let file = self.vault.own_standing_for(FileId::at_path(Zone::Private, &path.key()));
                    let title = if is_current { "Current month".to_owned() } else { month.title() };
                    self.write_month(now, (file, path), format!("# {title}\n\n{section}\n"), true);
                    self.work.books.shown.insert((month, is_current), section);
                }
            }
        }
    }

    pub(super) fn month_read(&mut self, now: Timestamp, file: FileId, of: (Month, bool), section: String, text: &str) {
        if self.vault.is_changing(file) {
            self.work.books.due = Some(now + CALM);
            return;
        }
        let new = replace_section(text, &section);
        if new != text
            && let Some(path) = self.path_of(file)
        {
            self.write_month(now, (file, path), new, false);
        }
        self.work.books.shown.insert(of, section);
    }

    fn write_month(&mut self, now: Timestamp, (file, path): (FileId, VaultPath), text: String, is_new: bool) {
        match self.guard.clear_file(&path, Audience::Local, text.into_bytes()) {
            Ok(content) if is_new => self.vault_input(now, vault::Input::CreateRequested { file, path, content }),
            Ok(content) => self.vault_input(now, vault::Input::RewriteRequested { file, content }),
            Err(why) => self.notice(Notice::Held { path, why }),
        }
    }

    fn section_of(&self, month: Month, entries: &[Entry], is_current: bool) -> String {
        let statements = &self.work.books.statements;
        let mut text = format!("{BEGIN}\n**{}**", month.title());
        text.push_str(&match entries.last() {
            Some(last) => format!(", as the bank tells until {}\n", last.transaction.day),
            None => ": nothing moved, as far as statements are here\n".to_owned(),
        });
        if is_current {
            for statement in statements.values() {
                if let Err(why) = &statement.read {
                    let why = inert::escape_line(&inert::one_line(why, 300));
                    text.push_str(&format!("\n**Not read:** [[{}]]: {why}\n", statement.path));
                }
            }
        }
        let mut currencies: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
        for entry in entries {
            currencies.entry(&entry.currency).or_default().push(entry);
        }
        for (currency, entries) in &currencies {
            let sum = |is_it: fn(i64) -> bool| -> i64 {
                entries.iter().map(|entry| entry.transaction.minor).filter(|minor| is_it(*minor)).sum()
            };
            text.push_str(&format!("\n| | {currency} |\n|---|---:|\n"));
            for (word, minor) in
                [("In", sum(|minor| minor > 0)), ("Out", sum(|minor| minor < 0)), ("Net", sum(|_| true))]
            {
                text.push_str(&format!("| {word} | {} |\n", amount(minor, currency)));
            }
        }
        if !entries.is_empty() {
            text.push_str(&listed(entries));
        }
        text.push_str(END);
        text
    }
}

/// The transactions, the newest first.
fn listed(entries: &[Entry]) -> String {
    let mut text = "\n| Date | With and for | Account | Amount |\n|---|---|---|---:|\n".to_owned();
    for Entry { transaction, account, currency } in entries.iter().rev().take(LISTED_MAX) {
        let description = inert::escape_line(&transaction.description);
        let amount = amount(transaction.minor, currency);
        text.push_str(&format!("| {} | {description} | {account} | {amount} |\n", transaction.day));
    }
    let more = entries.len().saturating_sub(LISTED_MAX);
    if more > 0 {
        text.push_str(&format!("\nand {more} more, in the statements\n"));
    }
    text
}

/// `-15.00 EUR`.
pub(super) fn amount(minor: i64, currency: &str) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{}", action::amount(minor.unsigned_abs(), currency))
}

/// The day of a time, by UTC.
pub(super) fn day_of(now: Timestamp) -> NaiveDate {
    now.utc().date_naive()
}

fn current_month(now: Timestamp) -> Month {
    Month::of(day_of(now))
}

fn at_midnight(day: NaiveDate) -> Option<Timestamp> {
    let time = day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis();
    u64::try_from(time).ok().map(Timestamp::from_millis)
}

/// The account whose statement lies at a path.
fn bank_of(path: &VaultPath) -> Option<String> {
    let folder = path.folder();
    let account = folder.get(..STATEMENTS.len()).filter(|start| start.eq_ignore_ascii_case(STATEMENTS));
    let account = account.and_then(|_| folder[STATEMENTS.len()..].strip_prefix('/'))?;
    (path.extension() == "csv" && !account.is_empty() && !account.contains('/')).then(|| account.to_owned())
}
