//! Ids that Cloud takes before the file is made that they belong to.

use aiemp_crdt::conflict::ConflictKind;
use aiemp_protocol::{
    entry::{FieldWrite, FileKind, Item},
    ids::{ContentHash, FileId, WorkId},
    zone::Zone,
};
use aiemp_tests::{people, world::World};

use super::{
    repairs::append_as,
    scenarios::{IDLE_CLOUD, LAPTOP, core, log_of, pass, path, save, settle, text, undo, world},
};

const RUBBISH: &[u8] = b"rubbish\n";

/// Cloud has a file by this id, out of sight or not.
fn take(world: &mut World, file: FileId, is_archived: bool) {
    let (base, length) = (ContentHash::of(RUBBISH), RUBBISH.len() as u64);
    let at = if file.zone == Zone::Intake { "Needs_Action/rubbish.md" } else { "Plans/rubbish.md" };
    let new = Item::New { file, path: path(at), kind: FileKind::Note, base, length };
    let archive = Item::Set { file, write: FieldWrite::Archived(true) };
    let items = [new].into_iter().chain(is_archived.then_some(archive)).collect();
    append_as(world, 1, items, vec![RUBBISH.to_vec()]);
}

/// The ids that the next files saved on the laptop would get.
fn next_ids(world: &World) -> Vec<FileId> {
    let (log, replication) = (log_of(world, 0), core(world, 0).replication());
    let next = replication.next_own_seq(log.audience);
    (next..next + 3).map(|seq| FileId::fresh(Zone::Drafts, log, seq, 0)).collect()
}

#[test]
fn a_note_whose_id_cloud_took_in_advance_is_there() {
    for is_archived in [true, false] {
        let mut world = world(251, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        for file in next_ids(&world) {
            take(&mut world, file, is_archived);
        }
        save(&mut world, 0, "Plans/mine.md", "mine\n");
        settle(&mut world);
        for node in [0, 1] {
            assert_eq!(text(&world, node, "Plans/mine.md").as_deref(), Some("mine\n"), "node {node}");
        }
    }
}

#[test]
fn a_note_whose_id_cloud_took_at_the_same_time_is_there_or_listed() {
    for (seed, is_archived) in (252..262).flat_map(|seed| [(seed, true), (seed, false)]) {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        let ids = next_ids(&world);
        world.partition(0, 1, 200_000);
        save(&mut world, 0, "Plans/mine.md", "mine\n");
        pass(&mut world, 5_000);
        let file = core(&world, 0).file_at(&path("Plans/mine.md")).expect("the note is there");
        assert!(ids.contains(&file), "its id could be known");
        take(&mut world, file, is_archived);
        settle(&mut world);
        let shown = world.nodes[0].disk.files.values().any(|bytes| bytes == b"mine\n");
        let items = core(&world, 0).vault().conflicts();
        let listed = items.iter().any(|item| {
            matches!(item.kind, ConflictKind::Content | ConflictKind::DeleteEdit)
                && item.sides.iter().any(|side| side.text == "mine\n")
        });
        assert!(shown || listed, "seed {seed}, archived {is_archived}: {items:?}");
    }
}

#[test]
fn a_mail_whose_ids_cloud_took_in_advance_is_taken_whole() {
    for is_archived in [true, false] {
        let mut world = world(270, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        let mail = people::mail(1, "soon");
        let mesh = core(&world, 0).replication().rosters().current().mesh;
        let key = aiemp_node::core::mail::source_key(&aiemp_node::core::mail::read_mail(&mail).expect("a mail"), &mail);
        let work = WorkId::of_source(mesh, "email", &key.iter().map(String::as_str).collect::<Vec<_>>());
        for role in [format!("eml:{}", ContentHash::of(&mail)), "task".to_owned()] {
            take(&mut world, FileId::for_work(Zone::Intake, work, &role), is_archived);
        }
        people::save(&mut world, 0, path("Inbox/a.eml"), mail.clone());
        settle(&mut world);
        for node in [0, 1] {
            let files = &world.nodes[node].disk.files;
            assert!(files.values().any(|bytes| *bytes == mail), "node {node} has the mail");
            let is_task = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).contains("Please answer soon");
            let tasks = files.iter().filter(|(at, bytes)| at.extension() == "md" && is_task(bytes));
            assert_eq!(tasks.count(), 1, "node {node} has one task");
        }
    }
}

#[test]
fn a_successor_that_cloud_made_in_advance_does_not_keep_a_note_from_coming_back() {
    let mut world = world(262, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, "Plans/mine.md", "mine\n");
    pass(&mut world, 20_000);
    let file = core(&world, 0).file_at(&path("Plans/mine.md")).expect("the note is there");
    take(&mut world, file.moved_to(Zone::Intake), true);
    pass(&mut world, 60_000);
    let since = world.time();
    append_as(&mut world, 1, vec![Item::Set { file, write: FieldWrite::Archived(true) }], Vec::new());
    assert_eq!(text(&world, 0, "Plans/mine.md"), None);
    let (undone, left) = undo(&mut world, 1, since);
    assert_eq!((undone, left), (1, Vec::new()));
    assert_eq!(text(&world, 0, "Plans/mine.md").as_deref(), Some("mine\n"));
    settle(&mut world);
}
