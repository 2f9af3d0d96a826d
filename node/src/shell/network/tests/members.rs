//! Members find each other, talk, part and come back.

use super::*;

/// Two nodes of one mesh; the second listens and the first dials.
async fn pair([first, second]: [Signer; 2]) -> (Node, Node) {
    let (mut first, mut second) = (Node::start(first).await, Node::start(second).await);
    second.set_members(&[(first.id(), None), (second.id(), None)]).await;
    first.set_members(&[(second.id(), Some(&second.address)), (first.id(), None)]).await;
    first.expect_connected(second.id()).await;
    second.expect_connected(first.id()).await;
    (first, second)
}

#[tokio::test]
async fn frames_go_both_ways_in_order() {
    let [low, high] = signers();
    // Whoever dials, the lower opens the session.
    for order in [[low.clone(), high.clone()], [high, low]] {
        let (mut first, mut second) = pair(order).await;
        let frames: Vec<_> = [10, 100, 2000, 300_000, 3 << 20, 1, 0].into_iter().map(noise).collect();
        for frame in &frames {
            first.send(second.id(), frame.clone()).await;
            second.send(first.id(), frame.clone()).await;
        }
        for frame in &frames {
            second.expect_frame(first.id(), frame).await;
            first.expect_frame(second.id(), frame).await;
        }
    }
}

#[tokio::test]
async fn many_small_frames_arrive_in_order() {
    let (first, mut second) = pair(signers()).await;
    let (peer, from) = (second.id(), first.id());
    let sending = async {
        for length in 0..3000 {
            first.send(peer, roster(length)).await;
        }
    };
    let receiving = async {
        for length in 0..3000 {
            second.expect_frame(from, &roster(length)).await;
        }
    };
    tokio::join!(sending, receiving);
}

#[tokio::test]
async fn two_that_dial_each_other_have_one_session() {
    let [low, high] = signers();
    let (mut low, mut high) = (Node::start(low).await, Node::start(high).await);
    low.set_members(&[(high.id(), Some(&high.address))]).await;
    high.set_members(&[(low.id(), Some(&low.address))]).await;
    low.expect_connected(high.id()).await;
    high.expect_connected(low.id()).await;
    for length in 0..50 {
        low.send(high.id(), roster(length)).await;
        high.expect_frame(low.id(), &roster(length)).await;
        high.send(low.id(), roster(length)).await;
        low.expect_frame(high.id(), &roster(length)).await;
    }
}

#[tokio::test]
async fn a_peer_that_restarts_is_found_again() {
    let (mut first, mut second) = pair(signers()).await;
    for _ in 0..2 {
        let (signer, address, peer) = (second.signer.clone(), second.address.clone(), second.id());
        second.shut_down().await;
        first.expect_disconnected(peer).await;
        second = Node::start_at(signer, address).await;
        second.set_members(&[(first.id(), None)]).await;
        first.expect_connected(peer).await;
        second.expect_connected(first.id()).await;
        first.send(peer, roster(5)).await;
        second.expect_frame(first.id(), &roster(5)).await;
    }
}

#[tokio::test]
async fn a_revoked_member_is_cut_off_and_stays_out() {
    let [first, second, third] = signers();
    let (mut first, mut second) = pair([first, second]).await;
    let mut third = Node::start(third).await;
    third.set_members(&[(first.id(), None), (second.id(), None)]).await;
    first.set_members(&[(third.id(), Some(&third.address))]).await;
    second.expect_disconnected(first.id()).await;
    // The revoked one dials, and the one that is still a member comes after it.
    second.set_members(&[(first.id(), Some(&first.address)), (third.id(), Some(&third.address))]).await;
    second.expect_connected(third.id()).await;
    let seen = [first.next().await, first.next().await];
    assert!(seen.iter().any(|event| matches!(event, Event::Disconnected(peer) if *peer == second.id())), "{seen:?}");
    assert!(seen.iter().any(|event| matches!(event, Event::Connected(peer) if *peer == third.id())), "{seen:?}");
    first.send(second.id(), roster(1)).await;
    first.send(third.id(), roster(2)).await;
    // The revoked one may have reached the third first.
    let mut event = third.next().await;
    while matches!(event, Event::Connected(_)) {
        event = third.next().await;
    }
    assert!(matches!(event, Event::Frame { frame, .. } if frame == roster(2)));
    assert!(first.events.try_recv().is_err());
}

#[tokio::test]
async fn a_member_taken_back_gets_a_new_session_after_the_end_of_the_old() {
    let (mut first, mut second) = pair(signers()).await;
    second.set_members(&[]).await;
    second.set_members(&[(first.id(), None)]).await;
    let (first_id, second_id) = (first.id(), second.id());
    for (node, peer) in [(&mut first, second_id), (&mut second, first_id)] {
        node.expect_disconnected(peer).await;
        node.expect_connected(peer).await;
    }
}

#[tokio::test]
async fn a_closed_peer_comes_back() {
    let (mut first, mut second) = pair(signers()).await;
    second.tell(Command::Close { peer: first.id() }).await;
    second.expect_disconnected(first.id()).await;
    first.expect_disconnected(second.id()).await;
    first.expect_connected(second.id()).await;
    second.expect_connected(first.id()).await;
}

#[tokio::test]
async fn another_key_at_the_address_is_refused() {
    let [first, second, other] = signers();
    let (mut first, mut second, mut other) =
        (Node::start(first).await, Node::start(second).await, Node::start(other).await);
    for node in [&second, &other] {
        node.set_members(&[(first.id(), None)]).await;
    }
    // Where the second should be, another node of the mesh listens; its address is that of the second.
    first.set_members(&[(second.id(), Some(&other.address)), (other.id(), None)]).await;
    first.set_members(&[(second.id(), Some(&other.address)), (other.id(), Some(&second.address))]).await;
    first.set_members(&[(second.id(), Some(&second.address)), (other.id(), Some(&other.address))]).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let Event::Connected(peer) = first.next().await else { panic!("only sessions begin") };
        seen.push(peer);
    }
    seen.sort();
    assert_eq!(seen, [second.id(), other.id()]);
    for node in [&mut second, &mut other] {
        node.expect_connected(first.id()).await;
        let peer = node.id();
        first.send(peer, roster(9)).await;
        node.expect_frame(first.id(), &roster(9)).await;
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_with_what_to_do() {
    let [first, second] = signers();
    let first = Node::start(first).await;
    let config = NetworkConfig { signer: second, listen: vec![first.address.clone()] };
    let error = spawn(config, mpsc::channel(1).0).expect_err("the port is taken");
    let port = first.address.to_string().rsplit('/').next().unwrap().to_owned();
    assert_eq!(
        format!("{error:#}"),
        format!(
            "cannot listen on /ip4/127.0.0.1/tcp/{port}: the port is in use; stop the other program (`ss -ltnp sport \
             = :{port}` names it) or start with another --listen"
        )
    );
}
