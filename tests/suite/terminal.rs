//! A person at a terminal: a pseudo-terminal of util-linux's `script`, what it shows, and what is typed into it.

use std::{
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use crate::node::{Node, PATIENCE, becomes, binary, text};

pub(crate) struct Terminal {
    script: Child,
    keys: Option<ChildStdin>,
    shown: Arc<Mutex<Vec<u8>>>,
    seen: usize,
}

impl Terminal {
    /// Runs a command of the node at a terminal of its own; the words must not need quoting.
    pub(crate) fn run(node: &Node, args: &[&str], editor: &str) -> Self {
        let line = format!("{} --home {} {}", binary().display(), node.home.display(), args.join(" "));
        let mut script = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
            .env("VISUAL", editor)
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("util-linux has `script`");
        let mut output = script.stdout.take().expect("its output is piped");
        let shown = Arc::new(Mutex::new(Vec::new()));
        let collected = shown.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut buffer) {
                collected.lock().expect("nobody panics").extend_from_slice(&buffer[..length]);
            }
        });
        Self { keys: script.stdin.take(), script, shown, seen: 0 }
    }

    fn all(&self) -> String {
        text(&self.shown.lock().expect("nobody panics"))
    }

    /// Waits until this is shown behind what was waited for before; answers what came with it.
    pub(crate) fn shows(&mut self, expected: &str) -> String {
        let found = |terminal: &Self| terminal.all()[terminal.seen..].find(expected);
        assert!(
            becomes(PATIENCE, || found(self).is_some()),
            "`{expected}` is not shown; last was:\n{}",
            &self.all()[self.seen..]
        );
        let end = self.seen + found(self).expect("it was there") + expected.len();
        let came = self.all()[self.seen..end].to_owned();
        self.seen = end;
        came
    }

    /// Types a line.
    pub(crate) fn types(&mut self, line: &str) {
        let keys = self.keys.as_mut().expect("the terminal is there");
        keys.write_all(format!("{line}\n").as_bytes()).and_then(|()| keys.flush()).expect("it is typed");
    }

    /// Waits for the end of the command, which needs no more words; its exit code.
    pub(crate) fn ends(&mut self) -> Option<i32> {
        // `script` ends with its own input, not before.
        self.keys = None;
        assert!(becomes(PATIENCE, || self.script.try_wait().is_ok_and(|ended| ended.is_some())), "{}", self.all());
        self.script.wait().ok().and_then(|ended| ended.code())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.keys = None;
        self.script.kill().ok();
        self.script.wait().ok();
    }
}
