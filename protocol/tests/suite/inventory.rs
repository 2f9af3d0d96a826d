//! What Cloud says of its vault before it is admitted, and what becomes of two vaults.

use aiemp_keys::{
    Hash, Signer,
    cbor::{self, Value},
};
use aiemp_protocol::{
    ids::ContentHash,
    limits::{INVENTORY_FILES_MAX, INVENTORY_PART_FILES_MAX, INVENTORY_REMOTES_MAX, PATH_BYTES_MAX},
    pairing::{Asked, Gathering, Inventory, Listed, Message, Offered, PairingError, Plan, Ticket, remote_digest},
    vault_path::VaultPath,
};

use crate::mesh::{NOW, Owner, owner};

fn listed(at: &str, text: &str) -> Listed {
    let path = VaultPath::parse(at).expect("a path");
    Listed { path, hash: ContentHash::of(text.as_bytes()), length: text.len() as u64 }
}

fn inventory(files: &[(&str, &str)]) -> Inventory {
    Inventory::of(files.iter().map(|(at, text)| listed(at, text)).collect(), Vec::new())
}

fn gathered(messages: impl IntoIterator<Item = Message>) -> Result<Option<Inventory>, PairingError> {
    let mut gathering = Gathering::default();
    for message in messages {
        let message = Message::from_bytes(&message.to_bytes()).map_err(PairingError::from)?;
        if let Some(whole) = gathering.take(message)? {
            return Ok(Some(whole));
        }
    }
    Ok(None)
}

/// A part as any side may make it.
fn part(files: &[Listed], left_out: u64, remotes: usize, is_last: bool) -> Result<Message, PairingError> {
    let file =
        |file: &Listed| cbor::array([cbor::text(file.path.as_str()), file.hash.to_value(), cbor::uint(file.length)]);
    let remotes = (0..remotes).map(|number| Hash::of_content(&number.to_le_bytes()).to_value());
    let whole = cbor::array([
        cbor::uint(6),
        cbor::array(files.iter().map(file)),
        cbor::uint(left_out),
        cbor::array(remotes),
        Value::Bool(is_last),
    ]);
    Message::from_bytes(&cbor::encode(&whole)).map_err(PairingError::from)
}

fn cloud() -> Signer {
    Signer::from_seed([77; 32])
}

fn asked(owner: &Owner) -> (Asked, Message) {
    let ticket = Ticket::new(cloud().node_id(), Vec::new(), [3; 16], NOW);
    let dialer = ticket.invite().dialer;
    let (offered, offer) =
        Offered::begin(ticket, owner.executor(), owner.rosters.clone(), [1; 32], NOW).expect("a good ticket");
    let (asked, answer) = Asked::offered(offer, dialer, cloud().node_id(), "cloud", [2; 32], None).expect("it answers");
    let answered = offered.answered(answer).expect("an answer");
    (asked, answered.want_inventory(&owner.root, &owner.node))
}

#[test]
fn an_inventory_goes_in_parts_that_fit_a_message_and_reads_back() {
    let long = "x".repeat(200);
    let folder = [long.as_str(); 4].join("/");
    let files: Vec<_> =
        (0..2_000).rev().map(|number| listed(&format!("Plans/{folder}/{number:0>150}.md"), "x")).collect();
    assert!(files[0].path.as_str().len() + 64 > PATH_BYTES_MAX, "as long as paths get");
    let remotes = vec![remote_digest("b"), remote_digest("a"), remote_digest("b")];
    let whole = Inventory::of(files, remotes);
    assert_eq!((whole.files.len(), whole.remotes.len(), whole.left_out), (2_000, 2, 0));
    let messages = whole.clone().into_messages();
    assert_eq!(messages.len(), 2_000_usize.div_ceil(INVENTORY_PART_FILES_MAX));
    assert!(messages.iter().all(|message| message.to_bytes().len() < 1 << 20));
    assert_eq!(gathered(messages), Ok(Some(whole)));
    assert_eq!(gathered(Inventory::default().into_messages()), Ok(Some(Inventory::default())));
}

#[test]
fn of_a_vault_beyond_the_bound_the_rest_is_counted() {
    let files = (0..INVENTORY_FILES_MAX + 3).map(|number| listed(&format!("Plans/{number:06}.md"), "x")).collect();
    let whole = Inventory::of(files, Vec::new());
    assert_eq!((whole.files.len(), whole.left_out), (INVENTORY_FILES_MAX, 3));
}

