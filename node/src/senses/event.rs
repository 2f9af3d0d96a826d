//! What a watcher tells: one JSON object a line.

use aiemp_protocol::time::Timestamp;
use serde::Deserialize;

use crate::{config::Watcher, core::is_kind, shell::control::WireArrival};

/// The longest id and cursor: a cursor is given back in the environment.
const PLACE_BYTES_MAX: usize = 4 << 10;

/// A line of a watcher.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Event {
    /// What tells it from all else that this watcher tells; without one the line says how far it came, and no more.
    id: Option<String>,
    /// A word for what it is.
    kind: Option<String>,
    #[serde(default)]
    from: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    text: String,
    /// RFC 3339.
    received: Option<String>,
    /// How far it came with this line: given back to it when it is started again.
    pub(super) cursor: Option<String>,
}

impl Event {
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        let event: Self = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        match event.objection() {
            Some(why) => Err(why.to_owned()),
            None => Ok(event),
        }
    }

    /// What is wrong with it, so that no task could be made of it, however often it came.
    fn objection(&self) -> Option<&'static str> {
        let is_place = |text: &str| text.len() <= PLACE_BYTES_MAX && !text.contains('\0');
        let is_time = |time: &str| Timestamp::parse_rfc3339(time).is_some();
        match (&self.id, &self.cursor) {
            (None, None) => Some("it has neither an `id` nor a `cursor`"),
            (Some(id), _) if id.is_empty() => Some("its `id` is empty"),
            (Some(id), _) if !is_place(id) => Some("its `id` has more than 4 KiB, or a NUL"),
            (_, Some(cursor)) if !is_place(cursor) => Some("its `cursor` has more than 4 KiB, or a NUL"),
            _ if !self.kind.as_deref().is_none_or(is_kind) => {
                Some("its `kind` is a word of at most 32 lower-case letters, digits and `_`")
            }
            _ if !self.received.as_deref().is_none_or(is_time) => Some("its `received` is no time of RFC 3339"),
            _ => None,
        }
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What becomes a task, if anything.
    pub(super) fn arrival(&self, watcher: &Watcher) -> Option<WireArrival> {
        Some(WireArrival {
            bank: None,
            source: watcher.name.clone(),
            id: self.id.clone()?,
            kind: self.kind.clone().unwrap_or_else(|| "event".to_owned()),
            domain: watcher.domain().to_owned(),
            is_private: watcher.private,
            from: self.from.clone(),
            subject: self.subject.clone(),
            received: self.received.clone(),
            text: self.text.clone(),
            file: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_came_or_how_far_it_is() {
        let event = Event::parse(br#"{"id":"7","from":"Ann","text":"hi","cursor":"8"}"#).expect("an event");
        assert_eq!((event.id(), event.cursor.as_deref()), (Some("7"), Some("8")));
        assert!(Event::parse(br#"{"cursor":"9"}"#).expect("a cursor").id().is_none());
        for (line, why) in [
            (&b"hello"[..], "expected value"),
            (br#"{"id":""}"#, "`id` is empty"),
            (br#"{"text":"hi"}"#, "neither an `id`"),
            (br#"{"id":"1","body":"hi"}"#, "unknown field `body`"),
            (br#"{"id":1}"#, "invalid type"),
            (br#"{"id":"1","kind":"Note"}"#, "`kind` is a word"),
            (br#"{"id":"1","received":"yesterday"}"#, "`received` is no time"),
            (br#"{"cursor":"a\u0000b"}"#, "or a NUL"),
        ] {
            let told = Event::parse(line).expect_err("no event");
            assert!(told.contains(why), "{told}");
        }
    }
}
