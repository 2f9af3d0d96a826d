//! The custom binding: one request body and one answer body for each stream. `docs/a2a.md` is its specification.

use ::a2a::{
    A2AError, FieldViolation, TypedDetail, error_code, error_reason,
    errordetails::{ERROR_INFO_TYPE, PROTOCOL_DOMAIN},
    methods,
};
use chrono::SecondsFormat;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::transcode::{TranscodeError, from_cbor, to_cbor};
use crate::time::Timestamp;

/// The libp2p protocol that a call's stream is opened with.
pub const STREAM_PROTOCOL: &str = "/aiemp/a2a/cbor/1";
/// Names the binding in agent cards; a breaking change gets a new one.
pub const BINDING_URI: &str = "urn:aiemp-node:a2a:cbor-stream:1";

/// What a caller that names no version speaks, by section 3.6.2 of the specification.
const VERSION_WHEN_UNNAMED: &str = "0.3";
/// Characters of an error's text: what a caller sent must not make the answer long.
const ERROR_TEXT_CHARS_MAX: usize = 256;

/// The operations that this binding carries out; every other one of A2A is refused with the error that A2A asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Announces a draft.
    SendMessage,
    /// Asks for one task.
    GetTask,
    /// Asks for tasks, by pages.
    ListTasks,
    /// Asks to cancel a task.
    CancelTask,
}

impl Operation {
    /// Every operation.
    pub const EACH: [Self; 4] = [Self::SendMessage, Self::GetTask, Self::ListTasks, Self::CancelTask];

    /// Its method name, that of the JSON-RPC binding.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendMessage => methods::SEND_MESSAGE,
            Self::GetTask => methods::GET_TASK,
            Self::ListTasks => methods::LIST_TASKS,
            Self::CancelTask => methods::CANCEL_TASK,
        }
    }
}

/// One request, its parameters not yet read.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What is asked for.
    pub operation: Operation,
    params: Option<Value>,
}

/// Why a call brought no result.
#[derive(Debug, Clone, Error)]
pub enum CallError {
    /// The answer's bytes are none of this binding.
    #[error("the answer cannot be read: {0}")]
    Transcode(#[from] TranscodeError),
    /// The answer has another shape than the binding or the operation asks for.
    #[error("the answer is not one of this operation")]
    Malformed,
    /// The peer answered with an error.
    #[error("the peer refused: {0}")]
    Refused(A2AError),
}

/// Writes a request.
pub fn encode_call(operation: Operation, params: &impl Serialize) -> Result<Vec<u8>, TranscodeError> {
    let params = serde_json::to_value(params).map_err(|_| TranscodeError::NotJson)?;
    to_cbor(&json!({ "method": operation.as_str(), "version": ::a2a::VERSION, "params": params }))
}

/// Reads a request. The version is looked at before the method, for older versions name their methods otherwise.
pub fn read_call(bytes: &[u8]) -> Result<Call, A2AError> {
    let body = from_cbor(bytes).map_err(|error| A2AError::parse_error(error.to_string()))?;
    let Value::Object(mut envelope) = body else {
        return Err(A2AError::invalid_request("a request is a map"));
    };
    check_version(&envelope)?;
    let Some(Value::String(method)) = envelope.remove("method") else {
        return Err(A2AError::invalid_request("`method` names the operation"));
    };
    let operation = operation_named(&method)?;
    Ok(Call { operation, params: envelope.remove("params").filter(|params| !params.is_null()) })
}

impl Call {
    /// The parameters as the operation's type. Left out, they are an empty object.
    pub fn params<T: DeserializeOwned>(self) -> Result<T, A2AError> {
        let params = self.params.unwrap_or_else(|| Value::Object(Map::new()));
        if !params.is_object() {
            return Err(A2AError::invalid_params("`params` is a map"));
        }
        serde_json::from_value(params).map_err(|error| A2AError::invalid_params(error.to_string()))
    }
}

/// Writes the answer to a call: a result, or an error with its details. `now` is the error's time.
pub fn encode_answer(answer: &Result<Value, A2AError>, now: Timestamp) -> Vec<u8> {
    let body = match answer {
        Ok(result) => json!({ "result": result }),
        Err(error) => json!({ "error": error_value(error, now) }),
    };
    to_cbor(&body).unwrap_or_else(|error| {
        let error = error_value(&A2AError::internal(format!("no answer: {error}")), now);
        to_cbor(&json!({ "error": error })).expect("an error of a short text fits")
    })
}

/// The answer to a call whose own answer may not leave: an error that repeats nothing of the call.
pub fn withheld_answer(now: Timestamp) -> Vec<u8> {
    encode_answer(&Err(A2AError::internal("the answer may not leave this node")), now)
}

/// Reads the answer to a call as the operation's result.
pub fn read_answer<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CallError> {
    let Value::Object(mut envelope) = from_cbor(bytes)? else {
        return Err(CallError::Malformed);
    };
    match (envelope.remove("result"), envelope.remove("error")) {
        (Some(result), None) => serde_json::from_value(result).map_err(|_| CallError::Malformed),
        (None, Some(error)) => Err(read_error(error).map_or(CallError::Malformed, CallError::Refused)),
        (Some(_), Some(_)) | (None, None) => Err(CallError::Malformed),
    }
}

/// An invalid parameter, named in the error's details as `google.rpc.BadRequest`.
pub(super) fn invalid_field(field: &str, expected: &str) -> A2AError {
    let violation = FieldViolation { field: field.to_owned(), description: expected.to_owned() };
    A2AError::invalid_params(format!("{field}: {expected}"))
        .with_details(vec![TypedDetail::bad_request(vec![violation])])
}

fn check_version(envelope: &Map<String, Value>) -> Result<(), A2AError> {
    let version = match envelope.get("version") {
        None | Some(Value::Null) => "",
        Some(Value::String(version)) => version,
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            return Err(A2AError::invalid_request("`version` is text"));
        }
    };
    if version.is_empty() {
        return Err(A2AError::version_not_supported(VERSION_WHEN_UNNAMED));
    }
    if speaks(version) { Ok(()) } else { Err(A2AError::version_not_supported(version)) }
}

