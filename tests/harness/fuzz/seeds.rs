//! Valid objects of every kind, made by fixed keys: where a fuzzer starts, so that it gets past the first check.

use std::{collections::BTreeSet, sync::LazyLock, time::Duration};

use aiemp_crdt::document::{self, Document};
use aiemp_keys::{Hash, PublicKey, Signer, cbor, cose, next_root_hash};
use aiemp_protocol::{
    a2a::{Announcement, transcode::from_cbor},
    action::{
        self, A2a, Action, Attachment, AttachmentSource, Content, Email, Http, Marks, Payment, Post, RENDERER_VERSION,
        Tool,
    },
    approval::{Bundle, Decision, Outcome, Policy, Receipt, Settlement, Standing, StandingId, standing::Request},
    entry::{ContentRef, Entry, FieldWrite, FileKind, Item, Position, SignedEntry},
    frame::Frame,
    ids::{ActionHash, Audience, ConflictId, ContentHash, DocId, EntryHash, FileId, LogId, MeshId, WorkId},
    pairing::{Inventory, Invite, Listed, Message, Ticket},
    roster::{ClosedLog, Member, Quota, Role, Roster, RosterChain, SignedRoster, ZoneOverride},
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use super::{calls, changes};

/// When everything here happens.
pub const NOW: Timestamp = Timestamp::from_millis(1_767_781_800_000);

pub(super) const TEST_DOMAIN: &str = "aiemp test fuzz";
pub(super) const ROSTER_DOMAIN: &str = "aiemp-node 2026 roster";
pub(super) const ENTRY_DOMAIN: &str = "aiemp-node 2026 entry";
pub(super) const APPROVAL_DOMAIN: &str = "aiemp-node 2026 approval";
pub(super) const SETTLEMENT_DOMAIN: &str = "aiemp-node 2026 settlement";
pub(super) const STANDING_DOMAIN: &str = "aiemp-node 2026 standing approval";
pub(super) const RECEIPT_DOMAIN: &str = "aiemp-node 2026 receipt";

/// The root key.
pub fn root() -> Signer {
    static KEY: LazyLock<Signer> = LazyLock::new(|| Signer::from_seed([10; 32]));
    KEY.clone()
}

/// The approve key; it signs receipts here as well.
pub fn approve() -> Signer {
    static KEY: LazyLock<Signer> = LazyLock::new(|| Signer::from_seed([11; 32]));
    KEY.clone()
}

/// The key of the one Local node.
pub fn node() -> Signer {
    static KEY: LazyLock<Signer> = LazyLock::new(|| Signer::from_seed([12; 32]));
    KEY.clone()
}

/// The mesh of that root key.
pub fn mesh() -> MeshId {
    static MESH: LazyLock<MeshId> = LazyLock::new(|| MeshId::founded_by(&root().public()));
    *MESH
}

/// The node's shared log.
pub fn log() -> LogId {
    LogId { author: node().node_id(), generation: 0, audience: Audience::All }
}

/// The draft that actions come from.
pub fn file() -> FileId {
    FileId { zone: Zone::Drafts, hash: Hash::of_content(b"file") }
}

/// What it is drafted for.
pub fn work() -> WorkId {
    WorkId(Hash::of_content(b"work"))
}

/// The document of changes.
pub fn doc() -> DocId {
    DocId(Hash::of_content(b"doc"))
}

/// A founded mesh of one node.
pub fn chain() -> RosterChain {
    static CHAIN: LazyLock<RosterChain> = LazyLock::new(|| {
        let signed = SignedRoster::sign(&root(), first_roster());
        RosterChain::begin(&signed.to_bytes()).expect("founds a mesh")
    });
    CHAIN.clone()
}

fn member(node: Signer, name: &str, role: Role) -> Member {
    Member { node: node.node_id(), name: name.to_owned(), role, generation_min: 0, quota: Quota::default() }
}

fn first_roster() -> Roster {
    let next = next_root_hash(&Signer::from_seed([13; 32]).public());
    Roster::found(&root(), next, approve().public(), member(node(), "local", Role::Local), false, NOW)
}

fn second_roster() -> Roster {
    let mut roster = first_roster().successor(NOW);
    roster.members.push(member(Signer::from_seed([14; 32]), "cloud", Role::Cloud));
    roster.closed.push(ClosedLog { log: log(), seq: 3, hash: Hash::of_content(b"entry") });
    roster.zones.push(ZoneOverride { prefix: "accounting".to_owned(), shared: true });
    roster
}

/// The inputs that a target starts from; none for an unknown name.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "a2a" => calls(),
        "active" => actives(),
        "approval" => approvals(),
        "cose" => vec![cose::sign1(&node(), TEST_DOMAIN, &[cbor::uint(3)], b"hello"), b"\x82\x01\x62hi".to_vec()],
        "draft_format" => texts(&include!("seeds/drafts.rs")),
        "entry" => entries(),
        "frame" => frames(),
        "guard" => texts(&["hunter2-hunter2!", "a sk_live_0123456789abcdefghijklmnopqrstuv b", "hunter2 -hunter2"]),
        "hands" => hands(),
        "imap" => texts(&include!("seeds/imap.rs")),
        "mail" => texts(&include!("seeds/mails.rs")),
        "note" => texts(&include!("seeds/notes.rs")),
        "path" => paths(),
        "renderer" => contents().into_iter().map(|content| of_content(content).to_bytes()).collect(),
        "roster" => rosters(),
        "standing" => standings(),
        "ticket" => tickets(),
        "vet" => changes(),
        _ => Vec::new(),
    }
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn payload(signed: &[u8]) -> Vec<u8> {
    cose::payload_unverified(signed).expect("made by us")
}

