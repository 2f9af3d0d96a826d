//! Vaults that were there before their nodes, and meet.

use std::collections::BTreeMap;

use aiemp_crdt::{
    conflict::{Conflict, ConflictKind},
    vault::Choice,
};
use aiemp_protocol::{
    entry::{FileKind, Item},
    ids::{ContentHash, FileId},
    zone::Zone,
};
use aiemp_tests::{
    people,
    world::{Cast, World},
};

use super::{
    repairs::{append_as, resolve},
    scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, pass, path, rename, save, settle, text},
};

const TRIANGLE: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];
type Files<'a> = &'a [(&'a str, &'a str)];

/// What a vault that git kept in step has on every machine.
const EVERYWHERE: Files<'static> = &[
    ("Needs_Action/ask.md", "---\nstatus: new\n---\nA question\n"),
    ("Plans/plan.md", "one\ntwo\nthree\n"),
    ("Plans/same.md", "one\ntwo\nthree\n"),
    ("Logs/2026-01-06.md", "- sent\n"),
    ("Done/old.md", "Done\n"),
];

/// Nodes with these vaults, that do not hear of each other for this long.
fn met(seed: u64, cast: &[Cast], links: &[(usize, usize)], vaults: &[Files<'_>], apart_ms: u64) -> World {
    let vault = |files: &Files<'_>| {
        let files = files.iter().map(|(at, text)| (path(at), text.as_bytes().to_vec()));
        files.collect::<BTreeMap<_, _>>()
    };
    let vaults = vaults.iter().map(vault).collect();
    let mut world = World::of_vaults(seed, cast, links, vaults).expect("a mesh is founded");
    if apart_ms > 0 {
        links.iter().for_each(|(one, other)| world.partition(*one, *other, apart_ms));
    }
    world
}

fn files(world: &World, node: usize) -> BTreeMap<String, String> {
    let files = world.nodes[node].disk.files.iter().filter(|(path, _)| path.as_str() != "Dashboard.md");
    files.map(|(path, bytes)| (path.to_string(), String::from_utf8_lossy(bytes).into_owned())).collect()
}

fn owned(files: Files<'_>) -> BTreeMap<String, String> {
    files.iter().map(|(at, text)| ((*at).to_owned(), (*text).to_owned())).collect()
}

fn adopted(at: &str, text: &str) -> FileId {
    let zone = if at.starts_with("Done/") { Zone::Owner } else { Zone::Drafts };
    let zone = if at.starts_with("Needs_Action/") { Zone::Intake } else { zone };
    if at.starts_with("Logs/") {
        return FileId::at_path(zone, &path(at).key());
    }
    FileId::adopted(zone, &path(at).key(), ContentHash::of(text.as_bytes()))
}

#[test]
fn equal_files_of_vaults_that_were_there_before_are_one_file() {
    for seed in 300..310 {
        let mut world = met(seed, &[LAPTOP, IDLE_CLOUD, DESKTOP], &TRIANGLE, &[EVERYWHERE; 3], 20_000);
        pass(&mut world, 10_000);
        settle(&mut world);
        for node in 0..3 {
            assert_eq!(files(&world, node), owned(EVERYWHERE), "seed {seed}, node {node}");
            assert_eq!(core(&world, node).vault().conflicts(), [], "seed {seed}, node {node}");
            assert_eq!(world.nodes[node].kept, [], "seed {seed}, node {node}: nothing is kept from the logs");
            for (at, text) in EVERYWHERE {
                assert_eq!(core(&world, node).vault().file_at(&path(at)), Some(adopted(at, text)), "{at}");
            }
        }
    }
}

