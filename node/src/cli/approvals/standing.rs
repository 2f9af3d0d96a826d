//! `approvals standing`: the one way in which something goes out that nobody looked at.

use std::{io::IsTerminal as _, process::ExitCode, time::Duration};

use aiemp_keys::{private_file, random};
use aiemp_protocol::{
    action::spelt,
    approval::{Standing, StandingId, standing::StandingError},
    limits::STANDING_LIFETIME_MAX,
    roster::Roster,
    time::Timestamp,
};
use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    cli::{Passphrase, owner, print},
    config::Config,
    fault::Fault,
    home::Home,
    shell::{
        self,
        control::{Client, Request, Response, unexpected},
        standing,
        walls::Wall,
    },
};

const DAY: Duration = Duration::from_secs(86_400);
/// The fewest characters of an ID that are taken for it.
const ID_MIN: usize = 8;

#[derive(Debug, Args)]
pub(super) struct StandingArgs {
    #[command(subcommand)]
    command: Option<StandingCommand>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum StandingCommand {
    /// Sign that mails to exactly these people go out without your looking at each; needs the passphrase
    Add(Grant),
    /// Take one back for good; needs no key
    Remove {
        /// Its ID, or the first characters of it
        id: String,
    },
}

#[derive(Debug, Args)]
struct Grant {
    /// The addresses that a mail may go to, in to, cc and bcc together
    #[arg(long, value_name = "ADDRESS", num_args = 1.., required = true)]
    to: Vec<String>,
    /// How many mails in all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    count: u64,
    /// For how many days
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=30))]
    days: u64,
    /// The hand that sends; by default that of the settings
    #[arg(long, value_name = "NAME")]
    hand: Option<String>,
    /// Also text that a Cloud member wrote or changed
    #[arg(long)]
    text_by_cloud: bool,
    #[command(flatten)]
    passphrase: Passphrase,
}

