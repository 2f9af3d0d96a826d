//! Cloud's side of a pairing, as one conversation.

use std::path::Path;

use aiemp_keys::{NodeId, random};
use aiemp_protocol::{
    egress::Guard,
    ids::Audience,
    pairing::{Asked, Inventory, Invite, Message, PairingError},
    roster::RosterChain,
    zone::{Claimants, Zone},
};
use anyhow::{Context, Result};

use super::{clock, fingerprints, network::PairingStream, other_syncs, rosters, vault_disk::Stock};
use crate::home::Home;

/// The open invitation, if one is good.
pub fn open_invite(home: &Home) -> Option<Invite> {
    let invite = Invite::from_bytes(&std::fs::read(home.invite()).ok()?).ok()?;
    (invite.expires >= clock::now()).then_some(invite)
}

/// Answers the holder of the ticket; the roster is durable when this returns.
pub async fn respond(
    home: &Home,
    vault: &Path,
    me: NodeId,
    dialer: NodeId,
    mut stream: PairingStream,
) -> Result<RosterChain> {
    let invite = take_out_of_use(home, dialer)?;
    match converse((home, vault), me, &invite, &mut stream).await {
        Ok(rosters) => {
            stream.finish().await;
            Ok(rosters)
        }
        Err(error) => {
            let reason = error
                .downcast_ref::<PairingError>()
                .map_or_else(|| "it did not work there; see its log".to_owned(), ToString::to_string);
            // The other side may be gone already.
            if stream.send(&Message::Refused { reason }).await.is_ok() {
                stream.finish().await;
            }
            Err(error)
        }
    }
}

async fn converse(
    (home, vault): (&Home, &Path),
    me: NodeId,
    invite: &Invite,
    stream: &mut PairingStream,
) -> Result<RosterChain> {
    let held = rosters::load(home)?;
    let name = match held.as_ref().and_then(|chain| chain.current().member(me)) {
        Some(member) => member.name.clone(),
        None => std::fs::read_to_string(home.name()).context("this home has no name; run init again")?,
    };
    let offer = stream.receive().await?;
    let own_root = held.as_ref().map(RosterChain::root);
    let (asked, answer) = Asked::offered(offer, invite.dialer, me, &name, random::array()?, own_root)?;
    tracing::info!(words = asked.words(), "pairing: Local should show the same four words");
    stream.send(&answer).await?;
    let mut message = stream.receive().await?;
    if asked.wants_inventory(&message, invite.mesh)? {
        let (home, vault) = (home.clone(), vault.to_owned());
        let inventory = tokio::task::spawn_blocking(move || inventory(&home, &vault, me)).await??;
        for part in inventory.into_messages() {
            stream.send(&part).await?;
        }
        message = stream.receive().await?;
    }
    let admitted = asked.proved(message, invite.mesh)?;
    rosters::store(home, &admitted.rosters)?;
    stream.send(&Message::Accepted).await?;
    tracing::info!(local = %admitted.local, "paired");
    Ok(admitted.rosters)
}

/// What lies in the folders that members share. A name that holds a secret is not said.
fn inventory(home: &Home, vault: &Path, me: NodeId) -> Result<Inventory> {
    let guard = Guard::new(fingerprints::load(home)?).at_cloud();
    let stock = Stock::of(vault)?;
    let files = stock.read(|path| {
        let is_shared = Zone::of(path, &AnyClaimant(me)).is_ok_and(|zone| zone.audience() == Audience::All);
        is_shared && guard.clear_file(path, Audience::All, Vec::new()).is_ok()
    });
    let remotes = other_syncs::remotes(vault).into_iter().map(|remote| remote.digest);
    Ok(Inventory::of(files, remotes.collect()))
}

/// Before a node is paired it does not know the members: each claim folder may be one's.
pub struct AnyClaimant(pub NodeId);

impl Claimants for AnyClaimant {
    fn claimant(&self, _: &str) -> Option<NodeId> {
        Some(self.0)
    }
}

/// A ticket is good once: the invitation is gone, durably, before anything is answered.
fn take_out_of_use(home: &Home, dialer: NodeId) -> Result<Invite> {
    let invite = open_invite(home).filter(|invite| invite.dialer == dialer);
    let invite = invite.context("the invitation is used up or expired")?;
    std::fs::remove_file(home.invite()).context("cannot take the invitation out of use")?;
    std::fs::File::open(home.mesh())?.sync_all().context("cannot take the invitation out of use durably")?;
    Ok(invite)
}
