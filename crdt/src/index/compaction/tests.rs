use aiemp_keys::{Hash, Signer};
use aiemp_protocol::{
    entry::{FieldWrite, FileKind, Item},
    ids::{Audience, EntryHash, FileId, LogId},
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::index::{ChangeRef, Index};

/// Two of the person's computers, and a Cloud.
const AUTHORS: usize = 3;
const CLOUD: usize = 2;
/// What documents of the file may start from. The first is what it began with.
const BASES: u8 = 4;

/// Somebody says something, having heard of a share of what the others said so far.
#[derive(Clone, Debug)]
struct Said {
    by: usize,
    what: What,
    heard: [u8; AUTHORS],
}

#[derive(Clone, Copy, Debug)]
enum What {
    Change { base: u8 },
    Compacted { from: u8, to: u8 },
    Replaced { by: u8 },
}

fn said() -> impl Strategy<Value = Said> {
    let base = || 0..BASES;
    let what = prop_oneof![
        4 => base().prop_map(|base| What::Change { base }),
        3 => (base(), base()).prop_map(|(from, to)| What::Compacted { from, to }),
        1 => base().prop_map(|by| What::Replaced { by }),
    ];
    (0..AUTHORS, what, any::<[u8; AUTHORS]>()).prop_map(|(by, what, heard)| Said { by, what, heard })
}

fn node(author: usize) -> NodeId {
    Signer::from_seed([author as u8 + 1; 32]).node_id()
}

fn log(author: usize) -> LogId {
    LogId { author: node(author), generation: 0, audience: Audience::All }
}

fn file() -> FileId {
    FileId { zone: Zone::Drafts, hash: Hash::of_content(b"file") }
}

fn content(number: u8) -> ContentRef {
    ContentRef::of(&[number])
}

/// The entries, each with what its author had: what it said itself, what it had heard before, and more of the others.
fn entries(all: &[Said]) -> Vec<(Item, Arc<Origin>)> {
    let (mut lengths, mut known) = ([0_u64; AUTHORS], [[0_u64; AUTHORS]; AUTHORS]);
    let path = VaultPath::parse("Plans/a.md").expect("a path");
    let ContentRef { hash: base, length } = content(0);
    let first = Item::New { file: file(), path, kind: FileKind::Note, base, length };
    let begun = [(Said { by: 0, what: What::Change { base: 0 }, heard: [0; AUTHORS] }, Some(first))];
    let said = all.iter().cloned().map(|said| (said, None));
    let mut made = Vec::new();
    for (number, (Said { by, what, heard }, first)) in begun.into_iter().chain(said).enumerate() {
        for other in 0..AUTHORS {
            let most = if other == by { lengths[by] } else { lengths[other] * u64::from(heard[other]) / 255 };
            // Everybody knows of the file.
            let least = if other == 0 { lengths[0].min(1) } else { 0 };
            known[by][other] = known[by][other].max(most).max(least);
        }
        let item = first.unwrap_or_else(|| match what {
            What::Compacted { from, to } if by != CLOUD => {
                let ContentRef { hash: base, length } = content(to);
                Item::Compacted { file: file(), from: content(from).hash, base, length }
            }
            What::Replaced { by } => Item::Set { file: file(), write: FieldWrite::Base(content(by)) },
            What::Change { base } | What::Compacted { from: base, .. } => {
                let hash = ContentHash::of(&number.to_le_bytes());
                Item::Change { file: file(), base: content(base).hash, length: 1, hash }
            }
        });
        lengths[by] += 1;
        let others = (0..AUTHORS).filter(|other| *other != by).map(|other| (log(other), known[by][other]));
        let past = others.filter(|(_, seq)| *seq > 0).collect();
        let hash = EntryHash(Hash::of_content(&[number as u8, by as u8]));
        made.push((item, Arc::new(Origin { log: log(by), seq: lengths[by], hash, hlc: Timestamp::default(), past })));
    }
    made
}

/// What a node shows and lists that applied the entries in this order.
fn outcome(entries: &[(Item, Arc<Origin>)]) -> impl PartialEq + std::fmt::Debug + use<> {
    let mut index = Index::default();
    for (item, origin) in entries {
        index.apply(item, origin, |author| author != node(CLOUD));
    }
    let record = index.get(file()).expect("the file");
    let start = record.start(&record.base, |_| true).expect("a content");
    assert_eq!(record.shown_base(), Some(start.content.hash));
    let unknown = |change: &&ChangeRef| {
        change.base != start.content.hash && record.had_base(change.base) && !start.knows(&change.origin)
    };
    let mut unknown: Vec<_> = record.changes().iter().filter(unknown).map(|change| change.hash).collect();
    unknown.sort();
    let mut needed = record.read_from(record.base.shown().expect("a content").hash, |_| false);
    needed.sort();
    (start.content, unknown, needed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn in_whatever_order_entries_come_all_read_one_document_and_list_the_same(
        all in vec(said(), 1..14),
        picks in vec(any::<prop::sample::Index>(), 16),
    ) {
        let entries = entries(&all);
        let (mut left, mut other) = (entries.clone(), Vec::new());
        while !left.is_empty() {
            let has_come = |log: LogId, seq: u64| {
                seq == 0 || other.iter().any(|(_, origin): &(Item, Arc<Origin>)| origin.log == log && origin.seq >= seq)
            };
            let comes_next = |origin: &Origin| {
                has_come(origin.log, origin.seq - 1) && origin.past.iter().all(|(log, seq)| has_come(log, seq))
            };
            let may_come: Vec<_> = (0..left.len()).filter(|at| comes_next(&left[*at].1)).collect();
            let pick = picks[other.len() % picks.len()].index(may_come.len());
            other.push(left.remove(may_come[pick]));
        }
        prop_assert_eq!(outcome(&entries), outcome(&other));
    }

    #[test]
    fn what_the_person_changed_elsewhere_meanwhile_keeps_the_old_document_unless_the_new_one_was_changed(all in vec(said(), 1..14)) {
        let mut index = Index::default();
        for (item, origin) in entries(&all) {
            index.apply(&item, &origin, |author| author != node(CLOUD));
            let record = index.get(file()).expect("the file");
            let start = record.start(&record.base, |_| true).expect("a content");
            let ways = start.before.iter().zip(start.before.iter().skip(1).chain([&start.content.hash]));
            for (from, to) in ways {
                // Where the person's own late change counts, the document goes on where it was, or the new one was changed.
                let is_late = |change: &&ChangeRef| {
                    !start.knows(&change.origin) && change.origin.author() != node(CLOUD)
                };
                let has_late = record.changes_under(*from).any(|change| is_late(&change));
                prop_assert!(!has_late || record.changes_under(*to).count() > 0);
            }
        }
    }
}
