//! What is written at its times, in `Briefings/` and for Local nodes alone: the Monday briefing and the weekly audit. Every figure
//! is counted from the vault, the receipts and the bank's statements; nothing is guessed.

use std::{collections::BTreeSet, time::Duration};

use aiemp_protocol::{
    approval::{Outcome, Receipt},
    ids::FileId,
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};
use chrono::{Datelike as _, Days, NaiveDate};

use super::{
    Core,
    books::{self, day_of},
    filing::DRAFT_NAMES,
    mail::{self, TaskNote, inert},
    work::{LISTED_MAX, Reading, counted, is_in, listed, made},
};

mod audit;
mod briefing;
mod goals;
mod recurring;

/// Tasks that are looked into, of those that were done and of those that are open.
const READ_MAX: usize = 100;
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// What is written at its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Report {
    /// What came, what was sent and what waits since the one before.
    Digest,
    /// How the week was, and what is ahead.
    Briefing,
    /// What was done in the person's name, and what should be looked at.
    Audit,
}

impl Report {
    /// All of them.
    pub const EACH: [Self; 3] = [Self::Digest, Self::Briefing, Self::Audit];
}

/// A report whose notes are being read.
#[derive(Debug)]
pub(super) struct Gathering {
    report: Report,
    /// The day it is of, where the person is.
    day: NaiveDate,
    monday: NaiveDate,
    /// When the one before was written; a week ago where there is none.
    since: Timestamp,
    waiting: usize,
    goals: String,
    tasks: Vec<Task>,
}

/// A task, as its note says.
#[derive(Debug)]
struct Task {
    path: VaultPath,
    subject: String,
    received: Timestamp,
    /// When it was done; none while it is open.
    done: Option<Timestamp>,
}

impl Task {
    /// How long it took, or waits by now.
    fn took(&self, now: Timestamp) -> Duration {
        self.done.unwrap_or(now).since(self.received)
    }

    fn link(&self) -> String {
        let subject = inert::escape_line(&inert::one_line(&self.subject, 100));
        let name = if subject.is_empty() { String::new() } else { format!("{subject} · ") };
        format!("{name}{}", inert::link(&self.path))
    }
}

impl Core {
    /// It is time for a report; the day is that where the person is. Asked again it is the same one. The executor alone
    /// writes it, for it knows what was sent.
    pub(super) fn report_due(&mut self, now: Timestamp, report: Report, day: NaiveDate) {
        if !self.is_executor() {
            return;
        }
        if report == Report::Digest {
            return self.digest_due(now, &day.to_string());
        }
        if self.work.books.are_being_read() {
            self.work.late_reports.push((report, day));
            return;
        }
        let to_monday = (7 - u64::from(day.weekday().num_days_from_monday())) % 7;
        let Some(monday) = day.checked_add_days(Days::new(to_monday)) else { return };
        let Some((file, _)) = self.place_of_report(report, monday) else { return };
        if self.vault.index().get(file).is_some() {
            return;
        }
        let ending = format!("{}.md", name_of_report(report));
        let is_one = |path: &VaultPath| is_in(path, "briefings") && path.name().ends_with(&ending);
        let since = self.last_written(is_one).unwrap_or_else(|| now.earlier_by(WEEK));
        let mut files = self.tasks_since(since);
        let goals = VaultPath::parse("Business_Goals.md").ok().and_then(|path| self.vault.file_at(&path));
        files.extend(goals.map(|file| (file, None)));
        let number = self.work.next_reading;
        let (waiting, goals) = (files.len(), String::new());
        let gathering = Gathering { report, day, monday, since, waiting, goals, tasks: Vec::new() };
        self.work.gatherings.insert(number, gathering);
        for (file, done) in files {
            self.read(now, file, Reading::ForReport { number, file, done });
        }
        self.finish_report(now, number);
    }

    /// Those that were due while the statements were being read.
    pub(super) fn reports_that_waited(&mut self, now: Timestamp) {
        if !self.work.books.are_being_read() {
            for (report, day) in std::mem::take(&mut self.work.late_reports) {
                self.report_due(now, report, day);
            }
        }
    }

    pub(super) fn read_for_report(
        &mut self,
        now: Timestamp,
        number: u64,
        (file, done): (FileId, Option<Timestamp>),
        text: &str,
    ) {
        let (path, began) = (self.path_of(file), self.made_at(file).unwrap_or(now));
        let Some(gathering) = self.work.gatherings.get_mut(&number) else { return };
        gathering.waiting -= 1;
        match path {
            Some(path) if path.folder().is_empty() => text.clone_into(&mut gathering.goals),
            Some(path) => {
                if let Some(TaskNote { subject, received, .. }) = mail::parse_task_note(text) {
                    let received = received.unwrap_or(began).min(began);
                    gathering.tasks.push(Task { path, subject, received, done });
                }
            }
            None => {}
        }
        self.finish_report(now, number);
    }

