//! What an agent makes of a task in hand: a draft, or the word that nothing is to be sent.

use std::iter;

use aiemp_crdt::index::FileRecord;
use aiemp_keys::NodeId;
use aiemp_protocol::{
    action::{self, AttachmentInfo, DeriveContext, DraftFields, Proposal, Refusal, write_draft},
    ids::{Audience, FileId, WorkId},
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use super::{DraftAsked, NoteFor, Session, Step, path_in};
use crate::core::{
    Core,
    mail::{self, TaskNote},
    output::Notice,
    template,
    work::Reading,
};

/// Ids that follow each other and are looked at, where somebody had taken the first in advance.
const IDS_MAX: usize = 16;
/// The kinds of drafts; a piece of work has one of each at most.
const KINDS: [&str; 5] = ["", ":post", ":payment", ":tool", ":http"];

/// An agent's draft is told from one that a member itself made: on Local nobody may take its words for the person's.
fn agent_draft(work: WorkId, author: NodeId, kind: &str) -> FileId {
    FileId::for_work(Zone::Drafts, work, &format!("agent:{author}{kind}"))
}

/// Under which ids a member, or an agent at it, makes drafts of a piece of work.
pub(in crate::core) fn drafts_of(work: WorkId, author: NodeId) -> impl Iterator<Item = FileId> {
    let own = FileId::for_work(Zone::Drafts, work, &format!("draft:{author}"));
    [own].into_iter().chain(KINDS.iter().map(move |kind| agent_draft(work, author, kind)))
}

/// Whether an agent at any of these members made a file as a draft of this work.
pub(in crate::core) fn is_by_agent(file: FileId, work: WorkId, members: impl IntoIterator<Item = NodeId>) -> bool {
    let of = |author: NodeId| KINDS.iter().map(move |kind| agent_draft(work, author, kind));
    members.into_iter().flat_map(of).flat_map(ids_from).any(|id| id == file)
}

/// An id and those that follow it.
fn ids_from(first: FileId) -> impl Iterator<Item = FileId> {
    iter::successors(Some(first), |id| Some(id.beside(id.zone))).take(IDS_MAX)
}

/// The note by which a member says that a task needs nothing to be sent.
fn finished_id(work: WorkId, author: NodeId) -> FileId {
    FileId::for_work(Zone::Drafts, work, &format!("finished:{author}"))
}

impl Core {
    /// The draft of a piece of work that a member made and that waits.
    pub(in crate::core) fn draft_of(&self, work: WorkId, author: NodeId) -> Option<VaultPath> {
        self.drafts_by(work, author).filter(|file| self.vault.is_live(*file)).find_map(|file| self.path_of(file))
    }

    /// The drafts that a member made for a piece of work.
    pub(in crate::core) fn drafts_by(&self, work: WorkId, author: NodeId) -> impl Iterator<Item = FileId> {
        drafts_of(work, author).filter_map(move |first| self.made_by(author, first))
    }

    /// Whether something came of a piece of work that a member had in hand: a draft, or the word that nothing is to do.
    pub(in crate::core) fn came_of(&self, work: WorkId, author: NodeId) -> bool {
        self.drafts_by(work, author).next().is_some() || self.word_of(work, author).is_some()
    }

    /// A member's word that a task needs nothing to be sent.
    pub(in crate::core) fn word_of(&self, work: WorkId, author: NodeId) -> Option<FileId> {
        let index = self.vault.index();
        // One that was put away was for the task as it was then: it may have been brought back since.
        let is_theirs = |file: &FileId| {
            let is_author = |record: &FileRecord| record.base.has_any(|origin| origin.author() == author);
            index.get(*file).is_some_and(is_author) && self.vault.is_live(*file)
        };
        ids_from(finished_id(work, author)).find(is_theirs)
    }

    /// The file that a member made under an id, or under one that follows where somebody had taken it in advance.
    fn made_by(&self, author: NodeId, first: FileId) -> Option<FileId> {
        let is_theirs = |record: &FileRecord| record.base.has_any(|origin| origin.author() == author);
        let file = self.vault.standing_for(first, is_theirs);
        self.vault.index().get(file).map(|_| file)
    }

    pub(super) fn ask_draft(&mut self, now: Timestamp, request: u64, session: Session, draft: Box<DraftAsked>) -> Step {
        match draft.work {
            Some(work) => {
                let file = self.in_hand(now, session, work)?;
                let path = self.path_of(file).ok_or("the task has no path")?;
                self.read(now, file, Reading::Agent { request, session, file, path, then: NoteFor::Draft(draft) });
                Ok(None)
            }
            None if session.work.is_some() => Err("name the task that this session is for".to_owned()),
            None => {
                self.writes_shared(session)?;
                self.work.next_reading += 1;
                let key = [self.work.me.to_string(), now.to_string(), self.work.next_reading.to_string()];
                let work = WorkId::of_source(self.work.mesh, "agent", &key.each_ref().map(String::as_str));
                self.file_draft(now, request, work, (&draft, None))
            }
        }
    }

    pub(super) fn draft_for_agent(
        &mut self,
        now: Timestamp,
        (request, session): (u64, Session),
        draft: DraftAsked,
        bytes: &[u8],
    ) -> Step {
        let Some(work) = draft.work else { return Err("the draft names no task".to_owned()) };
        // It may have gone while the task was read.
        self.in_hand(now, session, work)?;
        let task = std::str::from_utf8(bytes).ok().and_then(mail::parse_task_note);
        self.file_draft(now, request, work, (&draft, task.as_ref()))
    }

    fn file_draft(
        &mut self,
        now: Timestamp,
        request: u64,
        work: WorkId,
        (draft, task): (&DraftAsked, Option<&TaskNote>),
    ) -> Step {
        let proposal = in_thread(draft.proposal.clone(), task);
        let (kind, domain, prefix) = place_of(&proposal, task.is_some());
        let file = self.vault.own_standing_for(agent_draft(work, self.work.me, kind));
        let path = path_in("Pending_Approval", domain, &format!("{prefix}_{}.md", mail::note_id(&work)))?;
        let source = task.and_then(|task| task.source.clone()).unwrap_or_default();
        let is_mail = matches!(proposal, Proposal::Email(_));
        let body = if is_mail { self.work.disclosed(&draft.body) } else { draft.body.clone() };
        let extra = [("source", source.as_str())];
        let note = write_draft(&DraftFields {
            proposal,
            work,
            created: now,
            expires: draft.expires,
            body: &body,
            extra: if source.is_empty() { &[] } else { &extra },
        });
        self.can_be_approved(file, work, &note)?;
        let brains = self.draft_id(work);
        if self.vault.is_live(file) || (kind.is_empty() && self.vault.is_live(brains)) {
            return Err(format!("`{path}` waits for a person already; they decide on it as it is"));
        }
        let step = self.create(now, request, (file, &path), &note, Some(work))?;
        self.work.drafts.insert(file, work);
        self.work.with_agent.remove(&work);
        self.notice(Notice::Drafted { work, path });
        Ok(step)
    }

    /// Whether a person could approve this; hands and senders are Local's to know.
    fn can_be_approved(&self, file: FileId, work: WorkId, note: &str) -> Result<(), String> {
        let attachment = |path: &str| {
            let file = self.vault.file_at(&VaultPath::parse(path).ok()?)?;
            let record = self.vault.index().get(file).filter(|_| file.zone.audience() == Audience::All)?;
            let base = record.shown_base()?;
            Some(AttachmentInfo { length: 0, hash: base, media_type: "application/octet-stream".to_owned() })
        };
        let context = DeriveContext {
            file,
            fallback_work: work,
            default_hand: "outbox",
            default_from: Some("agent@example.invalid"),
            attachment: &attachment,
        };
        let told = |refusals: Vec<Refusal>| {
            let lines: Vec<_> =
                refusals.iter().map(|refusal| format!("{}; {}", refusal.message, refusal.fix)).collect();
            format!("nobody could approve this draft, so it is not filed: {}", lines.join(" | "))
        };
        action::derive(note.as_bytes(), &context).map(|_| ()).map_err(told)
    }

    pub(super) fn finish_task(
        &mut self,
        now: Timestamp,
        request: u64,
        session: Session,
        (work, text): (WorkId, &str),
    ) -> Step {
        let task = self.in_hand(now, session, work)?;
        if let Some(draft) = self.draft_of(work, self.work.me) {
            return Err(format!("`{draft}` waits for a person; the task is done once they have decided"));
        }
        let path = path_in("Updates", &self.domain_of_task(task), &format!("FINISHED_{}.md", mail::note_id(&work)))?;
        let taken = |id: &FileId| self.vault.index().get(*id).is_some();
        let file = ids_from(finished_id(work, self.work.me))
            .find(|id| !taken(id))
            .ok_or("this task was finished too often")?;
        let mut note = mail::FrontMatter::open("finished");
        note.value("work_id", &work.to_string());
        note.value("finished", &now.to_string());
        note.value("by", &self.work.name);
        let note = format!("{}\n{}\n", note.close(), text.trim_end());
        let step = self.create(now, request, (file, &path), &note, Some(work))?;
        self.work.with_agent.remove(&work);
        self.notice(Notice::Finished { work, path });
        Ok(step)
    }
}

/// Where a draft lies: what tells it from others of its work, its domain, and how its name begins.
fn place_of(proposal: &Proposal, is_for_task: bool) -> (&'static str, &'static str, &'static str) {
    match proposal {
        Proposal::Email(_) if is_for_task => ("", "email", "REPLY"),
        Proposal::Email(_) => ("", "email", "EMAIL"),
        Proposal::Post { .. } => (":post", "social", "POST"),
        Proposal::Payment { .. } => (":payment", "accounting", "PAYMENT"),
        Proposal::Tool { .. } => (":tool", "actions", "TOOL"),
        Proposal::Http { .. } => (":http", "actions", "CALL"),
    }
}

/// A mail for a mail's task goes to its sender and stands in its thread, unless it is for others alone.
fn in_thread(proposal: Proposal, task: Option<&TaskNote>) -> Proposal {
    let mail = task.filter(|task| task.kind == "email");
    let (Proposal::Email(mut email), Some(task)) = (proposal.clone(), mail) else { return proposal };
    let answer = template::draft_reply(task, Timestamp::default());
    if email.to.is_empty() {
        email.to.clone_from(&task.reply_to);
    }
    if email.subject.is_empty() {
        email.subject = answer.subject;
    }
    let is_answer = email.to.iter().any(|to| {
        let to = action::address_of(to).to_lowercase();
        task.reply_to.iter().any(|sender| action::address_of(sender).to_lowercase() == to)
    });
    if is_answer {
        email.in_reply_to.clone_from(&task.message_id);
        email.references = task.references.iter().chain(&task.message_id).cloned().collect();
    }
    Proposal::Email(email)
}
