//! Who this node is.

use aiemp_keys::{Keystore, NodeId, Signer};
use anyhow::Result;

use crate::home::Home;

/// The node's key.
pub fn load(home: &Home) -> Result<Signer> {
    Ok(Keystore::at(home.path()).node()?)
}

/// The node's identity, for commands that do not sign as the node.
pub fn own_id(home: &Home) -> Result<NodeId> {
    Ok(load(home)?.node_id())
}
