//! The vault's folder: whether it is there, and what its file system cannot do.

use super::{Findings, running_status};
use crate::{
    config::Config,
    home::Home,
    shell::{
        self,
        control::WireTrouble,
        mesh::Away,
        vault_disk::{self, Lying},
    },
};

pub(super) fn check(home: &Home, config: &Config, findings: &mut Findings) {
    let vault = &config.vault;
    if vault.exists() && !vault.is_dir() {
        let fix = "Move what lies there to another place, and the vault's folder back. If it lies elsewhere for good, correct \
                   `vault` in config.toml.";
        return findings.error(format!("{} is not a folder", vault.display()), fix);
    }
    // A running node knows more, and may have been given another vault at its start.
    let troubles = running_status(home).map_or_else(|| away(home, config).into_iter().collect(), |status| status.vault);
    if !troubles.iter().any(|trouble| trouble.is_error) {
        findings.ok(format!("vault {}", vault.display()));
    }
    findings.troubles(troubles);
}

/// What the next start would say.
fn away(home: &Home, config: &Config) -> Option<WireTrouble> {
    let node = shell::identity::own_id(home).ok()?;
    let roster = shell::rosters::load(home).ok()?;
    if roster.is_some_and(|rosters| rosters.current().member(node).is_none()) {
        // Its mark is that of the node that this was.
        return None;
    }
    let away = match vault_disk::look(&config.vault, node) {
        Lying::Nothing => Away::Missing,
        // The first start marks it.
        Lying::Folder { is_ours: false, .. } if home.store().exists() => Away::Other,
        Lying::Folder { .. } => return None,
    };
    let told = away.told(&config.vault);
    Some(WireTrouble { is_error: true, what: told.message, fix: told.fix })
}
