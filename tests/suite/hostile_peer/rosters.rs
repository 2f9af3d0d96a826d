//! Rosters that Local's owner did not sign, or signed before.

use aiemp_keys::{Signer, next_root_hash};
use aiemp_node::{home::Home, shell};
use aiemp_protocol::{
    frame::Frame,
    roster::{Role, Roster, RosterChain, SignedRoster},
    time::Timestamp,
};

use super::{Case, Expect, attack::Attack};

/// The rosters that Cloud holds.
fn held(attack: &Attack) -> RosterChain {
    let home = Home::at(attack.pair.cloud.home.clone());
    shell::rosters::load(&home).expect("Cloud's rosters").expect("Cloud is in a mesh")
}

/// A roster after the one in force, signed by a key of the peer's own.
fn forged(name: &str, why: &'static str, bend: impl Fn(&mut Roster) + 'static) -> Case {
    Case::new(name, Expect::Closed(why), move |attack| {
        let mut roster = held(attack).current().successor(Timestamp::from_millis(1_770_000_000_000));
        bend(&mut roster);
        let own = Signer::from_seed([5; 32]);
        attack.peer.send(&Frame::Roster { bytes: SignedRoster::sign(&own, roster).to_bytes() });
    })
}

fn local_epoch(attack: &Attack) -> u64 {
    attack.pair.local.json(&["peers", "list", "--json"])["epoch"].as_u64().expect("an epoch")
}

fn ignored(name: &str, bend: impl Fn(&mut Roster) + 'static) -> Case {
    Case::new(name, Expect::Ignored, move |attack| {
        let before = local_epoch(attack);
        let mut roster = held(attack).current().successor(Timestamp::from_millis(1_770_000_000_000));
        bend(&mut roster);
        let own = Signer::from_seed([5; 32]);
        attack.peer.send(&Frame::Roster { bytes: SignedRoster::sign(&own, roster).to_bytes() });
        assert!(attack.settle());
        assert_eq!(local_epoch(attack), before);
    })
}

pub(super) fn cases() -> Vec<Case> {
    let grab = |roster: &mut Roster| {
        for member in &mut roster.members {
            member.role = Role::Local;
        }
        roster.epoch = u64::MAX;
    };
    vec![
        ignored("the next roster, signed by nobody", |roster| roster.epoch += 40),
        ignored("a gap of epochs", |roster| roster.epoch += 100),
        ignored("Cloud as Local, in the last epoch", grab),
        ignored("the peer's own next root key", |roster| {
            roster.epoch += 40;
            roster.next_root_hash = next_root_hash(&Signer::from_seed([5; 32]).public());
        }),
        forged("a fork of the second epoch, signed by nobody", "BadRoster(ForeignMesh)", |roster| roster.epoch = 2),
        forged("a fork of the first epoch, signed by nobody", "BadRoster(ForeignMesh)", |roster| roster.epoch = 1),
        forged("another mesh", "BadRoster(ForeignMesh)", |roster| {
            roster.mesh = aiemp_protocol::ids::MeshId(super::forge::digest("another"));
        }),
        forged("a roster without members", "BadRoster(Inconsistent", |roster| roster.members.clear()),
        forged("Cloud as the one that sends", "BadRoster(Inconsistent", |roster| {
            let cloud = roster.members.iter().find(|member| member.role == Role::Cloud);
            roster.executor = cloud.expect("Cloud is a member").node;
        }),
        Case::new("garbage for a roster", Expect::Closed("BadRoster(Form"), |attack| {
            attack.peer.send(&Frame::Roster { bytes: vec![7; 1000] });
        }),
        Case::new("a roster with a spoilt signature", Expect::Closed("BadRoster("), |attack| {
            let mut bytes = held(attack).after(0).last().expect("a roster");
            *bytes.last_mut().expect("a signature") ^= 1;
            attack.peer.send(&Frame::Roster { bytes });
        }),
        Case::new("every roster from the first", Expect::Ignored, |attack| {
            for bytes in held(attack).after(0).collect::<Vec<_>>() {
                attack.peer.send(&Frame::Roster { bytes });
            }
        }),
    ]
}
