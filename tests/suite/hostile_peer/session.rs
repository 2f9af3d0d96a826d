//! Frames in form whose sense is not: greetings, frontiers, fetches, wishes.

use aiemp_keys::Signer;
use aiemp_protocol::{
    entry::Position,
    frame::Frame,
    ids::{Audience, ContentHash, EntryHash, LogId},
};

use super::{
    Case, Expect,
    attack::{Attack, PRIVATE_NOTE},
    forge,
};
use crate::node::PATIENCE;

fn hello(epoch: u64) -> Frame {
    let (roster, frontier) = (forge::digest("roster"), forge::digest("frontier"));
    Frame::Hello { epoch, roster, frontier, has_brain: true }
}

fn strange(number: usize) -> Position {
    let author = Signer::from_seed([7; 32]).node_id();
    Position { log: forge::log(author, number as u64), seq: 5, hash: EntryHash(forge::digest("entry")) }
}

fn claims(log: impl Fn(&Attack) -> LogId, seq: u64) -> impl Fn(&mut Attack) {
    move |attack| {
        let position = Position { log: log(attack), seq, hash: EntryHash(forge::digest("entry")) };
        attack.peer.send(&Frame::Frontier { positions: vec![position] });
    }
}

fn private(attack: &Attack) -> LogId {
    LogId { audience: Audience::Local, ..attack.locals() }
}

/// A note saved at Local is taken up there, whatever a peer said.
pub(super) fn still_works(attack: &mut Attack, name: &str) {
    let files = |attack: &Attack| attack.pair.local.json(&["status", "--json"])["files"].as_u64().expect("a number");
    let before = files(attack);
    attack.pair.local.save(&format!("Plans/{name}.md"), "a plan of Local's\n");
    assert!(attack.pump(PATIENCE, |attack| files(attack) > before), "{name} is not taken up");
}

fn no_entries(attack: &mut Attack, fetch: &Frame, most: usize) {
    attack.peer.send(fetch);
    assert!(attack.settle());
    let entries = attack.heard.iter().filter(|frame| matches!(frame, Frame::Entry { .. })).count();
    assert!(entries <= most, "{entries} entries");
}

fn greetings() -> Vec<Case> {
    vec![
        Case::new("hello twice", Expect::Ignored, |attack| {
            attack.peer.send(&hello(2));
            attack.peer.send(&hello(2));
        }),
        Case::new("hello 500 times", Expect::Ignored, |attack| {
            for _ in 0..500 {
                attack.peer.send(&hello(2));
            }
        }),
        Case::new("hello of epoch 0", Expect::Ignored, |attack| {
            attack.peer.send(&hello(0));
            assert!(attack.settle());
            assert!(attack.heard.iter().any(|frame| matches!(frame, Frame::Roster { .. })));
        }),
        Case::new("hello of epoch 2^64 - 1", Expect::Ignored, |attack| attack.peer.send(&hello(u64::MAX))),
    ]
}

fn frontiers() -> Vec<Case> {
    vec![
        Case::new("a frontier with Local's private log", Expect::Closed("AudienceLeak"), claims(private, 1)),
        Case::new(
            "a frontier with a private log of its own",
            Expect::Closed("AudienceLeak"),
            claims(|attack| LogId { audience: Audience::Local, ..attack.own() }, 1),
        ),
        Case::new("a frontier of 100,000 logs", Expect::Closed("above the bound"), |attack| {
            attack.peer.send(&Frame::Frontier { positions: (0..100_000).map(strange).collect() });
        }),
        Case::new("a frontier of 40,000 logs of strangers", Expect::Ignored, |attack| {
            attack.peer.send(&Frame::Frontier { positions: (0..40_000).map(strange).collect() });
        }),
        Case::new("a log of its own of 2^64 - 1 entries", Expect::Ignored, claims(Attack::own, u64::MAX)),
        Case::new("a log of its own of no entry", Expect::Ignored, claims(Attack::own, 0)),
        Case::new("the same log 1,000 times", Expect::Ignored, |attack| {
            let position = |seq| Position { log: attack.own(), seq, hash: EntryHash(forge::digest("entry")) };
            attack.peer.send(&Frame::Frontier { positions: (0..1000).map(position).collect() });
        }),
        Case::new("more of Local's log than there is", Expect::Ignored, |attack| {
            claims(Attack::locals, 1 << 40)(attack);
            still_works(attack, "after_a_claim");
        }),
        Case::new("Local's log to 2^64 - 1", Expect::Ignored, |attack| {
            claims(Attack::locals, u64::MAX)(attack);
            still_works(attack, "after_the_largest_claim");
        }),
    ]
}

