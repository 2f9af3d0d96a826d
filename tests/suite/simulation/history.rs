//! What files said before, told and given back.

use aiemp_crdt::{
    document::{self, Document},
    index::FileRecord,
    vault::Deed,
};
use aiemp_node::core::{Answer, Input, Question};
use aiemp_protocol::{
    entry::{Item, Position},
    ids::ContentHash,
    time::Timestamp,
};
use aiemp_tests::world::World;

use super::{
    removals::remove,
    repairs::append_at,
    scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, log_of, pass, path, rename, save, settle, text, world},
};

const NOTE: &str = "Plans/a.md";
/// What stands for the whole vault.
const WHOLE: &str = "";

fn ask(world: &mut World, question: Question) -> Answer {
    world.input(0, Input::Asked { request: 77, question }).expect("nothing goes wrong");
    pass(world, 20_000);
    world.nodes[0].answers.remove(&77).expect("it is answered")
}

/// What lay there at that time: the paths, the contents unless it is a folder, and what could not be restored.
fn past(world: &mut World, at: Timestamp, place: &str, restore: bool) -> Option<(Vec<String>, Option<String>, usize)> {
    let answer = ask(world, Question::Past { path: (place != WHOLE).then(|| path(place)), at, restore });
    if matches!(answer, Answer::NotFound) {
        return None;
    }
    let Answer::Past { paths, contents, left } = answer else { panic!("{answer:?}") };
    let texts = contents.into_iter().flatten().map(|bytes| String::from_utf8(bytes).expect("text"));
    let text = texts.reduce(|texts, text| format!("{texts}and {text}"));
    Some((paths.iter().map(ToString::to_string).collect(), text, left.len()))
}

/// A file that two saved without hearing of each other, and a time when all have both.
fn saved_apart(seed: u64, place: &str, before: &str, of_two: [&str; 2]) -> (World, Timestamp) {
    let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, place, before);
    pass(&mut world, 20_000);
    world.partition(0, 1, 5_000);
    for (node, text) in of_two.into_iter().enumerate() {
        save(&mut world, node, place, text);
    }
    pass(&mut world, 30_000);
    let then = world.time();
    (world, then)
}

fn said(world: &mut World, at: Timestamp) -> Option<String> {
    past(world, at, NOTE, false).and_then(|(_, text, _)| text)
}

#[test]
fn a_note_is_told_as_it_was_at_any_time_and_comes_back() {
    let mut world = world(301, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[(0, 1), (0, 2), (1, 2)]);
    let before = world.time();
    pass(&mut world, 5_000);
    let mut states = Vec::new();
    for (node, text) in [(0, "# Plan\n"), (1, "# Plan\n\nCloud's\n"), (2, "# Plan\n\nCloud's\nthe desktop's\n")] {
        save(&mut world, node, NOTE, text);
        pass(&mut world, 20_000);
        states.push((world.time(), text));
    }
    remove(&mut world, 0, NOTE);
    pass(&mut world, 20_000);
    let gone = world.time();
    assert_eq!(said(&mut world, before), None);
    for (at, text) in &states {
        assert_eq!(said(&mut world, *at).as_deref(), Some(*text));
    }
    assert_eq!(past(&mut world, gone, NOTE, false), None);
    let Answer::History(events) = ask(&mut world, Question::History(path(NOTE))) else { panic!("it has a history") };
    let deeds: Vec<_> = events.iter().map(|(event, _)| (event.author, event.what.clone())).collect();
    let id = |node: usize| world.nodes[node].id();
    let expected =
        [(id(0), Deed::Created(path(NOTE))), (id(1), Deed::Edited), (id(2), Deed::Edited), (id(0), Deed::Archived)];
    assert_eq!(deeds, expected);
    let (at, two) = states[1];
    assert_eq!(past(&mut world, at, NOTE, true), Some((vec![NOTE.to_owned()], None, 0)));
    for node in 0..3 {
        assert_eq!(text(&world, node, NOTE).as_deref(), Some(two), "node {node}");
    }
    settle(&mut world);
}

#[test]
fn each_of_two_saves_in_one_second_is_reached_by_when_it_came_and_the_whole_vault_comes_back() {
    let mut world = world(307, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, "Done/other.md", "other\n");
    for text in ["one\n", "two\n", "three\n"] {
        save(&mut world, 0, NOTE, text);
        pass(&mut world, 200);
    }
    pass(&mut world, 20_000);
    let Answer::History(events) = ask(&mut world, Question::History(path(NOTE))) else { panic!("it has a history") };
    let came: Vec<_> = events.iter().map(|(_, came)| *came).collect();
    let told: Vec<_> = came.iter().map(|at| said(&mut world, *at)).collect();
    assert_eq!(told, ["one\n", "two\n", "three\n"].map(|text| Some(text.to_owned())));
    remove(&mut world, 0, "Done/other.md");
    pass(&mut world, 20_000);
    let (paths, ..) = past(&mut world, came[1], WHOLE, true).expect("files lay there");
    assert_eq!(paths, ["Done/other.md", NOTE]);
    assert_eq!(text(&world, 0, NOTE).as_deref(), Some("two\n"));
    assert_eq!(text(&world, 0, "Done/other.md").as_deref(), Some("other\n"));
    settle(&mut world);
}

