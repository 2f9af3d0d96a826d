//! JSON arguments of a tool: an object in which no name stands twice.

use std::{collections::BTreeSet, fmt};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::field::Fault;

/// Refuses text that is not one JSON object; a repeated name is refused because readers differ on which one counts.
pub(super) fn object(text: &str) -> Result<(), Fault> {
    if !text.trim_start().starts_with('{') {
        return Err(Fault::new("the arguments are not a JSON object", "write them as one JSON object, `{}` for none"));
    }
    serde_json::from_str::<Strict>(text)
        .map(|_| ())
        .map_err(|error| Fault::new(format!("the arguments are not valid JSON: {error}"), "correct the JSON text"))
}

struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_str<E>(self, _: &str) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
        while items.next_element::<Strict>()?.is_some() {}
        Ok(Strict)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Strict, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, Strict)) = members.next_entry::<String, Strict>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Strict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_object_with_unique_names_passes() {
        assert!(object(r#"{"a": [1, 2.5, null, {"b": "x"}], "c": true}"#).is_ok());
        for text in ["", "[]", "1", "{", "{} {}", r#"{"a":1,"a":2}"#, r#"{"x":{"a":1,"\u0061":2}}"#] {
            assert!(object(text).is_err(), "{text}");
        }
    }
}
