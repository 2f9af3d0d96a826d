use aiemp_keys::Secret;
use std::time::Duration;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;

const GREETING: (&str, &str) = ("", "220 ready");
const EHLO: (&str, &str) = ("EHLO ", "250-own.test\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME");
const MAIL: (&str, &str) = ("MAIL FROM:<me@own.test>", "250 ok");
const RCPT_A: (&str, &str) = ("RCPT TO:<a@client.test>", "250 ok");
const RCPT_B: (&str, &str) = ("RCPT TO:<b@client.test>", "250 ok");
const DATA: (&str, &str) = ("DATA", "354 go ahead");
/// Closes the connection instead of a reply.
const DIES: &str = "dies";
/// Reads on without ever replying.
const HANGS: &str = "hangs";

fn message() -> OutgoingMessage {
    OutgoingMessage {
        envelope_from: "me@own.test".into(),
        envelope_to: vec!["a@client.test".into(), "b@client.test".into()],
        bytes: b"Subject: x\r\n\r\n.\r\nhi\r\n".to_vec(),
    }
}

fn settings(port: u16) -> SmtpSettings {
    SmtpSettings {
        host: "127.0.0.1".into(),
        port,
        security: Security::Plain,
        username: None,
        shown: None,
        timeout: Duration::from_secs(10),
        ca_file: None,
    }
}

/// Plays the script once; gives the lines that the other side said.
async fn server(script: &[(&'static str, &'static str)]) -> (u16, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let script = script.to_vec();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a caller");
        let mut stream = BufReader::new(stream);
        let mut said = Vec::new();
        for (expected, reply) in script {
            if !expected.is_empty() {
                let mut line = String::new();
                while stream.read_line(&mut line).await.unwrap_or(0) > 0
                    && expected == "."
                    && !line.ends_with("\r\n.\r\n")
                {}
                assert!(expected == "." || line.starts_with(expected), "expected {expected:?}, got {line:?}");
                said.push(line);
            }
            match reply {
                DIES => return said,
                HANGS => {
                    drop(stream.read_to_end(&mut Vec::new()).await);
                    return said;
                }
                reply => stream.write_all(format!("{reply}\r\n").as_bytes()).await.expect("a listener"),
            }
        }
        let mut rest = String::new();
        drop(stream.read_to_string(&mut rest).await);
        said.extend(rest.lines().map(str::to_owned));
        said
    });
    (port, task)
}

async fn outcome_of(script: &[(&'static str, &'static str)]) -> (SmtpOutcome, Vec<String>) {
    let (port, task) = server(script).await;
    let mut settings = settings(port);
    if script.iter().any(|(_, reply)| *reply == HANGS) {
        settings.timeout = Duration::from_secs(1);
    }
    let outcome = send(&settings, &message()).await;
    (outcome, task.await.expect("a script that was followed"))
}

fn not_sent(outcome: &SmtpOutcome) -> (&str, bool) {
    match outcome {
        SmtpOutcome::NotSent { reason, retryable } => (reason, *retryable),
        SmtpOutcome::Accepted { .. } | SmtpOutcome::Unknown { .. } => panic!("{outcome:?}"),
    }
}

#[tokio::test]
async fn an_accepted_message_is_accepted() {
    let script = [GREETING, EHLO, MAIL, RCPT_A, RCPT_B, DATA, (".", "250 2.0.0 queued as 1"), ("QUIT", "221 bye")];
    let (outcome, said) = outcome_of(&script).await;
    assert_eq!(outcome, SmtpOutcome::Accepted { response: "250 2.0.0 queued as 1".into() });
    assert_eq!(said[5], "Subject: x\r\n\r\n..\r\nhi\r\n\r\n.\r\n");
}

#[tokio::test]
async fn a_password_is_sent_to_a_server_that_asks() {
    let login = ("AUTH PLAIN AG1lAGh1bnRlcjI=", "235 welcome");
    let (port, task) = server(&[GREETING, EHLO, login, MAIL, RCPT_A, RCPT_B, DATA, (".", "250 ok")]).await;
    let account = SmtpSettings {
        username: Some("me".into()),
        shown: Some(Shown::Password(Secret::new("hunter2".to_owned()))),
        ..settings(port)
    };
    assert!(!format!("{account:?}").contains("hunter2"));
    assert_eq!(send(&account, &message()).await, SmtpOutcome::Accepted { response: "250 ok".into() });
    task.await.expect("a script that was followed");
}

