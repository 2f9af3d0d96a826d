//! What did not sync, beside the conflicts: a person who looks for what needs them looks there.

use aiemp_crdt::vault::HoldReason;
use aiemp_protocol::action::spelt;
use anyhow::Result;
use serde_json::{Value, json};

use super::super::egress;
use crate::{
    home::Home,
    shell::{
        self,
        control::{Client, Request, Response, WireUnsynced, unexpected},
        holds::{self, Hold},
    },
};

/// Names of one reason that are shown.
const SHOWN: usize = 20;

/// What is held as things are now: what was put right is held no longer.
pub(super) fn held(home: &Home) -> Vec<Hold> {
    let secrets = egress::held_paths(home).ok();
    let vault = shell::settings::load(home).ok().map(|config| config.vault);
    let mut holds = holds::listed(home);
    holds.retain(|hold| {
        if hold.reason == holds::SECRET {
            return secrets.as_ref().is_none_or(|paths| paths.iter().any(|path| path.as_str() == hold.path));
        }
        let is_in_place = || vault.as_ref().is_some_and(|vault| vault.join(&hold.path).is_file());
        hold.reason != HoldReason::InTheWay.as_str() || !is_in_place()
    });
    holds
}

pub(super) fn to_json(hold: &Hold) -> Value {
    let kept: Vec<_> = hold.kept.iter().map(|file| file.display().to_string()).collect();
    json!({ "path": hold.path, "reason": hold.reason, "detail": hold.detail, "kept": kept })
}

/// The lines of one hold: what, why, and what to do.
pub(super) fn lines_of(hold: &Hold) -> Vec<String> {
    let mut lines = vec![format!("{:<12}  {:<11}  {}", "held back", hold.reason, spelt(&hold.path))];
    if hold.reason == holds::SECRET {
        lines.push("    look at it, or let it out: aiemp-node egress list".to_owned());
    } else if !hold.detail.is_empty() {
        lines.push(format!("    {}", spelt(&hold.detail)));
    }
    lines.extend(hold.kept.iter().map(|file| format!("    what was saved: {}", spelt(file.display()))));
    lines
}

/// What lies in the vault and does not sync, or is refused by its disk; of many the first.
pub(super) struct Unsynced {
    pub(super) named: Vec<WireUnsynced>,
    pub(super) count: usize,
}

impl Unsynced {
    pub(super) fn ask(client: &mut Client) -> Result<Self> {
        let Response::Status(status) = client.ask(&Request::Status)? else { return Err(unexpected()) };
        Ok(Self { named: status.unsynced, count: status.unsynced_count })
    }

    /// Under a heading of their own, in groups of one reason: what, and what to do.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut named: Vec<_> = self.named.iter().collect();
        named.sort_by(|a, b| (&a.reason, &a.path).cmp(&(&b.reason, &b.path)));
        let heading = (self.count > 0).then(|| format!("did not sync: {}", self.count));
        let mut lines: Vec<String> = heading.into_iter().collect();
        for group in named.chunk_by(|a, b| a.reason == b.reason) {
            lines.extend(group.iter().take(SHOWN).map(|told| format!("  {:<11}  {}", told.reason, spelt(&told.path))));
            let more = group.len().saturating_sub(SHOWN);
            lines.extend((more > 0).then(|| format!("  and {more} more (--json names them)")));
            lines.extend(group.first().map(|told| format!("    {}: {}", told.what, told.fix)));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_sync_is_told_by_its_reason_and_what_to_do() {
        let told = |path: &str, reason: &str| WireUnsynced {
            path: path.to_owned(),
            reason: reason.to_owned(),
            what: format!("{reason} of it"),
            fix: "Mend it.".to_owned(),
        };
        let named = vec![told("b\u{202e}.md", "twin"), told("a.md", "large"), told("a2.md", "twin")];
        let expected = [
            "did not sync: 3",
            "  large        a.md",
            "    large of it: Mend it.",
            "  twin         a2.md",
            "  twin         b[U+202E RIGHT-TO-LEFT OVERRIDE].md",
            "    twin of it: Mend it.",
        ];
        assert_eq!(Unsynced { named, count: 3 }.lines(), expected);
        let many = (0..SHOWN + 2).map(|number| told(&format!("{number:02}.md"), "twin")).collect();
        let lines = Unsynced { named: many, count: SHOWN + 2 }.lines();
        assert_eq!(lines[SHOWN + 1..], ["  and 2 more (--json names them)", "    twin of it: Mend it."]);
        assert!(Unsynced { named: Vec::new(), count: 0 }.lines().is_empty());
    }

    #[test]
    fn a_hold_says_what_it_is_and_what_to_do() {
        let mut hold = Hold { path: "Plans/\u{202e}a.md".to_owned(), reason: "secret".to_owned(), ..Hold::default() };
        let expected = [
            "held back     secret       Plans/[U+202E RIGHT-TO-LEFT OVERRIDE]a.md",
            "    look at it, or let it out: aiemp-node egress list",
        ];
        assert_eq!(lines_of(&hold), expected);
        hold = Hold { path: "Done/a.md".to_owned(), reason: "not_writable".to_owned(), ..hold };
        hold.kept.push("/home/mesh/holds/01-not_writable".into());
        let expected =
            ["held back     not_writable  Done/a.md", "    what was saved: /home/mesh/holds/01-not_writable"];
        assert_eq!(lines_of(&hold), expected);
        assert_eq!(to_json(&hold)["kept"][0], "/home/mesh/holds/01-not_writable");
    }
}
