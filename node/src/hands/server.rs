//! MCP servers: programs that are started for one call of a tool, and what they may be asked for.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use aiemp_keys::{Hash, cbor};
use aiemp_protocol::action::Tool;
use serde::Deserialize;
use serde_json::Value;

use super::{
    connector::{Headers, Scheme, is_loopback},
    declaration::{check_host, check_once, header_name, header_value},
    place::Place,
};
use crate::config::EnvValue;

const SCHEMA_LABEL: &str = "aiemp-node 2026 tool schema";
const TIMEOUT_S_MAX: u64 = 600;
/// What is read of a server in all, so that none fills memory.
pub const SERVER_BYTES_MAX: u64 = 8 << 20;
const TOOLS_MAX: usize = 256;

/// A declared MCP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What drafts call it.
    pub name: String,
    /// Of all that was declared, save how long it waits and how much it carries: another digest is another hand.
    pub digest: Hash,
    /// How it is reached.
    pub at: ServerAt,
    /// The tools that may be called, each with the digest of its schema.
    pub tools: BTreeMap<String, Hash>,
    /// Whether what it calls an error was definitely not done.
    pub error_is_not_done: bool,
    /// Shows what would be called, and starts nothing.
    pub dry_run: bool,
    /// For the start, and for the answer.
    pub timeout: Duration,
    /// At most so many in an hour.
    pub per_hour: Option<u64>,
}

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerAt {
    /// A program that is started for one call.
    Program(ServerProgram),
    /// A service that runs elsewhere, over streamable HTTP.
    Address(ServerAddress),
}

/// A program that is a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerProgram {
    /// The program, by its absolute path, and its arguments.
    pub command: Vec<String>,
    /// Its environment.
    pub env: BTreeMap<String, EnvValue>,
    /// What it reads beside the system's files and its own folder.
    pub reads: Vec<PathBuf>,
    /// What it changes beside its own folder.
    pub writes: Vec<PathBuf>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    /// Where it is called.
    pub url: String,
    /// How the connection is protected.
    pub scheme: Scheme,
    /// Name or address of the service.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Sent with each request.
    headers: Headers,
    /// A PEM file with certificates of a private authority, trusted besides the public ones.
    pub ca_file: Option<PathBuf>,
}

impl ServerAddress {
    /// Reads an address: encrypted unless it is this machine's, and without anything that is not spelt out.
    pub fn parse(url: &str, headers: &BTreeMap<String, String>, ca_file: Option<PathBuf>) -> Result<Self, String> {
        let (scheme, rest) = match url.split_once("://") {
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(_) | None => return Err(format!("url: {url:?} does not begin with https://")),
        };
        let (place, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let colon = place.rfind(':').filter(|at| !place[*at..].contains(']'));
        let (host, port) = colon.map_or((place, None), |at| (&place[..at], Some(&place[at + 1..])));
        check_host(host).map_err(|why| format!("url: {why}"))?;
        let port = match (port, scheme) {
            (Some(port), _) => port
                .parse()
                .ok()
                .filter(|number| *number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()))
                .ok_or(format!("url: `{port}` is no port"))?,
            (None, Scheme::Https) => 443,
            (None, Scheme::Http) => 80,
        };
        if scheme == Scheme::Http && !is_loopback(host) {
            return Err(format!("{host} is another machine, and nothing leaves this one unencrypted; use https"));
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
        if !path.bytes().all(is_plain) || path.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(format!("url: {path:?} is a path of letters, digits and -._~/, without a query"));
        }
        let headers = headers.iter().map(|(name, value)| Ok((header_name(name)?, header_value(name, value)?)));
        let headers: Headers = headers.collect::<Result<_, String>>()?;
        check_once(headers.iter().map(|(name, _)| name))?;
        if headers.iter().flat_map(|(_, places)| places).any(|place| *place == Place::Token) {
            return Err("`${token}` is for hands that log in".to_owned());
        }
        if ca_file.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err("`ca_file` must be an absolute path".to_owned());
        }
        let (url, host) = (url.to_owned(), host.to_owned());
        Ok(Self { url, scheme, host, port, headers, ca_file })
    }

    /// The headers, with the credentials by their names; without those whose credential is not at hand, as in a dry run.
    pub fn headers(&self, secret: &dyn Fn(&str) -> Option<String>) -> Vec<(String, String)> {
        let value = |place: &Place| match place {
            Place::Literal(text) => Some(text.clone()),
            Place::Secret(name) => secret(name),
            Place::Value { .. } | Place::Token => None,
        };
        let header = |(name, places): &(String, Vec<Place>)| {
            Some((name.clone(), places.iter().map(value).collect::<Option<String>>()?))
        };
        self.headers.iter().filter_map(header).collect()
    }

    fn secrets(&self) -> impl Iterator<Item = &str> {
        let places = self.headers.iter().flat_map(|(_, places)| places);
        places.filter_map(|place| if let Place::Secret(name) = place { Some(name.as_str()) } else { None })
    }
}

