//! Brains that are programs: any `command`, with the prompt on its stdin and the body of a draft on its stdout; or an agent,
//! which drafts by the tools of `aiemp-node mcp`.

mod claude_code;

use std::{ffi::OsString, path::PathBuf, process::Stdio, time::Duration};

use aiemp_protocol::{egress::Cleared, ids::WorkId};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
    time::timeout,
};

use super::{cloud_secrets, process_group::ProcessGroup};
use crate::{
    config::{Brain, Preset},
    core::{BrainFault, BrainRun, FaultClass, Used},
    home::Home,
};

/// How a program is called.
struct Call {
    words: Vec<OsString>,
    /// Where it works; where the node does, unless given.
    folder: Option<PathBuf>,
    /// What it finds in its environment beside `PATH`.
    environment: Vec<(&'static str, OsString)>,
}

/// Runs the program once, for a piece of work where it gets tools: cleared environment, own time limit, bounded output. What
/// it prints on stderr is not kept, for it may quote the mail.
pub async fn run(
    home: &Home,
    settings: &Brain,
    prompt: Cleared<String>,
    for_work: Option<WorkId>,
) -> Result<BrainRun, BrainFault> {
    let call = match (settings.preset, for_work) {
        (Some(Preset::ClaudeCode), Some(work)) => claude_code::call(home, settings, work),
        (Some(Preset::ClaudeCode), None) | (None, _) => Ok(Call {
            words: settings.command.iter().map(OsString::from).collect(),
            folder: None,
            environment: vec![("HOME", std::env::var_os("HOME").unwrap_or_default())],
        }),
    };
    let call = call.map_err(|why| fault(FaultClass::Transient, &why))?;
    let (output, is_success) = output_of(home, settings, call, prompt).await?;
    if settings.preset == Some(Preset::ClaudeCode) {
        return claude_code::read(&output);
    }
    if !is_success {
        return Err(fault(FaultClass::Transient, "the brain ended with an error"));
    }
    let text = String::from_utf8(output).map_err(|_| fault(FaultClass::Logic, "the brain's answer is not UTF-8"))?;
    if text.trim().is_empty() {
        return Err(fault(FaultClass::Logic, "the brain answered nothing"));
    }
    Ok(BrainRun { text, used: Used::default() })
}

fn fault(class: FaultClass, why: &str) -> BrainFault {
    BrainFault { class, why: why.to_owned(), used: Used::default() }
}

/// What it printed, and whether it ended well.
async fn output_of(
    home: &Home,
    settings: &Brain,
    call: Call,
    prompt: Cleared<String>,
) -> Result<(Vec<u8>, bool), BrainFault> {
    let secrets = cloud_secrets::environment(home, settings)
        .map_err(|error| fault(FaultClass::Authentication, &error.to_string()))?;
    let (program, arguments) =
        call.words.split_first().ok_or_else(|| fault(FaultClass::Logic, "no command is configured"))?;
    let named = program.to_string_lossy().into_owned();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(call.environment)
        .envs(secrets.iter().map(|(variable, value)| (variable, value.expose())))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        // It, and what it starts, are a group: all of it ends when the brain's time is over.
        .process_group(0);
    if let Some(folder) = call.folder {
        command.current_dir(folder);
    }
    let mut child = command.spawn().map_err(|error| {
        let why = format!("cannot start `{named}`: {error}; check `[brain] command` in config.toml");
        fault(FaultClass::Transient, &why)
    })?;
    let _group = ProcessGroup::of(&child);
    let limit = Duration::from_secs(settings.timeout_s);
    timeout(limit, converse(&mut child, settings, prompt)).await.unwrap_or_else(|_| {
        let why = format!("`{named}` took longer than {} s and was ended", settings.timeout_s);
        Err(fault(FaultClass::Transient, &why))
    })
}

async fn converse(
    child: &mut tokio::process::Child,
    settings: &Brain,
    prompt: Cleared<String>,
) -> Result<(Vec<u8>, bool), BrainFault> {
    let transient = |why: String| fault(FaultClass::Transient, &why);
    let mut stdin = child.stdin.take().ok_or_else(|| transient("the brain has no stdin".to_owned()))?;
    let stdout = child.stdout.take().ok_or_else(|| transient("the brain has no stdout".to_owned()))?;
    let prompt = prompt.into_inner();
    let write = async move {
        // A brain that does not read its prompt to the end may still answer.
        stdin.write_all(prompt.as_bytes()).await.ok();
        drop(stdin);
    };
    let mut output = Vec::new();
    let mut limited = stdout.take(settings.output_bytes_max + 1);
    let (read, ()) = tokio::join!(limited.read_to_end(&mut output), write);
    read.map_err(|error| transient(format!("cannot read the brain's answer: {error}")))?;
    if output.len() as u64 > settings.output_bytes_max {
        let why = format!("the brain printed more than {} bytes and was ended", settings.output_bytes_max);
        return Err(fault(FaultClass::Logic, &why));
    }
    let status = child.wait().await;
    let status = status.map_err(|error| transient(format!("the brain could not be waited for: {error}")))?;
    Ok((output, status.success()))
}

#[cfg(test)]
mod tests {
    use aiemp_keys::{FingerprintKey, Fingerprints, Secret};
    use aiemp_protocol::egress::Guard;

