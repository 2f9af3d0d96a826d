//! The owner's keys at the terminal: the passphrase, and what it opens.

mod attempts;

use std::{
    io::{BufRead as _, IsTerminal as _},
    path::Path,
};

use aiemp_keys::{Keystore, KeystoreError, OwnerKeys, SealError, Secret, next_root_hash};
use aiemp_protocol::roster::{Role, Roster, RosterChain};
use anyhow::{Context, Result};

use self::attempts::Attempts;
use super::{Passphrase, print, terminal};
use crate::{
    fault::Fault,
    home::Home,
    shell::{
        self,
        rosters::signing::{self, Signing},
        walls::{self, Wall},
    },
};

/// The owner's keys, open.
#[derive(Debug)]
pub(super) struct Unlocked {
    pub(super) keys: OwnerKeys,
    /// What opened them, if it was asked for.
    passphrase: Option<Secret<String>>,
}

impl Unlocked {
    /// Asks for the passphrase once more, where one was asked for.
    pub(super) fn ask_again(&self) -> Result<()> {
        let Some(passphrase) = &self.passphrase else { return Ok(()) };
        if ask("Passphrase, once more for this kind: ")?.expose() == passphrase.expose() {
            return Ok(());
        }
        Err(wrong_passphrase().into())
    }
}

/// Whether they sign what follows these rosters.
fn is_of(keys: &OwnerKeys, rosters: &RosterChain) -> bool {
    let root = keys.root.public();
    root == rosters.root() || next_root_hash(&root) == rosters.current().next_root_hash
}

fn wrong_passphrase() -> Fault {
    let fix = "Try again; nothing was changed. Each wrong one makes the next wait longer, up to five minutes.";
    Fault::operator("wrong_passphrase", "the passphrase is wrong", fix)
}

/// Opens root and approve keys, asking for the passphrase where one is needed; from then on the process is walled in.
pub(super) fn unlock(home: &Home, passphrase: &Passphrase, wall: &Wall) -> Result<OwnerKeys> {
    Ok(open(home, passphrase, wall)?.keys)
}

/// [`unlock`], for a command that asks for the passphrase again later.
pub(super) fn open(home: &Home, passphrase: &Passphrase, wall: &Wall) -> Result<Unlocked> {
    walls::keep_memory()?;
    let rosters = signing::known(home)?;
    if let Some(epoch) = rosters.as_ref().and_then(|rosters| shell::rosters::forked_epoch(home, rosters)) {
        return Err(shell::rosters::forked(epoch).into());
    }
    let keystore = Keystore::at(home.path());
    let secret = match (keystore.is_protected(), &passphrase.passphrase_file) {
        (None, _) => return Err(no_owner_keys(home).into()),
        (Some(false), _) => None,
        (Some(true), Some(file)) => Some(from_file(file)?),
        (Some(true), None) => Some(ask("Passphrase: ")?),
    };
    let keys = match &secret {
        None => keystore.unlock(None)?,
        Some(passphrase) => open_slowly(home, &keystore, passphrase)?,
    };
    if rosters.is_some_and(|rosters| !is_of(&keys, &rosters)) {
        let message = format!("the owner's keys in {} are those of another mesh", home.keys().display());
        let fix =
            "Restore this mesh's from a backup of this home: owner.age, or owner.key, under keys/. Nothing was done.";
        return Err(Fault::operator("other_owner_keys", message, fix).into());
    }
    // What this kernel lacks of it, `doctor` tells.
    wall.raise(home)?;
    Ok(Unlocked { keys, passphrase: secret })
}

fn no_owner_keys(home: &Home) -> Fault {
    if matches!(shell::identity::role(home), Ok(Role::Local))
        && let Some(trouble) = shell::identity::owner_keys_trouble(home)
    {
        return Fault::operator("no_owner_keys", trouble.what, trouble.fix);
    }
    Fault::operator(
        "no_owner_keys",
        format!("{} holds no owner keys: this is not a Local node's home", home.path().display()),
        "Run this on the Local node, or run `aiemp-node init --role local` first.",
    )
}

