//! Data to stdout, talk to stderr: the only place that prints.
//!
//! Whoever reads may stop reading, as `head` does, and what is written to may be full. Then the lines that follow are left
//! out, and [`finish`] says what that means for the command.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    sync::OnceLock,
};

use aiemp_protocol::action::spelt;

use crate::{
    executor,
    fault::{Fault, causes, is_disk_full},
};

/// What to do where nothing can be written.
const FREE_SPACE: &str = "The disk is full: free some space, then run this again.";

/// Why data could not be written.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();

/// A line of data.
pub(super) fn data(line: impl std::fmt::Display) {
    if UNWRITTEN.get().is_none()
        && let Err(error) = writeln!(io::stdout(), "{line}")
    {
        UNWRITTEN.set(error).ok();
    }
}

/// A line of data on what was done and cannot be done again. Where it cannot be written it is talk: whoever took that for
/// a failure would do it twice.
pub(super) fn done(line: impl std::fmt::Display) {
    let written = writeln!(io::stdout(), "{line}");
    if written.is_err_and(|error| error.kind() != io::ErrorKind::BrokenPipe) {
        talk(line);
    }
}

/// A line of data to be careful about: red at a terminal.
pub(super) fn warned(line: impl std::fmt::Display) {
    if io::stdout().is_terminal() {
        data(format!("\x1b[31m{line}\x1b[0m"));
    } else {
        data(line);
    }
}

/// A line of talk.
pub(super) fn talk(line: impl std::fmt::Display) {
    // Nobody is left to tell that nobody reads.
    writeln!(io::stderr(), "{line}").ok();
}

/// A question, whose answer is typed behind it.
pub(super) fn prompt(question: &str) {
    write!(io::stderr(), "{question}").ok();
}

/// A versioned JSON object.
pub(super) fn json(value: serde_json::Value) {
    data(versioned(value));
}

/// A versioned JSON object on what was done, as [`done`].
pub(super) fn json_done(value: serde_json::Value) {
    done(versioned(value));
}

fn versioned(mut value: serde_json::Value) -> serde_json::Value {
    if let Some(object) = value.as_object_mut() {
        object.insert("v".to_owned(), 1.into());
    }
    value
}

/// The exit code of a command that ended with `code`, once its data was printed as far as that went.
pub(super) fn finish(code: ExitCode) -> ExitCode {
    match UNWRITTEN.get() {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            talk(format!(
                "error: what this command prints cannot be written: {error}\n  Give it another place to write to. What it \
                 was to do is done all the same."
            ));
            ExitCode::from(1)
        }
        Some(_) | None => code,
    }
}

/// Prints an error and answers the exit code that goes with it.
pub(super) fn failure(error: &anyhow::Error, as_json: bool) -> ExitCode {
    let fault = error.downcast_ref::<Fault>().cloned().or_else(|| {
        let refused = error.downcast_ref::<executor::Refused>()?;
        let fix = "Run `aiemp-node doctor` for what is missing.";
        Some(Fault::refused("refused", refused.to_string(), fix))
    });
    match fault {
        Some(fault) => {
            if as_json {
                talk(fault.to_json());
            } else {
                talk(steady(&format!("error: {fault}")));
            }
            ExitCode::from(fault.exit)
        }
        None => {
            let fix = if is_disk_full(error) { FREE_SPACE } else { "" };
            if as_json {
                talk(Fault::operator("failed", causes(error), fix).to_json());
            } else {
                talk(steady(format!("error: {}\n  {fix}", causes(error)).trim_end()));
            }
            ExitCode::from(1)
        }
    }
}

/// A message of several lines in which nothing steers the terminal. What is spelt in it already stays as it is.
fn steady(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | ' '..='~') { c.to_string() } else { spelt(c) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_steers_a_terminal() {
        let told = steady("error: the Cloud node refused: \u{1b}[2J\u{9b}1A\u{202e}gone\r\n  Übung [U+202E]");
        assert_eq!(
            told,
            "error: the Cloud node refused: [U+001B ESCAPE][2J[U+009B]1A[U+202E RIGHT-TO-LEFT OVERRIDE]gone\
             [U+000D CARRIAGE RETURN]\n  Übung [U+202E]"
        );
    }
}
