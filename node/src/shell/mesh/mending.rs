//! A damaged store, before the start: what is whole in it goes into a new one, and the entries it lost are asked of the
//! peers. The vault is not looked at before they are back: without them it would be compared with half of what the logs say.

use std::{collections::BTreeSet, path::Path};

use aiemp_keys::NodeId;
use aiemp_protocol::{
    egress::Guard,
    frame::Frame,
    ids::{Audience, LogId},
    roster::{Role, RosterChain},
};
use anyhow::Result;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{EVENTS_MAX, FETCH_AGAIN, MeshOptions, start, troubles};
use crate::shell::{
    control::{self, Request, Response, WireStatus},
    fingerprints,
    network::{self, Command, Event},
    peers,
    store::{self, Loaded, Salvaged, Store, StoreError},
    users::Users,
};

/// Opens the store, as a new one where it is damaged or known to be; none when the node was told to stop before all was back.
pub(super) async fn open_store(
    options: &MeshOptions,
    rosters: &RosterChain,
    stop: &mut mpsc::Receiver<()>,
    is_damaged: bool,
) -> Result<Option<(Store, Loaded)>> {
    let path = options.home.store();
    let whole = if is_damaged { None } else { whole(&path)? };
    let (mut store, loaded) = match whole {
        Some(whole) => whole,
        None => {
            tracing::error!("what is whole in the damaged store goes into a new one");
            tell(&store::salvage(&path)?);
            opened(&path)?
        }
    };
    if let Some(loaded) = loaded {
        return Ok(Some((store, loaded)));
    }
    if !ask_peers(options, rosters, &mut store, stop).await? {
        return Ok(None);
    }
    let loaded = store.load()?;
    Ok(Some((store, loaded)))
}

/// The store and what is in it; none where it is damaged.
fn whole(path: &Path) -> Result<Option<(Store, Option<Loaded>)>, StoreError> {
    match opened(path) {
        Err(StoreError::Corrupt(damage)) => {
            tracing::error!(%damage, "the store is damaged");
            Ok(None)
        }
        opened => opened.map(Some),
    }
}

/// Without what it lost nothing can be loaded.
fn opened(path: &Path) -> Result<(Store, Option<Loaded>), StoreError> {
    let store = Store::open(path)?;
    let loaded = if store.lost_places()?.is_empty() { Some(store.load()?) } else { None };
    Ok((store, loaded))
}

fn tell(Salvaged { kept, entries, payloads }: &Salvaged) {
    let kept = kept.as_ref().map(|kept| tracing::field::display(kept.display()));
    tracing::error!(kept, lost_entries = entries, missing_payloads = payloads, "the store was damaged");
}

/// Asks every peer that connects until no place is empty any more; `false` when told to stop.
async fn ask_peers(
    options: &MeshOptions,
    rosters: &RosterChain,
    store: &mut Store,
    stop: &mut mpsc::Receiver<()>,
) -> Result<bool> {
    let home = &options.home;
    let (sent, mut events) = mpsc::channel(EVENTS_MAX);
    let network = start::open_network(options, sent)?;
    let (asked_sent, mut asked) = mpsc::channel(EVENTS_MAX);
    control::serve(&home.control_socket(), Users::load(home)?.as_ref(), asked_sent)?;
    start::write_addresses(home, &[])?;
    network.commands.send(Command::SetMembers(peers::of(home, rosters.current(), options.signer.node_id()))).await?;
    let mut asking =
        Asking { guard: Guard::new(fingerprints::load(home)?), rosters, store, connected: BTreeSet::new() };
    let mut listening = Vec::new();
    let mut ask_at = Instant::now();
    let is_whole = loop {
        let lost = asking.store.lost_places()?;
        if lost.is_empty() {
            break true;
        }
        tokio::select! {
            _ = stop.recv() => break false,
            () = tokio::time::sleep_until(ask_at) => {
                tracing::error!(entries = lost.len(), "entries that the store lost are asked of the peers; nothing syncs until they are back");
                asking.ask_all(&network, &lost).await?;
                ask_at = Instant::now() + FETCH_AGAIN;
            }
            Some((request, answer)) = asked.recv() => {
                // The asker may have gone away.
                answer.send(asking.answer(&request, lost.len())).ok();
            }
            Some(event) = events.recv() => match event {
                Event::Listening(address) => {
                    listening.push(address.to_string());
                    start::write_addresses(home, &listening)?;
                }
                Event::Connected(peer) => {
                    asking.connected.insert(peer);
                    asking.ask(&network, peer, &lost).await?;
                }
                Event::Disconnected(peer) => drop(asking.connected.remove(&peer)),
                Event::Frame { frame: Frame::Entry { log, cose, .. }, .. } => {
                    if asking.store.put_back(rosters.current().mesh, log, &cose)? {
                        ask_at = Instant::now() + FETCH_AGAIN;
                    }
                }
                Event::Frame { .. } | Event::PairingRequested { .. } | Event::Called { .. } => {}
            }
        }
    };
    let (done, stopped) = oneshot::channel();
    network.commands.send(Command::Shutdown(done)).await?;
    // The port must be free before the mesh listens on it.
    stopped.await.ok();
    if is_whole {
        tracing::warn!("all entries that the store lost are back");
    }
    Ok(is_whole)
}

struct Asking<'a> {
    guard: Guard,
    rosters: &'a RosterChain,
    store: &'a mut Store,
    connected: BTreeSet<NodeId>,
}

impl Asking<'_> {
    async fn ask_all(&self, network: &network::Network, lost: &BTreeSet<(LogId, u64)>) -> Result<()> {
        for peer in &self.connected {
            self.ask(network, *peer, lost).await?;
        }
        Ok(())
    }

    /// Of private entries no Cloud hears.
    async fn ask(&self, network: &network::Network, peer: NodeId, lost: &BTreeSet<(LogId, u64)>) -> Result<()> {
        let Some(role) = self.rosters.current().member(peer).map(|member| member.role) else { return Ok(()) };
        let may_know = |log: &LogId| log.audience == Audience::All || role == Role::Local;
        for (log, from_seq) in lost.iter().filter(|(log, _)| may_know(log)) {
            let fetch = Frame::Fetch { log: *log, from_seq: *from_seq, count: 1 };
            if let Ok((frame, _)) = self.guard.clear_frame(role, fetch) {
                network.commands.send(Command::Send { peer, frame }).await?;
            }
        }
        Ok(())
    }

    fn answer(&self, request: &Request, lost: usize) -> Response {
        let trouble = troubles::entries_lost(lost);
        if matches!(request, Request::Status) {
            return Response::Status(Box::new(WireStatus { store: vec![trouble], ..WireStatus::default() }));
        }
        Response::BadRequest { message: format!("{}. {}", trouble.what, trouble.fix) }
    }
}
