//! One valid object of each kind, and how it is verified.

use aiemp_keys::{CborError, CoseError, Hash, NodeId, Signer, cbor, cose};
use aiemp_protocol::{
    action::{Action, ActionError},
    approval::{Bundle, BundleError, Decision, Outcome, Receipt, Settlement, Standing},
    entry::{Entry, EntryError, FieldWrite, FileKind, Item, Position, SignedEntry},
    ids::{Audience, ConflictId, ContentHash, EntryHash, FileId, LogId, MeshId, WorkId},
    pairing::Ticket,
    roster::{Member, Quota, Role, RosterChain, RosterError, SignedRoster},
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use crate::mesh::{NOW, Owner, owner};

/// Why an object was refused, in one word for all kinds: `form`, `signature`, and what the kind itself tells apart.
pub(crate) type Verdict = Result<(), &'static str>;

/// A reader of a wire form.
pub(crate) type Verify = Box<dyn Fn(&[u8]) -> Verdict>;

/// An object that a reader verifies.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) verify: Verify,
    /// Every reason that a single flipped bit gives.
    pub(crate) reasons: &'static [&'static str],
}

/// An object under one signature.
pub(crate) struct SignedKind {
    pub(crate) name: &'static str,
    pub(crate) cose: Vec<u8>,
    /// Another object of the kind, by the same key in the same context.
    pub(crate) sibling: Vec<u8>,
    /// What the `COSE_Sign1` travels in.
    pub(crate) wrap: fn(&[u8]) -> Vec<u8>,
    pub(crate) verify: Verify,
    /// Verifies the bare `COSE_Sign1` in another mesh.
    pub(crate) verify_elsewhere: Verify,
    pub(crate) elsewhere: &'static str,
}

pub(crate) struct Parts {
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// Takes a `COSE_Sign1` apart by hand: its last 64 bytes are the signature.
pub(crate) fn parts(cose: &[u8]) -> Parts {
    let payload = cose::payload_unverified(cose).expect("a COSE_Sign1");
    Parts { payload, signature: cose[cose.len() - 64..].to_vec() }
}

/// Puts a `COSE_Sign1` together by hand.
pub(crate) fn structure(payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let empty = cbor::Value::Map(Vec::new());
    let protected = cbor::bytes(&[0xa1, 0x01, 0x27]);
    cbor::encode(&cbor::array([protected, empty, cbor::bytes(payload), cbor::bytes(signature)]))
}

pub(crate) const fn of_cose(error: CoseError) -> &'static str {
    match error {
        CoseError::BadSignature => "signature",
        CoseError::Malformed
        | CoseError::ProtectedHeader
        | CoseError::UnprotectedHeader
        | CoseError::NoPayload
        | CoseError::SignatureLength
        | CoseError::NotCanonical => "form",
    }
}

pub(crate) fn of_roster(error: &RosterError) -> &'static str {
    match error {
        RosterError::Form(_) => "form",
        RosterError::Signature(error) => of_cose(*error),
        RosterError::ForeignMesh => "foreign mesh",
        RosterError::NotNext { .. } => "not next",
        RosterError::Fork { .. } => "fork",
        RosterError::Inconsistent(_) => "inconsistent",
    }
}

pub(crate) const fn of_entry(error: &EntryError) -> &'static str {
    match error {
        EntryError::Form(_) => "form",
        EntryError::Signature(error) => of_cose(*error),
        EntryError::Cap(_) => "cap",
        EntryError::Newer => "newer",
    }
}

pub(crate) const fn of_bundle(error: &BundleError) -> &'static str {
    match error {
        BundleError::Form(_) => "form",
        BundleError::Signature(error) => of_cose(*error),
        BundleError::Action(_) => "action",
        BundleError::OtherAction => "other action",
        BundleError::OtherRender => "other render",
        BundleError::OtherAttachment => "other attachment",
        BundleError::OtherExecutor => "other executor",
        BundleError::OldEpoch => "old epoch",
        BundleError::RosterExpired(_) => "roster expired",
        BundleError::Expired(_) => "expired",
    }
}

fn of_cbor(_: CborError) -> &'static str {
    "form"
}

pub(crate) fn mesh() -> MeshId {
    owner(10).rosters.current().mesh
}

fn elsewhere() -> MeshId {
    owner(50).rosters.current().mesh
}

pub(crate) fn log(owner: &Owner) -> LogId {
    LogId { author: owner.executor(), generation: 0, audience: Audience::All }
}

/// The second roster of the mesh, with a Cloud node.
pub(crate) fn second_roster(owner: &Owner, name: &str) -> Vec<u8> {
    let mut next = owner.rosters.current().successor(NOW);
    let node = Signer::from_seed([77; 32]).node_id();
    let quota = Quota::default();
    next.members.push(Member { node, name: name.to_owned(), role: Role::Cloud, generation_min: 0, quota });
    SignedRoster::sign(&owner.root, next).to_bytes()
}

