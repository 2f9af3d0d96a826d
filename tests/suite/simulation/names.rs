//! Files that contend for a name, or that lie where another is a folder.

use std::collections::BTreeMap;

use aiemp_keys::Hash;
use aiemp_protocol::{
    entry::{FieldWrite, FileKind, Item},
    ids::{ContentHash, FileId},
    zone::Zone,
};
use aiemp_tests::world::{Cast, World};

use super::{
    repairs::append_as,
    scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, pass, path, rename, save, settle, text, world},
};

const TRIANGLE: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];

/// The lowest ids there are, and after them.
fn low_id(number: u64) -> FileId {
    let mut bytes = [0; 32];
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    FileId { zone: Zone::Drafts, hash: Hash::from_bytes(bytes) }
}

fn new(file: FileId, at: &str, content: &[u8]) -> Item {
    let (base, length) = (ContentHash::of(content), content.len() as u64);
    Item::New { file, path: path(at), kind: FileKind::Note, base, length }
}

/// Cloud makes files of one name, with ids that come before all others, and each with another content.
fn flood(world: &mut World, at: &str, entries: u64) {
    for entry in 0..entries {
        let numbers = entry * 256..(entry + 1) * 256;
        let payloads: Vec<_> = numbers.clone().map(|number| format!("flood {number}\n").into_bytes()).collect();
        let items = numbers.zip(&payloads).map(|(number, content)| new(low_id(number), at, content)).collect();
        append_as(world, 1, items, payloads);
    }
}

fn shown(world: &World, node: usize) -> BTreeMap<String, String> {
    let files = world.nodes[node].disk.files.iter();
    files
        .filter(|(path, _)| path.as_str().starts_with("Plans/"))
        .map(|(path, bytes)| (path.to_string(), String::from_utf8_lossy(bytes).into_owned()))
        .collect()
}

fn all_show(world: &World, wanted: &[(&str, &str)]) {
    let wanted: BTreeMap<_, _> = wanted.iter().map(|(at, text)| ((*at).to_owned(), (*text).to_owned())).collect();
    for node in 0..world.nodes.len() {
        assert_eq!(shown(world, node), wanted, "node {node}");
    }
}

#[test]
fn no_number_of_files_by_cloud_takes_a_persons_note_its_name_or_leaves_one_without_a_place() {
    let mut world = world(231, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, "Plans/a.md", "mine\n");
    pass(&mut world, 10_000);
    flood(&mut world, "Plans/a.md", 5);
    for node in [0, 1] {
        assert_eq!(text(&world, node, "Plans/a.md").as_deref(), Some("mine\n"), "node {node}");
        assert_eq!(shown(&world, node).values().filter(|text| text.starts_with("flood")).count(), 1_280, "node {node}");
    }
    // Wherever it is moved to, it has a place there.
    let file = core(&world, 0).file_at(&path("Plans/a.md")).expect("the note is there");
    let write = FieldWrite::Path(path("Plans/b.md"));
    append_as(&mut world, 1, vec![Item::Set { file, write }], Vec::new());
    assert!(shown(&world, 0).values().any(|text| text == "mine\n"));
    world.crash(0, 500);
    settle(&mut world);
}

#[test]
fn a_note_saved_while_apart_has_its_name_before_those_that_cloud_made_earlier() {
    let mut world = world(232, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    world.partition(0, 1, 200_000);
    flood(&mut world, "Plans/a.md", 1);
    save(&mut world, 0, "Plans/a.md", "mine\n");
    pass(&mut world, 5_000);
    settle(&mut world);
    for node in [0, 1] {
        assert_eq!(text(&world, node, "Plans/a.md").as_deref(), Some("mine\n"), "node {node}");
    }
}

#[test]
fn a_note_keeps_its_name_before_one_that_another_laptop_saved_later() {
    for seed in 233..239 {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD, DESKTOP], &TRIANGLE);
        for (one, other) in TRIANGLE {
            world.partition(one, other, 30_000);
        }
        save(&mut world, 0, "Plans/a.md", "first\n");
        pass(&mut world, 5_000);
        save(&mut world, 2, "Plans/a.md", "second\n");
        settle(&mut world);
        all_show(&world, &[("Plans/a.md", "first\n"), ("Plans/a (2).md", "second\n")]);
    }
}

