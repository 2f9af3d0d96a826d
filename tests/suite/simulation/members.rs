//! Small JSON files in which programs keep their state: members are put together one by one.

use aiemp_crdt::{conflict::ConflictKind, vault::Choice};
use aiemp_tests::world::World;

use super::{
    repairs::resolve,
    scenarios::{IDLE_CLOUD, LAPTOP, core, pass, path, rename, save, settle, text, world},
};

const STATE: &str = "Plans/state.json";
const BEFORE: &str = "{\n  \"seen\": [1, 2],\n  \"last\": \"a\",\n  \"on\": true\n}\n";

/// Both save the file while they do not hear of each other.
fn apart(seed: u64, at: &str, saves: [&str; 2]) -> World {
    let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, at, BEFORE);
    pass(&mut world, 20_000);
    world.partition(0, 1, 20_000);
    for (node, saved) in saves.into_iter().enumerate() {
        save(&mut world, node, at, saved);
        pass(&mut world, 3_000);
    }
    if seed.is_multiple_of(2) {
        world.crash(1, 500);
    }
    settle(&mut world);
    world
}

fn says(world: &World, expected: &str, seed: u64) {
    for node in [0, 1] {
        assert_eq!(text(world, node, STATE).as_deref(), Some(expected), "seed {seed}, node {node}");
    }
}

fn kinds(world: &World, node: usize) -> Vec<(ConflictKind, Option<String>)> {
    core(world, node).vault().conflicts().into_iter().map(|item| (item.kind, item.field)).collect()
}

#[test]
fn members_that_two_change_are_both_as_they_were_written() {
    for seed in 600..610 {
        let here = BEFORE.replace("[1, 2]", "[1, 2, 3, 4]");
        let there = BEFORE.replace("\"a\"", "\"b\"").replace("true", "false,\n  \"new\": {\"x\": [1]}");
        let mut world = apart(seed, STATE, [&here, &there]);
        let both = "{\n  \"seen\": [1, 2, 3, 4],\n  \"last\": \"b\",\n  \"on\": false,\n  \"new\": {\"x\": [1]}\n}\n";
        says(&world, both, seed);
        assert_eq!([kinds(&world, 0), kinds(&world, 1)], [vec![], vec![]], "seed {seed}");
        // Both of what one saves at the other's minute, again and again.
        let mut expected = both.to_owned();
        for round in 0..8 {
            let (seen, last) = (format!("[{round}]"), format!("\"c{round}\""));
            let there = text(&world, 0, STATE).expect("the state");
            assert_eq!(there, expected, "seed {seed}, round {round}");
            save(&mut world, 0, STATE, &replaced(&there, "seen", &seen));
            save(&mut world, 1, STATE, &replaced(&there, "last", &last));
            expected = replaced(&replaced(&there, "seen", &seen), "last", &last);
            pass(&mut world, 20_000);
        }
        says(&world, &expected, seed);
        assert_eq!(kinds(&world, 0), [], "seed {seed}");
    }
}

/// The state with another value of a member that has a line of its own.
fn replaced(state: &str, name: &str, value: &str) -> String {
    let start = format!("  \"{name}\": ");
    let line = |line: &str| if line.starts_with(&start) { format!("{start}{value},\n") } else { format!("{line}\n") };
    state.lines().map(line).collect()
}

#[test]
fn a_member_with_two_values_is_a_field_conflict_until_somebody_decides_or_changes_it() {
    let (here, there) = (BEFORE.replace("\"a\"", "\"b\""), BEFORE.replace("\"a\"", "\"c\"").replace("true", "false"));
    for seed in 610..620 {
        let mut world = apart(seed, STATE, [&here, &there]);
        let items = core(&world, 0).vault().conflicts();
        assert_eq!(items, core(&world, 1).vault().conflicts(), "seed {seed}");
        let [item] = items.as_slice() else { panic!("seed {seed}: {items:?}") };
        assert_eq!((item.kind, item.field.as_deref()), (ConflictKind::Field, Some("last")), "seed {seed}");
        assert_eq!(item.base.as_deref(), Some("\"last\": \"a\""), "seed {seed}");
        let side = |node: usize| {
            let by = Some(world.nodes[node].id());
            item.sides.iter().position(|side| side.node == by).expect("a side")
        };
        let (mine, other) = (side(0), side(1));
        assert_eq!(item.sides[mine].text, "\"last\": \"b\"");
        assert_eq!(item.sides[other].text, "\"last\": \"c\"");
        let shown = text(&world, 0, STATE).expect("the state");
        assert!([&there, &there.replace("\"c\"", "\"b\"")].contains(&&shown), "seed {seed}: {shown}");
        match seed % 4 {
            0 => {
                resolve(&mut world, 1, item, Choice::Side(mine));
                settle(&mut world);
                says(&world, &there.replace("\"c\"", "\"b\""), seed);
            }
            1 => {
                resolve(&mut world, 0, item, Choice::Side(other));
                settle(&mut world);
                says(&world, &there, seed);
            }
            2 => {
                resolve(&mut world, 0, item, Choice::Both);
                settle(&mut world);
                says(&world, &shown, seed);
            }
            _ => {
                save(&mut world, 0, STATE, &replaced(&shown, "seen", "[9]"));
                pass(&mut world, 20_000);
                assert_eq!(kinds(&world, 1).len(), 1, "seed {seed}: that was another member");
                let next = replaced(&replaced(&shown, "seen", "[9]"), "last", "\"d\"");
                save(&mut world, 1, STATE, &next);
                settle(&mut world);
                says(&world, &next, seed);
            }
        }
        assert_eq!([kinds(&world, 0), kinds(&world, 1)], [vec![], vec![]], "seed {seed}");
        world.crash(0, 500);
        settle(&mut world);
        assert_eq!(kinds(&world, 0), [], "seed {seed}: also after a restart");
    }
}

#[test]
fn what_is_no_object_is_merged_as_a_text() {
    let torn = BEFORE.replace("\"a\"", "\"b");
    let lines =
        |world: &World| text(world, 1, STATE).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    let world = apart(620, STATE, [&torn, &BEFORE.replace("true", "false")]);
    says(&world, &torn.replace("true", "false"), 620);
    let world = apart(621, STATE, [&torn, &BEFORE.replace("\"a\"", "\"c\"")]);
    assert_eq!(kinds(&world, 0), [(ConflictKind::Text, None)]);
    assert!(lines(&world).iter().any(|line| line.contains('b') && line.contains('c')), "words of both stand there");
}

#[test]
fn a_file_that_gets_another_name_is_understood_by_it_on_every_node() {
    let (here, there) = (BEFORE.replace("\"a\"", "\"b\""), BEFORE.replace("\"a\"", "\"c\""));
    for (seed, from, to) in [(622, "Plans/state.txt", STATE), (623, STATE, "Plans/state.txt")] {
        let mut world = apart(seed, from, [&here, &there]);
        let before = text(&world, 0, from).expect("the file");
        rename(&mut world, 1, &[(from, to)]);
        settle(&mut world);
        assert_eq!(core(&world, 0).file_at(&path(from)), None);
        let after = text(&world, 0, to).expect("the file");
        assert_eq!(text(&world, 1, to).as_deref(), Some(after.as_str()), "seed {seed}");
        let is_field = kinds(&world, 0).iter().any(|(kind, _)| *kind == ConflictKind::Field);
        assert_eq!(is_field, to == STATE, "seed {seed}");
        assert_eq!(kinds(&world, 0), kinds(&world, 1), "seed {seed}");
        assert!(!after.contains("bc") && !after.contains("cb") || to != STATE, "seed {seed}: {before} {after}");
    }
}
