//! Local's desk: which drafts each node announced, and what a caller is told of them.

use std::collections::BTreeMap;

use ::a2a::{
    A2AError, CancelTaskRequest, GetTaskRequest, ListTasksRequest, ListTasksResponse, SendMessageRequest,
    SendMessageResponse, Task,
};
use aiemp_keys::NodeId;
use serde::Serialize;
use serde_json::Value;

use super::{
    announce::{Announcement, task_id},
    binding::{self, Call, Operation, invalid_field},
    listing,
    standing::Standing,
};
use crate::{ids::FileId, time::Timestamp};

/// Announcements kept for each node: drafts of many months, a few hundred bytes each.
pub const TASKS_PER_NODE_MAX: usize = 4096;

/// Says where a draft stands, from registers and receipts. A draft that the vault has not brought yet is
/// [`Standing::Waiting`].
pub type StandingOf<'a> = &'a dyn Fn(FileId) -> Standing;

/// The tasks of a node, by who announced them.
///
/// A node sees the tasks that it announced itself; another node's look as if they did not exist. States are asked for
/// at each call and only reported: no call changes where a draft stands. The desk keeps nothing on disk. The caller
/// persists each new announcement before it hands out the answer, and hands them all in again by [`Self::announced`]
/// after a start.
#[derive(Debug, Default)]
pub struct TaskDesk {
    /// By announcer, then by task id.
    tasks: BTreeMap<NodeId, BTreeMap<String, Seen>>,
}

/// What an announcement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// It is new, or says something new of its draft.
    New,
    /// It was here already, or its draft's task has ended.
    Known,
    /// The node has [`TASKS_PER_NODE_MAX`] tasks, none of which has ended: nothing was kept.
    Full,
}

#[derive(Debug)]
struct Seen {
    announcement: Announcement,
    standing: Standing,
    /// When the desk first saw that standing.
    since: Timestamp,
}

impl Seen {
    fn look(&mut self, now: Timestamp, standing_of: StandingOf<'_>) {
        let standing = standing_of(self.announcement.file);
        if standing != self.standing {
            (self.standing, self.since) = (standing, now);
        }
    }

    fn task(&self) -> Task {
        self.standing.task(&self.announcement, self.since)
    }
}

impl TaskDesk {
    /// Notes an announcement by `from`. When the node has too many tasks, the one that ended first makes room.
    pub fn announced(&mut self, announcement: &Announcement, from: NodeId, at: Timestamp) -> Noted {
        let tasks = self.tasks.entry(from).or_default();
        let id = task_id(announcement.file);
        if let Some(seen) = tasks.get_mut(&id) {
            if seen.announcement == *announcement || seen.standing.is_final() {
                return Noted::Known;
            }
            seen.announcement = *announcement;
            return Noted::New;
        }
        if tasks.len() >= TASKS_PER_NODE_MAX {
            let ended = tasks.iter().filter(|(_, seen)| seen.standing.is_final());
            let Some(first) = ended.min_by_key(|(_, seen)| seen.since).map(|(id, _)| id.clone()) else {
                return Noted::Full;
            };
            tasks.remove(&first);
        }
        tasks.insert(id, Seen { announcement: *announcement, standing: Standing::Waiting, since: at });
        Noted::New
    }

    /// The task `id`, if `caller` announced its draft.
    pub fn task(&mut self, caller: NodeId, id: &str, now: Timestamp, standing_of: StandingOf<'_>) -> Option<Task> {
        let seen = self.tasks.get_mut(&caller)?.get_mut(id)?;
        seen.look(now, standing_of);
        Some(seen.task())
    }

    /// Answers one call by `from`, whom the connection and the roster have proved to be a member.
    ///
    /// Whatever the bytes are, there is an answer. An announcement comes out when it says something new; it is to be
    /// persisted before the answer is sent.
    pub fn handle_call(
        &mut self,
        from: NodeId,
        now: Timestamp,
        request: &[u8],
        standing_of: StandingOf<'_>,
    ) -> (Vec<u8>, Option<Announcement>) {
        let mut caller = Caller { desk: self, from, now, standing_of, news: None };
        let answer = binding::read_call(request).and_then(|call| caller.answer(call));
        let news = caller.news;
        (binding::encode_answer(&answer, now), news)
    }

