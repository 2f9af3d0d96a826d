//! Places of a text that two changed without having heard of each other.

use std::collections::BTreeSet;

use aiemp_crdt::{
    conflict::{Conflict, ConflictKind},
    vault::Choice,
};
use aiemp_node::core::{Answer, Input, Question};
use aiemp_tests::world::World;

use super::{
    repairs::resolve,
    scenarios::{DESKTOP, IDLE_CLOUD, LAPTOP, core, pass, save, settle, text, world},
};

const AT: &str = "Plans/a.md";
const BEFORE: &str =
    "---\nstatus: open\n---\n# House\n\nThe roof costs 40 EUR.\nThe door costs 7 EUR.\n\n- walls\n- floor\n";

fn items(world: &World, node: usize) -> Vec<Conflict> {
    core(world, node).vault().conflicts()
}

/// All list the same, of this file nothing but texts.
fn listed(world: &World) -> Vec<Conflict> {
    let here = items(world, 0);
    for node in 1..world.nodes.len() {
        assert_eq!(items(world, node), here);
    }
    assert!(here.iter().all(|item| item.kind == ConflictKind::Text), "{here:?}");
    here
}

fn the_item(world: &World) -> Conflict {
    let mut listed = listed(world);
    assert_eq!(listed.len(), 1, "{listed:?}");
    listed.remove(0)
}

/// Both wrote to the note while they were apart; then they met.
fn apart(seed: u64, before: &str, saves: [&str; 2]) -> World {
    let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, AT, before);
    pass(&mut world, 20_000);
    world.partition(0, 1, 20_000);
    for (node, after) in saves.into_iter().enumerate() {
        save(&mut world, node, AT, after);
    }
    pass(&mut world, 60_000);
    world
}

fn both(from: &str, to: [&str; 2]) -> [String; 2] {
    to.map(|to| BEFORE.replace(from, to))
}

fn roofs(seed: u64) -> World {
    let saves = both("40 EUR", ["45 EUR", "38 EUR, net"]);
    apart(seed, BEFORE, [&saves[0], &saves[1]])
}

#[test]
fn a_line_that_two_changed_is_listed_with_what_each_made_of_it() {
    for seed in 0..4 {
        let mut world = roofs(seed);
        let item = the_item(&world);
        let around = |roof: &str| format!("\n# House\n\nThe roof costs {roof}.\nThe door costs 7 EUR.\n\n- walls\n");
        let mut sides: Vec<_> = item.sides.iter().map(|side| side.text.clone()).collect();
        sides.sort();
        assert_eq!(sides, [around("38 EUR, net"), around("45 EUR")]);
        assert_eq!(item.base, Some(around("40 EUR")));
        assert_eq!((item.line, item.field.as_deref()), (Some(6), None));
        let told =
            |text: &str| text.lines().filter(|line| line.contains("roof")).map(str::to_owned).collect::<Vec<_>>();
        let shown = text(&world, 0, AT).expect("the note");
        assert_eq!(shown.lines().nth(5).map(str::to_owned), told(&item.merged).pop(), "the line is told by its number");
        for node in [0, 1] {
            world.crash(node, 500);
        }
        settle(&mut world);
        assert_eq!(the_item(&world), item, "also after a restart");
    }
}

#[test]
fn a_place_closes_by_an_edit_of_it_and_by_a_decision() {
    let roof = |world: &World, node: usize| {
        let shown = text(world, node, AT).expect("the note");
        shown.lines().find(|line| line.contains("roof")).map(str::to_owned)
    };
    for node in [0, 1] {
        for number in 0..5 {
            let mut world = roofs(10 + number);
            let item = the_item(&world);
            let of_side =
                |side: usize| item.sides[side].text.lines().find(|line| line.contains("roof")).map(str::to_owned);
            let merged = roof(&world, 0);
            let edited = |from: &str, to: &str| text(&world, node, AT).expect("the note").replace(from, to);
            // What is written elsewhere, or beside it, closes nothing.
            let elsewhere = edited("- floor\n", "- floor\n- bath\n").replace("The door", "Its door");
            save(&mut world, node, AT, &elsewhere);
            pass(&mut world, 20_000);
            assert_eq!(the_item(&world).id, item.id);
            let expected = match number {
                0 => of_side(0),
                1 => of_side(1),
                2 | 3 => merged.clone(),
                _ => Some("The roof is free.".to_owned()),
            };
            match number {
                0 | 1 => resolve(&mut world, node, &item, Choice::Side(number as usize)),
                2 => resolve(&mut world, node, &item, Choice::Both),
                3 => {
                    let shown = text(&world, node, AT).expect("the note");
                    resolve(&mut world, node, &item, Choice::With(format!("{shown}- more\n").into_bytes()));
                }
                _ => {
                    let shown = text(&world, node, AT).expect("the note");
                    save(&mut world, node, AT, &shown.replace(merged.as_deref().expect("it"), "The roof is free."));
                }
            }
            settle(&mut world);
            assert_eq!(listed(&world), [], "{number} by {node}");
            assert_eq!([roof(&world, 0), roof(&world, 1)], [expected.clone(), expected], "{number} by {node}");
            let shown = text(&world, 0, AT).expect("the note");
            assert!(shown.contains("Its door costs 7 EUR.\n") && shown.contains("- bath\n"), "{shown}");
        }
    }
}

