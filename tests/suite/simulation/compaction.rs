//! Notes that were changed often and then left alone start anew: the store shrinks, nobody sees it, and nothing is lost by it.

use std::time::Duration;

use aiemp_crdt::{
    conflict::ConflictKind,
    document::{Document, actor, doc_id},
    vault::Deed,
};
use aiemp_node::core::{Answer, Compaction, Input, Question};
use aiemp_protocol::{entry::Item, ids::ContentHash, time::Timestamp};
use aiemp_tests::{check, store::Store, world::World};

use super::{
    removals::remove,
    repairs::append_as,
    scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, pass, path, save, settle, text, undo},
};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const NOTE: &str = "Plans/note.md";
/// Changes of a note before it is left alone.
const CHANGES: usize = 20;
const BEGINNING: &str = "# Note\n";

const LINKS: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];

/// What was left alone for two minutes starts anew.
fn soon() -> Compaction {
    Compaction { quiet: Duration::from_secs(120), changes_min: CHANGES }
}

fn world_with(seed: u64, compaction: Compaction) -> World {
    World::compacting(seed, &[LAPTOP, IDLE_CLOUD, DESKTOP], &LINKS, compaction).expect("a mesh is founded")
}

fn line(number: usize) -> String {
    format!("line {number} with some words of its own\n")
}

/// What the note says after so many lines were added.
fn said(lines: usize) -> String {
    (0..lines).fold(BEGINNING.to_owned(), |text, number| text + &line(number))
}

/// A note to which these nodes in turn add a line.
fn with_note(world: &mut World, by: &[usize]) {
    save(world, by[0], NOTE, BEGINNING);
    pass(world, 10_000);
    for lines in 1..=CHANGES {
        save(world, by[lines % by.len()], NOTE, &said(lines));
        pass(world, 10_000);
    }
    // By then each has heard that the others have it.
    pass(world, 45_000);
}

/// How many changes the shown document has at a node.
fn changes(world: &World, node: usize) -> usize {
    let file = core(world, node).file_at(&path(NOTE)).expect("the note is there");
    core(world, node).vault().index().get(file).expect("it is known").current_changes().count()
}

/// A note that started anew, and when it had been changed last.
fn compacted(seed: u64, by: &[usize]) -> (World, Timestamp) {
    let mut world = world_with(seed, soon());
    with_note(&mut world, by);
    let then = world.time();
    assert_eq!([0, 1, 2].map(|node| changes(&world, node)), [CHANGES; 3]);
    pass(&mut world, 300_000);
    assert_eq!([0, 1, 2].map(|node| changes(&world, node)), [0; 3], "it started anew");
    for node in 0..3 {
        assert_eq!(text(&world, node, NOTE), Some(said(CHANGES)), "node {node}");
    }
    (world, then)
}

/// Cuts a node off for ten minutes.
fn apart(world: &mut World, node: usize) {
    for other in (0..3).filter(|other| *other != node) {
        world.partition(node, other, 600_000);
    }
}

fn ask(world: &mut World, question: Question) -> Answer {
    world.input(0, Input::Asked { request: 77, question }).expect("nothing goes wrong");
    pass(world, 20_000);
    world.nodes[0].answers.remove(&77).expect("it is answered")
}

fn deeds(world: &mut World) -> Vec<Deed> {
    let Answer::History(events) = ask(world, Question::History(path(NOTE))) else { panic!("it has a history") };
    events.into_iter().map(|(event, _)| event.what).collect()
}

/// The texts of the node's open items.
fn listed(world: &World, node: usize) -> Vec<(ConflictKind, Vec<String>)> {
    let items = core(world, node).vault().open_items().into_iter();
    items.map(|item| (item.kind, item.sides.into_iter().map(|side| side.text).collect())).collect()
}

#[test]
fn a_note_that_was_left_alone_starts_anew_and_nobody_sees_it() {
    let (mut world, then) = compacted(901, &[0, 2]);
    assert_eq!(deeds(&mut world).len(), 1 + CHANGES, "history tells of no such thing");
    let question =
        Question::Past { path: Some(path(NOTE)), at: then.earlier_by(Duration::from_secs(55)), restore: false };
    let Answer::Past { contents, .. } = ask(&mut world, question) else { panic!("it was there") };
    let [Some(before)] = &contents[..] else { panic!("{contents:?}") };
    let before = String::from_utf8_lossy(before);
    assert!(said(CHANGES).starts_with(&*before) && before.len() < said(CHANGES).len(), "{before}");
    for node in 0..3 {
        assert!(listed(&world, node).is_empty());
        world.crash(node, 500);
    }
    pass(&mut world, 30_000);
    save(&mut world, 1, NOTE, &format!("{}of Cloud\n", said(CHANGES)));
    settle(&mut world);
    for node in 0..3 {
        assert_eq!(text(&world, node, NOTE), Some(said(CHANGES) + "of Cloud\n"), "node {node}");
        assert_eq!(changes(&world, node), 1);
    }
    check::healed(&world).expect("all is well");
}

