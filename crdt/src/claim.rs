//! Claims: who works on what, so that work is seldom done twice. Safety does not rest on them.

use std::{collections::BTreeMap, time::Duration};

use aiemp_keys::{Hash, NodeId, cbor};
use aiemp_protocol::{
    ids::{FileId, WorkId},
    limits::CLAIM_RANK_DELAY,
    time::Timestamp,
};

use crate::index::Origin;

/// One node's claim of a piece of work.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The entry that carries it.
    pub origin: Origin,
    /// The task note in the claim folder.
    pub to: FileId,
    /// Until when it holds.
    pub lease_until: Timestamp,
}

/// Every claim that was applied.
#[derive(Debug, Default)]
pub struct Claims {
    by_work: BTreeMap<WorkId, Vec<Claim>>,
}

impl Claims {
    pub(crate) fn apply(&mut self, work: WorkId, claim: Claim) {
        self.by_work.entry(work).or_default().push(claim);
    }

    /// The claim that stands: among concurrent ones the highest `H(work, node)`; a later one that knew of an earlier
    /// wins only if the earlier lease had ended when it was made.
    pub fn winner(&self, work: WorkId) -> Option<&Claim> {
        let claims = self.by_work.get(&work)?;
        let beaten_by = |claim: &Claim, other: &Claim| {
            if claim.origin.is_before(&other.origin) {
                claim.lease_until <= other.origin.hlc
            } else if other.origin.is_before(&claim.origin) {
                claim.origin.hlc < other.lease_until
            } else {
                rank(work, other.origin.author()) > rank(work, claim.origin.author())
            }
        };
        claims
            .iter()
            .find(|claim| !claims.iter().any(|other| other.origin.hash != claim.origin.hash && beaten_by(claim, other)))
    }

    /// Every piece of work with its standing claim.
    pub fn iter(&self) -> impl Iterator<Item = (WorkId, &Claim)> {
        self.by_work.keys().filter_map(|work| self.winner(*work).map(|claim| (*work, claim)))
    }
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
