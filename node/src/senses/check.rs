//! `watcher check`: runs a watcher as the node would, and says what is wrong with it. Nothing that it tells is kept.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{
    event::Event,
    watcher::{Ended, LOOKS_ONCE, Run},
};
use crate::{config::Watcher, home::Home};

/// One demand, and whether it is met.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What is demanded.
    pub demand: &'static str,
    /// Whether it is met.
    pub is_met: bool,
    /// What was seen.
    pub seen: String,
}

/// What a run told.
#[derive(Debug, Default)]
struct Told {
    ids: Vec<String>,
    malformed: Vec<String>,
    cursor: Option<String>,
    /// How it ended by itself, if it did.
    ended: Option<Ended>,
    ends_when_told: bool,
}

/// Runs it twice, each time for as long, the second time from where the first left off.
pub async fn check(home: &Home, settings: &Watcher, each: Duration) -> Vec<Finding> {
    let first = match run(home, settings, "", each).await {
        Ok(told) => told,
        Err(why) => return vec![Finding { demand: "it starts", is_met: false, seen: why }],
    };
    let cursor = first.cursor.clone().unwrap_or_default();
    let second = run(home, settings, &cursor, each).await;
    let second = match second {
        Ok(told) => told,
        Err(why) => return vec![Finding { demand: "it starts a second time", is_met: false, seen: why }],
    };
    findings(settings, &first, &second)
}

async fn run(home: &Home, settings: &Watcher, cursor: &str, time: Duration) -> Result<Told, String> {
    let mut run = Run::start(home, settings, cursor).map_err(|error| format!("{error:#}"))?;
    let (mut told, until) = (Told::default(), Instant::now() + time);
    while let Ok(line) = timeout_at(until, run.next()).await {
        match line {
            Ok(Some(line)) => match Event::parse(&line) {
                Ok(event) => {
                    told.ids.extend(event.id().map(str::to_owned));
                    told.cursor = event.cursor.or(told.cursor);
                }
                Err(why) => told.malformed.push(why),
            },
            Ok(None) => {
                told.ended = Some(run.ended().await);
                told.ends_when_told = true;
                return Ok(told);
            }
            Err(why) => {
                told.ended = Some(Ended::Badly(why));
                return Ok(told);
            }
        }
    }
    told.ends_when_told = run.end().await;
    Ok(told)
}

fn findings(settings: &Watcher, first: &Told, second: &Told) -> Vec<Finding> {
    let found = |demand, is_met, seen: String| Finding { demand, is_met, seen };
    let (is_running, seen) = match (&first.ended, settings.every_s) {
        (None, _) | (Some(Ended::Stopped), _) => (true, "it ran until it was told to end".to_owned()),
        (Some(Ended::Well), Some(seconds)) => (true, format!("it ended well; it is started again after {seconds} s")),
        (Some(Ended::Well), None) => (false, LOOKS_ONCE.to_owned()),
        (Some(Ended::Badly(how)), _) => (false, how.clone()),
    };
    let unique: BTreeSet<_> = first.ids.iter().collect();
    let (again, known): (Vec<_>, Vec<_>) = second.ids.iter().partition(|id| !unique.contains(id));
    let resumes = match (&first.cursor, known.len()) {
        (Some(_), 0) => (true, "started again with its cursor, it told nothing twice".to_owned()),
        (Some(_), twice) => (false, format!("started again with its cursor, it told {twice} events a second time")),
        (None, _) if first.ids.is_empty() => (true, "it told nothing, so nothing can be said".to_owned()),
        (None, known) if known == unique.len() && again.is_empty() => {
            (true, "it tells the same events again, by the same ids; each is one task".to_owned())
        }
        (None, known) => {
            let (all, new) = (unique.len(), again.len());
            (
                false,
                format!(
                    "without a cursor, {known} of {all} ids came again, and {new} new ones: what is told while the node is down is lost, or told twice"
                ),
            )
        }
    };
    let malformed = match first.malformed.first() {
        None => format!("{} events", first.ids.len()),
        Some(why) => format!("{} lines are none, the first: {why}", first.malformed.len()),
    };
    let twice = first.ids.len() - unique.len();
    vec![
        found("it runs", is_running, seen),
        found("each line is an event", first.malformed.is_empty(), malformed),
        found("each event has an id of its own", twice == 0, format!("{twice} ids came twice")),
        found("it goes on where it stopped", resumes.0, resumes.1),
        found(
            "it ends within 5 s of SIGTERM",
            first.ends_when_told,
            match first.ends_when_told {
                true => "it did".to_owned(),
                false => "it had to be killed".to_owned(),
            },
        ),
    ]
}
