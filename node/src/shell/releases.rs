//! What the person let out although the guard held it: a file that the approve key signs, so that no other program of
//! this user can add to it.

use aiemp_keys::{FingerprintKey, Signer, cose, private_file};
use aiemp_protocol::{egress::Releases, roster::Roster};
use anyhow::{Context, Result};

use crate::home::Home;

const DOMAIN: &str = "aiemp-node 2026 releases";

/// Reads them; none where there are none yet, and none where no approver of the mesh signed what lies there.
pub fn load(home: &Home, roster: &Roster) -> Result<Releases> {
    let path = home.releases();
    let Some(signed) = private_file::find_private(&path)? else { return none() };
    match roster.by_approver(|key| cose::verify1(key, DOMAIN, &[roster.mesh.to_value()], signed.expose())) {
        Ok(bytes) => Releases::from_bytes(&bytes).with_context(|| format!("{} cannot be read", path.display())),
        Err(_) => {
            tracing::error!(path = %path.display(), "no approver of this mesh signed these releases: none of them counts");
            none()
        }
    }
}

fn none() -> Result<Releases> {
    Ok(Releases::new(FingerprintKey::generate()?))
}

/// Signs and writes them.
pub fn store(home: &Home, approve: &Signer, roster: &Roster, releases: &Releases) -> Result<()> {
    let signed = cose::sign1(approve, DOMAIN, &[roster.mesh.to_value()], &releases.to_bytes());
    Ok(private_file::write_private(&home.releases(), &signed)?)
}
