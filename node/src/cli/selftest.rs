//! `selftest`: attacks on this program, on this machine, each with what should come of it.
//!
//! Signatures and logs are attacked in memory with keys made for it; the executor in a home of its own, and the walls
//! around processes in one that `demo` made. Nothing of the user's is touched.

mod active;
mod approvals;
mod content;
mod folder;
mod hands;
mod local;
mod mesh;
mod peers;
mod standing;
mod victim;
mod walls;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::print;

#[derive(Debug, Args)]
pub(super) struct SelftestArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One attack and its end.
#[derive(Debug)]
struct Tried {
    name: String,
    expected: String,
    got: String,
}

impl Tried {
    /// An attack that has to be refused; the words tell how it was, or what went through.
    fn refused<T, E: std::fmt::Display>(name: &str, came_of_it: Result<T, E>) -> Self {
        let got = if came_of_it.is_err() { "refused" } else { "taken" };
        Self { name: name.to_owned(), expected: "refused".to_owned(), got: got.to_owned() }
    }

    /// An attack that has to be refused for this reason; none where it went through.
    fn refused_for(name: &str, why: &str, reason: Option<&str>) -> Self {
        let got = reason.map_or_else(|| "taken".to_owned(), |reason| format!("refused: {reason}"));
        Self { name: name.to_owned(), expected: format!("refused: {why}"), got }
    }

    /// Many of one kind: every one has to be refused.
    fn all_refused(name: &str, taken: usize, tried: usize) -> Self {
        let words = |refused: usize| format!("{refused} of {tried} refused");
        Self { name: name.to_owned(), expected: words(tried), got: words(tried - taken) }
    }

    fn is_ok(&self) -> bool {
        self.expected == self.got
    }
}

pub(super) fn selftest(args: &SelftestArgs) -> Result<ExitCode> {
    let mut tried = approvals::attacks()?;
    tried.extend(peers::attacks()?);
    tried.extend(content::attacks()?);
    tried.extend(active::attacks()?);
    tried.extend(hands::attacks()?);
    tried.extend(standing::attacks()?);
    tried.extend(walls::attacks()?);
    let failed = tried.iter().filter(|tried| !tried.is_ok()).count();
    if args.json {
        let attacks = tried.iter().map(
            |tried| json!({ "name": tried.name, "expected": tried.expected, "got": tried.got, "ok": tried.is_ok() }),
        );
        print::json(json!({ "attacks": attacks.collect::<Vec<_>>() }));
    } else {
        for tried in &tried {
            let word = if tried.is_ok() { "ok    " } else { "FAILED" };
            print::data(format!("{word}  {:<62}  {}", tried.name, tried.got));
        }
        print::talk(format!("{} attacks, {failed} went otherwise than they should", tried.len()));
        if failed > 0 {
            print::talk("`aiemp-node doctor` says which walls this kernel lacks.");
        }
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
