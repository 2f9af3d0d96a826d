//! Whose vault a folder is: the name of a file in its `.aiemp/` says so, and the file where that node's home is.
//!
//! A name can be looked at where nothing can be opened: behind its wall the mesh opens that folder alone which lay at the
//! vault's path when its process started.

use std::{
    fs,
    path::{Path, PathBuf},
};

use aiemp_keys::NodeId;
use rustix::fs::{Stat, stat};

use super::kept;

/// How the name of a mark begins.
const PREFIX: &str = "vault-of-";

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

/// A node that has a folder for its vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The file that says so.
    pub mark: PathBuf,
    /// Its home, as far as it is known.
    pub home: Option<PathBuf>,
}

/// What the mark of a node says: which folder it is in, for a copy of the folder is not its vault, on which machine, and
/// where there its home is.
pub(super) fn text_of(folder: FolderId, home: &Path) -> String {
    format!("{}\n{}\n{}\n", folder.inode, machine(), home.display())
}

fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Other nodes that have this folder for their vault, and whose home is not gone.
pub fn owners(root: &Path, node: Option<NodeId>) -> Vec<Owner> {
    let Some(id) = id_of(root) else { return Vec::new() };
    let own = node.map(name_of);
    let marks = fs::read_dir(root.join(kept::FOLDER)).into_iter().flatten().flatten();
    let others = marks.filter(|mark| {
        let name = mark.file_name();
        name.to_string_lossy().starts_with(PREFIX) && own.as_ref().is_none_or(|own| name != own.as_str())
    });
    let mut owners: Vec<_> = others.filter_map(|mark| owner(id, mark.path())).collect();
    owners.sort_by(|a, b| a.mark.cmp(&b.mark));
    owners
}

fn owner(folder: FolderId, mark: PathBuf) -> Option<Owner> {
    let text = fs::read_to_string(&mark).unwrap_or_default();
    let mut lines = text.lines();
    let (Some(inode), Some(on), Some(home)) = (lines.next(), lines.next(), lines.next()) else {
        return Some(Owner { mark, home: None });
    };
    let home = PathBuf::from(home);
    let is_missing = || home.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    let is_gone = on == machine() && is_missing();
    let is_copy = inode != folder.inode.to_string();
    if is_copy || is_gone { None } else { Some(Owner { mark, home: Some(home) }) }
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
    format!("{PREFIX}{node}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_belongs_to_whoever_marked_it_until_that_home_is_gone_and_a_copy_to_nobody() {
        let dir = tempfile::tempdir().expect("a folder");
        let (root, copy, home) = (dir.path().join("vault"), dir.path().join("copy"), dir.path().join("home"));
        for folder in [&root.join(kept::FOLDER), &copy.join(kept::FOLDER), &home] {
            fs::create_dir_all(folder).expect("made");
        }
        let name = format!("{PREFIX}somebody");
        let mark = root.join(kept::FOLDER).join(&name);
        let text = text_of(id_of(&root).expect("a folder"), &home);
        fs::write(&mark, &text).expect("written");
        fs::write(copy.join(kept::FOLDER).join(&name), &text).expect("written");
        assert_eq!(owners(&root, None), [Owner { mark: mark.clone(), home: Some(home.clone()) }]);
        assert_eq!(owners(&copy, None), []);
        fs::remove_dir(&home).expect("removed");
        assert_eq!(owners(&root, None), [], "the home is gone");
        fs::write(&mark, text.replace(&machine(), "another-machine")).expect("written");
        assert_eq!(owners(&root, None).len(), 1, "it is not known what is on another machine");
        fs::write(&mark, "").expect("written");
        assert_eq!(owners(&root, None), [Owner { mark, home: None }]);
    }
}
