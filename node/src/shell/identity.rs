//! Who this node is, and whose receipts it believes.

use aiemp_keys::{Keystore, KeystoreError, NodeId, PublicKey, Signer, private_file};
use aiemp_protocol::roster::{Role, Roster};
use anyhow::{Context, Result};

use super::{control::WireTrouble, rosters};
use crate::{fault::causes, home::Home};

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

/// What to say where this node is no member of its mesh.
pub fn not_in_mesh(home: &Home, roster: &Roster) -> Option<WireTrouble> {
    let error = |what: String, fix: String| Some(WireTrouble { is_error: true, what, fix });
    let node = match own_id(home) {
        Ok(node) if roster.member(node).is_some() => return None,
        Ok(node) => node,
        Err(unreadable) => return error(causes(&unreadable), "Until then the node does not start.".to_owned()),
    };
    // A Local node is never revoked: a mesh without the node that sends cannot act.
    if home.pinned_root().exists() {
        let key = home.keys().join("node.key");
        let what = format!("{} is not the key of a member of this mesh, but that of {node}", key.display());
        let fix = "Restore this one file from a backup of this home, however old: it never changes.".to_owned();
        return error(what, fix);
    }
    let what = "this node is not in its mesh: it was revoked, or its key is another one".to_owned();
    error(what, "Pair it again from Local, with a new home.".to_owned())
}

/// What is the matter with the owner's keys of a Local node, as far as it shows without opening them. The node runs without
/// them: they are missed when something is to be approved.
pub fn owner_keys_trouble(home: &Home) -> Option<WireTrouble> {
    let error = Keystore::at(home.path()).check_owner().err()?;
    let keys = home.keys();
    let restore =
        "Restore them from a backup of this home. Until then nothing can be approved, and no node paired or revoked.";
    let (what, fix) = match error {
        KeystoreError::Missing { .. } => {
            (format!("the owner's keys are missing: neither owner.age nor owner.key is in {}", keys.display()), restore)
        }
        KeystoreError::Damaged { path } => {
            (format!("{} is damaged: it does not hold the owner's keys", path.display()), restore)
        }
        // These say by themselves what to do.
        KeystoreError::Ambiguous { .. }
        | KeystoreError::Private(_)
        | KeystoreError::Exists { .. }
        | KeystoreError::PassphraseNeeded { .. }
        | KeystoreError::Seal(_)
        | KeystoreError::Random(_) => (error.to_string(), "Until then nothing can be approved."),
    };
    Some(WireTrouble { is_error: true, what, fix: fix.to_owned() })
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
