//! Giving a home and its vault to three users.
//!
//! Root walks through folders that a program of the person may be changing meanwhile. So every folder is opened without
//! following links and is root's alone while it is worked through, and files are changed through the handle that was
//! looked at: nobody gets root to give away a file from elsewhere. A file of the home that changes hands is copied, for
//! whoever had the old one open goes on writing that one.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::Path,
};

use aiemp_keys::private_file;
use anyhow::{Context as _, Result};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, RawMode, Uid, XattrFlags},
    io::Errno,
};

use super::Users;
use crate::{fault::Fault, home::Home, shell::identity};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Not blocking, for a pipe put in the place of a file would hold root up.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Where the mesh keeps files on their way into the vault.
const KEPT: &str = ".aiemp";
const NEW: OFlags =
    OFlags::WRONLY.union(OFlags::CREATE).union(OFlags::EXCL).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Where lies what servers kept before.
const ASIDE: &str = "tools-before-";
/// A copy that is not in its place yet.
const COPY: &str = ".aiemp-given";
const VAULT_FOLDER_MODE: RawMode = 0o2770;
const VAULT_FILE_MODE: RawMode = 0o660;

/// Whose something becomes, and with which rights.
#[derive(Clone, Copy)]
struct Given {
    owner: u32,
    group: u32,
    mode: RawMode,
}

/// Refuses a home that somebody else than root could move away, with another put in its place.
pub fn check_above(home: &Path) -> Result<(), Fault> {
    for above in home.ancestors().skip(1) {
        let Ok(found) = fs::metadata(above) else { continue };
        // Of a folder that is sticky, as /tmp, others cannot move what is root's.
        if found.uid() != 0 || (found.mode() & 0o022 != 0 && found.mode() & 0o1000 == 0) {
            let message = format!("{} is not root's alone, so others could move the home away", above.display());
            let fix = "Move the home, for example to /var/lib/aiemp-node/home, and run this again with that --home.";
            return Err(Fault::operator("place", message, fix));
        }
    }
    Ok(())
}

/// Gives every file of home and vault to whom it belongs, and declares the users. May be repeated.
pub fn separate(home: &Home, vault: &Path, users: &Users) -> Result<()> {
    let audits = [home.mesh_audit(), home.executor_audit()];
    let shared = [home.run(), home.outbox(), home.freezes(), home.standing(), home.requests(), home.watchers()];
    for folder in shared.iter().chain(&audits) {
        make_folder(folder)?;
    }
    put_aside(home, users)?;
    let places = users.places(home);
    // What watchers and servers keep there is theirs: links, and files that may be run.
    let own = [home.watchers(), home.tools()];
    let is_aside = |path: &Path| {
        let first = path.strip_prefix(home.path()).ok().and_then(|path| path.components().next());
        first.is_some_and(|first| first.as_os_str().as_bytes().starts_with(ASIDE.as_bytes()))
    };
    let give = |path: &Path, kind: FileType| {
        if is_aside(path) || own.iter().any(|own| path != own && path.starts_with(own)) {
            return None;
        }
        let around = places.iter().filter(|place| path.starts_with(&place.path));
        let place = around.max_by_key(|place| place.path.components().count())?;
        let mode = if kind == FileType::Directory { place.folder_mode } else { place.file_mode };
        Some(Given { owner: place.owners[0], group: place.group, mode })
    };
    let top = rustix::fs::open(home.path(), FOLDER, Mode::empty()).with_context(|| shown(home.path()))?;
    give_folder(&top, home.path(), &give, false)?;
    let in_vault = |path: &Path, kind: FileType| {
        let inner = path.strip_prefix(vault).unwrap_or(path);
        let group = users.mesh.gid;
        let mode = if kind == FileType::Directory { VAULT_FOLDER_MODE } else { VAULT_FILE_MODE };
        if inner.starts_with(KEPT) {
            return Some(Given { owner: users.mesh.uid, group, mode: mode & 0o700 });
        }
        // What editors and others keep beside the notes stays as it is.
        let is_hidden = inner.components().any(|part| part.as_os_str().as_bytes().starts_with(b"."));
        (!is_hidden).then_some(Given { owner: users.person.uid, group, mode })
    };
    let top = rustix::fs::open(vault, FOLDER, Mode::empty()).with_context(|| shown(vault))?;
    give_folder(&top, vault, &in_vault, true)?;
    declare(home, users)
}

