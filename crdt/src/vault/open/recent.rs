//! Which documents were used how long ago.

use std::collections::BTreeMap;

use aiemp_protocol::ids::FileId;

/// Files in the order of their last use.
#[derive(Debug, Default)]
pub(in crate::vault) struct Recent {
    uses: u64,
    last: BTreeMap<FileId, u64>,
    files: BTreeMap<u64, FileId>,
}

impl Recent {
    /// Nothing was used later than this file.
    pub(in crate::vault) fn touch(&mut self, file: FileId) {
        self.uses += 1;
        if let Some(before) = self.last.insert(file, self.uses) {
            self.files.remove(&before);
        }
        self.files.insert(self.uses, file);
    }

    pub(in crate::vault) fn forget(&mut self, file: FileId) {
        if let Some(last) = self.last.remove(&file) {
            self.files.remove(&last);
        }
    }

    pub(in crate::vault) fn len(&self) -> usize {
        self.files.len()
    }

    /// Those used longest ago come first.
    pub(in crate::vault) fn iter(&self) -> impl Iterator<Item = FileId> {
        self.files.values().copied()
    }
}
