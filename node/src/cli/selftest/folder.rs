//! A folder for what an attack needs on disk.

use std::path::{Path, PathBuf};

/// Lies in the temporary folder, not made yet; gone afterwards.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn named(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("aiemp-selftest-{}-{name}", std::process::id())))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed lies in the temporary folder and harms nobody.
        std::fs::remove_dir_all(&self.0).ok();
    }
}
