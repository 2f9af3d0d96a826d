//! Changes that somebody signs who holds Cloud's key: by a false length, too many of them, or knowing what they should not.

use aiemp_crdt::{
    conflict::ConflictKind,
    document::{Document, actor, doc_id},
    index::FileRecord,
    vet,
};
use aiemp_protocol::{
    entry::Item,
    ids::{ContentHash, FileId},
};
use aiemp_tests::world::World;

use super::{
    repairs::{Forker, append_as},
    scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, pass, path, save, text, world},
};

const NOTE: &str = "Plans/a.md";
const OTHER: &str = "Plans/b.md";
const FIRST: &str = "# Plan\n\nfirst\n";
const TRIANGLE: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];

/// A mesh of three with two shared notes, whose Cloud is another's.
fn captured(seed: u64) -> World {
    let mut world = world(seed, &[LAPTOP, IDLE_CLOUD, DESKTOP], &TRIANGLE);
    save(&mut world, 0, NOTE, FIRST);
    save(&mut world, 0, OTHER, "# Other\n");
    pass(&mut world, 30_000);
    world.captured.insert(1);
    world
}

fn note_at(world: &World, at: &str) -> (FileId, ContentHash) {
    let file = core(world, 0).file_at(&path(at)).expect("the note is there");
    let base = core(world, 0).vault().index().get(file).and_then(FileRecord::shown_base);
    (file, base.expect("a base"))
}

/// Cloud's next edit of the note, as its own node would make it.
fn edit_by_cloud(world: &World, text: &str) -> Vec<u8> {
    let (file, base) = note_at(world, NOTE);
    let cloud = actor(world.nodes[1].id(), doc_id(file, base), 0, 0);
    Document::import(FIRST).edit(text, cloud).expect("a change")
}

#[test]
fn a_change_that_is_named_with_a_length_not_its_own_is_none() {
    let mut world = captured(301);
    let raw = edit_by_cloud(&world, "# Plan\n\nfirst\nhostile\n");
    let (hash, length) = (ContentHash::of(&raw), raw.len() as u64);
    let change = |(file, base), length| Item::Change { file, base, length, hash };
    // It comes as a change of another note, at the cost that it has.
    let there = change(note_at(&world, OTHER), length);
    append_as(&mut world, 1, vec![there], vec![raw.clone()]);
    let here = note_at(&world, NOTE);
    append_as(&mut world, 1, vec![change(here, 1)], vec![raw]);
    world.crash(0, 500);
    pass(&mut world, 30_000);
    for node in [0, 2] {
        assert!(world.nodes[node].store.payload(hash, true).is_some(), "node {node} holds the bytes");
        assert_eq!(text(&world, node, NOTE).as_deref(), Some(FIRST), "node {node}");
    }
    save(&mut world, 2, NOTE, "# Plan\n\nfirst\nsecond\n");
    pass(&mut world, 30_000);
    assert_eq!(text(&world, 0, NOTE).as_deref(), Some("# Plan\n\nfirst\nsecond\n"));
}

#[test]
fn a_note_that_took_many_bytes_of_changes_starts_anew() {
    let mut world = world(302, &[LAPTOP], &[]);
    let note = |number: usize| format!("---\nlong: {}{number}\n---\n", "x".repeat(900_000));
    save(&mut world, 0, NOTE, &note(0));
    pass(&mut world, 4_000);
    let (_, first) = note_at(&world, NOTE);
    for number in 1..=12 {
        save(&mut world, 0, NOTE, &note(number));
        pass(&mut world, 4_000);
    }
    assert_ne!(note_at(&world, NOTE).1, first, "another document");
    assert_eq!(text(&world, 0, NOTE), Some(note(12)));
    assert_eq!(core(&world, 0).vault().conflicts(), []);
}

/// What both persons' nodes say of the note, once they have all.
fn said_alike(world: &mut World) -> String {
    world.heal();
    pass(world, 60_000);
    // One of them starts again, and reads what it holds anew.
    world.crash(2, 500);
    pass(world, 60_000);
    let items = |node| core(world, node).vault().conflicts();
    assert_eq!(items(0), items(2));
    assert!(items(0).iter().any(|item| item.kind == ConflictKind::Dropped), "it is told of");
    let said = text(world, 0, NOTE).expect("the note is there");
    assert_eq!(text(world, 2, NOTE).as_ref(), Some(&said));
    said
}

#[test]
fn whether_a_change_is_taken_does_not_hang_on_what_came_before_it() {
    let mut world = world(303, &[LAPTOP, IDLE_CLOUD, DESKTOP], &TRIANGLE);
    save(&mut world, 0, NOTE, FIRST);
    pass(&mut world, 30_000);
    let mut hostile = Forker::take_cloud(&mut world);
    world.partition(0, 2, 3_000_000);
    pass(&mut world, 4_000);
    save(&mut world, 0, NOTE, "# Plan\n\nfirst\nmine\n");
    pass(&mut world, 10_000);
    let (file, base) = note_at(&world, NOTE);
    let mine =
        core(&world, 0).vault().index().get(file).and_then(|record| record.changes().last()).expect("an edit").hash;
    let mine = world.nodes[0].store.payload(mine, true).expect("its bytes");
    let mut document = Document::import(FIRST);
    let mine = vet::vet(&document, doc_id(file, base), world.nodes[0].id(), 0, &mine).expect("an edit");
    document.apply(mine).expect("it applies");
    // It builds on what its entry had not seen.
    let cloud = actor(world.nodes[1].id(), doc_id(file, base), 0, 0);
    let raw = document.edit("# Plan\n\nfirst\nmine\nhostile\n", cloud).expect("a change");
    let change = Item::Change { file, base, length: raw.len() as u64, hash: ContentHash::of(&raw) };
    let said = hostile.sign(&world, change, &raw);
    hostile.show(&mut world, 0, said.clone());
    hostile.show(&mut world, 2, said);
    save(&mut world, 0, NOTE, "# Plan\n\nfirst\nmine\nand more\n");
    pass(&mut world, 10_000);
    assert_eq!(said_alike(&mut world), "# Plan\n\nfirst\nmine\nand more\n");
}

#[test]
fn a_log_with_a_broken_change_takes_no_other_log_with_it() {
    let mut world = world(304, &[LAPTOP, IDLE_CLOUD, DESKTOP], &TRIANGLE);
    save(&mut world, 0, NOTE, FIRST);
    pass(&mut world, 30_000);
    let (file, base) = note_at(&world, NOTE);
    let mut bad = Forker::take_cloud(&mut world);
    world.partition(0, 2, 3_000_000);
    pass(&mut world, 4_000);
    let edit = |generation: u64, lane: u64, world: &World| {
        let cloud = actor(world.nodes[1].id(), doc_id(file, base), generation, lane);
        let raw = Document::import(FIRST).edit(&format!("{FIRST}of {generation}\n"), cloud).expect("a change");
        (Item::Change { file, base, length: raw.len() as u64, hash: ContentHash::of(&raw) }, raw)
    };
    // In a lane that no node has.
    let (broken, broken_raw) = edit(0, 99, &world);
    let (fine, fine_raw) = edit(1, 0, &world);
    let mut next = bad.next_generation();
    world.executor.hostile.insert(next.log);
    let broken = bad.sign(&world, broken, &broken_raw);
    let fine = next.sign(&world, fine, &fine_raw);
    for (node, said) in [(0, &broken), (0, &fine), (2, &fine), (2, &broken)] {
        bad.show(&mut world, node, said.clone());
    }
    assert_eq!(said_alike(&mut world), format!("{FIRST}of 1\n"));
}
