//! Brains that are programs: any `command`, with the prompt on its stdin and the body of a draft on its stdout; or an agent,
//! which drafts by the tools of `aiemp-node mcp`. The keeper of programs starts them, shut in.

mod claude_code;

use std::{collections::BTreeMap, io::ErrorKind, os::unix::net, process, time::Duration};

use aiemp_keys::private_file;
use aiemp_protocol::{egress::Cleared, ids::WorkId};
use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use super::{
    cloud_secrets,
    program::{NOT_STARTED, Program},
    program_keeper::{Ended, ProgramKeeper},
};
use crate::{
    config::{Brain, Config, Preset},
    core::{BrainFault, BrainRun, FaultClass, Used},
    home::Home,
};

/// What is read of how a program ended.
const ENDED_BYTES_MAX: u64 = 4 << 10;
/// How much longer than its own time it is kept for what it said last.
const GRACE: Duration = Duration::from_secs(5);

/// What becomes the brain, for a piece of work where it gets tools: in a home and an empty folder of its own, shut in. What it
/// says on stderr is for nobody, for it may quote a mail.
pub fn command(home: &Home, config: &Config, for_work: Option<WorkId>) -> Result<process::Command> {
    let settings = &config.brain;
    let secrets = cloud_secrets::environment(home, settings)?;
    let (own_home, folder) = (home.brain_home(), home.brain_work());
    for path in [&home.brain(), &own_home, &folder] {
        private_file::create_private_dir(path)?;
    }
    let mut program = Program {
        command: settings.command.clone(),
        env: BTreeMap::from([("HOME".to_owned(), own_home.to_string_lossy().into_owned())]),
        own: home.brain(),
        reads: settings.reads.clone(),
        writes: settings.writes.clone(),
        has_tools: for_work.is_some(),
    };
    if let Some((Preset::ClaudeCode, work)) = settings.preset.zip(for_work) {
        claude_code::set_up(&mut program, home, config, work)?;
    }
    program.env.extend(secrets.into_iter().map(|(variable, value)| (variable, value.expose().clone())));
    let mut command = program.command(home)?;
    command.current_dir(folder);
    Ok(command)
}

/// Runs it once: with a time limit and a bounded output.
pub async fn run(
    keeper: Option<&ProgramKeeper>,
    settings: &Brain,
    prompt: Cleared<String>,
    for_work: Option<WorkId>,
) -> Result<BrainRun, BrainFault> {
    let limit = Duration::from_secs(settings.timeout_s);
    let gone = |why: &str| fault(FaultClass::Transient, &format!("the brain cannot be started: {why}"));
    let keeper = keeper.ok_or_else(|| gone("no program was set when the node started"))?;
    let (stream, told) = keeper
        .brain(for_work, limit + GRACE)
        .map_err(|_| gone("the node's keeper of programs is gone; start the node again"))?;
    let output = timeout(limit, converse(stream, told, settings, prompt)).await.unwrap_or_else(|_| {
        let why = format!("the brain took longer than {} s and was ended", settings.timeout_s);
        Err(fault(FaultClass::Transient, &why))
    })?;
    if settings.preset == Some(Preset::ClaudeCode) {
        return claude_code::read(&output.bytes);
    }
    if !output.is_success {
        return Err(fault(FaultClass::Transient, "the brain ended with an error"));
    }
    let text =
        String::from_utf8(output.bytes).map_err(|_| fault(FaultClass::Logic, "the brain's answer is not UTF-8"))?;
    if text.trim().is_empty() {
        return Err(fault(FaultClass::Logic, "the brain answered nothing"));
    }
    Ok(BrainRun { text, used: Used::default() })
}

fn fault(class: FaultClass, why: &str) -> BrainFault {
    BrainFault { class, why: why.to_owned(), used: Used::default() }
}

/// What it printed, and whether it ended well.
struct Output {
    bytes: Vec<u8>,
    is_success: bool,
}

