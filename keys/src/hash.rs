//! The one hash: BLAKE3, with a named label for each use.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::cbor::{self, Value};

/// A 32-byte BLAKE3 digest; prints as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

/// Text that is not 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("expected 64 lower-case hex digits")]
pub struct ParseHashError;

impl Hash {
    /// `H` of the design: BLAKE3 `derive_key(label)` over the canonical CBOR array of `parts`.
    ///
    /// Each use has its own label, so that a digest made for one purpose never stands for another.
    pub fn labelled(label: &'static str, parts: impl IntoIterator<Item = Value>) -> Self {
        let bytes = cbor::encode(&cbor::array(parts));
        Self(blake3::derive_key(label, &bytes))
    }

    /// Plain BLAKE3 of a file's or payload's bytes: its content address.
    pub fn of_content(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Takes 32 bytes as they are.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As a CBOR byte string.
    pub fn to_value(self) -> Value {
        cbor::bytes(&self.0)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0[..6]))
    }
}

impl FromStr for Hash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(|_| ParseHashError)?;
        Ok(Self(bytes.try_into().map_err(|_| ParseHashError)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_separate_uses() {
        let parts = || [cbor::text("same")];
        assert_ne!(Hash::labelled("aiemp test a", parts()), Hash::labelled("aiemp test b", parts()));
    }

    #[test]
    fn display_parses_back() {
        let hash = Hash::of_content(b"note");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!("AB".repeat(32).parse::<Hash>(), Err(ParseHashError));
    }
}
