//! Brains that are programs: any `command`, with the prompt on its stdin and the body of a draft on its stdout; or an agent,
//! which drafts by the tools of `aiemp-node mcp`. The keeper of programs starts them, shut in.

mod claude_code;

use std::{future::pending, path::PathBuf, pin::pin, process, time::Duration};

use aiemp_keys::{private_file, random};
use aiemp_protocol::{egress::Cleared, ids::WorkId};
use anyhow::Result;
use data_encoding::HEXLOWER;
use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    net::unix::pipe,
    time::timeout,
};

use super::{
    cloud_secrets, places,
    program::{NOT_STARTED, Program},
    program_keeper::{Ended, ProgramKeeper, Talk},
};
use crate::{
    config::{Brain, Config, Preset},
    core::{BrainFault, BrainRun, FaultClass, Used},
    fault::Fault,
    home::Home,
};

/// What is read of how a program ended.
const ENDED_BYTES_MAX: u64 = 4 << 10;
/// How much longer than its own time it is kept for what it said last.
const GRACE: Duration = Duration::from_secs(5);
/// How long what it said last may take to be read, where something that it left holds its stdout open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Refuses a brain that would be shown keys, private notes or the vault.
pub fn check_settings(home: &Home, config: &Config) -> Result<(), Fault> {
    let named = config.brain.reads.iter().chain(&config.brain.writes);
    match named.into_iter().find(|path| !places::is_outside(path, home.path(), &config.vault)) {
        Some(path) => {
            let message =
                format!("`[brain]` names {}, which lies in the home or the vault, or around them", path.display());
            Err(Fault::refused("brain", message, "Name something narrower in `reads` or `writes`."))
        }
        None => Ok(()),
    }
}

/// What becomes the brain, for a piece of work where it gets tools, and the folder that it has for this one run: its home, in
/// which it works in an empty folder. What it says on stderr is for nobody, for it may quote a mail.
pub fn command(home: &Home, config: &Config, for_work: Option<WorkId>) -> Result<(process::Command, PathBuf)> {
    let settings = &config.brain;
    let secrets = cloud_secrets::environment(home, settings)?;
    let own = home.brain().join(HEXLOWER.encode(&random::array::<8>()?));
    let folder = own.join("work");
    let mut program = Program {
        command: settings.command.clone(),
        env: secrets.into_iter().map(|(variable, value)| (variable, value.expose().clone())).collect(),
        own: own.clone(),
        reads: settings.reads.clone(),
        writes: settings.writes.clone(),
        has_tools: for_work.is_some(),
        changes_rights: false,
    };
    if let Some((Preset::ClaudeCode, work)) = settings.preset.zip(for_work) {
        claude_code::set_up(&mut program, home, config, work)?;
    }
    private_file::create_private_dir(&home.brain())?;
    let mut command = program.command(home)?;
    private_file::create_private_dir(&folder)?;
    command.current_dir(folder);
    Ok((command, own))
}

/// Runs it once: with a time limit and a bounded output.
pub async fn run(
    keeper: Option<&ProgramKeeper>,
    settings: &Brain,
    prompt: Cleared<String>,
    for_work: Option<WorkId>,
) -> Result<BrainRun, BrainFault> {
    let gone = || fault(FaultClass::Transient, "what starts the brain is gone; the node is to be started again");
    let keeper = keeper.ok_or_else(gone)?;
    let talk = keeper.brain(for_work, Duration::from_secs(settings.timeout_s) + GRACE).map_err(|_| gone())?;
    answer(talk, settings, prompt).await
}

