//! Where a draft stands, in the words of A2A.

use ::a2a::{Message, Part, Role, Task, TaskState, TaskStatus};
use aiemp_keys::{Hash, cbor};

use super::announce::{Announcement, task_id};
use crate::time::Timestamp;

const STATUS_LABEL: &str = "aiemp-node 2026 a2a status message id";

/// Where a draft stands, as registers and receipts say. This module is told; it never decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// No decision yet; also while the vault has not brought the draft.
    Waiting,
    /// Approved, and reserved in the executor's journal.
    Accepted,
    /// Done, and known to be.
    Sent,
    /// Known not to be done.
    Failed,
    /// It may be done; a person must look.
    Unknown,
    /// The person decided against it.
    Rejected,
    /// The draft went away before anybody decided: archived or expired.
    Gone,
}

impl Standing {
    /// Every standing.
    pub const EACH: [Self; 7] =
        [Self::Waiting, Self::Accepted, Self::Sent, Self::Failed, Self::Unknown, Self::Rejected, Self::Gone];

    /// The task's state.
    ///
    /// An unknown outcome is no end: it is `INPUT_REQUIRED`, for a person has to say how it ended, and it must not be
    /// `AUTH_REQUIRED`, for what is missing is no approval.
    pub const fn state(self) -> TaskState {
        match self {
            Self::Waiting => TaskState::AuthRequired,
            Self::Accepted => TaskState::Working,
            Self::Sent => TaskState::Completed,
            Self::Failed => TaskState::Failed,
            Self::Unknown => TaskState::InputRequired,
            Self::Rejected => TaskState::Rejected,
            Self::Gone => TaskState::Canceled,
        }
    }

    /// What the status message says.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Waiting => {
                "The draft waits until the person has read it and decided at a Local node. No message can decide for them."
            }
            Self::Accepted => "The person approved; it is being sent.",
            Self::Sent => "Sent.",
            Self::Failed => "Not sent; the receipt in the vault says why.",
            Self::Unknown => {
                "It may have been sent or not. It is not tried again: a person must look, then settle it at the Local node."
            }
            Self::Rejected => "The person decided against it.",
            Self::Gone => "The draft was withdrawn or expired before anybody decided.",
        }
    }

    /// Whether the task has ended, as A2A counts it.
    pub fn is_final(self) -> bool {
        self.state().is_terminal()
    }

    /// The task that follows an announced draft, which stands so since `since`.
    pub(super) fn task(self, announcement: &Announcement, since: Timestamp) -> Task {
        let id = task_id(announcement.file);
        let explanation = Message {
            message_id: Hash::labelled(STATUS_LABEL, [cbor::text(&id), cbor::text(self.explanation())]).to_string(),
            context_id: Some(announcement.context_id()),
            task_id: Some(id.clone()),
            role: Role::Agent,
            parts: vec![Part::text(self.explanation()).with_media_type("text/plain")],
            metadata: None,
            extensions: None,
            reference_task_ids: None,
        };
        Task {
            id,
            context_id: announcement.context_id(),
            status: TaskStatus { state: self.state(), message: Some(explanation), timestamp: Some(since.utc()) },
            artifacts: None,
            history: None,
            metadata: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sent_completes_and_only_waiting_asks_for_authority() {
        for standing in Standing::EACH {
            assert_eq!(standing.state() == TaskState::Completed, standing == Standing::Sent);
            assert_eq!(standing.state() == TaskState::AuthRequired, standing == Standing::Waiting);
        }
        assert_eq!(Standing::Unknown.state(), TaskState::InputRequired);
        assert!(!Standing::Unknown.is_final());
    }
}
