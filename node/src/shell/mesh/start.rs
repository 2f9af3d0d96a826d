//! Starting the mesh: lock, store, restore, scan, then the doors open.

use std::{
    fs::File,
    io::Write as _,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use aiemp_crdt::vault::HoldReason;
use aiemp_keys::{PublicKey, private_file};
use aiemp_protocol::{
    ids::ContentHash,
    roster::{Role, RosterChain},
    time::Timestamp,
};
use anyhow::{Context, Result};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::Instant,
};

use super::{
    EVENTS_MAX, Mesh, MeshOptions, disk, notices,
    place::{self, Place, Takes},
    receipts,
};
use crate::{
    audit::AuditLog,
    config::{BrainKind, Config},
    core::{Brain, Compaction, Core, Divergence, Lost, Notice, Start},
    fault::Fault,
    home::Home,
    shell::{
        clock, control, fingerprints, home_watch, identity,
        mail_in::MailIn,
        network::{self, NetworkConfig, addresses},
        releases,
        schedule::Schedule,
        screen,
        store::{self, Loaded, Store},
        users::Users,
        vault_disk::{DiskEvent, Scan, ScanSize, Stamps, VaultDisk, VaultWatcher},
    },
};

/// Whether the last run ended with nothing under way, in the store.
const ENDED_WELL: &str = "ended_well";
/// Whether removals wait for a person, in the store.
const REMOVALS_HELD: &str = "removals_held";
/// Whether a start looked through the vault to its end, in the store.
const ADOPTED: &str = "adopted";
/// One `EntriesRead` may hold a fetch's worth of payloads, so few may wait.
const STORE_EVENTS_MAX: usize = 16;
/// What was removed while the node was down is told before peers are heard: a deletion that had heard of an edit would not
/// be told from one that had not, and the note would come back with no word.
const REMOVALS_FIRST: Duration = Duration::from_millis(500);

/// How long a process that was killed may take to let go of the home, and how often that is looked at.
const DYING: Duration = Duration::from_secs(2);
const LOCK_AGAIN: Duration = Duration::from_millis(20);

/// Takes the home for this process.
pub fn lock(home: &Home) -> Result<File> {
    private_file::check_private(home.path())?;
    private_file::check_private(&home.mesh())?;
    let path = home.lock();
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    let begun = std::time::Instant::now();
    while file.try_lock().is_err() {
        if begun.elapsed() < DYING {
            std::thread::sleep(LOCK_AGAIN);
            continue;
        }
        let message = format!("a node runs on {} already", home.path().display());
        return Err(Fault::operator("locked", message, "Stop it first, or give this one another --home.").into());
    }
    Ok(file)
}

/// Takes out of the store what does not stand; what others wrote of it is kept for the person.
pub(super) fn give_up(home: &Home, vault: &Path, divergence: Divergence) -> Result<()> {
    let mut store = Store::open(&home.store())?;
    let projections = divergence.remembered(|named| store.read_change(named, false))?;
    let Divergence { keep, generation, lost, .. } = divergence;
    if keep.len() == 1 && generation > 0 {
        tracing::warn!(
            ?keep,
            generation,
            "this home is an older copy of itself that has written since; that is written anew"
        );
    } else {
        tracing::warn!(?keep, generation, "a log stands on another branch than the one held here, which is given up");
    }
    let disk = VaultDisk::open(vault)?;
    for Lost { path, .. } in &lost {
        if let Some(bytes) = disk.read(path) {
            notices::tell(home, Notice::Kept { path: path.clone(), bytes, reason: HoldReason::NotStanding });
        }
    }
    let mut writes: Vec<_> =
        projections.into_iter().map(|(key, projection)| store::Write::Projection { key, projection }).collect();
    writes.extend(keep.into_iter().map(|(log, keep)| store::Write::Truncate { log, keep }));
    if generation > 0 {
        writes.push(store::generation(generation));
    }
    store.persist(&writes)?;
    for Lost { path, goes } in lost {
        if let Some(hash) = goes {
            disk.remove(&path, hash)?;
        }
    }
    Ok(())
}

