//! Single stories, each told by its name.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_crdt::conflict::ConflictKind;
use aiemp_node::core::{Answer, Brain, Core, Input, Question};
use aiemp_protocol::{
    entry::{Entry, FileKind, Item, SignedEntry},
    frame::Frame,
    freeze::{Brake, FreezeRecord},
    ids::{Audience, ContentHash, FileId, LogId},
    replication::FreezeReason,
    roster::Role,
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};
use aiemp_tests::{
    brake, check, executor, people,
    world::{Cast, World},
};

pub(super) const LAPTOP: Cast = ("laptop", Role::Local, Brain::None);
const CLOUD: Cast = ("cloud", Role::Cloud, Brain::Template);
pub(super) const IDLE_CLOUD: Cast = ("cloud", Role::Cloud, Brain::None);
pub(super) const DESKTOP: Cast = ("desktop", Role::Local, Brain::None);

pub(super) fn world(seed: u64, cast: &[Cast], links: &[(usize, usize)]) -> World {
    let mut world = World::new(seed, cast, links).expect("a mesh is founded");
    pass(&mut world, 10_000);
    world
}

pub(super) fn pass(world: &mut World, ms: u64) {
    world.run_for(ms).expect("nothing goes wrong");
}

pub(super) fn settle(world: &mut World) {
    world.heal();
    pass(world, 120_000);
    check::healed(world).expect("the mesh heals");
}

pub(super) fn path(text: &str) -> VaultPath {
    VaultPath::parse(text).expect("a path")
}

pub(super) fn save(world: &mut World, node: usize, at: &str, text: &str) {
    people::save(world, node, path(at), text.as_bytes().to_vec());
}

