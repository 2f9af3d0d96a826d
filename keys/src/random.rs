//! Random bytes of the operating system.

use ring::rand::{SecureRandom as _, SystemRandom};
use thiserror::Error;

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the operating system gave no random bytes: check that getrandom or /dev/urandom works here, then try again")]
pub struct RandomError;

/// Fills `bytes` with random bytes fit for keys.
pub fn fill(bytes: &mut [u8]) -> Result<(), RandomError> {
    SystemRandom::new().fill(bytes).map_err(|_| RandomError)
}

/// Makes `N` random bytes fit for keys.
pub fn array<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        assert_ne!(array::<32>(), array::<32>());
    }
}
