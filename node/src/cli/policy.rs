//! `policy`: limits on what is approved, written as TOML, signed by the approve key, kept by the executor.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use aiemp_keys::private_file;
use aiemp_protocol::{
    action::{self, ActionKind, is_bare_address, parse_amount, spelt},
    approval::{
        Policy,
        policy::{DAY_MINUTES, Rule},
    },
    time::Timestamp,
};
use anyhow::{Context, Result};
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Passphrase, approvals, owner, print};
use crate::{
    fault::Fault,
    home::Home,
    reviewer::{self, Desk, HANDBOOK},
    shell::{self, policies, walls::Wall},
};

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// The limits in force, in the form that `apply` reads
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// What a file, or the Handbook, would change
    Diff {
        /// Limits as TOML; without it, what Company_Handbook.md proposes
        file: Option<PathBuf>,
    },
    /// Sign the limits in a file, or those of the Handbook; what was approved under others has to be approved again
    Apply {
        /// Limits as TOML; without it, what Company_Handbook.md proposes
        file: Option<PathBuf>,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// What the limits say to each draft that waits
    Test {
        /// Limits as TOML, instead of those in force
        file: Option<PathBuf>,
    },
}

/// A file of limits: a table for each kind.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct PolicyFile {
    email: Option<RuleFile>,
    post: Option<RuleFile>,
    payment: Option<RuleFile>,
    tool: Option<RuleFile>,
    http: Option<RuleFile>,
    a2a: Option<RuleFile>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct RuleFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    per_hour: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_day: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipients: Option<BTreeSet<String>>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    opt_out: BTreeSet<String>,
    /// `21:00-06:00`, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    quiet: Option<String>,
    delay_minutes: u64,
    passphrase: bool,
    /// By currency: `{ EUR = "500.00" }`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    amount_max: BTreeMap<String, String>,
}

