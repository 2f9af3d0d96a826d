//! Text that Cloud had a hand in stays so, whatever way it takes to the drafts: none of it goes out by itself.

use aiemp_crdt::{conflict::ConflictKind, vault::Choice};
use aiemp_node::core::{Answer, Input, Question};
use aiemp_protocol::{
    entry::{ContentRef, FieldWrite, FileKind, Item},
    ids::{ContentHash, FileId},
    zone::Zone,
};
use aiemp_tests::{standing, world::World};

use super::{
    removals::remove,
    repairs::append_as,
    scenarios::{IDLE_CLOUD, LAPTOP, core, pass, path, rename, save, text, world},
};

const DRAFT: &str = "Pending_Approval/email/d.md";
const TASK: &str = "Needs_Action/d.md";

/// A mesh in which mails to one address go out by themselves, but no text by Cloud.
fn allowed(seed: u64) -> World {
    let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    standing::sign(&mut world, &["a@client.test"], 3, false).expect("signed");
    world
}

fn mail(body: &str) -> String {
    format!("---\naction: email\nto: a@client.test\nsubject: Hello\n---\n{body}\n")
}

fn save_own(world: &mut World, at: &str, text: &str) {
    world.executor.allowances.by_person.insert(text.as_bytes().to_vec());
    save(world, 0, at, text);
}

/// What a node's disk holds of a note is copied to another place there.
fn copy(world: &mut World, node: usize, from: &str, to: &str) {
    let bytes = world.nodes[node].disk.files.get(&path(from)).cloned().expect("it is there");
    world.nodes[node].disk.files.insert(path(to), bytes);
    world.touched(node, path(to));
}

fn file_at(world: &World, at: &str) -> FileId {
    core(world, 0).file_at(&path(at)).expect("the note is there")
}

/// Cloud takes the id that a file would get.
fn take_id(world: &mut World, file: FileId, at: &str) {
    let content = b"mine already\n".to_vec();
    let (base, length) = (ContentHash::of(&content), content.len() as u64);
    let item = Item::New { file, path: path(at), kind: FileKind::Note, base, length };
    append_as(world, 1, vec![item], vec![content]);
}

fn sent(world: &mut World) -> u64 {
    pass(world, 1_200_000);
    world.executor.allowances.sent_count()
}

#[test]
fn what_cloud_put_under_a_draft_is_clouds_also_when_the_person_takes_both() {
    let hidden = (0..32).find_map(|seed| {
        let mut world = allowed(200 + seed);
        save_own(&mut world, DRAFT, &mail("Mine"));
        pass(&mut world, 5_000);
        let file = file_at(&world, DRAFT);
        let content = mail("Cloud's").into_bytes();
        let items = vec![Item::Set { file, write: FieldWrite::Base(ContentRef::of(&content)) }];
        append_as(&mut world, 1, items, vec![content]);
        let items = core(&world, 0).vault().conflicts();
        let item = items.into_iter().find(|item| item.kind == ConflictKind::Content).expect("it is listed");
        item.sides[1].text.contains("Cloud's").then_some((world, item))
    });
    let (mut world, item) = hidden.expect("in one of two worlds Cloud's text is the hidden one");
    let question = Question::Resolve { id: item.id, choice: Choice::Both };
    world.input(0, Input::Asked { request: 77, question }).expect("it is asked");
    assert!(matches!(world.nodes[0].answers.remove(&77), Some(Answer::Done)), "it is resolved");
    pass(&mut world, 20_000);
    let beside: Vec<_> =
        world.nodes[0].disk.files.values().filter(|bytes| **bytes == mail("Cloud's").as_bytes()).collect();
    assert_eq!(beside.len(), 1, "it is shown beside");
    assert_eq!(sent(&mut world), 0);
}

/// A task note that Cloud wrote and edited.
fn with_a_task_of_clouds(seed: u64) -> World {
    let mut world = allowed(seed);
    save(&mut world, 1, TASK, &mail("Cloud's"));
    pass(&mut world, 10_000);
    save(&mut world, 1, TASK, &mail("Cloud's, edited"));
    pass(&mut world, 10_000);
    world
}

#[test]
fn a_note_whose_place_cloud_took_in_advance_stays_clouds_when_the_person_moves_it() {
    let mut world = with_a_task_of_clouds(240);
    let note = file_at(&world, TASK);
    take_id(&mut world, note.moved_to(Zone::Drafts), "Updates/x.md");
    rename(&mut world, 0, &[(TASK, DRAFT)]);
    pass(&mut world, 20_000);
    assert_eq!(text(&world, 0, DRAFT), Some(mail("Cloud's, edited")));
    assert_eq!(text(&world, 0, "Updates/x.md").as_deref(), Some("mine already\n"));
    assert_eq!(sent(&mut world), 0);
}

