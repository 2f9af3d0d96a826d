//! `init`: keys, settings, and on Local a new mesh.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use aiemp_keys::{Keystore, NodeId, OwnerKeys, Protection, RecoveryWords, Secret, Signer, private_file};
use aiemp_protocol::{
    action::is_address,
    ids::MeshId,
    roster::{Member, Quota, Role, Roster, RosterChain, SignedRoster},
};
use anyhow::{Context, Result};
use clap::Args;

use self::begun::Begun;
use super::{Passphrase, RoleArg, owner, print};
use crate::{
    fault::Fault,
    home::Home,
    shell::{self, rosters::signing::Signing, vault_disk},
};

mod begun;
mod found;
mod recovery_file;

/// The least that NIST SP 800-63B asks of a password.
const PASSPHRASE_CHARS_MIN: usize = 8;

/// Folders of a new vault, as the people who use this know them.
const VAULT_FOLDERS: [&str; 9] = [
    "Inbox",
    "Needs_Action/email",
    "Plans/email",
    "Pending_Approval/email",
    "In_Progress",
    "Approved",
    "Rejected",
    "Done",
    "Updates",
];

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// What the node will be
    #[arg(long, value_enum)]
    role: RoleArg,
    /// The folder of Markdown notes; made if it does not exist [default: ~/AI_Employee_Vault]
    #[arg(long, value_name = "DIR")]
    vault: Option<PathBuf>,
    /// What people call this node; also its claim folder [default: the role]
    #[arg(long)]
    name: Option<String>,
    /// Who your mails are from, as in `Ann Example <ann@example.org>` (Local only)
    #[arg(long, value_name = "SENDER")]
    from: Option<String>,
    #[command(flatten)]
    passphrase: Passphrase,
    /// Keep the owner's keys without a passphrase: for trying things out; such a mesh refuses real sending
    #[arg(long, conflicts_with = "passphrase_file")]
    unprotected_keys: bool,
    /// Write the 24 recovery words here instead of showing them at the terminal; the file must not exist yet
    #[arg(long, value_name = "FILE")]
    recovery_file: Option<PathBuf>,
}

pub(super) fn init(home: &Home, args: &InitArgs) -> Result<ExitCode> {
    let vault = vault_path(home, args)?;
    let name = args.name.clone().unwrap_or_else(|| args.role.role().as_str().to_owned());
    check_name(&name)?;
    check_from(args)?;
    begun::refuse_finished(home)?;
    if let Some(file) = args.recovery_file.as_deref().filter(|_| args.role == RoleArg::Local) {
        recovery_file::check(file)?;
    }
    refuse_anothers(&vault)?;
    let protection = protection(args)?;
    make_vault(&vault)?;
    let begun = Begun::at(home)?;
    make_folders(home)?;
    let keystore = Keystore::at(home.path());
    let node = keystore.create_node()?;
    private_file::write_private(&home.name(), name.as_bytes())?;
    let mut mesh = None;
    if args.role == RoleArg::Local {
        let (owner, words) = keystore.create_owner(&protection)?;
        let unattended = args.unprotected_keys || args.passphrase.passphrase_file.is_some();
        found_mesh(home, &node, &owner, &name, unattended)?;
        show_words(&words, args.recovery_file.as_deref())?;
        mesh = Some(MeshId::founded_by(&owner.root.public()));
    }
    // From here on the home is a node's.
    private_file::write_private(&home.config(), settings(&vault, args).as_bytes())?;
    begun.end()?;
    report(home, &vault, args, &name, node.node_id(), mesh);
    Ok(ExitCode::SUCCESS)
}

fn vault_path(home: &Home, args: &InitArgs) -> Result<PathBuf> {
    let vault = match (&args.vault, std::env::var_os("HOME")) {
        (Some(vault), _) => vault.clone(),
        (None, Some(user_home)) => PathBuf::from(user_home).join("AI_Employee_Vault"),
        (None, None) => return Err(Fault::usage("no vault is named", "Give --vault DIR.").into()),
    };
    let vault = std::path::absolute(&vault)?;
    shell::places::check_apart(home.path(), &vault)?;
    Ok(vault)
}