#[test]
fn what_was_done_to_an_adopted_file_before_the_vaults_met_is_done_to_the_one_file() {
    for seed in 310..320 {
        let mut world = met(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)], &[EVERYWHERE; 2], 60_000);
        pass(&mut world, 5_000);
        save(&mut world, 0, "Plans/plan.md", "one\ntwo, by the person\nthree\n");
        world.nodes[0].disk.files.remove(&path("Logs/2026-01-06.md"));
        world.touched(0, path("Logs/2026-01-06.md"));
        save(&mut world, 1, "Plans/plan.md", "one\ntwo\nthree\nfour, by Cloud\n");
        pass(&mut world, 10_000);
        settle(&mut world);
        for node in 0..2 {
            let merged = "one\ntwo, by the person\nthree\nfour, by Cloud\n";
            assert_eq!(text(&world, node, "Plans/plan.md").as_deref(), Some(merged), "seed {seed}, node {node}");
            assert_eq!(text(&world, node, "Logs/2026-01-06.md"), None, "seed {seed}, node {node}");
            assert_eq!(files(&world, node).len(), EVERYWHERE.len() - 1, "seed {seed}, node {node}");
            assert_eq!(core(&world, node).vault().conflicts(), [], "seed {seed}, node {node}");
        }
    }
}

#[test]
fn a_crash_in_the_middle_of_the_first_scan_takes_no_file_its_adopted_id() {
    for seed in 320..360 {
        let mut world = met(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)], &[EVERYWHERE; 2], 20_000);
        for node in [0, 1] {
            pass(&mut world, seed % 7);
            world.crash(node, 500);
        }
        pass(&mut world, 10_000);
        settle(&mut world);
        for node in 0..2 {
            assert_eq!(files(&world, node), owned(EVERYWHERE), "seed {seed}, node {node}");
            for (at, text) in EVERYWHERE {
                assert_eq!(core(&world, node).vault().file_at(&path(at)), Some(adopted(at, text)), "seed {seed}: {at}");
            }
        }
    }
}

#[test]
fn files_that_appear_after_the_first_scan_are_new_ones() {
    let mut world = met(360, &[LAPTOP, IDLE_CLOUD], &[(0, 1)], &[EVERYWHERE; 2], 60_000);
    pass(&mut world, 10_000);
    for node in [0, 1] {
        save(&mut world, node, "Plans/later.md", "later\n");
    }
    pass(&mut world, 10_000);
    world.crash(0, 500);
    pass(&mut world, 1_000);
    save(&mut world, 0, "Plans/after.md", "after a restart\n");
    pass(&mut world, 5_000);
    for (at, text) in [("Plans/later.md", "later\n"), ("Plans/after.md", "after a restart\n")] {
        let file = core(&world, 0).vault().file_at(&path(at));
        assert!(file.is_some_and(|file| file != adopted(at, text)), "{at}: {file:?}");
    }
    settle(&mut world);
    assert_eq!(text(&world, 0, "Plans/later (2).md"), None, "one of two that say the same goes");
}

#[test]
fn an_adopted_file_that_was_renamed_or_written_anew_before_the_vaults_met_is_as_it_was_left() {
    for seed in 361..370 {
        let mut world = met(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)], &[EVERYWHERE; 2], 60_000);
        pass(&mut world, 10_000);
        rename(&mut world, 0, &[("Plans/plan.md", "Plans/better.md")]);
        people::save(&mut world, 0, path("Plans/same.md"), b"\0 no text any more".to_vec());
        pass(&mut world, 10_000);
        settle(&mut world);
        for node in 0..2 {
            let left = files(&world, node);
            assert_eq!(left.len(), EVERYWHERE.len(), "seed {seed}, node {node}: {left:?}");
            assert_eq!(left.get("Plans/better.md").map(String::as_str), Some("one\ntwo\nthree\n"), "seed {seed}");
            assert_eq!(left.get("Plans/same.md").map(String::as_str), Some("\0 no text any more"), "seed {seed}");
            assert_eq!(core(&world, node).vault().conflicts(), [], "seed {seed}, node {node}");
        }
    }
}

