//! Notes and logs in which somebody went wrong, put right again.

use aiemp_crdt::{
    conflict::{Conflict, ConflictKind},
    document::{Document, actor, doc_id},
    index::FileRecord,
    vault::Choice,
};
use aiemp_node::core::{Input, Question};
use aiemp_protocol::{
    entry::{Entry, FileKind, Item, Position, SignedEntry},
    frame::Frame,
    ids::{Audience, ContentHash, EntryHash, FileId, LogId},
    replication::{EffectId, EntryWithPayloads, Record},
    roster::{ClosedLog, SignedRoster},
    time::Timestamp,
    zone::Zone,
};
use aiemp_tests::world::{World, root_key};

use super::scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, log_of, pass, path, save, settle, text, world};

const NOTE: &str = "Plans/a.md";
const TRIANGLE: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];

/// Appends an entry to the log of a node as its key could, behind its core's back.
pub(super) fn append_as(world: &mut World, node: usize, items: Vec<Item>, payloads: Vec<Vec<u8>>) {
    append_at(world, node, (world.time(), Vec::new()), items, payloads);
}

/// The same at a time, by the author's clock, and with what it had seen.
pub(super) fn append_at(
    world: &mut World,
    node: usize,
    (hlc, seen): (Timestamp, Vec<Position>),
    items: Vec<Item>,
    payloads: Vec<Vec<u8>>,
) {
    let log = log_of(world, node);
    world.crash(node, 500);
    let state = &mut world.nodes[node];
    let chain = state.rosters();
    let seq = state.store.length(log);
    let prev = state.store.entry_at(log, seq);
    let (mesh, epoch) = (chain.current().mesh, chain.current().epoch);
    let now = Timestamp::from_millis(world.now);
    let entry = Entry { seq: seq + 1, epoch, hlc, seen, items };
    let signed = SignedEntry::sign(&state.signer(), mesh, log, prev, entry);
    let entry = EntryWithPayloads { signed, payloads: payloads.into_iter().map(Some).collect() };
    state.store.enqueue(EffectId(0), Record::Entry { entry, received: now });
    while state.store.is_busy() {
        state.store.commit_next();
    }
    pass(world, 30_000);
}

/// A change of the note under an actor that is not its author's: no node takes it.
fn append_broken_change(world: &mut World, node: usize, typed: &str) {
    let file = core(world, 0).file_at(&path(NOTE)).expect("the note is there");
    let base = core(world, 0).vault().index().get(file).and_then(FileRecord::shown_base).expect("a base");
    let bytes = world.nodes[0].store.payloads.get(&base).cloned().expect("its content");
    let mut document = Document::import(std::str::from_utf8(&bytes).expect("a text"));
    let foreign = actor(world.nodes[0].id(), doc_id(file, base), 0, 3);
    let raw = document.edit(&format!("{}{typed}\n", document.text()), foreign).expect("a change");
    let item = Item::Change { file, base, length: raw.len() as u64, hash: ContentHash::of(&raw) };
    append_as(world, node, vec![item], vec![raw]);
}

fn dropped(world: &World, node: usize) -> Vec<Conflict> {
    let items = core(world, node).vault().conflicts().into_iter();
    items.filter(|item| item.kind == ConflictKind::Dropped).collect()
}

pub(super) fn resolve(world: &mut World, node: usize, item: &Conflict, choice: Choice) {
    let question = Question::Resolve { id: item.id, choice };
    world.input(node, Input::Asked { request: 77, question }).expect("it is decided");
    pass(world, 30_000);
}

/// A mesh of three in which Cloud wrote what no node takes into a note that was edited or not.
fn with_dropped_changes(seed: u64, is_edited: bool) -> World {
    let mut world = world(seed, &[LAPTOP, IDLE_CLOUD, DESKTOP], &TRIANGLE);
    save(&mut world, 0, NOTE, "# Plan\n\nfirst\n");
    pass(&mut world, 30_000);
    if is_edited {
        save(&mut world, 2, NOTE, "# Plan\n\nfirst\nsecond\n");
        pass(&mut world, 30_000);
    }
    world.captured.insert(1);
    append_broken_change(&mut world, 1, "hostile words");
    let shown = text(&world, 0, NOTE).expect("the note is there");
    save(&mut world, 1, NOTE, &format!("{shown}later words\n"));
    pass(&mut world, 30_000);
    for node in [0, 2] {
        assert_eq!(text(&world, node, NOTE).as_ref(), Some(&shown), "nothing of it is taken");
    }
    world
}