/// Two nodes on one folder would each take what the other writes for the person's work.
fn refuse_anothers(vault: &Path) -> Result<(), Fault> {
    let Some(owner) = vault_disk::owners(vault, None).into_iter().next() else { return Ok(()) };
    let fix = format!(
        "Give this node a folder of its own: --vault DIR. If the other node is gone for good, delete {} and run init again.",
        owner.mark.display()
    );
    Err(Fault::operator("vault_taken", shell::mesh::anothers(vault, &owner), fix))
}

fn check_name(name: &str) -> Result<(), Fault> {
    if Member::may_be_named(name) {
        return Ok(());
    }
    Err(Fault::usage(
        format!("`{name}` cannot be a node's name"),
        "Use 1 to 40 letters, digits, `-` and `_`; it is also the name of a folder.",
    ))
}

fn check_from(args: &InitArgs) -> Result<(), Fault> {
    let Some(from) = &args.from else { return Ok(()) };
    if args.role == RoleArg::Cloud {
        return Err(Fault::usage("a Cloud node sends nothing", "Give --from to the Local node."));
    }
    if !is_address(from) {
        let fix = "Write `Ann Example <ann@example.org>`, or the address alone.";
        return Err(Fault::usage(format!("`{from}` is no mail address"), fix));
    }
    Ok(())
}

fn protection(args: &InitArgs) -> Result<Protection> {
    if args.role == RoleArg::Cloud || args.unprotected_keys {
        return Ok(Protection::Unprotected);
    }
    if let Some(file) = &args.passphrase.passphrase_file {
        let passphrase = owner::from_file(file)?;
        check_length(&passphrase)?;
        return Ok(Protection::Passphrase(passphrase));
    }
    let first = owner::ask("New passphrase for approving and pairing: ")?;
    if first.expose().is_empty() {
        let fix = "Run init again and choose one, or give --unprotected-keys to try things out. Nothing was changed.";
        return Err(Fault::operator("empty_passphrase", "the passphrase is empty, which protects nothing", fix).into());
    }
    check_length(&first)?;
    let second = owner::ask("Once more: ")?;
    if first.expose() != second.expose() {
        return Err(Fault::operator(
            "passphrases_differ",
            "the two passphrases differ",
            "Run init again; nothing was changed.",
        )
        .into());
    }
    Ok(Protection::Passphrase(first))
}

/// Where the sealed keys are copied away, nothing else stands in the way of whoever tries one after the other.
fn check_length(passphrase: &Secret<String>) -> Result<(), Fault> {
    let length = passphrase.expose().chars().count();
    if length >= PASSPHRASE_CHARS_MIN {
        return Ok(());
    }
    let fix = "Run init again and choose another: four words that have nothing to do with each other are good. Nothing was changed.";
    let message =
        format!("the passphrase has {length} characters, and needs {PASSPHRASE_CHARS_MIN}: short ones are guessed");
    Err(Fault::operator("short_passphrase", message, fix))
}

fn make_folders(home: &Home) -> Result<()> {
    for folder in [
        home.mesh(),
        home.peers(),
        home.holds(),
        home.roster_folder(),
        home.run(),
        home.approved(),
        home.receipts(),
        home.freezes(),
        home.executor(),
        home.secrets(),
        home.audit(),
    ] {
        private_file::create_private_dir(&folder)?;
    }
    Ok(())
}