#[test]
fn what_a_hostile_side_says_of_its_vault_is_bounded_and_in_order() {
    let [a, b, same] = ["Plans/a.md", "Plans/b.md", "plans/A.md"].map(|at| listed(at, "x"));
    let alone = std::slice::from_ref(&a);
    let refused = |parts: Vec<Result<Message, PairingError>>| {
        parts.into_iter().collect::<Result<Vec<_>, _>>().and_then(gathered).err()
    };
    let ends = Some(PairingError::Protocol);
    assert_eq!(refused(vec![part(&[a.clone(), b.clone()], 0, INVENTORY_REMOTES_MAX, true)]), None);
    assert_eq!(refused(vec![part(&[b.clone(), a.clone()], 0, 0, true)]), ends, "out of order");
    assert_eq!(refused(vec![part(&[a.clone(), same], 0, 0, true)]), ends, "one place twice");
    assert_eq!(refused(vec![part(&[b], 0, 0, false), part(alone, 0, 0, true)]), ends, "in two parts");
    assert_eq!(refused(vec![part(&[], 0, 0, false)]), ends, "a part that says nothing");
    assert_eq!(refused(vec![part(alone, 1, 0, false)]), ends);
    assert_eq!(refused(vec![part(alone, 0, 1, false)]), ends);
    assert_eq!(refused(vec![part(alone, 0, INVENTORY_REMOTES_MAX + 1, true)]), ends);
    let many: Vec<_> =
        (0..=INVENTORY_PART_FILES_MAX).map(|number| listed(&format!("Plans/{number:04}.md"), "x")).collect();
    assert_eq!(refused(vec![part(&many, 0, 0, true)]), ends, "too many in one");
    let mut gathering = Gathering::default();
    let parts = (0..).map(|number| {
        let files: Vec<_> = (0..900).map(|file| listed(&format!("Plans/{number:06}/{file:04}.md"), "x")).collect();
        part(&files, 0, 0, false).expect("a part")
    });
    let taken = parts.take(1_000).position(|message| gathering.take(message).is_err());
    assert_eq!(taken, Some(INVENTORY_FILES_MAX / 900), "without end");
    let out_of_turn = [Message::Accepted, Message::Answer { nonce: [1; 32], name: "cloud".to_owned() }];
    for message in out_of_turn {
        assert_eq!(gathered([message]).err(), ends);
    }
    let refusal = Message::Refused { reason: "no".to_owned() };
    assert_eq!(gathered([refusal]).err(), Some(PairingError::Refused("no".to_owned())));
}

#[test]
fn cloud_says_what_it_holds_to_nobody_but_who_proves_both_keys_of_the_offer() {
    let (owner, stranger) = (owner(10), owner(50));
    let (mine, wanted) = asked(&owner);
    assert_eq!(mine.wants_inventory(&wanted, None), Ok(true));
    assert_eq!(mine.wants_inventory(&wanted, Some(owner.rosters.current().mesh)), Ok(true));
    let other_mesh = Some(stranger.rosters.current().mesh);
    assert_eq!(mine.wants_inventory(&wanted, other_mesh), Err(PairingError::OtherMesh));
    let (_, of_stranger) = asked(&stranger);
    assert_eq!(mine.wants_inventory(&of_stranger, None), Err(PairingError::Proof));
    let bytes = wanted.to_bytes();
    for bit in (0..bytes.len() * 8).step_by(3) {
        let mut other = bytes.clone();
        other[bit / 8] ^= 1 << (bit % 8);
        let Ok(message) = Message::from_bytes(&other) else { continue };
        assert_ne!(mine.wants_inventory(&message, None), Ok(true), "bit {bit}");
    }
    assert_eq!(mine.wants_inventory(&Message::Accepted, None), Ok(false));
}

#[test]
fn a_plan_says_of_each_place_what_becomes_of_it() {
    let owner = owner(10);
    let here = inventory(&[
        ("Plans/same.md", "x"),
        ("Plans/Mine.md", "x"),
        ("Plans/both.md", "here"),
        ("Done/both.md", "here"),
        ("Done/same.md", "x"),
        ("Private/a.md", "x"),
    ]);
    let there = inventory(&[
        ("plans/SAME.md", "x"),
        ("Plans/theirs.md", "x"),
        ("Plans/both.md", "there"),
        ("Done/both.md", "there"),
        ("Done/same.md", "x"),
        ("Done/theirs.md", "x"),
        ("In_Progress/cloud/a.md", "x"),
        ("In_Progress/nobody/a.md", "x"),
        ("Private/a.md", "y"),
        ("Plans/.env", "x"),
    ]);
    let plan = Plan::of(&here, &there, owner.rosters.current(), cloud().node_id(), "cloud");
    let names = |paths: &[VaultPath]| paths.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&plan.equal), ["Done/same.md", "plans/SAME.md"]);
    assert_eq!(names(&plan.only_here), ["Plans/Mine.md"]);
    assert_eq!(names(&plan.only_there), ["In_Progress/cloud/a.md", "Plans/theirs.md"]);
    assert_eq!(names(&plan.different), ["Plans/both.md"]);
    assert_eq!(names(&plan.overruled), ["Done/both.md"]);
    assert_eq!(names(&plan.left_there), ["Done/theirs.md"]);
    assert!(!plan.is_of_an_empty_vault());
    let nothing = Plan::of(&here, &Inventory::default(), owner.rosters.current(), cloud().node_id(), "cloud");
    assert!(nothing.is_of_an_empty_vault());
    assert_eq!(nothing.only_here.len(), 5);
}

#[test]
fn a_place_that_git_keeps_both_in_step_with_is_found() {
    let owner = owner(10);
    let of = |remotes: &[&str]| Inventory::of(Vec::new(), remotes.iter().map(|remote| remote_digest(remote)).collect());
    let shared = |here: &[&str], there: &[&str]| {
        Plan::of(&of(here), &of(there), owner.rosters.current(), cloud().node_id(), "cloud").shared_remotes
    };
    assert_eq!(shared(&["host/a", "host/b"], &["host/b", "host/c"]), [remote_digest("host/b")]);
    assert_eq!(shared(&["host/a"], &["host/b"]), []);
}
