//! A2A calls to and from members. A call to a member that is away waits on disk, thirty days at most.

use aiemp_keys::NodeId;
use aiemp_protocol::{
    a2a::binding::{self, Operation},
    egress::Cleared,
    limits::OUTBOX_LIFETIME,
};
use anyhow::Result;
use tokio::sync::oneshot;

use super::Mesh;
use crate::shell::{clock, control::Response, network, store};

impl Mesh {
    /// Durable first; then it is tried if the member is there.
    pub(super) async fn queue_call(&mut self, peer: NodeId, id: String, body: Cleared<Vec<u8>>) -> Result<()> {
        self.enqueue(peer, id, body.into_inner()).await?;
        if self.core.replication().connected().any(|(node, _)| node == peer) {
            self.read_queue(peer).await?;
        }
        Ok(())
    }

    /// What was announced here is kept under this node's own id.
    pub(super) async fn keep_announcement(&mut self, id: String, bytes: Vec<u8>) -> Result<()> {
        self.enqueue(self.me, id, bytes).await
    }

    async fn enqueue(&self, peer: NodeId, id: String, bytes: Vec<u8>) -> Result<()> {
        let created = clock::now();
        let expires = created + OUTBOX_LIFETIME;
        let queue = store::Write::Queue { peer, id, bytes, created, expires };
        Ok(self.store.send(store::Command::Write(queue)).await?)
    }

    pub(super) async fn read_queue(&mut self, peer: NodeId) -> Result<()> {
        let now = clock::now();
        self.store.send(store::Command::Write(store::Write::ExpireQueue { now })).await?;
        Ok(self.store.send(store::Command::ReadQueue { peer, now }).await?)
    }

    /// Calls one after the other, so that a member is never asked many things at once. What is not answered stays.
    pub(super) fn call_all(&self, peer: NodeId, calls: Vec<(String, Vec<u8>)>) {
        let (commands, done) = (self.network.commands.clone(), self.calls_done.0.clone());
        let guard = self.core.guard().clone();
        tokio::spawn(async move {
            for (id, bytes) in calls {
                let Ok(request) = guard.clear_bytes(bytes) else { continue };
                let (reply, answer) = oneshot::channel();
                if commands.send(network::Command::Call { peer, request, reply }).await.is_err() {
                    return;
                }
                match answer.await {
                    Ok(Ok(_)) => done.send((peer, id)).await.ok(),
                    Ok(Err(_)) | Err(_) => return,
                };
            }
        });
    }

    pub(super) async fn call_done(&mut self, peer: NodeId, id: String) -> Result<()> {
        Ok(self.store.send(store::Command::Write(store::Write::Unqueue { peer, id })).await?)
    }

    /// Asks a member for the tasks that this node announced to it.
    pub(super) async fn ask_for_tasks(&self, peer: &str, answer: oneshot::Sender<Response>) -> Result<()> {
        let member = self.core.replication().rosters().current().member_named(peer).map(|member| member.node);
        let Some(peer) = member else {
            let message = format!("no member is named `{peer}`");
            answer.send(Response::BadRequest { message }).ok();
            return Ok(());
        };
        let body = binding::encode_call(Operation::ListTasks, &serde_json::json!({}))?;
        let (reply, answered) = oneshot::channel();
        let request = self.core.guard().clear_bytes(body)?;
        self.network.commands.send(network::Command::Call { peer, request, reply }).await?;
        tokio::spawn(async move {
            let response = match answered.await {
                Ok(Ok(bytes)) => tasks_in(&bytes),
                Ok(Err(error)) => Response::BadRequest { message: error.to_string() },
                Err(_) => Response::BadRequest { message: "the network stopped".to_owned() },
            };
            answer.send(response).ok();
        });
        Ok(())
    }

    pub(super) fn answer_call(&mut self, request: u64, body: Cleared<Vec<u8>>) {
        if let Some(reply) = self.calls.remove(&request) {
            // The caller may have gone.
            reply.send(body).ok();
        }
    }
}

fn tasks_in(bytes: &[u8]) -> Response {
    match binding::read_answer::<serde_json::Value>(bytes) {
        Ok(mut page) => {
            let tasks = page["tasks"].as_array_mut().map(std::mem::take).unwrap_or_default();
            Response::Tasks { tasks }
        }
        Err(error) => Response::BadRequest { message: error.to_string() },
    }
}
