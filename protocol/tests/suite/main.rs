//! Scenarios of the machines, through their public API alone.

mod approval;
mod doubt;
mod inventory;
mod journal;
mod mesh;
mod names;
mod pairing;
mod replication;
mod standing;
mod tamper;
mod vectors;
