//! What agents ask through `aiemp-node mcp`: tasks and notes to read, and drafts to leave for a person. Nothing here approves,
//! sends or decides.
//!
//! A session has one ceiling. `shared` sees no private note, and writes what every member may read; `private` sees all,
//! and so writes private notes alone. A session for one piece of work touches no other.

mod drafts;

use std::{collections::BTreeMap, time::Duration};

use aiemp_crdt::vault::{self, work_of_note};
use aiemp_keys::NodeId;
use aiemp_protocol::{
    action::Proposal,
    active,
    egress::Cleared,
    ids::{Audience, ContentHash, FileId, WorkId},
    limits::{LEASE, NOTE_BYTES_MAX},
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use super::{
    Core, mail,
    output::Answer,
    work::{Reading, domain_of, in_domain, is_in},
};

pub(super) use drafts::{drafts_of, is_by_agent};

/// How long an agent waits for what it asked for to be durable; whoever asks for it waits somewhat longer.
const DURABLE_MAX: Duration = Duration::from_secs(20);

/// What a session may read, and with that where it may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ceiling {
    /// No private notes; what it writes every member may read.
    Shared,
    /// All notes; what it writes only Local nodes may read.
    Private,
}

/// One session of an agent.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// What it may read.
    pub ceiling: Ceiling,
    /// The one piece of work that it is for; none is any.
    pub work: Option<WorkId>,
}

/// What an agent asks.
#[derive(Debug)]
pub enum Ask {
    /// The tasks that are open.
    Tasks,
    /// The notes in a folder and below; none is the whole vault.
    Notes(Option<VaultPath>),
    /// What a note says.
    Note(VaultPath),
    /// Take a task.
    Claim(VaultPath),
    /// Write the plan of a task in hand.
    Plan {
        /// The task.
        work: WorkId,
        /// Markdown.
        text: String,
        /// What the plan says now, if there is one.
        replaces: Option<ContentHash>,
    },
    /// Write a note.
    Write {
        /// Where.
        path: VaultPath,
        /// Markdown.
        text: String,
        /// What it says now, if it exists.
        replaces: Option<ContentHash>,
    },
    /// Leave a draft for a person.
    Draft(Box<DraftAsked>),
    /// A task in hand needs nothing to be sent.
    Finish {
        /// The task.
        work: WorkId,
        /// What was done, or why nothing is to do.
        text: String,
    },
}

/// A draft as an agent asks for it.
#[derive(Clone, Debug)]
pub struct DraftAsked {
    /// The task in hand that it is for; none is a new piece of work.
    pub work: Option<WorkId>,
    /// What is proposed. A mail for a task without recipients or subject is the answer to it.
    pub proposal: Proposal,
    /// The text.
    pub body: String,
    /// When it stops being approvable.
    pub expires: Option<Timestamp>,
}

/// What an agent is told.
#[derive(Clone, Debug)]
pub enum Told {
    /// The open tasks, by path.
    Tasks(Vec<OpenTask>),
    /// Paths of notes.
    Notes(Vec<VaultPath>),
    /// What a note says.
    Note {
        /// Its text.
        text: String,
        /// Its digest, for whoever replaces it.
        digest: ContentHash,
    },
    /// It is done.
    Done {
        /// The work that it is for.
        work: Option<WorkId>,
        /// Where the result lies.
        path: VaultPath,
    },
    /// It is not done: why, and what to do instead.
    Refused(String),
}

/// A task that is not done.
#[derive(Clone, Debug)]
pub struct OpenTask {
    /// The note.
    pub path: VaultPath,
    /// Who has it in hand.
    pub holder: Option<NodeId>,
    /// The work, once somebody had it in hand.
    pub work: Option<WorkId>,
    /// The draft that waits for a person.
    pub draft: Option<VaultPath>,
}

/// What is done with a note once it is read.
#[derive(Debug)]
pub(super) enum NoteFor {
    Agent,
    Claim,
    Replace { text: String, replaces: ContentHash },
    Draft(Box<DraftAsked>),
}

/// What an agent waits for.
#[derive(Debug)]
enum Awaited {
    /// A file that is created or changed.
    File(FileId),
    /// A claim of this node.
    Claim(WorkId),
}

/// An agent that waits for it.
#[derive(Debug)]
pub(super) struct Awaiting {
    what: Awaited,
    request: u64,
    told: Told,
    /// When it is told that it did not come about.
    pub(super) until: Timestamp,
}

