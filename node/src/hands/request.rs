//! The exact request that an action becomes: the same bytes each time it is made.

use std::collections::BTreeMap;

use aiemp_keys::{Hash, cbor};
use aiemp_protocol::{action::Action, ids::ActionHash, time::Timestamp};
use serde_json::Value;

use super::{
    connector::{Body, Connector, Headers, Place, Scheme, Shape, Target},
    place::{Form, values_of},
};

/// Where the token of a login comes to stand: nothing that may be in a header.
const TOKEN: &str = "\0";
const KEY_LABEL: &str = "aiemp-node 2026 idempotency key";
/// The longest token of a login.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// Longest text that a dry run keeps.
const SHOWN_BYTES_MAX: usize = 4_096;

/// What one approval is filled in with.
#[derive(Clone, Copy, Debug)]
pub struct Sealed<'a> {
    /// What was approved.
    pub action: &'a Action,
    /// The approval's nonce.
    pub nonce: &'a [u8; 16],
    /// When it was approved.
    pub approved_at: Timestamp,
}

/// A request, whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, …
    pub method: &'static str,
    /// Scheme, host and port, as they stand before the path.
    pub origin: String,
    /// Path and query.
    pub target: String,
    /// In lower case, by name.
    pub headers: BTreeMap<String, String>,
    /// What is sent with it.
    pub body: Option<String>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Request({} {})", self.method, self.origin)
    }
}

