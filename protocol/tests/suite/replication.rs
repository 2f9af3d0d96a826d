//! Replication against one peer whose every word is under the test's control: what waits, what is told, what is believed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aiemp_keys::{FingerprintKey, Fingerprints, NodeId, Signer};
use aiemp_protocol::{
    egress::Guard,
    entry::{ContentRef, Entry, FieldWrite, FileKind, Item, Position, SignedEntry},
    frame::{Frame, frontier_digest},
    ids::{Audience, ContentHash, EntryHash, FileId, LogId},
    limits::HLC_AHEAD_MAX,
    replication::{
        EffectId, EntryWithPayloads, FreezeReason, Frozen, Input, Output, PeerFault, Record, Replication, Room, Start,
        StoredEntry, WaitReason,
    },
    roster::{ClosedLog, Member, Quota, Role, RosterChain, SignedRoster},
    time::Timestamp,
    vault_path::VaultPath,
    zone::Zone,
};

use crate::mesh::{NOW, owner};

mod parts;

const DAY: Duration = Duration::from_secs(86_400);

/// A Local node's machine, what it stored, and the key of the Cloud that it talks to.
struct World {
    owner: crate::mesh::Owner,
    cloud: Signer,
    machine: Replication,
    now: Timestamp,
    entries: Vec<(EntryWithPayloads, Timestamp)>,
    frozen: BTreeMap<LogId, Frozen>,
    room: Room,
    /// What Cloud signs next follows this.
    prev: Option<EntryHash>,
    seq: u64,
}

impl World {
    /// Takes in files saved here.
    fn saves(&mut self, files: std::ops::Range<u64>) {
        for number in files {
            let items = vec![self.new_file(number, b"x")];
            self.handle(Input::AppendRequested { audience: Audience::All, items, payloads: vec![Some(b"x".to_vec())] });
        }
    }

    /// What the store holds of the own log, some entries from this one on.
    fn stored(&self, from_seq: u64, count: u64) -> Vec<StoredEntry> {
        let entries = self.entries.iter().map(|(entry, _)| entry).skip(from_seq as usize - 1).take(count as usize);
        let stored = |entry: &EntryWithPayloads| StoredEntry {
            log: entry.signed.log,
            cose: entry.signed.cose.clone(),
            payloads: entry.payloads.clone(),
        };
        entries.map(stored).collect()
    }
}

/// What became of an input.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    applied: Vec<u64>,
    sent: Vec<Frame>,
    closed: Vec<PeerFault>,
    waits: Vec<WaitReason>,
    frozen: Vec<FreezeReason>,
    generations: Vec<u64>,
    forks: usize,
    /// Entries of its own log that are read to be sent: the effect, the first, and how many.
    reads: Vec<(EffectId, u64, u64)>,
}

impl World {
    fn new(quota: Quota, room: Room) -> Self {
        let mut owner = owner(20);
        let cloud = Signer::from_seed([77; 32]);
        let mut next = owner.rosters.current().successor(NOW);
        let (node, name) = (cloud.node_id(), "cloud".to_owned());
        next.members.push(Member { node, name, role: Role::Cloud, generation_min: 0, quota });
        owner.rosters.extend(&SignedRoster::sign(&owner.root, next).to_bytes()).expect("follows");
        let machine = machine(&owner.node, &owner.rosters, room, BTreeMap::new());
        let (entries, frozen) = (Vec::new(), BTreeMap::new());
        let mut world = Self { owner, cloud, machine, now: NOW, entries, frozen, room, prev: None, seq: 0 };
        world.connect();
        world
    }

    fn usual() -> Self {
        Self::new(Quota::default(), Room::default())
    }

    fn connect(&mut self) -> Told {
        let peer = self.peer();
        self.handle(Input::PeerConnected(peer));
        self.receive(Frame::Frontier { positions: Vec::new() })
    }

    /// The process ends and starts again from what was durable.
    fn restart(&mut self) {
        self.machine = machine(&self.owner.node, &self.owner.rosters, self.room, self.frozen.clone());
        for (entry, received) in self.entries.clone() {
            self.machine.restore(&entry.signed, received);
        }
        self.connect();
    }

    fn peer(&self) -> NodeId {
        self.cloud.node_id()
    }

    fn log(&self) -> LogId {
        LogId { author: self.peer(), generation: 0, audience: Audience::All }
    }

