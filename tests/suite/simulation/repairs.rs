//! Notes and logs in which somebody went wrong, put right again.

use aiemp_crdt::{
    conflict::{Conflict, ConflictKind},
    document::{Document, actor, doc_id},
    vault::Choice,
};
use aiemp_node::core::{Input, Question};
use aiemp_protocol::{
    entry::{Entry, Item, SignedEntry},
    ids::ContentHash,
    replication::{EffectId, EntryWithPayloads, Record},
};
use aiemp_tests::world::World;

use super::scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, log_of, pass, path, save, settle, text, world};

const NOTE: &str = "Plans/a.md";
const TRIANGLE: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];

/// Appends an entry to the log of a node as its key could, behind its core's back.
fn append_as(world: &mut World, node: usize, items: Vec<Item>, payloads: Vec<Vec<u8>>) {
    let log = log_of(world, node);
    world.crash(node, 500);
    let state = &mut world.nodes[node];
    let chain = state.rosters();
    let seq = state.store.length(log);
    let prev = state.store.entry_at(log, seq);
    let (mesh, epoch) = (chain.current().mesh, chain.current().epoch);
    let now = aiemp_protocol::time::Timestamp::from_millis(world.now);
    let entry = Entry { seq: seq + 1, epoch, hlc: now, seen: Vec::new(), items };
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
    let base = *core(world, 0).vault().index().get(file).and_then(|record| record.base.shown()).expect("a base");
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

fn resolve(world: &mut World, node: usize, item: &Conflict, choice: Choice) {
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
