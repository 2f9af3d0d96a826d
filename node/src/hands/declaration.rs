//! The declaration as TOML: read strictly, and refused with the key and the reason where it cannot be meant.

mod file;
mod tables;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    time::Duration,
};

use aiemp_keys::{Hash, cbor};
use aiemp_protocol::{
    action::{Action, Content},
    limits::HANDS_BYTES_MAX,
};
use serde::Deserialize;
use thiserror::Error;

use self::{
    file::File,
    tables::{AnswerFile, AskFile, LoginFile, ReadBackFile},
};
use super::connector::{Body, Carries, Connector, Headers, Method, Place, Scheme, Shape, Target, is_loopback};
use super::{
    place::{canonical, secret_name, without_place},
    server::{Server, ServerAddress, ServerFile},
};

const NAME_BYTES_MAX: usize = 64;
const TIMEOUT_S_MAX: u64 = 600;
const DIGEST_LABEL: &str = "aiemp-node 2026 hand declared";
/// The table of MCP servers, which no hand can be named.
const SERVERS: &str = "mcp";
/// Hands that are not declared here.
const BUILT_IN: [&str; 2] = ["outbox", "smtp"];
/// Headers that the client writes itself.
const OWN_HEADERS: [&str; 7] =
    ["host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade"];

/// Why a declaration is refused.
#[derive(Debug, Error)]
pub enum DeclarationError {
    /// More than is signed.
    #[error("the declaration has more than {HANDS_BYTES_MAX} bytes")]
    TooLarge,
    /// Not TOML, an unknown key, or a value of the wrong type; the message shows the line.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// Something that cannot be meant.
    #[error("[{hand}] {why}")]
    Hand {
        /// Which hand.
        hand: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Every declared connector and MCP server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hands {
    connectors: BTreeMap<String, Connector>,
    servers: BTreeMap<String, Server>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HandFile {
    carries: Carries,
    #[serde(default)]
    dry_run: bool,
    method: Method,
    #[serde(default = "https")]
    scheme: Scheme,
    host: String,
    port: Option<u16>,
    path: String,
    #[serde(default)]
    query: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<toml::Table>,
    form: Option<BTreeMap<String, String>>,
    idempotency_header: Option<String>,
    #[serde(default = "success")]
    success: BTreeSet<u16>,
    #[serde(default)]
    not_done: BTreeSet<u16>,
    #[serde(default)]
    later: BTreeSet<u16>,
    per_hour: Option<u64>,
    #[serde(default = "timeout_s")]
    timeout_s: u64,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    only: BTreeMap<String, String>,
    #[serde(default)]
    omit: BTreeSet<String>,
    #[serde(default)]
    escape: String,
    answer: Option<AnswerFile>,
    login: Option<LoginFile>,
    read_back: Option<ReadBackFile>,
    ask: Option<AskFile>,
}

const fn https() -> Scheme {
    Scheme::Https
}

fn success() -> BTreeSet<u16> {
    [200, 201, 202, 204].into()
}

const fn timeout_s() -> u64 {
    30
}

impl Hands {
    /// Reads a declaration; the empty text declares nothing.
    pub fn parse(text: &str) -> Result<Self, DeclarationError> {
        if text.len() > HANDS_BYTES_MAX {
            return Err(DeclarationError::TooLarge);
        }
        let file: File = toml::from_str(text)?;
        let tables: BTreeMap<String, toml::Table> = toml::from_str(text)?;
        let mut hands = Self::default();
        for (name, file) in file.hands {
            let wrong = |why| DeclarationError::Hand { hand: name.clone(), why };
            check_name(&name).map_err(wrong)?;
            let digest = digest(tables.get(&name).cloned().unwrap_or_default());
            hands.connectors.insert(name.clone(), file.connector(&name, digest).map_err(wrong)?);
        }
        for (name, file) in file.servers {
            let wrong = |why| DeclarationError::Hand { hand: format!("{SERVERS}.{name}"), why };
            check_name(&name).map_err(wrong)?;
            if hands.connectors.contains_key(&name) {
                return Err(wrong(format!("a hand is named {name} as well; name one of the two otherwise")));
            }
            let table = tables.get(SERVERS).and_then(|servers| servers.get(&name)?.as_table()).cloned();
            let server = file.server(&name, digest(table.unwrap_or_default())).map_err(wrong)?;
            hands.servers.insert(name.clone(), server);
        }
        Ok(hands)
    }

    /// The MCP server of this name.
    pub fn server(&self, name: &str) -> Option<&Server> {
        self.servers.get(name)
    }

    /// All MCP servers, by name.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.values()
    }

    /// The connector of this name.
    pub fn get(&self, name: &str) -> Option<&Connector> {
        self.connectors.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Connector> {
        self.connectors.values()
    }

    /// Why no declared hand can carry an action; nothing for mails, which have hands of their own.
    pub fn objection(&self, action: &Action) -> Option<String> {
        let hand = action.hand();
        match &action.content {
            Content::Email(_) => None,
            Content::Tool(tool) => match self.server(hand) {
                Some(server) => server.objection(tool),
                None => Some(format!(
                    "no MCP server named `{hand}` is declared; name another in the draft, or declare [mcp.{hand}]: \
                     `aiemp-node hands apply FILE`"
                )),
            },
            Content::A2a(_) => {
                let kind = action.kind();
                Some(format!(
                    "this version carries no actions of the kind {kind}; carry it out yourself and reject the draft"
                ))
            }
            Content::Post(_) | Content::Payment(_) | Content::Http(_) => match self.get(hand) {
                Some(connector) => connector.objection(action),
                None if BUILT_IN.contains(&hand) => {
                    let kind = action.kind();
                    Some(format!(
                        "the hand `{hand}` carries mails only; name one in the draft that is declared for the kind {kind}"
                    ))
                }
                None => Some(format!(
                    "no hand named `{hand}` is declared for actions of the kind {}; name another in the draft, or \
                     declare it: `aiemp-node hands apply FILE`",
                    action.kind()
                )),
            },
        }
    }

    /// Whether a program is started for any of them: the server, or what checks its arguments.
    pub fn starts_programs(&self) -> bool {
        self.servers().any(|server| !server.dry_run)
    }

    /// TCP ports that are called.
    pub fn ports(&self) -> BTreeSet<u16> {
        let of_servers = self.called_servers().map(|address| address.port);
        self.called().map(|connector| connector.port).chain(of_servers).collect()
    }

    /// Files with certificates that are read.
    pub fn ca_files(&self) -> BTreeSet<PathBuf> {
        let of_servers = self.called_servers().filter_map(|address| address.ca_file.clone());
        self.called().filter_map(|connector| connector.ca_file.clone()).chain(of_servers).collect()
    }

    fn called_servers(&self) -> impl Iterator<Item = &ServerAddress> {
        self.servers().filter(|server| !server.dry_run).filter_map(Server::address)
    }

    fn called(&self) -> impl Iterator<Item = &Connector> {
        self.iter().filter(|connector| !connector.dry_run)
    }
}

/// Of what a table says, however it is written; how long it waits and how much it carries make no other hand of it.
fn digest(mut table: toml::Table) -> Hash {
    table.remove("timeout_s");
    table.remove("per_hour");
    Hash::labelled(DIGEST_LABEL, [cbor::text(&table.to_string())])
}

impl HandFile {
    fn connector(self, name: &str, digest: Hash) -> Result<Connector, String> {
        self.check()?;
        let carries = self.carries;
        let headers = self.headers.iter().map(|(name, value)| Ok((header_name(name)?, header_value(name, value)?)));
        let headers: Headers = headers.collect::<Result<_, String>>()?;
        let idempotency_header = self.idempotency_header.as_deref().map(header_name).transpose()?;
        check_once(headers.iter().map(|(name, _)| name).chain(&idempotency_header))?;
        let body = match (&self.json, &self.form) {
            (Some(_), Some(_)) => return Err("`json` and `form` are both given; a request has one body".to_owned()),
            (Some(table), None) => Body::Json(object(table, carries)?),
            (None, Some(fields)) => {
                Body::Form(named_places(fields, carries, true).map_err(|why| format!("form.{why}"))?)
            }
            (None, None) => Body::None,
        };
        if self.method == Method::Get && body != Body::None {
            return Err("a GET has no body; put the values into `query`".to_owned());
        }
        if self.read_back.is_some() && self.ask.is_some() {
            return Err("`read_back` and `ask` are two ways to look for one thing; declare one".to_owned());
        }
        let connector = Connector {
            name: name.to_owned(),
            digest,
            carries,
            dry_run: self.dry_run,
            scheme: self.scheme,
            port: self.port.unwrap_or(if self.scheme == Scheme::Https { 443 } else { 80 }),
            host: self.host,
            ca_file: self.ca_file,
            timeout: Duration::from_secs(self.timeout_s),
            per_hour: self.per_hour,
            method: self.method,
            target: target(&self.path, &self.query, carries)?,
            headers,
            body,
            idempotency_header,
            success: self.success,
            not_done: self.not_done,
            later: self.later,
            only: self.only,
            omit: self.omit,
            escape: self.escape,
            answer: self.answer.map(AnswerFile::answer).transpose()?,
            login: self.login.map(|file| file.login(carries)).transpose()?,
            read_back: self.read_back.map(|file| file.read_back(carries)).transpose()?,
            ask: self.ask.map(|file| file.ask(carries)).transpose()?,
        };
        connector.check_login()?;
        check_complete(&connector)?;
        Ok(connector)
    }

    fn check(&self) -> Result<(), String> {
        check_host(&self.host)?;
        if self.scheme == Scheme::Http && !is_loopback(&self.host) {
            return Err(format!(
                "{} is another machine, and nothing leaves this one unencrypted; use https",
                self.host
            ));
        }
        if self.port == Some(0) {
            return Err("port = 0 is no port".to_owned());
        }
        if !(1..=TIMEOUT_S_MAX).contains(&self.timeout_s) {
            return Err(format!("timeout_s is from 1 to {TIMEOUT_S_MAX}"));
        }
        let each = [
            ("success", &self.success, 200..400),
            ("not_done", &self.not_done, 300..600),
            ("later", &self.later, 400..600),
        ];
        for (key, statuses, range) in each {
            if let Some(status) = statuses.iter().find(|status| !range.contains(*status)) {
                return Err(format!("{key}: {status} is not from {} to {}", range.start, range.end - 1));
            }
        }
        let twice = |one: &BTreeSet<u16>, other: &BTreeSet<u16>| one.intersection(other).next().copied();
        let status = twice(&self.success, &self.not_done)
            .or_else(|| twice(&self.success, &self.later))
            .or_else(|| twice(&self.not_done, &self.later));
        if let Some(status) = status {
            return Err(format!("the status {status} stands under two of `success`, `not_done` and `later`"));
        }
        if self.success.is_empty() {
            return Err("`success` is empty: no answer would say that it was done".to_owned());
        }
        if self.ca_file.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err("`ca_file` must be an absolute path".to_owned());
        }
        Ok(())
    }
}

/// Everything that the person sees in an action must reach the service, or be left out in so many words.
fn check_complete(connector: &Connector) -> Result<(), String> {
    let known = |name: &&String| !connector.carries.is_value(name);
    if let Some(name) = connector.only.keys().chain(&connector.omit).find(known) {
        return Err(format!("`{name}` under `only` or `omit` is no value of the kind {}", connector.kind()));
    }
    let is_indispensable = |name: &&String| connector.carries.indispensable().contains(&canonical(name));
    if let Some(name) = connector.omit.iter().find(is_indispensable) {
        return Err(format!("`omit` cannot leave out `{name}`: something else would be done than you were shown"));
    }
    let placeless = without_place(connector.carries.values().iter().copied(), &connector.placed());
    if placeless.is_empty() {
        return Ok(());
    }
    let placeless = placeless.join(", ");
    Err(format!(
        "{placeless} has no place: give it one in `path`, `query`, `json` or `form`, one value in `only`, or name it in \
         `omit`"
    ))
}

fn check_name(name: &str) -> Result<(), String> {
    let is_name = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    if !is_name {
        return Err(format!("a hand's name is 1 to {NAME_BYTES_MAX} of a-z, 0-9, `_` and `-`"));
    }
    if BUILT_IN.contains(&name) {
        return Err("this hand is built in, and carries mails".to_owned());
    }
    Ok(())
}

pub(super) fn check_host(host: &str) -> Result<(), String> {
    let is_v6 =
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let is_name = host.len() <= 253 && host.split('.').all(is_label);
    if !is_v6 && !is_name {
        return Err(format!("host = {host:?} is neither a host name in lower case nor an address ([…] for IPv6)"));
    }
    if is_name && is_number(host.rsplit('.').next().unwrap_or_default()) && host.parse::<Ipv4Addr>().is_err() {
        return Err(format!("host = {host:?} is another spelling of an address; write four numbers, as in 192.0.2.7"));
    }
    Ok(())
}

/// Whether a name that ends so is taken for an address by what connects (WHATWG URL, "ends in a number").
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").map(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    hex.unwrap_or_else(|| label.bytes().all(|byte| byte.is_ascii_digit()))
}

fn check_pointer(pointer: &str) -> Result<(), String> {
    if pointer.is_empty() || pointer.starts_with('/') {
        return Ok(());
    }
    Err(format!("{pointer:?} is no JSON pointer; write \"/data/items\", or \"\" for the whole answer"))
}

pub(super) fn header_name(name: &str) -> Result<String, String> {
    let is_token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if !is_token {
        return Err(format!("{name:?} is no name of a header"));
    }
    let name = name.to_ascii_lowercase();
    if OWN_HEADERS.contains(&name.as_str()) {
        return Err(format!("the header `{name}` is written by the node itself"));
    }
    Ok(name)
}

/// A request has one header of a name: of two, the person would see one too many.
pub(super) fn check_once<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(format!("the header `{name}` is given twice; capital letters make no other name"));
        }
    }
    Ok(())
}