/// What servers kept when they ran as another user is none that the executor could use: it stays, beside.
fn put_aside(home: &Home, users: &Users) -> Result<()> {
    let tools = home.tools();
    let Ok(found) = fs::symlink_metadata(&tools) else { return Ok(()) };
    if found.is_dir() && found.uid() == users.executor.uid {
        return Ok(());
    }
    let mut beside = (1..100).map(|count| home.path().join(format!("{ASIDE}{count}")));
    let beside = beside.find(|path| fs::symlink_metadata(path).is_err()).context("too many are put aside")?;
    fs::rename(&tools, &beside).with_context(|| format!("cannot put {} aside", tools.display()))
}

/// Writes what the processes go by; last, so that a home half given away has no users and refuses every start.
fn declare(home: &Home, users: &Users) -> Result<()> {
    private_file::declare(users.places(home));
    let node = identity::load(home)?.node_id();
    private_file::write_private(&home.node_id(), format!("{node}\n").as_bytes())?;
    let about = "# Who runs what in this home; written by `aiemp-node service separate`, as root.\n";
    Ok(private_file::write_private(&home.users(), format!("{about}{}", toml::to_string(users)?).as_bytes())?)
}

fn make_folder(path: &Path) -> Result<()> {
    match fs::DirBuilder::new().recursive(true).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot make {}", path.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Takes the folder for root, gives away what is in it, then the folder itself.
fn give_folder(
    folder: &OwnedFd,
    path: &Path,
    give: &dyn Fn(&Path, FileType) -> Option<Given>,
    is_vault: bool,
) -> Result<()> {
    let Some(given) = give(path, FileType::Directory) else { return Ok(()) };
    hand_over(folder, Given { owner: 0, group: 0, mode: 0o700 }).with_context(|| shown(path))?;
    if !is_vault {
        clear(folder).with_context(|| shown(path))?;
    }
    for name in names_in(folder).with_context(|| shown(path))? {
        let inner = path.join(&name);
        give_entry(folder, &name, &inner, give, is_vault).with_context(|| shown(&inner))?;
    }
    if !is_vault {
        rustix::fs::fsync(folder).with_context(|| shown(path))?;
    }
    if is_vault && given.mode == VAULT_FOLDER_MODE {
        share_what_is_made(folder).with_context(|| shown(path))?;
    }
    hand_over(folder, given).with_context(|| shown(path))
}

/// Removes what a run left that was interrupted.
fn clear(folder: &OwnedFd) -> Result<(), Errno> {
    match rustix::fs::unlinkat(folder, COPY, AtFlags::empty()) {
        Err(error) if error != Errno::NOENT => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// All of them, before anything is put beside them.
fn names_in(folder: &OwnedFd) -> Result<Vec<OsString>, Errno> {
    let names = Dir::read_from(folder)?.map(|entry| Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned()));
    let is_other = |name: &Result<OsString, Errno>| !matches!(name, Ok(name) if name == "." || name == "..");
    names.filter(is_other).collect()
}

fn give_entry(
    folder: &OwnedFd,
    name: &OsStr,
    path: &Path,
    give: &dyn Fn(&Path, FileType) -> Option<Given>,
    is_vault: bool,
) -> Result<()> {
    let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            let inner = rustix::fs::openat(folder, name, FOLDER, Mode::empty())?;
            give_folder(&inner, path, give, is_vault)
        }
        FileType::RegularFile => {
            let Some(given) = give(path, FileType::RegularFile) else { return Ok(()) };
            let file = rustix::fs::openat(folder, name, FILE, Mode::empty())?;
            let stat = rustix::fs::fstat(&file)?;
            // The other name may lie where nobody meant this to reach.
            if stat.st_nlink != 1 || FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return if is_vault { Ok(()) } else { Err(in_the_way(path).into()) };
            }
            // Of the vault, the person's programs go on writing what they have open.
            if is_vault || stat.st_uid == given.owner {
                Ok(hand_over(&file, given)?)
            } else {
                replace(folder, name, file, given)
            }
        }
        // Left behind by a node that was killed.
        FileType::Socket => Ok(rustix::fs::unlinkat(folder, name, AtFlags::empty())?),
        FileType::Symlink | FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => {
            if is_vault {
                Ok(())
            } else {
                Err(in_the_way(path).into())
            }
        }
    }
}

