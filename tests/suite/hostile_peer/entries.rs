//! Entries that are wrong by themselves or in their place.

use aiemp_keys::{Signer, Value, cbor};
use aiemp_protocol::{
    frame::Frame,
    ids::{Audience, EntryHash, LogId, MeshId},
    zone::Zone,
};

use super::{
    Case, Expect,
    attack::Attack,
    forge::{self, Draft, Item, MARK},
    session::still_works,
};
use crate::node::PATIENCE;

const BAD_SIGNATURE: Expect = Expect::Closed("BadSignature");
const MALFORMED: Expect = Expect::Frozen("malformed");

pub(super) fn note(name: &str) -> Item {
    Item::new(forge::file(Zone::Drafts, name), &format!("Plans/{name}.md"), format!("{MARK}: {name}\n").as_bytes())
}

/// An entry of a new log, with something wrong about it.
pub(super) fn first(name: &str, expect: Expect, bend: impl Fn(&mut Draft) + 'static) -> Case {
    let file = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    Case::new(name, expect, move |attack| {
        attack.new_log();
        let mut draft = attack.draft(vec![note(&file)]);
        bend(&mut draft);
        attack.send_draft(&draft);
    })
}

/// A log of two honest entries.
fn log_of_two(attack: &mut Attack, name: &str) {
    attack.new_log();
    attack.append(vec![note(&format!("{name}_one"))]);
    attack.append(vec![note(&format!("{name}_two"))]);
    assert!(attack.settle());
}

/// Sends an entry with a signature that is spoilt.
fn spoilt(attack: &mut Attack, seq: u64) {
    let mut draft = attack.draft(vec![note("spoilt")]);
    draft.seq = seq;
    let mut signed = attack.sign(&draft);
    *signed.cose.last_mut().expect("a signature") ^= 1;
    attack.send(&signed);
}

/// Sends an entry as one of another log.
fn as_of(attack: &mut Attack, log: LogId, seq: u64) {
    let mut draft = attack.draft(vec![note("foreign")]);
    draft.seq = seq;
    let cose = forge::sign(&attack.peer.signer, attack.mesh, log, None, &draft.to_bytes());
    attack.peer.send(&Frame::Entry { log, cose, payloads: vec![None] });
}

fn signatures() -> Vec<Case> {
    vec![
        Case::new("a spoilt signature in an empty log", BAD_SIGNATURE, |attack| {
            attack.new_log();
            spoilt(attack, 1);
        }),
        Case::new("a spoilt signature at the next place", BAD_SIGNATURE, |attack| {
            log_of_two(attack, "next");
            spoilt(attack, 3);
        }),
        Case::new("a spoilt signature far ahead", Expect::Ignored, |attack| {
            log_of_two(attack, "ahead");
            spoilt(attack, 1 << 40);
        }),
        Case::new("a spoilt signature at the first place", BAD_SIGNATURE, |attack| {
            log_of_two(attack, "first");
            spoilt(attack, 1);
        }),
        Case::new("a spoilt signature at a place that is taken", BAD_SIGNATURE, |attack| {
            log_of_two(attack, "taken");
            spoilt(attack, 2);
        }),
        Case::new("another predecessor", BAD_SIGNATURE, |attack| {
            log_of_two(attack, "predecessor");
            let draft = attack.draft(vec![note("predecessor_three")]);
            let prev = Some(EntryHash(forge::digest("another")));
            let cose = forge::sign(&attack.peer.signer, attack.mesh, attack.own(), prev, &draft.to_bytes());
            attack.peer.send(&Frame::Entry { log: attack.own(), cose, payloads: vec![None] });
        }),
        Case::new("another mesh", BAD_SIGNATURE, |attack| {
            attack.new_log();
            let draft = attack.draft(vec![note("mesh")]);
            let mesh = MeshId(forge::digest("another"));
            let cose = forge::sign(&attack.peer.signer, mesh, attack.own(), None, &draft.to_bytes());
            attack.peer.send(&Frame::Entry { log: attack.own(), cose, payloads: vec![None] });
        }),
        Case::new("no COSE at all", Expect::Closed("BadForm"), |attack| {
            attack.peer.send(&Frame::Entry { log: attack.own(), cose: vec![7; 40], payloads: Vec::new() });
        }),
        Case::new("an entry that is a map", Expect::Closed("BadForm"), |attack| {
            let cose = forge::sign(&attack.peer.signer, attack.mesh, attack.own(), None, &[0xa0]);
            attack.peer.send(&Frame::Entry { log: attack.own(), cose, payloads: Vec::new() });
        }),
    ]
}

