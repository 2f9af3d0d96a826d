//! Who this node is, and whose receipts it believes.

use aiemp_keys::{Keystore, NodeId, PublicKey, Signer, private_file};
use aiemp_protocol::roster::Role;
use anyhow::{Context, Result};

use super::rosters;
use crate::home::Home;

/// The node's key.
pub fn load(home: &Home) -> Result<Signer> {
    Ok(Keystore::at(home.path()).node()?)
}

/// The node's identity, for commands that do not sign as the node.
pub fn own_id(home: &Home) -> Result<NodeId> {
    if !home.users().exists() {
        return Ok(load(home)?.node_id());
    }
    let path = home.node_id();
    let text = private_file::read_private(&path)?;
    let text = String::from_utf8_lossy(text.expose());
    text.trim().parse().with_context(|| {
        format!("{} holds no node id: run `aiemp-node service separate` as root again", path.display())
    })
}

/// The role of this home's node: what the roster says, and before it has one, what `init` made it.
pub fn role(home: &Home) -> Result<Role> {
    let node = own_id(home)?;
    let member = rosters::load(home)?.and_then(|chain| chain.current().member(node).map(|member| member.role));
    Ok(match member {
        Some(role) => role,
        None if home.pinned_root().exists() => Role::Local,
        None => Role::Cloud,
    })
}

/// The executor's receipt key; a Cloud home has none. Without it a Local node could file nothing that was sent.
pub fn receipt_key(home: &Home, role: Role) -> Result<Option<PublicKey>> {
    let path = home.receipt_key();
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let key = text.trim().parse();
            key.map(Some).with_context(|| format!("{} holds no key: restore it from a backup", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && role == Role::Cloud => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}: restore it from a backup", path.display())),
    }
}
