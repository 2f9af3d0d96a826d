//! One connector, checked: where it calls, with what, and what the answers mean.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    time::Duration,
};

use aiemp_keys::Hash;
use aiemp_protocol::action::{Action, ActionKind};

pub(super) use super::place::{Carries, Place};
use super::place::{canonical, values_of, without_place};

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// TLS.
    Https,
    /// None: for this machine only.
    Http,
}

/// What is done to the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Method {
    /// Read it.
    Get,
    /// Add to it.
    Post,
    /// Replace it.
    Put,
    /// Change it.
    Patch,
    /// Remove it.
    Delete,
}

impl Method {
    /// As it stands in a request.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Names and values of headers; a value is literal text with credentials in between.
pub(super) type Headers = Vec<(String, Vec<Place>)>;

/// A path and the query behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Segments of the path.
    pub(super) path: Vec<Place>,
    /// The query.
    pub(super) query: Vec<(String, Place)>,
}

/// What is sent with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Nothing.
    None,
    /// JSON.
    Json(Shape),
    /// `application/x-www-form-urlencoded`.
    Form(Vec<(String, Place)>),
}

/// JSON with places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// An object.
    Object(BTreeMap<String, Shape>),
    /// A list.
    List(Vec<Shape>),
    /// A number or truth value.
    Fixed(serde_json::Value),
    /// A string, or what fills it.
    Place(Place),
}

/// What the words of an answer have to say, beside its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AnswerCheck {
    /// JSON pointer: without something there it is not known to be done.
    pub(super) has: Option<String>,
    /// JSON pointer: with something there it is known not to be.
    pub(super) refuses: Option<String>,
}

/// How a credential becomes the token that one request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    /// Another host than that of the hand; scheme and port are the hand's.
    pub(super) host: Option<String>,
    pub(super) target: Target,
    pub(super) headers: Headers,
    pub(super) body: Body,
    /// JSON pointer to the token in the answer.
    pub(super) token: String,
}

/// How a post is looked for: by its text, in a list that the service shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReadBack {
    /// Where the list is.
    pub(super) target: Target,
    /// JSON pointer to the list.
    pub(super) list: String,
    /// JSON pointer to the text, within each entry.
    pub(super) text: String,
    /// JSON pointer to the time of each entry, RFC 3339: what is older than the approval does not count.
    pub(super) time: Option<String>,
    /// Whether the list shows everything that was posted.
    pub(super) is_complete: bool,
}

/// How a payment or a call is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    /// Where.
    pub(super) target: Target,
    /// Answers that say that it is there.
    pub(super) found: BTreeSet<u16>,
    /// Answers that say that it is not there so far.
    pub(super) not_seen: BTreeSet<u16>,
    /// JSON pointer to a word about it, and the words that say that it was done.
    pub(super) word: Option<(String, BTreeSet<String>)>,
}

/// A declared way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connector {
    /// What drafts call it.
    pub name: String,
    /// Of all that was declared, save how long it waits and how much it carries: another digest is another hand.
    pub digest: Hash,
    /// What it carries.
    pub(super) carries: Carries,
    /// Makes the exact request, and sends nothing.
    pub dry_run: bool,
    /// How the connection is protected.
    pub scheme: Scheme,
    /// Name or address of the service; its certificate must carry it.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// A PEM file with certificates of a private authority, trusted besides the public ones.
    pub ca_file: Option<PathBuf>,
    /// For connecting, and for the answer.
    pub timeout: Duration,
    /// At most so many in an hour.
    pub per_hour: Option<u64>,
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) headers: Headers,
    pub(super) body: Body,
    /// The header that carries the key under which the service takes a thing once.
    pub(super) idempotency_header: Option<String>,
    pub(super) success: BTreeSet<u16>,
    pub(super) not_done: BTreeSet<u16>,
    pub(super) later: BTreeSet<u16>,
    /// Values that an action has to have.
    pub(super) only: BTreeMap<String, String>,
    /// Values that are left out on purpose.
    pub(super) omit: BTreeSet<String>,
    /// Signs that get a backslash where a value is escaped.
    pub(super) escape: String,
    pub(super) answer: Option<AnswerCheck>,
    pub(super) login: Option<Login>,
    pub(super) read_back: Option<ReadBack>,
    pub(super) ask: Option<Ask>,
}

/// What the status of an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Done.
    Done,
    /// Definitely not done.
    NotDone,
    /// Not done, and worth another try.
    Later,
    /// Nobody knows.
    Unclear,
}

impl Connector {
    /// Why it cannot carry an action; the text says what to do.
    pub fn objection(&self, action: &Action) -> Option<String> {
        let name = &self.name;
        let kind = action.kind();
        let Some((_, values)) = values_of(action).filter(|(carries, _)| *carries == self.carries) else {
            let own = self.kind();
            return Some(format!("the hand `{name}` carries actions of the kind {own}, not {kind}; name another hand"));
        };
        if !action.content.attachments().is_empty() {
            return Some(format!("the hand `{name}` carries text only; take the attachments out of the draft"));
        }
        for (value, wanted) in &self.only {
            let given = values.get(value).map_or("", String::as_str);
            if given != wanted {
                return Some(format!("the hand `{name}` takes {value} {wanted} only, not {given:?}"));
            }
        }
        let missing: Vec<_> = self.used().into_iter().filter(|value| !self.is_given(value, &values)).collect();
        if !missing.is_empty() {
            return Some(format!("the hand `{name}` needs {}, which the draft does not give", missing.join(", ")));
        }
        let placeless = without_place(values.keys().map(String::as_str), &self.placed());
        if !placeless.is_empty() {
            let placeless = placeless.join(", ");
            return Some(format!("the hand `{name}` has no place for {placeless}; take it out of the draft"));
        }
        None
    }

