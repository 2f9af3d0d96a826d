//! The executor: whether it runs, and whether what it needs lies there as it was made.

use aiemp_protocol::{
    approval::journal::Times,
    limits::CLOCK_BEHIND_MAX,
    roster::{Role, RosterChain},
    time::Timestamp,
};

use super::{Findings, running_status};
use crate::{
    executor::{self, journal_store::JournalStore},
    fault::causes,
    home::Home,
    shell::{
        self,
        control::WireTrouble,
        handed_in::{self, clock_behind},
    },
};

/// What the executor tells of itself, also where it is another user.
pub(super) fn check_ended(home: &Home, findings: &mut Findings) {
    let runs = running_status(home).is_some();
    let trouble = handed_in::executor_trouble(home).or_else(|| handed_in::idle(home).filter(|_| runs));
    // It may have been mended since a node that does not run was stopped.
    let trouble = trouble.map(|trouble| WireTrouble { is_error: runs, ..trouble });
    findings.troubles(trouble.into_iter().chain(handed_in::disk_trouble(home, runs)).collect());
}

pub(super) fn check(home: &Home, rosters: &RosterChain, findings: &mut Findings) {
    match executor::pinned_root(&home.pinned_root()) {
        Ok(pinned) if pinned == rosters.founder() => findings.ok("the executor's pinned root key founded this mesh"),
        Ok(_) => findings.error(
            format!("the executor pinned another root key, in {}", home.pinned_root().display()),
            "Either file is another mesh's: put back the root.pub, or the roster/chain, of this one from a backup. A file \
             root.pub never changes, and an older chain is completed by `aiemp-node peers renew`.",
        ),
        Err(error) => findings.error(error.to_string(), "Until then the executor does not start."),
    }
    match executor::receipt_signer(home) {
        Ok(_) => findings.ok("the executor can sign receipts"),
        Err(error) => findings.error(causes(&error), "Until then the executor does not start."),
    }
    if let Err(error) = shell::identity::receipt_key(home, Role::Local) {
        findings.error(causes(&error), "Until then the node does not start.");
    }
    check_clock(home, shell::clock::now(), findings);
}

fn check_clock(home: &Home, now: Timestamp, findings: &mut Findings) {
    if !JournalStore::is_begun(home) {
        return;
    }
    match JournalStore::of(home).and_then(|journal| journal.times()) {
        Ok(Times { guard: seen, .. }) if now + CLOCK_BEHIND_MAX < seen => {
            findings.troubles(vec![clock_behind(now, seen)]);
        }
        Ok(_) => findings.ok("the clock is not behind what the executor has seen"),
        Err(error) => findings.error(error.to_string(), "The executor does not run with this journal."),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aiemp_keys::private_file;

    use super::*;

    #[test]
    fn a_clock_behind_what_the_executor_has_seen_is_an_error_that_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        private_file::create_private_dir(&home.executor()).unwrap();
        let now = Timestamp::from_millis(1_767_781_800_000);
        let found = |at| {
            let mut findings = Findings::default();
            check_clock(&home, at, &mut findings);
            findings.all.pop().map(|finding| (finding.level.as_str(), finding.what, finding.fix))
        };
        assert_eq!(found(now), None, "nothing was sent yet");
        drop(JournalStore::of(&home).unwrap());
        let journal = rusqlite::Connection::open(home.journal()).unwrap();
        let ahead = i64::try_from(now.as_millis()).unwrap() + 3_600_000;
        journal.execute("UPDATE meta SET guard_time = ?1", [ahead]).unwrap();
        let error = (
            "error",
            "the clock says 2026-01-07T10:30:00Z, but the executor has seen 2026-01-07T11:30:00Z; nothing is sent until \
             then"
            .to_owned(),
            "Set the clock right. If it is right, it was once set forward: run `aiemp-node approvals settle-clock`."
                .to_owned(),
        );
        assert_eq!(found(now), Some(error));
        let level = found(now + Duration::from_secs(3600)).map(|(level, ..)| level);
        assert_eq!(level, Some("ok"));
    }
}