    use super::*;
    use crate::{
        config::{BrainKind, EnvValue},
        shell::cloud_secrets::{CloudSecret, Purpose},
    };

    fn settings(script: &str) -> Brain {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        Brain { kind: BrainKind::Command, command, timeout_s: 5, output_bytes_max: 1024, ..Brain::default() }
    }

    /// One without secrets.
    fn home() -> Home {
        Home::at("/nonexistent")
    }

    fn prompt(text: &str) -> Cleared<String> {
        let guard = Guard::new(Fingerprints::new(FingerprintKey::from_bytes([1; 32])));
        guard.clear_text(text.to_owned()).expect("holds no secret")
    }

    /// The text, or the fault's words.
    async fn run_text(home: &Home, settings: &Brain, text: &str) -> Result<String, String> {
        run(home, settings, prompt(text), None).await.map(|run| run.text).map_err(|fault| fault.why)
    }

    #[tokio::test]
    async fn the_prompt_goes_in_and_the_body_comes_out() {
        let answer = run_text(&home(), &settings("tr a-z A-Z"), "hello").await;
        assert_eq!(answer, Ok("HELLO".to_owned()));
    }

    #[tokio::test]
    async fn a_brain_sees_nothing_of_our_environment() {
        let answer = run_text(&home(), &settings("cat >/dev/null; env | cut -d= -f1 | sort | tr '\\n' ' '"), "x").await;
        let answer = answer.expect("env runs");
        assert!(
            answer.split_whitespace().all(|name| ["HOME", "PATH", "PWD", "SHLVL", "_", "OLDPWD"].contains(&name)),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn a_model_key_of_cloud_comes_in_the_environment_and_a_missing_one_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        let mut settings = settings("cat >/dev/null; printf %s \"$KEY\"");
        settings.env.insert("KEY".to_owned(), EnvValue::Secret("model".to_owned()));
        let told = run_text(&home, &settings, "x").await.unwrap_err();
        assert!(told.contains("secrets add model --use model"), "{told}");
        let key = CloudSecret::new(Purpose::Model, Secret::new("correct horse battery".to_owned()));
        cloud_secrets::add(&home, "model", &key).unwrap();
        assert_eq!(run_text(&home, &settings, "x").await.as_deref(), Ok("correct horse battery"));
    }

    #[tokio::test]
    async fn what_a_brain_does_wrong_is_told() {
        let told = |answer: Result<String, String>| answer.expect_err("an error");
        assert!(told(run_text(&home(), &settings("exit 3"), "x").await).contains("ended with an error"));
        assert!(told(run_text(&home(), &settings("true"), "x").await).contains("answered nothing"));
        assert!(told(run_text(&home(), &settings("yes"), "x").await).contains("more than 1024 bytes"));
        assert!(told(run_text(&home(), &settings("printf '\\377'"), "x").await).contains("not UTF-8"));
        let slow = Brain { timeout_s: 0, ..settings("sleep 60") };
        assert!(told(run_text(&home(), &slow, "x").await).contains("longer than 0 s"));
        let missing = Brain { command: vec!["/nonexistent/brain".to_owned()], ..settings("") };
        assert!(told(run_text(&home(), &missing, "x").await).contains("[brain] command"));
    }
}
