//! MCP over streamable HTTP, as far as one call needs it: what a client writes, line by line, is posted, and what the service answers
//! becomes lines again. Everything it says is bounded in all, redirects are never followed, and nothing is posted twice.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aiemp_keys::Secret;
use reqwest::{Client, Response, StatusCode, header};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, WriteHalf, duplex, split},
    sync::Mutex as AsyncMutex,
    time::timeout,
};

use super::http::{cause_of, client_to};
use crate::hands::{SERVER_BYTES_MAX, ServerAddress};

const SESSION: &str = "mcp-session-id";
const VERSION: &str = "mcp-protocol-version";
/// How much a side may write ahead of the other.
const PIPE_BYTES: usize = 64 << 10;
/// How long the end of a session may take.
const END: Duration = Duration::from_secs(2);

/// Why nothing more comes of a service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    fn tell(&self, why: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    /// The first thing that went wrong.
    pub(crate) fn told(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A client's end of a pipe to the service.
pub(crate) fn connect(
    address: &ServerAddress,
    secrets: &BTreeMap<String, Secret<String>>,
    time: Duration,
) -> Result<(DuplexStream, Trouble), String> {
    let headers = address.headers(&|name| secrets.get(name).map(|secret| secret.expose().clone()))?;
    let client = client_to(address.scheme, address.port, address.ca_file.as_deref(), time)?;
    let (own, its) = duplex(PIPE_BYTES);
    let (read, write) = split(its);
    let trouble = Trouble::default();
    let (url, left) = (address.url.clone(), Arc::new(AtomicU64::new(SERVER_BYTES_MAX)));
    let lines = Lines { write: Arc::new(AsyncMutex::new(Some(write))), left, trouble: trouble.clone() };
    let service = Service { client, url, headers, session: None, version: None };
    tokio::spawn(async move {
        service.serve(BufReader::new(read), lines).await;
    });
    Ok((own, trouble))
}

struct Service {
    client: Client,
    url: String,
    headers: Vec<(String, String)>,
    session: Option<header::HeaderValue>,
    version: Option<String>,
}

impl Service {
    /// Until the client hangs up, or something goes wrong.
    async fn serve(mut self, client: BufReader<tokio::io::ReadHalf<DuplexStream>>, lines: Lines) {
        let mut said = client.lines();
        while let Ok(Some(line)) = said.next_line().await {
            if line.trim().is_empty() {
                continue;
            }
            if let Err(why) = self.post(line, &lines).await {
                lines.trouble.tell(why);
                break;
            }
        }
        lines.close().await;
        if self.session.is_some() {
            let ended = self.with_headers(self.client.delete(&self.url)).send();
            timeout(END, ended).await.ok();
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
            Some(version) => request.header(VERSION, version),
            None => request,
        }
    }

    /// One message. What is answered to a request is read beside the next message.
    async fn post(&mut self, line: String, lines: &Lines) -> Result<(), String> {
        let message: Value = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        let is_first = message["method"] == "initialize";
        let request = self.with_headers(self.client.post(&self.url));
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .body(line);
        let response = request.send().await.map_err(|error| cause_of(&error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(format!(
                "it answered {}: it points to another address, which is never followed",
                status.as_u16()
            ));
        }
        if !status.is_success() {
            return Err(format!("it answered {}", status.as_u16()));
        }
        if status == StatusCode::ACCEPTED || message.get("id").is_none() || message.get("method").is_none() {
            return Ok(());
        }
        if is_first {
            self.session = response.headers().get(SESSION).cloned();
            // What it agreed to stands in the first answer, before anything else is asked.
            let first = lines.read(response, &message["id"]).await?;
            self.version = first.and_then(|answer| Some(answer["result"]["protocolVersion"].as_str()?.to_owned()));
            return Ok(());
        }
        let lines = lines.clone();
        tokio::spawn(async move {
            if let Err(why) = lines.read(response, &message["id"]).await {
                lines.trouble.tell(why);
                lines.close().await;
            }
        });
        Ok(())
    }
}

/// What the client hears.
#[derive(Clone)]
struct Lines {
    write: Arc<AsyncMutex<Option<WriteHalf<DuplexStream>>>>,
    left: Arc<AtomicU64>,
    trouble: Trouble,
}

impl Lines {
    /// The answer to a request, and what is told before it, as lines. Whatever the service goes on to say is not heard.
    async fn read(&self, mut response: Response, id: &Value) -> Result<Option<Value>, String> {
        let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type =
            media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let (mut body, mut looked) = (Vec::new(), 0);
        let is_stream = match media_type.as_str() {
            "text/event-stream" => true,
            "application/json" => false,
            _ => return Err(format!("it answered with `{media_type}`, and neither JSON nor events")),
        };
        while let Some(chunk) = response.chunk().await.map_err(|error| cause_of(&error))? {
            let length = chunk.len() as u64;
            let has_room =
                self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(length));
            if has_room.is_err() {
                return Err(format!("it said more than {} MiB", SERVER_BYTES_MAX >> 20));
            }
            body.extend_from_slice(&chunk);
            while is_stream && let Some((event, rest)) = next_event(&body, looked) {
                (body, looked) = (rest, 0);
                let Some(data) = event else { continue };
                let message = self.write(&data).await?;
                if message.get("method").is_none() && message["id"] == *id {
                    return Ok(Some(message));
                }
            }
            // What was looked through holds no end of an event but for its last bytes.
            looked = body.len().saturating_sub(3);
        }
        if is_stream { Ok(None) } else { self.write(&String::from_utf8_lossy(&body)).await.map(Some) }
    }

    /// One message on a line of its own: within JSON's texts no line ends.
    async fn write(&self, message: &str) -> Result<Value, String> {
        let line = message.replace(['\r', '\n'], " ");
        let value = serde_json::from_str(&line).map_err(|error| format!("it answered no JSON: {error}"))?;
        let mut write = self.write.lock().await;
        let Some(write) = write.as_mut() else { return Ok(value) };
        write.write_all(format!("{line}\n").as_bytes()).await.map_err(|error| error.to_string())?;
        Ok(value)
    }

    async fn close(&self) {
        self.write.lock().await.take();
    }
}

/// The first event of a stream that is whole, with its data if it has any, and what follows it; before `from` none ends.
fn next_event(body: &[u8], from: usize) -> Option<(Option<String>, Vec<u8>)> {
    let ends: [&[u8]; 3] = [b"\r\n\r\n", b"\n\n", b"\r\r"];
    let find = |end: &&[u8]| {
        let at = body[from..].windows(end.len()).position(|window| window == *end)?;
        Some((from + at, end.len()))
    };
    let (at, length) = ends.iter().filter_map(find).min()?;
    let text = String::from_utf8_lossy(&body[..at]);
    let lines = text.split(['\r', '\n']).filter_map(|line| line.strip_prefix("data:"));
    let data: Vec<_> = lines.map(|data| data.strip_prefix(' ').unwrap_or(data)).collect();
    let data = (!data.is_empty()).then(|| data.join("\n")).filter(|data| !data.trim().is_empty());
    Some((data, body[at + length..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_one_by_one_however_their_lines_end() {
        let next = |text: &str| {
            next_event(text.as_bytes(), 0).map(|(data, rest)| (data, String::from_utf8(rest).expect("text")))
        };
        let told = |data: &str, rest: &str| Some((Some(data.to_owned()), rest.to_owned()));
        assert_eq!(next("event: message\ndata: {\"a\":1}\n\ndata: x"), told("{\"a\":1}", "data: x"));
        assert_eq!(next("id: 1\r\ndata:{\r\ndata: }\r\n\r\n"), told("{\n}", ""));
        assert_eq!(next(": ping\n\nrest"), Some((None, "rest".to_owned())));
        assert_eq!(next("data: half"), None);
        assert_eq!(next("data:\n\n"), Some((None, String::new())));
    }
}
