//! What was handed in while no executor ran: what stops a mail counts before anything that waited goes out.

use std::fs;

use aiemp_protocol::{
    action::ActionKind,
    approval::{
        Outcome, Policy,
        journal::{Nonce, State},
        policy::Rule,
    },
};

use super::{
    super::now,
    fixtures::{World, email, until},
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
