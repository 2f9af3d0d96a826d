//! Claims over time: renewed while work is in hand, taken over when their lease passed without a draft, and listed.

use std::collections::BTreeSet;

use aiemp_crdt::{
    claim::{self, Claim},
    vault,
};
use aiemp_protocol::{
    ids::{FileId, WorkId},
    limits::LEASE,
    time::Timestamp,
    vault_path::VaultPath,
};

use super::{
    Core, mail,
    output::{Answer, ClaimStanding},
    work::{Brain, Reading},
};

impl Core {
    /// A brain begins with a piece of work: its claim is renewed until it ends.
    pub(super) fn hold_claim(&mut self, now: Timestamp, file: FileId) {
        let work = self.vault.claims().work_of(file);
        let until = work.and_then(|work| self.vault.claims().of(work, self.work.me)).map(|claim| claim.lease_until);
        let renewed = match until {
            // What waited for a run has little left of its lease.
            Some(until) if now < until && until <= now + LEASE / 2 => now,
            // Where it has ended another may have the work, which is heard of first.
            Some(_) | None => now + LEASE / 2,
        };
        self.work.renewals.entry(file).or_insert(renewed);
    }

    pub(super) fn renew_due(&mut self, now: Timestamp) {
        let due: Vec<_> = self.work.renewals.iter().filter(|(_, at)| **at <= now).map(|(file, _)| *file).collect();
        for file in due {
            let work = self.vault.claims().work_of(file);
            let held = work.filter(|work| self.vault.holder(*work).is_some_and(|claim| claim.to == file));
            match held.filter(|_| self.vault.is_in_sight(file)) {
                Some(work) => {
                    self.work.renewals.insert(file, now + LEASE / 2);
                    self.vault_input(now, vault::Input::RenewRequested { work, file });
                }
                None => {
                    self.work.renewals.remove(&file);
                }
            }
        }
    }

    /// Another node claimed a note: if nothing comes of it, somebody else looks at it.
    pub(super) fn claim_of_another_seen(&mut self, file: FileId) {
        if self.work.brain != Brain::None
            && let Some(until) = self.lease_without_draft(file)
        {
            self.work.overdue.insert(file, until);
        }
    }

    /// Until when the claim of this copy, or an own one beside it, keeps the work, where nothing came of it so far. Who
    /// claimed by hand keeps it; and a node that it was taken over from leaves it, or two that cannot do it would hand it
    /// to each other for ever.
    fn lease_without_draft(&self, file: FileId) -> Option<Timestamp> {
        let work = self.vault.claims().work_of(file)?;
        let claim = self.vault.holder(work).filter(|claim| claim.to == file && !claim.by_hand)?;
        let is_open = self.vault.is_in_sight(file) && !self.vault.is_in_dispute(file);
        let mine = self.vault.claims().of(work, self.work.me);
        let was_mine = mine.is_some_and(|mine| mine.origin.is_before(&claim.origin));
        let until = mine.map_or(claim.lease_until, |mine| mine.lease_until.max(claim.lease_until));
        (is_open && !was_mine && !self.came_of(work, claim.origin.author())).then_some(until)
    }

    pub(super) fn overdue_due(&mut self, now: Timestamp) {
        let due: Vec<_> = self.work.overdue.iter().filter(|(_, at)| **at <= now).map(|(file, _)| *file).collect();
        for file in due {
            self.work.overdue.remove(&file);
            let Some(until) = self.lease_without_draft(file) else { continue };
            let Some(work) = self.vault.claims().work_of(file) else { continue };
            let brains = self.replication.connected().filter(|(_, has_brain)| *has_brain);
            let at = until + claim::delay(work, self.work.me, brains.map(|(node, _)| node));
            if at > now {
                self.work.overdue.insert(file, at);
            } else {
                self.read(now, file, Reading::Overdue(file));
            }
        }
    }

    /// The claimed copy is what the next claim is made from, unless this node had claimed the work at the same time.
    pub(super) fn overdue_read(&mut self, now: Timestamp, file: FileId, text: &str) {
        let Some(task) = mail::parse_task_note(text) else { return };
        let is_its_work = self.vault.claims().work_of(file) == Some(task.work_id);
        let until = self.lease_without_draft(file).filter(|_| is_its_work);
        let Some(until) = until.filter(|_| !self.work.is_stopped && self.is_for_brain(&task)) else {
            return;
        };
        if until > now {
            // While it was read a claim became known that keeps the work: the other's, renewed, or one of this node.
            self.work.overdue.insert(file, until);
            return;
        }
        let work = task.work_id;
        let mine = self.vault.claims().of(work, self.work.me).map(|claim| claim.to);
        if let Some(mine) = mine.filter(|mine| self.vault.is_live(*mine)) {
            return self.vault_input(now, vault::Input::RenewRequested { work, file: mine });
        }
        let Some(path) = self.path_of(file) else { return };
        if let Ok(to) = VaultPath::join(&format!("In_Progress/{}", self.work.name), path.name()) {
            self.vault_input(now, vault::Input::ClaimRequested { work, file, to });
        }
    }

    pub(super) fn list_claims(&mut self, request: u64) {
        let works: BTreeSet<WorkId> = self.vault.claims().iter().map(|(work, _)| work).collect();
        let claims = works.into_iter().filter_map(|work| self.claim_standing(work)).collect();
        self.answer(request, Answer::Claims(claims));
    }

    /// How a piece of work stands that somebody has in hand.
    fn claim_standing(&self, work: WorkId) -> Option<ClaimStanding> {
        let path_of = |claim: &Claim| self.path_of(claim.to).filter(|_| self.vault.is_live(claim.to));
        let holder = self.vault.holder(work)?;
        let others = self.vault.claims().of_work(work).filter(|claim| claim.to != holder.to);
        Some(ClaimStanding {
            work,
            path: path_of(holder)?,
            node: holder.origin.author(),
            since: holder.origin.hlc,
            until: (!holder.by_hand).then_some(holder.lease_until),
            others: others.filter_map(path_of).collect(),
        })
    }
}
