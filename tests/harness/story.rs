//! A run told line by line, for whoever looks into a seed.

use std::fmt::Debug;

use aiemp_node::core::{Input, Notice, Output};
use aiemp_protocol::{ids::ContentHash, replication::Record};

/// One line of an unimportant thing.
const LINE_CHARS: usize = 160;

/// What a core is told.
#[expect(clippy::wildcard_enum_match_arm, reason = "what has no words of its own is told as it prints")]
pub fn of_input(input: &Input) -> String {
    match input {
        Input::FilesChanged { changed, removed } => {
            let changed: Vec<_> = changed.iter().map(|(path, bytes)| format!("{path} = {}", text(bytes))).collect();
            format!("> FilesChanged {changed:?} gone {removed:?}")
        }
        Input::FileWritten(effect, outcome) => format!("> FileWritten {effect:?} {}", short(outcome)),
        other => format!("> {}", short(other)),
    }
}

/// What a core wants done.
#[expect(clippy::wildcard_enum_match_arm, reason = "what has no words of its own is told as it prints")]
pub fn of_output(output: &Output) -> String {
    match output {
        Output::Persist(effect, Record::Entry(entry)) => {
            let position = entry.signed.position();
            let items = &entry.signed.entry.items;
            let seen: Vec<_> = entry.signed.entry.seen.iter().map(|seen| (seen.log, seen.seq)).collect();
            format!("< Persist {effect:?} {:?} #{} {items:?} seen {seen:?}", position.log, position.seq)
        }
        Output::WriteFile { effect, path, bytes, expected } => {
            format!("< WriteFile {effect:?} {path} = {} expects {expected:?}", text(bytes))
        }
        Output::Notice(Notice::Kept { path, bytes, reason }) => format!("< Kept {path} {reason:?} {}", text(bytes)),
        Output::RecordProjection { .. } | Output::Notice(_) => format!("< {output:?}"),
        other => format!("< {}", short(other)),
    }
}

/// Bytes as text with their digest.
pub fn text(bytes: &[u8]) -> String {
    format!("{:?} {:?}", ContentHash::of(bytes), String::from_utf8_lossy(bytes))
}

fn short(thing: &impl Debug) -> String {
    format!("{thing:?}").chars().take(LINE_CHARS).collect()
}
