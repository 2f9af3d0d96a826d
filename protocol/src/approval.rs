//! Approvals: a person's signed decision over the exact bytes of an action, and what becomes of it.
//!
//! The reviewer signs a [`Decision`] and writes a [`Bundle`]; the executor's [`journal`] takes it from there, at most
//! once for each action and each piece of work; a signed [`Receipt`] tells the mesh how it ended.

mod bundle;
mod decision;
pub mod journal;
pub mod policy;
mod receipt;

pub use bundle::{Bundle, BundleError, Verified};
pub use decision::{ClockSettlement, Decision, Settlement};
pub use policy::Policy;
pub use receipt::{Outcome, Receipt};
