//! Nodes killed again and again while both sides write: each start is soon, each store is whole, nothing is lost.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use aiemp_protocol::ids::ContentHash;
use aiemp_tests::random::Rng;
use rusqlite::Connection;
use rustix::process::Signal;

use crate::node::{Node, PATIENCE, Pair, becomes, signal};

/// Kills of an ordinary run; `AIEMP_KILLS` asks for another number.
const KILLS: usize = 8;
/// A node that was killed is ready, and in step with its peer, within this time: most of them, for the machine may be busy
/// with other tests.
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// A machine that takes longer for the start takes longer for the rest: in step is a node after so many times the start.
const IN_STEP_AFTER_STARTS: u32 = 6;
/// The pace of the programs that write, and how much slower each kill of a long run makes it: what is measured is not how
/// a log of a million entries is read.
const BETWEEN_SAVES: Duration = Duration::from_millis(60);
const SLOWER_BY_KILL: Duration = Duration::from_micros(300);
/// After how many kills a long run says that it goes on.
const PROGRESS_EVERY: usize = 50;
/// Lines of a file before the next one is begun: what takes time must be the start, and not a note of any length.
const LINES_OF_A_FILE: usize = 200;

fn line(role: &str, number: usize) -> String {
    format!("line {number} by {role}.")
}

/// Adds lines until it is told to stop, to files of this side and to one that both write.
fn write(vault: &Path, (role, pace): (&str, Duration), stop: &AtomicBool, written: &AtomicUsize) {
    while !stop.load(Ordering::Relaxed) {
        let number = written.load(Ordering::Relaxed);
        let name = if number.is_multiple_of(4) { "both" } else { role };
        let path = vault.join(format!("Plans/{name}-{}.md", number / LINES_OF_A_FILE));
        let file = OpenOptions::new().create(true).append(true).open(path);
        let added = file.and_then(|mut file| file.write_all(format!("{}\n", line(role, number)).as_bytes()));
        added.expect("the line is added");
        written.store(number + 1, Ordering::Relaxed);
        thread::sleep(pace);
    }
}

/// A copy of the store as the kill left it: by SQLite's own word whole, and each payload what its digest says.
fn assert_whole(node: &Node, copy: &Path) {
    for suffix in ["", "-wal"] {
        let (from, to) = (format!("mesh/store.sqlite{suffix}"), copy.join(format!("store.sqlite{suffix}")));
        fs::remove_file(&to).ok();
        fs::copy(node.home.join(from), to).ok();
    }
    let store = Connection::open(copy.join("store.sqlite")).expect("the store opens");
    let said: String = store.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it answers");
    assert_eq!(said, "ok", "{}", node.role);
    let mut payloads = store.prepare("SELECT hash, bytes FROM payloads").expect("it has payloads");
    let mut rows = payloads.query([]).expect("they are listed");
    while let Some(row) = rows.next().expect("each is read") {
        let (hash, bytes): (Vec<u8>, Vec<u8>) = (row.get(0).expect("a digest"), row.get(1).expect("bytes"));
        assert_eq!(ContentHash::of(&bytes).0.as_bytes()[..], hash, "{}: a payload is damaged", node.role);
    }
}

fn is_in_step(node: &Node) -> bool {
    let output = node.run(&["status", "--json"]);
    let Ok(status) = serde_json::from_slice::<serde_json::Value>(&output.stdout) else { return false };
    let mut peers = status["peers"].as_array().into_iter().flatten();
    peers.any(|peer| peer["connected"] == true && peer["lag_entries"] == 0)
}

/// Kills a node, looks at its store, and starts it; how long until it was ready, and until it was in step.
fn kill(node: &mut Node, by_mesh: bool, copy: &Path) -> (Duration, Duration) {
    let mesh = node.processes().get("mesh").copied().filter(|_| by_mesh);
    signal(mesh.unwrap_or_else(|| node.pid()), Signal::KILL);
    node.wait_killed();
    assert_whole(node, copy);
    let started = Instant::now();
    node.start();
    let ready = started.elapsed();
    let in_step = becomes(PATIENCE, || is_in_step(node));
    assert!(in_step, "{} does not come in step: {}", node.role, node.last_words());
    (ready, started.elapsed())
}

