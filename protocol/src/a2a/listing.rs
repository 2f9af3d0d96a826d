//! `ListTasks`: filters, order and pages.

use std::{cmp::Reverse, fmt, str::FromStr};

use ::a2a::{A2AError, ListTasksRequest, ListTasksResponse, Task, TaskState};

use super::binding::invalid_field;
use crate::time::Timestamp;

const PAGE_SIZE_DEFAULT: i32 = 50;
const PAGE_SIZE_MAX: i32 = 100;

/// Where a task stands in the order: newest status first, then by id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Cursor {
    since: Reverse<Timestamp>,
    task: String,
}

/// Answers one page of `tasks`, each with the time of its status.
///
/// The page token names the last task of a page, not a count: a task that changes between two pages moves to the
/// front and pushes no other one out of sight.
pub(super) fn page(request: &ListTasksRequest, tasks: Vec<(Timestamp, Task)>) -> Result<ListTasksResponse, A2AError> {
    let page_size = request.page_size.unwrap_or(PAGE_SIZE_DEFAULT);
    if !(1..=PAGE_SIZE_MAX).contains(&page_size) {
        return Err(invalid_field("pageSize", "from 1 to 100"));
    }
    refuse_negative(request.history_length)?;
    let after = match request.page_token.as_deref() {
        None | Some("") => None,
        Some(token) => Some(token.parse::<Cursor>().map_err(|()| invalid_field("pageToken", "as a page gave it"))?),
    };

    let mut wanted: Vec<(Cursor, Task)> = tasks
        .into_iter()
        .filter(|(since, task)| is_wanted(request, *since, task))
        .map(|(since, task)| (Cursor { since: Reverse(since), task: task.id.clone() }, task))
        .collect();
    wanted.sort_by(|(one, _), (other, _)| one.cmp(other));
    let total_size = i32::try_from(wanted.len()).unwrap_or(i32::MAX);
    wanted.retain(|(cursor, _)| after.as_ref().is_none_or(|after| cursor > after));

    let length = usize::try_from(page_size).expect("checked to be from 1 to 100");
    let is_last = wanted.len() <= length;
    wanted.truncate(length);
    let next_page_token = match wanted.last() {
        Some((cursor, _)) if !is_last => cursor.to_string(),
        Some(_) | None => String::new(),
    };
    let with_artifacts = request.include_artifacts == Some(true);
    let shown = |(_, task): (Cursor, Task)| Task { artifacts: with_artifacts.then(Vec::new), ..task };
    Ok(ListTasksResponse { tasks: wanted.into_iter().map(shown).collect(), next_page_token, page_size, total_size })
}

/// Refuses a negative `historyLength`; tasks carry no history, so any other one is kept.
pub(super) fn refuse_negative(history_length: Option<i32>) -> Result<(), A2AError> {
    if history_length.is_some_and(|length| length < 0) {
        return Err(invalid_field("historyLength", "not negative"));
    }
    Ok(())
}

fn is_wanted(request: &ListTasksRequest, since: Timestamp, task: &Task) -> bool {
    let context = request.context_id.as_ref().filter(|context| !context.is_empty());
    let state = request.status.as_ref().filter(|state| **state != TaskState::Unspecified);
    context.is_none_or(|context| *context == task.context_id)
        && state.is_none_or(|state| *state == task.status.state)
        && request.status_timestamp_after.is_none_or(|after| since.utc() >= after)
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.since.0.as_millis(), self.task)
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (millis, task) = text.split_once('.').ok_or(())?;
        let since = Timestamp::from_millis(millis.parse().map_err(|_| ())?);
        Ok(Self { since: Reverse(since), task: task.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use ::a2a::{TaskStatus, error_code};

    use super::*;

    fn task(id: &str, since: u64, state: TaskState) -> (Timestamp, Task) {
        let since = Timestamp::from_millis(since);
        let status = TaskStatus { state, message: None, timestamp: Some(since.utc()) };
        let (id, context_id) = (id.to_owned(), format!("context of {id}"));
        (since, Task { id, context_id, status, artifacts: None, history: None, metadata: None })
    }

    fn tasks() -> Vec<(Timestamp, Task)> {
        vec![
            task("a", 1_000, TaskState::AuthRequired),
            task("c", 3_000, TaskState::Completed),
            task("b", 3_000, TaskState::AuthRequired),
            task("d", 2_000, TaskState::AuthRequired),
        ]
    }

    fn asking() -> ListTasksRequest {
        serde_json::from_str("{}").expect("every field is optional")
    }

    fn ids(response: &ListTasksResponse) -> Vec<&str> {
        response.tasks.iter().map(|task| task.id.as_str()).collect()
    }

    #[test]
    fn the_newest_status_comes_first_and_the_last_page_has_an_empty_token() {
        let all = page(&asking(), tasks()).expect("a page");
        assert_eq!(ids(&all), ["b", "c", "d", "a"]);
        assert_eq!((all.page_size, all.total_size), (50, 4));
        assert_eq!(serde_json::to_value(&all).unwrap()["nextPageToken"], "");
        assert!(all.tasks.iter().all(|task| task.artifacts.is_none()));
        let none = page(&asking(), vec![]).expect("a page");
        assert_eq!(serde_json::to_value(&none).unwrap()["nextPageToken"], "");
    }

    #[test]
    fn pages_are_whole_whatever_moves_between_them() {
        let first = page(&ListTasksRequest { page_size: Some(3), ..asking() }, tasks()).expect("a page");
        assert_eq!(ids(&first), ["b", "c", "d"]);
        assert_eq!(first.total_size, 4);
        let mut moved = tasks();
        moved.push(task("e", 9_000, TaskState::AuthRequired));
        let token = Some(first.next_page_token);
        let second = page(&ListTasksRequest { page_size: Some(3), page_token: token, ..asking() }, moved).unwrap();
        assert_eq!(ids(&second), ["a"]);
        assert_eq!(second.next_page_token, "");
    }

    #[test]
    fn filters_hold_and_unset_ones_do_not() {
        let of_state = ListTasksRequest { status: Some(TaskState::Completed), ..asking() };
        assert_eq!(ids(&page(&of_state, tasks()).unwrap()), ["c"]);
        let of_context = ListTasksRequest { context_id: Some("context of d".into()), ..asking() };
        assert_eq!(ids(&page(&of_context, tasks()).unwrap()), ["d"]);
        let since = Some(Timestamp::from_millis(3_000).utc());
        let recent = ListTasksRequest { status_timestamp_after: since, ..asking() };
        assert_eq!(ids(&page(&recent, tasks()).unwrap()), ["b", "c"]);
        let unset = ListTasksRequest {
            status: Some(TaskState::Unspecified),
            context_id: Some(String::new()),
            page_token: Some(String::new()),
            include_artifacts: Some(true),
            ..asking()
        };
        let all = page(&unset, tasks()).unwrap();
        assert_eq!(all.total_size, 4);
        assert!(all.tasks.iter().all(|task| task.artifacts == Some(vec![])));
    }

    #[test]
    fn sizes_and_tokens_out_of_range_are_refused() {
        for request in [
            ListTasksRequest { page_size: Some(0), ..asking() },
            ListTasksRequest { page_size: Some(101), ..asking() },
            ListTasksRequest { history_length: Some(-1), ..asking() },
            ListTasksRequest { page_token: Some("forged".into()), ..asking() },
            ListTasksRequest { page_token: Some("x.y".into()), ..asking() },
        ] {
            assert_eq!(page(&request, tasks()).expect_err("refused").code, error_code::INVALID_PARAMS);
        }
    }
}