/// One changes a line and adds one behind a place that the other writes anew: whose words are chosen loses none of them.
#[test]
fn the_side_that_is_chosen_stands_there_with_all_that_it_added() {
    let before = "# House\n\n- walls\n- floor\n- roof\n\nThe end.\n";
    let listing = "# House\n\n- walls\n- a floor of oak\n- roof\n- bath\n\nThe end.\n";
    let anew = "# House\n\nIt is built by now.\n\nThe end.\n";
    for (seed, chosen) in [(0, listing), (1, anew), (2, listing), (3, anew)] {
        let mut world = apart(40 + seed, before, [listing, anew]);
        let item = the_item(&world);
        assert!(item.sides.iter().any(|side| side.text.contains("- bath")), "{item:?}");
        let side = item.sides.iter().position(|side| side.text.contains("oak") == (chosen == listing)).expect("it");
        resolve(&mut world, 0, &item, Choice::Side(side));
        settle(&mut world);
        assert_eq!([text(&world, 0, AT), text(&world, 1, AT)], [Some(chosen.to_owned()), Some(chosen.to_owned())]);
        assert_eq!(listed(&world), []);
    }
}

/// A third adds a line right behind the one that two changed: to take a side would take that away as well.
#[test]
fn no_side_is_taken_where_a_third_wrote_too() {
    let changed = |to: &str| BEFORE.replace("40 EUR", to);
    let added = BEFORE.replace("40 EUR.\n", "40 EUR.\nThe chimney is free.\n");
    for seed in 50..53 {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[(0, 1), (0, 2), (1, 2)]);
        save(&mut world, 0, AT, BEFORE);
        pass(&mut world, 20_000);
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            world.partition(one, other, 20_000);
        }
        for (node, text) in [changed("45 EUR"), changed("38 EUR"), added.clone()].iter().enumerate() {
            save(&mut world, node, AT, text);
        }
        pass(&mut world, 60_000);
        let item = the_item(&world);
        for (request, choice) in [(1, Choice::Side(0)), (2, Choice::Side(1)), (3, Choice::Both)] {
            let question = Question::Resolve { id: item.id, choice: choice.clone() };
            world.input(0, Input::Asked { request, question }).expect("it is asked");
            let is_done = matches!(world.nodes[0].answers.remove(&request), Some(Answer::Done));
            assert_eq!(is_done, choice == Choice::Both, "{choice:?}");
        }
        settle(&mut world);
        assert_eq!(listed(&world), []);
        assert!(text(&world, 0, AT).is_some_and(|text| text.contains("The chimney is free.\n")));
    }
}

#[test]
fn what_two_wrote_beside_each_other_merges_and_is_not_listed() {
    let log = |who: &str| (0..20).map(|number| format!("{{\"x\":\"line {who} {number}\"}}\n")).collect::<String>();
    let cases: [(&str, [String; 2]); 9] = [
        ("one\ntwo\nthree\nfour\n", ["one\ntwo EDIT-A\nthree\nfour\n".into(), "one\ntwo\nthree EDIT-B\nfour\n".into()]),
        (BEFORE, [BEFORE.replace("House", "My house"), BEFORE.replace("floor", "floors")]),
        ("{\"n\":0}\n", [format!("{{\"n\":0}}\n{}", log("a")), format!("{{\"n\":0}}\n{}", log("b"))]),
        ("- a\n- b\n", ["- a\n- b\n- mine\n".into(), "- a\n- b\n- yours\n".into()]),
        ("- a\n- b\n", ["- a\n- mine\n- b\n".into(), "- a\n- yours\n- b\n".into()]),
        ("- a\n- b", ["- a\n- b\n- mine".into(), "- a\n- b\n- yours".into()]),
        ("", ["mine\n".into(), "yours\n".into()]),
        ("- a\n- b\n- c\n", ["- a\n- c\n".into(), "- a\n- c\n".into()]),
        ("- a\n- b\n- c\n", ["- a\n- B, mine\n- c\n".into(), "- a\n- b\n- yours\n- c\n".into()]),
    ];
    for (number, (before, saves)) in (0..).zip(cases) {
        let mut world = apart(100 + number, before, [&saves[0], &saves[1]]);
        assert_eq!(listed(&world), [], "{before:?}: {saves:?} gave {:?}", text(&world, 0, AT));
        settle(&mut world);
        let shown = text(&world, 0, AT).expect("the note");
        let lines: BTreeSet<&str> = saves.iter().flat_map(|save| save.lines()).collect();
        assert!(shown.lines().all(|line| lines.contains(line)), "{shown}");
    }
}

