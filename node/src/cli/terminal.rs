//! A person at a terminal: lines that are asked for, and how long they are waited for.

use std::{
    fs::File,
    io::{self, BufRead as _, IsTerminal as _, stderr, stdin, stdout},
    os::fd::AsFd,
    time::Duration,
};

use anyhow::Result;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    termios::{LocalModes, OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcsetattr},
};

use super::print;

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// A line, without what surrounds it.
    Line(String),
    /// Nothing in the time that was given.
    Nothing,
    /// The terminal is gone, or its end was typed.
    Ended,
}

/// Whether a person types here.
pub(super) fn is_there() -> bool {
    stdin().is_terminal()
}

/// Whether a person types here and reads all that is printed.
pub(super) fn is_all_there() -> bool {
    is_there() && stdout().is_terminal() && stderr().is_terminal()
}

/// Whether what is printed may be coloured.
pub(super) fn has_colours() -> bool {
    stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Asks for a line: one that is typed after the question is there. A terminal hands over one line at a time, so none is
/// read ahead of the next question.
pub(super) fn ask(question: &str, patience: Duration) -> Result<Typed> {
    let stdin = stdin();
    if stdin.is_terminal() {
        // What was typed before answers for something that nobody has seen.
        tcflush(&stdin, QueueSelector::IFlush)?;
    }
    print::prompt(question);
    if !is_ready(&stdin, patience)? {
        print::talk("");
        return Ok(Typed::Nothing);
    }
    let mut line = String::new();
    if stdin.lock().read_line(&mut line)? == 0 {
        print::talk("");
        return Ok(Typed::Ended);
    }
    Ok(Typed::Line(line.trim().to_owned()))
}

/// Asks for something secret, which is not shown: neither is what is typed between the question and the wait for it.
pub(super) fn ask_hidden(question: &str) -> io::Result<String> {
    let _unseen = Unseen::begin();
    rpassword::prompt_password(question)
}

/// The terminal, which shows nothing that is typed until this ends.
struct Unseen {
    terminal: File,
    before: Termios,
}

impl Unseen {
    fn begin() -> Option<Self> {
        let terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
        let before = tcgetattr(&terminal).ok()?;
        let mut unseen = before.clone();
        unseen.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&terminal, OptionalActions::Now, &unseen).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for Unseen {
    fn drop(&mut self) {
        // Where that fails the terminal is gone.
        tcsetattr(&self.terminal, OptionalActions::Now, &self.before).ok();
    }
}

/// Whether something can be read, or the end is there, before so much time is over.
pub(super) fn is_ready(source: &impl AsFd, patience: Duration) -> Result<bool> {
    let timeout = Timespec::try_from(patience)?;
    let mut waiting = [PollFd::new(source, PollFlags::IN)];
    loop {
        match poll(&mut waiting, Some(&timeout)) {
            Err(Errno::INTR) => {}
            ready => return Ok(ready? > 0),
        }
    }
}
