//! Many files that vanish from a disk within seconds: a person decides whether they were to be removed.

use aiemp_crdt::{
    conflict::{Conflict, ConflictKind},
    vault::Choice,
};
use aiemp_node::core::{Input, Question};
use aiemp_protocol::entry::{FieldWrite, Item};
use aiemp_tests::world::World;

use super::{
    repairs::append_as,
    scenarios::{IDLE_CLOUD, LAPTOP, core, pass, path, save, settle, text, world},
};

const FILES: usize = 40;

fn note(number: usize) -> String {
    format!("Plans/note-{number:03}.md")
}

fn with_notes(seed: u64) -> World {
    let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    for number in 0..FILES {
        save(&mut world, 0, &note(number), &format!("note {number}\n"));
    }
    pass(&mut world, 60_000);
    assert_eq!(notes(&world, 1), FILES);
    world
}

/// The person deletes a file.
pub(super) fn remove(world: &mut World, node: usize, at: &str) {
    world.nodes[node].disk.files.remove(&path(at)).expect("it was there");
    world.touched(node, path(at));
}

/// Removes these notes of the laptop, each so long after the one before.
fn remove_by_and_by(world: &mut World, numbers: std::ops::Range<usize>, every_ms: u64) {
    for number in numbers {
        remove(world, 0, &note(number));
        pass(world, every_ms);
    }
}

fn notes(world: &World, node: usize) -> usize {
    world.nodes[node].disk.files.keys().filter(|path| path.as_str().starts_with("Plans/note-")).count()
}

fn items(world: &World, node: usize) -> Vec<Conflict> {
    let items = core(world, node).vault().open_items();
    items.into_iter().filter(|item| item.kind == ConflictKind::MassRemoval).collect()
}

fn decide(world: &mut World, choice: Choice) {
    let id = items(world, 0).pop().expect("it waits").id;
    world.input(0, Input::Asked { request: 1 << 40, question: Question::Resolve { id, choice } }).expect("it is taken");
    settle(world);
    assert!(items(world, 0).is_empty());
}

/// Nothing is archived, nothing is written again, and only this node lists it.
fn assert_held(world: &World, count: usize) {
    let held = items(world, 0);
    assert_eq!(held.len(), 1, "{held:?}");
    assert!(
        held[0].sides[0].text.starts_with(&format!("{count} files are gone here:\nPlans/note-000.md\n")),
        "{held:?}"
    );
    assert_eq!((notes(world, 0), notes(world, 1)), (FILES - count, FILES));
    assert!(items(world, 1).is_empty());
    assert!(core(world, 0).vault().is_settled(), "all else goes on");
}

#[test]
fn removals_of_ten_seconds_wait_for_the_person_and_are_carried_out_when_they_say_so() {
    let mut world = with_notes(1);
    // At any one moment far fewer are gone than would be held.
    remove_by_and_by(&mut world, 0..14, 600);
    pass(&mut world, 60_000);
    assert_held(&world, 14);
    decide(&mut world, Choice::Side(0));
    assert_eq!((notes(&world, 0), notes(&world, 1)), (FILES - 14, FILES - 14));
}

#[test]
fn removals_that_wait_are_brought_back_when_the_person_says_so() {
    let mut world = with_notes(2);
    remove_by_and_by(&mut world, 0..12, 0);
    // What a peer writes meanwhile comes with it.
    pass(&mut world, 5_000);
    save(&mut world, 1, &note(3), "note 3\nand more\n");
    pass(&mut world, 60_000);
    assert_held(&world, 12);
    decide(&mut world, Choice::Both);
    assert_eq!((notes(&world, 0), notes(&world, 1)), (FILES, FILES));
    assert_eq!(text(&world, 0, &note(3)).as_deref(), Some("note 3\nand more\n"));
}

#[test]
fn removals_that_wait_do_so_after_a_restart_however_many_files_came_meanwhile() {
    let mut world = with_notes(3);
    remove_by_and_by(&mut world, 0..12, 700);
    pass(&mut world, 20_000);
    assert_held(&world, 12);
    for number in 0..30 {
        save(&mut world, 1, &format!("Plans/other-{number}.md"), "of Cloud\n");
    }
    pass(&mut world, 60_000);
    world.crash(0, 500);
    pass(&mut world, 60_000);
    assert_held(&world, 12);
    assert!(world.stop(0, 500), "nothing is under way");
    pass(&mut world, 60_000);
    assert_held(&world, 12);
    decide(&mut world, Choice::Side(0));
    assert_eq!(notes(&world, 1), FILES - 12);
}

#[test]
fn files_that_come_back_wait_no_longer_and_those_that_moved_are_moved() {
    let mut world = with_notes(4);
    remove_by_and_by(&mut world, 0..12, 0);
    pass(&mut world, 20_000);
    assert_held(&world, 12);
    for number in 0..12 {
        let at = if number < 6 { note(number) } else { format!("Plans/moved/{number}.md") };
        save(&mut world, 0, &at, &format!("note {number}\n"));
    }
    pass(&mut world, 60_000);
    assert!(items(&world, 0).is_empty());
    settle(&mut world);
    assert_eq!(notes(&world, 1), FILES - 6);
    assert!(text(&world, 1, "Plans/moved/7.md").is_some());
    // One by one, as a person tidies up.
    remove_by_and_by(&mut world, 0..6, 15_000);
    assert!(items(&world, 0).is_empty());
    settle(&mut world);
    assert_eq!(notes(&world, 1), FILES - 12);
}

#[test]
fn files_of_others_in_any_number_let_no_private_notes_go_unasked() {
    let mut world = world(5, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    for number in 0..12 {
        save(&mut world, 0, &format!("Journal/{number}.md"), &format!("day {number}\n"));
    }
    for number in 0..100 {
        save(&mut world, 1, &format!("Plans/of cloud {number}.md"), "much ado\n");
    }
    pass(&mut world, 60_000);
    for number in 0..12 {
        remove(&mut world, 0, &format!("Journal/{number}.md"));
    }
    pass(&mut world, 60_000);
    assert_eq!(core(&world, 0).vault().removals_held(), 12);
}

#[test]
fn what_is_deleted_while_the_node_is_down_stays_so_whoever_put_it_away_and_back_before() {
    let mut world = with_notes(6);
    let file = core(&world, 0).file_at(&path(&note(1))).expect("the note is there");
    let toggled = [true, false].map(|archived| Item::Set { file, write: FieldWrite::Archived(archived) });
    append_as(&mut world, 1, toggled.to_vec(), Vec::new());
    settle(&mut world);
    assert!(world.stop(0, 20_000), "nothing is under way");
    world.nodes[0].disk.files.remove(&path(&note(1))).expect("it was there");
    settle(&mut world);
    assert_eq!((text(&world, 0, &note(1)), text(&world, 1, &note(1))), (None, None));
}
