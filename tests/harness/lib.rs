//! The deterministic simulation: a whole mesh in one thread, on virtual time, from one seed.
//!
//! A [`world::World`] runs several node cores exactly as the shell does: it carries out their outputs and hands the
//! answers back, after delays that it chooses. It decides when frames arrive, sessions break, writes reach the disk,
//! processes die and people save; it never decides what a core does. Nothing here reads a clock or draws randomness
//! but from [`random::Rng`], so that a seed is the whole story of a run.
//!
//! - [`store`], [`disk`]: what survives a crash, and what may not.
//! - [`network`]: sessions, partitions, lost and reordered frames.
//! - [`node`]: one core with its store and disk, and how it starts again.
//! - [`people`], [`ledger`]: edits with words that occur once, and what became of each.
//! - [`executor`]: reviewer, journal and provider of one node; [`brake`]: who freezes and who lifts.
//! - [`check`]: what must hold at every step, and at the end.
//! - [`campaign`]: Cloud's key, disk and programs in an attacker's hand.
//! - [`simulation`]: one run from a seed, of hours or of [days](simulation::days); [`story`] tells it line by line.
//!
//! Beside it stand the fuzz targets: [`fuzz`]; and what vaults of people look like: [`shape`].

pub mod brake;
pub mod campaign;
pub mod check;
pub mod disk;
pub mod executor;
pub mod fuzz;
pub mod ledger;
pub mod lines;
pub mod network;
pub mod node;
pub mod people;
pub mod random;
pub mod replacements;
pub mod shape;
pub mod simulation;
pub mod standing;
pub mod store;
pub mod story;
pub mod world;

/// Words that tell which promise was broken, and how.
pub type Violation = String;
