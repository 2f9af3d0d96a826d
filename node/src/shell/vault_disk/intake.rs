//! Mails on their way into the vault: each becomes a file in `Inbox/`, where the mesh takes it up as any that a person
//! drops there.

use std::{
    io::Write as _,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use aiemp_protocol::{ids::ContentHash, vault_path::VaultPath};
use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, Mode, OFlags},
};

use super::{
    DiskError,
    tree::{self, Missing, Tree},
    written::Written,
};

/// How the names begin of what is not whole yet.
const HALF_DONE: &[u8] = b".MAIL_";

static MADE: AtomicU64 = AtomicU64::new(0);

/// The way into `Inbox/`.
#[derive(Debug)]
pub struct Intake {
    tree: Tree,
}

impl Intake {
    /// Opens the vault, which must be there. What an earlier run left half done is taken away.
    pub fn open(root: &Path) -> Result<Self, DiskError> {
        let intake = Self { tree: Tree::open(root)? };
        if let Ok(Some(folder)) = intake.tree.folder_of(&path_of(b""), Missing::Leave) {
            for name in tree::hidden(&folder).unwrap_or_default() {
                if name.as_bytes().starts_with(HALF_DONE) {
                    rustix::fs::unlinkat(&folder, &name, AtFlags::empty()).ok();
                }
            }
        }
        Ok(intake)
    }

    /// Whether the vault's path still stands for this folder.
    pub fn is_in_place(&self) -> bool {
        self.tree.is_in_place()
    }

    /// Puts mails into `Inbox/`; all are on disk when this returns. The same mail put there twice is one file.
    pub fn put<'m>(&self, mails: impl Iterator<Item = &'m [u8]>) -> Result<Vec<VaultPath>, DiskError> {
        let mut put = Vec::new();
        let mut synced = None;
        for mail in mails {
            let path = path_of(mail);
            let folder = match synced {
                Some(folder) => folder,
                None => self.folder(&path)?,
            };
            self.make(&folder, &path, mail)?;
            put.push(path);
            synced = Some(folder);
        }
        if let (Some(folder), Some(path)) = (&synced, put.last()) {
            rustix::fs::fsync(folder).map_err(|error| self.failed("sync the folder of", path, error.into()))?;
        }
        Ok(put)
    }

    /// Whether a mail lies in `Inbox/` still.
    pub fn holds(&self, path: &VaultPath) -> bool {
        let folder = self.tree.folder_of(path, Missing::Leave).ok().flatten();
        folder.is_some_and(|folder| matches!(tree::kind_of(&folder, path.name().as_ref()), Ok(Some(_))))
    }

    fn folder(&self, path: &VaultPath) -> Result<OwnedFd, DiskError> {
        let folder = self.tree.folder_of(path, Missing::Create(&Written::default()))?;
        folder.ok_or_else(|| self.failed("make the folder of", path, std::io::ErrorKind::NotFound.into()))
    }

    /// Made under a name that nobody looks at, for a mail that is half there is none.
    fn make(&self, folder: &OwnedFd, path: &VaultPath, mail: &[u8]) -> Result<(), DiskError> {
        // Of its own, for two may bring the same mail at once.
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let hidden = format!(".MAIL_{number}");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = rustix::fs::openat(folder, &hidden, flags, Mode::RUSR | Mode::WUSR).map_err(std::io::Error::from);
        let made = made.and_then(|file| {
            let mut file = std::fs::File::from(file);
            file.write_all(mail)?;
            file.sync_all()?;
            Ok(rustix::fs::renameat(folder, &hidden, folder, path.name())?)
        });
        made.map_err(|error| {
            rustix::fs::unlinkat(folder, &hidden, AtFlags::empty()).ok();
            self.failed("write", path, error)
        })
    }

    fn failed(&self, what: &'static str, path: &VaultPath, error: std::io::Error) -> DiskError {
        DiskError::new(what, self.tree.shown(path), error)
    }
}

fn path_of(mail: &[u8]) -> VaultPath {
    let mut name = ContentHash::of(mail).to_string();
    name.truncate(32);
    VaultPath::join("Inbox", &format!("MAIL_{name}.eml")).expect("made of safe characters")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("read").file_name());
        entries.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_mail_is_one_whole_file_however_often_it_comes() {
        let root = tempfile::tempdir().expect("a folder");
        let intake = Intake::open(root.path()).expect("opened");
        let mails: [&[u8]; 2] = [b"Subject: one\r\n\r\n", b"Subject: two\r\n\r\n"];
        let put = intake.put(mails.into_iter()).expect("put");
        assert_eq!(intake.put(mails.into_iter().take(1)).expect("put"), put[..1]);
        assert_eq!(names(&root.path().join("Inbox")).len(), 2);
        assert!(put.iter().all(|path| intake.holds(path)));
        assert_eq!(fs::read(root.path().join(put[0].as_str())).expect("read"), mails[0]);
        fs::remove_file(root.path().join(put[0].as_str())).expect("removed");
        assert!(!intake.holds(&put[0]));
        for name in [".MAIL_0123.eml", ".other"] {
            fs::write(root.path().join("Inbox").join(name), "Subject: ha").expect("written");
        }
        Intake::open(root.path()).expect("opened");
        assert_eq!(names(&root.path().join("Inbox")).len(), 2, "what is half done is gone");
    }

    #[test]
    fn an_inbox_that_leads_elsewhere_is_refused_and_nothing_is_left() {
        let (root, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        std::os::unix::fs::symlink(other.path(), root.path().join("Inbox")).expect("linked");
        let intake = Intake::open(root.path()).expect("opened");
        let told = intake.put([&b"Subject: one\r\n\r\n"[..]].into_iter()).expect_err("refused").to_string();
        assert!(told.contains("symbolic link"), "{told}");
        assert_eq!(names(other.path()), [""; 0]);
    }
}