#[test]
fn what_merging_tears_is_listed() {
    let cases = [
        // A line that one deletes and the other edits leaves an orphan.
        ("one\ntwo words here\nthree\n", ["one\nthree\n", "one\ntwo other words here\nthree\n"]),
        // Two last lines that do not end stand in one.
        ("one\n", ["one\nmine", "one\nyours"]),
        // What is added where the last line lost its end stands in it.
        ("one\ntwo\n", ["one\ntwo", "one\ntwo\nthree\n"]),
        // What is added in the middle of what the other wrote anew.
        ("a b c\nd e f\ng h i\nj k l\n", ["all of it\nis other now\n", "a b c\nd e f\nmine\ng h i\nj k l\n"]),
        // The same word twice.
        ("teh end\n", ["the end\n", "the end\n"]),
    ];
    for (number, (before, saves)) in (0..).zip(cases) {
        let mut world = apart(200 + number, before, saves);
        let item = the_item(&world);
        assert!(saves.iter().all(|save| *save != item.merged), "{item:?}");
        settle(&mut world);
    }
}

#[test]
fn every_node_lists_the_same_places_and_what_was_decided_stays_decided() {
    for seed in 0..6 {
        let mut world = world(300 + seed, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[(0, 1), (0, 2), (1, 2)]);
        save(&mut world, 0, AT, BEFORE);
        pass(&mut world, 20_000);
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            world.partition(one, other, 60_000);
        }
        for (node, roof) in [(0, "45 EUR"), (1, "38 EUR"), (2, "41 EUR")] {
            save(&mut world, node, AT, &BEFORE.replace("40 EUR", roof));
        }
        pass(&mut world, 5_000);
        // The branches go on elsewhere before they meet.
        save(&mut world, 0, AT, &BEFORE.replace("40 EUR", "45 EUR").replace("- walls", "- wall"));
        pass(&mut world, 90_000);
        settle(&mut world);
        let found = listed(&world);
        assert!(found.len() >= 2, "{found:?}");
        for item in &found {
            resolve(&mut world, seed as usize % 3, item, Choice::Both);
            pass(&mut world, 10_000);
        }
        settle(&mut world);
        assert_eq!(listed(&world), []);
        let shown = text(&world, 1, AT).expect("the note");
        save(&mut world, 1, AT, &format!("{shown}- more\n"));
        settle(&mut world);
        assert_eq!(listed(&world), [], "seed {seed}");
    }
}

