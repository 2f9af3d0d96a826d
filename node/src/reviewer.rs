//! The reviewer: derives, renders, hashes and signs by itself. It asks the mesh for bytes and believes nothing else.

mod attachments;

use std::{cell::RefCell, collections::BTreeSet};

use aiemp_keys::{OwnerKeys, private_file, random};
use aiemp_protocol::{
    action::{self, Action, Content, DeriveContext, Marks, NOT_A_DRAFT, RENDERER_VERSION, Refusal, Rendered},
    approval::{Bundle, Decision, Settlement, no_policy},
    ids::{FileId, WorkId},
    limits::APPROVAL_LIFETIME,
    roster::Roster,
    time::Timestamp,
    vault_path::VaultPath,
};
use anyhow::{Context, Result};
use data_encoding::BASE64;

use self::attachments::Files;
use crate::{
    config::Config,
    fault::Fault,
    home::Home,
    shell::control::{Client, Request, Response, WireDraft, WireReceipt},
};

/// A draft as the person may decide on it.
#[derive(Debug)]
pub struct Item {
    /// The action hash, or the file id of what cannot be approved.
    pub id: String,
    /// The file.
    pub file: FileId,
    /// Where it lies.
    pub path: VaultPath,
    /// The draft's bytes.
    pub note: Vec<u8>,
    /// Who drafted it.
    pub author: String,
    /// When.
    pub created: Timestamp,
    /// What approval waits for.
    pub blocked_by: Vec<String>,
    /// What would be done, or why that cannot be told.
    pub draft: Result<Readable, Vec<Refusal>>,
}

/// A draft that reads as an action.
#[derive(Debug)]
pub struct Readable {
    /// What would be done.
    pub action: Action,
    /// Until when the drafter wants it decided.
    pub expires: Option<Timestamp>,
    /// What the renderer marks.
    pub marks: Marks,
    /// What the person sees.
    pub rendered: Rendered,
}

/// Everything there is to decide, and what became of what was decided.
#[derive(Debug)]
pub struct Desk {
    /// Waiting drafts, by path.
    pub items: Vec<Item>,
    /// Receipts.
    pub receipts: Vec<WireReceipt>,
}

impl Desk {
    /// Asks the running node for the drafts and derives each.
    pub fn load(home: &Home, config: &Config, roster: &Roster, client: &mut Client) -> Result<Self> {
        let Response::Drafts { drafts, receipts } = client.ask(&Request::Drafts)? else {
            anyhow::bail!("the node answered something else; are both of one version?");
        };
        let known = known_recipients(home);
        let mut fetch = |path: &str| fetch(client, path);
        let mut files = Files::new(&mut fetch);
        let mut items = Vec::new();
        for draft in drafts {
            items.push(read_item(config, roster, &mut files, &known, draft)?);
        }
        Ok(Self { items, receipts })
    }

    /// The item with this id; a unique prefix of at least 8 digits will do where `prefix` allows it.
    pub fn find(&self, id: &str, prefix: bool) -> Option<&Item> {
        let mut matches =
            self.items.iter().filter(|item| item.id == id || (prefix && id.len() >= 8 && item.id.starts_with(id)));
        let first = matches.next();
        if matches.next().is_some() { None } else { first }
    }

    /// The receipt that stands for an action.
    pub fn receipt_for_action(&self, action: &str) -> Option<&WireReceipt> {
        self.receipts.iter().find(|receipt| receipt.action == action)
    }

    /// A receipt that shows the same piece of work answered in the same way.
    pub fn receipt_for_work(&self, action: &Action) -> Option<&WireReceipt> {
        let (work, kind) = (action.work.to_string(), action.kind().as_str());
        let taken = |receipt: &&WireReceipt| receipt.outcome != "failed";
        self.receipts.iter().filter(taken).find(|receipt| receipt.work == work && receipt.kind == kind)
    }
}

fn read_item(
    config: &Config,
    roster: &Roster,
    files: &mut Files<'_>,
    known: &BTreeSet<String>,
    draft: WireDraft,
) -> Result<Item> {
    let file: FileId = draft.file.parse().context("a file id")?;
    let note = BASE64.decode(draft.note.as_bytes()).context("a note")?;
    let readable = read_draft(config, roster, files, known, file, &note);
    let id = match &readable {
        Ok(readable) => readable.action.hash().to_string(),
        Err(_) => file.to_string(),
    };
    Ok(Item {
        id,
        file,
        path: VaultPath::parse(&draft.path).context("a path")?,
        note,
        author: draft.author,
        created: Timestamp::from_millis(draft.created_ms),
        blocked_by: draft.blocked_by,
        draft: readable,
    })
}