/// What it answers in its time, as a draft.
async fn answer(talk: Talk, settings: &Brain, prompt: Cleared<String>) -> Result<BrainRun, BrainFault> {
    let limit = Duration::from_secs(settings.timeout_s);
    let output = timeout(limit, converse(talk, settings, prompt)).await.unwrap_or_else(|_| {
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
async fn converse(talk: Talk, settings: &Brain, prompt: Cleared<String>) -> Result<Output, BrainFault> {
    let transient = |why: &str| fault(FaultClass::Transient, &format!("the brain failed: {why}"));
    let mut bytes = Vec::new();
    let ended = listen(talk, prompt.into_inner(), settings.output_bytes_max, &mut bytes).await;
    let ended = ended.map_err(|error| transient(&error.to_string()))?;
    if bytes.len() as u64 > settings.output_bytes_max {
        let why = format!("the brain printed more than {} bytes and was ended", settings.output_bytes_max);
        return Err(fault(FaultClass::Logic, &why));
    }
    match serde_json::from_slice(&ended) {
        Ok(Ended::Exited(code)) if code == Some(NOT_STARTED.into()) && bytes.is_empty() => {
            let program = settings.command.first().map_or("claude", String::as_str);
            Err(transient(&format!(
                "`{program}` cannot be started; check `[brain] command` and `reads` in config.toml"
            )))
        }
        Ok(Ended::Exited(code)) => Ok(Output { bytes, is_success: code == Some(0) }),
        Ok(Ended::NoSecret(why)) => Err(fault(FaultClass::Authentication, &why)),
        Ok(Ended::NotStarted(why)) => Err(transient(&why)),
        Err(_) => Err(transient("nobody knows how it ended")),
    }
}

/// What it answers, up to one byte more than it may, and what is told of its end.
async fn listen(talk: Talk, prompt: String, bytes_max: u64, bytes: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut asks = pipe::Sender::from_owned_fd(talk.asks)?;
    let mut answers = pipe::Receiver::from_owned_fd(talk.answers)?.take(bytes_max + 1);
    let mut told = pipe::Receiver::from_owned_fd(talk.told)?.take(ENDED_BYTES_MAX);
    let ask = async move {
        // One that does not read its prompt to the end may still answer.
        asks.write_all(prompt.as_bytes()).await.ok();
        drop(asks);
        pending::<()>().await;
    };
    let mut ended = Vec::new();
    let end = async { told.read_to_end(&mut ended).await };
    let (mut ask, mut end) = (pin!(ask), pin!(end));
    let mut has_ended = false;
    loop {
        tokio::select! {
            biased;
            read = answers.read_buf(bytes) => if read? == 0 { break },
            told = &mut end, if !has_ended => {
                told?;
                has_ended = true;
            }
            () = tokio::time::sleep(LAST_WORDS), if has_ended => break,
            () = &mut ask => break,
        }
    }
    if !has_ended && bytes.len() as u64 <= bytes_max {
        end.await?;
    }
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, PipeWriter, Read as _, Write as _};

    use aiemp_keys::{FingerprintKey, Fingerprints};
    use aiemp_protocol::egress::Guard;

    use super::*;
    use crate::config::BrainKind;

    fn prompt(text: &str) -> Cleared<String> {
        let guard = Guard::new(Fingerprints::new(FingerprintKey::from_bytes([1; 32])));
        guard.clear_text(text.to_owned()).expect("holds no secret")
    }

    /// A program, by its stdin, its stdout, and where its end is told.
    type Ends = (PipeReader, PipeWriter, PipeWriter);

    fn settings() -> Brain {
        Brain { kind: BrainKind::Command, output_bytes_max: 1024, ..Brain::default() }
    }

    /// What is made of a program that does this.
    async fn answer_of(program: impl FnOnce(Ends) + Send + 'static) -> Result<String, BrainFault> {
        answer_within(&settings(), program).await
    }

    async fn answer_within(
        settings: &Brain,
        program: impl FnOnce(Ends) + Send + 'static,
    ) -> Result<String, BrainFault> {
        let [(stdin, asks), (answers, stdout), (told, tells)] = [(); 3].map(|()| std::io::pipe().unwrap());
        let talk = Talk { asks: asks.into(), answers: answers.into(), told: told.into() };
        let program = std::thread::spawn(move || program((stdin, stdout, tells)));
        let answer = answer(talk, settings, prompt("hello")).await;
        program.join().unwrap();
        answer.map(|run| run.text)
    }

    fn end(mut tells: PipeWriter, ended: &Ended) {
        tells.write_all(&serde_json::to_vec(ended).unwrap()).unwrap();
    }

    fn shouts(code: Option<i32>) -> impl FnOnce(Ends) {
        move |(mut stdin, mut stdout, tells)| {
            let mut heard = String::new();
            stdin.read_to_string(&mut heard).unwrap();
            stdout.write_all(heard.to_uppercase().as_bytes()).unwrap();
            drop(stdout);
            end(tells, &Ended::Exited(code));
        }
    }

    #[tokio::test]
    async fn the_prompt_goes_in_and_the_answer_comes_out_with_how_it_ended() {
        assert_eq!(answer_of(shouts(Some(0))).await, Ok("HELLO".to_owned()));
        for code in [Some(3), None] {
            let told = answer_of(shouts(code)).await.unwrap_err();
            assert!(told.why.contains("ended with an error"), "{code:?}: {told:?}");
        }
        let reads_nothing = |(stdin, mut stdout, tells): Ends| {
            drop(stdin);
            stdout.write_all(b"Hello").unwrap();
            drop(stdout);
            end(tells, &Ended::Exited(Some(0)));
        };
        assert_eq!(answer_of(reads_nothing).await, Ok("Hello".to_owned()));
    }

    #[tokio::test]
    async fn an_answer_is_taken_once_its_program_ended_whoever_holds_its_stdout() {
        let (let_go, held) = std::sync::mpsc::sync_channel(1);
        let leaves_somebody = move |(_stdin, mut stdout, tells): Ends| {
            stdout.write_all(&[b'x'; 1024]).unwrap();
            end(tells, &Ended::Exited(Some(0)));
            std::thread::spawn(move || drop((held.recv(), stdout)));
        };
        assert_eq!(answer_of(leaves_somebody).await, Ok("x".repeat(1024)));
        drop::<std::sync::mpsc::SyncSender<()>>(let_go);
    }

    #[tokio::test]
    async fn what_a_brain_does_wrong_is_told() {
        let floods = |(_stdin, mut stdout, _tells): Ends| while stdout.write_all(&[b'y'; 512]).is_ok() {};
        let told = answer_of(floods).await.unwrap_err();
        assert!(told.class == FaultClass::Logic && told.why.contains("more than 1024 bytes"), "{told:?}");
        let ends = |ended: Ended| {
            move |(_, stdout, tells): Ends| {
                drop(stdout);
                end(tells, &ended);
            }
        };
        let told = answer_of(ends(Ended::Exited(Some(NOT_STARTED.into())))).await.unwrap_err();
        assert!(told.why.contains("check `[brain] command` and `reads`"), "{told:?}");
        let told = answer_of(ends(Ended::NoSecret("no secret named model".to_owned()))).await.unwrap_err();
        assert!(told.class == FaultClass::Authentication && told.why == "no secret named model", "{told:?}");
        let told = answer_of(ends(Ended::NotStarted("the disk is full".to_owned()))).await.unwrap_err();
        assert!(told.class == FaultClass::Transient && told.why.contains("the disk is full"), "{told:?}");
        let told = answer_of(drop).await.unwrap_err();
        assert!(told.why.contains("nobody knows how it ended"), "{told:?}");
        let says = |bytes: &'static [u8]| {
            move |(_stdin, mut stdout, tells): Ends| {
                stdout.write_all(bytes).unwrap();
                end(tells, &Ended::Exited(Some(0)));
            }
        };
        assert!(answer_of(says(b" \n")).await.unwrap_err().why.contains("answered nothing"));
        assert!(answer_of(says(b"\xff")).await.unwrap_err().why.contains("not UTF-8"));
        let at_once = Brain { timeout_s: 0, ..settings() };
        let goes_on = |(_stdin, mut stdout, _tells): Ends| {
            while stdout.write_all(b"y").is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        let told = answer_within(&at_once, goes_on).await.unwrap_err();
        assert!(told.why.contains("longer than 0 s"), "{told:?}");
        let told = run(None, &settings(), prompt("x"), None).await.unwrap_err();
        assert!(told.why.contains("what starts the brain is gone"), "{told:?}");
    }
}