/// A step towards an answer, or why there is none.
pub(super) type Step = Result<Option<Told>, String>;

impl Core {
    pub(super) fn agent_asked(&mut self, now: Timestamp, request: u64, session: Session, ask: Ask) {
        let step = match ask {
            Ask::Tasks => Ok(Some(Told::Tasks(self.open_tasks()))),
            Ask::Notes(folder) => Ok(Some(Told::Notes(self.notes_below(session, folder.as_ref())))),
            Ask::Note(path) => self.read_for(now, request, session, &path, NoteFor::Agent),
            Ask::Claim(path) => self.ask_claim(now, request, session, &path),
            Ask::Plan { work, text, replaces } => self.write_plan(now, request, session, (work, text), replaces),
            Ask::Write { path, text, replaces } => self.write_note(now, request, session, (path, text), replaces),
            Ask::Draft(draft) => self.ask_draft(now, request, session, draft),
            Ask::Finish { work, text } => self.finish_task(now, request, session, (work, &text)),
        };
        self.tell_agent(request, step);
    }

    pub(super) fn tell_agent(&mut self, request: u64, step: Step) {
        match step {
            Ok(None) => {}
            Ok(Some(told)) => self.answer(request, Answer::Agent(told)),
            Err(why) => self.answer(request, Answer::Agent(Told::Refused(why))),
        }
    }

    fn open_tasks(&self) -> Vec<OpenTask> {
        let holders: BTreeMap<FileId, (WorkId, NodeId)> = self
            .vault
            .claims()
            .iter()
            .filter_map(|(work, _)| self.vault.holder(work).map(|claim| (claim.to, (work, claim.origin.author()))))
            .collect();
        let mut tasks: Vec<_> = self
            .vault
            .index()
            .iter()
            .filter(|(file, record)| self.vault.is_in_sight(*file) && !record.is_archived())
            .filter_map(|(file, record)| Some((file, record.path.shown()?.clone())))
            .filter(|(file, path)| path.extension() == "md" && is_open(*file, path))
            .map(|(file, path)| {
                let (work, holder) = holders.get(&file).copied().unzip();
                let draft = work.zip(holder).and_then(|(work, holder)| self.draft_of(work, holder));
                OpenTask { path, holder, work, draft }
            })
            .collect();
        tasks.sort_by(|a, b| a.path.cmp(&b.path));
        tasks
    }

    fn notes_below(&self, session: Session, folder: Option<&VaultPath>) -> Vec<VaultPath> {
        let prefix = folder.map(|folder| format!("{}/", folder.key()));
        let is_below = |path: &VaultPath| prefix.as_ref().is_none_or(|prefix| path.key().starts_with(prefix));
        let readable = self.vault.index().iter().filter(|(file, _)| self.may_read(session, *file));
        let mut paths: Vec<_> = readable
            .filter_map(|(_, record)| record.path.shown())
            .filter(|path| path.extension() == "md" && is_below(path))
            .cloned()
            .collect();
        paths.sort_unstable();
        paths
    }

    fn may_read(&self, session: Session, file: FileId) -> bool {
        let is_below_ceiling = session.ceiling == Ceiling::Private || file.zone.audience() == Audience::All;
        is_below_ceiling && self.vault.is_in_sight(file)
    }

    /// The file at a path, also before it lies there on disk.
    fn file_named(&self, path: &VaultPath) -> Option<FileId> {
        let is_it = |file: FileId| self.vault.is_in_sight(file) && self.path_of(file).as_ref() == Some(path);
        let named = || self.vault.index().iter().map(|(file, _)| file).find(|file| is_it(*file));
        self.vault.file_at(path).or_else(named)
    }

    /// Reads a note that the session may read; one that it may not read is not there.
    fn read_for(&mut self, now: Timestamp, request: u64, session: Session, path: &VaultPath, then: NoteFor) -> Step {
        let file = self.file_named(path).filter(|file| self.may_read(session, *file));
        let file =
            file.ok_or_else(|| format!("there is no note at `{path}`; list the notes to see which there are"))?;
        self.read(now, file, Reading::Agent { request, session, file, path: path.clone(), then });
        Ok(None)
    }

