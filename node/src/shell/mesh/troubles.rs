//! What is not as it should be with the vault's folder and the store, and what to do: for `status` and `doctor`.

use std::path::Path;

use aiemp_protocol::time::Timestamp;

use super::place::Away;
use crate::{
    core::Bound,
    fault::Fault,
    home::Home,
    shell::{control::WireTrouble, store},
};

pub(super) fn away(away: &Away, root: &Path) -> WireTrouble {
    let Fault { message, fix, .. } = away.told(root);
    WireTrouble { is_error: true, what: message, fix }
}

pub(super) fn removals(held: usize) -> WireTrouble {
    WireTrouble {
        is_error: true,
        what: match held {
            1 => "1 file vanished with others within seconds and waits for your decision".to_owned(),
            _ => format!("{held} files vanished within seconds and wait for your decision"),
        },
        fix: "`aiemp-node conflicts` lists them as mass_removal, and `conflicts show ID` says how to decide."
            .to_owned(),
    }
}

/// Work that a brain failed at waits.
pub(super) fn brain(why: &str) -> WireTrouble {
    WireTrouble {
        is_error: true,
        what: format!("the brain failed the last time, and drafted nothing: {why}"),
        fix: "Look at [brain] in config.toml, and run its command by hand as the node's user; the node's log says which work \
              it was."
            .to_owned(),
    }
}

/// Nothing was heard of the process with the senses.
pub(super) fn senses_absent() -> WireTrouble {
    WireTrouble {
        is_error: true,
        what: "drop folders, webhooks and watchers are not looked after: the process that hears them does not run"
            .to_owned(),
        fix: "Look into the node's log, and start the node again. In a home of three users the person starts it: aiemp-node-senses."
            .to_owned(),
    }
}

/// Tasks wait for the brain, which may not be run for now.
pub fn brain_waits((tasks, until, bound): (usize, Timestamp, Bound)) -> WireTrouble {
    let tasks = if tasks == 1 { "1 task waits".to_owned() } else { format!("{tasks} tasks wait") };
    WireTrouble {
        is_error: false,
        what: format!("{}: {tasks} for the brain until {until}", bound.as_str()),
        fix: "It goes on by itself then; [brain.budget] in config.toml says how much it may use.".to_owned(),
    }
}

pub(super) fn unwatched(why: &str) -> WireTrouble {
    WireTrouble {
        is_error: false,
        what: format!("some folders of the vault are not watched ({why}); it is scanned every ten seconds instead"),
        fix: "Raise fs.inotify.max_user_watches and fs.inotify.max_user_instances (sysctl).".to_owned(),
    }
}

/// Nothing syncs while entries are lost.
pub fn entries_lost(lost: usize) -> WireTrouble {
    WireTrouble {
        is_error: true,
        what: format!(
            "the store was damaged and lost {lost} entries of its logs; they are asked of the peers, and nothing syncs until they are back"
        ),
        fix: "Start the other nodes. If none has them (what was never sent nobody has), stop this node and run \
              `aiemp-node doctor --repair`: it goes on without them."
            .to_owned(),
    }
}

/// A member that keeps what nobody else needs from being forgotten.
pub fn absent(name: &str, since: Timestamp) -> WireTrouble {
    WireTrouble {
        is_error: false,
        what: format!("nothing was heard of {name} since {since}; contents that it may lack are kept for it"),
        fix: format!("Start it, or take it out of the mesh: `aiemp-node peers revoke {name}`."),
    }
}

/// What became of the store.
pub(super) fn of_store(home: &Home, payloads_lost: usize) -> Vec<WireTrouble> {
    let payloads = (payloads_lost > 0).then(|| WireTrouble {
        is_error: false,
        what: format!(
            "{payloads_lost} contents in the store were damaged since the start; they are asked of the peers again"
        ),
        fix: "Check the disk. What no peer has is listed by `aiemp-node status` as lacking.".to_owned(),
    });
    kept_damaged(home).into_iter().chain(payloads).collect()
}

/// Damaged stores that were mended are told until somebody removed them.
pub fn kept_damaged(home: &Home) -> Option<WireTrouble> {
    let kept = store::kept_damaged(&home.store());
    let kept: Vec<_> = kept.iter().map(|path| path.display().to_string()).collect();
    (!kept.is_empty()).then(|| WireTrouble {
        is_error: false,
        what: format!("the store was damaged and mended; as it was it is kept: {}", kept.join(", ")),
        fix: "Check the disk (smartctl, the kernel's log). When all is well, remove these files.".to_owned(),
    })
}

/// What the vault's file system cannot do.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lacks {
    /// Files cannot be exchanged: content is compared right before a rename.
    pub(super) exchange: bool,
    /// Others change files without this system telling; the file system's name.
    pub(super) telling: Option<&'static str>,
}

impl Lacks {
    pub(super) fn told(self) -> impl Iterator<Item = WireTrouble> {
        let exchange = self.exchange.then(|| WireTrouble {
            is_error: false,
            what: "the vault's file system cannot exchange files: a save in the same moment as a merge may be lost"
                .to_owned(),
            fix: "Keep the vault on a disk of this machine with ext4, XFS or btrfs.".to_owned(),
        });
        let telling = self.telling.map(|name| WireTrouble {
            is_error: false,
            what: format!(
                "the vault lies on {name}, which does not tell of all changes; it is scanned every ten seconds"
            ),
            fix: "Keep the vault on a disk of this machine, if what others save there should be seen at once."
                .to_owned(),
        });
        exchange.into_iter().chain(telling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trouble_says_what_to_do() {
        let told: Vec<_> = Lacks { exchange: true, telling: Some("NFS") }.told().chain([unwatched("limit")]).collect();
        let whats: Vec<_> = told.iter().map(|trouble| trouble.what.as_str()).collect();
        assert_eq!(
            whats,
            [
                "the vault's file system cannot exchange files: a save in the same moment as a merge may be lost",
                "the vault lies on NFS, which does not tell of all changes; it is scanned every ten seconds",
                "some folders of the vault are not watched (limit); it is scanned every ten seconds instead",
            ]
        );
        assert!(told.iter().all(|trouble| !trouble.is_error && !trouble.fix.is_empty()));
        assert_eq!(Lacks::default().told().count(), 0);
    }

    #[test]
    fn one_file_that_waits_is_told_as_one() {
        assert_eq!(removals(1).what, "1 file vanished with others within seconds and waits for your decision");
        assert_eq!(removals(2).what, "2 files vanished within seconds and wait for your decision");
    }

    #[test]
    fn a_damaged_store_and_an_absent_member_say_what_to_do() {
        let lost = entries_lost(2);
        assert!(lost.is_error);
        assert_eq!(
            lost.what,
            "the store was damaged and lost 2 entries of its logs; they are asked of the peers, and nothing syncs until they are back"
        );
        assert!(lost.fix.contains("`aiemp-node doctor --repair`"), "{}", lost.fix);
        let absent = absent("desktop", Timestamp::from_millis(1_767_781_800_000));
        assert_eq!(
            absent.what,
            "nothing was heard of desktop since 2026-01-07T10:30:00Z; contents that it may lack are kept for it"
        );
        assert_eq!(absent.fix, "Start it, or take it out of the mesh: `aiemp-node peers revoke desktop`.");
    }
}
