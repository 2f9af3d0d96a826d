//! Contents in which nothing was found: a file is looked at when it is taken in, and once more in the frame that carries it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use crate::{ids::ContentHash, limits::ENTRY_PAYLOAD_BYTES_MAX};

/// Contents that are remembered, some hundred bytes each: what is taken in and not yet sent while a vault is imported.
const CONTENTS_MAX: usize = 8192;

/// The digests of what one set of fingerprints found nothing in. A memory alone: it changes no verdict.
#[derive(Debug, Default)]
pub(super) struct Clean(Mutex<(BTreeSet<ContentHash>, VecDeque<ContentHash>)>);

impl Clean {
    /// What stands for these bytes; none for those too long to travel with their entry, which are not looked at as a whole
    /// again.
    pub(super) fn digest(bytes: &[u8]) -> Option<ContentHash> {
        (bytes.len() <= ENTRY_PAYLOAD_BYTES_MAX).then(|| ContentHash::of(bytes))
    }

    pub(super) fn has(&self, content: ContentHash) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.contains(&content)
    }

    pub(super) fn note(&self, content: ContentHash) {
        let mut contents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, order) = &mut *contents;
        if !known.insert(content) {
            return;
        }
        order.push_back(content);
        if order.len() > CONTENTS_MAX
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        let contents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        contents.0.len().max(contents.1.len())
    }
}
