//! MCP over streamable HTTP, as far as one call needs it: each message is posted once and its answer waited for, redirects are never
//! followed, and everything that the service says is bounded in all. Dropped, nothing of it goes on.
//!
//! What a service asks back within an answer is passed over, and an answer that it breaks off is not resumed.

use std::{collections::BTreeMap, time::Duration};

use aiemp_keys::Secret;
use reqwest::{Client, Response, StatusCode, header};
use rmcp::model::{CallToolResult, JsonObject, ListToolsResult, Tool};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::http::{cause_of, client_to};
use crate::hands::{SERVER_BYTES_MAX, ServerAddress};

const SESSION: &str = "mcp-session-id";
const VERSION_HEADER: &str = "mcp-protocol-version";
/// The version that is asked for; a service may name an older one.
const VERSION: &str = "2025-11-25";
/// How long the end of a session may take.
const END: Duration = Duration::from_secs(2);
/// Pages of a list of tools.
const PAGES_MAX: usize = 32;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The message did not leave this machine.
    NotAsked(String),
    /// It may have been heard.
    NoAnswer(String),
    /// The service answered with an error.
    Error(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::NotAsked(why) | Self::NoAnswer(why) | Self::Error(why)) = self;
        formatter.write_str(why)
    }
}

/// A session with a service.
#[derive(Debug)]
pub(crate) struct McpService {
    client: Client,
    url: String,
    headers: Vec<(String, String)>,
    session: Option<header::HeaderValue>,
    version: Option<String>,
    asked: u64,
    /// Bytes that it may still say.
    left: u64,
}

impl McpService {
    /// Opens a session.
    pub(crate) async fn open(
        address: &ServerAddress,
        secrets: &BTreeMap<String, Secret<String>>,
        time: Duration,
    ) -> Result<Self, Fault> {
        let headers = address.headers(&|name| secrets.get(name).map(|secret| secret.expose().clone()));
        let client =
            client_to(address.scheme, address.port, address.ca_file.as_deref(), time).map_err(Fault::NotAsked)?;
        let (url, left) = (address.url.clone(), SERVER_BYTES_MAX);
        let mut service = Self { client, url, headers, session: None, version: None, asked: 0, left };
        let about = json!({ "name": "aiemp-node", "version": env!("CARGO_PKG_VERSION") });
        let hello = json!({ "protocolVersion": VERSION, "capabilities": {}, "clientInfo": about });
        let answer = service.ask("initialize", hello).await?;
        service.version = answer["protocolVersion"].as_str().map(str::to_owned);
        service.post(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await?;
        Ok(service)
    }

    /// All tools that it names.
    pub(crate) async fn list_tools(&mut self) -> Result<Vec<Tool>, Fault> {
        let (mut tools, mut params) = (Vec::new(), json!({}));
        for _ in 0..PAGES_MAX {
            let page = self.ask("tools/list", params).await?;
            let page: ListToolsResult = serde_json::from_value(page).map_err(no_answer)?;
            tools.extend(page.tools);
            let Some(next) = page.next_cursor else { return Ok(tools) };
            params = json!({ "cursor": next });
        }
        Err(Fault::NoAnswer(format!("its list of tools has more than {PAGES_MAX} pages")))
    }

    /// Calls a tool, once.
    pub(crate) async fn call(&mut self, tool: &str, arguments: &JsonObject) -> Result<CallToolResult, Fault> {
        let result = self.ask("tools/call", json!({ "name": tool, "arguments": arguments })).await?;
        if let Some(kind) = result.get("resultType").and_then(Value::as_str).filter(|kind| *kind != "complete") {
            return Err(Fault::NoAnswer(format!("it answers `{kind}`, which nobody goes on with")));
        }
        serde_json::from_value(result).map_err(no_answer)
    }

    /// Ends the session, if it opened one.
    pub(crate) async fn end(self) {
        if self.session.is_some() {
            timeout(END, self.with_headers(self.client.delete(&self.url)).send()).await.ok();
        }
    }

    fn with_headers(&self, mut request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(session) = &self.session {
            request = request.header(SESSION, session);
        }
        match &self.version {
            Some(version) => request.header(VERSION_HEADER, version),
            None => request,
        }
    }

    async fn ask(&mut self, method: &str, params: Value) -> Result<Value, Fault> {
        self.asked += 1;
        let id = self.asked;
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let response = self.post(&message).await?;
        if method == "initialize" {
            self.session = response.headers().get(SESSION).cloned();
        }
        if response.status() == StatusCode::ACCEPTED {
            return Err(Fault::NoAnswer("it answered 202, which answers nothing".to_owned()));
        }
        let mut answer = self.answer(response, id).await.map_err(Fault::NoAnswer)?;
        match answer.get("error").filter(|error| !error.is_null()) {
            Some(error) => {
                Err(Fault::Error(error["message"].as_str().map_or_else(|| error.to_string(), str::to_owned)))
            }
            None => Ok(answer["result"].take()),
        }
    }

    async fn post(&self, message: &Value) -> Result<Response, Fault> {
        let request = self.with_headers(self.client.post(&self.url));
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .body(message.to_string());
        let response = request.send().await.map_err(|error| {
            let told = if error.is_connect() || error.is_builder() { Fault::NotAsked } else { Fault::NoAnswer };
            told(cause_of(&error))
        })?;
        let status = response.status();
        match status {
            _ if status.is_success() => Ok(response),
            _ if status.is_redirection() => Err(Fault::NoAnswer(format!(
                "it answered {}: it points to another address, which is never followed",
                status.as_u16()
            ))),
            _ => Err(Fault::NoAnswer(format!("it answered {}", status.as_u16()))),
        }
    }

    /// The answer to a request; whatever else it says is passed over.
    async fn answer(&mut self, mut response: Response, id: u64) -> Result<Value, String> {
        let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type =
            media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let mut events = match media_type.as_str() {
            "text/event-stream" => Some(Events::default()),
            "application/json" => None,
            _ => return Err(format!("it answered with `{media_type}`, and neither JSON nor events")),
        };
        let is_it = |message: &Value| message.get("method").is_none() && message["id"] == id;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| cause_of(&error))? {
            let length = chunk.len() as u64;
            let room = self.left.checked_sub(length);
            self.left = room.ok_or_else(|| format!("it said more than {} MiB", SERVER_BYTES_MAX >> 20))?;
            match &mut events {
                None => body.extend_from_slice(&chunk),
                Some(events) => {
                    for data in events.take(&chunk) {
                        let message: Value =
                            serde_json::from_str(&data).map_err(|error| format!("it answered no JSON: {error}"))?;
                        if is_it(&message) {
                            return Ok(message);
                        }
                    }
                }
            }
        }
        if events.is_some() {
            return Err("it ended its answer before it had answered".to_owned());
        }
        let message: Value = serde_json::from_slice(&body).map_err(|error| format!("it answered no JSON: {error}"))?;
        if is_it(&message) { Ok(message) } else { Err("it answered something else".to_owned()) }
    }
}