pub(super) fn text(world: &World, node: usize, at: &str) -> Option<String> {
    world.nodes[node].disk.files.get(&path(at)).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn folder(world: &World, node: usize, prefix: &str) -> Vec<String> {
    let paths = world.nodes[node].disk.files.keys().map(ToString::to_string);
    paths.filter(|path| path.starts_with(prefix) && path.ends_with(".md")).collect()
}

pub(super) fn core(world: &World, node: usize) -> &Core {
    world.nodes[node].core.as_ref().expect("the node runs")
}

pub(super) fn log_of(world: &World, node: usize) -> LogId {
    core(world, node).replication().own_log(Audience::All)
}

/// Another name for a file, given by the person.
pub(super) fn rename(world: &mut World, node: usize, names: &[(&str, &str)]) {
    let files = &mut world.nodes[node].disk.files;
    let moved: Vec<_> =
        names.iter().map(|(from, to)| (path(to), files.remove(&path(from)).expect("it is there"))).collect();
    files.extend(moved);
    for (from, to) in names {
        world.touched(node, path(from));
        world.touched(node, path(to));
    }
}

/// An entry of this node that creates a note, as it may or may not write it.
fn forged(world: &World, node: usize, log: LogId, at: &str, text: &[u8]) -> Frame {
    let (mesh, epoch) = {
        let chain = world.nodes[node].rosters();
        (chain.current().mesh, chain.current().epoch)
    };
    let zone = if at.starts_with("Approved/") { Zone::Owner } else { Zone::Drafts };
    let file = FileId { zone, hash: aiemp_keys::Hash::of_content(at.as_bytes()) };
    let (base, length) = (ContentHash::of(text), text.len() as u64);
    let item = Item::New { file, path: path(at), kind: FileKind::Note, base, length };
    let entry = Entry { seq: 1, epoch, hlc: world.time(), seen: Vec::new(), items: vec![item] };
    let signed = SignedEntry::sign(&world.nodes[node].signer(), mesh, log, None, entry);
    Frame::Entry { log, cose: signed.cose, payloads: vec![Some(text.to_vec())] }
}

/// Hands a node the entries of a log as a peer that relays them would.
pub(super) fn relay(world: &mut World, to: usize, from: usize, log: LogId) {
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
    let frame = forged(&world, 1, log, "Approved/forged.md", b"approved by nobody\n");
    world.executor.hostile = BTreeSet::from([log]);
    let peer = world.nodes[1].id();
    world.input(0, Input::FrameReceived { peer, frame }).expect("it takes the frame");
    save(&mut world, 2, "Plans/a.md", "honest\n");
    pass(&mut world, 20_000);
    let frozen = core(&world, 0).replication().frozen().get(&log).map(|frozen| frozen.reason);
    assert_eq!(frozen, Some(FreezeReason::ForeignZone));
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

#[test]
fn logs_of_generations_that_nobody_may_reach_are_not_taken() {
    let mut world = world(9, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let peer = world.nodes[1].id();
    for (generation, taken) in [(16, 1), (17, 0), (u64::MAX, 0)] {
        let log = LogId { generation, ..log_of(&world, 1) };
        let frame = forged(&world, 1, log, &format!("Plans/{generation}.md"), b"one\n");
        world.input(0, Input::FrameReceived { peer, frame }).expect("it takes the frame");
        pass(&mut world, 5_000);
        assert_eq!(world.nodes[0].store.length(log), taken, "generation {generation}");
    }
}

#[test]
fn a_name_that_changes_its_case_is_one_file() {
    let mut world = world(10, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, "Plans/note.md", "one\n");
    pass(&mut world, 15_000);
    rename(&mut world, 0, &[("Plans/note.md", "Plans/Note.md")]);
    settle(&mut world);
    assert_eq!((text(&world, 1, "Plans/note.md"), text(&world, 1, "Plans/Note.md").as_deref()), (None, Some("one\n")));
    save(&mut world, 1, "Plans/Note.md", "one\ntwo\n");
    settle(&mut world);
    assert_eq!(text(&world, 0, "Plans/Note.md").as_deref(), Some("one\ntwo\n"));
}

#[test]
fn two_notes_that_exchange_their_names_do_so_everywhere() {
    let mut world = world(11, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, "Plans/a.md", "first\n");
    save(&mut world, 0, "Plans/b.md", "second\n");
    pass(&mut world, 15_000);
    rename(&mut world, 0, &[("Plans/a.md", "Plans/c.md")]);
    pass(&mut world, 15_000);
    world.partition(0, 1, 40_000);
    rename(&mut world, 0, &[("Plans/b.md", "Plans/a.md")]);
    pass(&mut world, 15_000);
    rename(&mut world, 0, &[("Plans/c.md", "Plans/b.md")]);
    settle(&mut world);
    let texts = ["Plans/a.md", "Plans/b.md", "Plans/c.md"].map(|at| text(&world, 1, at));
    assert_eq!(texts, [Some("second\n".to_owned()), Some("first\n".to_owned()), None]);
}

#[test]
fn a_note_that_changes_beyond_what_a_change_holds_starts_anew() {
    let mut world = world(12, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, "Plans/a.md", "a line\n");
    pass(&mut world, 15_000);
    let after = "🦀".repeat((1 << 18) - 1);
    save(&mut world, 0, "Plans/a.md", &after);
    settle(&mut world);
    assert!(text(&world, 1, "Plans/a.md").is_some_and(|text| text == after));
}

#[test]
fn two_long_logs_that_name_each_other_arrive_without_a_pause() {
    let mut world = world(13, &[LAPTOP, IDLE_CLOUD, DESKTOP], &[(0, 1), (0, 2)]);
    world.crash(2, 1_000_000);
    for number in 0..180 {
        save(&mut world, number % 2, &format!("Plans/{number}.md"), "text\n");
        pass(&mut world, 5_000);
    }
    pass(&mut world, 99_000);
    let lengths = |world: &World, node: usize| [0, 1].map(|of| world.nodes[node].store.length(log_of(world, of)));
    assert_eq!(lengths(&world, 2), [0, 0]);
    assert!(lengths(&world, 0).into_iter().all(|length| length >= 90));
    // Some 10 s to connect, and what the slow disk takes for each entry.
    pass(&mut world, 60_000);
    assert_eq!(lengths(&world, 2), lengths(&world, 0));
}

#[test]
fn a_secret_in_history_holds_up_nothing_else() {
    let mut world = world(14, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    world.partition(0, 1, 40_000);
    save(&mut world, 0, "Plans/a.md", "the password is correct-horse-7\n");
    pass(&mut world, 10_000);
    world.nodes[0].secrets.push("correct-horse-7".to_owned());
    world.crash(0, 1_000);
    pass(&mut world, 10_000);
    save(&mut world, 0, "Plans/b.md", "nothing secret\n");
    pass(&mut world, 100_000);
    assert_eq!(text(&world, 1, "Plans/b.md").as_deref(), Some("nothing secret\n"));
    let held = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).contains("correct-horse-7");
    assert!(!world.nodes[1].store.payloads.values().any(held));
}

#[test]
fn a_draft_whose_content_is_missing_does_not_hold_up_the_list() {
    let mut world = world(15, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let peer = world.nodes[1].id();
    let Frame::Entry { log, cose, .. } =
        forged(&world, 1, log_of(&world, 1), "Pending_Approval/email/a.md", b"never served\n")
    else {
        unreachable!("an entry")
    };
    world
        .input(0, Input::FrameReceived { peer, frame: Frame::Entry { log, cose, payloads: vec![None] } })
        .expect("taken");
    pass(&mut world, 5_000);
    for request in [901, 902] {
        world.input(0, Input::Asked { request, question: Question::Drafts }).expect("asked");
        pass(&mut world, 2_000);
        let Some(Answer::Drafts { drafts, .. }) = world.nodes[0].answers.get(&request) else {
            panic!("{request} is not answered")
        };
        assert_eq!(drafts[0].blocked_by, ["its content has not arrived yet"]);
    }
}

#[test]
fn a_sent_draft_that_must_not_be_copied_stays_in_sight() {
    let mut sent = 0;
    for seed in 0..16 {
        let mut world = world(seed, &[LAPTOP], &[]);
        let note = "---\naction: email\nto: a@client.test\nsubject: Hello\n---\n\ncorrect-horse-7\n";
        save(&mut world, 0, "Pending_Approval/email/a.md", note);
        pass(&mut world, 15_000);
        world.nodes[0].secrets.push("correct-horse-7".to_owned());
        world.crash(0, 1_000);
        pass(&mut world, 15_000);
        executor::review(&mut world).expect("the person looks");
        pass(&mut world, 60_000);
        sent += world.executor.sent_count();
        assert!(world.nodes[0].disk.files.values().any(|bytes| bytes == note.as_bytes()), "seed {seed}");
    }
    assert!(sent > 2, "the provider took {sent}");
}

#[test]
fn an_edit_that_a_relay_withholds_holds_up_only_itself() {
    let mut world = world(16, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 1, "Plans/a.md", "one\n");
    pass(&mut world, 15_000);
    world.partition(0, 1, 60_000);
    for text in ["one\ntwo\n", "one\ntwo\nthree\n"] {
        save(&mut world, 1, "Plans/a.md", text);
        pass(&mut world, 5_000);
    }
    let (log, peer) = (log_of(&world, 1), world.nodes[1].id());
    world.input(0, Input::PeerConnected(peer)).expect("a session");
    for (withheld, entry) in [true, false].into_iter().zip(world.nodes[1].store.read(log, 2, 2)) {
        let payloads = if withheld { vec![None] } else { entry.payloads };
        let frame = Frame::Entry { log, cose: entry.cose, payloads };
        world.input(0, Input::FrameReceived { peer, frame }).expect("it takes the frame");
        pass(&mut world, 5_000);
    }
    save(&mut world, 0, "Plans/a.md", "zero\none\n");
    pass(&mut world, 5_000);
    assert_eq!(text(&world, 0, "Plans/a.md").as_deref(), Some("zero\none\n"));
    world.input(0, Input::PeerDisconnected(peer)).expect("it ends");
    settle(&mut world);
    assert_eq!(text(&world, 0, "Plans/a.md").as_deref(), Some("zero\none\ntwo\nthree\n"));
}

#[test]
fn a_local_stops_every_brain_and_only_the_person_lets_it_go_on() {
    let mut world = world(80, &[LAPTOP, CLOUD, DESKTOP], &[(0, 1), (1, 2)]);
    // The desktop reaches the laptop through Cloud alone.
    brake::freeze(&mut world, 2).expect("the desktop freezes");
    pass(&mut world, 2_000);
    let stopped = |world: &World| [0, 1, 2].map(|node| core(world, node).replication().is_stopped());
    assert_eq!(stopped(&world), [true; 3]);
    save(&mut world, 1, "Inbox/m.eml", &String::from_utf8_lossy(&people::mail(1, "please")));
    pass(&mut world, 60_000);
    let drafts = |world: &World| folder(world, 1, "Pending_Approval/");
    assert_eq!((folder(&world, 1, "Needs_Action/").len(), drafts(&world).len()), (1, 0), "taken in, not drafted");
    world.crash(1, 1_000);
    pass(&mut world, 60_000);
    assert_eq!((stopped(&world), drafts(&world).len()), ([true; 3], 0), "it survives a restart");
    brake::unfreeze(&mut world).expect("the person lifts");
    pass(&mut world, 60_000);
    assert_eq!((stopped(&world), drafts(&world).len()), ([false; 3], 1));
}

#[test]
fn a_cloud_that_freezes_stops_itself_alone_and_cannot_lift() {
    let mut world = world(81, &[LAPTOP, CLOUD], &[(0, 1)]);
    brake::freeze(&mut world, 1).expect("Cloud freezes");
    pass(&mut world, 2_000);
    let stopped = |world: &World| [0, 1].map(|node| core(world, node).replication().is_stopped());
    assert_eq!(stopped(&world), [false, true]);
    brake::freeze(&mut world, 0).expect("the laptop freezes");
    pass(&mut world, 2_000);
    // A lift that Cloud signs, for the laptop and for itself.
    let (mesh, cloud) = (world.nodes[0].rosters().current().mesh, world.nodes[1].signer());
    let forged = [0, 1].map(|node| {
        let at = world.time();
        FreezeRecord { brake: Brake::Lifted, node: world.nodes[node].id(), at }.sign(&cloud, mesh)
    });
    let (peer, frame) = (world.nodes[1].id(), Frame::Freeze { records: forged.to_vec() });
    world.input(0, Input::FrameReceived { peer, frame }).expect("the laptop lives on");
    pass(&mut world, 2_000);
    assert_eq!(stopped(&world), [true, true]);
    brake::unfreeze(&mut world).expect("the person lifts both");
    pass(&mut world, 2_000);
    assert_eq!(stopped(&world), [false, false]);
    settle(&mut world);
}

pub(super) fn undo(world: &mut World, author: usize, since: Timestamp) -> (usize, Vec<String>) {
    let question = Question::Undo { author: world.nodes[author].id(), since };
    world.input(0, Input::Asked { request: 77, question }).expect("nothing goes wrong");
    pass(world, 30_000);
    match world.nodes[0].answers.remove(&77) {
        Some(Answer::Undone { undone, left }) => (undone, left.iter().map(ToString::to_string).collect()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_cloud_did_is_taken_back_and_what_others_did_stays() {
    let mut world = world(90, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let before = "# Plan\n\nfirst\nsecond\n";
    for name in ["Plans/edited.md", "Plans/moved.md", "Plans/deleted.md", "Plans/both.md", "Plans/alone.md"] {
        save(&mut world, 0, name, before);
    }
    save(&mut world, 0, "Plans/data.bin", "bytes\0before");
    pass(&mut world, 30_000);
    let shared = |world: &World| -> BTreeMap<String, Vec<u8>> {
        let files = world.nodes[0].disk.files.iter().map(|(path, bytes)| (path.to_string(), bytes.clone()));
        files.filter(|(path, _)| path.starts_with("Plans/")).collect()
    };
    let expected = shared(&world);
    let since = world.time();
    pass(&mut world, 1_000);
    save(&mut world, 1, "Plans/edited.md", "ALL YOUR NOTES\n");
    save(&mut world, 1, "Plans/data.bin", "bytes\0after");
    save(&mut world, 1, "Plans/both.md", "# Plan\n\nfirst\nEVIL\nsecond\n");
    save(&mut world, 1, "Plans/new.md", "buy from me\n");
    save(&mut world, 1, "Plans/adopted.md", "buy from me\n");
    let bytes = world.nodes[1].disk.files.remove(&path("Plans/moved.md")).expect("it lies there");
    world.nodes[1].disk.files.insert(path("Plans/hidden.md"), bytes);
    world.nodes[1].disk.files.remove(&path("Plans/deleted.md"));
    for at in ["Plans/moved.md", "Plans/hidden.md", "Plans/deleted.md"] {
        world.touched(1, path(at));
    }
    pass(&mut world, 60_000);
    assert_ne!(shared(&world), expected);
    save(&mut world, 0, "Plans/both.md", "# Plan\n\nfirst\nEVIL\nsecond\nthird, by me\n");
    save(&mut world, 0, "Plans/adopted.md", "buy from me, or not\n");
    pass(&mut world, 30_000);
    let (undone, left) = undo(&mut world, 1, since);
    assert_eq!((undone, left), (6, vec!["Plans/adopted.md".to_owned()]));
    let mut expected = expected;
    expected.insert("Plans/both.md".to_owned(), b"# Plan\n\nfirst\nsecond\nthird, by me\n".to_vec());
    expected.insert("Plans/adopted.md".to_owned(), b"buy from me, or not\n".to_vec());
    assert_eq!(shared(&world), expected);
    assert_eq!(undo(&mut world, 1, since), (0, vec!["Plans/adopted.md".to_owned()]), "once is enough");
    settle(&mut world);
}

#[test]
fn what_hides_behind_a_later_write_is_taken_back_too() {
    let mut world = world(91, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let before = "# Plan\n\nfirst\nsecond\n";
    for at in ["Plans/replaced.md", "Plans/gone.md"] {
        save(&mut world, 0, at, before);
    }
    pass(&mut world, 30_000);
    let since = world.time();
    pass(&mut world, 1_000);
    for at in ["Plans/replaced.md", "Plans/gone.md"] {
        save(&mut world, 1, at, "# Plan\n\nfirst\nEVIL\nsecond\n");
    }
    pass(&mut world, 30_000);
    // The other content and kind hide the edit, and so does the archive.
    save(&mut world, 1, "Plans/replaced.md", "bytes\0instead");
    world.nodes[1].disk.files.remove(&path("Plans/gone.md"));
    world.touched(1, path("Plans/gone.md"));
    pass(&mut world, 30_000);
    assert_eq!(text(&world, 0, "Plans/gone.md"), None);
    undo(&mut world, 1, since);
    for at in ["Plans/replaced.md", "Plans/gone.md"] {
        assert_eq!(text(&world, 0, at).as_deref(), Some(before), "{at}");
    }
    settle(&mut world);
}

#[test]
fn a_content_with_as_many_changes_as_the_one_before_is_written_too() {
    let mut world = world(92, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    save(&mut world, 0, "Plans/a.md", "one\n");
    pass(&mut world, 30_000);
    save(&mut world, 1, "Plans/a.md", "one\ntwo\n");
    pass(&mut world, 30_000);
    let since = world.time();
    pass(&mut world, 1_000);
    for text in ["bytes\0instead", "other\n", "other\nand more\n"] {
        save(&mut world, 1, "Plans/a.md", text);
        pass(&mut world, 30_000);
    }
    undo(&mut world, 1, since);
    assert_eq!(text(&world, 0, "Plans/a.md").as_deref(), Some("one\ntwo\n"));
    settle(&mut world);
}

#[test]
fn a_digest_of_a_private_note_in_a_draft_of_clouds_shows_nothing() {
    let mut world = world(93, &[LAPTOP, IDLE_CLOUD], &[(0, 1)]);
    let private = "my private word\n";
    save(&mut world, 0, "Private/p.md", private);
    pass(&mut world, 30_000);
    let (log, peer) = (log_of(&world, 1), world.nodes[1].id());
    let Frame::Entry { cose, .. } = forged(&world, 1, log, "Plans/guess.md", private.as_bytes()) else { return };
    world.executor.hostile.insert(log);
    let frame = Frame::Entry { log, cose, payloads: vec![None] };
    world.input(0, Input::FrameReceived { peer, frame }).expect("it takes the frame");
    pass(&mut world, 60_000);
    assert_eq!(text(&world, 0, "Plans/guess.md"), None, "what came with no shared entry is not shown in one");
    assert_eq!(text(&world, 0, "Private/p.md").as_deref(), Some(private));
}
