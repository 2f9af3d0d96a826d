//! Frames: what two members say to each other on their replication stream.
//!
//! Wire form: a strict CBOR array, its first field the kind. See `docs/wire.md`.

use aiemp_keys::{
    Hash, Value,
    cbor::{self, CborError, Fields},
};

use crate::{
    entry::Position,
    ids::{ContentHash, LogId},
};

/// Version of the replication protocol, said in every hello.
pub const PROTOCOL_VERSION: u64 = 1;

/// One message on a replication stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The first frame of each side.
    Hello {
        /// Epoch of the newest roster held.
        epoch: u64,
        /// Its hash.
        roster: Hash,
        /// Digest of the frontier as far as the peer may know it: equal digests end the exchange.
        frontier: Hash,
        /// Whether this node has a brain, and so takes part in claims.
        has_brain: bool,
    },
    /// How far each log is held that the peer may read.
    Frontier {
        /// One position for each log.
        positions: Vec<Position>,
    },
    /// Asks for entries of a log.
    Fetch {
        /// The log.
        log: LogId,
        /// The first entry wanted.
        from_seq: u64,
        /// At most so many.
        count: u64,
    },
    /// One entry.
    Entry {
        /// Its log.
        log: LogId,
        /// The COSE_Sign1.
        cose: Vec<u8>,
        /// For each item with a payload, in order: the payload, or null where it must be asked for.
        payloads: Vec<Option<Vec<u8>>>,
    },
    /// A roster that the peer lacks, in its wire form.
    Roster {
        /// The signed roster.
        bytes: Vec<u8>,
    },
    /// Asks for a payload.
    PayloadWanted {
        /// Its digest.
        hash: ContentHash,
        /// The first byte wanted.
        offset: u64,
        /// Whether it is for an entry for every member: a Local then hands out only what came with such an entry, too.
        shared: bool,
    },
    /// A part of a payload.
    PayloadPart {
        /// Its digest.
        hash: ContentHash,
        /// Position of `bytes` in it.
        offset: u64,
        /// Its whole length.
        length: u64,
        /// The part; empty when the payload is not held here.
        bytes: Vec<u8>,
    },
    /// Who stopped the mesh and who let it go on, as far as known.
    Freeze {
        /// Signed freeze records.
        records: Vec<Vec<u8>>,
    },
}

impl Frame {
    /// The wire form.
    pub fn to_bytes(&self) -> Vec<u8> {
        cbor::encode(&match self {
            Self::Hello { epoch, roster, frontier, has_brain } => cbor::array([
                cbor::uint(0),
                cbor::uint(PROTOCOL_VERSION),
                cbor::uint(*epoch),
                roster.to_value(),
                frontier.to_value(),
                Value::Bool(*has_brain),
            ]),
            Self::Frontier { positions } => {
                cbor::array([cbor::uint(1), cbor::array(positions.iter().map(|position| position.to_value()))])
            }
            Self::Fetch { log, from_seq, count } => {
                cbor::array([cbor::uint(2), log.to_value(), cbor::uint(*from_seq), cbor::uint(*count)])
            }
            Self::Entry { log, cose, payloads } => {
                let payloads = payloads.iter().map(|bytes| cbor::option(bytes.as_deref().map(cbor::bytes)));
                cbor::array([cbor::uint(3), log.to_value(), cbor::bytes(cose), cbor::array(payloads)])
            }
            Self::Roster { bytes } => cbor::array([cbor::uint(4), cbor::bytes(bytes)]),
            Self::PayloadWanted { hash, offset, shared } => {
                cbor::array([cbor::uint(5), hash.to_value(), cbor::uint(*offset), Value::Bool(*shared)])
            }
            Self::PayloadPart { hash, offset, length, bytes } => cbor::array([
                cbor::uint(6),
                hash.to_value(),
                cbor::uint(*offset),
                cbor::uint(*length),
                cbor::bytes(bytes),
            ]),
            Self::Freeze { records } => {
                cbor::array([cbor::uint(7), cbor::array(records.iter().map(|record| cbor::bytes(record)))])
            }
        })
    }

    /// Reads the wire form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let mut fields = Fields::decode(bytes, "frame")?;
        let frame = match fields.uint()? {
            0 => {
                if fields.uint()? != PROTOCOL_VERSION {
                    return Err(fields.invalid());
                }
                Self::Hello {
                    epoch: fields.uint()?,
                    roster: fields.hash()?,
                    frontier: fields.hash()?,
                    has_brain: fields.bool()?,
                }
            }
            1 => Self::Frontier { positions: fields.list_of(Position::from_value)? },
            2 => Self::Fetch {
                log: LogId::from_value(fields.value()?)?,
                from_seq: fields.uint()?,
                count: fields.uint()?,
            },
            3 => Self::Entry {
                log: LogId::from_value(fields.value()?)?,
                cose: fields.bytes()?,
                payloads: fields.list_of(|value| {
                    if value.is_null() {
                        return Ok(None);
                    }
                    value.into_bytes().map(Some).map_err(|_| CborError::Field { what: "payload", index: 0 })
                })?,
            },
            4 => Self::Roster { bytes: fields.bytes()? },
            5 => Self::PayloadWanted {
                hash: ContentHash::read(&mut fields)?,
                offset: fields.uint()?,
                shared: fields.bool()?,
            },
            6 => Self::PayloadPart {
                hash: ContentHash::read(&mut fields)?,
                offset: fields.uint()?,
                length: fields.uint()?,
                bytes: fields.bytes()?,
            },
            7 => Self::Freeze {
                records: fields.list_of(|value| {
                    value.into_bytes().map_err(|_| CborError::Field { what: "freeze record", index: 0 })
                })?,
            },
            _ => return Err(fields.invalid()),
        };
        fields.end()?;
        Ok(frame)
    }
}

/// The digest of a frontier: what two peers compare before they say more.
pub fn frontier_digest(positions: &[Position]) -> Hash {
    Hash::labelled("aiemp-node 2026 frontier", positions.iter().map(|position| position.to_value()))
}