/// Once this is dropped the keeper ends it.
async fn converse(
    stream: net::UnixStream,
    told: net::UnixStream,
    settings: &Brain,
    prompt: Cleared<String>,
) -> Result<Output, BrainFault> {
    let transient = |error: &dyn std::fmt::Display| fault(FaultClass::Transient, &format!("the brain failed: {error}"));
    let stream = UnixStream::from_std(stream).map_err(|error| transient(&error))?;
    let told = UnixStream::from_std(told).map_err(|error| transient(&error))?;
    let (said, mut hears) = stream.into_split();
    let prompt = prompt.into_inner();
    let ask = async move {
        // One that does not read its prompt to the end may still answer.
        hears.write_all(prompt.as_bytes()).await.ok();
        drop(hears);
        std::future::pending::<()>().await;
    };
    let mut bytes = Vec::new();
    let mut limited = said.take(settings.output_bytes_max + 1);
    tokio::select! {
        read = limited.read_to_end(&mut bytes) => match read {
            // So ends one that left some of its prompt.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            read => drop(read.map_err(|error| transient(&error))?),
        },
        () = ask => {}
    }
    if bytes.len() as u64 > settings.output_bytes_max {
        let why = format!("the brain printed more than {} bytes and was ended", settings.output_bytes_max);
        return Err(fault(FaultClass::Logic, &why));
    }
    let mut ended = Vec::new();
    told.take(ENDED_BYTES_MAX).read_to_end(&mut ended).await.map_err(|error| transient(&error))?;
    match serde_json::from_slice(&ended) {
        Ok(Ended::Exited(code)) if code == Some(NOT_STARTED.into()) && bytes.is_empty() => {
            Err(transient(&"it cannot be started; check `command` and `reads` of `[brain]` in config.toml"))
        }
        Ok(Ended::Exited(code)) => Ok(Output { bytes, is_success: code == Some(0) }),
        Ok(Ended::NotStarted(why)) => Err(transient(&why)),
        Err(_) => Err(transient(&"nobody knows how it ended")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use aiemp_keys::{FingerprintKey, Fingerprints};
    use aiemp_protocol::egress::Guard;

    use super::*;
    use crate::config::BrainKind;

    fn prompt(text: &str) -> Cleared<String> {
        let guard = Guard::new(Fingerprints::new(FingerprintKey::from_bytes([1; 32])));
        guard.clear_text(text.to_owned()).expect("holds no secret")
    }

    /// What is made of a program that does this with its two ends.
    async fn converse_with(
        program: impl FnOnce(net::UnixStream, net::UnixStream) + Send + 'static,
    ) -> Result<(String, bool), String> {
        let settings = Brain { kind: BrainKind::Command, output_bytes_max: 1024, ..Brain::default() };
        let [(own, its), (told, tells)] = [net::UnixStream::pair(), net::UnixStream::pair()].map(|pair| pair.unwrap());
        for end in [&own, &told] {
            end.set_nonblocking(true).unwrap();
        }
        let program = std::thread::spawn(move || program(its, tells));
        let output = converse(own, told, &settings, prompt("hello")).await;
        program.join().unwrap();
        output.map(|output| (String::from_utf8(output.bytes).unwrap(), output.is_success)).map_err(|fault| fault.why)
    }

    fn end(mut tells: net::UnixStream, ended: &Ended) {
        tells.write_all(&serde_json::to_vec(ended).unwrap()).unwrap();
    }

    #[tokio::test]
    async fn the_prompt_goes_in_and_the_answer_comes_out_with_how_it_ended() {
        let shouts = |code| {
            move |mut stream: net::UnixStream, tells| {
                let mut heard = String::new();
                stream.read_to_string(&mut heard).unwrap();
                stream.write_all(heard.to_uppercase().as_bytes()).unwrap();
                drop(stream);
                end(tells, &Ended::Exited(code));
            }
        };
        assert_eq!(converse_with(shouts(Some(0))).await, Ok(("HELLO".to_owned(), true)));
        assert_eq!(converse_with(shouts(Some(3))).await, Ok(("HELLO".to_owned(), false)));
        assert_eq!(converse_with(shouts(None)).await, Ok(("HELLO".to_owned(), false)), "by a signal");
        let reads_nothing = |mut stream: net::UnixStream, tells| {
            // The rest of the prompt is left.
            stream.read_exact(&mut [0; 1]).unwrap();
            stream.write_all(b"Hello").unwrap();
            drop(stream);
            end(tells, &Ended::Exited(Some(0)));
        };
        assert_eq!(converse_with(reads_nothing).await, Ok(("Hello".to_owned(), true)));
    }

    #[tokio::test]
    async fn what_a_brain_does_wrong_is_told() {
        let floods = |mut stream: net::UnixStream, _| while stream.write_all(&[b'y'; 512]).is_ok() {};
        let told = converse_with(floods).await.unwrap_err();
        assert!(told.contains("more than 1024 bytes"), "{told}");
        let ends = |ended: Ended| {
            move |stream, tells| {
                drop::<net::UnixStream>(stream);
                end(tells, &ended);
            }
        };
        let told = converse_with(ends(Ended::Exited(Some(NOT_STARTED.into())))).await.unwrap_err();
        assert!(told.contains("check `command` and `reads`"), "{told}");
        let told = converse_with(ends(Ended::NotStarted("no secret named model".to_owned()))).await.unwrap_err();
        assert!(told.contains("no secret named model"), "{told}");
        let told = converse_with(|_, _| {}).await.unwrap_err();
        assert!(told.contains("nobody knows how it ended"), "{told}");
        let slow = Brain { kind: BrainKind::Command, ..Brain::default() };
        let told = run(None, &slow, prompt("x"), None).await.unwrap_err().why;
        assert!(told.contains("no program was set"), "{told}");
    }
}
