//! The store: whether it is whole, and going on without what nobody has any more.

use std::process::ExitCode;

use aiemp_protocol::{ids::LogId, limits::GENERATIONS_AHEAD_MAX};
use anyhow::Result;

use super::{Findings, print, running_status};
use crate::{
    home::Home,
    shell::{
        self,
        control::WireTrouble,
        mesh,
        store::{self, Store, StoreError},
    },
};

pub(super) fn check(home: &Home, findings: &mut Findings) {
    if !home.store().exists() {
        return;
    }
    let troubles = running_status(home).map_or_else(|| at_rest(home), |status| status.store);
    if troubles.is_empty() {
        findings.ok("the store is whole, as far as it was read");
    }
    findings.troubles(troubles);
}

fn at_rest(home: &Home) -> Vec<WireTrouble> {
    let error = |what: String, fix: &str| WireTrouble { is_error: true, what, fix: fix.to_owned() };
    let found = Store::open_beside(&home.store()).and_then(|store| match store.lost_places()?.len() {
        0 => store.load().map(|_| None),
        lost => Ok(Some(mesh::entries_lost(lost))),
    });
    let trouble = match found {
        Ok(trouble) => trouble,
        Err(StoreError::Older { .. }) => None,
        Err(StoreError::Corrupt(damage)) => Some(error(
            format!("the store is damaged: {damage}"),
            "Start the node: it makes a new store of what is whole, and asks its peers for the rest.",
        )),
        Err(other) => Some(error(other.to_string(), "Until then the node does not start.")),
    };
    trouble.into_iter().chain(mesh::kept_damaged(home)).collect()
}

/// Goes on without the entries that the store lost and that no peer has.
pub(super) fn repair(home: &Home) -> Result<ExitCode> {
    let _lock = mesh::lock(home)?;
    let opened = Store::open(&home.store()).and_then(|store| {
        let lost = store.lost_places()?;
        if lost.is_empty() { store.load().map(|_| store) } else { Ok(store) }
    });
    let mut store = match opened {
        Err(StoreError::Corrupt(damage)) => {
            print::talk(format!("The store is damaged: {damage}."));
            let salvaged = store::salvage(&home.store())?;
            if let Some(kept) = salvaged.kept {
                print::talk(format!("As it was it is kept: {}", kept.display()));
            }
            Store::open(&home.store())?
        }
        opened => opened?,
    };
    if store.lost_places()?.is_empty() {
        print::data("the store is whole; contents that it lacks are asked of the peers when the node runs");
        return Ok(ExitCode::SUCCESS);
    }
    let cut = store.cut()?;
    if let Some(generation) = next_generation(home, cut.keys())? {
        store.persist(&[store::generation(generation)])?;
    }
    print::data(format!("{} logs were cut where an entry was lost; the node goes on without what followed", cut.len()));
    print::talk(
        "What lies in the vault stays as it is, and is taken in anew where the logs do not know it. Start the node; what \
         its peers have of these logs comes back.",
    );
    Ok(ExitCode::SUCCESS)
}

/// Where one of this node's own logs was cut it writes the next generation: peers may hold what was cut.
fn next_generation<'a>(home: &Home, cut: impl Iterator<Item = &'a LogId>) -> Result<Option<u64>> {
    let me = shell::identity::own_id(home)?;
    let Some(highest) = cut.filter(|log| log.author == me).map(|log| log.generation).max() else { return Ok(None) };
    let rosters = shell::rosters::load(home)?;
    let minimum = rosters.and_then(|rosters| rosters.current().member(me).map(|member| member.generation_min));
    Ok(Some((highest + 1).min(minimum.unwrap_or_default().saturating_add(GENERATIONS_AHEAD_MAX))))
}