#[test]
fn a_note_with_dropped_changes_is_listed_alike_and_repaired() {
    for (seed, is_edited) in [(111, true), (112, false)] {
        let mut world = with_dropped_changes(seed, is_edited);
        let cloud = world.nodes[1].id();
        let items = dropped(&world, 0);
        let [item] = &items[..] else { panic!("one item: {items:?}") };
        assert_eq!(item.sides[1].node, Some(cloud));
        assert_eq!(item.sides[1].text, "hostile words\nlater words\n");
        // A node that starts again says the same without being asked for the note.
        world.crash(2, 500);
        pass(&mut world, 30_000);
        assert_eq!(dropped(&world, 2), items);
        assert!(!core(&world, 0).vault().can_resolve(item, &Choice::Side(1)), "it has no place in the note");
        resolve(&mut world, 0, item, Choice::Side(0));
        for node in 0..3 {
            assert!(dropped(&world, node).is_empty(), "node {node}");
        }
        let shown = text(&world, 2, NOTE).expect("the note is there");
        assert_eq!(shown.trim_end(), if is_edited { "# Plan\n\nfirst\nsecond" } else { "# Plan\n\nfirst" });
        save(&mut world, 1, NOTE, &format!("{shown}honest again\n"));
        pass(&mut world, 30_000);
        assert_eq!(text(&world, 0, NOTE), Some(format!("{shown}honest again\n")), "its author is heard again");
        settle(&mut world);
    }
}

#[test]
fn whoever_repairs_a_note_may_say_what_it_says() {
    let mut world = with_dropped_changes(113, true);
    let item = dropped(&world, 2).remove(0);
    resolve(&mut world, 2, &item, Choice::With(b"# Plan\n\nfirst\nlater words\n".to_vec()));
    for node in 0..3 {
        assert_eq!(text(&world, node, NOTE).as_deref(), Some("# Plan\n\nfirst\nlater words\n"));
        assert!(dropped(&world, node).is_empty());
    }
    settle(&mut world);
}

#[test]
fn an_edit_beside_a_repair_is_listed_and_one_more_broken_change_is_dropped_again() {
    let mut world = with_dropped_changes(114, true);
    world.partition(0, 2, 20_000);
    world.partition(1, 2, 20_000);
    pass(&mut world, 4_000);
    save(&mut world, 2, NOTE, "# Plan\n\nfirst\nsecond\nbeside\n");
    let item = dropped(&world, 0).remove(0);
    resolve(&mut world, 0, &item, Choice::Side(0));
    pass(&mut world, 60_000);
    for node in [0, 2] {
        let hidden = core(&world, node).vault().conflicts();
        let is_beside = |item: &Conflict| item.sides.iter().any(|side| side.text.contains("beside"));
        assert!(hidden.iter().any(|item| item.kind == ConflictKind::Content && is_beside(item)), "node {node}");
    }
    append_broken_change(&mut world, 1, "once more");
    for node in [0, 2] {
        let items = dropped(&world, node);
        assert_eq!(items.len(), 1, "node {node}: {items:?}");
        assert_eq!(items[0].sides[1].text, "once more\n");
    }
    settle(&mut world);
}

/// The author of two branches of one log, as whoever holds its key.
pub(super) struct Forker {
    pub(super) log: LogId,
    next: u64,
    prev: Option<EntryHash>,
}

impl Forker {
    /// Takes Cloud from its owner; both others hold the same of its log.
    pub(super) fn take_cloud(world: &mut World) -> Self {
        let log = log_of(world, 1);
        let held = world.nodes[1].store.length(log);
        let prev = world.nodes[1].store.entry_at(log, held);
        world.capture(1);
        world.executor.hostile.insert(log);
        Self { log, next: held + 1, prev }
    }

