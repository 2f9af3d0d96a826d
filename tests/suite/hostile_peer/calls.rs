//! A2A calls and streams: bombs, floods, and methods that would approve.

use std::io::Read as _;

use aiemp_protocol::a2a::binding::{self, Operation};
use serde_json::{Value, json};

use super::{
    Case, Expect,
    attack::Attack,
    peer::{CALL, LOG, block},
};

/// More streams than any peer needs; Local takes 64 of a connection.
const FLOOD: usize = 1000;

/// A block without a flag: its length and its bytes.
fn whole(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("short").to_be_bytes();
    [&length[..], body].concat()
}

/// An honest call is answered.
fn answers(attack: &mut Attack) -> Vec<u8> {
    let body = binding::encode_call(Operation::ListTasks, &json!({})).expect("encodes");
    let answer = attack.peer.call(&whole(&body)).expect("an honest call is answered");
    binding::read_answer::<Value>(&answer).expect("with a result");
    answer
}

/// A body that is answered with an error, and with nothing else.
fn refused(name: impl Into<String>, body: impl Fn() -> Vec<u8> + 'static) -> Case {
    Case::new(name, Expect::Ignored, move |attack| {
        let answer = attack.peer.call(&whole(&body())).expect("Local answers");
        let answered = binding::read_answer::<Value>(&answer);
        assert!(matches!(answered, Err(binding::CallError::Refused(_))), "{answered:?}");
        answers(attack);
    })
}

/// Bytes that have no answer.
fn unanswered(name: &str, bytes: impl Fn() -> Vec<u8> + 'static) -> Case {
    Case::new(name, Expect::Ignored, move |attack| {
        assert_eq!(attack.peer.call(&bytes()), None);
        answers(attack);
    })
}

fn method(name: &'static str) -> Case {
    refused(format!("the method {name}"), move || {
        aiemp_protocol::a2a::transcode::to_cbor(&json!({ "method": name, "version": "1.0", "params": {} }))
            .expect("encodes")
    })
}

fn bodies() -> Vec<Case> {
    let mut cases = vec![
        refused("an empty call", Vec::new),
        refused("a call of garbage", || vec![0xff; 1000]),
        refused("a call of 1 MiB of garbage", || vec![0x82; 1 << 20]),
        refused("arrays 500,000 deep", || [vec![0x81; 500_000], vec![0]].concat()),
        refused("maps 100,000 deep", || [[0xa1, 0x61, b'a'].repeat(100_000), vec![0]].concat()),
        refused("a map of 2^64 - 1 entries", || vec![0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        refused("a text of 2^63 bytes", || vec![0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        refused("a call of zstd", || {
            zstd::stream::encode_all(std::io::repeat(0).take(64 << 20), 1).expect("compresses")
        }),
    ];
    let methods = ["Approve", "approvals/approve", "SendApproval", "tasks/approve", "ReleaseSecret", "PeersHeal", ""];
    cases.extend(methods.map(method));
    cases
}

fn messages() -> Vec<Case> {
    let sent = |name: &'static str, params: Value| {
        refused(name, move || binding::encode_call(Operation::SendMessage, &params).expect("encodes"))
    };
    let part = json!({ "text": "x".repeat(900_000) });
    let message = |parts: Value| json!({ "message": { "messageId": "x", "role": "ROLE_USER", "parts": parts } });
    vec![
        sent("a message without a message", json!({})),
        sent("a message of 900,000 bytes", message(json!([part]))),
        sent("a message that approves", message(json!([{ "data": { "approve": true, "id": "00" } }]))),
        sent("a message of 20,000 parts", message(json!(vec![json!({ "text": "x" }); 20_000]))),
        refused("a task that there is not", || {
            binding::encode_call(Operation::GetTask, &json!({ "id": "../../etc" })).expect("encodes")
        }),
    ]
}

fn streams() -> Vec<Case> {
    vec![
        unanswered("a call of 4 GiB", || u32::MAX.to_be_bytes().to_vec()),
        unanswered("a call above the bound", || whole(&vec![0; (1 << 20) + 1])),
        unanswered("a call that breaks off", || vec![0, 0, 1, 0, 1, 2]),
        unanswered("a call of two bytes", || vec![0, 0]),
        Case::new("sixty calls that are never made, then one", Expect::Ignored, |attack| {
            drop(attack.peer.hold_streams(&CALL, 60));
            answers(attack);
        }),
        Case::new("a thousand streams at once", Expect::Ignored, |attack| {
            for protocol in [CALL, LOG] {
                drop(attack.peer.hold_streams(&protocol, FLOOD));
                attack.peer.disconnect();
            }
            attack.ready();
            answers(attack);
        }),
        Case::new("streams left open, and half a frame on one", Expect::Ignored, |attack| {
            let held = attack.peer.hold_streams(&CALL, 10);
            let whole = block(0, &[0x80]);
            attack.peer.write(&whole[..3]);
            drop(held);
            attack.peer.disconnect();
            attack.ready();
            answers(attack);
        }),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = bodies();
    cases.extend(messages());
    cases.extend(streams());
    cases
}
