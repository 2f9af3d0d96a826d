//! Attacks by active content: what Cloud writes to be loaded, run or opened when the person looks at a note.

use std::time::Duration;

use aiemp_protocol::{
    action::{self, DeriveContext, Marks},
    active::{self, ActiveKind},
    approval::StandingId,
    entry::{Entry, FileKind, Item, SignedEntry},
    frame::Frame,
    ids::{Audience, ContentHash, FileId, LogId, WorkId},
    vault_path::VaultPath,
    zone::Zone,
};
use anyhow::{Context, Result, bail, ensure};

use super::{Tried, local::Local, mesh::Mesh};
use crate::{
    cli::approvals::approvable,
    core::{Answer, DraftSource, Input, Question},
    reviewer::{self, Authors, Desk, Readable},
    shell::clock,
};

const PATH: &str = "Pending_Approval/email/REPLY_1.md";
/// A piece of each kind, and how it is found.
const PIECES: [(&str, ActiveKind, &str); 8] = [
    ("a picture from elsewhere", ActiveKind::Remote, "![x](https://track.test/p.png)"),
    ("a picture whose address hides", ActiveKind::Remote, "![x](ht\u{200b}tps&colon;//track.test/p)"),
    ("HTML that runs", ActiveKind::Html, "<img src=x onerror=alert(1)>"),
    ("HTML that loads", ActiveKind::Html, "<iframe src=\"page.html\"></iframe>"),
    ("a link that acts", ActiveKind::Link, "[x](obsidian://open?vault=x)"),
    ("code of a plugin", ActiveKind::Code, "```dataviewjs\ndv.el('p', 'x')\n```"),
    ("an inline query", ActiveKind::Code, "`= this.file.name`"),
    ("a command of Templater", ActiveKind::Template, "<% tp.file.title %>"),
];

pub(super) fn attacks() -> Result<Vec<Tried>> {
    let mesh = Mesh::found()?;
    let plain = draft_with("Nothing active.");
    ensure!(blocked_by(&mesh, &plain)?.is_none(), "an honest draft of Cloud's waits");
    ensure!(approval_of(&mesh, &plain)?.is_none(), "an honest draft of Cloud's cannot be approved");
    let mut tried = Vec::new();
    for (name, kind, piece) in PIECES {
        let why = waiting_for(7, kind);
        let blocked = blocked_by(&mesh, &draft_with(piece))?;
        tried.push(Tried::refused_for(&format!("Cloud has shown: {name}"), &why, blocked.as_deref()));
    }
    let many: String = (0..100).map(|number| format!("<% {number} %>\n")).collect();
    let why = waiting_for(1, ActiveKind::Many);
    let blocked = blocked_by(&mesh, &draft_with(&many))?;
    tried.push(Tried::refused_for("Cloud has shown: more than can be listed", &why, blocked.as_deref()));
    let (_, _, piece) = PIECES[0];
    let reason = approval_of(&mesh, &draft_with(piece))?;
    tried.push(Tried::refused_for("a draft is approved that waits", "blocked", reason));
    tried.push(released_by_cloud(&mesh, piece)?);
    tried.push(sent_unseen(&mesh, piece)?);
    Ok(tried)
}

/// What is said against the approval of a draft that waits.
fn waiting_for(line: usize, kind: ActiveKind) -> String {
    format!("active content in line {line} ({}) that is not released", kind.as_str())
}

fn draft_with(piece: &str) -> String {
    format!("---\naction: email\nto: anna@client.test\nsubject: Hello\n---\n\n{piece}\n")
}

/// What Cloud signs and sends: a draft, and items beside it.
fn frame(mesh: &Mesh, note: &str, beside: Vec<Item>) -> Result<Frame> {
    let log = LogId { author: mesh.cloud.node_id(), generation: 0, audience: Audience::All };
    let (file, base) = (FileId::fresh(Zone::Drafts, log, 1, 0), ContentHash::of(note.as_bytes()));
    let path = VaultPath::parse(PATH)?;
    let mut items = vec![Item::New { file, path, kind: FileKind::Note, base, length: note.len() as u64 }];
    items.extend(beside);
    let epoch = mesh.rosters.current().epoch;
    let entry = Entry { seq: 1, epoch, hlc: clock::now(), seen: Vec::new(), items };
    let cose = SignedEntry::sign(&mesh.cloud, mesh.rosters.current().mesh, log, None, entry).cose;
    Ok(Frame::Entry { log, cose, payloads: vec![Some(note.as_bytes().to_vec())] })
}

