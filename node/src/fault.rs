//! What an operator reads when something does not go: what happened and what to do next.

use std::fmt;

/// A refusal with its way out. Exit codes: 1 operator or environment, 2 usage, 78 role or configuration refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Stable word for tools.
    pub code: &'static str,
    /// What happened, and why.
    pub message: String,
    /// What to do next.
    pub fix: String,
    /// The process's exit code.
    pub exit: u8,
}

impl Fault {
    /// Something an operator can change.
    pub fn operator(code: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code, message: message.into(), fix: fix.into(), exit: 1 }
    }

    /// A wrong command line.
    pub fn usage(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code: "usage", message: message.into(), fix: fix.into(), exit: 2 }
    }

    /// A role or configuration that this node may not run with.
    pub fn refused(code: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code, message: message.into(), fix: fix.into(), exit: 78 }
    }

    /// The form for tools: `{"error":{code,message,fix}}`.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "error": { "code": self.code, "message": self.message, "fix": self.fix } })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  {}", self.message, self.fix)
    }
}

impl std::error::Error for Fault {}
