//! Floor 1: the vocabulary of the mesh and the machines that decide what is valid, allowed and said.
//!
//! The crate decides who is in the mesh ([`roster`]), where each path lies and who may write it ([`zone`]), which log
//! entries are valid and in which order they apply ([`replication`]), what an action is and what a person sees of it
//! ([`action`]), what an approval is good for ([`approval`]), how nodes come to trust each other ([`pairing`]), who
//! stops everything ([`freeze`]), what nodes tell each other as agents ([`a2a`]), and what may leave a process
//! ([`egress`]). It reads no clock, file or socket, and draws no randomness: times, bytes and nonces are handed in.
//!
//! Machines ([`replication::Replication`], [`approval::journal::Journal`]) share one contract: `handle(now, input)`
//! never fails for what a peer did; `poll_output()` until it is empty; `poll_timeout()` says when to call again.
//!
//! Signed things are strict CBOR arrays in COSE_Sign1, as `docs/wire.md` lists them.

pub mod a2a;
pub mod action;
pub mod active;
pub mod approval;
pub mod causality;
pub mod egress;
pub mod entry;
pub mod frame;
pub mod freeze;
pub mod ids;
pub mod limits;
pub mod pairing;
pub mod replication;
pub mod roster;
pub mod time;
pub mod unseen;
pub mod vault_path;
pub mod zone;