fn authors() -> Vec<Case> {
    vec![
        Case::new("Local's log, signed by Cloud, at the next place", BAD_SIGNATURE, |attack| {
            let seq = attack.head(attack.locals()).expect("Local has written").0 + 1;
            as_of(attack, attack.locals(), seq);
        }),
        Case::new("Local's log, signed by Cloud, at the first place", BAD_SIGNATURE, |attack| {
            as_of(attack, attack.locals(), 1);
        }),
        Case::new("Local's log at 2^64 - 1, and Local writes", Expect::Ignored, |attack| {
            as_of(attack, attack.locals(), u64::MAX);
            assert!(attack.settle());
            still_works(attack, "after_the_end");
        }),
        Case::new("a log of a generation of Local's to come", Expect::Closed("BadSignature"), |attack| {
            as_of(attack, LogId { generation: 3, ..attack.locals() }, 1);
        }),
        Case::new("a stranger's log", Expect::Ignored, |attack| {
            let stranger = Signer::from_seed([8; 32]);
            let log = forge::log(stranger.node_id(), 0);
            let draft = attack.draft(vec![note("stranger")]);
            let cose = forge::sign(&stranger, attack.mesh, log, None, &draft.to_bytes());
            attack.peer.send(&Frame::Entry { log, cose, payloads: vec![None] });
        }),
        Case::new("a private log", Expect::Closed("AudienceLeak"), |attack| {
            as_of(attack, LogId { audience: Audience::Local, ..attack.own() }, 1);
        }),
        Case::new("a generation too high", Expect::Ignored, |attack| {
            let log = LogId { generation: attack.generation + 40, ..attack.own() };
            as_of(attack, log, 1);
        }),
        Case::new("the generation 2^64 - 1", Expect::Ignored, |attack| {
            as_of(attack, LogId { generation: u64::MAX, ..attack.own() }, 1);
        }),
    ]
}

fn places() -> Vec<Case> {
    vec![
        Case::new("two entries at one place", Expect::Frozen("equivocation"), |attack| {
            log_of_two(attack, "fork");
            let mut draft = attack.draft(vec![note("fork_other")]);
            draft.seq = 2;
            let (log, prev) = (attack.own(), attack.held[&(attack.own(), 1)].hash);
            let cose = forge::sign(&attack.peer.signer, attack.mesh, log, Some(prev), &draft.to_bytes());
            attack.peer.send(&Frame::Entry { log, cose, payloads: vec![None] });
        }),
        Case::new("two first entries", Expect::Frozen("equivocation"), |attack| {
            attack.new_log();
            let other = attack.sign(&attack.draft(vec![note("first_other")]));
            attack.append(vec![note("first_one")]);
            attack.send(&other);
        }),
        Case::new("an entry after a frozen place", Expect::Ignored, |attack| {
            attack.append(vec![note("after_the_fork")]);
            assert!(attack.settle());
            assert!(attack.pair.local.read("Plans/after_the_fork.md").is_none());
        }),
        Case::new("a gap that is filled", Expect::Ignored, |attack| {
            attack.new_log();
            attack.keep(&attack.draft(vec![note("gap_one")]));
            attack.append(vec![note("gap_two")]);
            let filled = |attack: &Attack| attack.pair.local.read("Plans/gap_two.md").is_some();
            assert!(attack.pump(PATIENCE, filled));
        }),
        first("place 0", Expect::Frozen("equivocation"), |draft| draft.seq = 0),
        first("place 2^64 - 1 of an empty log", Expect::Ignored, |draft| draft.seq = u64::MAX),
        first("an epoch before Cloud was a member", Expect::Ignored, |draft| draft.epoch = 1),
        first("an epoch to come", Expect::Waits("past"), |draft| draft.epoch = 1000),
        first("the epoch 2^64 - 1", Expect::Waits("past"), |draft| draft.epoch = u64::MAX),
        first("the time 2^64 - 1", Expect::Ignored, |draft| draft.time = u64::MAX),
        Case::new("having seen what there is not", Expect::Waits("past"), |attack| {
            attack.new_log();
            let mut draft = attack.draft(vec![note("seen")]);
            draft.seen = vec![forge::position(attack.locals(), 1 << 40, forge::digest("entry"))];
            attack.send_draft(&draft);
        }),
        Case::new("an epoch that falls", Expect::Frozen("epoch_fell"), |attack| {
            if attack.epoch == 2 {
                attack.heal();
            }
            attack.new_log();
            attack.append(vec![note("epoch_one")]);
            let mut draft = attack.draft(vec![note("epoch_two")]);
            draft.epoch -= 1;
            attack.send_draft(&draft);
        }),
        Case::new("an entry of a log that a healing closed", Expect::Ignored, |attack| {
            let mine = attack.held.keys().filter(|(log, _)| log.author == attack.me).map(|(log, _)| log.generation);
            let (open, closed) = (attack.generation, mine.filter(|of| *of > 0).min().expect("a log"));
            attack.generation = closed;
            attack.append(vec![note("closed")]);
            assert!(attack.settle());
            attack.generation = open;
            assert!(attack.pair.local.read("Plans/closed.md").is_none());
        }),
    ]
}

