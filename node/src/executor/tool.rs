//! The MCP hand: starts a declared server for one call, checks that the tool is the one that was signed, calls it, and knows
//! afterwards whether it may have been done.
//!
//! Until the call is written nothing was asked for. From then on only a result without an error says that it was done: a server
//! that says `isError`, answers something else, or nothing, may have done it.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aiemp_keys::Secret;
use aiemp_protocol::{action::Tool, approval::journal::Dispatched, time::Timestamp};
use rmcp::{
    RoleClient, ServiceExt as _,
    model::{CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, JsonObject, Tool as ListedTool},
    service::{RunningService, ServiceError},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};

use super::{
    masked,
    mcp_http::{Fault, McpService},
};
use crate::{
    core::mail::inert,
    hands::{SERVER_BYTES_MAX, Server, schema_digest},
    shell::{
        program_keeper::ProgramKeeper,
        schema_check::{Question, Wrong},
    },
};

/// The largest schema that arguments are checked against.
const SCHEMA_BYTES_MAX: usize = 64 << 10;
/// How long that may take.
const CHECK_TIME: Duration = Duration::from_secs(10);
/// The longest word on what does not fit.
const WRONG_BYTES_MAX: u64 = 64 << 10;
/// Words of a server that are kept.
const REASON_BYTES_MAX: usize = 300;
/// How long a server may live beyond its start and its answer.
const GRACE: Duration = Duration::from_secs(5);

type Client = RunningService<RoleClient, ()>;

/// Set where a call on its way is not wanted any more: by a freeze, a cancellation, another declaration.
pub(super) type Unwanted = Arc<AtomicBool>;

/// Why what took a while to be made ready is not done after all, and whether it may be tried again.
pub(super) fn why_not_any_more(unwanted: &Unwanted, ends: Timestamp) -> Option<(&'static str, bool)> {
    if unwanted.load(Ordering::SeqCst) {
        return Some(("it was stopped before the call", true));
    }
    (super::now() > ends).then_some(("the approval expired before the call", false))
}

/// One call on its way.
#[derive(Debug)]
pub(super) struct ToolCall {
    pub(super) server: Server,
    pub(super) tool: Tool,
    /// What starts it; none behind a wall that was put up for other hands.
    pub(super) keeper: Option<ProgramKeeper>,
    /// What the server gets, by variable; it must not show in anything that is kept.
    pub(super) secrets: BTreeMap<String, Secret<String>>,
    /// When the approval ends.
    pub(super) ends: Timestamp,
    pub(super) unwanted: Unwanted,
}

/// A server that is ready to be called.
enum Session {
    Program(Client),
    Service(Box<McpService>),
}

/// Why nothing was asked for.
struct NotAsked {
    reason: String,
    retryable: bool,
}

impl NotAsked {
    const fn for_good(reason: String) -> Self {
        Self { reason, retryable: false }
    }

    const fn for_now(reason: String) -> Self {
        Self { reason, retryable: true }
    }
}

impl ToolCall {
    /// Carries it out. Dropping the future after it was polled leaves the outcome unknown.
    pub(super) async fn send(&self) -> Dispatched {
        let Tool { server, tool, arguments, .. } = &self.tool;
        if self.server.dry_run {
            let arguments = String::from_utf8_lossy(arguments);
            return Dispatched::Sent(format!("dry run, nothing was started: {tool} of {server} with {arguments}"));
        }
        let late = || NotAsked::for_now(format!("it did not start within {} s", self.server.timeout.as_secs()));
        let ready = timeout(self.server.timeout, self.prepare()).await.unwrap_or_else(|_| Err(late()));
        // It may have taken a while to start.
        let ready = ready.and_then(|ready| self.is_wanted().map(|()| ready));
        let (session, request) = match ready {
            Ok(ready) => ready,
            Err(NotAsked { reason, retryable }) => {
                return Dispatched::NotSent { reason: self.told(&reason), retryable };
            }
        };
        let late = || Dispatched::Unknown(self.told(&format!("no answer within {} s", self.server.timeout.as_secs())));
        match session {
            Session::Program(client) => {
                // Once, whatever the server asks for in between.
                let answered = timeout(self.server.timeout, client.call_tool_once(request)).await;
                let dispatched = answered.map_or_else(|_| late(), |answer| self.ended(answer));
                // What it holds open ends with it; its keeper sees to the rest.
                timeout(GRACE, client.cancel()).await.ok();
                dispatched
            }
            Session::Service(mut service) => {
                let arguments = request.arguments.unwrap_or_default();
                let answered = timeout(self.server.timeout, service.call(&self.tool.tool, &arguments)).await;
                let dispatched = answered.map_or_else(|_| late(), |answer| self.answered(answer));
                service.end().await;
                dispatched
            }
        }
    }

    fn is_wanted(&self) -> Result<(), NotAsked> {
        let why = why_not_any_more(&self.unwanted, self.ends);
        why.map_or(Ok(()), |(reason, retryable)| Err(NotAsked { reason: reason.to_owned(), retryable }))
    }

