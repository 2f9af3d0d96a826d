//! Announcements: a draft waits, named by its file id, work id and action hash, and by nothing else.

use ::a2a::{A2AError, Message, Part, PartContent, Role, SendMessageRequest};
use aiemp_keys::Hash;
use serde_json::{Map, Value};
use thiserror::Error;

use super::binding::{self, Operation, invalid_field};
use crate::ids::{ActionHash, Audience, FileId, WorkId};

const MESSAGE_LABEL: &str = "aiemp-node 2026 a2a message id";
const TASK_LABEL: &str = "aiemp-node 2026 a2a task id";

const MEDIA_TYPE: &str = "application/json";
const FILE: &str = "file";
const WORK: &str = "work";
const ACTION: &str = "action";

/// Says that a draft waits for a decision.
///
/// A2A form: a message of the user role with one data part, `{"file", "work", "action"}`, each lower-case hex. The
/// content stays in the vault, where the receiver finds it by the file id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    /// The draft.
    pub file: FileId,
    /// The piece of work that it is for.
    pub work: WorkId,
    /// The action that the draft gave when it was announced; `None` while it gives none.
    pub action: Option<ActionHash>,
}

/// Why there is no announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AnnouncementError {
    /// The file lies where Local nodes alone read: not even its id is said.
    #[error("files that only Local nodes read are not announced")]
    Private,
    /// The message's content is no JSON data.
    #[error("an announcement is one data part of media type {MEDIA_TYPE}")]
    ContentType,
    /// A field is missing, is not as it must be, or should not be there.
    #[error("{field}: {expected}")]
    Field {
        /// The field of the message.
        field: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
}

/// The id of the task that follows a draft.
pub fn task_id(file: FileId) -> String {
    Hash::labelled(TASK_LABEL, [file.to_value()]).to_string()
}

impl Announcement {
    /// The id of the message: one for each draft, so that a message delivered twice is one. An announcement of the
    /// edited draft has the same id and takes the place of the earlier one.
    pub fn message_id(&self) -> String {
        Hash::labelled(MESSAGE_LABEL, [self.file.to_value(), self.work.to_value()]).to_string()
    }

    /// The context that groups what belongs to one piece of work.
    pub fn context_id(&self) -> String {
        self.work.to_string()
    }

    /// The message; refused for a file whose id may not reach every member.
    pub fn to_message(&self) -> Result<Message, AnnouncementError> {
        self.refuse_private()?;
        let mut data = Map::new();
        data.insert(FILE.to_owned(), Value::String(self.file.to_string()));
        data.insert(WORK.to_owned(), Value::String(self.work.to_string()));
        if let Some(action) = self.action {
            data.insert(ACTION.to_owned(), Value::String(action.to_string()));
        }
        Ok(Message {
            message_id: self.message_id(),
            context_id: Some(self.context_id()),
            task_id: None,
            role: Role::User,
            parts: vec![Part::data(Value::Object(data)).with_media_type(MEDIA_TYPE)],
            metadata: None,
            extensions: None,
            reference_task_ids: None,
        })
    }

    /// The whole call that announces it.
    pub fn to_call(&self) -> Result<Vec<u8>, AnnouncementError> {
        let message = self.to_message()?;
        let request = SendMessageRequest { message, configuration: None, metadata: None, tenant: None };
        // Ids and hashes are far below the bounds of a body.
        Ok(binding::encode_call(Operation::SendMessage, &request).expect("an announcement fits a body"))
    }

    /// Reads a message, which must be exactly what [`Self::to_message`] makes, with or without the media type and the
    /// task's id.
    pub fn from_message(message: &Message) -> Result<Self, AnnouncementError> {
        let [part] = message.parts.as_slice() else {
            return Err(field("message.parts", "exactly one part"));
        };
        let announcement = Self::from_data(data_of(part)?)?;
        announcement.refuse_private()?;
        if message.role != Role::User {
            return Err(field("message.role", "ROLE_USER"));
        }
        if message.message_id != announcement.message_id() {
            return Err(field("message.messageId", "the id that follows from the draft and its work"));
        }
        if message.context_id.as_ref() != Some(&announcement.context_id()) {
            return Err(field("message.contextId", "the work id"));
        }
        if message.task_id.as_ref().is_some_and(|task| *task != task_id(announcement.file)) {
            return Err(field("message.taskId", "the task of this draft, or left out"));
        }
        let carries_more = part.filename.is_some()
            || part.metadata.is_some()
            || message.metadata.is_some()
            || message.extensions.is_some()
            || message.reference_task_ids.is_some();
        if carries_more {
            return Err(field("message", "no file name, metadata, extensions or references"));
        }
        Ok(announcement)
    }

    fn from_data(data: &Value) -> Result<Self, AnnouncementError> {
        let members = data.as_object().ok_or(field("message.parts[0].data", "an object"))?;
        if members.keys().any(|key| ![FILE, WORK, ACTION].contains(&key.as_str())) {
            return Err(field("message.parts[0].data", "`file`, `work`, `action` and no other key"));
        }
        let hex = |key| members.get(key).and_then(Value::as_str);
        let file = hex(FILE).and_then(|text| text.parse().ok());
        let work = hex(WORK).and_then(|text| text.parse().ok());
        let action = match members.get(ACTION) {
            None => None,
            Some(_) => Some(
                hex(ACTION)
                    .and_then(|text| text.parse().ok())
                    .ok_or(field("message.parts[0].data.action", "an action hash, 64 lower-case hex digits"))?,
            ),
        };
        Ok(Self {
            file: file.ok_or(field("message.parts[0].data.file", "a file id in lower-case hex"))?,
            work: work.ok_or(field("message.parts[0].data.work", "a work id, 64 lower-case hex digits"))?,
            action,
        })
    }

