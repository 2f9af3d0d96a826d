//! The `command` brain: any program; the prompt on its stdin, the body of a draft on its stdout.

use std::{process::Stdio, time::Duration};

use aiemp_protocol::egress::Cleared;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
    time::timeout,
};

use crate::config::Brain;

/// Runs the program once: cleared environment, own time limit, bounded output. What it prints on stderr is not kept,
/// for it may quote the mail.
pub async fn run(settings: &Brain, prompt: Cleared<String>) -> Result<String, String> {
    let (program, arguments) = settings.command.split_first().ok_or("no command is configured")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", std::env::var_os("HOME").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot start `{program}`: {error}; check `[brain] command` in config.toml"))?;
    let limit = Duration::from_secs(settings.timeout_s);
    timeout(limit, converse(&mut child, settings, prompt))
        .await
        .unwrap_or_else(|_| Err(format!("`{program}` took longer than {} s and was ended", settings.timeout_s)))
}

async fn converse(
    child: &mut tokio::process::Child,
    settings: &Brain,
    prompt: Cleared<String>,
) -> Result<String, String> {
    let mut stdin = child.stdin.take().ok_or("the brain has no stdin")?;
    let stdout = child.stdout.take().ok_or("the brain has no stdout")?;
    let prompt = prompt.into_inner();
    let write = async move {
        // A brain that does not read its prompt to the end may still answer.
        stdin.write_all(prompt.as_bytes()).await.ok();
        drop(stdin);
    };
    let mut output = Vec::new();
    let mut limited = stdout.take(settings.output_bytes_max + 1);
    let (read, ()) = tokio::join!(limited.read_to_end(&mut output), write);
    read.map_err(|error| format!("cannot read the brain's answer: {error}"))?;
    if output.len() as u64 > settings.output_bytes_max {
        return Err(format!("the brain printed more than {} bytes and was ended", settings.output_bytes_max));
    }
    let status = child.wait().await.map_err(|error| format!("the brain could not be waited for: {error}"))?;
    if !status.success() {
        return Err(format!("the brain ended with {status}"));
    }
    let text = String::from_utf8(output).map_err(|_| "the brain's answer is not UTF-8".to_owned())?;
    if text.trim().is_empty() { Err("the brain answered nothing".to_owned()) } else { Ok(text) }
}
