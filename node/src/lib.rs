//! Floor 3: one node, from the command line to the network.
pub mod audit;
pub mod cli;
pub mod config;
pub mod core;
pub mod executor;
pub mod fault;
pub mod home;
pub mod reviewer;
pub mod shell;
