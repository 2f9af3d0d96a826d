//! Takes mails up, as they come: from a mailbox (IMAP), and from servers that hand them in (LMTP, SMTP). Each becomes a file
//! in `Inbox/`.
//!
//! Nothing in the mailbox is changed. How far it is read is noted once the files are on disk, so a mail may come twice and
//! none is lost; twice the same mail is one task. Where the server cannot be reached, or says no, it is tried again, and
//! `status` says so.

mod lmtp;
mod mailbox;
mod position;
pub mod trial;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aiemp_protocol::{roster::Role, vault_path::VaultPath};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::sleep,
};

use self::{lmtp::Door, mailbox::Mailbox};
use super::{
    control::WireTrouble,
    free_space,
    vault_disk::{DiskError, Intake},
};
use crate::{config::Config, core::TroubleClass, fault::Fault, home::Home, imap::ImapError};

/// How often it is looked whether the mesh took the mails from `Inbox/`, before more are put there.
const TAKEN_LOOKS: Duration = Duration::from_millis(10);
/// How long is waited for that. What it holds back for a person stays there.
const TAKEN_WAIT: Duration = Duration::from_secs(2);

/// Where mails come in, with what is needed for it: behind the mesh's wall none of that can be read.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    mailbox: Option<Arc<Mailbox>>,
    door: Option<Arc<Door>>,
}

impl Sources {
    /// As the settings say.
    pub fn of(home: &Home, config: &Config, role: Role) -> Result<Self, Fault> {
        let settings = &config.mail_in;
        if role == Role::Local && (settings.imap.is_some() || settings.lmtp.is_some()) {
            let message = "`[mail_in]` is for a Cloud node: on Local no password lies where mails are read";
            let fix = "Move it to the Cloud node's config.toml, or drop mails as .eml files into Inbox/ here.";
            return Err(Fault::refused("mail_in", message, fix));
        }
        let refused = |why: String| Fault::refused("mail_in", why, "See [mail_in] in config.toml.");
        let mailbox = settings.imap.as_ref().map(|imap| Mailbox::of(home, imap)).transpose().map_err(refused)?;
        let door = settings.lmtp.as_ref().map(Door::of).transpose().map_err(refused)?;
        Ok(Self { mailbox: mailbox.map(Arc::new), door: door.map(Arc::new) })
    }
}

/// Takes mails up until it is dropped.
#[derive(Debug)]
pub struct MailIn {
    trouble: Trouble,
    tasks: Vec<AbortHandle>,
    _all: JoinSet<()>,
}

/// What is the matter with the mailbox, while something is.
type Trouble = Arc<Mutex<Option<(TroubleClass, WireTrouble)>>>;

impl MailIn {
    /// Begins to take mails up. Without a vault in its place they wait where they are.
    pub async fn spawn(home: &Home, config: &Config, sources: &Sources, has_vault: bool) -> Result<Self, Fault> {
        let (trouble, mut tasks, mut handles) = (Trouble::default(), JoinSet::new(), Vec::new());
        let intake = if has_vault { Intake::open(&config.vault).ok() } else { None };
        let delivery = Delivery {
            intake: intake.map(Arc::new),
            vault: config.vault.clone(),
            floor_megabytes: config.admission.disk_floor_megabytes,
        };
        if let Some(mailbox) = &sources.mailbox {
            let taking = mailbox::Taking {
                mailbox: Arc::clone(mailbox),
                delivery: delivery.clone(),
                noted: home.mail_in(),
                trouble: Arc::clone(&trouble),
            };
            handles.push(tasks.spawn(taking.run()));
        }
        if let Some(door) = &sources.door {
            handles.push(tasks.spawn(lmtp::serve(Arc::clone(door), door.open().await?, delivery)));
        }
        Ok(Self { trouble, tasks: handles, _all: tasks })
    }

    /// What is the matter.
    pub fn trouble(&self) -> Option<WireTrouble> {
        if self.tasks.iter().any(AbortHandle::is_finished) {
            return Some(WireTrouble {
                is_error: true,
                what: "no mails are taken up: a fault of this program ended that".to_owned(),
                fix: "Restart the node; its log says where the fault is.".to_owned(),
            });
        }
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(_, trouble)| trouble.clone())
    }

    /// What kind of trouble that is.
    pub fn class(&self) -> TroubleClass {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.as_ref().map_or(TroubleClass::System, |(class, _)| *class)
    }
}

/// Why no mails are taken up for now.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Server(#[from] ImapError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("the vault's folder is not in its place")]
    Away,
    #[error("less is free on the disk than is left free")]
    Full,
    #[error("cannot note how far the mailbox is read: {0}")]
    Note(String),
}

/// The way into `Inbox/`.
#[derive(Clone, Debug)]
struct Delivery {
    /// None where the vault was not in its place when the node started; it starts again when that is back.
    intake: Option<Arc<Intake>>,
    vault: PathBuf,
    floor_megabytes: u64,
}

impl Delivery {
    /// Into `Inbox/`, where they are on disk, and then waits until they are taken from there: what waits in memory is bounded
    /// by that.
    async fn deliver(&self, mails: Vec<Vec<u8>>) -> Result<(), Failure> {
        let intake = self.intake.clone().ok_or(Failure::Away)?;
        let (into, vault, floor) = (Arc::clone(&intake), self.vault.clone(), self.floor_megabytes);
        let put = blocking(move || {
            if !into.is_in_place() {
                return Err(Failure::Away);
            }
            let bytes = mails.iter().map(Vec::len).sum::<usize>() as u64;
            if !free_space::has_room(&vault, bytes, floor).unwrap_or(true) {
                return Err(Failure::Full);
            }
            Ok(into.put(mails.iter().map(Vec::as_slice))?)
        });
        let mut put: Vec<VaultPath> = put.await?;
        for _ in 0..TAKEN_WAIT.as_millis() / TAKEN_LOOKS.as_millis() {
            let looks = Arc::clone(&intake);
            put = blocking(move || put.into_iter().filter(|path| looks.holds(path)).collect()).await;
            if put.is_empty() {
                break;
            }
            sleep(TAKEN_LOOKS).await;
        }
        Ok(())
    }
}

/// Runs what blocks on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}
