//! Saves over a content that a peer has replaced, made before the new one lies on the disk.

use aiemp_crdt::{
    conflict::{Conflict, ConflictKind},
    vault::Choice,
};
use aiemp_node::core::Input;
use aiemp_protocol::{
    entry::{ContentRef, Entry, FieldWrite, Item, SignedEntry},
    frame::Frame,
};
use aiemp_tests::{people, world::World};

use super::{
    repairs::resolve,
    scenarios::{IDLE_CLOUD, LAPTOP, core, log_of, pass, path, rename, save, settle, text, world},
};

const AT: &str = "Plans/a.md";
const OLD: &str = "# Plan\n\nfirst\n";
const PICTURE: &[u8] = b"\x00\x9f a picture";
const TRACKER: &str = "\0 ![x](https://track.test/p.png)\n";

fn on_disk(world: &World, node: usize) -> Vec<u8> {
    world.nodes[node].disk.files.get(&path(AT)).cloned().unwrap_or_default()
}

fn contents(world: &World) -> [Vec<u8>; 2] {
    [0, 1].map(|node| on_disk(world, node))
}

fn put(world: &mut World, node: usize, bytes: &[u8]) {
    people::save(world, node, path(AT), bytes.to_vec());
}

fn items(world: &World, node: usize) -> Vec<Conflict> {
    core(world, node).vault().conflicts()
}

/// The one item, which both nodes list, and which hides this.
fn the_item(world: &World, hidden: &str) -> Conflict {
    let mut listed = items(world, 0);
    assert_eq!(listed, items(world, 1));
    assert_eq!(listed.len(), 1, "{listed:?}");
    let item = listed.remove(0);
    assert_eq!((item.kind, item.sides[1].text.as_str()), (ConflictKind::Content, hidden));
    item
}

/// A mesh of two in which node 0 saved over a file, and node 1 has heard of it and shows the old content still.
fn replaced(seed: u64, old: &[&[u8]], new: &[u8]) -> World {
    let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    for content in old {
        put(&mut world, 0, content);
        pass(&mut world, 15_000);
    }
    let known = |world: &World| {
        let vault = core(world, 1).vault();
        let file = vault.file_at(&path(AT)).expect("it lies there");
        vault.index().get(file).map(|record| (record.base.shown().copied(), record.changes().len()))
    };
    let before = known(&world);
    put(&mut world, 0, new);
    for _ in 0..15_000 {
        pass(&mut world, 1);
        if known(&world) != before {
            break;
        }
    }
    assert_ne!(known(&world), before, "node 1 heard of it");
    assert_eq!(on_disk(&world, 1), old[old.len() - 1], "and did not write it yet");
    world
}

/// What lies in the shared folders of a node.
fn shared_contents(world: &World, node: usize) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = world.nodes[node].disk.files.iter().collect();
    files.retain(|(at, _)| at.as_str().starts_with("Plans/") || at.as_str().starts_with("Needs_Action/"));
    let mut found: Vec<_> = files.into_iter().map(|(_, bytes)| bytes.clone()).collect();
    found.sort_unstable();
    found
}

#[test]
fn a_save_over_a_note_that_was_replaced_is_listed_and_takes_nothing_back() {
    let edited = format!("{OLD}mine\n");
    for seed in 0..20 {
        // The document of the old text has changes, or none.
        let old: &[&[u8]] = if seed % 2 == 0 { &[b"# Plan\n", OLD.as_bytes()] } else { &[OLD.as_bytes()] };
        let mut world = replaced(seed, old, PICTURE);
        save(&mut world, 1, AT, &edited);
        pass(&mut world, 30_000);
        assert_eq!(contents(&world), [PICTURE, PICTURE], "seed {seed}");
        let item = the_item(&world, &edited);
        world.crash(0, 500);
        pass(&mut world, 30_000);
        assert_eq!(items(&world, 0), std::slice::from_ref(&item), "seed {seed}");
        resolve(&mut world, 1, &item, Choice::Side(1));
        assert_eq!(contents(&world), [edited.as_bytes(), edited.as_bytes()], "seed {seed}");
        assert_eq!(items(&world, 0), []);
        settle(&mut world);
    }
}