#[test]
fn a_front_matter_that_a_merge_broke_is_listed_until_somebody_mends_it() {
    let before = "---\na: 1\n---\nBody\nand more\n";
    let saves = ["Body\nand more, mine\n", "---\na: 2\n---\nBody\nand more\nat the end\n"];
    let mut kinds = BTreeSet::new();
    for number in 0..6 {
        let node = number as usize % 2;
        let mut world = apart(600 + number, before, saves);
        let broken = |world: &World, node: usize| {
            let listed = items(world, node).into_iter().filter(|item| item.kind == ConflictKind::Structure);
            listed.collect::<Vec<_>>()
        };
        assert_eq!(broken(&world, 0), broken(&world, 1));
        let item = broken(&world, 0).pop().expect("it is listed");
        assert_eq!(item.base.as_deref(), Some(before));
        let mut sides: Vec<_> = item.sides.iter().map(|side| side.text.as_str()).collect();
        sides.sort_unstable();
        assert_eq!(sides, [saves[1], saves[0]]);
        assert_eq!(item.merged, "---\na: 2\n---Body\nand more, mine\nat the end\n");
        world.crash(node, 500);
        settle(&mut world);
        assert_eq!(broken(&world, node), std::slice::from_ref(&item), "also after a restart");
        let whole = ["Body\nand more, mine\nat the end\n", "---\na: 2\n---\nBody\nand more, mine\nat the end\n"];
        let of_side = |side: usize| if item.sides[side].text == saves[0] { whole[0] } else { whole[1] };
        let expected = match number / 2 {
            0 => {
                resolve(&mut world, node, &item, Choice::Side(node));
                of_side(node)
            }
            1 => {
                resolve(&mut world, node, &item, Choice::Both);
                item.merged.as_str()
            }
            _ => {
                save(&mut world, node, AT, whole[1]);
                whole[1]
            }
        };
        settle(&mut world);
        assert_eq!([broken(&world, 0), broken(&world, 1)], [[], []]);
        assert_eq!([text(&world, 0, AT).as_deref(), text(&world, 1, AT).as_deref()], [Some(expected), Some(expected)]);
        kinds.insert(expected.to_owned());
    }
    assert_eq!(kinds.len(), 3, "{kinds:?}");
}

/// Which drafts wait for what.
fn blocked(world: &mut World) -> Vec<usize> {
    world.input(0, Input::Asked { request: 77, question: Question::Drafts }).expect("nothing goes wrong");
    pass(world, 20_000);
    let answer = world.nodes[0].answers.remove(&77).expect("it is answered");
    let Answer::Drafts { drafts, .. } = answer else { panic!("{answer:?}") };
    drafts.iter().map(|draft| draft.blocked_by.len()).collect()
}

#[test]
fn fields_that_two_changed_block_approval_and_a_text_that_is_read_before_does_not() {
    const DRAFT: &str = "Pending_Approval/a.md";
    let before =
        "---\naction: payment\nto: a@client.test\naccount: DE1\namount: 40 EUR\nstatus: pending\n---\nHello you\n";
    let fields = [
        ("to: a@client.test", "to: b@client.test", "to: c@client.test"),
        ("account: DE1", "account: DE2", "account: DE3"),
        ("amount: 40", "amount: 45", "amount: 50"),
        ("status: pending", "status: ready", "status: rejected"),
        ("Hello you", "Hello dear", "Hello friend"),
    ];
    for (number, (from, one, other)) in (0..).zip(fields) {
        let mut world = world(400 + number, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        save(&mut world, 0, DRAFT, before);
        pass(&mut world, 20_000);
        assert_eq!(blocked(&mut world), [0]);
        world.partition(0, 1, 20_000);
        save(&mut world, 0, DRAFT, &before.replace(from, one));
        save(&mut world, 1, DRAFT, &before.replace(from, other));
        settle(&mut world);
        let kinds: Vec<_> = items(&world, 0).iter().map(|item| item.kind).collect();
        let (kind, blocks) = if number < 4 { (ConflictKind::Field, 1) } else { (ConflictKind::Text, 0) };
        assert_eq!((kinds, blocked(&mut world)), (vec![kind], vec![blocks]), "{from}");
    }
}

#[test]
fn a_decision_about_a_note_that_was_closed_meanwhile_is_done() {
    let kinds =
        [(ConflictKind::Field, "open", ["ready", "closed"]), (ConflictKind::Text, "40 EUR", ["45 EUR", "38 EUR"])];
    for (kind, from, to) in kinds {
        let saves = both(from, to);
        let mut world = apart(500, BEFORE, [&saves[0], &saves[1]]);
        let item = items(&world, 0).pop().expect("an item");
        assert_eq!(item.kind, kind);
        // More notes than are kept open.
        for number in 0..60 {
            save(&mut world, 0, &format!("Plans/other {number}.md"), "one\n");
            pass(&mut world, 500);
            save(&mut world, 0, &format!("Plans/other {number}.md"), "one\ntwo\n");
            pass(&mut world, 500);
        }
        let side = (0..2).find(|side| item.sides[*side].text != item.merged).expect("one is not shown");
        let line =
            |text: &str| text.lines().find(|line| line.contains("roof") || line.contains("status")).map(str::to_owned);
        resolve(&mut world, 0, &item, Choice::Side(side));
        settle(&mut world);
        assert_eq!(items(&world, 0), []);
        let shown = text(&world, 1, AT).expect("the note");
        let wanted = line(&item.sides[side].text).expect("the line");
        assert!(shown.contains(&wanted), "{wanted}: {shown}");
    }
}
