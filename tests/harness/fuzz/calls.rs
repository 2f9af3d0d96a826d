//! What strangers and peers say before and beside the log: tickets, pairing, A2A.

use aiemp_keys::{Hash, cbor};
use aiemp_protocol::{
    a2a::{
        Standing, TaskDesk, binding,
        transcode::{BODY_BYTES_MAX, from_cbor, to_cbor},
    },
    limits::{CLOCK_BEHIND_MAX, TICKET_LIFETIME},
    pairing::{Invite, Message, Ticket},
};
use data_encoding::BASE32_NOPAD;
use serde_json::Value;

use super::{
    seeds::{self, NOW},
    text_of,
};

/// A ticket has one text, and messages of the pairing one encoding.
pub fn ticket(bytes: &[u8]) {
    let text = text_of(bytes);
    if let Ok(ticket) = text.parse::<Ticket>() {
        assert_eq!(ticket.to_string(), text.trim());
    }
    let whole = checked_ticket(bytes);
    if let Ok(ticket) = whole.parse::<Ticket>() {
        assert_eq!(ticket.to_string(), whole);
        let is_good = (NOW..=NOW + TICKET_LIFETIME + CLOCK_BEHIND_MAX).contains(&ticket.expires);
        assert_eq!(ticket.check(NOW).is_ok(), is_good);
        assert_eq!(ticket.invite().dialer, ticket.dial_key().node_id());
    }
    if let Ok(invite) = Invite::from_bytes(bytes) {
        assert_eq!(invite.to_bytes(), bytes);
    }
    if let Ok(message) = Message::from_bytes(bytes) {
        assert_eq!(message.to_bytes(), bytes);
    }
}

/// The text of a ticket with any body.
pub(super) fn checked_ticket(body: &[u8]) -> String {
    let check = Hash::labelled("aiemp-node 2026 ticket check", [cbor::bytes(body)]);
    let whole = cbor::array([cbor::bytes(body), cbor::bytes(&check.as_bytes()[..4])]);
    format!("aiemp1{}", BASE32_NOPAD.encode(&cbor::encode(&whole)).to_lowercase())
}

/// Whatever is asked, there is an answer that the caller can read, and only an announcement of this caller is news.
pub fn a2a(bytes: &[u8]) {
    if let Ok(json) = from_cbor(bytes) {
        let again = to_cbor(&json).expect("what was read fits");
        assert_eq!(from_cbor(&again).as_ref(), Ok(&json));
        assert_eq!(to_cbor(&from_cbor(&again).expect("reads back")).as_ref(), Ok(&again));
    }
    call(bytes);
    if let Ok(json) = serde_json::from_slice::<Value>(bytes)
        && let Ok(body) = to_cbor(&json)
    {
        call(&body);
    }
}

fn call(bytes: &[u8]) {
    let caller = seeds::node().node_id();
    let mut desk = TaskDesk::default();
    let standing = |_| Standing::Waiting;
    let (answer, news) = desk.handle_call(caller, NOW, bytes, &standing);
    assert!(answer.len() <= BODY_BYTES_MAX);
    match binding::read_answer::<Value>(&answer) {
        Ok(_) => assert!(binding::read_call(bytes).is_ok()),
        Err(binding::CallError::Refused(_)) => assert_eq!(news, None),
        Err(error @ (binding::CallError::Malformed | binding::CallError::Transcode(_))) => panic!("{error}"),
    }
    if let Some(announcement) = news {
        let said = announcement.to_call().expect("nothing private is announced");
        let (_, again) = desk.handle_call(caller, NOW, &said, &standing);
        assert_eq!(again, None, "the same announcement is no news");
    }
}
