use tokio::net::TcpListener;

use super::*;
use crate::tls;

const SECRET: &str = "correct-horse.battery";
/// As it is told with XOAUTH2.
const TOLD: &str = "dXNlcj1tZQFhdXRoPUJlYXJlciBjb3JyZWN0LWhvcnNlLmJhdHRlcnkBAQ==";

/// Answers each line by the next of these; `TAG` is the line's tag. The last one for good.
async fn server(answers: &'static [&'static str]) -> Place {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut stream, mut tag, mut answers) = (BufReader::new(stream), String::new(), answers.iter().peekable());
        stream.write_all(b"* OK ready\r\n").await.unwrap();
        let mut line = String::new();
        while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
            if let Some((found, _)) = line.split_once(' ') {
                tag = found.to_owned();
            }
            let answer = answers.next_if(|_| true).copied().unwrap_or("* BYE\r\n").replace("TAG", &tag);
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            line.clear();
        }
    });
    Place {
        host: "127.0.0.1".to_owned(),
        port,
        security: Security::Plain,
        tls: Arc::new(tls::client_config(None).unwrap()),
        patience: Duration::from_secs(5),
    }
}

fn shown() -> [Shown; 2] {
    [Shown::Password, Shown::Token].map(|shown| shown(Secret::new(SECRET.to_owned())))
}

#[tokio::test]
async fn whatever_a_server_repeats_of_what_it_was_shown_is_told_to_nobody() {
    const REPEATS: [&[&str]; 5] = [
        &["+ \r\n", "TAG NO correct-horse.battery dXNlcj1tZQFhdXRoPUJlYXJlciBjb3JyZWN0LWhvcnNlLmJhdHRlcnkBAQ==\r\n"],
        &["* BYE Bearer correct-horse.battery expired\r\n"],
        &["what is correct-horse.battery\r\n"],
        &[
            "TAG NO what is dXNlcj1tZQFhdXRoPUJlYXJlciBjb3JyZWN0LWhvcnNlLmJhdHRlcnkBAQ== and \"correct-horse.battery\"\r\n",
        ],
        // It lets in whoever asks, and repeats it later.
        &["TAG OK in\r\n", "TAG NO correct-horse.battery may not\r\n"],
    ];
    for answers in REPEATS {
        for shown in shown() {
            let mut connection = Connection::open(&server(answers).await).await.unwrap();
            let error = match connection.log_in("me", &shown).await {
                Ok(()) => connection.examine("INBOX", |_| {}).await.unwrap_err(),
                Err(error) => error,
            };
            let said = error.to_string();
            let is_told = matches!(shown, Shown::Token(_)) && said.contains(TOLD);
            assert!(!said.contains(SECRET) && !is_told, "{answers:?}: {said}");
            assert!(said.contains("***") || answers[0].starts_with('+'), "{answers:?}: {said}");
        }
    }
}

#[tokio::test]
async fn a_server_that_asks_again_and_again_is_left() {
    let [password, token] = shown();
    let mut connection = Connection::open(&server(&["+ \r\n", "+ e30=\r\n", "+ \r\n"]).await).await.unwrap();
    assert!(matches!(connection.log_in("me", &token).await, Err(ImapError::Protocol(_))));
    // To a password nothing is asked.
    let mut connection = Connection::open(&server(&["+ \r\n"]).await).await.unwrap();
    assert!(matches!(connection.log_in("me", &password).await, Err(ImapError::Protocol(_))));
    let mut connection = Connection::open(&server(&["+ \r\n", "TAG OK in\r\n"]).await).await.unwrap();
    assert!(connection.log_in("me", &token).await.is_ok());
}