/// Notes how this run ends; as long as it runs, that it did not end well.
pub(super) fn ended_well(well: bool) -> store::Command {
    store::Command::Write(store::Write::Meta { key: ENDED_WELL.to_owned(), value: vec![u8::from(well)] })
}

/// Notes whether removals wait for a person.
pub(super) fn removals_held(held: bool) -> store::Command {
    store::Command::Write(store::Write::Meta { key: REMOVALS_HELD.to_owned(), value: vec![u8::from(held)] })
}

/// Notes that what lay in the vault is adopted.
pub(super) fn adopted() -> store::Command {
    store::Command::Write(store::Write::Meta { key: ADOPTED.to_owned(), value: vec![1] })
}

/// Yields once when the process is told to stop.
pub(super) fn stop_signal() -> Result<mpsc::Receiver<()>> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let (stop, stopped) = mpsc::channel(1);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        stop.send(()).await.ok();
    });
    Ok(stopped)
}

/// The one word that whoever starts a node waits for, if somebody still does.
pub(super) fn say_ready() {
    writeln!(std::io::stderr(), "ready").ok();
}

pub(super) fn write_addresses(home: &Home, addresses: &[String]) -> Result<()> {
    let text: String = addresses.iter().map(|address| format!("{address}\n")).collect();
    Ok(private_file::write_private(&home.addresses(), text.as_bytes())?)
}

/// Opens the network of a node, paired or not.
pub(super) fn open_network(options: &MeshOptions, events: mpsc::Sender<network::Event>) -> Result<network::Network> {
    let listen = options.config.listen.iter().map(|text| addresses::parse_listen(text));
    let listen = listen.collect::<Result<Vec<_>, _>>().map_err(|error| {
        Fault::refused("listen", error.to_string(), "Write multiaddresses such as /ip4/0.0.0.0/tcp/4001.")
    })?;
    network::spawn(NetworkConfig { signer: options.signer.clone(), listen }, events)
}

fn watch_home(home: &Home) -> Result<mpsc::Receiver<()>> {
    // A mesh without a wall had none made for it.
    for folder in [home.standing(), home.requests()].iter().filter(|folder| !folder.exists()) {
        private_file::create_private_dir(folder)?;
    }
    let watched = [home.mesh(), home.roster_folder(), home.peers(), home.receipts(), home.freezes(), home.standing()];
    Ok(home_watch::watch(&watched))
}

impl Mesh {
    pub(super) async fn start(
        options: &MeshOptions,
        rosters: RosterChain,
        (mut store, mut loaded): (Store, Loaded),
        screen: mpsc::Sender<screen::Request>,
    ) -> Result<Self> {
        let (home, config) = (options.home.clone(), options.config.clone());
        let me = options.signer.node_id();
        let (place, vault_disk) = open_vault(options, &mut store, &mut loaded)?;
        let mut stamps = Stamps::new(std::mem::take(&mut loaded.stamps));
        let audit = AuditLog::open(&home.audit(), notices::MESH, options.signer.clone()).context("the audit log")?;
        let receipt_key = identity::receipt_key(&home, options.role)?;
        let core = restored_core(options, rosters, &store, loaded, receipt_key.as_ref())?;
        let (disk_sent, disk_events) = mpsc::channel(EVENTS_MAX);
        let (watcher, found) = watch(vault_disk.as_ref(), &config.vault, disk_sent, &core, &mut stamps)?;
        let (network_sent, network_events) = mpsc::channel(EVENTS_MAX);
        let network = open_network(options, network_sent)?;
        let (store_sent, store_events) = mpsc::channel(STORE_EVENTS_MAX);
        let store = store::spawn(store, store_sent)?;
        store.send(ended_well(false)).await?;
        store.send(store::Command::Write(store::Write::Stamps(stamps.take_unsaved()))).await?;
        let disk = disk::spawn(vault_disk, stamps, disk::Room::of(&config))?;
        let (asked_sent, asked) = mpsc::channel(EVENTS_MAX);
        control::serve(&home.control_socket(), Users::load(&home)?.as_ref(), asked_sent)?;
        write_addresses(&home, &[])?;
        let mail_in = MailIn::spawn(&home, &config, &options.mail_in, place.away().is_none()).await?;
        let mut mesh = Self {
            home,
            config,
            me,
            receipt_key,
            core,
            screen,
            screened: mpsc::channel(EVENTS_MAX),
            store,
            store_events,
            network,
            network_events,
            disk,
            disk_events,
            place,
            home_changed: watch_home(&options.home)?,
            asked,
            brain: super::Brain::new(options.programs.clone()),
            calls: std::collections::BTreeMap::new(),
            calls_done: mpsc::channel(EVENTS_MAX),
            paired: mpsc::channel(1),
            pairings: 0,
            answers: std::collections::BTreeMap::new(),
            next_request: 0,
            listening: Vec::new(),
            rescans: super::rescans::Rescans::default(),
            bar: super::progress::Bar::new(),
            unsynced: super::unsynced::Unsynced::default(),
            hears_at: Instant::now() + if found.removed.is_empty() { Duration::ZERO } else { REMOVALS_FIRST },
            audit,
            disk_full: false,
            releases_seen: None,
            displaced: Vec::new(),
            watcher,
            payloads_lost: 0,
            mail_in,
            senses: super::answers::Senses::default(),
            schedule: Schedule::of(options.config.schedule.times()),
        };
        mesh.tell_away().await?;
        mesh.first_scanned(found).await?;
        Ok(mesh)
    }
}

