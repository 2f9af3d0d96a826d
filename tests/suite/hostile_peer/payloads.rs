//! Payloads that are not what their entry says, with the entry and asked for.

use aiemp_protocol::{frame::Frame, ids::ContentHash, zone::Zone};

use super::{
    Case, Expect,
    attack::Attack,
    entries::note,
    forge::{self, Item, MARK, Signed},
};
use crate::node::PATIENCE;

const MISMATCH: Expect = Expect::Closed("PayloadMismatch");

/// An honest entry whose payloads are not the ones that it signs.
fn beside(name: &str, expect: Expect, bend: impl Fn(&mut Signed) + 'static) -> Case {
    let file = name.replace(' ', "_");
    Case::new(name, expect, move |attack| {
        attack.new_log();
        let mut signed = attack.sign(&attack.draft(vec![note(&file)]));
        bend(&mut signed);
        attack.send(&signed);
    })
}

/// An honest entry without its payload, up to the point where Local asks for it.
fn wanted(attack: &mut Attack, name: &str, content: &[u8]) -> ContentHash {
    attack.new_log();
    let (hash, path) = (ContentHash::of(content), format!("Plans/{name}.md"));
    attack.kept_back.push(hash);
    let mut signed = attack.keep(&attack.draft(vec![Item::new(forge::file(Zone::Drafts, name), &path, content)]));
    signed.payloads = vec![None];
    attack.send(&signed);
    let asks = |frame: &Frame| matches!(frame, Frame::PayloadWanted { hash: of, .. } if *of == hash);
    assert!(attack.pump(PATIENCE, |attack| attack.heard.iter().any(asks)), "Local asks for it");
    hash
}

/// What Local is answered when it asks.
fn asked(name: &str, expect: Expect, answer: impl Fn(&[u8]) -> (u64, u64, Vec<u8>) + 'static) -> Case {
    let file = name.replace(' ', "_");
    Case::new(name, expect, move |attack| {
        let content = format!("{MARK}: {file}, asked for\n").into_bytes();
        let hash = wanted(attack, &file, &content);
        let (offset, length, bytes) = answer(&content);
        attack.peer.send(&Frame::PayloadPart { hash, offset, length, bytes });
        // That it has none: who leaves two without an answer is asked for no third for a while.
        attack.peer.send(&Frame::PayloadPart { hash, offset: 0, length: content.len() as u64, bytes: Vec::new() });
        attack.kept_back.clear();
    })
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        beside("no payload where one belongs", MISMATCH, |signed| signed.payloads = Vec::new()),
        beside("two payloads where one belongs", MISMATCH, |signed| signed.payloads = vec![None, None]),
        beside("a payload of another length", MISMATCH, |signed| {
            signed.payloads[0].as_mut().expect("a payload").push(b'x');
        }),
        beside("a payload of another digest", MISMATCH, |signed| {
            signed.payloads[0].as_mut().expect("a payload")[0] ^= 1;
        }),
        beside("100,000 payloads", MISMATCH, |signed| signed.payloads = vec![None; 100_000]),
        Case::new("a length that is a lie", MISMATCH, |attack| {
            attack.new_log();
            attack.send_draft(&attack.draft(vec![Item::base(b"short", 5000)]));
        }),
        asked("a part of another length", Expect::Ignored, |content| (0, 1 << 40, content.to_vec())),
        asked("a part that is too long", MISMATCH, |content| (0, content.len() as u64, [content, content].concat())),
        asked("a part of another digest", MISMATCH, |content| {
            let mut other = content.to_vec();
            other[0] ^= 1;
            (0, content.len() as u64, other)
        }),
        asked("a part from another place", Expect::Ignored, |content| (7, content.len() as u64, content.to_vec())),
        asked("a part from 2^64 - 1", Expect::Ignored, |content| (u64::MAX, content.len() as u64, content.to_vec())),
        asked("a part of a part", MISMATCH, |content| (0, content.len() as u64, content[..3].to_vec())),
        asked("nothing", Expect::Ignored, |_| (0, 0, Vec::new())),
        Case::new("32 MiB that never come", Expect::Ignored, |attack| {
            attack.new_log();
            let mut signed = attack.sign(&attack.draft(vec![Item::base(b"x", 32 << 20)]));
            signed.payloads = vec![None];
            attack.send(&signed);
        }),
    ]
}
