//! Declared hands in the running executor: who may declare them, what they refuse, and what becomes of what they carried.

use std::fs;

use aiemp_keys::Signer;
use aiemp_protocol::{
    approval::{Outcome, journal::State},
    time::Timestamp,
};

use super::{
    super::secrets,
    fixtures::{World, call, payment, post, until},
};
use crate::{config::Config, hands::Hands, shell::walls::Reach};

const SOCIAL: &str = "[social]\ncarries = \"post\"\nmethod = \"POST\"\nhost = \"social.example\"\npath = \"/posts\"\n\
                      omit = [\"network\"]\njson = { text = \"{text}\" }\n";

fn dry(text: &str) -> String {
    text.replacen("]\n", "]\ndry_run = true\n", 1)
}

#[tokio::test]
async fn hands_count_when_they_are_signed_and_newer_also_after_a_restart() {
    let world = World::new("");
    let running = world.start();
    let path = world.hand_in("1.hands", &world.sign_hands(2, &dry(SOCIAL)));
    until(|| !path.exists()).await;
    let path = world.hand_in("2.hands", &world.sign_hands(1, ""));
    until(|| world.refused_file(&path) == Some("older_hands".to_owned())).await;
    let planted = aiemp_protocol::approval::SignedHands { issued: Timestamp::from_millis(3), text: String::new() };
    let planted = planted.sign(&Signer::from_seed([9; 32]), world.roster().mesh);
    let path = world.hand_in("3.hands", &planted);
    until(|| world.refused_file(&path) == Some("signature".to_owned())).await;
    let path = world.hand_in("4.hands", &world.sign_hands(4, "[social]\nhost = \"evil.example\"\n"));
    until(|| world.refused_file(&path) == Some("form".to_owned())).await;
    running.stop().await.unwrap();

    let running = world.start();
    world.approve(&post(1), [1; 16]);
    until(|| world.receipt(&post(1), [1; 16], Outcome::Sent).is_some()).await;
    running.stop().await.unwrap();
    let told = world.receipt(&post(1), [1; 16], Outcome::Sent).unwrap().detail;
    let expected = "dry run, nothing left this machine: POST https://social.example:443/posts | content-type: \
                    application/json | {\"text\":\"the text 1\\n\"}";
    assert_eq!(told, expected);

    // What may be called is not decided by whoever can write a file.
    fs::write(world.home.executor_hands(), planted).unwrap();
    let error = format!("{:#}", world.run_to_end().await.unwrap_err());
    assert!(error.contains("no approver of this mesh signed") && error.contains("hands apply"), "{error}");
}

#[tokio::test]
async fn hands_that_need_another_wall_end_the_executor_and_others_do_not() {
    let world = World::new("");
    let running = world.start();
    let path = world.hand_in("1.hands", &world.sign_hands(1, &dry(SOCIAL)));
    until(|| !path.exists()).await;
    assert!(!running.is_over(), "what calls nobody needs no port");
    world.hand_in("2.hands", &world.sign_hands(2, SOCIAL));
    running.ended().await.unwrap();
    let config = Config::parse("vault = \"/vault\"\n").unwrap();
    let reach = |text: &str| Reach::of(&config, &Hands::parse(text).unwrap());
    assert_eq!(reach(SOCIAL).ports.into_iter().collect::<Vec<_>>(), [53, 443]);
    assert!(reach(SOCIAL).covers(&reach("")) && !reach("").covers(&reach(SOCIAL)));
    assert!(!reach(SOCIAL).covers(&reach(&SOCIAL.replacen("]\n", "]\nca_file = \"/ca.pem\"\n", 1))));
}

