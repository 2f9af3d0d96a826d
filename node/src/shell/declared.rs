//! The signed declaration of hands on disk. It verifies itself; what no approver signed is none.

use std::path::Path;

use aiemp_keys::private_file;
use aiemp_protocol::{approval::SignedHands, roster::Roster, time::Timestamp};
use anyhow::{Context, Result};

use crate::hands::Hands;

/// Reads it, and when it was signed; the empty one where none was ever applied.
///
/// Fails where the file is not signed by an approver of the roster: what may be called is not decided by whoever can
/// write a file.
pub fn load(path: &Path, roster: &Roster) -> Result<(Timestamp, Hands)> {
    let signed = load_signed(path, roster)?;
    let hands = Hands::parse(&signed.text).with_context(|| {
        format!("{} declares what this version does not take; apply it anew: `aiemp-node hands apply`", path.display())
    })?;
    Ok((signed.issued, hands))
}

/// [`load`], as it was signed.
pub fn load_signed(path: &Path, roster: &Roster) -> Result<SignedHands> {
    let Some(bytes) = private_file::find_private(path)? else { return Ok(SignedHands::default()) };
    let verified = roster.by_approver(|key| SignedHands::verify(key, roster.mesh, bytes.expose()));
    verified.with_context(|| {
        let path = path.display();
        format!("no approver of this mesh signed {path}; move it away, then `aiemp-node hands apply` your hands again")
    })
}
