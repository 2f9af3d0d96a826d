//! One note that several nodes claim at the same time.

use aiemp_crdt::{
    conflict::{Conflict, ConflictKind},
    vault::Choice,
};
use aiemp_node::core::{Brain, BrainFault, BrainId, BrainRun, FaultClass, Input, Used};
use aiemp_protocol::{
    action::action_id,
    entry::{FileKind, Item},
    ids::{ContentHash, WorkId},
    limits::LEASE_BY_HAND_MS,
    roster::Role,
    zone::Zone,
};
use aiemp_tests::{
    network::Link,
    people,
    world::{Cast, World},
};

use super::{
    repairs::{append_as, resolve},
    scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, pass, path, rename, save, settle, text, world},
};

pub(super) const FREE: &str = "Needs_Action/email/c7.md";
pub(super) const LAPTOPS: &str = "In_Progress/laptop/c7.md";
pub(super) const CLOUDS: &str = "In_Progress/cloud/c7.md";
const DESKTOPS: &str = "In_Progress/desktop/c7.md";
pub(super) const NOTE: &str = "one\n\ntwo\n";

fn items(world: &World, node: usize) -> Vec<Conflict> {
    core(world, node).vault().conflicts()
}

/// Where copies of the note are in sight on a node.
pub(super) fn copies(world: &World, node: usize) -> Vec<String> {
    let paths = world.nodes[node].disk.files.keys().map(ToString::to_string);
    paths.filter(|path| path.ends_with("c7.md")).collect()
}

pub(super) fn all_show(world: &World, places: &[&str]) {
    for node in 0..world.nodes.len() {
        assert_eq!(copies(world, node), places, "node {node}");
    }
}

/// The one item, which all list alike.
fn the_item(world: &World) -> Conflict {
    let listed: Vec<_> = (0..world.nodes.len()).map(|node| items(world, node)).collect();
    assert!(listed.iter().all(|items| *items == listed[0]), "{listed:?}");
    assert_eq!(listed[0].len(), 1, "{listed:?}");
    listed[0][0].clone()
}

fn nothing_listed(world: &World) {
    for node in 0..world.nodes.len() {
        assert_eq!(items(world, node), [], "node {node}");
    }
}

/// A note that all have, and nobody hears of anybody for a while.
fn apart(seed: u64, cast: &[Cast]) -> World {
    let links: Vec<_> = (1..cast.len()).map(|other| (0, other)).collect();
    let mut world = world(seed, cast, &links);
    save(&mut world, 0, FREE, NOTE);
    pass(&mut world, 20_000);
    for (one, other) in links {
        world.partition(one, other, 30_000);
    }
    world
}

/// The note, claimed by hand on both nodes.
fn raced(seed: u64) -> World {
    let mut world = apart(seed, &[LAPTOP, IDLE_CLOUD]);
    rename(&mut world, 0, &[(FREE, LAPTOPS)]);
    rename(&mut world, 1, &[(FREE, CLOUDS)]);
    pass(&mut world, 60_000);
    world
}

#[test]
fn of_two_who_claim_a_note_by_hand_the_person_has_it_and_the_other_copy_leaves_the_sight() {
    for seed in 0..6 {
        let mut world = raced(seed);
        all_show(&world, &[LAPTOPS]);
        let item = the_item(&world);
        assert_eq!((item.kind, item.path.as_str(), item.merged.as_str()), (ConflictKind::Claim, CLOUDS, LAPTOPS));
        let texts: Vec<_> = item.sides.iter().map(|side| side.text.as_str()).collect();
        assert_eq!(texts, [format!("{LAPTOPS} (has the work)"), format!("{CLOUDS} (not shown)")]);
        for node in [0, 1] {
            let record = core(&world, node).vault().index().get(item.file).expect("the copy is known");
            assert!(!record.is_archived(), "that it left the disk is no deletion");
            world.crash(node, 500);
        }
        pass(&mut world, 60_000);
        all_show(&world, &[LAPTOPS]);
        assert_eq!(the_item(&world), item, "also after a restart");
        let lay = core(&world, 0).vault().history(&path(CLOUDS));
        assert_eq!(lay.len(), 1, "{lay:?}");
        settle(&mut world);
    }
}

#[test]
fn a_race_of_claims_is_decided_either_way_or_left() {
    for (side, left) in
        [(Choice::Side(0), vec![LAPTOPS]), (Choice::Side(1), vec![CLOUDS]), (Choice::Both, vec![LAPTOPS])]
    {
        let mut world = raced(10);
        let item = the_item(&world);
        resolve(&mut world, 0, &item, side);
        all_show(&world, &left);
        nothing_listed(&world);
        settle(&mut world);
    }
    // Cloud may give its own copy up, and takes nothing from the person.
    for (side, left) in [(Choice::Side(0), 0), (Choice::Side(1), 1)] {
        let mut world = raced(11);
        let item = the_item(&world);
        resolve(&mut world, 1, &item, side);
        all_show(&world, &[LAPTOPS]);
        assert_eq!(items(&world, 0).len(), left);
        settle(&mut world);
    }
}

