//! What was handed in while no executor ran: what stops a mail counts before anything that waited goes out.

use std::fs;

use aiemp_keys::private_file::{create_private_dir, write_private};
use aiemp_protocol::{
    action::ActionKind,
    approval::{
        Outcome, Policy,
        journal::{Nonce, State},
        policy::Rule,
    },
};

use tokio::net::TcpListener;

use super::{
    super::now,
    fixtures::{World, email, until},
    standing,
};

const NONCE: Nonce = [1; 16];

/// A home in which a mail waits that was due long ago.
fn with_a_mail_that_waits() -> World {
    let world = World::new("");
    world.store(&world.row(&email("outbox", 1), NONCE, State::Reserved));
    world
}

fn taken_in(world: &World) -> bool {
    fs::read_dir(world.home.approved()).unwrap().count() == 0
}

#[tokio::test]
async fn a_mail_that_waits_is_stopped_by_what_was_handed_in_while_no_executor_ran() {
    let none = Rule { per_day: Some(0), ..Rule::default() };
    let policy = Policy { issued: now(), rules: [(ActionKind::Email, none)].into() };
    for case in ["cancel", "policy"] {
        let world = with_a_mail_that_waits();
        match case {
            "cancel" => world.hand_in(&format!("{}.cancel", email("outbox", 1).hash()), b""),
            _ => world.hand_in("1.policy", &world.sign_policy(&policy)),
        };
        let running = world.start();
        let has = |outcome| world.receipt(&email("outbox", 1), NONCE, outcome).is_some();
        until(|| has(Outcome::Failed) || has(Outcome::Sent)).await;
        running.stop().await.unwrap();
        assert_eq!((world.mails().len(), has(Outcome::Failed)), (0, true), "{case}");
    }
}

#[tokio::test]
async fn a_freeze_whose_copy_the_mesh_took_away_stops_a_mail_that_waits() {
    let world = with_a_mail_that_waits();
    world.hand_in("1.freeze", &world.freeze());
    let running = world.start();
    until(|| taken_in(&world)).await;
    running.stop().await.unwrap();
    assert_eq!(world.mails().len(), 0);
    world.hand_in("2.freeze", &world.lift(&world.approve));
    let running = world.start();
    until(|| world.mails().len() == 1).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_lift_lets_nothing_out_that_was_cancelled_with_it() {
    let world = with_a_mail_that_waits();
    world.freeze_by_mesh(&world.freeze());
    world.hand_in("1.freeze", &world.lift(&world.approve));
    world.hand_in(&format!("{}.cancel", email("outbox", 1).hash()), b"");
    let running = world.start();
    until(|| world.receipt(&email("outbox", 1), NONCE, Outcome::Failed).is_some() || !world.mails().is_empty()).await;
    running.stop().await.unwrap();
    assert_eq!(world.mails().len(), 0);
}

#[tokio::test]
async fn what_was_on_its_way_when_the_process_ended_and_is_called_off_is_not_sent() {
    for case in ["cancelled", "ended", "ended before"] {
        let world = World::new("");
        let standing = standing::allowing(&world, "outbox", 9);
        let (action, nonce) = standing::left(&world, &standing, State::Dispatching);
        match case {
            "cancelled" => drop(world.hand_in(&format!("{}.cancel", action.hash()), b"")),
            "ended" => drop(world.hand_in(&format!("{}.ended", standing.id), b"")),
            _ => {
                create_private_dir(&world.home.ended_standing()).unwrap();
                write_private(&world.home.ended_standing().join(standing.id.to_string()), b"").unwrap();
            }
        }
        let running = world.start();
        let has = |outcome| world.receipt(&action, nonce, outcome).is_some();
        until(|| has(Outcome::Failed) || has(Outcome::Sent)).await;
        until(|| taken_in(&world)).await;
        running.stop().await.unwrap();
        assert_eq!((world.mails().len(), has(Outcome::Failed)), (0, true), "{case}");
    }
}

#[tokio::test]
async fn a_mail_that_is_cancelled_while_its_server_hangs_is_not_tried_again() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let world = World::new(&format!("[smtp]\nhost = \"127.0.0.1\"\nport = {port}\nsecurity = \"plain\"\n"));
    let action = email("smtp", 1);
    world.approve(&action, NONCE);
    let running = world.start();
    let (caller, _) = server.accept().await.unwrap();
    until(|| taken_in(&world)).await;
    let cancel = world.hand_in(&format!("{}.cancel", action.hash()), b"");
    // It was read when what was handed in after it was.
    let later = world.hand_in("z.cancel", b"");
    until(|| !later.exists()).await;
    assert!(cancel.exists(), "nobody knows yet");
    drop(caller);
    until(|| world.receipt(&action, NONCE, Outcome::Failed).is_some()).await;
    until(|| !cancel.exists()).await;
    running.stop().await.unwrap();
    assert_eq!(world.receipt(&action, NONCE, Outcome::Failed).unwrap().detail, "cancelled before it was sent");
    assert_eq!(world.refused_file(&cancel), None);
}

#[tokio::test]
async fn without_the_journal_of_what_was_sent_nothing_is_sent() {
    for is_emptied in [true, false] {
        let world = World::new("");
        let (action, journal) = (email("outbox", 1), world.home.journal());
        let approval = world.bundle(&action, &world.decision(&action, NONCE)).to_bytes();
        world.hand_in("1.approval", &approval);
        let running = world.start();
        until(|| world.receipt(&action, NONCE, Outcome::Sent).is_some()).await;
        running.stop().await.unwrap();
        for file in ["", "-wal", "-shm"].map(|end| format!("{}{end}", journal.display())) {
            fs::remove_file(file).ok();
        }
        if is_emptied {
            write_private(&journal, b"").unwrap();
        }
        world.hand_in("1.approval", &approval);
        let why = world.run_to_end().await.unwrap_err().to_string();
        assert!(why.contains("move the receipts to another folder"), "{why}");
        assert_eq!((world.mails().len(), world.home.approved().join("1.approval").exists()), (1, true));
        fs::rename(world.home.receipts(), world.home.path().join("old-receipts")).unwrap();
        fs::remove_file(world.home.approved().join("1.approval")).unwrap();
        world.run_to_end().await.unwrap();
        assert_eq!(world.mails().len(), 1);
    }
}
