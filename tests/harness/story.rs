//! A run told line by line, for whoever looks into a seed.

use std::fmt::Debug;

use aiemp_node::core::{Input, Notice, Output};
use aiemp_protocol::{approval::journal, ids::ContentHash, replication::Record};

/// One line of an unimportant thing.
const LINE_CHARS: usize = 160;

/// What a core is told.
pub fn of_input(input: &Input) -> String {
    if let Input::FilesChanged { changed, removed } = input {
        let changed: Vec<_> = changed.iter().map(|(path, bytes)| format!("{path} = {}", text(bytes))).collect();
        return format!("> FilesChanged {changed:?} gone {removed:?}");
    }
    format!("> {}", short(input))
}

/// What a core wants done.
pub fn of_output(output: &Output) -> String {
    if let Output::Persist(effect, Record::Entry { entry, .. }) = output {
        let position = entry.signed.position();
        let items = &entry.signed.entry.items;
        let seen: Vec<_> = entry.signed.entry.seen.iter().map(|seen| (seen.log, seen.seq)).collect();
        return format!("< Persist {effect:?} {:?} #{} {items:?} seen {seen:?}", position.log, position.seq);
    }
    if let Output::WriteFile { effect, path, bytes, expected } = output {
        return format!("< WriteFile {effect:?} {path} = {} expects {expected:?}", text(bytes));
    }
    if let Output::Notice(Notice::Kept { path, bytes, reason }) = output {
        return format!("< Kept {path} {reason:?} {}", text(bytes));
    }
    if matches!(output, Output::RecordProjection { .. } | Output::Notice(_)) {
        return format!("< {output:?}");
    }
    format!("< {}", short(output))
}

/// What the journal wants done.
pub fn of_journal(output: &journal::Output) -> String {
    let of_row = |what: &str, row: &journal::Row| {
        let decision = &row.verified.decision;
        format!("journal < {what} {:?} {:?} {:?}", row.state, decision.action, &decision.nonce[..4])
    };
    match output {
        journal::Output::Persist(row) => of_row("Persist", row),
        journal::Output::Dispatch(row) => of_row("Dispatch", row),
        journal::Output::LookUp(row) => of_row("LookUp", row),
        journal::Output::WriteReceipt(_)
        | journal::Output::Refuse { .. }
        | journal::Output::ReportClockBehind { .. } => format!("journal < {}", short(output)),
    }
}

/// Bytes as text with their digest.
pub fn text(bytes: &[u8]) -> String {
    format!("{:?} {:?}", ContentHash::of(bytes), String::from_utf8_lossy(bytes))
}

/// The beginning of a thing's debug form.
pub fn short(thing: &impl Debug) -> String {
    format!("{thing:?}").chars().take(LINE_CHARS).collect()
}
