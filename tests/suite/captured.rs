//! What a captured Cloud says of a note of the person's, entry by entry.

use aiemp_crdt::document::{self, Document};
use aiemp_node::core::{Brain, Core, Input};
use aiemp_protocol::{
    entry::{Entry, FieldWrite, FileKind, Item, SignedEntry},
    frame::Frame,
    ids::{Audience, ContentHash, FileId, LogId},
    roster::Role,
    vault_path::VaultPath,
};
use aiemp_tests::{people, world::World};

const NOTE: &str = "Plans/a.md";

fn core(world: &World) -> &Core {
    world.nodes[0].core.as_ref().expect("it runs")
}

fn path() -> VaultPath {
    VaultPath::parse(NOTE).expect("a path")
}

fn save(world: &mut World, text: &str) {
    people::save(world, 0, path(), text.as_bytes().to_vec());
    world.run_for(30_000).expect("nothing goes wrong");
}

/// A Local with one note whose Cloud is in other hands.
fn captured(seed: u64, texts: &[&str]) -> (World, FileId) {
    let cast = [("laptop", Role::Local, Brain::None), ("cloud", Role::Cloud, Brain::None)];
    let mut world = World::new(seed, &cast, &[(0, 1)]).expect("a mesh is founded");
    world.run_for(10_000).expect("nothing goes wrong");
    texts.iter().for_each(|text| save(&mut world, text));
    world.capture(1);
    let file = core(&world).file_at(&path()).expect("it is there");
    (world, file)
}

/// Cloud says its first entry.
fn say(world: &mut World, items: Vec<Item>, payloads: Vec<Option<Vec<u8>>>) {
    let chain = world.nodes[0].rosters();
    let (mesh, epoch, peer) = (chain.current().mesh, chain.current().epoch, world.nodes[1].id());
    let seen = core(world).replication().frontier().filter(|at| at.log.audience == Audience::All).collect();
    let log = LogId { author: peer, generation: 0, audience: Audience::All };
    let entry = Entry { seq: 1, epoch, hlc: world.time(), seen, items };
    let cose = SignedEntry::sign(&world.nodes[1].signer(), mesh, log, None, entry).cose;
    world.input(0, Input::PeerConnected(peer)).expect("it comes");
    let frame = Frame::Entry { log, cose, payloads };
    world.input(0, Input::FrameReceived { peer, frame }).expect("it takes the frame");
    world.run_for(60_000).expect("nothing goes wrong");
}

fn shown(world: &World) -> Option<String> {
    world.nodes[0].disk.files.get(&path()).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

/// A content is a note by what it is: its edits show, whatever a member calls it.
#[test]
fn a_note_that_is_called_bytes_shows_its_edits_everywhere() {
    let (mut world, file) = captured(9, &["one\n", "one\ntwo\n"]);
    say(&mut world, vec![Item::Set { file, write: FieldWrite::Kind(FileKind::Blob) }], vec![]);
    assert_eq!(shown(&world).as_deref(), Some("one\ntwo\n"));
}

/// Where the note was not open when they came, and both are vetted at once, as where it was.
#[test]
fn what_follows_a_refused_change_of_its_author_is_refused_too() {
    let (mut world, file) = captured(10, &["one\n"]);
    let base = ContentHash::of(b"one\n");
    let actor = |lane| document::actor(world.nodes[1].id(), document::doc_id(file, base), 0, lane);
    let edit = |text: &str, lane| Document::import("one\n").edit(text, actor(lane)).expect("the texts differ");
    let changes = [edit("one\nbad\n", 99), edit("one\nafter it\n", 0)];
    let item = |raw: &Vec<u8>| Item::Change { file, base, length: raw.len() as u64, hash: ContentHash::of(raw) };
    let (items, payloads) = (changes.iter().map(item).collect(), changes.iter().cloned().map(Some).collect());
    say(&mut world, items, payloads);
    assert_eq!(shown(&world).as_deref(), Some("one\n"));
    assert!(world.accusations > 0, "Cloud is told on");
}
