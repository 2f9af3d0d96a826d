//! The shell: files, sockets, clocks and processes around the pure core. It does what the core says and decides nothing.

pub mod brain;
pub mod clock;
pub mod control;
pub mod fingerprints;
pub mod free_space;
pub mod freezes;
pub mod holds;
pub mod home_watch;
pub mod identity;
pub mod mesh;
pub mod network;
pub mod pairing;
pub mod peers;
pub mod places;
pub mod policies;
pub mod questions;
pub mod releases;
pub mod rosters;
pub mod screen;
pub mod settings;
pub mod standing;
pub mod store;
pub mod supervisor;
pub mod vault_disk;
pub mod walls;
