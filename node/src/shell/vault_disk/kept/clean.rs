//! What an earlier run left in `.aiemp/`, sorted into what goes and what stays.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    time::{Duration, SystemTime},
};

use aiemp_protocol::ids::ContentHash;
use rustix::fs::{AtFlags, FileType};

use super::{Kept, displaced_name};
use crate::shell::vault_disk::{
    DiskError,
    reading::{self, Found},
    tree,
};

/// How long a displaced save is kept that nobody let go of.
const DISPLACED_KEPT_FOR: Duration = Duration::from_secs(30 * 86_400);

/// Takes away unfinished files and old saves. A held file that turns out to be a save becomes a displaced one. All that
/// was held or displaced is looked at for a while, for whoever has it open may not be done with it.
pub(super) fn clean(kept: &Kept) -> Result<(), DiskError> {
    let entries = tree::entries(&kept.folder).map_err(|error| DiskError::new("list", &kept.path, error))?;
    for (name, kind) in entries {
        let Some(name) = name.to_str().filter(|_| kind == FileType::RegularFile) else { continue };
        if name.starts_with("tmp-") || (name.starts_with("displaced-") && is_old(kept, name)) {
            kept.unlink(name);
        } else if let Some(rest) = name.strip_prefix("held-") {
            let known: Vec<ContentHash> = rest.split('-').filter_map(|part| part.parse().ok()).collect();
            clean_held(kept, name, &known)?;
        } else if name.starts_with("displaced-") {
            clean_held(kept, name, &[])?;
        }
    }
    Ok(())
}

fn clean_held(kept: &Kept, name: &str, known: &[ContentHash]) -> Result<(), DiskError> {
    let Found::File { bytes, is_linked, .. } = reading::read(&kept.folder, OsStr::from_bytes(name.as_bytes())) else {
        return Ok(());
    };
    let hash = ContentHash::of(&bytes);
    if known.contains(&hash) {
        kept.watch(name.to_owned(), None, known);
        return Ok(());
    }
    if name == displaced_name(hash) {
        kept.watch(name.to_owned(), None, &[hash]);
        return Ok(());
    }
    if is_linked {
        tracing::warn!(kept = %kept.path.join(name).display(), "a file with another name elsewhere is left alone");
        return Ok(());
    }
    let name = kept.keep(name, hash).map_err(|error| DiskError::new("keep", kept.path.join(name), error))?;
    tracing::warn!(kept = %kept.path.join(&name).display(), "a save that an interrupted write displaced is kept");
    kept.watch(name, None, &[hash]);
    Ok(())
}

fn is_old(kept: &Kept, name: &str) -> bool {
    let Ok(stat) = rustix::fs::statat(&kept.folder, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
    let kept_at = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or_default());
    kept_at.elapsed().is_ok_and(|age| age > DISPLACED_KEPT_FOR)
}
