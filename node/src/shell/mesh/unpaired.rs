//! A Cloud node that belongs to no mesh: it listens for the holder of its ticket and does nothing else.

use anyhow::Result;
use tokio::sync::{mpsc, oneshot};

use super::{EVENTS_MAX, MeshOptions, start};
use crate::{
    fault::causes,
    shell::{
        home_watch,
        network::{Command, Event},
        pairing,
    },
};

/// Waits until the node is paired; `false` when it was told to stop.
pub(super) async fn wait_for_pairing(options: &MeshOptions, stop: &mut mpsc::Receiver<()>) -> Result<bool> {
    let home = &options.home;
    let me = options.signer.node_id();
    let (sent, mut events) = mpsc::channel(EVENTS_MAX);
    let network = start::open_network(options, sent)?;
    let mut changed = home_watch::watch(&[home.mesh()]);
    network.commands.send(Command::SetInvite(pairing::open_invite(home))).await?;
    let mut listening = Vec::new();
    start::write_addresses(home, &listening)?;
    start::say_ready();
    tracing::info!("not paired yet: run `aiemp-node pair invite` and take the ticket to Local");
    let paired = loop {
        tokio::select! {
            _ = stop.recv() => break false,
            Some(()) = changed.recv() => {
                network.commands.send(Command::SetInvite(pairing::open_invite(home))).await?;
            }
            Some(event) = events.recv() => match event {
                Event::Listening(address) => {
                    listening.push(address.to_string());
                    start::write_addresses(home, &listening)?;
                }
                Event::PairingRequested { dialer, stream } => {
                    match pairing::respond(home, &options.config.vault, me, dialer, stream).await {
                        Ok(_) => break true,
                        Err(error) => tracing::warn!(error = causes(&error), "pairing failed"),
                    }
                }
                Event::Connected(_) | Event::Disconnected(_) | Event::Frame { .. } | Event::Called { .. } => {}
            }
        }
    };
    let (done, stopped) = oneshot::channel();
    network.commands.send(Command::Shutdown(done)).await?;
    // The port must be free before the mesh listens on it.
    stopped.await.ok();
    Ok(paired)
}
