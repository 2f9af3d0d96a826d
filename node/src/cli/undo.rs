//! `undo`: what a member did since some time is taken back by changes that go forward; nothing leaves the history.

use std::{process::ExitCode, time::Duration};

use aiemp_protocol::{action::spelt, limits::HISTORY_LIFETIME, roster::RosterChain};
use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{approvals, owner, print};
use crate::{
    fault::Fault,
    home::Home,
    shell::{
        self,
        control::{Request, Response, unexpected},
    },
};

#[derive(Debug, Args)]
pub(super) struct UndoArgs {
    /// Whose work: a member, also one that was revoked
    #[arg(long, value_name = "NAME")]
    author: String,
    /// How far back: 30m, 2h, 7d; by when it arrived here, not by the author's clock
    #[arg(long, value_name = "DURATION")]
    since: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn undo(home: &Home, args: &UndoArgs) -> Result<ExitCode> {
    let rosters = owner::rosters(home)?;
    owner::check_local(home, rosters.current())?;
    let author = node_named(&rosters, &args.author)?;
    let back = duration(&args.since)?;
    if back > HISTORY_LIFETIME {
        print::talk("Undo reaches back 30 days: what was replaced or put away before is not kept.");
    }
    let since = shell::clock::now().earlier_by(back.min(HISTORY_LIFETIME));
    let request = Request::Undo { author: author.to_string(), since_ms: since.as_millis() };
    let mut client = approvals::client(home)?;
    let Response::Undone { undone, left } = client.ask(&request)? else { return Err(unexpected()) };
    if args.json {
        print::json(json!({ "undone": undone, "left": left }));
    } else {
        print::data(match undone {
            1 => format!("1 file is put back as it was at {since}"),
            _ => format!("{undone} files are put back as they were at {since}"),
        });
        for path in &left {
            print::data(format!("left  {}", spelt(path)));
        }
        if !left.is_empty() {
            print::talk("What is left was built on by others since, or is not this node's to write.");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The newest member of that name, in this roster or an earlier one.
fn node_named(rosters: &RosterChain, name: &str) -> Result<aiemp_keys::NodeId> {
    let epochs = (1..=rosters.current().epoch).rev();
    let named = epochs.filter_map(|epoch| Some(rosters.at(epoch)?.member_named(name)?.node)).next();
    Ok(named.ok_or_else(|| {
        let fix = "Run `aiemp-node peers list`.";
        Fault::operator("unknown_member", format!("no member is or was called {name}"), fix)
    })?)
}

pub(super) fn duration(text: &str) -> Result<Duration, Fault> {
    let wrong = || Fault::usage(format!("{text:?} is no duration"), "Write it as 30m, 2h or 7d.");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    count.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_number_and_a_unit() {
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1_800)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        for wrong in ["", "h", "2", "2w", "-1h", "1.5h", "2 h", "99999999999999999999d", "9999999999999999d", "1\u{e9}"]
        {
            assert_eq!(duration(wrong).unwrap_err().exit, 2, "{wrong}");
        }
    }
}
