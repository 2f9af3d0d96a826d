//! A hand that is declared anew while something is under way: whoever it calls now knows nothing of it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use aiemp_keys::{Secret, private_file::write_private};
use aiemp_protocol::{
    action::Action,
    approval::{
        Outcome,
        journal::{Nonce, State},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

use super::{
    super::secrets,
    fixtures::{World, email, payment, post, until},
};

const NONCE: Nonce = [1; 16];
const KEY: &str = "idempotency_header = \"Idempotency-Key\"\n";
const ASK: &str = "[bank.ask]\npath = \"/by-key/{idempotency_key}\"\n";
const COMPLETE: &str = "[social.read_back]\npath = \"/posts\"\ntext = \"/text\"\nis_complete = true\n";

/// Takes whatever it is asked for, and counts.
struct Taker {
    port: u16,
    asked: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Taker {
    async fn begin() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, asked) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU32::new(0)));
        let counter = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::Relaxed);
                let heard = stream.read(&mut [0; 4096]).await.unwrap();
                assert!(heard > 0, "a request");
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]").await.ok();
            }
        });
        Self { port, asked, task }
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn bank(port: u16, more: &str) -> String {
    format!(
        "[bank]\ncarries = \"payment\"\nmethod = \"POST\"\nscheme = \"http\"\nhost = \"127.0.0.1\"\nport = {port}\n\
         path = \"/pay\"\njson = {{ to = \"{{account}}\", cents = \"{{amount_minor:integer}}\" }}\n\
         omit = [\"payee\", \"currency\", \"reference\"]\n{more}"
    )
}

fn social(port: u16, more: &str) -> String {
    format!(
        "[social]\ncarries = \"post\"\nmethod = \"POST\"\nscheme = \"http\"\nhost = \"127.0.0.1\"\nport = {port}\n\
         path = \"/act\"\njson = {{ text = \"{{text}}\" }}\nomit = [\"network\"]\n{more}"
    )
}

/// A process ended while the action was under way by one declaration; the next one goes by another.
async fn ended_under(world: &World, action: &Action, before: &str, after: &str) -> Outcome {
    world.declare(before);
    world.store(&world.row(action, NONCE, State::Dispatching));
    world.declare(after);
    let running = world.start();
    let ends = [Outcome::Unknown, Outcome::Sent, Outcome::Failed];
    let ended = || ends.into_iter().find(|outcome| world.receipt(action, NONCE, *outcome).is_some());
    until(|| ended().is_some()).await;
    running.stop().await.unwrap();
    ended().expect("an end")
}

#[tokio::test]
async fn what_is_under_way_is_neither_made_again_nor_asked_for_by_a_hand_that_was_changed() {
    let taker = Taker::begin().await;
    let (here, gone) = (taker.port, 1);
    let cases = [
        ("another service", payment(1), bank(gone, KEY), bank(here, KEY)),
        ("a key at last", payment(1), bank(here, ""), bank(here, KEY)),
        ("another key", payment(1), bank(here, KEY), bank(here, "idempotency_header = \"X-Key\"\n")),
        ("a question at last", payment(1), bank(here, ""), bank(here, ASK)),
        ("a whole list", post(1), social(here, ""), social(here, COMPLETE)),
        ("an old row", payment(1), String::new(), bank(here, KEY)),
    ];
    for (case, action, before, after) in cases {
        let world = World::new("");
        assert_eq!(ended_under(&world, &action, &before, &after).await, Outcome::Unknown, "{case}");
        let detail = world.receipt(&action, NONCE, Outcome::Unknown).unwrap().detail;
        assert!(detail.contains("not known to be the one that was asked"), "{case}: {detail}");
        assert_eq!(taker.asked(), 0, "{case}");
    }
}

#[tokio::test]
async fn a_hand_that_waits_longer_or_carries_more_is_the_same_hand() {
    let taker = Taker::begin().await;
    let before = bank(taker.port, KEY);
    let after = bank(taker.port, &format!("# slow today\ntimeout_s = 60\nper_hour = 9\n{KEY}"));
    let ended = ended_under(&World::new(""), &payment(1), &before, &after).await;
    assert_eq!((ended, taker.asked()), (Outcome::Sent, 1));
}

#[tokio::test]
async fn a_mail_that_was_under_way_is_not_looked_for_by_settings_that_were_changed() {
    let taker = Taker::begin().await;
    let smtp = |more: &str| format!("[smtp]\nhost = \"127.0.0.1\"\nport = 1\nsecurity = \"plain\"\n{more}");
    let sent = format!(
        "[smtp.sent]\nhost = \"127.0.0.1\"\nport = {}\nsecurity = \"plain\"\nusername = \"me\"\n\
         password_secret = \"imap\"\nfiles_sent = true\n",
        taker.port
    );
    let world = World::new(&smtp(""));
    let password = Secret::new("correct horse".to_owned());
    secrets::add(&world.home, &world.approve, world.roster().mesh, "imap", &password).unwrap();
    world.store(&world.row(&email("smtp", 1), NONCE, State::Dispatching));
    let settings = format!("vault = \"/vault\"\n{}", smtp(&sent));
    write_private(&world.home.config(), settings.as_bytes()).unwrap();
    let running = world.start();
    until(|| world.receipt(&email("smtp", 1), NONCE, Outcome::Unknown).is_some()).await;
    running.stop().await.unwrap();
    assert_eq!(taker.asked(), 0);
}
