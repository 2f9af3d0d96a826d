//! Claims: who works on what, so that work is seldom done twice. Safety does not rest on them.
//!
//! A claim is a copy of a note in the claim folder of a node. Where several nodes made one, one of them holds the work, as
//! every node tells alike; the copies of the others leave the sight, unless something in them stands nowhere else.

use std::{collections::BTreeMap, iter, sync::Arc, time::Duration};

use aiemp_keys::{Hash, NodeId, cbor};
use aiemp_protocol::{
    ids::{FileId, WorkId},
    limits::{CLAIM_RANK_DELAY, LEASE_BY_HAND_MS},
    time::Timestamp,
    zone::Zone,
};

use crate::{
    conflict,
    index::{Index, Origin},
    sight,
};

/// One node's claim of a piece of work.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The entry that carries it.
    pub origin: Arc<Origin>,
    /// The task note in the claim folder.
    pub to: FileId,
    /// Until when it holds.
    pub lease_until: Timestamp,
    /// Whether somebody moved the note there: such a claim holds until they move it elsewhere.
    pub by_hand: bool,
}

/// The last claim of each node for each piece of work.
#[derive(Debug, Default)]
pub struct Claims {
    by_work: BTreeMap<WorkId, Vec<Claim>>,
    /// What each copy was claimed for last, and where its author said so.
    of_copy: BTreeMap<FileId, ((u64, u64), WorkId)>,
    /// The copy that each draft may have been made of.
    of_draft: BTreeMap<FileId, FileId>,
}

/// Two copies of a note in the claim folders of two nodes.
#[derive(Clone, Debug)]
pub struct Rivals<'a> {
    /// Who has the work.
    pub holder: &'a Claim,
    /// Who claimed it, too.
    pub other: &'a Claim,
    /// Whether the other copy says something that the holder's never did.
    pub is_edited: bool,
}

impl Claims {
    pub(crate) fn apply(&mut self, work: WorkId, origin: &Arc<Origin>, to: FileId, lease_ms: u64) {
        // Who claims moves a note to their own folder; nothing else is one.
        if to.zone != Zone::Claim(origin.author()) {
            return;
        }
        let place = |origin: &Origin| (origin.log.generation, origin.seq);
        let copy = self.of_copy.entry(to).or_insert((place(origin), work));
        if copy.0 <= place(origin) {
            *copy = (place(origin), work);
        }
        let lease_until = origin.hlc + Duration::from_millis(lease_ms);
        let claim = Claim { origin: Arc::clone(origin), to, lease_until, by_hand: lease_ms == LEASE_BY_HAND_MS };
        let claims = self.by_work.entry(work).or_default();
        let last = match claims.binary_search_by_key(&origin.author(), |claim| claim.origin.author()) {
            Ok(at) => &mut claims[at],
            Err(at) => {
                // Most work has one, and there is much work.
                claims.reserve_exact(1);
                claims.insert(at, claim.clone());
                &mut claims[at]
            }
        };
        // Entries of two generations come in any order: one of the later replaces what the earlier said.
        let is_same_log = last.origin.log.generation == origin.log.generation;
        if is_same_log && last.to == to && claim.origin.hlc < last.lease_until {
            // It is renewed, and stays as early as it was.
            last.lease_until = last.lease_until.max(lease_until);
            last.by_hand |= claim.by_hand;
        } else if place(&last.origin) <= place(origin) {
            *last = claim;
        }
    }

    /// The last claim of each node for each piece of work.
    pub fn iter(&self) -> impl Iterator<Item = (WorkId, &Claim)> {
        self.by_work.iter().flat_map(|(work, claims)| claims.iter().map(|claim| (*work, claim)))
    }

    /// The last claim of a node for a piece of work.
    pub fn of(&self, work: WorkId, node: NodeId) -> Option<&Claim> {
        self.of_work(work).find(|claim| claim.origin.author() == node)
    }

    /// The last claims of a piece of work.
    pub fn of_work(&self, work: WorkId) -> impl Iterator<Item = &Claim> {
        self.by_work.get(&work).into_iter().flatten()
    }

    /// What a copy in a claim folder was claimed for.
    pub fn work_of(&self, copy: FileId) -> Option<WorkId> {
        self.of_copy.get(&copy).map(|(_, work)| *work)
    }

