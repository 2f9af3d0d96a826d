//! Whether arguments fit what a tool says that it takes: a schema is of the server, and may be made to take for ever. So it is
//! checked in a process that has nothing to lose, and can be ended.

use std::{
    io::{Read as _, Write as _},
    process::Command,
};

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::walls::Wall;
use crate::home::Home;

const MEMORY_BYTES_MAX: u64 = 768 << 20;
const CPU_SECONDS_MAX: u64 = 5;
/// What is told of arguments that do not fit.
const WRONG_MAX: usize = 3;
/// What is read: schema and arguments.
const BYTES_MAX: u64 = 4 << 20;

/// What is asked, as one JSON document up to the end of the stream.
#[derive(Debug, Serialize, Deserialize)]
pub struct Question {
    /// The schema.
    pub schema: Value,
    /// The arguments.
    pub arguments: Value,
}

/// What does not fit; nothing where all does.
pub type Wrong = Vec<String>;

/// A command that becomes the process.
pub(super) fn command(home: &Home) -> Result<Command> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut command = Command::new(program);
    command.arg("--home").arg(home.path());
    command.args(["process", "schema-check", "--supervisor", &std::process::id().to_string()]).env_clear();
    Ok(command)
}

/// Answers one question, on stdin and stdout.
pub fn answer(home: &Home) -> Result<()> {
    let limit = |most| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::As, limit(MEMORY_BYTES_MAX))?;
    setrlimit(Resource::Cpu, limit(CPU_SECONDS_MAX))?;
    Wall::Decoder.raise(home)?;
    let mut asked = Vec::new();
    std::io::stdin().take(BYTES_MAX).read_to_end(&mut asked)?;
    let question: Question = serde_json::from_slice(&asked)?;
    Ok(std::io::stdout().write_all(&serde_json::to_vec(&wrong(&question))?)?)
}

fn wrong(question: &Question) -> Wrong {
    match jsonschema::validator_for(&question.schema) {
        Err(error) => vec![format!("its schema cannot be understood: {error}")],
        Ok(schema) => schema.iter_errors(&question.arguments).take(WRONG_MAX).map(|error| error.to_string()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_fit_or_it_is_told_what_does_not() {
        let schema = json!({ "type": "object", "required": ["a"], "properties": { "a": { "type": "integer" } } });
        let wrong = |arguments| wrong(&Question { schema: schema.clone(), arguments });
        assert_eq!(wrong(json!({ "a": 1 })), [""; 0]);
        assert!(wrong(json!({}))[0].contains("\"a\" is a required property"));
        assert!(wrong(json!({ "a": "x" }))[0].contains("integer"));
        let broken = super::wrong(&Question { schema: json!({ "type": 7 }), arguments: json!({}) });
        assert!(broken[0].contains("cannot be understood"), "{broken:?}");
    }
}
