//! Attacks from inside each process, in a home that the demo made, and the demo's own.

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Tried, folder::Folder};

const WALLS: [&str; 6] = ["mesh", "executor", "reviewer", "owner", "pairing", "decoder"];

pub(super) fn attacks() -> Result<Vec<Tried>> {
    let folder = Folder::named("walls");
    let told = run(&["demo", "--json", "--keep"], Some(folder.path()), None)?;
    let story: Value = serde_json::from_slice(&told.stdout).context("the demo told no story")?;
    ensure!(story["ok"] == true, "the demo failed: {}", String::from_utf8_lossy(&told.stderr));
    let steps: Vec<_> =
        story["steps"].as_array().into_iter().flatten().filter_map(|step| step["name"].as_str()).collect();
    let has = |step: &str| if steps.contains(&step) { Err("refused") } else { Ok(()) };
    let mut tried = vec![
        Tried::refused("two real nodes: an approval is handed in again", has("replay_refused")),
        Tried::refused("two real nodes: the draft is edited after approval", has("edit_refused")),
    ];
    let home = folder.path().join("local-home");
    run(&["secrets", "add", "selftest"], Some(&home), Some(b"a made-up password\n"))?;
    for wall in WALLS {
        let output = run(&["process", "probe", "--wall", wall], Some(&home), None)?;
        let attacks: Vec<Value> = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{wall}: {}", String::from_utf8_lossy(&output.stderr)))?;
        for attack in attacks {
            let word = |key: &str| attack[key].as_str().unwrap_or_default().to_owned();
            let name = format!("inside {wall}: {}", word("attack"));
            tried.push(Tried { name, expected: word("expected"), got: word("got") });
        }
    }
    Ok(tried)
}

/// Runs this program; the folder is the last argument of `demo`, and the home of everything else.
fn run(args: &[&str], folder: Option<&Path>, input: Option<&[u8]>) -> Result<Output> {
    let mut command = Command::new(std::env::current_exe().context("cannot find this program's own file")?);
    match folder {
        Some(folder) if args[0] == "demo" => command.args(args).arg(folder),
        Some(home) => command.arg("--home").arg(home).args(args),
        None => command.args(args),
    };
    let piped = if input.is_some() { Stdio::piped() } else { Stdio::null() };
    let mut child = command.stdin(piped).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let (Some(mut pipe), Some(bytes)) = (child.stdin.take(), input) {
        pipe.write_all(bytes)?;
    }
    Ok(child.wait_with_output()?)
}