fn no_answer(error: serde_json::Error) -> Fault {
    Fault::NoAnswer(format!("it answered something else: {error}"))
}

/// Server-sent events, line by line.
#[derive(Default)]
struct Events {
    /// The beginning of a line.
    line: Vec<u8>,
    /// Whether the last line ended with a carriage return, to which a line feed may belong.
    after_return: bool,
    kind: String,
    data: Option<String>,
}

impl Events {
    /// The data of the messages that end within these bytes.
    fn take(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut ended = Vec::new();
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\r' | b'\n')) {
            let (text, end) = match piece.split_last() {
                Some((end @ (b'\r' | b'\n'), text)) => (text, Some(*end)),
                Some(_) | None => (piece, None),
            };
            let belongs_to_last = std::mem::take(&mut self.after_return) && text.is_empty() && end == Some(b'\n');
            if belongs_to_last {
                continue;
            }
            self.line.extend_from_slice(text);
            if end.is_some() {
                self.after_return = end == Some(b'\r');
                let line = std::mem::take(&mut self.line);
                ended.extend(self.line_ended(&String::from_utf8_lossy(&line)));
            }
        }
        ended
    }

    fn line_ended(&mut self, line: &str) -> Option<String> {
        let line = line.strip_prefix('\u{feff}').unwrap_or(line);
        if line.is_empty() {
            let is_message = matches!(std::mem::take(&mut self.kind).as_str(), "" | "message");
            return self.data.take().filter(|data| is_message && !data.trim().is_empty());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_line_by_line_however_they_end_and_wherever_they_are_cut() {
        for (text, expected) in [
            ("event: message\ndata: {\"a\":1}\n\ndata: half", vec!["{\"a\":1}"]),
            ("id: 1\r\ndata:{\r\ndata: }\r\n\r\n", vec!["{\n}"]),
            ("data: 1\n\r\ndata: 2\r\rdata: 3\n\n", vec!["1", "2", "3"]),
            ("\u{feff}data: 1\n\n: comment\n\nevent: ping\ndata: no\n\nretry: 5\ndata\n\ndata: 2\n\n", vec!["1", "2"]),
        ] {
            assert_eq!(Events::default().take(text.as_bytes()), expected, "{text:?}");
            for at in 0..text.len() {
                let mut events = Events::default();
                let mut taken = events.take(&text.as_bytes()[..at]);
                taken.extend(events.take(&text.as_bytes()[at..]));
                assert_eq!(taken, expected, "{text:?} cut at {at}");
            }
        }
    }

    #[test]
    fn a_flood_of_line_ends_costs_no_more_than_its_length() {
        let began = std::time::Instant::now();
        let mut events = Events::default();
        for _ in 0..64 {
            assert!(events.take(&[b'\n'; 65_536]).is_empty());
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}
