//! What must hold: at every step, and once the mesh has healed.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_crdt::conflict::Conflict;
use aiemp_node::core::{Core, DraftSource};
use aiemp_protocol::{
    active,
    entry::Position,
    frame::Frame,
    ids::{Audience, ConflictId, ContentHash, FileId},
    roster::Role,
    vault_path::VaultPath,
    zone::Zone,
};

use crate::{Violation, ledger, node::Node, world::World};

/// What a node counts as held lies in its store.
pub fn durable_before_visible(world: &World, node: usize) -> Result<(), Violation> {
    let state = &world.nodes[node];
    let Some(core) = &state.core else { return Ok(()) };
    for Position { log, seq, hash } in core.replication().frontier() {
        if state.store.entry_at(log, seq) != Some(hash) {
            return Err(format!("durable before visible: {} counts {log:?} up to {seq}", state.name));
        }
    }
    Ok(())
}

/// A frame says only what its sender has stored and its receiver may read.
pub fn frame(world: &World, from: usize, to: usize, frame: &Frame, bytes: &[u8]) -> Result<(), Violation> {
    let sender = &world.nodes[from];
    if let Frame::Entry { log, cose, .. } = frame
        && !sender.store.holds(*log, cose)
        && sender.store.frozen.get(log).is_none_or(|frozen| frozen.evidence != *cose)
    {
        return Err(format!("durable before visible: {} sends an entry that is not stored", sender.name));
    }
    if let Frame::PayloadWanted { hash, .. } = frame
        && world.nodes[to].role == Role::Cloud
        && !sender.store.names_for_all(*hash)
    {
        return Err(format!("private stays private: {} asks {} for {hash:?}", sender.name, world.nodes[to].name));
    }
    said(world, to, bytes)
}

/// No private word is on its way to a node that may not read it.
pub fn said(world: &World, to: usize, bytes: &[u8]) -> Result<(), Violation> {
    let receiver = &world.nodes[to];
    match world.ledger.leaked(bytes).filter(|_| receiver.role == Role::Cloud) {
        Some(word) => Err(format!("private stays private: {word} is on its way to {}", receiver.name)),
        None => Ok(()),
    }
}

/// What may be written where.
pub fn written(world: &World, node: usize, path: &VaultPath, bytes: &[u8]) -> Result<(), Violation> {
    written_path(world, node, path)?;
    written_content(world, node, path, bytes)
}

/// A write lies inside the vault's set of paths.
fn written_path(world: &World, node: usize, path: &VaultPath) -> Result<(), Violation> {
    let state = &world.nodes[node];
    let Some(core) = &state.core else { return Ok(()) };
    match core.replication().rosters().current().zone_of(path) {
        Ok(_) => Ok(()),
        Err(why) => Err(format!("nothing is written outside the vault's zones: {} writes {path}: {why}", state.name)),
    }
}

/// A Local shows no active content that came from elsewhere, unless a person there let it.
fn written_content(world: &World, node: usize, path: &VaultPath, bytes: &[u8]) -> Result<(), Violation> {
    let state = &world.nodes[node];
    let is_shared = state.rosters().current().zone_of(path).is_ok_and(|zone| zone.audience() == Audience::All);
    if state.role != Role::Local || !is_shared {
        return Ok(());
    }
    match active::find(path, bytes).iter().find(|finding| !world.ledger.released.contains(&finding.release)) {
        Some(finding) => Err(format!("active content waits: {} writes {path}: {finding:?}", state.name)),
        None => Ok(()),
    }
}

/// Whether a draft may be approved as far as its active content goes: what nobody released, nobody was shown.
pub fn may_be_approved(world: &World, draft: &DraftSource) -> Result<bool, Violation> {
    let mut found = active::find(&draft.path, &draft.note);
    found.retain(|finding| !world.ledger.released.contains(&finding.release));
    let waits = draft.blocked_by.iter().any(|block| block.starts_with("active content"));
    match found.first() {
        Some(finding) if !waits => Err(format!("active content waits: {} may be approved: {finding:?}", draft.path)),
        Some(_) | None => Ok(!waits),
    }
}

