//! Mails that were on their way by SMTP when the process ended, and a server that keeps what was sent.

use aiemp_keys::Secret;
use aiemp_protocol::approval::{Outcome, journal::State};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::{
    super::{message, secrets},
    fixtures::{SmtpServer, World, email, until},
};

/// Serves IMAP to every caller; what it was asked to look for.
async fn imap(found: &'static str) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            serve(stream, found).await;
        }
    });
    (port, task)
}

async fn serve(stream: TcpStream, found: &str) {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"* OK ready\r\n").await.unwrap();
    let mut line = String::new();
    while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
        let (tag, words) = line.split_once(' ').unwrap();
        let id = message::message_id(&email("smtp", 1).hash(), &[1; 16], "Me <me@mine.test>");
        let told = match words.split(' ').next().unwrap() {
            "UID" if words.trim_end() == format!("UID SEARCH HEADER Message-ID \"<{id}>\"") => {
                format!("* SEARCH{found}\r\n")
            }
            "UID" => panic!("{words}"),
            _ => String::new(),
        };
        stream.write_all(format!("{told}{tag} OK done\r\n").as_bytes()).await.unwrap();
        line.clear();
    }
}

fn world(smtp: u16, imap: u16, more: &str) -> World {
    let world = World::new(&format!(
        "[smtp]\nhost = \"127.0.0.1\"\nport = {smtp}\nsecurity = \"plain\"\n[smtp.sent]\nhost = \"127.0.0.1\"\n\
         port = {imap}\nsecurity = \"plain\"\nusername = \"me\"\npassword_secret = \"imap\"\n{more}"
    ));
    let password = Secret::new("correct horse".to_owned());
    secrets::add(&world.home, &world.approve, world.roster().mesh, "imap", &password).unwrap();
    world.store(&world.row(&email("smtp", 1), [1; 16], State::Dispatching));
    world
}

#[tokio::test]
async fn a_mail_that_lies_in_the_folder_of_sent_mails_was_sent() {
    let (port, _task) = imap(" 7").await;
    let world = world(1, port, "");
    let (action, running) = (email("smtp", 1), world.start());
    until(|| world.receipt(&action, [1; 16], Outcome::Sent).is_some()).await;
    running.stop().await.unwrap();
    assert_eq!(world.receipt(&action, [1; 16], Outcome::Sent).unwrap().detail, "found in the folder Sent");
}

#[tokio::test]
async fn a_mail_that_does_not_lie_there_is_unknown_and_sent_again_only_where_all_sent_mails_do() {
    let (port, _task) = imap("").await;
    let action = email("smtp", 1);
    let unsure = world(1, port, "");
    let running = unsure.start();
    let server = SmtpServer::that_fails_first().await;
    let sure = world(server.port, port, "files_sent = true\n");
    let again = sure.start();
    until(|| unsure.receipt(&action, [1; 16], Outcome::Unknown).is_some()).await;
    running.stop().await.unwrap();
    assert!(unsure.receipt(&action, [1; 16], Outcome::Unknown).unwrap().detail.contains("which proves nothing"));
    until(|| sure.receipt(&action, [1; 16], Outcome::Sent).is_some()).await;
    again.stop().await.unwrap();
    assert_eq!(server.end().await.len(), 1);
}

#[tokio::test]
async fn a_mail_whose_server_gives_no_answer_is_unknown() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let world = world(1, closed, "files_sent = true\n");
    let (action, running) = (email("smtp", 1), world.start());
    until(|| world.receipt(&action, [1; 16], Outcome::Unknown).is_some()).await;
    running.stop().await.unwrap();
    let told = world.receipt(&action, [1; 16], Outcome::Unknown).unwrap().detail;
    assert!(told.contains("refused") && !told.contains("horse"), "{told}");
}