/// `[mcp.NAME]`, as others write it in `mcp.json`, and what is ours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerFile {
    command: Option<String>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, EnvValue>,
    #[serde(default)]
    reads: Vec<PathBuf>,
    #[serde(default)]
    writes: Vec<PathBuf>,
    #[serde(default)]
    tools: BTreeMap<String, String>,
    #[serde(default)]
    error_is_not_done: bool,
    #[serde(default)]
    dry_run: bool,
    #[serde(default = "timeout_s")]
    timeout_s: u64,
    per_hour: Option<u64>,
}

const fn timeout_s() -> u64 {
    30
}

impl ServerFile {
    pub(super) fn server(self, name: &str, digest: Hash) -> Result<Server, String> {
        let at = self.at()?;
        if !(1..=TIMEOUT_S_MAX).contains(&self.timeout_s) {
            return Err(format!("timeout_s is from 1 to {TIMEOUT_S_MAX}"));
        }
        if self.tools.len() > TOOLS_MAX {
            return Err(format!("more than {TOOLS_MAX} tools"));
        }
        let tools = self.tools.into_iter().map(|(tool, digest)| {
            let digest = digest.parse().map_err(|_| {
                format!(
                    "tools.{tool} is the digest of its schema, 64 hex digits: `aiemp-node hands tools FILE` prints it"
                )
            })?;
            Ok((tool, digest))
        });
        Ok(Server {
            name: name.to_owned(),
            digest,
            at,
            tools: tools.collect::<Result<_, String>>()?,
            error_is_not_done: self.error_is_not_done,
            dry_run: self.dry_run,
            timeout: Duration::from_secs(self.timeout_s),
            per_hour: self.per_hour,
        })
    }
}

impl ServerFile {
    fn at(&self) -> Result<ServerAt, String> {
        let Self { command, url, headers, ca_file, args, env, reads, writes, .. } = self;
        let command = match (command, url) {
            (Some(command), None) => command,
            (None, Some(url)) => {
                if !(args.is_empty() && env.is_empty() && reads.is_empty() && writes.is_empty()) {
                    return Err(
                        "`args`, `env`, `reads` and `writes` are for a program; a `url` has `headers`".to_owned()
                    );
                }
                return Ok(ServerAt::Address(ServerAddress::parse(url, headers, ca_file.clone())?));
            }
            (Some(_), Some(_)) => return Err("`command` and `url` are two ways to one server; declare one".to_owned()),
            (None, None) => return Err("needs `command` or `url`".to_owned()),
        };
        if !headers.is_empty() || ca_file.is_some() {
            return Err("`headers` and `ca_file` are for a server with a `url`".to_owned());
        }
        if !command.starts_with('/') {
            return Err(format!(
                "`command` is an absolute path, so that the one you sign is the one that runs: `command -v {command}` says it"
            ));
        }
        if let Some(path) = reads.iter().chain(writes).find(|path| !path.is_absolute()) {
            return Err(format!("`{}` must be an absolute path", path.display()));
        }
        let command = std::iter::once(command).chain(args).cloned().collect();
        let (env, reads, writes) = (env.clone(), reads.clone(), writes.clone());
        Ok(ServerAt::Program(ServerProgram { command, env, reads, writes }))
    }
}

impl Server {
    /// The address, where it has one.
    pub const fn address(&self) -> Option<&ServerAddress> {
        match &self.at {
            ServerAt::Program(_) => None,
            ServerAt::Address(address) => Some(address),
        }
    }

    /// In one line: the program, or the address.
    pub fn place(&self) -> String {
        match &self.at {
            ServerAt::Program(program) => program.command.join(" "),
            ServerAt::Address(address) => address.url.clone(),
        }
    }

