//! A2A between nodes: Cloud announces a draft to Local, and Local says where it stands.
//!
//! The types are those of the official crate, the protocol is A2A 1.0, and the way over the wire is a custom binding
//! ([`binding`], `docs/a2a.md`): one libp2p stream for each call, ProtoJSON carried as CBOR. The module turns bytes
//! into bytes; streams, retries and what waits for an absent peer are the shell's.
//!
//! **Nothing here can approve.** An [`Announcement`] names a draft and nothing of its content; a [`TaskDesk`] is told
//! how a draft stands and can only repeat it. The conversation may be lost at any point: the vault brings the same
//! draft by itself.

mod announce;
pub mod binding;
mod card;
mod desk;
mod listing;
mod standing;
pub mod transcode;

pub use announce::{Announcement, AnnouncementError, task_id};
pub use card::{cloud_card, local_card};
pub use desk::{Noted, StandingOf, TASKS_PER_NODE_MAX, TaskDesk};
pub use standing::Standing;