#[test]
fn what_was_written_to_it_meanwhile_by_another_of_the_persons_computers_is_merged_as_ever() {
    let mut world = world_with(902, soon());
    with_note(&mut world, &[0, 1]);
    apart(&mut world, 2);
    save(&mut world, 2, NOTE, &said(CHANGES).replacen("line 3 ", "line three ", 1));
    pass(&mut world, 400_000);
    assert_eq!((changes(&world, 0), changes(&world, 1), changes(&world, 2)), (0, 0, CHANGES + 1), "it started anew");
    pass(&mut world, 400_000);
    settle(&mut world);
    for node in 0..3 {
        assert_eq!(text(&world, node, NOTE), Some(said(CHANGES).replacen("line 3 ", "line three ", 1)), "node {node}");
        assert!(listed(&world, node).is_empty());
        world.crash(node, 500);
    }
    pass(&mut world, 30_000);
    save(&mut world, 0, NOTE, &said(CHANGES).replacen("line 3 ", "line 3, ", 1));
    settle(&mut world);
    check::healed(&world).expect("all is well");
}

#[test]
fn what_was_written_to_both_is_listed_and_nothing_of_it_is_lost() {
    for other in [1, 2] {
        let mut world = world_with(903, soon());
        with_note(&mut world, &[0, 2]);
        apart(&mut world, other);
        save(&mut world, other, NOTE, &said(CHANGES).replacen("line 3 ", "line three ", 1));
        pass(&mut world, 400_000);
        assert_eq!((changes(&world, 0), changes(&world, other)), (0, CHANGES + 1));
        save(&mut world, 0, NOTE, &said(CHANGES).replacen("line 5 ", "line five ", 1));
        pass(&mut world, 400_000);
        settle(&mut world);
        for node in 0..3 {
            assert_eq!(text(&world, node, NOTE), Some(said(CHANGES).replacen("line 5 ", "line five ", 1)));
            let items = listed(&world, node);
            assert_eq!(items.len(), 1, "{items:?}");
            let (kind, sides) = &items[0];
            assert_eq!(*kind, ConflictKind::Content);
            assert_eq!(sides[1], said(CHANGES).replacen("line 3 ", "line three ", 1));
        }
    }
}

/// A captured Cloud could say at any time that it had not heard: what everybody has forgotten would have to be shown.
#[test]
fn what_cloud_wrote_without_having_heard_is_listed() {
    let mut world = world_with(904, soon());
    with_note(&mut world, &[0, 2]);
    apart(&mut world, 1);
    let of_cloud = said(CHANGES).replacen("line 3 ", "line three ", 1);
    save(&mut world, 1, NOTE, &of_cloud);
    pass(&mut world, 800_000);
    settle(&mut world);
    for node in 0..3 {
        assert_eq!(text(&world, node, NOTE), Some(said(CHANGES)), "node {node}");
        let items = listed(&world, node);
        assert_eq!(items.len(), 1, "{items:?}");
        assert_eq!((items[0].0, items[0].1[1].as_str()), (ConflictKind::Content, of_cloud.as_str()));
    }
}

/// Nor does it decide which of the two is shown.
#[test]
fn what_cloud_wrote_to_the_new_one_is_listed_beside_what_the_person_wrote_to_the_old_one() {
    let mut world = world_with(917, soon());
    with_note(&mut world, &[0, 2]);
    apart(&mut world, 2);
    let (of_person, of_cloud) =
        (said(CHANGES).replacen("line 3 ", "line three ", 1), said(CHANGES).replacen("line 5 ", "line five ", 1));
    save(&mut world, 2, NOTE, &of_person);
    pass(&mut world, 400_000);
    assert_eq!((changes(&world, 1), changes(&world, 2)), (0, CHANGES + 1));
    save(&mut world, 1, NOTE, &of_cloud);
    pass(&mut world, 400_000);
    settle(&mut world);
    for node in 0..3 {
        assert_eq!(text(&world, node, NOTE).as_ref(), Some(&of_person), "node {node}");
        let items = listed(&world, node);
        assert_eq!(items.len(), 1, "{items:?}");
        assert_eq!((items[0].0, &items[0].1[1]), (ConflictKind::Content, &of_cloud));
    }
}