    /// Why this call is not made, as far as that can be known before the server is asked.
    pub(super) fn objection(&self, tool: &Tool) -> Option<String> {
        let Some(declared) = self.tools.get(&tool.tool) else {
            return Some(format!(
                "the tool `{}` of `{}` is not among those that were declared; name another in the draft, or add it to \
                 [mcp.{}.tools]: `aiemp-node hands tools FILE` prints the line",
                tool.tool, self.name, self.name
            ));
        };
        if tool.schema.is_some_and(|schema| schema != *declared) {
            return Some(format!(
                "the draft was made for another version of the tool `{}`; take its line `schema` out, or draft it anew",
                tool.tool
            ));
        }
        let number = std::str::from_utf8(&tool.arguments).ok().and_then(inexact_number)?;
        Some(format!("the number {number} would arrive as another one; write it as a text, or with fewer digits"))
    }

    /// The secrets that it gets.
    pub fn secrets(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match &self.at {
            ServerAt::Program(program) => Box::new(program.env.values().filter_map(EnvValue::secret)),
            ServerAt::Address(address) => Box::new(address.secrets()),
        }
    }
}

/// The first number of a JSON text that programs which read it as 64 bits would change.
fn inexact_number(json: &str) -> Option<&str> {
    let (mut at, mut in_string) = (0, false);
    while let Some(c) = json[at..].chars().next() {
        if !in_string && (c == '-' || c.is_ascii_digit()) {
            let is_part = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
            let number = &json[at..];
            let number = &number[..number.find(|c| !is_part(c)).unwrap_or(number.len())];
            if !is_exact(number) {
                return Some(number);
            }
            at += number.len();
            continue;
        }
        in_string ^= c == '"';
        // What is escaped ends no string.
        at += if in_string && c == '\\' { 2 } else { c.len_utf8() };
    }
    None
}

/// Whole numbers of 53 bits, and others of 15 digits at most.
fn is_exact(number: &str) -> bool {
    const WHOLE_MAX: u64 = 1 << 53;
    if let Ok(whole) = number.parse::<i64>() {
        return whole.unsigned_abs() <= WHOLE_MAX;
    }
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    mantissa.bytes().filter(u8::is_ascii_digit).count() <= 15 && number.parse::<f64>().is_ok_and(f64::is_finite)
}

/// The digest of what a tool says that it takes.
pub fn schema_digest(tool: &str, schema: &serde_json::Map<String, Value>) -> Hash {
    let mut text = String::new();
    write_sorted(&Value::Object(schema.clone()), &mut text);
    Hash::labelled(SCHEMA_LABEL, [cbor::text(tool), cbor::text(&text)])
}

/// JSON without spaces, members by name: however a server orders them, it is one text.
fn write_sorted(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            out.push('{');
            for (at, (name, value)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write_sorted(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_sorted(item, out);
            }
            out.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => out.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> serde_json::Map<String, Value> {
        serde_json::from_str(text).expect("an object")
    }

    #[test]
    fn a_number_that_would_be_changed_on_its_way_is_found() {
        for (json, found) in [
            (r#"{"a": 1, "b": -2.50, "c": [1e3, 9007199254740992]}"#, None),
            (r#"{"a": "100000000000000000001.25 \" 99999999999999999999", "é": "\\"}"#, None),
            (r#"{"a": 100000000000000000001.25}"#, Some("100000000000000000001.25")),
            (r#"{"a": [true, 9007199254740993]}"#, Some("9007199254740993")),
            (r#"{"a": "\\", "b": 1e400}"#, Some("1e400")),
        ] {
            assert_eq!(inexact_number(json), found, "{json}");
        }
    }

    #[test]
    fn a_schema_has_one_digest_however_it_is_written_and_another_for_anything_else() {
        let one = schema(r#"{"type":"object","properties":{"a":{"type":"string"},"b":[1,{"y":1,"x":2}]}}"#);
        let same = schema(r#"{ "properties": {"b":[1,{"x":2,"y":1}], "a":{"type":"string"}}, "type":"object" }"#);
        assert_eq!(schema_digest("t", &one), schema_digest("t", &same));
        assert_ne!(schema_digest("t", &one), schema_digest("u", &one));
        let other = schema(r#"{"type":"object","properties":{"a":{"type":"string"},"b":[{"x":2,"y":1},1]}}"#);
        assert_ne!(schema_digest("t", &one), schema_digest("t", &other));
    }
}