    fn own_log(&self) -> LogId {
        LogId { author: self.owner.executor(), generation: 0, audience: Audience::All }
    }

    fn file(&self, number: u64) -> FileId {
        FileId::fresh(Zone::Drafts, self.log(), number, 0)
    }

    fn new_file(&self, number: u64, text: &[u8]) -> Item {
        let path = VaultPath::parse(&format!("Plans/{number}.md")).expect("a path");
        let (base, length) = (ContentHash::of(text), text.len() as u64);
        Item::New { file: self.file(number), path, kind: FileKind::Note, base, length }
    }

    /// Cloud's next entry, signed.
    fn signed(&mut self, hlc: Timestamp, items: Vec<Item>) -> SignedEntry {
        self.seq += 1;
        let entry = Entry { seq: self.seq, epoch: 2, hlc, seen: Vec::new(), items };
        let mesh = self.owner.rosters.current().mesh;
        let signed = SignedEntry::sign(&self.cloud, mesh, self.log(), self.prev, entry);
        self.prev = Some(signed.hash);
        signed
    }

    /// Cloud writes a note and sends it.
    fn writes(&mut self, text: &[u8]) -> Told {
        let item = self.new_file(self.seq + 1, text);
        let signed = self.signed(self.now, vec![item]);
        self.receive(entry_frame(&signed, vec![Some(text.to_vec())]))
    }

    fn receive(&mut self, frame: Frame) -> Told {
        let peer = self.peer();
        self.handle(Input::FrameReceived { peer, frame })
    }

    fn handle(&mut self, input: Input) -> Told {
        let mut told = Told::default();
        self.machine.handle(self.now, input);
        while let Some(output) = self.machine.poll_output() {
            self.carry_out(output, &mut told);
        }
        told
    }

    fn carry_out(&mut self, output: Output, told: &mut Told) {
        match output {
            Output::Persist(effect, record) => {
                match record {
                    Record::Entry { entry, received } => self.entries.push((entry, received)),
                    Record::Frozen { log, reason, evidence } => {
                        self.frozen.insert(log, Frozen { reason, evidence });
                    }
                    Record::Payload(..) | Record::Roster(_) => {}
                }
                self.machine.handle(self.now, Input::Persisted(effect));
            }
            Output::Screen { effect, changes } => {
                let passed = changes.iter().map(|change| change.starts_with(b"honest")).collect();
                self.machine.handle(self.now, Input::ChangesScreened(effect, passed));
            }
            Output::SendFrame { frame, .. } => told.sent.push(frame.into_inner()),
            Output::Apply { entry, .. } => told.applied.push(entry.signed.entry.seq),
            Output::ClosePeer { fault, .. } => told.closed.push(fault),
            Output::ReportWaiting { reason, .. } => told.waits.push(reason),
            Output::ReportFrozen { reason, .. } => told.frozen.push(reason),
            Output::ReportRestored { generation } => told.generations.push(generation),
            Output::ReportRosterFork { .. } => told.forks += 1,
            Output::ReadEntries { effect, from_seq, count, .. } => told.reads.push((effect, from_seq, count)),
            Output::ReadPayload { .. }
            | Output::PayloadArrived(_)
            | Output::RosterInstalled
            | Output::ReportDropped { .. }
            | Output::ReportDiverged { .. }
            | Output::ReportWithheld { .. }
            | Output::BrakeChanged { .. } => {}
        }
    }
}

fn machine(node: &Signer, rosters: &RosterChain, room: Room, frozen: BTreeMap<LogId, Frozen>) -> Replication {
    Replication::new(Start {
        signer: node.clone(),
        rosters: rosters.clone(),
        guard: Guard::new(Fingerprints::new(FingerprintKey::from_bytes([1; 32]))),
        has_brain: false,
        room,
        frozen,
        missing: BTreeSet::new(),
    })
}

fn entry_frame(signed: &SignedEntry, payloads: Vec<Option<Vec<u8>>>) -> Frame {
    Frame::Entry { log: signed.log, cose: signed.cose.clone(), payloads }
}

