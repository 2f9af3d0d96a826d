mod changed_hand;
mod connectors;
pub(super) mod failpoint;
mod failpoints;
mod fixtures;
mod sent;
mod service;
mod standing;
mod while_down;

use std::fs;

use aiemp_keys::Signer;
use aiemp_protocol::{
    action::{ActionKind, Content, Payment},
    approval::{ClockSettlement, Decision, Outcome, Policy, Settlement, journal::Times, policy::Rule},
    roster::SignedRoster,
};

use self::fixtures::{SmtpServer, World, email, until};
use super::*;
use crate::audit;

#[tokio::test]
async fn an_approval_is_sent_once_and_both_steps_are_told() {
    let world = World::new("");
    let action = email("outbox", 1);
    let path = world.approve(&action, [1; 16]);
    let running = world.start();
    until(|| world.receipt(&action, [1; 16], Outcome::Sent).is_some()).await;
    running.stop().await.unwrap();
    let mails = world.mails();
    assert_eq!((mails.len(), world.marks().len()), (1, 0));
    let accepted = world.receipt(&action, [1; 16], Outcome::Accepted).expect("the first step");
    let sent = world.receipt(&action, [1; 16], Outcome::Sent).expect("the second");
    assert_eq!((accepted.unattended, sent.unattended), (false, false));
    let id = sent.message_id.expect("a mail has an id");
    assert!(mails[0].1.contains(&format!("Message-ID: <{id}>")), "{}", mails[0].1);
    assert_eq!((sent.note.as_slice(), sent.work), (b"the note".as_slice(), action.work));
    assert!(!path.exists());
    let log = world.audit();
    assert_eq!(
        audit::verify(&world.home.audit(), "executor", &world.receipts.public()).unwrap().lines.len(),
        log.lines().count()
    );
    assert!(log.contains("\"email_send\"") && log.contains("\"target\":\"a***@client.test\""), "{log}");
    for content in ["anna@", "Subject", "the body", "the subject", "the note"] {
        assert!(!log.contains(content), "{content} in {log}");
    }
}

#[tokio::test]
async fn what_was_sent_is_not_sent_again_by_any_file() {
    let world = World::new("");
    let action = email("outbox", 1);
    let mut same_work = email("outbox", 2);
    same_work.work = action.work;
    let path = world.approve(&action, [1; 16]);
    let bytes = fs::read(&path).unwrap();
    let running = world.start();
    until(|| world.receipt(&action, [1; 16], Outcome::Sent).is_some()).await;

    world.hand_in("replay.approval", &bytes);
    until(|| world.refused("replay.approval") == Some("replayed".to_owned())).await;
    let again = world.approve(&action, [2; 16]);
    until(|| world.refused_file(&again) == Some("action_already_sent".to_owned())).await;
    let other = world.approve(&same_work, [3; 16]);
    until(|| world.refused_file(&other) == Some("work_already_answered".to_owned())).await;
    running.stop().await.unwrap();
    let running = world.start();
    world.hand_in("replay-after-restart.approval", &bytes);
    until(|| world.refused("replay-after-restart.approval") == Some("replayed".to_owned())).await;
    running.stop().await.unwrap();
    assert_eq!(world.mails().len(), 1);
    assert_eq!(fs::read_dir(world.home.approved()).unwrap().count(), 0);
    assert!(world.receipt(&action, [2; 16], Outcome::Accepted).is_none());
}

#[tokio::test]
async fn a_wanted_repetition_is_sent_a_second_time() {
    let world = World::new("");
    let action = email("outbox", 1);
    world.approve(&action, [1; 16]);
    let running = world.start();
    until(|| world.receipt(&action, [1; 16], Outcome::Sent).is_some()).await;
    let mut decision = world.decision(&action, [2; 16]);
    decision.repeat_of = Some([1; 16]);
    world.hand_in("again.approval", &world.bundle(&action, &decision).to_bytes());
    until(|| world.receipt(&action, [2; 16], Outcome::Sent).is_some()).await;
    running.stop().await.unwrap();
    assert_eq!(world.mails().len(), 2);
}

