//! Items about where files lie, and about contents that are no text.

use std::collections::BTreeSet;

use aiemp_crdt::{
    conflict::{Conflict, ConflictKind},
    vault::{Choice, Deed},
};
use aiemp_keys::Hash;
use aiemp_node::core::{Answer, Input, Question};
use aiemp_protocol::{
    entry::{FileKind, Item},
    ids::{ContentHash, FileId},
    zone::Zone,
};
use aiemp_tests::{people, world::World};

use super::{
    repairs::{append_as, resolve},
    scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, pass, path, rename, save, settle, text, world},
};

const HANDBOOK: &str = "Company_Handbook.md";

fn items(world: &World, node: usize) -> Vec<Conflict> {
    core(world, node).vault().conflicts()
}

/// The one item, which all list alike.
fn the_item(world: &World, kind: ConflictKind) -> Conflict {
    let listed: Vec<_> = (0..world.nodes.len()).map(|node| items(world, node)).collect();
    assert!(listed.iter().all(|items| *items == listed[0]), "{listed:?}");
    assert_eq!(listed[0].iter().map(|item| item.kind).collect::<Vec<_>>(), [kind], "{listed:?}");
    listed[0][0].clone()
}

fn nothing_listed(world: &World) {
    for node in 0..world.nodes.len() {
        assert_eq!(items(world, node), [], "node {node}");
    }
}

fn plans(world: &World, node: usize) -> Vec<String> {
    let paths = world.nodes[node].disk.files.keys().map(ToString::to_string);
    paths.filter(|path| !path.starts_with("Dashboard")).collect()
}

fn moved_apart(seed: u64) -> World {
    let mut world = world(seed, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[(0, 1), (0, 2)]);
    save(&mut world, 0, "Plans/a.md", "one\n");
    pass(&mut world, 20_000);
    world.partition(0, 1, 20_000);
    rename(&mut world, 0, &[("Plans/a.md", "Plans/of laptop.md")]);
    rename(&mut world, 1, &[("Plans/a.md", "Updates/of cloud.md")]);
    pass(&mut world, 60_000);
    world
}

#[test]
fn a_note_moved_to_two_places_is_listed_until_it_gets_one() {
    let places = ["Plans/of laptop.md", "Updates/of cloud.md"];
    for number in 0..4 {
        let mut world = moved_apart(number);
        let item = the_item(&world, ConflictKind::Move);
        let sides: Vec<_> = item.sides.iter().map(|side| side.text.as_str()).collect();
        let [shown, other] = [sides[0], sides[1]];
        assert!(sides.iter().all(|side| places.contains(side)) && shown != other);
        assert_eq!((item.path.as_str(), item.merged.as_str()), (shown, shown));
        assert_eq!(plans(&world, 2), [shown]);
        match number {
            0 => resolve(&mut world, 0, &item, Choice::Side(0)),
            1 => resolve(&mut world, 1, &item, Choice::Side(1)),
            2 => resolve(&mut world, 2, &item, Choice::Both),
            _ => {
                rename(&mut world, 2, &[(shown, "Plans/b.md")]);
                pass(&mut world, 30_000);
            }
        }
        nothing_listed(&world);
        let left = [shown, other, shown, "Plans/b.md"][number as usize];
        for node in 0..3 {
            assert_eq!(plans(&world, node), [left], "node {node}");
        }
        settle(&mut world);
    }
}

#[test]
fn two_spellings_of_one_name_are_one_place() {
    let mut world = world(10, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, "Plans/a.md", "one\n");
    pass(&mut world, 20_000);
    world.partition(0, 1, 20_000);
    rename(&mut world, 0, &[("Plans/a.md", "Plans/b.md")]);
    rename(&mut world, 1, &[("Plans/a.md", "Plans/B.md")]);
    pass(&mut world, 60_000);
    nothing_listed(&world);
    settle(&mut world);
}

fn named_alike(seed: u64) -> World {
    let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    world.partition(0, 1, 20_000);
    save(&mut world, 0, "Plans/a.md", "of laptop\n");
    save(&mut world, 1, "Plans/a.md", "of cloud\n");
    pass(&mut world, 60_000);
    world
}