#[test]
fn a_member_that_wrote_its_fill_waits_for_the_next_day_also_after_a_restart() {
    let mut world = World::new(Quota { entries_per_day: 2, bytes_per_day: 1 << 30 }, Room::default());
    assert_eq!(world.writes(b"one").applied, [1]);
    assert_eq!(world.writes(b"two").applied, [2]);
    world.restart();
    let told = world.writes(b"three");
    assert_eq!((told.waits, told.applied, told.closed), (vec![WaitReason::EntriesToday], vec![], vec![]));
    assert_eq!(world.machine.waiting().collect::<Vec<_>>(), [(world.log(), WaitReason::EntriesToday)]);
    assert_eq!(world.writes(b"four"), Told::default(), "told once, and passed over");
    assert_eq!(world.machine.usage_of(world.peer(), world.now).entries_today, 2);
    world.now = world.now + DAY;
    let fetches = world.handle(Input::TimeoutReached).sent;
    assert!(fetches.iter().any(|frame| matches!(frame, Frame::Fetch { from_seq: 3, .. })), "{fetches:?}");
    assert_eq!(world.machine.usage_of(world.peer(), world.now).entries_today, 0);
}

#[test]
fn bytes_count_as_they_are_named_whether_they_came_or_not() {
    let mut world = World::new(Quota { entries_per_day: 9, bytes_per_day: 2_000 }, Room::default());
    let item = world.new_file(1, &[0; 3_000]);
    let signed = world.signed(NOW, vec![item]);
    assert_eq!(world.receive(entry_frame(&signed, vec![None])).waits, [WaitReason::BytesToday]);
    let mut world = World::new(Quota::default(), Room { files: 9, bytes: 2_000 });
    // Also where it is only named once more.
    let content = ContentRef { hash: ContentHash::of(b"of another file"), length: 3_000 };
    let item = Item::Set { file: world.file(1), write: FieldWrite::Base(content) };
    let signed = world.signed(NOW, vec![item]);
    assert_eq!(world.receive(entry_frame(&signed, vec![None])).waits, [WaitReason::BytesInAll]);
}

#[test]
fn more_files_than_there_is_room_for_wait_until_one_is_archived() {
    let mut world = World::new(Quota::default(), Room { files: 2, bytes: 1 << 30 });
    world.writes(b"one");
    world.writes(b"two");
    assert_eq!(world.writes(b"three").waits, [WaitReason::Files]);
    let archive = Item::Set { file: world.file(1), write: FieldWrite::Archived(true) };
    let append = Input::AppendRequested { audience: Audience::All, items: vec![archive], payloads: Vec::new() };
    world.handle(append);
    assert_eq!(world.machine.usage_of(world.peer(), world.now).files, 1);
    let told = world.handle(Input::TimeoutReached);
    assert!(told.sent.iter().any(|frame| matches!(frame, Frame::Fetch { from_seq: 3, .. })), "{told:?}");
}

#[test]
fn what_a_member_writes_to_after_it_was_archived_is_counted_as_its_own_until_it_is_archived_again() {
    let mut world = World::new(Quota::default(), Room { files: 2, bytes: 1 << 30 });
    world.writes(b"one");
    let file = world.file(1);
    let archive = || Item::Set { file, write: FieldWrite::Archived(true) };
    let edit = || Item::Set { file, write: FieldWrite::Base(ContentRef::of(b"more")) };
    let mut say = |item: Item| {
        let payloads = item.payload().map(|_| Some(b"more".to_vec())).into_iter().collect();
        let signed = world.signed(NOW, vec![item]);
        let told = world.receive(entry_frame(&signed, payloads));
        (world.machine.usage_of(world.peer(), world.now).files, told.waits)
    };
    assert_eq!(say(archive()), (0, vec![]));
    assert_eq!(say(edit()), (1, vec![]));
    assert_eq!(say(edit()), (1, vec![]), "once");
    assert_eq!(say(archive()), (0, vec![]));
    assert_eq!(say(edit()), (1, vec![]));
    assert_eq!(world.writes(b"two").waits, []);
    assert_eq!(world.writes(b"three").waits, [WaitReason::Files], "there is room for one more");
}

#[test]
fn a_full_disk_keeps_peers_waiting_and_nobody_else() {
    let mut world = World::usual();
    world.handle(Input::DiskChecked { full: true });
    assert_eq!(world.writes(b"one").waits, [WaitReason::Disk]);
    let items = vec![world.new_file(9, b"x")];
    let append = Input::AppendRequested { audience: Audience::All, items, payloads: vec![Some(b"x".to_vec())] };
    assert_eq!(world.handle(append).applied, [1], "what is saved here is taken in");
    let told = world.handle(Input::DiskChecked { full: false });
    assert!(told.sent.iter().any(|frame| matches!(frame, Frame::Fetch { from_seq: 1, .. })), "{told:?}");
}