#[tokio::test]
async fn a_tampered_an_expired_and_a_foreign_approval_are_refused_and_kept() {
    let world = World::new("");
    let action = email("outbox", 1);
    let good = world.bundle(&action, &world.decision(&action, [1; 16]));
    let other_action = email("outbox", 2);
    let mut tampered = good.clone();
    tampered.action = other_action.to_bytes();
    world.hand_in("tampered.approval", &tampered.to_bytes());
    let mut flipped = good.to_bytes();
    flipped[10] ^= 1;
    world.hand_in("flipped.approval", &flipped);
    let mut expired = world.decision(&action, [2; 16]);
    expired.expiry = Timestamp::from_millis(1_767_781_800_000);
    world.hand_in("expired.approval", &world.bundle(&action, &expired).to_bytes());
    let mut foreign = world.decision(&action, [3; 16]);
    foreign.executor = aiemp_keys::Signer::from_seed([9; 32]).node_id();
    world.hand_in("foreign.approval", &world.bundle(&action, &foreign).to_bytes());
    let mut old = world.decision(&action, [4; 16]);
    old.epoch = 7;
    world.hand_in("old.approval", &world.bundle(&action, &old).to_bytes());
    world.hand_in("noise.approval", b"noise");
    world.hand_in("note.md", b"not an approval");
    let running = world.start();
    for (name, code) in [
        ("tampered.approval", "other_action"),
        ("flipped.approval", "signature"),
        ("expired.approval", "expired"),
        ("foreign.approval", "other_executor"),
        ("old.approval", "old_epoch"),
        ("noise.approval", "form"),
    ] {
        until(|| world.refused(name).is_some()).await;
        assert_eq!(world.refused(name).unwrap(), code, "{name}");
        assert!(world.home.executor().join("refused").join(name).exists());
    }
    running.stop().await.unwrap();
    assert!(world.home.approved().join("note.md").exists());
    assert_eq!(world.mails(), []);
    let left = fs::read_dir(world.home.receipts()).unwrap().map(|file| file.unwrap().file_name());
    let (told, receipts): (Vec<_>, Vec<_>) = left.partition(|name| name.to_string_lossy().ends_with(".refused"));
    assert_eq!((told.len(), receipts.len()), (2, 0), "two actions were refused, and none taken up");
}

#[tokio::test]
async fn a_mail_that_was_under_way_when_the_process_ended_is_sent_exactly_once() {
    for was_written in [false, true] {
        let world = World::new("");
        let action = email("outbox", 1);
        let row = world.row(&action, [1; 16], State::Dispatching);
        world.store(&row);
        if was_written {
            let hands = Hands::of(&world.home, world.config(), crate::hands::Hands::default(), None);
            let roster = world.roster();
            let job = hands.prepare(Box::new(row), &roster).unwrap();
            assert!(matches!(job.run().await, Dispatched::Sent(_)));
        }
        let running = world.start();
        until(|| world.receipt(&action, [1; 16], Outcome::Sent).is_some()).await;
        running.stop().await.unwrap();
        let detail = world.receipt(&action, [1; 16], Outcome::Sent).unwrap().detail;
        assert_eq!(world.mails().len(), 1);
        assert!(detail.starts_with(if was_written { "found in" } else { "written to" }), "{detail}");
    }
}

#[tokio::test]
async fn a_mail_that_was_taken_from_the_outbox_before_its_row_said_so_is_not_sent_again() {
    for is_unmounted in [false, true] {
        let world = World::new("");
        let action = email("outbox", 1);
        let row = world.row(&action, [1; 16], State::Dispatching);
        world.store(&row);
        let job = Hands::of(&world.home, world.config(), crate::hands::Hands::default(), None)
            .prepare(Box::new(row), &world.roster())
            .unwrap();
        assert!(matches!(job.run().await, Dispatched::Sent(_)));
        if is_unmounted {
            fs::remove_dir_all(world.home.outbox()).unwrap();
        } else {
            fs::remove_file(&world.mails()[0].0).unwrap();
        }
        let running = world.start();
        until(|| world.receipt(&action, [1; 16], Outcome::Unknown).is_some()).await;
        running.stop().await.unwrap();
        assert_eq!(world.mails(), []);
        assert!(world.marks().is_empty(), "the row is at its end");
    }
}

