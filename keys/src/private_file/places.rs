//! Homes that several users share: whose each place is, declared once for the whole process.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, fchown},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::PrivacyError;

/// The set-group-id bit of a folder, by which what is made there belongs to its group.
const SET_GROUP: u32 = 0o2000;

static DECLARED: OnceLock<Vec<Place>> = OnceLock::new();

/// Whose a file or folder is, with everything below it that is no place of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where.
    pub path: PathBuf,
    /// The uids that may own it. What root makes belongs to the first.
    pub owners: Vec<u32>,
    /// The one group that may have rights.
    pub group: u32,
    /// The rights on folders, and the most that one may have.
    pub folder_mode: u32,
    /// The rights on files, and the most that one may have.
    pub file_mode: u32,
}

/// Declares the places of a shared home; everywhere else a file is its user's alone. The first declaration stands.
pub fn declare(places: Vec<Place>) {
    DECLARED.get_or_init(|| places);
}

/// The innermost place that a path lies in.
pub(super) fn of(path: &Path) -> Option<&'static Place> {
    innermost(DECLARED.get()?, path)
}

fn innermost<'a>(places: &'a [Place], path: &Path) -> Option<&'a Place> {
    let around = places.iter().filter(|place| path.starts_with(&place.path));
    around.max_by_key(|place| place.path.components().count())
}

impl Place {
    /// Checks owner, group and rights of what lies at `path`, in this place.
    pub fn check(&self, path: &Path, found: &fs::Metadata) -> Result<(), PrivacyError> {
        let path = path.to_owned();
        let (owner, group) = (found.uid(), found.gid());
        if !self.owners.contains(&owner) {
            return Err(PrivacyError::Outsider { path, owner, wanted: self.owners.first().copied().unwrap_or(0) });
        }
        let most = if found.is_dir() { self.folder_mode | SET_GROUP } else { self.file_mode };
        let mode = found.mode() & 0o7777;
        if mode & !most != 0 {
            return Err(PrivacyError::Lax { path, mode, wanted: most });
        }
        if mode & 0o070 != 0 && group != self.group {
            return Err(PrivacyError::OtherGroup { path, group, wanted: self.group });
        }
        Ok(())
    }

    /// Gives what root made to whom it belongs.
    pub(super) fn hand_over(&self, file: &fs::File) -> io::Result<()> {
        fchown(file, self.owners.first().copied(), Some(self.group))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn place(path: &Path, owner: u32, group: u32) -> Place {
        Place { path: path.to_owned(), owners: vec![owner], group, folder_mode: 0o2770, file_mode: 0o640 }
    }

    #[test]
    fn the_innermost_place_counts() {
        let places = [place(Path::new("/h"), 1, 1), place(Path::new("/h/keys"), 2, 2)];
        let owner = |path| innermost(&places, Path::new(path)).map(|place| place.owners[0]);
        assert_eq!(owner("/h/mesh/store"), Some(1));
        assert_eq!(owner("/h/keys/node.key"), Some(2));
        assert_eq!(owner("/h/keys2"), Some(1), "a name that only begins alike is another one");
        assert_eq!(owner("/other"), None);
    }

    #[test]
    fn exactly_the_declared_owner_group_and_rights_are_taken() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("a.approval");
        fs::write(&file, b"x").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let found = fs::metadata(&file).unwrap();
        let (own, group) = (found.uid(), found.gid());
        place(home.path(), own, group).check(&file, &found).unwrap();
        let said = |place: Place| place.check(&file, &fs::metadata(&file).unwrap()).unwrap_err().to_string();
        let path = file.display();
        let other = own + 1;
        assert_eq!(
            said(place(home.path(), other, group)),
            format!("{path} belongs to uid {own}: find out who put it there, then run `chown {other} {path}` as root")
        );
        let other = group + 1;
        assert_eq!(
            said(place(home.path(), own, other)),
            format!("{path} is open to group {group}: run `chgrp {other} {path}` as root")
        );
        for mode in [0o660, 0o644, 0o641, 0o4640, 0o2640] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let told = said(place(home.path(), own, group));
            assert!(told.contains(&format!("run `chmod 640 {path}`")), "{mode:o}: {told}");
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let tight = fs::metadata(&file).unwrap();
        place(home.path(), own, group + 1).check(&file, &tight).expect("no group has rights, so it matters not which");
    }
}
