//! Dialing the node that made a ticket, as the ticket's one-time identity.

use std::time::Duration;

use aiemp_protocol::pairing::Ticket;
use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    multiaddr::Protocol,
    swarm::{DialError, SwarmEvent, dial_opts::DialOpts, dial_opts::PeerCondition},
};
use tokio::{sync::oneshot, time::timeout};

use super::{
    PairingStream,
    behaviour::{self, Behaviour},
    identity,
    pairing::Hold,
    streams,
};

/// How long an address may take to answer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the swarm outlives the conversation, for its last bytes.
const LINGER: Duration = Duration::from_secs(2);

/// Opens the pairing conversation with the node that made the ticket.
///
/// Noise proves that node's key, and to it the ticket's secret. Errors say what to do next.
pub async fn dial_pairing(ticket: &Ticket) -> anyhow::Result<PairingStream> {
    let cloud = identity::peer_id(ticket.cloud);
    let mut swarm = behaviour::swarm(&ticket.dial_key())?;
    swarm.behaviour_mut().allowed.allow_peer(cloud);
    let addresses = addresses_of(ticket, cloud)?;
    let Ok(connected) = timeout(DIAL_TIMEOUT, connect(&mut swarm, cloud, &addresses)).await else {
        bail!("no answer from {}: {FIX_REACH}", listed(&addresses));
    };
    connected?;
    let control = swarm.behaviour().streams.new_control();
    let (running, dropped) = oneshot::channel();
    tokio::spawn(drive(swarm, dropped));
    let (opened, says_inventory) = match streams::open(control.clone(), cloud, streams::PAIR).await {
        Ok(stream) => (Ok(stream), true),
        // An older node, or none that takes the ticket.
        Err(_) => (streams::open(control, cloud, streams::PAIR_1).await, false),
    };
    let stream = opened.map_err(|error| {
        // What libp2p says of a stream that was not opened helps nobody at the command line.
        tracing::debug!(%error, "no stream to pair on");
        anyhow::anyhow!(
            "the other side refused: the ticket was used, expired or replaced; run `aiemp-node pair invite` on the \
             Cloud node again"
        )
    })?;
    Ok(PairingStream::new(stream, says_inventory, Hold::Swarm { _running: running }))
}

const FIX_REACH: &str = "is the Cloud node running, is the address right, and does its firewall let the port in?";

fn addresses_of(ticket: &Ticket, cloud: PeerId) -> anyhow::Result<Vec<Multiaddr>> {
    let mut addresses = Vec::new();
    for text in &ticket.addresses {
        let address: Multiaddr = text.parse().with_context(|| format!("the ticket names `{text}`, no address"))?;
        let address = address.with_p2p(cloud);
        addresses.push(address.map_err(|other| anyhow::anyhow!("the ticket names `{other}`, another node"))?);
    }
    if addresses.is_empty() {
        bail!("the ticket has no address; run `aiemp-node pair invite --announce HOST` on the Cloud node");
    }
    Ok(addresses)
}

/// Dials each address by itself, so that a wrong node at one does not stand in the way of the others.
async fn connect(swarm: &mut Swarm<Behaviour>, cloud: PeerId, addresses: &[Multiaddr]) -> anyhow::Result<()> {
    let mut reasons = Vec::new();
    let mut waiting = 0_usize;
    for address in addresses {
        let options = DialOpts::peer_id(cloud)
            .condition(PeerCondition::Always)
            .addresses(vec![address.clone()])
            .allocate_new_port()
            .build();
        match swarm.dial(options) {
            Ok(()) => waiting += 1,
            Err(error) => reasons.push(reason(&error, addresses)),
        }
    }
    while waiting > 0 {
        let event = swarm.select_next_some().await;
        if let SwarmEvent::ConnectionEstablished { .. } = event {
            return Ok(());
        }
        if let SwarmEvent::OutgoingConnectionError { error, .. } = event {
            waiting -= 1;
            reasons.push(reason(&error, addresses));
        }
    }
    bail!("{}", reasons.join("; "))
}

fn reason(error: &DialError, addresses: &[Multiaddr]) -> String {
    if let DialError::WrongPeerId { address, .. } = error {
        return format!(
            "another node answers at {}: its key is not the ticket's; check the address, and run `aiemp-node pair \
             invite` again if the Cloud node was set up anew",
            shown(address)
        );
    }
    if let DialError::Transport(failures) = error
        && let [(address, cause)] = failures.as_slice()
    {
        tracing::debug!(%address, %cause, "dialing failed");
        return format!("nobody listens at {}: {FIX_REACH}", shown(address));
    }
    format!("cannot reach {}: {error}; {FIX_REACH}", listed(addresses))
}

fn listed(addresses: &[Multiaddr]) -> String {
    addresses.iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// The address without the identity that is the same in all.
fn shown(address: &Multiaddr) -> String {
    address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect::<Multiaddr>().to_string()
}

/// Runs the swarm for as long as the conversation lasts and a little longer.
async fn drive(mut swarm: Swarm<Behaviour>, dropped: oneshot::Receiver<()>) {
    tokio::pin!(dropped);
    loop {
        tokio::select! {
            _ = &mut dropped => break,
            _ = swarm.select_next_some() => {}
        }
    }
    let lingering = async {
        while swarm.connected_peers().next().is_some() {
            drop(swarm.select_next_some().await);
        }
    };
    if timeout(LINGER, lingering).await.is_err() {
        tracing::debug!("the other side kept the pairing connection");
    }
}
