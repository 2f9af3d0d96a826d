//! What a node with a thousand notes takes while nothing happens.

use std::{fs, thread, time::Duration};

use anyhow::{Context, Result};

use super::{
    RUNS,
    figure::{Figure, median},
    node::{Node, OwnerKeys, Pair, wait},
};

const GOAL_MB: f64 = 40.0;
const NOTES: usize = 1000;
const NOTE_BYTES: usize = 2600;
const IDLE: Duration = Duration::from_secs(20);
const WATCHED: Duration = Duration::from_secs(10);
/// USER_HZ is 100 wherever the node runs.
const TICK_MS: f64 = 10.0;

/// One node at rest.
#[derive(Debug)]
struct AtRest {
    /// Proportional share of memory, in bytes, of each process by name.
    pss: Vec<(String, u64)>,
    anonymous: u64,
    /// Mapped files of the process with most of them: nearly all of it is the program, which all processes share.
    mapped: u64,
    /// CPU milliseconds a second.
    cpu: f64,
}

impl AtRest {
    fn mb(&self) -> f64 {
        self.pss.iter().map(|(_, bytes)| *bytes).sum::<u64>() as f64 / 1e6
    }
}

pub(crate) fn measure() -> Result<Vec<Figure>> {
    let (mut local, mut cloud) = (Vec::new(), Vec::new());
    let (mut local_again, mut cloud_again) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let mut pair = Pair::start(OwnerKeys::Unprotected, "")?;
        fill(&pair)?;
        let rest = at_rest(&mut pair)?;
        local.push(rest.0);
        cloud.push(rest.1);
        pair.local.stop();
        pair.cloud.stop();
        pair.cloud.start()?;
        pair.local.start()?;
        let rest = at_rest(&mut pair)?;
        local_again.push(rest.0);
        cloud_again.push(rest.1);
    }
    let named = [
        ("Local, after the notes came", &local),
        ("Cloud, after the notes came", &cloud),
        ("Local, started again", &local_again),
        ("Cloud, started again", &cloud_again),
    ];
    let memory = named.iter().map(|(name, runs)| memory_figure(name, runs));
    let cpu = named.iter().map(|(name, runs)| {
        let cpu = runs.iter().map(|rest| rest.cpu).collect();
        Figure::new(format!("idle CPU, {name}"), "ms/s", cpu).note(format!("over {} s", WATCHED.as_secs()))
    });
    Ok(memory.chain(cpu).collect())
}

fn memory_figure(name: &str, runs: &[AtRest]) -> Figure {
    let first = runs.first().map(|rest| rest.pss.as_slice()).unwrap_or_default();
    let each = first.iter().enumerate().map(|(at, (process, _))| {
        let sizes: Vec<f64> = runs.iter().filter_map(|rest| rest.pss.get(at)).map(|(_, b)| *b as f64 / 1e6).collect();
        format!("{process} {:.1}", median(&sizes))
    });
    let each = each.collect::<Vec<_>>().join(", ");
    let anonymous: Vec<f64> = runs.iter().map(|rest| rest.anonymous as f64 / 1e6).collect();
    // The other node's processes bear a part of the program here.
    let alone: Vec<f64> = runs.iter().map(|rest| (rest.anonymous + rest.mapped) as f64 / 1e6).collect();
    let note = format!("{each}; anonymous {:.1}, alone on a machine about {:.1}", median(&anonymous), median(&alone));
    let mb = runs.iter().map(AtRest::mb).collect();
    Figure::new(format!("idle memory (PSS), {name}"), "MB", mb).at_most(GOAL_MB).note(note)
}

fn fill(pair: &Pair) -> Result<()> {
    for number in 0..NOTES {
        let line = format!("- note {number}: a line of words that a person might have written down\n");
        let text = format!("---\ntitle: Note {number}\nstatus: open\n---\n\n{}", line.repeat(NOTE_BYTES / line.len()));
        pair.local.save(&format!("Plans/{:02}/note-{number}.md", number % 20), text.as_bytes())?;
    }
    wait("all notes arrive", || {
        let folders = (0..20).map(|folder| pair.cloud.vault.join(format!("Plans/{folder:02}")));
        folders.map(|folder| fs::read_dir(folder).map_or(0, Iterator::count)).sum::<usize>() == NOTES
    })
}

/// Local's and Cloud's, over the same time.
fn at_rest(pair: &mut Pair) -> Result<(AtRest, AtRest)> {
    thread::sleep(IDLE);
    let before = (cpu_ms(&pair.local)?, cpu_ms(&pair.cloud)?);
    thread::sleep(WATCHED);
    pair.local.must_run()?;
    pair.cloud.must_run()?;
    let after = (cpu_ms(&pair.local)?, cpu_ms(&pair.cloud)?);
    let rate = |before: f64, after: f64| (after - before) / WATCHED.as_secs_f64();
    Ok((rest_of(&pair.local, rate(before.0, after.0))?, rest_of(&pair.cloud, rate(before.1, after.1))?))
}

fn rest_of(node: &Node, cpu: f64) -> Result<AtRest> {
    let mut rest = AtRest { pss: Vec::new(), anonymous: 0, mapped: 0, cpu };
    for (name, pid) in node.processes() {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
        // The nodes' processes are not dumpable.
        let rollup = rollup.with_context(|| {
            format!("cannot read the memory of {name}, process {pid}; for others than root it is closed")
        })?;
        let bytes = |field: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(field));
            let kib: Option<u64> = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
            kib.map(|kib| kib << 10).with_context(|| format!("no {field} in smaps_rollup"))
        };
        rest.pss.push((name, bytes("Pss:")?));
        let anonymous = bytes("Anonymous:")?;
        rest.anonymous += anonymous;
        rest.mapped = rest.mapped.max(bytes("Rss:")?.saturating_sub(anonymous));
    }
    Ok(rest)
}

/// User and system time of all processes of a node so far.
fn cpu_ms(node: &Node) -> Result<f64> {
    let mut ticks = 0;
    for (_, pid) in node.processes() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name in brackets may hold spaces; utime and stime are the 14th and 15th field.
        let (_, fields) = stat.rsplit_once(')').context("a process has a name")?;
        let times = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        ticks += times.sum::<Result<u64, _>>()?;
    }
    Ok(ticks as f64 * TICK_MS)
}