/// Without its signature: the payload of a signed roster.
fn bare(signed: &SignedRoster) -> Vec<u8> {
    let mut fields = cbor::Fields::decode(&signed.to_bytes(), "signed roster").expect("made by us");
    PublicKey::read(&mut fields).expect("made by us");
    payload(&fields.bytes().expect("made by us"))
}

fn rosters() -> Vec<Vec<u8>> {
    let second = SignedRoster::sign(&root(), second_roster());
    let mut chain = chain();
    chain.extend(&second.to_bytes()).expect("follows");
    let first = SignedRoster::sign(&root(), first_roster());
    vec![first.to_bytes(), bare(&first), bare(&second), chain.to_bytes()]
}

fn entry() -> Entry {
    let path = VaultPath::parse("Plans/email/PLAN_1.md").expect("a path");
    let base = ContentHash::of(b"text");
    let items = vec![
        Item::New { file: file(), path: path.clone(), kind: FileKind::Note, base, length: 4 },
        Item::Set { file: file(), write: FieldWrite::Path(path) },
        Item::Set { file: file(), write: FieldWrite::Kind(FileKind::Blob) },
        Item::Set { file: file(), write: FieldWrite::Base(ContentRef { hash: base, length: 4 }) },
        Item::Set { file: file(), write: FieldWrite::Archived(true) },
        Item::Change { file: file(), base, length: 9, hash: base },
        Item::Claim { work: work(), from: file(), to: file().moved_to(Zone::Claim(node().node_id())), lease_ms: 5 },
        Item::Resolve { id: ConflictId(base.0), choice: "both".to_owned() },
        Item::Compacted { file: file(), from: base, length: 4, base: ContentHash::of(b"anew") },
    ];
    let seen = vec![Position { log: log(), seq: 3, hash: EntryHash(base.0) }];
    Entry { seq: 1, epoch: 1, hlc: NOW, seen, items }
}

fn signed_entry() -> SignedEntry {
    SignedEntry::sign(&node(), mesh(), log(), None, entry())
}

fn entries() -> Vec<Vec<u8>> {
    let signed = signed_entry();
    vec![payload(&signed.cose), signed.cose]
}

fn frames() -> Vec<Vec<u8>> {
    let hash = ContentHash::of(b"text");
    let local = LogId { audience: Audience::Local, ..log() };
    let position = |log| Position { log, seq: 3, hash: EntryHash(hash.0) };
    let frames = [
        Frame::Hello { epoch: 1, roster: hash.0, frontier: hash.0, has_brain: true },
        Frame::Frontier { positions: vec![position(log()), position(local)] },
        Frame::Fetch { log: log(), from_seq: 1, count: 64 },
        Frame::Entry { log: log(), cose: signed_entry().cose, payloads: vec![Some(b"text".to_vec()), None, None] },
        Frame::Roster { bytes: rosters().remove(0) },
        Frame::PayloadWanted { hash, offset: 1 << 20, shared: false },
        Frame::PayloadPart { hash, offset: 0, length: 4, bytes: b"text".to_vec() },
        Frame::Freeze { records: vec![signed_entry().cose] },
    ];
    frames.iter().map(Frame::to_bytes).collect()
}

fn attachment() -> Attachment {
    Attachment {
        name: "report.pdf".to_owned(),
        media_type: "application/pdf".to_owned(),
        length: 6,
        hash: ContentHash::of(b"report"),
    }
}

