//! The `command` brain: any program; the prompt on its stdin, the body of a draft on its stdout.

use std::{process::Stdio, time::Duration};

use aiemp_protocol::egress::Cleared;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
    time::timeout,
};

use super::cloud_secrets;
use crate::{config::Brain, home::Home};

/// Runs the program once: cleared environment, own time limit, bounded output. What it prints on stderr is not kept,
/// for it may quote the mail.
pub async fn run(home: &Home, settings: &Brain, prompt: Cleared<String>) -> Result<String, String> {
    let secrets = cloud_secrets::environment(home, settings).map_err(|error| error.to_string())?;
    let (program, arguments) = settings.command.split_first().ok_or("no command is configured")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", std::env::var_os("HOME").unwrap_or_default())
        .envs(secrets.iter().map(|(variable, value)| (variable, value.expose())))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        // It, and what it starts, are a group: all of it ends when the brain's time is over.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start `{program}`: {error}; check `[brain] command` in config.toml"))?;
    let _group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let limit = Duration::from_secs(settings.timeout_s);
    timeout(limit, converse(&mut child, settings, prompt))
        .await
        .unwrap_or_else(|_| Err(format!("`{program}` took longer than {} s and was ended", settings.timeout_s)))
}

/// The processes of one brain, ended when this is dropped, whatever they do about it.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // Mostly all of it has ended already.
            kill_process_group(leader, Signal::KILL).ok();
        }
    }
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

    #[tokio::test]
    async fn the_prompt_goes_in_and_the_body_comes_out() {
        let answer = run(&home(), &settings("tr a-z A-Z"), prompt("hello")).await;
        assert_eq!(answer, Ok("HELLO".to_owned()));
    }

    #[tokio::test]
    async fn a_brain_sees_nothing_of_our_environment() {
        let answer =
            run(&home(), &settings("cat >/dev/null; env | cut -d= -f1 | sort | tr '\\n' ' '"), prompt("x")).await;
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
        let told = run(&home, &settings, prompt("x")).await.unwrap_err();
        assert!(told.contains("secrets add model --use model"), "{told}");
        let key = CloudSecret::new(Purpose::Model, Secret::new("correct horse battery".to_owned()));
        cloud_secrets::add(&home, "model", &key).unwrap();
        assert_eq!(run(&home, &settings, prompt("x")).await.as_deref(), Ok("correct horse battery"));
    }

    #[tokio::test]
    async fn what_a_brain_does_wrong_is_told() {
        let told = |answer: Result<String, String>| answer.expect_err("an error");
        assert!(told(run(&home(), &settings("exit 3"), prompt("x")).await).contains("ended with"));
        assert!(told(run(&home(), &settings("true"), prompt("x")).await).contains("answered nothing"));
        assert!(told(run(&home(), &settings("yes"), prompt("x")).await).contains("more than 1024 bytes"));
        assert!(told(run(&home(), &settings("printf '\\377'"), prompt("x")).await).contains("not UTF-8"));
        let slow = Brain { timeout_s: 0, ..settings("sleep 60") };
        assert!(told(run(&home(), &slow, prompt("x")).await).contains("longer than 0 s"));
        let missing = Brain { command: vec!["/nonexistent/brain".to_owned()], ..settings("") };
        assert!(told(run(&home(), &missing, prompt("x")).await).contains("[brain] command"));
    }
}
