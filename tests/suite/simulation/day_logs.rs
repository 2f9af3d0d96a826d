//! Day logs: several nodes write them for themselves, and all entries stand in one file.

use std::collections::BTreeMap;

use aiemp_protocol::{
    entry::{ContentRef, FieldWrite, FileKind, Item},
    ids::{ContentHash, FileId},
    zone::Zone,
};
use aiemp_tests::world::{Cast, World};
use serde_json::{Value, json};

use super::{
    repairs::append_as,
    scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, pass, path, save, settle, text, world},
};

const LINES: &str = "Logs/2026-01-07.jsonl";
const ARRAY: &str = "Logs/2026-01-07.json";
const TRIANGLE: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];

fn entry(number: usize) -> Value {
    json!({"timestamp": "2026-01-07T10:30:00", "action_type": "email_send", "result": "ok", "number": number})
}

/// How a program sets an array: with an indent, an entry a line, or all in one line.
#[derive(Clone, Copy, Debug)]
enum Set {
    Pretty,
    Lines,
    Flat,
}

fn array(entries: &[Value], set: Set) -> String {
    let each = |entry: &Value| format!("  {entry}");
    match set {
        Set::Pretty => serde_json::to_string_pretty(entries).expect("an array"),
        Set::Lines => format!("[\n{}\n]\n", entries.iter().map(each).collect::<Vec<_>>().join(",\n")),
        Set::Flat => serde_json::to_string(entries).expect("an array"),
    }
}

/// A program reads the array, adds an entry, and writes all of it.
fn add(world: &mut World, node: usize, number: usize, set: Set) {
    let mut entries = read(world, node);
    entries.push(entry(number));
    save(world, node, ARRAY, &array(&entries, set));
}

fn read(world: &World, node: usize) -> Vec<Value> {
    let there = text(world, node, ARRAY).unwrap_or_else(|| "[]".to_owned());
    serde_json::from_str(&there).unwrap_or_else(|error| panic!("node {node}: {error}: {there}"))
}

fn numbers(entries: &[Value]) -> Vec<u64> {
    entries.iter().filter_map(|entry| entry["number"].as_u64()).collect()
}

fn append(world: &mut World, node: usize, at: &str, line: &str) {
    let there = text(world, node, at).unwrap_or_default();
    save(world, node, at, &format!("{there}{line}\n"));
}