fn read_draft(
    config: &Config,
    roster: &Roster,
    files: &mut Files<'_>,
    known: &BTreeSet<String>,
    file: FileId,
    note: &[u8],
) -> Result<Readable, Vec<Refusal>> {
    let files = RefCell::new(files);
    let draft = action::derive(
        note,
        &DeriveContext {
            file,
            fallback_work: WorkId(action::action_id(file)),
            default_hand: &config.mail.hand,
            default_from: config.mail.from.as_deref(),
            attachment: &|path| files.borrow_mut().info(path),
        },
    )?;
    let attachment_sources = attachments::sources(draft.attachments, roster);
    let mut marks = Marks { attachment_sources, ..Marks::default() };
    if let Content::Email(email) = &draft.action.content {
        let first = email.recipients().into_iter().filter(|to| !known.contains(action::address_of(to)));
        marks.first_time_recipients = first.map(str::to_owned).collect();
    }
    let rendered = action::render(&draft.action, &marks);
    Ok(Readable { action: draft.action, expires: draft.expires, marks, rendered })
}

fn fetch(client: &mut Client, path: &str) -> Option<Vec<u8>> {
    let Response::File { content } = client.ask(&Request::File { path: path.to_owned() }).ok()? else { return None };
    BASE64.decode(content?.as_bytes()).ok()
}

/// Addresses that a mail was approved to before, one a line; the reviewer's own file.
fn known_recipients(home: &Home) -> BTreeSet<String> {
    let text = std::fs::read_to_string(home.known_recipients()).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn remember_recipients(home: &Home, action: &Action) -> Result<()> {
    let Content::Email(email) = &action.content else { return Ok(()) };
    let mut known = known_recipients(home);
    known.extend(email.recipients().into_iter().map(|to| action::address_of(to).to_owned()));
    let text = known.into_iter().map(|address| format!("{address}\n")).collect::<String>();
    private_file::write_private(&home.known_recipients(), text.as_bytes()).context("cannot remember the recipients")
}

/// Signs the approval of exactly what was rendered and hands it to the executor, with the attachments' contents.
pub fn approve(
    home: &Home,
    client: &mut Client,
    roster: &Roster,
    owner: &OwnerKeys,
    item: &Item,
    repeat_of: Option<[u8; 16]>,
    now: Timestamp,
) -> Result<()> {
    let readable = item.draft.as_ref().map_err(|refusals| not_approvable(item, refusals))?;
    check_roster(roster, owner, now)?;
    let contents = attachments::contents(&readable.action, &readable.marks, &mut |path: &str| fetch(client, path))?;
    let decision = Decision {
        action: readable.action.hash(),
        render: readable.rendered.hash(),
        renderer: RENDERER_VERSION,
        nonce: random::array()?,
        expiry: now + APPROVAL_LIFETIME,
        executor: roster.executor,
        policy: no_policy(),
        epoch: roster.epoch,
        repeat_of,
    };
    let bundle = Bundle {
        approval: decision.sign(&owner.approve, roster.mesh),
        action: readable.action.to_bytes(),
        marks: readable.marks.clone(),
        file: item.file,
        path: item.path.clone(),
        note: item.note.clone(),
        attachments: contents,
    };
    remember_recipients(home, &readable.action)?;
    let name = format!("{}-{}.approval", decision.action, data_encoding::HEXLOWER.encode(&decision.nonce[..4]));
    private_file::write_private(&home.approved().join(name), &bundle.to_bytes())
        .context("cannot hand the approval to the executor")
}

/// Signs a person's word on an action whose end nobody knows.
pub fn settle(home: &Home, roster: &Roster, owner: &OwnerKeys, receipt: &WireReceipt, sent: bool) -> Result<()> {
    let nonce = nonce_of(receipt)?;
    let settlement = Settlement { action: receipt.action.parse()?, nonce, sent };
    let name = format!("{}.settlement", receipt.action);
    let signed = settlement.sign(&owner.approve, roster.mesh);
    private_file::write_private(&home.approved().join(name), &signed)
        .context("cannot hand the settlement to the executor")
}

/// The nonce that a receipt names.
pub fn nonce_of(receipt: &WireReceipt) -> Result<[u8; 16]> {
    let bytes = data_encoding::HEXLOWER.decode(receipt.nonce.as_bytes())?;
    bytes.try_into().map_err(|_| anyhow::anyhow!("a nonce has 16 bytes"))
}

fn check_roster(roster: &Roster, owner: &OwnerKeys, now: Timestamp) -> Result<(), Fault> {
    if roster.not_after < now {
        return Err(Fault::operator(
            "roster_expired",
            format!("the roster expired at {}; nothing can be approved until it is renewed", roster.not_after),
            "Run `aiemp-node peers renew`; it asks for the passphrase.",
        ));
    }
    if roster.approvers.contains(&owner.approve.public()) {
        return Ok(());
    }
    Err(Fault::operator(
        "not_an_approver",
        "this home's approve key is not one of the mesh's",
        "Approve on the Local node that founded the mesh.",
    ))
}

fn not_approvable(item: &Item, refusals: &[Refusal]) -> Fault {
    let first = refusals.first().map_or_else(|| NOT_A_DRAFT.to_owned(), ToString::to_string);
    Fault::operator(
        "not_approvable",
        format!("{} cannot be approved: {first}", action::spelt(&item.path)),
        "Edit the draft, then show it again.",
    )
}