/// Tries a passphrase; after wrong ones, not before some time has passed.
fn open_slowly(home: &Home, keystore: &Keystore, passphrase: &Secret<String>) -> Result<OwnerKeys> {
    let mut attempts = Attempts::at(&home.attempts());
    if let Some((delay, times)) = attempts.delay(shell::clock::now()) {
        print::talk(format!(
            "After {times} wrong passphrase{}: this one is tried in {} s.",
            if times == 1 { "" } else { "s" },
            delay.as_secs().max(1)
        ));
        std::thread::sleep(delay);
    }
    attempts.begin(shell::clock::now());
    let unlocked = keystore.unlock(Some(passphrase.expose()));
    if let Err(KeystoreError::Seal(SealError::WrongPassphrase)) = unlocked {
        return Err(wrong_passphrase().into());
    }
    // What failed for another reason was no guess.
    attempts.clear();
    Ok(unlocked?)
}

/// The passphrase in the first line of a file.
pub(super) fn from_file(file: &Path) -> Result<Secret<String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let line = text.lines().next().unwrap_or_default().to_owned();
    if line.is_empty() {
        let fix = "Put the passphrase into its first line.";
        return Err(Fault::operator("empty_passphrase", format!("{} is empty", file.display()), fix).into());
    }
    Ok(Secret::new(line))
}

/// Asks at the terminal, without echo.
pub(super) fn ask(prompt: &str) -> Result<Secret<String>> {
    let line = terminal::ask_hidden(prompt).map_err(|_| {
        Fault::operator(
            "no_terminal",
            "a passphrase is needed and there is no terminal to ask at",
            "Run this at a terminal, or give --passphrase-file FILE.",
        )
    })?;
    Ok(Secret::new(line))
}

/// Asks for something secret at the terminal, without echo; elsewhere it is the first line of stdin. Never an argument,
/// which other users of the machine can read.
pub(super) fn ask_or_read(what: &str, prompt: &str) -> Result<Secret<String>> {
    if std::io::stdin().is_terminal() {
        let line = terminal::ask_hidden(prompt).map_err(|_| {
            let message = format!("there is no terminal to ask for the {what} at");
            Fault::operator("no_terminal", message, "Pipe it in, or run this at a terminal.")
        })?;
        return Ok(Secret::new(line));
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    let value = line.trim_end_matches(['\r', '\n']).to_owned();
    if value.is_empty() {
        let message = format!("stdin held no {what}");
        return Err(Fault::usage(message, "Pipe it in, or run this at a terminal.").into());
    }
    Ok(Secret::new(value))
}

/// Asks a yes/no question at the terminal; no terminal is a no.
pub(super) fn confirm(question: &str) -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    print::prompt(&format!("{question} [y/N] "));
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes")
}

/// Refuses what only a Local node decides.
pub(super) fn check_local(home: &Home, roster: &Roster) -> Result<()> {
    let node = shell::identity::own_id(home)?;
    if roster.member(node).is_some_and(|member| member.role == Role::Local) {
        return Ok(());
    }
    if let Some(not_in) = shell::identity::not_in_mesh(home, roster) {
        return Err(Fault::refused("not_in_mesh", not_in.what, not_in.fix).into());
    }
    let message = "this is a Cloud node; that is decided on Local alone";
    Err(Fault::refused("role", message, "Run this on the Local node.").into())
}

/// The rosters of the node's mesh: what lies on disk does not decide where the root key signed here.
pub(super) fn rosters(home: &Home) -> Result<RosterChain> {
    if home.old_rosters().exists() {
        shell::rosters::adopt(home)?;
    }
    signing::known(home)?.ok_or_else(|| not_paired(home).into())
}

/// [`rosters`], for the brake: nothing that others put on disk keeps it from working.
pub(super) fn rosters_in_any_case(home: &Home) -> Result<RosterChain> {
    if home.old_rosters().exists() {
        shell::rosters::adopt(home).ok();
    }
    signing::known_in_any_case(home)?.ok_or_else(|| not_paired(home).into())
}

/// Refuses where no owner's keys lie.
pub(super) fn check_keys(home: &Home) -> Result<(), Fault> {
    if Keystore::at(home.path()).is_protected().is_some() { Ok(()) } else { Err(no_owner_keys(home)) }
}

/// The rosters of the node's mesh, for a command that signs the next one. Call it before [`unlock`].
pub(super) fn signing(home: &Home) -> Result<Signing> {
    check_keys(home)?;
    if home.old_rosters().exists() {
        shell::rosters::adopt(home)?;
    }
    Signing::begin(home)?.ok_or_else(|| not_paired(home).into())
}

fn not_paired(home: &Home) -> Fault {
    Fault::operator(
        "not_paired",
        format!("{} belongs to no mesh yet", home.path().display()),
        "On Local run `aiemp-node init --role local`; on Cloud run `aiemp-node pair invite` and take the ticket to Local.",
    )
}
