//! `history`: what was done to a file, what it said at a time, and getting that back.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use aiemp_protocol::{action::spelt, limits::HISTORY_LIFETIME, time::Timestamp, vault_path::VaultPath};
use anyhow::{Context, Result};
use clap::Args;
use data_encoding::BASE64;
use serde_json::json;

use super::{approvals, print, undo::duration};
use crate::{
    fault::Fault,
    home::Home,
    shell::{
        self,
        control::{Request, Response, WireEvent, unexpected},
    },
};

/// Edits of one member that follow each other within this time are one line.
const ONE_SITTING: Duration = Duration::from_secs(600);

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// A file or folder, as it lies, or lay, in the vault: `Plans/a.md`
    path: String,
    /// What lay there then: a time as `2026-01-07T10:30:00Z`, or how long ago: 30m, 2h, 7d. It goes by when things came
    /// here, not by the clocks of those who wrote
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Give the file, or all files of the folder, their places and contents of then back, by changes that go forward
    #[arg(long, requires = "at")]
    restore: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn history(home: &Home, args: &HistoryArgs) -> Result<ExitCode> {
    let path = args.path.trim_end_matches('/');
    VaultPath::parse(path).map_err(|error| {
        Fault::usage(format!("{} is no path in the vault: {error}", spelt(path)), "Give it as in `Plans/a.md`.")
    })?;
    match &args.at {
        None => list(home, args, path),
        Some(at) => past(home, args, path, time(at, shell::clock::now())?),
    }
}

fn list(home: &Home, args: &HistoryArgs, path: &str) -> Result<ExitCode> {
    let answer = approvals::client(home)?.ask(&Request::History { path: path.to_owned() })?;
    if matches!(answer, Response::NotFound) {
        return Err(nothing(path, "no file ever lay at").into());
    }
    let Response::History { events } = answer else { return Err(unexpected()) };
    if args.json {
        print::json(json!({ "events": events }));
    } else {
        lines(&events).into_iter().for_each(print::data);
    }
    Ok(ExitCode::SUCCESS)
}

fn past(home: &Home, args: &HistoryArgs, path: &str, at: Timestamp) -> Result<ExitCode> {
    let is_kept = shell::clock::now().since(at) <= HISTORY_LIFETIME;
    let request = Request::Past { path: path.to_owned(), at_ms: at.as_millis(), restore: args.restore };
    let answer = approvals::client(home)?.ask(&request)?;
    if matches!(answer, Response::NotFound) {
        return Err(nothing(path, &format!("at {at} no file lay at")).into());
    }
    let Response::Past { paths, contents, left } = answer else { return Err(unexpected()) };
    if args.json {
        let content = if let [only] = &contents[..] { only.as_ref() } else { None };
        let told =
            json!({ "at": at.to_string(), "paths": paths, "content": content, "contents": contents, "left": left });
        print::json(told);
    } else if args.restore {
        print::data(match paths.len() - left.len() {
            1 => format!("1 file is as it was at {at}"),
            count => format!("{count} files are as they were at {at}"),
        });
        for path in &left {
            print::data(format!("left  {}", spelt(path)));
        }
        if !left.is_empty() {
            print::talk("What is left is not held here, holds what may not leave, or is not this node's to write.");
        }
    } else if let [only] = &paths[..] {
        let content = contents.into_iter().flatten().next().ok_or_else(|| {
            let (what, fix) = if is_kept {
                ("is not held here", "Connect a node that holds it, and ask again.")
            } else {
                (
                    "is no longer kept",
                    "What was replaced or put away is kept for 30 days; `history` tells what was done.",
                )
            };
            Fault::operator("not_held", format!("what {} said then {what}", spelt(only)), fix)
        })?;
        show(&content)?;
    } else if !contents.is_empty() {
        for (number, (path, content)) in (1..).zip(paths.iter().zip(&contents)) {
            print::talk(format!("-- {number} of {} contents under the name {}", paths.len(), spelt(path)));
            match content {
                Some(content) => show(content)?,
                None if is_kept => print::talk("What it said then is not held here."),
                None => print::talk("What it said then is no longer kept."),
            }
        }
    } else {
        paths.iter().for_each(|path| print::data(spelt(path)));
    }
    Ok(ExitCode::from(u8::from(!left.is_empty())))
}