/// Two vaults with different contents at one place, and the item that they make.
fn differing(seed: u64) -> (World, Conflict) {
    let cast = [LAPTOP, IDLE_CLOUD, DESKTOP];
    let (here, there) = (&[("Plans/a.md", "here\n")], &[("Plans/A.md", "there\n")]);
    let mut world = met(seed, &cast, &TRIANGLE, &[here, there, &[]], 20_000);
    pass(&mut world, 10_000);
    settle(&mut world);
    let both = [("Plans/A (2).md", "there\n"), ("Plans/a.md", "here\n")];
    for node in 0..3 {
        assert_eq!(files(&world, node), owned(&both), "seed {seed}, node {node}");
    }
    let items = core(&world, 2).vault().conflicts();
    let [item] = items.as_slice() else { panic!("seed {seed}: {items:?}") };
    assert_eq!(item.kind, ConflictKind::Adoption, "seed {seed}");
    let sides: Vec<_> = item.sides.iter().map(|side| (side.node, side.text.as_str())).collect();
    let [laptop, cloud] = [0, 1].map(|node: usize| Some(world.nodes[node].id()));
    assert_eq!(sides, [(laptop, "Plans/a.md"), (cloud, "Plans/A (2).md")], "seed {seed}");
    let item = item.clone();
    (world, item)
}

#[test]
fn different_contents_at_one_place_both_stay_and_are_listed_until_one_goes_or_somebody_decides() {
    let with = b"of both\n".to_vec();
    let ends: [(Choice, &[(&str, &str)]); 4] = [
        (Choice::Side(0), &[("Plans/a.md", "here\n")]),
        (Choice::Side(1), &[("Plans/A.md", "there\n")]),
        (Choice::Both, &[("Plans/A (2).md", "there\n"), ("Plans/a.md", "here\n")]),
        (Choice::With(with), &[("Plans/a.md", "of both\n")]),
    ];
    for (seed, (choice, left)) in (380..).zip(ends) {
        // Whoever decides.
        for node in 0..3 {
            let (mut world, item) = differing(seed);
            resolve(&mut world, node, &item, choice.clone());
            settle(&mut world);
            for node in 0..3 {
                assert_eq!(files(&world, node), owned(left), "{choice:?}, node {node}");
                assert_eq!(core(&world, node).vault().conflicts(), [], "{choice:?}, node {node}");
            }
        }
    }
    let (mut world, _) = differing(390);
    world.nodes[1].disk.files.remove(&path("Plans/a.md"));
    world.touched(1, path("Plans/a.md"));
    settle(&mut world);
    for node in 0..3 {
        assert_eq!(files(&world, node), owned(&[("Plans/A.md", "there\n")]), "node {node}");
        assert_eq!(core(&world, node).vault().conflicts(), [], "node {node}");
    }
}

#[test]
fn two_who_decide_apart_for_different_files_take_neither_from_the_other() {
    let (here, there, with) = (Choice::Side(0), Choice::Side(1), Choice::With(b"of both\n".to_vec()));
    let contradict = [(&here, &there), (&there, &here), (&with, &there), (&Choice::Both, &there)];
    for (seed, (one, other)) in (400..).zip(contradict) {
        let (mut world, item) = differing(seed);
        for (one, other) in TRIANGLE {
            world.partition(one, other, 90_000);
        }
        resolve(&mut world, 0, &item, one.clone());
        resolve(&mut world, 1, &item, other.clone());
        settle(&mut world);
        let said: Vec<_> = files(&world, 2).into_values().collect();
        let first = if *one == with { "of both\n" } else { "here\n" };
        assert!(said.contains(&first.to_owned()) && said.contains(&"there\n".to_owned()), "{one:?}: {said:?}");
        let names: Vec<_> = files(&world, 2).into_keys().map(|at| at.to_lowercase()).collect();
        assert_eq!(names, ["plans/a (2).md", "plans/a.md"], "{one:?}");
        let listed = core(&world, 2).vault().conflicts();
        let adoption = listed.iter().find(|item| item.kind == ConflictKind::Adoption);
        if *one == Choice::Both {
            assert_eq!(adoption, None, "both stay, and have names of their own");
            continue;
        }
        let item = adoption.unwrap_or_else(|| panic!("{one:?}: {listed:?}")).clone();
        resolve(&mut world, 2, &item, here.clone());
        settle(&mut world);
        for node in 0..3 {
            assert_eq!(files(&world, node).len(), 1, "{one:?}, node {node}");
            assert_eq!(core(&world, node).vault().conflicts(), [], "{one:?}, node {node}");
        }
    }
}

