//! The brake: any member pulls it, only the approve key lets it go.
//!
//! Two registers for each member, which only rise: when it froze last, signed by its node key, and up to when its
//! freezes were lifted, signed by the approve key. Merging is taking the later of each, so records may come in any
//! order, twice, or by way of others, and there are never more than two for a member.

use std::collections::BTreeMap;

use aiemp_keys::{
    NodeId, Signer,
    cbor::{self, CborError, Fields},
    cose::{self, CoseError},
};
use thiserror::Error;

use crate::{
    ids::MeshId,
    limits::{FREEZE_AHEAD_MAX, FREEZE_LIFTED_MAX},
    roster::{Role, Roster},
    time::Timestamp,
};

const DOMAIN: &str = "aiemp-node 2026 freeze";

/// What a record does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Brake {
    /// Stops.
    Frozen,
    /// Lets go what was frozen until then.
    Lifted,
}

/// One signed word: `[brake, node, at]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreezeRecord {
    /// What it does.
    pub brake: Brake,
    /// Who froze.
    pub node: NodeId,
    /// When; of a lift, up to when.
    pub at: Timestamp,
}

/// Why bytes say nothing about the brake.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FreezeError {
    /// Not the fixed form.
    #[error("the freeze record is malformed: {0}")]
    Form(#[from] CborError),
    /// Neither the member it names nor, for a lift, an approver signed it.
    #[error("the freeze record is not signed by whom it needs: {0}")]
    Signature(#[from] CoseError),
    /// It names a node outside the mesh.
    #[error("the freeze record is about a node that is not in the mesh")]
    NotAMember,
}

/// Why a freeze is not lifted. A lift outweighs every freeze up to its time: one of a time to come would keep the brake
/// from working until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotLifted {
    /// Its time is still to come.
    #[error("Its time is still to come")]
    Ahead,
    /// Nothing could be frozen after it.
    #[error("Nothing could be frozen after it")]
    NoTime,
}

impl FreezeRecord {
    /// The record that lifts a freeze, for the approve key. What no clock shows is never lifted; what is ahead of `now`,
    /// only where the person says that a clock was.
    pub fn lift(node: NodeId, at: Timestamp, now: Timestamp, clock_was_ahead: bool) -> Result<Self, NotLifted> {
        if at > FREEZE_LIFTED_MAX {
            return Err(NotLifted::NoTime);
        }
        if at > now + FREEZE_AHEAD_MAX && !clock_was_ahead {
            return Err(NotLifted::Ahead);
        }
        Ok(Self { brake: Brake::Lifted, node, at })
    }

    /// Signs: a freeze with the node's key, a lift with the approve key.
    pub fn sign(&self, signer: &Signer, mesh: MeshId) -> Vec<u8> {
        let brake = match self.brake {
            Brake::Frozen => 0,
            Brake::Lifted => 1,
        };
        let payload = cbor::array([cbor::uint(brake), self.node.to_value(), cbor::uint(self.at.as_millis())]);
        cose::sign1(signer, DOMAIN, &[mesh.to_value()], &cbor::encode(&payload))
    }

    /// Verifies with the key that the record needs.
    pub fn verify(roster: &Roster, bytes: &[u8]) -> Result<Self, FreezeError> {
        let record = Self::read(&cose::payload_unverified(bytes)?)?;
        if roster.member(record.node).is_none() {
            return Err(FreezeError::NotAMember);
        }
        let context = [roster.mesh.to_value()];
        match record.brake {
            Brake::Frozen => cose::verify1(record.node.key(), DOMAIN, &context, bytes)?,
            Brake::Lifted => roster.by_approver(|key| cose::verify1(key, DOMAIN, &context, bytes))?,
        };
        Ok(record)
    }

    fn read(payload: &[u8]) -> Result<Self, CborError> {
        let mut fields = Fields::decode(payload, "freeze record")?;
        let brake = match fields.uint()? {
            0 => Brake::Frozen,
            1 => Brake::Lifted,
            _ => return Err(fields.invalid()),
        };
        let record = Self { brake, node: NodeId::read(&mut fields)?, at: Timestamp::from_millis(fields.uint()?) };
        fields.end()?;
        Ok(record)
    }
}