fn lines(world: &World, node: usize, at: &str) -> Vec<String> {
    text(world, node, at).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn sorted_lines(world: &World, node: usize, at: &str) -> Vec<String> {
    let mut all = lines(world, node, at);
    all.sort_unstable();
    all
}

/// All nodes show one log, list nothing, and keep nothing apart.
fn is_one_log(world: &World, at: &str, seed: u64) {
    for node in 0..world.nodes.len() {
        let files: Vec<_> =
            world.nodes[node].disk.files.keys().filter(|path| path.as_str().starts_with("Logs/")).collect();
        assert_eq!(files, [&path(at)], "seed {seed}, node {node}");
        assert_eq!(text(world, node, at), text(world, 0, at), "seed {seed}, node {node}");
        assert_eq!(core(world, node).vault().conflicts(), [], "seed {seed}, node {node}");
        assert_eq!(core(world, node).vault().file_at(&path(at)), Some(of_place(at)), "seed {seed}, node {node}");
        assert_eq!(world.nodes[node].kept, [], "seed {seed}, node {node}");
    }
}

fn of_place(at: &str) -> FileId {
    FileId::at_path(Zone::Drafts, &path(at).key())
}

/// Whether these stand there in this order, with others between them.
fn stand_in_order<T: PartialEq + Copy>(all: &[T], some: &[T]) -> bool {
    let mut all = all.iter();
    some.iter().all(|one| all.any(|other| other == one))
}

#[test]
fn a_day_log_that_two_begin_apart_is_one_file_with_the_lines_of_both() {
    for seed in 0..20 {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        world.partition(0, 1, 40_000);
        for number in 0..3 {
            append(&mut world, 0, LINES, &format!("{{\"here\":{number}}}"));
            append(&mut world, 1, LINES, &format!("{{\"there\":{number}}}"));
            append(&mut world, 1, LINES, "{\"alive\":true}");
            append(&mut world, 0, LINES, "{\"alive\":true}");
            pass(&mut world, seed * 37 % 3_000);
        }
        world.crash((seed % 2) as usize, 500);
        pass(&mut world, 10_000);
        append(&mut world, 0, LINES, "{\"here\":3}");
        settle(&mut world);
        is_one_log(&world, LINES, seed);
        let all = lines(&world, 1, LINES);
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        assert_eq!(all.len(), 13, "seed {seed}: {all:?}");
        assert_eq!(all.iter().filter(|line| line.contains("alive")).count(), 6, "seed {seed}: each wrote its own");
        assert!(stand_in_order(&all, &["{\"here\":0}", "{\"here\":1}", "{\"here\":2}", "{\"here\":3}"]), "{all:?}");
        assert!(stand_in_order(&all, &["{\"there\":0}", "{\"there\":1}", "{\"there\":2}"]), "{all:?}");
    }
}

#[test]
fn a_day_log_that_is_an_array_is_one_with_the_entries_of_both() {
    for seed in 0..30 {
        let sets = [[Set::Pretty; 2], [Set::Lines; 2], [Set::Flat; 2], [Set::Pretty, Set::Flat]][(seed % 4) as usize];
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        let mut number = 0;
        // Begun apart, and then added to apart.
        for round in 0..2_u64 {
            world.partition(0, 1, 30_000);
            for _ in 0..3 {
                for node in [0, 1] {
                    add(&mut world, node, number, sets[node]);
                    number += 1;
                    pass(&mut world, (seed + 1) * (round + 1) * 97 % 1_500);
                }
            }
            if seed % 3 == round {
                world.crash(1, 500);
            }
            pass(&mut world, 60_000);
        }
        add(&mut world, 0, number, sets[0]);
        settle(&mut world);
        is_one_log(&world, ARRAY, seed);
        let all = numbers(&read(&world, 1));
        let mut sorted = all.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..13).collect::<Vec<_>>(), "seed {seed}: {all:?}");
        for node in [0, 1] {
            let own: Vec<_> = (0..12).filter(|number| number % 2 == node).collect();
            assert!(stand_in_order(&all, &own), "seed {seed}, node {node}: {all:?}");
        }
        assert_eq!(all.last(), Some(&12), "seed {seed}: what came after all others");
    }
}

#[test]
fn a_day_log_says_what_was_saved_byte_for_byte_where_nobody_else_wrote() {
    let saves = ["[1,\n", "[1, 2,]\n", "[\n  1\n]", "no array\n", "{\"a\": 1}\n{\"a\": 2}", "", "\u{feff}[1]\r\n"];
    for (seed, at) in [(1, ARRAY), (2, LINES), (3, "Private/Logs/a.json")] {
        let mut world = world(seed, &[LAPTOP, DESKTOP], &[(0, 1)]);
        for (number, saved) in saves.iter().enumerate() {
            save(&mut world, number % 2, at, saved);
            pass(&mut world, 20_000);
            assert_eq!(text(&world, 1 - number % 2, at).as_deref(), Some(*saved));
        }
        settle(&mut world);
    }
}

/// Nodes with these vaults, that do not hear of each other for this long.
fn met(seed: u64, cast: &[Cast], vaults: &[&[(&str, &str)]], apart_ms: u64) -> World {
    let vault = |files: &&[(&str, &str)]| {
        files.iter().map(|(at, text)| (path(at), text.as_bytes().to_vec())).collect::<BTreeMap<_, _>>()
    };
    let links = &TRIANGLE[..if cast.len() == 2 { 1 } else { 3 }];
    let mut world = World::of_vaults(seed, cast, links, vaults.iter().map(vault).collect()).expect("a mesh is founded");
    if apart_ms > 0 {
        links.iter().for_each(|(one, other)| world.partition(*one, *other, apart_ms));
        pass(&mut world, 5_000);
    }
    world
}

