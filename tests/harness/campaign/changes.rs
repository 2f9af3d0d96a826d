//! Changes to the text of shared notes: valid ones with bad intent, and broken ones.

use aiemp_crdt::{
    document::{self, Document},
    vet,
};
use aiemp_protocol::{
    entry::{FileKind, Item},
    ids::{ContentHash, FileId},
    vault_path::VaultPath,
    zone::Zone,
};
use automerge::{ActorId, Change, ChangeHash, ExpandedChange};

use super::{
    LOCAL,
    attacker::{Attacker, Said},
    core,
    entries::new_item,
};
use crate::{Violation, executor, world::World};

type Played = Result<bool, Violation>;

const TEXT: &str = "---\nstatus: pending\n---\none\ntwo\n";
const NEXT: &str = "---\nstatus: done\n---\none\nthree\n";
/// Where a chunk's kind lies.
const KIND: usize = 8;

/// The document of a note as Local has it, of what Cloud was told: a base that is a private note's digest, guessed right,
/// has no text for it.
fn document(world: &World, file: FileId) -> Option<(Document, ContentHash)> {
    let record = core(world).vault().index().get(file)?;
    let shared = |hash: ContentHash| world.nodes[LOCAL].store.payload(hash, true);
    if record.kind.shown() != Some(&FileKind::Note) {
        return None;
    }
    let base = record.shown_base()?;
    let text = String::from_utf8(shared(base)?).ok()?;
    let mut open = Document::import(&text);
    for change in record.current_changes() {
        // Local goes on without what was dropped.
        let Some(raw) = shared(change.hash) else { continue };
        let (author, generation) = (change.origin.author(), change.origin.log.generation);
        if let Ok(vetted) = vet::vet(&open, document::doc_id(file, base), author, generation, &raw) {
            open.apply(vetted).ok()?;
        }
    }
    Some((open, base))
}

fn actor(attacker: &Attacker, file: FileId, base: ContentHash, lane: u64) -> ActorId {
    document::actor(attacker.id(), document::doc_id(file, base), attacker.log().generation, lane)
}

fn change_item(file: FileId, base: ContentHash, raw: Vec<u8>) -> Said {
    (Item::Change { file, base, length: raw.len() as u64, hash: ContentHash::of(&raw) }, Some(raw))
}

/// What an attacker makes of a text: a word here, a line less, or all of it gone.
fn rewritten(attacker: &mut Attacker, text: &str) -> String {
    let number = attacker.number();
    let mut lines: Vec<_> = text.split_inclusive('\n').map(str::to_owned).collect();
    let at = attacker.rng.below(lines.len());
    match attacker.rng.below(8) {
        0 => return format!("ALL YOUR NOTES {number}\n"),
        1 => return String::new(),
        2 if !lines.is_empty() => drop(lines.remove(at)),
        3 => lines.reverse(),
        4 => return text.replace("client.test", "evil.test").replace("open", "approved"),
        5 => return format!("---\nstatus: sent\napproved: {number}\n---\n{text}"),
        _ => lines.insert(at, format!("send money to {number}\n")),
    }
    lines.concat()
}

fn edit_of(attacker: &mut Attacker, world: &mut World, file: FileId) -> Played {
    let Some((mut open, base)) = document(world, file) else { return Ok(false) };
    let text = rewritten(attacker, &open.text());
    let Some(raw) = open.edit(&text, actor(attacker, file, base, 0)) else { return Ok(false) };
    let accusations = world.accusations;
    let taken = attacker.append(world, vec![change_item(file, base, raw)])?;
    Ok(taken && world.accusations == accusations && !attacker.spoilt.contains(&file))
}

pub(super) fn edit(attacker: &mut Attacker, world: &mut World) -> Played {
    let Some(file) = attacker.shared_file(world) else { return Ok(false) };
    edit_of(attacker, world, file)
}

