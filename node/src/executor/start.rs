//! The start of the executor: what must hold before anything is taken up.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::{self, File, OpenOptions, TryLockError},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

use aiemp_keys::{NodeId, Signer, private_file};
use aiemp_protocol::approval::journal::{Input, Journal};
use anyhow::{Context as _, bail};
use data_encoding::HEXLOWER;
use tokio::task::JoinSet;

use super::{
    Executor, Refused, authority::Authority, brake::Brake, dispatch::Hands, journal_store::JournalStore,
    receipts::Receipts, standing,
};
use crate::{
    config::Config,
    fault::Fault,
    home::Home,
    shell::{declared, policies, program_keeper::ProgramKeeper, walls::Reach},
};

/// Where refused files are kept for the person.
pub(super) fn refused_directory(home: &Home) -> PathBuf {
    home.executor().join("refused")
}

impl Executor {
    /// Checks the home and the roster, takes the lock and restores the journal.
    pub(super) fn open(home: &Home, me: NodeId, keeper: Option<ProgramKeeper>) -> anyhow::Result<Self> {
        let authority = Authority::load(home, me)?;
        for directory in [home.path().to_owned(), home.executor()] {
            private_file::check_private(&directory)?;
        }
        let lock = lock(home)?;
        for directory in [home.approved(), home.receipts(), home.requests(), refused_directory(home)] {
            private_file::create_private_dir(&directory)?;
        }
        let mut store = JournalStore::of(home)?;
        if let Some((epoch, hash)) = store.roster_seen()? {
            authority.check_follows(epoch, hash)?;
        }
        store.see_roster(authority.roster().epoch, authority.roster().hash())?;
        let brake = Brake::load(home, me, authority.roster())?;
        let config = config(home)?;
        let (hands_issued, declared) = declared::load(&home.executor_hands(), authority.roster())?;
        let reach = Reach::of(&config, &declared);
        let hands = Hands::of(home, config, declared, keeper);
        let receipts = Receipts::of(home, receipt_signer(home)?)?;
        let policy = policies::load(&home.executor_policy(), authority.roster())?;
        // Frozen until it is known what was handed in meanwhile. The process may have ended between a durable state and
        // its receipt: such a state is told again.
        let journal = Journal::restore(store.load()?, store.times()?).under(policy, true).by_hands(hands.digests());
        let journal = journal.after_end_of(standing::ended(home)?).telling(store.without_receipt()?);
        let executor = Self {
            home: home.clone(),
            me,
            authority,
            brake,
            hands,
            journal,
            store,
            receipts,
            hands_issued,
            reach,
            is_outgrown: false,
            waiting: VecDeque::new(),
            looking: 0,
            running: JoinSet::new(),
            in_flight: BTreeSet::new(),
            starting: BTreeMap::new(),
            refused: None,
            is_stopping: false,
            _lock: lock,
        };
        tracing::info!(rows = executor.journal.rows().count(), "executor started");
        Ok(executor)
    }

    /// Reads what was handed in while no executor ran, for it may stop what waits; then what waits is gone on with.
    pub(super) fn begin(&mut self) -> anyhow::Result<()> {
        self.take_in()?;
        self.handle(Input::TimeoutReached);
        Ok(())
    }
}

fn lock_file(home: &Home) -> PathBuf {
    home.executor().join("lock")
}

/// Whether an executor of this home runs, as far as this user may see.
pub fn runs(home: &Home) -> bool {
    let file = OpenOptions::new().write(true).open(lock_file(home));
    file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn lock(home: &Home) -> anyhow::Result<File> {
    let path = lock_file(home);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.with_context(|| format!("opening {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = format!("another executor runs in {}", home.path().display());
            Err(Fault::operator("locked", message, "Stop it first: there must be only one.").into())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

/// The settings decide where mails go, so others must not be able to write them.
fn config(home: &Home) -> anyhow::Result<Config> {
    let path = home.config();
    let text = private_file::read_private(&path)?;
    let text = std::str::from_utf8(text.expose()).with_context(|| format!("{} is no text", path.display()))?;
    Ok(Config::parse(text).map_err(|error| Refused(format!("{}: {error}", path.display())))?)
}

/// The key that receipts are signed with, which is the one that the mesh believes.
pub fn receipt_signer(home: &Home) -> anyhow::Result<Signer> {
    let path = home.receipt_signer();
    let Some(text) = private_file::find_private(&path)? else {
        bail!("{} is missing: restore it from a backup", path.display());
    };
    let digits = text.expose().strip_suffix(b"\n").unwrap_or(text.expose());
    let mut seed = [0; 32];
    if digits.len() != 64 || HEXLOWER.decode_mut(digits, &mut seed).is_err() {
        bail!("{} does not hold a key in the known format: restore it from a backup", path.display());
    }
    let signer = Signer::from_seed(seed);
    let public = home.receipt_key();
    match fs::read_to_string(&public) {
        Ok(text) if text.trim() != signer.public().to_string() => bail!(
            "{} and {} are not of one home, so no receipt would be believed: restore the one that is not this home's \
             from a backup",
            path.display(),
            public.display()
        ),
        // The mesh misses it, and says so.
        Ok(_) | Err(_) => Ok(signer),
    }
}