    /// The same author, in the log that follows.
    pub(super) fn next_generation(&self) -> Self {
        Self { log: LogId { generation: self.log.generation + 1, ..self.log }, next: 1, prev: None }
    }

    /// Says something to one node alone.
    pub(super) fn tell(&mut self, world: &mut World, to: usize, item: Item, payload: &[u8]) {
        let frame = self.sign(world, item, payload);
        self.show(world, to, frame);
    }

    /// The next entry of the log.
    pub(super) fn sign(&mut self, world: &World, item: Item, payload: &[u8]) -> Frame {
        let signer = world.nodes[1].signer();
        let chain = world.nodes[1].rosters();
        let (mesh, epoch) = (chain.current().mesh, chain.current().epoch);
        let entry = Entry { seq: self.next, epoch, hlc: world.time(), seen: Vec::new(), items: vec![item] };
        let signed = SignedEntry::sign(&signer, mesh, self.log, self.prev, entry);
        (self.next, self.prev) = (self.next + 1, Some(signed.hash));
        Frame::Entry { log: self.log, cose: signed.cose, payloads: vec![Some(payload.to_vec())] }
    }

    /// Shows an entry to one node alone.
    pub(super) fn show(&self, world: &mut World, to: usize, frame: Frame) {
        let peer = world.nodes[1].id();
        world.input(to, Input::PeerConnected(peer)).expect("it greets");
        world.input(to, Input::FrameReceived { peer, frame }).expect("it takes the frame");
        world.input(to, Input::PeerDisconnected(peer)).expect("it lets go");
        pass(world, 4_000);
    }
}

fn new_note(at: &str, text: &str) -> Item {
    let file = FileId { zone: Zone::Drafts, hash: aiemp_keys::Hash::of_content(at.as_bytes()) };
    let (base, length) = (ContentHash::of(text.as_bytes()), text.len() as u64);
    Item::New { file, path: path(at), kind: FileKind::Note, base, length }
}

/// The root key says that the branch stands which the first node holds.
fn let_the_first_stand(world: &mut World, log: LogId) {
    let mut chain = world.nodes[0].rosters();
    let seq = world.nodes[0].store.length(log);
    let hash = world.nodes[0].store.entry_at(log, seq).expect("an end").0;
    let mut next = chain.current().successor(world.time());
    next.closed.push(ClosedLog { log, seq, hash });
    for member in next.members.iter_mut().filter(|member| member.node == log.author) {
        member.generation_min = log.generation + 1;
    }
    chain.extend(&SignedRoster::sign(&root_key(), next).to_bytes()).expect("the next roster");
    world.input(0, Input::RosterChanged(chain)).expect("it follows");
    pass(world, 1_000);
}

fn shared_files(world: &World, node: usize) -> Vec<(String, String)> {
    let files = world.nodes[node].disk.files.iter();
    let shared = files.filter(|(path, _)| path.as_str().starts_with("Plans/"));
    shared.map(|(path, bytes)| (path.to_string(), String::from_utf8_lossy(bytes).into_owned())).collect()
}

fn frontier(world: &World, node: usize) -> Vec<Position> {
    let positions = core(world, node).replication().frontier();
    positions.filter(|position| position.log.audience == Audience::All).collect()
}

