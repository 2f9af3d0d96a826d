//! Approvals: a person's signed decision over the exact bytes of an action, and what becomes of it.
//!
//! The reviewer signs a [`Decision`] and writes a [`Bundle`]; the executor's [`journal`] takes it from there, at most
//! once for each action and each piece of work; a signed [`Receipt`] tells the mesh how it ended. A signed [`Standing`]
//! approval stands in for decisions on mails to a few people.

mod bundle;
mod decision;
mod hands;
pub mod journal;
pub mod policy;
mod receipt;
pub mod standing;

pub use bundle::{Bundle, BundleError, Verified};
pub use decision::{ClockSettlement, Decision, Settlement};
pub use hands::SignedHands;
pub use policy::Policy;
pub use receipt::{Outcome, Receipt};
pub use standing::{Standing, StandingId};
