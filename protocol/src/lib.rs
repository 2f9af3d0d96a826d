//! Floor 1: the vocabulary of the mesh and the machines that decide what is valid, allowed and said.
pub mod action;
pub mod causality;
pub mod egress;
pub mod entry;
pub mod frame;
pub mod ids;
pub mod limits;
pub mod replication;
pub mod roster;
pub mod time;
pub mod vault_path;
pub mod zone;
