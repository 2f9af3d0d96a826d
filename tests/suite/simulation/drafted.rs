//! Claimed notes that Cloud makes drafts of: what it hides of other nodes by that, and for how long.

use aiemp_protocol::{
    action::action_id,
    entry::{FieldWrite, FileKind, Item},
    ids::{ContentHash, FileId, WorkId},
    time::Timestamp,
    zone::Zone,
};
use aiemp_tests::world::World;

use super::{
    claims::{CLOUDS, FREE, LAPTOPS, NOTE, all_show, copies},
    removals::remove,
    repairs::append_as,
    scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, log_of, pass, path, rename, save, settle, undo, world},
};

const PLAN: &str = "Plans/c7.md";

/// What a brain on the laptop claims, and Cloud with its key at the same time; Cloud has the stronger rank. Answers the
/// copies of both.
fn claimed_by_programs(world: &mut World) -> [FileId; 2] {
    let file = core(world, 0).file_at(&path(FREE)).expect("the note is there");
    let work = WorkId(action_id(file));
    let (base, length) = (ContentHash::of(NOTE.as_bytes()), NOTE.len() as u64);
    [(0, LAPTOPS), (1, CLOUDS)].map(|(node, place)| {
        let to = file.moved_to(Zone::Claim(world.nodes[node].id()));
        let copy = Item::New { file: to, path: path(place), kind: FileKind::Note, base, length };
        let claim = Item::Claim { work, from: file, to, lease_ms: 600_000 };
        let leaves = put_away(file);
        append_as(world, node, vec![copy, claim, leaves], vec![NOTE.as_bytes().to_vec()]);
        to
    })
}

fn put_away(file: FileId) -> Item {
    Item::Set { file, write: FieldWrite::Archived(true) }
}

/// A note that Cloud claims and makes a draft of, where a brain on the laptop had claimed it too: the laptop's copy leaves
/// the sight. Answers Cloud's copy and the draft, and when it began.
fn drafted_by_cloud(seed: u64) -> (World, [FileId; 2], Timestamp) {
    for number in 0.. {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[(0, 1), (0, 2)]);
        for before in 0..number {
            save(&mut world, 0, &format!("Plans/{before}.md"), NOTE);
            pass(&mut world, 2_000);
        }
        save(&mut world, 0, FREE, NOTE);
        pass(&mut world, 20_000);
        world.partition(0, 1, 90_000);
        let since = world.time();
        let [_, copy] = claimed_by_programs(&mut world);
        pass(&mut world, 120_000);
        if copies(&world, 0) != [CLOUDS] {
            continue;
        }
        let draft = copy.moved_to(Zone::Drafts);
        let (base, length) = (ContentHash::of(NOTE.as_bytes()), NOTE.len() as u64);
        let drafted = Item::New { file: draft, path: path(PLAN), kind: FileKind::Note, base, length };
        append_as(&mut world, 1, vec![drafted], vec![NOTE.as_bytes().to_vec()]);
        append_as(&mut world, 1, vec![put_away(copy)], Vec::new());
        all_show(&world, &[PLAN]);
        return (world, [copy, draft], since);
    }
    unreachable!("Cloud has the stronger rank for half of all work")
}

fn all_show_also_after_a_restart(world: &mut World, places: &[&str]) {
    all_show(world, places);
    for node in 0..world.nodes.len() {
        world.crash(node, 500);
    }
    pass(world, 60_000);
    all_show(world, places);
}

#[test]
fn a_draft_holds_a_claim_only_while_it_is_there() {
    let (mut world, [_, draft], _) = drafted_by_cloud(75);
    append_as(&mut world, 1, vec![put_away(draft)], Vec::new());
    all_show_also_after_a_restart(&mut world, &[LAPTOPS]);
    let back = Item::Set { file: draft, write: FieldWrite::Archived(false) };
    append_as(&mut world, 1, vec![back], Vec::new());
    all_show_also_after_a_restart(&mut world, &[PLAN]);
    settle(&mut world);
}

#[test]
fn a_draft_that_a_person_decided_on_holds_the_claim() {
    for decision in [Some("Done/c7.md"), None] {
        let (mut world, _, _) = drafted_by_cloud(76);
        match decision {
            Some(to) => rename(&mut world, 0, &[(PLAN, to)]),
            None => remove(&mut world, 0, PLAN),
        }
        pass(&mut world, 60_000);
        all_show_also_after_a_restart(&mut world, decision.as_slice());
        settle(&mut world);
    }
}

#[test]
fn what_a_claim_of_cloud_hid_is_in_sight_once_that_is_undone() {
    for is_put_away in [false, true] {
        let (mut world, [_, draft], since) = drafted_by_cloud(77);
        if is_put_away {
            append_as(&mut world, 1, vec![put_away(draft)], Vec::new());
        }
        undo(&mut world, 1, since);
        all_show_also_after_a_restart(&mut world, &[LAPTOPS]);
        let said = |world: &World| world.nodes[0].store.length(log_of(world, 0));
        let before = said(&world);
        undo(&mut world, 1, since);
        assert_eq!(said(&world), before, "once is enough");
        settle(&mut world);
    }
}

#[test]
fn a_claim_whose_draft_a_person_decided_on_is_not_given_up_by_an_undo() {
    let (mut world, _, since) = drafted_by_cloud(78);
    rename(&mut world, 0, &[(PLAN, "Done/c7.md")]);
    pass(&mut world, 60_000);
    undo(&mut world, 1, since);
    all_show_also_after_a_restart(&mut world, &["Done/c7.md"]);
    settle(&mut world);
}
