//! One side of the day: its programs go on whatever its node does, and its node is stopped, killed and held up.

use std::{thread, time::Duration};

use aiemp_tests::random::Rng;
use rustix::process::Signal;
use serde_json::Value;

use super::{Day, editor::Editor, link::Trouble};
use crate::node::{Node, PATIENCE, becomes, signal};

/// What the node is doing, and for how many steps more.
#[derive(Clone, Copy, Debug)]
enum State {
    Running,
    Down(u64),
    /// Its process stands still.
    Halted(u32, u64),
}

/// One node with all that works on its vault.
#[derive(Debug)]
pub(super) struct Side<'n, 'd> {
    node: &'n mut Node,
    editor: Editor<'d>,
    day: &'d Day,
    state: State,
}

impl<'n, 'd> Side<'n, 'd> {
    pub(super) fn new(node: &'n mut Node, rng: Rng, day: &'d Day) -> Self {
        let editor = Editor::new(node, rng, &day.provenance);
        Self { node, editor, day, state: State::Running }
    }

    /// Works for so many steps; in the end all saves are written, and the node runs. What is left are the programs.
    pub(super) fn work(mut self, steps: usize) -> Editor<'d> {
        for _ in 0..steps {
            self.next_state();
            match self.editor.rng.below(100) {
                0..2 => self.trouble_node(),
                2..4 => self.trouble_link(),
                _ => {}
            }
            self.editor.act();
            // The pace of the day, not a wait for anything.
            thread::sleep(self.pause());
        }
        self.editor.finish();
        self.bring_up();
        self.editor
    }

    fn pause(&mut self) -> Duration {
        Duration::from_millis(match self.editor.rng.below(10) {
            0..2 => 0,
            2..8 => self.editor.rng.between(1, 90),
            _ => self.editor.rng.between(90, 300),
        })
    }

    fn tell(&self, what: &str) {
        self.day.provenance.lock().expect("nobody panics here").happened(self.editor.by, what);
    }

    fn next_state(&mut self) {
        self.state = match self.state {
            State::Running => State::Running,
            State::Down(0) => {
                self.start();
                State::Running
            }
            State::Down(steps) => State::Down(steps - 1),
            State::Halted(pid, 0) => {
                signal(pid, Signal::CONT);
                self.editor.node_runs = true;
                State::Running
            }
            State::Halted(pid, steps) => State::Halted(pid, steps - 1),
        };
    }

    fn trouble_node(&mut self) {
        if !matches!(self.state, State::Running) {
            return;
        }
        let steps = self.editor.rng.between(1, 20);
        match self.editor.rng.below(5) {
            0 => {
                self.stop();
                self.start();
            }
            1 => {
                self.stop();
                self.state = State::Down(steps);
            }
            2 => {
                self.kill();
                self.node.spawn_again();
                self.editor.node_runs = true;
            }
            3 => {
                self.kill();
                self.node.wait_killed();
                self.state = State::Down(steps);
            }
            _ => {
                let pid = self.mesh();
                self.tell("halts its node");
                self.editor.node_runs = false;
                signal(pid, Signal::STOP);
                self.state = State::Halted(pid, steps / 4);
            }
        }
    }

    fn trouble_link(&mut self) {
        let trouble = if self.editor.rng.chance(50) { Trouble::Cut } else { Trouble::Stalled };
        let wait = Duration::from_millis(self.editor.rng.between(50, 3_000));
        self.tell(&format!("the link is {trouble:?} for {wait:?}"));
        self.day.link.disturb(trouble, wait);
    }

    /// The process that works on the vault, or the one that starts it.
    fn mesh(&self) -> u32 {
        self.node.processes().get("mesh").copied().unwrap_or_else(|| self.node.pid())
    }

    fn kill(&mut self) {
        let pid = if self.editor.rng.chance(50) { self.mesh() } else { self.node.pid() };
        self.tell("kills its node");
        self.editor.node_runs = false;
        signal(pid, Signal::KILL);
    }

    fn stop(&mut self) {
        // A node that was started a moment ago does not know yet what to do when it is told to stop.
        self.wait_for_answer();
        self.tell("stops its node");
        self.editor.node_runs = false;
        let (code, _) = self.node.stop();
        assert_eq!(code, Some(0), "{} does not end well{}", self.node.role, self.node.last_words());
    }

    fn start(&mut self) {
        self.tell("starts its node");
        self.node.start();
        self.editor.node_runs = true;
    }

    fn bring_up(&mut self) {
        match self.state {
            State::Running => {}
            State::Down(_) => self.start(),
            State::Halted(pid, _) => signal(pid, Signal::CONT),
        }
        self.state = State::Running;
        self.wait_for_answer();
    }

    fn wait_for_answer(&self) {
        // `status` tells also of a node that does not run.
        let answers = |told: &[u8]| serde_json::from_slice::<Value>(told).is_ok_and(|told| told["running"] == true);
        let is_up = || answers(&self.node.run(&["status", "--json"]).stdout);
        assert!(becomes(PATIENCE, is_up), "{} does not answer{}", self.node.role, self.node.last_words());
    }
}
