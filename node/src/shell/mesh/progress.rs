//! How far work has come that takes a while: a first import, or what gathered on a peer meanwhile.

use std::{
    io::{self, IsTerminal, Write},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use super::Mesh;
use crate::shell::control::WireProgress;

/// How often the bar is drawn anew.
const DRAWN_EVERY: Duration = Duration::from_millis(200);
/// Work that takes less is not worth a bar.
const SHOWN_AFTER: Duration = Duration::from_secs(1);
/// Columns between the brackets.
const WIDTH: u64 = 24;

/// Whether a bar stands on the terminal, in the line that the next word of the log takes.
static IS_DRAWN: AtomicBool = AtomicBool::new(false);

/// The log of a node at a terminal: takes the bar away before it writes.
pub fn log_writer() -> io::Stderr {
    clear(&mut io::stderr());
    io::stderr()
}

fn clear(out: &mut impl Write) {
    if IS_DRAWN.swap(false, Ordering::Relaxed) {
        // Whether the terminal is still there is no matter of the node's.
        write!(out, "\r\x1b[K").ok();
    }
}

/// The bar of a node whose standard error is a terminal.
#[derive(Debug)]
pub(super) struct Bar {
    is_on: bool,
    /// Since when there is something to show.
    since: Option<Instant>,
    drawn: Option<Instant>,
}

impl Bar {
    pub(super) fn new() -> Self {
        Self { is_on: io::stderr().is_terminal(), since: None, drawn: None }
    }

    /// Whether it may be drawn, or taken away, by now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.is_on && self.drawn.is_none_or(|drawn| now >= drawn + DRAWN_EVERY)
    }

    /// When it has to be looked at again although nothing happens.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.since.and(self.drawn).map(|drawn| drawn + DRAWN_EVERY)
    }

    pub(super) fn show(&mut self, progress: Option<&WireProgress>, now: Instant) {
        self.drawn = Some(now);
        let Some(progress) = progress else {
            self.since = None;
            return clear(&mut io::stderr());
        };
        if now < *self.since.get_or_insert(now) + SHOWN_AFTER {
            return;
        }
        write!(io::stderr(), "\r\x1b[K{}", line_of(progress)).ok();
        IS_DRAWN.store(true, Ordering::Relaxed);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        clear(&mut io::stderr());
    }
}

fn line_of(progress: &WireProgress) -> String {
    let full = progress.done.saturating_mul(WIDTH).checked_div(progress.total).unwrap_or(0).min(WIDTH);
    let bar: String = (0..WIDTH).map(|at| if at < full { '#' } else { '.' }).collect();
    format!("[{bar}] {progress}")
}

impl Mesh {
    /// What is under way that has an end to count towards.
    pub(super) fn progress(&self) -> Option<WireProgress> {
        let of = |doing: &str, (done, total): (u64, u64)| {
            (done < total).then(|| WireProgress { doing: doing.to_owned(), done, total })
        };
        let vault = self.core.vault();
        of("files read", self.rescans.progress())
            .or_else(|| of("entries received", self.core.replication().received()))
            .or_else(|| of("files written", vault.placed()).filter(|_| !vault.is_settled()))
    }

    /// Draws the bar, if it is time.
    pub(super) fn draw_progress(&mut self) {
        let now = Instant::now();
        if self.bar.is_due(now) {
            let progress = self.progress();
            self.bar.show(progress.as_ref(), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(done: u64, total: u64) -> WireProgress {
        WireProgress { doing: "files read".to_owned(), done, total }
    }

    #[test]
    fn the_bar_fills_as_the_work_is_done() {
        assert_eq!(line_of(&progress(0, 10_000)), "[........................] 0 of 10000 files read");
        assert_eq!(line_of(&progress(5_000, 10_000)), "[############............] 5000 of 10000 files read");
        assert_eq!(line_of(&progress(10_000, 10_000)), "[########################] 10000 of 10000 files read");
        assert_eq!(line_of(&progress(0, 0)), "[........................] 0 of 0 files read");
    }

    #[test]
    fn work_that_is_soon_done_shows_no_bar_and_one_that_ended_is_looked_at_no_more() {
        let start = Instant::now();
        let mut bar = Bar { is_on: true, since: None, drawn: None };
        assert!(bar.is_due(start) && bar.due_at().is_none(), "nothing wakes an idle node");
        bar.show(Some(&progress(1, 2)), start);
        assert!(!IS_DRAWN.load(Ordering::Relaxed), "not within its first second");
        assert_eq!(bar.due_at(), Some(start + DRAWN_EVERY));
        assert!(!bar.is_due(start + DRAWN_EVERY / 2));
        bar.show(None, start + DRAWN_EVERY);
        assert_eq!(bar.due_at(), None);
    }
}