#[test]
fn saves_that_follow_each_other_over_a_replaced_note_are_one_text() {
    for seed in 0..20 {
        let mut world = replaced(seed, &[b"# Plan\n", OLD.as_bytes()], PICTURE);
        save(&mut world, 1, AT, &format!("{OLD}mine\n"));
        pass(&mut world, 35 + seed * 7);
        let both = format!("{OLD}mine\nand more\n");
        if on_disk(&world, 1) == PICTURE {
            continue;
        }
        save(&mut world, 1, AT, &both);
        pass(&mut world, 60_000);
        assert_eq!(contents(&world), [PICTURE, PICTURE], "seed {seed}");
        the_item(&world, &both);
        settle(&mut world);
    }
}

#[test]
fn a_save_made_while_the_node_was_down_over_a_note_that_was_replaced_is_listed() {
    let mut made = 0;
    for seed in 0..20 {
        let mut world = replaced(seed, &[b"# Plan\n", OLD.as_bytes()], PICTURE);
        world.crash(1, 5_000);
        if on_disk(&world, 1) == PICTURE {
            // The write reached the disk.
            continue;
        }
        made += 1;
        let edited = format!("{OLD}mine\n");
        save(&mut world, 1, AT, &edited);
        pass(&mut world, 60_000);
        assert_eq!(contents(&world), [PICTURE, PICTURE], "seed {seed}");
        the_item(&world, &edited);
        settle(&mut world);
    }
    assert!(made > 3, "{made} saves");
}

#[test]
fn what_no_change_can_say_becomes_a_file_of_its_own_beside_what_replaced_it() {
    let (first, peers, mine): (&[u8], &[u8], &[u8]) = (b"\0one", b"\0the peer's", b"\0mine");
    let cases: [(&[u8], &[u8], &[u8]); 5] = [
        (first, peers, mine),
        (OLD.as_bytes(), peers, mine),
        // The peer's is an edit, which a picture would take back as a whole.
        (OLD.as_bytes(), b"# Plan\n\nfirst\nsecond\n", mine),
        (first, b"now a text\n", mine),
        (first, peers, b"mine, a text\n"),
    ];
    for (number, (old, new, saved)) in (0..).zip(cases) {
        for seed in 0..10 {
            for crashes in [false, true] {
                let mut world = replaced(10 * number + seed, &[old], new);
                if crashes {
                    world.crash(1, 5_000);
                    if on_disk(&world, 1) == new {
                        continue;
                    }
                }
                put(&mut world, 1, saved);
                pass(&mut world, 60_000);
                let mut expected = vec![new, saved];
                expected.sort_unstable();
                for node in [0, 1] {
                    assert_eq!(shared_contents(&world, node), expected, "case {number}, seed {seed}");
                }
                let kinds: Vec<_> = items(&world, 0).iter().map(|item| item.kind).collect();
                assert_eq!(kinds, [ConflictKind::Name], "they share a name");
                settle(&mut world);
            }
        }
    }
}

#[test]
fn a_file_moved_to_another_zone_before_its_new_content_was_shown_leaves_that_where_it_was() {
    for seed in 0..20 {
        let (old, new): (&[u8], &[u8]) = (b"\0one", b"\0the peer's");
        let mut world = replaced(seed, &[old], new);
        rename(&mut world, 1, &[(AT, "Needs_Action/a.md")]);
        pass(&mut world, 60_000);
        for node in [0, 1] {
            let contents = shared_contents(&world, node);
            // Where the new content was written over the move, the person moved nothing.
            assert!(contents.iter().any(|bytes| bytes == new), "seed {seed}: {contents:?}");
        }
        settle(&mut world);
    }
}

