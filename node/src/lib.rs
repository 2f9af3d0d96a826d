//! Floor 3: one node, from the command line to the network.
pub mod config;
pub mod core;
pub mod executor;
pub mod home;