pub(super) fn standing(home: &Home, roster: &Roster, config: &Config, args: StandingArgs) -> Result<ExitCode> {
    match args.command {
        None => list(home, roster, args.json)?,
        Some(StandingCommand::Add(grant)) => add(home, roster, config, grant)?,
        Some(StandingCommand::Remove { id }) => remove(home, roster, &id)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(home: &Home, roster: &Roster, as_json: bool) -> Result<()> {
    let all = standing::load(&home.standing(), roster)?;
    let used = used(home)?;
    let now = shell::clock::now();
    if as_json {
        let items = all.iter().map(|standing| {
            let used = used.as_ref().map(|used| used(standing.id));
            to_json(standing, used, state_of(standing, roster, used, now))
        });
        print::json(json!({ "items": items.collect::<Vec<_>>() }));
        return Ok(());
    }
    if all.is_empty() {
        print::talk("Nothing goes out without your looking at it.");
    }
    for standing in &all {
        let used = used.as_ref().map(|used| used(standing.id));
        let left = used.map_or_else(
            || "no node runs here, so that nobody counts".to_owned(),
            |used| format!("{used} used, {} left", standing.count.saturating_sub(used)),
        );
        print::data(format!("{}  {}, {left}", standing.id, state_of(standing, roster, used, now)));
        print::data(words_of(standing));
    }
    Ok(())
}

/// How many went out under each, as the running node has it from receipts.
fn used(home: &Home) -> Result<Option<impl Fn(StandingId) -> u64>> {
    let Some(mut client) = Client::connect(&home.control_socket())? else { return Ok(None) };
    let Response::Drafts { receipts, .. } = client.ask(&Request::Drafts)? else { return Err(unexpected()) };
    Ok(Some(move |id: StandingId| {
        let id = id.to_string();
        let counts = receipts.iter().filter(|receipt| receipt.standing.as_ref() == Some(&id));
        counts.filter(|receipt| receipt.outcome != "failed").count() as u64
    }))
}

fn state_of(standing: &Standing, roster: &Roster, used: Option<u64>, now: Timestamp) -> &'static str {
    if standing.epoch != roster.epoch || standing.executor != roster.executor {
        "void"
    } else if standing.in_force(roster, roster.executor, now).is_err() {
        "ended"
    } else if used.is_some_and(|used| used >= standing.count) {
        "used_up"
    } else {
        "in_force"
    }
}

fn to_json(standing: &Standing, used: Option<u64>, state: &str) -> Value {
    let left = used.map(|used| standing.count.saturating_sub(used));
    json!({ "id": standing.id.to_string(), "state": state, "kind": "email", "hand": standing.hand,
            "sender": standing.sender, "recipients": standing.recipients, "count": standing.count, "used": used,
            "left": left, "issued": standing.issued.to_string(), "until": standing.until.to_string(),
            "text_by_cloud": standing.text_by_cloud })
}

/// All that it allows, in words.
fn words_of(standing: &Standing) -> String {
    let people: Vec<_> = standing.recipients.iter().map(|to| format!("    {}", spelt(to))).collect();
    let text = if standing.text_by_cloud {
        "whoever wrote the text, Cloud and what it obeys among them: you will not have seen it"
    } else {
        "if only Local members had a hand in the text; you may not have looked at it again"
    };
    format!(
        "  Mails by the hand {}, in the name {}, go out by themselves to\n{}\n  and to nobody else: {} in all, until {}, \
         {text}.\n  Never attachments, payments, posts or anything else. A draft goes out when it has stood still for 30 \
         seconds.\n  It ends with any change of the roster, with `freeze`, and with `approvals standing remove`.",
        spelt(&standing.hand),
        spelt(&standing.sender),
        people.join("\n"),
        standing.count,
        standing.until,
    )
}

fn add(home: &Home, roster: &Roster, config: &Config, grant: Grant) -> Result<()> {
    let Some(sender) = config.mail.from.clone() else {
        let fix = "Set `from` in the table [mail] of config.toml, and run this again.";
        return Err(
            Fault::operator("no_sender", "the settings name no sender, and a standing approval does", fix).into()
        );
    };
    let issued = shell::clock::now();
    let lifetime = (DAY * u32::try_from(grant.days).unwrap_or(u32::MAX)).min(STANDING_LIFETIME_MAX);
    let allowed = Standing {
        id: StandingId(random::array()?),
        hand: grant.hand.unwrap_or_else(|| config.mail.hand.clone()),
        sender,
        recipients: grant.to.iter().map(|to| to.to_ascii_lowercase()).collect(),
        count: grant.count,
        issued,
        until: issued + lifetime,
        text_by_cloud: grant.text_by_cloud,
        executor: roster.executor,
        epoch: roster.epoch,
    };
    allowed.check().map_err(|error| impossible(&error))?;
    if roster.not_after < issued {
        let message =
            format!("the roster expired at {}; nothing can be approved until it is renewed", roster.not_after);
        return Err(Fault::operator("roster_expired", message, "Run `aiemp-node peers renew`.").into());
    }
    print::talk(words_of(&allowed));
    if std::io::stdin().is_terminal() && !owner::confirm("Allow exactly this?") {
        return Err(Fault::operator("not_approved", "not signed; nothing is allowed", "").into());
    }
    let keys = owner::unlock(home, &grant.passphrase, &Wall::Reviewer)?;
    if !roster.approvers.contains(&keys.approve.public()) {
        let message = "this home's approve key is not one of the mesh's";
        let fix = "Sign it on the Local node that founded the mesh.";
        return Err(Fault::operator("not_an_approver", message, fix).into());
    }
    standing::keep(&home.standing(), allowed.id, &allowed.sign(&keys.approve, roster.mesh))?;
    print::data(format!("allowed {}", allowed.id));
    Ok(())
}

fn impossible(error: &StandingError) -> Fault {
    let fix = match error {
        StandingError::Recipients | StandingError::Address(_) => "Name each person by a plain address: a@client.test.",
        StandingError::Sender(_) => "Correct `from` in the table [mail] of config.toml.",
        StandingError::Hand => "Name a hand that the settings have, such as outbox or smtp.",
        StandingError::Count | StandingError::Lifetime => "Allow fewer mails, or fewer days.",
    };
    Fault::operator("not_allowable", error.to_string(), fix)
}

fn remove(home: &Home, roster: &Roster, id: &str) -> Result<()> {
    let all = standing::load(&home.standing(), roster)?;
    let mut named = all.iter().filter(|one| id.len() >= ID_MIN && one.id.to_string().starts_with(id));
    let (Some(one), None) = (named.next(), named.next()) else {
        let message = format!("no standing approval has the ID {id}");
        return Err(Fault::operator("unknown_id", message, "Run `aiemp-node approvals standing`.").into());
    };
    // The executor's own memory first: with the file alone gone, it could be put back.
    private_file::write_private(&home.approved().join(format!("{}.ended", one.id)), b"")
        .context("cannot tell the executor")?;
    standing::remove(&home.standing(), one.id)?;
    print::data(format!("removed {}; what is on its way already cannot be called back", one.id));
    Ok(())
}