/// Everything known of the brake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Freezes {
    records: BTreeMap<(NodeId, Brake), (Timestamp, Vec<u8>)>,
}

impl Freezes {
    /// Takes in a record; gives it back where it says something new.
    pub fn accept(&mut self, roster: &Roster, bytes: &[u8]) -> Result<Option<FreezeRecord>, FreezeError> {
        // Peers say it with each hello, and files are read again and again: what is held was verified.
        if self.records().any(|held| held == bytes) {
            return Ok(None);
        }
        let record = FreezeRecord::verify(roster, bytes)?;
        if self.at(record.node, record.brake).is_some_and(|held| held >= record.at) {
            return Ok(None);
        }
        self.records.insert((record.node, record.brake), (record.at, bytes.to_vec()));
        Ok(Some(record))
    }

    /// Whether `me` stands still: for a Local's freeze, or its own. A Cloud stops nobody else.
    pub fn stop(&self, roster: &Roster, me: NodeId) -> bool {
        self.standing(roster).any(|(node, role, _)| role == Role::Local || node == me)
    }

    /// Freezes that nobody lifted, by members of the roster, with their roles.
    pub fn standing<'a>(&'a self, roster: &'a Roster) -> impl Iterator<Item = (NodeId, Role, Timestamp)> + 'a {
        roster.members.iter().filter_map(|member| {
            let frozen = self.at(member.node, Brake::Frozen)?;
            let lifted = self.at(member.node, Brake::Lifted);
            lifted.is_none_or(|lifted| lifted < frozen).then_some((member.node, member.role, frozen))
        })
    }

    /// The record with which `node` freezes now: later than all that it froze or that was lifted, whatever its clock.
    pub fn next(&self, node: NodeId, now: Timestamp) -> FreezeRecord {
        let held = [Brake::Frozen, Brake::Lifted].into_iter().filter_map(|brake| self.at(node, brake)).max();
        let after = held.map_or(0, |held| held.as_millis().saturating_add(1));
        FreezeRecord { brake: Brake::Frozen, node, at: now.max(Timestamp::from_millis(after)) }
    }

