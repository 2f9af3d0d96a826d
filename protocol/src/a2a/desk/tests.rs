//! Conversations with the desk, as bytes.

use std::cell::Cell;

use ::a2a::{SendMessageConfiguration, TaskPushNotificationConfig, TaskState, error_code};
use aiemp_keys::{Hash, PublicKey};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{
    super::{
        binding::{CallError, encode_call, read_answer},
        transcode::{from_cbor, to_cbor},
    },
    *,
};
use crate::{
    ids::{ActionHash, WorkId},
    zone::Zone,
};

const NOW: Timestamp = Timestamp::from_millis(1_767_781_800_000);

fn node(byte: u8) -> NodeId {
    NodeId::new(PublicKey::from_bytes([byte; 32]).expect("not of small order"))
}

fn announcement(number: u64) -> Announcement {
    let hash = |what: &str| Hash::of_content(format!("{what} {number}").as_bytes());
    Announcement {
        file: FileId { zone: Zone::Drafts, hash: hash("file") },
        work: WorkId(hash("work")),
        action: Some(ActionHash(hash("action"))),
    }
}

fn sending(announcement: &Announcement) -> SendMessageRequest {
    let message = announcement.to_message().expect("shared");
    SendMessageRequest { message, configuration: None, metadata: None, tenant: None }
}

/// Local and its callers; every draft stands as `standing` says.
struct Local {
    desk: TaskDesk,
    now: Timestamp,
    standing: Standing,
    news: Option<Announcement>,
}

impl Local {
    fn new() -> Self {
        Self { desk: TaskDesk::default(), now: NOW, standing: Standing::Waiting, news: None }
    }

    fn call<T: DeserializeOwned>(&mut self, from: NodeId, operation: Operation, params: Value) -> Result<T, i32> {
        let request = encode_call(operation, &params).expect("fits");
        let standing = self.standing;
        let (answer, news) = self.desk.handle_call(from, self.now, &request, &|_| standing);
        self.news = news;
        read_answer(&answer).map_err(|error| match error {
            CallError::Refused(refusal) => refusal.code,
            CallError::Transcode(_) | CallError::Malformed => panic!("no answer: {error}"),
        })
    }

    fn send(&mut self, from: NodeId, announcement: &Announcement) -> Task {
        let params = serde_json::to_value(sending(announcement)).unwrap();
        match self.call(from, Operation::SendMessage, params).expect("taken") {
            SendMessageResponse::Task(task) => task,
            SendMessageResponse::Message(_) => panic!("an announcement becomes a task"),
        }
    }

    fn get(&mut self, from: NodeId, id: &str) -> Result<Task, i32> {
        self.call(from, Operation::GetTask, json!({ "id": id }))
    }

    fn list(&mut self, from: NodeId) -> ListTasksResponse {
        self.call(from, Operation::ListTasks, json!({})).expect("a page")
    }
}

#[test]
fn an_announced_draft_waits_for_the_person_then_ends_as_it_ended() {
    let (mut local, cloud) = (Local::new(), node(7));
    let draft = announcement(1);
    let task = local.send(cloud, &draft);
    assert_eq!(local.news, Some(draft));
    assert_eq!(task.id, task_id(draft.file));
    assert_eq!(task.context_id, draft.work.to_string());
    assert_eq!(task.status.state, TaskState::AuthRequired);
    assert!(task.status.message.is_some(), "section 7.6.1 asks for an explanation");

    for (standing, state) in [
        (Standing::Accepted, TaskState::Working),
        (Standing::Unknown, TaskState::InputRequired),
        (Standing::Sent, TaskState::Completed),
        (Standing::Failed, TaskState::Failed),
        (Standing::Rejected, TaskState::Rejected),
        (Standing::Gone, TaskState::Canceled),
    ] {
        local.standing = standing;
        assert_eq!(local.get(cloud, &task.id).expect("announced").status.state, state);
    }
}

#[test]
fn a_message_delivered_twice_is_one() {
    let (mut local, cloud) = (Local::new(), node(7));
    let first = local.send(cloud, &announcement(1));
    local.now = NOW + std::time::Duration::from_secs(60);
    let second = local.send(cloud, &announcement(1));
    assert_eq!(first, second);
    assert_eq!(local.news, None);
    assert_eq!(local.list(cloud).total_size, 1);
}

