//! Key files that are gone, damaged, open or somebody else's: whoever reads one says which, why, and what to do.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use rustix::process::getuid;

use crate::node::{Node, Pair, text};

/// What can have become of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Gone,
    Empty,
    Truncated,
    OtherBytes,
    Folder,
    Link,
    Open,
    Foreign,
}

use Damage::{Empty, Folder, Foreign, Gone, Link, Open, OtherBytes, Truncated};

const ALL: [Damage; 8] = [Gone, Empty, Truncated, OtherBytes, Folder, Link, Open, Foreign];
/// Of what verifies itself, and may be read by anybody.
const OF_PUBLIC: [Damage; 5] = [Gone, Empty, Truncated, OtherBytes, Folder];

/// Words of which a message that says what to do has one.
const WHAT_TO_DO: [&str; 12] = [
    "restore",
    "aiemp-node ",
    "move it away",
    "chmod ",
    "chown ",
    "put the file itself there",
    "Run this on",
    "store it anew",
    "Restore",
    "Correct",
    "run as uid",
    "pair",
];

/// A file that was damaged, put back when dropped.
struct Damaged {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Damaged {
    fn by(damage: Damage, path: &Path) -> Self {
        let bytes = fs::read(path).expect("the file to be damaged");
        let whole = Self { path: path.to_owned(), bytes };
        let write = |bytes: &[u8]| fs::write(path, bytes).expect("written");
        match damage {
            Gone => fs::remove_file(path).expect("it goes"),
            Empty => write(b""),
            Truncated => write(&whole.bytes[..whole.bytes.len() / 2]),
            OtherBytes => write(&whole.bytes.iter().map(|byte| byte ^ 0x5a).collect::<Vec<_>>()),
            Folder => {
                fs::remove_file(path).expect("it goes");
                fs::create_dir(path).expect("a folder");
            }
            Link => {
                let aside = path.with_extension("aside");
                fs::rename(path, &aside).expect("moved");
                symlink(aside, path).expect("a link");
            }
            Open => fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("opened"),
            Foreign => chown(path, Some(65_534), None).expect("given away"),
        }
        whole
    }
}

impl Drop for Damaged {
    fn drop(&mut self) {
        fs::remove_file(&self.path).or_else(|_| fs::remove_dir(&self.path)).ok();
        fs::remove_file(self.path.with_extension("aside")).ok();
        fs::write(&self.path, &self.bytes).expect("put back");
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o600)).expect("closed");
    }
}

/// Damages a file in every way, and runs each command that reads it.
fn refused_however_damaged(node: &Node, file: &str, damages: &[Damage], commands: &[&[&str]]) {
    let path = node.home.join(file);
    for damage in damages {
        if *damage == Foreign && !getuid().is_root() {
            continue;
        }
        let _damaged = Damaged::by(*damage, &path);
        for command in commands {
            let refusal = node.refused(command);
            let said = &refusal.said;
            assert!(matches!(refusal.code, Some(1 | 78)), "{file} {damage:?}, {command:?}: {:?} {said}", refusal.code);
            let name = Path::new(file).file_name().expect("a name").to_string_lossy();
            let is_named = said.contains(&*name)
                || ["roster", "owner keys", "belongs to no mesh"].iter().any(|word| said.contains(word));
            assert!(is_named, "{file} {damage:?}, {command:?} does not say which file: {said}");
            assert!(WHAT_TO_DO.iter().any(|word| said.contains(word)), "{file} {damage:?}, {command:?}: {said}");
            assert!(!said.contains("panicked"), "{said}");
        }
    }
}

const MESH: &[&str] = &["process", "mesh"];
const EXECUTOR: &[&str] = &["process", "executor"];
const LOCAL: &[&str] = &["--role", "local"];
const APPROVE: &[&str] = &["approvals", "approve", "00000000"];
const RENEW: &[&str] = &["peers", "renew"];

