//! From a task to a draft: claim, plan, reply. A brain can only produce drafts.

use std::time::Duration;

use aiemp_crdt::{claim, vault};
use aiemp_protocol::{
    action::{DraftFields, EmailProposal, Proposal, write_draft},
    ids::{Audience, FileId, WorkId},
    limits::CLAIM_RANK_DELAY,
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use super::{
    Core,
    agent::drafts_of,
    mail::{self, TaskNote},
    output::Notice,
    template::{self, BrainOutput},
    work::{Brain, Reading, is_in, mail_path},
};

impl Core {
    pub(super) fn file_updated(&mut self, now: Timestamp, file: FileId) {
        self.touch_dashboard(now, file);
        self.continue_day_log(now, file);
        self.clear_drops();
        self.tell_awaited(file);
        self.continue_newsletters(now, file);
        self.statement_seen(now, file);
        let Some(record) = self.vault.index().get(file) else { return };
        let Some(path) = record.path.shown().cloned() else { return };
        // Nor is anything done about what somebody deleted and an edit keeps in sight.
        if record.is_archived() {
            self.work.to_claim.remove(&file);
            self.work.waiting.remove(&file);
            return;
        }
        match file.zone {
            Zone::Intake if is_in(&path, "needs_action") && path.extension() == "md" => self.task_seen(now, file),
            Zone::Claim(node) if node == self.work.me => self.claimed_seen(now, file),
            Zone::Claim(_) => self.claim_of_another_seen(file),
            Zone::Owner => self.owner_file_seen(now, file, &path),
            Zone::Drafts if is_in(&path, "pending_approval") => {
                self.announce(file);
                self.draft_seen(now, file);
            }
            Zone::Drafts if is_in(&path, "updates") => self.update_seen(now, file, &path),
            Zone::Intake | Zone::Drafts | Zone::Private => {}
        }
    }

    /// What was under way when the node stopped is found in the index again.
    pub(super) fn resume_work(&mut self, now: Timestamp) {
        let claimed: Vec<_> = self.vault.claims().iter().map(|(work, _)| work).collect();
        let own = |work| drafts_of(work, self.work.me).map(move |file| (file, work));
        let standing = claimed.iter().map(|work| (self.draft_id(*work), *work));
        self.work.drafts = standing.chain(claimed.iter().copied().flat_map(own)).collect();
        let files: Vec<_> = self.vault.index().iter().map(|(file, _)| file).collect();
        for file in files {
            self.file_updated(now, file);
        }
        self.file_receipts(now);
        self.keep_books(now);
        self.work.dashboard_due = Some(now);
    }

    fn task_seen(&mut self, now: Timestamp, file: FileId) {
        if self.work.brain != Brain::None && !self.work.to_claim.contains_key(&file) {
            self.read(now, file, Reading::Task(file));
        }
    }

    fn claimed_seen(&mut self, now: Timestamp, file: FileId) {
        if self.work.brain == Brain::None || self.work.is_stopped || !self.work.in_hand.insert(file) {
            return;
        }
        let with_agent = self.vault.claims().work_of(file).and_then(|work| self.is_with_agent(now, work));
        if let Some(until) = with_agent {
            self.work.to_begin.insert(file, until);
            return;
        }
        // Another may have claimed it at the same time: who has it is known once each has heard of the other.
        if self.replication.connected().any(|(_, has_brain)| has_brain) {
            self.work.to_begin.insert(file, now + CLAIM_RANK_DELAY);
        } else {
            self.read(now, file, Reading::Claimed(file));
        }
    }

    fn begin_due(&mut self, now: Timestamp) {
        let due: Vec<_> = self.work.to_begin.extract_if(.., |_, at| *at <= now).map(|(file, _)| file).collect();
        for file in due {
            let work = self.vault.claims().work_of(file);
            match work.and_then(|work| self.is_with_agent(now, work)) {
                Some(until) => drop(self.work.to_begin.insert(file, until)),
                None => self.read(now, file, Reading::Claimed(file)),
            }
        }
    }

    pub(super) fn read(&mut self, now: Timestamp, file: FileId, reading: Reading) {
        let request = self.work.reading(reading);
        self.vault_input(now, vault::Input::ReadRequested { request, file });
    }

    /// Whether this node's brain can do something about a task: all but an agent answer mails alone.
    pub(super) fn is_for_brain(&self, task: &TaskNote) -> bool {
        !task.list_mail && (self.work.brain == Brain::Agent || !task.reply_to.is_empty())
    }

    /// A task that can be answered is claimed, by rank among the nodes that have a brain and seem live.
    pub(super) fn task_read(&mut self, now: Timestamp, file: FileId, text: &str) {
        let Some(task) = mail::parse_task_note(text).filter(|task| self.is_for_brain(task)) else { return };
        let candidates: Vec<_> =
            self.replication.connected().filter(|(_, has_brain)| *has_brain).map(|(node, _)| node).collect();
        let delay = claim::delay(task.work_id, self.work.me, candidates);
        self.work.to_claim.insert(file, (task.work_id, now + delay));
        self.claim_due(now);
    }

    pub(super) fn work_timeout(&mut self, now: Timestamp) {
        self.agents_due(now);
        if self.work.is_stopped {
            return;
        }
        self.waiting_due(now);
        self.claim_due(now);
        self.begin_due(now);
        self.renew_due(now);
        self.overdue_due(now);
        self.offers_due(now);
        let due: Vec<_> = self.work.retries.iter().filter(|(_, (at, _))| *at <= now).map(|(file, _)| *file).collect();
        for file in due {
            if let Some((at, _)) = self.work.retries.get_mut(&file) {
                // Far ahead: the answer of this try decides what comes next.
                *at = now + Duration::from_secs(86_400);
            }
            self.read(now, file, Reading::Claimed(file));
        }
    }

    fn claim_due(&mut self, now: Timestamp) {
        if self.work.is_stopped {
            return;
        }
        let due: Vec<_> = self
            .work
            .to_claim
            .iter()
            .filter(|(_, (_, at))| *at <= now)
            .map(|(file, (work, _))| (*file, *work))
            .collect();
        for (file, work) in due {
            self.work.to_claim.remove(&file);
            // A person has it in hand.
            if self.vault.holder(work).is_some_and(|claim| claim.by_hand) {
                continue;
            }
            let record = self.vault.index().get(file).filter(|record| !record.is_archived());
            let Some(name) = record.and_then(|record| record.path.shown()).map(|path| path.name().to_owned()) else {
                continue;
            };
            if !self.has_room_to_claim(now, work) {
                self.wait_for_run(now, file, Some(work));
                continue;
            }
            if let Ok(to) = VaultPath::join(&format!("In_Progress/{}", self.work.name), &name) {
                self.vault_input(now, vault::Input::ClaimRequested { work, file, to });
            }
        }
    }

    pub(super) fn claimed_read(&mut self, now: Timestamp, file: FileId, text: &str) {
        if self.work.is_stopped {
            self.work.in_hand.remove(&file);
            return;
        }
        let Some(task) = mail::parse_task_note(text).filter(|task| self.is_for_brain(task)) else { return };
        let work = task.work_id;
        self.work.claiming.remove(&work);
        let stands = self.vault.holder(work).is_some_and(|claim| claim.to == file);
        let drafted = self.came_of(work, self.work.me);
        if !stands {
            // It may come to this node later.
            self.work.in_hand.remove(&file);
        }
        if !stands || drafted {
            return self.run_is_over(file);
        }
        if self.work.drafting.values().any(|run| run.file == file) {
            return;
        }
        if let Some(until) = self.is_with_agent(now, work) {
            self.work.to_begin.insert(file, until);
            return;
        }
        match self.work.brain {
            Brain::None => {}
            Brain::Template => self.finish_draft(now, &task, template::draft_reply(&task, now)),
            Brain::Command | Brain::Agent => self.run_brain(now, file, task),
        }
    }

    pub(super) fn draft_id(&self, work: WorkId) -> FileId {
        let first = FileId::for_work(Zone::Drafts, work, &format!("draft:{}", self.work.me));
        self.vault.own_standing_for(first)
    }

    /// Files the plan and the draft. The draft is quoted and typed by this code; the brain gives its body alone.
    pub(super) fn finish_draft(&mut self, now: Timestamp, task: &TaskNote, output: BrainOutput) {
        let work = task.work_id;
        let plan_path = mail_path("Plans", "PLAN", &work, "md");
        let plan = FileId::for_work(Zone::Drafts, work, &format!("plan:{}", self.work.me));
        let plan = self.vault.own_standing_for(plan);
        let draft_path = mail_path("Pending_Approval", "REPLY", &work, "md");
        let mut references = task.references.clone();
        references.extend(task.message_id.clone());
        let email = EmailProposal {
            to: output.reply_to,
            subject: output.subject,
            in_reply_to: task.message_id.clone(),
            references,
            ..EmailProposal::default()
        };
        let note = write_draft(&DraftFields {
            proposal: Proposal::Email(email),
            work,
            created: now,
            expires: None,
            body: &self.work.disclosed(&output.body),
            extra: &[("plan", plan_path.as_str()), ("source", task.source.as_deref().unwrap_or_default())],
        });
        let cleared = self
            .guard
            .clear_file(&plan_path, Audience::All, output.plan.into_bytes())
            .and_then(|plan| Ok((plan, self.guard.clear_file(&draft_path, Audience::All, note.into_bytes())?)));
        match cleared {
            Ok((plan_text, note)) => {
                self.vault_input(
                    now,
                    vault::Input::CreateRequested { file: plan, path: plan_path, content: plan_text },
                );
                let file = self.draft_id(work);
                self.work.drafts.insert(file, work);
                let create = vault::Input::CreateRequested { file, path: draft_path.clone(), content: note };
                self.vault_input(now, create);
                self.notice(Notice::Drafted { work, path: draft_path });
            }
            Err(why) => self.notice(Notice::Held { path: draft_path, why }),
        }
    }
}
