//! What unit tests of the vault share.

use aiemp_keys::NodeId;
use aiemp_protocol::{
    vault_path::VaultPath,
    zone::{NeverPath, Zone},
};

use super::Boundaries;

/// All lies among the drafts, where this node may do everything; one member is a person.
#[derive(Debug)]
pub(super) struct Drafts {
    pub(super) person: NodeId,
}

impl Boundaries for Drafts {
    fn zone_of(&self, _: &VaultPath) -> Result<Zone, NeverPath> {
        Ok(Zone::Drafts)
    }

    fn may_write(&self, _: Zone) -> bool {
        true
    }

    fn may_archive(&self, _: Zone) -> bool {
        true
    }

    fn may_resolve(&self, _: NodeId, _: Zone) -> bool {
        true
    }

    fn holds_active_content(&self) -> bool {
        false
    }

    fn names_first(&self, author: NodeId) -> bool {
        author == self.person
    }

    fn may_release(&self, _: NodeId) -> bool {
        false
    }
}
