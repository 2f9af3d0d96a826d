//! Saves at moments at which the node is doing something with the file.

use std::collections::BTreeMap;

use aiemp_crdt::conflict::ConflictKind;
use aiemp_tests::{Violation, check, people, world::World};

use super::scenarios::{IDLE_CLOUD, LAPTOP, core, pass, path, rename, save, settle, text, world};

/// Adds a line that occurs once to the note that both write, as it lies on disk, or makes it anew.
fn add_line(world: &mut World, node: usize) {
    let at = path("Plans/both.md");
    let word = world.ledger.word(node, false, true);
    let mut text = world.nodes[node].disk.files.get(&at).cloned().unwrap_or_default();
    text.extend_from_slice(format!("line {word}\n").as_bytes());
    people::save(world, node, at, text);
}

/// Two nodes make a note of one name while they do not hear of each other, and go on writing at that place while the
/// notes part and each finds its own; both may end at any moment.
fn two_notes_of_one_name(seed: u64) -> Result<World, Violation> {
    let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    world.partition(0, 1, 3_000);
    for _ in 0..60 {
        let (wait, node) = (world.rng.between(20, 200), world.rng.below(2));
        world.run_for(wait)?;
        add_line(&mut world, node);
        if world.rng.chance(15) {
            let down = world.rng.between(1, 200);
            world.crash(node, down);
        }
    }
    world.heal();
    world.run_for(120_000)?;
    Ok(world)
}

/// Words whose line nobody shows or keeps as it was saved.
fn torn(world: &World) -> Vec<String> {
    let shown = world.nodes.iter().flat_map(|node| node.disk.files.values());
    let kept = world.nodes.iter().flat_map(|node| node.kept.iter().map(|(_, bytes)| bytes));
    let mut texts: Vec<_> = shown.chain(kept).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
    let items = (0..world.nodes.len()).flat_map(|node| core(world, node).vault().conflicts());
    texts.extend(items.flat_map(|item| item.sides).map(|side| side.text));
    let is_whole = |word: &&String| texts.iter().any(|text| text.lines().any(|line| line == format!("line {word}")));
    world.ledger.words.keys().filter(|word| !is_whole(word)).cloned().collect()
}

#[test]
fn lines_added_while_notes_of_one_name_part_stay_whole() {
    // The last ones found something once.
    for seed in (0..30).chain([38, 144, 899]) {
        let told = |violation: Violation| format!("seed {seed}: {violation}");
        let world = two_notes_of_one_name(seed).map_err(told).expect("nothing goes wrong");
        check::healed(&world).map_err(told).expect("the mesh heals");
        assert_eq!(torn(&world), [""; 0], "seed {seed}");
    }
}

/// Moves a note of both nodes on Cloud to where Cloud may not write, and expects it back.
fn moved_on_cloud_to(target: &str, restarts: bool, copied: bool) {
    let mut world = world(101, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let text_before = "# Draft\n\nfirst\n";
    save(&mut world, 0, "Pending_Approval/email/a.md", text_before);
    pass(&mut world, 30_000);
    let file = core(&world, 1).file_at(&path("Pending_Approval/email/a.md")).expect("the draft is there");
    if restarts {
        world.crash(1, 1_000);
    }
    if copied {
        save(&mut world, 1, target, text_before);
        pass(&mut world, 4_000);
        world.nodes[1].disk.files.remove(&path("Pending_Approval/email/a.md"));
        world.touched(1, path("Pending_Approval/email/a.md"));
    } else {
        rename(&mut world, 1, &[("Pending_Approval/email/a.md", target)]);
    }
    pass(&mut world, 30_000);
    for node in [0, 1] {
        let shown = text(&world, node, "Pending_Approval/email/a.md");
        assert_eq!(shown.as_deref(), Some(text_before), "node {node}, moved to {target}");
        let record = core(&world, node).vault().index().get(file).expect("its record");
        assert!(!record.is_archived(), "node {node}, moved to {target}");
        assert_eq!(record.path.writes().count(), 1);
    }
    assert_eq!(text(&world, 0, target), None, "nothing of it entered a log");
    assert!(world.nodes[1].kept.iter().any(|(at, _)| *at == path(target)), "the move to {target} is told");
    save(&mut world, 1, "Pending_Approval/email/a.md", "# Draft\n\nfirst\nsecond\n");
    pass(&mut world, 30_000);
    assert_eq!(text(&world, 0, "Pending_Approval/email/a.md").as_deref(), Some("# Draft\n\nfirst\nsecond\n"));
    settle(&mut world);
}

#[test]
fn a_note_moved_to_where_the_node_may_not_write_comes_back() {
    for (restarts, copied) in [(false, false), (true, false), (false, true)] {
        for target in ["Done/email/a.md", "Private/a.md", "In_Progress/laptop/a.md"] {
            moved_on_cloud_to(target, restarts, copied);
        }
    }
}

#[test]
fn a_note_moved_to_a_name_that_never_syncs_comes_back() {
    for (restarts, copied) in [(false, false), (true, false), (false, true)] {
        for target in ["CLAUDE.md", "Plans/token-list.md", "Plans/x.env"] {
            moved_on_cloud_to(target, restarts, copied);
        }
    }
}

/// What a program adds to a note, as it lies on disk, or makes it anew.
fn append(world: &mut World, node: usize, line: &str) {
    let there = text(world, node, "Plans/a.md").unwrap_or_default();
    save(world, node, "Plans/a.md", &format!("{there}{line}\n"));
}

#[test]
fn two_programs_that_append_to_one_new_note_make_it_twice_and_then_append_to_the_one_that_has_the_name() {
    const LINES: usize = 300;
    let said = |node: usize, number: usize| format!("{node} says {number}");
    let mut merged = 0;
    for seed in 0..20 {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        for number in 0..LINES {
            for node in [0, 1] {
                append(&mut world, node, &said(node, number));
            }
            pass(&mut world, 5);
        }
        settle(&mut world);
        let files = world.nodes[0].disk.files.iter().filter(|(at, _)| at.folder() == "Plans");
        let files: BTreeMap<_, _> = files.map(|(at, bytes)| (at.as_str(), String::from_utf8_lossy(bytes))).collect();
        assert_eq!(files.keys().copied().collect::<Vec<_>>(), ["Plans/a (2).md", "Plans/a.md"], "seed {seed}");
        let mut lines: Vec<_> = files.values().flat_map(|text| text.lines()).map(str::to_owned).collect();
        let mut wanted: Vec<_> = (0..LINES).flat_map(|number| [said(0, number), said(1, number)]).collect();
        lines.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(lines, wanted, "seed {seed}: each line once");
        merged += usize::from(files["Plans/a.md"].contains("0 says") && files["Plans/a.md"].contains("1 says"));
        let kinds: Vec<_> = core(&world, 0).vault().conflicts().iter().map(|item| item.kind).collect();
        assert_eq!(kinds, [ConflictKind::Name], "seed {seed}");
    }
    assert!(merged > 0, "in no run both went on in one note");
}
