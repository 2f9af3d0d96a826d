//! `approvals`: read, approve, reject, settle. A process of its own; it alone opens the approve key.

mod decide;
mod editor;
mod listing;
mod paint;
mod session;
mod shown;
mod standing;

use std::{process::ExitCode, time::Duration};

use aiemp_keys::private_file;
use aiemp_protocol::{action::spelt, roster::Roster, time::Timestamp};
use anyhow::Result;
use clap::{Args, Subcommand};
use data_encoding::BASE64;
use serde_json::json;

pub(super) use self::decide::approvable;
use self::{
    listing::{first, item_json, list},
    shown::Shown,
    standing::StandingArgs,
};
use super::{
    Passphrase, owner, print,
    terminal::{self, Typed},
};
use crate::{
    fault::Fault,
    home::Home,
    reviewer::{self, Desk, Item},
    shell::{
        self,
        control::{Client, Request, Response, WireReceipt},
        handed_in,
        walls::Wall,
    },
};

/// How long a person may take to type one value.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Debug, Args)]
pub(super) struct ApprovalsArgs {
    #[command(subcommand)]
    command: Option<ApprovalsCommand>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum ApprovalsCommand {
    /// What waits for a decision, and what became of what was decided
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Exactly what would be sent
    Show {
        /// The action hash; at a terminal a unique beginning of 8 digits will do
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Sign that exactly this is sent
    Approve {
        /// The action hash as shown
        id: String,
        /// Send it although it, or its piece of work, was answered before
        #[arg(long)]
        again: bool,
        #[command(flatten)]
        passphrase: Passphrase,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Turn a draft down; needs no key
    Reject {
        /// The action hash, or the file id of a draft that cannot be approved
        id: String,
        /// Why, for whoever drafted it
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Call back what was approved and waits for its time; needs no key
    Cancel {
        /// The action hash
        id: String,
    },
    /// Mails that go out without your looking at each: list, `add`, `remove`
    Standing(StandingArgs),
    /// Say that the clock is right, after it was set forward and back; until then nothing is sent
    SettleClock {
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// Say how an action ended whose end nobody knows
    Settle {
        /// The action hash
        id: String,
        /// It was sent
        #[arg(long, conflicts_with = "not_sent", required_unless_present = "not_sent")]
        sent: bool,
        /// It was not sent
        #[arg(long)]
        not_sent: bool,
        #[command(flatten)]
        passphrase: Passphrase,
    },
}

pub(super) fn approvals(home: &Home, args: ApprovalsArgs) -> Result<ExitCode> {
    let rosters = owner::rosters(home)?;
    owner::check_local(home, rosters.current())?;
    // The time of a running node's answer plays no part in it.
    if let Some(ApprovalsCommand::SettleClock { passphrase }) = &args.command {
        return settle_clock(home, rosters.current(), passphrase);
    }
    let config = shell::settings::load(home)?;
    if let Some(ApprovalsCommand::Standing(args)) = args.command {
        return standing::standing(home, rosters.current(), &config, args);
    }
    let mut client = client(home)?;
    let mut desk = Desk::load(home, &config, rosters.current(), &mut client)?;
    let me = shell::identity::own_id(home)?;
    let own = rosters.current().member(me).map(|member| member.name.clone()).unwrap_or_default();
    match args.command {
        None if !args.json && terminal::is_all_there() && !desk.items.is_empty() => {
            session::run(home, rosters.current(), &own, desk, client)?;
        }
        None | Some(ApprovalsCommand::Standing(_)) => list(home, &desk, args.json),
        Some(ApprovalsCommand::List { json }) => list(home, &desk, json),
        Some(ApprovalsCommand::Show { id, json }) => show(home, &desk, &id, json, &own)?,
        Some(ApprovalsCommand::Approve { id, again, passphrase, json }) => {
            let how = How { again, passphrase: &passphrase, json, own: &own };
            approve(home, &mut desk, &mut client, &id, &how)?;
        }
        // Done above.
        Some(ApprovalsCommand::SettleClock { .. }) => {}
        Some(ApprovalsCommand::Reject { id, reason }) => reject(&desk, &mut client, &id, reason)?,
        Some(ApprovalsCommand::Cancel { id }) => cancel(home, &desk, &id)?,
        Some(ApprovalsCommand::Settle { id, sent, not_sent: _, passphrase }) => {
            settle(home, &desk, &id, sent, &passphrase)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The running node of this home.
pub(super) fn client(home: &Home) -> Result<Client> {
    Client::connect(&home.control_socket())?.ok_or_else(|| not_running(home, handed_in::is_disk_full(home)).into())
}

/// A node whose store finds no room ends.
fn not_running(home: &Home, is_disk_full: bool) -> Fault {
    let home = home.path().display();
    let (message, fix) = match is_disk_full {
        true => (
            format!("no node runs on {home}, and the disk below it is full"),
            "Free some space, start it with `aiemp-node --role local` (or `--role cloud`), and run this again: nothing was \
             lost.",
        ),
        false => (
            format!("no node runs on {home}"),
            "Start it with `aiemp-node --role local` (or `--role cloud`) and run this again.",
        ),
    };
    Fault::operator("not_running", message, fix)
}

fn show(home: &Home, desk: &Desk, id: &str, as_json: bool, own: &str) -> Result<()> {
    let item = find(home, desk, id, true)?;
    if let Ok(readable) = &item.draft {
        let text = readable.rendered.text.clone();
        let (file, path) = (item.file.to_string(), item.path.as_str().to_owned());
        shown::remember(home, Shown { id: item.id.clone(), file, path, text })?;
    }
    if as_json {
        let mut value = item_json(desk, item);
        if let Ok(readable) = &item.draft {
            value["render"] = json!(readable.rendered.text);
            value["action"] = json!(BASE64.encode(&readable.action.to_bytes()));
            value["rule"] = json!(desk.rule_for(&readable.action));
            value["words"] =
                readable.authors.words.iter().map(|word| json!({ "at": word.at, "by": word.by })).collect();
            value["lines_by"] = json!(readable.authors.keys);
            let new = readable.marks.first_time.iter();
            value["new"] = new.map(|value| json!({ "kind": value.kind.as_str(), "text": value.text })).collect();
        }
        print::json(value);
        return Ok(());
    }
    show_item(desk, item, own);
    Ok(())
}

fn show_item(desk: &Desk, item: &Item, own: &str) {
    match &item.draft {
        Ok(readable) => {
            let has_colours = terminal::has_colours();
            let text = if has_colours { paint::painted(readable, own) } else { readable.rendered.text.clone() };
            print::data(format!("ID  {}\nin  {}\n", item.id, spelt(&item.path)));
            print::data(text);
            print::talk(paint::legend(&readable.authors, own, has_colours));
            for rule in desk.rule_for(&readable.action) {
                print::talk(spelt(rule));
            }
            if let Some(why) = &readable.objection {
                print::talk(format!("cannot be carried out: {why}"));
            }
            for block in &item.blocked_by {
                print::talk(format!("waits for: {block} (`aiemp-node conflicts`)"));
            }
        }
        Err(refusals) => {
            print::data(format!("{} cannot be approved:", spelt(&item.path)));
            for refusal in refusals {
                print::data(format!("  {refusal}"));
            }
        }
    }
}

/// The process that starts the person's editor.
pub(super) fn serve_editor(home: &Home) -> Result<()> {
    editor::serve(home)
}

/// Finds an item, or says what became of the one that was meant.
fn find<'a>(home: &Home, desk: &'a Desk, id: &str, prefix: bool) -> Result<&'a Item> {
    if let Some(item) = desk.find(id, prefix) {
        return Ok(item);
    }
    let shown = shown::find(home, id);
    if let Some(receipt) = desk.receipt_for_action(id).filter(|receipt| receipt.outcome != "failed") {
        return Err(filed(receipt, shown.as_ref()).into());
    }
    if let Some(shown) = shown
        && let Some(item) = desk.items.iter().find(|item| item.file.to_string() == shown.file)
    {
        let now = item.draft.as_ref().map(|readable| readable.rendered.text.as_str()).unwrap_or_default();
        print::talk(super::difference(&shown.text, now));
        let message = format!("changed since shown; now ID {}", item.id);
        let fix = format!("Read it again: aiemp-node approvals show {}", item.id);
        return Err(Fault::operator("changed", message, fix).into());
    }
    let fix = "Run `aiemp-node approvals` for the ones that wait.";
    Err(Fault::operator("unknown_id", format!("no draft has the ID {id}"), fix).into())
}

fn already(outcome: &str, at_ms: u64) -> Fault {
    let at = Timestamp::from_millis(at_ms);
    Fault::operator(
        "already_sent",
        format!("already {outcome} at {at}; nothing more is sent for it"),
        "To have it sent a second time, approve with --again.",
    )
}

/// An action whose draft does not wait any more: what `--again` would act on has to be put back first.
fn filed(receipt: &WireReceipt, shown: Option<&Shown>) -> Fault {
    let at = Timestamp::from_millis(receipt.at_ms);
    let (action, folder) = (&receipt.action, spelt(&receipt.path));
    let (end, fix) = match receipt.outcome.as_str() {
        "approved" => {
            ("approved", "Wait until it is sent or has failed: `aiemp-node approvals` tells which.".to_owned())
        }
        "unknown" => {
            let settle = format!("aiemp-node approvals settle {action}");
            ("tried, with an unknown end,", format!("Say first how it ended: `{settle} --sent` or `--not-sent`."))
        }
        _ => {
            let path = shown.and_then(|shown| shown.path.split_once('/'));
            let copy = path.map_or_else(
                || format!("its note under {folder}/ back to the same place under Pending_Approval/"),
                |(pending, rest)| format!("{folder}/{0} back to {1}/{0}", spelt(rest), spelt(pending)),
            );
            let then = "then approve it under the ID that `aiemp-node approvals` lists, with --again";
            ("sent", format!("To have it sent a second time, copy {copy}, {then}."))
        }
    };
    let message =
        format!("already {end} at {at}, and the draft was filed under {folder}/; nothing more is sent for it");
    Fault::operator("already_sent", message, fix)
}

/// How an approval is asked for.
struct How<'a> {
    again: bool,
    passphrase: &'a Passphrase,
    json: bool,
    own: &'a str,
}

fn approve(home: &Home, desk: &mut Desk, client: &mut Client, id: &str, how: &How<'_>) -> Result<()> {
    let at_terminal = terminal::is_there();
    let item = find(home, desk, id, at_terminal)?.clone();
    let readable = decide::approvable(desk, &item, how.again)?;
    if at_terminal {
        show_item(desk, &item, how.own);
        let typed = decide::type_new_values(readable, PATIENCE)?;
        if !matches!(typed, Typed::Line(_)) || !owner::confirm("Send exactly this?") {
            return Err(Fault::operator("not_approved", "not approved; nothing was sent", "").into());
        }
    }
    let rosters = owner::rosters(home)?;
    let roster = rosters.current();
    let freezes = shell::freezes::load(&home.freezes(), roster)?;
    let keys = owner::unlock(home, how.passphrase, &Wall::Reviewer)?;
    decide::sign((home, roster), desk, client, &keys, &item, how.again)?;
    if how.json {
        print::json_done(json!({ "id": item.id, "state": "approved" }));
    } else {
        print::done(format!("approved {}", item.id));
    }
    if freezes.stop(roster, roster.executor) {
        print::talk("The mesh is frozen: it is sent after `aiemp-node unfreeze`, if that is within 24 hours.");
    } else if let Some(trouble) = &desk.handed_in.trouble {
        print::talk(format!("It is not sent yet: {}.\n  {}", spelt(&trouble.what), spelt(&trouble.fix)));
    }
    Ok(())
}

fn reject(desk: &Desk, client: &mut Client, id: &str, reason: String) -> Result<()> {
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stdin());
    let unknown = || Fault::operator("unknown_id", format!("no draft has the ID {id}"), "Run `aiemp-node approvals`.");
    let item = desk.find(id, terminal).ok_or_else(unknown)?;
    let answer = client.ask(&Request::Reject { file: item.file.to_string(), reason })?;
    if let Response::BadRequest { message } = answer {
        return Err(Fault::operator("held", message, "Nothing was done; reject it with another --reason.").into());
    }
    let Response::Done = answer else { return Err(unknown().into()) };
    print::done(format!("rejected {}", spelt(&item.path)));
    Ok(())
}

fn cancel(home: &Home, desk: &Desk, id: &str) -> Result<()> {
    let waiting = desk.receipt_for_action(id).filter(|receipt| receipt.outcome == "approved");
    let receipt = waiting.ok_or_else(|| {
        let message = format!("no approved action {id} waits to be sent");
        Fault::operator("nothing_to_cancel", message, "Run `aiemp-node approvals`: those marked `approved` do.")
    })?;
    private_file::write_private(&home.approved().join(format!("{}.cancel", receipt.action)), b"")?;
    print::done(format!("cancelled {}, if it was not on its way yet: `aiemp-node approvals` tells", receipt.action));
    Ok(())
}

fn settle(home: &Home, desk: &Desk, id: &str, sent: bool, passphrase: &Passphrase) -> Result<()> {
    let unknown = desk.receipt_for_action(id).filter(|receipt| receipt.outcome == "unknown");
    let receipt = unknown.ok_or_else(|| {
        let message = format!("no action {id} waits to be settled");
        Fault::operator("nothing_to_settle", message, "Run `aiemp-node approvals`: those marked `unknown` do.")
    })?;
    let keys = owner::unlock(home, passphrase, &Wall::Reviewer)?;
    let roster = owner::rosters(home)?;
    reviewer::settle(home, roster.current(), &keys, receipt, sent)?;
    print::done(format!("settled {} as {}", receipt.action, if sent { "sent" } else { "not sent" }));
    Ok(())
}

fn settle_clock(home: &Home, roster: &Roster, passphrase: &Passphrase) -> Result<ExitCode> {
    print::talk(format!("This computer's clock says {}.", shell::clock::now()));
    if std::io::IsTerminal::is_terminal(&std::io::stdin()) && !owner::confirm("Is that the right time?") {
        return Err(Fault::operator("clock", "the clock was not settled", "Set it right first.").into());
    }
    let keys = owner::unlock(home, passphrase, &Wall::Reviewer)?;
    reviewer::settle_clock(home, roster, &keys, shell::clock::now())?;
    print::done("settled the clock: what was approved and waits is sent, if its time is not over");
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests;
