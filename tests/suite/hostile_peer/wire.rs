//! Streams and blocks that are none, and blocks that hold no frame.

use std::io::{Read as _, Write as _};

use aiemp_keys::{Value, cbor};
use aiemp_protocol::frame::Frame;
use libp2p::StreamProtocol;

use super::{
    Case, Expect,
    attack::Attack,
    forge,
    peer::{LOG, block},
};

const ZSTD: u8 = 1;
const NO_FRAME: Expect = Expect::Closed("the peer sent what is no frame");

/// Bytes on the stream of a session that stands.
fn written(name: &str, expect: Expect, bytes: impl Fn() -> Vec<u8> + 'static) -> Case {
    Case::new(name, expect, move |attack| attack.peer.write(&bytes()))
}

/// A frame's bytes in a block as they are.
fn framed(name: &str, expect: Expect, bytes: Vec<u8>) -> Case {
    written(name, expect, move || block(0, &bytes))
}

fn packed(name: &str, why: &'static str, body: impl Fn() -> Vec<u8> + 'static) -> Case {
    written(name, Expect::Closed(why), move || block(ZSTD, &body()))
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).expect("compresses")
}

fn hello(version: u64) -> Vec<u8> {
    let digest = forge::digest("hello").to_value();
    let fields = [cbor::uint(0), cbor::uint(version), cbor::uint(2), digest.clone(), digest, Value::Bool(false)];
    cbor::encode(&cbor::array(fields))
}

fn refused_streams() -> Vec<Case> {
    let refused = |protocol: &'static str| {
        Case::new(format!("a stream of {protocol}"), Expect::Ignored, move |attack: &mut Attack| {
            assert!(attack.peer.open(&StreamProtocol::new(protocol), 1).is_err());
        })
    };
    let mut cases: Vec<_> =
        ["/aiemp/log/2", "/aiemp/log/0", "/aiemp/pair/1", "/ipfs/id/1.0.0"].map(refused).into_iter().collect();
    cases.push(Case::new("garbage before the first frame", Expect::Cut, |attack| {
        attack.peer.close_session();
        // The new stream takes the place of the old, and comes to nothing.
        if let Ok(stream) = attack.peer.open(&LOG, 0xff) {
            drop(stream);
        }
    }));
    cases.push(Case::new("a second session in place of the first", Expect::Cut, |attack| {
        drop(attack.peer.open(&LOG, 1));
    }));
    cases
}

fn blocks() -> Vec<Case> {
    let length = |length: u32| move || length.to_be_bytes().to_vec();
    vec![
        written("a block of 4 GiB", Expect::Closed("above the bound"), length(u32::MAX)),
        written("a block above the bound", Expect::Closed("above the bound"), length((4 << 20) + 2)),
        written("an empty block", Expect::Closed("an empty block"), length(0)),
        written("an unknown flag", Expect::Closed("unknown flag 9"), || block(9, &hello(1))),
        Case::new("a block that breaks off", Expect::Closed("unexpected end of file"), |attack| {
            attack.peer.write(&[0, 0, 1, 0, 0, 1, 2, 3]);
            attack.peer.close_session();
        }),
        Case::new("a length that breaks off", Expect::Closed("unexpected end of file"), |attack| {
            attack.peer.write(&[0, 0]);
            attack.peer.close_session();
        }),
        Case::new("a frame byte by byte", Expect::Ignored, |attack| {
            for byte in block(0, &hello(1)) {
                attack.peer.write(&[byte]);
            }
        }),
    ]
}

fn compressed() -> Vec<Case> {
    vec![
        packed("a zstd bomb", "a frame longer than", || {
            zstd::stream::encode_all(std::io::repeat(0).take(256 << 20), 1).expect("compresses")
        }),
        packed("garbage for zstd", "bad compression", || vec![7; 100]),
        packed("a zstd frame that breaks off", "bad compression", || {
            let mut whole = zstd(&hello(1));
            whole.truncate(whole.len() - 3);
            whole
        }),
        packed("two zstd frames", "bytes after the compressed frame", || [zstd(&hello(1)), zstd(&hello(1))].concat()),
        packed("a zstd window of 64 MiB", "bad compression", || {
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).expect("an encoder");
            encoder.window_log(26).expect("a window");
            encoder.write_all(&hello(1)).expect("compresses");
            encoder.finish().expect("compresses")
        }),
    ]
}

fn forms() -> Vec<Case> {
    let honest = hello(1);
    let mut cut = honest.clone();
    cut.truncate(cut.len() - 1);
    let mut long_integer = honest.clone();
    // The kind 0 in two bytes.
    long_integer.splice(1..2, [0x18, 0]);
    let mut indefinite = honest.clone();
    indefinite[0] = 0x9f;
    indefinite.push(0xff);
    let more = [honest.clone(), vec![0]].concat();
    let number = |number: u64| cbor::encode(&cbor::array([cbor::uint(number)]));
    vec![
        framed("a frame of one byte less", NO_FRAME, cut),
        framed("a frame and a byte", NO_FRAME, more),
        framed("an integer that is too long", NO_FRAME, long_integer),
        framed("an array without a length", NO_FRAME, indefinite),
        framed("a map", NO_FRAME, vec![0xa1, 0, 0]),
        framed("a tag", NO_FRAME, [vec![0xc1], honest].concat()),
        framed("a float", NO_FRAME, vec![0x81, 0xfb, 0, 0, 0, 0, 0, 0, 0, 0]),
        framed("a text that is no UTF-8", NO_FRAME, vec![0x81, 0x62, 0xff, 0xff]),
        framed("an array of 2^64 fields", NO_FRAME, vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        framed(
            "a byte string of 2^63 bytes",
            NO_FRAME,
            vec![0x82, 4, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        framed("arrays 100,000 deep", NO_FRAME, [vec![0x81; 100_000], vec![0]].concat()),
        framed("a frame of no kind", NO_FRAME, vec![0x80]),
        framed("a frame of an unknown kind", NO_FRAME, number(7)),
        framed("a frame of kind 2^64 - 1", NO_FRAME, number(u64::MAX)),
        framed("hello of version 2", NO_FRAME, hello(2)),
        framed("hello of version 0", NO_FRAME, hello(0)),
        framed("a log of no audience", NO_FRAME, log_of_audience(2)),
        framed("a log of a key of small order", NO_FRAME, log_of_small_order()),
    ]
}

fn log_of_audience(audience: u64) -> Vec<u8> {
    let author = aiemp_keys::Signer::from_seed([9; 32]).node_id();
    let log = cbor::array([cbor::bytes(author.as_bytes()), cbor::uint(0), cbor::uint(audience)]);
    cbor::encode(&cbor::array([cbor::uint(2), log, cbor::uint(1), cbor::uint(1)]))
}

fn log_of_small_order() -> Vec<u8> {
    let mut key = [0; 32];
    key[0] = 1;
    let log = cbor::array([cbor::bytes(&key), cbor::uint(0), cbor::uint(0)]);
    cbor::encode(&cbor::array([cbor::uint(2), log, cbor::uint(1), cbor::uint(1)]))
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = refused_streams();
    cases.extend(blocks());
    cases.extend(compressed());
    cases.extend(forms());
    cases.push(Case::new("a thousand empty rosters", Expect::Closed("BadRoster"), |attack| {
        for _ in 0..1000 {
            attack.peer.send(&Frame::Roster { bytes: Vec::new() });
        }
    }));
    cases
}