fn fetches() -> Vec<Case> {
    let fetch = |name: &str, log: fn(&Attack) -> LogId, from_seq, count, most| {
        Case::new(name, Expect::Ignored, move |attack: &mut Attack| {
            let frame = Frame::Fetch { log: log(attack), from_seq, count };
            no_entries(attack, &frame, most);
        })
    };
    vec![
        fetch("a fetch of Local's private log", private, 1, 64, 0),
        fetch("a fetch of a private log from 0", private, 0, u64::MAX, 0),
        fetch("a fetch from 0", Attack::locals, 0, 64, 0),
        fetch("a fetch from 2^64 - 1", Attack::locals, u64::MAX, u64::MAX, 0),
        fetch("a fetch of none", Attack::locals, 1, 0, 0),
        fetch("a fetch of 2^64 - 1", Attack::locals, 1, u64::MAX, 64),
        Case::new("a fetch of a stranger's log", Expect::Ignored, |attack| {
            let frame = Frame::Fetch { log: strange(0).log, from_seq: 1, count: 1 };
            no_entries(attack, &frame, 0);
        }),
    ]
}

/// What Local answers to a wish for content, given its digest.
fn wish(attack: &mut Attack, hash: ContentHash, offset: u64) -> Vec<u8> {
    attack.peer.send(&Frame::PayloadWanted { hash, offset, shared: false });
    assert!(attack.settle());
    let part = attack.heard.iter().find_map(|frame| match frame {
        Frame::PayloadPart { hash: of, bytes, .. } if *of == hash => Some(bytes.clone()),
        Frame::Hello { .. }
        | Frame::Frontier { .. }
        | Frame::Fetch { .. }
        | Frame::Entry { .. }
        | Frame::Roster { .. }
        | Frame::PayloadWanted { .. }
        | Frame::PayloadPart { .. }
        | Frame::Freeze { .. } => None,
    });
    part.expect("Local answers")
}

fn wishes() -> Vec<Case> {
    vec![
        Case::new("every private note of four digits", Expect::Ignored, |attack| {
            // The right one among its neighbours.
            for pin in 400..440 {
                let note = format!("{pin:04}\n");
                let hash = ContentHash::of(note.as_bytes());
                attack.peer.send(&Frame::PayloadWanted { hash, offset: 0, shared: false });
            }
            assert_eq!(wish(attack, ContentHash::of(PRIVATE_NOTE.as_bytes()), 0), b"");
            for frame in &attack.heard {
                let Frame::PayloadPart { bytes, length, .. } = frame else { continue };
                assert!(bytes.is_empty() && *length == 0, "{frame:?}");
            }
        }),
        Case::new("a shared note from 2^64 - 1", Expect::Ignored, |attack| {
            assert_eq!(wish(attack, ContentHash::of(b"a plan\n"), u64::MAX), b"");
        }),
        Case::new("a part that nobody asked for", Expect::Ignored, |attack| {
            let (hash, bytes) = (ContentHash::of(b"x"), b"x".to_vec());
            attack.peer.send(&Frame::PayloadPart { hash, offset: 0, length: 1, bytes });
        }),
        Case::new("a part at 2^64 - 1 that nobody asked for", Expect::Ignored, |attack| {
            let (hash, bytes) = (ContentHash::of(b"x"), vec![0; 1 << 20]);
            attack.peer.send(&Frame::PayloadPart { hash, offset: u64::MAX, length: u64::MAX, bytes });
        }),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = greetings();
    cases.extend(fetches());
    cases.extend(wishes());
    cases.extend(frontiers());
    cases
}