#[test]
fn a_draft_comes_back_from_approved_though_cloud_took_its_place_in_advance() {
    let mut world = allowed(250);
    standing::end(&mut world).expect("taken back");
    save_own(&mut world, DRAFT, &mail("Mine"));
    pass(&mut world, 10_000);
    let back = file_at(&world, DRAFT).moved_to(Zone::Owner).moved_to(Zone::Drafts);
    take_id(&mut world, back, "Updates/x.md");
    rename(&mut world, 0, &[(DRAFT, "Approved/email/d.md")]);
    pass(&mut world, 30_000);
    assert_eq!(text(&world, 0, "Approved/email/d.md"), None);
    assert_eq!(text(&world, 0, DRAFT), Some(mail("Mine")));
    world.input(0, Input::Asked { request: 9, question: Question::Drafts }).expect("it answers");
    pass(&mut world, 5_000);
    let Some(Answer::Drafts { drafts, .. }) = world.nodes[0].answers.remove(&9) else { panic!("no drafts") };
    assert!(drafts.iter().any(|draft| draft.path == path(DRAFT) && draft.signature_asked), "{drafts:?}");
}

#[test]
fn a_note_of_clouds_that_is_copied_or_brought_back_is_not_the_persons() {
    let mut copied = with_a_task_of_clouds(260);
    copy(&mut copied, 0, TASK, DRAFT);
    pass(&mut copied, 5_000);
    remove(&mut copied, 0, TASK);
    assert_eq!(sent(&mut copied), 0, "copied, then removed");
    assert_eq!(text(&copied, 0, DRAFT), Some(mail("Cloud's, edited")));

    let mut returned = allowed(261);
    save(&mut returned, 1, TASK, &mail("Cloud's"));
    pass(&mut returned, 10_000);
    remove(&mut returned, 0, TASK);
    pass(&mut returned, 10_000);
    save(&mut returned, 0, DRAFT, &mail("Cloud's"));
    assert_eq!(sent(&mut returned), 0, "taken out of the vault, and put in again");

    // Whoever adds to a day log, its words are nobody's alone.
    for (seed, by_copy) in [(262, true), (263, false)] {
        let mut logged = with_a_task_of_clouds(seed);
        copy(&mut logged, 0, TASK, "Logs/d.md");
        pass(&mut logged, 5_000);
        if by_copy {
            copy(&mut logged, 0, "Logs/d.md", DRAFT);
        } else {
            rename(&mut logged, 0, &[("Logs/d.md", DRAFT)]);
        }
        assert_eq!(sent(&mut logged), 0, "by way of a day log");
        assert_eq!(text(&logged, 0, DRAFT), Some(mail("Cloud's, edited")));
    }

    // The provider takes no mail in some worlds.
    let goes_out = |seed| {
        let mut own = allowed(seed);
        save_own(&mut own, "Plans/template.md", &mail("Mine"));
        pass(&mut own, 10_000);
        copy(&mut own, 0, "Plans/template.md", DRAFT);
        sent(&mut own) == 1
    };
    assert!((265..275).any(goes_out), "what is the person's goes out");
}

#[test]
fn a_copy_whose_id_cloud_took_in_advance_or_that_was_copied_again_is_not_the_persons() {
    let mut taken = with_a_task_of_clouds(266);
    let copy_of = file_at(&taken, TASK).copied_to(Zone::Drafts, &path(DRAFT).key());
    take_id(&mut taken, copy_of, "Updates/x.md");
    copy(&mut taken, 0, TASK, DRAFT);
    assert_eq!(sent(&mut taken), 0);
    assert_eq!(text(&taken, 0, DRAFT), Some(mail("Cloud's, edited")));

    let mut again = with_a_task_of_clouds(267);
    copy(&mut again, 0, TASK, "Plans/one.md");
    pass(&mut again, 10_000);
    save(&mut again, 0, "Plans/one.md", &mail("Cloud's, by the person"));
    pass(&mut again, 10_000);
    copy(&mut again, 0, "Plans/one.md", "Plans/two.md");
    pass(&mut again, 10_000);
    rename(&mut again, 0, &[("Plans/two.md", DRAFT)]);
    assert_eq!(sent(&mut again), 0);
    assert_eq!(text(&again, 0, DRAFT), Some(mail("Cloud's, by the person")));
}