#[test]
fn a_note_where_another_laptop_has_a_folder_lies_beside_it() {
    let mut world = world(240, &[LAPTOP, IDLE_CLOUD, DESKTOP], &TRIANGLE);
    for (one, other) in TRIANGLE {
        world.partition(one, other, 30_000);
    }
    save(&mut world, 0, "Plans/a", "a file\n");
    save(&mut world, 2, "Plans/A/b.md", "in a folder\n");
    settle(&mut world);
    all_show(&world, &[("Plans/a (2)", "a file\n"), ("Plans/A/b.md", "in a folder\n")]);
    save(&mut world, 0, "Plans/a (2)", "a file\nedited\n");
    world.nodes[2].disk.files.remove(&path("Plans/A/b.md"));
    world.touched(2, path("Plans/A/b.md"));
    settle(&mut world);
    all_show(&world, &[("Plans/a", "a file\nedited\n")]);
}

#[test]
fn what_cloud_puts_below_a_persons_note_moves_the_note_nowhere() {
    let mut world = world(241, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, "Plans/a.md", "mine\n");
    pass(&mut world, 10_000);
    let file = low_id(7);
    append_as(&mut world, 1, vec![new(file, "Plans/a.md/x/b.md", b"below\n")], vec![b"below\n".to_vec()]);
    let beside = format!("Plans/b ({}).md", file.hash);
    settle(&mut world);
    all_show(&world, &[("Plans/a.md", "mine\n"), (&beside, "below\n")]);
    for node in [0, 1] {
        world.crash(node, 500);
    }
    settle(&mut world);
    all_show(&world, &[("Plans/a.md", "mine\n"), (&beside, "below\n")]);
    rename(&mut world, 0, &[("Plans/a.md", "Plans/c.md")]);
    settle(&mut world);
    all_show(&world, &[("Plans/c.md", "mine\n"), ("Plans/a.md/x/b.md", "below\n")]);
}

#[test]
fn a_note_moves_into_a_folder_of_its_own_name_and_out_of_it() {
    let mut world = world(242, &[LAPTOP, IDLE_CLOUD, DESKTOP], &TRIANGLE);
    save(&mut world, 0, "Plans/a", "one\n");
    pass(&mut world, 15_000);
    rename(&mut world, 0, &[("Plans/a", "Plans/a/index")]);
    settle(&mut world);
    all_show(&world, &[("Plans/a/index", "one\n")]);
    rename(&mut world, 2, &[("Plans/a/index", "Plans/a")]);
    settle(&mut world);
    all_show(&world, &[("Plans/a", "one\n")]);
}