    fn look_at_all(&mut self, from: NodeId, now: Timestamp, standing_of: StandingOf<'_>) {
        self.tasks.entry(from).or_default().values_mut().for_each(|seen| seen.look(now, standing_of));
    }
}

/// One call while it is answered.
struct Caller<'a> {
    desk: &'a mut TaskDesk,
    from: NodeId,
    now: Timestamp,
    standing_of: StandingOf<'a>,
    news: Option<Announcement>,
}

impl Caller<'_> {
    fn answer(&mut self, call: Call) -> Result<Value, A2AError> {
        match call.operation {
            Operation::SendMessage => self.send_message(&call.params()?).and_then(result),
            Operation::GetTask => self.get_task(&call.params()?).and_then(result),
            Operation::ListTasks => self.list_tasks(&call.params()?).and_then(result),
            Operation::CancelTask => Err(self.refuse_to_cancel(&call.params()?)),
        }
    }

    /// Takes an announcement. Its task is interrupted at once, waiting for a person, so no caller is kept waiting.
    fn send_message(&mut self, request: &SendMessageRequest) -> Result<SendMessageResponse, A2AError> {
        if let Some(configuration) = &request.configuration {
            if configuration.task_push_notification_config.is_some() {
                return Err(A2AError::push_notification_not_supported());
            }
            listing::refuse_negative(configuration.history_length)?;
        }
        if let Some(id) = &request.message.task_id
            && self.own_task(id)?.status.state.is_terminal()
        {
            return Err(A2AError::unsupported_operation("the task has ended and takes no further message"));
        }
        let announcement = Announcement::from_message(&request.message)?;
        let id = task_id(announcement.file);
        // Which tasks have ended decides what is news and what makes room.
        if self.own_task(&id).is_err() && self.own_count() >= TASKS_PER_NODE_MAX {
            self.desk.look_at_all(self.from, self.now, self.standing_of);
        }
        match self.desk.announced(&announcement, self.from, self.now) {
            Noted::New => self.news = Some(announcement),
            Noted::Known => {}
            Noted::Full => return Err(A2AError::internal("too many drafts wait; the vault brings this one by itself")),
        }
        self.own_task(&id).map(SendMessageResponse::Task)
    }

    fn get_task(&mut self, request: &GetTaskRequest) -> Result<Task, A2AError> {
        listing::refuse_negative(request.history_length)?;
        self.own_task(&request.id)
    }

    fn list_tasks(&mut self, request: &ListTasksRequest) -> Result<ListTasksResponse, A2AError> {
        self.desk.look_at_all(self.from, self.now, self.standing_of);
        let own = self.desk.tasks.get(&self.from).into_iter().flat_map(BTreeMap::values);
        listing::page(request, own.map(|seen| (seen.since, seen.task())).collect())
    }

    /// A draft is withdrawn in the vault, where everybody sees who did it; a call withdraws nothing.
    fn refuse_to_cancel(&mut self, request: &CancelTaskRequest) -> A2AError {
        match self.own_task(&request.id) {
            Err(not_found) => not_found,
            Ok(task) if task.status.state == Standing::Waiting.state() => A2AError {
                message: "the draft waits for a person; to withdraw it, archive its note in the vault".to_owned(),
                ..A2AError::task_not_cancelable(&request.id)
            },
            Ok(_) => A2AError {
                message: "the draft was decided on; what follows cannot be called back from here".to_owned(),
                ..A2AError::task_not_cancelable(&request.id)
            },
        }
    }

    /// The caller's task; one of another node and one that never was give the same error.
    fn own_task(&mut self, id: &str) -> Result<Task, A2AError> {
        if id.is_empty() {
            return Err(invalid_field("id", "the id of a task"));
        }
        let task = self.desk.task(self.from, id, self.now, self.standing_of);
        task.ok_or_else(|| A2AError::task_not_found(id))
    }

    fn own_count(&self) -> usize {
        self.desk.tasks.get(&self.from).map_or(0, BTreeMap::len)
    }
}

fn result(value: impl Serialize) -> Result<Value, A2AError> {
    serde_json::to_value(value).map_err(|error| A2AError::internal(error.to_string()))
}

#[cfg(test)]
mod tests;