#[test]
fn no_process_starts_with_a_key_file_that_is_not_as_it_should_be() {
    let mut pair = Pair::paired();
    pair.cloud.drop_mail("order.eml", b"From: a@client.test\r\nTo: me@example.test\r\nSubject: x\r\n\r\nHello\r\n");
    let local = &pair.local;
    refused_however_damaged(local, "keys/node.key", &ALL, &[MESH, EXECUTOR, LOCAL, &["freeze"], &["status"], APPROVE]);
    refused_however_damaged(local, "keys/owner.key", &ALL, &[RENEW]);
    refused_however_damaged(local, "executor/root.pub", &ALL, &[EXECUTOR]);
    refused_however_damaged(local, "executor/receipt.key", &ALL, &[EXECUTOR]);
    refused_however_damaged(local, "receipt.pub", &OF_PUBLIC, &[MESH, &["audit", "verify"]]);
    refused_however_damaged(local, "roster/chain", &OF_PUBLIC, &[EXECUTOR, APPROVE]);
    refused_however_damaged(local, "roster/chain", &OF_PUBLIC[1..], &[MESH, LOCAL]);
    refused_however_damaged(local, "keys/signed/rosters", &ALL[1..], &[RENEW]);
    assert!(local.outbox().is_empty(), "nothing was sent");
    assert_eq!(fs::read_dir(local.home.join("approved")).expect("a folder").count(), 0, "and nothing approved");
    // With everything back in its place all is well.
    pair.local.start();
    pair.wait("the draft arrives", |pair| !pair.local.approvals_in("pending").is_empty());
    let id = pair.local.approvals_in("pending").remove(0);
    pair.local.must(&["approvals", "approve", &id]);
    pair.wait("it is sent once", |pair| pair.local.outbox().len() == 1);
}

#[test]
fn a_sealed_keystore_that_was_damaged_is_told_from_a_wrong_passphrase() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let passphrase = dir.path().join("passphrase");
    fs::write(&passphrase, "correct horse battery\n").expect("written");
    let passphrase = passphrase.to_string_lossy().into_owned();
    let node = Node::init(dir.path(), "local", &["--passphrase-file", &passphrase]);
    let renew = ["peers", "renew", "--passphrase-file", &passphrase];
    for damage in ALL {
        if damage == Foreign && !getuid().is_root() {
            continue;
        }
        let _damaged = Damaged::by(damage, &node.home.join("keys/owner.age"));
        let refusal = node.refused(&renew);
        assert!(matches!(refusal.code, Some(1 | 78)), "{damage:?}: {refusal:?}");
        assert!(!refusal.said.contains("passphrase is wrong"), "{damage:?}: {}", refusal.said);
        assert!(WHAT_TO_DO.iter().any(|word| refusal.said.contains(word)), "{damage:?}: {}", refusal.said);
    }
    node.must(&renew);
}

#[test]
fn owner_keys_that_cannot_be_used_are_told_by_doctor_and_at_the_start_and_the_node_runs() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let passphrase = dir.path().join("passphrase");
    fs::write(&passphrase, "correct horse battery\n").expect("written");
    let passphrase = passphrase.to_string_lossy().into_owned();
    for (name, extra) in [("owner.key", &[][..]), ("owner.age", &["--passphrase-file", &passphrase])] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut node = Node::init(dir.path(), "local", extra);
        let told = |node: &Node| {
            let said = text(&node.run(&["doctor"]).stdout);
            let mut lines = said.lines().skip_while(|line| !line.contains("owner."));
            Some((lines.next()?.to_owned(), lines.next()?.to_owned()))
        };
        assert_eq!(told(&node), None, "{name} is whole");
        for damage in ALL.into_iter().filter(|damage| *damage != Foreign || getuid().is_root()) {
            let _damaged = Damaged::by(damage, &node.home.join("keys").join(name));
            let (what, fix) = told(&node).unwrap_or_else(|| panic!("{name} {damage:?} is not told"));
            assert!(what.starts_with("error") && what.contains(name), "{damage:?}: {what}");
            let is_told = |word: &&str| what.contains(*word) || fix.contains(*word);
            assert!(WHAT_TO_DO.iter().any(is_told), "{damage:?}: {what}: {fix}");
        }
        for damage in [Some(Gone), Some(Truncated), None] {
            let _damaged = damage.map(|damage| Damaged::by(damage, &node.home.join("keys").join(name)));
            let before = node.log().len();
            node.start();
            let log = node.log()[before..].to_owned();
            assert_eq!(
                log.contains("the owner's keys cannot be used") && log.contains(name),
                damage.is_some(),
                "{log}"
            );
            assert_eq!(log.contains("from a backup of this home"), damage.is_some(), "{log}");
            assert_eq!(node.stop().0, Some(0), "{log}");
        }
    }
}

#[test]
fn what_the_mesh_wrote_is_read_before_a_key_is_opened() {
    let pair = Pair::paired();
    let home = aiemp_node::home::Home::at(&pair.local.home);
    fs::write(home.store(), b"no database, but what a mesh wrote that was taken over").expect("written");
    fs::write(home.keys().join("owner.key"), b"no key").expect("an owner's key");
    for command in ["revoke", "heal"] {
        let refusal = pair.local.refused(&["peers", command, "cloud"]);
        assert!(
            refusal.said.contains("store.sqlite") && !refusal.said.contains("owner"),
            "{command}: {}",
            refusal.said
        );
    }
}