/// Everything that must hold when nothing is under way any more.
pub fn healed(world: &World) -> Result<(), Violation> {
    for node in &world.nodes {
        let core = running(node)?;
        settled(node, core)?;
        zones_respected(world, node, core)?;
    }
    let first = &world.nodes[0];
    for other in &world.nodes[1..] {
        same(first, other, Audience::All)?;
        if first.role == Role::Local && other.role == Role::Local {
            same(first, other, Audience::Local)?;
        }
        if other.role == Role::Cloud {
            no_private_ids(first, other)?;
        }
    }
    words_found(world)
}

fn running(node: &Node) -> Result<&Core, Violation> {
    node.core.as_ref().ok_or_else(|| format!("{} does not run", node.name))
}

/// The disk holds what the logs say, and nothing is under way.
fn settled(node: &Node, core: &Core) -> Result<(), Violation> {
    if !core.vault().is_settled() || node.store.is_busy() || node.writes_under_way > 0 {
        return Err(format!("progress: {} does not settle", node.name));
    }
    for (key, projection) in core.vault().on_disk() {
        let found = node.disk.files.get(&projection.path).map(|bytes| ContentHash::of(bytes));
        if found != Some(projection.hash) || projection.path.key() != key {
            return Err(format!("disk equals merge: {} has something else at {}", node.name, projection.path));
        }
        let looks_again = core.vault().has_two_values(projection.file) || held(core).contains_key(&projection.file);
        if projection.merged_changes.is_none() && !looks_again {
            return Err(format!("disk equals merge: {} is behind at {}", node.name, projection.path));
        }
    }
    Ok(())
}

/// Files of Local nodes were written by Local nodes alone.
pub fn zones_respected(world: &World, node: &Node, core: &Core) -> Result<(), Violation> {
    for (file, record) in core.vault().index().iter() {
        if !matches!(file.zone, Zone::Owner | Zone::Private) {
            continue;
        }
        let writers = record.path.writes().map(|(origin, _)| origin.author());
        let writers = writers.chain(record.archived.writes().map(|(origin, _)| origin.author()));
        let mut writers = writers.chain(record.changes().iter().map(|change| change.origin.author()));
        if writers.any(|writer| world.nodes[world.index_of(writer)].role == Role::Cloud) {
            return Err(format!("a peer writes only its zones: Cloud wrote {file:?} as {} has it", node.name));
        }
    }
    Ok(())
}

/// What a node holds back, with what it waits for.
fn held(core: &Core) -> BTreeMap<FileId, BTreeSet<ConflictId>> {
    let items = core.vault().held_items().into_iter();
    items.map(|item| (item.file, item.found.iter().map(|finding| finding.release).collect())).collect()
}

type Shown = BTreeMap<VaultPath, (FileId, Vec<u8>)>;

fn shown(node: &Node, core: &Core, audience: Audience) -> Shown {
    let of_audience =
        core.vault().on_disk().map(|(_, there)| there).filter(|there| there.file.zone.audience() == audience);
    of_audience
        .map(|there| {
            let bytes = node.disk.files.get(&there.path).cloned().unwrap_or_default();
            (there.path.clone(), (there.file, bytes))
        })
        .collect()
}

/// What of an audience is out of sight.
fn archived(core: &Core, audience: Audience) -> BTreeSet<FileId> {
    let files = core.vault().index().iter().filter(|(file, _)| file.zone.audience() == audience);
    files.filter(|(_, record)| record.is_archived()).map(|(file, _)| file).collect()
}

/// The items of an audience.
fn conflicts(core: &Core, audience: Audience) -> BTreeMap<ConflictId, Conflict> {
    let of_audience = core.vault().conflicts().into_iter().filter(|item| item.file.zone.audience() == audience);
    of_audience.map(|item| (item.id, item)).collect()
}