#[test]
fn what_only_a_newer_version_knows_waits_and_freezes_nothing() {
    let mut world = World::usual();
    let item = world.new_file(1, b"x");
    let signed = world.signed(NOW, vec![item]);
    let newer = resigned(&world, &signed, |fields| fields[0] = aiemp_keys::cbor::uint(2));
    let told = world.receive(Frame::Entry { log: world.log(), cose: newer, payloads: vec![None] });
    assert_eq!((told.waits, told.frozen, told.closed), (vec![WaitReason::NewerVersion], vec![], vec![]));
}

/// Whoever had the key for a while may have written ahead in the log in which the true member goes on.
#[test]
fn what_only_a_newer_version_knows_keeps_no_place_from_an_entry_that_this_one_knows() {
    let mut world = World::usual();
    let honest = world.signed(NOW, vec![world.new_file(1, b"one")]);
    let newer = resigned(&world, &honest, |fields| fields[0] = aiemp_keys::cbor::uint(2));
    let newer = Frame::Entry { log: world.log(), cose: newer, payloads: vec![None] };
    assert_eq!(world.receive(newer.clone()).waits, [WaitReason::NewerVersion]);
    assert_eq!(world.receive(newer.clone()), Told::default(), "told once");
    assert_eq!(world.receive(entry_frame(&honest, vec![Some(b"one".to_vec())])).applied, [1]);
    assert_eq!(world.machine.waiting().count(), 0);
    assert_eq!(world.writes(b"two").applied, [2]);
    assert_eq!(world.receive(newer).frozen, [FreezeReason::Equivocation], "its place is taken");
}

#[test]
fn what_follows_an_entry_that_only_a_newer_version_knows_waits_with_it() {
    let mut world = World::usual();
    let signed = world.signed(NOW, vec![world.new_file(1, b"one")]);
    let newer = resigned(&world, &signed, |fields| fields[0] = aiemp_keys::cbor::uint(2));
    world.receive(Frame::Entry { log: world.log(), cose: newer, payloads: vec![None] });
    assert_eq!(world.writes(b"two"), Told::default());
    assert_eq!(world.machine.waiting().collect::<Vec<_>>(), [(world.log(), WaitReason::NewerVersion)]);
}

#[test]
fn nothing_waits_in_a_log_that_a_roster_ended() {
    let mut world = World::usual();
    let entry = Entry { seq: 1, epoch: 9, hlc: NOW, seen: Vec::new(), items: vec![world.new_file(1, b"one")] };
    let mesh = world.owner.rosters.current().mesh;
    let signed = SignedEntry::sign(&world.cloud, mesh, world.log(), None, entry);
    world.receive(entry_frame(&signed, vec![Some(b"one".to_vec())]));
    assert!(world.machine.lacks_past(world.log()), "the roster of its epoch is not held");
    let mut next = world.owner.rosters.current().successor(NOW);
    next.members[1].generation_min = 1;
    world.owner.rosters.extend(&SignedRoster::sign(&world.owner.root, next).to_bytes()).expect("follows");
    world.handle(Input::RosterChanged(world.owner.rosters.clone()));
    assert!(!world.machine.lacks_past(world.log()));
}

#[test]
fn what_shows_that_a_log_is_invalid_is_handed_to_every_peer() {
    let mut world = World::usual();
    let owners = FileId::fresh(Zone::Owner, world.log(), 1, 0);
    let signed = world.signed(NOW, vec![Item::Set { file: owners, write: FieldWrite::Archived(true) }]);
    let told = world.receive(entry_frame(&signed, Vec::new()));
    assert_eq!(told.frozen, [FreezeReason::ForeignZone]);
    let evidence = |sent: &[Frame]| sent.contains(&entry_frame(&signed, Vec::new()));
    assert!(evidence(&told.sent), "{told:?}");
    world.restart();
    let hello = Frame::Hello { epoch: 2, roster: roster_hash(&world), frontier: roster_hash(&world), has_brain: false };
    assert!(evidence(&world.receive(hello).sent), "also after a restart");
}

