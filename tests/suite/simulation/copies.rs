//! A home that is an older copy of itself and was written to before it met a peer, and notes that two copy.

use aiemp_tests::world::World;

use super::scenarios::{IDLE_CLOUD, LAPTOP, core, log_of, pass, path, save, settle, text, world};

const AT: &str = "Updates/a.md";

/// Cloud's copy from when the note said `copied` was written to as well as the one that went on; what both show after
/// they met.
fn written_on_both(copied: &[&str], meanwhile: &str, on_the_copy: &str) -> (World, Vec<String>) {
    let mut world = world(211, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    for text in copied {
        save(&mut world, 1, AT, text);
        pass(&mut world, 20_000);
    }
    let backup = (world.nodes[1].store.clone(), world.nodes[1].disk.clone());
    save(&mut world, 1, AT, meanwhile);
    pass(&mut world, 20_000);
    world.crash(1, 1_000);
    (world.nodes[1].store, world.nodes[1].disk) = backup;
    world.partition(0, 1, 15_000);
    pass(&mut world, 5_000);
    save(&mut world, 1, AT, on_the_copy);
    pass(&mut world, 60_000);
    assert_eq!(log_of(&world, 1).generation, 1);
    settle(&mut world);
    assert_eq!(core(&world, 0).vault().conflicts(), []);
    assert_eq!(text(&world, 0, AT), text(&world, 1, AT));
    let lines = text(&world, 0, AT).unwrap_or_default().lines().map(str::to_owned).collect();
    (world, lines)
}

#[test]
fn a_copy_adds_only_what_was_written_on_it() {
    let (_, mut lines) = written_on_both(&["a\n", "a\nb\n"], "a\nb\nd\n", "a\nb\nc\n");
    lines.sort_unstable();
    assert_eq!(lines, ["a", "b", "c", "d"]);
}

#[test]
fn a_copy_of_a_note_that_nobody_had_edited_adds_only_what_was_written_on_it() {
    let (_, mut lines) = written_on_both(&["a\nb\n"], "a\nb\nd\n", "a\nb\nc\n");
    lines.sort_unstable();
    assert_eq!(lines, ["a", "b", "c", "d"]);
}

/// What a node's disk holds of a note lies at another place too.
fn copy(world: &mut World, node: usize, from: &str, to: &str) {
    let there = text(world, node, from).expect("it is there");
    save(world, node, to, &there);
}

#[test]
fn two_who_copy_one_note_to_two_places_have_two_files() {
    for seed in 212..222 {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        save(&mut world, 1, "Plans/a.md", "# Plan\n\nas it is\n");
        pass(&mut world, 20_000);
        world.partition(0, 1, 20_000);
        copy(&mut world, 0, "Plans/a.md", "Plans/mine.md");
        copy(&mut world, 1, "Plans/a.md", "Plans/theirs.md");
        pass(&mut world, 5_000);
        save(&mut world, 0, "Plans/mine.md", "# Plan\n\nas I want it\n");
        settle(&mut world);
        for node in [0, 1] {
            assert_eq!(text(&world, node, "Plans/mine.md").as_deref(), Some("# Plan\n\nas I want it\n"), "seed {seed}");
            assert_eq!(text(&world, node, "Plans/theirs.md").as_deref(), Some("# Plan\n\nas it is\n"), "seed {seed}");
            assert_eq!(core(&world, node).vault().conflicts(), [], "seed {seed}");
        }
    }
}

#[test]
fn a_copy_or_a_move_that_two_make_alike_is_one_file() {
    for seed in 222..232 {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        save(&mut world, 1, "Needs_Action/a.md", "# Task\n");
        pass(&mut world, 20_000);
        world.partition(0, 1, 20_000);
        for node in [0, 1] {
            // As a program does that copies a file and then removes it.
            copy(&mut world, node, "Needs_Action/a.md", "Plans/a.md");
            pass(&mut world, 2_000);
            if seed % 2 == 0 {
                world.nodes[node].disk.files.remove(&path("Needs_Action/a.md"));
                world.touched(node, path("Needs_Action/a.md"));
            }
        }
        settle(&mut world);
        for node in [0, 1] {
            let there = world.nodes[node].disk.files.values().filter(|bytes| *bytes == b"# Task\n").count();
            assert_eq!(there, if seed % 2 == 0 { 1 } else { 2 }, "seed {seed}");
            assert_eq!(text(&world, node, "Plans/a.md").as_deref(), Some("# Task\n"), "seed {seed}");
            assert_eq!(core(&world, node).vault().conflicts(), [], "seed {seed}");
        }
    }
}