fn email() -> Email {
    Email {
        hand: "smtp".to_owned(),
        from: "Me <me@mine.test>".to_owned(),
        to: vec!["a@client.test".to_owned()],
        cc: vec!["Bücher <book@client.test>".to_owned()],
        bcc: Vec::new(),
        subject: "January 2026 Invoice".to_owned(),
        body: "Hi,\n\n\u{202e}here | it is.\n".to_owned(),
        in_reply_to: Some("<1@client.test>".to_owned()),
        references: vec!["<0@client.test>".to_owned()],
        attachments: vec![attachment()],
    }
}

fn contents() -> Vec<Content> {
    let own = str::to_owned;
    vec![
        Content::Email(email()),
        Content::Post(Post {
            hand: own("x"),
            network: own("mastodon"),
            text: own("Hello\n"),
            attachments: vec![attachment()],
        }),
        Content::Payment(Payment {
            hand: own("bank"),
            payee: own("Client A"),
            account: own("DE00 1234"),
            amount_minor: 150_000,
            currency: own("EUR"),
            reference: own("2026-01"),
        }),
        Content::Tool(Tool {
            server: own("files"),
            tool: own("move"),
            arguments: b"{\"a\": [1, 2.5, null]}".to_vec(),
            schema: Some(Hash::of_content(b"schema")),
        }),
        Content::Http(Http { connector: own("crm"), params: vec![(own("a"), own("1")), (own("b"), own("zwei"))] }),
        Content::A2a(A2a { agent: own("books"), card_key: Hash::of_content(b"card"), message: own("Hello\n") }),
    ]
}

pub(super) fn of_content(content: Content) -> Action {
    Action { file: action::action_id(file()), work: work(), content }
}

fn approvals() -> Vec<Vec<u8>> {
    let action = of_content(Content::Email(email()));
    let path = VaultPath::parse("Private/report.pdf").expect("a path");
    let draft = VaultPath::parse("Pending_Approval/email/REPLY_1.md").expect("a path");
    let note = b"---\naction: email\n---\n".to_vec();
    let marks = Marks {
        first_time: action.marked_values(),
        attachment_sources: vec![AttachmentSource { path, is_private: true }],
        ..Marks::of_note(&draft, &note)
    };
    let decision = Decision {
        action: action.hash(),
        render: action::render(&action, &marks).hash(),
        renderer: RENDERER_VERSION,
        nonce: [1; 16],
        expiry: NOW,
        executor: node().node_id(),
        policy: Policy::default().digest(),
        epoch: 1,
        repeat_of: Some([2; 16]),
    };
    let signed = decision.sign(&approve(), mesh());
    let receipt = Receipt {
        action: action.hash(),
        work: work(),
        kind: action.kind(),
        file: file(),
        nonce: [1; 16],
        outcome: Outcome::Sent,
        at: NOW,
        message_id: Some("1@mine.test".to_owned()),
        detail: "250 ok".to_owned(),
        note: note.clone(),
        unattended: false,
        standing: None,
    };
    let settlement = Settlement { action: action.hash(), nonce: [1; 16], sent: true }.sign(&approve(), mesh());
    let receipt = receipt.sign(&approve(), mesh());
    let bundle = Bundle {
        approval: signed.clone(),
        action: action.to_bytes(),
        marks,
        file: file(),
        path: draft,
        note,
        attachments: vec![b"report".to_vec()],
    };
    vec![bundle.to_bytes(), payload(&signed), signed, payload(&settlement), payload(&receipt)]
}

/// A standing approval for a few mails to two people.
pub fn standing() -> Standing {
    Standing {
        id: StandingId([3; 16]),
        hand: "smtp".to_owned(),
        sender: "Me <me@mine.test>".to_owned(),
        recipients: BTreeSet::from(["a@client.test", "b@client.test"].map(str::to_owned)),
        count: 3,
        issued: NOW,
        until: NOW + Duration::from_secs(86_400),
        text_by_cloud: false,
        executor: node().node_id(),
        epoch: 1,
    }
}

/// What the mesh asks for a draft that it covers.
pub fn request() -> Request {
    Request {
        standing: standing().id,
        file: file(),
        path: VaultPath::parse("Pending_Approval/email/REPLY_1.md").expect("a path"),
        note: b"---\naction: email\nto: a@client.test\nsubject: Hello\n---\nBody\n".to_vec(),
        authors: BTreeSet::from([node().node_id()]),
        asked: NOW,
    }
}

