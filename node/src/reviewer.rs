//! The reviewer: derives, renders, hashes and signs by itself. It asks the mesh for bytes and believes nothing else.

mod attachments;
mod handbook;
mod known;
mod words;

use std::{cell::RefCell, collections::BTreeSet};

use aiemp_keys::{OwnerKeys, private_file, random};
use aiemp_protocol::{
    action::{
        self, Action, ActionKind, DeriveContext, MarkedValue, Marks, NOT_A_DRAFT, RENDERER_VERSION, Refusal, Rendered,
    },
    approval::{Bundle, ClockSettlement, Decision, Policy, Settlement},
    ids::{FileId, WorkId},
    limits::{APPROVAL_LIFETIME, CLOCK_BEHIND_MAX},
    roster::Roster,
    time::Timestamp,
    vault_path::VaultPath,
    zone::Claimants,
};
use anyhow::{Context, Result};
use data_encoding::BASE64;

use self::{attachments::Files, known::Known};
pub use self::{
    handbook::{HANDBOOK, Handbook},
    words::{Authors, Word},
};
use crate::{
    config::Config,
    fault::Fault,
    hands::{self, Hands},
    home::Home,
    shell::{
        self,
        control::{Client, Request, Response, WireDraft, WireReceipt, unexpected},
        declared,
        handed_in::HandedIn,
        policies,
    },
};

/// A draft as the person may decide on it.
#[derive(Clone, Debug)]
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
    /// Whether it was moved to `Approved/` by hand, which approves nothing.
    pub signature_asked: bool,
    /// The standing approval under which it goes out by itself.
    pub standing: Option<String>,
    /// What would be done, or why that cannot be told.
    pub draft: Result<Readable, Vec<Refusal>>,
}

/// A draft that reads as an action.
#[derive(Clone, Debug)]
pub struct Readable {
    /// What would be done.
    pub action: Action,
    /// Until when the drafter wants it decided.
    pub expires: Option<Timestamp>,
    /// What the renderer marks.
    pub marks: Marks,
    /// What the person sees.
    pub rendered: Rendered,
    /// Who wrote it.
    pub authors: Authors,
    /// Why the executor could not carry it out as things are.
    pub objection: Option<String>,
}

/// Everything there is to decide, and what became of what was decided.
#[derive(Debug, Default)]
pub struct Desk {
    /// Waiting drafts, by path.
    pub items: Vec<Item>,
    /// Receipts.
    pub receipts: Vec<WireReceipt>,
    /// What the executor has not sent of it, and why; as it was when the desk was loaded.
    pub handed_in: HandedIn,
    /// The limits in force.
    pub policy: Policy,
    /// What the Handbook says, which limits nothing.
    pub handbook: Handbook,
    known: Known,
    declared: Hands,
    config: Config,
}

impl Desk {
    /// Reads what was signed before, asks the running node for the drafts and derives each.
    pub fn load(home: &Home, config: &Config, roster: &Roster, client: &mut Client) -> Result<Self> {
        let policy = policies::load(&home.policy(), roster)?;
        let known = Known::load(home, roster)?;
        let (_, declared) = declared::load(&home.hands(), roster)?;
        let handed_in = HandedIn::look(home, roster, true);
        let mut desk = Self { handed_in, policy, known, declared, config: config.clone(), ..Self::default() };
        desk.refresh(home, roster, client)?;
        Ok(desk)
    }

