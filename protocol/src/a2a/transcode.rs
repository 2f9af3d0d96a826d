//! ProtoJSON as CBOR and back, without loss.
//!
//! A JSON value becomes the CBOR item of the same type: objects are maps with text keys, integers are integers, other
//! numbers are floats in their shortest exact form. What JSON cannot say (byte strings, tags, keys that are no text,
//! numbers that are not finite) is refused, and so is a key that stands twice. This is not the strict profile of what
//! nodes sign: other writers' lengths and key orders are accepted.

use std::fmt;

use ciborium::de::Error as CborError;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// Longest body of one call or answer; a full page of tasks needs less than a tenth.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of arrays and maps, the envelope included; the deepest A2A type in use nests eight levels.
pub const BODY_DEPTH_MAX: usize = 32;

/// Why a body cannot be carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TranscodeError {
    /// Longer than [`BODY_BYTES_MAX`].
    #[error("the body is longer than {BODY_BYTES_MAX} bytes")]
    TooLong,
    /// Nested deeper than [`BODY_DEPTH_MAX`].
    #[error("the body is nested deeper than {BODY_DEPTH_MAX} levels")]
    TooDeep,
    /// Not one CBOR item that JSON can say.
    #[error("the body is not one CBOR item with a JSON form")]
    NotJson,
}

/// Writes a JSON value; equal values give equal bytes.
pub fn to_cbor(json: &Value) -> Result<Vec<u8>, TranscodeError> {
    if !fits(json, BODY_DEPTH_MAX) {
        return Err(TranscodeError::TooDeep);
    }
    let mut bytes = Vec::with_capacity(512);
    ciborium::into_writer(json, &mut bytes).map_err(|_| TranscodeError::NotJson)?;
    if bytes.len() > BODY_BYTES_MAX { Err(TranscodeError::TooLong) } else { Ok(bytes) }
}

/// Reads exactly one value; `undefined` reads as null.
pub fn from_cbor(bytes: &[u8]) -> Result<Value, TranscodeError> {
    if bytes.len() > BODY_BYTES_MAX {
        return Err(TranscodeError::TooLong);
    }
    let mut rest = bytes;
    match ciborium::de::from_reader_with_recursion_limit::<Json, _>(&mut rest, BODY_DEPTH_MAX) {
        Ok(Json(value)) if rest.is_empty() => Ok(value),
        Err(CborError::RecursionLimitExceeded) => Err(TranscodeError::TooDeep),
        Ok(_) | Err(CborError::Io(_) | CborError::Syntax(_) | CborError::Semantic(..)) => Err(TranscodeError::NotJson),
    }
}

fn fits(json: &Value, levels: usize) -> bool {
    match json {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        Value::Array(items) => levels > 0 && items.iter().all(|item| fits(item, levels - 1)),
        Value::Object(members) => levels > 0 && members.values().all(|member| fits(member, levels - 1)),
    }
}

struct Json(Value);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor).map(Self)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item with a JSON form")
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Json(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((Json(key), Json(value))) = members.next_entry()? {
            let Value::String(key) = key else {
                return Err(A::Error::custom("a key that is not text"));
            };
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key that stands twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let finite = any::<f64>().prop_filter("JSON has no other", |number| number.is_finite());
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            finite.prop_map(Value::from),
            any::<f32>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
            any::<i16>().prop_map(|whole| Value::from(f64::from(whole))),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 128, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..8)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_json_value_comes_back(json in any_json()) {
            let back = from_cbor(&to_cbor(&json).expect("within the bounds")).expect("as written");
            prop_assert_eq!(&back, &json);
            // Also as text: 1 and 1.0, 0.0 and -0.0 stay apart.
            prop_assert_eq!(back.to_string(), json.to_string());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            if let Ok(json) = from_cbor(&bytes) {
                prop_assert_eq!(from_cbor(&to_cbor(&json).expect("was read")), Ok(json));
            }
        }
    }

    #[test]
    fn the_edges_of_numbers_come_back() {
        for text in ["18446744073709551615", "-9223372036854775808", "-0.0", "0", "5e-324", "1.7976931348623157e308"] {
            let json: Value = serde_json::from_str(text).expect("JSON");
            assert_eq!(from_cbor(&to_cbor(&json).unwrap()).unwrap().to_string(), json.to_string());
        }
    }

    #[test]
    fn the_wire_form_is_plain_cbor() {
        let bytes = to_cbor(&json!({"id": "a", "n": [1, -1, 1.5, null, true]})).unwrap();
        assert_eq!(HEXLOWER.encode(&bytes), "a26269646161616e850120f93e00f6f5");
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        for hex in [
            "",                     // nothing
            "0101",                 // two items
            "4161",                 // a byte string
            "c074323031332d",       // a tag
            "c24101",               // a big number
            "3bffffffffffffffff",   // below the least i64
            "f97e00",               // not a number
            "f97c00",               // infinite
            "a10102",               // a key that is a number
            "a2616101616102",       // a key twice
            "a1c1616101",           // a key with a tag
            "61ff",                 // text that is not UTF-8
            "7affffffff61",         // a length that is a lie
            "9bffffffffffffffff01", // and another
        ] {
            let bytes = HEXLOWER.decode(hex.as_bytes()).expect("hex");
            assert_eq!(from_cbor(&bytes), Err(TranscodeError::NotJson), "{hex}");
        }
        let other_writer = HEXLOWER.decode(b"bf61617f61626163ff6162811800ff").expect("hex");
        assert_eq!(from_cbor(&other_writer), Ok(json!({"a": "bc", "b": [0]})));
    }

    #[test]
    fn depth_and_length_are_bounded_both_ways() {
        let nested = |levels| (0..levels).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        let nested_cbor = |levels| [vec![0x81; levels], vec![0xf6]].concat();
        assert_eq!(to_cbor(&nested(BODY_DEPTH_MAX)), Ok(nested_cbor(BODY_DEPTH_MAX)));
        assert_eq!(from_cbor(&nested_cbor(BODY_DEPTH_MAX)), Ok(nested(BODY_DEPTH_MAX)));
        assert_eq!(to_cbor(&nested(BODY_DEPTH_MAX + 1)), Err(TranscodeError::TooDeep));
        assert_eq!(from_cbor(&nested_cbor(BODY_DEPTH_MAX + 1)), Err(TranscodeError::TooDeep));
        assert_eq!(from_cbor(&vec![0x81; BODY_BYTES_MAX]), Err(TranscodeError::TooDeep));

        assert_eq!(to_cbor(&Value::from("x".repeat(BODY_BYTES_MAX))), Err(TranscodeError::TooLong));
        assert_eq!(from_cbor(&vec![0xf6; BODY_BYTES_MAX + 1]), Err(TranscodeError::TooLong));
    }
}
