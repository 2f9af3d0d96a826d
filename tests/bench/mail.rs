//! Mails that are handed in to Cloud, up to the draft, and many at once.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::{
    figure::{Figure, median, ms},
    node::{Node, OwnerKeys, PATIENCE, Pair, wait},
};

const DRAFT_GOAL_MS: f64 = 300.0;
const RATE_GOAL: f64 = 200.0;
const MEMORY_GOAL_MIB: f64 = 120.0;
/// Mails one after the other.
const SINGLE: usize = 20;
/// Mails at once.
const BULK: usize = 10_000;
/// Connections over which they come.
const CONNECTIONS: usize = 32;
const RUNS: usize = 3;
const LOOK_AGAIN: Duration = Duration::from_millis(1);
const LINES: usize = 60;

pub(crate) fn measure() -> Result<Vec<Figure>> {
    let (mut drafts, mut rates, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    let (mut drafted_rates, mut drafted_peaks) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (mut pair, port) = with_door()?;
        drafts.push(until_drafted(&pair, port)?);
        pair.local.stop();
        pair.cloud.stop();
        pair.cloud.configure(|settings| settings.replace("\"template\"", "\"none\""))?;
        pair.cloud.start()?;
        let (rate, peak) = bulk(&pair.cloud, port, ("Needs_Action/email", "EMAIL_"))?;
        rates.push(rate);
        peaks.push(peak);
        let (mut pair, port) = with_door()?;
        pair.local.stop();
        let (rate, peak) = bulk(&pair.cloud, port, ("Pending_Approval/email", "REPLY_"))?;
        drafted_rates.push(rate);
        drafted_peaks.push(peak);
    }
    let at_once = format!(
        "{BULK} mails of {} KB over {CONNECTIONS} connections while Local is off, without a brain",
        mail(0).len() >> 10
    );
    Ok(vec![
        Figure::new("a mail handed in → draft filed", "ms", drafts)
            .at_most(DRAFT_GOAL_MS)
            .note(format!("LMTP, template brain; median of {SINGLE} a run")),
        Figure::new("mails taken up", "mails/s", rates).at_least(RATE_GOAL).note(at_once.clone()),
        Figure::new("most memory of the mesh process (RSS)", "MiB", peaks).at_most(MEMORY_GOAL_MIB).note(at_once),
        Figure::new("mails taken up and drafted", "mails/s", drafted_rates).note("the same, with the template brain"),
        Figure::new("most memory of the mesh process (RSS)", "MiB", drafted_peaks).note("of 40,000 files then"),
    ])
}

/// A pair whose Cloud drafts by template, and the port at which it takes mails.
fn with_door() -> Result<(Pair, u16)> {
    let mut pair = Pair::start(OwnerKeys::Unprotected, "")?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    pair.cloud.stop();
    pair.cloud.configure(|settings| {
        format!("{settings}[mail_in.lmtp]\nlisten = \"127.0.0.1:{port}\"\nrecipients = [\"watch@agent.test\"]\nper_hour = 100000\n")
    })?;
    pair.cloud.start()?;
    Ok((pair, port))
}

/// The median of some mails.
fn until_drafted(pair: &Pair, port: u16) -> Result<f64> {
    let drafts = || count(&pair.cloud, "Pending_Approval/email", "REPLY_");
    let mut client = Client::connect(port)?;
    let mut times = Vec::new();
    for number in 0..SINGLE {
        let before = drafts();
        let began = Instant::now();
        client.hand_in(&mail(BULK + number))?;
        while drafts() == before {
            ensure!(began.elapsed() < PATIENCE, "a mail is not drafted");
            thread::sleep(LOOK_AGAIN);
        }
        times.push(ms(began.elapsed()));
    }
    Ok(median(&times))
}

/// Mails a second, until something has come of the last one, and the most memory in MiB.
fn bulk(cloud: &Node, port: u16, (folder, prefix): (&str, &str)) -> Result<(f64, f64)> {
    let began = Instant::now();
    let clients = (0..CONNECTIONS).map(|first| {
        thread::spawn(move || -> Result<()> {
            let mut client = Client::connect(port)?;
            (first..BULK).step_by(CONNECTIONS).try_for_each(|number| client.hand_in(&mail(number)))
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
    }
    wait("something has come of each mail", || count(cloud, folder, prefix) == BULK)?;
    let rate = BULK as f64 / began.elapsed().as_secs_f64();
    let (_, mesh) = cloud.processes().into_iter().next().context("Cloud runs")?;
    let status = fs::read_to_string(format!("/proc/{mesh}/status"))?;
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    Ok((rate, peak.context("no VmHWM in status")? / 1024.0))
}

/// Notes of a folder whose names begin so.
fn count(node: &Node, folder: &str, prefix: &str) -> usize {
    let entries = fs::read_dir(node.vault.join(folder)).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(prefix) && name.ends_with(".md")).count()
}

fn mail(number: usize) -> String {
    format!(
        "From: Client {number} <client-{number}@client.test>\r\nTo: watch@agent.test\r\nSubject: Mail {number}\r\nDate: Wed, 07 \
         Jan 2026 10:30:00 +0000\r\nMessage-ID: <{number}@client.test>\r\n\r\n{}",
        "A line of an ordinary mail with some words.\r\n".repeat(LINES)
    )
}

/// One connection of a mail server.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        let mut client = Self(BufReader::new(stream));
        client.hear("220")?;
        client.say("LHLO bench\r\n", "250")?;
        Ok(client)
    }

    fn hand_in(&mut self, mail: &str) -> Result<()> {
        self.say("MAIL FROM:<bench@client.test>\r\n", "250")?;
        self.say("RCPT TO:<watch@agent.test>\r\n", "250")?;
        self.say("DATA\r\n", "354")?;
        self.say(&format!("{mail}.\r\n"), "250")
    }

    fn say(&mut self, line: &str, expected: &str) -> Result<()> {
        self.0.get_mut().write_all(line.as_bytes())?;
        self.hear(expected)
    }

    /// One reply, of one line or several.
    fn hear(&mut self, expected: &str) -> Result<()> {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line)?;
            ensure!(line.starts_with(expected), "Cloud says {line:?} for {expected}");
            if !line[expected.len()..].starts_with('-') {
                return Ok(());
            }
        }
    }
}