/// Two nodes of an audience hold the same logs, show the same files, put the same ones away and list the same
/// conflicts with the same words.
fn same(one: &Node, other: &Node, audience: Audience) -> Result<(), Violation> {
    let (core_one, core_other) = (running(one)?, running(other)?);
    let names = format!("{} and {}", one.name, other.name);
    let frontier = |core: &Core| -> Vec<_> {
        core.replication().frontier().filter(|position| position.log.audience == audience).collect()
    };
    if frontier(core_one) != frontier(core_other) {
        let (a, b) = (frontier(core_one), frontier(core_other));
        return Err(format!("progress: {names} hold different {audience:?} logs: {a:?} / {b:?}"));
    }
    let (held_one, held_other) = (held(core_one), held(core_other));
    if one.role == other.role && held_one != held_other {
        return Err(format!("same logs, same vault: {names} hold back {held_one:?} / {held_other:?}"));
    }
    let (mut shown_one, mut shown_other) = (shown(one, core_one, audience), shown(other, core_other, audience));
    for shown in [&mut shown_one, &mut shown_other] {
        shown.retain(|_, (file, _)| !held_one.contains_key(file) && !held_other.contains_key(file));
    }
    if let Some(path) = first_difference(&shown_one, &shown_other) {
        let text = |shown: &Shown| {
            shown.get(path).map(|(file, bytes)| format!("{file:?} {:?}", String::from_utf8_lossy(bytes)))
        };
        let (a, b) = (text(&shown_one), text(&shown_other));
        return Err(format!("same logs, same vault: {names} differ at {path}: {a:?} / {b:?}"));
    }
    let (archived_one, archived_other) = (archived(core_one, audience), archived(core_other, audience));
    if let Some(file) = archived_one.symmetric_difference(&archived_other).next() {
        let shows = if archived_one.contains(file) { &other.name } else { &one.name };
        return Err(format!("same logs, same vault: of {names} {shows} alone has {file:?} in sight"));
    }
    let (items_one, items_other) = (conflicts(core_one, audience), conflicts(core_other, audience));
    let ids = items_one.keys().chain(items_other.keys());
    match ids.into_iter().find(|id| items_one.get(id) != items_other.get(id)) {
        Some(id) => {
            let (a, b) = (items_one.get(id), items_other.get(id));
            Err(format!("same logs, same conflicts: {names} list different {audience:?} items: {a:?} / {b:?}"))
        }
        None => Ok(()),
    }
}

fn first_difference<'a>(one: &'a Shown, other: &'a Shown) -> Option<&'a VaultPath> {
    one.keys().chain(other.keys()).find(|path| one.get(*path) != other.get(*path))
}

/// No id of a private file is anywhere in a Cloud node's store.
fn no_private_ids(local: &Node, cloud: &Node) -> Result<(), Violation> {
    let private: BTreeSet<[u8; 32]> = running(local)?
        .vault()
        .index()
        .iter()
        .filter(|(file, _)| file.zone == Zone::Private)
        .map(|(file, _)| *file.hash.as_bytes())
        .collect();
    let entries = cloud.store.entries.iter().map(|kept| &kept.signed.cose);
    for bytes in entries {
        if bytes.windows(32).any(|window| <[u8; 32]>::try_from(window).is_ok_and(|id| private.contains(&id))) {
            return Err(format!("private stays private: {} holds the id of a private file", cloud.name));
        }
    }
    Ok(())
}

/// Every word that a person saved and none removed can be seen.
fn words_found(world: &World) -> Result<(), Violation> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut stored: BTreeSet<String> = BTreeSet::new();
    for node in &world.nodes {
        let mut see = |bytes: &[u8]| seen.extend(ledger::words_in(bytes).map(str::to_owned));
        node.disk.files.values().for_each(|bytes| see(bytes));
        node.kept.iter().for_each(|(_, bytes)| see(bytes));
        for item in running(node)?.vault().open_items() {
            item.sides.iter().for_each(|side| see(side.text.as_bytes()));
        }
        for payload in node.store.payloads.values() {
            stored.extend(ledger::words_in(payload).map(str::to_owned));
        }
    }
    for (word, known) in &world.ledger.words {
        let found = seen.contains(word) || known.removed || (!known.in_text && stored.contains(word));
        if !found {
            let place = if stored.contains(word) { "only in history" } else { "nowhere" };
            let name = &world.nodes[known.node].name;
            return Err(format!("no saved edit is lost: {word} of {name} is {place}"));
        }
    }
    Ok(())
}
