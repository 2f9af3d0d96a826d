//! The person's editor, on a note of the vault, in the middle of a review.
//!
//! A process that holds the approve key can start no program and open no note. So a second process, which never holds a
//! key, is started before the key is opened; it starts the editor when it is asked to.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use aiemp_protocol::{ids::ContentHash, vault_path::VaultPath};
use anyhow::{Context as _, Result, ensure};

use super::super::terminal;
use crate::{
    fault::{Fault, causes},
    home::Home,
    shell,
};

/// Where a person reaches a program whose input and output are something else.
const TERMINAL: &str = "/dev/tty";
/// The editor of a person who names none.
const DEFAULT: &str = "vi";

/// The other process.
#[derive(Debug)]
pub(super) struct Editor {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Editor {
    /// Starts the process; no editor yet.
    pub(super) fn start(home: &Home) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--home").arg(home.path()).args(["process", "editor"]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (orders, answers) = (process.stdin.take(), process.stdout.take());
        Ok(Self { process, orders, answers: BufReader::new(answers.context("a pipe was asked for")?) })
    }

    /// Has the person edit a note; what lies there afterwards, if anything does.
    ///
    /// An editor may stay open for ever: `when_long` is called once if it does for as long as that.
    pub(super) fn edit(
        &mut self,
        path: &VaultPath,
        long: Duration,
        when_long: impl FnOnce(),
    ) -> Result<Option<ContentHash>> {
        let orders = self.orders.as_mut().context("the orders end with this value")?;
        writeln!(orders, "{path}").context("the process that starts the editor is gone")?;
        if !terminal::is_ready(self.answers.get_ref(), long)? {
            when_long();
        }
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        match answer.trim().split_once(' ') {
            Some(("saved", hash)) => Ok(Some(hash.parse()?)),
            Some(("failed", why)) => {
                let fix = "Set $VISUAL or $EDITOR to a program that edits a file, or edit the note in the vault.";
                Err(Fault::operator("no_editor", format!("the editor failed: {why}"), fix).into())
            }
            Some(_) | None => Ok(None),
        }
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        // It ends with its orders; behind the wall it cannot be sent a signal.
        self.orders = None;
        self.process.wait().ok();
    }
}

/// The other process's work, until its orders end.
pub(in super::super) fn serve(home: &Home) -> Result<()> {
    let vault = shell::settings::load(home)?.vault;
    let editor =
        ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let editor = editor.unwrap_or_else(|| DEFAULT.to_owned());
    answer_all(&vault, &editor, Path::new(TERMINAL), io::stdin().lock(), io::stdout().lock())
}

fn answer_all(
    vault: &Path,
    editor: &str,
    terminal: &Path,
    orders: impl BufRead,
    mut answers: impl Write,
) -> Result<()> {
    for order in orders.lines() {
        let path = vault.join(VaultPath::parse(&order?)?.as_str());
        let answer = match edit(&path, editor, terminal) {
            Ok(Some(hash)) => format!("saved {hash}"),
            Ok(None) => "gone".to_owned(),
            Err(error) => format!("failed {}", causes(&error).replace('\n', " ")),
        };
        writeln!(answers, "{answer}")?;
        answers.flush()?;
    }
    Ok(())
}

fn edit(path: &PathBuf, editor: &str, terminal: &Path) -> Result<Option<ContentHash>> {
    let terminal = || File::options().read(true).write(true).open(terminal);
    // The person's own words, which may have arguments; the path is none of them.
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(path);
    let status = command.stdin(terminal()?).stdout(terminal()?).stderr(terminal()?).status()?;
    ensure!(status.success(), "{editor} ended with {status}");
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(ContentHash::of(&bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(editor: &str, orders: &str) -> String {
        let vault = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(vault.path().join("Plans")).expect("a folder");
        std::fs::write(vault.path().join("Plans/a b.md"), "one\n").expect("written");
        let terminal = vault.path().join("terminal");
        std::fs::write(&terminal, "").expect("written");
        let mut answers = Vec::new();
        answer_all(vault.path(), editor, &terminal, orders.as_bytes(), &mut answers).expect("answered");
        String::from_utf8(answers).expect("text")
    }

    #[test]
    fn the_editor_gets_the_note_and_what_it_saved_is_told() {
        let saved = format!("saved {}\n", ContentHash::of(b"one\ntwo\n"));
        assert_eq!(answers("f() { echo two >> \"$1\"; }; f", "Plans/a b.md\n"), saved);
        assert_eq!(answers("rm", "Plans/a b.md\n"), "gone\n");
        assert!(answers("false", "Plans/a b.md\n").starts_with("failed false ended with exit status: 1"));
    }

    #[test]
    fn an_editor_that_stays_open_is_noticed_once_and_waited_for() {
        let path = VaultPath::parse("Plans/a.md").expect("a path");
        for (pause, long, noticed) in [("0", 60_000, 0), ("0.5", 20, 1)] {
            let mut command = Command::new("sh");
            command.arg("-c").arg(format!("read order; sleep {pause}; echo gone"));
            let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
            let (orders, answers) = (process.stdin.take(), process.stdout.take().expect("a pipe"));
            let mut editor = Editor { process, orders, answers: BufReader::new(answers) };
            let mut count = 0;
            let edited = editor.edit(&path, Duration::from_millis(long), || count += 1);
            assert_eq!((edited.expect("answered"), count), (None, noticed));
        }
    }

    #[test]
    fn a_path_out_of_the_vault_is_never_edited() {
        let vault = tempfile::tempdir().expect("a temporary folder");
        let run = answer_all(vault.path(), "touch", Path::new("/dev/null"), &b"../x.md\n"[..], Vec::new());
        assert!(run.is_err());
    }
}
