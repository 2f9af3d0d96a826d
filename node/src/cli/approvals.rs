//! `approvals`: read, approve, reject, settle. A process of its own; it alone opens the approve key.

mod shown;

use std::process::ExitCode;

use aiemp_keys::private_file;
use aiemp_protocol::{
    action::{Refusal, spelt},
    time::Timestamp,
};
use anyhow::Result;
use clap::{Args, Subcommand};
use data_encoding::BASE64;
use serde_json::{Value, json};

use self::shown::Shown;
use super::{Passphrase, owner, print};
use crate::{
    fault::Fault,
    home::Home,
    reviewer::{self, Desk, Item, Terms},
    shell::{
        self,
        control::{Client, Request, Response, WireReceipt},
        walls::Wall,
    },
};

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
    let config = shell::settings::load(home)?;
    let mut client = client(home)?;
    let desk = Desk::load(home, &config, rosters.current(), &mut client)?;
    match args.command {
        None => list(&desk, args.json),
        Some(ApprovalsCommand::List { json }) => list(&desk, json),
        Some(ApprovalsCommand::Show { id, json }) => show(home, &desk, &id, json)?,
        Some(ApprovalsCommand::Approve { id, again, passphrase, json }) => {
            approve(home, &desk, &mut client, &id, again, &passphrase, json)?;
        }
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
    Client::connect(&home.control_socket())?.ok_or_else(|| {
        Fault::operator(
            "not_running",
            format!("no node runs on {}", home.path().display()),
            "Start it with `aiemp-node --role local` (or `--role cloud`) and run this again.",
        )
        .into()
    })
}

fn list(desk: &Desk, as_json: bool) {
    if as_json {
        let waiting = desk.items.iter().map(|item| item_json(desk, item));
        let decided = desk.receipts.iter().map(|receipt| {
            json!({ "id": receipt.action, "kind": receipt.kind, "state": receipt.outcome, "path": receipt.path,
                    "wid": receipt.work, "summary": receipt.detail, "author": null,
                    "created": Timestamp::from_millis(receipt.at_ms).to_string(), "expires": null, "blocked_by": [] })
        });
        return print::json(json!({ "items": waiting.chain(decided).collect::<Vec<_>>() }));
    }
    if desk.items.is_empty() {
        print::talk("Nothing waits for your approval.");
    }
    for item in &desk.items {
        print::data(lines_of(desk, item));
        if item.signature_asked {
            print::data(format!("{:14}moved to Approved/ by hand, which sends nothing: it needs your signature", ""));
        }
    }
    for receipt in desk.receipts.iter().filter(|receipt| receipt.outcome != "sent") {
        print::data(format!("{}  {:<14}  {}", &receipt.action[..12], receipt.outcome, spelt(&receipt.path)));
        print::data(format!("              {}", spelt(&receipt.detail)));
    }
}

fn lines_of(desk: &Desk, item: &Item) -> String {
    let what = match &item.draft {
        Ok(readable) => readable.action.summary(),
        Err(refusals) => first(refusals),
    };
    format!("{}  {:<14}  {}\n{:14}{what}", &item.id[..12], state_of(desk, item), spelt(&item.path), "")
}

fn first(refusals: &[Refusal]) -> String {
    refusals.first().map(ToString::to_string).unwrap_or_default()
}

fn state_of(desk: &Desk, item: &Item) -> &'static str {
    match &item.draft {
        Err(_) => "not_approvable",
        Ok(_) if desk.receipt_for_action(&item.id).is_some_and(|receipt| receipt.outcome == "failed") => "failed",
        Ok(readable) if readable.expires.is_some_and(|expires| expires < shell::clock::now()) => "expired",
        Ok(_) => "pending",
    }
}

fn item_json(desk: &Desk, item: &Item) -> Value {
    let (kind, wid, summary, expires) = match &item.draft {
        Ok(readable) => (
            json!(readable.action.kind().as_str()),
            json!(readable.action.work.to_string()),
            readable.action.summary(),
            readable.expires.map(|expires| expires.to_string()),
        ),
        Err(refusals) => (Value::Null, Value::Null, first(refusals), None),
    };
    json!({ "id": item.id, "kind": kind, "state": state_of(desk, item), "path": item.path.as_str(), "wid": wid,
            "summary": summary, "author": item.author, "created": item.created.to_string(), "expires": expires,
            "blocked_by": item.blocked_by, "signature_asked": item.signature_asked })
}

