//! The home directory of a node: where each file lies.

use std::path::{Path, PathBuf};

/// A node's home. Created 0700; everything below it is the node's own.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

macro_rules! places {
    ($($(#[$doc:meta])* $name:ident => $path:literal;)*) => {
        impl Home {
            $($(#[$doc])*
            pub fn $name(&self) -> PathBuf {
                self.0.join($path)
            })*
        }
    };
}

places! {
    /// What the mesh process may read and write: everything but keys, approvals and credentials.
    mesh => "mesh";
    /// The node key, and the owner's keys.
    keys => "keys";
    /// Settings.
    config => "config.toml";
    /// There while an init is under way, or was interrupted.
    init_begun => "init-begun";
    /// Who runs what, where three users share the home.
    users => "users";
    /// The node's id, for whoever may not read its key.
    node_id => "node.pub";
    /// Held by the one process that may use the store.
    lock => "mesh/lock";
    /// Where the roster chain lies: a folder of its own, so that a process may read it and nothing else of the mesh's.
    roster_folder => "roster";
    /// The roster chain; verifies itself.
    rosters => "roster/chain";
    /// A second roster of one epoch, where the root key signed two; verifies itself.
    roster_fork => "roster/fork";
    /// Where version 0.1.0 kept the chain.
    old_rosters => "mesh/rosters";
    /// An open invitation.
    invite => "mesh/invite";
    /// The name given at `init`, until a roster carries it.
    name => "mesh/name";
    /// Addresses of peers, one file each.
    peers => "mesh/peers";
    /// The mesh's logs.
    store => "mesh/store.sqlite";
    /// How far the mails of the mailbox are taken up.
    mail_in => "mesh/mail-in";
    /// What the brain used in the last day.
    brain_spending => "mesh/brain-spending";
    /// The folders of a brain that is a program, one for each run, as long as that lasts.
    brain => "brain";
    /// What belongs to each watcher: its own folder, and how far it has told what it saw.
    watchers => "watchers";
    /// Fingerprints of the known secrets.
    fingerprints => "mesh/fingerprints";
    /// What the person let out although the guard held it; signed.
    releases => "mesh/releases";
    /// What exists only while the node runs.
    run => "run";
    /// Addresses the node listens on, one a line.
    addresses => "run/addresses";
    /// What `--announce` said, one multiaddress a line.
    announced => "run/announced";
    /// Where the other commands ask a running node.
    control_socket => "run/control.sock";
    /// Signed approvals on their way to the executor.
    approved => "approved";
    /// Recipients, accounts, amounts and links that something was approved with before; signed, the reviewer's own.
    known_values => "keys/known-values";
    /// The signed policy as it was applied last; the reviewer's own.
    policy => "keys/policy";
    /// The signed declaration of hands as it was applied last; the reviewer's own.
    hands => "keys/hands";
    /// What the reviewer showed last, by action: to tell what changed since.
    shown => "keys/shown";
    /// What the root key signed: a folder of its own, for commands that write there may write no key.
    signed => "keys/signed";
    /// The roster chain as the root key left it.
    signed_rosters => "keys/signed/rosters";
    /// The lifts that were signed here: nobody else can take one away.
    signed_lifts => "keys/lifted";
    /// Wrong passphrases since the last right one.
    attempts => "keys/attempts";
    /// Who froze the mesh and who lifted it; each record verifies itself.
    freezes => "freeze";
    /// Signed standing approvals; each verifies itself.
    standing => "standing";
    /// Drafts that the mesh asks the executor to send under a standing approval.
    requests => "requests";
    /// Signed receipts on their way back.
    receipts => "receipts";
    /// Why the executor ended, for whoever asks why nothing is sent; gone while it runs.
    executor_ended => "receipts/executor-ended";
    /// Public key that receipts are signed with.
    receipt_key => "receipt.pub";
    /// What only the executor reads.
    executor => "executor";
    /// The root key that the executor pinned at `init`.
    pinned_root => "executor/root.pub";
    /// Freeze records that the executor has seen: nobody else can take one away.
    executor_freezes => "executor/freeze";
    /// The signed policy that the executor goes by.
    executor_policy => "executor/policy";
    /// The signed declaration of hands that the executor goes by.
    executor_hands => "executor/hands";
    /// Ids of standing approvals that a person ended: nobody else can take one away.
    ended_standing => "executor/ended";
    /// The executor's signing key for receipts.
    receipt_signer => "executor/receipt.key";
    /// The executor's journal.
    journal => "executor/journal.sqlite";
    /// The own folder of each MCP server.
    tools => "executor/tools";
    /// Service credentials, one file each.
    secrets => "executor/secrets";
    /// Cloud-grade secrets: made on Cloud, never synced.
    cloud_secrets => "cloud-secrets";
    /// Hash-chained audit logs, a folder for each process.
    audit => "audit";
    /// The mesh's.
    mesh_audit => "audit/mesh";
    /// The executor's.
    executor_audit => "audit/executor";
    /// Mails as files, where no server is configured.
    outbox => "outbox";
    /// What was held back from the logs.
    holds => "mesh/holds";
}

impl Home {
    /// The home at a path, which need not exist yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where a node is at home unless told otherwise: `$AIEMP_HOME`, else below the platform's state directory.
    pub fn default_path() -> Option<PathBuf> {
        if let Some(home) = std::env::var_os("AIEMP_HOME") {
            return Some(home.into());
        }
        let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
        let state = state.filter(|path| path.is_absolute());
        let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
        Some(state.join("aiemp-node"))
    }
}