#[test]
fn a_save_does_not_wait_for_a_content_that_nobody_serves() {
    let mut world = world(232, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 1, AT, OLD);
    pass(&mut world, 15_000);
    let log = log_of(&world, 1);
    world.capture(1);
    world.executor.hostile.insert(log);
    let (peer, file) = (world.nodes[1].id(), core(&world, 0).file_at(&path(AT)).expect("the note is there"));
    let (seq, never) = (world.nodes[0].store.length(log), ContentRef::of(b"never served\n"));
    let (prev, epoch) = (world.nodes[0].store.entry_at(log, seq), world.nodes[0].rosters().current().epoch);
    let said = vec![Item::Set { file, write: FieldWrite::Base(never) }];
    let entry = Entry { seq: seq + 1, epoch, hlc: world.time(), seen: Vec::new(), items: said };
    let mesh = world.nodes[0].rosters().current().mesh;
    let SignedEntry { cose, .. } = SignedEntry::sign(&world.nodes[1].signer(), mesh, log, prev, entry);
    let frame = Frame::Entry { log, cose, payloads: vec![None] };
    world.input(0, Input::PeerConnected(peer)).expect("it greets");
    world.input(0, Input::FrameReceived { peer, frame }).expect("it takes the frame");
    pass(&mut world, 15_000);
    for edited in [format!("{OLD}mine\n"), format!("{OLD}mine\nand more\n")] {
        save(&mut world, 0, AT, &edited);
        pass(&mut world, 15_000);
        let listed = items(&world, 0);
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!(listed[0].sides[1].text, edited);
        assert_eq!(text(&world, 0, AT), Some(edited));
    }
}

#[test]
fn a_record_of_the_version_before_stands_for_what_is_shown() {
    let mut world = world(233, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    for content in ["# Plan\n", OLD] {
        save(&mut world, 1, AT, content);
        pass(&mut world, 15_000);
    }
    assert!(world.stop(0, 5_000), "nothing is under way");
    let there = world.nodes[0].store.projections.get_mut(&path(AT).key()).expect("its record");
    assert_ne!(there.base, there.hash, "the note was edited");
    there.base = there.hash;
    let edited = format!("{OLD}mine\n");
    save(&mut world, 0, AT, &edited);
    pass(&mut world, 30_000);
    assert_eq!(contents(&world), [edited.as_bytes(), edited.as_bytes()]);
    assert_eq!(items(&world, 0), []);
    settle(&mut world);
}

#[test]
fn saves_over_a_note_whose_replacement_is_held_back_are_listed() {
    let mut world = world(231, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, AT, OLD);
    pass(&mut world, 15_000);
    save(&mut world, 1, AT, TRACKER);
    pass(&mut world, 30_000);
    assert_eq!(text(&world, 0, AT).as_deref(), Some(OLD), "it is shown as it was");
    let edited = [format!("{OLD}mine\n"), format!("{OLD}mine\nand more\n"), format!("zero\n{OLD}mine\nand more\n")];
    for (number, edited) in edited.iter().enumerate() {
        save(&mut world, 0, AT, edited);
        pass(&mut world, 30_000);
        assert_eq!(text(&world, 0, AT).as_ref(), Some(edited), "what is held back does not come with it");
        assert_eq!(text(&world, 1, AT).as_deref(), Some(TRACKER), "nor is it taken back");
        the_item(&world, edited);
        if number == 1 {
            world.crash(0, 1_000);
            pass(&mut world, 30_000);
        }
    }
    let held = core(&world, 0).vault().held_items().remove(0);
    world.ledger.released.extend(held.found.iter().map(|finding| finding.release));
    resolve(&mut world, 0, &held, Choice::Side(1));
    assert_eq!(contents(&world), [TRACKER.as_bytes(), TRACKER.as_bytes()]);
    let item = the_item(&world, &edited[2]);
    resolve(&mut world, 0, &item, Choice::Side(1));
    assert_eq!(contents(&world), [edited[2].as_bytes(), edited[2].as_bytes()]);
    settle(&mut world);
}
