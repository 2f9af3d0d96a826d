//! The rosters: whether they are in force, and the ones that were signed last.

use std::time::Duration;

use aiemp_protocol::{limits::CLOCK_BEHIND_MAX, roster::RosterChain};

use super::Findings;
use crate::{
    fault::causes,
    home::Home,
    shell::{self, rosters::signing},
};

/// Days before a roster's end at which doctor begins to warn.
const ROSTER_WARNING: Duration = Duration::from_secs(30 * 86_400);

pub(super) fn check(home: &Home, rosters: &RosterChain, findings: &mut Findings) {
    let roster = rosters.current();
    let now = shell::clock::now();
    if roster.not_after < now {
        findings.error(
            format!("the roster expired at {}", roster.not_after),
            "Run `aiemp-node peers renew`; until then nothing can be approved.",
        );
    } else if roster.not_after < now + ROSTER_WARNING {
        findings.warning(
            format!("the roster expires at {}", roster.not_after),
            "Run `aiemp-node peers renew` before that.",
        );
    }
    if let Some(epoch) = shell::rosters::forked_epoch(home, rosters) {
        findings.error(
            format!("two different rosters of epoch {epoch} exist, so the root key signed twice: nothing is approved or executed"),
            "Somebody else has the root key, or an old copy of this home was used. Found a new mesh: `aiemp-node init` with another --home.",
        );
    }
    if now + CLOCK_BEHIND_MAX < roster.issued {
        findings.error(
            format!("the clock says {now}, but the roster was signed at {}: nothing can be approved", roster.issued),
            "Set the clock right. If it is right, the roster was signed while it was not: run `aiemp-node peers renew`.",
        );
    }
    match signing::missing_epoch(home, Some(rosters)) {
        Ok(None) => {
            if let Some(fault) = signing::lacks_what_the_executor_saw(home, rosters) {
                findings.error(fault.message, fault.fix);
            }
        }
        Err(error) => findings.error(causes(&error), "Do so before the next command that signs a roster."),
        Ok(Some(epoch)) => findings.error(
            format!(
                "the roster of epoch {epoch}, which was signed here, is not the one in {}",
                home.rosters().display()
            ),
            "A command was interrupted, or somebody put an older one there. `aiemp-node peers renew` brings it back.",
        ),
    }
}
