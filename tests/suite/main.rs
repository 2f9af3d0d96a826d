//! The suites that need more than one crate, in one binary.

mod active_content;
mod audit;
mod bad_input;
mod brake;
mod campaign;
mod canaries;
mod cose_peer;
mod decoder;
mod deploy;
mod deploy_config;
mod editors;
mod egress;
mod fuzz;
mod gate;
mod hostile_peer;
mod node;
mod packets;
mod policy;
mod processes;
mod selftest;
mod simulation;
mod smtp;
mod tidy;
mod undo;
mod walls;
