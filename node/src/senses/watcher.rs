//! Watchers: programs that the person wrote or chose, kept running. Each prints one JSON object a line, and is asked for the
//! next line once that one's task is durable.

use std::{
    collections::VecDeque,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aiemp_keys::private_file;
use anyhow::{Context, Result};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    door::{Door, NotTaken},
    event::Event,
};
use crate::{
    config::Watcher,
    home::Home,
    shell::{
        cloud_secrets::{self, Purpose},
        control::WireTrouble,
        process_group::ProcessGroup,
        program::Program,
    },
};

/// The longest line.
const LINE_BYTES_MAX: u64 = 256 << 10;
/// Lines of one run that may be no events.
const MALFORMED_MAX: u32 = 100;
/// How much of what it says on stderr is remembered.
const WORDS_BYTES_MAX: usize = 2 << 10;
/// What is told of one that ended although it should not.
pub(super) const LOOKS_ONCE: &str = "it ended by itself; for one that looks once, set `every_s`";
/// How long one that is told to end may take.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// How long one that cannot be taken yet is kept waiting before it is tried again, and how often a cursor alone is noted.
const AGAIN: Duration = Duration::from_secs(1);

/// A watcher of the settings.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) home: Home,
    pub(super) settings: Arc<Watcher>,
}

impl Watched {
    /// As which it is known to the door.
    fn sense(&self) -> String {
        format!("watcher {}", self.settings.name)
    }

    fn folder(&self) -> PathBuf {
        self.home.watchers().join(&self.settings.name)
    }

    /// What it is given when it starts: how far its events are taken.
    fn cursor(&self) -> Result<String> {
        let kept = private_file::find_private(&self.folder().join("cursor"))?;
        Ok(kept.map(|bytes| String::from_utf8_lossy(bytes.expose()).into_owned()).unwrap_or_default())
    }

    fn keep_cursor(&self, cursor: &str) -> Result<()> {
        Ok(private_file::write_private(&self.folder().join("cursor"), cursor.as_bytes())?)
    }
}

/// When one that ended is started again.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    in_a_row: u32,
}

impl Backoff {
    /// Having run so long, it has shown that it can.
    const STEADY: Duration = Duration::from_secs(60);
    const WAIT_MAX: Duration = Duration::from_secs(300);
    /// So many ends in a row are told as an error.
    const LOOPS: u32 = 5;

    /// It ended; how long until it is started again. One that told something before is not kept waiting.
    fn ended(&mut self, ran: Duration, has_told: bool) -> Duration {
        if ran >= Self::STEADY {
            self.in_a_row = 0;
        }
        self.in_a_row += 1;
        let doubled = if has_told { 0 } else { (self.in_a_row - 1).min(16) };
        Duration::from_secs(1 << doubled).min(Self::WAIT_MAX)
    }

    const fn is_looping(&self) -> bool {
        self.in_a_row >= Self::LOOPS
    }
}

/// How a run ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// By itself, without an error.
    Well,
    /// How, and its last words.
    Badly(String),
    /// It was told to.
    Stopped,
}

