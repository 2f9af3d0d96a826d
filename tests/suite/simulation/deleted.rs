//! Notes that one deletes and another edits at the same time.

use aiemp_crdt::{
    conflict::{Conflict, ConflictKind},
    vault::Choice,
};
use aiemp_keys::Hash;
use aiemp_node::core::Brain;
use aiemp_protocol::{
    entry::{ContentRef, FieldWrite, FileKind, Item},
    ids::{ContentHash, FileId},
    roster::Role,
    zone::Zone,
};
use aiemp_tests::{
    brake, people, standing,
    world::{Cast, World},
};

use super::{
    repairs::{append_as, resolve},
    scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, pass, path, rename, save, settle, text, world},
};

const AT: &str = "Plans/a.md";
const TASK: &str = "Needs_Action/a.md";
const BEFORE: &str = "one\n\ntwo\n";
const EDITED: &str = "one\n\ntwo EDIT\n";

fn delete(world: &mut World, node: usize, at: &str) {
    world.nodes[node].disk.files.remove(&path(at)).expect("it is there");
    world.touched(node, path(at));
}

fn items(world: &World, node: usize) -> Vec<Conflict> {
    core(world, node).vault().conflicts()
}

fn shown(world: &World, at: &str) -> Vec<Option<String>> {
    (0..world.nodes.len()).map(|node| text(world, node, at)).collect()
}

fn everywhere(world: &World, text: Option<&str>) -> Vec<Option<String>> {
    vec![text.map(str::to_owned); world.nodes.len()]
}

/// One node deleted the note while another edited it.
fn apart(seed: u64, cast: &[Cast], (deletes, edits): (usize, usize)) -> World {
    let links: Vec<_> = (1..cast.len()).map(|other| (0, other)).collect();
    let mut world = world(seed, cast, &links);
    save(&mut world, 0, AT, BEFORE);
    pass(&mut world, 20_000);
    for (one, other) in links {
        world.partition(one, other, 20_000);
    }
    delete(&mut world, deletes, AT);
    save(&mut world, edits, AT, EDITED);
    pass(&mut world, 10_000);
    assert_eq!((text(&world, deletes, AT), text(&world, edits, AT).as_deref()), (None, Some(EDITED)));
    pass(&mut world, 60_000);
    world
}

/// The one item, which all list alike.
fn the_item(world: &World) -> Conflict {
    let listed: Vec<_> = (0..world.nodes.len()).map(|node| items(world, node)).collect();
    assert!(listed.iter().all(|items| *items == listed[0]), "{listed:?}");
    assert_eq!(listed[0].len(), 1, "{listed:?}");
    listed[0][0].clone()
}

#[test]
fn a_note_that_one_deletes_and_another_edits_stays_in_sight_with_an_item_that_says_who_deleted_it() {
    for seed in 0..4 {
        for sides in [(0, 1), (1, 0), (1, 2), (2, 1)] {
            let mut world = apart(seed, &[LAPTOP, IDLE_CLOUD, DESKTOP], sides);
            assert_eq!(shown(&world, AT), everywhere(&world, Some(EDITED)), "seed {seed}, {sides:?}");
            let item = the_item(&world);
            assert_eq!((item.kind, item.merged.as_str()), (ConflictKind::DeleteEdit, EDITED));
            let sides: Vec<_> = item.sides.iter().map(|side| (side.node, side.text.as_str())).collect();
            let [deletes, edits] = [sides[0].0, sides[1].0];
            assert_ne!(deletes, edits);
            assert_eq!((sides[0].1, sides[1].1), ("(deleted)", EDITED));
            for node in 0..3 {
                world.crash(node, 500);
            }
            pass(&mut world, 60_000);
            assert_eq!(shown(&world, AT), everywhere(&world, Some(EDITED)));
            assert_eq!(the_item(&world), item, "also after a restart");
            settle(&mut world);
        }
    }
}

/// A person decides the one item.
fn decide(world: &mut World, node: usize, choice: Choice) {
    let item = the_item(world);
    resolve(world, node, &item, choice);
}