/// The node is stopped when it has heard of it, and has not looked at its disk.
#[test]
fn what_is_saved_in_the_moment_when_a_note_starts_anew_is_an_edit_of_it() {
    for node in [1, 2] {
        let mut world = world_with(918, soon());
        with_note(&mut world, &[0, 2]);
        for _ in 0..30_000 {
            if changes(&world, node) == 0 {
                break;
            }
            pass(&mut world, 10);
        }
        assert_eq!(changes(&world, node), 0, "it started anew");
        let edited = said(CHANGES) + "and more\n";
        world.crash(node, 5_000);
        save(&mut world, node, NOTE, &edited);
        settle(&mut world);
        for at in 0..3 {
            assert_eq!(text(&world, at, NOTE).as_ref(), Some(&edited), "node {at}");
            assert!(listed(&world, at).is_empty(), "{:?}", listed(&world, at));
            assert_eq!(changes(&world, at), 1);
        }
    }
}

/// A captured Cloud changes the document that starts from this text, whether there is one or not.
fn change_of_cloud(world: &mut World, of: &str, to: &str) {
    world.captured.insert(1);
    let file = core(world, 0).file_at(&path(NOTE)).expect("the note is there");
    let base = ContentHash::of(of.as_bytes());
    let own = actor(world.nodes[1].id(), doc_id(file, base), 0, 0);
    let raw = Document::import(of).edit(to, own).expect("a change");
    let item = Item::Change { file, base, length: raw.len() as u64, hash: ContentHash::of(&raw) };
    append_as(world, 1, vec![item], vec![raw]);
}

/// What it will start anew from, anybody can tell beforehand. Such a change would count once nobody can undo it any more.
#[test]
fn what_cloud_wrote_in_advance_never_comes_to_be_said() {
    let mut world = world_with(910, soon());
    with_note(&mut world, &[0, 2]);
    change_of_cloud(&mut world, &said(CHANGES), "hostile words\n");
    pass(&mut world, 600_000);
    for node in 0..3 {
        assert_eq!(text(&world, node, NOTE), Some(said(CHANGES)), "node {node}");
        assert!(listed(&world, node).is_empty());
    }
    settle(&mut world);
}

/// Whoever has it before the note starts anew writes the same to the disk as who hears of it later.
#[test]
fn what_cloud_wrote_in_advance_in_the_same_moment_is_shown_alike_everywhere() {
    let mut world = world_with(911, soon());
    with_note(&mut world, &[0, 2]);
    apart(&mut world, 0);
    change_of_cloud(&mut world, &said(CHANGES), "hostile words\n");
    pass(&mut world, 300_000);
    assert_eq!((changes(&world, 0), changes(&world, 2)), (0, CHANGES), "it started anew");
    settle(&mut world);
    for node in 0..3 {
        assert_eq!(text(&world, node, NOTE).as_deref(), Some("hostile words\n"), "node {node}");
    }
}

/// The person goes on in the old document, and everybody forgets the new one; and then, when it starts anew once more,
/// the old one.
#[test]
fn what_cloud_writes_later_brings_back_no_document_that_the_person_has_left() {
    for seed in 912..916 {
        let mut world = world_with(seed, soon());
        with_note(&mut world, &[0, 2]);
        apart(&mut world, 2);
        let shown = said(CHANGES).replacen("line 3 ", "line three ", 1);
        save(&mut world, 2, NOTE, &shown);
        pass(&mut world, 300_000);
        assert_eq!((changes(&world, 0), changes(&world, 2)), (0, CHANGES + 1), "it started anew");
        pass(&mut world, 310_000);
        assert_eq!([0, 1, 2].map(|node| text(&world, node, NOTE)), [(); 3].map(|()| Some(shown.clone())));
        pass(&mut world, 300_000);
        assert_eq!([0, 1, 2].map(|node| changes(&world, node)), [0; 3], "and once more");
        change_of_cloud(&mut world, &said(CHANGES), "hostile words\n");
        settle(&mut world);
        for node in 0..3 {
            assert_eq!(text(&world, node, NOTE).as_ref(), Some(&shown), "seed {seed}, node {node}");
        }
    }
}

#[test]
fn a_deletion_that_had_not_heard_of_it_stands() {
    let mut world = world_with(905, soon());
    with_note(&mut world, &[0, 1]);
    apart(&mut world, 2);
    pass(&mut world, 400_000);
    assert_eq!(changes(&world, 0), 0);
    remove(&mut world, 2, NOTE);
    pass(&mut world, 400_000);
    settle(&mut world);
    for node in 0..3 {
        assert_eq!(text(&world, node, NOTE), None, "node {node}");
        assert!(listed(&world, node).is_empty());
    }
}