#[tokio::test]
async fn a_refused_login_is_not_sent() {
    let (port, task) = server(&[GREETING, EHLO, ("AUTH ", "535 5.7.8 bad credentials")]).await;
    let account = SmtpSettings {
        username: Some("me".into()),
        shown: Some(Shown::Password(Secret::new("x".to_owned()))),
        ..settings(port)
    };
    let outcome = send(&account, &message()).await;
    assert_eq!(not_sent(&outcome), ("logging in: permanent error (535): 5.7.8 bad credentials", false));
    task.await.expect("a script that was followed");
    let outcome = send(&SmtpSettings { shown: None, ..account }, &message()).await;
    assert!(!matches!(outcome, SmtpOutcome::Accepted { .. }));
}

#[tokio::test]
async fn a_token_is_shown_and_why_it_is_refused_is_heard_to_the_end() {
    const EHLO: (&str, &str) = ("EHLO ", "250-mail\r\n250 AUTH XOAUTH2");
    const SHOWN: &str = "AUTH XOAUTH2 dXNlcj1tZQFhdXRoPUJlYXJlciBodW50ZXIyAQE=";
    let why = (SHOWN, "334 eyJzdGF0dXMiOiI0MDAifQ==");
    for (script, expected) in [
        (vec![GREETING, EHLO, (SHOWN, "235 in"), MAIL, RCPT_A, RCPT_B, DATA, (".", "250 ok")], None),
        (
            vec![GREETING, EHLO, why, ("\r\n", "535 5.7.8 no")],
            Some(("logging in: permanent error (535): 5.7.8 no", false)),
        ),
        (vec![GREETING, EHLO, why, ("\r\n", "454 later")], Some(("logging in: transient error (454): later", true))),
    ] {
        let (port, task) = server(&script).await;
        let shown = Some(Shown::Token(Secret::new("hunter2".to_owned())));
        let outcome = send(&SmtpSettings { username: Some("me".into()), shown, ..settings(port) }, &message()).await;
        match expected {
            None => assert_eq!(outcome, SmtpOutcome::Accepted { response: "250 ok".into() }),
            Some(expected) => assert_eq!(not_sent(&outcome), expected),
        }
        task.await.expect("a script that was followed");
    }
}

#[tokio::test]
async fn one_refused_recipient_means_nobody_gets_it() {
    let refused = ("RCPT TO:<b@client.test>", "550 5.1.1 no such user");
    let (outcome, said) =
        outcome_of(&[GREETING, EHLO, MAIL, RCPT_A, refused, ("RSET", "250 ok"), ("QUIT", "221 bye")]).await;
    let reason = "naming the recipient b@client.test: permanent error (550): 5.1.1 no such user";
    assert_eq!(not_sent(&outcome), (reason, false));
    assert_eq!(said[4..], ["RSET\r\n", "QUIT\r\n"]);
}

#[tokio::test]
async fn a_server_that_is_busy_may_be_asked_again() {
    let (outcome, _) = outcome_of(&[("", "421 4.3.2 too busy")]).await;
    let (reason, retryable) = not_sent(&outcome);
    assert!(retryable && reason.ends_with(": transient error (421): 4.3.2 too busy"), "{reason}");
}

#[tokio::test]
async fn a_refusal_of_the_message_is_not_sent() {
    let (outcome, _) = outcome_of(&[GREETING, EHLO, MAIL, RCPT_A, RCPT_B, DATA, (".", "552 5.3.4 too big")]).await;
    assert_eq!(not_sent(&outcome), ("sending the message: permanent error (552): 5.3.4 too big", false));
    let (outcome, _) = outcome_of(&[GREETING, EHLO, MAIL, RCPT_A, RCPT_B, DATA, (".", "451 4.7.1 greylisted")]).await;
    assert_eq!(not_sent(&outcome), ("sending the message: transient error (451): 4.7.1 greylisted", true));
}