#[test]
fn an_item_of_a_deleted_note_closes_by_a_decision_an_edit_and_a_deletion() {
    let with = "another\n";
    type Decide = fn(&mut World, usize);
    let decisions: [(Decide, Option<&str>); 6] = [
        (|world, node| decide(world, node, Choice::Side(0)), None),
        (|world, node| decide(world, node, Choice::Side(1)), Some(EDITED)),
        (|world, node| decide(world, node, Choice::Both), Some(EDITED)),
        (|world, node| decide(world, node, Choice::With(b"another\n".to_vec())), Some(with)),
        (|world, node| save(world, node, AT, "one more\n"), Some("one more\n")),
        (|world, node| delete(world, node, AT), None),
    ];
    for (number, (how, left)) in decisions.into_iter().enumerate() {
        for node in [0, 1] {
            let mut world = apart(10, &[LAPTOP, IDLE_CLOUD], (0, 1));
            how(&mut world, node);
            pass(&mut world, 60_000);
            assert_eq!(shown(&world, AT), everywhere(&world, left), "{number} at {node}");
            assert_eq!([items(&world, 0), items(&world, 1)], [[], []], "{number} at {node}");
            settle(&mut world);
        }
    }
}

#[test]
fn a_binary_that_one_deletes_and_another_replaces_stays_in_sight_and_is_told_by_its_length() {
    let mut world = world(20, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, AT, "\0 before");
    pass(&mut world, 20_000);
    world.partition(0, 1, 20_000);
    delete(&mut world, 0, AT);
    save(&mut world, 1, AT, "\0 after it");
    pass(&mut world, 60_000);
    assert_eq!(shown(&world, AT), everywhere(&world, Some("\0 after it")));
    let told = format!("(10 bytes, {})", ContentRef::of(b"\0 after it").hash);
    assert_eq!(the_item(&world).sides[1].text, told);
    let item = the_item(&world);
    resolve(&mut world, 0, &item, Choice::Side(0));
    assert_eq!(shown(&world, AT), everywhere(&world, None));
    settle(&mut world);
}

#[test]
fn what_is_deleted_while_it_is_typed_into_is_one_item() {
    let mut world = world(21, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, AT, BEFORE);
    pass(&mut world, 20_000);
    world.partition(0, 1, 30_000);
    delete(&mut world, 0, AT);
    for number in 0..5 {
        save(&mut world, 1, AT, &format!("{BEFORE}line {number}\n"));
        pass(&mut world, 3_000);
    }
    pass(&mut world, 60_000);
    assert_eq!(the_item(&world).sides[1].text, format!("{BEFORE}line 4\n"));
    settle(&mut world);
}

#[test]
fn what_was_deleted_left_its_name_to_what_was_made_since() {
    let mut world = world(22, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, AT, BEFORE);
    pass(&mut world, 20_000);
    world.partition(0, 1, 20_000);
    save(&mut world, 1, AT, EDITED);
    delete(&mut world, 0, AT);
    pass(&mut world, 5_000);
    save(&mut world, 0, AT, "made anew\n");
    pass(&mut world, 60_000);
    assert_eq!(shown(&world, AT), everywhere(&world, Some("made anew\n")));
    assert_eq!(shown(&world, "Plans/a (2).md"), everywhere(&world, Some(EDITED)));
    settle(&mut world);
}

