//! Mails that were sent to a list or by a machine: one note a day.

use aiemp_tests::{people, world::World};

use super::{
    agents::tasks,
    removals::remove,
    scenarios::{IDLE_CLOUD, LAPTOP, pass, path, save, settle, text, world},
};

const NOTE: &str = "Updates/newsletters/2026-01-07-cloud.md";

fn newsletter(number: u64) -> Vec<u8> {
    format!(
        "Message-ID: <n{number}@list.test>\r\nFrom: \"News <b>\" <news@list.test>\r\nTo: me@mine.test\r\n\
         Date: Wed, 7 Jan 2026 10:30:0{} +0000\r\nList-Id: <news.list.test>\r\nSubject: [{number}](javascript:x) *all*\r\n\
         \r\nBuy {number}\r\n",
        number % 10
    )
    .into_bytes()
}

fn drop_at(world: &mut World, node: usize, name: &str, number: u64) {
    people::save(world, node, path(&format!("Inbox/{name}.eml")), newsletter(number));
}

fn lines(world: &World, node: usize) -> Vec<String> {
    let note = text(world, node, NOTE).unwrap_or_default();
    note.lines().filter(|line| line.starts_with("- ")).map(str::to_owned).collect()
}

fn mails(world: &World, node: usize) -> usize {
    let paths = world.nodes[node].disk.files.keys().map(ToString::to_string);
    paths.filter(|path| path.starts_with("Updates/newsletters/2026-01-07/") && path.ends_with(".eml")).count()
}

#[test]
fn newsletters_become_one_note_a_day_each_once_whatever_fails_meanwhile() {
    for seed in 740..760 {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        for number in 0..6 {
            drop_at(&mut world, 1, &format!("{number}"), number);
            // The same once more, by another way.
            drop_at(&mut world, 1, &format!("again {number}"), number);
            pass(&mut world, seed * 7 % 400);
            if number == 3 {
                world.crash(1, 500);
            }
        }
        people::save(&mut world, 1, path("Inbox/person.eml"), people::mail(9, "soon"));
        pass(&mut world, 60_000);
        for node in [0, 1] {
            let lines = lines(&world, node);
            assert_eq!((lines.len(), mails(&world, node)), (6, 6), "seed {seed}, node {node}: {lines:#?}");
            let all = lines.concat();
            assert!((0..6).all(|number| all.matches(&format!("{number}\\](javascript")).count() == 1), "{all}");
        }
        assert_eq!(tasks(&world, 0, "Needs_Action/").len(), 1, "seed {seed}: the person's mail alone");
        let left = world.nodes[1].disk.files.keys().filter(|path| path.as_str().starts_with("Inbox/")).count();
        assert_eq!(left, 0, "seed {seed}: what was dropped is taken away");
        settle(&mut world);
    }
}

#[test]
fn what_a_person_writes_into_the_note_stays_and_one_that_was_put_away_is_followed_by_another() {
    let mut world = world(761, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    drop_at(&mut world, 1, "1", 1);
    pass(&mut world, 30_000);
    let note = text(&world, 0, NOTE).expect("the note");
    save(&mut world, 0, NOTE, &format!("{note}\nRead.\n"));
    pass(&mut world, 30_000);
    drop_at(&mut world, 1, "2", 2);
    pass(&mut world, 30_000);
    let note = text(&world, 0, NOTE).expect("the note");
    assert!(note.contains("\nRead.\n") && lines(&world, 0).len() == 2, "{note}");
    remove(&mut world, 0, NOTE);
    pass(&mut world, 60_000);
    drop_at(&mut world, 1, "3", 3);
    pass(&mut world, 60_000);
    assert_eq!(text(&world, 0, NOTE), None);
    let next = text(&world, 0, "Updates/newsletters/2026-01-07-cloud (2).md").expect("another note");
    assert_eq!(next.matches("\n- ").count(), 1, "{next}");
    settle(&mut world);
}
