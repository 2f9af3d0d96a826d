//! Calls between members.

use super::*;
use crate::shell::network::CallError;

async fn call(node: &Node, peer: NodeId, request: &[u8]) -> oneshot::Receiver<Result<Vec<u8>, CallError>> {
    let (reply, response) = oneshot::channel();
    node.tell(Command::Call { peer, request: body(request), reply }).await;
    response
}

async fn pair() -> (Node, Node) {
    let [first, second] = signers();
    let (mut first, mut second) = (Node::start(first).await, Node::start(second).await);
    second.set_members(&[(first.id(), None)]).await;
    first.set_members(&[(second.id(), Some(&second.address))]).await;
    first.expect_connected(second.id()).await;
    second.expect_connected(first.id()).await;
    (first, second)
}

/// Answers the next call with its request, twice.
async fn echo(node: &mut Node, caller: NodeId) {
    let event = node.next().await;
    let Event::Called { peer, request, reply } = event else { panic!("{event:?}") };
    assert_eq!(peer, caller);
    assert!(reply.send(body(&request.repeat(2))).is_ok());
}

#[tokio::test]
async fn a_call_is_answered_in_either_direction() {
    let (mut first, mut second) = pair().await;
    let response = call(&first, second.id(), b"draft").await;
    echo(&mut second, first.id()).await;
    assert_eq!(within(response).await.unwrap().unwrap(), b"draftdraft");
    let response = call(&second, first.id(), b"").await;
    echo(&mut first, second.id()).await;
    assert_eq!(within(response).await.unwrap().unwrap(), b"");
}

#[tokio::test]
async fn as_many_calls_at_once_as_allowed_are_all_answered() {
    let (first, mut second) = pair().await;
    let mut responses = Vec::new();
    for number in 0..16 {
        responses.push((number, call(&first, second.id(), &[number]).await));
    }
    let refused = call(&first, second.id(), b"one too many").await;
    assert!(matches!(within(refused).await.unwrap(), Err(CallError::Busy)));
    for _ in 0..16 {
        echo(&mut second, first.id()).await;
    }
    for (number, response) in responses {
        assert_eq!(within(response).await.unwrap().unwrap(), [number, number]);
    }
}

#[tokio::test]
async fn a_call_without_an_answer_says_why() {
    let (first, mut second) = pair().await;
    let [stranger] = signers();
    let outcome = within(call(&first, stranger.node_id(), b"x").await).await.unwrap();
    assert_eq!(outcome.unwrap_err().to_string(), "the peer is not connected; see `aiemp-node status`");
    let outcome = within(call(&first, second.id(), &vec![0; (1 << 20) + 1]).await).await.unwrap();
    assert_eq!(outcome.unwrap_err().to_string(), "the request has more than 1048576 bytes");
    let response = call(&first, second.id(), b"dropped").await;
    let Event::Called { reply, .. } = second.next().await else { panic!("a call") };
    drop(reply);
    assert!(matches!(within(response).await.unwrap(), Err(CallError::Broken(_))));
    let response = call(&first, second.id(), b"never").await;
    let Event::Called { reply, .. } = second.next().await else { panic!("a call") };
    let outcome = within(response).await.unwrap();
    assert!(matches!(outcome, Err(CallError::TimedOut | CallError::Broken(_))));
    drop(reply);
}
