//! What a service's answer says about an earlier request.

use aiemp_keys::Hash;
use aiemp_protocol::time::Timestamp;
use serde_json::Value;

use super::connector::{Ask, Connector, ReadBack};

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It is there.
    There(String),
    /// It does not show.
    NotSeen {
        /// Whether what does not show, after a while, is not there.
        is_complete: bool,
    },
    /// The answer says nothing.
    Nothing(String),
}

impl Connector {
    /// What an answer to [`Connector::look`] says about a post of this text, or whatever the key was of.
    pub fn seen(&self, status: u16, body: &[u8], text: &str, approved_at: Timestamp) -> Seen {
        match (&self.read_back, &self.ask) {
            (Some(read_back), _) => read_back.seen(status, body, text, approved_at),
            (None, Some(ask)) => ask.seen(status, body),
            (None, None) => Seen::Nothing("nothing was declared to look with".to_owned()),
        }
    }
}

impl ReadBack {
    fn seen(&self, status: u16, body: &[u8], text: &str, approved_at: Timestamp) -> Seen {
        if !(200..300).contains(&status) {
            return Seen::Nothing(format!("asked for the newest posts, the service answered {status}"));
        }
        let json: Option<Value> = serde_json::from_slice(body).ok();
        let Some(list) = json.as_ref().and_then(|json| json.pointer(&self.list)).and_then(Value::as_array) else {
            return Seen::Nothing(format!("the service's answer has no list at {:?}", self.list));
        };
        let wanted = digest(text);
        let is_it = |entry: &&Value| {
            let is_same = entry.pointer(&self.text).and_then(Value::as_str).is_some_and(|text| digest(text) == wanted);
            is_same && self.time.as_ref().is_none_or(|time| is_since(entry, time, approved_at))
        };
        match list.iter().find(is_it) {
            Some(_) => Seen::There(format!("found among the {} newest posts", list.len())),
            None => Seen::NotSeen { is_complete: self.is_complete },
        }
    }
}

impl Ask {
    fn seen(&self, status: u16, body: &[u8]) -> Seen {
        if self.not_seen.contains(&status) {
            // It may be under way still: what a service does not know yet was not refused by it.
            return Seen::NotSeen { is_complete: false };
        }
        if !self.found.contains(&status) {
            return Seen::Nothing(format!("asked for it, the service answered {status}"));
        }
        let Some((field, words)) = &self.word else { return Seen::There("the service knows it".to_owned()) };
        let json: Option<Value> = serde_json::from_slice(body).ok();
        match json.as_ref().and_then(|json| json.pointer(field)).and_then(Value::as_str) {
            Some(word) if words.contains(word) => Seen::There(format!("the service says {word}")),
            Some(_) => Seen::NotSeen { is_complete: false },
            None => Seen::Nothing(format!("the service's answer has no text at {field:?}")),
        }
    }
}

/// White space at the end is not compared: services cut it.
fn digest(text: &str) -> Hash {
    Hash::of_content(text.trim_end().as_bytes())
}

fn is_since(entry: &Value, time: &str, approved_at: Timestamp) -> bool {
    let at = entry.pointer(time).and_then(Value::as_str).and_then(Timestamp::parse_rfc3339);
    // Services cut fractions of a second.
    at.is_some_and(|at| at.as_millis() / 1_000 >= approved_at.as_millis() / 1_000)
}

#[cfg(test)]
mod tests;
