//! The decoder of peers' changes: honest ones pass, and one that makes it run away ends it and nothing else.

use std::{
    io::{Read, Write},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aiemp_crdt::document::Document;
use automerge::{ActorId, Change};
use rustix::process::Signal;

use crate::node::{Pair, binary, signal};

fn honest() -> Vec<u8> {
    Document::import("one\n").edit("one\ntwo\n", ActorId::from(&[7; 16])).expect("a change")
}

/// A change of a few hundred bytes that says to delete one character `times` times: the operations are runs in columns,
/// and a run's length is a number that costs its author nothing.
pub(crate) fn bomb(times: u64) -> Vec<u8> {
    let raw = Document::import("one\n").edit("ne\n", ActorId::from(&[7; 16])).expect("a change");
    let mut expanded = Change::from_bytes(raw).expect("decodes").decode();
    let deletion = expanded.operations.last().expect("a deletion").clone();
    let before = 100_000;
    expanded.operations = std::iter::repeat_n(deletion, before).collect();
    let change = Change::from(expanded);
    Columns::of(change.raw_bytes()).with_runs(before as u64, times)
}

/// A change's chunk, taken apart as far as its columns.
struct Columns {
    head: Vec<u8>,
    specs: Vec<u64>,
    data: Vec<Vec<u8>>,
}

impl Columns {
    fn of(raw: &[u8]) -> Self {
        let mut at = 9;
        uleb(raw, &mut at);
        let body = at;
        let dependencies = uleb(raw, &mut at);
        at += usize::try_from(dependencies).expect("few") * 32;
        skip(raw, &mut at);
        for _ in 0..3 {
            uleb(raw, &mut at);
        }
        skip(raw, &mut at);
        for _ in 0..uleb(raw, &mut at) {
            skip(raw, &mut at);
        }
        let head = raw[body..at].to_vec();
        let columns: Vec<_> = (0..uleb(raw, &mut at)).map(|_| (uleb(raw, &mut at), uleb(raw, &mut at))).collect();
        let data = columns.iter().map(|(_, length)| {
            let end = at + usize::try_from(*length).expect("short");
            let column = raw[at..end].to_vec();
            at = end;
            column
        });
        Self { head, data: data.collect(), specs: columns.iter().map(|(spec, _)| *spec).collect() }
    }

    /// The chunk with every run of `before`, or one less, as a run of `after`.
    fn with_runs(self, before: u64, after: u64) -> Vec<u8> {
        let replace = |column: Vec<u8>| {
            let mut column = column;
            for (old, new) in [(before, after), (before - 1, after - 1)] {
                let (old, new) = (leb(old, true), leb(new, true));
                if let Some(at) = column.windows(old.len()).position(|window| window == old) {
                    column.splice(at..at + old.len(), new);
                }
            }
            column
        };
        let data: Vec<_> = self.data.into_iter().map(replace).collect();
        let mut body = self.head;
        body.extend(leb(data.len() as u64, false));
        for (spec, column) in self.specs.iter().zip(&data) {
            body.extend(leb(*spec, false));
            body.extend(leb(column.len() as u64, false));
        }
        body.extend(data.concat());
        let mut raw = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 1];
        raw.extend(leb(body.len() as u64, false));
        raw.extend(body);
        raw
    }
}

fn uleb(bytes: &[u8], at: &mut usize) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes[*at];
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

fn skip(bytes: &[u8], at: &mut usize) {
    let length = uleb(bytes, at);
    *at += usize::try_from(length).expect("short");
}

fn leb(mut value: u64, signed: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = u8::try_from(value & 0x7f).expect("seven bits");
        value >>= 7;
        if value == 0 && !(signed && byte & 0x40 != 0) {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

struct Decoder(Child);

impl Decoder {
    fn start(process: &str) -> Self {
        let mut command = Command::new(binary());
        command.args(["--home", "/nonexistent", "process", process]).env_clear();
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        Self(child.expect("it starts"))
    }

    /// Whether the change passed; `None` when the process ended.
    fn ask(&mut self, change: &[u8]) -> Option<bool> {
        let stdin = self.0.stdin.as_mut().expect("a pipe");
        let length = u32::try_from(change.len()).expect("short").to_be_bytes();
        stdin.write_all(&[&length[..], change].concat()).ok()?;
        let mut answer = [0];
        self.0.stdout.as_mut().expect("a pipe").read_exact(&mut answer).ok()?;
        Some(answer[0] == 1)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_bomb_ends_the_decoder_and_the_keeper_starts_another() {
    let bomb = bomb(1 << 33);
    assert!(bomb.len() < 400, "{} bytes", bomb.len());
    let mut decoder = Decoder::start("decoder");
    assert_eq!(decoder.ask(&honest()), Some(true));
    assert_eq!(decoder.ask(b"not a change"), Some(false));
    assert_ne!(decoder.ask(&bomb), Some(true));
    let mut keeper = Decoder::start("decoder-keeper");
    assert_eq!(keeper.ask(&honest()), Some(true));
    let asked = Instant::now();
    assert_eq!(keeper.ask(&bomb), Some(false));
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
    assert_eq!(keeper.ask(&honest()), Some(true), "it goes on with the next");
}

#[test]
fn a_node_whose_keeper_is_gone_ends_and_says_so() {
    let mut pair = Pair::running();
    pair.cloud.save("Plans/a.md", "one\n");
    pair.wait_same("it is there", |files| files.contains_key("Plans/a.md"));
    signal(pair.cloud.processes()["decoder-keeper"], Signal::KILL);
    pair.local.save("Plans/a.md", "one\ntwo\n");
    assert_eq!(pair.cloud.ended(), Some(1));
    assert!(pair.cloud.log().contains("the keeper of decoders"), "{}", pair.cloud.last_words());
}
