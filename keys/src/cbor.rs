//! Strict CBOR: the one encoding of everything that is hashed or signed.
//!
//! The profile is a subset of RFC 8949's core deterministic encoding: unsigned and negative integers, byte
//! strings, text, booleans, null and **arrays**. No maps, no floats, no tags, no indefinite lengths. Decoding
//! consumes the whole input and re-encodes it; bytes that do not come back equal are refused, so a value has
//! exactly one encoding and a signature cannot be carried over to a second one.

pub use ciborium::Value;
use thiserror::Error;

use crate::hash::Hash;

/// Nesting that the profile allows; the deepest format in use (an entry's items) nests four levels.
const DEPTH_MAX: usize = 16;

/// Why bytes are not strict CBOR, or not the expected shape.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CborError {
    /// The bytes are no CBOR item at all.
    #[error("not a CBOR item")]
    Malformed,
    /// The bytes decode, but are not the one canonical encoding of their value (trailing bytes included).
    #[error("not the canonical encoding")]
    NotCanonical,
    /// A map, float, tag or too deep nesting.
    #[error("a type outside the profile")]
    OutsideProfile,
    /// An array had another number of fields.
    #[error("{what}: wrong number of fields")]
    FieldCount {
        /// The structure that was being read.
        what: &'static str,
    },
    /// A field had another type, or a value out of its range.
    #[error("{what}: field {index} has the wrong type or range")]
    Field {
        /// The structure that was being read.
        what: &'static str,
        /// Position of the field, from 0.
        index: usize,
    },
}

/// Encodes a value of the profile; deterministic.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    ciborium::into_writer(value, &mut bytes).expect("writing to a Vec cannot fail");
    bytes
}

