//! `conflicts`: list, show, resolve.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use aiemp_protocol::action::spelt;
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use data_encoding::BASE64;
use serde_json::json;

use self::held::Unsynced;
use super::{approvals::client, print, terminal};
use crate::{
    fault::Fault,
    home::Home,
    shell::control::{Client, Request, ResolveChoice, Response, WireConflict, unexpected},
};

mod held;
mod hunks;
mod page;

/// How long a node that is reading its notes is waited for, and how often it is asked.
const READING: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What an author wrote and no node takes: it can be read, and stands nowhere in the note.
const DROPPED: &str = "dropped";
/// Files that vanished, and of which nobody knows yet whether they were to be removed.
const MASS_REMOVAL: &str = "mass_removal";
/// The kind of an item that holds a note back.
const ACTIVE_CONTENT: &str = "active_content";
/// Two files of two vaults, of which it is not known which was meant.
const ADOPTION: &str = "adoption";
/// Kinds that are about where files lie.
const CLAIM: &str = "claim";
const MOVE: &str = "move";
const NAME: &str = "name";
/// Kinds of which both sides are texts of the file.
const FIELD: &str = "field";
const TEXT: &str = "text";
const STRUCTURE: &str = "structure";
const CONTENT: &str = "content";

#[derive(Debug, Args)]
pub(super) struct ConflictsArgs {
    #[command(subcommand)]
    command: Option<ConflictsCommand>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum ConflictsCommand {
    /// The open ones, then saves that are held and what did not sync
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// What was there before, what each side did to it, and what is shown now
    Show {
        /// The conflict's id, or a unique beginning
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Decide it
    Resolve {
        /// The conflict's id, or a unique beginning
        id: String,
        /// The node whose side stands, the number of that side, or `both`
        #[arg(long, value_name = "NODE|NUMBER|both", required_unless_present_any = ["with", "release"])]
        take: Option<String>,
        /// The text of this file stands
        #[arg(long, value_name = "FILE", conflicts_with = "take")]
        with: Option<PathBuf>,
        /// Show the active content that was found, here and wherever else it stands
        #[arg(long, conflicts_with_all = ["take", "with"])]
        release: bool,
    },
}

pub(super) fn conflicts(home: &Home, args: ConflictsArgs) -> Result<ExitCode> {
    let mut client = client(home)?;
    let (items, is_reading) = open_ones(&mut client)?;
    match args.command {
        None => list(&mut client, home, &items, is_reading, args.json)?,
        Some(ConflictsCommand::List { json }) => list(&mut client, home, &items, is_reading, json)?,
        Some(ConflictsCommand::Show { id, json }) => show(&mut client, find(&items, &id, is_reading)?, json)?,
        Some(ConflictsCommand::Resolve { id, take, with, release }) => {
            let item = find(&items, &id, is_reading)?;
            let choice = if release { released(item)? } else { chosen(item, take.as_deref(), with)? };
            resolve(&mut client, item, choice)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The open conflicts. After a start some are known once the notes are read, which takes a moment; whether it takes longer.
fn open_ones(client: &mut Client) -> Result<(Vec<WireConflict>, bool)> {
    let begun = Instant::now();
    loop {
        let Response::Conflicts { items, is_reading } = client.ask(&Request::Conflicts)? else {
            return Err(unexpected());
        };
        if !is_reading || begun.elapsed() >= READING {
            return Ok((items, is_reading));
        }
        std::thread::sleep(ASK_AGAIN);
    }
}

fn find<'a>(items: &'a [WireConflict], id: &str, is_reading: bool) -> Result<&'a WireConflict> {
    let mut matches = items.iter().filter(|item| item.id.starts_with(id));
    match (matches.next(), matches.next()) {
        (Some(item), None) => Ok(item),
        (Some(_), Some(_)) => Err(Fault::usage(format!("`{id}` begins several ids"), "Give more of it.").into()),
        (None, _) => {
            let fix = match is_reading {
                true => "The node is still reading its notes; run this again in a moment.",
                false => "Run `aiemp-node conflicts` for the open ones.",
            };
            Err(Fault::operator("unknown_id", format!("no open conflict has the id {id}"), fix).into())
        }
    }
}

fn to_json(item: &WireConflict) -> serde_json::Value {
    let mut value = json!(item);
    value["state"] = json!("open");
    value
}

fn list(client: &mut Client, home: &Home, items: &[WireConflict], is_reading: bool, as_json: bool) -> Result<()> {
    let (holds, unsynced) = (held::held(home), Unsynced::ask(client)?);
    if as_json {
        let holds: Vec<_> = holds.iter().map(held::to_json).collect();
        let items: Vec<_> = items.iter().map(to_json).collect();
        print::json(json!({ "items": items, "holds": holds, "unsynced": unsynced.named,
            "unsynced_count": unsynced.count, "complete": !is_reading }));
        return Ok(());
    }
    if items.is_empty() && !is_reading {
        print::talk("No conflicts.");
    }
    for item in items {
        print::data(line_of(item));
        found_lines(item).for_each(print::data);
    }
    holds.iter().flat_map(held::lines_of).for_each(print::data);
    unsynced.lines().into_iter().for_each(print::data);
    if is_reading {
        print::talk("The node is still reading its notes, and may find more: run this again in a moment.");
    }
    Ok(())
}

fn line_of(item: &WireConflict) -> String {
    format!("{}  {:<11}  {}{}", &item.id[..12], item.kind, spelt(&item.path), place_of(item))
}

/// Where in the file it is.
fn place_of(item: &WireConflict) -> String {
    let field = item.field.as_ref().map(|field| format!(" ({})", spelt(field)));
    field.or_else(|| item.line.map(|line| format!(" (line {line})"))).unwrap_or_default()
}

/// What a note waits for: never more than its beginning, for the list may be read by a program that acts on it.
fn found_lines(item: &WireConflict) -> impl Iterator<Item = String> + '_ {
    item.found.iter().map(|found| format!("    line {}: {}: {}", found.line, found.what, spelt(&found.begins)))
}

fn show(client: &mut Client, item: &WireConflict, as_json: bool) -> Result<()> {
    if as_json {
        print::json(to_json(item));
        return Ok(());
    }
    let shown = if item.kind == CONTENT { shown_text(client, &item.path)? } else { None };
    let has_colours = terminal::has_colours();
    for line in page::of(item, shown.as_deref()) {
        print::data(if has_colours { line.painted() } else { line.text });
    }
    page::ways(item).iter().for_each(print::talk);
    Ok(())
}

/// What lies at a path as far as this node shows it; none if it is no text.
fn shown_text(client: &mut Client, path: &str) -> Result<Option<String>> {
    let Response::File { content } = client.ask(&Request::File { path: path.to_owned() })? else { return Ok(None) };
    let Some(content) = content else { return Ok(None) };
    let bytes = BASE64.decode(content.as_bytes()).context("the node's answer")?;
    Ok(String::from_utf8(bytes).ok())
}

fn released(item: &WireConflict) -> Result<ResolveChoice> {
    if item.kind == ACTIVE_CONTENT {
        return Ok(ResolveChoice::Side(1));
    }
    Err(Fault::usage("this conflict holds nothing back", "Give --take or --with.").into())
}

fn chosen(item: &WireConflict, take: Option<&str>, with: Option<PathBuf>) -> Result<ResolveChoice> {
    Ok(match (take, with) {
        (_, Some(_)) if item.kind == MASS_REMOVAL => {
            let own = item.sides.first().map_or("-", |side| side.node.as_str());
            let fix = format!("Give --take {own} to remove them on every node, or --take both to bring them back.");
            return Err(Fault::usage("no text can stand for files that vanished", fix).into());
        }
        (_, Some(file)) => {
            let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            ResolveChoice::With(BASE64.encode(&bytes))
        }
        (Some(take), None) if item.kind == DROPPED && item.sides.first().is_none_or(|side| side.node != take) => {
            let shown = item.sides.first().map_or("-", |side| side.node.as_str());
            let fix =
                format!("Take {shown} for the note as it is shown, or give the whole text you want by --with FILE.");
            return Err(Fault::usage("what was dropped has no place in the note", fix).into());
        }
        (Some("both"), None) if item.kind == ACTIVE_CONTENT => {
            let fix = "Give --release, --take with the name of this node, or --with FILE.";
            return Err(Fault::usage("there is one text to show or to leave", fix).into());
        }
        (Some("both"), None) => ResolveChoice::Both,
        (Some(node), None) => ResolveChoice::Side(side_of(item, node)?),
        (None, None) => return Err(Fault::usage("nothing is chosen", "Give --take or --with.").into()),
    })
}

/// A side by its node or, where one node has several, by its number.
fn side_of(item: &WireConflict, take: &str) -> Result<usize> {
    let mut of_node = (0..).zip(&item.sides).filter(|(_, side)| side.node == take);
    let number = take.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let numbered = number.filter(|index| *index < item.sides.len());
    match (of_node.next(), of_node.next(), numbered) {
        (Some((index, _)), None, _) | (None, None, Some(index)) => Ok(index),
        (Some(_), Some(_), _) => {
            let fix =
                format!("Take it by its number, 1 to {}: `aiemp-node conflicts show` tells them.", item.sides.len());
            Err(Fault::usage(format!("`{take}` has several sides of this conflict"), fix).into())
        }
        (None, ..) => {
            let nodes: Vec<_> = item.sides.iter().map(|side| side.node.as_str()).collect();
            let fix = format!("Take one of: {}, both.", nodes.join(", "));
            Err(Fault::usage(format!("`{take}` is no side of this conflict"), fix).into())
        }
    }
}

fn resolve(client: &mut Client, item: &WireConflict, choice: ResolveChoice) -> Result<()> {
    let Response::Done = client.ask(&Request::Resolve { id: item.id.clone(), choice })? else {
        let message = "the conflict is not open any more, or cannot be decided in this way";
        let fix = "Run `aiemp-node conflicts`; docs/conflicts.md says what each kind takes, and from whom.";
        return Err(Fault::operator("gone", message, fix).into());
    };
    print::data(format!("resolved {}", item.id));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::control::{WireFound, WireSide};

    #[test]
    fn what_steers_a_terminal_is_spelt_out_in_the_list() {
        let item = WireConflict {
            id: "0123456789abcdef".to_owned(),
            kind: FIELD.to_owned(),
            path: "Plans/\u{202e}dm.x".to_owned(),
            field: Some("due\u{200b}".to_owned()),
            line: None,
            base: None,
            sides: Vec::new(),
            merged: String::new(),
            found: vec![WireFound { line: 3, what: "a link that acts".to_owned(), begins: "x\u{200b}".to_owned() }],
        };
        assert_eq!(
            line_of(&item),
            "0123456789ab  field        Plans/[U+202E RIGHT-TO-LEFT OVERRIDE]dm.x (due[U+200B ZERO WIDTH SPACE])"
        );
        let found: Vec<_> = found_lines(&item).collect();
        assert_eq!(found, ["    line 3: a link that acts: x[U+200B ZERO WIDTH SPACE]"]);
    }

    #[test]
    fn a_side_is_told_by_its_node_or_by_its_number() {
        let side = |node: &str| WireSide { node: node.to_owned(), text: String::new(), hlc: "now".to_owned() };
        let item = |nodes: &[&str]| WireConflict {
            id: "0123456789abcdef".to_owned(),
            kind: NAME.to_owned(),
            path: "Plans/a.md".to_owned(),
            field: None,
            line: None,
            base: None,
            sides: nodes.iter().map(|node| side(node)).collect(),
            merged: String::new(),
            found: Vec::new(),
        };
        let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
        let took = |nodes: &[&str], take: &str| side_of(&item(nodes), take).map_err(|why| first_line(why.to_string()));
        assert_eq!(took(&["laptop", "cloud"], "cloud"), Ok(1));
        assert_eq!(took(&["laptop", "laptop"], "2"), Ok(1));
        assert_eq!(took(&["2", "laptop"], "2"), Ok(0), "a name comes first");
        let said = "`laptop` has several sides of this conflict".to_owned();
        assert_eq!(took(&["laptop", "laptop"], "laptop"), Err(said));
        for take in ["0", "3", "desktop"] {
            assert_eq!(took(&["laptop", "cloud"], take), Err(format!("`{take}` is no side of this conflict")));
        }
    }
}
