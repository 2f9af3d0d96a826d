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
/// What the transactions of a month take of its note.
const LISTED_BYTES_MAX: usize = NOTE_BYTES_MAX / 2;

/// What is known of the statements.
#[derive(Debug, Default)]
pub(super) struct Books {
    banks: Vec<Bank>,
    /// Whether this node keeps them.
    is_kept: bool,
    statements: BTreeMap<FileId, Statement>,
    /// Those that are being read.
    reading: BTreeSet<FileId>,
    due: Option<Timestamp>,
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

    /// Whether statements are being read.
    pub(super) fn are_being_read(&self) -> bool {
        !self.reading.is_empty()
    }

    /// When the notes are looked at next; what is being read comes first.
    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.due.filter(|_| self.reading.is_empty())
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
        let told = Told::Done { work: None, path: path.clone() };
        // Where it was put away it comes anew.
        let file = self.free_or_live(Zone::Private, &path);
        if self.vault.index().get(file).is_some() {
            return Ok(Some(told));
        }
        let content = self.guard.clear_file(&path, Audience::Local, bytes);
        let content = content.map_err(|why| format!("the guard holds it: {why}"))?;
        self.await_file(now, file, request, told);
        self.vault_input(now, vault::Input::CreateRequested { file, path, content });
        Ok(None)
    }

    /// The file that was made for a path and is in sight, wherever it lies now; else the first id that nothing has.
    pub(super) fn free_or_live(&self, zone: Zone, path: &VaultPath) -> FileId {
        let mut file = FileId::at_path(zone, &path.key());
        while self.vault.index().get(file).is_some() && !self.vault.is_live(file) {
            file = file.beside(file.zone);
        }
        file
    }

    /// The executor alone keeps the books: whoever becomes it reads the statements, and whoever was it forgets them.
    pub(super) fn keep_books(&mut self, now: Timestamp) {
        let is_kept = self.is_executor();
        if std::mem::replace(&mut self.work.books.is_kept, is_kept) == is_kept {
            return;
        }
        let banks = std::mem::take(&mut self.work.books.banks);
        self.work.books = Books { is_kept, ..Books::of(banks) };
        if is_kept {
            let files: Vec<_> = self.vault.index().iter().map(|(file, _)| file).collect();
            for file in files {
                self.statement_seen(now, file);
            }
            self.work.books.due = Some(now + CALM);
        }
    }

    /// A statement is there, or changed, or is gone.
    pub(super) fn statement_seen(&mut self, now: Timestamp, file: FileId) {
        if file.zone != Zone::Private || !self.work.books.is_kept {
            return;
        }
        let shown = self.path_of(file).filter(|_| self.vault.is_in_sight(file));
        let Some((path, account)) = shown.and_then(|path| bank_of(&path).map(|account| (path, account))) else {
            if self.work.books.statements.remove(&file).is_some() {
                self.work.books.due = Some(now + CALM);
            }
            return;
        };
        let statement = match self.work.books.bank(&account) {
            Ok(bank) => {
                let (account, currency) = (bank.name.clone(), bank.currency.clone());
                Statement { path, account, currency, read: Err("it is being read".to_owned()) }
            }
            Err(why) => Statement { path, account, currency: String::new(), read: Err(why) },
        };
        let is_known = !statement.currency.is_empty();
        self.work.books.statements.insert(file, statement);
        if is_known {
            // The answer may come at once.
            self.work.books.reading.insert(file);
            self.read(now, file, Reading::Statement(file));
        } else {
            self.work.books.due = Some(now + CALM);
        }
    }

    pub(super) fn statement_read(&mut self, now: Timestamp, file: FileId, bytes: Option<Vec<u8>>) {
        let books = &mut self.work.books;
        books.reading.remove(&file);
        books.due = Some(now + CALM);
        if let Some(statement) = books.statements.get_mut(&file)
            && let Some(bank) = books.banks.iter().find(|bank| bank.name == statement.account)
        {
            let oldest = current_month(now).before(MONTHS).first_day();
            statement.read = match bytes {
                Some(bytes) => read_statement(bank, &bytes).map(|mut transactions| {
                    transactions.retain(|transaction| transaction.day >= oldest);
                    transactions
                }),
                None => Err("its content has not come yet".to_owned()),
            };
        }
        self.reports_that_waited(now);
    }

    /// Writes what the notes of the months lack.
    pub(super) fn books_due(&mut self, now: Timestamp) {
        let books = &self.work.books;
        if !books.is_kept || books.due.is_none_or(|due| due > now) || !books.reading.is_empty() {
            return;
        }
        let current = current_month(now);
        let next = current.first_day() + chrono::Months::new(1);
        let mut months: BTreeMap<Month, Vec<Entry>> = BTreeMap::new();
        for entry in books.entries() {
            months.entry(Month::of(entry.transaction.day)).or_default().push(entry);
        }
        if !books.statements.is_empty() {
            months.entry(current).or_default();
        }
        // A month whose note is there may have nothing left to say; what is dated ahead stands in its month once that has come.
        let noted = (0..=MONTHS).map(|count| current.before(count)).filter(|month| {
            path_of_month(*month, *month == current).is_some_and(|path| self.vault.file_at(&path).is_some())
        });
        for month in noted.collect::<Vec<_>>() {
            months.entry(month).or_default();
        }
        months.retain(|month, _| (current.before(MONTHS)..=current).contains(month));
        self.work.books.due = at_midnight(next).filter(|_| !months.is_empty());
        for (month, entries) in months {
            let is_current = month == current;
            let section = self.section_of(month, &entries, is_current);
            let is_shown = self.work.books.shown.get(&(month, is_current)) == Some(&section);
            let Some(path) = path_of_month(month, is_current) else { continue };
            match self.vault.file_at(&path) {
                Some(_) if is_shown => {}
                Some(file) => {
                    let has_nothing = entries.is_empty();
                    self.read(now, file, Reading::Month { file, of: (month, is_current), section, has_nothing });
                }
                None => self.make_month(now, path, (month, is_current), section),
            }
        }
    }

    fn make_month(&mut self, now: Timestamp, path: VaultPath, of: (Month, bool), section: String) {
        let file = self.free_or_live(Zone::Private, &path);
        if self.vault.index().get(file).is_some() {
            // It is on its way to the disk, or the person gave it another name.
            let is_elsewhere = self.path_of(file).is_some_and(|at| at != path);
            if !is_elsewhere {
                self.work.books.due = Some(now + CALM);
            }
            return;
        }
        let title = if of.1 { "Current month".to_owned() } else { of.0.title() };
        self.write_own(now, (file, path), format!("# {title}\n\n{section}\n"), true);
        self.work.books.shown.insert(of, section);
    }

    pub(super) fn month_read(
        &mut self,
        now: Timestamp,
        (file, of): (FileId, (Month, bool)),
        (section, has_nothing): (String, bool),
        bytes: Option<Vec<u8>>,
    ) {
        if self.vault.is_changing(file) {
            self.work.books.due = Some(now + CALM);
            return;
        }
        // What is no text of ours to change stays as it is.
        let Some(text) = bytes.and_then(|bytes| String::from_utf8(bytes).ok()) else { return };
        let is_ours = text.contains(BEGIN) || text.contains(END);
        let new = if has_nothing && !is_ours { text.clone() } else { replace_section(&text, &section) };
        if new != text
            && let Some(path) = self.path_of(file)
        {
            self.write_own(now, (file, path), new, false);
        }
        self.work.books.shown.insert(of, section);
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
                    text.push_str(&format!("\n**Not read:** {}: {why}\n", inert::link(&statement.path)));
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

/// The transactions, the newest first, as many as a note has room for.
fn listed(entries: &[Entry]) -> String {
    let mut text = "\n| Date | With and for | Account | Amount |\n|---|---|---|---:|\n".to_owned();
    for (count, Entry { transaction, account, currency }) in entries.iter().rev().enumerate() {
        if text.len() > LISTED_BYTES_MAX {
            text.push_str(&format!("\nand {} more, in the statements\n", entries.len() - count));
            break;
        }
        let description = inert::escape_line(&transaction.description);
        let amount = amount(transaction.minor, currency);
        text.push_str(&format!("| {} | {description} | {account} | {amount} |\n", transaction.day));
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

/// Where a month's note lies.
fn path_of_month(month: Month, is_current: bool) -> Option<VaultPath> {
    let name = if is_current { CURRENT.to_owned() } else { format!("Accounting/{month}.md") };
    VaultPath::parse(&name).ok()
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
