//! What the sides of an item started from: equal on all nodes, also after a restart.

use aiemp_crdt::conflict::{Conflict, ConflictKind};
use aiemp_tests::world::World;

use super::scenarios::{IDLE_CLOUD, LAPTOP, core, pass, path, rename, save, settle, world};

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
