//! Receipts, rejections and notes that a person moved: where everything ends up.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_crdt::{index::FileRecord, vault};
use aiemp_protocol::{
    approval::{Outcome, Receipt},
    ids::{Audience, ContentHash, FileId, WorkId},
    roster::Role,
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use super::{
    Core, mail,
    output::{Answer, Notice, Output},
    work::{Reading, beside, domain_of, in_domain, is_in},
};

/// How the names of drafts begin that are made of a task.
pub(super) const DRAFT_NAMES: [&str; 5] = ["REPLY_", "POST_", "PAYMENT_", "TOOL_", "CALL_"];

impl Core {
    pub(super) fn remember_receipt(&mut self, receipt: Receipt) {
        let newer = self
            .work
            .receipts
            .get(&receipt.action)
            .is_none_or(|held| (held.at, held.outcome) <= (receipt.at, receipt.outcome));
        self.work.filed.extend([receipt.file.moved_to(Zone::Owner), later_copy(&receipt)]);
        if newer {
            self.work.receipts.insert(receipt.action, receipt);
        }
    }

    pub(super) fn receipt_found(&mut self, now: Timestamp, receipt: Receipt) {
        let held = self.work.receipts.get(&receipt.action);
        if held.is_some_and(|held| (held.at, held.outcome) >= (receipt.at, receipt.outcome)) {
            return;
        }
        self.remember_receipt(receipt.clone());
        // Receipts are files, found in any order: the newest of a draft says where it stands.
        let newest = self.newest_receipt(receipt.file);
        if newest.is_none_or(|newest| (newest.at, newest.outcome) <= (receipt.at, receipt.outcome)) {
            self.file_receipt(now, &receipt);
        }
        self.work.dashboard_due = Some(now);
        if receipt.outcome == Outcome::Sent {
            self.log_sent(now, &receipt);
        }
        self.notice(Notice::Filed { receipt: Box::new(receipt) });
    }

    /// Filing is idempotent: after a crash the newest receipt of each draft is filed again, and what is in place stays.
    pub(super) fn file_receipts(&mut self, now: Timestamp) {
        let mut newest: BTreeMap<FileId, Receipt> = BTreeMap::new();
        for receipt in self.work.receipts.values() {
            let held = newest.get(&receipt.file);
            if held.is_none_or(|held| (held.at, held.outcome) < (receipt.at, receipt.outcome)) {
                newest.insert(receipt.file, receipt.clone());
            }
        }
        for receipt in newest.into_values() {
            let is_filed = receipt.outcome == Outcome::Failed && !self.is_live(self.copy_of(&receipt));
            if !is_filed {
                self.file_receipt(now, &receipt);
            }
        }
    }

    /// What is known last of a draft's actions.
    pub(super) fn newest_receipt(&self, draft: FileId) -> Option<&Receipt> {
        let of_draft = self.work.receipts.values().filter(|receipt| receipt.file == draft);
        of_draft.max_by_key(|receipt| (receipt.at, receipt.outcome))
    }

    fn file_receipt(&mut self, now: Timestamp, receipt: &Receipt) {
        let draft = receipt.file;
        let Some(draft_path) = self.path_of(draft) else { return };
        let copy = self.copy_of(receipt);
        match receipt.outcome {
            Outcome::Accepted | Outcome::Unknown => self.file_copy(now, receipt, &draft_path, "Approved"),
            Outcome::Sent => {
                self.file_copy(now, receipt, &draft_path, "Done");
                // The last of several takes them along.
                if !self.draft_waits(receipt.work, Some(draft)) {
                    self.file_siblings(now, receipt.work, &draft_path, "Done");
                }
            }
            Outcome::Failed => {
                self.vault_input(now, vault::Input::UnarchiveRequested(draft));
                let content = ContentHash::of(&receipt.note);
                self.vault_input(now, vault::Input::ArchiveAsRequested { file: copy, content });
            }
        }
    }

    /// The file that the draft became. Where it became another text, or a rejected note, that one stays as it is.
    pub(super) fn copy_of(&self, receipt: &Receipt) -> FileId {
        let moved = receipt.file.moved_to(Zone::Owner);
        let rejected = self.path_of(moved).is_some_and(|path| is_in(&path, "rejected"));
        let base = self.vault.index().get(moved).and_then(FileRecord::shown_base);
        let other_text = base.is_some_and(|base| base != ContentHash::of(&receipt.note));
        if rejected || other_text { later_copy(receipt) } else { moved }
    }

    /// The copy under `Approved/` and `Done/` is made from the bytes that were signed, not from the note as it is now.
    fn file_copy(&mut self, now: Timestamp, receipt: &Receipt, draft_path: &VaultPath, folder: &str) {
        let copy = self.copy_of(receipt);
        let Some(path) = beside(draft_path, folder) else { return };
        let at = self.path_of(copy);
        // A copy of a try that failed was put away. Once the draft is put away too, filing is complete, and what a
        // person does with the copy stands.
        if self.is_live(receipt.file) {
            self.vault_input(now, vault::Input::UnarchiveRequested(copy));
        }
        if at.is_none() {
            match self.guard.clear_file(&path, Audience::All, receipt.note.clone()) {
                Ok(content) => {
                    self.vault_input(now, vault::Input::CreateRequested { file: copy, path: path.clone(), content });
                }
                // The draft stays in sight, for nothing takes its place.
                Err(why) => return self.notice(Notice::Held { path, why }),
            }
        }
        if at.as_ref() != Some(&path) {
            // Also for a copy created a moment ago under `Approved/` and not applied yet: the path is set, in order.
            self.vault_input(now, vault::Input::MoveRequested { file: copy, to: path });
        }
        let content = ContentHash::of(&receipt.note);
        self.vault_input(now, vault::Input::ArchiveAsRequested { file: receipt.file, content });
    }

    fn is_live(&self, file: FileId) -> bool {
        self.vault.is_live(file)
    }

    /// Whether this node is the one that sends.
    pub(super) fn is_executor(&self) -> bool {
        self.work.role == Role::Local && self.replication.rosters().current().executor == self.work.me
    }

    /// Whether a draft of a piece of work waits, beside this one.
    fn draft_waits(&self, work: WorkId, beside: Option<FileId>) -> bool {
        let authors = self.vault.claims().of_work(work).map(|claim| claim.origin.author());
        let mut drafts = authors.flat_map(|author| self.drafts_by(work, author));
        drafts.any(|draft| Some(draft) != beside && self.vault.is_live(draft))
    }

    /// Takes the task note, its mail and its plan along: every live file that carries the work's id in its name, and the copy
    /// of whoever has it in hand.
    fn file_siblings(&mut self, now: Timestamp, work: WorkId, draft_path: &VaultPath, folder: &str) {
        let mark = format!("_{}", mail::note_id(&work));
        let domain = domain_of(draft_path);
        let in_hand = self.vault.holder(work).map(|claim| claim.to);
        let open =
            |path: &VaultPath| ["needs_action", "plans", "in_progress"].into_iter().any(|open| is_in(path, open));
        let siblings: Vec<_> = self
            .vault
            .index()
            .iter()
            .filter(|(file, _)| self.vault.is_in_sight(*file))
            .filter_map(|(file, record)| Some((file, record.path.shown()?.clone())))
            .filter(|(file, path)| (path.stem().contains(&mark) || Some(*file) == in_hand) && open(path))
            .collect();
        for (file, path) in siblings {
            if let Ok(to) = in_domain(folder, domain, path.name()) {
                self.vault_input(now, vault::Input::MoveRequested { file, to });
            }
        }
    }

    /// A note that came to lie under `Approved/` or `Rejected/` by hand.
    pub(super) fn owner_file_seen(&mut self, now: Timestamp, file: FileId, path: &VaultPath) {
        // Only the executor knows what its receipts account for; to another node every filed copy looks moved by hand.
        if !self.is_executor() || self.work.filed.contains(&file) {
            return;
        }
        if is_in(path, "approved") {
            if let Some(back) = beside(path, "Pending_Approval") {
                self.vault_input(now, vault::Input::MoveRequested { file, to: back.clone() });
                self.notice(Notice::SignatureAsked { path: back });
            }
        } else if is_in(path, "rejected")
            && DRAFT_NAMES.iter().any(|name| path.name().starts_with(name))
            && let Some(work) = self.work_named(path)
        {
            self.file_siblings(now, work, path, "Rejected");
        }
    }

    /// A member says of a task that it had in hand that nothing is to be sent: it is done, unless a draft waits after all.
    pub(super) fn update_seen(&mut self, now: Timestamp, file: FileId, path: &VaultPath) {
        if !self.is_executor() || self.work.is_stopped || !path.name().starts_with("FINISHED_") {
            return;
        }
        let Some(work) = self.work_named(path) else { return };
        // Whoever else claimed it, or ever had it in hand, has nothing to say about it.
        let Some(holder) = self.vault.holder(work).map(|claim| claim.origin.author()) else { return };
        if self.word_of(work, holder) != Some(file) || self.draft_waits(work, None) {
            return;
        }
        self.file_siblings(now, work, path, "Done");
        if let Some(to) = beside(path, "Done") {
            self.vault_input(now, vault::Input::MoveRequested { file, to });
        }
    }

    /// Drafts that came back from `Approved/`, where somebody had moved them.
    pub(super) fn signatures_asked(&self) -> BTreeSet<FileId> {
        let was_moved_there = |(file, record): &(FileId, &FileRecord)| {
            file.zone == Zone::Owner
                && record.is_archived()
                && record.path.shown().is_some_and(|path| is_in(path, "approved"))
                && !self.work.filed.contains(file)
        };
        let index = self.vault.index();
        // Where the id it would have was taken, it has one that follows.
        let came_back = |(file, _): (FileId, &FileRecord)| {
            let next = |at: &FileId| index.get(*at).map(|_| at.beside(at.zone));
            std::iter::successors(Some(file.moved_to(Zone::Drafts)), next)
        };
        index.iter().filter(was_moved_there).flat_map(came_back).collect()
    }

    /// The piece of work whose id a file's name carries.
    fn work_named(&self, path: &VaultPath) -> Option<WorkId> {
        self.vault.claims().iter().map(|(work, _)| work).find(|work| path.stem().contains(&mail::note_id(work)))
    }

    pub(super) fn reject(&mut self, now: Timestamp, request: u64, file: FileId, reason: String) {
        if self.vault.is_in_sight(file) && self.work.role == Role::Local {
            self.read(now, file, Reading::Rejected { request, file, reason });
        } else {
            self.outputs.push_back(Output::Answer { request, answer: Answer::NotFound });
        }
    }

    /// Moves the draft to `Rejected/` and says why in `Updates/`, where whoever drafted it looks.
    pub(super) fn rejected_read(&mut self, now: Timestamp, request: u64, file: FileId, reason: &str) {
        let Some(path) = self.path_of(file) else { return };
        if let Some(to) = beside(&path, "Rejected") {
            let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let note = format!("# Rejected: {}\n\n{reason}\n", to.name());
            let update = FileId::at_path(Zone::Drafts, &format!("rejected {file}"));
            let update = self.vault.own_standing_for(update);
            if let Ok(at) = VaultPath::join("Updates", &format!("REJECTED_{}", path.name())) {
                match self.guard.clear_file(&at, Audience::All, note.into_bytes()) {
                    Ok(content) => {
                        self.vault_input(now, vault::Input::CreateRequested { file: update, path: at, content });
                    }
                    // The person is there, and can say it in other words.
                    Err(why) => {
                        let answer = Answer::Withheld(why);
                        return self.outputs.push_back(Output::Answer { request, answer });
                    }
                }
            }
            self.vault_input(now, vault::Input::MoveRequested { file, to });
            if let Some(work) = self.work_named(&path) {
                self.file_siblings(now, work, &path, "Rejected");
            }
        }
        self.outputs.push_back(Output::Answer { request, answer: Answer::Done });
    }

    pub(super) fn path_of(&self, file: FileId) -> Option<VaultPath> {
        self.vault.index().get(file)?.path.shown().cloned()
    }
}

/// The copy of one approval alone.
pub(super) fn later_copy(receipt: &Receipt) -> FileId {
    FileId::for_work(Zone::Owner, receipt.work, &format!("approved {:02x?}", receipt.nonce))
}