/// Decodes exactly one value and checks that `bytes` is its canonical encoding.
pub fn decode(bytes: &[u8]) -> Result<Value, CborError> {
    let mut rest = bytes;
    let value: Value = ciborium::from_reader(&mut rest).map_err(|_| CborError::Malformed)?;
    if !rest.is_empty() {
        return Err(CborError::NotCanonical);
    }
    check_profile(&value, 0)?;
    if encode(&value) != bytes {
        return Err(CborError::NotCanonical);
    }
    Ok(value)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever Value may gain is outside the profile")]
fn check_profile(value: &Value, depth: usize) -> Result<(), CborError> {
    match value {
        Value::Integer(_) | Value::Bytes(_) | Value::Text(_) | Value::Bool(_) | Value::Null => Ok(()),
        Value::Array(items) if depth < DEPTH_MAX => items.iter().try_for_each(|item| check_profile(item, depth + 1)),
        _ => Err(CborError::OutsideProfile),
    }
}

/// A byte string.
pub fn bytes(value: &[u8]) -> Value {
    Value::Bytes(value.to_vec())
}

/// A text string.
pub fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// An unsigned integer.
pub fn uint(value: u64) -> Value {
    Value::Integer(value.into())
}

/// A value or null.
pub fn option(value: Option<Value>) -> Value {
    value.unwrap_or(Value::Null)
}

/// An array.
pub fn array(items: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(items.into_iter().collect())
}

/// Reads the fields of one array in order, then insists that none is left.
#[derive(Debug)]
pub struct Fields {
    what: &'static str,
    index: usize,
    items: std::vec::IntoIter<Value>,
}

impl Fields {
    /// Starts reading `value`, which must be an array; `what` names the structure in errors.
    pub fn of(value: Value, what: &'static str) -> Result<Self, CborError> {
        let items = value.into_array().map_err(|_| CborError::Field { what, index: 0 })?;
        Ok(Self { what, index: 0, items: items.into_iter() })
    }

    /// Decodes strict CBOR bytes and starts reading their array.
    pub fn decode(bytes: &[u8], what: &'static str) -> Result<Self, CborError> {
        Self::of(decode(bytes)?, what)
    }

    /// The next field, whatever its type.
    pub fn value(&mut self) -> Result<Value, CborError> {
        self.index += 1;
        self.items.next().ok_or(CborError::FieldCount { what: self.what })
    }

    /// The next field if it is not null.
    pub fn optional(&mut self) -> Result<Option<Value>, CborError> {
        Ok(Some(self.value()?).filter(|value| !value.is_null()))
    }

    /// The next field as `read` takes it, if it is not null.
    pub fn optional_of<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, CborError>,
    ) -> Result<Option<T>, CborError> {
        if self.items.as_slice().first().is_some_and(Value::is_null) {
            return self.value().map(|_| None);
        }
        read(self).map(Some)
    }

    /// Fails for the field just read: for range checks made by the caller.
    pub fn invalid(&self) -> CborError {
        CborError::Field { what: self.what, index: self.index.saturating_sub(1) }
    }

    /// The next field as an unsigned integer.
    pub fn uint(&mut self) -> Result<u64, CborError> {
        let value = self.value()?;
        value.as_integer().and_then(|int| u64::try_from(int).ok()).ok_or_else(|| self.invalid())
    }

    /// The next field as a byte string.
    pub fn bytes(&mut self) -> Result<Vec<u8>, CborError> {
        self.value()?.into_bytes().map_err(|_| self.invalid())
    }

    /// The next field as a byte string of exactly `N` bytes.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], CborError> {
        self.bytes()?.try_into().map_err(|_| self.invalid())
    }

    /// The next field as a 32-byte hash.
    pub fn hash(&mut self) -> Result<Hash, CborError> {
        Ok(Hash::from_bytes(self.fixed()?))
    }

    /// The next field as text.
    pub fn text(&mut self) -> Result<String, CborError> {
        self.value()?.into_text().map_err(|_| self.invalid())
    }

    /// The next field as a boolean.
    pub fn bool(&mut self) -> Result<bool, CborError> {
        self.value()?.as_bool().ok_or_else(|| self.invalid())
    }

    /// The next field as an array of values.
    pub fn list(&mut self) -> Result<Vec<Value>, CborError> {
        self.value()?.into_array().map_err(|_| self.invalid())
    }

    /// The next field as an array whose elements `read` turns into `T`.
    pub fn list_of<T, E: From<CborError>>(&mut self, read: impl FnMut(Value) -> Result<T, E>) -> Result<Vec<T>, E> {
        self.list()?.into_iter().map(read).collect()
    }

    /// Whether no field is left: for forms that grew by one.
    pub fn is_at_end(&self) -> bool {
        self.items.as_slice().is_empty()
    }

    /// Ends the reading; a field that is left is an error.
    pub fn end(mut self) -> Result<(), CborError> {
        match self.items.next() {
            None => Ok(()),
            Some(_) => Err(CborError::FieldCount { what: self.what }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn trailing_bytes_and_long_forms_are_refused() {
        assert_eq!(decode(&[0x01, 0x00]), Err(CborError::NotCanonical));
        assert_eq!(decode(&[0x18, 0x01]), Err(CborError::NotCanonical));
        assert_eq!(decode(&[0x9f, 0x01, 0xff]), Err(CborError::NotCanonical));
        assert_eq!(decode(&[0xa0]), Err(CborError::OutsideProfile));
        assert_eq!(decode(&[0xf9, 0x3c, 0x00]), Err(CborError::OutsideProfile));
        assert_eq!(decode(&[]), Err(CborError::Malformed));
    }

    #[test]
    fn a_field_too_many_is_refused() {
        let mut fields = Fields::of(array([uint(1), uint(2)]), "pair").expect("an array");
        assert_eq!(fields.uint(), Ok(1));
        assert_eq!(fields.end(), Err(CborError::FieldCount { what: "pair" }));
    }

    proptest! {
        #[test]
        fn every_value_of_the_profile_comes_back(number in any::<u64>(), blob in any::<Vec<u8>>(), words in ".*") {
            let value = array([uint(number), bytes(&blob), text(&words), Value::Null, array([])]);
            prop_assert_eq!(decode(&encode(&value)), Ok(value));
        }

        #[test]
        fn arbitrary_bytes_never_panic(input in any::<Vec<u8>>()) {
            if let Ok(value) = decode(&input) {
                prop_assert_eq!(encode(&value), input);
            }
        }
    }
}
