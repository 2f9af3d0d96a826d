//! Payloads that a hostile Cloud names and does not send: nobody holds an honest peer to its lies, and no digest that it
//! knows or guesses becomes more than it is.

use aiemp_crdt::index::FileRecord;
use aiemp_node::core::{Input, Question};
use aiemp_protocol::{
    a2a::Announcement,
    entry::{ContentRef, Entry, FieldWrite, FileKind, Item, Position, SignedEntry},
    frame::Frame,
    ids::{ContentHash, FileId, WorkId},
    time::Timestamp,
    zone::Zone,
};
use aiemp_tests::{people, world::World};

use super::scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, log_of, pass, path, save, text, world};

const CLOUD: usize = 1;
const NOTE: &str = "Plans/a.md";
const SCAN: &str = "Plans/scan.bin";
const LOCALS: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];

/// Somebody else at Cloud, who goes on in its log.
struct Hostile {
    world: World,
    said: Vec<SignedEntry>,
}

impl Hostile {
    /// A mesh of two Locals with a shared note, whose Cloud was just captured.
    fn among_two_locals(seed: u64) -> Self {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD, DESKTOP], &LOCALS);
        save(&mut world, 0, NOTE, "# Plan\n\nfirst\n");
        pass(&mut world, 30_000);
        world.capture(CLOUD);
        pass(&mut world, 5_000);
        Self { world, said: Vec::new() }
    }

    /// Says something to a node, over a session of its own.
    fn say(&mut self, to: usize, frame: Frame) {
        let peer = self.world.nodes[CLOUD].id();
        self.world.input(to, Input::FrameReceived { peer, frame }).expect("nothing goes wrong");
    }

    fn connect(&mut self, to: usize) {
        let peer = self.world.nodes[CLOUD].id();
        self.world.input(to, Input::PeerConnected(peer)).expect("nothing goes wrong");
        self.say(to, Frame::Frontier { positions: Vec::new() });
    }

    /// Signs an entry that names payloads, and says it without them.
    fn name(&mut self, to: usize, items: Vec<Item>) {
        let state = &self.world.nodes[CLOUD];
        let chain = state.rosters();
        let log = aiemp_protocol::ids::LogId { author: state.id(), ..log_of(&self.world, 0) };
        let before = state.store.length(log);
        let prev = self.said.last().map(|last| last.hash).or_else(|| state.store.entry_at(log, before));
        let seq = before + self.said.len() as u64 + 1;
        let hlc = Timestamp::from_millis(self.world.now);
        let seen = if self.said.is_empty() { vec![self.head_of(to)] } else { Vec::new() };
        let entry = Entry { seq, epoch: chain.current().epoch, hlc, seen, items };
        let signed = SignedEntry::sign(&state.signer(), chain.current().mesh, log, prev, entry);
        let payloads = signed.entry.items.iter().filter_map(Item::payload).map(|_| None).collect();
        self.say(to, Frame::Entry { log, cose: signed.cose.clone(), payloads });
        self.said.push(signed);
    }

    fn head_of(&self, node: usize) -> Position {
        let log = log_of(&self.world, node);
        let seq = self.world.nodes[node].store.length(log);
        let hash = self.world.nodes[node].store.entry_at(log, seq).expect("it wrote something");
        Position { log, seq, hash }
    }

    /// A change of the shared note by these bytes.
    fn change(&self, hash: ContentHash, length: u64) -> Item {
        let file = core(&self.world, 0).file_at(&path(NOTE)).expect("the note is there");
        let base = core(&self.world, 0).vault().index().get(file).and_then(FileRecord::shown_base);
        Item::Change { file, base: base.expect("a base"), length, hash }
    }

    fn content(name: &str, hash: ContentHash, length: u64) -> Item {
        let file = FileId::at_path(Zone::Drafts, name);
        Item::New { file, path: path(&format!("Plans/{name}")), kind: FileKind::Blob, base: hash, length }
    }

    /// A person takes back what Cloud wrote.
    fn is_undone(&mut self) {
        let since = Timestamp::from_millis(0);
        let question = Question::Undo { author: self.world.nodes[CLOUD].id(), since };
        self.world.input(0, Input::Asked { request: 7, question }).expect("nothing goes wrong");
        pass(&mut self.world, 60_000);
        for node in [0, 2] {
            assert_eq!(text(&self.world, node, NOTE).as_deref(), Some("# Plan\n\nfirst\n"), "node {node}");
            let files = &self.world.nodes[node].disk.files;
            assert!(
                !files.contains_key(&path("Plans/0.bin")) && !files.contains_key(&path("Plans/dear.bin")),
                "{node}"
            );
        }
    }

    /// The nodes agree on what the note says, and go on.
    fn ends_well(mut self) {
        pass(&mut self.world, 30_000);
        save(&mut self.world, 0, NOTE, "# Plan\n\nfirst\nsecond\n");
        pass(&mut self.world, 60_000);
        for node in [0, 2] {
            assert_eq!(text(&self.world, node, NOTE).as_deref(), Some("# Plan\n\nfirst\nsecond\n"), "node {node}");
        }
    }
}