#[test]
fn what_files_of_one_name_said_is_told_under_the_name_and_under_each_number() {
    let mut world = world(305, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    world.partition(0, 1, 20_000);
    save(&mut world, 0, NOTE, "mine\n");
    save(&mut world, 1, NOTE, "Cloud's\n");
    pass(&mut world, 40_000);
    let both = world.time();
    assert_eq!(text(&world, 0, "Plans/a (2).md").as_deref(), Some("Cloud's\n"));
    save(&mut world, 0, "Plans/a (2).md", "overwritten\n");
    pass(&mut world, 20_000);
    rename(&mut world, 0, &[("Plans/a (2).md", "Plans/b.md")]);
    pass(&mut world, 20_000);
    let now = world.time();
    for place in [NOTE, "Plans/a (2).md"] {
        let (paths, texts, _) = past(&mut world, both, place, false).expect("they lay there");
        assert_eq!(paths, [NOTE, NOTE], "{place}");
        let texts = texts.expect("they are held");
        assert!(texts.contains("mine\n") && texts.contains("Cloud's\n"), "{place}: {texts}");
    }
    assert_eq!(said(&mut world, now).as_deref(), Some("mine\n"));
    let Answer::History(events) = ask(&mut world, Question::History(path("Plans/a (2).md"))) else {
        panic!("one lay there")
    };
    assert_eq!(events.iter().filter(|(event, _)| event.what == Deed::Created(path(NOTE))).count(), 2);
    settle(&mut world);
}

#[test]
fn a_folder_comes_back_as_it_was() {
    let mut world = world(302, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    for name in ["one", "two", "three"] {
        save(&mut world, 0, &format!("Plans/deep/{name}.md"), &format!("{name}\n"));
    }
    save(&mut world, 0, "Plans/scan.bin", "bytes\0before");
    save(&mut world, 0, "Done/other.md", "other\n");
    pass(&mut world, 20_000);
    let then = world.time();
    pass(&mut world, 1_000);
    remove(&mut world, 0, "Plans/deep/one.md");
    rename(&mut world, 0, &[("Plans/deep/two.md", "Plans/moved.md")]);
    save(&mut world, 1, "Plans/deep/three.md", "ALL YOUR NOTES\n");
    save(&mut world, 0, "Plans/scan.bin", "bytes\0after");
    save(&mut world, 0, "Plans/deep/new.md", "new\n");
    save(&mut world, 0, "Done/other.md", "other, changed\n");
    pass(&mut world, 20_000);
    let paths = ["Plans/deep/one.md", "Plans/deep/three.md", "Plans/deep/two.md", "Plans/scan.bin"].map(str::to_owned);
    assert_eq!(past(&mut world, then, "Plans", false), Some((paths.to_vec(), None, 0)), "a folder is listed");
    assert_eq!(past(&mut world, then, "Plans", true), Some((paths.to_vec(), None, 0)));
    pass(&mut world, 20_000);
    for node in [0, 1] {
        for name in ["one", "two", "three"] {
            let there = text(&world, node, &format!("Plans/deep/{name}.md"));
            assert_eq!(there, Some(format!("{name}\n")), "node {node}");
        }
        assert_eq!(text(&world, node, "Plans/scan.bin").as_deref(), Some("bytes\0before"), "node {node}");
        assert_eq!(text(&world, node, "Plans/deep/new.md").as_deref(), Some("new\n"), "what came since stays");
        assert_eq!(text(&world, node, "Done/other.md").as_deref(), Some("other, changed\n"), "and what lies elsewhere");
        assert_eq!(text(&world, node, "Plans/moved.md"), None, "node {node}");
    }
    settle(&mut world);
}

#[test]
fn contents_that_two_saved_at_once_are_both_told_until_one_is_chosen() {
    const SCAN: &str = "Plans/scan.bin";
    let (mut world, then) = saved_apart(305, SCAN, "bytes\0before\n", ["bytes\0mine\n", "bytes\0Cloud's\n"]);
    let shown = text(&world, 0, SCAN).expect("one of them lies there");
    save(&mut world, 0, SCAN, "bytes\0chosen\n");
    pass(&mut world, 20_000);
    let (paths, texts, _) = past(&mut world, then, SCAN, false).expect("it lay there");
    assert_eq!(paths, [SCAN, SCAN]);
    let texts = texts.expect("they are held");
    assert!(texts.starts_with(&shown), "what was shown comes first: {texts}");
    assert!(texts.contains("mine\n") && texts.contains("Cloud's\n"), "{texts}");
    let now = world.time();
    let chosen = Some((vec![SCAN.to_owned()], Some("bytes\0chosen\n".to_owned()), 0));
    assert_eq!(past(&mut world, now, SCAN, false), chosen);
    assert_eq!(past(&mut world, then, SCAN, true), Some((vec![SCAN.to_owned()], None, 0)));
    assert_eq!(text(&world, 0, SCAN), Some(shown), "of several the one that was shown comes back");
    settle(&mut world);
}

#[test]
fn edits_of_a_text_that_was_replaced_meanwhile_are_told_beside_what_replaced_it() {
    let of_two = ["# Plan\n\nFirst.\nthe laptop's\n", "of Cloud\0\n"];
    let (mut world, then) = saved_apart(306, NOTE, "# Plan\n\nFirst.\n", of_two);
    save(&mut world, 0, NOTE, "chosen\0\n");
    pass(&mut world, 20_000);
    let (_, texts, _) = past(&mut world, then, NOTE, false).expect("it lay there");
    assert_eq!(texts.as_deref(), Some("of Cloud\0\nand # Plan\n\nFirst.\nthe laptop's\n"));
    let now = world.time();
    assert_eq!(said(&mut world, now).as_deref(), Some("chosen\0\n"));
    settle(&mut world);
}

#[test]
fn a_cloud_restores_only_what_it_may_write() {
    let mut world = world(303, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, "Done/a.md", "done\n");
    pass(&mut world, 20_000);
    let then = world.time();
    save(&mut world, 0, "Done/a.md", "done, and changed\n");
    pass(&mut world, 20_000);
    let question = Question::Past { path: Some(path("Done/a.md")), at: then, restore: true };
    world.input(1, Input::Asked { request: 78, question }).expect("nothing goes wrong");
    pass(&mut world, 20_000);
    match world.nodes[1].answers.remove(&78) {
        Some(Answer::Past { left, .. }) => assert_eq!(left, [path("Done/a.md")]),
        other => panic!("{other:?}"),
    }
    assert_eq!(text(&world, 0, "Done/a.md").as_deref(), Some("done, and changed\n"));
    settle(&mut world);
}

#[test]
fn no_clock_of_clouds_changes_the_past_and_no_look_at_it_the_present() {
    let mut world = world(304, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, NOTE, "# Plan\n");
    save(&mut world, 1, "Plans/b.md", "of Cloud\n");
    pass(&mut world, 20_000);
    let file = core(&world, 0).file_at(&path(NOTE)).expect("the note is there");
    let base = core(&world, 0).vault().index().get(file).and_then(FileRecord::shown_base).expect("a base");
    let before = world.time();
    // Cloud's clock is a hundred years ahead when it edits the note.
    let log = log_of(&world, 1);
    let actor = document::actor(world.nodes[1].id(), document::doc_id(file, base), log.generation, 0);
    let raw = Document::import("# Plan\n").edit("# Plan\n\nCloud's\n", actor).expect("a change");
    let (hash, length) = (ContentHash::of(&raw), raw.len() as u64);
    let ahead = Timestamp::from_millis(world.now + 3_000_000_000_000);
    let of_laptop = log_of(&world, 0);
    let seq = world.nodes[0].store.length(of_laptop);
    let head = world.nodes[0].store.entry_at(of_laptop, seq).expect("it wrote the note");
    let seen = vec![Position { log: of_laptop, seq, hash: head }];
    append_at(&mut world, 1, (ahead, seen), vec![Item::Change { file, base, length, hash }], vec![raw]);
    save(&mut world, 0, NOTE, "# Plan\n\nCloud's\nmine, on top\n");
    pass(&mut world, 20_000);
    let now = world.time();
    assert_eq!(said(&mut world, before).as_deref(), Some("# Plan\n"));
    assert_eq!(said(&mut world, now).as_deref(), Some("# Plan\n\nCloud's\nmine, on top\n"), "as it was here");
    assert_eq!(core(&world, 0).vault().conflicts(), [], "nobody is blamed");
    save(&mut world, 0, NOTE, "# Plan\n\nCloud's\nmine, on top\nand more\n");
    pass(&mut world, 20_000);
    for node in [0, 1] {
        let there = text(&world, node, NOTE);
        assert_eq!(there.as_deref(), Some("# Plan\n\nCloud's\nmine, on top\nand more\n"), "node {node}");
    }
}
