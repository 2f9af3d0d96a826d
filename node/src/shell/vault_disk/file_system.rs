//! What the file system under the vault is, as far as it matters.

use rustix::{fd::BorrowedFd, fs::fstatfs};

/// File systems on which others change files without this system telling of it, by the magic number of `statfs`: on
/// servers, and in programs that answer for the kernel.
const REMOTE: [(u32, &str); 10] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "SMB"),
    (0xfe53_4d42, "SMB"),
    (0x6573_5546, "FUSE"),
    (0x0102_1997, "9P"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x0bd0_0bd0, "Lustre"),
    (0x0116_1970, "GFS2"),
];

/// Its name, if others may change files there without this system telling.
pub(super) fn remote(top: BorrowedFd<'_>) -> Option<&'static str> {
    // The width of the number differs between machines; its lower half is the magic.
    let magic = fstatfs(top).ok()?.f_type as u32;
    name_of(magic)
}

fn name_of(magic: u32) -> Option<&'static str> {
    REMOTE.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd};

    use super::*;

    #[test]
    fn disks_of_this_machine_tell_of_changes_and_servers_do_not() {
        let root = tempfile::tempdir().expect("a folder");
        assert_eq!(remote(File::open(root.path()).expect("it opens").as_fd()), None);
        for (magic, name) in [(0x6969, Some("NFS")), (0xff53_4d42, Some("SMB")), (0x6573_5546, Some("FUSE"))] {
            assert_eq!(name_of(magic), name);
        }
        for local in [0xef53, 0x0102_1994, 0x9123_683e, 0x5846_5342] {
            assert_eq!(name_of(local), None, "{local:x}");
        }
    }
}
