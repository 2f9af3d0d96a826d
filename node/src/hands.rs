//! Declared hands: what the executor may call over HTTP and by MCP, and the exact request that an action becomes.
//!
//! A declaration is TOML that the approve key signs (the format is `docs/hands.md`). Scheme, host, port and method are
//! literals in it; values of an action fill whole path segments, query values and places of the body, and nothing else.
//! Nothing in here reads a clock, a file or the network: the executor does.

mod connector;
mod declaration;
mod look;
mod place;
mod request;
mod server;
mod ways;

pub use self::{
    connector::{Connector, Scheme, Verdict, is_loopback},
    declaration::{DeclarationError, Hands},
    look::Seen,
    request::{LoginRequest, Request, Sealed, idempotency_key},
    server::{SERVER_BYTES_MAX, Server, ServerAddress, ServerAt, ServerProgram, schema_digest},
    ways::objection,
};