#[test]
fn what_is_listed_about_a_note_is_not_swept_away() {
    let mut world = world_with(906, Compaction { changes_min: 1, ..soon() });
    save(&mut world, 0, NOTE, "# Note\n\none line\n");
    pass(&mut world, 10_000);
    world.partition(0, 1, 5_000);
    save(&mut world, 0, NOTE, "# Note\n\none line here\n");
    save(&mut world, 1, NOTE, "# Note\n\none line there\n");
    pass(&mut world, 600_000);
    for node in 0..3 {
        assert_eq!(listed(&world, node).len(), 1, "node {node}");
        assert_eq!(changes(&world, node), 2);
    }
}

/// The words of others stay theirs, also where nobody can tell any more which those are.
#[test]
fn words_that_cloud_wrote_are_not_the_persons_once_the_note_starts_anew() {
    for (by, authors) in [([0, 1], [1, 1]), ([0, 2], [0, 2])] {
        let (mut world, _) = compacted(907, &by);
        save(&mut world, 0, NOTE, &format!("{}mine\n", said(CHANGES)));
        pass(&mut world, 10_000);
        let file = core(&world, 0).file_at(&path(NOTE)).expect("the note is there");
        world.input(0, Input::Asked { request: 5, question: Question::File(path(NOTE)) }).expect("it is asked");
        let runs = core(&world, 0).vault().written(file);
        let length = |run: &aiemp_crdt::vault::Written| run.bytes;
        let of = |node: usize| {
            let of_node = runs.iter().filter(|run| run.author == Some(world.nodes[node].id()));
            of_node.map(length).sum::<usize>()
        };
        assert!(authors.into_iter().any(|author| of(author) == said(CHANGES).len()), "{by:?}: {runs:?}");
        assert_eq!(of(0), "mine\n".len(), "{runs:?}");
    }
}

#[test]
fn an_undo_leaves_it_and_tells_of_what_it_cannot_take_back() {
    let (mut world, then) = compacted(908, &[0, 2]);
    save(&mut world, 2, NOTE, &format!("{}new\n", said(CHANGES)));
    pass(&mut world, 10_000);
    // Who did that is taken back, since shortly before it: nothing of the note was its own.
    assert_eq!(undo(&mut world, 0, then), (0, Vec::new()));
    assert_eq!(undo(&mut world, 2, then), (1, Vec::new()));
    assert_eq!(text(&world, 0, NOTE), Some(said(CHANGES)));
    // What was written before is part of the text by now.
    let all = Timestamp::from_millis(then.as_millis() - HOUR);
    let (_, left) = undo(&mut world, 2, all);
    assert_eq!(left, [NOTE]);
    assert_eq!(text(&world, 0, NOTE), Some(said(CHANGES)));
    settle(&mut world);
}

/// The product's own times: thirty days until a note starts anew, and thirty more until its changes are forgotten.
#[test]
fn the_changes_are_forgotten_thirty_days_later_and_a_new_member_asks_for_none_of_them() {
    let mut world = world_with(909, Compaction::default());
    with_note(&mut world, &[0, 2]);
    let stored = |world: &World, node: usize| world.nodes[node].store.payloads.len();
    let before = stored(&world, 1);
    let days_apart = |world: &mut World, days: u64| {
        for (one, other) in LINKS {
            world.partition(one, other, days * DAY);
        }
        pass(world, days * DAY);
        pass(world, 25 * HOUR);
    };
    days_apart(&mut world, 28);
    assert_eq!(changes(&world, 1), CHANGES, "not yet");
    days_apart(&mut world, 1);
    pass(&mut world, 25 * HOUR);
    assert_eq!(changes(&world, 1), 0);
    assert!(stored(&world, 1) > before, "whoever looks back needs both");
    days_apart(&mut world, 30);
    pass(&mut world, 25 * HOUR);
    for node in 0..3 {
        assert!(stored(&world, node) + CHANGES <= before + 1, "node {node}: {} of {before}", stored(&world, node));
        assert!(world.nodes[node].store.payload(ContentHash::of(said(CHANGES).as_bytes()), true).is_some());
    }
    // Somebody new.
    world.crash(1, 500);
    world.nodes[1].store = Store::default();
    world.nodes[1].disk.files.clear();
    pass(&mut world, 60_000);
    assert_eq!(text(&world, 1, NOTE), Some(said(CHANGES)));
    pass(&mut world, HOUR);
    assert!(world.nodes[1].store.missing().is_empty());
    assert_eq!(stored(&world, 1), stored(&world, 0));
    save(&mut world, 1, NOTE, &said(CHANGES + 1));
    settle(&mut world);
    assert_eq!(text(&world, 2, NOTE), Some(said(CHANGES + 1)));
    check::healed(&world).expect("all is well");
}
