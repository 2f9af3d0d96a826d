//! The vault's folder is not in its place: what is seen there says nothing of the files, and nothing can be written.

use super::Vault;

impl Vault {
    /// The shell looked where the folder is. What changed while it was away is found by a scan once it is back.
    pub(super) fn place_checked(&mut self, is_away: bool) {
        self.is_away = is_away;
        if is_away {
            // A folder that is taken away as a whole is emptied first, file by file.
            self.missing.clear();
        } else {
            self.project_postponed();
        }
    }

    /// Whether the vault's folder is not in its place.
    pub const fn is_away(&self) -> bool {
        self.is_away
    }
}
