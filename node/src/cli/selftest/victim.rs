//! The process that is attacked by files: a real executor, in a home of its own.

use std::{fs, path::Path, time::Duration};

use aiemp_keys::{
    NodeId, Signer,
    private_file::{create_private_dir, write_private},
};
use aiemp_protocol::approval::{Receipt, standing::Request};
use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::{folder::Folder, mesh::Mesh};
use crate::{audit, executor, home::Home};

/// Files that lie longer than this are looked at by nobody.
const PATIENCE: Duration = Duration::from_secs(10);

/// An executor that runs when it is told to, until nothing waits for it.
pub(super) struct Victim {
    pub(super) home: Home,
    me: NodeId,
    receipts: Signer,
    _folder: Folder,
}

impl Victim {
    /// The executor of Local, as `init` and pairing leave it. Mails go to the outbox.
    pub(super) fn found(mesh: &Mesh, name: &str) -> Result<Self> {
        let folder = Folder::named(name);
        let home = Home::at(folder.path().join("home"));
        let receipts = Signer::generate()?;
        create_private_dir(folder.path())?;
        let folders = [home.roster_folder(), home.executor(), home.approved(), home.requests(), home.freezes()];
        for folder in [home.path().to_owned()].iter().chain(&folders) {
            create_private_dir(folder)?;
        }
        write_private(&home.rosters(), &mesh.rosters.to_bytes())?;
        write_private(&home.pinned_root(), format!("{}\n", mesh.rosters.founder()).as_bytes())?;
        let seed = HEXLOWER.encode(receipts.seed().expose());
        write_private(&home.receipt_signer(), format!("{seed}\n").as_bytes())?;
        write_private(&home.config(), b"vault = \"/nowhere\"\n")?;
        Ok(Self { home, me: mesh.local.node_id(), receipts, _folder: folder })
    }

    /// Puts a file where approvals are handed in.
    pub(super) fn hand_in(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Ok(write_private(&self.home.approved().join(name), bytes)?)
    }

    /// Puts a file where the mesh leaves its requests.
    pub(super) fn ask(&self, name: &str, request: &Request) -> Result<()> {
        Ok(write_private(&self.home.requests().join(format!("{name}.request")), &request.to_bytes())?)
    }

    /// Runs the executor until it has looked at every file.
    pub(super) fn run(&self) -> Result<()> {
        let is_empty = |folder: &Path| fs::read_dir(folder).is_ok_and(|mut files| files.next().is_none());
        let since = Instant::now();
        let looked_at = async {
            while since.elapsed() < PATIENCE && !(is_empty(&self.home.approved()) && is_empty(&self.home.requests())) {
                sleep(Duration::from_millis(2)).await;
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(executor::run_until(&self.home, self.me, looked_at)).context("the executor failed")
    }

    /// The code with which a file was refused, as the executor's log has it.
    pub(super) fn refusal(&self, file: &str) -> Result<Option<String>> {
        let log = audit::verify(&self.home.audit(), "executor", &self.receipts.public())?;
        let mut lines = log.lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let refused = |line: &Value| line["target"] == file && line["approval_status"] == "refused";
        Ok(lines.rfind(refused).and_then(|line| line["result"].as_str().map(str::to_owned)))
    }

    /// Every receipt, in no order.
    pub(super) fn receipts(&self, mesh: &Mesh) -> Result<Vec<Receipt>> {
        let mesh = mesh.rosters.current().mesh;
        let read = |file: std::io::Result<fs::DirEntry>| -> Result<Receipt> {
            Ok(Receipt::verify(&self.receipts.public(), mesh, &fs::read(file?.path())?)?)
        };
        fs::read_dir(self.home.receipts())?.map(read).collect()
    }

    /// How many mails went out.
    pub(super) fn mails(&self) -> usize {
        fs::read_dir(self.home.outbox().join("new")).map_or(0, Iterator::count)
    }
}
