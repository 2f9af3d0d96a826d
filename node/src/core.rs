//! x
pub mod mail;
pub mod template;