#[test]
fn what_a_document_said_is_no_word_of_cloud() {
    let mut world = World::usual();
    let (base, length) = (ContentHash::of(b"another"), 7);
    let file = FileId::fresh(Zone::Drafts, world.log(), 1, 0);
    let compacted = Item::Compacted { file, from: ContentHash::of(b"one"), length, base };
    let signed = world.signed(NOW, vec![world.new_file(1, b"one"), compacted]);
    let told = world.receive(entry_frame(&signed, vec![None, None]));
    assert_eq!(told.frozen, [FreezeReason::ForeignZone], "though it may replace the whole of it");
}

#[test]
fn a_member_that_signed_two_entries_goes_on_once_the_root_key_says_which_stands() {
    let mut world = World::usual();
    let first = world.signed(NOW, vec![world.new_file(1, b"one")]);
    world.receive(entry_frame(&first, vec![None]));
    (world.seq, world.prev) = (0, None);
    let second = world.signed(NOW, vec![world.new_file(1, b"two")]);
    assert_eq!(world.receive(entry_frame(&second, vec![None])).frozen, [FreezeReason::Equivocation]);
    let mut next = world.owner.rosters.current().successor(NOW);
    next.closed.push(ClosedLog { log: world.log(), seq: 1, hash: first.hash.0 });
    next.members[1].generation_min = 1;
    let bytes = SignedRoster::sign(&world.owner.root, next).to_bytes();
    world.owner.rosters.extend(&bytes).expect("follows");
    world.handle(Input::RosterChanged(world.owner.rosters.clone()));
    assert!(world.machine.frozen().is_empty());
    assert_eq!(world.receive(entry_frame(&second, vec![None])), Told::default(), "it is settled");
    let log = LogId { generation: 1, ..world.log() };
    let entry = Entry { seq: 1, epoch: 3, hlc: NOW, seen: Vec::new(), items: vec![world.new_file(9, b"on")] };
    let signed = SignedEntry::sign(&world.cloud, world.owner.rosters.current().mesh, log, None, entry);
    assert_eq!(world.receive(entry_frame(&signed, vec![Some(b"on".to_vec())])).applied, [1]);
}

#[test]
fn a_peer_that_says_to_hold_more_of_our_log_has_to_show_it() {
    let mut world = World::usual();
    let position = Position { log: world.own_log(), seq: 900, hash: EntryHash(roster_hash(&world)) };
    let told = world.receive(Frame::Frontier { positions: vec![position] });
    assert_eq!(told.generations, Vec::<u64>::new(), "a word alone raises no generation");
    assert_eq!(world.machine.own_log(Audience::All).generation, 0);
    world.now = world.now + Duration::from_secs(61);
    assert_eq!(world.handle(Input::TimeoutReached).closed, [PeerFault::Unshown]);
}

#[test]
fn a_peer_that_never_shows_what_it_says_to_hold_keeps_our_log_from_others_for_a_while_only() {
    let mut world = World::usual();
    let position = Position { log: world.own_log(), seq: 900, hash: EntryHash(roster_hash(&world)) };
    let mut times = 0;
    loop {
        world.receive(Frame::Frontier { positions: vec![position] });
        if !world.machine.is_suspect(position.log) {
            break;
        }
        times += 1;
        world.now = world.now + Duration::from_secs(61);
        assert_eq!(world.handle(Input::TimeoutReached).closed, [PeerFault::Unshown]);
        assert!(!world.machine.is_suspect(position.log));
        world.connect();
        assert!(times < 10, "it never ends");
    }
    assert_eq!(times, 3);
}

#[test]
fn an_entry_of_ours_that_we_lack_opens_the_next_generation() {
    let mut world = World::usual();
    let entry = Entry { seq: 1, epoch: 2, hlc: NOW, seen: Vec::new(), items: vec![world.new_file(1, b"of before")] };
    let signed = SignedEntry::sign(&world.owner.node, world.owner.rosters.current().mesh, world.own_log(), None, entry);
    let told = world.receive(entry_frame(&signed, vec![Some(b"of before".to_vec())]));
    assert_eq!((told.generations, told.applied), (vec![1], vec![1]));
}

