//! What nobody needs any more is forgotten, when everybody has heard that it was replaced, and not before.

use aiemp_node::core::{Answer, Input, Question, Status};
use aiemp_protocol::ids::ContentHash;
use aiemp_tests::{check, people, store::Store, world::World};

use super::scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, pass, path, save, settle, text, world};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const SCAN: &str = "Plans/scan.bin";
const NOTE: &str = "Plans/note.md";
const DONE: &str = "Plans/done.md";
const OLD: &[u8] = b"\0an old scan";
const DELETED: &str = "# Done\n\nlong ago\n";

fn holds(world: &World, node: usize, bytes: &[u8]) -> bool {
    world.nodes[node].store.payload(ContentHash::of(bytes), true).is_some()
}

/// Days pass without a connection, which would compare frontiers twice a minute, and one with it, in which what nobody
/// needs is looked for.
fn days_apart(world: &mut World, links: &[(usize, usize)], days: u64) {
    for (one, other) in links {
        world.partition(*one, *other, days * DAY);
    }
    pass(world, days * DAY);
    pass(world, 25 * HOUR);
}

/// A blob that was replaced, a note that was edited, and one that was deleted.
fn replaced_and_deleted(world: &mut World) {
    people::save(world, 0, path(SCAN), OLD.to_vec());
    save(world, 0, NOTE, "# Note\n\none\n");
    save(world, 0, DONE, DELETED);
    pass(world, 30_000);
    people::save(world, 0, path(SCAN), b"\0a new scan".to_vec());
    save(world, 1, NOTE, "# Note\n\none\ntwo\n");
    world.nodes[0].disk.files.remove(&path(DONE));
    world.touched(0, path(DONE));
    pass(world, 60_000);
    assert_eq!(text(world, 1, DONE), None);
}

fn status(world: &mut World, node: usize) -> Status {
    world.input(node, Input::Asked { request: 99, question: Question::Status }).expect("it is asked");
    let Some(Answer::Status(status)) = world.nodes[node].answers.remove(&99) else { panic!("no status") };
    status
}

#[test]
fn what_was_replaced_or_deleted_is_forgotten_after_thirty_days_and_not_before() {
    let links = [(0, 1)];
    let mut world = world(501, &[LAPTOP, IDLE_CLOUD], &links);
    replaced_and_deleted(&mut world);
    days_apart(&mut world, &links, 28);
    for node in [0, 1] {
        assert!(holds(&world, node, OLD) && holds(&world, node, DELETED.as_bytes()), "node {node}");
    }
    days_apart(&mut world, &links, 1);
    for node in [0, 1] {
        assert!(!holds(&world, node, OLD) && !holds(&world, node, DELETED.as_bytes()), "node {node}");
        assert!(holds(&world, node, b"\0a new scan") && holds(&world, node, b"# Note\n\none\n"), "node {node}");
        world.crash(node, 500);
    }
    pass(&mut world, 60_000);
    for node in [0, 1] {
        assert!(world.nodes[node].store.missing().is_empty(), "node {node}: nothing of it is asked for");
        assert_eq!(text(&world, node, NOTE).as_deref(), Some("# Note\n\none\ntwo\n"));
    }
    save(&mut world, 0, NOTE, "# Note\n\none\ntwo\nthree\n");
    settle(&mut world);
    assert_eq!(text(&world, 1, NOTE).as_deref(), Some("# Note\n\none\ntwo\nthree\n"));
}

#[test]
fn what_a_member_has_not_heard_of_is_kept_for_it_and_the_member_is_named() {
    let links = [(0, 1), (0, 2)];
    let mut world = world(502, &[LAPTOP, IDLE_CLOUD, DESKTOP], &links);
    people::save(&mut world, 0, path(SCAN), OLD.to_vec());
    pass(&mut world, 30_000);
    world.partition(0, 2, 41 * DAY);
    people::save(&mut world, 0, path(SCAN), b"\0a new scan".to_vec());
    pass(&mut world, 60_000);
    assert!(status(&mut world, 0).absent.is_empty());
    days_apart(&mut world, &links[..1], 39);
    assert!(holds(&world, 0, OLD) && holds(&world, 1, OLD));
    let named: Vec<_> = status(&mut world, 0).absent.iter().map(|(node, _)| world.index_of(*node)).collect();
    assert_eq!(named, [2]);
    world.heal();
    pass(&mut world, 3 * DAY);
    assert!(!holds(&world, 0, OLD), "everybody has heard");
    assert!(holds(&world, 2, OLD), "here it was replaced but now");
    assert!(status(&mut world, 0).absent.is_empty());
    check::healed(&world).expect("all is well");
}

#[test]
fn who_comes_late_asks_in_the_end_for_nothing_that_nobody_keeps() {
    let links = [(0, 1)];
    let mut world = world(503, &[LAPTOP, IDLE_CLOUD], &links);
    replaced_and_deleted(&mut world);
    days_apart(&mut world, &links, 31);
    assert!(!holds(&world, 0, OLD));
    // The same node with an empty disk.
    world.crash(1, 500);
    world.nodes[1].store = Store::default();
    world.nodes[1].disk.files.clear();
    pass(&mut world, 60_000);
    assert_eq!(text(&world, 1, NOTE).as_deref(), Some("# Note\n\none\ntwo\n"));
    pass(&mut world, HOUR);
    assert!(world.nodes[1].store.missing().is_empty());
    assert_eq!(core(&world, 1).vault().lacking().count(), 0);
    settle(&mut world);
}

#[test]
fn what_is_listed_beside_what_is_shown_is_kept_as_long_as_it_is_listed() {
    let links = [(0, 1)];
    let mut world = world(504, &[LAPTOP, IDLE_CLOUD], &links);
    // Long enough to be written anew and not edited.
    let lines = |word: &str| (0..400).map(|number| format!("{word}{number}\n")).collect::<String>();
    save(&mut world, 0, NOTE, &lines("at first it was "));
    pass(&mut world, 30_000);
    world.partition(0, 1, 60_000);
    save(&mut world, 0, NOTE, &lines("what another said: "));
    save(&mut world, 1, NOTE, &(lines("at first it was ") + "added meanwhile\n"));
    pass(&mut world, 120_000);
    let listed = |world: &World| {
        let items = core(world, 0).vault().conflicts();
        let texts = items.iter().flat_map(|item| &item.sides).map(|side| side.text.clone()).collect::<Vec<_>>();
        (items.len(), texts.iter().any(|text| text.contains("added meanwhile")))
    };
    assert_eq!(listed(&world), (1, true));
    days_apart(&mut world, &links, 31);
    world.crash(0, 500);
    pass(&mut world, 60_000);
    assert_eq!(listed(&world), (1, true), "also after a start");
}
