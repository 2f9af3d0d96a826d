//! What did not sync, beside the conflicts: a person who looks for what needs them looks there.

use aiemp_crdt::vault::HoldReason;
use aiemp_protocol::action::spelt;
use serde_json::{Value, json};

use super::super::egress;
use crate::{
    home::Home,
    shell::{
        self,
        holds::{self, Hold},
    },
};

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

#[cfg(test)]
mod tests {
    use super::*;

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
