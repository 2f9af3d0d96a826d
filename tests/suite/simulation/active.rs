//! Active content that Cloud wrote: it waits on every Local, and nothing is lost meanwhile.

use aiemp_crdt::{
    conflict::{Conflict, ConflictKind},
    vault::Choice,
};
use aiemp_node::core::{Answer, Input, Question};
use aiemp_protocol::{
    active,
    entry::{Entry, FileKind, Item, SignedEntry},
    frame::Frame,
    ids::{ContentHash, FileId},
    zone::Zone,
};
use aiemp_tests::{check, world::World};

use super::{
    replaced::long,
    scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, log_of, pass, path, rename, save, settle, text, world},
};

const PICTURE: &str = "![x](https://track.test/p.png)\n";

fn held(world: &World, node: usize) -> Vec<Conflict> {
    core(world, node).vault().held_items()
}

fn held_at(world: &World, node: usize, at: &str) -> Conflict {
    held(world, node).into_iter().find(|item| item.path == path(at)).expect("it is held back")
}

fn resolve(world: &mut World, node: usize, item: &Conflict, choice: Choice) {
    if choice == Choice::Side(1) {
        world.ledger.released.extend(item.found.iter().map(|finding| finding.release));
    }
    let question = Question::Resolve { id: item.id, choice };
    world.input(node, Input::Asked { request: 77, question }).expect("it is asked");
    assert!(matches!(world.nodes[node].answers.remove(&77), Some(Answer::Done)), "it is resolved");
    pass(world, 20_000);
}

#[test]
fn active_content_of_clouds_waits_until_it_is_released_also_after_a_restart() {
    let mut world = world(61, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 1, "Plans/a.md", "one\n\ntwo\n");
    pass(&mut world, 20_000);
    save(&mut world, 1, "Plans/a.md", &format!("one\n\n{PICTURE}\ntwo\n"));
    save(&mut world, 1, "Plans/new.md", "<script>x</script>\n");
    pass(&mut world, 20_000);
    assert_eq!(text(&world, 0, "Plans/a.md").as_deref(), Some("one\n\ntwo\n"), "it is shown as it was");
    assert_eq!(text(&world, 0, "Plans/new.md"), None);
    save(&mut world, 0, "Plans/a.md", "one\n\ntwo and a half\n");
    pass(&mut world, 20_000);
    save(&mut world, 0, "Plans/a.md", "zero\none\n\ntwo and a half\n");
    pass(&mut world, 20_000);
    world.crash(0, 1_000);
    pass(&mut world, 20_000);
    settle(&mut world);
    let merged = format!("zero\none\n\n{PICTURE}\ntwo and a half\n");
    assert_eq!(text(&world, 1, "Plans/a.md").as_deref(), Some(merged.as_str()), "no edit is lost on the way");
    assert_eq!(text(&world, 0, "Plans/a.md").as_deref(), Some("zero\none\n\ntwo and a half\n"));
    let item = held_at(&world, 0, "Plans/a.md");
    assert_eq!((item.found[0].line, item.sides[1].text.as_str()), (4, merged.as_str()));
    assert_eq!(item.sides[1].node, Some(world.nodes[1].id()));
    resolve(&mut world, 0, &item, Choice::Side(1));
    assert_eq!(text(&world, 0, "Plans/a.md").as_deref(), Some(merged.as_str()));
    let item = held_at(&world, 0, "Plans/new.md");
    resolve(&mut world, 0, &item, Choice::Side(0));
    assert_eq!(text(&world, 1, "Plans/new.md"), None, "what is not wanted goes everywhere");
    world.crash(0, 1_000);
    pass(&mut world, 20_000);
    save(&mut world, 1, "Updates/b.md", PICTURE);
    settle(&mut world);
    assert_eq!(held(&world, 0), []);
    assert_eq!(text(&world, 0, "Updates/b.md").as_deref(), Some(PICTURE), "a release is by content");
    assert_eq!(text(&world, 0, "Plans/a.md").as_deref(), Some(merged.as_str()));
}

