//! The disk, full from each step of the journal on: what was sent is durable, nothing is lost, and the word is clear.

use std::{path::Path, process::Command};

use super::{Case, Kill, Person, Provider, Ran, SMTP, Way, block_on, failpoint, faults, live};
use crate::executor::{
    self,
    tests::{failpoint::Stage, fixtures::World},
};

/// A home on a small file system of its own, gone with the test.
struct Small {
    _mounted: Mounted,
    world: World,
}

struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        // The store is still open.
        Command::new("umount").arg("--lazy").arg(&self.0).status().ok();
    }
}

impl Small {
    /// None where this test may not mount.
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs"];
        let output = Command::new("mount").args(mount).arg(directory.path()).output().ok()?;
        let mounted = output.status.success().then(|| Mounted(directory.path().to_owned()))?;
        Some(Self { _mounted: mounted, world: World::on(directory, SMTP) })
    }
}

/// Runs a case whose disk runs full at a step; what the executor said when it ended for it.
async fn run_full<'a>(world: &'a World, case: &Case, step: usize, filler: &Path) -> (Ran<'a>, Vec<String>) {
    let mut stage = Stage::new(&world.home, case.provider, false, &case.kills);
    stage.full = Some((step, filler.to_owned()));
    failpoint::begin(stage);
    let (mut person, mut said) = (Person::with(world, case), Vec::new());
    loop {
        match live(&mut person).await.map_err(executor::told) {
            Ok(()) => return (Ran { way: case.way, person, stage: failpoint::end() }, said),
            Err(error) => said.push(format!("{error:#}")),
        }
        assert!(said.len() < 9, "{case:?} at {step}: it does not go on: {said:#?}");
        failpoint::with(Stage::make_room);
        failpoint::restart();
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that was not made says so")]
fn a_disk_that_is_full_at_any_step_loses_nothing_and_sends_nothing_twice() {
    if Small::mount().is_none() {
        eprintln!("skipped: only root can mount a small disk, so none ran full");
        return;
    }
    for way in [Way::Outbox, Way::Smtp] {
        let case =
            Case { way, provider: Provider::Takes, has_rivals: false, is_standing: false, kills: Vec::<Kill>::new() };
        let (mut step, mut told) = (0, 0);
        loop {
            let small = Small::mount().expect("it could be mounted before");
            let filler = small.world.home.path().join("filler");
            let (ran, said) = block_on(run_full(&small.world, &case, step, &filler));
            assert!(!filler.exists(), "there is space again");
            let faults = faults(&ran);
            assert!(faults.is_empty(), "{case:?}, full at step {step}: {faults:#?}, {said:#?}");
            for said in &said {
                assert!(said.contains("is full: free some space"), "step {step}: {said}");
            }
            told += said.len();
            // Some step behind the last one: nothing ran full any more.
            if ran.stage.full.is_some_and(|(at, _)| at != usize::MAX) {
                break;
            }
            step += 1;
        }
        assert!(step > 20 && told > 10, "{way:?}: {step} steps, told {told} times");
    }
}