    /// Asks for the drafts again. Nothing of the home is read, which a command that holds a key could not.
    pub fn refresh(&mut self, home: &Home, roster: &Roster, client: &mut Client) -> Result<()> {
        let Response::Drafts { drafts, receipts } = client.ask(&Request::Drafts)? else { return Err(unexpected()) };
        let (known, policy) = (&self.known, &self.policy);
        let is_new = |action: &Action| known.new_values(action, policy);
        let mut fetch = |path: &str| fetch(client, path);
        let mut files = Files::new(&mut fetch);
        let mut items = Vec::new();
        for draft in drafts {
            items.push(read_item(&self.config, roster, &mut files, &is_new, draft)?);
        }
        for readable in items.iter_mut().filter_map(|item| item.draft.as_mut().ok()) {
            readable.objection = hands::objection(home, &self.config, &self.declared, roster, &readable.action);
        }
        (self.items, self.receipts) = (items, receipts);
        self.handbook = handbook(client)?;
        Ok(())
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

    /// The newest receipt that shows the same piece of work answered in the same way.
    pub fn receipt_for_work(&self, action: &Action) -> Option<&WireReceipt> {
        self.of_work(action).filter(|receipt| receipt.outcome != "failed").max_by_key(|receipt| receipt.at_ms)
    }

    /// The approval that a wanted repetition goes on from: it stands last in the chain of what was sent before.
    ///
    /// It may have failed itself, as a repetition. The executor follows the chain through it.
    pub fn repeated(&self, action: &Action) -> Option<&WireReceipt> {
        self.of_work(action).max_by_key(|receipt| receipt.at_ms)
    }

    /// When actions of this kind were carried out, as far as receipts tell.
    pub fn done(&self, kind: ActionKind) -> Vec<Timestamp> {
        let counts = |receipt: &&WireReceipt| {
            receipt.kind == kind.as_str() && matches!(receipt.outcome.as_str(), "sent" | "unknown")
        };
        self.receipts.iter().filter(counts).map(|receipt| Timestamp::from_millis(receipt.at_ms)).collect()
    }

    /// The rule that applies to an action: what the policy says of its kind, and what the Handbook does.
    pub fn rule_for(&self, action: &Action) -> Vec<String> {
        let kind = action.kind();
        let sent = |window| {
            let since = shell::clock::now().earlier_by(window);
            self.done(kind).into_iter().filter(|at| *at > since).count()
        };
        let of_policy = match self.policy.rules.get(&kind) {
            Some(rule) => rule.spelled(sent).join("; "),
            None => String::new(),
        };
        let of_policy = if of_policy.is_empty() { "no limit".to_owned() } else { of_policy };
        let rows = self.handbook.rows_of(kind).map(|(line, row)| format!("{HANDBOOK}, line {line}: {row}"));
        std::iter::once(format!("policy for {kind}: {of_policy}")).chain(rows).collect()
    }

    fn of_work(&self, action: &Action) -> impl Iterator<Item = &WireReceipt> {
        let (work, kind) = (action.work.to_string(), action.kind().as_str());
        self.receipts.iter().filter(move |receipt| receipt.work == work && receipt.kind == kind)
    }
}

/// Which values of an action nothing was approved with before.
type NewValues<'a> = &'a dyn Fn(&Action) -> BTreeSet<MarkedValue>;

fn read_item(
    config: &Config,
    roster: &Roster,
    files: &mut Files<'_>,
    is_new: NewValues<'_>,
    draft: WireDraft,
) -> Result<Item> {
    let file: FileId = draft.file.parse().context("a file id")?;
    let note = BASE64.decode(draft.note.as_bytes()).context("a note")?;
    let path = VaultPath::parse(&draft.path).context("a path")?;
    let readable = read_draft(config, roster, files, is_new, (file, &path, &note))?.map(|mut readable| {
        readable.authors = Authors::of(&note, &draft.written, &readable.action, &readable.rendered);
        readable
    });
    let id = match &readable {
        Ok(readable) => readable.action.hash().to_string(),
        Err(_) => file.to_string(),
    };
    Ok(Item {
        id,
        file,
        path,
        note,
        author: draft.author,
        created: Timestamp::from_millis(draft.created_ms),
        blocked_by: draft.blocked_by,
        signature_asked: draft.signature_asked,
        standing: draft.standing,
        draft: readable,
    })
}

/// The outer error is the node's, which says nothing about the draft.
fn read_draft(
    config: &Config,
    claimants: &impl Claimants,
    files: &mut Files<'_>,
    is_new: NewValues<'_>,
    (file, path, note): (FileId, &VaultPath, &[u8]),
) -> Result<Result<Readable, Vec<Refusal>>> {
    let files = RefCell::new(files);
    let derived = action::derive(
        note,
        &DeriveContext {
            file,
            fallback_work: WorkId(action::action_id(file)),
            default_hand: &config.mail.hand,
            default_from: config.mail.from.as_deref(),
            attachment: &|path| files.borrow_mut().info(path),
        },
    );
    if let Some(error) = files.borrow_mut().failure() {
        return Err(error);
    }
    let draft = match derived {
        Ok(draft) => draft,
        Err(refusals) => return Ok(Err(refusals)),
    };
    let attachment_sources = attachments::sources(draft.attachments, claimants);
    let marks = Marks { attachment_sources, first_time: is_new(&draft.action), ..Marks::of_note(path, note) };
    let rendered = action::render(&draft.action, &marks);
    let authors = Authors::default();
    Ok(Ok(Readable { action: draft.action, expires: draft.expires, marks, rendered, authors, objection: None }))
}

/// The content at a path; none where the vault has none.
fn fetch(client: &mut Client, path: &str) -> Result<Option<Vec<u8>>> {
    let answer = client.ask(&Request::File { path: path.to_owned() })?;
    if matches!(answer, Response::NotFound) {
        return Ok(None);
    }
    let Response::File { content } = answer else { return Err(unexpected()) };
    content.map(|content| BASE64.decode(content.as_bytes()).context("a content")).transpose()
}

/// What the vault's Handbook says; nothing where there is none.
pub fn handbook(client: &mut Client) -> Result<Handbook> {
    let note = fetch(client, HANDBOOK)?.unwrap_or_default();
    Ok(Handbook::read(&String::from_utf8_lossy(&note)))
}

/// What an approval says beside the action.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The nonce of the approval that is wanted a second time.
    pub repeat_of: Option<[u8; 16]>,
    /// When it is signed.
    pub now: Timestamp,
}