fn shown_and_kept(pair: &Pair, node: &Node) -> String {
    let shown = node.files("Plans").into_values();
    let holds = [&pair.cloud, &pair.local].map(|node| fs::read_dir(node.home.join("mesh/holds")));
    let kept = holds.into_iter().flatten().flatten().flatten().filter_map(|file| fs::read(file.path()).ok());
    shown.chain(kept).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
}

/// Lines that a node neither shows nor finds kept, because they were added in the moment in which a merge took a file's
/// place.
fn absent(pair: &Pair, node: &Node, written: [usize; 2]) -> Vec<String> {
    let text = shown_and_kept(pair, node);
    let there: BTreeSet<&str> = text.lines().collect();
    let all = ["cloud", "local"].into_iter().zip(written);
    let all = all.flat_map(|(role, count)| (0..count).map(move |number| line(role, number)));
    all.filter(|line| !there.contains(line.as_str())).collect()
}

#[expect(clippy::print_stdout, reason = "for the person who reads what was tried")]
fn tell(kills: usize, lines: usize, mut ready: Vec<Duration>, mut in_step: Vec<Duration>) {
    for times in [&mut ready, &mut in_step] {
        times.sort();
    }
    let figures = |times: &[Duration]| {
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        format!("median {:.2?}, p99 {:.2?}, most {:.2?}", at(50), at(99), at(100))
    };
    println!("{kills} kills, {lines} lines; ready: {}; in step: {}", figures(&ready), figures(&in_step));
}

#[test]
#[expect(clippy::print_stdout, reason = "for the person who waits for a long run")]
fn a_node_that_is_killed_under_load_is_back_soon_with_a_whole_store_and_all_lines() {
    let kills = std::env::var("AIEMP_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let mut pair = Pair::running();
    let copy = tempfile::tempdir().expect("a temporary folder");
    let (stop, written) = (AtomicBool::new(false), [AtomicUsize::new(0), AtomicUsize::new(0)]);
    let (mut ready, mut in_step) = (Vec::new(), Vec::new());
    let mut rng = Rng::new(u64::from(std::process::id()));
    thread::scope(|scope| {
        let vaults = [("cloud", pair.cloud.vault.clone()), ("local", pair.local.vault.clone())];
        for ((role, vault), written) in vaults.into_iter().zip(&written) {
            let (stop, pace) = (&stop, BETWEEN_SAVES.max(SLOWER_BY_KILL * u32::try_from(kills).expect("few")));
            fs::create_dir_all(vault.join("Plans")).expect("a folder");
            scope.spawn(move || write(&vault, (role, pace), stop, written));
        }
        // Whatever a kill finds: the writers are told before anything fails.
        let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 0..kills {
                if number > 0 && number.is_multiple_of(PROGRESS_EVERY) {
                    println!("{number} of {kills} kills so far, in step after {:.2?}", in_step[number - 1]);
                }
                thread::sleep(Duration::from_millis(rng.between(0, 300)));
                let node = if rng.chance(30) { &mut pair.cloud } else { &mut pair.local };
                let (soon, later) = kill(node, rng.chance(50), copy.path());
                ready.push(soon);
                in_step.push(later);
            }
        }));
        stop.store(true, Ordering::Relaxed);
        killed.unwrap_or_else(|why| std::panic::resume_unwind(why));
    });
    let written = written.map(|count| count.load(Ordering::Relaxed));
    tell(kills, written.iter().sum(), ready.clone(), in_step.clone());
    pair.wait_same("both say the same", |_| true);
    becomes(PATIENCE, || [&pair.cloud, &pair.local].iter().all(|node| absent(&pair, node, written).is_empty()));
    for node in [&pair.cloud, &pair.local] {
        assert_eq!(absent(&pair, node, written), [""; 0], "{}", node.role);
    }
    ready.sort();
    in_step.sort();
    let [soon, later] = [&ready, &in_step].map(|times| times[times.len() / 2]);
    assert!(soon <= BACK_WITHIN, "starts take long: {ready:?}");
    assert!(later <= BACK_WITHIN.max(soon * IN_STEP_AFTER_STARTS), "it takes long to be in step: {in_step:?}");
}
