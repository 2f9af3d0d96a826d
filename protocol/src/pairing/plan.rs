//! What becomes of two vaults that are paired: said before the root key signs.

use std::collections::BTreeMap;

use aiemp_keys::{Hash, NodeId};

use super::inventory::{Inventory, Listed};
use crate::{
    ids::Audience,
    roster::{Member, Quota, Role, Roster},
    vault_path::VaultPath,
};

/// Of the files in shared folders, by place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The same on both sides: one file.
    pub equal: Vec<VaultPath>,
    /// Only here: they go there.
    pub only_here: Vec<VaultPath>,
    /// Only there: they come here.
    pub only_there: Vec<VaultPath>,
    /// Two contents: both stay, that of Local under the name.
    pub different: Vec<VaultPath>,
    /// Two contents where only Local writes: that of Local stands.
    pub overruled: Vec<VaultPath>,
    /// Only there, where only Local writes: they do not come.
    pub left_there: Vec<VaultPath>,
    /// Files there that were too many to be listed.
    pub unlisted: u64,
    /// What git keeps both vaults in step with.
    pub shared_remotes: Vec<Hash>,
}

impl Plan {
    /// Compares what lies here, on Local, with what Cloud says lies there; `cloud` will be a member by this name.
    pub fn of(here: &Inventory, there: &Inventory, roster: &Roster, cloud: NodeId, name: &str) -> Self {
        let mut roster = roster.clone();
        let (role, quota) = (Role::Cloud, Quota::default());
        roster.members.push(Member { node: cloud, name: name.to_owned(), role, generation_min: 0, quota });
        let shared_zone = |file: &&Listed| {
            let zone = roster.zone_of(&file.path).ok().filter(|zone| zone.audience() == Audience::All);
            zone.map(|zone| zone.may_write(cloud, role))
        };
        let mut own: BTreeMap<String, &Listed> = here.files.iter().map(|file| (file.path.key(), file)).collect();
        own.retain(|_, file| shared_zone(file).is_some());
        let mut plan = Self { unlisted: there.left_out, ..Self::default() };
        plan.shared_remotes = here.remotes.iter().filter(|remote| there.remotes.contains(remote)).copied().collect();
        for file in &there.files {
            let Some(cloud_writes) = shared_zone(&file) else { continue };
            let places = match own.remove(&file.path.key()) {
                Some(own) if own.hash == file.hash => &mut plan.equal,
                Some(_) if cloud_writes => &mut plan.different,
                Some(_) => &mut plan.overruled,
                None if cloud_writes => &mut plan.only_there,
                None => &mut plan.left_there,
            };
            places.push(file.path.clone());
        }
        plan.only_here.extend(own.into_values().map(|file| file.path.clone()));
        plan
    }

    /// Whether nothing lies there: then there is nothing to decide.
    pub fn is_of_an_empty_vault(&self) -> bool {
        let lie_there = [&self.equal, &self.only_there, &self.different, &self.overruled, &self.left_there];
        lie_there.iter().all(|places| places.is_empty()) && self.unlisted == 0
    }
}
