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
/// What stands for the whole vault.
const WHOLE: &str = "";

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// A file or folder, as it lies, or lay, in the vault: `Plans/a.md`; with --at also `.`, the whole vault
    path: String,
    /// What lay there then: right after the line of `history` with that number, at a time in UTC, as 2026-01-07T10:30:00Z,
    /// 2026-01-07T10:30 or 2026-01-07, when that day began, or so long ago: 30m, 2h, 7d. A time goes by when things came
    /// here, not by the clocks of those who wrote
    #[arg(long, value_name = "NUMBER|TIME")]
    at: Option<String>,
    /// Give the file, or all files of the folder, their places and contents of then back, by changes that go forward; it
    /// says how to take that back
    #[arg(long, requires = "at")]
    restore: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn history(home: &Home, args: &HistoryArgs) -> Result<ExitCode> {
    let path = match args.path.trim_end_matches('/') {
        "." | "" => WHOLE,
        path => path,
    };
    if path != WHOLE {
        VaultPath::parse(path).map_err(|error| {
            Fault::usage(format!("{} is no path in the vault: {error}", spelt(path)), "Give it as in `Plans/a.md`.")
        })?;
    }
    match &args.at {
        None if path == WHOLE => {
            let fix = "Give a file or folder, or --at TIME for what lay in the vault then.";
            Err(Fault::usage("the whole vault has no list of what was done", fix).into())
        }
        None => list(home, args, path),
        Some(at) => {
            let at = match number(at) {
                Some(number) => came_with(home, path, number)?,
                None => time(at, shell::clock::now())?,
            };
            past(home, args, path, at)
        }
    }
}

