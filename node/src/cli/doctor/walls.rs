//! Which walls stand around which process.

use aiemp_protocol::roster::Role;
use serde_json::{Value, json};

use super::Findings;
use crate::{
    config::{BrainKind, Config},
    shell::{
        users::Users,
        walls::{self, Standing},
    },
};

/// From this version on landlock refuses TCP ports, and from the next one abstract sockets and signals.
const LANDLOCK_TCP: u8 = 4;
const LANDLOCK_SCOPES: u8 = 6;

/// A wall, and whether it stands.
pub(super) struct Found {
    wall: &'static str,
    stands: bool,
    what: String,
}

impl Found {
    pub(super) fn to_json(&self) -> Value {
        json!({ "wall": self.wall, "stands": self.stands, "what": self.what })
    }
}

/// Tells each wall of a node in this role.
pub(super) fn check(role: Role, config: &Config, users: Option<&Users>, findings: &mut Findings) {
    let possible = walls::possible();
    for found in found(role, config, possible, users.is_some()) {
        if found.stands {
            findings.ok(format!("boundary: {}", found.what));
        } else {
            findings.warning(format!("boundary off: {}", found.what), fix(found.wall));
        }
        findings.walls.push(found);
    }
}

fn found(role: Role, config: &Config, possible: Standing, is_shared: bool) -> Vec<Found> {
    let found = |wall, stands, what: &str| Found { wall, stands, what: what.to_owned() };
    let version = possible.landlock.unwrap_or_default();
    let landlock = possible.landlock.map_or_else(
        || "this kernel has no landlock of version 2 or newer".to_owned(),
        |version| format!("landlock {version} keeps each process to its own files"),
    );
    let calls = if possible.calls {
        "seccomp refuses system calls that no process needs"
    } else {
        "this kernel filters no system calls"
    };
    let mut all = vec![
        Found { wall: "landlock", stands: possible.landlock.is_some(), what: landlock },
        found("seccomp", possible.calls, calls),
    ];
    if role == Role::Cloud {
        all.push(found(
            "mesh",
            version > 0,
            "the mesh process cannot read its key again, nor any file outside its own",
        ));
        let brain = "the brain, a program, cannot read keys, the vault, or any file but the system's, its own and what `reads` names";
        all.extend((config.brain.kind == BrainKind::Command).then(|| found("brain", version > 0, brain)));
        return all;
    }
    let users = match is_shared {
        true => "mesh, executor and you are three users; no program of yours reads or ends what the executor holds",
        false => "all processes run as one user; malicious code outside the node's processes could read everything",
    };
    all.extend([
        found("mesh", version > 0, "the mesh process cannot read keys, approvals or credentials"),
        found("executor", version > 0, "the executor cannot read keys, the vault or the mesh's store"),
        found("reviewer", version > 0 && possible.calls, "a command that holds the approve key has no network"),
        found("pairing", version > 0, "pairing cannot read the vault, approvals or credentials"),
        found("ports", version >= LANDLOCK_TCP, "the executor connects to its mail server's port alone"),
        found("scopes", version >= LANDLOCK_SCOPES, "no process signals another, or reaches abstract sockets"),
        found("users", is_shared, users),
    ]);
    all
}

fn fix(wall: &str) -> &'static str {
    match wall {
        "seccomp" => "Use a kernel with seccomp, on x86_64 or aarch64.",
        "ports" => "Use a kernel with landlock 4 (6.7 or newer).",
        "scopes" => "Use a kernel with landlock 6 (6.12 or newer).",
        "users" => {
            "Run nothing else as this user that reads mail or runs a language model with tools, or separate the users: \
             \"Three users\" in deploy/README.md."
        }
        _ => "Use a kernel with landlock (5.19 or newer, `lsm=…,landlock`).",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(role: Role, settings: &str, landlock: Option<u8>, calls: bool) -> Vec<&'static str> {
        let config = Config::parse(&format!("vault = \"/vault\"\n{settings}")).unwrap();
        let found = found(role, &config, Standing { landlock, calls }, false);
        found.into_iter().filter(|found| found.stands).map(|found| found.wall).collect()
    }

    #[test]
    fn each_wall_stands_as_far_as_the_kernel_has_it() {
        let all = ["landlock", "seccomp", "mesh", "executor", "reviewer", "pairing", "ports", "scopes"];
        assert_eq!(standing(Role::Local, "", Some(7), true), all);
        assert_eq!(standing(Role::Local, "", Some(5), true), all[..7]);
        assert_eq!(standing(Role::Local, "", Some(3), true), all[..6]);
        assert_eq!(standing(Role::Local, "", Some(3), false), ["landlock", "mesh", "executor", "pairing"]);
        assert_eq!(standing(Role::Local, "", None, true), ["seccomp"]);
        let config = Config::parse("vault = \"/vault\"\n").unwrap();
        let shared = found(Role::Local, &config, Standing { landlock: None, calls: false }, true);
        let stands: Vec<_> = shared.into_iter().filter(|found| found.stands).map(|found| found.wall).collect();
        assert_eq!(stands, ["users"], "users keep apart what no kernel's wall does");
        assert_eq!(standing(Role::Cloud, "", Some(7), true), ["landlock", "seccomp", "mesh"]);
        let brain = "[brain]\nkind = \"command\"\ncommand = [\"/bin/brain\"]\n";
        assert_eq!(standing(Role::Cloud, brain, Some(7), true), ["landlock", "seccomp", "mesh", "brain"]);
        assert_eq!(standing(Role::Cloud, brain, None, true), ["seccomp"]);
    }
}
