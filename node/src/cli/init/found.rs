//! What lay in the vault before the node, in counts.

use std::{collections::BTreeMap, path::Path};

use aiemp_keys::NodeId;
use aiemp_protocol::{roster::Role, zone::Zone};

use crate::shell::{
    pairing::AnyClaimant,
    vault_disk::{SkipReason, Stock},
};

/// Lines for an operator; none for an empty vault.
pub(super) fn lines(vault: &Path, node: NodeId, role: Role) -> Vec<String> {
    let stock = match Stock::of(vault) {
        Ok(stock) => stock,
        Err(error) => return vec![format!("warning: what lies in the vault is not known: {error}")],
    };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let kinds = stock.files.iter().map(|path| kind_of(Zone::of(path, &AnyClaimant(node)).ok(), role));
    for kind in kinds.chain(stock.skipped.iter().map(|(_, reason)| told(*reason))) {
        *counts.entry(kind).or_default() += 1;
    }
    let all: usize = counts.values().sum();
    if all == 0 {
        return Vec::new();
    }
    let counts = counts.into_iter().map(|(kind, count)| format!("{count:>6}  {kind}"));
    [format!("found {all} names in the vault:")].into_iter().chain(counts).collect()
}

const fn kind_of(zone: Option<Zone>, role: Role) -> &'static str {
    match (zone, role) {
        (None, _) => "will not sync: names that hold credentials, or that agents take instructions from",
        (Some(Zone::Private), Role::Local) => "in private folders, which stay on Local nodes",
        (Some(_), Role::Local) => "in folders that Cloud will share",
        (Some(Zone::Private), Role::Cloud) => {
            "will not sync from here: in private folders, which only Local nodes have"
        }
        (Some(Zone::Owner), Role::Cloud) => "will not sync from here: in folders that only Local writes",
        (Some(_), Role::Cloud) => "in folders that all members write",
    }
}

const fn told(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::Symlink => "will not sync: symbolic links",
        SkipReason::HardLink => "will not sync: files with further names",
        SkipReason::Special => "will not sync: sockets, pipes and devices",
        SkipReason::Name => "will not sync: names that not every system can write",
        SkipReason::TooLarge => "will not sync: files above 32 MiB",
        SkipReason::Twin => "will not sync: names that are another file's on some systems",
        SkipReason::Busy => "will not sync yet: being written",
        SkipReason::Unreadable => "will not sync: not readable for this user",
    }
}