/// Literal text with credentials in between; values of actions have no place in a header.
pub(super) fn header_value(name: &str, value: &str) -> Result<Vec<Place>, String> {
    let wrong = |why: &str| Err(format!("headers.{name}: {why}"));
    let (mut places, mut rest) = (Vec::new(), value);
    while let Some((before, after)) = rest.split_once("${") {
        let Some((inner, after)) = after.split_once('}') else { return wrong("`${` has no end") };
        places.extend((!before.is_empty()).then(|| Place::Literal(before.to_owned())));
        places.push(match inner.strip_prefix("secret:") {
            Some(secret) => Place::Secret(secret_name(secret)?.to_owned()),
            None if inner == "token" => Place::Token,
            None => return wrong("there are `${secret:NAME}` and, with a `login`, `${token}`"),
        });
        rest = after;
    }
    places.extend((!rest.is_empty()).then(|| Place::Literal(rest.to_owned())));
    let literals = places.iter().filter_map(|place| if let Place::Literal(text) = place { Some(text) } else { None });
    for text in literals {
        if text.contains(['{', '}']) {
            return wrong("a header holds text, `${secret:NAME}` and `${token}`, no values of an action");
        }
        if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return wrong("only visible ASCII may stand in a header");
        }
    }
    Ok(places)
}