/// A line of the list by its number; longer ones are no numbers of lines.
fn number(text: &str) -> Option<usize> {
    let is_number = text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// When came here what that line says.
fn came_with(home: &Home, path: &str, number: usize) -> Result<Timestamp> {
    let answer = if path == WHOLE {
        Response::NotFound
    } else {
        approvals::client(home)?.ask(&Request::History { path: path.to_owned() })?
    };
    let events = if let Response::History { events } = answer { events } else { Vec::new() };
    let event = number.checked_sub(1).and_then(|index| events.get(index)).ok_or_else(|| {
        let fix =
            "Run `history` on the path alone: each line ends with its number. Or give a time, as 2026-01-07T10:30.";
        Fault::usage(format!("{} has no line {number}, of {}", shown(path), events.len()), fix)
    })?;
    Ok(Timestamp::from_millis(event.came_ms))
}

/// How a path is named to the person.
fn shown(path: &str) -> String {
    if path == WHOLE { "the vault".to_owned() } else { spelt(path).to_string() }
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
    let ask = |at: Timestamp, restore| {
        approvals::client(home)?.ask(&Request::Past { path: path.to_owned(), at_ms: at.as_millis(), restore })
    };
    let now = shell::clock::now();
    let was_there = args.restore && !matches!(ask(now, false)?, Response::NotFound);
    let answer = ask(at, args.restore)?;
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
        takes_back(path, was_there.then_some(now)).into_iter().for_each(print::talk);
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

/// How a restore is taken back, which replaced what lay there at that time, if anything did.
fn takes_back(path: &str, before: Option<Timestamp>) -> Vec<String> {
    let Some(before) = before else {
        return vec!["Nothing lay there before; to take this back, delete it.".to_owned()];
    };
    let path = if path == WHOLE { "." } else { path };
    let quoted = format!("'{}'", spelt(path).to_string().replace('\'', "'\\''"));
    let at = before.utc().format("%Y-%m-%dT%H:%M:%S%.3fZ");
    vec![
        "What it replaced stays in the history; a file that had come to have the name lies beside it, with a number."
            .to_owned(),
        format!("To take this back: aiemp-node history {quoted} --at {at} --restore"),
    ]
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
    Fault::operator("not_found", format!("{what} {}", shown(path)), "Check the name; `history FOLDER --at TIME` lists.")
}

/// A time, or one so long before `now`.
fn time(text: &str, now: Timestamp) -> Result<Timestamp, Fault> {
    let spelt = text.replacen(' ', "T", 1);
    let bare = spelt.strip_suffix('Z').unwrap_or(&spelt);
    let forms = [spelt.clone(), format!("{bare}Z"), format!("{bare}:00Z"), format!("{bare}T00:00:00Z")];
    if let Some(time) = forms.iter().find_map(|form| Timestamp::parse_rfc3339(form)) {
        return Ok(time);
    }
    let ago = duration(text).map_err(|_| {
        let fix = "Write it as 2026-01-07T10:30:00Z, 2026-01-07T10:30 or 2026-01-07, in UTC; as how long ago: 30m, 2h, 7d; or \
                   as the number of a line of `history`.";
        Fault::usage(format!("{text:?} is no time"), fix)
    })?;
    Ok(now.earlier_by(ago))
}

/// A line for each event, with its number for `--at`; edits of one member that follow each other closely are one.
fn lines(events: &[WireEvent]) -> Vec<String> {
    let at = |event: &WireEvent| Timestamp::parse_rfc3339(&event.at).unwrap_or_default();
    let is_one_sitting = |a: &WireEvent, b: &WireEvent| {
        let edits = a.what == "edited" && b.what == "edited";
        edits && (&a.node, &a.file) == (&b.node, &b.file) && at(b).since(at(a)) <= ONE_SITTING
    };
    let mut number = 0;
    let line = |sitting: &[WireEvent]| {
        let from = number + 1;
        number += sitting.len();
        let [first, .., last] = sitting else { return format!("{}  #{from}", line_of(&sitting[0])) };
        format!("{}, {} times until {}  #{from} to #{number}", line_of(first), sitting.len(), spelt(&last.at))
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
        WireEvent {
            at: at.to_owned(),
            node: node.to_owned(),
            file: "f".to_owned(),
            what: what.to_owned(),
            path,
            came_ms: 0,
        }
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
            "2026-01-07T10:00:00Z  laptop        created Plans/a.md  #1",
            "2026-01-07T10:01:00Z  laptop        edited, 2 times until 2026-01-07T10:05:00Z  #2 to #3",
            "2026-01-07T10:06:00Z  cloud         edited  #4",
            "2026-01-07T10:07:00Z  laptop        edited  #5",
            "2026-01-07T11:07:00Z  laptop        edited  #6",
            "2026-01-07T11:08:00Z  laptop        brought back  #7",
        ];
        assert_eq!(lines(&events), expected);
    }

    #[test]
    fn a_restore_says_how_it_is_taken_back() {
        let before = Timestamp::from_millis(1_767_781_800_123);
        let expected =
            "To take this back: aiemp-node history 'Plans/it'\\''s.md' --at 2026-01-07T10:30:00.123Z --restore";
        assert_eq!(takes_back("Plans/it's.md", Some(before))[1], expected);
        assert!(takes_back(WHOLE, Some(before))[1].contains(" history '.' --at "));
        assert_eq!(takes_back("a.md", None), ["Nothing lay there before; to take this back, delete it."]);
        assert_eq!(time("2026-01-07T10:30:00.123Z", Timestamp::default()), Ok(before));
    }

    #[test]
    fn a_time_is_an_instant_a_day_or_how_long_ago_and_a_short_number_a_line() {
        let now = Timestamp::from_millis(1_767_781_800_000);
        assert_eq!(time("2026-01-07T10:30:00Z", Timestamp::default()), Ok(now));
        assert_eq!(time("30m", now), Ok(now.earlier_by(Duration::from_secs(1_800))));
        for same in ["2026-01-07T10:30:00", "2026-01-07T10:30", "2026-01-07 10:30", "2026-01-07T10:30Z"] {
            assert_eq!(time(same, Timestamp::default()), Ok(now), "{same}");
        }
        let day = Timestamp::from_millis(1_767_781_800_000 - 37_800_000);
        assert_eq!(time("2026-01-07", Timestamp::default()), Ok(day));
        assert_eq!((number("12"), number("2h"), number("20260107")), (Some(12), None, None));
        for wrong in ["", "yesterday", "2026-13-07", "2026-01-07T10", "3"] {
            assert_eq!(time(wrong, now).unwrap_err().exit, 2, "{wrong}");
        }
    }
}
