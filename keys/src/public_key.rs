//! Ed25519 public keys and the node identity made of one.

use std::{fmt, str::FromStr};

use thiserror::Error;

use crate::cbor::{self, CborError, Fields, Value};

/// The y coordinates of the points of small order, canonical and not, sign bit cleared, little endian.
///
/// For such a key one signature verifies every message, and neither ring nor libp2p refuses it. The list is that of
/// "Taming the many EdDSAs" (Chalkias, Garillot, Nikolaenko, 2020), table 1.
const SMALL_ORDER_Y: [[u8; 32]; 7] = [
    [0; 32],
    y([0x01, 0x00, 0x00], 0x00, 0x00),
    y([0xec, 0xff, 0xff], 0xff, 0x7f),
    y([0xed, 0xff, 0xff], 0xff, 0x7f),
    y([0xee, 0xff, 0xff], 0xff, 0x7f),
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
];

const fn y(low: [u8; 3], middle: u8, top: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = low[0];
    bytes[1] = low[1];
    bytes[2] = low[2];
    bytes[31] = top;
    bytes
}

/// An Ed25519 public key that is not of small order; prints as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// Bytes or text that are no acceptable public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PublicKeyError {
    /// One of the points for which a single signature verifies every message.
    #[error("the key has small order, which makes its signatures worthless")]
    SmallOrder,
    /// Text that is not 64 lower-case hex digits.
    #[error("expected 64 lower-case hex digits")]
    Text,
}

impl PublicKey {
    /// Takes 32 bytes, refusing points of small order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, PublicKeyError> {
        let mut unsigned = bytes;
        unsigned[31] &= 0x7f;
        if SMALL_ORDER_Y.contains(&unsigned) {
            return Err(PublicKeyError::SmallOrder);
        }
        Ok(Self(bytes))
    }

    /// Reads the next field of an array.
    pub fn read(fields: &mut Fields) -> Result<Self, CborError> {
        let bytes = fields.fixed()?;
        Self::from_bytes(bytes).map_err(|_| fields.invalid())
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

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0[..6]))
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).map_err(|_| PublicKeyError::Text)?;
        Self::from_bytes(bytes.try_into().map_err(|_| PublicKeyError::Text)?)
    }
}

/// The identity of one node: its Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(PublicKey);

impl NodeId {
    /// The identity that a public key stands for.
    pub const fn new(key: PublicKey) -> Self {
        Self(key)
    }

    /// Reads the next field of an array.
    pub fn read(fields: &mut Fields) -> Result<Self, CborError> {
        PublicKey::read(fields).map(Self)
    }

    /// The key that verifies this node's signatures.
    pub const fn key(&self) -> &PublicKey {
        &self.0
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// As a CBOR byte string.
    pub fn to_value(self) -> Value {
        self.0.to_value()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {:?}", self.0)
    }
}

impl FromStr for NodeId {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_small_order_encoding_is_refused_with_either_sign() {
        for mut bytes in SMALL_ORDER_Y {
            assert_eq!(PublicKey::from_bytes(bytes), Err(PublicKeyError::SmallOrder));
            bytes[31] |= 0x80;
            assert_eq!(PublicKey::from_bytes(bytes), Err(PublicKeyError::SmallOrder));
        }
    }
}
