use std::{collections::BTreeMap, time::Duration};

use aiemp_keys::{Hash, Signer};
use aiemp_protocol::{
    causality::Past,
    entry::{ContentRef, Entry, FileKind, Item, SignedEntry},
    ids::{Audience, ContentHash, FileId, LogId, MeshId},
    replication::EntryWithPayloads,
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use super::*;
use crate::{
    document::{self, Document},
    vault::{Input, Output, Positions, WriteOutcome, testing::Drafts},
};

#[test]
fn a_burst_begins_with_many_entries_and_ends_with_a_pause_or_after_a_while() {
    let (mut bursts, start) = (Bursts::default(), Timestamp::from_millis(1_000_000));
    let ms = Duration::from_millis;
    for number in 0..100 {
        assert!(!bursts.count(start + ms(number * 60)), "each is alone");
    }
    let begun = start + ms(10_000);
    assert!((0..u64::from(ENTRIES)).all(|number| !bursts.count(begun + ms(number * 10))));
    let since = begun + ms(u64::from(ENTRIES) * 10);
    assert!(bursts.count(since));
    assert_eq!(bursts.due(), Some(since + PAUSE));
    for number in 0..100 {
        assert!(bursts.count(since + ms(number * 10)));
    }
    assert_eq!(bursts.due(), Some(since + FIRST));
    // It goes on, and is looked at ever more seldom.
    for (rounds, longest) in [(1, FIRST * 2), (2, FIRST * 4), (3, LONGEST), (u32::MAX, LONGEST)] {
        (bursts.gathering, bursts.rounds) = (None, rounds);
        let again = bursts.last + ms(1);
        assert!((0..500).all(|number| bursts.count(again + ms(number * 10))));
        assert_eq!(bursts.due(), Some(again + longest));
    }
    let alone = bursts.last + PAUSE + ms(1);
    (bursts.gathering, bursts.rounds) = (None, 5);
    assert!(!bursts.count(alone) && bursts.rounds == 0);
}

/// Another member, who edits notes.
struct Other {
    signer: Signer,
    documents: Vec<(FileId, ContentHash, Document)>,
    seq: u64,
}

impl Other {
    fn log(&self) -> LogId {
        LogId { author: self.signer.node_id(), generation: 0, audience: Audience::All }
    }

    fn entry(&mut self, item: Item, payload: Vec<u8>) -> Input {
        self.seq += 1;
        let entry = Entry { seq: self.seq, epoch: 1, hlc: Timestamp::default(), seen: Vec::new(), items: vec![item] };
        let signed = SignedEntry::sign(&self.signer, MeshId(Hash::from_bytes([1; 32])), self.log(), None, entry);
        Input::Applied { entry: EntryWithPayloads { signed, payloads: vec![Some(payload)] }, past: Past::default() }
    }

    fn create(&mut self, number: usize) -> Input {
        let text = format!("# Note {number}\n");
        let file = FileId::fresh(Zone::Drafts, self.log(), number as u64, 0);
        let path = VaultPath::parse(&format!("Plans/note-{number}.md")).expect("a path");
        let (base, length) = (ContentHash::of(text.as_bytes()), text.len() as u64);
        self.documents.push((file, base, Document::import(&text)));
        self.entry(Item::New { file, path, kind: FileKind::Note, base, length }, text.into_bytes())
    }

    fn edit(&mut self, number: usize, line: &str) -> Input {
        let author = self.signer.node_id();
        let (file, base, document) = &mut self.documents[number];
        let actor = document::actor(author, document::doc_id(*file, *base), 0, 0);
        let raw = document.edit(&format!("{}{line}\n", document.text()), actor).expect("a change");
        let (hash, length) = (ContentHash::of(&raw), raw.len() as u64);
        let item = Item::Change { file: *file, base: *base, length, hash };
        self.entry(item, raw)
    }
}

/// A vault with its disk and store.
struct Node {
    vault: Vault,
    me: LogId,
    payloads: BTreeMap<ContentHash, Vec<u8>>,
    disk: BTreeMap<String, Vec<u8>>,
    loads: usize,
    writes: usize,
}

impl Node {
    fn handle(&mut self, now: Timestamp, input: Input) {
        let local = LogId { audience: Audience::Local, ..self.me };
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            if let Input::Applied { entry, .. } = &input {
                let payloads = entry.payloads.iter().flatten();
                self.payloads.extend(payloads.map(|bytes| (ContentHash::of(bytes), bytes.clone())));
            }
            self.vault.handle(now, Positions { all: (self.me, 1), local: (local, 1) }, input);
            while let Some(output) = self.vault.poll_output() {
                if let Output::Load { effect, base, changes, .. } = output {
                    self.loads += 1;
                    let hashes = [base].into_iter().chain(changes.iter().map(|change: &ContentRef| change.hash));
                    inputs.push(Input::Loaded(effect, hashes.map(|hash| self.payloads.get(&hash).cloned()).collect()));
                } else if let Output::WriteFile { effect, path, bytes, .. } = output {
                    self.writes += 1;
                    self.disk.insert(path.as_str().to_owned(), bytes);
                    inputs.push(Input::FileWritten(effect, WriteOutcome::Written));
                }
            }
        }
    }
}

#[test]
fn in_a_burst_each_note_is_read_and_written_once_for_many_changes() {
    const NOTES: usize = 5;
    const EDITS: usize = 200;
    let signer = |seed| Signer::from_seed([seed; 32]);
    let mut other = Other { signer: signer(6), documents: Vec::new(), seq: 0 };
    let me = LogId { author: signer(5).node_id(), ..other.log() };
    let positions = Positions { all: (me, 1), local: (LogId { audience: Audience::Local, ..me }, 1) };
    let vault = Vault::new(me.author, Box::new(Drafts { person: other.log().author }), positions);
    let mut node = Node { vault, me, payloads: BTreeMap::new(), disk: BTreeMap::new(), loads: 0, writes: 0 };
    let mut now = Timestamp::from_millis(1_000_000);
    node.handle(now, Input::Restored);
    for number in 0..NOTES {
        node.handle(now, other.create(number));
    }
    assert_eq!(node.disk.len(), NOTES, "what is new is shown at once");
    for edit in 0..EDITS {
        now = now + Duration::from_millis(1);
        node.handle(now, other.edit(edit % NOTES, &format!("edit {edit}")));
    }
    assert!(!node.vault.is_settled());
    node.handle(node.vault.poll_timeout().expect("the burst ends"), Input::TimeoutReached);
    assert!(node.vault.is_settled());
    for (number, (_, _, document)) in other.documents.iter().enumerate() {
        assert_eq!(node.disk[&format!("Plans/note-{number}.md")], document.text().as_bytes());
    }
    let each_for_itself = NOTES + EDITS;
    assert!(node.writes < each_for_itself / 4, "{} writes", node.writes);
    assert!(node.loads < each_for_itself / 4, "{} loads", node.loads);
}