#[test]
fn every_node_agrees_who_of_two_people_has_the_note() {
    let mut holders = std::collections::BTreeSet::new();
    for seed in 20..28 {
        // Other files are other work, of another rank.
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[(0, 1), (0, 2)]);
        for number in 20..seed {
            save(&mut world, 0, &format!("Plans/{number}.md"), NOTE);
            pass(&mut world, 2_000);
        }
        save(&mut world, 0, FREE, NOTE);
        pass(&mut world, 20_000);
        world.partition(0, 2, 30_000);
        rename(&mut world, 0, &[(FREE, LAPTOPS)]);
        rename(&mut world, 2, &[(FREE, DESKTOPS)]);
        pass(&mut world, 60_000);
        let shown = copies(&world, 0);
        assert_eq!(shown.len(), 1, "{shown:?}");
        all_show(&world, &[&shown[0]]);
        assert_eq!(the_item(&world).merged, shown[0]);
        holders.insert(shown[0].clone());
        settle(&mut world);
    }
    assert_eq!(holders.len(), 2, "now the one and now the other");
}

#[test]
fn a_copy_that_was_edited_stays_and_is_listed() {
    for seed in 30..34 {
        let mut world = apart(seed, &[LAPTOP, IDLE_CLOUD]);
        rename(&mut world, 0, &[(FREE, LAPTOPS)]);
        rename(&mut world, 1, &[(FREE, CLOUDS)]);
        pass(&mut world, 5_000);
        save(&mut world, 1, CLOUDS, &format!("{NOTE}by cloud\n"));
        pass(&mut world, 60_000);
        all_show(&world, &[CLOUDS, LAPTOPS]);
        let item = the_item(&world);
        assert_eq!((item.path.as_str(), item.sides[1].text.as_str()), (CLOUDS, CLOUDS));
        resolve(&mut world, 0, &item, Choice::Side(0));
        all_show(&world, &[LAPTOPS]);
        nothing_listed(&world);
        settle(&mut world);
    }
}

#[test]
fn a_copy_of_a_text_that_the_holder_never_had_stays_and_is_listed() {
    let mut world = apart(35, &[LAPTOP, IDLE_CLOUD]);
    save(&mut world, 1, FREE, &format!("{NOTE}by cloud\n"));
    pass(&mut world, 5_000);
    rename(&mut world, 0, &[(FREE, LAPTOPS)]);
    rename(&mut world, 1, &[(FREE, CLOUDS)]);
    pass(&mut world, 60_000);
    all_show(&world, &[CLOUDS, LAPTOPS]);
    assert!(items(&world, 0).iter().any(|item| item.kind == ConflictKind::Claim));
    settle(&mut world);
}

#[test]
fn an_edit_of_the_copy_that_is_being_taken_away_is_not_lost() {
    let mut typed = 0;
    for seed in 40..60 {
        let mut world = apart(seed, &[LAPTOP, IDLE_CLOUD]);
        rename(&mut world, 0, &[(FREE, LAPTOPS)]);
        rename(&mut world, 1, &[(FREE, CLOUDS)]);
        pass(&mut world, 5_000);
        world.heal();
        for _ in 0..10_000 {
            pass(&mut world, 1);
            let file = core(&world, 1).file_at(&path(CLOUDS));
            if file.is_none_or(|file| !core(&world, 1).vault().is_in_sight(file)) {
                break;
            }
        }
        if text(&world, 1, CLOUDS).is_none() {
            continue;
        }
        typed += 1;
        pass(&mut world, seed % 5);
        save(&mut world, 1, CLOUDS, &format!("{NOTE}typed at once\n"));
        settle(&mut world);
        let found = text(&world, 0, CLOUDS);
        assert_eq!(found, Some(format!("{NOTE}typed at once\n")), "seed {seed}");
    }
    assert!(typed > 5, "{typed} were in time");
}

#[test]
fn work_that_went_on_or_was_given_back_decides_what_becomes_of_the_other_copy() {
    for (to, other_copy) in [("Done/email/c7.md", false), ("Plans/c7.md", false), (FREE, true)] {
        let mut world = raced(60);
        rename(&mut world, 0, &[(LAPTOPS, to)]);
        pass(&mut world, 60_000);
        let mut places = vec![to];
        places.extend(other_copy.then_some(CLOUDS));
        places.sort_unstable();
        all_show(&world, &places);
        settle(&mut world);
    }
}