fn target(path: &str, query: &BTreeMap<String, String>, carries: Carries) -> Result<Target, String> {
    let Some(segments) = path.strip_prefix('/') else { return Err(format!("path = {path:?} must begin with /")) };
    let segments: Vec<_> = segments.split('/').collect();
    let mut places = Vec::new();
    for (index, text) in segments.iter().enumerate() {
        let place = Place::parse(text, carries).map_err(|why| format!("path: {why}"))?;
        match &place {
            Place::Secret(_) | Place::Token => {
                return Err("path: a credential stands in headers or the body only".to_owned());
            }
            Place::Literal(text) if matches!(text.as_str(), "." | "..") => {
                return Err(format!("path: `{text}` is no segment"));
            }
            Place::Literal(text) if text.is_empty() && index + 1 < segments.len() => {
                return Err("path: `//` is no path".to_owned());
            }
            Place::Literal(text) if !text.bytes().all(is_segment_byte) => {
                return Err(format!("path: {text:?} holds more than letters, digits and -._~!$&'()*+,;=:@"));
            }
            Place::Literal(_) | Place::Value { .. } => places.push(place),
        }
    }
    let query = named_places(query, carries, false).map_err(|why| format!("query.{why}"))?;
    Ok(Target { path: places, query })
}

fn named_places(
    fields: &BTreeMap<String, String>,
    carries: Carries,
    takes_secrets: bool,
) -> Result<Vec<(String, Place)>, String> {
    let mut places = Vec::new();
    for (name, text) in fields {
        let place = Place::parse(text, carries).map_err(|why| format!("{name}: {why}"))?;
        if matches!(place, Place::Secret(_)) && !takes_secrets {
            return Err(format!("{name}: a credential stands in headers or the body only"));
        }
        places.push((name.clone(), place));
    }
    Ok(places)
}

fn object(table: &toml::Table, carries: Carries) -> Result<Shape, String> {
    let field = |(name, value): (&String, &toml::Value)| {
        let shape = shape(value, carries).map_err(|why| format!("json.{name}: {why}"))?;
        Ok((name.clone(), shape))
    };
    table.iter().map(field).collect::<Result<_, String>>().map(Shape::Object)
}

fn shape(value: &toml::Value, carries: Carries) -> Result<Shape, String> {
    Ok(match value {
        toml::Value::String(text) => Shape::Place(Place::parse(text, carries)?),
        toml::Value::Integer(number) => Shape::Fixed((*number).into()),
        toml::Value::Boolean(is_true) => Shape::Fixed((*is_true).into()),
        toml::Value::Array(items) => {
            Shape::List(items.iter().map(|item| shape(item, carries)).collect::<Result<_, String>>()?)
        }
        toml::Value::Table(table) => object(table, carries)?,
        toml::Value::Float(_) | toml::Value::Datetime(_) => {
            return Err("numbers with a point and dates stand as text here".to_owned());
        }
    })
}

const fn is_segment_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
        )
}

#[cfg(test)]
mod tests;