/// Keeps a watcher running until the node stops.
pub(super) async fn watch(watched: Watched, door: Door, mut stop: watch::Receiver<bool>) {
    let (mut backoff, settings) = (Backoff::default(), Arc::clone(&watched.settings));
    let sense = watched.sense();
    loop {
        let (began, mut has_told) = (Instant::now(), false);
        let ended = session(&watched, &door, &mut has_told, &mut stop).await;
        let wait = match (ended, settings.every_s) {
            (Ended::Stopped, _) => return,
            (Ended::Well, Some(seconds)) => {
                backoff = Backoff::default();
                door.tell(&sense, None);
                Duration::from_secs(seconds)
            }
            (ended, _) => {
                let how = if let Ended::Badly(how) = ended { how } else { LOOKS_ONCE.to_owned() };
                let wait = backoff.ended(began.elapsed(), has_told);
                door.tell(&sense, Some(trouble(&settings.name, &how, wait, backoff.is_looping())));
                wait
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            _ = stop.changed() => return,
        }
    }
}

fn trouble(name: &str, how: &str, wait: Duration, is_looping: bool) -> WireTrouble {
    let what = if is_looping { "keeps ending" } else { "ended" };
    WireTrouble {
        is_error: is_looping,
        what: format!("the watcher {name} {what} and is started again after {} s: {how}", wait.as_secs()),
        fix: format!("`aiemp-node watcher check {name}` runs it, and says what is wrong with it."),
    }
}

/// One run, from its start to its end; notes whether anything was taken of it.
async fn session(watched: &Watched, door: &Door, has_told: &mut bool, stop: &mut watch::Receiver<bool>) -> Ended {
    let sense = &watched.sense();
    let started = watched.cursor().and_then(|cursor| Run::start(&watched.home, &watched.settings, &cursor));
    let mut run = match started {
        Ok(run) => run,
        Err(error) => return Ended::Badly(format!("{error:#}")),
    };
    let mut place = Place::default();
    let (steady, mut is_clear, mut malformed) = (Instant::now() + Backoff::STEADY, false, 0);
    loop {
        if !is_clear && malformed == 0 && steady <= Instant::now() {
            door.tell(sense, None);
            is_clear = true;
        }
        let line = tokio::select! {
            _ = stop.changed() => {
                place.keep(watched).await.ok();
                run.end().await;
                return Ended::Stopped;
            }
            () = sleep_until(steady), if !is_clear && steady > Instant::now() => continue,
            line = run.next() => line,
        };
        // One that tells without end leaves the others their turn.
        tokio::task::yield_now().await;
        let event = match line {
            Ok(Some(line)) => Event::parse(&line),
            Ok(None) => {
                place.keep(watched).await.ok();
                return run.ended().await;
            }
            Err(how) => return Ended::Badly(how),
        };
        match event {
            Ok(event) => match take(watched, door, &event, &mut place, stop).await {
                Taken::Yes => *has_told = true,
                Taken::No(why) => return Ended::Badly(why),
                Taken::Stopped => {
                    run.end().await;
                    return Ended::Stopped;
                }
            },
            Err(why) => {
                malformed += 1;
                if malformed > MALFORMED_MAX {
                    return Ended::Badly(format!("it prints lines that are no events: {why}"));
                }
                let name = &watched.settings.name;
                let what = format!("the watcher {name} printed {malformed} lines that are no events: {why}");
                let fix = format!("They are passed over. `aiemp-node watcher check {name}` shows them.");
                door.tell(sense, Some(WireTrouble { is_error: false, what, fix }));
            }
        }
    }
}

enum Taken {
    Yes,
    No(String),
    Stopped,
}

/// How far a watcher came, on its way to the disk.
#[derive(Debug, Default)]
struct Place {
    cursor: Option<String>,
    kept: Option<Instant>,
}

impl Place {
    /// With an event at once; of lines that say how far it is, and no more, one in a second.
    async fn moved(&mut self, watched: &Watched, cursor: String, is_event: bool) -> Result<()> {
        self.cursor = Some(cursor);
        if is_event || self.kept.is_none_or(|kept| kept.elapsed() > AGAIN) { self.keep(watched).await } else { Ok(()) }
    }

    async fn keep(&mut self, watched: &Watched) -> Result<()> {
        let Some(cursor) = self.cursor.take() else { return Ok(()) };
        self.kept = Some(Instant::now());
        let watched = watched.clone();
        tokio::task::spawn_blocking(move || watched.keep_cursor(&cursor)).await?
    }
}

/// Has a task made of it, however long that takes, and then keeps how far the watcher came.
async fn take(
    watched: &Watched,
    door: &Door,
    event: &Event,
    place: &mut Place,
    stop: &mut watch::Receiver<bool>,
) -> Taken {
    let arrival = event.arrival(&watched.settings);
    let is_event = arrival.is_some();
    if let Some(arrival) = arrival {
        loop {
            match door.give(arrival.clone()).await {
                Ok(_) => break,
                Err(NotTaken::Refused(why)) => {
                    return Taken::No(format!("no task can be made of what it tells: {why}"));
                }
                Err(NotTaken::NotNow(why)) => tracing::debug!(why, "an event of a watcher waits"),
            }
            tokio::select! {
                () = sleep(AGAIN) => {}
                _ = stop.changed() => return Taken::Stopped,
            }
        }
    }
    match &event.cursor {
        None => Taken::Yes,
        Some(cursor) => match place.moved(watched, cursor.clone(), is_event).await {
            Ok(()) => Taken::Yes,
            Err(error) => Taken::No(format!("how far it came cannot be noted: {error:#}")),
        },
    }
}

/// A watcher that runs.
pub(super) struct Run {
    child: Child,
    group: ProcessGroup,
    stdout: BufReader<ChildStdout>,
    /// What was read of the next line so far.
    line: Vec<u8>,
    words: Arc<Mutex<VecDeque<u8>>>,
}

impl Run {
    /// Starts it, shut in, with how far its events are taken in `AIEMP_CURSOR`.
    pub(super) fn start(home: &Home, settings: &Watcher, cursor: &str) -> Result<Self> {
        let secrets = cloud_secrets::resolve(home, &settings.env, Purpose::Watcher)?;
        let watched = Watched { home: home.clone(), settings: Arc::new(settings.clone()) };
        let given = [("AIEMP_CURSOR", cursor), ("AIEMP_WATCHER", &settings.name)];
        let program = Program {
            command: settings.command.clone(),
            env: given
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .chain(secrets.into_iter().map(|(name, value)| (name, value.expose().clone())))
                .collect(),
            own: watched.folder().join("home"),
            reads: settings.reads.clone(),
            writes: settings.writes.clone(),
            has_tools: false,
            changes_rights: true,
        };
        let mut command = Command::from(program.command(home)?);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("it cannot be started")?;
        let group = ProcessGroup::of(&child);
        let stdout = child.stdout.take().context("it has no stdout")?;
        let stderr = child.stderr.take().context("it has no stderr")?;
        let words = Arc::new(Mutex::new(VecDeque::new()));
        tokio::spawn(remember(stderr, Arc::clone(&words)));
        Ok(Self { child, group, stdout: BufReader::new(stdout), line: Vec::new(), words })
    }

    /// Its next line, or none where there is no more. Dropped before it is done, it goes on where it was the next time.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        let room = (LINE_BYTES_MAX + 1).saturating_sub(self.line.len() as u64);
        let mut bounded = (&mut self.stdout).take(room);
        bounded.read_until(b'\n', &mut self.line).await.map_err(|error| error.to_string())?;
        let line = std::mem::take(&mut self.line);
        if line.len() as u64 > LINE_BYTES_MAX {
            return Err(format!("it printed a line of more than {} KiB", LINE_BYTES_MAX >> 10));
        }
        Ok((!line.is_empty()).then_some(line))
    }

    /// It has nothing more to say: how it ended.
    pub(super) async fn ended(&mut self) -> Ended {
        match timeout(END_PATIENCE, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ended::Well,
            Ok(Ok(status)) => Ended::Badly(self.with_last_words(&status.to_string()).await),
            Ok(Err(error)) => Ended::Badly(error.to_string()),
            Err(_) => Ended::Badly("it closed its stdout and went on".to_owned()),
        }
    }

    async fn with_last_words(&self, how: &str) -> String {
        // Its stderr may be read later than its end is seen.
        sleep(Duration::from_millis(50)).await;
        let words: Vec<u8> = self.words.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        let words = String::from_utf8_lossy(&words);
        match words.trim().lines().last() {
            Some(last) if last.contains("ermission denied") => {
                format!("{how}; it said: {last}; it sees the system and what `reads` and `writes` name")
            }
            Some(last) => format!("{how}; it said: {last}"),
            None => how.to_owned(),
        }
    }

    /// Tells it to end, and waits; whether it did in time.
    pub(super) async fn end(&mut self) -> bool {
        self.group.terminate();
        timeout(END_PATIENCE, self.child.wait()).await.is_ok()
    }
}

/// The last of what it says on stderr.
async fn remember(mut stderr: impl AsyncRead + Unpin, words: Arc<Mutex<VecDeque<u8>>>) {
    let mut room = vec![0; 4096];
    while let Ok(read @ 1..) = stderr.read(&mut room).await {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend(&room[..read]);
        let over = words.len().saturating_sub(WORDS_BYTES_MAX);
        words.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_ends_is_started_again_later_and_later_until_it_runs() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..11).map(|_| backoff.ended(Duration::ZERO, false).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert!(backoff.is_looping());
        assert_eq!(backoff.ended(Duration::ZERO, true).as_secs(), 1, "it told something");
        assert_eq!(backoff.ended(Backoff::STEADY, false).as_secs(), 1, "it ran");
        assert!(!backoff.is_looping());
    }
}
