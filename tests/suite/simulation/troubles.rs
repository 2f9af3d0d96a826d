//! Troubles as notes: one for each while it lasts, however often it is told.

use aiemp_node::core::{Input, Trouble, TroubleClass};
use aiemp_tests::world::World;

use super::{
    agents::tasks,
    scenarios::{IDLE_CLOUD, LAPTOP, pass, rename, save, settle, text, world},
};

const MINUTE: u64 = 60_000;

fn trouble(name: &str, what: &str) -> Trouble {
    Trouble {
        name: name.to_owned(),
        class: TroubleClass::Authentication,
        what: what.to_owned(),
        fix: "Store a new key.".to_owned(),
    }
}

/// Told every twenty seconds, as the shell does.
fn last(world: &mut World, node: usize, minutes: u64, found: &[Trouble]) {
    for _ in 0..minutes * 3 {
        world.input(node, Input::TroublesFound(found.to_vec())).expect("it is told");
        pass(world, MINUTE / 3);
    }
}

fn notes(world: &World, node: usize) -> Vec<String> {
    [tasks(world, node, "Signals/"), tasks(world, node, "Private/Signals/")].concat()
}

#[test]
fn a_trouble_is_one_note_while_it_lasts_and_is_seldom_written() {
    let mut world = world(870, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    pass(&mut world, 10_000);
    let entries = |world: &World| world.nodes[1].store.entries.len();
    let before = entries(&world);
    let refused = trouble("brain", "the key is refused [x](javascript:y)");
    last(&mut world, 1, 30, std::slice::from_ref(&refused));
    assert_eq!(notes(&world, 0), ["Signals/TROUBLE_cloud_brain.md"]);
    assert_eq!(entries(&world), before + 1, "told ninety times, written once");
    let note = text(&world, 0, "Signals/TROUBLE_cloud_brain.md").expect("Local sees it");
    assert!(note.contains("class: authentication\n") && note.contains("count: 1\n"), "{note}");
    assert!(note.contains("\\[x\\]") && note.contains("It waits for you"), "{note}");
    // It comes and goes, and that is one trouble: after an hour the note says how often.
    for _ in 0..5 {
        last(&mut world, 1, 2, &[]);
        last(&mut world, 1, 5, std::slice::from_ref(&refused));
    }
    let note = text(&world, 0, "Signals/TROUBLE_cloud_brain.md").expect("it lasts");
    assert!(note.contains("count: 5\n") || note.contains("count: 6\n"), "{note}");
    assert!(entries(&world) <= before + 3, "{} entries", entries(&world) - before);
    // Over for ten minutes: the note is gone, and stays so.
    last(&mut world, 1, 12, &[]);
    assert_eq!(notes(&world, 0), [""; 0]);
    last(&mut world, 1, 2, std::slice::from_ref(&refused));
    assert_eq!(notes(&world, 0).len(), 1, "another time it is another one");
    settle(&mut world);
}

#[test]
fn what_is_over_after_a_restart_has_no_note_and_what_lasts_keeps_its_own() {
    let mut world = world(871, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    pass(&mut world, 10_000);
    let both = [trouble("mailbox", "it is refused"), trouble("watcher rss", "it ends")];
    last(&mut world, 1, 2, &both);
    assert_eq!(notes(&world, 0).len(), 2);
    let since = |world: &World| {
        let note = text(world, 0, "Signals/TROUBLE_cloud_mailbox.md").expect("it lasts");
        note.lines().find(|line| line.starts_with("since: ")).expect("a time")[..23].to_owned()
    };
    let first = since(&world);
    world.crash(1, 500);
    pass(&mut world, 30_000);
    // At first the shell does not know yet.
    last(&mut world, 1, 2, &[]);
    assert_eq!(notes(&world, 0).len(), 2, "what lasts is not put away at a start");
    last(&mut world, 1, 12, &both[..1]);
    assert_eq!(notes(&world, 0), ["Signals/TROUBLE_cloud_mailbox.md"]);
    assert_eq!(since(&world), first);
    settle(&mut world);
}

#[test]
fn troubles_of_local_are_for_local_nodes_alone() {
    let mut world = world(872, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    pass(&mut world, 10_000);
    last(&mut world, 0, 2, &[trouble("drop /home/sam/Bank", "january.csv: line 3")]);
    let noted = notes(&world, 0);
    assert!(
        noted.len() == 1 && noted[0].starts_with("Private/Signals/TROUBLE_laptop_drop--home-sam-bank-"),
        "{noted:?}"
    );
    assert_eq!(notes(&world, 1), [""; 0]);
    settle(&mut world);
}

#[test]
fn what_a_person_wrote_or_moved_is_left_alone_and_names_that_look_alike_are_two() {
    let mut world = world(873, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, "Private/Signals/TROUBLE_laptop_router.md", "my own note\n");
    pass(&mut world, 10_000);
    last(&mut world, 0, 15, &[]);
    assert_eq!(notes(&world, 0), ["Private/Signals/TROUBLE_laptop_router.md"]);
    let two = [trouble("drop /a/x-y", "one"), trouble("drop /a/x/y", "other")];
    last(&mut world, 0, 1, &two);
    assert_eq!(notes(&world, 0).len(), 3, "{:?}", notes(&world, 0));
    let moved = notes(&world, 0).into_iter().find(|path| !path.ends_with("router.md")).expect("a note");
    rename(&mut world, 0, &[(&moved, "Plans/moved.md")]);
    pass(&mut world, 30_000);
    last(&mut world, 0, 90, &[trouble("drop /a/x-y", "more"), trouble("drop /a/x/y", "more")]);
    assert!(text(&world, 1, "Plans/moved.md").is_none_or(|text| !text.contains("more")), "what is moved is theirs");
    settle(&mut world);
}
