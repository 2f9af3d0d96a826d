//! Entries that do not stand: an older copy of this home wrote them before it met a peer, or they lie on a branch of a
//! log that the root key did not let stand. What has to be given up, so that nothing is lost.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_crdt::{
    index::{FileRecord, Origin},
    vault::{GivenUp, Projection},
};
use aiemp_protocol::{
    entry::ContentRef,
    ids::{ContentHash, LogId},
    vault_path::VaultPath,
};

use super::Core;

/// What the store must forget before the node starts again. What this node's own entries said lies on disk, and is found
/// there as new saves, in the next generation of its logs.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// The logs, each with its last entry that stands.
    pub keep: BTreeMap<LogId, u64>,
    /// The generation to write from then on.
    pub generation: u64,
    /// What lies on disk of files that the forgotten entries speak of, as it is to be remembered: not at all for files
    /// that they created, else as content that nobody has seen yet.
    projections: Vec<(String, Option<Projection>)>,
    /// The changes of these files that do not stand.
    changes: BTreeSet<ContentRef>,
    /// What others wrote into these files does not stand: as they lie on disk they are kept for the person.
    pub lost: Vec<Lost>,
}

/// A file that says what does not stand.
#[derive(Clone, Debug)]
pub struct Lost {
    /// Where it lies.
    pub path: VaultPath,
    /// Whether nothing of it stands, so that it goes from the vault.
    pub goes: Option<ContentHash>,
}

impl Divergence {
    /// What is to be remembered of the disk. What lies there follows from changes that stand, or the next save would add
    /// anew what it contains of them; `read` gives those that do not.
    pub fn remembered<E>(
        &self,
        read: impl FnMut(ContentRef) -> Result<Option<Vec<u8>>, E>,
    ) -> Result<Vec<(String, Option<Projection>)>, E> {
        let raw = self.changes.iter().copied().map(read).collect::<Result<Vec<_>, E>>()?;
        let given_up = GivenUp::of(raw.into_iter().flatten());
        let standing = |there: &Projection| Projection { heads: given_up.heads_without(&there.heads), ..there.clone() };
        Ok(self.projections.iter().map(|(key, there)| (key.clone(), there.as_ref().map(standing))).collect())
    }
}

impl Core {
    /// Set once what is held was found to have forked from what stands; the shell then ends this run.
    pub const fn divergence(&self) -> Option<&Divergence> {
        self.divergence.as_ref()
    }

    /// Writes no generation below this one.
    pub fn raise_generation(&mut self, generation: u64) {
        self.replication.raise_generation(generation);
    }

    pub(super) fn divergence_of(&self, keep: BTreeMap<LogId, u64>) -> Divergence {
        let me = self.replication.me();
        let given_up = |origin: &Origin| keep.get(&origin.log).is_some_and(|keep| origin.seq > *keep);
        let of_others = |origin: &Origin| given_up(origin) && origin.author() != me;
        let (mut projections, mut lost, mut changes) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (key, there) in self.vault.on_disk() {
            let Some(record) = self.vault.index().get(there.file) else { continue };
            let do_not_stand = record.changes().iter().filter(|change| given_up(&change.origin));
            changes.extend(do_not_stand.map(|change| change.named()));
            let is_foreign = touched(record, &of_others) || record.has_changes_since(of_others);
            let goes = record.base.writes().all(|(origin, _)| given_up(origin));
            if is_foreign {
                lost.push(Lost { path: there.path.clone(), goes: goes.then_some(there.hash) });
            }
            if goes {
                projections.push((key.to_owned(), None));
            } else if is_foreign {
                // The text that stands is written over it.
                projections.push((key.to_owned(), Some(Projection { merged_changes: None, ..there.clone() })));
            } else if touched(record, &given_up) {
                let unseen = Projection { hash: ContentHash::of(b"unseen"), merged_changes: None, ..there.clone() };
                projections.push((key.to_owned(), Some(unseen)));
            }
        }
        let own = keep.keys().filter(|log| log.author == me).map(|log| log.generation + 1).max();
        Divergence { generation: own.unwrap_or(0), keep, projections, changes, lost }
    }
}

fn touched(record: &FileRecord, given_up: &impl Fn(&Origin) -> bool) -> bool {
    record.changes().iter().any(|change| given_up(&change.origin))
        || record.path.writes().any(|(origin, _)| given_up(origin))
        || record.base.writes().any(|(origin, _)| given_up(origin))
        || record.archived.writes().any(|(origin, _)| given_up(origin))
}