fn caps() -> Vec<Case> {
    let contents = |count: usize| (0..count).map(|_| Item::base(b"x", 1)).collect::<Vec<_>>();
    let long = |length| Item::base(b"x", length);
    vec![
        first("257 items", MALFORMED, move |draft| draft.items = contents(257)),
        first("no item", MALFORMED, |draft| draft.items = Vec::new()),
        first("257 positions seen", MALFORMED, |draft| {
            let log = |number| forge::log(Signer::from_seed([6; 32]).node_id(), number);
            draft.seen = (0..257).map(|number| forge::position(log(number), 1, forge::digest("entry"))).collect();
        }),
        first("a payload of 33 MiB", MALFORMED, move |draft| draft.items = vec![long(33 << 20)]),
        first("a payload of 2^64 - 1 bytes", MALFORMED, move |draft| draft.items = vec![long(u64::MAX)]),
        first("a change of 2 MiB", MALFORMED, |draft| {
            let raw = vec![0; 2 << 20];
            draft.items = vec![Item::change(forge::file(Zone::Drafts, "x"), b"", &raw)];
        }),
        first("a choice of 3,000 bytes", MALFORMED, |draft| {
            draft.items = vec![Item::resolve(forge::digest("conflict"), &"x".repeat(3000))];
        }),
        first("a field more", MALFORMED, |draft| draft.more = vec![cbor::uint(0)]),
        first("version 0", MALFORMED, |draft| draft.version = 0),
        first("a file of no zone", MALFORMED, |draft| {
            let id = [vec![9], vec![0; 32]].concat();
            draft.items = vec![Item::of([cbor::uint(1), cbor::bytes(&id), cbor::uint(3), Value::Bool(true)])];
        }),
    ]
}

fn newer() -> Vec<Case> {
    let waits = Expect::Waits("newer_version");
    vec![
        first("version 2", waits, |draft| draft.version = 2),
        first("an unknown item", waits, |draft| draft.items = vec![Item::of([cbor::uint(6), cbor::uint(0)])]),
        first("an unknown kind of file", waits, |draft| {
            draft.items = vec![Item::new_of_kind(forge::file(Zone::Drafts, "k"), "Plans/k.md", 2, b"x")];
        }),
        first("an unknown field", waits, |draft| {
            let id = forge::file(Zone::Drafts, "f").to_value();
            draft.items = vec![Item::of([cbor::uint(1), id, cbor::uint(4), Value::Bool(true)])];
        }),
        Case::new("an honest entry in the place of one that is newer", Expect::Ignored, |attack| {
            attack.append(vec![note("in_its_place")]);
            let taken = |attack: &Attack| attack.pair.local.read("Plans/in_its_place.md").is_some();
            assert!(attack.pump(PATIENCE, taken));
            assert!(attack.standing(attack.generation)["waits"].is_null());
        }),
        Case::new("an honest entry after one that is newer", waits, |attack| {
            attack.new_log();
            let mut draft = attack.draft(vec![note("newer")]);
            draft.version = 2;
            let newer = attack.keep(&draft);
            attack.send(&newer);
            attack.append(vec![note("after_the_newer")]);
            assert!(attack.settle());
            assert!(attack.pair.local.read("Plans/after_the_newer.md").is_none());
        }),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = signatures();
    cases.extend(authors());
    cases.extend(places());
    cases.extend(caps());
    cases.extend(newer());
    cases
}
