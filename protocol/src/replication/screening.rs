//! Screening: changes are decoded once outside this process's limits of trust before anything else sees them.
//!
//! A change from a peer is bytes that a hostile program chose, for a decoder that trusts its input. The shell decodes
//! them in a child process with limits on memory and time; until it has answered, the entry waits like one that lacks
//! its past. A change that does not pass is dropped as if it had never been sent: its document goes on without it, and
//! without what its author built on it.

use aiemp_keys::NodeId;

use super::{
    InFlight, Missing, Replication,
    input::{EffectId, EntryWithPayloads},
    output::{Output, Record},
};
use crate::{
    ids::{ContentHash, LogId},
    time::Timestamp,
};

/// What is being screened.
#[derive(Debug)]
pub(super) enum Screening {
    /// The changes of the entry that waits at the front of a log.
    Entry { log: LogId, changes: Vec<ContentHash> },
    /// A change that was fetched by itself.
    Payload { named: Missing, bytes: Vec<u8> },
}

impl Replication {
    /// Whether every change that came with an entry was screened; what did not pass is taken out of it.
    pub(super) fn is_screened(&mut self, entry: &mut EntryWithPayloads) -> bool {
        let log = entry.signed.log;
        let changes = || changes_of(entry);
        let (hashes, bytes): (Vec<_>, Vec<_>) = changes()
            .filter(|(hash, _)| !self.screened.contains_key(hash))
            .map(|(hash, raw)| (hash, raw.clone()))
            .unzip();
        if !hashes.is_empty() {
            let under_way = |screening: &Screening| matches!(screening, Screening::Entry { log: of, .. } if *of == log);
            if !self.screening.values().any(under_way) {
                self.screen(Screening::Entry { log, changes: hashes }, bytes);
            }
            return false;
        }
        let verdicts: Vec<_> =
            changes().map(|(hash, _)| hash).filter_map(|hash| Some((hash, self.screened.remove(&hash)?))).collect();
        for (hash, _) in verdicts.iter().filter(|(_, passed)| !passed) {
            self.drop_change(*hash, Some(log.author));
            let named: Vec<_> = entry.carried().map(|carried| carried.named).collect();
            let as_change = |named: &Missing| named.is_change && named.hash == *hash;
            for (_, payload) in named.iter().zip(&mut entry.payloads).filter(|(named, _)| as_change(named)) {
                *payload = None;
            }
        }
        true
    }

    pub(super) fn screen_fetched(&mut self, named: Missing, bytes: Vec<u8>) {
        let raw = bytes.clone();
        self.screen(Screening::Payload { named, bytes }, vec![raw]);
    }

    fn screen(&mut self, screening: Screening, changes: Vec<Vec<u8>>) {
        let effect = self.effect();
        self.screening.insert(effect, screening);
        self.outputs.push_back(Output::Screen { effect, changes });
    }

    pub(super) fn changes_screened(&mut self, now: Timestamp, effect: EffectId, passed: &[bool]) {
        match self.screening.remove(&effect) {
            Some(Screening::Entry { log, changes }) if self.waiting.contains_key(&log) => {
                self.screened.extend(changes.into_iter().zip(passed.iter().copied()));
                self.retry_waiting(now);
            }
            Some(Screening::Payload { named, bytes }) => {
                if passed.first() == Some(&true) {
                    self.lacking.came(named);
                    self.persist(Record::Payload(named, bytes), InFlight::Payload(named.hash));
                } else {
                    self.drop_change(named.hash, None);
                }
            }
            // The entry went away meanwhile: its verdicts are of no use.
            Some(Screening::Entry { .. }) | None => {}
        }
    }

    fn drop_change(&mut self, hash: ContentHash, author: Option<NodeId>) {
        if self.dropped.insert(hash) {
            self.lacking.forget_change(hash);
            self.outputs.push_back(Output::ReportDropped { hash, author });
        }
    }
}

fn changes_of(entry: &EntryWithPayloads) -> impl Iterator<Item = (ContentHash, &Vec<u8>)> {
    let changes = entry.carried().filter(|carried| carried.named.is_change);
    changes.filter_map(|carried| Some((carried.named.hash, carried.payload?)))
}