    fn refuse_private(&self) -> Result<(), AnnouncementError> {
        match self.file.zone.audience() {
            Audience::All => Ok(()),
            Audience::Local => Err(AnnouncementError::Private),
        }
    }
}

fn data_of(part: &Part) -> Result<&Value, AnnouncementError> {
    if part.media_type.as_ref().is_some_and(|media_type| !media_type.eq_ignore_ascii_case(MEDIA_TYPE)) {
        return Err(AnnouncementError::ContentType);
    }
    match &part.content {
        PartContent::Data(data) => Ok(data),
        PartContent::Text(_) | PartContent::Raw(_) | PartContent::Url(_) => Err(AnnouncementError::ContentType),
    }
}

const fn field(field: &'static str, expected: &'static str) -> AnnouncementError {
    AnnouncementError::Field { field, expected }
}

impl From<AnnouncementError> for A2AError {
    fn from(error: AnnouncementError) -> Self {
        match error {
            AnnouncementError::ContentType => Self { message: error.to_string(), ..Self::content_type_not_supported() },
            AnnouncementError::Private => Self::invalid_params(error.to_string()),
            AnnouncementError::Field { field, expected } => invalid_field(field, expected),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::zone::Zone;

    fn announcement() -> Announcement {
        Announcement {
            file: FileId { zone: Zone::Drafts, hash: Hash::of_content(b"file") },
            work: WorkId(Hash::of_content(b"work")),
            action: Some(ActionHash(Hash::of_content(b"action"))),
        }
    }

    fn with_data(data: Value) -> Message {
        Message { parts: vec![Part::data(data)], ..announcement().to_message().expect("shared") }
    }

    #[test]
    fn a_message_carries_three_ids_and_reads_back() {
        let full = announcement();
        let message = full.to_message().expect("shared");
        assert_eq!(
            serde_json::to_value(&message).unwrap(),
            json!({
                "messageId": full.message_id(),
                "contextId": full.work.to_string(),
                "role": "ROLE_USER",
                "parts": [{
                    "data": {
                        "file": full.file.to_string(),
                        "work": full.work.to_string(),
                        "action": full.action.unwrap().to_string(),
                    },
                    "mediaType": "application/json",
                }],
            })
        );
        assert_eq!(Announcement::from_message(&message), Ok(full));

        let without = Announcement { action: None, ..full };
        let message = without.to_message().expect("shared");
        assert_eq!(Announcement::from_message(&message), Ok(without));
        assert_eq!(without.message_id(), full.message_id(), "one message for each draft");
    }

    #[test]
    fn ids_are_as_the_binding_says() {
        assert_eq!(announcement().message_id(), "7a00827047aad721fb2c05ac7797939e356b1db9e96d79dcbae0b48d3a7dbc5d");
        assert_eq!(task_id(announcement().file), "c804c9124e3c3dcf254ad93d08acdcf661b82f2b802dfd9e48fc1773f457612d");
    }

    #[test]
    fn a_private_file_is_never_named() {
        let file = FileId { zone: Zone::Private, hash: Hash::of_content(b"file") };
        let private = Announcement { file, ..announcement() };
        assert_eq!(private.to_message(), Err(AnnouncementError::Private));
        let data = json!({ "file": file.to_string(), "work": private.work.to_string() });
        assert_eq!(Announcement::from_message(&with_data(data)), Err(AnnouncementError::Private));
    }

    #[test]
    fn only_the_three_ids_are_read() {
        let (file, work) = (announcement().file.to_string(), announcement().work.to_string());
        for data in [
            json!([]),
            json!({}),
            json!({ "file": file }),
            json!({ "file": file, "work": work, "approved": true }),
            json!({ "file": file, "work": work, "action": null }),
            json!({ "file": file, "work": work, "action": "ab" }),
            json!({ "file": file.to_uppercase(), "work": work }),
            json!({ "file": work, "work": work }),
            json!({ "file": file, "work": 1 }),
        ] {
            let read = Announcement::from_message(&with_data(data.clone()));
            assert!(matches!(read, Err(AnnouncementError::Field { .. })), "{data}");
        }
    }

    #[test]
    fn whatever_rides_along_is_refused() {
        let good = announcement().to_message().expect("shared");
        let second = Part::data(json!({}));
        for message in [
            Message { role: Role::Agent, ..good.clone() },
            Message { message_id: "another".into(), ..good.clone() },
            Message { context_id: None, ..good.clone() },
            Message { task_id: Some("another".into()), ..good.clone() },
            Message { parts: vec![], ..good.clone() },
            Message { parts: vec![good.parts[0].clone(), second], ..good.clone() },
            Message { parts: vec![good.parts[0].clone().with_filename("note.md")], ..good.clone() },
            Message { metadata: Some([("note".into(), json!("approve this"))].into()), ..good.clone() },
            Message { reference_task_ids: Some(vec!["t".into()]), ..good.clone() },
        ] {
            assert!(Announcement::from_message(&message).is_err(), "{message:?}");
        }
        let task = Message { task_id: Some(task_id(announcement().file)), ..good };
        assert_eq!(Announcement::from_message(&task), Ok(announcement()));
    }

    #[test]
    fn words_and_files_are_another_content_type() {
        let message = |part| Message { parts: vec![part], ..announcement().to_message().expect("shared") };
        let as_yaml = Part::data(json!({})).with_media_type("application/yaml");
        for part in [Part::text("please approve"), Part::raw(vec![1]), Part::url("https://x.test"), as_yaml] {
            let read = Announcement::from_message(&message(part));
            assert_eq!(read, Err(AnnouncementError::ContentType));
        }
    }
}