    pub(super) fn read_for_agent(
        &mut self,
        now: Timestamp,
        (request, session): (u64, Session),
        (file, path): (FileId, VaultPath),
        then: NoteFor,
        bytes: Option<Vec<u8>>,
    ) {
        // What nobody released is shown to an agent as little as to a person.
        let bytes = bytes.filter(|bytes| self.vault.waits_for(file, &path, bytes).is_empty());
        let step = match bytes {
            None => Err(format!("the content of `{path}` has not come yet, or is held back; ask again later")),
            Some(bytes) => match then {
                NoteFor::Agent => self.note_read(&path, bytes),
                NoteFor::Claim => self.claim_for_agent(now, (request, session), (file, &path), &bytes),
                NoteFor::Replace { text, replaces } => {
                    self.replace_note(now, request, (file, path), (&text, replaces), &bytes)
                }
                NoteFor::Draft(draft) => self.draft_for_agent(now, (request, session), *draft, &bytes),
            },
        };
        self.tell_agent(request, step);
    }

    fn note_read(&self, path: &VaultPath, bytes: Vec<u8>) -> Step {
        let digest = ContentHash::of(&bytes);
        let text = String::from_utf8(bytes).map_err(|_| format!("`{path}` is not a text"))?;
        let text = self.guard.clear_text(text).map_err(|why| format!("`{path}` is not shown to agents: {why}"))?;
        Ok(Some(Told::Note { text: text.into_inner(), digest }))
    }

    fn ask_claim(&mut self, now: Timestamp, request: u64, session: Session, path: &VaultPath) -> Step {
        self.writes_shared(session)?;
        if !self.file_named(path).is_some_and(|file| is_open(file, path)) {
            return Err(format!("`{path}` is no open task; `list_tasks` names those there are"));
        }
        self.read_for(now, request, session, path, NoteFor::Claim)
    }

    fn claim_for_agent(
        &mut self,
        now: Timestamp,
        (request, session): (u64, Session),
        (file, path): (FileId, &VaultPath),
        bytes: &[u8],
    ) -> Step {
        self.writes_shared(session)?;
        let work = work_of_note(file, bytes);
        is_for(session, work)?;
        if session.work.is_none() && self.work.drafting.values().any(|run| run.task.work_id == work) {
            return Err("this node's own brain is at work on this task; take another".to_owned());
        }
        match self.vault.holder(work).filter(|claim| self.vault.is_in_sight(claim.to)) {
            Some(claim) if claim.origin.author() == self.work.me => {
                let held = claim.to;
                self.work_with_agent(now, session, work, held);
                let path = self.path_of(held).unwrap_or_else(|| path.clone());
                return Ok(Some(Told::Done { work: Some(work), path }));
            }
            Some(claim) if claim.by_hand || claim.lease_until > now => {
                return Err(format!(
                    "{} has this task in hand; leave it, and take another",
                    self.name_of(claim.origin.author())
                ));
            }
            Some(_) | None => {}
        }
        let to = VaultPath::join(&format!("In_Progress/{}", self.work.name), path.name());
        let to = to.map_err(|error| format!("the task cannot be claimed: {error}"))?;
        self.work.to_claim.remove(&file);
        self.work.waiting.remove(&file);
        self.work.with_agent.insert(work, now + LEASE);
        let told = Told::Done { work: Some(work), path: to.clone() };
        self.await_durable(now, Awaited::Claim(work), request, told);
        self.vault_input(now, vault::Input::ClaimRequested { work, file, to });
        Ok(None)
    }

    /// An agent is at work: its claim is renewed, and this node's own brain leaves it alone.
    fn work_with_agent(&mut self, now: Timestamp, session: Session, work: WorkId, file: FileId) {
        // A session for one task is of a run of that brain.
        if session.work.is_none() {
            self.work.with_agent.insert(work, now + LEASE);
        }
        let until = self.vault.claims().of(work, self.work.me).map(|claim| claim.lease_until);
        if until.is_none_or(|until| until <= now + LEASE / 2) {
            self.vault_input(now, vault::Input::RenewRequested { work, file });
        }
    }

    /// Until when an agent has a piece of work.
    pub(super) fn is_with_agent(&mut self, now: Timestamp, work: WorkId) -> Option<Timestamp> {
        self.work.with_agent.retain(|_, until| *until > now);
        self.work.with_agent.get(&work).copied()
    }

    pub(super) fn name_of(&self, node: NodeId) -> String {
        let member = self.work.members.iter().find(|(member, _)| *member == node);
        member.map_or_else(|| "a former member".to_owned(), |(_, name)| name.clone())
    }

