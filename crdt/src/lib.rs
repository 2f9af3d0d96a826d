//! Floor 2: how a file becomes a document and back, and what concurrent edits mean.
//!
//! The crate decides how saves on disk turn into log items, how items merge, what lies on disk, and which places are
//! conflicts. It knows zones by what the node may do there, but no roles and no approvals; it touches no file, clock,
//! network or randomness.
//!
//! Life-cycle: entries of the store are given back to a [`vault::Vault`] one by one, then what lay on disk, then the
//! scan of the disk, then `Restored`. From there on saves, entries and answers come as inputs; writes, loads and
//! entries to append come as outputs.
//!
//! - [`note`]: a text as front matter blocks and body, byte-exact both ways.
//! - [`text_diff`]: what an edit replaced, bounded in time.
//! - [`document`]: a note as an automerge document.
//! - [`vet`]: what a peer's change must satisfy before automerge sees it.
//! - [`index`]: multi-value registers of paths and kinds, from log items alone.
//! - [`conflict`], [`claim`]: items to look at; who works on what. `sight`: what a deletion does not hide. `overlap`: what
//!   two changed in one place of a text. `structure`: front matter that a merge broke.
//! - [`shape`]: which files are day logs. `unite`: two texts of one as one, entry by entry. `array`: entries that are the
//!   elements of a JSON array. `members`: small JSON objects, in which programs keep their state.
//! - [`vault`]: the machine that joins them.

mod array;
pub mod claim;
pub mod conflict;
pub mod document;
mod form;
pub mod index;
mod members;
pub mod note;
mod overlap;
pub mod shape;
mod sight;
mod structure;
pub mod text_diff;
mod unite;
pub mod vault;
pub mod vet;