fn cose_of_roster(bytes: &[u8]) -> Vec<u8> {
    let mut fields = cbor::Fields::decode(bytes, "signed roster").expect("a roster");
    fields.value().expect("the key");
    fields.bytes().expect("the signature")
}

fn wrap_roster(cose: &[u8]) -> Vec<u8> {
    cbor::encode(&cbor::array([owner(10).root.public().to_value(), cbor::bytes(cose)]))
}

fn extend(chain: &RosterChain, bytes: &[u8]) -> Verdict {
    chain.clone().extend(bytes).map(|_| ()).map_err(|error| of_roster(&error))
}

pub(crate) fn entry(owner: &Owner, choice: &str) -> Entry {
    let (log, base) = (log(owner), ContentHash::of(b"text"));
    let file = FileId::fresh(Zone::Drafts, log, 1, 0);
    let path = VaultPath::parse("Plans/PLAN_1.md").expect("a path");
    let items = vec![
        Item::New { file, path: path.clone(), kind: FileKind::Note, base, length: 4 },
        Item::Set { file, write: FieldWrite::Path(path) },
        Item::Change { file, base, length: 9, hash: base },
        Item::Claim { work: WorkId(base.0), from: file, to: file.moved_to(Zone::Intake), lease_ms: 5 },
        Item::Resolve { id: ConflictId(base.0), choice: choice.to_owned() },
    ];
    let seen = vec![Position { log: LogId { generation: 1, ..log }, seq: 3, hash: EntryHash(base.0) }];
    Entry { seq: 1, epoch: 1, hlc: NOW, seen, items }
}

/// An entry with an item that came later to the format.
pub(crate) fn compacting_entry(owner: &Owner) -> SignedEntry {
    let (log, base) = (log(owner), ContentHash::of(b"anew"));
    let file = FileId::fresh(Zone::Drafts, log, 1, 0);
    let items = vec![Item::Compacted { file, from: ContentHash::of(b"text"), length: 4, base }];
    SignedEntry::sign(&owner.node, mesh(), log, None, Entry { seq: 1, epoch: 1, hlc: NOW, seen: Vec::new(), items })
}

pub(crate) fn signed_entry(owner: &Owner, choice: &str) -> SignedEntry {
    SignedEntry::sign(&owner.node, mesh(), log(owner), None, entry(owner, choice))
}

pub(crate) fn ticket() -> Ticket {
    let cloud = Signer::from_seed([77; 32]).node_id();
    Ticket::new(cloud, vec!["/ip4/192.0.2.7/tcp/4001".to_owned()], [3; 16], NOW)
}

pub(crate) fn receipt(owner: &Owner, outcome: Outcome) -> Vec<u8> {
    let bundle = owner.approval("a@client.test", 1, 1, None);
    let action = Action::from_bytes(&bundle.action).expect("an action");
    let receipt = Receipt {
        action: action.hash(),
        work: action.work,
        kind: action.kind(),
        file: bundle.file,
        nonce: [1; 16],
        outcome,
        at: NOW,
        message_id: Some("1@example.test".to_owned()),
        detail: "250 ok".to_owned(),
        note: bundle.note,
        unattended: false,
        standing: None,
    };
    receipt.sign(&receipt_key(), mesh())
}

pub(crate) fn receipt_key() -> Signer {
    Signer::from_seed([88; 32])
}

pub(crate) fn settlement(owner: &Owner, sent: bool) -> Vec<u8> {
    let action = owner.approval("a@client.test", 1, 1, None).claimed_action().expect("an action");
    Settlement { action, nonce: [1; 16], sent }.sign(&owner.approve, mesh())
}

/// Verifies a bundle's wire form as the executor does.
pub(crate) fn verify_bundle(owner: &Owner, executor: NodeId, now: Timestamp, bytes: &[u8]) -> Verdict {
    let bundle = Bundle::from_bytes(bytes).map_err(of_cbor)?;
    bundle.verify(owner.rosters.current(), executor, now).map(|_| ()).map_err(|error| of_bundle(&error))
}

/// An approval of a mail with an attachment, complete.
pub(crate) fn bundle() -> Bundle {
    owner(10).approval_with(("report.pdf", b"report"), "Private/report.pdf")
}

/// An action is no signed thing of its own: it counts by its hash.
fn verify_action(bytes: &[u8], approved: Hash) -> Verdict {
    let action = Action::from_bytes(bytes).map_err(|error| match error {
        ActionError::Shape(_) => "form",
        ActionError::Version { .. } => "version",
        ActionError::Value { .. } => "value",
    })?;
    if action.hash().0 == approved { Ok(()) } else { Err("other action") }
}