/// Where the vault is, and its folder if that is in its place. What a run before this one left there is kept for the person.
fn open_vault(options: &MeshOptions, store: &mut Store, loaded: &mut Loaded) -> Result<(Place, Option<VaultDisk>)> {
    let (root, node) = (&options.config.vault, options.signer.node_id());
    let fills = store.read_meta(place::FILL)?.is_some_and(|value| value == [1]);
    let takes = match (fills, loaded.projections.is_empty()) {
        (true, _) => Takes::Any,
        (false, true) => Takes::Free,
        (false, false) => Takes::None,
    };
    let mut place = Place::at_start(options.home.path(), root, node, takes);
    if fills {
        // For the folder that lies there now, and for none that comes later.
        store.persist(&[store::Write::Meta { key: place::FILL.to_owned(), value: vec![0] }])?;
    }
    let Some(disk) = place.open() else { return Ok((place, None)) };
    if fills {
        forget_projections(store, loaded)?;
    }
    for save in disk.interrupted_saves()? {
        if notices::tell_interrupted(&options.home, &save) {
            disk.forget_displaced(ContentHash::of(&save));
        }
    }
    Ok((place, Some(disk)))
}

/// Watches the vault, and finds what changed while nobody did.
fn watch(
    disk: Option<&VaultDisk>,
    root: &Path,
    events: mpsc::Sender<DiskEvent>,
    core: &Core,
    stamps: &mut Stamps,
) -> Result<(Option<VaultWatcher>, Scan)> {
    let Some(disk) = disk else { return Ok((None, Scan::default())) };
    let watcher = VaultWatcher::spawn(root, events, disk.written())?;
    let known = core.vault().on_disk();
    let known = known.map(|(key, there)| (key.to_owned(), (there.path.clone(), there.hash))).collect();
    let size = if core.vault().is_recorded() { ScanSize::Known } else { ScanSize::Whole };
    Ok((Some(watcher), disk.scan(&known, size, stamps)?))
}

/// Another folder is to be the vault: nothing lies there as far as this node knows.
fn forget_projections(store: &mut Store, loaded: &mut Loaded) -> Result<()> {
    let keys = std::mem::take(&mut loaded.projections).into_keys();
    let writes: Vec<_> = keys.map(|key| store::Write::Projection { key, projection: None }).collect();
    Ok(store.persist(&writes)?)
}

/// When the last run wrote into its store.
fn last_written(store: &Path) -> Option<Timestamp> {
    let of = |path: &Path| path.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok();
    let log = store.with_extension("sqlite-wal");
    let last = [of(store), of(&log)].into_iter().flatten().max()?;
    u64::try_from(last.as_millis()).ok().map(Timestamp::from_millis)
}

