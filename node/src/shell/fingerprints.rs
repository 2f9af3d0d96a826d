//! Fingerprints of the known secrets on disk.

use aiemp_keys::{FingerprintKey, Fingerprints, private_file};
use anyhow::{Context, Result};

use crate::home::Home;

/// Reads the set; a home that never stored a secret has an empty one.
pub fn load(home: &Home) -> Result<Fingerprints> {
    let path = home.fingerprints();
    if !path.exists() {
        return Ok(Fingerprints::new(FingerprintKey::generate()?));
    }
    let bytes = private_file::read_private(&path)?;
    Fingerprints::from_bytes(bytes.expose()).with_context(|| format!("{} is damaged", path.display()))
}

/// Writes the set.
pub fn store(home: &Home, fingerprints: &Fingerprints) -> Result<()> {
    Ok(private_file::write_private(&home.fingerprints(), &fingerprints.to_bytes())?)
}
