//! The signed policy on disk. It verifies itself; what no approver signed is none.

use std::path::Path;

use aiemp_keys::private_file;
use aiemp_protocol::{approval::Policy, roster::Roster};
use anyhow::{Context, Result};

/// Reads it; the empty one where none was ever applied.
///
/// Fails where the file is not signed by an approver of the roster: limits are not dropped because a file was changed.
pub fn load(path: &Path, roster: &Roster) -> Result<Policy> {
    let Some(bytes) = private_file::find_private(path)? else { return Ok(Policy::default()) };
    let verified = roster.by_approver(|key| Policy::verify(key, roster.mesh, bytes.expose()));
    verified.with_context(|| {
        let path = path.display();
        format!(
            "no approver of this mesh signed {path}; move it away, then `aiemp-node policy apply` your limits again"
        )
    })
}