fn standings() -> Vec<Vec<u8>> {
    let (standing, request, chain) = (standing(), request(), chain());
    let signed = standing.sign(&approve(), mesh());
    let policy = Policy::default().digest();
    let row = standing.admit(&signed, request.clone(), chain.current(), node().node_id(), policy, NOW);
    let mut found = vec![payload(&signed), signed, request.to_bytes(), row.expect("covered").bundle.to_bytes()];
    found.push(request.note);
    for line in ["cc: B <b@client.test>\nhand: smtp", "bcc: [thief@evil.test]", "from: a@client.test"] {
        found.push(format!("---\naction: email\nto: a@client.test\n{line}\nsubject: x\n---\ny\n").into_bytes());
    }
    found
}

fn actives() -> Vec<Vec<u8>> {
    let mut found = texts(&include!("seeds/actives.rs"));
    found.extend(texts(&include!("seeds/mails.rs")));
    found
}

fn hands() -> Vec<Vec<u8>> {
    let mut found = texts(&include!("seeds/hands.rs"));
    found.push(include_bytes!("../../../deploy/config/hands.toml").to_vec());
    found
}

fn tickets() -> Vec<Vec<u8>> {
    let ticket = Ticket::new(node().node_id(), vec!["/ip4/192.0.2.7/tcp/4001".to_owned()], [9; 16], NOW);
    let body = cbor::encode(&cbor::array([
        node().node_id().to_value(),
        cbor::array(ticket.addresses.iter().map(|address| cbor::text(address))),
        cbor::bytes(&ticket.secret),
        cbor::uint(ticket.expires.as_millis()),
    ]));
    assert_eq!(calls::checked_ticket(&body), ticket.to_string(), "the ticket's form is another one");
    let invite = Invite { dialer: node().node_id(), expires: NOW, mesh: Some(chain().current().mesh) };
    let messages = [
        Message::Offer { node: node().node_id(), root: root().public(), nonce: [1; 32] },
        Message::Answer { nonce: [2; 32], name: "cloud".to_owned() },
        Message::Proof { node_signature: vec![1; 64], root_signature: vec![2; 64], rosters: chain().to_bytes() },
        Message::Accepted,
        Message::Refused { reason: "no".to_owned() },
        Message::InventoryWanted { node_signature: vec![1; 64], root_signature: vec![2; 64] },
    ];
    let path = VaultPath::parse("Plans/a.md").expect("a path");
    let listed = Listed { path, hash: ContentHash::of(b"a"), length: 1 };
    let inventory = Inventory::of(vec![listed], vec![Hash::of_content(b"remote")]).into_messages();
    let mut found = vec![ticket.to_string().into_bytes(), body, invite.to_bytes()];
    found.extend(messages.iter().chain(&inventory).map(Message::to_bytes));
    found
}

fn calls() -> Vec<Vec<u8>> {
    let action = Some(ActionHash(Hash::of_content(b"action")));
    let announcement = Announcement { file: file(), work: work(), action }.to_call().expect("shared");
    let json = from_cbor(&announcement).expect("made by us").to_string().into_bytes();
    let mut found = texts(&[
        r#"{"method":"GetTask","version":"1.0","params":{"id":"t","historyLength":2}}"#,
        r#"{"method":"ListTasks","version":"1.0.2","params":{"pageSize":5,"pageToken":"x","status":"TASK_STATE_WORKING"}}"#,
        r#"{"method":"CancelTask","version":"1.0","params":{"id":"t"}}"#,
        r#"{"method":"SendStreamingMessage","version":"1.0","params":[1.5,-3,null,true]}"#,
    ]);
    found.extend([announcement, json]);
    found
}

fn paths() -> Vec<Vec<u8>> {
    let mut found = texts(&[
        "Pending_Approval/email/REPLY_1 (2).md",
        "in_progress/LOCAL/x.md",
        "Café/CAFE\u{301}. /ſtraße\u{345}.md",
        "Plans/.claude/settings.json",
        "Private/id_ed25519",
    ]);
    found.push(FileId { zone: Zone::Claim(node().node_id()), ..file() }.to_bytes());
    found.push(Zone::Claim(node().node_id()).to_bytes());
    found
}

fn changes() -> Vec<Vec<u8>> {
    let actor = document::actor(node().node_id(), doc(), 0, 0);
    let edit = |text: &str| Document::import(changes::BASE).edit(text, actor.clone()).expect("a change");
    let mut found = vec![edit("---\nstatus: done\n---\nHello there\n"), edit(""), edit("\u{feff}Hello\r\n")];
    // One of each operation of `changes::operate`, on each object; then references that point elsewhere.
    found.extend((0..8).map(|operation| vec![operation, 0, 1, 0, operation, 1, 7, 2, operation, 2, 3, 1]));
    found.push(vec![6, 2, 1, 0, 0xff, 0, 1, 6, 2, 0xff, 7, 2, 0, 1]);
    found.push(vec![0, 1, 9, 0, 3, 2, 12, 0]);
    found
}