pub(crate) fn kinds() -> Vec<Kind> {
    let action = bundle().action;
    let approved = Action::from_bytes(&action).expect("an action").hash().0;
    let mut kinds = vec![
        Kind {
            name: "ticket",
            bytes: ticket().to_string().into_bytes(),
            verify: Box::new(|bytes| {
                let text = std::str::from_utf8(bytes).map_err(|_| "form")?;
                text.parse::<Ticket>().map(|_| ()).map_err(|_| "form")
            }),
            reasons: &["form"],
        },
        Kind {
            name: "action",
            bytes: action,
            verify: Box::new(move |bytes| verify_action(bytes, approved)),
            reasons: &["form", "other action", "value", "version"],
        },
    ];
    let mut chain = owner(10).rosters;
    chain.extend(&second_roster(&owner(10), "cloud")).expect("follows");
    kinds.push(Kind {
        name: "roster chain",
        bytes: chain.to_bytes(),
        verify: Box::new(|bytes| RosterChain::from_bytes(bytes).map(|_| ()).map_err(|error| of_roster(&error))),
        reasons: &["form", "signature"],
    });
    kinds.extend(signed_kinds().into_iter().map(|kind| Kind {
        name: kind.name,
        bytes: (kind.wrap)(&kind.cose),
        verify: kind.verify,
        reasons: &["form", "signature"],
    }));
    kinds
}

pub(crate) fn signed_kinds() -> Vec<SignedKind> {
    vec![roster_kind(), entry_kind(), approval_kind(), settlement_kind(), standing_kind(), receipt_kind()]
}

fn roster_kind() -> SignedKind {
    let chain = owner(10).rosters;
    SignedKind {
        name: "roster",
        cose: cose_of_roster(&second_roster(&owner(10), "cloud")),
        sibling: cose_of_roster(&second_roster(&owner(10), "nimbus")),
        wrap: wrap_roster,
        verify: Box::new(move |bytes| extend(&chain, bytes)),
        verify_elsewhere: Box::new(|cose| extend(&owner(50).rosters, &wrap_roster(cose))),
        elsewhere: "foreign mesh",
    }
}

fn in_mesh(mesh: MeshId, verify: impl Fn(MeshId, &[u8]) -> Verdict + 'static) -> Verify {
    Box::new(move |bytes| verify(mesh, bytes))
}

fn entry_kind() -> SignedKind {
    let log = log(&owner(10));
    let verify = move |mesh: MeshId, cose: &[u8]| {
        SignedEntry::verify(mesh, log, None, cose).map(|_| ()).map_err(|error| of_entry(&error))
    };
    SignedKind {
        name: "entry",
        cose: signed_entry(&owner(10), "both").cose,
        sibling: signed_entry(&owner(10), "local").cose,
        wrap: <[u8]>::to_vec,
        verify: in_mesh(mesh(), verify),
        verify_elsewhere: in_mesh(elsewhere(), verify),
        elsewhere: "signature",
    }
}

fn approval_kind() -> SignedKind {
    let key = owner(10).approve.public();
    let verify = move |mesh, cose: &[u8]| Decision::verify(&key, mesh, cose).map(|_| ()).map_err(of_cose);
    SignedKind {
        name: "approval",
        cose: owner(10).approval("a@client.test", 1, 1, None).approval,
        sibling: owner(10).approval("b@client.test", 1, 1, None).approval,
        wrap: <[u8]>::to_vec,
        verify: in_mesh(mesh(), verify),
        verify_elsewhere: in_mesh(elsewhere(), verify),
        elsewhere: "signature",
    }
}

fn settlement_kind() -> SignedKind {
    let key = owner(10).approve.public();
    let verify = move |mesh, cose: &[u8]| Settlement::verify(&key, mesh, cose).map(|_| ()).map_err(of_cose);
    SignedKind {
        name: "settlement",
        cose: settlement(&owner(10), true),
        sibling: settlement(&owner(10), false),
        wrap: <[u8]>::to_vec,
        verify: in_mesh(mesh(), verify),
        verify_elsewhere: in_mesh(elsewhere(), verify),
        elsewhere: "signature",
    }
}

fn standing_kind() -> SignedKind {
    let key = owner(10).approve.public();
    let verify = move |mesh, cose: &[u8]| Standing::verify(&key, mesh, cose).map(|_| ()).map_err(of_cose);
    SignedKind {
        name: "standing approval",
        cose: owner(10).standing(&["a@client.test"], 3).1,
        sibling: owner(10).standing(&["b@client.test"], 3).1,
        wrap: <[u8]>::to_vec,
        verify: in_mesh(mesh(), verify),
        verify_elsewhere: in_mesh(elsewhere(), verify),
        elsewhere: "signature",
    }
}

fn receipt_kind() -> SignedKind {
    let key = receipt_key().public();
    let verify = move |mesh, cose: &[u8]| Receipt::verify(&key, mesh, cose).map(|_| ()).map_err(of_cose);
    SignedKind {
        name: "receipt",
        cose: receipt(&owner(10), Outcome::Sent),
        sibling: receipt(&owner(10), Outcome::Failed),
        wrap: <[u8]>::to_vec,
        verify: in_mesh(mesh(), verify),
        verify_elsewhere: in_mesh(elsewhere(), verify),
        elsewhere: "signature",
    }
}