fn show(home: &Home, desk: &Desk, id: &str, as_json: bool) -> Result<()> {
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
        }
        print::json(value);
        return Ok(());
    }
    match &item.draft {
        Ok(readable) => {
            print::data(format!("ID  {}\nin  {}\n", item.id, spelt(&item.path)));
            print::data(&readable.rendered.text);
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
    Ok(())
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

fn approve(
    home: &Home,
    desk: &Desk,
    client: &mut Client,
    id: &str,
    again: bool,
    passphrase: &Passphrase,
    as_json: bool,
) -> Result<()> {
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stdin());
    let item = find(home, desk, id, terminal)?;
    if !item.blocked_by.is_empty() {
        let message = format!("{} cannot be approved yet: {}", spelt(&item.path), item.blocked_by.join(", "));
        let fix = "Close its conflicts (`aiemp-node conflicts`); what has not arrived comes with the next connection.";
        return Err(Fault::operator("blocked", message, fix).into());
    }
    let readable = item.draft.as_ref().map_err(|refusals| {
        let message = format!("{} cannot be approved: {}", spelt(&item.path), first(refusals));
        Fault::operator("not_approvable", message, "Edit the draft, then show it again.")
    })?;
    if readable.expires.is_some_and(|expires| expires < shell::clock::now()) {
        let message = format!("the draft expired at {}", readable.expires.unwrap_or_default());
        return Err(
            Fault::operator("expired", message, "Edit or remove its `expires` line, then show it again.").into()
        );
    }
    if let Some(breach) = desk.policy.breach(&readable.action) {
        let fix = "Change the draft, or the policy: `aiemp-node policy show`.";
        return Err(Fault::operator("against_policy", breach.to_string(), fix).into());
    }
    let earlier = desk.receipt_for_work(&readable.action);
    if let (Some(receipt), false) = (earlier, again) {
        return Err(already(&receipt.outcome, receipt.at_ms).into());
    }
    if terminal {
        print::talk(&readable.rendered.text);
        if !owner::confirm("Send exactly this?") {
            return Err(Fault::operator("not_approved", "not approved; nothing was sent", "").into());
        }
    }
    let roster = owner::rosters(home)?;
    let freezes = shell::freezes::load(&home.freezes(), roster.current())?;
    let keys = owner::unlock(home, passphrase, &Wall::Reviewer)?;
    let repeated = desk.repeated(&readable.action).filter(|_| again);
    let repeat_of = repeated.map(reviewer::nonce_of).transpose()?;
    let now = shell::clock::now();
    let terms = Terms { repeat_of, policy: desk.policy.digest(), now };
    reviewer::approve(home, client, roster.current(), &keys, item, &terms)?;
    if as_json {
        print::json(json!({ "id": item.id, "state": "approved" }));
    } else {
        print::data(format!("approved {}", item.id));
    }
    let kind = readable.action.kind();
    let (not_before, why) = desk.policy.not_before(kind, now, &desk.done(kind), now);
    if not_before > now {
        print::talk(format!(
            "It waits until {not_before}: {why}. `aiemp-node approvals cancel {}` calls it back.",
            item.id
        ));
    }
    if freezes.stop(roster.current(), roster.current().executor) {
        print::talk("The mesh is frozen: it is sent after `aiemp-node unfreeze`, if that is within 24 hours.");
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
    print::data(format!("rejected {}", spelt(&item.path)));
    Ok(())
}

fn cancel(home: &Home, desk: &Desk, id: &str) -> Result<()> {
    let waiting = desk.receipt_for_action(id).filter(|receipt| receipt.outcome == "approved");
    let receipt = waiting.ok_or_else(|| {
        let message = format!("no approved action {id} waits to be sent");
        Fault::operator("nothing_to_cancel", message, "Run `aiemp-node approvals`: those marked `approved` do.")
    })?;
    private_file::write_private(&home.approved().join(format!("{}.cancel", receipt.action)), b"")?;
    print::data(format!("cancelled {}, if it was not on its way yet: `aiemp-node approvals` tells", receipt.action));
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
    print::data(format!("settled {} as {}", receipt.action, if sent { "sent" } else { "not sent" }));
    Ok(())
}

#[cfg(test)]
mod tests;
