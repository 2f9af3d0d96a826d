//! Notes whose content was replaced as a whole: by bytes that are no text, or back.

use aiemp_crdt::{
    conflict::{Conflict, ConflictKind},
    vault::Choice,
};
use aiemp_node::core::{Input, Question};
use aiemp_protocol::ids::ContentHash;
use aiemp_tests::{people, world::World};

use super::{
    repairs::resolve,
    scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, pass, path, save, settle, text, world},
};

const AT: &str = "Plans/a.md";
const PICTURE: &[u8] = b"\x00\x9f a picture";

fn save_picture(world: &mut World, node: usize) {
    people::save(world, node, path(AT), PICTURE.to_vec());
}

fn shown(world: &World) -> [Vec<u8>; 2] {
    [0, 1].map(|node| world.nodes[node].disk.files.get(&path(AT)).cloned().unwrap_or_default())
}

/// One node put a picture where the other went on writing.
fn picture_beside_an_edit() -> (World, Conflict) {
    let mut world = world(221, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, AT, "one\n");
    pass(&mut world, 15_000);
    world.partition(0, 1, 15_000);
    save_picture(&mut world, 0);
    save(&mut world, 1, AT, "one\ntwo\n");
    pass(&mut world, 60_000);
    assert_eq!(shown(&world), [PICTURE, PICTURE]);
    let mut items = core(&world, 0).vault().conflicts();
    assert_eq!(items.len(), 1, "{items:?}");
    let item = items.remove(0);
    assert_eq!((item.kind, item.sides[1].text.as_str()), (ConflictKind::Content, "one\ntwo\n"));
    (world, item)
}

#[test]
fn what_is_chosen_in_place_of_a_shown_blob_is_shown() {
    let other: &[u8] = b"\x00\x01 another picture";
    let choices = [
        (Choice::Side(1), &b"one\ntwo\n"[..]),
        (Choice::With(b"three\n".to_vec()), b"three\n"),
        (Choice::With(other.to_vec()), other),
    ];
    for (choice, expected) in choices {
        let (mut world, item) = picture_beside_an_edit();
        resolve(&mut world, 0, &item, choice);
        assert_eq!(shown(&world), [expected, expected]);
        assert_eq!(core(&world, 0).vault().conflicts(), []);
        settle(&mut world);
    }
}

/// A note in which each node gave a field another value.
fn with_a_field_of_two_values(seed: u64) -> World {
    let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    give_a_field_two_values(&mut world, AT, "one\n");
    world
}

fn give_a_field_two_values(world: &mut World, at: &str, body: &str) {
    let note = |status: &str| format!("---\nstatus: {status}\n---\n{body}");
    save(world, 0, at, &note("open"));
    pass(world, 15_000);
    world.partition(0, 1, 15_000);
    save(world, 0, at, &note("done"));
    save(world, 1, at, &note("late"));
    pass(world, 60_000);
}

#[test]
fn bytes_that_are_no_note_replace_a_note_where_they_are_chosen() {
    let mut world = with_a_field_of_two_values(222);
    let item = core(&world, 0).vault().conflicts().pop().expect("the field has two values");
    resolve(&mut world, 0, &item, Choice::With(PICTURE.to_vec()));
    assert_eq!(shown(&world), [PICTURE, PICTURE]);
    assert_eq!(core(&world, 0).vault().conflicts(), []);
    settle(&mut world);
}

#[test]
fn a_field_with_two_values_is_not_listed_of_a_content_that_was_replaced() {
    let mut world = with_a_field_of_two_values(224);
    assert_eq!(core(&world, 0).vault().conflicts().len(), 1);
    save_picture(&mut world, 0);
    pass(&mut world, 15_000);
    for node in [0, 1] {
        assert_eq!(core(&world, node).vault().conflicts(), [], "node {node}");
    }
    settle(&mut world);
}

#[test]
fn both_values_of_a_field_are_told_of_a_content_that_is_not_shown() {
    const AT: &str = "Notes/a.md";
    let mut world = world(230, &[LAPTOP, DESKTOP], &[(0, 1)]);
    give_a_field_two_values(&mut world, AT, &long("old"));
    let shown = text(&world, 1, AT).expect("the note is there");
    world.partition(0, 1, 15_000);
    save(&mut world, 0, AT, &long("new"));
    save(&mut world, 1, AT, &format!("{shown}two\n"));
    pass(&mut world, 60_000);
    let other = if shown.contains("done") { "late" } else { "done" };
    for node in [0, 1] {
        let items = core(&world, node).vault().conflicts();
        assert_eq!((items.len(), items[0].kind), (1, ConflictKind::Content), "node {node}");
        assert_eq!(items[0].sides[1].text, format!("{shown}two\n(also written: status: {other})\n"), "node {node}");
    }
    let item = core(&world, 0).vault().conflicts().remove(0);
    resolve(&mut world, 0, &item, Choice::Side(1));
    pass(&mut world, 15_000);
    assert_eq!(text(&world, 0, AT), Some(format!("{shown}two\n")), "what stands is the note alone");
    settle(&mut world);
}

#[test]
fn a_text_saved_again_after_other_content_brings_no_earlier_edit_back() {
    let mut world = world(223, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, AT, "one\n");
    pass(&mut world, 15_000);
    save(&mut world, 1, AT, "one\ntwo\n");
    pass(&mut world, 15_000);
    save_picture(&mut world, 0);
    pass(&mut world, 15_000);
    save(&mut world, 0, AT, "one\n");
    pass(&mut world, 15_000);
    for node in [0, 1] {
        let text = text(&world, node, AT).expect("the note is there");
        assert_eq!(text.trim_end(), "one", "node {node}");
    }
    assert_eq!(core(&world, 0).vault().conflicts(), []);
    settle(&mut world);
}