#[tokio::test]
async fn a_connection_lost_after_data_leaves_it_unknown() {
    for end in [DIES, HANGS, "354 what?", "nonsense"] {
        let (outcome, _) = outcome_of(&[GREETING, EHLO, MAIL, RCPT_A, RCPT_B, DATA, (".", end)]).await;
        assert!(matches!(outcome, SmtpOutcome::Unknown { .. }), "{end}: {outcome:?}");
    }
    let (outcome, _) = outcome_of(&[GREETING, EHLO, MAIL, RCPT_A, RCPT_B, ("DATA", "354 go"), ("Subject", DIES)]).await;
    assert!(matches!(outcome, SmtpOutcome::Unknown { .. }), "{outcome:?}");
}

#[tokio::test]
async fn whatever_fails_before_data_is_not_sent() {
    let dialogue = [GREETING, EHLO, MAIL, RCPT_A, RCPT_B, DATA];
    let mut attempts = tokio::task::JoinSet::new();
    for length in 1..=dialogue.len() {
        for end in [DIES, HANGS] {
            let mut script = dialogue[..length].to_vec();
            script[length - 1].1 = end;
            attempts.spawn(async move { (length, end, outcome_of(&script).await.0) });
        }
    }
    while let Some(attempt) = attempts.join_next().await {
        let (length, end, outcome) = attempt.expect("an attempt that ended");
        assert!(not_sent(&outcome).1, "step {length} {end}: {outcome:?}");
    }
    let (outcome, _) = outcome_of(&[GREETING, EHLO, MAIL, RCPT_A, RCPT_B, ("DATA", "250 ok")]).await;
    assert_eq!(not_sent(&outcome), ("announcing the message: expected 354, the server said 250 ok", false));
}

#[tokio::test]
async fn a_refused_connection_may_be_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    for security in [Security::Plain, Security::Starttls, Security::Tls] {
        let outcome = send(&SmtpSettings { security, ..settings(port) }, &message()).await;
        let (reason, retryable) = not_sent(&outcome);
        assert!(retryable && reason.contains("refused"), "{reason}");
    }
}

#[tokio::test]
async fn nothing_leaves_this_machine_unencrypted() {
    for host in ["mail.example.org", "192.0.2.1", "localhost.example.org", "127.0.0.1.example.org"] {
        let outcome = send(&SmtpSettings { host: host.into(), ..settings(25) }, &message()).await;
        let expected =
            format!("{host} is another machine, and nothing leaves this one unencrypted; use starttls or tls");
        assert_eq!(not_sent(&outcome), (expected.as_str(), false));
    }
}

#[tokio::test]
async fn starttls_is_never_left_out() {
    let (port, task) = server(&[GREETING, EHLO]).await;
    let outcome = send(&SmtpSettings { security: Security::Starttls, ..settings(port) }, &message()).await;
    let (reason, retryable) = not_sent(&outcome);
    assert!(!retryable && reason.contains("STARTTLS is not supported"), "{reason}");
    let said = task.await.expect("a script that was followed");
    assert!(!said.iter().any(|line| line.starts_with("MAIL")), "{said:?}");
}

#[tokio::test]
async fn replies_put_behind_starttls_are_not_believed() {
    let offer = ("EHLO ", "250-own.test\r\n250 STARTTLS");
    let injected = ("STARTTLS", "220 go\r\n250 own.test\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 accepted");
    let (port, task) = server(&[GREETING, offer, injected]).await;
    let outcome = send(&SmtpSettings { security: Security::Starttls, ..settings(port) }, &message()).await;
    let (reason, _) = not_sent(&outcome);
    assert!(reason.contains("corrupt message"), "the handshake must see the injected words: {reason}");
    drop(task.await);
}

#[tokio::test]
async fn a_ca_file_that_holds_no_certificate_stops_the_attempt() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let broken = SmtpSettings { security: Security::Tls, ca_file: Some(file.path().to_owned()), ..settings(1) };
    let outcome = send(&broken, &message()).await;
    let expected = format!(
        "cannot use the certificates in {}: no PEM certificate in the file; check `ca_file`",
        file.path().display()
    );
    assert_eq!(not_sent(&outcome), (expected.as_str(), false));
}
