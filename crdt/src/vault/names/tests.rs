use std::{collections::BTreeMap, sync::Arc};

use aiemp_keys::{Hash, Signer};
use aiemp_protocol::{
    causality::Past,
    entry::{Entry, FieldWrite, FileKind, Item, SignedEntry},
    ids::{Audience, ContentHash, EntryHash, FileId, LogId, MeshId},
    replication::EntryWithPayloads,
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};
use proptest::prelude::*;

use super::Names;
use crate::{
    index::{Index, Origin},
    vault::{Input, Output, Positions, Vault, WriteOutcome, testing::Drafts},
};

const CONTENT: &[u8] = b"one of many\n";
/// Names that are one, that are another's number, that become one only without a number, and folders of such names.
const NAMES: [&str; 16] = [
    "a.md",
    "A.md",
    "a.md.",
    "a.md ",
    "a (2).md",
    "a (3).md",
    "a (2) (2).md",
    "A (2).MD",
    "b.md",
    "a.md/b.md",
    "a.md/c.md",
    "A.MD/b.md/d.md",
    "a (2).md/b.md",
    "b.md/a.md",
    "b.md/a.md/c.md",
    "a.md/b (2).md",
];

fn signer() -> Signer {
    Signer::from_seed([5; 32])
}

fn person() -> Signer {
    Signer::from_seed([6; 32])
}

fn drafts() -> Drafts {
    Drafts { person: person().node_id() }
}

fn log() -> LogId {
    LogId { author: signer().node_id(), generation: 0, audience: Audience::All }
}

fn log_of_person() -> LogId {
    LogId { author: person().node_id(), ..log() }
}

fn file(number: u64) -> FileId {
    FileId::fresh(Zone::Drafts, log(), number, 0)
}

fn named(file: FileId, name: &str) -> Item {
    let (base, length) = (ContentHash::of(CONTENT), CONTENT.len() as u64);
    let path = VaultPath::parse(&format!("Plans/{name}")).expect("a path");
    Item::New { file, path, kind: FileKind::Note, base, length }
}

fn new_file(number: u64, name: &str) -> Item {
    named(file(number), name)
}

/// An index and who has which name in it.
#[derive(Default)]
struct Vaultlike {
    index: Index,
    names: Names,
    seq: u64,
}

impl Vaultlike {
    fn apply(&mut self, log: LogId, item: &Item) {
        self.seq += 1;
        let hash = EntryHash(Hash::labelled("aiemp-node 2026 entry", [aiemp_keys::cbor::uint(self.seq)]));
        let hlc = Timestamp::from_millis(self.seq);
        let origin = Arc::new(Origin { log, seq: self.seq, hash, hlc, past: Past::default() });
        if let Some(file) = self.index.apply(item, &origin, |_| true) {
            self.names.update(&self.index, file, &drafts());
        }
    }

    fn place(&mut self, file: FileId) -> Option<VaultPath> {
        self.names.wanted(&self.index, file)
    }

    fn places(&mut self) -> BTreeMap<FileId, VaultPath> {
        let live: Vec<_> =
            self.index.iter().filter(|(_, record)| !record.is_archived()).map(|(file, _)| file).collect();
        live.into_iter().map(|file| (file, self.place(file).expect("each live file has a place"))).collect()
    }
}

proptest! {
    #[test]
    fn each_file_has_a_place_of_its_own_and_none_lies_below_another(
        files in prop::collection::vec((0..NAMES.len(), prop::bool::weighted(0.2), any::<bool>()), 1..40),
    ) {
        let mut vault = Vaultlike::default();
        for (number, (name, archived, is_person)) in (0..).zip(&files) {
            let log = if *is_person { log_of_person() } else { log() };
            vault.apply(log, &new_file(number, NAMES[*name]));
            if *archived {
                vault.apply(log, &Item::Set { file: file(number), write: FieldWrite::Archived(true) });
            }
        }
        let places = vault.places();
        let keys: BTreeMap<_, _> = places.iter().map(|(file, place)| (place.key(), file)).collect();
        prop_assert_eq!(keys.len(), places.len());
        for key in keys.keys() {
            for (end, _) in key.match_indices('/') {
                prop_assert!(!keys.contains_key(&key[..end]), "{} lies below a file", key);
            }
        }
        // What is known is what counts, not the order in which it came to be known.
        let mut again = Names::default();
        for file in places.keys().rev() {
            again.update(&vault.index, *file, &drafts());
            again.wanted(&vault.index, *file);
        }
        for (file, place) in &places {
            prop_assert_eq!(again.wanted(&vault.index, *file), Some(place.clone()));
        }
    }

    #[test]
    fn nothing_that_others_name_moves_a_file_that_a_person_named(
        of_person in prop::collection::vec(0..NAMES.len(), 1..6),
        of_others in prop::collection::vec(0..NAMES.len(), 1..40),
    ) {
        let mut vault = Vaultlike::default();
        for (number, name) in (100..).zip(&of_person) {
            vault.apply(log_of_person(), &new_file(number, NAMES[*name]));
        }
        let before = vault.places();
        let bare = vault.index.iter().filter(|(file, record)| record.path.shown() == before.get(file));
        let bare: Vec<_> = bare.map(|(file, _)| file).collect();
        for (number, name) in (0..).zip(&of_others) {
            vault.apply(log(), &new_file(number, NAMES[*name]));
        }
        let after = vault.places();
        for file in bare {
            prop_assert_eq!(after.get(&file), before.get(&file));
        }
    }

    #[test]
    fn a_later_file_of_a_person_takes_no_name_from_an_earlier_one(
        files in prop::collection::vec(0..9_usize, 2..20),
    ) {
        let mut vault = Vaultlike::default();
        for (number, name) in (0..).zip(&files) {
            let before = vault.places();
            vault.apply(log_of_person(), &new_file(number, NAMES[*name]));
            let after = vault.places();
            for (file, place) in before.iter().filter(|(file, place)| {
                vault.index.get(**file).and_then(|record| record.path.shown()) == Some(*place)
            }) {
                prop_assert_eq!(after.get(file), Some(place));
            }
        }
    }
}

