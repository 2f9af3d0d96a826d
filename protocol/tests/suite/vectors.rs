//! Golden vectors: the exact bytes of what is signed and sent, from fixed keys. A change needs a new version in
//! `docs/wire.md`.

use aiemp_keys::{Hash, Signer};
use aiemp_protocol::{
    approval::Outcome,
    entry::Position,
    frame::Frame,
    ids::{ContentHash, EntryHash, FileId},
    pairing::{Inventory, Listed, Message, remote_digest},
    roster::{ClosedLog, RosterChain, SignedRoster, ZoneOverride},
    vault_path::VaultPath,
    zone::Zone,
};
use data_encoding::HEXLOWER;

use crate::{
    mesh::{NOW, Owner, owner},
    standing,
    tamper::objects::{self, bundle, compacting_entry, log, receipt, settlement, signed_entry, ticket},
};

/// The words of a file: lines of hex, `#` begins a comment.
fn expected(file: &str) -> Vec<String> {
    let lines = file.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(str::to_owned).collect()
}

fn assert_pinned(name: &str, file: &str, objects: &[Vec<u8>]) {
    let made: Vec<String> = objects.iter().map(|bytes| HEXLOWER.encode(bytes)).collect();
    assert_eq!(
        made,
        expected(file),
        "the bytes of {name} changed: that needs a new version in docs/wire.md\n{}\n",
        made.join("\n")
    );
}

/// Epoch 1, and an epoch 2 in which everything stands that a roster can hold.
fn rosters() -> Vec<Vec<u8>> {
    let owner = owner(10);
    let mut next = owner.rosters.current().successor(NOW);
    let mut cloud = next.members[0].clone();
    cloud.node = Signer::from_seed([77; 32]).node_id();
    "cloud".clone_into(&mut cloud.name);
    cloud.role = aiemp_protocol::roster::Role::Cloud;
    next.members.push(cloud);
    next.closed.push(ClosedLog { log: log(&owner), seq: 3, hash: Hash::of_content(b"entry") });
    next.zones.push(ZoneOverride { prefix: "accounting".to_owned(), shared: true });
    next.unattended = true;
    let second = SignedRoster::sign(&owner.root, next).to_bytes();
    let Owner { mut rosters, .. } = owner;
    rosters.extend(&second).expect("follows");
    let mut all: Vec<Vec<u8>> = rosters.after(0).collect();
    all.push(rosters.to_bytes());
    all
}

fn frames() -> Vec<Vec<u8>> {
    let (log, hash) = (log(&owner(10)), ContentHash::of(b"text"));
    let position = Position { log, seq: 3, hash: EntryHash(hash.0) };
    let cose = signed_entry(&owner(10), "both").cose;
    let frames = [
        Frame::Hello { epoch: 1, roster: hash.0, frontier: hash.0, has_brain: true },
        Frame::Frontier { positions: vec![position] },
        Frame::Fetch { log, from_seq: 1, count: 64 },
        Frame::Entry { log, cose, payloads: vec![Some(b"text".to_vec()), None] },
        Frame::Roster { bytes: b"roster".to_vec() },
        Frame::PayloadWanted { hash, offset: 1 << 20, shared: true },
        Frame::PayloadPart { hash, offset: 0, length: 4, bytes: b"text".to_vec() },
    ];
    frames.iter().map(Frame::to_bytes).collect()
}

#[test]
fn rosters_have_exactly_these_bytes() {
    let made = rosters();
    assert_pinned("rosters", include_str!("../../../tests/vectors/roster.hex"), &made);
    assert_eq!(RosterChain::from_bytes(&made[2]).expect("verifies").current().epoch, 2);
}

#[test]
fn an_entry_has_exactly_these_bytes() {
    let signed = signed_entry(&owner(10), "both");
    let compacting = compacting_entry(&owner(10));
    let made = [signed.cose, signed.hash.0.as_bytes().to_vec(), compacting.cose];
    assert_pinned("entries", include_str!("../../../tests/vectors/entry.hex"), &made);
}

#[test]
fn frames_have_exactly_these_bytes() {
    let made = frames();
    assert_pinned("frames", include_str!("../../../tests/vectors/frame.hex"), &made);
    assert!(made.iter().all(|bytes| Frame::from_bytes(bytes).is_ok()));
}

#[test]
fn the_inventory_of_a_pairing_and_the_id_of_an_adopted_file_have_exactly_these_bytes() {
    let path = VaultPath::parse("Plans/Plan.md").expect("a path");
    let hash = ContentHash::of(b"text");
    let adopted = FileId::adopted(Zone::Drafts, &path.key(), hash).to_bytes();
    let listed = Listed { path, hash, length: 4 };
    let whole = Inventory { files: vec![listed], left_out: 2, remotes: vec![remote_digest("example.test/me/vault")] };
    let wanted = Message::InventoryWanted { node_signature: vec![1; 3], root_signature: vec![2; 3] };
    let messages = [wanted].into_iter().chain(whole.into_messages()).map(|message| message.to_bytes());
    let objects: Vec<_> = messages.chain([adopted]).collect();
    assert_pinned("an inventory", include_str!("../../../tests/vectors/inventory.hex"), &objects);
}

#[test]
fn a_ticket_has_exactly_this_text() {
    let dialer = ticket().invite().to_bytes();
    let made = [ticket().to_string().into_bytes(), dialer];
    assert_pinned("tickets", include_str!("../../../tests/vectors/ticket.hex"), &made);
}

#[test]
fn an_approval_has_exactly_these_bytes() {
    let approval = owner(10).approval("a@client.test", 1, 1, Some([2; 16])).approval;
    let made = [approval, settlement(&owner(10), true), bundle().to_bytes()];
    assert_pinned("approvals", include_str!("../../../tests/vectors/approval.hex"), &made);
}

#[test]
fn a_standing_approval_its_request_and_its_receipt_have_exactly_these_bytes() {
    let owner = owner(10);
    let (_, signed) = owner.standing(&["a@client.test", "b@client.test"], 3);
    let request = standing::request(&owner, "a@client.test").to_bytes();
    let row = standing::admitted(&owner, "a@client.test").bundle.to_bytes();
    let receipt = standing::receipt(&owner, "a@client.test");
    let made = [signed, request, row, receipt];
    assert_pinned("standing approvals", include_str!("../../../tests/vectors/standing.hex"), &made);
}

#[test]
fn a_receipt_has_exactly_these_bytes() {
    let made = [receipt(&owner(10), Outcome::Sent), receipt(&owner(10), Outcome::Unknown)];
    assert_pinned("receipts", include_str!("../../../tests/vectors/receipt.hex"), &made);
    let settled = objects::parts(&made[0]).payload;
    assert_ne!(settled, objects::parts(&made[1]).payload);
}
