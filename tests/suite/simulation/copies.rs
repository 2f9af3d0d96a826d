//! A home that is an older copy of itself and was written to before it met a peer.

use aiemp_tests::world::World;

use super::scenarios::{IDLE_CLOUD, LAPTOP, core, log_of, pass, save, settle, text, world};

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
