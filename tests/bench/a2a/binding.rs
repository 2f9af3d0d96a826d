//! Two networks of ours in this process, members of each other; one answers calls at its desk.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use aiemp_keys::{FingerprintKey, Fingerprints, Hash, NodeId, Signer};
use aiemp_node::shell::network::{Command, Event, Network, NetworkConfig, spawn};
use aiemp_protocol::{
    a2a::{
        Announcement, Standing, TaskDesk,
        binding::{Operation, encode_call, read_answer},
        task_id,
    },
    egress::Guard,
    ids::{FileId, WorkId},
    time::Timestamp,
    zone::Zone,
};
use anyhow::{Context as _, Result, bail, ensure};
use libp2p::Multiaddr;
use serde_json::{Value, json};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::PATIENCE;

/// As many as the mesh lets wait.
const EVENTS_MAX: usize = 256;

pub(super) struct Binding {
    caller: Network,
    /// Keeps the caller's events flowing.
    _events: mpsc::Receiver<Event>,
    answerer: NodeId,
    guard: Guard,
    request: Vec<u8>,
}

impl Binding {
    /// The caller's network runs here, the answering one `there`.
    pub(super) async fn start(there: &Handle) -> Result<Self> {
        let (caller, answerer) = (Signer::generate()?, Signer::generate()?);
        let (cloud, local) = (caller.node_id(), answerer.node_id());
        let (caller, mut events, _) = network(caller).await?;
        let (answering, mut called, address) = there.spawn(network(answerer)).await??;
        set_members(&answering, cloud, vec![]).await?;
        set_members(&caller, local, vec![address]).await?;
        connected(&mut events).await?;
        connected(&mut called).await?;
        let guard = Guard::new(Fingerprints::new(FingerprintKey::from_bytes([1; 32])));
        let draft = Announcement {
            file: FileId { zone: Zone::Drafts, hash: Hash::of_content(b"file") },
            work: WorkId(Hash::of_content(b"work")),
            action: None,
        };
        let mut desk = TaskDesk::default();
        desk.announced(&draft, cloud, now());
        there.spawn(answer(desk, called, guard.clone(), answering));
        let request = encode_call(Operation::GetTask, &json!({ "id": task_id(draft.file) }))?;
        Ok(Self { caller, _events: events, answerer: local, guard, request })
    }

    pub(super) fn request(&self) -> &[u8] {
        &self.request
    }

    /// The answer to the request, which has to be a task.
    pub(super) async fn response(&self) -> Result<Vec<u8>> {
        let response = self.ask().await?;
        let task: Value = read_answer(&response)?;
        ensure!(task["status"]["state"] == "TASK_STATE_AUTH_REQUIRED", "the desk answers {task}");
        Ok(response)
    }

    /// How long one call takes, the guard's look included.
    pub(super) async fn call(&self) -> Result<Duration> {
        let began = Instant::now();
        self.ask().await?;
        Ok(began.elapsed())
    }

    async fn ask(&self) -> Result<Vec<u8>> {
        let request = self.guard.clear_bytes(self.request.clone())?;
        let (reply, response) = oneshot::channel();
        self.caller.commands.send(Command::Call { peer: self.answerer, request, reply }).await?;
        Ok(response.await.context("the network ended")??)
    }
}

async fn network(signer: Signer) -> Result<(Network, mpsc::Receiver<Event>, Multiaddr)> {
    let (sender, mut events) = mpsc::channel(EVENTS_MAX);
    let network = spawn(NetworkConfig { signer, listen: vec!["/ip4/127.0.0.1/tcp/0".parse()?] }, sender)?;
    match timeout(PATIENCE, events.recv()).await? {
        Some(Event::Listening(address)) => Ok((network, events, address)),
        other => bail!("listening comes first, not {other:?}"),
    }
}

async fn set_members(network: &Network, peer: NodeId, addresses: Vec<Multiaddr>) -> Result<()> {
    Ok(network.commands.send(Command::SetMembers(BTreeMap::from([(peer, addresses)]))).await?)
}

async fn connected(events: &mut mpsc::Receiver<Event>) -> Result<()> {
    match timeout(PATIENCE, events.recv()).await? {
        Some(Event::Connected(_)) => Ok(()),
        other => bail!("connected comes next, not {other:?}"),
    }
}

/// Answers calls until the bench ends; `_network` lives as long.
async fn answer(mut desk: TaskDesk, mut events: mpsc::Receiver<Event>, guard: Guard, _network: Network) {
    while let Some(event) = events.recv().await {
        if let Event::Called { peer, request, reply } = event {
            let (body, _) = desk.handle_call(peer, now(), &request, &|_| Standing::Waiting);
            if let Ok(body) = guard.clear_bytes(body) {
                // A caller that is gone is missed by the bench.
                reply.send(body).ok();
            }
        }
    }
}

fn now() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
