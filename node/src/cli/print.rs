//! Data to stdout, talk to stderr: the only place that prints.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the command line's one way out")]

use std::process::ExitCode;

use aiemp_protocol::action::spelt;

use crate::{
    executor,
    fault::{Fault, causes, is_disk_full},
};

/// What to do where nothing can be written.
const FREE_SPACE: &str = "The disk is full: free some space, then run this again.";

/// A line of data.
pub(super) fn data(line: impl std::fmt::Display) {
    println!("{line}");
}

/// A line of data to be careful about: red at a terminal.
pub(super) fn warned(line: impl std::fmt::Display) {
    if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        println!("\x1b[31m{line}\x1b[0m");
    } else {
        println!("{line}");
    }
}

/// A line of talk.
pub(super) fn talk(line: impl std::fmt::Display) {
    eprintln!("{line}");
}

/// A question, whose answer is typed behind it.
pub(super) fn prompt(question: &str) {
    eprint!("{question}");
}

/// A versioned JSON object.
pub(super) fn json(mut value: serde_json::Value) {
    if let Some(object) = value.as_object_mut() {
        object.insert("v".to_owned(), 1.into());
    }
    println!("{value}");
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
                eprintln!("{}", fault.to_json());
            } else {
                eprintln!("{}", steady(&format!("error: {fault}")));
            }
            ExitCode::from(fault.exit)
        }
        None => {
            let fix = if is_disk_full(error) { FREE_SPACE } else { "" };
            if as_json {
                eprintln!("{}", Fault::operator("failed", causes(error), fix).to_json());
            } else {
                eprintln!("{}", steady(format!("error: {}\n  {fix}", causes(error)).trim_end()));
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
