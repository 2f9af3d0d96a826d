//! Floor 3: one node, from the command line to the network.
//!
//! [`core`] composes the machines of the floors below into one without IO; [`shell`] is the files, sockets, clocks and
//! processes around it; [`cli`] is the command line. Beside them stand the processes that hold powers of their own: the
//! [`executor`], which alone sends, the [`reviewer`], which alone signs approvals, and the [`senses`], which hear strangers.
//!
//! Nothing decides in the shell, and nothing does IO in the core: the simulation runs whole meshes of cores.

pub mod audit;
pub mod cli;
pub mod config;
pub mod core;
pub mod executor;
pub mod fault;
pub mod hands;
pub mod home;
pub mod imap;
pub mod login;
pub mod mcp;
pub mod reviewer;
pub mod senses;
pub mod shell;
mod tls;
