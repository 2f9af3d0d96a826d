//! What can be asked of a node: drafts, files, conflicts, status.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_crdt::vault::{self, Choice};
use aiemp_protocol::{
    ids::{ConflictId, FileId, LogId},
    limits::HISTORY_LIFETIME,
    time::Timestamp,
    vault_path::VaultPath,
};

use super::{
    Core,
    input::Question,
    output::{Answer, DraftSource, LogStanding, Output, Status},
    work::{Listing, Reading},
};

impl Core {
    pub(super) fn asked(&mut self, now: Timestamp, request: u64, question: Question) {
        match question {
            Question::Drafts => self.list_drafts(now, request),
            Question::File(path) => self.read_path(now, request, &path),
            Question::Conflicts => {
                let (items, is_reading) = (self.vault.open_items(), self.vault.is_reading());
                self.answer(request, Answer::Conflicts { items, is_reading });
            }
            Question::Resolve { id, choice } => self.resolve(now, request, id, choice),
            Question::Reject { file, reason } => self.reject(now, request, file, reason),
            Question::Undo { author, since } => {
                // What was there before is not kept.
                let since = since.max(now.earlier_by(HISTORY_LIFETIME));
                let from = self.replication.taken_since(now, author, since);
                self.vault_input(now, vault::Input::UndoRequested { request, from });
            }
            Question::History(path) => self.tell_history(now, request, &path),
            Question::Past { path, at, restore } => self.ask_past(now, request, path.as_ref(), at, restore),
            Question::Logs => {
                let logs = self.logs(now);
                self.answer(request, Answer::Logs(logs));
            }
            Question::Claims => self.list_claims(request),
            Question::Agent { session, ask } => self.agent_asked(now, request, session, ask),
            Question::Arrived(arrival) => match self.take_arrival(now, request, *arrival) {
                Err(why) => self.answer(request, Answer::Refused(why)),
                step => self.tell_agent(request, step),
            },
            Question::Status => {
                let status = self.status(now);
                self.answer(request, Answer::Status(status));
            }
        }
    }

    pub(super) fn answer(&mut self, request: u64, answer: Answer) {
        self.outputs.push_back(Output::Answer { request, answer });
    }

    fn list_drafts(&mut self, now: Timestamp, request: u64) {
        let files: Vec<_> = self.waiting_drafts().collect();
        let (conflicts, asked) = (self.vault.conflicts(), self.signatures_asked());
        self.work.listings.insert(request, Listing { waiting: files.len(), drafts: Vec::new() });
        for (file, path) in files {
            let record = self.vault.index().get(file);
            let origin = record.and_then(|record| record.base.writes().next()).map(|(origin, _)| origin.clone());
            let blocked_by = conflicts
                .iter()
                .filter(|conflict| conflict.file == file && conflict.kind.blocks_approval())
                .map(|conflict| format!("conflict {}", conflict.id))
                .collect();
            let source = DraftSource {
                file,
                path,
                note: Vec::new(),
                written: Vec::new(),
                author: origin.as_ref().map(|origin| origin.author()),
                created: origin.map(|origin| origin.hlc).unwrap_or_default(),
                blocked_by,
                signature_asked: asked.contains(&file),
                standing: None,
            };
            self.read(now, file, Reading::Draft { request, source });
        }
        self.finish_listing(request);
    }

    fn finish_listing(&mut self, request: u64) {
        if self.work.listings.get(&request).is_some_and(|listing| listing.waiting == 0)
            && let Some(listing) = self.work.listings.remove(&request)
        {
            let mut drafts = listing.drafts;
            drafts.sort_by(|a, b| a.path.cmp(&b.path));
            let receipts = self.work.receipts.values().cloned().collect();
            self.answer(request, Answer::Drafts { drafts, receipts });
        }
    }

    fn draft_read(&mut self, now: Timestamp, request: u64, mut source: DraftSource, bytes: Option<Vec<u8>>) {
        source.written = self.vault.written(source.file);
        if source.blocked_by.is_empty()
            && let Some(note) = &bytes
        {
            source.standing = self.request_for(now, source.file, note).map(|request| request.standing);
        }
        if let Some(listing) = self.work.listings.get_mut(&request) {
            listing.waiting -= 1;
            match bytes {
                Some(note) => {
                    // It is decided on what the vault shows: what is held back was seen by nobody.
                    let held = self.vault.waits_for(source.file, &source.path, &note);
                    source.blocked_by.extend(held.first().map(|first| {
                        format!("active content in line {} ({}) that is not released", first.line, first.kind.as_str())
                    }));
                    source.note = note;
                }
                None => source.blocked_by.push("its content has not arrived yet".to_owned()),
            }
            listing.drafts.push(source);
        }
        self.finish_listing(request);
    }

    fn read_path(&mut self, now: Timestamp, request: u64, path: &VaultPath) {
        match self.vault.file_at(path) {
            Some(file) => self.read(now, file, Reading::File { request, file, path: path.clone() }),
            None => self.answer(request, Answer::NotFound),
        }
    }

