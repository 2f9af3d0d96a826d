//! What a watcher tells: one JSON object a line.

use serde::Deserialize;

use crate::{config::Watcher, shell::control::WireArrival};

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
        match event.id.as_deref() {
            Some("") => Err("its `id` is empty".to_owned()),
            None if event.cursor.is_none() => Err("it has neither an `id` nor a `cursor`".to_owned()),
            Some(_) | None => Ok(event),
        }
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What becomes a task, if anything.
    pub(super) fn arrival(&self, watcher: &Watcher) -> Option<WireArrival> {
        Some(WireArrival {
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
        ] {
            let told = Event::parse(line).expect_err("no event");
            assert!(told.contains(why), "{told}");
        }
    }
}