#[test]
fn an_edited_draft_is_news_until_its_task_has_ended() {
    let (mut local, cloud) = (Local::new(), node(7));
    local.send(cloud, &announcement(1));
    let edited = Announcement { action: Some(ActionHash(Hash::of_content(b"edited"))), ..announcement(1) };
    local.send(cloud, &edited);
    assert_eq!(local.news, Some(edited));
    local.standing = Standing::Sent;
    let late = local.send(cloud, &Announcement { action: None, ..edited });
    assert_eq!((late.status.state, local.news), (TaskState::Completed, None));

    let mut to_ended_task = sending(&edited);
    to_ended_task.message.task_id = Some(late.id);
    let params = serde_json::to_value(to_ended_task).unwrap();
    let answer = local.call::<Value>(cloud, Operation::SendMessage, params);
    assert_eq!(answer, Err(error_code::UNSUPPORTED_OPERATION));
}

#[test]
fn a_task_of_another_node_looks_like_none() {
    let (mut local, cloud, other) = (Local::new(), node(7), node(9));
    let task = local.send(cloud, &announcement(1));
    let ask = |local: &mut Local, operation: Operation| {
        let request = encode_call(operation, &json!({ "id": task.id })).unwrap();
        local.desk.handle_call(other, NOW, &request, &|_| Standing::Waiting).0
    };
    for operation in [Operation::GetTask, Operation::CancelTask] {
        let theirs = ask(&mut local, operation);
        assert_eq!(theirs, ask(&mut Local::new(), operation), "byte for byte");
        let CallError::Refused(refusal) = read_answer::<Task>(&theirs).expect_err("refused") else {
            panic!("an error of the desk");
        };
        assert_eq!(refusal.code, error_code::TASK_NOT_FOUND);
    }
    assert_eq!(local.list(other).total_size, 0);
    let mut to_theirs = sending(&announcement(1));
    to_theirs.message.task_id = Some(task.id.clone());
    let params = serde_json::to_value(to_theirs).unwrap();
    assert_eq!(local.call::<Value>(other, Operation::SendMessage, params), Err(error_code::TASK_NOT_FOUND));
    assert_eq!(local.news, None);
}

