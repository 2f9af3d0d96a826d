//! Strangers and members that misbehave: only their own session suffers.

use std::io::Read as _;

use futures::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::shell::network::frames::Encoder;

/// A node, an honest member that is connected to it, and a member of the lower identity that speaks by hand.
async fn mesh() -> (Node, Node, RawPeer) {
    let [raw, node, honest] = signers();
    let (mut node, mut honest) = (Node::start(node).await, Node::start(honest).await);
    honest.set_members(&[(node.id(), None)]).await;
    node.set_members(&[(honest.id(), Some(&honest.address)), (raw.node_id(), None)]).await;
    node.expect_connected(honest.id()).await;
    honest.expect_connected(node.id()).await;
    let raw = RawPeer::dial(raw, &node);
    (node, honest, raw)
}

async fn still_talk(node: &mut Node, honest: &mut Node) {
    node.send(honest.id(), roster(3)).await;
    honest.expect_frame(node.id(), &roster(3)).await;
    honest.send(node.id(), roster(4)).await;
    node.expect_frame(honest.id(), &roster(4)).await;
}

async fn write(stream: &mut Stream, length: u32, flag: u8, body: &[u8]) {
    let block = [&length.to_be_bytes()[..], &[flag], body].concat();
    // The node may cut it off in the middle.
    drop(stream.write_all(&block).await);
    drop(stream.flush().await);
}

#[tokio::test]
async fn a_stranger_gets_no_protocol_and_no_session() {
    let (mut node, mut honest, raw) = mesh().await;
    drop(raw);
    let [stranger] = signers();
    let stranger = RawPeer::dial(stranger, &node);
    for protocol in
        [streams::LOG, streams::CALL, streams::PAIR, streams::PAIR_1, StreamProtocol::new("/ipfs/ping/1.0.0")]
    {
        assert!(stranger.open(node.id(), protocol).await.is_err());
    }
    still_talk(&mut node, &mut honest).await;
    assert!(node.events.try_recv().is_err());
}

#[tokio::test]
async fn the_higher_identity_may_not_open_the_session_nor_a_member_pair() {
    let [node, raw] = signers();
    let node = Node::start(node).await;
    node.set_members(&[(raw.node_id(), None)]).await;
    let raw = RawPeer::dial(raw, &node);
    assert!(raw.open(node.id(), streams::LOG).await.is_err());
    for protocol in [streams::PAIR, streams::PAIR_1] {
        assert!(raw.open(node.id(), protocol).await.is_err());
    }
    assert!(raw.open(node.id(), streams::CALL).await.is_ok());
}

#[tokio::test]
async fn what_is_no_frame_closes_only_that_session() {
    let (mut node, mut honest, raw) = mesh().await;
    let bomb = zstd::stream::encode_all(std::io::repeat(0).take(64 << 20), 1).unwrap();
    let bomb_length = u32::try_from(bomb.len() + 1).unwrap();
    for (length, flag, body) in [
        (u32::MAX, 0, &[][..]),
        (5 << 20, 0, &[]),
        (bomb_length, 1, &bomb),
        (3, 0, &[1, 2]),
        (3, 9, &[1, 2]),
        (0, 0, &[]),
    ] {
        let mut stream = raw.open(node.id(), streams::LOG).await.unwrap();
        node.expect_connected(raw.signer.node_id()).await;
        write(&mut stream, length, flag, body).await;
        node.expect_disconnected(raw.signer.node_id()).await;
        still_talk(&mut node, &mut honest).await;
    }
}

#[tokio::test]
async fn a_new_stream_takes_the_place_of_the_old() {
    let (mut node, _honest, raw) = mesh().await;
    let mut old = raw.open(node.id(), streams::LOG).await.unwrap();
    node.expect_connected(raw.signer.node_id()).await;
    let mut new = raw.open(node.id(), streams::LOG).await.unwrap();
    node.expect_disconnected(raw.signer.node_id()).await;
    node.expect_connected(raw.signer.node_id()).await;
    assert!(matches!(within(old.read(&mut [0])).await, Ok(0) | Err(_)));
    let mut wire = Vec::new();
    Encoder::new().unwrap().encode(&roster(6), &mut wire).unwrap();
    new.write_all(&wire).await.unwrap();
    new.flush().await.unwrap();
    node.expect_frame(raw.signer.node_id(), &roster(6)).await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_stalls_nobody_and_is_cut_off() {
    let (mut node, mut honest, raw) = mesh().await;
    let mut stream = raw.open(node.id(), streams::LOG).await.unwrap();
    node.expect_connected(raw.signer.node_id()).await;
    for _ in 0..40 {
        node.send(raw.signer.node_id(), noise(1 << 20)).await;
        still_talk(&mut node, &mut honest).await;
    }
    node.expect_disconnected(raw.signer.node_id()).await;
    still_talk(&mut node, &mut honest).await;
    // Only what the stream had taken arrives.
    let mut arrived = Vec::new();
    drop(within(stream.read_to_end(&mut arrived)).await);
    assert!(arrived.len() < 4 << 20, "{}", arrived.len());
}

#[tokio::test]
async fn a_burst_beyond_the_queue_ends_the_session_after_what_was_queued() {
    let (mut node, mut honest, raw) = mesh().await;
    drop(raw);
    let (peer, from) = (honest.id(), node.id());
    for _ in 0..60 {
        node.send(peer, noise(1 << 20)).await;
    }
    let mut arrived = 0;
    let last = loop {
        let event = honest.next().await;
        let Event::Frame { frame, .. } = event else { break event };
        assert_eq!(frame, noise(1 << 20));
        arrived += 1;
    };
    assert!(matches!(last, Event::Disconnected(_)), "{last:?}");
    // The last one may be half written when the session ends.
    assert!((30..60).contains(&arrived), "{arrived}");
    node.expect_disconnected(peer).await;
    node.expect_connected(peer).await;
    honest.expect_connected(from).await;
    still_talk(&mut node, &mut honest).await;
}
