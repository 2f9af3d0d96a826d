//! What the node does by itself: its state, between mail in and note filed.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_crdt::{index::FileRecord, vault};
use aiemp_keys::NodeId;
use aiemp_protocol::{
    approval::{Receipt, Standing},
    ids::{ActionHash, ContentHash, FileId, MeshId, WorkId},
    roster::{Role, Roster},
    time::Timestamp,
    vault_path::{VaultPath, VaultPathError},
};
use chrono::NaiveDate;

use super::{
    Compaction, Core,
    agent::{Awaiting, NoteFor, Session},
    away::Presence,
    books::{Books, ledger::Month},
    budget::{Budget, Limits},
    input::BrainId,
    mail::{self, TaskNote},
    newsletters::Newsletters,
    output::{DraftSource, Notice},
    reports::{Gathering, Report},
    troubles::Troubles,
};

/// What drafts on this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brain {
    /// Nothing.
    None,
    /// The embedded acknowledgement.
    Template,
    /// A program that the shell runs: it prints the body of the draft.
    Command,
    /// A program that the shell runs: it drafts by the tools of `aiemp-node mcp`.
    Agent,
}

/// A run of the brain.
#[derive(Debug)]
pub(super) struct Run {
    /// The task in hand.
    pub(super) file: FileId,
    pub(super) task: TaskNote,
    pub(super) began: Timestamp,
}

/// Why a file's content is being read.
#[derive(Debug)]
pub(super) enum Reading {
    /// A task note that nobody claimed.
    Task(FileId),
    /// A task note in this node's claim folder, to be drafted.
    Claimed(FileId),
    /// A task note that another claimed, and nothing came of it.
    Overdue(FileId),
    /// A draft for a listing.
    Draft { request: u64, source: DraftSource },
    /// A draft that a standing approval may cover.
    Offer { file: FileId, next: Timestamp },
    /// A file for whoever asked.
    File { request: u64, file: FileId, path: VaultPath },
    /// The dashboard.
    Dashboard(FileId),
    /// A bank's statement.
    Statement(FileId),
    /// The note of a month, for what it is to say between its markers.
    Month { file: FileId, of: (Month, bool), section: String, has_nothing: bool },
    /// A note for a report; a task with when it was done.
    ForReport { number: u64, file: FileId, done: Option<Timestamp> },
    /// The note of a trouble that is over.
    TroubleOver(FileId),
    /// The day's log, to append a line.
    DayLog { file: FileId, part: usize, at: Timestamp, line: String },
    /// The note of a day's newsletters, to append lines.
    Newsletters { file: FileId, day: String, part: usize },
    /// What a file said at a time.
    Past { request: u64, number: usize, file: FileId, path: VaultPath },
    /// A note that an agent asked for, or asked to do something with.
    Agent { request: u64, session: Session, file: FileId, path: VaultPath, then: NoteFor },
    /// A draft that a person turned down.
    Rejected { request: u64, file: FileId, reason: String },
}

/// A listing that waits for the content of its drafts.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) waiting: usize,
    pub(super) drafts: Vec<DraftSource>,
}

/// Files of a time, until what they said is known; a file stands there once for each content that it had.
#[derive(Debug)]
pub(super) struct PastFiles {
    pub(super) waiting: usize,
    pub(super) restore: bool,
    pub(super) paths: Vec<VaultPath>,
    /// By the places of their paths.
    pub(super) contents: BTreeMap<usize, Option<Vec<u8>>>,
    pub(super) left: Vec<VaultPath>,
}

