//! What a person does to the vault while the node does not run.

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