/// The key under which a service takes an approved action once: fixed by action and approval, a UUID of version 8.
pub fn idempotency_key(action: &ActionHash, nonce: &[u8; 16]) -> String {
    let hash = Hash::labelled(KEY_LABEL, [action.to_value(), cbor::bytes(nonce)]);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = data_encoding::HEXLOWER.encode(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

impl Connector {
    /// The request that carries an action out. Fails with a reason where a value does not fit its place.
    pub fn request(
        &self,
        sealed: &Sealed<'_>,
        secret: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Request, String> {
        let filling = Filling::of(sealed, &self.escape, secret)?;
        let mut request = self.bare(&filling, &self.target)?;
        request.method = self.method.as_str();
        if let Some(name) = &self.idempotency_header {
            request.headers.insert(name.clone(), filling.text("idempotency_key")?.to_owned());
        }
        request.fill(&filling, &self.body)?;
        Ok(request)
    }

    /// The request that looks for an earlier one; none where nothing was declared.
    pub fn look(
        &self,
        sealed: &Sealed<'_>,
        secret: &dyn Fn(&str) -> Result<String, String>,
    ) -> Option<Result<Request, String>> {
        let target = match (&self.read_back, &self.ask) {
            (Some(read_back), _) => &read_back.target,
            (None, Some(ask)) => &ask.target,
            (None, None) => return None,
        };
        Some(Filling::of(sealed, &self.escape, secret).and_then(|filling| self.bare(&filling, target)))
    }

    /// The request that gives the token for this one; none where none is needed.
    pub fn login(&self, secret: &dyn Fn(&str) -> Result<String, String>) -> Option<Result<LoginRequest, String>> {
        let login = self.login.as_ref()?;
        let filling = Filling { values: BTreeMap::new(), escape: "", secret };
        let request = || {
            let host = login.host.as_ref().unwrap_or(&self.host);
            let mut request = self.bare_at(&filling, host, &login.target, &login.headers)?;
            request.method = "POST";
            request.fill(&filling, &login.body)?;
            Ok(LoginRequest { request, token: login.token.clone() })
        };
        Some(request())
    }

    fn bare(&self, filling: &Filling<'_>, target: &Target) -> Result<Request, String> {
        self.bare_at(filling, &self.host, target, &self.headers)
    }

    fn bare_at(
        &self,
        filling: &Filling<'_>,
        host: &str,
        target: &Target,
        declared: &Headers,
    ) -> Result<Request, String> {
        let scheme = match self.scheme {
            Scheme::Https => "https",
            Scheme::Http => "http",
        };
        let mut headers = BTreeMap::new();
        for (name, places) in declared {
            let part = |place: &Place| {
                let text = filling.place(place)?;
                let is_odd = matches!(place, Place::Secret(_)) && text.chars().any(char::is_control);
                if is_odd {
                    Err(format!("the secret in the header `{name}` holds what no header may"))
                } else {
                    Ok(text)
                }
            };
            let parts = places.iter().map(part).collect::<Result<Vec<_>, _>>()?;
            headers.insert(name.clone(), parts.concat());
        }
        Ok(Request {
            method: "GET",
            origin: format!("{scheme}://{host}:{}", self.port),
            target: filling.target(target)?,
            headers,
            body: None,
        })
    }
}

/// The request before a request: its answer holds the token.
#[derive(Debug)]
pub struct LoginRequest {
    /// What is asked.
    pub request: Request,
    token: String,
}

impl LoginRequest {
    /// The token in an answer; nothing where there is none that may stand in a header.
    pub fn token_in(&self, answer: &[u8]) -> Option<String> {
        let json: Value = serde_json::from_slice(answer).ok()?;
        let token = json.pointer(&self.token)?.as_str()?;
        let fits = (1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| token.to_owned())
    }
}

impl Request {
    /// The request with the token of its login.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        let mut request = self.clone();
        for value in request.headers.values_mut() {
            *value = value.replace(TOKEN, token);
        }
        request
    }

    fn fill(&mut self, filling: &Filling<'_>, body: &Body) -> Result<(), String> {
        let (media_type, body) = match body {
            Body::None => return Ok(()),
            Body::Json(shape) => ("application/json", filling.json(shape)?.to_string()),
            Body::Form(fields) => ("application/x-www-form-urlencoded", filling.pairs(fields)?),
        };
        self.headers.entry("content-type".to_owned()).or_insert_with(|| media_type.to_owned());
        self.body = Some(body);
        Ok(())
    }

    /// As text, for a dry run: everything that would have been sent.
    pub fn shown(&self) -> String {
        let mut shown = format!("{} {}{}", self.method, self.origin, self.target);
        for (name, value) in &self.headers {
            shown.push_str(&format!(" | {name}: {}", value.replace(TOKEN, "${token}")));
        }
        if let Some(body) = &self.body {
            shown.push_str(&format!(" | {body}"));
        }
        shown.truncate(shown.floor_char_boundary(SHOWN_BYTES_MAX));
        shown
    }
}

struct Filling<'a> {
    values: BTreeMap<String, String>,
    /// Signs that get a backslash where a value is escaped.
    escape: &'a str,
    secret: &'a dyn Fn(&str) -> Result<String, String>,
}

impl<'a> Filling<'a> {
    fn of(
        sealed: &Sealed<'_>,
        escape: &'a str,
        secret: &'a dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Self, String> {
        let kind = sealed.action.kind();
        let (_, mut values) =
            values_of(sealed.action).ok_or_else(|| format!("no connector carries the kind {kind}"))?;
        values.insert("idempotency_key".to_owned(), idempotency_key(&sealed.action.hash(), sealed.nonce));
        values.insert("approved_at".to_owned(), sealed.approved_at.to_string());
        Ok(Self { values, escape, secret })
    }

    fn text(&self, name: &str) -> Result<&str, String> {
        self.values.get(name).map(String::as_str).ok_or_else(|| format!("the action has no value {name}"))
    }

    fn place(&self, place: &Place) -> Result<String, String> {
        match place {
            Place::Literal(text) => Ok(text.clone()),
            Place::Value { name, form } => {
                let text = self.text(name)?;
                match form {
                    Form::Plain => Ok(text.to_owned()),
                    Form::Escaped => Ok(escaped(text, self.escape)),
                    Form::Integer if integer(text).is_none() => {
                        Err(format!("{name} is {text:?}, and has to be a whole number"))
                    }
                    Form::Integer => Ok(text.to_owned()),
                }
            }
            Place::Secret(name) => (self.secret)(name),
            Place::Token => Ok(TOKEN.to_owned()),
        }
    }

    fn target(&self, target: &Target) -> Result<String, String> {
        let mut text = String::new();
        for place in &target.path {
            text.push('/');
            let segment = self.place(place)?;
            match place.value() {
                // What a service would take for a step in the path never is one value.
                Some(name) if matches!(segment.as_str(), "" | "." | "..") => {
                    return Err(format!("{name} is {segment:?}, which cannot stand in a path"));
                }
                Some(_) => text.push_str(&percent(&segment)),
                None => text.push_str(&segment),
            }
        }
        if !target.query.is_empty() {
            text.push('?');
            text.push_str(&self.pairs(&target.query)?);
        }
        Ok(text)
    }

    fn pairs(&self, fields: &[(String, Place)]) -> Result<String, String> {
        let pair = |(name, place): &(String, Place)| Ok(format!("{}={}", percent(name), percent(&self.place(place)?)));
        Ok(fields.iter().map(pair).collect::<Result<Vec<_>, String>>()?.join("&"))
    }

    fn json(&self, shape: &Shape) -> Result<Value, String> {
        Ok(match shape {
            Shape::Object(fields) => {
                let field = |(name, shape): (&String, &Shape)| Ok((name.clone(), self.json(shape)?));
                Value::Object(fields.iter().map(field).collect::<Result<_, String>>()?)
            }
            Shape::List(items) => Value::Array(items.iter().map(|item| self.json(item)).collect::<Result<_, _>>()?),
            Shape::Fixed(value) => value.clone(),
            Shape::Place(place @ Place::Value { form: Form::Integer, .. }) => {
                integer(&self.place(place)?).map_or(Value::Null, Value::from)
            }
            Shape::Place(place) => Value::String(self.place(place)?),
        })
    }
}

fn escaped(text: &str, signs: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if signs.contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A whole number as JSON writes it.
fn integer(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

/// Everything but letters, digits and `-._~`, byte by byte (RFC 3986).
fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
