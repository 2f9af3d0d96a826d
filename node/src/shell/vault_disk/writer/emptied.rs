//! Folders that are empty because this node took the last file out of them.

use std::ffi::OsStr;

use aiemp_protocol::vault_path::VaultPath;
use rustix::fs::AtFlags;

use super::VaultDisk;
use crate::shell::vault_disk::tree::Missing;

/// Folders of the layout that people and their programs know, as canonical keys; they stay, with those on the way to them.
const FIXED: [&str; 18] = [
    "inbox",
    "needs_action/email",
    "plans/email",
    "pending_approval/email",
    "in_progress",
    "approved",
    "rejected",
    "done",
    "updates",
    "signals",
    "logs",
    "briefings",
    "accounting",
    "invoices",
    "private",
    "needs_action",
    "plans",
    "pending_approval",
];
/// Below it each node has a folder.
const CLAIMS: &str = "in_progress";

impl VaultDisk {
    /// Takes away the folder that a file was in, and those above it, as long as nothing at all lies in them. The system
    /// removes no folder that holds anything, so what comes meanwhile stays.
    pub(super) fn remove_emptied(&self, removed: &VaultPath) {
        let mut at = removed.clone();
        while let Ok(folder) = VaultPath::parse(at.folder()) {
            if is_fixed(&folder.key()) {
                return;
            }
            let Ok(Some(parent)) = self.tree.folder_of(&folder, Missing::Leave) else { return };
            if rustix::fs::unlinkat(&parent, OsStr::new(folder.name()), AtFlags::REMOVEDIR).is_err() {
                return;
            }
            self.sync_folder(&parent, &self.tree.shown(&folder));
            at = folder;
        }
    }
}

fn is_fixed(key: &str) -> bool {
    FIXED.contains(&key) || key.split_once('/').is_some_and(|(top, below)| top == CLAIMS && !below.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_stays_and_what_lies_below_it_may_go() {
        for fixed in ["plans", "plans/email", "in_progress/cloud", "private", "done"] {
            assert!(is_fixed(fixed), "{fixed}");
        }
        for other in ["projects", "plans/2026", "in_progress/cloud/email", "done/plans"] {
            assert!(!is_fixed(other), "{other}");
        }
    }
}