    /// The copy of a task that this node has in hand.
    fn in_hand(&mut self, now: Timestamp, session: Session, work: WorkId) -> Result<FileId, String> {
        self.writes_shared(session)?;
        is_for(session, work)?;
        match self.vault.holder(work).map(|claim| (claim.origin.author(), claim.to)) {
            Some((node, file)) if node == self.work.me && self.vault.is_in_sight(file) => {
                self.work_with_agent(now, session, work, file);
                Ok(file)
            }
            Some((node, file)) if node != self.work.me && self.vault.is_in_sight(file) => {
                Err(format!("{} has this task in hand now; stop working on it", self.name_of(node)))
            }
            Some(_) => Err("this task is done already; nothing is left to do for it".to_owned()),
            None => Err("nobody has this task in hand; claim it first".to_owned()),
        }
    }

    fn writes_shared(&self, session: Session) -> Result<(), String> {
        if self.work.is_stopped {
            return Err("the mesh is frozen: nothing is claimed, drafted or written until it is let go on".to_owned());
        }
        if session.ceiling == Ceiling::Private {
            return Err("this session may read private notes, so it writes private notes alone; tasks and drafts are \
                        for a session with the ceiling `shared`"
                .to_owned());
        }
        Ok(())
    }

    fn write_plan(
        &mut self,
        now: Timestamp,
        request: u64,
        session: Session,
        (work, text): (WorkId, String),
        replaces: Option<ContentHash>,
    ) -> Step {
        let task = self.in_hand(now, session, work)?;
        let path = path_in("Plans", &self.domain_of_task(task), &format!("PLAN_{}.md", mail::note_id(&work)))?;
        let file = FileId::for_work(Zone::Drafts, work, &format!("plan:{}", self.work.me));
        self.write(now, request, session, (file, path, text), replaces)
    }

    /// The folder below `Needs_Action/` from which a task in hand came.
    fn domain_of_task(&self, task: FileId) -> String {
        let came_from =
            self.vault.index().iter().find(|(file, _)| file.zone == Zone::Intake && file.moved_to(task.zone) == task);
        let path = came_from.and_then(|(_, record)| record.path.values().next());
        path.map(|path| domain_of(path).to_owned()).unwrap_or_default()
    }

    /// Creates a note, or replaces one whose text the agent has read.
    fn write(
        &mut self,
        now: Timestamp,
        request: u64,
        session: Session,
        (file, path, text): (FileId, VaultPath, String),
        replaces: Option<ContentHash>,
    ) -> Step {
        let file = self.vault.own_standing_for(file);
        let at = self
            .path_of(file)
            .filter(|_| self.vault.is_live(file))
            .or_else(|| self.file_named(&path).map(|_| path.clone()));
        if at.as_ref().is_some_and(|at| at.key() != path.key()) {
            return Err(format!("`{path}` was moved elsewhere; leave it to the person"));
        }
        match (at, replaces) {
            (Some(at), Some(replaces)) => {
                self.read_for(now, request, session, &at, NoteFor::Replace { text, replaces })
            }
            (Some(at), None) => Err(format!("`{at}` exists; read it, and give its digest as `replaces`")),
            (None, _) => self.create(now, request, (file, &path), &text, None),
        }
    }

    fn create(
        &mut self,
        now: Timestamp,
        request: u64,
        (file, path): (FileId, &VaultPath),
        text: &str,
        work: Option<WorkId>,
    ) -> Step {
        let content = self.cleared(file, path, text)?;
        if self.vault.is_live(file) {
            return Err(format!("`{path}` is being written; read it"));
        }
        if self.vault.index().get(file).is_some() {
            return Err(format!("`{path}` was put away; it is not written again"));
        }
        let told = Told::Done { work, path: path.clone() };
        self.await_durable(now, Awaited::File(file), request, told);
        self.vault_input(now, vault::Input::CreateRequested { file, path: path.clone(), content });
        Ok(None)
    }

    /// Whoever asked is told once a file is created.
    pub(super) fn await_file(&mut self, now: Timestamp, file: FileId, request: u64, told: Told) {
        self.await_durable(now, Awaited::File(file), request, told);
    }

    fn await_durable(&mut self, now: Timestamp, what: Awaited, request: u64, told: Told) {
        self.work.agent_waits.push(Awaiting { what, request, told, until: now + DURABLE_MAX });
    }

    /// Whoever waited for what did not come about is told so.
    pub(super) fn agents_due(&mut self, now: Timestamp) {
        let late: Vec<_> = self.work.agent_waits.extract_if(.., |waiting| waiting.until <= now).collect();
        for Awaiting { request, .. } in late {
            self.tell_agent(request, Err("it was not done in time; read what is there, and ask again".to_owned()));
        }
    }