#[test]
fn a_clock_far_ahead_pushes_ours_a_little_and_no_further_after_a_restart() {
    let mut world = World::usual();
    let signed = world.signed(NOW + DAY * 3_650, vec![world.new_file(1, b"late")]);
    world.receive(entry_frame(&signed, vec![Some(b"late".to_vec())]));
    world.restart();
    let items = vec![world.new_file(9, b"x")];
    world.handle(Input::AppendRequested { audience: Audience::All, items, payloads: vec![Some(b"x".to_vec())] });
    let own = &world.entries.last().expect("ours").0.signed.entry;
    assert!(own.hlc <= NOW + HLC_AHEAD_MAX + Duration::from_millis(1), "{}", own.hlc);
}

#[test]
fn an_entry_that_was_never_signed_is_told_from_a_fork() {
    let mut world = World::usual();
    world.writes(b"one");
    let first = world.entries[0].0.signed.clone();
    let forged = world.signed(NOW, vec![world.new_file(2, b"two")]);
    let mut cose = forged.cose.clone();
    *cose.last_mut().expect("bytes") ^= 1;
    let told = world.receive(Frame::Entry { log: world.log(), cose, payloads: vec![None] });
    let asks = Frame::Fetch { log: world.log(), from_seq: 1, count: 1 };
    assert_eq!((told.sent, told.closed), (vec![asks], vec![]), "the fork may lie below");
    assert_eq!(world.receive(entry_frame(&first, vec![None])).closed, [PeerFault::BadSignature]);
}

/// Another roster of epoch 2 by the same root key.
fn forked_roster() -> (aiemp_keys::Hash, Vec<u8>) {
    let mut other = owner(20);
    other.next_epoch();
    let bytes = other.rosters.after(1).next().expect("epoch 2");
    (other.rosters.current().hash(), bytes)
}

#[test]
fn a_peer_that_holds_another_roster_of_an_epoch_is_shown_this_one_once_and_shows_its_own() {
    let (theirs, bytes) = forked_roster();
    // Both hold epoch 2; then this node is ahead, and the peer learns of both.
    for is_ahead in [false, true] {
        let mut world = World::usual();
        let own = world.owner.rosters.after(1).next().expect("epoch 2");
        if is_ahead {
            world.owner.next_epoch();
            world.handle(Input::RosterChanged(world.owner.rosters.clone()));
        }
        let frontier = frontier_digest(&[]);
        let mut hello = || world.receive(Frame::Hello { epoch: 2, roster: theirs, frontier, has_brain: false });
        let own = Frame::Roster { bytes: own };
        assert_eq!(hello().sent.iter().filter(|frame| **frame == own).count(), 1);
        assert!(!hello().sent.contains(&own), "once a session");
        let told = world.receive(Frame::Roster { bytes: bytes.clone() });
        assert_eq!((told.forks, told.closed.len(), told.sent.len()), (1, 0, 0));
    }
    // One that is behind is shown nothing by its hello, for it says nothing of what this node holds.
    let mut world = World::usual();
    let told = world.receive(Frame::Roster { bytes: bytes.clone() });
    assert_eq!((told.forks, told.closed.len(), told.sent.len()), (1, 0, 1), "shown that of this node");
    let told = world.receive(Frame::Roster { bytes });
    assert_eq!((told.forks, told.closed.len()), (0, 1), "and reported once a session");
}

#[test]
fn a_roster_out_of_order_closes_nothing() {
    let mut world = World::usual();
    let mut later = world.owner.rosters.clone();
    for _ in 0..2 {
        let next = later.current().successor(NOW);
        later.extend(&SignedRoster::sign(&world.owner.root, next).to_bytes()).expect("follows");
    }
    let epoch_4 = later.after(3).next().expect("epoch 4");
    assert_eq!(world.receive(Frame::Roster { bytes: epoch_4 }), Told::default());
}