#[test]
fn of_two_notes_of_one_name_the_one_with_a_number_is_listed() {
    for number in 0..5 {
        let mut world = named_alike(20 + number);
        let item = the_item(&world, ConflictKind::Name);
        let sides: Vec<_> = item.sides.iter().map(|side| side.text.as_str()).collect();
        assert_eq!((item.path.as_str(), sides), ("Plans/a.md", vec!["Plans/a.md", "Plans/a (2).md"]));
        match number {
            0 => resolve(&mut world, 0, &item, Choice::Side(0)),
            1 => resolve(&mut world, 1, &item, Choice::Side(1)),
            2 => resolve(&mut world, 1, &item, Choice::Both),
            3 => {
                rename(&mut world, 0, &[("Plans/a (2).md", "Plans/b.md")]);
                pass(&mut world, 30_000);
            }
            _ => {
                world.nodes[0].disk.files.remove(&path("Plans/a.md"));
                world.touched(0, path("Plans/a.md"));
                pass(&mut world, 30_000);
            }
        }
        nothing_listed(&world);
        let shown = |at: &str| [0, 1].map(|node| text(&world, node, at));
        let both = |text: &str| [0, 1].map(|_| Some(text.to_owned()));
        let (bare, numbered) = match number {
            1 => (both("of cloud\n"), both("of laptop\n")),
            3 => (both("of laptop\n"), [None, None]),
            4 => (both("of cloud\n"), [None, None]),
            _ => (both("of laptop\n"), both("of cloud\n")),
        };
        assert_eq!((shown("Plans/a.md"), shown("Plans/a (2).md")), (bare, numbered), "{number}");
        let told: Vec<_> = core(&world, 0).vault().history(&path("Plans/a.md")).into_iter().collect();
        let moved = told.iter().filter(|event| matches!(event.what, Deed::Moved(_))).count();
        assert_eq!(moved, usize::from(number < 4), "{number}: to keep a name is no move: {told:?}");
        settle(&mut world);
    }
}

/// Two who have not heard of each other decide the item in two ways, and meet.
fn decided_apart(seed: u64, choices: [Choice; 2]) -> World {
    let mut world = named_alike(seed);
    let item = the_item(&world, ConflictKind::Name);
    world.partition(0, 1, 90_000);
    for (node, choice) in choices.into_iter().enumerate() {
        resolve(&mut world, node, &item, choice);
    }
    pass(&mut world, 90_000);
    world
}

#[test]
fn a_name_that_two_decided_about_apart_is_one_files_and_listed_if_they_disagree() {
    let (of_laptop, of_cloud) = (Choice::Side(0), Choice::Side(1));
    let mut had_by = BTreeSet::new();
    for seed in 50..60 {
        let mut world = decided_apart(seed, [of_laptop.clone(), of_cloud.clone()]);
        let shown = |world: &World, at: &str| [0, 1].map(|node| text(world, node, at).unwrap_or_default());
        let bare = shown(&world, "Plans/a.md");
        let numbered = shown(&world, "Plans/a (2).md");
        assert_eq!((&bare[0], &numbered[0]), (&bare[1], &numbered[1]), "seed {seed}");
        assert_eq!(BTreeSet::from([bare[0].as_str(), numbered[0].as_str()]), ["of laptop\n", "of cloud\n"].into());
        had_by.extend(bare);
        let listed = items(&world, 0);
        assert_eq!(listed, items(&world, 1), "seed {seed}");
        assert!(listed.iter().all(|item| item.kind == ConflictKind::Move) && listed.len() == 2, "{listed:?}");
        for item in listed {
            resolve(&mut world, 1, &item, Choice::Both);
        }
        nothing_listed(&world);
        settle(&mut world);
    }
    assert_eq!(had_by.len(), 2, "neither decision comes first by its kind");
    for (choices, wanted) in [([of_cloud.clone(), of_cloud], "of cloud\n"), ([of_laptop, Choice::Both], "of laptop\n")]
    {
        let mut world = decided_apart(60, choices);
        nothing_listed(&world);
        assert_eq!([0, 1].map(|node| text(&world, node, "Plans/a.md")), [0, 1].map(|_| Some(wanted.to_owned())));
        settle(&mut world);
    }
}

