//! The owner's keys: whether they lie there as they were made.

use aiemp_keys::Keystore;

use super::Findings;
use crate::{home::Home, shell};

pub(super) fn check(home: &Home, is_unattended: bool, findings: &mut Findings) {
    if let Some(trouble) = shell::identity::owner_keys_trouble(home) {
        findings.troubles(vec![trouble]);
    } else if !is_unattended && Keystore::at(home.path()).is_protected() == Some(true) {
        findings.ok("approving needs your passphrase");
    }
}
