//! How much space is left below a directory.

use std::path::Path;

use anyhow::{Context, Result};

/// Megabytes that this user may still write on the file system of `path`.
pub fn megabytes(path: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(path).with_context(|| format!("cannot look at {}", path.display()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize) >> 20)
}
