use std::{collections::BTreeMap, sync::Arc};

use aiemp_keys::{Hash, NodeId, Signer};
use aiemp_protocol::{
    causality::Past,
    entry::{Entry, FieldWrite, FileKind, Item, SignedEntry},
    ids::{Audience, ContentHash, EntryHash, FileId, LogId, MeshId},
    replication::EntryWithPayloads,
    time::Timestamp,
    vault_path::VaultPath,
    zone::{NeverPath, Zone},
};
use proptest::prelude::*;

use super::{NAMESAKES_MAX, Names};
use crate::{
    index::{Index, Origin},
    vault::{Boundaries, Input, Output, Positions, Vault, WriteOutcome},
};

const CONTENT: &[u8] = b"one of many\n";
/// Names that are one, that are another's number, and that become one only without a number.
const NAMES: [&str; 9] = ["a.md", "A.md", "a.md.", "a.md ", "a (2).md", "a (3).md", "a (2) (2).md", "A (2).MD", "b.md"];

fn signer() -> Signer {
    Signer::from_seed([5; 32])
}

fn log() -> LogId {
    LogId { author: signer().node_id(), generation: 0, audience: Audience::All }
}

fn file(number: u64) -> FileId {
    FileId::fresh(Zone::Drafts, log(), number, 0)
}

fn new_file(number: u64, name: &str) -> Item {
    let (base, length) = (ContentHash::of(CONTENT), CONTENT.len() as u64);
    let path = VaultPath::parse(&format!("Plans/{name}")).expect("a path");
    Item::New { file: file(number), path, kind: FileKind::Note, base, length }
}

fn apply(index: &mut Index, seq: u64, item: &Item) {
    let hash = EntryHash(Hash::labelled("aiemp-node 2026 entry", [aiemp_keys::cbor::uint(seq)]));
    index.apply(item, &Arc::new(Origin { log: log(), seq, hash, hlc: Timestamp::default(), past: Past::default() }));
}

/// The same by the definition, for one file at a time.
fn one_by_one(index: &Index, file: FileId) -> Option<VaultPath> {
    let record = index.get(file).filter(|record| !record.is_archived() && record.base.shown().is_some())?;
    let path = record.path.shown()?;
    let before = index.namesakes(&path.key()).filter(|other| *other < file).count();
    let Some(nth) = before.checked_sub(1) else { return Some(path.clone()) };
    (2..NAMESAKES_MAX)
        .filter_map(|number| path.with_stem_suffix(&format!(" ({number})")).ok())
        .filter(|numbered| index.namesakes(&numbered.key()).next().is_none())
        .nth(nth)
}

proptest! {
    #[test]
    fn all_of_a_name_have_the_places_that_each_would_have_by_itself(
        files in prop::collection::vec((0..NAMES.len(), prop::bool::weighted(0.2)), 1..40),
    ) {
        let mut index = Index::default();
        for (number, (name, archived)) in (0..).zip(&files) {
            apply(&mut index, 2 * number + 1, &new_file(number, NAMES[*name]));
            if *archived {
                let write = FieldWrite::Archived(true);
                apply(&mut index, 2 * number + 2, &Item::Set { file: file(number), write });
            }
        }
        let mut names = Names::default();
        for number in 0..files.len() as u64 {
            prop_assert_eq!(names.wanted(&index, file(number)), one_by_one(&index, file(number)));
        }
    }
}

#[test]
fn a_number_is_skipped_where_the_name_has_no_room_for_it() {
    let (short, long) = (format!("{}.md", "é".repeat(124)), format!("{}.md", "e\u{301}".repeat(83)));
    let mut index = Index::default();
    for number in 0..12 {
        apply(&mut index, number + 1, &new_file(number, if number % 2 == 0 { &short } else { &long }));
    }
    let mut names = Names::default();
    for number in 0..12 {
        assert_eq!(names.wanted(&index, file(number)), one_by_one(&index, file(number)));
    }
}

#[derive(Debug)]
struct Drafts;

impl Boundaries for Drafts {
    fn zone_of(&self, _: &VaultPath) -> Result<Zone, NeverPath> {
        Ok(Zone::Drafts)
    }

    fn may_write(&self, _: Zone) -> bool {
        true
    }

    fn may_archive(&self, _: Zone) -> bool {
        true
    }

    fn may_resolve(&self, _: NodeId, _: Zone) -> bool {
        true
    }

    fn holds_active_content(&self) -> bool {
        false
    }

    fn may_release(&self, _: NodeId) -> bool {
        false
    }
}

fn entry(items: Vec<Item>) -> Input {
    let payloads = items.iter().map(|_| Some(CONTENT.to_vec())).collect();
    let entry = Entry { seq: 1, epoch: 1, hlc: Timestamp::default(), seen: Vec::new(), items };
    let mesh = MeshId(Hash::from_bytes([1; 32]));
    let signed = SignedEntry::sign(&signer(), mesh, log(), None, entry);
    Input::Applied { entry: EntryWithPayloads { signed, payloads }, past: Past::default() }
}

/// Hands an input in, and answers whatever is asked until nothing is.
fn settle(vault: &mut Vault, disk: &mut BTreeMap<String, Vec<u8>>, input: Input) {
    let positions = Positions { all: (log(), 1), local: (LogId { audience: Audience::Local, ..log() }, 1) };
    let mut inputs = vec![input];
    while let Some(input) = inputs.pop() {
        vault.handle(Timestamp::default(), positions, input);
        while let Some(output) = vault.poll_output() {
            match output {
                Output::Load { effect, changes, .. } => {
                    let payloads = vec![Some(CONTENT.to_vec()); 1 + changes.len()];
                    inputs.push(Input::Loaded(effect, payloads));
                }
                Output::WriteFile { effect, path, bytes, .. } => {
                    assert_eq!(disk.insert(path.key(), bytes), None, "each has its own place");
                    inputs.push(Input::FileWritten(effect, WriteOutcome::Written));
                }
                Output::Append { .. }
                | Output::RemoveFile { .. }
                | Output::LookAt(_)
                | Output::RecordProjection { .. }
                | Output::Content { .. }
                | Output::FileUpdated(_)
                | Output::Undone { .. }
                | Output::Hold { .. }
                | Output::ReportHeld { .. }
                | Output::ReportRefused { .. } => {}
            }
        }
    }
}

#[test]
fn an_entry_may_make_as_many_files_of_one_name_as_it_has_items() {
    let positions = Positions { all: (log(), 1), local: (LogId { audience: Audience::Local, ..log() }, 1) };
    let mut vault = Vault::new(signer().node_id(), Box::new(Drafts), positions);
    let mut disk = BTreeMap::new();
    settle(&mut vault, &mut disk, Input::Restored);
    settle(&mut vault, &mut disk, entry((0..256).map(|number| new_file(number, "same.md")).collect()));
    assert!(vault.is_settled());
    let numbered = (2..=256).map(|number| format!("plans/same ({number}).md"));
    let wanted: BTreeMap<_, _> = numbered.chain(["plans/same.md".into()]).map(|key| (key, CONTENT.to_vec())).collect();
    assert_eq!(disk, wanted);
}
