//! The MCP hand: starts a declared server for one call, checks that the tool is the one that was signed, calls it, and knows
//! afterwards whether it may have been done.
//!
//! Until the call is written nothing was asked for. From then on only a result without an error says that it was done: a server
//! that says `isError`, answers something else, or nothing, may have done it.

use std::time::Duration;

use aiemp_keys::Secret;
use aiemp_protocol::{action::Tool, approval::journal::Dispatched};
use rmcp::{
    RoleClient, ServiceExt as _,
    model::{CallToolRequestParams, CallToolResult, ContentBlock, ErrorCode, JsonObject, Tool as ListedTool},
    service::{RunningService, ServiceError},
};
use tokio::{io::AsyncReadExt as _, net::UnixStream, time::timeout};

use super::masked;
use crate::{
    core::mail::inert,
    hands::{Server, schema_digest},
    shell::{program::Program, tool_keeper::ToolKeeper},
};

/// What is read of a server in all, so that none fills memory.
const BYTES_MAX: u64 = 8 << 20;
/// The largest schema that arguments are checked against.
const SCHEMA_BYTES_MAX: usize = 64 << 10;
/// Words of a server that are kept.
const REASON_BYTES_MAX: usize = 300;
/// How long a server may live beyond its start and its answer.
const GRACE: Duration = Duration::from_secs(5);

type Client = RunningService<RoleClient, ()>;

/// One call on its way.
#[derive(Debug)]
pub(super) struct ToolCall {
    pub(super) server: Server,
    pub(super) tool: Tool,
    pub(super) program: Program,
    /// What starts it; none behind a wall that was put up for other hands.
    pub(super) keeper: Option<ToolKeeper>,
    /// What must not show in anything that is kept.
    pub(super) secrets: Vec<Secret<String>>,
}

/// Why nothing was asked for.
struct NotAsked {
    reason: String,
    retryable: bool,
}

impl ToolCall {
    /// Carries it out. Dropping the future after it was polled leaves the outcome unknown.
    pub(super) async fn send(&self) -> Dispatched {
        let Tool { server, tool, arguments, .. } = &self.tool;
        if self.server.dry_run {
            let arguments = String::from_utf8_lossy(arguments);
            return Dispatched::Sent(format!("dry run, nothing was started: {tool} of {server} with {arguments}"));
        }
        let ready = match timeout(self.server.timeout, self.prepare()).await {
            Ok(Ok(ready)) => ready,
            Ok(Err(NotAsked { reason, retryable })) => {
                return Dispatched::NotSent { reason: self.told(&reason), retryable };
            }
            Err(_) => {
                let reason = self.told(&format!("it did not start within {} s", self.server.timeout.as_secs()));
                return Dispatched::NotSent { reason, retryable: true };
            }
        };
        let (client, request) = ready;
        let answered = timeout(self.server.timeout, client.call_tool(request)).await;
        let dispatched = match answered {
            Err(_) => Dispatched::Unknown(self.told(&format!("no answer within {} s", self.server.timeout.as_secs()))),
            Ok(answer) => self.ended(answer),
        };
        // What it holds open ends with it; its keeper sees to the rest.
        timeout(GRACE, client.cancel()).await.ok();
        dispatched
    }

    /// A server that runs and has the tool that was signed, and what it is asked.
    async fn prepare(&self) -> Result<(Client, CallToolRequestParams), NotAsked> {
        let never = |reason: String| NotAsked { reason, retryable: false };
        let again = |reason: String| NotAsked { reason, retryable: true };
        let arguments: JsonObject = serde_json::from_slice(&self.tool.arguments)
            .map_err(|error| never(format!("the arguments are no JSON object: {error}")))?;
        let keeper =
            self.keeper.as_ref().ok_or_else(|| again("no program can be started behind this wall".to_owned()))?;
        let time = self.server.timeout * 2 + GRACE;
        let stream = keeper.open(self.program.clone(), time).map_err(|error| again(error.to_string()))?;
        let stream = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
        let (read, write) = stream.map_err(|error| again(error.to_string()))?.into_split();
        let client = ().serve((read.take(BYTES_MAX), write)).await.map_err(|error| {
            again(format!("it does not answer as an MCP server: {error}; `aiemp-node hands tools` shows what it says"))
        })?;
        let tools = client.list_all_tools().await.map_err(|error| again(format!("it names no tools: {error}")))?;
        let listed = tools.iter().find(|listed| listed.name == self.tool.tool);
        let listed = listed.ok_or_else(|| never(format!("it has no tool `{}` any more", self.tool.tool)))?;
        self.check(listed, &arguments).map_err(never)?;
        let request = CallToolRequestParams::new(self.tool.tool.clone()).with_arguments(arguments);
        Ok((client, request))
    }

    fn check(&self, listed: &ListedTool, arguments: &JsonObject) -> Result<(), String> {
        let tool = &self.tool.tool;
        let digest = schema_digest(tool, &listed.input_schema);
        if self.server.tools.get(tool) != Some(&digest) {
            return Err(format!(
                "the tool `{tool}` takes something else than when it was declared: look at it, and declare it anew \
                 (`aiemp-node hands tools`)"
            ));
        }
        let schema = serde_json::Value::Object(listed.input_schema.as_ref().clone());
        if schema.to_string().len() > SCHEMA_BYTES_MAX {
            return Err(format!("the schema of `{tool}` is longer than {} KiB", SCHEMA_BYTES_MAX >> 10));
        }
        let validator = jsonschema::validator_for(&schema);
        let validator = validator.map_err(|error| format!("the schema of `{tool}` cannot be understood: {error}"))?;
        let arguments = serde_json::Value::Object(arguments.clone());
        let wrong: Vec<_> = validator.iter_errors(&arguments).take(3).map(|error| error.to_string()).collect();
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(format!("`{tool}` does not take these arguments: {}", wrong.join("; ")))
        }
    }

    fn ended(&self, answer: Result<CallToolResult, ServiceError>) -> Dispatched {
        let error = match answer {
            Ok(result) => return self.finished(&result),
            Err(error) => error,
        };
        let told = self.told(&error.to_string());
        // It did not take the call for one.
        let not_taken = [ErrorCode::INVALID_PARAMS, ErrorCode::METHOD_NOT_FOUND];
        match matches!(&error, ServiceError::McpError(why) if not_taken.contains(&why.code)) {
            true => Dispatched::NotSent { reason: told, retryable: false },
            false => Dispatched::Unknown(told),
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
        inert::one_line(&masked(&self.secrets, &format!("{}: {words}", self.server.name)), REASON_BYTES_MAX)
    }
}