#[test]
fn a_hidden_blob_is_told_by_its_length_and_digest_and_read_again_when_it_is_chosen() {
    let blobs = [PICTURE.to_vec(), vec![0xff; 5_000]];
    for (seed, choice) in [(225, Choice::Side(1)), (226, Choice::Both)] {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        save(&mut world, 0, AT, "one\n");
        pass(&mut world, 15_000);
        world.partition(0, 1, 15_000);
        for (node, blob) in blobs.iter().enumerate() {
            people::save(&mut world, node, path(AT), blob.clone());
        }
        pass(&mut world, 60_000);
        let item = core(&world, 0).vault().conflicts().pop().expect("one of them is hidden");
        let shown_first = world.nodes[0].disk.files[&path(AT)].clone();
        let hidden = blobs.iter().find(|blob| **blob != shown_first).expect("the other");
        assert_eq!(item.sides[1].text, format!("{} bytes, {}", hidden.len(), ContentHash::of(hidden)));
        assert!(core(&world, 0).vault().can_resolve(&item, &choice));
        resolve(&mut world, 0, &item, choice.clone());
        let expected = if choice == Choice::Both { &shown_first } else { hidden };
        assert_eq!(shown(&world), [&expected[..], &expected[..]]);
        for node in 0..2 {
            let holds = world.nodes[node].disk.files.values().any(|bytes| bytes == hidden);
            assert!(holds, "node {node} shows what was hidden");
            assert_eq!(core(&world, node).vault().conflicts(), [], "node {node}");
        }
        settle(&mut world);
    }
}

#[test]
fn a_field_to_which_one_node_gave_two_values_is_listed_there_also_after_a_start() {
    let note = |status: &str| format!("---\nstatus: {status}\n---\none\n");
    let mut found = 0;
    for seed in 227..237 {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        save(&mut world, 0, AT, &note("open"));
        pass(&mut world, 15_000);
        let since = world.time();
        save(&mut world, 0, AT, &note("done"));
        pass(&mut world, 15_000);
        let changes = |world: &World| {
            let vault = core(world, 0).vault();
            vault.file_at(&path(AT)).and_then(|file| vault.index().get(file)).map_or(0, |record| record.changes().len())
        };
        let before = changes(&world);
        // The node takes back what it wrote, and before that lies on its disk the person says something else.
        let author = world.nodes[0].id();
        world.input(0, Input::Asked { request: 7, question: Question::Undo { author, since } }).expect("it is asked");
        for _ in 0..5_000 {
            if changes(&world) > before {
                break;
            }
            pass(&mut world, 1);
        }
        if text(&world, 0, AT) != Some(note("done")) {
            continue;
        }
        save(&mut world, 0, AT, &note("late"));
        pass(&mut world, 60_000);
        let items = core(&world, 1).vault().conflicts();
        found += items.len();
        world.crash(0, 500);
        pass(&mut world, 60_000);
        assert_eq!(core(&world, 0).vault().conflicts(), items, "seed {seed}");
        settle(&mut world);
    }
    assert!(found > 3, "{found} items");
}

/// A note of 5 KB or more of which no line is in another `kind`'s.
pub(super) fn long(kind: &str) -> String {
    (0..400).map(|line| format!("{kind} {line} {kind}{kind}{line}\n")).collect()
}

#[test]
fn a_note_that_was_replaced_by_another_text_keeps_an_edit_of_the_old_one_beside_it() {
    let mut world = world(228, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, AT, &long("old"));
    pass(&mut world, 15_000);
    world.partition(0, 1, 15_000);
    save(&mut world, 0, AT, &long("new"));
    let edited = format!("{}one line more\n", long("old"));
    save(&mut world, 1, AT, &edited);
    pass(&mut world, 60_000);
    for node in [0, 1] {
        assert!(text(&world, node, AT).is_some_and(|text| text == long("new")), "node {node}");
        let items = core(&world, node).vault().conflicts();
        assert_eq!((items.len(), items[0].kind), (1, ConflictKind::Content));
        assert!(items[0].sides[1].text == edited, "node {node}");
    }
    settle(&mut world);
}

#[test]
fn a_note_that_is_replaced_and_put_back_is_exact_whatever_was_edited_between() {
    let mut world = world(229, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let edited = long("old").replace("old 7 ", "seven ");
    for saved in [long("old"), long("new"), long("old"), edited, long("new"), long("old"), long("new")] {
        save(&mut world, 0, AT, &saved);
        pass(&mut world, 15_000);
        for node in [0, 1] {
            assert!(text(&world, node, AT).is_some_and(|text| text == saved), "node {node}");
        }
        assert_eq!(core(&world, 0).vault().conflicts(), []);
    }
    settle(&mut world);
}

#[test]
fn a_draft_of_somebody_else_that_is_written_anew_still_shows_who_wrote_which_word() {
    let mut world = world(230, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let at = "Pending_Approval/a.md";
    save(&mut world, 1, at, &long("old"));
    pass(&mut world, 15_000);
    save(&mut world, 0, at, &long("new"));
    pass(&mut world, 15_000);
    let vault = core(&world, 1).vault();
    let record = vault.file_at(&path(at)).and_then(|file| vault.index().get(file)).expect("the draft is there");
    assert_eq!((record.shown_base(), record.changes().len()), (Some(ContentHash::of(long("old").as_bytes())), 1));
    settle(&mut world);
}