    /// The kind of action that it carries.
    pub const fn kind(&self) -> ActionKind {
        match self.carries {
            Carries::Http => ActionKind::Http,
            Carries::Post => ActionKind::Post,
            Carries::Payment => ActionKind::Payment,
        }
    }

    /// What an answer says; its words count where the declaration says so, and none where they were cut off.
    pub fn verdict(&self, status: u16, words: Option<&[u8]>) -> Verdict {
        if self.success.contains(&status) {
            self.answer.as_ref().map_or(Verdict::Done, |check| check.verdict(words))
        } else if self.not_done.contains(&status) {
            Verdict::NotDone
        } else if self.later.contains(&status) {
            Verdict::Later
        } else {
            Verdict::Unclear
        }
    }

    /// Whether the service takes a thing once under one key, so that it may be handed over again.
    pub const fn is_repeatable(&self) -> bool {
        self.idempotency_header.is_some()
    }

    /// Whether a service on this machine is called.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }

    /// Where it logs in, if it does.
    pub fn login_host(&self) -> Option<&str> {
        self.login.as_ref().map(|login| login.host.as_deref().unwrap_or(&self.host))
    }

    /// Names of the credentials that a request carries.
    pub fn secrets(&self) -> BTreeSet<&str> {
        let login = self
            .login
            .iter()
            .flat_map(|login| login.headers.iter().flat_map(|(_, places)| places).chain(login.body.places()));
        let places = self.headers.iter().flat_map(|(_, places)| places).chain(self.body.places()).chain(login);
        places.filter_map(|place| if let Place::Secret(name) = place { Some(name.as_str()) } else { None }).collect()
    }

    /// A login is for the token that it gives, and a token comes from a login.
    pub(super) fn check_login(&self) -> Result<(), String> {
        let has_token = self.headers.iter().flat_map(|(_, places)| places).any(|place| *place == Place::Token);
        match (&self.login, has_token) {
            (Some(_), false) => Err("`login` is of no use without `${token}` in `headers`".to_owned()),
            (None, true) => Err("`${token}` in `headers` needs a table `login`".to_owned()),
            (Some(Login { host: Some(host), .. }), true) if self.is_loopback() != is_loopback(host) => Err(format!(
                "login: {host} is not where the hand's scheme and port are; both are this machine, or neither"
            )),
            (Some(_), true) | (None, false) => Ok(()),
        }
    }

    /// Values that have a place in the request, by their own names.
    pub(super) fn used(&self) -> BTreeSet<String> {
        let places = self.target.places().chain(self.body.places());
        places.filter_map(Place::value).map(str::to_owned).collect()
    }

    /// Values that are accounted for: placed, fixed or left out on purpose.
    pub(super) fn placed(&self) -> BTreeSet<String> {
        let used = self.used();
        let names = used.iter().chain(self.only.keys()).chain(&self.omit);
        names.map(|name| canonical(name).to_owned()).collect()
    }

    fn is_given(&self, value: &str, values: &BTreeMap<String, String>) -> bool {
        values.contains_key(value) || super::place::OWN.contains(&value)
    }
}

impl AnswerCheck {
    fn verdict(&self, words: Option<&[u8]>) -> Verdict {
        let json: Option<serde_json::Value> = words.and_then(|words| serde_json::from_slice(words).ok());
        let Some(json) = json else { return Verdict::Unclear };
        let is_there = |pointer: &String| json.pointer(pointer).is_some_and(says_something);
        let has = self.has.as_ref().map(is_there);
        match self.refuses.as_ref().is_some_and(is_there) {
            // What is done in part, or says both, is nobody's to know.
            true if has == Some(true) => Verdict::Unclear,
            true => Verdict::NotDone,
            false if has.unwrap_or(true) => Verdict::Done,
            false => Verdict::Unclear,
        }
    }
}

/// Services put an empty list or a `false` where there is no error.
fn says_something(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null => false,
        serde_json::Value::Bool(is_true) => *is_true,
        serde_json::Value::Number(number) => number.as_f64() != Some(0.0),
        serde_json::Value::String(text) => !text.is_empty(),
        serde_json::Value::Array(items) => !items.is_empty(),
        serde_json::Value::Object(members) => !members.is_empty(),
    }
}

impl Target {
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.path.iter().chain(self.query.iter().map(|(_, place)| place))
    }
}

impl Body {
    pub(super) fn places(&self) -> Box<dyn Iterator<Item = &Place> + '_> {
        match self {
            Self::None => Box::new(std::iter::empty()),
            Self::Json(shape) => shape.places(),
            Self::Form(fields) => Box::new(fields.iter().map(|(_, place)| place)),
        }
    }
}

impl Shape {
    fn places(&self) -> Box<dyn Iterator<Item = &Place> + '_> {
        match self {
            Self::Object(fields) => Box::new(fields.values().flat_map(Self::places)),
            Self::List(items) => Box::new(items.iter().flat_map(Self::places)),
            Self::Fixed(_) => Box::new(std::iter::empty()),
            Self::Place(place) => Box::new(std::iter::once(place)),
        }
    }
}

/// Whether a host is this machine by its name.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_loopback() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "::ffff:127.0.0.1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.test", "127.0.0.1.test", "192.0.2.1", "mail.example.org", "", "0.0.0.0"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
