//! What a person does to the vault while the node does not run.

use std::collections::BTreeSet;

use aiemp_crdt::vault::Projection;
use aiemp_protocol::vault_path::VaultPath;
use aiemp_tests::world::World;

use super::scenarios::{IDLE_CLOUD, LAPTOP, core, pass, path, rename, save, settle, text, world};

const AT: &str = "Plans/a.md";
const EARLIER: &str = "# Plan\n\n- [ ] call\n";
const LATER: &str = "# Plan\n\n- [x] call\n- [ ] write\n";

/// A note of both nodes in a later state.
fn with_a_history(seed: u64) -> World {
    let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, AT, EARLIER);
    pass(&mut world, 15_000);
    save(&mut world, 0, AT, LATER);
    pass(&mut world, 15_000);
    world
}

fn shown(world: &World) -> [Option<String>; 2] {
    [0, 1].map(|node| text(world, node, AT))
}

#[test]
fn a_note_set_back_while_the_node_was_stopped_stays_set_back() {
    for node in [0, 1] {
        let mut world = with_a_history(201);
        assert!(world.stop(node, 5_000), "nothing is under way");
        save(&mut world, node, AT, EARLIER);
        pass(&mut world, 30_000);
        assert_eq!(shown(&world), [Some(EARLIER.to_owned()), Some(EARLIER.to_owned())], "set back on node {node}");
        assert_eq!(core(&world, 0).vault().conflicts(), []);
        settle(&mut world);
    }
}

#[test]
fn a_note_set_back_after_a_crash_is_kept_for_the_person() {
    let mut world = with_a_history(202);
    world.crash(0, 5_000);
    save(&mut world, 0, AT, EARLIER);
    pass(&mut world, 30_000);
    assert_eq!(shown(&world), [Some(LATER.to_owned()), Some(LATER.to_owned())]);
    let kept: Vec<_> = world.nodes[0].kept.iter().map(|(at, bytes)| (at.as_str(), bytes.as_slice())).collect();
    assert_eq!(kept, [(AT, EARLIER.as_bytes())]);
    settle(&mut world);
}

#[test]
fn a_note_respelled_and_edited_while_the_node_was_down_stays_one() {
    for crashes in [false, true] {
        let mut world = world(203, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        save(&mut world, 0, "Plans/Note.md", "one\n");
        pass(&mut world, 15_000);
        if crashes {
            world.crash(0, 5_000);
        } else {
            assert!(world.stop(0, 5_000), "nothing is under way");
        }
        rename(&mut world, 0, &[("Plans/Note.md", "Plans/note.md")]);
        save(&mut world, 0, "Plans/note.md", "one\ntwo\n");
        pass(&mut world, 30_000);
        save(&mut world, 1, "Plans/note.md", "one\ntwo\nthree\n");
        pass(&mut world, 30_000);
        save(&mut world, 0, "Plans/note.md", "one\ntwo\nthree\nfour\n");
        pass(&mut world, 30_000);
        for node in [0, 1] {
            let named = |path: &&VaultPath| path.key() == "plans/note.md";
            let names: Vec<_> = world.nodes[node].disk.files.keys().filter(named).collect();
            assert_eq!(names, [&path("Plans/note.md")], "node {node}");
            assert_eq!(text(&world, node, "Plans/note.md").as_deref(), Some("one\ntwo\nthree\nfour\n"), "node {node}");
        }
        settle(&mut world);
    }
}

#[test]
fn what_a_crash_left_of_a_rename_is_no_new_file_also_where_the_vault_is_read_late() {
    let mut world = with_a_history(204);
    rename(&mut world, 0, &[(AT, "Plans/b.md")]);
    pass(&mut world, 15_000);
    // It ended before it had taken the file from its first place, and while it still adopted its vault.
    world.crash(1, 5_000);
    world.nodes[1].disk.files.insert(path(AT), LATER.as_bytes().to_vec());
    (world.nodes[1].store.has_adopted, world.nodes[1].reads_after_ms) = (false, 25_000);
    pass(&mut world, 60_000);
    for node in [0, 1] {
        assert_eq!(text(&world, node, AT), None, "node {node}");
        assert_eq!(text(&world, node, "Plans/b.md").as_deref(), Some(LATER), "node {node}");
    }
    settle(&mut world);
}

#[test]
fn a_line_that_came_to_an_empty_place_before_a_crash_takes_no_text_away() {
    let (one, two) = ("Plans/both.md", "Plans/both (2).md");
    let mut world = world(205, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    world.partition(0, 1, 20_000);
    save(&mut world, 0, one, "line by the person\n");
    save(&mut world, 1, one, "line by Cloud\n");
    pass(&mut world, 40_000);
    assert_eq!(text(&world, 1, two).as_deref(), Some("line by Cloud\n"));
    // It had taken Cloud's text from the place, and not yet recorded that; a program wrote a line there.
    world.crash(1, 5_000);
    let state = &mut world.nodes[1];
    let own = state.store.projections.remove(&path(two).key()).expect("it is recorded");
    state.store.projections.insert(path(one).key(), Projection { path: path(one), ..own });
    state.disk.files.remove(&path(two));
    state.disk.files.insert(path(one), b"a line of a program\n".to_vec());
    pass(&mut world, 30_000);
    for node in [0, 1] {
        let texts: BTreeSet<_> = world.nodes[node].disk.files.values().cloned().collect();
        for line in ["line by the person\n", "line by Cloud\n", "a line of a program\n"] {
            assert!(texts.contains(line.as_bytes()), "node {node}: {line}");
        }
    }
    settle(&mut world);
}
