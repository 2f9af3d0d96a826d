//! What the sides of an item started from: equal on all nodes, also after a restart.

use aiemp_crdt::{
    conflict::{Conflict, ConflictKind},
    index::FileRecord,
};
use aiemp_protocol::entry::{ContentRef, FieldWrite, Item};
use aiemp_tests::world::World;

use super::{
    repairs::append_at,
    scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, log_of, pass, path, rename, save, settle, world},
};

const AT: &str = "Plans/a.md";

fn before() -> String {
    let lines = (1..600).map(|number| format!("item {number}\n"));
    format!("---\nstatus: open\ndue: May\n---\none\n{}", lines.collect::<String>())
}

/// Both do something to the note while they do not hear of each other; the one item that comes of it.
fn apart(seed: u64, acts: [&dyn Fn(&mut World); 2]) -> Conflict {
    let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, AT, "---\nstatus: new\ndue: May\n---\none\n");
    pass(&mut world, 20_000);
    save(&mut world, 0, AT, &before());
    pass(&mut world, 20_000);
    world.partition(0, 1, 20_000);
    for act in acts {
        act(&mut world);
        pass(&mut world, 5_000);
    }
    settle(&mut world);
    let items = |world: &World, node: usize| core(world, node).vault().conflicts();
    let [here, there] = [items(&world, 0), items(&world, 1)];
    assert_eq!(here, there);
    world.crash(0, 500);
    let was_reading = comes_to_list(&mut world, &here);
    // Where a file was moved to is known without reading it.
    assert!(was_reading || here[0].kind == ConflictKind::Move, "{here:?}");
    settle(&mut world);
    assert_eq!(items(&world, 0), here, "also after a restart");
    assert_eq!(here.len(), 1, "seed {seed}: {here:?}");
    here.into_iter().next().expect("the item")
}

/// A node that starts says that it is reading for as long as it does not list all of this; whether it was.
fn comes_to_list(world: &mut World, all: &[Conflict]) -> bool {
    let mut was_reading = false;
    for _ in 0..20_000 {
        pass(world, 1);
        let Some(core) = &world.nodes[0].core else { continue };
        if !core.vault().is_reading() {
            assert_eq!(core.vault().conflicts(), all, "nothing is being read");
            return was_reading;
        }
        was_reading |= core.vault().conflicts() != all;
    }
    false
}

#[test]
fn an_item_says_what_its_sides_started_from() {
    let status = |node: usize, status: &'static str| {
        move |world: &mut World| save(world, node, AT, &before().replace("open", status))
    };
    let field = apart(0, [&status(0, "approved"), &status(1, "rejected")]);
    assert_eq!((field.kind, field.base.as_deref()), (ConflictKind::Field, Some("status: open")));

    let added = |node: usize, value: &'static str| {
        move |world: &mut World| save(world, node, AT, &before().replace("due:", &format!("amount: {value}\ndue:")))
    };
    let field = apart(1, [&added(0, "40"), &added(1, "50")]);
    assert_eq!((field.kind, field.base), (ConflictKind::Field, None), "there was no such field");

    let edit = |world: &mut World| save(world, 1, AT, &format!("{}three\n", before()));
    let delete = |world: &mut World| {
        world.nodes[0].disk.files.remove(&path(AT)).expect("it is there");
        world.touched(0, path(AT));
    };
    let deleted = apart(2, [&delete, &edit]);
    assert_eq!((deleted.kind, deleted.base.as_deref()), (ConflictKind::DeleteEdit, Some(before().as_str())));

    let late = apart(3, [&|world: &mut World| rename(world, 0, &[(AT, "Done/a.md")]), &edit]);
    assert_eq!((late.kind, late.base.as_deref()), (ConflictKind::LateEdit, Some(before().as_str())));

    let moved = |node: usize, to: &'static str| move |world: &mut World| rename(world, node, &[(AT, to)]);
    let moved = apart(4, [&moved(0, "Plans/b.md"), &moved(1, "Plans/c.md")]);
    assert_eq!((moved.kind, moved.base.as_deref()), (ConflictKind::Move, Some(AT)));

    let replaced =
        apart(5, [&|world: &mut World| save(world, 0, AT, &"nothing of what was there\n".repeat(400)), &edit]);
    assert_eq!((replaced.kind, replaced.base.as_deref()), (ConflictKind::Content, Some(before().as_str())));
    assert_eq!(replaced.sides[1].text, format!("{}three\n", before()));
}

/// What is shown of the note when three edited it apart: a content that one wrote over it, with an edit of it beside.
fn replaced_apart(seed: u64) -> (World, Vec<u8>) {
    let mut world = world(seed, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[(0, 1), (0, 2), (1, 2)]);
    save(&mut world, 0, AT, "one\n");
    pass(&mut world, 20_000);
    world.partition(0, 2, 20_000);
    world.partition(1, 2, 20_000);
    let content = b"\0 another\n".to_vec();
    save(&mut world, 0, AT, std::str::from_utf8(&content).expect("a text"));
    save(&mut world, 2, AT, "one\ntwo\n");
    pass(&mut world, 5_000);
    save(&mut world, 2, AT, "one\ntwo\nthree\n");
    pass(&mut world, 60_000);
    (world, content)
}

fn hidden_base(world: &World, node: usize) -> Option<String> {
    let items = core(world, node).vault().conflicts();
    assert_eq!(items.iter().map(|item| item.kind).collect::<Vec<_>>(), [ConflictKind::Content], "node {node}");
    items[0].base.clone()
}

#[test]
fn a_hidden_content_is_read_again_when_another_writes_the_shown_one_having_seen_more() {
    let (mut world, content) = replaced_apart(31);
    for node in [0, 1, 2] {
        assert_eq!(hidden_base(&world, node).as_deref(), Some("one\n"), "node {node}");
    }
    // Cloud had the first of the edits and not the content, which it writes as well: as many edits are hidden as before.
    let desktop = log_of(&world, 2);
    let seen = core(&world, 0).replication().frontier().filter(|position| position.log == desktop);
    let seen = seen.map(|last| {
        let seq = last.seq - 1;
        let hash = world.nodes[0].store.entry_at(desktop, seq).expect("the entry before");
        aiemp_protocol::entry::Position { seq, hash, ..last }
    });
    let seen = seen.collect();
    let file = core(&world, 0).file_at(&path(AT)).expect("the note is there");
    let write = FieldWrite::Base(ContentRef::of(&content));
    let now = world.time();
    world.captured.insert(1);
    append_at(&mut world, 1, (now, seen), vec![Item::Set { file, write }], vec![content]);
    let record = core(&world, 0).vault().index().get(file);
    assert_eq!(record.map(|record: &FileRecord| record.base.writes().count()), Some(2), "neither replaces the other");
    for node in [0, 1, 2] {
        assert_eq!(hidden_base(&world, node).as_deref(), Some("one\ntwo\n"), "node {node}");
    }
    settle(&mut world);
}
