//! Processes killed at any moment of a working day: nothing is lost, nothing is done twice.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::node::{Node, PATIENCE, Pair, becomes, signal};

const KILLS: usize = 20;
const MAILS: usize = 24;
const EDITS: usize = 60;

/// Numbers from a seed: the day is another one each time, and its seed is told when it fails.
struct Dice(u64);

impl Dice {
    fn thrown() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        Self(u64::from(now.expect("a time after 1970").subsec_nanos()) | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn mail(number: usize) -> Vec<u8> {
    format!(
        "From: Client {number} <client.{number}@client.test>\r\nTo: me@example.test\r\nSubject: Order {number}\r\n\
         Date: Wed, 07 Jan 2026 10:30:00 +0000\r\nMessage-ID: <order-{number}@client.test>\r\n\r\nHello\r\n"
    )
    .into_bytes()
}

/// A line that occurs once. Twelve words that follow each other must not be a recovery phrase by chance.
fn token(role: &str, number: usize) -> String {
    format!("line {number} by {role}.")
}

/// One edit of one side: a new note, a line at the end of its own note, or a line in the note that both write.
fn edit(node: &Node, number: usize) {
    let token = token(node.role, number);
    match number % 3 {
        0 => node.save(&format!("Plans/{}-{number}.md", node.role), format!("{token}\n")),
        1 => add_line(node, &format!("Plans/{}.md", node.role), &token),
        _ => add_line(node, "Plans/both.md", &token),
    }
}

/// Adds a line without reading what is there, as a program that logs does: no stale copy is ever written back.
fn add_line(node: &Node, path: &str, line: &str) {
    let path = node.vault.join(path);
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())).expect("the line is added");
}

/// Mails and edits come in, whatever runs. Paths alone are used: the nodes are with the one who kills.
fn work_day(cloud: &Node, local: &Node, done: &AtomicBool) {
    for number in 0..EDITS {
        for node in [cloud, local] {
            edit(node, number);
        }
        if number < MAILS {
            cloud.drop_mail(&format!("order-{number}.eml"), &mail(number));
        }
        // The pace of the day, not a wait for anything.
        thread::sleep(Duration::from_millis(120));
    }
    done.store(true, Ordering::Relaxed);
}

/// Approves whatever waits. A node that is down, or dies meanwhile, is asked again later.
fn approve_all(local: &Node) {
    let listed = local.run(&["approvals", "list", "--json"]);
    let Ok(listed) = serde_json::from_slice::<serde_json::Value>(&listed.stdout) else { return };
    for item in listed["items"].as_array().into_iter().flatten() {
        let Some(id) = item["id"].as_str() else { continue };
        if item["state"] == "pending" || item["state"] == "failed" {
            local.run(&["approvals", "approve", id]);
        } else if item["state"] == "unknown" {
            settle(local, id, item["wid"].as_str().unwrap_or_default());
        }
    }
}

/// Killed between the mark that a mail is under way and the mail, nobody knows whether somebody has taken it by now. The
/// person does: nobody takes mails from this outbox.
fn settle(local: &Node, id: &str, work: &str) {
    let copy = local.read(&format!("Approved/email/REPLY_{}.md", &work[..16.min(work.len())]));
    let copy = copy.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    // It comes there a moment after the end became known.
    let Some(to) =
        copy.split_whitespace().map(|word| word.trim_matches('"')).find(|word| word.ends_with("@client.test"))
    else {
        return;
    };
    let how = if sent_to(local).iter().any(|sent| sent == to) { "--sent" } else { "--not-sent" };
    local.run(&["approvals", "settle", id, how]);
}

/// Kills one of the four processes and starts again what does not start by itself.
fn kill_one(pair: &mut Pair, dice: &mut Dice) {
    let (name, pid) = match dice.below(4) {
        0 => ("cloud", Some(pair.cloud.pid())),
        1 => ("supervisor", Some(pair.local.pid())),
        2 => ("mesh", pair.local.processes().get("mesh").copied()),
        _ => ("executor", pair.local.processes().get("executor").copied()),
    };
    // A supervisor that has just started has no children yet.
    let Some(pid) = pid else { return };
    signal(pid, Signal::KILL);
    match name {
        "cloud" => pair.cloud.spawn_again(),
        "executor" => {}
        _ => pair.local.spawn_again(),
    }
}

fn all_tokens() -> impl Iterator<Item = String> {
    (0..EDITS).flat_map(|number| ["cloud", "local"].map(|role| token(role, number)))
}