    /// A server that runs and has the tool that was signed, and what it is asked.
    async fn prepare(&self) -> Result<(Session, CallToolRequestParams), NotAsked> {
        let again = |why: &dyn std::fmt::Display| NotAsked::for_now(why.to_string());
        let arguments: JsonObject = serde_json::from_slice(&self.tool.arguments)
            .map_err(|error| NotAsked::for_good(format!("the arguments are no JSON object: {error}")))?;
        let keeper = self.keeper.as_ref().ok_or_else(|| again(&"no program can be started behind this wall"))?;
        let odd = |why: &dyn std::fmt::Display| {
            again(&format!("it does not answer as an MCP server: {why}; `aiemp-node hands tools` shows what it says"))
        };
        let (session, tools) = match self.server.address() {
            Some(address) => {
                let opened = McpService::open(address, &self.secrets, self.server.timeout).await;
                let mut service = opened.map_err(|fault| odd(&fault))?;
                let tools = service.list_tools().await.map_err(|fault| odd(&fault))?;
                (Session::Service(Box::new(service)), tools)
            }
            None => {
                let stream = keeper.server(&self.server.name, &self.secrets, self.server.timeout * 2 + GRACE);
                let (read, write) = stream.and_then(UnixStream::from_std).map_err(|error| again(&error))?.into_split();
                let client = ().serve((read.take(SERVER_BYTES_MAX), write)).await.map_err(|error| odd(&error))?;
                let tools = client.list_all_tools().await;
                let tools = tools.map_err(|error| again(&format!("it names no tools: {error}")))?;
                (Session::Program(client), tools)
            }
        };
        let listed = tools.iter().find(|listed| listed.name == self.tool.tool);
        let listed =
            listed.ok_or_else(|| NotAsked::for_good(format!("it has no tool `{}` any more", self.tool.tool)))?;
        self.check(keeper, listed, &arguments).await?;
        let request = CallToolRequestParams::new(self.tool.tool.clone()).with_arguments(arguments);
        Ok((session, request))
    }

    async fn check(&self, keeper: &ProgramKeeper, listed: &ListedTool, arguments: &JsonObject) -> Result<(), NotAsked> {
        let tool = &self.tool.tool;
        let digest = schema_digest(tool, &listed.input_schema);
        if self.server.tools.get(tool) != Some(&digest) {
            return Err(NotAsked::for_good(format!(
                "the tool `{tool}` takes something else than when it was declared: look at it, and declare it anew \
                 (`aiemp-node hands tools`)"
            )));
        }
        let schema = Value::Object(listed.input_schema.as_ref().clone());
        if schema.to_string().len() > SCHEMA_BYTES_MAX {
            return Err(NotAsked::for_good(format!(
                "the schema of `{tool}` is longer than {} KiB",
                SCHEMA_BYTES_MAX >> 10
            )));
        }
        let question = Question { schema, arguments: Value::Object(arguments.clone()) };
        let wrong = timeout(CHECK_TIME, asked(keeper, &question)).await.ok().and_then(Result::ok);
        let wrong = wrong.ok_or_else(|| {
            NotAsked::for_good(format!("whether the arguments fit the schema of `{tool}` cannot be told"))
        })?;
        let told = || NotAsked::for_good(format!("`{tool}` does not take these arguments: {}", wrong.join("; ")));
        if wrong.is_empty() { Ok(()) } else { Err(told()) }
    }

    /// From the call on only a result without an error says that it was done.
    fn ended(&self, answer: Result<CallToolResponse, ServiceError>) -> Dispatched {
        let unclear = |why: &str| Dispatched::Unknown(self.told(why));
        match answer {
            Ok(CallToolResponse::Complete(result)) => self.finished(&result),
            Ok(CallToolResponse::InputRequired(_)) => unclear("it asks for more, which nobody gives"),
            Ok(_) => unclear("it says that it goes on by itself"),
            Err(ServiceError::McpError(error)) if self.server.error_is_not_done => {
                Dispatched::NotSent { reason: self.told(&error.to_string()), retryable: false }
            }
            Err(ServiceError::TransportClosed) => {
                unclear(&format!("it ended, or said more than {} MiB, before it answered", SERVER_BYTES_MAX >> 20))
            }
            Err(error) => unclear(&error.to_string()),
        }
    }

    /// As [`Self::ended`], of a service: what did not leave this machine was not asked for.
    fn answered(&self, answer: Result<CallToolResult, Fault>) -> Dispatched {
        match answer {
            Ok(result) => self.finished(&result),
            Err(Fault::NotAsked(why)) => Dispatched::NotSent { reason: self.told(&why), retryable: true },
            Err(Fault::Error(why)) if self.server.error_is_not_done => {
                Dispatched::NotSent { reason: self.told(&why), retryable: false }
            }
            Err(Fault::Error(why) | Fault::NoAnswer(why)) => Dispatched::Unknown(self.told(&why)),
        }
    }

    fn finished(&self, result: &CallToolResult) -> Dispatched {
        let text = |block: &ContentBlock| block.as_text().map(|text| text.text.clone());
        let words: Vec<_> = result.content.iter().filter_map(text).collect();
        let told = self.told(&format!("{}: {}", self.tool.tool, words.join(" ")));
        match result.is_error {
            Some(true) if self.server.error_is_not_done => Dispatched::NotSent { reason: told, retryable: false },
            Some(true) => Dispatched::Unknown(format!("{told} (it says that this is an error)")),
            Some(false) | None => Dispatched::Sent(told),
        }
    }

    /// One line, without the secrets that it got.
    fn told(&self, words: &str) -> String {
        let words = masked(self.secrets.values(), &format!("{}: {words}", self.server.name));
        inert::one_line(&words, REASON_BYTES_MAX)
    }
}

/// What does not fit, by the process that checks it.
async fn asked(keeper: &ProgramKeeper, question: &Question) -> io::Result<Wrong> {
    let mut stream = UnixStream::from_std(keeper.check(CHECK_TIME)?)?;
    stream.write_all(&serde_json::to_vec(question)?).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.take(WRONG_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(serde_json::from_slice(&answer)?)
}
