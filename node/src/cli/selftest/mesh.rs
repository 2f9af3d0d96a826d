//! The mesh that is attacked.

use aiemp_keys::{NodeId, Signer, next_root_hash};
use aiemp_protocol::roster::{Member, Quota, Role, Roster, RosterChain, SignedRoster};
use anyhow::Result;

use crate::shell::clock;

/// A mesh of two nodes, with every key: the attacker's Cloud is one of them.
pub(super) struct Mesh {
    pub(super) approve: Signer,
    pub(super) local: Signer,
    pub(super) cloud: Signer,
    pub(super) rosters: RosterChain,
}

impl Mesh {
    pub(super) fn found() -> Result<Self> {
        let [root, approve, local, cloud, next] =
            [Signer::generate()?, Signer::generate()?, Signer::generate()?, Signer::generate()?, Signer::generate()?];
        let member = |node: NodeId, name: &str, role| Member {
            node,
            name: name.to_owned(),
            role,
            generation_min: 0,
            quota: Quota::default(),
        };
        let first = member(local.node_id(), "local", Role::Local);
        let next = next_root_hash(&next.public());
        let now = clock::now();
        let roster = Roster::found(&root, next, approve.public(), first, false, now);
        let mut rosters = RosterChain::begin(&SignedRoster::sign(&root, roster).to_bytes())?;
        let mut second = rosters.current().successor(now);
        second.members.push(member(cloud.node_id(), "cloud", Role::Cloud));
        rosters.extend(&SignedRoster::sign(&root, second).to_bytes())?;
        Ok(Self { approve, local, cloud, rosters })
    }
}
