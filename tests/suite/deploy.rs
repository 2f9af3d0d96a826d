//! The files under `deploy/`: systemd itself reads the units, the node reads their flags, bash reads the scripts.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const CLOUD_UNIT: &str = "deploy/systemd/aiemp-node-cloud.service";
const LOCAL_UNIT: &str = "deploy/systemd/aiemp-node-local.service";
/// Of a Local node whose home three users share.
const MESH_UNIT: &str = "deploy/systemd/aiemp-node-mesh.service";
const EXECUTOR_UNIT: &str = "deploy/systemd/aiemp-node-executor.service";

/// Exposure in tenths, as systemd scores it; 100 is no confinement at all.
const EXPOSURE_MAX: &str = "25";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests crate lies below the top")
}

/// A file of the repository.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Says why something could not be tested: to the file that test.sh counts, else to stderr.
pub(crate) fn skip(why: &str) {
    let line = format!("skipped: {why}\n");
    let written = match std::env::var_os("AIEMP_TEST_SKIPS") {
        Some(path) => {
            OpenOptions::new().append(true).create(true).open(path).and_then(|mut f| f.write_all(line.as_bytes()))
        }
        None => std::io::stderr().write_all(line.as_bytes()),
    };
    written.expect("the reason for a skip is written");
}

/// Runs `systemd-analyze`, or says that it is not there.
fn systemd_analyze(args: &[&str], runtime_dir: &Path) -> Option<Output> {
    let output = Command::new("systemd-analyze").args(args).env("XDG_RUNTIME_DIR", runtime_dir).output();
    if output.is_err() {
        skip("systemd-analyze is not installed, so systemd did not read the units");
    }
    output.ok()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The binary and the arguments that a unit starts.
fn exec_start(unit: &str) -> (String, Vec<String>) {
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a unit starts something");
    let mut words = line.split_whitespace().map(str::to_owned);
    (words.next().expect("ExecStart names a binary"), words.collect())
}

/// Lets systemd read a unit whose binary is replaced by one that is there. It says nothing if all is well; an unknown
/// key makes it talk but still exit 0.
fn complaints(name: &str, unit: &str, flags: &[&str]) -> Option<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    fs::write(&path, unit.replace(&exec_start(unit).0, "/bin/true")).expect("the copy is written");
    let path = path.to_string_lossy();
    let args: Vec<&str> = ["verify", "--man=no"].iter().chain(flags).copied().chain([&*path]).collect();
    let output = systemd_analyze(&args, folder.path())?;
    let quiet = output.status.success() && said(&output).is_empty();
    Some(if quiet { String::new() } else { format!("{} {}", output.status, said(&output)) })
}

#[test]
fn systemd_finds_nothing_to_complain_of_in_the_units() {
    for (path, flags) in
        [(CLOUD_UNIT, [].as_slice()), (LOCAL_UNIT, &["--user"]), (MESH_UNIT, &[]), (EXECUTOR_UNIT, &[])]
    {
        let name = path.rsplit('/').next().unwrap_or(path);
        let Some(found) = complaints(name, &read(path), flags) else { return };
        assert_eq!(found, "", "{path}");
        let broken = read(path).replace("LimitCORE=0", "LimitCOREE=0");
        let found = complaints(name, &broken, flags).expect("systemd-analyze was there a moment ago");
        assert!(found.contains("LimitCOREE"), "an unknown key in {path} passed: {found}");
    }
}

/// The user's unit is not scored: its manager cannot grant or drop what most of the score is made of.
#[test]
fn the_units_of_the_system_are_confined() {
    for unit in [CLOUD_UNIT, MESH_UNIT, EXECUTOR_UNIT] {
        let path = root().join(unit);
        let threshold = format!("--threshold={EXPOSURE_MAX}");
        let args = ["security", "--offline=yes", &threshold, "--no-pager", &path.to_string_lossy()];
        let Some(output) = systemd_analyze(&args, &std::env::temp_dir()) else { return };
        assert!(output.status.success(), "{unit}: {}", said(&output));
    }
}

#[test]
fn units_keep_keys_out_of_core_files_and_do_not_retry_a_refusal() {
    for path in [CLOUD_UNIT, LOCAL_UNIT, MESH_UNIT, EXECUTOR_UNIT] {
        let unit = read(path);
        for line in ["LimitCORE=0", "RestartPreventExitStatus=2 78", "NoNewPrivileges=yes", "UMask=0077"] {
            assert!(unit.lines().any(|l| l == line), "{path} lacks {line}");
        }
        assert!(unit.lines().any(|line| line.starts_with("MemoryMax=")), "{path} has no memory limit");
    }
}

#[test]
fn units_start_the_role_of_their_name() {
    let start = |path| exec_start(&read(path));
    let (binary, args) = start(CLOUD_UNIT);
    assert_eq!(binary, "/opt/ai_employee/bin/aiemp-node");
    assert_eq!(args, ["--role", "cloud", "--home", "/var/lib/ai_employee/home"]);
    let (binary, args) = start(LOCAL_UNIT);
    assert_eq!(binary, "%h/.local/bin/aiemp-node");
    assert_eq!(args, ["--role", "local"]);
    for (unit, process, user) in [(MESH_UNIT, "mesh", "aiemp-mesh"), (EXECUTOR_UNIT, "executor", "aiemp-exec")] {
        let (binary, args) = start(unit);
        assert_eq!(binary, "/usr/local/bin/aiemp-node");
        assert_eq!(args, ["--home", "/var/lib/aiemp-node/home", "process", process]);
        for line in [format!("User={user}"), format!("Group={user}"), "SupplementaryGroups=aiemp".to_owned()] {
            assert!(read(unit).lines().any(|found| found == line), "{unit} lacks {line}");
        }
        assert!(read("deploy/systemd/aiemp-node.sysusers.conf").contains(&format!("u {user} ")), "{user} is made");
    }
}

/// The node's binary, which a build of the whole workspace puts above this test's own.
fn node_binary() -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let binary = test.parent()?.parent()?.join("aiemp-node");
    binary.exists().then_some(binary)
}

#[test]
fn the_node_knows_every_flag_that_units_and_container_pass() {
    let Some(binary) = node_binary() else {
        skip("aiemp-node is not built, so the flags in deploy/ were not tried");
        return;
    };
    let containerfile = read("deploy/container/Containerfile");
    let command =
        containerfile.lines().find_map(|line| line.strip_prefix("CMD ")).expect("the container has a command");
    let command: Vec<String> = serde_json::from_str(command).expect("CMD is a JSON list");
    let units = [CLOUD_UNIT, LOCAL_UNIT, MESH_UNIT, EXECUTOR_UNIT].map(|unit| exec_start(&read(unit)).1);
    for args in units.into_iter().chain([command]) {
        // A flag that is not known is refused before --help is answered.
        let output = Command::new(&binary).args(&args).arg("--help").output().expect("the node runs");
        assert!(output.status.success(), "{args:?}: {}", said(&output));
    }
}

#[test]
fn the_scripts_parse() {
    for script in ["test.sh", ".ci/run", "deploy/build-static.sh"] {
        let output = Command::new("bash").arg("-n").arg(root().join(script)).output().expect("bash runs");
        assert!(output.status.success(), "{script}: {}", said(&output));
    }
}
