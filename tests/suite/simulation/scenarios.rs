//! Single stories, each told by its name.

use std::collections::BTreeSet;

use aiemp_crdt::conflict::ConflictKind;
use aiemp_node::core::{Brain, Core, Input};
use aiemp_protocol::{
    entry::{Entry, FileKind, Item, SignedEntry},
    frame::Frame,
    ids::{Audience, ContentHash, FileId, LogId},
    replication::FreezeReason,
    roster::Role,
    vault_path::VaultPath,
    zone::Zone,
};
use aiemp_tests::{
    check, executor, people,
    world::{Cast, World},
};

const LAPTOP: Cast = ("laptop", Role::Local, Brain::None);
const CLOUD: Cast = ("cloud", Role::Cloud, Brain::Template);
const IDLE_CLOUD: Cast = ("cloud", Role::Cloud, Brain::None);
const DESKTOP: Cast = ("desktop", Role::Local, Brain::None);

fn world(seed: u64, cast: &[Cast], links: &[(usize, usize)]) -> World {
    let mut world = World::new(seed, cast, links).expect("a mesh is founded");
    pass(&mut world, 10_000);
    world
}

fn pass(world: &mut World, ms: u64) {
    world.run_for(ms).expect("nothing goes wrong");
}

fn settle(world: &mut World) {
    world.heal();
    pass(world, 120_000);
    check::healed(world).expect("the mesh heals");
}

fn path(text: &str) -> VaultPath {
    VaultPath::parse(text).expect("a path")
}

fn save(world: &mut World, node: usize, at: &str, text: &str) {
    people::save(world, node, path(at), text.as_bytes().to_vec());
}