#[test]
fn a_late_edit_of_a_note_that_was_moved_on_is_listed_and_not_shown_again() {
    for target in ["Done/email/a.md", "Rejected/email/a.md", "In_Progress/laptop/a.md", "Needs_Action/a.md"] {
        let mut world = world(23, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        let from = "Pending_Approval/email/a.md";
        save(&mut world, 0, from, BEFORE);
        pass(&mut world, 20_000);
        world.partition(0, 1, 20_000);
        rename(&mut world, 0, &[(from, target)]);
        save(&mut world, 1, from, EDITED);
        pass(&mut world, 60_000);
        assert_eq!(shown(&world, from), everywhere(&world, None), "{target}");
        assert_eq!(shown(&world, target), everywhere(&world, Some(BEFORE)), "{target}");
        let item = the_item(&world);
        assert_eq!((item.kind, item.merged.as_str()), (ConflictKind::LateEdit, "(moved away)"));
        resolve(&mut world, 0, &item, Choice::Side(0));
        assert_eq!([items(&world, 0), items(&world, 1)], [[], []]);
        settle(&mut world);
    }
}

/// A note that moved on before it was edited, and an item about it that was decided in two ways apart: the one who moved
/// it or another lets it lie, and the editor brings it back.
fn late_edit_decided_apart(seed: u64, target: &str, lets_lie: usize) -> World {
    let cast = [LAPTOP, IDLE_CLOUD, DESKTOP];
    let mut world = world(seed, &cast, &[(0, 1), (0, 2)]);
    save(&mut world, 0, TASK, BEFORE);
    pass(&mut world, 20_000);
    world.partition(0, 1, 20_000);
    rename(&mut world, 0, &[(TASK, target)]);
    save(&mut world, 1, TASK, EDITED);
    pass(&mut world, 60_000);
    let item = the_item(&world);
    assert_eq!(item.kind, ConflictKind::LateEdit);
    world.partition(0, 1, 120_000);
    world.partition(0, 2, 120_000);
    resolve(&mut world, lets_lie, &item, Choice::Side(0));
    resolve(&mut world, 1, &item, Choice::Side(1));
    assert_eq!([items(&world, lets_lie), items(&world, 1)], [[], []]);
    pass(&mut world, 120_000);
    world
}

#[test]
fn a_late_edit_that_two_decided_about_apart_is_listed_again_and_the_note_lies_where_it_went() {
    let cases = [("Done/a.md", 0), ("Done/a.md", 2), ("In_Progress/laptop/a.md", 0), ("In_Progress/laptop/a.md", 2)];
    for (target, lets_lie) in cases {
        for (seed, choice) in [(40, Choice::Side(0)), (41, Choice::Side(1)), (42, Choice::Both)] {
            let mut world = late_edit_decided_apart(seed, target, lets_lie);
            let item = the_item(&world);
            assert_eq!(item.kind, ConflictKind::LateEdit, "{target}, {lets_lie}");
            assert_eq!(shown(&world, TASK), everywhere(&world, None), "{target}, {lets_lie}");
            assert_eq!(shown(&world, target), everywhere(&world, Some(BEFORE)), "{target}, {lets_lie}");
            let back = (choice != Choice::Side(0)).then_some(EDITED);
            resolve(&mut world, 0, &item, choice);
            for node in 0..3 {
                assert_eq!(items(&world, node), [], "{target}, {lets_lie}, node {node}");
            }
            assert_eq!(shown(&world, TASK), everywhere(&world, back), "{target}, {lets_lie}");
            settle(&mut world);
        }
    }
}

/// A task made twice with two contents, which went on to `Done/` while another edited the one that is shown.
fn made_twice_and_edited_late(seed: u64) -> (World, [Conflict; 2]) {
    let mut world = world(seed, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[(0, 1), (0, 2)]);
    let file = FileId { zone: Zone::Intake, hash: Hash::of_content(b"made twice") };
    world.partition(0, 1, 20_000);
    for (node, content) in [(0, "of laptop\n"), (1, "of cloud\n")] {
        let (base, length) = (ContentHash::of(content.as_bytes()), content.len() as u64);
        let new = Item::New { file, path: path(TASK), kind: FileKind::Note, base, length };
        append_as(&mut world, node, vec![new], vec![content.into()]);
    }
    pass(&mut world, 60_000);
    assert_eq!(the_item(&world).kind, ConflictKind::Content);
    world.partition(0, 2, 20_000);
    let edited = format!("{}EDIT\n", text(&world, 2, TASK).expect("one is shown"));
    save(&mut world, 2, TASK, &edited);
    rename(&mut world, 0, &[(TASK, "Done/a.md")]);
    pass(&mut world, 60_000);
    let listed = items(&world, 0);
    let of_kind = |kind| listed.iter().find(|item| item.kind == kind).cloned().expect("it is listed");
    assert_eq!(listed.len(), 2, "{listed:?}");
    let both = [of_kind(ConflictKind::LateEdit), of_kind(ConflictKind::Content)];
    (world, both)
}

#[test]
fn who_takes_a_hidden_content_of_a_note_that_went_decides_first_about_an_edit_that_nobody_sees() {
    for seed in 46..50 {
        let (mut world, [late, content]) = made_twice_and_edited_late(seed);
        assert!(late.sides[1].text.ends_with("EDIT\n"));
        for choice in [Choice::Side(1), Choice::With(b"another\n".to_vec())] {
            resolve(&mut world, 1, &content, choice);
            assert!(items(&world, 0).contains(&late), "seed {seed}: the edit is still to be decided");
            assert_eq!(shown(&world, TASK), everywhere(&world, None), "seed {seed}");
        }
        resolve(&mut world, 1, &late, Choice::Side((seed % 2) as usize));
        let there = shown(&world, TASK).remove(0);
        assert_eq!(there.is_some_and(|text| text.ends_with("EDIT\n")), seed % 2 == 1, "seed {seed}");
        let content = the_item(&world);
        let hidden = content.sides[1].text.clone();
        resolve(&mut world, 2, &content, Choice::Side(1));
        assert_eq!(shown(&world, TASK), everywhere(&world, Some(&hidden)), "seed {seed}");
        for node in 0..3 {
            assert_eq!(items(&world, node), [], "seed {seed}, node {node}");
        }
        settle(&mut world);
    }
}

#[test]
fn of_two_late_edits_the_one_that_nobody_decided_about_stays_listed() {
    let mut world = world(43, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[(0, 1), (0, 2)]);
    save(&mut world, 0, TASK, BEFORE);
    pass(&mut world, 20_000);
    world.partition(0, 1, 20_000);
    world.partition(0, 2, 20_000);
    rename(&mut world, 0, &[(TASK, "Done/a.md")]);
    save(&mut world, 1, TASK, EDITED);
    save(&mut world, 2, TASK, &format!("{BEFORE}ANOTHER\n"));
    pass(&mut world, 60_000);
    let listed = items(&world, 0);
    assert_eq!(listed.len(), 2, "{listed:?}");
    resolve(&mut world, 0, &listed[0], Choice::Side(0));
    for node in 0..3 {
        assert_eq!(items(&world, node), listed[1..], "node {node}");
    }
    settle(&mut world);
}

#[test]
fn a_deleted_note_that_two_decided_about_apart_is_listed_again_and_a_persons_word_keeps_it_in_sight() {
    // A person who deletes it again has the last word against Cloud.
    for (other, meanwhile) in [(DESKTOP, Some(EDITED)), (IDLE_CLOUD, None)] {
        for (seed, last) in [(44, Choice::Side(0)), (45, Choice::Side(1))] {
            let mut world = apart(seed, &[LAPTOP, other], (0, 1));
            let item = the_item(&world);
            world.partition(0, 1, 120_000);
            resolve(&mut world, 0, &item, Choice::Side(0));
            resolve(&mut world, 1, &item, Choice::Both);
            pass(&mut world, 120_000);
            assert_eq!(shown(&world, AT), everywhere(&world, meanwhile));
            let item = the_item(&world);
            assert_eq!((item.kind, item.sides[1].node), (ConflictKind::DeleteEdit, Some(world.nodes[1].id())));
            assert_eq!(item.sides[1].text, EDITED);
            let left = (last != Choice::Side(0)).then_some(EDITED);
            resolve(&mut world, 0, &item, last);
            assert_eq!([items(&world, 0), items(&world, 1)], [[], []]);
            assert_eq!(shown(&world, AT), everywhere(&world, left));
            settle(&mut world);
        }
    }
}

#[test]
fn a_note_moved_out_of_the_shared_folders_was_deleted_there() {
    let mut world = world(24, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[(0, 1), (0, 2)]);
    save(&mut world, 0, AT, BEFORE);
    pass(&mut world, 20_000);
    world.partition(0, 1, 20_000);
    rename(&mut world, 0, &[(AT, "Private/a.md")]);
    save(&mut world, 1, AT, EDITED);
    pass(&mut world, 60_000);
    assert_eq!(shown(&world, AT), everywhere(&world, Some(EDITED)), "every node shows the same");
    assert_eq!(text(&world, 0, "Private/a.md").as_deref(), Some(BEFORE));
    assert_eq!(the_item(&world).kind, ConflictKind::DeleteEdit);
    settle(&mut world);
}

#[test]
fn a_person_deletes_for_good_what_cloud_brought_back() {
    let mut world = apart(25, &[LAPTOP, IDLE_CLOUD], (0, 1));
    let file = core(&world, 0).file_at(&path(AT)).expect("the note is there");
    world.partition(0, 1, 60_000);
    delete(&mut world, 0, AT);
    let item = Item::Set { file, write: FieldWrite::Base(ContentRef::of(b"CLOUD AGAIN\n")) };
    append_as(&mut world, 1, vec![item], vec![b"CLOUD AGAIN\n".to_vec()]);
    pass(&mut world, 60_000);
    assert_eq!(shown(&world, AT), everywhere(&world, None));
    let item = the_item(&world);
    assert_eq!((item.kind, item.sides[1].text.as_str()), (ConflictKind::DeleteEdit, "CLOUD AGAIN\n"));
    resolve(&mut world, 0, &item, Choice::Side(0));
    assert_eq!([items(&world, 0), items(&world, 1)], [[], []]);
    settle(&mut world);
}

#[test]
fn a_draft_that_was_deleted_is_sent_by_no_edit_of_clouds_and_nothing_that_cloud_closes() {
    const DRAFT: &str = "Pending_Approval/email/a.md";
    let mail = |body: &str| format!("---\naction: email\nto: a@client.test\nsubject: Hello\n---\n{body}\n");
    let mut world = world(27, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    standing::sign(&mut world, &["a@client.test"], 3, true).expect("signed");
    save(&mut world, 0, DRAFT, &mail("One"));
    pass(&mut world, 8_000);
    world.partition(0, 1, 20_000);
    delete(&mut world, 0, DRAFT);
    save(&mut world, 1, DRAFT, &mail("Two"));
    pass(&mut world, 60_000);
    assert_eq!(shown(&world, DRAFT), everywhere(&world, Some(&mail("Two"))));
    let id = the_item(&world).id;
    append_as(&mut world, 1, vec![Item::Resolve { id, choice: "both".to_owned() }], Vec::new());
    pass(&mut world, 7_200_000);
    assert_eq!((items(&world, 0), world.nodes[0].receipts.len()), (vec![], 0), "it is closed, and not sent");
    assert_eq!(text(&world, 0, DRAFT), Some(mail("Two")), "the person sees it");
    save(&mut world, 0, DRAFT, &mail("Three"));
    pass(&mut world, 7_200_000);
    assert_ne!(world.nodes[0].receipts.len(), 0, "the person wanted it again");
}

#[test]
fn nobody_takes_up_a_task_that_somebody_deleted_and_another_edited() {
    let brain: Cast = ("cloud", Role::Cloud, Brain::Template);
    let mut world = world(26, &[LAPTOP, brain], &[(0, 1)]);
    brake::freeze(&mut world, 0).expect("it is stopped");
    people::save(&mut world, 0, path("Inbox/a.eml"), people::mail(1, "soon"));
    pass(&mut world, 20_000);
    let tasks = |world: &World| -> Vec<_> {
        let files = world.nodes[0].disk.files.keys();
        files.filter(|at| at.as_str().starts_with("Needs_Action/") && at.extension() == "md").cloned().collect()
    };
    let task = tasks(&world).remove(0);
    world.partition(0, 1, 20_000);
    let edited = format!("{}EDIT\n", text(&world, 1, task.as_str()).expect("it is there"));
    delete(&mut world, 0, task.as_str());
    save(&mut world, 1, task.as_str(), &edited);
    pass(&mut world, 60_000);
    brake::unfreeze(&mut world).expect("it goes on");
    pass(&mut world, 60_000);
    assert_eq!(tasks(&world), std::slice::from_ref(&task), "it waits for the person");
    let item = the_item(&world);
    resolve(&mut world, 0, &item, Choice::Both);
    pass(&mut world, 60_000);
    assert_eq!(tasks(&world), [], "it is claimed");
}
