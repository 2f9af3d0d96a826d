//! The laws of merging, over notes as people have them and edits of two to four authors.

use std::{collections::BTreeSet, env};

use aiemp_crdt::{
    document::{self, Document, FieldConflict},
    note::Note,
    shape::Shape,
    vet::{self, Refused},
};
use aiemp_keys::{NodeId, Signer};
use aiemp_protocol::{
    ids::{ContentHash, DocId, FileId},
    zone::Zone,
};
use aiemp_tests::{
    ledger::{Ledger, words_in},
    random::Rng,
    shape,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Cases of an ordinary run; `PROPTEST_CASES` asks for another number.
const CASES: u32 = 12;
const FIELDS: [&str; 3] = ["status", "received", "noted"];

fn config() -> ProptestConfig {
    let cases = env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(CASES);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// A change as it travels, with its author.
type Sent = (NodeId, Vec<u8>);

/// A note in several hands.
struct Hands {
    doc: DocId,
    shape: Shape,
    base: String,
    authors: Vec<(NodeId, Document)>,
    sent: Vec<Sent>,
    ledger: Ledger,
    written: Vec<String>,
}

impl Hands {
    /// Each of the authors edits a few times; now and then one has seen what another did.
    fn at_work(seed: u64, size: usize, authors: usize) -> Self {
        let mut rng = Rng::new(seed);
        let base = String::from_utf8(shape::note_of(&mut rng, size)).expect("a note is text");
        let content = ContentHash::of(base.as_bytes());
        let doc = document::doc_id(FileId { zone: Zone::Drafts, hash: content.0 }, content);
        let node = |number: usize| Signer::from_seed([u8::try_from(number + 1).expect("few"); 32]).node_id();
        let authors = (0..authors).map(|number| (node(number), Document::import(&base))).collect();
        let mut hands = Self {
            doc,
            shape: Shape::Note,
            base,
            authors,
            sent: Vec::new(),
            ledger: Ledger::default(),
            written: Vec::new(),
        };
        for _ in 0..hands.authors.len() * 2 {
            let who = rng.below(hands.authors.len());
            if rng.chance(30) {
                hands.reads(&mut rng, who);
            }
            hands.edits(&mut rng, who);
        }
        hands
    }

    fn reads(&mut self, rng: &mut Rng, who: usize) {
        let until = rng.below(self.sent.len() + 1);
        let (doc, document) = (self.doc, &mut self.authors[who].1);
        for sent in &self.sent[..until] {
            take(document, doc, sent);
        }
    }

    fn edits(&mut self, rng: &mut Rng, who: usize) {
        let word = self.ledger.word(who, false, true);
        let (node, document) = &mut self.authors[who];
        let (before, listed) = (document.text(), document.field_conflicts());
        let after = edited(rng, &before, &word);
        let actor = document::actor(*node, self.doc, 0, 0);
        if let Some(raw) = document.edit(&after, actor) {
            assert_eq!(document.text(), after);
            self.ledger.replaced(before.as_bytes(), after.as_bytes());
            // Who edits a field of which several values are listed decides it: the others go, too.
            let fields = Note::parse(&after).front_matter.unwrap_or_default().blocks;
            let is_edited = |field: &&FieldConflict| fields.get(&field.key) != Some(&field.shown);
            for side in listed.iter().filter(is_edited).flat_map(|field| &field.sides) {
                self.ledger.replaced(side.block.as_bytes(), after.as_bytes());
            }
            self.sent.push((*node, raw));
            self.written.extend(after.contains(&word).then_some(word));
        }
    }

    /// Each of the authors adds to a day log a few times, as its program sets arrays. Entries by author.
    fn at_log(seed: u64, authors: usize) -> (Self, Vec<Vec<u64>>) {
        let mut rng = Rng::new(seed);
        let shape = if rng.chance(50) { Shape::Lines } else { Shape::Array };
        let base = if shape == Shape::Lines || rng.chance(50) { String::new() } else { day_log(&[], Set::Pretty) };
        let content = ContentHash::of(base.as_bytes());
        let doc = document::doc_id(FileId { zone: Zone::Drafts, hash: content.0 }, content);
        let node = |number: usize| Signer::from_seed([u8::try_from(number + 1).expect("few"); 32]).node_id();
        let open = || Document::import_as(&base, shape);
        let authors: Vec<_> = (0..authors).map(|number| (node(number), open())).collect();
        let arrays = [Set::Pretty, Set::Lines, Set::Flat];
        let sets: Vec<_> = authors.iter().map(|_| arrays[rng.below(3)]).collect();
        let mut added = vec![Vec::new(); authors.len()];
        let (sent, ledger, written) = (Vec::new(), Ledger::default(), Vec::new());
        let mut hands = Self { doc, shape, base, authors, sent, ledger, written };
        for number in 0..hands.authors.len() as u64 * 4 {
            let who = rng.below(hands.authors.len());
            if rng.chance(40) {
                hands.reads(&mut rng, who);
            }
            let (node, document) = &mut hands.authors[who];
            let mut entries = entries(&document.text());
            entries.push(number);
            let after = day_log(&entries, if shape == Shape::Lines { Set::EachLine } else { sets[who] });
            let raw = document.edit(&after, document::actor(*node, hands.doc, 0, 0)).expect("an entry more");
            assert_eq!(document.text(), after);
            hands.sent.push((*node, raw));
            added[who].push(number);
        }
        (hands, added)
    }

    /// Each of the authors sets a member of its own a few times, and now and then one that all set.
    fn at_state(seed: u64, authors: usize) -> Self {
        let mut rng = Rng::new(seed);
        let base = "{\n  \"shared\": 0\n}\n".to_owned();
        let content = ContentHash::of(base.as_bytes());
        let doc = document::doc_id(FileId { zone: Zone::Drafts, hash: content.0 }, content);
        let node = |number: usize| Signer::from_seed([u8::try_from(number + 1).expect("few"); 32]).node_id();
        let authors = (0..authors).map(|number| (node(number), Document::import_as(&base, Shape::State))).collect();
        let (sent, ledger, written) = (Vec::new(), Ledger::default(), Vec::new());
        let mut hands = Self { doc, shape: Shape::State, base, authors, sent, ledger, written };
        for number in 1..=hands.authors.len() * 4 {
            let who = rng.below(hands.authors.len());
            if rng.chance(40) {
                hands.reads(&mut rng, who);
            }
            let (node, document) = &mut hands.authors[who];
            let mut state: Map<String, Value> = serde_json::from_str(&document.text()).expect("an object");
            let name = if rng.chance(20) { "shared".to_owned() } else { format!("of {who}") };
            state.insert(name, json!({ "number": number }));
            let after = format!("{}\n", serde_json::to_string_pretty(&state).expect("an object"));
            let raw = document.edit(&after, document::actor(*node, hands.doc, 0, 0)).expect("another value");
            assert_eq!(document.text(), after);
            hands.sent.push((*node, raw));
        }
        hands
    }

    /// The note of somebody whom the changes reached in this order, each as soon as what it follows is there.
    fn merged(&self, order: &[usize]) -> Document {
        let mut document = Document::import_as(&self.base, self.shape);
        let mut waiting: Vec<&Sent> = order.iter().map(|at| &self.sent[*at]).collect();
        while !waiting.is_empty() {
            let before = waiting.len();
            waiting.retain(|sent| !take(&mut document, self.doc, sent));
            assert!(waiting.len() < before, "what was written follows from what was written before");
        }
        document
    }
}

/// How programs set a day log: an array with an indent, with an entry a line, or in one line; or lines of their own.
#[derive(Clone, Copy)]
enum Set {
    Pretty,
    Lines,
    Flat,
    EachLine,
}

fn day_log(numbers: &[u64], set: Set) -> String {
    let entries: Vec<_> = numbers.iter().map(|number| json!({"action": "sent", "number": number})).collect();
    match set {
        Set::Pretty => serde_json::to_string_pretty(&entries).expect("an array"),
        Set::Lines => {
            format!("[\n{}\n]\n", entries.iter().map(|one| format!("  {one}")).collect::<Vec<_>>().join(",\n"))
        }
        Set::Flat => serde_json::to_string(&entries).expect("an array"),
        Set::EachLine => entries.iter().map(|entry| format!("{entry}\n")).collect(),
    }
}

fn entries(text: &str) -> Vec<u64> {
    let each_line = || text.lines().map(serde_json::from_str).collect();
    let read = if text.starts_with('[') { serde_json::from_str(text) } else { each_line() };
    let entries: Vec<Value> = read.unwrap_or_else(|error| panic!("{error}: {text}"));
    entries.iter().filter_map(|entry| entry["number"].as_u64()).collect()
}

/// Takes a change, if all is there that it follows from.
fn take(document: &mut Document, doc: DocId, (author, raw): &Sent) -> bool {
    match vet::vet(document, doc, *author, 0, raw) {
        Ok(change) => {
            document.apply(change).expect("what was vetted applies");
            true
        }
        Err(Refused::Again) => true,
        Err(Refused::Sequence | Refused::Dependencies) => false,
        Err(other) => panic!("an honest change was refused: {other}"),
    }
}

fn edited(rng: &mut Rng, text: &str, word: &str) -> String {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let at = rng.below(lines.len() + 1);
    match rng.below(12) {
        0 | 1 => {
            let key = FIELDS[rng.below(FIELDS.len())];
            let line = format!("{key}: {word}\n");
            match lines.iter().position(|line| line.starts_with(key)) {
                Some(at) => lines[at] = line,
                None => lines.insert(lines.len().min(1), line),
            }
        }
        2 if at < lines.len() => drop(lines.remove(at)),
        3 | 4 if at < lines.len() => lines[at] = format!("{word} instead\n"),
        5 | 6 if at < lines.len() => {
            let cut = lines[at].find(' ').map_or(0, |space| space + 1);
            lines[at].insert_str(cut, &format!("{word} "));
        }
        7 => lines.push(format!("{word} at the end, without one")),
        8 => lines = lines.iter().map(|line| line.replace("\r\n", "\n").replace('\n', "\r\n")).collect(),
        9 => lines.truncate(lines.len() / 2),
        _ => lines.insert(at, format!("{word}\n")),
    }
    lines.concat()
}

fn shuffled(rng: &mut Rng, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for at in (1..count).rev() {
        order.swap(at, rng.below(at + 1));
    }
    order
}

/// All that a merge says: its text, what its history is, and which fields have two values.
fn said(document: &mut Document) -> (String, Vec<[u8; 32]>, Vec<FieldConflict>) {
    let fields = [document.field_conflicts(), document.member_conflicts()].concat();
    (document.text(), document.head_bytes(), fields)
}

/// Words that an author wrote and nobody took out, and that the merge neither says nor lists as one side of a field.
fn lost(hands: &Hands) -> Vec<String> {
    let order: Vec<usize> = (0..hands.sent.len()).collect();
    let merged = hands.merged(&order);
    let sides = merged.field_conflicts().into_iter().flat_map(|field| field.sides).map(|side| side.block);
    let there = sides.collect::<String>() + &merged.text();
    let there: BTreeSet<&str> = words_in(there.as_bytes()).collect();
    let is_wanted = |word: &&String| hands.ledger.words.get(*word).is_some_and(|known| !known.removed);
    hands.written.iter().filter(is_wanted).filter(|word| !there.contains(word.as_str())).cloned().collect()
}

/// Of two values of a field one was shown, and a third author, who had both, edited it.
#[test]
fn who_edits_a_field_of_which_several_values_are_listed_takes_out_all_of_them() {
    for (seed, size, authors) in [(13_408_344_967_160_473_254, 14, 4), (15_408_746_612_964_575_199, 575, 3)] {
        assert_eq!(lost(&Hands::at_work(seed, size, authors)), Vec::<String>::new(), "{seed}");
    }
}

/// Merges of four hands had come to another order than what they started from, so two of them had moved the same entry.
#[test]
fn an_entry_that_two_merges_put_elsewhere_stands_once() {
    for seed in [4_740, 7_330, 9_213, 17_659_222_062_324_155_073] {
        let (hands, _) = Hands::at_log(seed, 4);
        let mut each = entries(&hands.merged(&(0..hands.sent.len()).collect::<Vec<_>>()).text());
        each.sort_unstable();
        assert_eq!(each, (0..16).collect::<Vec<_>>(), "{seed}");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn merging_commutes_associates_and_is_idempotent(seed in any::<u64>(), size in 0..1_500_usize, authors in 2..5_usize) {
        let hands = Hands::at_work(seed, size, authors);
        let all: Vec<usize> = (0..hands.sent.len()).collect();
        let mut merged = hands.merged(&all);
        let mut rng = Rng::new(seed ^ 1);
        for _ in 0..2 {
            prop_assert_eq!(said(&mut hands.merged(&shuffled(&mut rng, all.len()))), said(&mut merged));
        }
        // What one made comes to what the others made together, and the other way round.
        let (own, others): (Vec<_>, Vec<_>) = all.iter().copied().partition(|at| hands.sent[*at].0 == hands.authors[0].0);
        for order in [[own.clone(), others.clone()], [others, own]] {
            prop_assert_eq!(said(&mut hands.merged(&order.concat())), said(&mut merged));
        }
        for (_, document) in &hands.authors {
            let mut document = document.clone();
            prop_assert!(hands.sent.iter().all(|sent| take(&mut document, hands.doc, sent)), "in the order of their making");
            prop_assert_eq!(said(&mut document), said(&mut merged), "an author's own note");
        }
        for (author, raw) in &hands.sent {
            prop_assert_eq!(vet::vet(&merged, hands.doc, *author, 0, raw).err(), Some(Refused::Again));
        }
    }

    #[test]
    fn what_an_author_wrote_and_nobody_took_out_is_in_the_merge(
        seed in any::<u64>(), size in 0..1_500_usize, authors in 2..5_usize,
    ) {
        prop_assert_eq!(lost(&Hands::at_work(seed, size, authors)), Vec::<String>::new());
    }

    #[test]
    fn a_day_log_of_several_hands_has_each_entry_once_and_one_of_two_in_their_order(seed in any::<u64>(), authors in 2..5_usize) {
        let (hands, added) = Hands::at_log(seed, authors);
        let all: Vec<usize> = (0..hands.sent.len()).collect();
        let mut merged = hands.merged(&all);
        let shown = entries(&merged.text());
        let mut each = shown.clone();
        each.sort_unstable();
        prop_assert_eq!(each, (0..authors as u64 * 4).collect::<Vec<_>>(), "each once");
        // Of three, two may have put what the third wrote in different places.
        for own in added.iter().filter(|_| authors == 2) {
            let there: Vec<_> = shown.iter().filter(|number| own.contains(*number)).copied().collect();
            prop_assert_eq!(&there, own, "of {:?}", shown);
        }
        let mut rng = Rng::new(seed ^ 1);
        prop_assert_eq!(said(&mut hands.merged(&shuffled(&mut rng, all.len()))), said(&mut merged));
        for (_, document) in &hands.authors {
            let mut document = document.clone();
            prop_assert!(hands.sent.iter().all(|sent| take(&mut document, hands.doc, sent)));
            prop_assert_eq!(said(&mut document), said(&mut merged));
        }
    }

    #[test]
    fn the_state_of_several_hands_is_an_object_with_what_each_set_last(seed in any::<u64>(), authors in 2..5_usize) {
        let hands = Hands::at_state(seed, authors);
        let all: Vec<usize> = (0..hands.sent.len()).collect();
        let mut merged = hands.merged(&all);
        let state: Map<String, Value> = serde_json::from_str(&merged.text()).expect("an object");
        for (who, (_, own)) in hands.authors.iter().enumerate() {
            let own: Map<String, Value> = serde_json::from_str(&own.text()).expect("an object");
            let name = format!("of {who}");
            prop_assert_eq!(state.get(&name), own.get(&name), "{}", name);
        }
        let mut rng = Rng::new(seed ^ 1);
        prop_assert_eq!(said(&mut hands.merged(&shuffled(&mut rng, all.len()))), said(&mut merged));
    }

    #[test]
    fn a_note_as_people_have_them_is_a_document_that_says_the_same_bytes(
        seed in any::<u64>(), size in prop_oneof![9 => 0..4_000_usize, 1 => Just(shape::NOTE_BYTES_MAX)],
    ) {
        let mut rng = Rng::new(seed);
        for bytes in [shape::note_of(&mut rng, size), shape::day_log(&mut rng, size / 90)] {
            let text = String::from_utf8(bytes).expect("text");
            for shape in [Shape::Note, Shape::Lines, Shape::Array] {
                prop_assert_eq!(Document::import_as(&text, shape).text(), text.as_str());
            }
        }
    }
}
