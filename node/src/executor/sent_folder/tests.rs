use aiemp_keys::Secret;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;

/// Answers each line that begins as expected, and gives all lines that it heard. `{}` stands for the tag.
async fn server(script: &'static [(&'static str, &'static str)]) -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut stream, mut heard) = (BufReader::new(stream), Vec::new());
        for (expected, answer) in script {
            let mut tag = String::new();
            if !expected.is_empty() {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                let (found, words) = line.trim_end().split_once(' ').unwrap_or(("", ""));
                assert!(words.starts_with(expected), "{line:?} for {expected:?}");
                tag = found.to_owned();
                heard.push(words.to_owned());
            }
            stream.write_all(answer.replace("{}", &tag).as_bytes()).await.unwrap();
        }
        heard
    });
    (port, task)
}

fn folder(port: u16) -> SentFolder {
    SentFolder {
        host: "127.0.0.1".to_owned(),
        port,
        security: Security::Plain,
        username: "me".to_owned(),
        credential: Credential::Password(Secret::new("pass \"word\"".to_owned())),
        folder: "Sent Items".to_owned(),
        timeout: Duration::from_secs(5),
        ca_file: None,
    }
}

const GREETING: (&str, &str) = ("", "* OK ready\r\n");
const LOGIN: (&str, &str) = ("LOGIN ", "{} OK in\r\n");
const EXAMINE: (&str, &str) = ("EXAMINE ", "* 3 EXISTS\r\n* FLAGS (\\Seen)\r\n{} OK [READ-ONLY] open\r\n");
const LOGOUT: (&str, &str) = ("LOGOUT", "* BYE bye\r\n{} OK out\r\n");

#[tokio::test]
async fn a_mail_is_looked_for_by_its_id_without_changing_anything() {
    const FOUND: [(&str, &str); 5] =
        [GREETING, LOGIN, EXAMINE, ("UID SEARCH ", "* SEARCH 7 9\r\n{} OK done\r\n"), LOGOUT];
    const ABSENT: [(&str, &str); 5] = [GREETING, LOGIN, EXAMINE, ("UID SEARCH ", "* SEARCH\r\n{} OK done\r\n"), LOGOUT];
    for (script, is_there) in [(&FOUND, true), (&ABSENT, false)] {
        let (port, task) = server(script).await;
        assert_eq!(folder(port).holds("0123@own.test").await, Ok(is_there));
        let heard = task.await.unwrap();
        let expected = [
            "LOGIN \"me\" \"pass \\\"word\\\"\"",
            "EXAMINE \"Sent Items\"",
            "UID SEARCH HEADER Message-ID \"<0123@own.test>\"",
            "LOGOUT",
        ];
        assert_eq!(heard, expected);
    }
}

#[tokio::test]
async fn what_a_server_does_instead_is_told() {
    const NO_LOGIN: [(&str, &str); 2] = [GREETING, ("LOGIN ", "{} NO [AUTHENTICATIONFAILED] wrong\r\n")];
    const NO_FOLDER: [(&str, &str); 3] = [GREETING, LOGIN, ("EXAMINE ", "{} NO no such folder\r\n")];
    const NO_SEARCH: [(&str, &str); 4] = [GREETING, LOGIN, EXAMINE, ("UID SEARCH ", "{} BAD what\r\n")];
    const HANGS_UP: [(&str, &str); 0] = [];
    const CUT: [(&str, &str); 4] = [GREETING, LOGIN, EXAMINE, ("UID SEARCH ", "* SEARCH 7")];
    const CUT_BETWEEN: [(&str, &str); 4] = [GREETING, LOGIN, EXAMINE, ("UID SEARCH ", "* SEARCH\r\n")];
    const LITERAL: [(&str, &str); 3] = [GREETING, LOGIN, ("EXAMINE ", "* OK {500000000}\r\n")];
    const BYE: [(&str, &str); 1] = [("", "* BYE come back later\r\n")];
    for (script, why) in [
        (&NO_LOGIN[..], "logging in"),
        (&NO_FOLDER, "opening the folder: Sent Items: no such folder"),
        (&NO_SEARCH, "looking for the mail"),
        (&HANGS_UP, "it broke off"),
        (&CUT, "looking for the mail: it broke off"),
        (&CUT_BETWEEN, "looking for the mail: it broke off"),
        (&LITERAL, "more than any mail server"),
        (&BYE, "it greets with * BYE"),
    ] {
        let (port, _task) = server(script).await;
        let told = folder(port).holds("0123@own.test").await.unwrap_err();
        assert!(told.contains(why), "{told}");
        assert!(!told.contains("word"), "{told}");
    }
}

#[tokio::test]
async fn a_server_that_hangs_or_talks_without_end_is_left() {
    const SILENT: [(&str, &str); 3] = [GREETING, ("LOGIN ", ""), ("LOGIN ", "")];
    let (port, _task) = server(&SILENT).await;
    let told = SentFolder { timeout: Duration::from_millis(300), ..folder(port) }.holds("x").await.unwrap_err();
    assert!(told.contains("no answer"), "{told}");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let _task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while stream.write_all("* OK and on and on\r\n".repeat(1_000).as_bytes()).await.is_ok() {}
    });
    let told = folder(port).holds("x").await.unwrap_err();
    assert!(told.contains("more than any mail server"), "{told}");
}

#[tokio::test]
async fn no_password_leaves_unencrypted_and_what_is_put_behind_starttls_is_not_believed() {
    let told = SentFolder { host: "mail.example.org".to_owned(), ..folder(1) }.holds("x").await.unwrap_err();
    assert!(told.contains("no password leaves this one unencrypted"), "{told}");

    const REFUSED: [(&str, &str); 2] = [GREETING, ("STARTTLS", "{} NO never\r\n")];
    const INJECTED: [(&str, &str); 2] =
        [GREETING, ("STARTTLS", "{} OK begin\r\na2 OK in\r\n* SEARCH 7\r\na3 OK found\r\n")];
    for (script, why) in [(&REFUSED, "STARTTLS"), (&INJECTED, "more behind STARTTLS")] {
        let (port, task) = server(script).await;
        let starttls = SentFolder { security: Security::Starttls, timeout: Duration::from_secs(2), ..folder(port) };
        let told = starttls.holds("x").await.unwrap_err();
        assert!(told.contains(why), "{told}");
        let heard = task.await.unwrap();
        assert_eq!(heard, ["STARTTLS"], "the password is not said");
    }
}