impl Desk {
    /// Signs the approval of exactly what was rendered and hands it to the executor, with the attachments' contents.
    pub fn approve(
        &mut self,
        home: &Home,
        client: &mut Client,
        roster: &Roster,
        owner: &OwnerKeys,
        item: &Item,
        terms: Terms,
    ) -> Result<()> {
        let readable = item.draft.as_ref().map_err(|refusals| not_approvable(item, refusals))?;
        let Terms { repeat_of, now } = terms;
        check_roster(roster, owner, now)?;
        let contents = attachments::contents(&readable.action, &readable.marks, &mut |path: &str| fetch(client, path))?;
        let decision = Decision {
            action: readable.action.hash(),
            render: readable.rendered.hash(),
            renderer: RENDERER_VERSION,
            nonce: random::array()?,
            expiry: now + APPROVAL_LIFETIME,
            executor: roster.executor,
            policy: self.policy.digest(),
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
        if self.known.learn(&readable.action) {
            self.known.store(home, &owner.approve, roster)?;
        }
        let name = format!("{}-{}.approval", decision.action, data_encoding::HEXLOWER.encode(&decision.nonce[..4]));
        private_file::write_private(&home.approved().join(name), &bundle.to_bytes())
            .context("cannot hand the approval to the executor")
    }
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

/// Signs a person's word that the clock is right now.
pub fn settle_clock(home: &Home, roster: &Roster, owner: &OwnerKeys, now: Timestamp) -> Result<()> {
    let signed = ClockSettlement { at: now }.sign(&owner.approve, roster.mesh);
    private_file::write_private(&home.approved().join(format!("{}.clock", now.as_millis())), &signed)
        .context("cannot tell the executor")
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
    if now + CLOCK_BEHIND_MAX < roster.issued {
        return Err(Fault::operator(
            "clock",
            format!(
                "the clock says {now}, but the roster was signed at {}: an approval would be of another time",
                roster.issued
            ),
            "Set the clock right. If it is right, the roster was signed while it was not: run `aiemp-node peers renew`.",
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

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        os::unix::net::UnixListener,
    };

    use aiemp_keys::{Hash, NodeId};
    use aiemp_protocol::zone::Zone;

    use super::*;

    struct NoClaimants;

    impl Claimants for NoClaimants {
        fn claimant(&self, _: &str) -> Option<NodeId> {
            None
        }
    }

    /// A node that gives these answers to one caller, and hangs up when it is asked for more.
    fn client_of(answers: &[&str]) -> Client {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let client = Client::connect(&path).unwrap().expect("somebody listens");
        let (stream, _) = listener.accept().unwrap();
        let answers: Vec<_> = answers.iter().map(|answer| format!("{answer}\n")).collect();
        std::thread::spawn(move || {
            let mut stream = BufReader::new(stream);
            for answer in answers {
                stream.read_line(&mut String::new()).unwrap();
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
            }
            stream.read_line(&mut String::new()).ok();
        });
        client
    }

    fn read(client: &mut Client) -> Result<Result<Readable, Vec<Refusal>>> {
        let config = Config::parse("vault = \"/vault\"\n").unwrap();
        let file = FileId { zone: Zone::Drafts, hash: Hash::of_content(b"file") };
        let note = "---\naction: email\nfrom: me@mine.test\nto: a@client.test\nsubject: x\nattachments: [a.pdf, b.pdf]\n---\n\
                    the body\n";
        let mut fetch = |path: &str| fetch(client, path);
        let mut files = Files::new(&mut fetch);
        let path = VaultPath::parse("Pending_Approval/x.md").unwrap();
        read_draft(&config, &NoClaimants, &mut files, &Action::marked_values, (file, &path, note.as_bytes()))
    }

    #[test]
    fn an_attachment_that_the_vault_does_not_hold_is_the_drafts_fault() {
        for absent in [r#"{"answer":"not_found"}"#, r#"{"answer":"file","content":null}"#] {
            let mut client = client_of(&[r#"{"answer":"file","content":"YQ=="}"#, absent]);
            let refusals = read(&mut client).expect("the node answered").unwrap_err();
            let text = refusals.iter().map(ToString::to_string).collect::<String>();
            assert!(text.contains("`b.pdf` is not in the vault"), "{text}");
        }
    }

    #[test]
    fn a_node_that_fails_is_not_the_drafts_fault() {
        let gone = "the node stopped while it was asked; run the command again";
        let other = "the node answered something else; are both of one version?";
        for (answers, expected) in [(&[][..], gone), (&[r#"{"answer":"done"}"#; 2], other)] {
            let error = read(&mut client_of(answers)).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_clock_ten_years_off_approves_nothing_and_says_so() {
        let home = tempfile::tempdir().unwrap();
        let keystore = aiemp_keys::Keystore::at(home.path());
        let (owner, _) = keystore.create_owner(&aiemp_keys::Protection::Unprotected).unwrap();
        let node = aiemp_keys::Signer::from_seed([3; 32]).node_id();
        let member = aiemp_protocol::roster::Member {
            node,
            name: "local".to_owned(),
            role: aiemp_protocol::roster::Role::Local,
            generation_min: 0,
            quota: aiemp_protocol::roster::Quota::default(),
        };
        let signed = Timestamp::from_millis(1_767_781_800_000);
        let roster =
            Roster::found(&owner.root, Hash::of_content(b"next"), owner.approve.public(), member, false, signed);
        let years = std::time::Duration::from_secs(10 * 365 * 86_400);
        check_roster(&roster, &owner, signed).unwrap();
        check_roster(&roster, &owner, signed.earlier_by(CLOCK_BEHIND_MAX)).expect("a few minutes are no matter");
        let ahead = check_roster(&roster, &owner, signed + years).unwrap_err();
        assert_eq!((ahead.code, ahead.exit), ("roster_expired", 1));
        let behind = check_roster(&roster, &owner, signed.earlier_by(years)).unwrap_err();
        assert_eq!((behind.code, behind.exit), ("clock", 1));
        assert!(behind.message.contains("2016-01-10") && behind.fix.contains("Set the clock right"), "{behind}");
    }

    fn receipt(action: &Action, nonce: u8, outcome: &str, at_ms: u64) -> WireReceipt {
        WireReceipt {
            action: format!("{nonce:064x}"),
            work: action.work.to_string(),
            kind: action.kind().as_str().to_owned(),
            file: "f".to_owned(),
            nonce: format!("{nonce:032x}"),
            outcome: outcome.to_owned(),
            at_ms,
            message_id: None,
            detail: String::new(),
            standing: None,
            path: "Done/mail.md".to_owned(),
        }
    }

    #[test]
    fn a_third_approval_of_one_work_repeats_the_second() {
        let content = r#"{"answer":"file","content":"YQ=="}"#;
        let action = read(&mut client_of(&[content; 2])).unwrap().unwrap().action;
        let by_hash =
            vec![receipt(&action, 1, "sent", 10), receipt(&action, 2, "sent", 20), receipt(&action, 3, "failed", 15)];
        let mut desk = Desk { receipts: by_hash, ..Desk::default() };
        let nonce = |receipt: Option<&WireReceipt>| nonce_of(receipt.expect("a receipt")).unwrap()[15];
        assert_eq!((nonce(desk.receipt_for_work(&action)), nonce(desk.repeated(&action))), (2, 2));
        desk.receipts.push(receipt(&action, 4, "failed", 30));
        assert_eq!((nonce(desk.receipt_for_work(&action)), nonce(desk.repeated(&action))), (2, 4));
        desk.receipts.retain(|receipt| receipt.outcome == "failed");
        assert!(desk.receipt_for_work(&action).is_none(), "what failed is approved again without a word");
    }
}