    /// The copy that this draft may have been made of.
    pub(crate) fn copy_behind(&self, draft: FileId) -> Option<FileId> {
        self.of_draft.get(&draft).copied()
    }

    /// A draft of a copy may have this id; where it is taken, the one beside it.
    pub(crate) fn follow_drafts(&mut self, draft: FileId, copy: FileId, is_taken: impl Fn(FileId) -> bool) {
        let ids = iter::successors(Some(draft), |id| is_taken(*id).then(|| id.beside(Zone::Drafts)));
        self.of_draft.extend(ids.take(sight::SUCCESSORS_MAX).map(|id| (id, copy)));
    }

    /// Work that more than one node claimed.
    fn shared(&self) -> impl Iterator<Item = WorkId> + '_ {
        self.by_work.iter().filter(|(_, claims)| claims.len() > 1).map(|(work, _)| *work)
    }

    /// The copies that were claimed for a piece of work.
    pub(crate) fn copies(&self, work: WorkId) -> impl Iterator<Item = FileId> + '_ {
        self.of_work(work).map(|claim| claim.to)
    }

    /// The claims of a piece of work that were not given up: whose copy is there, or went on towards its end.
    fn held<'a>(&'a self, index: &Index, work: WorkId, names_first: &impl Fn(NodeId) -> bool) -> Vec<&'a Claim> {
        let is_for_it = |claim: &Claim| self.work_of(claim.to) == Some(work);
        self.of_work(work).filter(|claim| is_for_it(claim) && is_held(index, claim, names_first)).collect()
    }
}

/// Who has a piece of work: a person who claimed it by hand before all others. Then, of concurrent claims, the one of the
/// highest `H(work, node)`; a later one that knew of an earlier has it only if the earlier lease had ended when it was made.
pub fn holder(index: &Index, work: WorkId, names_first: impl Fn(NodeId) -> bool) -> Option<&Claim> {
    let claims = index.claims().held(index, work, &names_first);
    let is_persons = |claim: &Claim| claim.by_hand && names_first(claim.origin.author());
    let strength = |claim: &Claim| (is_persons(claim), rank(work, claim.origin.author()));
    let beats = |other: &Claim, claim: &Claim| {
        if is_persons(other) != is_persons(claim) {
            is_persons(other)
        } else if claim.origin.is_before(&other.origin) {
            claim.lease_until <= other.origin.hlc
        } else if other.origin.is_before(&claim.origin) {
            claim.origin.hlc < other.lease_until
        } else {
            strength(other) > strength(claim)
        }
    };
    let is_beaten = |claim: &Claim| claims.iter().any(|other| other.to != claim.to && beats(other, claim));
    let unbeaten = claims.iter().find(|claim| !is_beaten(claim)).copied();
    // Three may beat each other in a circle.
    unbeaten.or_else(|| claims.iter().max_by_key(|claim| strength(claim)).copied())
}

/// Whether a claim was not given up.
pub(crate) fn is_held(index: &Index, claim: &Claim, names_first: &impl Fn(NodeId) -> bool) -> bool {
    let Some(record) = index.get(claim.to).filter(|record| record.base.shown().is_some()) else { return false };
    let goes_on = |archiving: &Origin| {
        sight::has_moved_to(index, claim.to, Zone::Owner, archiving)
            || drafts_of(index, claim.to, archiving).any(|draft| stands(index, draft, names_first))
    };
    !record.is_archived() || conflict::archivings(&record.archived).any(goes_on)
}

/// The drafts that whoever put a copy away had made of it.
pub(crate) fn drafts_of<'a>(
    index: &'a Index,
    copy: FileId,
    archiving: &'a Origin,
) -> impl Iterator<Item = FileId> + 'a {
    sight::successors(index, copy, Zone::Drafts, archiving)
}

/// Whether a draft is there, or a person decided on it: who makes one and puts it away has done nothing.
fn stands(index: &Index, draft: FileId, names_first: &dyn Fn(NodeId) -> bool) -> bool {
    sight::is_in_sight(index, draft, names_first) || is_decided(index, draft, names_first)
}