pub(super) fn policy(home: &Home, command: &PolicyCommand) -> Result<ExitCode> {
    let rosters = owner::rosters(home)?;
    owner::check_local(home, rosters.current())?;
    let held = policies::load(&home.policy(), rosters.current())?;
    match command {
        PolicyCommand::Show { json } => show(&held, *json)?,
        PolicyCommand::Diff { file } => print_difference(&held, &proposed(home, file.as_deref(), &held)?)?,
        PolicyCommand::Apply { file, passphrase } => {
            let rules = proposed(home, file.as_deref(), &held)?.rules;
            let new = Policy { issued: shell::clock::now().max(after(held.issued)), rules };
            print_difference(&held, &new)?;
            // A note says it, not a file that the person named.
            if file.is_none() && std::io::stdin().is_terminal() && !owner::confirm("Sign these limits?") {
                return Err(Fault::operator("not_signed", "nothing was signed", "").into());
            }
            let keys = owner::unlock(home, passphrase, &Wall::Reviewer)?;
            let bytes = new.sign(&keys.approve, rosters.current().mesh);
            let name = format!("{}.policy", new.issued.as_millis());
            private_file::write_private(&home.approved().join(name), &bytes).context("cannot tell the executor")?;
            private_file::write_private(&home.policy(), &bytes).context("cannot keep the policy")?;
            print::data("applied");
        }
        PolicyCommand::Test { file } => {
            let policy = file.as_deref().map_or(Ok(held), read)?;
            let config = shell::settings::load(home)?;
            let mut client = approvals::client(home)?;
            test(&Desk::load(home, &config, rosters.current(), &mut client)?, &policy);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The limits of a file, or what the Handbook makes of those in force.
fn proposed(home: &Home, file: Option<&Path>, held: &Policy) -> Result<Policy> {
    if let Some(file) = file {
        return read(file);
    }
    let handbook = reviewer::handbook(&mut approvals::client(home)?)?;
    if handbook.said.is_empty() {
        let message = format!("{HANDBOOK} names no limit");
        let fix =
            "Write lines such as `- Max 10 emails per hour`, or name a file of limits; docs/policy.md explains both.";
        return Err(Fault::operator("no_proposal", message, fix).into());
    }
    let proposed = handbook.proposed(held);
    for said in &handbook.said {
        print::talk(format!("{HANDBOOK}, {}", spelt(said.told(held))));
    }
    for (line, text) in &handbook.unread {
        print::talk(format!("{HANDBOOK}, line {line} was not read: {}", spelt(text)));
    }
    Ok(proposed)
}

fn after(time: Timestamp) -> Timestamp {
    Timestamp::from_millis(time.as_millis() + 1)
}

fn show(policy: &Policy, as_json: bool) -> Result<()> {
    let file = PolicyFile::of(policy);
    if as_json {
        print::json(
            json!({ "issued": policy.issued.to_string(), "digest": policy.digest().to_string(), "rules": file }),
        );
    } else if policy.rules.is_empty() {
        print::talk("No limits: whatever you approve is sent at once.");
    } else {
        print::data(format!("# signed {}\n{}", policy.issued, toml::to_string(&file)?.trim_end()));
    }
    Ok(())
}

fn print_difference(held: &Policy, new: &Policy) -> Result<()> {
    let text = |policy: &Policy| toml::to_string(&PolicyFile::of(policy));
    let (old, new) = (text(held)?, text(new)?);
    let difference = super::difference_of_tables(&old, &new);
    print::talk(if difference.is_empty() { "Nothing changes.".to_owned() } else { difference });
    Ok(())
}

fn test(desk: &Desk, policy: &Policy) {
    let now = shell::clock::now();
    for item in &desk.items {
        let Ok(readable) = &item.draft else { continue };
        let kind = readable.action.kind();
        let verdict = match policy.breach(&readable.action) {
            Some(breach) => format!("refused: {breach}"),
            None => match policy.not_before(kind, now, &desk.done(kind), now) {
                (at, why) if at > now => format!("approved now, it waits until {at}: {why}"),
                _ => "approved now, it is sent at once".to_owned(),
            },
        };
        print::data(format!("{}  {}\n{:14}{verdict}", &item.id[..12], spelt(&item.path), ""));
    }
    if desk.items.is_empty() {
        print::talk("Nothing waits for your approval.");
    }
}

fn read(path: &Path) -> Result<Policy> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let fix = "Name a file of limits: `aiemp-node policy show` prints the form, docs/policy.md explains it.";
        Fault::operator("policy_file", format!("cannot read {}: {error}", path.display()), fix)
    })?;
    let wrong = |why: String| {
        let message = format!("{}: {why}", path.display());
        Fault::operator("policy_file", message, "Correct it; `aiemp-node policy show` prints the form.")
    };
    let file: PolicyFile = toml::from_str(&text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
    Ok(file.policy().map_err(wrong)?)
}

impl PolicyFile {
    fn of(policy: &Policy) -> Self {
        let rule = |kind| policy.rules.get(&kind).map(RuleFile::of);
        Self {
            email: rule(ActionKind::Email),
            post: rule(ActionKind::Post),
            payment: rule(ActionKind::Payment),
            tool: rule(ActionKind::Tool),
            http: rule(ActionKind::Http),
            a2a: rule(ActionKind::A2a),
        }
    }

    fn policy(self) -> Result<Policy, String> {
        let listed = [self.email, self.post, self.payment, self.tool, self.http, self.a2a];
        let mut rules = BTreeMap::new();
        for (kind, rule) in ActionKind::EACH.into_iter().zip(listed) {
            if let Some(rule) = rule {
                rules.insert(kind, rule.rule(kind).map_err(|why| format!("[{kind}] {why}"))?);
            }
        }
        Ok(Policy { rules, ..Policy::default() })
    }
}

impl RuleFile {
    fn of(rule: &Rule) -> Self {
        let clock = |minutes: u64| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let amount = |(code, max): (&String, &u64)| {
            let shown = action::amount(*max, code);
            (code.clone(), shown.split(' ').next().unwrap_or_default().to_owned())
        };
        Self {
            per_hour: rule.per_hour,
            per_day: rule.per_day,
            recipients: rule.recipients.clone(),
            opt_out: rule.opt_out.clone(),
            quiet: rule.quiet.map(|(from, to)| format!("{}-{}", clock(from), clock(to))),
            delay_minutes: rule.delay_minutes,
            passphrase: rule.passphrase,
            amount_max: rule.amount_max.iter().map(amount).collect(),
        }
    }

    fn rule(self, kind: ActionKind) -> Result<Rule, String> {
        if kind != ActionKind::Payment && !self.amount_max.is_empty() {
            return Err("`amount_max` limits payments alone".to_owned());
        }
        let amount = |(code, text): (String, String)| {
            let amount = parse_amount(&text, &code).map_err(|why| format!("amount_max.{code}: {why}"))?;
            Ok((code, amount))
        };
        // Addresses are compared in lower case.
        let folded = |names: BTreeSet<String>| -> BTreeSet<String> {
            let is_mail = kind == ActionKind::Email;
            names.into_iter().map(|name| if is_mail { name.to_ascii_lowercase() } else { name }).collect()
        };
        Ok(Rule {
            per_hour: self.per_hour,
            per_day: self.per_day,
            amount_max: self.amount_max.into_iter().map(amount).collect::<Result<_, String>>()?,
            recipients: self.recipients.map(folded),
            opt_out: opt_out(kind, folded(self.opt_out))?,
            quiet: self.quiet.as_deref().map(quiet).transpose()?,
            delay_minutes: self.delay_minutes,
            passphrase: self.passphrase,
        })
    }
}

/// What stands there as anything else than an address or a domain would keep nobody away.
fn opt_out(kind: ActionKind, names: BTreeSet<String>) -> Result<BTreeSet<String>, String> {
    let is_one = |name: &String| match name.strip_prefix('@') {
        Some(domain) => is_bare_address(&format!("x@{domain}")),
        None => is_bare_address(name),
    };
    match names.iter().find(|name| kind == ActionKind::Email && !is_one(name)) {
        Some(odd) => Err(format!("opt_out: {odd:?} is neither an address, `a@b.test`, nor a domain, `@b.test`")),
        None => Ok(names),
    }
}

/// `21:00-06:00`.
fn quiet(text: &str) -> Result<(u64, u64), String> {
    let clock = |text: &str| -> Option<u64> {
        let (hours, minutes) = text.split_once(':').filter(|parts| parts.0.len() == 2 && parts.1.len() == 2)?;
        let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
        Some(hours * 60 + minutes).filter(|at| minutes < 60 && *at < DAY_MINUTES)
    };
    let times = text.split_once('-').and_then(|(from, to)| Some((clock(from)?, clock(to)?)));
    times
        .filter(|(from, to)| from != to)
        .ok_or_else(|| format!("quiet = {text:?}: write it as \"21:00-06:00\", in UTC"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[email]
per_hour = 20
per_day = 100
recipients = ["@partner.test", "anna@client.test"]
opt_out = ["bob@client.test"]
quiet = "21:00-06:00"
delay_minutes = 5
passphrase = true

[payment]
delay_minutes = 0
passphrase = false

[payment.amount_max]
EUR = "500.00"
JPY = "60000"
"#;

    #[test]
    fn a_file_comes_back_as_it_was_written() {
        let file: PolicyFile = toml::from_str(FILE).unwrap();
        let policy = file.policy().unwrap();
        assert_eq!(policy.rules[&ActionKind::Email].quiet, Some((21 * 60, 6 * 60)));
        assert_eq!(policy.rules[&ActionKind::Payment].amount_max["EUR"], 50_000);
        assert_eq!(toml::to_string(&PolicyFile::of(&policy)).unwrap().trim(), FILE.trim());
    }

    #[test]
    fn what_no_limit_can_mean_is_refused_with_the_form() {
        for (text, why) in [
            ("[email]\nquiet = \"25:00-06:00\"", "write it as \"21:00-06:00\", in UTC"),
            ("[email]\nquiet = \"6-7\"", "write it as"),
            ("[email]\nquiet = \"06:00-06:00\"", "write it as"),
            ("[email]\namount_max = { EUR = \"5\" }", "limits payments alone"),
            ("[payment]\namount_max = { EUR = \"5,00\" }", "not a plain decimal number"),
            ("[payment]\namount_max = { BTC = \"5\" }", "not the code of a known currency"),
            ("[email]\nopt_out = [\"Bob <bob@x.test>\"]", "neither an address"),
            ("[email]\nopt_out = [\"x.test\"]", "neither an address"),
            ("[email]\nopt_out = [\"@x.test \"]", "neither an address"),
            ("[email]\nopt_out = [\"*@x.test\"]", "neither an address"),
        ] {
            let file: PolicyFile = toml::from_str(text).unwrap();
            let told = file.policy().unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
        for text in ["[mail]\nper_day = 1", "[email]\nper_week = 1", "[email]\nper_day = -1"] {
            assert!(toml::from_str::<PolicyFile>(text).is_err(), "{text}");
        }
    }
}
