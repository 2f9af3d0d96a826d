use std::{collections::BTreeSet, fs};

use aiemp_keys::{
    Hash, NodeId, Signer,
    private_file::{self, write_private},
};
use aiemp_protocol::{
    action::Action,
    approval::{
        Outcome, Receipt, Standing, StandingId,
        journal::{Nonce, State},
        standing::Request,
    },
    ids::FileId,
    roster::{Member, Quota, Role},
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use super::{
    super::{JournalStore, now},
    fixtures::{World, until},
};
use crate::shell::standing;

const WEEK: std::time::Duration = std::time::Duration::from_secs(7 * 86_400);

/// A standing approval for mails to Anna by some hand, not signed yet.
pub(super) fn allowing(world: &World, hand: &str, count: u64) -> Standing {
    Standing {
        id: StandingId([7; 16]),
        hand: hand.to_owned(),
        sender: "Me <me@mine.test>".to_owned(),
        recipients: BTreeSet::from(["anna@client.test".to_owned()]),
        count,
        issued: now(),
        until: now() + WEEK,
        text_by_cloud: false,
        executor: world.me(),
        epoch: world.roster().epoch,
    }
}

pub(super) fn sign(world: &World, standing: &Standing) {
    let signed = standing.sign(&world.approve, world.roster().mesh);
    standing::keep(&world.home.standing(), standing.id, &signed).unwrap();
}

/// What the mesh asks for a draft to `to`; another number is another draft.
pub(super) fn request(world: &World, to: &str, number: u8) -> Request {
    Request {
        standing: StandingId([7; 16]),
        file: FileId { zone: Zone::Drafts, hash: Hash::of_content(&[number]) },
        path: VaultPath::parse("Pending_Approval/email/a.md").unwrap(),
        note: format!("---\naction: email\nto: {to}\nsubject: Hello\n---\nNumber {number}.\n").into_bytes(),
        authors: BTreeSet::from([world.me()]),
        asked: now(),
    }
}

/// What comes of a request where it is covered: the action, and its row's nonce.
pub(super) fn expected(world: &World, standing: &Standing, request: &Request) -> (Action, Nonce) {
    let signed = standing.sign(&world.approve, world.roster().mesh);
    let policy = aiemp_protocol::approval::Policy::default().digest();
    let at = request.asked;
    let verified = standing.admit(&signed, request.clone(), &world.roster(), world.me(), policy, at).expect("covered");
    (verified.action, verified.decision.nonce)
}

pub(super) fn ask(world: &World, name: &str, request: &Request) {
    standing_folder(world);
    write_private(&world.home.requests().join(format!("{name}.request")), &request.to_bytes()).unwrap();
}

fn standing_folder(world: &World) {
    aiemp_keys::private_file::create_private_dir(&world.home.requests()).unwrap();
}

/// The code with which a request was refused, once it is gone.
fn refusal(world: &World, name: &str) -> Option<String> {
    let file = format!("{name}.request");
    if world.home.requests().join(&file).exists() {
        return None;
    }
    let log = world.audit();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut lines = lines.filter(|line| line["target"] == file && line["action_type"] == "request_refused");
    lines.next_back()?["result"].as_str().map(str::to_owned)
}

async fn refused(world: &World, name: &str, code: &str) {
    until(|| refusal(world, name).is_some()).await;
    assert_eq!(refusal(world, name).unwrap(), code, "{name}");
}

async fn sent(world: &World, standing: &Standing, request: &Request) -> Receipt {
    let (action, nonce) = expected(world, standing, request);
    until(|| world.receipt(&action, nonce, Outcome::Sent).is_some()).await;
    world.receipt(&action, nonce, Outcome::Sent).expect("sent")
}

#[tokio::test]
async fn a_covered_draft_goes_out_once_and_receipt_and_log_say_under_which_standing_approval() {
    let world = World::new("");
    let standing = allowing(&world, "outbox", 2);
    sign(&world, &standing);
    let first = request(&world, "Anna <anna@client.test>", 1);
    ask(&world, "1", &first);
    let running = world.start();
    let receipt = sent(&world, &standing, &first).await;
    assert_eq!((receipt.standing, receipt.note), (Some(standing.id), first.note.clone()));
    let line = format!("\"standing\":\"{}\"", standing.id);
    assert!(world.audit().contains(&line) && world.audit().contains("\"approved_by\":\"standing approval\""));
    for again in 0..2 {
        ask(&world, &format!("again-{again}"), &Request { asked: now(), ..first.clone() });
        refused(&world, &format!("again-{again}"), "replayed").await;
    }
    running.stop().await.unwrap();
    let running = world.start();
    ask(&world, "after-restart", &Request { asked: now(), ..first });
    refused(&world, "after-restart", "replayed").await;
    sent_and_used_up(&world, &standing).await;
    running.stop().await.unwrap();
    assert_eq!(world.mails().len(), 2);
}

async fn sent_and_used_up(world: &World, standing: &Standing) {
    let second = request(world, "anna@client.test", 2);
    ask(world, "2", &second);
    sent(world, standing, &second).await;
    ask(world, "3", &request(world, "anna@client.test", 3));
    refused(world, "3", "standing_used_up").await;
}

#[tokio::test]
async fn whatever_else_the_mesh_asks_for_is_refused_for_its_reason_and_sent_by_nobody() {
    let world = World::new("");
    let standing = allowing(&world, "outbox", 9);
    sign(&world, &standing);
    let good = request(&world, "anna@client.test", 1);
    let cloud = Signer::from_seed([50; 32]).node_id();
    let note = |text: &str| Request { note: text.as_bytes().to_vec(), ..good.clone() };
    let mail = |lines: &str| note(&format!("---\naction: email\nsubject: x\n{lines}\n---\nx\n"));
    let unknown = Request { standing: StandingId([8; 16]), ..good.clone() };
    let old = Request { asked: Timestamp::from_millis(now().as_millis() - 120_000), ..good.clone() };
    let by = |authors: &[NodeId]| Request { authors: authors.iter().copied().collect(), ..good.clone() };
    let moved = Request { path: VaultPath::parse("Plans/a.md").unwrap(), ..good.clone() };
    let cases = [
        ("other-person", mail("to: thief@evil.test"), "other_recipient"),
        ("copy", mail("to: anna@client.test\nbcc: thief@evil.test"), "other_recipient"),
        ("other-name", mail("to: anna@client.test\nfrom: boss@mine.test"), "other_sender"),
        ("other-hand", mail("to: anna@client.test\nhand: smtp"), "other_hand"),
        ("attachment", mail("to: anna@client.test\nattachment: Private/diary.md"), "not_a_draft"),
        ("post", note("---\naction: post\nnetwork: x\nhand: outbox\n---\nAll is well.\n"), "other_kind"),
        ("no-draft", note("hello"), "not_a_draft"),
        ("cloud", by(&[world.me(), cloud]), "text_by_cloud"),
        ("nobody", by(&[]), "text_by_cloud"),
        ("old", old, "stale"),
        ("elsewhere", moved, "not_waiting"),
        ("unknown", unknown, "no_standing"),
    ];
    for (name, request, _) in &cases {
        ask(&world, name, request);
    }
    write_private(&world.home.requests().join("noise.request"), b"noise").unwrap();
    let running = world.start();
    for (name, _, code) in &cases {
        refused(&world, name, code).await;
    }
    refused(&world, "noise", "form").await;
    running.stop().await.unwrap();
    assert_eq!(world.mails().len(), 0);
    assert!(JournalStore::of(&world.home).unwrap().load().unwrap().is_empty());
}

#[tokio::test]
async fn a_standing_approval_that_another_key_signed_or_that_lies_under_another_name_allows_nothing() {
    let world = World::new("");
    let standing = allowing(&world, "outbox", 9);
    let forged = standing.sign(&Signer::from_seed([66; 32]), world.roster().mesh);
    standing::keep(&world.home.standing(), standing.id, &forged).unwrap();
    let other = Standing { id: StandingId([9; 16]), ..standing.clone() };
    let signed = other.sign(&world.approve, world.roster().mesh);
    standing::keep(&world.home.standing(), StandingId([8; 16]), &signed).unwrap();
    ask(&world, "forged", &request(&world, "anna@client.test", 1));
    ask(&world, "renamed", &Request { standing: StandingId([8; 16]), ..request(&world, "anna@client.test", 2) });
    let running = world.start();
    refused(&world, "forged", "no_standing").await;
    refused(&world, "renamed", "no_standing").await;
    running.stop().await.unwrap();
    assert_eq!(world.mails().len(), 0);
}

#[tokio::test]
async fn what_was_removed_never_counts_again_whoever_puts_its_file_back() {
    let world = World::new("");
    let standing = allowing(&world, "outbox", 9);
    sign(&world, &standing);
    let running = world.start();
    let first = request(&world, "anna@client.test", 1);
    ask(&world, "1", &first);
    sent(&world, &standing, &first).await;
    let ended = world.hand_in(&format!("{}.ended", standing.id), b"");
    until(|| !ended.exists()).await;
    ask(&world, "2", &request(&world, "anna@client.test", 2));
    refused(&world, "2", "standing_ended").await;
    running.stop().await.unwrap();
    sign(&world, &standing);
    let running = world.start();
    ask(&world, "3", &request(&world, "anna@client.test", 3));
    refused(&world, "3", "standing_ended").await;
    running.stop().await.unwrap();
    assert_eq!(world.mails().len(), 1);
}

#[tokio::test]
async fn a_freeze_holds_it_and_another_roster_voids_it() {
    let world = World::new("");
    let standing = allowing(&world, "outbox", 9);
    sign(&world, &standing);
    world.freeze_by_mesh(&world.freeze());
    ask(&world, "1", &request(&world, "anna@client.test", 1));
    let running = world.start();
    refused(&world, "1", "frozen").await;
    world.hand_in("lift.freeze", &world.lift(&world.approve));
    world.freeze_by_mesh(&world.lift(&world.approve));
    until(|| fs::read_dir(world.home.approved()).unwrap().count() == 0).await;
    let second = request(&world, "anna@client.test", 2);
    ask(&world, "2", &second);
    sent(&world, &standing, &second).await;
    world.add_epoch();
    ask(&world, "3", &request(&world, "anna@client.test", 3));
    refused(&world, "3", "old_epoch").await;
    running.stop().await.unwrap();
    assert_eq!(world.mails().len(), 1);
}

/// A row that waits for a server, as an earlier run left it.
fn waiting(world: &World, standing: &Standing) -> (Action, Nonce) {
    left(world, standing, State::Reserved)
}

/// A row under a standing approval, as an earlier run left it.
pub(super) fn left(world: &World, standing: &Standing, state: State) -> (Action, Nonce) {
    let request = request(world, "anna@client.test", 1);
    let signed = standing.sign(&world.approve, world.roster().mesh);
    let policy = aiemp_protocol::approval::Policy::default().digest();
    let verified = standing.admit(&signed, request, &world.roster(), world.me(), policy, now()).expect("covered");
    let (action, nonce) = (verified.action.clone(), verified.decision.nonce);
    let (detail, attempts, not_before) = (String::new(), 1, now());
    let asked = world.asked(&action);
    world.store(&aiemp_protocol::approval::journal::Row {
        verified,
        state,
        detail,
        attempts,
        not_before,
        changed: now(),
        asked,
    });
    (action, nonce)
}

#[tokio::test]
async fn what_waits_goes_out_after_a_restart_unless_the_roster_changed_or_it_was_removed() {
    for case in 0..3 {
        let world = World::new("");
        let standing = allowing(&world, "outbox", 9);
        let (action, nonce) = waiting(&world, &standing);
        let outcome = match case {
            0 => Outcome::Sent,
            1 => {
                world.add_epoch();
                Outcome::Failed
            }
            _ => {
                world.hand_in(&format!("{}.ended", standing.id), b"");
                Outcome::Failed
            }
        };
        let running = world.start();
        until(|| world.receipt(&action, nonce, outcome).is_some()).await;
        running.stop().await.unwrap();
        assert_eq!(world.mails().len(), usize::from(outcome == Outcome::Sent), "case {case}");
    }
}

#[tokio::test]
async fn a_row_under_a_standing_approval_that_was_changed_stops_the_executor() {
    let world = World::new("");
    let standing = allowing(&world, "outbox", 9);
    waiting(&world, &standing);
    let connection = rusqlite::Connection::open(world.home.journal()).unwrap();
    let bundle: Vec<u8> = connection.query_row("SELECT bundle FROM rows", [], |row| row.get(0)).unwrap();
    let at = bundle.windows(16).position(|window| window == b"anna@client.test").expect("a recipient");
    let mut changed = bundle.clone();
    changed[at] = b'x';
    for (bytes, whole) in [(&changed, false), (&bundle, true)] {
        let hash = Hash::of_content(bytes);
        let update = "UPDATE rows SET bundle = ?1, bundle_hash = ?2";
        connection.execute(update, rusqlite::params![bytes, hash.as_bytes()]).unwrap();
        let ended = world.run_to_end().await;
        assert_eq!(ended.is_ok(), whole, "{ended:?}");
    }
}

#[tokio::test]
async fn text_by_a_cloud_member_goes_out_where_the_person_allowed_it() {
    let world = World::new("");
    let cloud = Signer::from_seed([50; 32]).node_id();
    let member =
        Member { node: cloud, name: "cloud".into(), role: Role::Cloud, generation_min: 0, quota: Quota::default() };
    world.add_member(member);
    let standing = Standing { text_by_cloud: true, ..allowing(&world, "outbox", 9) };
    sign(&world, &standing);
    let written = Request { authors: BTreeSet::from([cloud]), ..request(&world, "anna@client.test", 1) };
    ask(&world, "1", &written);
    let running = world.start();
    sent(&world, &standing, &written).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn folders_in_the_place_of_requests_and_approvals_stop_nothing() {
    let world = World::new("");
    let standing = allowing(&world, "outbox", 2);
    sign(&world, &standing);
    for folder in [world.home.requests(), world.home.approved()] {
        for kind in ["request", "approval", "freeze", "ended"] {
            private_file::create_private_dir(&folder.join(format!("0.{kind}/inner"))).unwrap();
        }
    }
    let asked = request(&world, "Anna <anna@client.test>", 1);
    ask(&world, "1", &asked);
    let running = world.start();
    sent(&world, &standing, &asked).await;
    running.stop().await.unwrap();
    let running = world.start();
    let asked = request(&world, "Anna <anna@client.test>", 2);
    ask(&world, "2", &asked);
    sent(&world, &standing, &asked).await;
    running.stop().await.unwrap();
    assert_eq!(world.mails().len(), 2);
}