    /// What an agent asked for has become durable: it is told.
    pub(super) fn tell_awaited(&mut self, file: FileId) {
        let work = self.vault.claims().work_of(file).filter(|_| file.zone == Zone::Claim(self.work.me));
        let is_it = |awaited: &Awaited| match awaited {
            // What a peer said of the file does not make it so.
            Awaited::File(awaited) => *awaited == file && !self.vault.is_changing(file),
            Awaited::Claim(awaited) => Some(*awaited) == work,
        };
        let told: Vec<_> = self.work.agent_waits.extract_if(.., |waiting| is_it(&waiting.what)).collect();
        for Awaiting { request, told, .. } in told {
            self.answer(request, Answer::Agent(told));
        }
    }

    fn cleared(&self, file: FileId, path: &VaultPath, text: &str) -> Result<Cleared<Vec<u8>>, String> {
        if text.len() > NOTE_BYTES_MAX {
            return Err(format!("a note has at most {NOTE_BYTES_MAX} bytes; this one has {}", text.len()));
        }
        if text.contains('\0') {
            return Err("a note is a text: it holds a NUL".to_owned());
        }
        // Nothing waits for a release where only Local nodes read, for there people write. An agent reads mails.
        if file.zone == Zone::Private
            && let Some(found) = active::find(path, text.as_bytes()).first()
        {
            let (line, kind) = (found.line, found.kind.as_str());
            return Err(format!("line {line} holds active content ({kind}), which a private note of an agent may not"));
        }
        let content = self.guard.clear_file(path, file.zone.audience(), text.as_bytes().to_vec());
        content.map_err(|why| format!("`{path}` is not written: {why}"))
    }

    fn write_note(
        &mut self,
        now: Timestamp,
        request: u64,
        session: Session,
        (path, text): (VaultPath, String),
        replaces: Option<ContentHash>,
    ) -> Step {
        if self.work.is_stopped {
            self.writes_shared(session)?;
        }
        let zone = self.replication.rosters().current().zone_of(&path).map_err(|why| format!("`{path}`: {why}"))?;
        let folders = ["plans", "updates", "signals"];
        let may_write = match session.ceiling {
            Ceiling::Shared => zone == Zone::Drafts && folders.iter().any(|folder| is_in(&path, folder)),
            Ceiling::Private => zone == Zone::Private && self.vault.may_write(zone),
        };
        if session.work.is_some() || !may_write || path.extension() != "md" {
            return Err(match session.ceiling {
                _ if session.work.is_some() => "a session for one task writes its plan, draft and end alone".to_owned(),
                Ceiling::Shared => "notes (.md) are written in Plans/, Updates/ and Signals/".to_owned(),
                Ceiling::Private => "a private session writes notes (.md) that only Local nodes read, outside the \
                                     folders that are shared"
                    .to_owned(),
            });
        }
        self.write(now, request, session, (FileId::at_path(zone, &path.key()), path, text), replaces)
    }

    fn replace_note(
        &mut self,
        now: Timestamp,
        request: u64,
        (file, path): (FileId, VaultPath),
        (text, replaces): (&str, ContentHash),
        bytes: &[u8],
    ) -> Step {
        if ContentHash::of(bytes) != replaces {
            return Err(format!("`{path}` says something else by now; read it again"));
        }
        let content = self.cleared(file, &path, text)?;
        let told = Told::Done { work: None, path };
        if bytes == text.as_bytes() {
            return Ok(Some(told));
        }
        self.await_durable(now, Awaited::File(file), request, told);
        self.vault_input(now, vault::Input::RewriteRequested { file, content });
        Ok(None)
    }
}

fn is_open(file: FileId, path: &VaultPath) -> bool {
    match file.zone {
        Zone::Intake => is_in(path, "needs_action"),
        Zone::Claim(_) => true,
        Zone::Drafts | Zone::Owner | Zone::Private => false,
    }
}

/// A path for what an agent writes; the error is for it.
fn path_in(folder: &str, domain: &str, name: &str) -> Result<VaultPath, String> {
    in_domain(folder, domain, name).map_err(|error| format!("no such path can be: {error}"))
}

/// Whether a session may touch a piece of work.
fn is_for(session: Session, work: WorkId) -> Result<(), String> {
    match session.work {
        Some(own) if own != work => Err("this session is for another task; finish that one".to_owned()),
        Some(_) | None => Ok(()),
    }
}
