//! Pairing conversations over the wire; what is said in them is the protocol crate's.

use aiemp_protocol::pairing::{Message, Ticket};
use libp2p::swarm::SwarmEvent;

use super::*;
use crate::shell::network::{PairingStream, dial_pairing};

async fn cloud() -> (Node, Ticket) {
    let [signer] = signers();
    let cloud = Node::start(signer).await;
    let ticket = Ticket::new(cloud.id(), vec![cloud.address.to_string()], [9; 16], now());
    cloud.tell(Command::SetInvite(Some(ticket.invite()))).await;
    (cloud, ticket)
}

async fn conversation(cloud: &mut Node, ticket: &Ticket) -> (PairingStream, PairingStream) {
    let local = within(dial_pairing(ticket)).await.unwrap();
    let event = cloud.next().await;
    let Event::PairingRequested { dialer, stream } = event else { panic!("{event:?}") };
    assert_eq!(dialer, ticket.dial_key().node_id());
    (local, stream)
}

async fn error_of(ticket: &Ticket) -> String {
    format!("{:#}", within(dial_pairing(ticket)).await.expect_err("no conversation"))
}

#[tokio::test]
async fn a_conversation_goes_both_ways_and_its_last_word_arrives() {
    let (mut cloud, ticket) = cloud().await;
    let (mut local, mut remote) = conversation(&mut cloud, &ticket).await;
    let answer = Message::Answer { nonce: [2; 32], name: "cloud".into() };
    let proof = Message::Proof { node_signature: vec![1; 64], root_signature: vec![2; 64], rosters: vec![3; 900_000] };
    remote.send(&answer).await.unwrap();
    assert_eq!(local.receive().await.unwrap(), answer);
    let (sent, received) = tokio::join!(local.send(&proof), remote.receive());
    sent.unwrap();
    assert_eq!(received.unwrap(), proof);
    remote.send(&Message::Accepted).await.unwrap();
    drop(remote);
    cloud.tell(Command::SetInvite(None)).await;
    assert_eq!(local.receive().await.unwrap(), Message::Accepted);
    within(local.finish()).await;
}

#[tokio::test]
async fn a_refusal_is_the_last_word_too() {
    let (mut cloud, ticket) = cloud().await;
    let (mut local, mut remote) = conversation(&mut cloud, &ticket).await;
    let refused = Message::Refused { reason: "the words differ".into() };
    local.send(&refused).await.unwrap();
    let (_, received) = tokio::join!(local.finish(), async {
        let received = remote.receive().await;
        drop(remote);
        received
    });
    assert_eq!(received.unwrap(), refused);
}

#[tokio::test]
async fn a_ticket_without_an_open_invite_is_refused() {
    let (cloud, ticket) = cloud().await;
    cloud.tell(Command::SetInvite(None)).await;
    let refused = "the other side refused: the ticket was used, expired or replaced; run `aiemp-node pair invite` on \
                   the Cloud node again";
    assert_eq!(error_of(&ticket).await, refused);
    let mut expired = ticket.invite();
    expired.expires = Timestamp::from_millis(1);
    cloud.tell(Command::SetInvite(Some(expired))).await;
    assert_eq!(error_of(&ticket).await, refused);
    let other = Ticket { secret: [8; 16], ..ticket.clone() };
    cloud.tell(Command::SetInvite(Some(ticket.invite()))).await;
    assert_eq!(error_of(&other).await, refused);
}

#[tokio::test]
async fn the_invite_ends_at_its_expiry() {
    let (mut cloud, ticket) = cloud().await;
    let (mut local, _remote) = conversation(&mut cloud, &ticket).await;
    let mut invite = ticket.invite();
    invite.expires = now() + Duration::from_millis(200);
    cloud.tell(Command::SetInvite(Some(invite))).await;
    let error = within(local.receive()).await.expect_err("cut off").to_string();
    assert!(error.starts_with("the other side ended the pairing ("), "{error}");
}

#[tokio::test]
async fn an_address_that_does_not_answer_or_is_anothers_is_named() {
    let (cloud, ticket) = cloud().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = Ticket { addresses: vec![format!("/ip4/127.0.0.1/tcp/{free}")], ..ticket.clone() };
    assert_eq!(
        error_of(&nobody).await,
        format!(
            "nobody listens at /ip4/127.0.0.1/tcp/{free}: is the Cloud node running, is the address right, and does \
             its firewall let the port in?"
        )
    );
    let [other] = signers();
    let other = Ticket { cloud: other.node_id(), ..ticket.clone() };
    assert_eq!(
        error_of(&other).await,
        format!(
            "another node answers at {}: its key is not the ticket's; check the address, and run `aiemp-node pair \
             invite` again if the Cloud node was set up anew",
            cloud.address
        )
    );
    let none = Ticket { addresses: Vec::new(), ..ticket };
    assert_eq!(
        error_of(&none).await,
        "the ticket has no address; run `aiemp-node pair invite --announce HOST` on the Cloud node"
    );
}

#[tokio::test]
async fn a_good_address_counts_beside_bad_ones() {
    let (mut cloud, mut ticket) = cloud().await;
    let [other] = signers();
    let other = Node::start(other).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    ticket.addresses.insert(0, format!("/ip4/127.0.0.1/tcp/{free}"));
    ticket.addresses.insert(1, other.address.to_string());
    conversation(&mut cloud, &ticket).await;
}

#[tokio::test]
async fn an_older_cloud_node_is_spoken_to_as_before_and_known_not_to_say_what_it_holds() {
    let [signer] = signers();
    let mut swarm = behaviour::swarm(&signer).unwrap();
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = within(swarm.select_next_some()).await {
            break address;
        }
    };
    let ticket = Ticket::new(signer.node_id(), vec![address.to_string()], [9; 16], now());
    swarm.behaviour_mut().allowed.allow_peer(identity::peer_id(ticket.dial_key().node_id()));
    let mut incoming = swarm.behaviour().streams.new_control().accept(streams::PAIR_1).unwrap();
    let running = tokio::spawn(async move {
        loop {
            drop(swarm.select_next_some().await);
        }
    });
    let (dialled, answered) = tokio::join!(within(dial_pairing(&ticket)), async {
        let (_, stream) = within(incoming.next()).await.unwrap();
        streams::greet(stream).await
    });
    assert!(!dialled.unwrap().says_inventory());
    answered.unwrap();
    running.abort();
}

#[tokio::test]
async fn an_older_local_node_is_answered_as_before() {
    let (mut cloud, ticket) = cloud().await;
    assert!(conversation(&mut cloud, &ticket).await.0.says_inventory());
    let older = RawPeer::dial(ticket.dial_key(), &cloud);
    let (opened, event) = tokio::join!(older.open(cloud.id(), streams::PAIR_1), cloud.next());
    opened.unwrap();
    assert!(matches!(event, Event::PairingRequested { .. }), "{event:?}");
}