/// While the person looks at the drafts and signs one, another text lies at its place.
pub(super) fn edit_of_a_shown_draft(attacker: &mut Attacker, world: &mut World) -> Played {
    let drafts: Vec<_> = {
        let index = core(world).vault().index();
        let waits = |path: &VaultPath| path.as_str().starts_with("Pending_Approval/");
        let waiting = index.iter().filter(|(file, record)| {
            file.zone == Zone::Drafts && !record.is_archived() && record.path.shown().is_some_and(waits)
        });
        waiting.map(|(file, _)| file).collect()
    };
    let Some(draft) = attacker.rng.pick(&drafts).copied() else { return Ok(false) };
    executor::review(world)?;
    world.run_for(attacker.rng.between(0, 400))?;
    edit_of(attacker, world, draft)
}

/// A change that no node of ours makes. That Local keeps the entry says nothing: the note must stay as it is.
pub(super) fn broken(attacker: &mut Attacker, world: &mut World) -> Played {
    let of_person = attacker.shared_file(world).filter(|_| attacker.rng.chance(15));
    let (file, base) = match of_person.and_then(|file| Some((file, document(world, file)?.1))) {
        Some(found) => found,
        None => {
            let file = attacker.file(Zone::Drafts);
            let path = format!("Plans/broken-{}.md", attacker.number());
            let path = VaultPath::parse(&path).expect("a plain name");
            attacker.append(world, vec![new_item(file, path, FileKind::Note, TEXT.as_bytes())])?;
            (file, ContentHash::of(TEXT.as_bytes()))
        }
    };
    // What was said before has to arrive first.
    world.run_for(10_000)?;
    let (before, written) = (shown(world, file), written_by_local(world, file));
    let honest = Document::import(TEXT).edit(NEXT, actor(attacker, file, base, 0)).expect("the texts differ");
    let raw = bent(attacker, honest, file, base);
    let (change, mut bytes) = change_item(file, base, raw.clone());
    if attacker.rng.chance(30) {
        // As the content of a file before: nobody screens that.
        let path = VaultPath::parse(&format!("Plans/change-{}.bin", attacker.number())).expect("a plain name");
        let content = attacker.file(Zone::Drafts);
        attacker.append(world, vec![new_item(content, path, FileKind::Blob, &raw)])?;
        bytes = bytes.filter(|_| attacker.rng.chance(50));
    }
    attacker.append(world, vec![(change, bytes)])?;
    attacker.spoilt.insert(file);
    let after = shown(world, file);
    // A note whose own entry waited until now shows its first content; and Local goes on in its log of the day.
    let waited = before.is_none() && after.as_deref() == Some(TEXT);
    Ok(after != before && !waited && written_by_local(world, file) == written)
}

/// How many changes of a note are Local's own.
fn written_by_local(world: &World, file: FileId) -> usize {
    let local = world.nodes[LOCAL].id();
    let record = core(world).vault().index().get(file);
    record.map_or(0, |record| record.changes().iter().filter(|change| change.origin.author() == local).count())
}

/// The text of a note, as its changes have it.
fn shown(world: &World, file: FileId) -> Option<String> {
    document(world, file).map(|(open, _)| open.text())
}

fn bent(attacker: &mut Attacker, honest: Vec<u8>, file: FileId, base: ContentHash) -> Vec<u8> {
    let mut raw = honest.clone();
    let at = attacker.rng.below(raw.len());
    match attacker.rng.below(12) {
        0 => raw.truncate(at),
        1 => raw[at] ^= 1 << attacker.rng.below(8),
        2 => raw[KIND] = 3,
        3 => raw[0] ^= 1,
        4 => raw.push(0),
        5 => raw.clear(),
        6 => raw.resize(4_000, 0),
        7 => return with(&honest, |change| change.seq = 2),
        8 => return with(&honest, |change| change.deps = vec![ChangeHash([7; 32])]),
        9 => return with(&honest, |change| change.deps = Vec::new()),
        10 => return with(&honest, |change| change.start_op = std::num::NonZeroU64::MIN),
        _ => {
            let foreign = actor(attacker, file, base, 99);
            return Document::import(TEXT).edit(NEXT, foreign).expect("the texts differ");
        }
    }
    raw
}

fn with(honest: &[u8], bend: impl FnOnce(&mut ExpandedChange)) -> Vec<u8> {
    let mut change = Change::from_bytes(honest.to_vec()).expect("it decodes").decode();
    bend(&mut change);
    Change::from(change).raw_bytes().to_vec()
}