#[tokio::test]
async fn an_unattended_mesh_pays_nothing_and_calls_no_other_machine() {
    let world = World::unattended("");
    let bank = "[bank]\ncarries = \"payment\"\nmethod = \"POST\"\nscheme = \"http\"\nhost = \"localhost\"\nport = 1\npath = \"/pay\"\n\
                omit = [\"payee\", \"currency\", \"reference\"]\njson = { to = \"{account}\", cents = \"{amount_minor:integer}\" }\n";
    let plain = "[plain]\ncarries = \"http\"\nmethod = \"POST\"\nhost = \"crm.example\"\npath = \"/notes\"\njson = { text = \"{param.text}\" }\n";
    world.declare(&format!("{bank}{}{plain}", dry(SOCIAL)));
    let (paid, called, posted) = (payment(1), call("plain", 2), post(3));
    world.approve(&paid, [1; 16]);
    world.approve(&called, [2; 16]);
    world.approve(&posted, [3; 16]);
    let running = world.start();
    until(|| world.receipt(&posted, [3; 16], Outcome::Sent).is_some()).await;
    for (action, nonce, why) in [(&paid, 1, "nothing is paid"), (&called, 2, "crm.example is another one")] {
        until(|| world.receipt(action, [nonce; 16], Outcome::Failed).is_some()).await;
        let receipt = world.receipt(action, [nonce; 16], Outcome::Failed).unwrap();
        assert!(receipt.unattended && receipt.detail.contains(why), "{}", receipt.detail);
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_hand_without_its_secret_sends_nothing_and_says_which() {
    let world = World::new("");
    let with_secret = format!("{SOCIAL}headers = {{ Authorization = \"Bearer ${{secret:social-token}}\" }}\n");
    world.declare(&with_secret);
    world.approve(&post(1), [1; 16]);
    let running = world.start();
    until(|| world.receipt(&post(1), [1; 16], Outcome::Failed).is_some()).await;
    running.stop().await.unwrap();
    let told = world.receipt(&post(1), [1; 16], Outcome::Failed).unwrap().detail;
    assert_eq!(told, "there is no secret named social-token; store it with `aiemp-node secrets add social-token`");
    // One that somebody planted is none.
    let value = aiemp_keys::Secret::new("planted".to_owned());
    secrets::add(&world.home, &Signer::from_seed([9; 32]), world.roster().mesh, "social-token", &value).unwrap();
    world.approve(&post(2), [2; 16]);
    let running = world.start();
    until(|| world.receipt(&post(2), [2; 16], Outcome::Failed).is_some()).await;
    running.stop().await.unwrap();
    let told = world.receipt(&post(2), [2; 16], Outcome::Failed).unwrap().detail;
    assert!(told.contains("is not signed by an approver of this mesh"), "{told}");
}

#[tokio::test]
async fn what_exceeds_the_hour_of_a_hand_waits() {
    let world = World::new("");
    world.declare(&dry(SOCIAL).replacen("]\n", "]\nper_hour = 2\n", 1));
    // One lies more than an hour back, one counts although nobody knows its end.
    let mut old = world.row(&post(1), [1; 16], State::Sent);
    old.changed = old.changed.earlier_by(std::time::Duration::from_secs(3_601));
    world.store(&old);
    world.store(&world.row(&post(2), [2; 16], State::Unknown));
    world.approve(&post(3), [3; 16]);
    let running = world.start();
    until(|| world.receipt(&post(3), [3; 16], Outcome::Sent).is_some()).await;
    world.approve(&post(4), [4; 16]);
    until(|| world.receipt(&post(4), [4; 16], Outcome::Accepted).is_some()).await;
    running.stop().await.unwrap();
    assert!(world.receipt(&post(4), [4; 16], Outcome::Sent).is_none());
    let store = super::super::JournalStore::of(&world.home).unwrap();
    let rows = store.load().unwrap();
    let row = rows.iter().find(|row| row.verified.decision.nonce == [4; 16]).unwrap();
    assert_eq!(
        (row.state, row.detail.as_str()),
        (State::Reserved, "the hand `social` carries at most 2 in an hour; it waits")
    );
}

#[tokio::test]
async fn a_call_without_a_key_that_was_under_way_is_never_repeated() {
    let world = World::new("");
    let plain = "[plain]\ncarries = \"http\"\nmethod = \"POST\"\nscheme = \"http\"\nhost = \"localhost\"\nport = 1\npath = \"/notes\"\njson = { text = \"{param.text}\" }\n";
    world.declare(plain);
    let action = call("plain", 1);
    world.store(&world.row(&action, [1; 16], State::Dispatching));
    let running = world.start();
    until(|| world.receipt(&action, [1; 16], Outcome::Unknown).is_some()).await;
    running.stop().await.unwrap();
}