/// Every note that a node shows.
fn shown(node: &Node) -> String {
    node.files("Plans").into_values().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}

/// Saves that could not be merged, kept where they were made: a line that was being added to a file in the very moment
/// in which a merge took its place.
fn kept(pair: &Pair) -> String {
    let holds = [&pair.cloud, &pair.local].map(|node| fs::read_dir(node.home.join("mesh/holds")));
    let files = holds.into_iter().flatten().flatten().flatten();
    files
        .filter_map(|file| fs::read(file.path()).ok())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect()
}

/// Tokens that a node neither shows nor finds kept.
fn absent(pair: &Pair, node: &Node) -> Vec<String> {
    let (shown, kept) = (shown(node), kept(pair));
    all_tokens().filter(|token| !shown.contains(token) && !kept.contains(token)).collect()
}

fn sent_to(local: &Node) -> Vec<String> {
    let to = |mail: &String| mail.lines().find_map(|line| line.strip_prefix("To: ")).unwrap_or_default().to_owned();
    local.outbox().iter().map(to).collect()
}

/// Where each mail is that was not sent, with the last words of both nodes.
fn unsent(pair: &Pair) -> String {
    let listed = |node: &Node| -> String {
        let folders = ["Inbox", "Needs_Action", "In_Progress", "Pending_Approval", "Approved", "Rejected", "Done"];
        let files = folders.iter().flat_map(|folder| node.files(folder).into_keys());
        files.map(|path| format!("\n  {}: {path}", node.role)).collect()
    };
    let held = [&pair.cloud, &pair.local].map(|node| fs::read_dir(node.home.join("mesh/holds")));
    let held = held.into_iter().flatten().flatten().flatten().map(|file| format!("\n  held: {:?}", file.path()));
    let waiting = pair.local.run(&["approvals", "list", "--json"]);
    [
        format!("\n  sent: {:?}", sent_to(&pair.local)),
        listed(&pair.cloud),
        listed(&pair.local),
        held.collect(),
        format!("\n  approvals: {}", String::from_utf8_lossy(&waiting.stdout)),
        pair.cloud.last_words(),
        pair.local.last_words(),
    ]
    .concat()
}

fn assert_nothing_lost(pair: &Pair, seed: u64) {
    for node in [&pair.cloud, &pair.local] {
        assert_eq!(absent(pair, node), [""; 0], "seed {seed}: {}", node.role);
    }
    let mut sent = sent_to(&pair.local);
    sent.sort();
    let wanted: BTreeSet<_> = (0..MAILS).map(|number| format!("client.{number}@client.test")).collect();
    assert_eq!(sent, wanted.into_iter().collect::<Vec<_>>(), "seed {seed}");
    let done = pair.local.named("Done", "EMAIL_", ".md");
    assert_eq!(done.len(), MAILS, "seed {seed}: {done:?}");
    for folder in ["Inbox", "Needs_Action", "In_Progress", "Pending_Approval", "Approved"] {
        assert_eq!(pair.local.named(folder, "", ".md"), [""; 0], "seed {seed}: in {folder}");
    }
}

#[test]
fn twenty_kills_lose_nothing_and_send_nothing_twice() {
    let mut pair = Pair::running();
    let mut dice = Dice::thrown();
    let seed = dice.0;
    let day = (Node::at(pair.dir(), "cloud"), Node::at(pair.dir(), "local"));
    let done = AtomicBool::new(false);
    let mut kills = 0;
    thread::scope(|scope| {
        scope.spawn(|| work_day(&day.0, &day.1, &done));
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                approve_all(&day.1);
            }
        });
        while kills < KILLS {
            let next = Instant::now() + Duration::from_millis(20 + dice.below(350));
            becomes(Duration::from_secs(1), || Instant::now() >= next);
            kill_one(&mut pair, &mut dice);
            kills += 1;
        }
    });
    let is_sent = becomes(PATIENCE, || {
        approve_all(&pair.local);
        pair.local.outbox().len() >= MAILS
    });
    assert!(is_sent, "seed {seed}: not all is sent{}", unsent(&pair));
    pair.wait_same("all is filed", |files| {
        files.keys().filter(|path| path.starts_with("Done/email/EMAIL_") && path.ends_with(".md")).count() >= MAILS
            && !files.keys().any(|path| path.starts_with("Pending_Approval/email/"))
    });
    becomes(PATIENCE, || [&pair.cloud, &pair.local].iter().all(|node| absent(&pair, node).is_empty()));
    assert_nothing_lost(&pair, seed);
}