#[test]
fn what_one_writes_to_the_file_that_another_decided_against_stays() {
    let (mut world, item) = differing(391);
    for (one, other) in TRIANGLE {
        world.partition(one, other, 30_000);
    }
    pass(&mut world, 1_000);
    save(&mut world, 1, "Plans/A (2).md", "there\nand more\n");
    pass(&mut world, 5_000);
    resolve(&mut world, 0, &item, Choice::Side(0));
    settle(&mut world);
    for node in 0..3 {
        let said = world.nodes[node].disk.files.values().any(|bytes| bytes == b"there\nand more\n");
        let kinds: Vec<_> = core(&world, node).vault().conflicts().iter().map(|item| item.kind).collect();
        assert!(said && kinds.contains(&ConflictKind::DeleteEdit), "node {node}: {kinds:?}");
    }
}

#[test]
fn an_adopted_id_that_cloud_guesses_gives_it_nothing() {
    let evil = b"evil\n".to_vec();
    for (seed, named_alike) in (370..380).map(|seed| (seed, seed % 2 == 0)) {
        let mut world = met(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)], &[EVERYWHERE, &[]], 200_000);
        pass(&mut world, 5_000);
        // It knows the place and the content of a note that the person shares.
        let file = adopted("Plans/plan.md", "one\ntwo\nthree\n");
        let at = path(if named_alike { "Plans/plan.md" } else { "Plans/elsewhere.md" });
        let (base, length) = (ContentHash::of(&evil), evil.len() as u64);
        let new = Item::New { file, path: at, kind: FileKind::Note, base, length };
        append_as(&mut world, 1, vec![new], vec![evil.clone()]);
        settle(&mut world);
        let items = core(&world, 0).vault().conflicts();
        let shown = world.nodes[0].disk.files.values().filter(|bytes| bytes.starts_with(b"one\n")).count();
        let is_listed = items.iter().any(|item| item.sides.iter().any(|side| side.text.starts_with("one\n")));
        assert!(shown == 2 || is_listed, "seed {seed}: {items:?}");
        assert!(items.iter().any(|item| item.kind.as_str() == "content"), "seed {seed}: both contents are told");
        // What only people write, it cannot name.
        for (at, text) in EVERYWHERE.iter().filter(|(at, _)| at.starts_with("Done/")) {
            assert_eq!(self::text(&world, 0, at).as_deref(), Some(*text), "seed {seed}");
        }
    }
}

#[test]
fn a_file_that_is_read_after_a_peer_told_of_it_is_that_file() {
    for seed in 390..400 {
        let theirs: Files<'_> = &[("Plans/plan.md", "one\ntwo\nthree\n"), ("Plans/same.md", "another\n")];
        let mut world = met(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)], &[EVERYWHERE, theirs], 0);
        world.nodes[1].reads_after_ms = 29_000;
        world.crash(1, 500);
        pass(&mut world, 30_000);
        settle(&mut world);
        assert_eq!(files(&world, 0), files(&world, 1), "seed {seed}");
        assert_eq!(files(&world, 0).len(), EVERYWHERE.len() + 1, "one of two contents: {:?}", files(&world, 0));
        let kinds: Vec<_> = core(&world, 0).vault().conflicts().iter().map(|item| item.kind).collect();
        assert_eq!(kinds, [ConflictKind::Adoption], "seed {seed}");
    }
}
