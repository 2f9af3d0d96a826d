//! How much space is left below a directory.

use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::ErrorCode;

use crate::fault::lacks_room;

/// Of a small file system no more than this share is kept free: a floor that it cannot reach would keep all out.
const SHARE_KEPT: u64 = 10;

/// What SQLite wants beside an empty file: the index of its log, and a page of each.
const ROOM_OF_A_STORE: u64 = 48 << 10;

/// Whether this user may still write so many bytes on the file system of `path` and leave `floor_megabytes` free there,
/// or a tenth of it where it is small.
pub fn has_room(path: &Path, bytes: u64, floor_megabytes: u64) -> Result<bool> {
    let stat = rustix::fs::statvfs(path).with_context(|| format!("cannot look at {}", path.display()))?;
    let of_blocks = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    let floor = floor_megabytes.saturating_mul(1 << 20).min(of_blocks(stat.f_blocks) / SHARE_KEPT);
    Ok(of_blocks(stat.f_bavail) >= bytes.saturating_add(floor))
}

/// Whether SQLite found no room, also where SQLite says less of a file on a disk on which next to nothing is left.
pub fn lacks_room_at(error: &rusqlite::Error, path: &Path) -> bool {
    let may_be = matches!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen));
    let folder = path.parent().unwrap_or(path);
    lacks_room(error) || may_be && has_room(folder, ROOM_OF_A_STORE, 0).is_ok_and(|is_there| !is_there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_into_the_space_that_stays_free() {
        let root = tempfile::tempdir().expect("a folder");
        let stat = rustix::fs::statvfs(root.path()).expect("it can be told");
        let free = stat.f_bavail * stat.f_frsize;
        let has_room = |bytes, floor| has_room(root.path(), bytes, floor).expect("it can be told");
        // Others write there at the same time.
        let some = free / 4;
        assert!(has_room(free - some, 0));
        assert!(!has_room(free + some, 0));
        let tenth = stat.f_blocks * stat.f_frsize / SHARE_KEPT;
        assert!(!has_room(free.saturating_sub(tenth) + some, u64::MAX));
    }
}