/// As it was; at a terminal nothing in it steers that.
fn show(content: &str) -> Result<()> {
    let bytes = BASE64.decode(content.as_bytes()).context("the node's answer")?;
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        String::from_utf8_lossy(&bytes).lines().for_each(|line| print::data(spelt(line)));
    } else {
        out.write_all(&bytes)?;
    }
    Ok(())
}

fn nothing(path: &str, what: &str) -> Fault {
    Fault::operator("not_found", format!("{what} {}", spelt(path)), "Check the name; `history FOLDER --at TIME` lists.")
}

/// A time, or one so long before `now`.
fn time(text: &str, now: Timestamp) -> Result<Timestamp, Fault> {
    if let Some(time) = Timestamp::parse_rfc3339(text) {
        return Ok(time);
    }
    let ago = duration(text).map_err(|_| {
        Fault::usage(format!("{text:?} is no time"), "Write it as 2026-01-07T10:30:00Z, or how long ago: 30m, 2h, 7d.")
    })?;
    Ok(now.earlier_by(ago))
}

/// A line for each event; edits of one member that follow each other closely are one.
fn lines(events: &[WireEvent]) -> Vec<String> {
    let at = |event: &WireEvent| Timestamp::parse_rfc3339(&event.at).unwrap_or_default();
    let is_one_sitting = |a: &WireEvent, b: &WireEvent| {
        let edits = a.what == "edited" && b.what == "edited";
        edits && (&a.node, &a.file) == (&b.node, &b.file) && at(b).since(at(a)) <= ONE_SITTING
    };
    let line = |sitting: &[WireEvent]| {
        let [first, .., last] = sitting else { return line_of(&sitting[0]) };
        format!("{}, {} times until {}", line_of(first), sitting.len(), spelt(&last.at))
    };
    events.chunk_by(is_one_sitting).map(line).collect()
}

fn line_of(event: &WireEvent) -> String {
    let path = event.path.as_ref().map(|path| format!(" {}", spelt(path))).unwrap_or_default();
    format!("{}  {:<12}  {}{path}", spelt(&event.at), spelt(&event.node), spelt(event.what.replace('_', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: &str, node: &str, what: &str) -> WireEvent {
        let path = (what == "created").then(|| "Plans/a.md".to_owned());
        WireEvent { at: at.to_owned(), node: node.to_owned(), file: "f".to_owned(), what: what.to_owned(), path }
    }

    #[test]
    fn edits_of_one_sitting_are_one_line() {
        let events = [
            event("2026-01-07T10:00:00Z", "laptop", "created"),
            event("2026-01-07T10:01:00Z", "laptop", "edited"),
            event("2026-01-07T10:05:00Z", "laptop", "edited"),
            event("2026-01-07T10:06:00Z", "cloud", "edited"),
            event("2026-01-07T10:07:00Z", "laptop", "edited"),
            event("2026-01-07T11:07:00Z", "laptop", "edited"),
            event("2026-01-07T11:08:00Z", "laptop", "brought_back"),
        ];
        let expected = [
            "2026-01-07T10:00:00Z  laptop        created Plans/a.md",
            "2026-01-07T10:01:00Z  laptop        edited, 2 times until 2026-01-07T10:05:00Z",
            "2026-01-07T10:06:00Z  cloud         edited",
            "2026-01-07T10:07:00Z  laptop        edited",
            "2026-01-07T11:07:00Z  laptop        edited",
            "2026-01-07T11:08:00Z  laptop        brought back",
        ];
        assert_eq!(lines(&events), expected);
    }

    #[test]
    fn a_time_is_an_instant_or_how_long_ago() {
        let now = Timestamp::from_millis(1_767_781_800_000);
        assert_eq!(time("2026-01-07T10:30:00Z", Timestamp::default()), Ok(now));
        assert_eq!(time("30m", now), Ok(now.earlier_by(Duration::from_secs(1_800))));
        for wrong in ["", "yesterday", "2026-01-07", "2026-01-07T10:30:00", "3"] {
            assert_eq!(time(wrong, now).unwrap_err().exit, 2, "{wrong}");
        }
    }
}