    /// The signed records, for peers.
    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.records.values().map(|(_, bytes)| bytes.as_slice())
    }

    fn at(&self, node: NodeId, brake: Brake) -> Option<Timestamp> {
        self.records.get(&(node, brake)).map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aiemp_keys::Hash;

    use super::*;
    use crate::roster::{Member, Quota};

    const AT: Timestamp = Timestamp::from_millis(1_767_781_800_000);

    fn key(seed: u8) -> Signer {
        Signer::from_seed([seed; 32])
    }

    /// Root 1, approve 2, Local 3, Cloud 4.
    fn roster() -> Roster {
        let member = |seed: u8, name: &str, role| Member {
            node: key(seed).node_id(),
            name: name.to_owned(),
            role,
            generation_min: 0,
            quota: Quota::default(),
        };
        let local = member(3, "laptop", Role::Local);
        let mut roster = Roster::found(&key(1), Hash::of_content(b"next"), key(2).public(), local, false, AT);
        roster.members.push(member(4, "cloud", Role::Cloud));
        roster
    }

    fn frozen(seed: u8, at: u64) -> FreezeRecord {
        FreezeRecord { brake: Brake::Frozen, node: key(seed).node_id(), at: Timestamp::from_millis(at) }
    }

    fn lifted(seed: u8, at: u64) -> FreezeRecord {
        FreezeRecord { brake: Brake::Lifted, ..frozen(seed, at) }
    }

    #[test]
    fn a_local_stops_everybody_and_a_cloud_itself() {
        let (roster, local, cloud) = (roster(), key(3).node_id(), key(4).node_id());
        for (by, stops_local, stops_cloud) in [(3, true, true), (4, false, true)] {
            let mut freezes = Freezes::default();
            let bytes = frozen(by, 5).sign(&key(by), roster.mesh);
            assert_eq!(freezes.accept(&roster, &bytes), Ok(Some(frozen(by, 5))));
            assert_eq!(freezes.accept(&roster, &bytes), Ok(None));
            assert_eq!((freezes.stop(&roster, local), freezes.stop(&roster, cloud)), (stops_local, stops_cloud));
            assert_eq!(freezes.standing(&roster).count(), 1);
        }
    }

    #[test]
    fn only_the_approve_key_lifts_and_no_old_record_stops_again() {
        let (roster, local) = (roster(), key(3).node_id());
        let mut freezes = Freezes::default();
        let first = frozen(3, 5).sign(&key(3), roster.mesh);
        freezes.accept(&roster, &first).unwrap();
        for thief in [1, 3, 4] {
            let forged = lifted(3, 9).sign(&key(thief), roster.mesh);
            assert!(matches!(freezes.accept(&roster, &forged), Err(FreezeError::Signature(_))), "{thief}");
        }
        freezes.accept(&roster, &lifted(3, 4).sign(&key(2), roster.mesh)).unwrap();
        assert!(freezes.stop(&roster, local), "an earlier freeze was lifted");
        freezes.accept(&roster, &lifted(3, 5).sign(&key(2), roster.mesh)).unwrap();
        assert!(!freezes.stop(&roster, local));
        assert_eq!(freezes.accept(&roster, &first), Ok(None));
        assert!(!freezes.stop(&roster, local));
        let again = freezes.next(local, Timestamp::from_millis(1));
        assert_eq!(again.at.as_millis(), 6, "a clock that went back does not keep the brake from working");
        freezes.accept(&roster, &again.sign(&key(3), roster.mesh)).unwrap();
        assert!(freezes.stop(&roster, local));
        assert_eq!(freezes.records().count(), 2);
    }

    #[test]
    fn a_freeze_of_a_time_to_come_leaves_the_brake_working() {
        let (roster, local) = (roster(), key(3).node_id());
        let year = AT + Duration::from_secs(365 * 86_400);
        let lift = |at, was_ahead| FreezeRecord::lift(local, at, AT, was_ahead);
        assert_eq!(lift(AT + FREEZE_AHEAD_MAX, false).map(|record| record.at), Ok(AT + FREEZE_AHEAD_MAX));
        assert_eq!(lift(year, false), Err(NotLifted::Ahead));
        let latest = Timestamp::from_millis(u64::MAX);
        assert_eq!([false, true].map(|was_ahead| lift(latest, was_ahead)), [Err(NotLifted::NoTime); 2]);
        for at in [year, FREEZE_LIFTED_MAX] {
            let mut freezes = Freezes::default();
            freezes.accept(&roster, &frozen(3, at.as_millis()).sign(&key(3), roster.mesh)).unwrap();
            freezes.accept(&roster, &lift(at, true).unwrap().sign(&key(2), roster.mesh)).unwrap();
            assert!(!freezes.stop(&roster, local));
            freezes.accept(&roster, &freezes.next(local, AT).sign(&key(3), roster.mesh)).unwrap();
            assert!(freezes.stop(&roster, local), "{at}");
        }
    }

    #[test]
    fn nobody_freezes_in_anothers_name_and_a_revoked_member_stops_nobody() {
        let (mut roster, local) = (roster(), key(3).node_id());
        let mut freezes = Freezes::default();
        let forged = frozen(3, 5).sign(&key(4), roster.mesh);
        assert!(matches!(freezes.accept(&roster, &forged), Err(FreezeError::Signature(_))));
        let stranger = frozen(9, 5).sign(&key(9), roster.mesh);
        assert_eq!(freezes.accept(&roster, &stranger), Err(FreezeError::NotAMember));
        let other_mesh = frozen(3, 5).sign(&key(3), MeshId::founded_by(&key(9).public()));
        assert!(matches!(freezes.accept(&roster, &other_mesh), Err(FreezeError::Signature(_))));
        freezes.accept(&roster, &frozen(3, 5).sign(&key(3), roster.mesh)).unwrap();
        roster.members.remove(0);
        assert!(!freezes.stop(&roster, local));
    }
}
