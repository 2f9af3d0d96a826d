//! An older copy of this home that wrote before it met a peer: what has to be given up so that nothing is lost.

use aiemp_crdt::{
    index::{FileRecord, Origin},
    vault::Projection,
};
use aiemp_protocol::ids::{ContentHash, LogId};

use super::Core;

/// What the store must forget before the node starts again, in the next generation of its logs. What the entries said
/// lies on disk, and is found there as new saves.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// The log that forked.
    pub log: LogId,
    /// Its last entry that stands.
    pub keep: u64,
    /// The generation to write from then on.
    pub generation: u64,
    /// What lies on disk of files that the forgotten entries speak of, as it is to be remembered: not at all for files
    /// that they created, else as content that nobody has seen yet.
    pub projections: Vec<(String, Option<Projection>)>,
}

impl Core {
    /// Set once the own log was found to have forked; the shell then ends this run.
    pub const fn divergence(&self) -> Option<&Divergence> {
        self.divergence.as_ref()
    }

    /// Writes no generation below this one.
    pub fn raise_generation(&mut self, generation: u64) {
        self.replication.raise_generation(generation);
    }

    pub(super) fn divergence_of(&self, log: LogId, keep: u64) -> Divergence {
        let given_up = |origin: &Origin| origin.log == log && origin.seq > keep;
        let projections = self.vault.on_disk().iter().filter_map(|(key, projection)| {
            let record = self.vault.index().get(projection.file)?;
            if record.base.writes().all(|(origin, _)| given_up(origin)) {
                return Some((key.clone(), None));
            }
            let unseen = Projection { hash: ContentHash::of(b"unseen"), merged_changes: None, ..projection.clone() };
            touched(record, &given_up).then_some((key.clone(), Some(unseen)))
        });
        Divergence { log, keep, generation: log.generation + 1, projections: projections.collect() }
    }
}

fn touched(record: &FileRecord, given_up: &impl Fn(&Origin) -> bool) -> bool {
    record.changes.iter().any(|change| given_up(&change.origin))
        || record.path.writes().any(|(origin, _)| given_up(origin))
        || record.base.writes().any(|(origin, _)| given_up(origin))
        || record.archived.writes().any(|(origin, _)| given_up(origin))
}