/// The core with everything that was durable.
fn restored_core(
    options: &MeshOptions,
    rosters: RosterChain,
    store: &Store,
    loaded: Loaded,
    receipt_key: Option<&PublicKey>,
) -> Result<Core> {
    let home = &options.home;
    let generation = store.lowest_generation()?;
    let releases = releases::load(home, rosters.current())?;
    let mut core = Core::new(Start {
        signer: options.signer.clone(),
        rosters,
        fingerprints: fingerprints::load(home)?,
        brain: brain_of(&options.config, options.role)?,
        limits: options.config.brain.budget.limits(),
        disclosure: options.config.brain.disclosure.clone(),
        banks: options.config.bank.clone(),
        last_there: last_written(&home.store()),
        frozen: loaded.frozen,
        missing: loaded.missing,
        releases,
        room: options.config.admission.room(),
        ended_well: store.read_meta(ENDED_WELL)?.is_some_and(|value| value == [1]),
        removals_held: store.read_meta(REMOVALS_HELD)?.is_some_and(|value| value == [1]),
        compaction: Compaction::default(),
        has_adopted: store.read_meta(ADOPTED)?.is_some(),
    });
    core.raise_generation(generation);
    if let Some(spending) = private_file::find_private(&home.brain_spending())?
        && let Err(error) = core.restore_spending(spending.expose())
    {
        tracing::warn!(%error, "what the brain used before is not known: it counts from now on");
    }
    for entry in &loaded.entries {
        core.restore_entry(entry.log, &entry.cose, entry.received)
            .context("the store holds an entry that does not verify")?;
    }
    for (key, projection) in loaded.projections {
        core.restore_projection(key, projection);
    }
    for (_, bytes) in store.read_whole_queue(options.signer.node_id(), clock::now())? {
        core.restore_announcement(&bytes);
    }
    for receipt in receipts::load(home, receipt_key, core.replication().rosters()) {
        core.restore_receipt(receipt);
    }
    Ok(core)
}

/// The brain of this node, as settings and role allow it.
fn brain_of(config: &Config, role: Role) -> Result<Brain, Fault> {
    match (config.brain.kind, role) {
        (BrainKind::None, _) => Ok(Brain::None),
        (BrainKind::Template, _) => Ok(Brain::Template),
        (BrainKind::Command, Role::Cloud) if config.brain.preset.is_some() => Ok(Brain::Agent),
        (BrainKind::Command, Role::Cloud) => Ok(Brain::Command),
        (BrainKind::Command, Role::Local) => Err(Fault::refused(
            "brain",
            "`[brain] kind = \"command\"` runs on Cloud only: on Local a program would share the machine with every secret",
            "Set kind = \"none\" or \"template\" here, and the command on the Cloud node.",
        )),
    }
}

pub(super) fn check_membership(options: &MeshOptions, rosters: &RosterChain) -> Result<(), Fault> {
    match rosters.current().member(options.signer.node_id()) {
        Some(member) if member.role == options.role => Ok(()),
        Some(member) => Err(Fault::refused(
            "role",
            format!("the roster says that this node is {}", member.role.as_str()),
            format!("Start it with --role {}.", member.role.as_str()),
        )),
        None => Err(Fault::refused(
            "revoked",
            "this node is not in the mesh any more: it was revoked",
            "Pair it again from Local, with a new home.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_that_a_dying_process_holds_is_waited_for_and_a_living_one_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = Home::at(dir.path().join("home"));
        for folder in [home.path(), &home.mesh()] {
            private_file::create_private_dir(folder).expect("made");
        }
        let held = lock(&home).expect("nobody has it");
        let dying = std::thread::spawn(move || {
            std::thread::sleep(DYING / 10);
            drop(held);
        });
        let held = lock(&home).expect("it is waited for");
        dying.join().expect("it ended");
        let refused = lock(&home).expect_err("it is held").to_string();
        assert!(refused.contains("a node runs on") && refused.contains("already"), "{refused}");
        drop(held);
    }
}
