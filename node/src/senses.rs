//! The process that hears strangers: folders whose files become tasks, webhooks, and the person's own watchers. It holds no
//! key, and asks the mesh over the control socket to make a task of what came.
//!
//! What came is said to be taken once its task is durable. Until then it stays where it was: the file in its folder, the
//! message with its sender, the event with its watcher, which is given again where it stopped. Each has an id, by which it
//! is one task however often it comes.

pub mod check;
mod door;
mod drop;
mod event;
mod watcher;
mod webhook;

use std::{path::PathBuf, sync::Arc};

use aiemp_protocol::roster::Role;
use anyhow::Result;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinSet,
};

use self::door::Door;
use crate::{
    config::{Config, Watcher},
    fault::Fault,
    home::Home,
    shell::{places, program::files_of, walls::Confined},
};

/// Refuses settings that cannot be meant.
pub fn check_settings(home: &Home, config: &Config, role: Role) -> Result<(), Fault> {
    let refused = |why: String| {
        let fix = "Look at [[drop]], [webhooks] and [[watcher]] in config.toml; docs/senses.md has them.";
        Err(Fault::refused("senses", why, fix))
    };
    if let Some(why) = config.senses_objection(role) {
        return refused(why);
    }
    if let Some(why) = config.webhooks.as_ref().and_then(|webhooks| webhook::objection(home, webhooks)) {
        return refused(why);
    }
    let inside = config.drop.iter().find(|folder| !places::is_outside(&folder.dir, home.path(), &config.vault));
    match inside {
        Some(folder) => refused(format!(
            "the drop folder {} lies in the vault or the home, or around it: files that lie in the vault sync already",
            folder.dir.display()
        )),
        None => Ok(()),
    }
}

/// What this process opens: its settings, the secrets of webhooks and watchers, drop folders, what watchers need, and the
/// control socket.
pub fn confined(home: &Home, config: &Config) -> Confined {
    let of_watchers = |of: fn(&Watcher) -> &Vec<PathBuf>| config.watcher.iter().flat_map(of).cloned();
    let programs = config.watcher.iter().flat_map(|watcher| files_of(&watcher.command));
    let programs = programs.filter(|path| places::is_outside(path, home.path(), &config.vault));
    let own = std::env::current_exe().ok();
    let settings = [home.config(), home.cloud_secrets(), home.roster_folder(), home.node_id()];
    Confined {
        reads: settings.into_iter().chain(own).chain(programs).chain(of_watchers(|one| &one.reads)).collect(),
        writes: config
            .drop
            .iter()
            .map(|folder| folder.dir.clone())
            .chain([home.watchers()])
            .chain(of_watchers(|one| &one.writes))
            .collect(),
        sockets: vec![home.run()],
        changes_rights: true,
        ..Confined::default()
    }
    .with_programs(home, &config.vault)
}

/// Listens, looks and watches until SIGTERM or SIGINT.
pub async fn run(home: &Home, config: &Config) -> Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let (stop, stopped) = watch::channel(false);
    let door = Door::new(home);
    let mut tasks = JoinSet::new();
    tasks.spawn(door::tell_troubles(door.clone()));
    for folder in &config.drop {
        tasks.spawn(drop::look(folder.clone(), door.clone()));
    }
    if let Some(webhooks) = &config.webhooks {
        tasks.spawn(webhook::serve(webhook::Hooks::of(home, webhooks, &door), webhooks.listen, door.clone()));
    }
    let mut watchers = JoinSet::new();
    for settings in &config.watcher {
        let watched = watcher::Watched { home: home.clone(), settings: Arc::new(settings.clone()) };
        watchers.spawn(watcher::watch(watched, door.clone(), stopped.clone()));
    }
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
        () = door.has_to_start_again() => tracing::info!("a drop folder is there; the senses start again within its reach"),
        Some(ended) = tasks.join_next() => {
            ended?;
            anyhow::bail!("a part of the senses ended");
        }
    }
    stop.send(true).ok();
    while watchers.join_next().await.is_some() {}
    Ok(())
}