/// The state of the node's own work.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) me: NodeId,
    pub(super) mesh: MeshId,
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) members: Vec<(NodeId, String)>,
    pub(super) brain: Brain,
    /// What stands under each mail that is drafted here.
    pub(super) disclosure: Option<String>,
    /// Frozen: nothing is claimed or drafted.
    pub(super) is_stopped: bool,
    pub(super) readings: BTreeMap<u64, Reading>,
    pub(super) next_reading: u64,
    /// Unclaimed tasks with the time at which this node takes them.
    pub(super) to_claim: BTreeMap<FileId, (WorkId, Timestamp)>,
    pub(super) drafting: BTreeMap<BrainId, Run>,
    /// What the brain may use.
    pub(super) budget: Budget,
    /// Tasks that wait for a run: those to be claimed first with their work.
    pub(super) waiting: BTreeMap<FileId, Option<WorkId>>,
    /// When they are looked at next.
    pub(super) waiting_at: Option<Timestamp>,
    /// Work that was claimed for runs that have not begun.
    pub(super) claiming: BTreeMap<WorkId, Timestamp>,
    /// When the claims of tasks that a program works on are renewed.
    pub(super) renewals: BTreeMap<FileId, Timestamp>,
    /// Tasks that others claimed, with when to look what came of it.
    pub(super) overdue: BTreeMap<FileId, Timestamp>,
    /// Claimed tasks, with when to begin with them.
    pub(super) to_begin: BTreeMap<FileId, Timestamp>,
    /// Tasks that an agent has in hand, with until when this node's own brain leaves them alone.
    pub(super) with_agent: BTreeMap<WorkId, Timestamp>,
    /// Agents that are told once what they asked for is durable.
    pub(super) agent_waits: Vec<Awaiting>,
    /// Claimed tasks that are being drafted.
    pub(super) in_hand: BTreeSet<FileId>,
    /// The drafts of claimed tasks.
    pub(super) drafts: BTreeMap<FileId, WorkId>,
    /// Brains that failed, with when to try again and how often it was tried.
    pub(super) retries: BTreeMap<FileId, (Timestamp, u32)>,
    pub(super) next_brain: u64,
    pub(super) listings: BTreeMap<u64, Listing>,
    pub(super) past_files: BTreeMap<u64, PastFiles>,
    pub(super) receipts: BTreeMap<ActionHash, Receipt>,
    /// Copies under `Approved/` that receipts account for.
    pub(super) filed: BTreeSet<FileId>,
    /// Dropped mails that are taken away once their files, mail and task note, are in the log.
    pub(super) drops: Vec<([FileId; 2], VaultPath, ContentHash)>,
    pub(super) dashboard_due: Option<Timestamp>,
    pub(super) dashboard_shown: Option<String>,
    /// When it is looked next what nobody needs any more.
    pub(super) forget_at: Option<Timestamp>,
    /// Whether a member was connected since the start.
    pub(super) has_met: bool,
    /// The last note that was asked to start anew, where others are to follow.
    pub(super) compacted: Option<FileId>,
    /// Which notes start anew, and when they are looked for next.
    pub(super) compaction: Compaction,
    pub(super) compact_at: Option<Timestamp>,
    /// Standing approvals of the home.
    pub(super) standing: Vec<Standing>,
    /// Drafts that one may cover, with when to look at them next.
    pub(super) offers: BTreeMap<FileId, Timestamp>,
    /// Places whose last save was held back: what the logs have there is not what the person wants.
    pub(super) held: BTreeSet<VaultPath>,
    /// What is not as it should be.
    pub(super) troubles: Troubles,
    /// When this node was there.
    pub(super) presence: Presence,
    /// Reports whose notes are being read.
    pub(super) gatherings: BTreeMap<u64, Gathering>,
    /// Reports that wait until the statements were read.
    pub(super) late_reports: Vec<(Report, NaiveDate)>,
    /// What the bank says.
    pub(super) books: Books,
    /// Newsletters on their way into the note of their day.
    pub(super) newsletters: Newsletters,
    /// Lines for the day logs, one file at a time.
    pub(super) log_lines: Vec<(Timestamp, String)>,
    pub(super) logging: bool,
    /// The day of the last line, and the how many-eth log of that day it went into.
    pub(super) log_part: Option<(String, usize)>,
}

impl Work {
    pub(super) fn new(
        roster: &Roster,
        me: NodeId,
        brain: (Brain, Limits, Option<String>),
        compaction: Compaction,
    ) -> Self {
        let (brain, limits, disclosure) = brain;
        let mut work = Self {
            me,
            mesh: roster.mesh,
            name: String::new(),
            role: Role::Cloud,
            members: Vec::new(),
            brain,
            disclosure,
            is_stopped: false,
            readings: BTreeMap::new(),
            next_reading: 0,
            to_claim: BTreeMap::new(),
            drafting: BTreeMap::new(),
            budget: Budget::new(limits),
            waiting: BTreeMap::new(),
            waiting_at: None,
            claiming: BTreeMap::new(),
            renewals: BTreeMap::new(),
            overdue: BTreeMap::new(),
            to_begin: BTreeMap::new(),
            with_agent: BTreeMap::new(),
            agent_waits: Vec::new(),
            in_hand: BTreeSet::new(),
            drafts: BTreeMap::new(),
            retries: BTreeMap::new(),
            next_brain: 0,
            listings: BTreeMap::new(),
            past_files: BTreeMap::new(),
            receipts: BTreeMap::new(),
            filed: BTreeSet::new(),
            drops: Vec::new(),
            dashboard_due: None,
            dashboard_shown: None,
            forget_at: None,
            has_met: false,
            compacted: None,
            compaction,
            compact_at: None,
            standing: Vec::new(),
            offers: BTreeMap::new(),
            held: BTreeSet::new(),
            troubles: Troubles::default(),
            presence: Presence::default(),
            gatherings: BTreeMap::new(),
            late_reports: Vec::new(),
            books: Books::default(),
            newsletters: Newsletters::default(),
            log_lines: Vec::new(),
            logging: false,
            log_part: None,
        };
        work.roster_changed(roster);
        work
    }

