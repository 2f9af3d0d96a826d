//! How a world begins.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_keys::{Signer, next_root_hash};
use aiemp_node::core::Compaction;
use aiemp_protocol::{
    roster::{Member, Quota, Roster, RosterChain, SignedRoster},
    time::Timestamp,
    vault_path::VaultPath,
};

use super::{BEGINNING, Cast, World, root_key};
use crate::{
    Violation,
    executor::{self, Executor},
    ledger::Ledger,
    network::{self, Network, ends},
    node::Node,
    random::Rng,
    replacements::Replacements,
};

impl World {
    /// A founded mesh whose nodes all run and know each other. The first of the cast must be a Local.
    pub fn new(seed: u64, cast: &[Cast], links: &[(usize, usize)]) -> Result<Self, Violation> {
        Self::of_vaults(seed, cast, links, Vec::new())
    }

    /// The same where notes start anew sooner than people would have it.
    pub fn compacting(
        seed: u64,
        cast: &[Cast],
        links: &[(usize, usize)],
        compaction: Compaction,
    ) -> Result<Self, Violation> {
        Self::begin(seed, cast, links, (Vec::new(), compaction))
    }

    /// The same of nodes whose vaults were there before them.
    pub fn of_vaults(
        seed: u64,
        cast: &[Cast],
        links: &[(usize, usize)],
        vaults: Vec<BTreeMap<VaultPath, Vec<u8>>>,
    ) -> Result<Self, Violation> {
        Self::begin(seed, cast, links, (vaults, Compaction::default()))
    }

    fn begin(
        seed: u64,
        cast: &[Cast],
        links: &[(usize, usize)],
        (vaults, compaction): (Vec<BTreeMap<VaultPath, Vec<u8>>>, Compaction),
    ) -> Result<Self, Violation> {
        let mut nodes: Vec<_> = cast
            .iter()
            .enumerate()
            .map(|(index, (name, role, brain))| {
                Node::new(name, *role, *brain, [u8::try_from(index).expect("few") + 1; 32])
            })
            .collect();
        let chain = found(&nodes);
        for node in &mut nodes {
            node.found(&chain);
            node.compaction = compaction;
        }
        for (node, files) in nodes.iter_mut().zip(vaults) {
            node.disk.files = files;
        }
        let mut network = Network::default();
        for (one, other) in links {
            network.links.insert(ends(*one, *other), network::Link::default());
        }
        let mut world = Self {
            rng: Rng::new(seed),
            now: BEGINNING,
            nodes,
            network,
            ledger: Ledger::default(),
            replacements: Replacements::default(),
            executor: Executor::default(),
            healing: false,
            trace: 0xcbf2_9ce4_8422_2325,
            story: None,
            left: None,
            captured: BTreeSet::new(),
            accusations: 0,
            queue: BTreeMap::new(),
            next_event: 0,
        };
        for node in 0..world.nodes.len() {
            world.start(node)?;
        }
        for (one, other) in links {
            world.dial(*one, *other)?;
        }
        Ok(world)
    }
}

fn found(nodes: &[Node]) -> RosterChain {
    let root = root_key();
    let approve = executor::approve_key();
    let next = next_root_hash(&Signer::from_seed([202; 32]).public());
    let member = |node: &Node| Member {
        node: node.id(),
        name: node.name.clone(),
        role: node.role,
        generation_min: 0,
        quota: Quota::default(),
    };
    let now = Timestamp::from_millis(BEGINNING);
    let first = Roster::found(&root, next, approve.public(), member(&nodes[0]), false, now);
    let mut chain = RosterChain::begin(&SignedRoster::sign(&root, first).to_bytes()).expect("a founding roster");
    if nodes.len() > 1 {
        let mut next = chain.current().successor(now);
        next.members.extend(nodes[1..].iter().map(member));
        chain.extend(&SignedRoster::sign(&root, next).to_bytes()).expect("the next roster");
    }
    chain
}
