//! The rosters: whether they are in force, and the ones that were signed last.

use std::time::Duration;

use aiemp_protocol::{limits::CLOCK_BEHIND_MAX, roster::RosterChain, time::Timestamp};

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
        let (what, fix) = expired(roster.not_after, now);
        findings.error(what, fix);
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

/// A clock that is ahead looks like a roster that has expired: how long ago tells which it is.
fn expired(at: Timestamp, now: Timestamp) -> (String, &'static str) {
    const DAY_MS: u64 = 86_400_000;
    let ago = match now.as_millis().saturating_sub(at.as_millis()) / DAY_MS {
        0 => "less than a day".to_owned(),
        1 => "a day".to_owned(),
        days => format!("{days} days"),
    };
    let what = format!("the roster expired at {at}, {ago} ago by the clock of this computer, which says {now}");
    let fix = "If the clock is wrong, set it right. If it is right, run `aiemp-node peers renew` on the Local node; until \
               then nothing can be approved.";
    (what, fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roster_that_has_expired_by_a_clock_that_may_be_ahead_says_both() {
        let at = Timestamp::from_millis(1_767_781_800_000);
        let (what, fix) = expired(at, at + Duration::from_secs(3_653 * 86_400));
        assert_eq!(
            what,
            "the roster expired at 2026-01-07T10:30:00Z, 3653 days ago by the clock of this computer, which says \
             2036-01-08T10:30:00Z"
        );
        assert!(fix.starts_with("If the clock is wrong, set it right.") && fix.contains("peers renew"), "{fix}");
        let (what, _) = expired(at, at + Duration::from_secs(60));
        assert!(what.contains("less than a day ago"), "{what}");
    }
}