#[test]
fn a_node_on_the_branch_that_does_not_stand_follows_the_other_and_lists_what_is_lost() {
    for (seed, standing, own) in [(121, 1, true), (122, 3, true), (123, 70, false)] {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD, DESKTOP], &TRIANGLE);
        save(&mut world, 1, "Plans/common.md", "# Common\n\nfirst\n");
        save(&mut world, 2, "Plans/mine.md", "mine\n");
        pass(&mut world, 30_000);
        let common = core(&world, 0).file_at(&path("Plans/common.md")).expect("the note is there");
        let base = ContentHash::of(b"# Common\n\nfirst\n");
        world.partition(0, 2, 3_000_000);
        pass(&mut world, 4_000);
        let mut one = Forker::take_cloud(&mut world);
        let mut other = Forker { ..one };
        for number in 0..standing {
            let (at, text) = (format!("Plans/stands-{number}.md"), format!("it stands {number}\n"));
            one.tell(&mut world, 0, new_note(&at, &text), text.as_bytes());
        }
        other.tell(&mut world, 2, new_note("Plans/falls.md", "it falls\n"), b"it falls\n");
        let mut document = Document::import("# Common\n\nfirst\n");
        let cloud = actor(world.nodes[1].id(), doc_id(common, base), 0, 0);
        let raw = document.edit("# Common\n\nfirst\nit falls too\n", cloud).expect("a change");
        let change = Item::Change { file: common, base, length: raw.len() as u64, hash: ContentHash::of(&raw) };
        other.tell(&mut world, 2, change, &raw);
        assert_eq!(text(&world, 2, "Plans/common.md").as_deref(), Some("# Common\n\nfirst\nit falls too\n"));
        if own {
            // What its owner writes meanwhile builds on the branch.
            save(&mut world, 2, "Plans/mine.md", "mine\nand more\n");
            save(&mut world, 2, "Plans/new.md", "new\n");
            pass(&mut world, 10_000);
        }
        let_the_first_stand(&mut world, one.log);
        world.heal();
        pass(&mut world, 200_000);
        assert_eq!(frontier(&world, 0), frontier(&world, 2), "seed {seed}");
        assert_eq!(shared_files(&world, 0), shared_files(&world, 2), "seed {seed}");
        assert_eq!(text(&world, 2, "Plans/common.md").as_deref(), Some("# Common\n\nfirst\n"));
        assert_eq!(text(&world, 2, "Plans/falls.md"), None);
        let last = format!("Plans/stands-{}.md", standing - 1);
        assert_eq!(text(&world, 2, &last), Some(format!("it stands {}\n", standing - 1)));
        let wanted = if own { "mine\nand more\n" } else { "mine\n" };
        assert_eq!(text(&world, 0, "Plans/mine.md").as_deref(), Some(wanted), "seed {seed}");
        assert_eq!(text(&world, 0, "Plans/new.md").as_deref(), own.then_some("new\n"));
        let kept: Vec<_> = world.nodes[2].kept.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect();
        for lost in ["it falls\n", "# Common\n\nfirst\nit falls too\n"] {
            assert!(kept.iter().any(|text| text == lost), "{lost:?} is kept: {kept:?}");
        }
        let ids = |node| core(&world, node).vault().conflicts().iter().map(|item| item.id).collect::<Vec<_>>();
        assert_eq!(ids(0), ids(2));
    }
}

#[test]
fn what_came_as_the_content_of_a_file_is_decoded_as_no_change() {
    let mut world = world(114, &[LAPTOP, IDLE_CLOUD, DESKTOP], &TRIANGLE);
    save(&mut world, 0, NOTE, "# Plan\n\nfirst\n");
    pass(&mut world, 30_000);
    world.captured.insert(1);
    let hostile = b"what a decoder should never see".to_vec();
    let (hash, length) = (ContentHash::of(&hostile), hostile.len() as u64);
    let note = core(&world, 0).file_at(&path(NOTE)).expect("the note is there");
    let base = core(&world, 0).vault().index().get(note).and_then(FileRecord::shown_base).expect("a base");
    let file = FileId::at_path(Zone::Drafts, "plans/a.bin");
    let content = Item::New { file, path: path("Plans/a.bin"), kind: FileKind::Blob, base: hash, length };
    append_as(&mut world, 1, vec![content], vec![hostile.clone()]);
    append_as(&mut world, 1, vec![Item::Change { file: note, base, length, hash }], vec![hostile]);
    save(&mut world, 2, NOTE, "# Plan\n\nfirst\nsecond\n");
    pass(&mut world, 30_000);
    // Whoever starts again has the bytes, as a content; the note is as it was.
    world.crash(0, 500);
    pass(&mut world, 30_000);
    save(&mut world, 0, NOTE, "# Plan\n\nfirst\nsecond\nthird\n");
    pass(&mut world, 30_000);
    for node in [0, 2] {
        assert_eq!(text(&world, node, NOTE).as_deref(), Some("# Plan\n\nfirst\nsecond\nthird\n"), "node {node}");
        assert!(dropped(&world, node).is_empty(), "node {node}");
    }
}