#[test]
fn cloud_claims_nothing_away_from_a_person() {
    for in_advance in [true, false] {
        let mut world = apart(70, &[LAPTOP, IDLE_CLOUD]);
        let file = core(&world, 0).file_at(&path(FREE)).expect("the note is there");
        let work = WorkId(action_id(file));
        let to = file.moved_to(Zone::Claim(world.nodes[1].id()));
        let (base, length) = (ContentHash::of(NOTE.as_bytes()), NOTE.len() as u64);
        let copy = Item::New { file: to, path: path(CLOUDS), kind: FileKind::Note, base, length };
        let claim = Item::Claim { work, from: file, to, lease_ms: LEASE_BY_HAND_MS };
        let said = vec![copy, claim];
        if in_advance {
            append_as(&mut world, 1, said.clone(), vec![NOTE.as_bytes().to_vec()]);
            pass(&mut world, 60_000);
            all_show(&world, &[CLOUDS, FREE]);
        }
        rename(&mut world, 0, &[(FREE, LAPTOPS)]);
        pass(&mut world, 60_000);
        if !in_advance {
            append_as(&mut world, 1, said, vec![NOTE.as_bytes().to_vec()]);
            pass(&mut world, 60_000);
        }
        let mine = core(&world, 0).file_at(&path(LAPTOPS)).expect("it is there");
        assert_eq!(core(&world, 0).vault().claims().work_of(mine), Some(work));
        assert_eq!(core(&world, 0).vault().holder(work).map(|claim| claim.to), Some(mine));
        all_show(&world, &[LAPTOPS]);
    }
}

#[test]
fn a_note_of_the_private_folders_that_is_claimed_is_known_to_nobody_else_before() {
    let mut world = world(71, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, "Private/c7.md", NOTE);
    pass(&mut world, 20_000);
    rename(&mut world, 0, &[("Private/c7.md", LAPTOPS)]);
    pass(&mut world, 60_000);
    assert_eq!(core(&world, 0).vault().claims().iter().count(), 0, "its id is private");
    all_show(&world, &[LAPTOPS]);
    settle(&mut world);
}

#[test]
fn of_two_brains_that_claim_a_task_apart_one_copy_is_left_and_no_claim_is_listed() {
    let mut world =
        world(72, &[("laptop", Role::Local, Brain::Template), ("cloud", Role::Cloud, Brain::Template)], &[(0, 1)]);
    world.partition(0, 1, 30_000);
    let mail = people::mail(1, "soon");
    for node in [0, 1] {
        people::save(&mut world, node, path("Inbox/one.eml"), mail.clone());
    }
    pass(&mut world, 90_000);
    let claimed = |node: usize| -> Vec<_> {
        let files = world.nodes[node].disk.files.keys();
        files.filter(|at| at.as_str().starts_with("In_Progress/") && at.extension() == "md").cloned().collect()
    };
    assert_eq!(claimed(0).len(), 1, "{:?}", claimed(0));
    assert_eq!(claimed(0), claimed(1));
    let listed = items(&world, 0);
    assert!(listed.iter().all(|item| item.kind == ConflictKind::Name), "two plans and two drafts at most: {listed:?}");
    settle(&mut world);
}

#[test]
fn a_task_that_a_person_claims_by_hand_and_gives_back_is_taken_up_by_a_brain() {
    let mut world = world(73, &[LAPTOP, IDLE_CLOUD, ("cloud2", Role::Cloud, Brain::Template)], &[(0, 1)]);
    people::save(&mut world, 0, path("Inbox/one.eml"), people::mail(1, "soon"));
    pass(&mut world, 30_000);
    let task = |world: &World, folder: &str| {
        let mut files = world.nodes[0].disk.files.keys();
        files.find(|at| at.as_str().starts_with(folder) && at.extension() == "md").map(ToString::to_string)
    };
    let free = task(&world, "Needs_Action/").expect("a task");
    let mine = format!("In_Progress/laptop/{}", free.rsplit('/').next().unwrap_or_default());
    rename(&mut world, 0, &[(&free, &mine)]);
    pass(&mut world, 30_000);
    rename(&mut world, 0, &[(&mine, &free)]);
    pass(&mut world, 30_000);
    world.network.links.insert((0, 2), Link::default());
    settle(&mut world);
    assert!(task(&world, "In_Progress/cloud2/").is_some(), "it is claimed");
    assert!(task(&world, "Pending_Approval/").is_some(), "and answered");
}