#[test]
fn a_name_without_room_for_a_number_has_the_id_in_it() {
    let mut vault = Vaultlike::default();
    for number in 0..12 {
        let length = if number % 2 == 0 { 124 } else { 126 };
        vault.apply(log(), &new_file(number, &format!("{}.md", "é".repeat(length))));
    }
    let places = vault.places();
    let with_id = places.iter().filter(|(file, place)| place.name().contains(&file.hash.to_string()));
    let keys: BTreeMap<_, _> = places.values().map(|place| (place.key(), ())).collect();
    assert_eq!((keys.len(), with_id.count()), (12, 5));
    let deep = (0..3).fold("x".repeat(253), |path, _| format!("{path}/{}", "x".repeat(253)));
    let mut vault = Vaultlike::default();
    for number in 0..2 {
        vault.apply(log(), &new_file(number, &format!("{deep}/n")));
    }
    let second = vault.place(file(1)).expect("it has a place");
    assert_eq!(second.as_str().matches('/').count(), 4, "the folder above has room: {second}");
}

#[test]
fn beyond_the_last_number_names_hold_the_id_also_where_those_names_are_taken() {
    let mut vault = Vaultlike::default();
    for number in 0..40 {
        vault.apply(log(), &new_file(number, "a.md"));
    }
    let place = |vault: &mut Vaultlike, number| vault.place(file(number)).map(|place| place.to_string());
    let hash = file(30).hash;
    assert_eq!(place(&mut vault, 0).as_deref(), Some("Plans/a.md"));
    assert_eq!(place(&mut vault, 19).as_deref(), Some("Plans/a (20).md"));
    assert_eq!(place(&mut vault, 30), Some(format!("Plans/a ({hash}).md")));
    vault.apply(log(), &new_file(2_000, &format!("A ({hash}).md")));
    vault.apply(log(), &new_file(2_001, &format!("a ({hash} 2).md/b.md")));
    assert_eq!(place(&mut vault, 30), Some(format!("Plans/a ({hash} 3).md")));
    let at = VaultPath::parse(&format!("Plans/a ({hash} 3).md")).expect("a path");
    assert_eq!(vault.names.held_in_name(&at), Some(file(30)));
}

#[test]
fn a_private_file_moves_no_shared_one() {
    let mut vault = Vaultlike::default();
    let private = |number| FileId { zone: Zone::Private, ..file(number) };
    let local = LogId { audience: Audience::Local, ..log_of_person() };
    vault.apply(log(), &new_file(1, "a.md"));
    vault.apply(log(), &new_file(2, "a.md"));
    let before = vault.places();
    for (number, name) in (10..).zip(["a.md", "a (2).md", "a.md/b.md", "a (2).md/b.md"]) {
        vault.apply(local, &named(private(number), name));
    }
    let after = vault.places();
    assert!(before.iter().all(|(file, place)| after.get(file) == Some(place)), "{after:?}");
    let keys: BTreeMap<_, _> = after.values().map(|place| (place.key(), ())).collect();
    assert_eq!(keys.len(), 6, "{after:?}");
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
                | Output::NoteAdopted
                | Output::NoteHeldRemovals(_)
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
    let mut vault = Vault::new(signer().node_id(), Box::new(drafts()), positions);
    let mut disk = BTreeMap::new();
    settle(&mut vault, &mut disk, Input::Restored);
    settle(&mut vault, &mut disk, entry((0..256).map(|number| new_file(number, "same.md")).collect()));
    assert!(vault.is_settled());
    assert_eq!(disk.len(), 256);
    let bare_or_numbered = (2..=20).map(|number| format!("plans/same ({number}).md")).chain(["plans/same.md".into()]);
    assert!(bare_or_numbered.into_iter().all(|key| disk.contains_key(&key)));
}