/// Whether `version` is ours; a patch number says nothing about the protocol.
fn speaks(version: &str) -> bool {
    let is_patch = |rest: &str| {
        let digits = rest.strip_prefix('.').unwrap_or_default();
        rest.is_empty() || (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    version.strip_prefix(::a2a::VERSION).is_some_and(is_patch)
}

fn operation_named(method: &str) -> Result<Operation, A2AError> {
    if let Some(operation) = Operation::EACH.into_iter().find(|operation| operation.as_str() == method) {
        return Ok(operation);
    }
    Err(match method {
        methods::SEND_STREAMING_MESSAGE | methods::SUBSCRIBE_TO_TASK => {
            A2AError::unsupported_operation("this binding does not stream; ask with GetTask")
        }
        methods::GET_EXTENDED_AGENT_CARD => A2AError::unsupported_operation("there is no extended agent card"),
        methods::CREATE_PUSH_CONFIG
        | methods::GET_PUSH_CONFIG
        | methods::LIST_PUSH_CONFIGS
        | methods::DELETE_PUSH_CONFIG => A2AError::push_notification_not_supported(),
        unknown => A2AError::method_not_found(unknown),
    })
}

/// The error object; built here because the official conversion reads the clock.
fn error_value(error: &A2AError, now: Timestamp) -> Value {
    let details = error.details.iter().flatten().filter(|detail| detail.type_url != ERROR_INFO_TYPE);
    let mut data: Vec<Value> = details.filter_map(|detail| serde_json::to_value(detail).ok()).collect();
    data.push(json!({
        "@type": ERROR_INFO_TYPE,
        "reason": error_reason(error.code),
        "domain": PROTOCOL_DOMAIN,
        "metadata": { "timestamp": now.utc().to_rfc3339_opts(SecondsFormat::Millis, true) },
    }));
    let message: String = error.message.chars().take(ERROR_TEXT_CHARS_MAX).collect();
    json!({ "code": error.code, "message": message, "data": data })
}

fn read_error(error: Value) -> Option<A2AError> {
    let code = i32::try_from(error.get("code")?.as_i64()?).unwrap_or(error_code::INTERNAL_ERROR);
    let message = error.get("message")?.as_str()?.to_owned();
    let details: Option<Vec<TypedDetail>> = error.get("data").and_then(|data| Vec::deserialize(data).ok());
    Some(A2AError { code, message, details })
}

#[cfg(test)]
mod tests {
    use ::a2a::{GetTaskRequest, SendMessageRequest, Task};
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_767_781_800_123);

    fn refusal(request: Value) -> i32 {
        read_call(&to_cbor(&request).expect("fits")).expect_err("a refusal").code
    }

    fn params_refusal<T: DeserializeOwned>(request: Value) -> i32 {
        let call = read_call(&to_cbor(&request).expect("fits")).expect("a call");
        call.params::<T>().err().expect("a refusal").code
    }

    #[test]
    fn a_request_comes_back() {
        let asked = GetTaskRequest { id: "t".into(), history_length: Some(0), tenant: None };
        let call = read_call(&encode_call(Operation::GetTask, &asked).unwrap()).expect("a call");
        assert_eq!(call.operation, Operation::GetTask);
        assert_eq!(call.params::<GetTaskRequest>().expect("its parameters"), asked);
    }

    #[test]
    fn a_missing_version_is_0_3_and_only_1_0_is_spoken() {
        let unnamed = read_call(&to_cbor(&json!({ "method": "message/send" })).unwrap()).expect_err("no version");
        assert_eq!(unnamed.code, error_code::VERSION_NOT_SUPPORTED);
        assert!(unnamed.message.contains("0.3"));
        for version in ["", "0.3", "1.1", "2.0", "1.0 ", "1.01", "1.0.", "1.0.x"] {
            let request = json!({ "method": "GetTask", "version": version, "params": { "id": "t" } });
            assert_eq!(refusal(request), error_code::VERSION_NOT_SUPPORTED, "{version}");
        }
        assert_eq!(refusal(json!({ "method": "GetTask", "version": 1.0 })), error_code::INVALID_REQUEST);
        assert!(read_call(&to_cbor(&json!({ "method": "GetTask", "version": "1.0.2" })).unwrap()).is_ok());
    }

    #[test]
    fn every_other_method_has_the_error_that_a2a_asks_for() {
        let named = |method: &str| refusal(json!({ "method": method, "version": "1.0", "params": {} }));
        assert_eq!(named("ApproveTask"), error_code::METHOD_NOT_FOUND);
        assert_eq!(named("message/send"), error_code::METHOD_NOT_FOUND);
        assert_eq!(named("SendStreamingMessage"), error_code::UNSUPPORTED_OPERATION);
        assert_eq!(named("SubscribeToTask"), error_code::UNSUPPORTED_OPERATION);
        assert_eq!(named("GetExtendedAgentCard"), error_code::UNSUPPORTED_OPERATION);
        for operation in ["Create", "Get", "Delete"] {
            let method = format!("{operation}TaskPushNotificationConfig");
            assert_eq!(named(&method), error_code::PUSH_NOTIFICATION_NOT_SUPPORTED);
        }
        assert_eq!(named("ListTaskPushNotificationConfigs"), error_code::PUSH_NOTIFICATION_NOT_SUPPORTED);
    }

    #[test]
    fn malformed_requests_have_the_right_error() {
        assert_eq!(read_call(b"{}").expect_err("JSON text").code, error_code::PARSE_ERROR);
        assert_eq!(refusal(json!([])), error_code::INVALID_REQUEST);
        assert_eq!(refusal(json!({ "version": "1.0" })), error_code::INVALID_REQUEST);
        assert_eq!(refusal(json!({ "version": "1.0", "method": 1 })), error_code::INVALID_REQUEST);
        for params in [json!([]), json!("t"), json!({}), json!({ "id": 1 }), Value::Null] {
            let request = json!({ "method": "GetTask", "version": "1.0", "params": params });
            assert_eq!(params_refusal::<GetTaskRequest>(request), error_code::INVALID_PARAMS);
        }
        let empty = json!({ "method": "SendMessage", "version": "1.0", "params": {} });
        assert_eq!(params_refusal::<SendMessageRequest>(empty), error_code::INVALID_PARAMS);
    }

    #[test]
    fn an_error_carries_its_details_and_a_bounded_text() {
        let error = A2AError::method_not_found(&"é".repeat(10_000));
        let bytes = encode_answer(&Err(error), NOW);
        let body = from_cbor(&bytes).unwrap();
        assert_eq!(
            body["error"]["data"],
            json!([{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "METHOD_NOT_FOUND",
                "domain": "a2a-protocol.org",
                "metadata": { "timestamp": "2026-01-07T10:30:00.123Z" },
            }])
        );
        let CallError::Refused(read) = read_answer::<Task>(&bytes).expect_err("an error") else {
            panic!("the peer's own error");
        };
        assert_eq!(read.code, error_code::METHOD_NOT_FOUND);
        assert_eq!(read.message.chars().count(), ERROR_TEXT_CHARS_MAX);
        assert_eq!(read.details.expect("details")[0].type_url, ERROR_INFO_TYPE);
    }

    #[test]
    fn an_answer_is_a_result_or_an_error() {
        assert_eq!(read_answer::<u8>(&encode_answer(&Ok(json!(7)), NOW)).expect("a result"), 7);
        for body in [json!({}), json!([]), json!({ "result": 1, "error": {} }), json!({ "result": "x" })] {
            assert!(matches!(read_answer::<u8>(&to_cbor(&body).unwrap()), Err(CallError::Malformed)), "{body}");
        }
        let long = encode_answer(&Ok(json!("x".repeat(2 << 20))), NOW);
        assert!(matches!(read_answer::<String>(&long), Err(CallError::Refused(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            prop_assert!(read_call(&bytes).is_err() && read_answer::<Task>(&bytes).is_err());
        }
    }
}