#[test]
fn a_change_that_cannot_be_decoded_is_dropped_and_the_log_goes_on() {
    let mut world = World::usual();
    world.writes(b"base");
    let base = ContentHash::of(b"base");
    let change = |raw: &[u8]| Item::Change {
        file: FileId::fresh(
            Zone::Drafts,
            LogId { author: Signer::from_seed([77; 32]).node_id(), generation: 0, audience: Audience::All },
            1,
            0,
        ),
        base,
        length: raw.len() as u64,
        hash: ContentHash::of(raw),
    };
    let bomb = world.signed(NOW, vec![change(b"a bomb")]);
    let honest = world.signed(NOW, vec![change(b"honest")]);
    assert_eq!(world.receive(entry_frame(&bomb, vec![Some(b"a bomb".to_vec())])).applied, [2]);
    assert_eq!(world.receive(entry_frame(&honest, vec![Some(b"honest".to_vec())])).applied, [3]);
    let payload = |index: usize| world.entries[index].0.payloads.clone();
    assert_eq!((payload(1), payload(2)), (vec![None], vec![Some(b"honest".to_vec())]));
}

/// A peer that has nothing says hello, while this node holds as many files.
fn hello_to(files: u64) -> (World, Told) {
    let mut world = World::usual();
    world.saves(1..files + 1);
    let peer = world.peer();
    world.handle(Input::PeerDisconnected(peer));
    world.handle(Input::PeerConnected(peer));
    let (epoch, roster) = (2, roster_hash(&world));
    let told = world.receive(Frame::Hello { epoch, roster, frontier: frontier_digest(&[]), has_brain: false });
    (world, told)
}

#[test]
fn what_a_peer_asks_for_is_not_pushed_as_well() {
    let (mut world, told) = hello_to(3);
    assert!(matches!(&told.sent[..], [Frame::Frontier { positions }] if positions.len() == 1), "{told:?}");
    assert_eq!(world.receive(Frame::Frontier { positions: Vec::new() }).reads, []);
    let log = world.own_log();
    let [(effect, 1, 3)] = world.receive(Frame::Fetch { log, from_seq: 1, count: 64 }).reads[..] else {
        panic!("it asks for all three")
    };
    let told = world.handle(Input::EntriesRead(effect, world.stored(1, 3)));
    assert_eq!((told.sent.len(), told.reads.len()), (3, 0));
}

#[test]
fn a_peer_whose_hello_said_the_same_and_that_has_more_by_now_learns_what_this_node_has() {
    let (mut world, told) = hello_to(0);
    assert_eq!(told.sent, [], "both have nothing");
    let more = Position { log: world.log(), seq: 3, hash: EntryHash(roster_hash(&world)) };
    let told = world.receive(Frame::Frontier { positions: vec![more] });
    assert!(matches!(&told.sent[..], [Frame::Frontier { .. }, Frame::Fetch { from_seq: 1, .. }]), "{told:?}");
    let told = world.receive(Frame::Frontier { positions: vec![more] });
    assert!(!told.sent.iter().any(|frame| matches!(frame, Frame::Frontier { .. })), "once: {told:?}");
}

#[test]
fn a_peer_learns_of_what_came_while_its_entries_were_read_however_much_it_is() {
    for (more, follows) in [(5, true), (200, false)] {
        let (mut world, _) = hello_to(3);
        world.receive(Frame::Frontier { positions: Vec::new() });
        let log = world.own_log();
        let told = world.receive(Frame::Fetch { log, from_seq: 1, count: 64 });
        world.saves(4..4 + more);
        let told = world.handle(Input::EntriesRead(told.reads[0].0, world.stored(1, 3)));
        let tells = |frame: &Frame| matches!(frame, Frame::Frontier { positions } if positions[0].seq == 3 + more);
        let is_told = told.sent.iter().any(tells);
        assert_eq!((told.reads.len(), is_told), (usize::from(follows), !follows), "{more} more");
    }
}

fn roster_hash(world: &World) -> aiemp_keys::Hash {
    world.owner.rosters.current().hash()
}

/// The same entry with some of its fields changed, signed by its author.
fn resigned(world: &World, signed: &SignedEntry, change: impl FnOnce(&mut Vec<aiemp_keys::Value>)) -> Vec<u8> {
    let payload = aiemp_keys::cose::payload_unverified(&signed.cose).expect("a payload");
    let mut fields = aiemp_keys::cbor::decode(&payload).expect("strict").into_array().expect("an array");
    change(&mut fields);
    let payload = aiemp_keys::cbor::encode(&aiemp_keys::cbor::array(fields));
    let mesh = world.owner.rosters.current().mesh;
    let context = [mesh.to_value(), signed.log.to_value(), aiemp_keys::Value::Null];
    aiemp_keys::cose::sign1(&world.cloud, "aiemp-node 2026 entry", &context, &payload)
}
