//! `claims`: who has which work in hand.

use std::process::ExitCode;

use aiemp_protocol::action::spelt;
use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::{approvals::client, print};
use crate::{
    home::Home,
    shell::control::{Request, Response, WireClaim, unexpected},
};

#[derive(Debug, Subcommand)]
pub(super) enum ClaimsCommand {
    /// Work that somebody has in hand, by a move to `In_Progress/<node>/`, and until when
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn claims(home: &Home, command: &ClaimsCommand) -> Result<ExitCode> {
    let ClaimsCommand::List { json } = command;
    let Response::Claims { items } = client(home)?.ask(&Request::Claims)? else { return Err(unexpected()) };
    if *json {
        print::json(json!({ "items": items }));
    } else if items.is_empty() {
        print::talk("Nobody has claimed anything.");
    } else {
        items.iter().flat_map(lines_of).for_each(print::data);
    }
    Ok(ExitCode::SUCCESS)
}

fn lines_of(claim: &WireClaim) -> Vec<String> {
    let until = claim.until.as_ref().map_or_else(|| "by hand".to_owned(), |until| format!("until {until}"));
    let mut lines = vec![format!("{}  {:<12}  {until}  {}", &claim.work[..12], spelt(&claim.node), spelt(&claim.path))];
    lines.extend(claim.others.iter().map(|path| format!("    also claimed: {}", spelt(path))));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_says_who_has_the_work_and_until_when() {
        let mut claim = WireClaim {
            work: "0123456789abcdef".to_owned(),
            node: "cloud".to_owned(),
            path: "In_Progress/cloud/\u{202e}a.md".to_owned(),
            since: "2026-01-07T10:30:00.000Z".to_owned(),
            until: Some("2026-01-07T10:45:00.000Z".to_owned()),
            others: vec!["In_Progress/laptop/a.md".to_owned()],
        };
        let path = "In_Progress/cloud/[U+202E RIGHT-TO-LEFT OVERRIDE]a.md";
        let [first, second] = &lines_of(&claim)[..] else { panic!("two lines") };
        assert_eq!(*first, format!("0123456789ab  cloud         until 2026-01-07T10:45:00.000Z  {path}"));
        assert_eq!(second, "    also claimed: In_Progress/laptop/a.md");
        claim.until = None;
        assert_eq!(lines_of(&claim)[0], format!("0123456789ab  cloud         by hand  {path}"));
    }
}