#[tokio::test]
async fn a_mail_over_smtp_that_was_under_way_stays_unknown_until_a_person_settles_it() {
    for (sent, outcome) in [(true, Outcome::Sent), (false, Outcome::Failed)] {
        let world = World::new("[smtp]\nhost = \"127.0.0.1\"\nport = 1\nsecurity = \"plain\"\n");
        let action = email("smtp", 1);
        world.store(&world.row(&action, [1; 16], State::Dispatching));
        let running = world.start();
        until(|| world.receipt(&action, [1; 16], Outcome::Unknown).is_some()).await;
        let settlement = Settlement { action: action.hash(), nonce: [1; 16], sent };
        let forged = settlement.sign(&aiemp_keys::Signer::from_seed([9; 32]), world.roster().mesh);
        world.hand_in("forged.settlement", &forged);
        until(|| world.refused("forged.settlement") == Some("signature".to_owned())).await;
        let signed = settlement.sign(&world.approve, world.roster().mesh);
        world.hand_in("1.settlement", &signed);
        until(|| world.receipt(&action, [1; 16], outcome).is_some()).await;
        world.hand_in("2.settlement", &signed);
        until(|| world.refused("2.settlement") == Some("nothing_to_settle".to_owned())).await;
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_receipt_that_the_end_of_the_process_prevented_is_written_at_the_next_start() {
    let world = World::new("");
    let action = email("outbox", 1);
    world.store(&world.row(&action, [1; 16], State::Sent));
    let running = world.start();
    until(|| world.receipt(&action, [1; 16], Outcome::Sent).is_some()).await;
    running.stop().await.unwrap();
    fs::remove_file(world.receipt_path(&action, [1; 16], Outcome::Sent)).unwrap();
    world.start().stop().await.unwrap();
    assert!(world.receipt(&action, [1; 16], Outcome::Sent).is_none(), "told once");
}

#[tokio::test]
async fn receipts_of_several_rows_that_the_end_of_the_process_prevented_are_all_written() {
    let world = World::new("");
    let (failed, accepted) = (email("outbox", 1), email("outbox", 2));
    world.store(&world.row(&failed, [1; 16], State::Failed));
    world.store(&world.row(&accepted, [2; 16], State::Reserved));
    let running = world.start();
    until(|| world.receipt(&accepted, [2; 16], Outcome::Sent).is_some()).await;
    running.stop().await.unwrap();
    assert!(world.receipt(&failed, [1; 16], Outcome::Failed).is_some());
    assert!(world.receipt(&accepted, [2; 16], Outcome::Accepted).is_some(), "the row went on after it was told");
}

#[tokio::test]
async fn a_server_that_is_away_is_tried_again() {
    let server = SmtpServer::that_fails_first().await;
    let world =
        World::unattended(&format!("[smtp]\nhost = \"127.0.0.1\"\nport = {}\nsecurity = \"plain\"\n", server.port));
    let action = email("smtp", 1);
    world.approve(&action, [1; 16]);
    let running = world.start();
    until(|| world.receipt(&action, [1; 16], Outcome::Sent).is_some()).await;
    running.stop().await.unwrap();
    let receipt = world.receipt(&action, [1; 16], Outcome::Sent).unwrap();
    assert_eq!((receipt.detail.as_str(), receipt.unattended), ("250 queued", true));
    let messages = server.end().await;
    assert_eq!(messages.len(), 1);
    assert!(messages[0].contains("the body"), "{}", messages[0]);
}

#[tokio::test]
async fn an_unattended_mesh_sends_nothing_to_another_machine() {
    let world = World::unattended("[smtp]\nhost = \"mail.example.org\"\n");
    let action = email("smtp", 1);
    world.approve(&action, [1; 16]);
    let running = world.start();
    until(|| world.receipt(&action, [1; 16], Outcome::Failed).is_some()).await;
    running.stop().await.unwrap();
    let expected = "this mesh is unattended, so nothing leaves this machine, and mail.example.org is another one; \
                    protect the owner keys with a passphrase, or use the hand `outbox`";
    let receipt = world.receipt(&action, [1; 16], Outcome::Failed).unwrap();
    assert_eq!((receipt.detail.as_str(), receipt.unattended), (expected, true));
}

#[tokio::test]
async fn what_no_hand_can_do_fails_with_the_reason() {
    let world = World::new("");
    let mut payment = email("outbox", 1);
    payment.content = Content::Payment(Payment {
        hand: "bank".to_owned(),
        payee: "Client".to_owned(),
        account: "DE89370400440532013000".to_owned(),
        amount_minor: 150_000,
        currency: "EUR".to_owned(),
        reference: "x".to_owned(),
    });
    let (other, smtp) = (email("pigeon", 2), email("smtp", 3));
    for (action, nonce) in [(&payment, 1), (&other, 2), (&smtp, 3)] {
        world.approve(action, [nonce; 16]);
    }
    let running = world.start();
    let config = world.home.config();
    for (action, nonce, expected) in [
        (
            &payment,
            1,
            "no hand named `bank` is declared for actions of the kind payment; name another in the draft, or declare \
             it: `aiemp-node hands apply FILE`"
                .to_owned(),
        ),
        (
            &other,
            2,
            "no hand named `pigeon` is configured; mails go by `outbox` or `smtp`: change `hand` in the draft and \
             approve it again"
                .to_owned(),
        ),
        (
            &smtp,
            3,
            format!(
                "no hand named `smtp` is configured; add an [smtp] table with at least `host` to {}",
                config.display()
            ),
        ),
    ] {
        until(|| world.receipt(action, [nonce; 16], Outcome::Failed).is_some()).await;
        assert_eq!(world.receipt(action, [nonce; 16], Outcome::Failed).unwrap().detail, expected);
    }
    running.stop().await.unwrap();
    assert_eq!(world.mails(), []);
}

#[tokio::test]
async fn nothing_is_sent_while_the_mesh_is_frozen_and_only_the_approve_key_lifts() {
    let world = World::new("");
    let action = email("outbox", 1);
    let frozen = world.freeze();
    // The home's own command tells the executor where the mesh cannot take it away.
    let told = world.hand_in("1.freeze", &frozen);
    world.approve(&action, [1; 16]);
    let running = world.start();
    until(|| world.receipt(&action, [1; 16], Outcome::Accepted).is_some() && !told.exists()).await;
    running.stop().await.unwrap();
    let state = || JournalStore::of(&world.home).unwrap().load().unwrap()[0].state;
    assert_eq!((state(), world.mails().len()), (State::Reserved, 0), "it survives a restart");
    let running = world.start();
    world.hand_in("2.freeze", &world.lift(&Signer::from_seed([9; 32])));
    until(|| !world.home.approved().join("2.freeze").exists()).await;
    running.stop().await.unwrap();
    assert_eq!((state(), world.mails().len()), (State::Reserved, 0), "a thief lifts nothing");
    let running = world.start();
    world.hand_in("3.freeze", &world.lift(&world.approve));
    until(|| world.receipt(&action, [1; 16], Outcome::Sent).is_some()).await;
    running.stop().await.unwrap();
    assert_eq!(world.mails().len(), 1);
}

#[tokio::test]
async fn a_freeze_that_came_by_way_of_the_mesh_stays_when_the_mesh_takes_it_back() {
    let world = World::new("");
    let action = email("outbox", 1);
    world.freeze_by_mesh(&world.freeze());
    let running = world.start();
    until(|| fs::read_dir(world.home.executor_freezes()).is_ok_and(|files| files.count() == 1)).await;
    fs::remove_dir_all(world.home.freezes()).unwrap();
    world.approve(&action, [1; 16]);
    until(|| world.receipt(&action, [1; 16], Outcome::Accepted).is_some()).await;
    running.stop().await.unwrap();
    assert_eq!(world.mails(), []);
    // What cannot be read is not taken for a mesh that goes on.
    fs::remove_dir_all(world.home.executor_freezes()).unwrap();
    fs::write(world.home.freezes(), b"no folder").unwrap();
    world.run_to_end().await.unwrap();
    assert_eq!(world.mails(), []);
}

#[tokio::test]
async fn a_policy_counts_when_it_is_signed_and_newer_also_after_a_restart() {
    let world = World::new("");
    let action = email("outbox", 1);
    let policy = |issued, listed: &str| Policy {
        issued: Timestamp::from_millis(issued),
        rules: [(ActionKind::Email, Rule { recipients: Some([listed.to_owned()].into()), ..Rule::default() })].into(),
    };
    let strict = policy(2, "@other.test");
    let running = world.start();
    let path = world.hand_in("1.policy", &world.sign_policy(&strict));
    until(|| !path.exists()).await;
    let path = world.hand_in("2.policy", &world.sign_policy(&policy(1, "@client.test")));
    until(|| world.refused_file(&path) == Some("older_policy".to_owned())).await;
    let forged = policy(3, "@client.test").sign(&Signer::from_seed([9; 32]), world.roster().mesh);
    let path = world.hand_in("3.policy", &forged);
    until(|| world.refused_file(&path) == Some("signature".to_owned())).await;
    running.stop().await.unwrap();
    let running = world.start();
    let unlimited = world.approve(&action, [1; 16]);
    until(|| world.refused_file(&unlimited) == Some("other_policy".to_owned())).await;
    let decision = Decision { policy: strict.digest(), ..world.decision(&action, [2; 16]) };
    let path = world.hand_in("against.approval", &world.bundle(&action, &decision).to_bytes());
    until(|| world.refused_file(&path) == Some("against_policy".to_owned())).await;
    running.stop().await.unwrap();
    assert_eq!(world.mails(), []);
    // Limits are not dropped because a file was changed.
    fs::write(world.home.executor_policy(), forged).unwrap();
    let error = format!("{:#}", world.run_to_end().await.unwrap_err());
    assert!(error.contains("no approver of this mesh signed") && error.contains("policy apply"), "{error}");
}

#[tokio::test]
async fn what_waits_for_its_delay_can_be_cancelled_by_name() {
    let world = World::new("");
    let (action, other) = (email("outbox", 1), email("outbox", 2));
    let slow = Policy {
        issued: Timestamp::from_millis(1),
        rules: [(ActionKind::Email, Rule { delay_minutes: 5, ..Rule::default() })].into(),
    };
    world.hand_in("1.policy", &world.sign_policy(&slow));
    let decision = Decision { policy: slow.digest(), ..world.decision(&action, [1; 16]) };
    world.hand_in("1.approval", &world.bundle(&action, &decision).to_bytes());
    let running = world.start();
    until(|| {
        world.receipt(&action, [1; 16], Outcome::Accepted).is_some_and(|receipt| receipt.detail.contains("delay"))
    })
    .await;
    let path = world.hand_in(&format!("{}.cancel", other.hash()), b"");
    until(|| world.refused_file(&path) == Some("nothing_to_cancel".to_owned())).await;
    let path = world.hand_in("everything.cancel", b"");
    until(|| world.refused_file(&path) == Some("form".to_owned())).await;
    world.hand_in(&format!("{}.cancel", action.hash()), b"");
    until(|| world.receipt(&action, [1; 16], Outcome::Failed).is_some()).await;
    running.stop().await.unwrap();
    assert_eq!(world.mails(), []);
}

#[tokio::test]
async fn a_burst_of_approvals_is_sent_completely() {
    let world = World::new("");
    let actions: Vec<_> = (0..20).map(|number| email("outbox", number)).collect();
    let running = world.start();
    for (action, nonce) in actions.iter().zip(0..) {
        world.approve(action, [nonce; 16]);
    }
    for (action, nonce) in actions.iter().zip(0..) {
        until(|| world.receipt(action, [nonce; 16], Outcome::Sent).is_some()).await;
    }
    running.stop().await.unwrap();
    assert_eq!(world.mails().len(), 20);
}

#[tokio::test]
async fn the_start_is_refused_where_this_node_may_not_execute() {
    let stranger = aiemp_keys::Signer::from_seed([9; 32]);
    let world = World::new("");
    let refused = |error: anyhow::Error| error.downcast::<Refused>().expect("a refusal").0;
    let error = run_until(&world.home, stranger.node_id(), async {}).await.unwrap_err();
    assert_eq!(refused(error), "the roster names local as the executor, not this node; run the executor there");
    world.pin(&stranger.public().to_string());
    let error = refused(world.run_to_end().await.unwrap_err());
    assert!(error.starts_with("the roster was founded by the root key "), "{error}");
    fs::remove_file(world.home.pinned_root()).unwrap();
    let expected = format!("{} is missing: {RESTORE_ROOT}", world.home.pinned_root().display());
    assert_eq!(refused(world.run_to_end().await.unwrap_err()), expected);
    world.pin(&world.root.public().to_string());
    fs::remove_file(world.home.rosters()).unwrap();
    let chain = world.home.rosters();
    let expected = format!("the roster {} is missing: `aiemp-node peers renew` brings it back", chain.display());
    assert_eq!(refused(world.run_to_end().await.unwrap_err()), expected);
}

#[tokio::test]
async fn an_older_roster_is_never_obeyed() {
    let world = World::new("");
    let first = fs::read(world.home.rosters()).unwrap();
    let running = world.start();
    world.add_epoch();
    let action = email("outbox", 1);
    let mut decision = world.decision(&action, [1; 16]);
    decision.epoch = 2;
    world.hand_in("new.approval", &world.bundle(&action, &decision).to_bytes());
    until(|| world.receipt(&action, [1; 16], Outcome::Sent).is_some()).await;
    world.write_roster(&first);
    let expected = "the roster is of epoch 1, older than epoch 2, which this executor has seen; restore the newer \
                    roster file";
    assert_eq!(running.ended().await.unwrap_err().to_string(), expected);
    let error = world.run_to_end().await.unwrap_err();
    assert_eq!(error.downcast::<Refused>().expect("a refusal").0, expected);
}

#[tokio::test]
async fn a_second_roster_of_one_epoch_stops_the_executor() {
    let world = World::new("");
    let mut other = world.roster().successor(now());
    other.unattended = true;
    world.add_epoch();
    let running = world.start();
    until(|| world.home.journal().exists()).await;
    // What proves nothing is passed over.
    fs::write(world.home.roster_fork(), b"no roster").unwrap();
    let approve = |number: u8| {
        let action = email("outbox", number);
        let decision = Decision { epoch: 2, ..world.decision(&action, [number; 16]) };
        world.hand_in(&format!("{number}.approval"), &world.bundle(&action, &decision).to_bytes());
    };
    approve(1);
    until(|| world.receipt(&email("outbox", 1), [1; 16], Outcome::Sent).is_some()).await;
    fs::write(world.home.roster_fork(), SignedRoster::sign(&world.root, other).to_bytes()).unwrap();
    approve(2);
    let expected = "two different rosters of epoch 2 exist, so the root key signed twice; found a new mesh if you did \
                    not do that";
    assert_eq!(running.ended().await.unwrap_err().to_string(), expected);
    assert_eq!(world.mails().len(), 1);
    assert_eq!(world.run_to_end().await.unwrap_err().to_string(), expected);
}

#[tokio::test]
async fn two_executors_never_run_in_one_home() {
    let world = World::new("");
    let running = world.start();
    until(|| world.home.journal().exists()).await;
    let home = world.home.path().display();
    let expected = format!("another executor runs in {home}\n  Stop it first: there must be only one.");
    assert_eq!(world.run_to_end().await.unwrap_err().to_string(), expected);
    running.stop().await.unwrap();
    world.run_to_end().await.unwrap();
}

#[tokio::test]
async fn a_clock_that_was_set_forward_and_back_is_settled_by_the_approve_key_alone() {
    let world = World::new("");
    let action = email("outbox", 1);
    let ahead = now() + Duration::from_secs(10 * 365 * 86_400);
    JournalStore::of(&world.home).unwrap().settle_clock(Times::at(ahead)).unwrap();
    world.approve(&action, [1; 16]);
    let running = world.start();
    until(|| world.receipt(&action, [1; 16], Outcome::Accepted).is_some()).await;
    let word = |at| ClockSettlement { at };
    let mesh = world.roster().mesh;
    world.hand_in("1.clock", &word(now()).sign(&Signer::from_seed([9; 32]), mesh));
    until(|| world.refused("1.clock") == Some("signature".to_owned())).await;
    world.hand_in("2.clock", &word(now().earlier_by(Duration::from_secs(3600))).sign(&world.approve, mesh));
    until(|| world.refused("2.clock") == Some("clock".to_owned())).await;
    assert!(world.mails().is_empty(), "nothing was sent");
    let settled = word(now()).sign(&world.approve, mesh);
    world.hand_in("3.clock", &settled);
    until(|| world.receipt(&action, [1; 16], Outcome::Sent).is_some()).await;
    world.hand_in("4.clock", &settled);
    until(|| world.refused("4.clock") == Some("clock".to_owned())).await;
    running.stop().await.unwrap();
    // The next process goes by it as well.
    let second = email("outbox", 2);
    world.approve(&second, [2; 16]);
    let running = world.start();
    until(|| world.receipt(&second, [2; 16], Outcome::Sent).is_some()).await;
    running.stop().await.unwrap();
    assert_eq!(world.mails().len(), 2);
}