/// Larger than what travels with its entry.
fn scan() -> Vec<u8> {
    (0_u32..600_000).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn a_payload_that_was_asked_for_as_content_is_not_taken_as_a_change() {
    let mut hostile = Hostile::among_two_locals(121);
    let bytes = b"what a decoder should never see".to_vec();
    let (hash, length) = (ContentHash::of(&bytes), bytes.len() as u64);
    hostile.connect(0);
    hostile.name(0, vec![Hostile::content("x.bin", hash, length)]);
    pass(&mut hostile.world, 1_000);
    // The entry is not durable yet when the bytes come that were asked for before.
    let change = hostile.change(hash, length);
    hostile.name(0, vec![change]);
    hostile.say(0, Frame::PayloadPart { hash, offset: 0, length, bytes });
    pass(&mut hostile.world, 5_000);
    assert!(hostile.world.nodes[0].store.payload(hash, true).is_some(), "it is held as the content that it came as");
    hostile.world.crash(0, 500);
    hostile.ends_well();
}

#[test]
fn a_digest_guessed_right_is_not_shared_by_way_of_another_local() {
    let mut hostile = Hostile::among_two_locals(122);
    save(&mut hostile.world, 0, "Private/pin.md", "the pin is 1234\n");
    pass(&mut hostile.world, 30_000);
    assert!(text(&hostile.world, 2, "Private/pin.md").is_some());
    let hash = ContentHash::of(b"the pin is 1234\n");
    hostile.connect(0);
    hostile.name(0, vec![Hostile::content("guess.md", hash, 16)]);
    pass(&mut hostile.world, 60_000);
    assert!(hostile.world.nodes[0].store.names_for_all(hash), "its entry is taken");
    for node in [0, 2] {
        assert_eq!(hostile.world.nodes[node].store.payload(hash, true), None, "node {node}");
    }
    hostile.ends_well();
}

#[test]
fn a_length_that_is_a_lie_is_held_against_nobody_who_has_the_bytes() {
    let mut hostile = Hostile::among_two_locals(123);
    let (scan, small) = (scan(), b"small\0".to_vec());
    let (hash, length) = (ContentHash::of(&scan), scan.len() as u64);
    people::save(&mut hostile.world, 2, path("Plans/small.bin"), small.clone());
    pass(&mut hostile.world, 30_000);
    hostile.connect(0);
    // Of what is held, which travels with its entry, and of what is yet to come.
    hostile.world.cut(0, 2);
    hostile.name(0, vec![Hostile::content("lie.bin", ContentHash::of(&small), 7)]);
    hostile.name(0, vec![Hostile::content("longer.bin", hash, length + 1)]);
    pass(&mut hostile.world, 30_000);
    people::save(&mut hostile.world, 2, path(SCAN), scan.clone());
    hostile.world.heal();
    pass(&mut hostile.world, 60_000);
    assert!(hostile.world.nodes[0].disk.files.get(&path(SCAN)) == Some(&scan), "the file comes all the same");
    hostile.ends_well();
}

#[test]
fn a_file_that_is_called_a_change_is_still_a_file() {
    let mut hostile = Hostile::among_two_locals(124);
    // Of the two that one entry names, at most one travels with it.
    let files = [b"one\0", b"two\0"].map(|name| [name.to_vec(), scan()[..900_000].to_vec()].concat());
    hostile.connect(0);
    for file in &files {
        let change = hostile.change(ContentHash::of(file), file.len() as u64);
        hostile.name(0, vec![change]);
    }
    pass(&mut hostile.world, 5_000);
    let paths = [path("Plans/one.bin"), path("Plans/two.bin")];
    for (at, file) in paths.iter().zip(&files) {
        people::save(&mut hostile.world, 2, at.clone(), file.clone());
    }
    for _ in 0..2 {
        pass(&mut hostile.world, 60_000);
        for (at, file) in paths.iter().zip(&files) {
            assert!(hostile.world.nodes[0].disk.files.get(at) == Some(file), "{at}");
        }
        hostile.world.crash(0, 500);
    }
    hostile.ends_well();
}

#[test]
fn a_content_costs_its_length_for_each_file_that_names_it() {
    let mut hostile = Hostile::among_two_locals(127);
    let scan = scan();
    let (hash, length) = (ContentHash::of(&scan), scan.len() as u64);
    people::save(&mut hostile.world, 2, path(SCAN), scan.clone());
    pass(&mut hostile.world, 60_000);
    hostile.connect(0);
    let note = core(&hostile.world, 0).file_at(&path(NOTE)).expect("the note is there");
    let cheap = ContentRef { hash, length: 1 };
    let mut items: Vec<_> = (0..20).map(|number| Hostile::content(&format!("{number}.bin"), hash, 1)).collect();
    items.push(Item::Set { file: note, write: FieldWrite::Base(cheap) });
    hostile.name(0, items);
    pass(&mut hostile.world, 60_000);
    for node in [0, 2] {
        let copies = hostile.world.nodes[node].disk.files.values().filter(|bytes| **bytes == scan).count();
        assert_eq!(copies, 1, "node {node}: the person's own");
        assert_eq!(core(&hostile.world, node).vault().lacking().count(), 21, "node {node}: the others are told");
    }
    let author = hostile.world.nodes[CLOUD].id();
    let used = |hostile: &Hostile| {
        core(&hostile.world, 0).replication().usage_of(author, Timestamp::from_millis(hostile.world.now)).bytes
    };
    let before = used(&hostile);
    hostile.name(0, vec![Hostile::content("dear.bin", hash, length)]);
    pass(&mut hostile.world, 60_000);
    assert!(
        hostile.world.nodes[0].disk.files.get(&path("Plans/dear.bin")) == Some(&scan),
        "named as it is, it is shown"
    );
    assert!(used(&hostile) >= before + length, "and counted");
    hostile.is_undone();
}

/// What the person saves from then on would wait for a content that is nowhere.
#[test]
fn a_wrong_length_for_what_a_note_says_already_takes_nothing_from_it() {
    let mut hostile = Hostile::among_two_locals(129);
    hostile.connect(0);
    let note = core(&hostile.world, 0).file_at(&path(NOTE)).expect("the note is there");
    let shown = text(&hostile.world, 0, NOTE).expect("it has a content");
    let wrong = ContentRef { hash: ContentHash::of(shown.as_bytes()), length: 3 };
    hostile.name(0, vec![Item::Set { file: note, write: FieldWrite::Base(wrong) }]);
    pass(&mut hostile.world, 60_000);
    let edited = format!("{shown}more\n");
    people::save(&mut hostile.world, 0, path(NOTE), edited.clone().into_bytes());
    pass(&mut hostile.world, 60_000);
    for node in [0, 2] {
        assert_eq!(text(&hostile.world, node, NOTE), Some(edited.clone()), "node {node}");
        assert_eq!(core(&hostile.world, node).vault().lacking().count(), 0, "node {node}");
    }
    hostile.ends_well();
}

#[test]
fn a_content_that_nobody_holds_is_told_and_undone() {
    let mut hostile = Hostile::among_two_locals(128);
    hostile.connect(0);
    let note = core(&hostile.world, 0).file_at(&path(NOTE)).expect("the note is there");
    let nowhere = ContentRef { hash: ContentHash::of(b"kept back"), length: 9 };
    hostile.name(0, vec![Item::Set { file: note, write: FieldWrite::Base(nowhere) }]);
    pass(&mut hostile.world, 60_000);
    for node in [0, 2] {
        let lacking: Vec<_> = core(&hostile.world, node).vault().lacking().map(ToString::to_string).collect();
        assert_eq!(lacking, [NOTE], "node {node}");
        assert_eq!(text(&hostile.world, node, NOTE).as_deref(), Some("# Plan\n\nfirst\n"), "node {node}: it stays");
    }
    hostile.is_undone();
    assert_eq!(core(&hostile.world, 0).vault().lacking().count(), 0);
    hostile.ends_well();
}

#[test]
fn a_change_under_a_content_that_never_was_is_no_conflict() {
    let mut hostile = Hostile::among_two_locals(129);
    hostile.connect(0);
    let file = core(&hostile.world, 0).file_at(&path(NOTE)).expect("the note is there");
    for number in 0..20_u8 {
        let base = ContentHash::of(&[number]);
        hostile.name(0, vec![Item::Change { file, base, length: 1, hash: base }]);
    }
    pass(&mut hostile.world, 60_000);
    for node in [0, 2] {
        assert_eq!(core(&hostile.world, node).vault().conflicts(), [], "node {node}");
    }
    hostile.ends_well();
}

#[test]
fn a_note_that_cloud_calls_bytes_goes_on_as_a_note() {
    let mut hostile = Hostile::among_two_locals(130);
    save(&mut hostile.world, 2, NOTE, "# Plan\n\nfirst\nfrom the desktop\n");
    pass(&mut hostile.world, 30_000);
    hostile.connect(0);
    let file = core(&hostile.world, 0).file_at(&path(NOTE)).expect("the note is there");
    hostile.name(0, vec![Item::Set { file, write: FieldWrite::Kind(FileKind::Blob) }]);
    pass(&mut hostile.world, 60_000);
    hostile.world.crash(0, 500);
    pass(&mut hostile.world, 60_000);
    for node in [0, 2] {
        let there = text(&hostile.world, node, NOTE);
        assert_eq!(there.as_deref(), Some("# Plan\n\nfirst\nfrom the desktop\n"), "node {node}");
    }
    hostile.ends_well();
}

#[test]
fn a_draft_that_is_announced_again_and_again_is_kept_once() {
    let mut hostile = Hostile::among_two_locals(126);
    let peer = hostile.world.nodes[CLOUD].id();
    let file = FileId::at_path(Zone::Drafts, "a draft");
    for number in 0..200_u32 {
        let work = WorkId(aiemp_keys::Hash::of_content(&number.to_le_bytes()));
        let body = Announcement { file, work, action: None }.to_call().expect("a call");
        let request = u64::from(number) + 1;
        hostile.world.input(0, Input::Called { request, peer, body }).expect("it is answered");
    }
    assert_eq!(hostile.world.nodes[0].store.announcements.len(), 1);
}

#[test]
fn no_cloud_is_asked_for_a_private_payload() {
    let mut world = world(125, &[LAPTOP, IDLE_CLOUD, DESKTOP], &LOCALS);
    for (from, to, at) in [(0, 2, "Private/one.bin"), (2, 0, "Private/two.bin")] {
        let bytes = [scan(), at.as_bytes().to_vec()].concat();
        people::save(&mut world, from, path(at), bytes.clone());
        pass(&mut world, 60_000);
        assert!(world.nodes[to].disk.files.get(&path(at)) == Some(&bytes), "{at}: of the other Local");
    }
}