    fn resolve(&mut self, now: Timestamp, request: u64, id: ConflictId, choice: Choice) {
        let open = self.vault.open_items().into_iter().find(|conflict| conflict.id == id);
        let Some(conflict) = open.filter(|conflict| self.vault.can_resolve(conflict, &choice)) else {
            return self.answer(request, Answer::NotFound);
        };
        if let Choice::With(bytes) = &choice
            && let Err(why) = self.guard.clear_file(&conflict.path, conflict.file.zone.audience(), bytes.clone())
        {
            return self.answer(request, Answer::Withheld(why));
        }
        self.vault_input(now, vault::Input::ResolveRequested { id, choice });
        self.answer(request, Answer::Done);
    }

    fn status(&self, now: Timestamp) -> Status {
        Status {
            absent: self.absent(now),
            connected: self.replication.connected().map(|(node, _)| (node, self.replication.lag_of(node))).collect(),
            approvals_waiting: self.waiting_drafts().count(),
            conflicts: self.vault.open_items().len(),
            files: self.vault.on_disk().len(),
            frozen: self.replication.frozen().iter().map(|(log, frozen)| (*log, frozen.reason)).collect(),
            waiting: self.replication.waiting().collect(),
            behind: {
                let waiting = self.replication.waiting().map(|(log, _)| log);
                waiting.chain(self.replication.lacking_past()).map(|log| log.author).collect()
            },
            lacking: self.vault.lacking().cloned().collect(),
            brain_waits: self.brain_waits(now),
            settled: self.vault.is_settled(),
        }
    }

    /// Every log that is held, or of which a reason is known why it is not.
    fn logs(&self, now: Timestamp) -> Vec<LogStanding> {
        let replication = &self.replication;
        let roster = replication.rosters().current();
        let waiting: BTreeMap<_, _> = replication.waiting().collect();
        let held: BTreeMap<_, _> = replication.frontier().map(|position| (position.log, position.seq)).collect();
        let logs = held.keys().chain(waiting.keys()).chain(replication.frozen().keys()).copied();
        let logs = logs.chain(replication.lacking_past());
        let standing = |log: LogId| LogStanding {
            log,
            entries: held.get(&log).copied().unwrap_or(0),
            known: replication.known_of(log),
            closed_at: roster.closed.iter().find(|closed| closed.log == log).map(|closed| closed.seq),
            frozen: replication.frozen().get(&log).map(|frozen| frozen.reason),
            waiting: waiting.get(&log).copied(),
            lacks_past: replication.lacks_past(log),
            is_suspect: replication.is_suspect(log),
            usage: replication.usage_of(log.author, now),
        };
        logs.collect::<BTreeSet<_>>().into_iter().map(standing).collect()
    }

    /// Content that was asked for is at hand.
    pub(super) fn content_read(&mut self, now: Timestamp, request: u64, bytes: Option<Vec<u8>>) {
        let Some(reading) = self.work.readings.remove(&request) else { return };
        let text = bytes.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
        match reading {
            Reading::Task(file) => self.task_read(now, file, text),
            Reading::Claimed(file) => self.claimed_read(now, file, text),
            Reading::Overdue(file) => self.overdue_read(now, file, text),
            Reading::Draft { request, source } => self.draft_read(now, request, source, bytes),
            Reading::Offer { file, next } => self.offer_read(now, file, next, bytes),
            Reading::File { request, file, path } => {
                let shown = bytes.filter(|bytes| self.vault.waits_for(file, &path, bytes).is_empty());
                self.answer(request, Answer::File(shown));
            }
            Reading::Agent { request, session, file, path, then } => {
                self.read_for_agent(now, (request, session), (file, path), then, bytes);
            }
            Reading::Past { request, number, file, path } => {
                self.past_read(now, (request, number), (file, path), bytes);
            }
            Reading::Dashboard(file) => self.dashboard_read(now, file, text),
            Reading::ForReport { number, file, done } => self.read_for_report(now, number, (file, done), text),
            Reading::TroubleOver(file) => self.trouble_over(now, file, bytes.as_deref()),
            Reading::Statement(file) => self.statement_read(now, file, bytes),
            Reading::Month { file, of, section, has_nothing } => {
                self.month_read(now, (file, of), (section, has_nothing), bytes);
            }
            Reading::DayLog { file, part, at, line } => self.day_log_read(now, (file, part), bytes, (at, line)),
            Reading::Newsletters { file, day, part } => self.newsletters_read(now, file, (&day, part), bytes),
            Reading::Rejected { request, file, reason } => self.rejected_read(now, request, file, &reason),
        }
    }

    /// The file shown at a path, for tests and tools.
    pub fn file_at(&self, path: &VaultPath) -> Option<FileId> {
        self.vault.file_at(path)
    }
}
