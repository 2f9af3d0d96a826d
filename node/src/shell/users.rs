//! A home that three users share: one for the mesh, one for the executor, and the person.
//!
//! Root declares them in a file that only root writes, in a home whose folders only root moves. [`Users::places`] is the one
//! list of who may do what with which folder: the separation gives it to the files, and every process checks against it.

mod separate;

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use aiemp_keys::private_file::{self, Place};
use rustix::{fs::Mode, process::getuid};
use serde::{Deserialize, Serialize};

pub use self::separate::{check_above, separate};
use crate::{fault::Fault, home::Home};

/// A user with its own group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Its uid.
    pub uid: u32,
    /// The group that is its own; of the mesh's the person is a member too.
    pub gid: u32,
}

/// The users of a home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Users {
    /// The group of all three, which lets into the home and nowhere below it.
    pub group: u32,
    /// Runs the mesh process.
    pub mesh: User,
    /// Runs the executor.
    pub executor: User,
    /// Approves, and edits the vault.
    pub person: User,
}

impl Users {
    /// The users of a home; `None` where all its processes run as one.
    ///
    /// Refused where somebody else than root could have written them.
    pub fn load(home: &Home) -> Result<Option<Self>, Fault> {
        let path = home.users();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(&path, &error.to_string())),
        };
        for place in [home.path(), &path] {
            let found = fs::symlink_metadata(place).map_err(|error| unreadable(place, &error.to_string()))?;
            if found.uid() != 0 || found.mode() & 0o022 != 0 {
                let message = format!("{} belongs to others than root, or others can write it", place.display());
                let fix = "Find out who did that, then run `aiemp-node service separate` as root again.";
                return Err(Fault::refused("users", message, fix));
            }
        }
        let users: Self = toml::from_str(&text).map_err(|error| unreadable(&path, error.message()))?;
        users.check()?;
        Ok(Some(users))
    }

    /// Refuses users that would be no three, and root, from whom nothing is kept.
    pub fn check(&self) -> Result<(), Fault> {
        let uids = [self.mesh.uid, self.executor.uid, self.person.uid];
        let gids = [self.mesh.gid, self.executor.gid, self.group];
        let differ = |ids: [u32; 3]| ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2] && !ids.contains(&0);
        if differ(uids) && differ(gids) {
            return Ok(());
        }
        let message = format!("the uids {uids:?}, or the groups {gids:?}, are not three different ones without root's");
        Err(Fault::refused(
            "users",
            message,
            "Give each its own user and group; see \"Three users\" in deploy/README.md.",
        ))
    }

    /// Whose each place of the home is.
    pub fn places(&self, home: &Home) -> Vec<Place> {
        let (root, mesh, executor, person) = (0, self.mesh.uid, self.executor.uid, self.person.uid);
        let place = |path, owners: &[u32], group, folder_mode, file_mode| Place {
            path,
            owners: owners.to_vec(),
            group,
            folder_mode,
            file_mode,
        };
        vec![
            // Settings say where mail goes with whose password, so no program of the person changes them.
            place(home.path().to_owned(), &[root], self.group, 0o750, 0o640),
            place(home.keys(), &[person], self.mesh.gid, 0o2710, 0o600),
            // The mesh speaks with it; pairing and freezing sign with it.
            place(home.keys().join("node.key"), &[person], self.mesh.gid, 0o750, 0o640),
            place(home.mesh(), &[mesh, person], self.mesh.gid, 0o2770, 0o660),
            // These verify themselves, and the executor reads them.
            place(home.roster_folder(), &[mesh, person], self.mesh.gid, 0o2775, 0o644),
            place(home.freezes(), &[mesh, person], self.mesh.gid, 0o2775, 0o644),
            place(home.run(), &[mesh], self.mesh.gid, 0o2750, 0o640),
            // The person hands in, the executor takes out.
            place(home.approved(), &[person], self.executor.gid, 0o2770, 0o640),
            // The person allows, both others look; the mesh asks, the executor takes out.
            place(home.standing(), &[person], self.group, 0o2750, 0o640),
            place(home.requests(), &[mesh], self.executor.gid, 0o2770, 0o640),
            place(home.receipts(), &[executor], self.mesh.gid, 0o2750, 0o640),
            place(home.executor(), &[executor], self.executor.gid, 0o700, 0o600),
            place(home.outbox(), &[executor], self.group, 0o2750, 0o640),
            // What watchers keep; the person runs them.
            place(home.watchers(), &[person], self.person.gid, 0o700, 0o600),
            place(home.mesh_audit(), &[mesh], self.mesh.gid, 0o700, 0o600),
            place(home.executor_audit(), &[executor], self.executor.gid, 0o700, 0o600),
        ]
    }

    /// Refuses a process of the home that runs as another user than its own.
    pub fn check_process(&self, process: &str, expected: User) -> Result<(), Fault> {
        let own = getuid().as_raw();
        if own == expected.uid {
            return Ok(());
        }
        let message = format!("the {process} of this home runs as uid {}, and this is uid {own}", expected.uid);
        Err(Fault::refused("user", message, "Start it by its unit; \"Three users\" in deploy/README.md has them."))
    }
}

/// Tells the whole process whose the places of this home are; the users, if they are several.
pub fn adopt(home: &Home) -> Result<Option<Users>, Fault> {
    let users = Users::load(home)?;
    if let Some(users) = &users {
        private_file::declare(users.places(home));
        // What is made takes the rights that its place gives its group; each place names them.
        rustix::process::umask(Mode::WOTH);
    }
    Ok(users)
}

fn unreadable(path: &Path, why: &str) -> Fault {
    let message = format!("{} cannot be read: {why}", path.display());
    Fault::refused(
        "users",
        message,
        "Run this as one of the home's users, or `aiemp-node service separate` as root again.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: u32) -> User {
        User { uid: id, gid: id }
    }

    #[test]
    fn users_are_three_and_none_of_them_is_root() {
        let good = Users { group: 14, mesh: user(11), executor: user(12), person: user(13) };
        good.check().unwrap();
        // The person's own group plays no part.
        Users { person: User { uid: 13, gid: 11 }, ..good }.check().unwrap();
        for bad in [
            Users { mesh: user(0), ..good },
            Users { person: user(0), ..good },
            Users { executor: user(11), ..good },
            Users { person: user(12), ..good },
            Users { executor: User { uid: 12, gid: 11 }, ..good },
            Users { group: 12, ..good },
            Users { group: 0, ..good },
        ] {
            let told = bad.check().unwrap_err();
            assert_eq!((told.exit, told.code), (78, "users"), "{bad:?}");
        }
    }

    #[test]
    fn the_file_comes_back_and_what_it_does_not_know_refuses() {
        let users = Users { group: 14, mesh: user(11), executor: user(12), person: user(13) };
        let text = toml::to_string(&users).unwrap();
        assert_eq!(toml::from_str::<Users>(&text).unwrap(), users);
        assert!(toml::from_str::<Users>(&format!("other = 1\n{text}")).is_err());
    }

    #[test]
    fn users_that_another_than_root_wrote_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        assert_eq!(Users::load(&home).unwrap(), None);
        fs::write(home.users(), "group = 1\n").unwrap();
        fs::set_permissions(home.users(), std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        let told = Users::load(&home).unwrap_err();
        assert_eq!(told.exit, 78);
        assert!(told.message.contains("others can write it"), "{told}");
    }
}