#[test]
fn what_the_person_wrote_is_shown_wherever_it_goes() {
    let mut world = world(62, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[(0, 1), (0, 2), (1, 2)]);
    save(&mut world, 0, "Needs_Action/a.md", &format!("do\n\n{PICTURE}"));
    save(&mut world, 2, "Plans/b.md", "`= this.file.name`\n");
    pass(&mut world, 20_000);
    rename(&mut world, 1, &[("Needs_Action/a.md", "In_Progress/cloud/a.md")]);
    save(&mut world, 1, "Plans/b.md", "`= this.file.name`\n\nseen\n");
    pass(&mut world, 20_000);
    world.crash(2, 1_000);
    settle(&mut world);
    for local in [0, 2] {
        assert_eq!(held(&world, local), []);
        assert_eq!(text(&world, local, "In_Progress/cloud/a.md").as_deref(), Some(&*format!("do\n\n{PICTURE}")));
        assert_eq!(text(&world, local, "Plans/b.md").as_deref(), Some("`= this.file.name`\n\nseen\n"));
    }
}

#[test]
fn a_note_that_is_held_back_loses_nothing_when_it_is_moved_or_deleted() {
    let mut world = world(63, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    for name in ["Plans/a.md", "Plans/b.md"] {
        save(&mut world, 1, name, "one\n\ntwo\n");
        pass(&mut world, 20_000);
        save(&mut world, 1, name, &format!("one\n\n{PICTURE}\ntwo\n"));
        pass(&mut world, 20_000);
    }
    rename(&mut world, 0, &[("Plans/a.md", "Done/a.md")]);
    world.nodes[0].disk.files.remove(&path("Plans/b.md"));
    world.touched(0, path("Plans/b.md"));
    settle(&mut world);
    let merged = format!("one\n\n{PICTURE}\ntwo\n");
    assert_eq!(text(&world, 0, "Done/a.md").as_deref(), Some("one\n\ntwo\n"), "it moved as it was shown");
    assert_eq!(text(&world, 0, "Plans/b.md"), None);
    assert_eq!(text(&world, 1, "Done/a.md").as_deref(), Some(merged.as_str()));
    for at in ["Done/a.md", "Plans/b.md"] {
        let item = held_at(&world, 0, at);
        assert_eq!(item.sides[1].text, merged, "{at} is listed");
    }
    let item = held_at(&world, 0, "Plans/b.md");
    resolve(&mut world, 0, &item, Choice::Side(1));
    settle(&mut world);
    for at in ["Done/a.md", "Plans/b.md"] {
        assert_eq!(text(&world, 0, at).as_deref(), Some(merged.as_str()));
    }
}

#[test]
fn the_person_keeps_what_is_shown_or_writes_another_text() {
    let mut world = world(64, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    for name in ["Plans/a.md", "Plans/b.md"] {
        save(&mut world, 1, name, "one\n");
        pass(&mut world, 20_000);
        save(&mut world, 1, name, &format!("one\n\n{PICTURE}"));
        pass(&mut world, 20_000);
    }
    let item = held_at(&world, 0, "Plans/a.md");
    assert!(!core(&world, 0).vault().can_resolve(&item, &Choice::Both));
    resolve(&mut world, 0, &item, Choice::Side(0));
    let item = held_at(&world, 0, "Plans/b.md");
    let own = b"mine\n".to_vec();
    resolve(&mut world, 0, &item, Choice::With(own));
    settle(&mut world);
    assert_eq!(held(&world, 0), []);
    for (at, expected) in [("Plans/a.md", "one\n"), ("Plans/b.md", "mine\n")] {
        assert_eq!((text(&world, 0, at).as_deref(), text(&world, 1, at).as_deref()), (Some(expected), Some(expected)));
    }
}

#[test]
fn no_other_text_takes_the_place_of_one_of_which_a_part_is_held_back() {
    let mut world = world(70, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, "Plans/a.md", &long("old"));
    pass(&mut world, 15_000);
    world.partition(0, 1, 15_000);
    save(&mut world, 0, "Plans/a.md", &long("new"));
    save(&mut world, 1, "Plans/a.md", &format!("{}one line more\n", long("old")));
    pass(&mut world, 60_000);
    save(&mut world, 1, "Plans/a.md", &format!("{}\n{PICTURE}", long("new")));
    pass(&mut world, 20_000);
    let other = core(&world, 0).vault().conflicts().pop().expect("the other content is listed");
    assert_eq!(other.kind, ConflictKind::Content);
    let can = |world: &World, choice: Choice| core(world, 0).vault().can_resolve(&other, &choice);
    let with = Choice::With(b"three\n".to_vec());
    for (choice, expected) in
        [(Choice::Side(0), true), (Choice::Side(1), false), (Choice::Both, true), (with.clone(), false)]
    {
        assert_eq!(can(&world, choice.clone()), expected, "{choice:?}");
    }
    let item = held_at(&world, 0, "Plans/a.md");
    resolve(&mut world, 0, &item, Choice::Side(1));
    pass(&mut world, 20_000);
    assert!(can(&world, Choice::Side(1)) && can(&world, with), "it lies on the disk now");
    settle(&mut world);
}

#[test]
fn what_is_held_back_keeps_no_place_that_belongs_to_another() {
    let mut world = world(65, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 1, "Plans/a.md", "first\n");
    pass(&mut world, 20_000);
    rename(&mut world, 1, &[("Plans/a.md", "Plans/b.md")]);
    save(&mut world, 1, "Plans/b.md", &format!("first\n{PICTURE}"));
    pass(&mut world, 20_000);
    save(&mut world, 1, "Plans/a.md", "another\n");
    settle(&mut world);
    assert_eq!(text(&world, 0, "Plans/a.md").as_deref(), Some("another\n"));
    assert_eq!(text(&world, 0, "Plans/b.md"), None);
    assert_eq!(held_at(&world, 0, "Plans/b.md").sides[1].text, format!("first\n{PICTURE}"));
}

#[test]
fn a_draft_with_active_content_waits_for_its_release() {
    let mut world = world(66, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let draft = "---\naction: email\nto: a@client.test\nsubject: Hi\n---\n\nHello <img src=https://track.test/p>\n";
    save(&mut world, 1, "Pending_Approval/email/a.md", draft);
    pass(&mut world, 20_000);
    let blocked = |world: &mut World| {
        world.input(0, Input::Asked { request: 9, question: Question::Drafts }).expect("it answers");
        pass(world, 5_000);
        let Some(Answer::Drafts { drafts, .. }) = world.nodes[0].answers.remove(&9) else { panic!("no drafts") };
        check::may_be_approved(world, &drafts[0]).expect("it waits or is released");
        drafts[0].blocked_by.clone()
    };
    assert_eq!(blocked(&mut world), ["active content in line 7 (HTML that loads or runs) that is not released"]);
    let item = held_at(&world, 0, "Pending_Approval/email/a.md");
    resolve(&mut world, 0, &item, Choice::Side(1));
    assert_eq!(blocked(&mut world), Vec::<String>::new());
    assert_eq!(text(&world, 0, "Pending_Approval/email/a.md").as_deref(), Some(draft));
}

#[test]
fn a_word_of_clouds_releases_nothing() {
    let mut world = world(67, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let (mesh, epoch) = {
        let chain = world.nodes[1].rosters();
        (chain.current().mesh, chain.current().epoch)
    };
    let (at, content) = (path("Plans/a.md"), PICTURE.as_bytes());
    let release = active::find(&at, content)[0].release;
    let file = FileId { zone: Zone::Drafts, hash: aiemp_keys::Hash::of_content(b"a") };
    let (base, length) = (ContentHash::of(content), content.len() as u64);
    let items = vec![
        Item::Resolve { id: release, choice: "released".to_owned() },
        Item::New { file, path: at, kind: FileKind::Note, base, length },
    ];
    let entry = Entry { seq: 1, epoch, hlc: world.time(), seen: Vec::new(), items };
    let log = log_of(&world, 1);
    let signed = SignedEntry::sign(&world.nodes[1].signer(), mesh, log, None, entry);
    let frame = Frame::Entry { log, cose: signed.cose, payloads: vec![Some(content.to_vec())] };
    let peer = world.nodes[1].id();
    world.input(0, Input::FrameReceived { peer, frame }).expect("it takes the frame");
    pass(&mut world, 4_000);
    assert_eq!(text(&world, 0, "Plans/a.md"), None);
    assert_eq!(held(&world, 0).len(), 1);
}