fn text(world: &World, node: usize, at: &str) -> Option<String> {
    world.nodes[node].disk.files.get(&path(at)).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn core(world: &World, node: usize) -> &Core {
    world.nodes[node].core.as_ref().expect("the node runs")
}

fn log_of(world: &World, node: usize) -> LogId {
    core(world, node).replication().own_log(Audience::All)
}

/// Hands a node the entries of a log as a peer that relays them would.
fn relay(world: &mut World, to: usize, from: usize, log: LogId) {
    let peer = world.nodes[from].id();
    for stored in world.nodes[from].store.read(log, 1, 100) {
        let frame = Frame::Entry { log, cose: stored.cose, payloads: stored.payloads };
        world.input(to, Input::FrameReceived { peer, frame }).expect("it takes the frame");
    }
    pass(world, 4_000);
}

#[test]
fn a_mail_seen_by_both_nodes_is_one_task() {
    let mut world = world(1, &[LAPTOP, CLOUD], &[(0, 1)]);
    world.partition(0, 1, 20_000);
    let mail = people::mail(1, "soon");
    for node in [0, 1] {
        people::save(&mut world, node, path("Inbox/one.eml"), mail.clone());
    }
    pass(&mut world, 10_000);
    settle(&mut world);
    let named = |start: &str, end: &str| {
        let files = world.nodes[0].disk.files.keys();
        files.filter(|path| path.name().starts_with(start) && path.name().ends_with(end)).count()
    };
    assert_eq!((named("EMAIL_", ".md"), named("EMAIL_", ".eml"), named("REPLY_", ".md")), (1, 1, 1));
    assert_eq!(core(&world, 0).vault().conflicts(), []);
}

#[test]
fn an_edit_while_a_merge_is_written_is_never_lost() {
    for seed in 0..60 {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        save(&mut world, 0, "Plans/a.md", "one\n\ntwo\n\nthree\n");
        pass(&mut world, 15_000);
        save(&mut world, 1, "Plans/a.md", "cloud was here\none\n\ntwo\n\nthree\n");
        pass(&mut world, seed * 17 % 900);
        let before = text(&world, 0, "Plans/a.md").expect("the note is there");
        save(&mut world, 0, "Plans/a.md", &format!("{before}laptop was here\n"));
        settle(&mut world);
        let merged = "cloud was here\none\n\ntwo\n\nthree\nlaptop was here\n";
        assert_eq!(text(&world, 0, "Plans/a.md").as_deref(), Some(merged), "seed {seed}");
    }
}

#[test]
fn a_cloud_restored_from_an_old_copy_opens_the_next_generation() {
    let mut world = world(3, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 1, "Updates/a.md", "before the backup\n");
    pass(&mut world, 20_000);
    let backup = (world.nodes[1].store.clone(), world.nodes[1].disk.clone());
    save(&mut world, 1, "Updates/b.md", "after the backup\n");
    pass(&mut world, 20_000);
    world.crash(1, 1_000);
    (world.nodes[1].store, world.nodes[1].disk) = backup;
    pass(&mut world, 60_000);
    assert_eq!(log_of(&world, 1).generation, 1);
    assert_eq!(text(&world, 1, "Updates/b.md").as_deref(), Some("after the backup\n"));
    save(&mut world, 1, "Updates/c.md", "in the new generation\n");
    settle(&mut world);
    assert_eq!(text(&world, 0, "Updates/c.md").as_deref(), Some("in the new generation\n"));
}

#[test]
fn edit_after_approval_never_reaches_the_approved_copy() {
    let note = "---\naction: email\nto: a@client.test\nsubject: Hello\n---\n\nAs approved.\n";
    let mut sent = 0;
    for seed in 0..12 {
        let mut world = world(seed, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
        save(&mut world, 0, "Pending_Approval/email/a.md", note);
        pass(&mut world, 15_000);
        world.partition(0, 1, 30_000);
        executor::review(&mut world).expect("the person looks");
        save(&mut world, 1, "Pending_Approval/email/a.md", &note.replace("As approved.", "Send money."));
        pass(&mut world, 25_000);
        if world.executor.sent_count() == 0 || text(&world, 0, "Done/email/a.md").is_none() {
            continue;
        }
        sent += 1;
        settle(&mut world);
        assert_eq!(text(&world, 1, "Done/email/a.md").as_deref(), Some(note), "seed {seed}");
        let items = core(&world, 0).vault().conflicts();
        assert!(items.iter().any(|item| item.kind == ConflictKind::LateEdit), "seed {seed}: {items:?}");
    }
    assert!(sent > 2, "the provider took {sent}");
}

#[test]
fn entries_wait_for_what_their_author_had_seen() {
    let mut world = world(5, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[(0, 1)]);
    save(&mut world, 0, "Plans/a.md", "question\n");
    pass(&mut world, 15_000);
    save(&mut world, 1, "Plans/a.md", "question\nanswer\n");
    pass(&mut world, 15_000);
    let (first, second) = (log_of(&world, 0), log_of(&world, 1));
    let peer = world.nodes[1].id();
    world.input(2, Input::PeerConnected(peer)).expect("a session");
    relay(&mut world, 2, 1, second);
    assert_eq!((world.nodes[2].store.length(second), text(&world, 2, "Plans/a.md")), (0, None));
    relay(&mut world, 2, 1, first);
    assert_eq!((world.nodes[2].store.length(first), world.nodes[2].store.length(second)), (1, 1));
    assert_eq!(text(&world, 2, "Plans/a.md").as_deref(), Some("question\nanswer\n"));
}

#[test]
fn a_hostile_entry_outside_its_zone_freezes_that_log_alone() {
    let mut world = world(6, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[(0, 1), (0, 2)]);
    let log = log_of(&world, 1);
    let (mesh, epoch) = {
        let chain = world.nodes[1].rosters();
        (chain.current().mesh, chain.current().epoch)
    };
    let bytes = b"approved by nobody\n";
    let file = FileId { zone: Zone::Owner, hash: aiemp_keys::Hash::of_content(b"forged") };
    let base = ContentHash::of(bytes);
    let item =
        Item::New { file, path: path("Approved/forged.md"), kind: FileKind::Note, base, length: bytes.len() as u64 };
    let entry = Entry { seq: 1, epoch, hlc: world.time(), seen: Vec::new(), items: vec![item] };
    let forged = SignedEntry::sign(&world.nodes[1].signer(), mesh, log, None, entry);
    world.executor.hostile = BTreeSet::from([log]);
    let peer = world.nodes[1].id();
    let frame = Frame::Entry { log, cose: forged.cose, payloads: vec![Some(bytes.to_vec())] };
    world.input(0, Input::FrameReceived { peer, frame }).expect("it takes the frame");
    save(&mut world, 2, "Plans/a.md", "honest\n");
    pass(&mut world, 20_000);
    assert_eq!(core(&world, 0).replication().frozen().get(&log), Some(&FreezeReason::ForeignZone));
    assert_eq!(text(&world, 0, "Approved/forged.md"), None);
    assert_eq!(text(&world, 0, "Plans/a.md").as_deref(), Some("honest\n"));
}

#[test]
fn private_notes_never_reach_cloud() {
    let mut world = world(7, &[LAPTOP, CLOUD, DESKTOP], &[(0, 1), (0, 2), (1, 2)]);
    let word = world.ledger.word(0, true, true);
    save(&mut world, 0, "Accounting/2026/Salaries.md", &format!("{word}\n"));
    save(&mut world, 0, "Plans/a.md", "for everyone\n");
    settle(&mut world);
    assert!(text(&world, 2, "Accounting/2026/Salaries.md").is_some_and(|text| text.contains(&word)));
    let cloud = &world.nodes[1];
    assert!(cloud.store.entries.iter().all(|kept| kept.signed.log.audience == Audience::All));
    let held = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).contains(&word);
    assert!(!cloud.store.payloads.values().any(held) && !cloud.disk.files.values().any(held));
    assert!(text(&world, 1, "Plans/a.md").is_some());
}

#[test]
fn three_nodes_relay_for_each_other() {
    let mut world = world(8, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[(0, 1), (0, 2)]);
    world.partition(0, 2, 30_000);
    save(&mut world, 1, "Updates/a.md", "from cloud\n");
    pass(&mut world, 20_000);
    world.crash(1, 300_000);
    pass(&mut world, 60_000);
    assert_eq!(text(&world, 2, "Updates/a.md").as_deref(), Some("from cloud\n"));
    save(&mut world, 2, "Updates/b.md", "from desktop\n");
    pass(&mut world, 300_000);
    assert_eq!(text(&world, 1, "Updates/b.md").as_deref(), Some("from desktop\n"));
}