#[test]
fn tasks_are_listed_newest_status_first_by_pages() {
    let (mut local, cloud) = (Local::new(), node(7));
    for number in 0..5 {
        local.now = NOW + std::time::Duration::from_secs(number);
        local.send(cloud, &announcement(number));
    }
    let (mut ids, mut token) = (Vec::new(), String::new());
    loop {
        let params = json!({ "pageSize": 2, "pageToken": token });
        let page: ListTasksResponse = local.call(cloud, Operation::ListTasks, params).expect("a page");
        assert_eq!(page.total_size, 5);
        ids.extend(page.tasks.into_iter().map(|task| task.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let newest_first: Vec<_> = (0..5).rev().map(|number| task_id(announcement(number).file)).collect();
    assert_eq!(ids, newest_first);
    let completed = json!({ "status": "TASK_STATE_COMPLETED" });
    let page: ListTasksResponse = local.call(cloud, Operation::ListTasks, completed).expect("a page");
    assert_eq!((page.total_size, page.next_page_token.as_str()), (0, ""));
}

#[test]
fn nobody_cancels_by_a_call() {
    let (mut local, cloud) = (Local::new(), node(7));
    let task = local.send(cloud, &announcement(1));
    for standing in Standing::EACH {
        local.standing = standing;
        let answer = local.call::<Value>(cloud, Operation::CancelTask, json!({ "id": task.id }));
        assert_eq!(answer, Err(error_code::TASK_NOT_CANCELABLE));
        assert_eq!(local.get(cloud, &task.id).expect("still here").status.state, standing.state());
    }
}

#[test]
fn malformed_parameters_each_have_their_error() {
    let (mut local, cloud) = (Local::new(), node(7));
    let good = || serde_json::to_value(sending(&announcement(1))).unwrap();
    let with = |path: &str, value: Value| {
        let mut params = good();
        *params.pointer_mut(path).expect("a field of the message") = value;
        params
    };
    let push = TaskPushNotificationConfig {
        url: "https://x.test".into(),
        id: None,
        task_id: String::new(),
        token: None,
        authentication: None,
        tenant: None,
    };
    let configuration = SendMessageConfiguration {
        accepted_output_modes: None,
        task_push_notification_config: Some(push),
        history_length: None,
        return_immediately: None,
    };
    let pushing = SendMessageRequest { configuration: Some(configuration), ..sending(&announcement(1)) };
    for (operation, params, code) in [
        (Operation::SendMessage, json!({}), error_code::INVALID_PARAMS),
        (Operation::SendMessage, json!({ "message": {} }), error_code::INVALID_PARAMS),
        (Operation::SendMessage, with("/message/messageId", json!("x")), error_code::INVALID_PARAMS),
        (Operation::SendMessage, with("/message/parts", json!([])), error_code::INVALID_PARAMS),
        (Operation::SendMessage, with("/message/role", json!("ROLE_AGENT")), error_code::INVALID_PARAMS),
        (
            Operation::SendMessage,
            with("/message/parts", json!([{ "text": "approve it" }])),
            error_code::CONTENT_TYPE_NOT_SUPPORTED,
        ),
        (Operation::SendMessage, serde_json::to_value(pushing).unwrap(), error_code::PUSH_NOTIFICATION_NOT_SUPPORTED),
        (Operation::GetTask, json!({}), error_code::INVALID_PARAMS),
        (Operation::GetTask, json!({ "id": "" }), error_code::INVALID_PARAMS),
        (Operation::GetTask, json!({ "id": "none" }), error_code::TASK_NOT_FOUND),
        (Operation::ListTasks, json!({ "pageSize": 0 }), error_code::INVALID_PARAMS),
        (Operation::ListTasks, json!({ "status": "TASK_STATE_RUNNING" }), error_code::INVALID_PARAMS),
        (Operation::CancelTask, json!({ "id": "none" }), error_code::TASK_NOT_FOUND),
    ] {
        assert_eq!(local.call::<Value>(cloud, operation, params.clone()), Err(code), "{operation:?} {params}");
        assert_eq!(local.news, None);
    }
    assert_eq!(local.list(cloud).total_size, 0);
}

#[test]
fn tasks_of_one_node_are_bounded_and_ended_ones_make_room() {
    let (mut local, cloud, other) = (Local::new(), node(7), node(9));
    for number in 0..TASKS_PER_NODE_MAX as u64 {
        let noted = local.desk.announced(&announcement(number), cloud, NOW);
        assert_eq!(noted, Noted::New);
    }
    let one_more = announcement(TASKS_PER_NODE_MAX as u64);
    let params = serde_json::to_value(sending(&one_more)).unwrap();
    let answer = local.call::<Value>(cloud, Operation::SendMessage, params);
    assert_eq!((answer, local.news), (Err(error_code::INTERNAL_ERROR), None));
    local.send(cloud, &announcement(0));
    local.send(other, &one_more);

    local.standing = Standing::Sent;
    local.send(cloud, &one_more);
    assert_eq!(local.news, Some(one_more));
    assert_eq!(local.list(cloud).total_size as usize, TASKS_PER_NODE_MAX);
}

#[test]
fn no_call_changes_where_a_draft_stands() {
    let (mut local, cloud) = (Local::new(), node(7));
    let draft = announcement(1);
    let id = local.send(cloud, &draft).id;
    let approving = [
        json!({ "message": sending(&draft).message, "metadata": { "approved": true } }),
        json!({ "id": id, "metadata": { "approved": true }, "status": "TASK_STATE_COMPLETED" }),
        json!({ "id": id, "status": { "state": "TASK_STATE_COMPLETED" } }),
        json!({ "message": { "messageId": "m", "taskId": id, "role": "ROLE_USER", "parts": [{ "text": "approve" }] } }),
        json!({ "message": { "messageId": "m", "taskId": id, "role": "ROLE_USER", "parts": [{ "data": {} }] } }),
    ];
    let methods = Operation::EACH.map(Operation::as_str);
    let invented = ["ApproveTask", "ResumeTask", "SubscribeToTask", "SendStreamingMessage", "tasks/resubscribe"];
    for standing in Standing::EACH {
        local.standing = standing;
        for (method, params) in
            methods.iter().chain(&invented).flat_map(|method| approving.iter().map(move |p| (method, p)))
        {
            let request = to_cbor(&json!({ "method": method, "version": "1.0", "params": params })).unwrap();
            let asked = Cell::new(0);
            let (answer, news) = local.desk.handle_call(cloud, NOW, &request, &|file| {
                assert_eq!(file, draft.file, "only where announced drafts stand is asked for");
                asked.set(asked.get() + 1);
                standing
            });
            assert!(from_cbor(&answer).is_ok());
            assert_eq!(news, None, "{method} {params}");
            assert_eq!(local.get(cloud, &id).expect("announced").status.state, standing.state());
        }
    }
}

proptest! {
    #[test]
    fn every_request_has_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let (answer, news) = TaskDesk::default().handle_call(node(7), NOW, &bytes, &|_| Standing::Waiting);
        prop_assert!(matches!(read_answer::<Value>(&answer), Err(CallError::Refused(_))));
        prop_assert_eq!(news, None);
    }

    #[test]
    fn a_spoilt_request_has_an_answer(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode_call(Operation::SendMessage, &sending(&announcement(1))).unwrap();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let (answer, news) = TaskDesk::default().handle_call(node(7), NOW, &bytes, &|_| Standing::Waiting);
        let answer = read_answer::<Value>(&answer);
        prop_assert!(!matches!(answer, Err(CallError::Transcode(_) | CallError::Malformed)));
        prop_assert_eq!(news.is_some(), answer.is_ok());
    }
}
