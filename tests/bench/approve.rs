//! From the start of `approvals approve` until an SMTP server has taken the mail.

use std::{
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    RUNS,
    figure::{Figure, median, ms},
    node::{OwnerKeys, PATIENCE, Pair, wait},
    smtp_sink::SmtpSink,
};

const GOAL_MS: f64 = 500.0;
/// Between approvals, so that the filing of one is over before the next.
const PAUSE: Duration = Duration::from_secs(1);

/// One approval, from the start of its command.
#[derive(Clone, Copy, Debug)]
struct Timed {
    connected: Duration,
    answered: Duration,
    command_ended: Duration,
}

pub(crate) fn measure() -> Result<Vec<Figure>> {
    let unprotected = approve_all(OwnerKeys::Unprotected)?;
    let protected = approve_all(OwnerKeys::Passphrase)?;
    let loopback = "an unattended mesh may send to loopback";
    Ok(vec![
        figure("approve → accepted by SMTP", &unprotected, loopback),
        figure("approve with a passphrase → accepted by SMTP", &protected, "with unsealing the key by scrypt"),
    ])
}

fn figure(name: &str, timed: &[Timed], note: &str) -> Figure {
    let of = |time: fn(&Timed) -> Duration| timed.iter().map(|timed| ms(time(timed))).collect::<Vec<_>>();
    let note = format!(
        "{note}; medians: command ended after {:.0}, server connected {:.0}, mail taken {:.0}",
        median(&of(|timed| timed.command_ended)),
        median(&of(|timed| timed.connected)),
        median(&of(|timed| timed.answered))
    );
    Figure::new(name, "ms", of(|timed| timed.answered)).at_most(GOAL_MS).note(note)
}

fn approve_all(keys: OwnerKeys) -> Result<Vec<Timed>> {
    let sink = SmtpSink::start()?;
    let settings = format!(
        "[mail]\nfrom = \"Me <me@example.test>\"\nhand = \"smtp\"\n[smtp]\nhost = \"127.0.0.1\"\nport = {}\n\
         security = \"plain\"\n",
        sink.port()
    );
    let pair = Pair::start(keys, &settings)?;
    for number in 0..RUNS {
        pair.cloud.save(&format!("Inbox/mail-{number}.eml"), mail(number).as_bytes())?;
    }
    wait("a draft for each mail", || pair.local.pending().is_ok_and(|ids| ids.len() == RUNS))?;
    let mut timed = Vec::new();
    for id in pair.local.pending()? {
        thread::sleep(PAUSE);
        timed.push(approve(&pair, keys, &sink, &id)?);
    }
    Ok(timed)
}

fn approve(pair: &Pair, keys: OwnerKeys, sink: &SmtpSink, id: &str) -> Result<Timed> {
    let passphrase = pair.passphrase_file();
    let mut args = vec!["approvals", "approve", id, "--json"];
    if keys == OwnerKeys::Passphrase {
        args.extend(["--passphrase-file", &passphrase]);
    }
    let mut command = pair.local.command(&args);
    let began = Instant::now();
    let mut child = command.stdout(Stdio::null()).spawn()?;
    let status = child.wait()?;
    let command_ended = began.elapsed();
    ensure!(status.success(), "approve ended with {status}");
    let accepted = sink.mails.recv_timeout(PATIENCE).context("the server has not got the mail")?;
    let since = |at: Instant| at.saturating_duration_since(began);
    Ok(Timed { connected: since(accepted.connected), answered: since(accepted.answered), command_ended })
}

fn mail(number: usize) -> String {
    format!(
        "From: Client {number} <client.{number}@client.test>\r\nTo: me@example.test\r\nSubject: Question {number}\r\n\
         Date: Wed, 07 Jan 2026 10:30:0{} +0000\r\nMessage-ID: <bench-{number}@client.test>\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\nHello,\r\n\r\nplease answer question {number}.\r\n",
        number % 10
    )
}
