//! Pairing: two nodes that never met come to trust each other, with a person looking.
//!
//! ```text
//! invite at Cloud:  ticket = cloud key, addresses, one-time secret, expiry
//! Local dials with the key derived from the secret; Noise proves Cloud's key and the secret
//! Local ── Offer{node, root, nonce} ──────────► Cloud   takes the ticket out of use first, durably
//! Local ◄── Answer{nonce, name} ────────────── Cloud
//!            both show the same four words; the person compares
//! Local ── InventoryWanted{node and root signatures} ──► Cloud   these two: in version 2
//! Local ◄── Inventory{files in shared folders} ── Cloud   in parts
//!            the person sees what becomes of the two vaults
//! Local ── Proof{node and root signatures over the transcript, rosters} ──► Cloud
//! Local ◄── Accepted ───────────────────────── Cloud   holds the roster durably
//! ```
//!
//! Each step is a type that gives the next; a step cannot be skipped or taken twice.

mod initiator;
mod inventory;
mod message;
mod plan;
mod responder;
mod ticket;
mod transcript;

pub use initiator::{Answered, Offered};
pub use inventory::{Gathering, Inventory, Listed, Part, remote_digest};
pub use message::{Message, PairingError};
pub use plan::Plan;
pub use responder::{Admitted, Asked};
pub use ticket::{Invite, Ticket, TicketError};
