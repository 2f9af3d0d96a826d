//! Addresses of peers: one file each, beside the roster.

use std::collections::BTreeMap;

use aiemp_keys::{NodeId, private_file};
use aiemp_protocol::roster::Roster;
use anyhow::Result;
use libp2p::Multiaddr;

use crate::home::Home;

/// Remembers where a peer listens.
pub fn store(home: &Home, peer: NodeId, addresses: &[String]) -> Result<()> {
    let text = addresses.iter().map(|address| format!("{address}\n")).collect::<String>();
    Ok(private_file::write_private(&home.peers().join(peer.to_string()), text.as_bytes())?)
}

/// Where each peer listens, as far as known. A file that makes no sense is left out; `doctor` names it.
pub fn load(home: &Home) -> BTreeMap<NodeId, Vec<String>> {
    let mut found = BTreeMap::new();
    for file in std::fs::read_dir(home.peers()).into_iter().flatten().flatten() {
        let node = file.file_name().to_str().and_then(|name| name.parse().ok());
        let text = std::fs::read_to_string(file.path()).unwrap_or_default();
        if let Some(node) = node {
            found.insert(node, text.lines().map(str::to_owned).collect());
        }
    }
    found
}

/// The other members, each with the addresses that can be dialled.
pub fn of(home: &Home, roster: &Roster, me: NodeId) -> BTreeMap<NodeId, Vec<Multiaddr>> {
    let addresses = load(home);
    let members = roster.members.iter().filter(|member| member.node != me).map(|member| {
        let known = addresses.get(&member.node).into_iter().flatten();
        (member.node, known.filter_map(|text| text.parse().ok()).collect())
    });
    members.collect()
}
