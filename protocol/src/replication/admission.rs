//! Admission: how much of a member's disk another member may fill.
//!
//! Admission only delays. An entry that exceeds an amount is not taken, its log is fetched no further and the operator
//! is told; the log goes on by itself once there is room again. What is valid stays valid: whether a log is frozen
//! never depends on one node's disk. What a node wrote itself is not counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aiemp_keys::NodeId;

use super::{Replication, output::Output};
use crate::{
    entry::{FieldWrite, Item, SignedEntry},
    ids::{FileId, LogId},
    limits::{BYTES_PER_MEMBER_MAX, DOCUMENTS_PER_MEMBER_MAX},
    roster::Quota,
    time::Timestamp,
};

const DAY: Duration = Duration::from_secs(86_400);

/// Why a log is not followed for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitReason {
    /// Its author wrote as many entries today as the roster allows.
    EntriesToday,
    /// Its author sent as many bytes today as the roster allows.
    BytesToday,
    /// Its author has filled what this node keeps for one member.
    BytesInAll,
    /// Its author has as many files as this node keeps for one member.
    Files,
    /// This node's disk is nearly full.
    Disk,
    /// It says something that only a newer version knows.
    NewerVersion,
}

impl WaitReason {
    /// The code in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EntriesToday => "entries_today",
            Self::BytesToday => "bytes_today",
            Self::BytesInAll => "bytes_in_all",
            Self::Files => "files",
            Self::Disk => "disk",
            Self::NewerVersion => "newer_version",
        }
    }
}

/// What this node keeps of any one member, beside the daily amounts of the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Files that are not archived.
    pub files: u64,
    /// Bytes of entries and payloads.
    pub bytes: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self { files: DOCUMENTS_PER_MEMBER_MAX, bytes: BYTES_PER_MEMBER_MAX }
    }
}

/// What one member has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Days since the Unix epoch: the day that the next two count.
    day: u64,
    /// Entries on that day.
    pub entries_today: u64,
    /// Bytes on that day.
    pub bytes_today: u64,
    /// Bytes in all.
    pub bytes: u64,
    /// Files that are not archived.
    pub files: u64,
}

impl Usage {
    fn on(self, day: u64) -> Self {
        if day == self.day { self } else { Self { day, entries_today: 0, bytes_today: 0, ..self } }
    }
}

/// The counts, and the logs that wait.
#[derive(Debug)]
pub(super) struct Admission {
    room: Room,
    disk_full: bool,
    usage: BTreeMap<NodeId, Usage>,
    /// Who created each file of a peer; archived ones are kept apart.
    live: BTreeMap<FileId, NodeId>,
    archived: BTreeMap<FileId, NodeId>,
    /// Who wrote to a file after it was archived: it may be in sight again, and is counted as theirs.
    kept: BTreeMap<FileId, NodeId>,
    /// With the time at which the amounts of the day are given anew, where it is these that are used up.
    waiting: BTreeMap<LogId, (WaitReason, Option<Timestamp>)>,
}