/// Whether a person put a draft away, or it was moved to the owner's folders.
pub(crate) fn is_decided(index: &Index, draft: FileId, names_first: &dyn Fn(NodeId) -> bool) -> bool {
    let decides = |archiving: &Origin| {
        names_first(archiving.author()) || sight::has_moved_to(index, draft, Zone::Owner, archiving)
    };
    index.get(draft).is_some_and(|record| conflict::archivings(&record.archived).any(decides))
}

/// Who has the work that a copy was claimed for, if that is another.
pub(crate) fn rivals_of(index: &Index, copy: FileId, names_first: impl Fn(NodeId) -> bool) -> Option<Rivals<'_>> {
    let claims = index.claims();
    let work = claims.work_of(copy)?;
    let other = claims.held(index, work, &names_first).into_iter().find(|claim| claim.to == copy)?;
    let record = index.get(copy).filter(|record| !record.is_archived())?;
    let holder = holder(index, work, &names_first).filter(|holder| holder.to != copy)?;
    let says_nothing_new = record.changes().is_empty() && !record.had_bases();
    let had = |base| index.get(holder.to).is_some_and(|record| record.had_base(base));
    let is_edited = !(says_nothing_new && record.shown_base().is_some_and(had));
    Some(Rivals { holder, other, is_edited })
}

/// All copies whose work another has.
pub(crate) fn all_rivals(index: &Index, names_first: impl Fn(NodeId) -> bool) -> Vec<Rivals<'_>> {
    let copies = index.claims().shared().flat_map(|work| index.claims().copies(work));
    copies.filter_map(|copy| rivals_of(index, copy, &names_first)).collect()
}

/// Whether a copy is not shown, for another has the work and nothing in it stands nowhere else.
pub(crate) fn is_hidden(index: &Index, copy: FileId, names_first: impl Fn(NodeId) -> bool) -> bool {
    rivals_of(index, copy, names_first).is_some_and(|rivals| !rivals.is_edited)
}

/// The order of nodes for one piece of work.
pub fn rank(work: WorkId, node: NodeId) -> Hash {
    Hash::labelled("aiemp-node 2026 claim rank", [cbor::bytes(work.0.as_bytes()), node.to_value()])
}

/// How long a node waits before it claims, given the candidates that seem live: the first goes at once.
pub fn delay(work: WorkId, me: NodeId, candidates: impl IntoIterator<Item = NodeId>) -> Duration {
    let mine = rank(work, me);
    let ahead = candidates.into_iter().filter(|node| *node != me && rank(work, *node) > mine).count();
    CLAIM_RANK_DELAY * u32::try_from(ahead).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aiemp_keys::Signer;
    use aiemp_protocol::{
        causality::Past,
        entry::Item,
        ids::{Audience, EntryHash, LogId},
        limits::LEASE,
    };

    use super::*;

    #[test]
    fn claims_of_two_generations_come_to_the_same_in_any_order() {
        let author = Signer::from_seed([1; 32]).node_id();
        let to = FileId { zone: Zone::Claim(author), hash: Hash::of_content(b"copy") };
        let from = FileId { zone: Zone::Intake, hash: Hash::of_content(b"task") };
        let work = WorkId(Hash::of_content(b"work"));
        let claimed = |generation: u64, seq: u64, at: u64| {
            let log = LogId { author, generation, audience: Audience::All };
            let hash = EntryHash(Hash::of_content(&[generation as u8, seq as u8]));
            Arc::new(Origin { log, seq, hash, hlc: Timestamp::from_millis(at), past: Past::default() })
        };
        let item = |lease: u64| Item::Claim { work, from, to, lease_ms: lease };
        let lease = u64::try_from(LEASE.as_millis()).expect("a short time");
        let told = [(claimed(0, 1, 1_000), lease), (claimed(1, 1, 2_000), LEASE_BY_HAND_MS)];
        let stands = |order: [usize; 2]| {
            let mut index = Index::default();
            for (origin, lease) in order.map(|at| &told[at]) {
                index.apply(&item(*lease), origin, |_| true);
            }
            let claim = index.claims().of(work, author).cloned().expect("a claim");
            (claim.origin.hash, claim.lease_until, claim.by_hand)
        };
        assert_eq!(stands([0, 1]), stands([1, 0]));
    }
}