#[test]
fn a_draft_waits_for_nobody_because_of_its_name_or_place() {
    let mut world = world(30, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let note = |to: &str| format!("---\naction: email\nto: {to}\nsubject: Hello\n---\n\nHello.\n");
    world.partition(0, 1, 20_000);
    save(&mut world, 0, "Pending_Approval/email/a.md", &note("a@client.test"));
    save(&mut world, 1, "Pending_Approval/email/a.md", &note("b@client.test"));
    pass(&mut world, 60_000);
    the_item(&world, ConflictKind::Name);
    world.input(0, Input::Asked { request: 5, question: Question::Drafts }).expect("it is asked");
    pass(&mut world, 5_000);
    let Some(Answer::Drafts { drafts, .. }) = world.nodes[0].answers.remove(&5) else { panic!("no answer") };
    assert_eq!(drafts.iter().map(|draft| draft.blocked_by.len()).collect::<Vec<_>>(), [0, 0]);
}

#[test]
fn contents_that_are_no_text_are_told_by_length_and_digest() {
    for number in 0..3 {
        let mut world = world(40 + number, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        let (old, one, other) = ("\0 before", "\0 of laptop", "\0 of the cloud");
        save(&mut world, 0, "Plans/a.bin", old);
        pass(&mut world, 20_000);
        world.partition(0, 1, 20_000);
        save(&mut world, 0, "Plans/a.bin", one);
        save(&mut world, 1, "Plans/a.bin", other);
        pass(&mut world, 60_000);
        let item = the_item(&world, ConflictKind::Blob);
        let shown = text(&world, 0, "Plans/a.bin").expect("one is shown");
        let hidden = if shown == one { other } else { one };
        let told = |text: &str| format!("{} bytes, {}", text.len(), ContentHash::of(text.as_bytes()));
        let sides: Vec<_> = item.sides.iter().map(|side| side.text.clone()).collect();
        assert_eq!(sides, [format!("(shown) {}", told(&shown)), told(hidden)]);
        let choice = [Choice::Side(0), Choice::Side(1), Choice::Both][number as usize].clone();
        resolve(&mut world, 0, &item, choice);
        let left = [shown.as_str(), hidden, shown.as_str()][number as usize];
        assert_eq!([0, 1].map(|node| text(&world, node, "Plans/a.bin")), [0, 1].map(|_| Some(left.to_owned())));
        let beside = (number == 2).then(|| hidden.to_owned());
        assert_eq!([0, 1].map(|node| text(&world, node, "Plans/a (2).bin")), [0, 1].map(|_| beside.clone()));
        nothing_listed(&world);
        settle(&mut world);
    }
}

/// Two computers of the owner, each with a handbook of its own or an edit of the one they had.
fn handbooks_apart(seed: u64, is_new: bool) -> World {
    let mut world = world(seed, &[LAPTOP, DESKTOP], &[(0, 1)]);
    if !is_new {
        save(&mut world, 0, HANDBOOK, "rule one\n");
        pass(&mut world, 20_000);
    }
    world.partition(0, 1, 20_000);
    people::save(&mut world, 0, path(HANDBOOK), if is_new { b"laptop\n".to_vec() } else { b"\0 a picture".to_vec() });
    save(&mut world, 1, HANDBOOK, "rule one\nrule two\n");
    pass(&mut world, 60_000);
    world
}

#[test]
fn a_number_in_a_name_takes_no_file_out_of_the_owners_zone() {
    for (seed, is_new, kind) in [(1, true, ConflictKind::Name), (2, false, ConflictKind::Content)] {
        for choice in [Choice::Side(0), Choice::Side(1), Choice::Both] {
            let mut world = handbooks_apart(seed, is_new);
            let item = the_item(&world, kind);
            resolve(&mut world, 0, &item, choice);
            settle(&mut world);
            save(&mut world, 0, "Plans/after.md", "still heard\n");
            settle(&mut world);
            assert_eq!(text(&world, 1, "Plans/after.md").as_deref(), Some("still heard\n"), "nobody froze the log");
        }
    }
    let mut world = handbooks_apart(1, true);
    let numbered = plans(&world, 0).into_iter().find(|path| path != HANDBOOK).expect("the other one");
    rename(&mut world, 0, &[(&numbered, &numbered.to_lowercase())]);
    settle(&mut world);
    assert_eq!(plans(&world, 0), plans(&world, 1), "its spelling follows from the other's");
}

#[test]
fn of_very_many_names_that_two_files_have_the_first_are_listed() {
    let mut world = world(3, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let contents = [b"x".to_vec(), b"y".to_vec()];
    for part in 0..9_u64 {
        let file =
            |number| FileId { zone: Zone::Drafts, hash: Hash::of_content(&[part.to_le_bytes(), number].concat()) };
        let new = |number: u64| Item::New {
            file: file(number.to_le_bytes()),
            path: path(&format!("Plans/{part} {}.md", number / 2)),
            kind: FileKind::Note,
            base: ContentHash::of(&contents[number as usize % 2]),
            length: 1,
        };
        append_as(&mut world, 1, (0..250).map(new).collect(), contents.iter().cycle().take(250).cloned().collect());
    }
    pass(&mut world, 60_000);
    assert_eq!(items(&world, 0).len(), 1_000);
}

#[test]
fn what_another_sync_put_there_before_the_write_is_no_edit_of_the_file_that_left() {
    let (old, new) = ("one\ntwo\nthree\n", "another note\n");
    let mut world = world(321, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, "Plans/a.md", old);
    pass(&mut world, 20_000);
    world.partition(0, 1, 20_000);
    rename(&mut world, 0, &[("Plans/a.md", "Plans/b.md")]);
    pass(&mut world, 3_000);
    save(&mut world, 0, "Plans/a.md", new);
    pass(&mut world, 3_000);
    // Nobody has told the other node of it yet.
    world.nodes[1].disk.files.insert(path("Plans/a.md"), new.as_bytes().to_vec());
    pass(&mut world, 60_000);
    for node in [0, 1] {
        assert_eq!(text(&world, node, "Plans/a.md").as_deref(), Some(new), "node {node}");
        assert_eq!(text(&world, node, "Plans/b.md").as_deref(), Some(old), "node {node}");
    }
    nothing_listed(&world);
    settle(&mut world);
}