fn make_vault(vault: &Path) -> Result<()> {
    for folder in VAULT_FOLDERS {
        let folder = vault.join(folder);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    Ok(())
}

fn found_mesh(home: &Home, node: &Signer, owner: &OwnerKeys, name: &str, unattended: bool) -> Result<()> {
    let first = Member {
        node: node.node_id(),
        name: name.to_owned(),
        role: Role::Local,
        generation_min: 0,
        quota: Quota::default(),
    };
    let approver = owner.approve.public();
    let roster = Roster::found(&owner.root, owner.next_root_hash, approver, first, unattended, shell::clock::now());
    let chain = RosterChain::begin(&SignedRoster::sign(&owner.root, roster).to_bytes())?;
    Signing::found(home, chain)?;
    private_file::write_private(&home.pinned_root(), owner.root.public().to_string().as_bytes())?;
    let receipts = Signer::generate()?;
    let seed = data_encoding::HEXLOWER.encode(receipts.seed().expose());
    private_file::write_private(&home.receipt_signer(), seed.as_bytes())?;
    private_file::write_private(&home.receipt_key(), receipts.public().to_string().as_bytes())?;
    Ok(())
}

/// The words go to a file or to the terminal, never to stdout.
fn show_words(words: &RecoveryWords, file: Option<&Path>) -> Result<()> {
    let phrase = words.phrase();
    if let Some(file) = file {
        recovery_file::write(file, &Secret::new(format!("{}\n", phrase.expose())))?;
        print::talk(format!("The 24 recovery words are in {}. Print it, then delete the file.", file.display()));
        return Ok(());
    }
    match std::fs::OpenOptions::new().write(true).open("/dev/tty") {
        Ok(mut terminal) => {
            let text = format!(
                "\nYour 24 recovery words. Write them on paper: they make the root key that may follow this one, should\n\
                 this computer and its backup be gone:\n\n  {}\n\n",
                phrase.expose()
            );
            terminal.write_all(text.as_bytes()).context("cannot write to the terminal")
        }
        Err(_) => {
            print::talk("warning: there is no terminal, so the 24 recovery words were not shown.");
            print::talk("  To have them, delete this home and run init at a terminal or with --recovery-file FILE.");
            Ok(())
        }
    }
}

fn settings(vault: &Path, args: &InitArgs) -> String {
    let vault = toml::Value::from(vault.to_string_lossy().into_owned());
    let mut text = format!("# Settings of this node. A key that is not known refuses the start.\nvault = {vault}\n");
    match args.role {
        RoleArg::Cloud => {
            text.push_str("listen = [\"/ip4/0.0.0.0/tcp/4001\"]\n# announce = [\"vm.example.org:4001\"]\n\n");
            text.push_str("[brain]\n# \"none\", \"template\" (built in) or \"command\"\nkind = \"template\"\n");
        }
        RoleArg::Local => {
            text.push_str(
                "\n[mail]\n# \"outbox\" writes .eml files; \"smtp\" sends and needs [smtp]\nhand = \"outbox\"\n",
            );
            match &args.from {
                Some(from) => text.push_str(&format!("from = {}\n\n", toml::Value::from(from.as_str()))),
                None => text.push_str("# from = \"Your Name <you@example.org>\"\n\n"),
            }
            text.push_str("# [smtp]\n# host = \"smtp.example.org\"\n# username = \"you@example.org\"\n");
            text.push_str("# password_secret = \"smtp-password\"\n");
        }
    }
    text
}

fn report(home: &Home, vault: &Path, args: &InitArgs, name: &str, node: NodeId, mesh: Option<MeshId>) {
    let mut text = String::new();
    let _ = writeln!(text, "node   {name} ({})  {node}", args.role.role().as_str());
    if let Some(mesh) = mesh {
        let _ = writeln!(text, "mesh   {mesh}");
    }
    let _ = writeln!(text, "home   {}", home.path().display());
    let _ = write!(text, "vault  {}", vault.display());
    print::data(text);
    found::lines(vault, node, args.role.role()).iter().for_each(print::talk);
    for sync in shell::other_syncs::find(vault) {
        print::talk(format!("warning: {}. {}", sync.what, sync.fix));
    }
    print::talk(match args.role {
        RoleArg::Cloud => {
            "next: start it with `aiemp-node --role cloud`, then run `aiemp-node pair invite` and take the ticket to Local."
        }
        RoleArg::Local if args.from.is_some() => "next: pair with `aiemp-node pair accept`.",
        RoleArg::Local => "next: set `[mail] from` in config.toml, then pair with `aiemp-node pair accept`.",
    });
}