    fn finish_report(&mut self, now: Timestamp, number: u64) {
        if self.work.gatherings.get(&number).is_none_or(|gathering| gathering.waiting > 0) {
            return;
        }
        let Some(mut gathering) = self.work.gatherings.remove(&number) else { return };
        gathering.tasks.sort_by_key(|task| (task.received, task.path.clone()));
        let Some((file, path)) = self.place_of_report(gathering.report, gathering.monday) else { return };
        let text = match gathering.report {
            Report::Audit => self.audit_of(now, &gathering),
            Report::Briefing | Report::Digest => self.briefing_of(now, &gathering),
        };
        self.write_own(now, (file, path), text, true);
    }

    fn place_of_report(&self, report: Report, monday: NaiveDate) -> Option<(FileId, VaultPath)> {
        let path = VaultPath::parse(&format!("Briefings/{monday}{}.md", name_of_report(report))).ok()?;
        Some((self.vault.own_standing_for(FileId::at_path(Zone::Private, &path.key())), path))
    }

    /// The tasks that were done since then, with when, and the oldest of those that are open.
    fn tasks_since(&self, since: Timestamp) -> Vec<(FileId, Option<Timestamp>)> {
        let (mut done, mut open) = (Vec::new(), Vec::new());
        for (file, record) in self.vault.index().iter().filter(|(file, _)| self.vault.is_in_sight(*file)) {
            let (Some(path), Some(made)) = (record.path.shown(), made(record)) else { continue };
            if path.extension() != "md" {
                continue;
            }
            // A private task keeps its id when it is moved to where it is done.
            let came_here = record.path.writes().map(|(origin, _)| origin.hlc).max().unwrap_or(made);
            match top_folder(&path.key()) {
                "done" if came_here > since && !is_beside_a_task(path) => done.push((came_here, file)),
                "needs_action" | "in_progress" => open.push((made, file)),
                _ => {}
            }
        }
        done.sort();
        open.sort();
        let newest = done.iter().rev().take(READ_MAX).map(|(done, file)| (*file, Some(*done)));
        newest.chain(open.iter().take(READ_MAX).map(|(_, file)| (*file, None))).collect()
    }

    fn made_at(&self, file: FileId) -> Option<Timestamp> {
        made(self.vault.index().get(file)?)
    }

    /// How actions ended since then, the oldest first.
    fn receipts_since(&self, since: Timestamp) -> Vec<&Receipt> {
        let is_new = |receipt: &&Receipt| receipt.at > since && receipt.outcome != Outcome::Accepted;
        let mut receipts: Vec<_> = self.work.receipts.values().filter(is_new).collect();
        receipts.sort_by_key(|receipt| receipt.at);
        receipts
    }

    /// Drafts that wait, with since when, the oldest first.
    fn drafts_by_age(&self) -> Vec<(Timestamp, VaultPath)> {
        let dated = |(file, path)| Some((self.made_at(file)?, path));
        let mut drafts: Vec<_> = self.waiting_drafts().filter_map(dated).collect();
        drafts.sort();
        drafts
    }

    fn members_not_heard_of(&self, now: Timestamp) -> BTreeSet<String> {
        self.absent(now).into_iter().map(|(node, _)| self.name_of(node)).collect()
    }
}

const fn name_of_report(report: Report) -> &'static str {
    match report {
        Report::Audit => "_Weekly_Audit",
        Report::Briefing | Report::Digest => "_Monday_Briefing",
    }
}

/// What lies in the folder `Done` with a task, and is none.
fn is_beside_a_task(path: &VaultPath) -> bool {
    DRAFT_NAMES.iter().chain(&["PLAN_", "FINISHED_"]).any(|start| path.name().starts_with(start))
}

/// The top folder of a canonical key, of private work that below `Private/`.
fn top_folder(key: &str) -> &str {
    let key = key.strip_prefix("private/").unwrap_or(key);
    key.split_once('/').map_or("", |(first, _)| first)
}

/// `3 email, 1 payment`.
fn by_kind<'a>(kinds: impl Iterator<Item = &'a str>) -> String {
    let counts = counted(kinds.map(str::to_owned));
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}

/// `2 d 3 h`, as far as it matters.
fn spelled(duration: Duration) -> String {
    let hours = duration.as_secs() / 3_600;
    match (hours / 24, hours % 24) {
        (0, 0) => "under 1 h".to_owned(),
        (0, hours) => format!("{hours} h"),
        (days, 0) => format!("{days} d"),
        (days, hours) => format!("{days} d {hours} h"),
    }
}
