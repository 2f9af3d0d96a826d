//! Payloads that travel in parts, and whose senders go away.

use super::*;

/// Cloud names a payload of three parts and does not send it; what it is asked for, from where.
fn asked_for(told: &Told) -> Vec<u64> {
    let offset = |frame: &Frame| if let Frame::PayloadWanted { offset, .. } = frame { Some(*offset) } else { None };
    told.sent.iter().filter_map(offset).collect()
}

fn part(payload: &[u8], number: usize) -> Frame {
    let (start, end) = (number << 20, payload.len().min((number + 1) << 20));
    let (hash, length) = (ContentHash::of(payload), payload.len() as u64);
    Frame::PayloadPart { hash, offset: start as u64, length, bytes: payload[start..end].to_vec() }
}

#[test]
fn a_payload_whose_sender_went_away_goes_on_where_it_stopped() {
    let mut world = World::usual();
    let payload = [[1; 1 << 20], [2; 1 << 20]].concat().into_iter().chain([3]).collect::<Vec<u8>>();
    let item = world.new_file(1, &payload);
    let signed = world.signed(world.now, vec![item]);
    assert_eq!(asked_for(&world.receive(entry_frame(&signed, vec![None]))), [0]);
    assert_eq!(asked_for(&world.receive(part(&payload, 0))), [1 << 20]);
    let peer = world.peer();
    world.handle(Input::PeerDisconnected(peer));
    assert_eq!(asked_for(&world.connect()), [1 << 20], "the first part is kept");
    assert_eq!(asked_for(&world.receive(part(&payload, 1))), [2 << 20]);
    assert_eq!(world.receive(part(&payload, 2)).closed, []);
    assert_eq!(asked_for(&world.connect()), [] as [u64; 0], "it is here");
}

#[test]
fn who_sends_the_rest_of_what_another_spoilt_is_not_blamed_and_is_asked_for_all_of_it() {
    let mut world = World::usual();
    let payload = [[1; 1 << 20], [2; 1 << 20]].concat();
    let mut spoilt = part(&payload, 0);
    let Frame::PayloadPart { bytes, .. } = &mut spoilt else { panic!("a part") };
    bytes[7] ^= 1;
    let item = world.new_file(1, &payload);
    let signed = world.signed(world.now, vec![item]);
    world.receive(entry_frame(&signed, vec![None]));
    world.receive(spoilt.clone());
    let peer = world.peer();
    world.handle(Input::PeerDisconnected(peer));
    world.connect();
    let told = world.receive(part(&payload, 1));
    assert_eq!((asked_for(&told), told.closed), (vec![0], vec![]));
    world.receive(part(&payload, 0));
    assert_eq!(world.receive(part(&payload, 1)).closed, []);
    // Who alone sent all of it is.
    let item = world.new_file(2, &[payload.as_slice(), b"x"].concat());
    let signed = world.signed(world.now, vec![item]);
    world.receive(entry_frame(&signed, vec![None]));
    let whole = [payload.as_slice(), b"x"].concat();
    let mut first = part(&whole, 0);
    let Frame::PayloadPart { bytes, .. } = &mut first else { panic!("a part") };
    bytes[7] ^= 1;
    world.receive(first);
    world.receive(part(&whole, 1));
    assert_eq!(world.receive(part(&whole, 2)).closed, [PeerFault::PayloadMismatch]);
}

#[test]
fn who_did_not_answer_is_asked_again_once_it_was_silent_for_half_a_minute() {
    let mut world = World::usual();
    let asked = [1, 2, 3].map(|number| {
        let item = world.new_file(number, &[u8::try_from(number).expect("few"); 9]);
        let signed = world.signed(world.now, vec![item]);
        asked_for(&world.receive(entry_frame(&signed, vec![None]))).len()
    });
    assert_eq!(asked, [1, 1, 0], "two at once");
    let begin = world.now;
    loop {
        world.now = world.machine.poll_timeout().expect("something is waited for");
        let told = world.handle(Input::TimeoutReached);
        if !asked_for(&told).is_empty() {
            break;
        }
    }
    assert_eq!(world.now, begin + Duration::from_secs(10) + Duration::from_secs(30));
}
