//! Contents that replaced the whole of a file: nobody takes one back who had not got to see it.

use std::collections::BTreeSet;

use aiemp_crdt::vault::Projection;
use aiemp_node::core::{Input, Question};
use aiemp_protocol::{
    entry::{FieldWrite, Item},
    ids::{ContentHash, FileId},
    replication::Record,
    vault_path::VaultPath,
};

use crate::{Violation, world::World};

/// What people got to see, and where they said that something else stands.
#[derive(Debug, Default)]
pub struct Replacements {
    shown: BTreeSet<(usize, FileId, ContentHash)>,
    decided: BTreeSet<(usize, FileId)>,
    undo: BTreeSet<usize>,
}

/// A state of a content lies on the disk of a node, and the text from which its document may start anew.
pub fn shown(world: &mut World, node: usize, projection: &Projection) {
    let seen = [projection.base, projection.hash].map(|content| (node, projection.file, content));
    world.replacements.shown.extend(seen);
}

/// A person asks a node for something.
pub fn asked(world: &mut World, node: usize, input: &Input) {
    let Input::Asked { question, .. } = input else { return };
    if let Question::Resolve { id, .. } = question {
        let core = world.nodes[node].core.as_ref();
        let items = core.map(|core| core.vault().open_items()).unwrap_or_default();
        let decided = items.into_iter().filter(|item| item.id == *id).map(|item| (node, item.file));
        world.replacements.decided.extend(decided);
    } else if let Question::Undo { .. } = question {
        world.replacements.undo.insert(node);
    }
}

/// An entry that a node writes now replaces or edits no content of another that never lay on its disk.
pub fn nothing_unseen(world: &mut World, node: usize, record: &Record) -> Result<(), Violation> {
    let (state, now) = (&world.nodes[node], world.time());
    let Record::Entry { entry, .. } = record else { return Ok(()) };
    let is_written_now = entry.signed.log.author == state.id() && entry.signed.entry.hlc >= now;
    let Some(core) = state.core.as_ref().filter(|_| is_written_now) else { return Ok(()) };
    if world.captured.contains(&node) || world.replacements.undo.contains(&node) {
        return Ok(());
    }
    let mut closed = Vec::new();
    for item in &entry.signed.entry.items {
        let (file, over) = if let Item::Change { file, base, .. } = item {
            (*file, Some(*base))
        } else if let Item::Set { file, write: FieldWrite::Base(_) } = item {
            (*file, None)
        } else {
            continue;
        };
        let Some(record) = core.vault().index().get(file) else { continue };
        let written = record.base.writes().next();
        let Some((shown, (origin, _))) = record.shown_base().zip(written) else { continue };
        let takes_its_place = over.is_none_or(|base| base == shown);
        let is_seen = world.replacements.shown.contains(&(node, file, shown));
        let is_decided = world.replacements.decided.contains(&(node, file));
        let path = record.path.shown();
        // The node itself adds to the day's log and rewrites the dashboard, and reads what is merged.
        let adds_to = |path: &VaultPath| path.name() == "Dashboard.md" || path.folder() == "Logs";
        // It goes by their ids, wherever Cloud moves them.
        let is_own = origin.author() == state.id() || record.path.values().any(adds_to);
        if takes_its_place && !is_seen && !is_decided && !is_own {
            return Err(format!("nothing is taken back unseen: {} in {path:?}: {item:?}", state.name));
        }
        if over.is_none() {
            let bases = record.base.writes().map(|(_, base)| base.hash);
            let changes = record.changes().iter().filter(|change| change.base != shown).map(|change| change.hash);
            closed.extend(bases.chain(changes).filter(|hash| *hash != shown));
        }
    }
    // Whoever replaces the whole of a file closes what was listed beside it.
    for hash in closed {
        let bytes = world.nodes[node].store.payload(hash, false).unwrap_or_default();
        world.ledger.replaced(&bytes, b"");
    }
    Ok(())
}