#[test]
fn the_day_logs_of_two_vaults_that_meet_are_one() {
    for seed in 500..520 {
        let [common, here, there] = [&[0, 1, 2][..], &[0, 1, 2, 10, 11], &[0, 1, 2, 20]].map(|numbers| {
            let entries: Vec<_> = numbers.iter().map(|number| entry(*number)).collect();
            array(&entries, if seed % 2 == 0 { Set::Pretty } else { Set::Lines })
        });
        // What is shown first hangs on the contents.
        let first = format!("- one of {seed}\n");
        let [short, long] = ["- two\n", "- two\n- three"].map(|rest| format!("{first}{rest}"));
        let old = ("Logs/b.json", common.as_str());
        let here = [(ARRAY, here.as_str()), ("Logs/a.md", short.as_str()), old];
        let there = [(ARRAY, there.as_str()), ("Logs/a.md", long.as_str()), old];
        let mut world = met(seed, &[LAPTOP, IDLE_CLOUD], &[&here, &there], 20_000);
        if seed % 3 == 0 {
            add(&mut world, 0, 12, Set::Lines);
        }
        if seed % 5 == 0 {
            world.crash(1, 500);
        }
        pass(&mut world, 40_000);
        add(&mut world, 1, 30, Set::Lines);
        settle(&mut world);
        for node in [0, 1] {
            let all = numbers(&read(&world, node));
            let mut sorted = all.clone();
            sorted.sort_unstable();
            let late = if seed % 3 == 0 { vec![12] } else { Vec::new() };
            let expected: Vec<_> = [vec![0, 1, 2, 10, 11], late, vec![20, 30]].concat();
            assert_eq!(sorted, expected, "seed {seed}: {all:?}");
            assert!(
                stand_in_order(&all, &[0, 1, 2, 10, 11, 30]) && stand_in_order(&all, &[0, 1, 2, 20, 30]),
                "{all:?}"
            );
            assert_eq!(lines(&world, node, "Logs/a.md"), [first.trim_end(), "- two", "- three"], "seed {seed}");
            assert_eq!(text(&world, node, "Logs/b.json"), Some(common.clone()), "seed {seed}");
            assert_eq!(world.nodes[node].disk.files.len(), 3, "seed {seed}, node {node}");
            assert_eq!(core(&world, node).vault().conflicts(), [], "seed {seed}, node {node}");
        }
    }
}

#[test]
fn the_day_logs_of_three_vaults_that_meet_are_one() {
    for seed in 520..540 {
        let of = |word: &str| format!("common {seed}\n{word} 1\n{word} 2\n");
        let texts = [of("laptop"), of("cloud"), of("desktop")];
        let vaults = texts.each_ref().map(|text| [(LINES, text.as_str())]);
        let vaults = vaults.each_ref().map(|files| files.as_slice());
        let mut world = met(seed, &[LAPTOP, IDLE_CLOUD, DESKTOP], &vaults, 20_000);
        append(&mut world, 0, LINES, "laptop 3");
        append(&mut world, 2, LINES, "desktop 3");
        pass(&mut world, 40_000);
        settle(&mut world);
        is_one_log(&world, LINES, seed);
        let all = lines(&world, 2, LINES);
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        assert_eq!(all.len(), 9, "seed {seed}: {all:?}");
        for own in [["laptop 1", "laptop 2", "laptop 3"], ["desktop 1", "desktop 2", "desktop 3"]] {
            assert!(stand_in_order(&all, &own), "seed {seed}: {all:?}");
        }
    }
}

#[test]
fn a_day_log_that_is_read_after_a_peer_told_of_it_is_that_one() {
    for seed in 540..550 {
        let (here, there) = ([(LINES, "common\nhere\n")], [(LINES, "common\nthere\n")]);
        let mut world = met(seed, &[LAPTOP, IDLE_CLOUD], &[&here, &there], 0);
        world.nodes[1].reads_after_ms = 59_000;
        world.crash(1, 500);
        pass(&mut world, 60_000);
        settle(&mut world);
        assert_eq!(text(&world, 0, LINES), text(&world, 1, LINES), "seed {seed}");
        let all = sorted_lines(&world, 0, LINES);
        assert_eq!(all, ["common", "here", "there"], "seed {seed}");
    }
}