#[test]
fn what_does_not_sync_and_is_in_the_way_of_a_note_is_told_once() {
    let mut world = world(243, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let hidden = path("Plans/a.md/.keep");
    world.nodes[1].disk.files.insert(hidden.clone(), Vec::new());
    save(&mut world, 0, "Plans/a.md", "mine\n");
    pass(&mut world, 60_000);
    assert_eq!(world.nodes[1].kept, [(path("Plans/a.md"), Vec::new())]);
    world.nodes[1].disk.files.remove(&hidden);
    settle(&mut world);
    all_show(&world, &[("Plans/a.md", "mine\n")]);
}

#[test]
fn a_shared_note_beside_its_namesake_is_looked_at_as_a_shared_one() {
    let mut world = world(244, &[LAPTOP, IDLE_CLOUD, DESKTOP], &TRIANGLE);
    for (one, other) in TRIANGLE {
        world.partition(one, other, 30_000);
    }
    save(&mut world, 0, "Company_Handbook.md", "first\n");
    save(&mut world, 2, "Company_Handbook.md", "second\n");
    settle(&mut world);
    // By its path alone it would be a private one.
    let second = "Company_Handbook (2).md";
    let there = text(&world, 0, second).expect("it is shared");
    world.nodes[0].secrets.push("correct-horse-7".to_owned());
    world.crash(0, 500);
    pass(&mut world, 10_000);
    world.nodes[0].disk.files.insert(path(second), format!("{there}correct-horse-7\n").into_bytes());
    world.touched(0, path(second));
    pass(&mut world, 20_000);
    assert_eq!(text(&world, 1, second), Some(there));
}

#[test]
fn a_name_whose_case_was_changed_where_this_node_may_not_write_gets_it_back() {
    let mut world = world(239, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, "Done/a.md", "done\n");
    pass(&mut world, 10_000);
    rename(&mut world, 1, &[("Done/a.md", "Done/A.md")]);
    pass(&mut world, 10_000);
    for node in [0, 1] {
        assert_eq!(text(&world, node, "Done/a.md").as_deref(), Some("done\n"), "node {node}");
        assert_eq!(text(&world, node, "Done/A.md"), None, "node {node}");
    }
    settle(&mut world);
}

#[test]
fn a_note_moved_out_of_where_this_node_may_not_write_comes_back_and_is_copied() {
    let mut world = world(240, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, "Done/a.md", "done\n");
    pass(&mut world, 10_000);
    rename(&mut world, 1, &[("Done/a.md", "Plans/a.md")]);
    settle(&mut world);
    for node in [0, 1] {
        for at in ["Done/a.md", "Plans/a.md"] {
            assert_eq!(text(&world, node, at).as_deref(), Some("done\n"), "node {node}, {at}");
        }
    }
}

/// Each of the cast saves this at one place while they do not hear of each other.
fn made_apart(seed: u64, cast: &[Cast], texts: &[&[&str]]) -> World {
    let links: Vec<_> = (1..cast.len()).map(|other| (0, other)).collect();
    let mut world = world(seed, cast, &links);
    for (one, other) in links {
        world.partition(one, other, 20_000);
    }
    for number in 0..texts[0].len() {
        for (node, texts) in texts.iter().enumerate() {
            save(&mut world, node, "Plans/a.md", texts[number]);
            pass(&mut world, 1_500);
        }
    }
    world
}

fn nothing_listed(world: &World) {
    for node in 0..world.nodes.len() {
        assert_eq!(core(world, node).vault().conflicts(), [], "node {node}");
    }
}

#[test]
fn equal_notes_that_several_made_apart_are_one_and_stay_one_when_it_is_edited() {
    let three: &[Cast] = &[LAPTOP, IDLE_CLOUD, DESKTOP];
    let cases: [(&[Cast], &[&[&str]]); 4] = [
        (&three[..2], &[&["same\n"], &["same\n"]]),
        (three, &[&["same\n"], &["same\n"], &["same\n"]]),
        // Equal only in the end, as what is seen while it is written.
        (&three[..2], &[&["sa", "same\n"], &["same\n", "same\n"]]),
        (&three[..2], &[&["\0 same", "\0 same"], &["\0 sam", "\0 same"]]),
    ];
    for (cast, texts) in cases {
        for seed in 250..256 {
            let mut world = made_apart(seed, cast, texts);
            pass(&mut world, 60_000);
            let mut text = texts[0][texts[0].len() - 1].to_owned();
            for node in 0..cast.len() {
                all_show(&world, &[("Plans/a.md", &text)]);
                nothing_listed(&world);
                text.push_str(&format!("of {node}\n"));
                save(&mut world, node, "Plans/a.md", &text);
                pass(&mut world, 20_000);
            }
            all_show(&world, &[("Plans/a.md", &text)]);
            world.crash(1, 500);
            settle(&mut world);
            all_show(&world, &[("Plans/a.md", &text)]);
            nothing_listed(&world);
        }
    }
}

#[test]
fn of_three_notes_of_one_name_two_that_say_the_same_are_one() {
    for seed in 256..260 {
        let mut world = made_apart(seed, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[&["one\n"], &["two\n"], &["two\n"]]);
        settle(&mut world);
        all_show(&world, &[("Plans/a.md", "one\n"), ("Plans/a (2).md", "two\n")]);
    }
}

#[test]
fn what_is_written_to_one_of_two_equal_notes_while_they_become_one_is_in_sight() {
    for seed in 260..290 {
        let mut world = made_apart(seed, &[LAPTOP, IDLE_CLOUD], &[&["same\n"], &["same\n"]]);
        pass(&mut world, 17_000 + seed % 30 * 40);
        let node = usize::from(seed % 2 == 0);
        if seed % 5 == 0 {
            world.crash(1 - node, 300);
        }
        save(&mut world, node, "Plans/a.md", "same\nand more\n");
        settle(&mut world);
        assert!(
            shown(&world, 0).values().any(|text| text == "same\nand more\n"),
            "seed {seed}: {:?}",
            shown(&world, 0)
        );
        let listed = core(&world, 0).vault().conflicts().len();
        assert_eq!(listed, shown(&world, 0).len() - 1, "seed {seed}: what is there twice is listed");
    }
}

#[test]
fn a_note_that_one_deletes_while_another_puts_its_twin_away_for_it_stays_in_sight() {
    for seed in 290..300 {
        let mut world = made_apart(seed, &[LAPTOP, IDLE_CLOUD], &[&["same\n"], &["same\n"]]);
        let first = core(&world, 0).file_at(&path("Plans/a.md")).expect("the note is there");
        world.partition(0, 1, 60_000);
        pass(&mut world, 1_000);
        let write = FieldWrite::Archived(true);
        append_as(&mut world, 0, vec![Item::Set { file: first, write }], Vec::new());
        settle(&mut world);
        let said: Vec<_> = shown(&world, 0).into_values().collect();
        assert_eq!(said, ["same\n"], "seed {seed}");
    }
}
