//! The suites that need more than one crate, in one binary.

mod audit;
mod bad_input;
mod brake;
mod campaign;
mod canaries;
mod captured;
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
mod policy;
mod processes;
mod selftest;
mod simulation;
mod smtp;
mod standing;
mod tidy;
mod undo;
mod walls;