/// Puts a copy in the place of a file that changes hands.
fn replace(folder: &OwnedFd, name: &OsStr, file: OwnedFd, given: Given) -> Result<()> {
    let mut copy = File::from(rustix::fs::openat(folder, COPY, NEW, Mode::RUSR | Mode::WUSR)?);
    io::copy(&mut File::from(file), &mut copy)?;
    hand_over(&copy, given)?;
    copy.sync_all()?;
    Ok(rustix::fs::renameat(folder, COPY, folder, name)?)
}

fn in_the_way(path: &Path) -> Fault {
    let message = format!("{} is a link, or no file, and has no place in a home", path.display());
    Fault::operator("in_the_way", message, "Move it away, then run this again.")
}

fn hand_over(file: impl AsFd, given: Given) -> Result<(), Errno> {
    // The owner first: taking a file from its owner clears what the mode may say beside rights.
    rustix::fs::fchown(&file, Some(Uid::from_raw(given.owner)), Some(Gid::from_raw(given.group)))?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(given.mode))
}

/// Lets the group read and write what is made in a folder of the vault, whatever umask an editor has.
fn share_what_is_made(folder: &OwnedFd) -> Result<(), Errno> {
    const VERSION: u32 = 2;
    const NOBODY: u32 = u32::MAX;
    let mut acl = VERSION.to_le_bytes().to_vec();
    // Owner, group, others.
    for (tag, rights) in [(0x01_u16, 7_u16), (0x04, 7), (0x20, 0)] {
        acl.extend(tag.to_le_bytes());
        acl.extend(rights.to_le_bytes());
        acl.extend(NOBODY.to_le_bytes());
    }
    match rustix::fs::fsetxattr(folder, "system.posix_acl_default", &acl, XattrFlags::empty()) {
        Err(Errno::OPNOTSUPP) => {
            tracing::warn!("this file system has no access lists: let your editor run with umask 002");
            Ok(())
        }
        set => set,
    }
}

fn shown(path: &Path) -> String {
    format!("cannot give {} to its user", path.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_home_below_a_folder_that_others_write_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let lax = directory.path().join("lax");
        fs::create_dir(&lax).unwrap();
        fs::set_permissions(&lax, fs::Permissions::from_mode(0o777)).unwrap();
        let told = check_above(&lax.join("home")).unwrap_err();
        assert!(told.message.contains("others could move the home away"), "{told}");
        assert!(told.fix.contains("/var/lib/aiemp-node/home"), "{told}");
    }

    /// Root walks over what a program of the person put there.
    #[test]
    fn nothing_that_a_link_leads_to_is_given_away() {
        let directory = tempfile::tempdir().unwrap();
        let (top, elsewhere) = (directory.path().join("top"), directory.path().join("elsewhere"));
        fs::create_dir(&top).unwrap();
        fs::write(&elsewhere, "root's\n").unwrap();
        let own = fs::metadata(&elsewhere).unwrap();
        let mode = own.mode();
        let give = |_: &Path, _: FileType| Some(Given { owner: own.uid(), group: own.gid(), mode: 0o777 });
        type Trap = fn(&Path, &Path) -> std::io::Result<()>;
        let traps: [Trap; 2] = [|from, to| symlink(from, to), |from, to| fs::hard_link(from, to)];
        for trap in traps {
            trap(&elsewhere, &top.join("trap")).unwrap();
            let folder = rustix::fs::open(&top, FOLDER, Mode::empty()).unwrap();
            let walk = |is_vault| give_entry(&folder, OsStr::new("trap"), &top.join("trap"), &give, is_vault);
            let told = walk(false).unwrap_err().to_string();
            assert!(told.contains("is a link, or no file"), "{told}");
            walk(true).unwrap();
            assert_eq!(fs::metadata(&elsewhere).unwrap().mode(), mode);
            fs::remove_file(top.join("trap")).unwrap();
        }
    }
}
