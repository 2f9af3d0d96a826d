//! The machine and the program under test.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
};

use anyhow::{Context, Result, ensure};

/// The node's program, in the folder above this bench's own.
pub(crate) fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| profile_folder().join("aiemp-node"))
}

fn profile_folder() -> PathBuf {
    let bench = std::env::current_exe().expect("a running bench has a path");
    bench.ancestors().nth(2).expect("a bench lies in target/<profile>/deps").to_owned()
}

/// Brings the program up to date; quick when it is.
pub(crate) fn build_node() -> Result<()> {
    let folder = profile_folder();
    let target = folder.parent().context("a profile lies below the target folder")?;
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Build scripts ask for what cargo tells this bench of its own package; it would make them run again, both ways.
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_of_this_package(name)) {
        cargo.env_remove(name);
    }
    let built = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--quiet", "--package", "aiemp-node", "--profile", profile, "--target-dir"])
        .arg(target)
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    ensure!(built.success(), "aiemp-node does not build");
    Ok(())
}

fn is_of_this_package(variable: &OsStr) -> bool {
    variable.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
}

/// What a reader needs to judge the numbers.
pub(crate) fn facts() -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let model = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned()))
        .unwrap_or_else(|| "unknown".to_owned());
    let kernel = read("/proc/sys/kernel/osrelease");
    let temporary = std::env::temp_dir();
    format!(
        "machine: {cores} cores ({model}), Linux {}, load {}\nprogram: {}\nfiles: {}\n",
        kernel.trim(),
        load(),
        binary().display(),
        temporary.display()
    )
}

/// Load averages of 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let line = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    line.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