impl Admission {
    pub(super) const fn new(room: Room) -> Self {
        Self {
            room,
            disk_full: false,
            usage: BTreeMap::new(),
            live: BTreeMap::new(),
            archived: BTreeMap::new(),
            kept: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    pub(super) fn usage(&self, author: NodeId, now: Timestamp) -> Usage {
        self.usage.get(&author).copied().unwrap_or_default().on(day_of(now))
    }

    pub(super) fn is_waiting(&self, log: LogId) -> bool {
        self.waiting.contains_key(&log)
    }

    /// Whether the log waits for one of the amounts: until there is room, nothing of it is looked at.
    pub(super) fn is_out_of_room(&self, log: LogId) -> bool {
        self.waiting.get(&log).is_some_and(|(reason, _)| *reason != WaitReason::NewerVersion)
    }

    pub(super) fn next_day(&self) -> Option<Timestamp> {
        self.waiting.values().filter_map(|(_, until)| *until).min()
    }

    pub(super) fn forget(&mut self, log: LogId) {
        self.waiting.remove(&log);
    }

    /// Whether an entry may be taken now.
    fn admit(&self, now: Timestamp, quota: Quota, signed: &SignedEntry) -> Result<(), WaitReason> {
        let used = self.usage(signed.author(), now);
        let created = created_by(signed).filter(|file| !self.live.contains_key(file));
        let files: BTreeSet<_> = created.chain(self.kept_by(signed)).collect();
        let (bytes, files) = (bytes_of(signed), files.len() as u64);
        let exceeded = [
            (self.disk_full, WaitReason::Disk),
            (used.entries_today + 1 > quota.entries_per_day, WaitReason::EntriesToday),
            (used.bytes_today.saturating_add(bytes) > quota.bytes_per_day, WaitReason::BytesToday),
            (used.bytes.saturating_add(bytes) > self.room.bytes, WaitReason::BytesInAll),
            (files > 0 && used.files + files > self.room.files, WaitReason::Files),
        ];
        exceeded.into_iter().find(|(exceeded, _)| *exceeded).map_or(Ok(()), |(_, reason)| Err(reason))
    }

    /// Counts an entry that was taken; `received` is when it came here.
    pub(super) fn count(&mut self, me: NodeId, received: Timestamp, signed: &SignedEntry) {
        let author = signed.author();
        if author != me {
            let mut used = self.usage(author, received);
            used.entries_today += 1;
            used.bytes_today = used.bytes_today.saturating_add(bytes_of(signed));
            used.bytes = used.bytes.saturating_add(bytes_of(signed));
            self.usage.insert(author, used);
            for file in created_by(signed) {
                if !self.live.contains_key(&file) && !self.archived.contains_key(&file) {
                    self.live.insert(file, author);
                    self.files_of(author, |files| files + 1);
                }
            }
            for file in self.kept_by(signed).collect::<BTreeSet<_>>() {
                self.kept.insert(file, author);
                self.files_of(author, |files| files + 1);
            }
        }
        for item in &signed.entry.items {
            if let Item::Set { file, write: FieldWrite::Archived(archived) } = item {
                self.count_archived(*file, *archived);
            }
        }
    }

    /// Archived files that an entry writes to, and nobody before it.
    fn kept_by<'a>(&'a self, signed: &'a SignedEntry) -> impl Iterator<Item = FileId> + 'a {
        let written = signed.entry.items.iter().filter_map(|item| match item {
            Item::Change { file, .. } | Item::Set { file, write: FieldWrite::Base(_) } => Some(*file),
            Item::New { .. }
            | Item::Set { .. }
            | Item::Compacted { .. }
            | Item::Claim { .. }
            | Item::Resolve { .. } => None,
        });
        written.filter(|file| self.archived.contains_key(file) && !self.kept.contains_key(file))
    }

    fn count_archived(&mut self, file: FileId, archived: bool) {
        if let Some(author) = self.kept.remove(&file) {
            self.files_of(author, |files| files.saturating_sub(1));
        }
        let (from, to) =
            if archived { (&mut self.live, &mut self.archived) } else { (&mut self.archived, &mut self.live) };
        let Some(author) = from.remove(&file) else { return };
        to.insert(file, author);
        self.files_of(author, |files| if archived { files.saturating_sub(1) } else { files + 1 });
    }

    fn files_of(&mut self, author: NodeId, change: impl Fn(u64) -> u64) {
        let used = self.usage.entry(author).or_default();
        used.files = change(used.files);
    }

    /// Whether the reason that a log waits for is over.
    fn is_over(&self, now: Timestamp, author: NodeId, (reason, until): (WaitReason, Option<Timestamp>)) -> bool {
        match reason {
            WaitReason::EntriesToday | WaitReason::BytesToday => until.is_some_and(|until| until <= now),
            WaitReason::BytesInAll | WaitReason::NewerVersion => false,
            WaitReason::Files => self.usage(author, now).files < self.room.files,
            WaitReason::Disk => !self.disk_full,
        }
    }
}

impl Replication {
    /// What a member has used of this node, today and in all.
    pub fn usage_of(&self, author: NodeId, now: Timestamp) -> Usage {
        self.admission.usage(author, now)
    }

    /// Logs that are not followed for now.
    pub fn waiting(&self) -> impl Iterator<Item = (LogId, WaitReason)> + '_ {
        self.admission.waiting.iter().map(|(log, (reason, _))| (*log, *reason))
    }

    /// Whether there is room for an entry; where there is none, its log waits.
    pub(super) fn is_admitted(&mut self, now: Timestamp, signed: &SignedEntry) -> bool {
        if signed.author() == self.me {
            return true;
        }
        match self.admission.admit(now, self.quota_of(signed.author()), signed) {
            Ok(()) => true,
            Err(reason) => {
                self.let_wait(now, signed.log, reason);
                false
            }
        }
    }

    pub(super) fn let_wait(&mut self, now: Timestamp, log: LogId, reason: WaitReason) {
        self.fetching.remove(&log);
        self.waiting.remove(&log);
        let until = matches!(reason, WaitReason::EntriesToday | WaitReason::BytesToday).then(|| day_after(now));
        if self.admission.waiting.insert(log, (reason, until)).is_none() {
            self.outputs.push_back(Output::ReportWaiting { log, reason });
        }
    }

    /// The disk was looked at.
    pub(super) fn disk_checked(&mut self, now: Timestamp, full: bool) {
        self.admission.disk_full = full;
        self.admit_again(now);
    }

    /// Follows the logs again whose reason to wait is over.
    pub(super) fn admit_again(&mut self, now: Timestamp) {
        let is_over = |(log, wait): (&LogId, &(_, _))| self.admission.is_over(now, log.author, *wait).then_some(*log);
        let over: Vec<_> = self.admission.waiting.iter().filter_map(is_over).collect();
        for log in over {
            self.admission.forget(log);
            for peer in self.sessions.keys().copied().collect::<Vec<_>>() {
                self.fetch_if_behind(now, peer, log);
            }
        }
    }

    fn quota_of(&self, author: NodeId) -> Quota {
        self.rosters.current().member(author).map(|member| member.quota).unwrap_or_default()
    }
}

fn created_by(signed: &SignedEntry) -> impl Iterator<Item = FileId> + '_ {
    signed.entry.items.iter().filter_map(|item| if let Item::New { file, .. } = item { Some(*file) } else { None })
}

/// What an entry costs: itself and every payload it names, held or not.
fn bytes_of(signed: &SignedEntry) -> u64 {
    let payloads = signed.entry.items.iter().filter_map(Item::payload);
    payloads.fold(signed.cose.len() as u64, |sum, (_, length)| sum.saturating_add(length))
}

fn day_of(at: Timestamp) -> u64 {
    at.as_millis() / u64::try_from(DAY.as_millis()).expect("a day's milliseconds are few")
}

fn day_after(now: Timestamp) -> Timestamp {
    Timestamp::default() + DAY * u32::try_from(day_of(now) + 1).unwrap_or(u32::MAX)
}