    pub(super) fn roster_changed(&mut self, roster: &Roster) {
        self.members = roster.members.iter().map(|member| (member.node, member.name.clone())).collect();
        if let Some(member) = roster.member(self.me) {
            self.name = member.name.clone();
            self.role = member.role;
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let claims = self.to_claim.values().map(|(_, at)| *at).chain(self.to_begin.values().copied());
        let retries = self.retries.values().map(|(at, _)| *at);
        let offers = self.offers.values().copied();
        let leases = self.renewals.values().chain(self.overdue.values()).copied();
        let waiting = self.waiting_at.filter(|_| !self.waiting.is_empty());
        let own = claims.chain(retries).chain(waiting).chain(offers).chain(leases).filter(|_| !self.is_stopped);
        let agents = self.agent_waits.iter().map(|waiting| waiting.until);
        own.chain(agents)
            .chain(self.books.poll_timeout())
            .chain(self.dashboard_due)
            .chain(self.forget_at)
            .chain(self.compact_at)
            .min()
    }

    /// The text of a mail as it is drafted: with the line that says who drafted it, unless it stands there.
    pub(super) fn disclosed(&self, body: &str) -> String {
        match self.disclosure.as_deref().filter(|line| !body.contains(line)) {
            Some(line) => format!("{}\n\n{line}\n", body.trim_end()),
            None => body.to_owned(),
        }
    }

    pub(super) fn reading(&mut self, reading: Reading) -> u64 {
        self.next_reading += 1;
        self.readings.insert(self.next_reading, reading);
        self.next_reading
    }
}

/// Lines of a list that people read; the rest is a number.
pub(super) const LISTED_MAX: usize = 20;

/// When a file was made where it lies, by the clock of who made it.
pub(super) fn made(record: &FileRecord) -> Option<Timestamp> {
    record.base.all().map(|(origin, _)| origin.hlc).min()
}

/// `3 email`, `1 payment`.
pub(super) fn counted(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    counts.into_iter().map(|(word, count)| format!("{count} {word}")).collect()
}

/// A list of at most [`LISTED_MAX`] lines.
pub(super) fn listed(lines: impl Iterator<Item = String>) -> String {
    let lines: Vec<_> = lines.collect();
    let more = lines.len().saturating_sub(LISTED_MAX);
    let mut text: String = lines.into_iter().take(LISTED_MAX).map(|line| format!("- {line}\n")).collect();
    if more > 0 {
        text.push_str(&format!("- and {more} more\n"));
    }
    text
}

impl Core {
    /// Writes a note that is this node's own, past the guard; what that holds is told.
    pub(super) fn write_own(&mut self, now: Timestamp, (file, path): (FileId, VaultPath), text: String, is_new: bool) {
        match self.guard.clear_file(&path, file.zone.audience(), text.into_bytes()) {
            Ok(content) if is_new => self.vault_input(now, vault::Input::CreateRequested { file, path, content }),
            Ok(content) => self.vault_input(now, vault::Input::RewriteRequested { file, content }),
            Err(why) => self.notice(Notice::Held { path, why }),
        }
    }

    /// When this node wrote the last note whose path is such a one.
    pub(super) fn last_written(&self, is_one: impl Fn(&VaultPath) -> bool) -> Option<Timestamp> {
        let me = self.work.me;
        let notes = self.vault.index().iter().filter(|(_, record)| record.path.values().any(&is_one));
        let written = |(_, record): (FileId, &FileRecord)| {
            record.base.all().find(|(origin, _)| origin.author() == me).map(|(origin, _)| origin.hlc)
        };
        notes.filter_map(written).max()
    }
}

/// Whether a path lies in a top folder, whatever its spelling.
pub(super) fn is_in(path: &VaultPath, folder: &str) -> bool {
    path.key().split_once('/').is_some_and(|(first, _)| first == folder)
}

/// The folder below the top one: the domain, `email` and the like; empty when the file lies at its top.
pub(super) fn domain_of(path: &VaultPath) -> &str {
    path.folder().split_once('/').map_or("", |(_, domain)| domain)
}

/// A path in a top folder, in the same domain and with the same name.
pub(super) fn beside(path: &VaultPath, folder: &str) -> Option<VaultPath> {
    in_domain(folder, domain_of(path), path.name()).ok()
}

/// A path in a top folder and a domain, which may be none.
pub(super) fn in_domain(folder: &str, domain: &str, name: &str) -> Result<VaultPath, VaultPathError> {
    let folder = if domain.is_empty() { folder.to_owned() } else { format!("{folder}/{domain}") };
    VaultPath::join(&folder, name)
}

/// A path of the mail domain.
pub(super) fn mail_path(folder: &str, prefix: &str, work: &WorkId, extension: &str) -> VaultPath {
    let name = format!("{prefix}_{}.{extension}", mail::note_id(work));
    VaultPath::join(&format!("{folder}/email"), &name).expect("made of safe characters")
}
