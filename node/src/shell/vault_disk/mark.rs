//! Whose vault a folder is: the name of a file in its `.aiemp/` says so.
//!
//! A name can be looked at where nothing can be opened: behind its wall the mesh opens that folder alone which lay at the
//! vault's path when its process started.

use std::path::Path;

use aiemp_keys::NodeId;
use rustix::fs::{Stat, stat};

use super::kept;

/// Which folder of which file system: two names stand for one folder only if this is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderId {
    device: u64,
    inode: u64,
}

impl From<Stat> for FolderId {
    fn from(stat: Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// What lies at the vault's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lying {
    /// No folder.
    Nothing,
    /// A folder.
    Folder {
        /// Which.
        id: FolderId,
        /// Whether this node marked it as its vault.
        is_ours: bool,
    },
}

/// Looks what lies at a path, which may lead over links. Opens nothing.
pub fn look(root: &Path, node: NodeId) -> Lying {
    let Some(id) = id_of(root).filter(|_| root.is_dir()) else { return Lying::Nothing };
    let is_ours = stat(root.join(kept::FOLDER).join(name_of(node))).is_ok();
    Lying::Folder { id, is_ours }
}

/// The folder that a path stands for now.
pub(super) fn id_of(path: &Path) -> Option<FolderId> {
    stat(path).ok().map(FolderId::from)
}

/// The name of a node's mark.
pub(super) fn name_of(node: NodeId) -> String {
    format!("vault-of-{node}")
}