/// A Local that received the draft, and the draft as it lists it.
fn received(mesh: &Mesh, note: &str, beside: Vec<Item>) -> Result<(Local, DraftSource)> {
    let mut local = Local::start(mesh, note.as_bytes())?;
    local.receive(mesh, frame(mesh, note, beside)?);
    local.handle(clock::now(), Input::Asked { request: 1, question: Question::Drafts });
    let Some(Answer::Drafts { drafts, .. }) = local.answer.take() else { bail!("the drafts are not listed") };
    let draft = drafts.into_iter().next().context("the draft is not listed")?;
    Ok((local, draft))
}

/// What is said against the draft where its note is not on disk; none where it is, or nothing is said.
fn blocked_by(mesh: &Mesh, note: &str) -> Result<Option<String>> {
    let (local, draft) = received(mesh, note, Vec::new())?;
    Ok(waits(&local, draft))
}

fn waits(local: &Local, draft: DraftSource) -> Option<String> {
    let blocked = draft.blocked_by.into_iter().next()?;
    local.shown(PATH).is_none().then_some(blocked)
}

/// The code with which the reviewer refuses to approve the draft.
fn approval_of(mesh: &Mesh, note: &str) -> Result<Option<&'static str>> {
    let (_, draft) = received(mesh, note, Vec::new())?;
    let context = DeriveContext {
        file: draft.file,
        fallback_work: WorkId(action::action_id(draft.file)),
        default_hand: "outbox",
        default_from: Some("Me <me@mine.test>"),
        attachment: &|_| None,
    };
    let read = action::derive(&draft.note, &context).ok().context("the draft is none")?;
    let marks = Marks::of_note(&draft.path, &draft.note);
    let rendered = action::render(&read.action, &marks);
    let (action, expires, authors) = (read.action, read.expires, Authors::default());
    let item = reviewer::Item {
        id: action.hash().to_string(),
        file: draft.file,
        path: draft.path,
        note: draft.note,
        author: "cloud".to_owned(),
        created: draft.created,
        blocked_by: draft.blocked_by,
        signature_asked: draft.signature_asked,
        standing: None,
        draft: Ok(Readable { action, expires, marks, rendered, authors, objection: None }),
    };
    Ok(approvable(&Desk::default(), &item, false).err().map(|fault| fault.code))
}

/// Cloud says itself, in the entry of the draft, that its piece is released.
fn released_by_cloud(mesh: &Mesh, piece: &str) -> Result<Tried> {
    let note = draft_with(piece);
    let found = active::find(&VaultPath::parse(PATH)?, note.as_bytes());
    let release = |finding: active::Finding| Item::Resolve { id: finding.release, choice: "released".to_owned() };
    let (local, draft) = received(mesh, &note, found.into_iter().map(release).collect())?;
    let why = waiting_for(7, ActiveKind::Remote);
    Ok(Tried::refused_for("Cloud releases what it wrote", &why, waits(&local, draft).as_deref()))
}

/// A standing approval allows text by Cloud: its draft is offered to the executor, but not what waits.
fn sent_unseen(mesh: &Mesh, piece: &str) -> Result<Tried> {
    let is_asked_for = |note: &str| -> Result<bool> {
        let (mut local, _) = received(mesh, note, Vec::new())?;
        let now = clock::now();
        let mut standing = mesh.standing(StandingId([1; 16]), now);
        standing.text_by_cloud = true;
        local.handle(now, Input::StandingChanged(vec![standing]));
        local.handle(now + Duration::from_secs(60), Input::TimeoutReached);
        Ok(!local.asked_for.is_empty())
    };
    ensure!(is_asked_for(&draft_with("Nothing active."))?, "an honest draft is not offered to the executor");
    let came_of_it = if is_asked_for(&draft_with(piece))? { Ok(()) } else { Err("the executor is not asked") };
    Ok(Tried::refused("what waits goes out under a standing approval", came_of_it))
}