#[test]
fn a_program_that_writes_beside_the_log_and_renames_makes_the_same_log() {
    for seed in 550..560 {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        world.partition(0, 1, 40_000);
        for (node, number) in [(0, 0), (1, 1), (0, 2), (1, 3)] {
            let mut entries = read(&world, node);
            entries.push(entry(number));
            save(&mut world, node, "Logs/2026-01-07.json.part", &array(&entries, Set::Pretty));
            pass(&mut world, seed * 31 % 700);
            super::scenarios::rename(&mut world, node, &[("Logs/2026-01-07.json.part", ARRAY)]);
            pass(&mut world, 3_000);
        }
        settle(&mut world);
        is_one_log(&world, ARRAY, seed);
        let mut all = numbers(&read(&world, 0));
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3], "seed {seed}");
    }
}

#[test]
fn a_log_that_was_an_ordinary_note_before_goes_on_as_one() {
    let mut world = world(560, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let before = b"one\n".to_vec();
    let file = FileId { zone: Zone::Drafts, hash: aiemp_keys::Hash::of_content(b"as before") };
    let (base, length) = (ContentHash::of(&before), before.len() as u64);
    append_as(
        &mut world,
        0,
        vec![Item::New { file, path: path(LINES), kind: FileKind::Note, base, length }],
        vec![before],
    );
    pass(&mut world, 20_000);
    world.partition(0, 1, 20_000);
    append(&mut world, 0, LINES, "here");
    append(&mut world, 1, LINES, "there");
    pass(&mut world, 10_000);
    settle(&mut world);
    let all = sorted_lines(&world, 1, LINES);
    assert_eq!(all, ["here", "one", "there"]);
    assert_eq!(core(&world, 0).vault().file_at(&path(LINES)), Some(file));
    assert_eq!(core(&world, 0).vault().conflicts(), []);
}

#[test]
fn a_log_that_was_put_away_or_renamed_is_over_and_the_next_one_there_is_another() {
    for seed in 561..571 {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        append(&mut world, 0, LINES, "old");
        pass(&mut world, 20_000);
        if seed % 2 == 0 {
            super::scenarios::rename(&mut world, 0, &[(LINES, "Logs/2026-01-06.jsonl")]);
        } else {
            world.nodes[0].disk.files.remove(&path(LINES));
            world.touched(0, path(LINES));
        }
        pass(&mut world, 20_000);
        world.partition(0, 1, 20_000);
        append(&mut world, 0, LINES, "here");
        append(&mut world, 1, LINES, "there");
        pass(&mut world, 10_000);
        settle(&mut world);
        for node in [0, 1] {
            let all = sorted_lines(&world, node, LINES);
            assert_eq!(all, ["here", "there"], "seed {seed}, node {node}");
            let old = text(&world, node, "Logs/2026-01-06.jsonl");
            assert_eq!(old.as_deref(), (seed % 2 == 0).then_some("old\n"), "seed {seed}, node {node}");
            assert_eq!(core(&world, node).vault().conflicts(), [], "seed {seed}, node {node}");
        }
    }
}

#[test]
fn a_program_that_empties_the_log_before_it_writes_it_doubles_nothing() {
    for seed in 571..581 {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        append(&mut world, 0, LINES, "common");
        pass(&mut world, 20_000);
        world.partition(0, 1, 30_000);
        for round in 0..3 {
            for (node, word) in ["here", "there"].into_iter().enumerate() {
                let there = text(&world, node, LINES).unwrap_or_default();
                save(&mut world, node, LINES, "");
                pass(&mut world, seed * 53 % 900);
                save(&mut world, node, LINES, &format!("{there}{word} {round}\n"));
                pass(&mut world, 1_000);
            }
        }
        settle(&mut world);
        is_one_log(&world, LINES, seed);
        let all = sorted_lines(&world, 1, LINES);
        assert_eq!(all, ["common", "here 0", "here 1", "here 2", "there 0", "there 1", "there 2"], "seed {seed}");
    }
}

#[test]
fn programs_that_set_a_long_array_each_in_its_own_way_lose_and_double_nothing() {
    for seed in 581..591 {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        let first: Vec<_> = (100..160).map(entry).collect();
        save(&mut world, 0, ARRAY, &array(&first, Set::Pretty));
        pass(&mut world, 20_000);
        let mut number = 0;
        for apart_ms in [20_000, 0] {
            if apart_ms > 0 {
                world.partition(0, 1, apart_ms);
            }
            for _ in 0..3 {
                for (node, set) in [Set::Pretty, Set::Flat].into_iter().enumerate() {
                    add(&mut world, node, number, set);
                    number += 1;
                    pass(&mut world, seed * 71 % 4_000);
                }
            }
            pass(&mut world, 40_000);
        }
        settle(&mut world);
        is_one_log(&world, ARRAY, seed);
        let mut all = numbers(&read(&world, 1));
        all.sort_unstable();
        assert_eq!(all, (0..12).chain(100..160).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn what_was_added_to_a_log_that_was_replaced_while_the_node_was_down_is_added_to_what_replaced_it() {
    let mut made = 0;
    for seed in 590..600 {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        append(&mut world, 0, LINES, "one");
        pass(&mut world, 20_000);
        let other = b"another log\n".to_vec();
        let content = ContentRef { hash: ContentHash::of(&other), length: other.len() as u64 };
        let set = Item::Set { file: of_place(LINES), write: FieldWrite::Base(content) };
        let shown = |world: &World| {
            let record = core(world, 1).vault().index().get(of_place(LINES));
            record.and_then(|record| record.base.shown().copied())
        };
        let before = shown(&world);
        world.partition(0, 1, 30_000);
        append_as(&mut world, 0, vec![set], vec![other]);
        for _ in 0..60_000 {
            pass(&mut world, 1);
            if shown(&world) != before {
                break;
            }
        }
        world.crash(1, 5_000);
        if text(&world, 1, LINES).as_deref() != Some("one\n") {
            continue;
        }
        made += 1;
        save(&mut world, 1, LINES, "one\nmine\n");
        pass(&mut world, 60_000);
        settle(&mut world);
        is_one_log(&world, LINES, seed);
        let all = sorted_lines(&world, 0, LINES);
        assert_eq!(all, ["another log", "mine"], "seed {seed}");
    }
    assert!(made > 0, "a crash came before the write");
}

#[test]
fn what_a_person_wrote_to_a_log_is_not_left_out_by_the_word_of_another() {
    let mut made = 0;
    for seed in 600..612 {
        let [here, there] = ["here", "there"].map(|word| format!("common {seed}\n{word}\n"));
        let vaults = [here, there].map(|text| [(LINES, text)]);
        let vaults = vaults.each_ref().map(|files| files.each_ref().map(|(at, text)| (*at, text.as_str())));
        let vaults = vaults.each_ref().map(|files| files.as_slice());
        let mut world = met(seed, &[LAPTOP, IDLE_CLOUD], &vaults, 20_000);
        for _ in 0..60_000 {
            pass(&mut world, 1);
            if !core(&world, 1).vault().conflicts().is_empty() {
                break;
            }
        }
        for item in core(&world, 1).vault().conflicts() {
            append_as(&mut world, 1, vec![Item::Resolve { id: item.id, choice: "0".to_owned() }], Vec::new());
            made += 1;
        }
        pass(&mut world, 40_000);
        settle(&mut world);
        is_one_log(&world, LINES, seed);
        let all = lines(&world, 1, LINES);
        assert!(all.iter().any(|line| line == "here"), "seed {seed}: {all:?}");
    }
    assert!(made > 0, "something was listed");
}

#[test]
fn a_log_in_which_entries_came_together_names_whoever_is_no_person_for_all_of_it() {
    let mut world = world(620, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    add(&mut world, 0, 0, Set::Pretty);
    pass(&mut world, 20_000);
    world.partition(0, 1, 20_000);
    add(&mut world, 0, 1, Set::Pretty);
    add(&mut world, 1, 2, Set::Flat);
    pass(&mut world, 60_000);
    assert_eq!(read(&world, 0).len(), 3);
    let cloud = world.nodes[1].signer().node_id();
    let written = core(&world, 0).vault().written(of_place(ARRAY));
    assert_eq!(written.iter().map(|run| run.author).collect::<Vec<_>>(), [Some(cloud)]);
    assert_eq!(written[0].bytes, text(&world, 0, ARRAY).expect("a log").len());
}