#[test]
fn desktops_copy_is_taken_over_by_nobody_who_only_looks() {
    let mut world = apart(74, &[LAPTOP, IDLE_CLOUD, DESKTOP]);
    rename(&mut world, 2, &[(FREE, DESKTOPS)]);
    pass(&mut world, 3_600_000);
    all_show(&world, &[DESKTOPS]);
    nothing_listed(&world);
    // Whoever moves it on from there has it.
    rename(&mut world, 0, &[(DESKTOPS, LAPTOPS)]);
    pass(&mut world, 60_000);
    all_show(&world, &[LAPTOPS]);
    nothing_listed(&world);
    settle(&mut world);
}

/// A task that Cloud's program works on, claimed in time and place, and another Cloud that has not heard of it yet.
fn claimed_by_a_program(seed: u64) -> (World, String) {
    let cast = [LAPTOP, ("cloud", Role::Cloud, Brain::Command), ("other", Role::Cloud, Brain::Template)];
    let mut world = world(seed, &cast, &[(0, 1)]);
    people::save(&mut world, 0, path("Inbox/one.eml"), people::mail(1, "soon"));
    pass(&mut world, 30_000);
    let mut files = world.nodes[0].disk.files.keys();
    let claimed = files.find(|at| at.as_str().starts_with("In_Progress/cloud/") && at.extension() == "md");
    let claimed = claimed.expect("it is claimed").to_string();
    (world, claimed)
}

fn said(text: &str) -> BrainRun {
    BrainRun { text: text.to_owned(), used: Used::default() }
}

fn failed() -> BrainFault {
    BrainFault { class: FaultClass::Transient, why: "no".to_owned(), used: Used::default() }
}

fn introduce(world: &mut World) {
    world.network.links.insert((0, 2), Link::default());
    world.heal();
    pass(world, 20_000);
}

fn drafts(world: &World) -> usize {
    world.nodes[0].disk.files.keys().filter(|at| at.as_str().starts_with("Pending_Approval/")).count()
}

#[test]
fn a_claim_is_renewed_while_its_program_works() {
    let (mut world, claimed) = claimed_by_a_program(80);
    let file = core(&world, 0).file_at(&path(&claimed)).expect("it is shown");
    let claim = |world: &World| {
        let vault = core(world, 0).vault();
        let work = vault.claims().work_of(file).expect("it is claimed");
        vault.holder(work).cloned().expect("somebody has it")
    };
    let first = claim(&world);
    for _ in 0..8 {
        pass(&mut world, 900_000);
        let now = claim(&world);
        assert!(now.to == file && now.lease_until > world.time(), "{now:?}");
        assert_eq!(now.origin.hash, first.origin.hash, "it is as early as it was");
    }
    assert_eq!(drafts(&world), 0, "the program still works");
    world.input(1, Input::BrainAnswered(BrainId(1), Ok(said("Yes.")))).expect("it answers");
    pass(&mut world, 3_600_000);
    assert_eq!(drafts(&world), 1);
    assert!(claim(&world).lease_until < world.time(), "nothing is in hand any more");
    introduce(&mut world);
    settle(&mut world);
}

#[test]
fn a_claim_whose_node_is_gone_is_taken_over_once_its_lease_has_passed() {
    for seed in 81..84 {
        let (mut world, claimed) = claimed_by_a_program(seed);
        world.crash(1, 7_200_000);
        introduce(&mut world);
        pass(&mut world, 600_000);
        assert_eq!(drafts(&world), 0, "it may come back");
        pass(&mut world, 900_000);
        let taken = claimed.replace("In_Progress/cloud/", "In_Progress/other/");
        assert_eq!(drafts(&world), 1);
        assert!(text(&world, 0, &taken).is_some(), "the other has it");
        assert!(text(&world, 0, &claimed).is_none(), "whose copy leaves the sight, though Cloud may not archive it");
        pass(&mut world, 7_200_000);
        assert!(text(&world, 1, &claimed).is_none() && text(&world, 1, &taken).is_some(), "also where it was");
        assert_eq!((drafts(&world), items(&world, 0)), (1, Vec::new()));
        settle(&mut world);
    }
}

#[test]
fn whoever_had_a_task_and_made_nothing_of_it_leaves_it_to_others() {
    // Under some of them the other's own claim becomes durable while it reads the copy whose lease has passed.
    for seed in 90..110 {
        let (mut world, claimed) = claimed_by_a_program(seed);
        for tries in 1..=5 {
            world.input(1, Input::BrainAnswered(BrainId(tries), Err(failed()))).expect("it failed");
            pass(&mut world, 600_000);
        }
        // Nobody else is there: it stays where it is, for the person.
        pass(&mut world, 7_200_000);
        assert_eq!((text(&world, 0, &claimed).is_some(), drafts(&world)), (true, 0), "seed {seed}");
        introduce(&mut world);
        pass(&mut world, 1_200_000);
        assert_eq!((text(&world, 0, &claimed).is_some(), drafts(&world)), (false, 1), "seed {seed}: the other does it");
        settle(&mut world);
    }
}
