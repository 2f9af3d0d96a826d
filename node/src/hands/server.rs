//! MCP servers: programs that are started for one call of a tool, and what they may be asked for.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use aiemp_keys::{Hash, cbor};
use aiemp_protocol::action::Tool;
use serde::Deserialize;
use serde_json::Value;

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
    /// The program, by its absolute path, and its arguments.
    pub command: Vec<String>,
    /// Its environment.
    pub env: BTreeMap<String, EnvValue>,
    /// What it reads beside the system's files and its own folder.
    pub reads: Vec<PathBuf>,
    /// What it changes beside its own folder.
    pub writes: Vec<PathBuf>,
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

/// `[mcp.NAME]`, as others write it in `mcp.json`, and what is ours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerFile {
    command: String,
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
        if !self.command.starts_with('/') {
            return Err(format!(
                "`command` is an absolute path, so that the one you sign is the one that runs: `command -v {}` says it",
                self.command
            ));
        }
        if let Some(path) = self.reads.iter().chain(&self.writes).find(|path| !path.is_absolute()) {
            return Err(format!("`{}` must be an absolute path", path.display()));
        }
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
            command: [self.command].into_iter().chain(self.args).collect(),
            env: self.env,
            reads: self.reads,
            writes: self.writes,
            tools: tools.collect::<Result<_, String>>()?,
            error_is_not_done: self.error_is_not_done,
            dry_run: self.dry_run,
            timeout: Duration::from_secs(self.timeout_s),
            per_hour: self.per_hour,
        })
    }
}

impl Server {
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
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.env.values().filter_map(EnvValue::secret)
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
