//! Cloud's side of a pairing, as one conversation.

use aiemp_keys::{NodeId, random};
use aiemp_protocol::{
    pairing::{Asked, Invite, Message, PairingError},
    roster::RosterChain,
};
use anyhow::{Context, Result};

use super::{clock, network::PairingStream, rosters};
use crate::home::Home;

/// The open invitation, if one is good.
pub fn open_invite(home: &Home) -> Option<Invite> {
    let invite = Invite::from_bytes(&std::fs::read(home.invite()).ok()?).ok()?;
    (invite.expires >= clock::now()).then_some(invite)
}

/// Answers the holder of the ticket; the roster is durable when this returns.
pub async fn respond(home: &Home, me: NodeId, dialer: NodeId, mut stream: PairingStream) -> Result<RosterChain> {
    let invite = take_out_of_use(home, dialer)?;
    match converse(home, me, &invite, &mut stream).await {
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

async fn converse(home: &Home, me: NodeId, invite: &Invite, stream: &mut PairingStream) -> Result<RosterChain> {
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
    let admitted = asked.proved(stream.receive().await?, invite.mesh)?;
    rosters::store(home, &admitted.rosters)?;
    stream.send(&Message::Accepted).await?;
    tracing::info!(local = %admitted.local, "paired");
    Ok(admitted.rosters)
}

/// A ticket is good once: the invitation is gone, durably, before anything is answered.
fn take_out_of_use(home: &Home, dialer: NodeId) -> Result<Invite> {
    let invite = open_invite(home).filter(|invite| invite.dialer == dialer);
    let invite = invite.context("the invitation is used up or expired")?;
    std::fs::remove_file(home.invite()).context("cannot take the invitation out of use")?;
    std::fs::File::open(home.mesh())?.sync_all().context("cannot take the invitation out of use durably")?;
    Ok(invite)
}
