//! How much space is left below a directory.

use std::path::Path;

use anyhow::{Context, Result};

/// Of a small file system no more than this share is kept free: a floor that it cannot reach would keep all out.
const SHARE_KEPT: u64 = 10;

/// Whether this user may still write so many bytes on the file system of `path` and leave `floor_megabytes` free there,
/// or a tenth of it where it is small.
pub fn has_room(path: &Path, bytes: u64, floor_megabytes: u64) -> Result<bool> {
    let stat = rustix::fs::statvfs(path).with_context(|| format!("cannot look at {}", path.display()))?;
    let of_blocks = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    let floor = floor_megabytes.saturating_mul(1 << 20).min(of_blocks(stat.f_blocks) / SHARE_KEPT);
    Ok(of_blocks(stat.f_bavail) >= bytes.saturating_add(floor))
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
