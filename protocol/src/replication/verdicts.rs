//! What the guard said of payloads that are handed out in parts: each is looked at as a whole, once.

use std::collections::VecDeque;

use crate::{
    egress::{Guard, Held},
    ids::ContentHash,
    roster::Role,
};

/// Payloads that peers fetch at the same time, and a few more.
const VERDICTS_MAX: usize = 16;

/// The last verdicts, for peers of which role.
#[derive(Debug, Default)]
pub(super) struct Verdicts(VecDeque<(Role, ContentHash, Result<(), Held>)>);

impl Verdicts {
    /// Whether a payload may go to a peer in that role.
    pub(super) fn of(&mut self, guard: &Guard, role: Role, hash: ContentHash, whole: &[u8]) -> Result<(), Held> {
        let known = self.0.iter().find(|(of, payload, _)| (*of, *payload) == (role, hash));
        if let Some((_, _, verdict)) = known {
            return verdict.clone();
        }
        let verdict = guard.check_payload(role, whole);
        if self.0.len() >= VERDICTS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((role, hash, verdict.clone()));
        verdict
    }
}

#[cfg(test)]
mod tests {
    use aiemp_keys::{FingerprintKey, Fingerprints};

    use super::*;

    #[test]
    fn a_payload_is_looked_at_once_for_each_role() {
        let mut fingerprints = Fingerprints::new(FingerprintKey::from_bytes([1; 32]));
        fingerprints.add("test", b"hunter2-swordfish-9431").expect("it is long enough");
        let guard = Guard::new(fingerprints);
        let mut verdicts = Verdicts::default();
        let secret = b"it is hunter2-swordfish-9431, you know";
        let (hash, other) = (ContentHash::of(secret), ContentHash::of(b"another"));
        assert!(verdicts.of(&guard, Role::Local, hash, secret).is_ok());
        assert!(verdicts.of(&guard, Role::Cloud, hash, secret).is_err());
        assert!(verdicts.of(&guard, Role::Cloud, hash, b"not looked at").is_err(), "the verdict stands");
        for number in 0..VERDICTS_MAX {
            let hash = ContentHash::of(&number.to_le_bytes());
            assert!(verdicts.of(&guard, Role::Cloud, hash, b"clean").is_ok());
        }
        assert!(verdicts.of(&guard, Role::Cloud, other, secret).is_err());
        assert!(verdicts.0.len() <= VERDICTS_MAX);
    }
}
