//! People at their editors: each save is made from what lies on their disk at that moment.

use aiemp_protocol::{ids::Audience, roster::Role, vault_path::VaultPath};

use crate::{lines::Lines, random::Rng, world::World};

const FOLDERS: [&str; 16] = [
    "Needs_Action",
    "Needs_Action/email",
    "Plans",
    "Pending_Approval",
    "Pending_Approval/email",
    "Updates",
    "Signals",
    "Approved",
    "Rejected",
    "Done",
    "Done/email",
    "Briefings",
    "Private",
    "Accounting/2026",
    "",
    "Inbox",
];
const NAMES: [&str; 5] = ["a.md", "b.md", "C.md", "note d.md", "e.txt"];

/// One thing that a person does on a node.
pub fn act(world: &mut World, node: usize) {
    match world.rng.below(20) {
        0..=2 => new_note(world, node),
        3 => new_draft(world, node),
        4 => drop_mail(world, node),
        5 => drop_mail_twice(world, node),
        6..=8 => rename(world, node),
        9 => delete(world, node),
        10 => new_binary(world, node),
        _ => edit(world, node),
    }
}

/// A place in some folder; `None` where the name cannot be used.
fn some_place(world: &mut World, node: usize) -> Option<VaultPath> {
    let claim = format!("In_Progress/{}", world.nodes[world.rng.below(world.nodes.len())].name);
    let own = format!("In_Progress/{}", world.nodes[node].name);
    let folder = match world.rng.below(FOLDERS.len() + 2) {
        at if at < FOLDERS.len() => FOLDERS[at],
        at if at == FOLDERS.len() => claim.as_str(),
        _ => own.as_str(),
    };
    let name = NAMES[world.rng.below(NAMES.len())];
    VaultPath::join(folder, name).ok()
}

fn is_private(world: &World, node: usize, path: &VaultPath) -> bool {
    let chain = world.nodes[node].rosters();
    chain.current().zone_of(path).is_ok_and(|zone| zone.audience() == Audience::Local)
}

/// Saves `after` at a place, as an editor does.
pub fn save(world: &mut World, node: usize, path: VaultPath, after: Vec<u8>) {
    if let Some(before) = world.nodes[node].disk.files.get(&path) {
        let before = before.clone();
        world.ledger.replaced(&before, &after);
        decide_fields(world, node, &path, &after);
    }
    if !is_private(world, node, &path) {
        world.ledger.published(&after);
    }
    if world.nodes[node].role == Role::Local {
        world.ledger.saved_at_local(&path, &after);
    }
    world.mix(&after);
    world.tell(node, || format!("saves {path} = {}", crate::story::text(&after)));
    world.nodes[node].disk.files.insert(path.clone(), after);
    world.touched(node, path);
}

/// Who sets a field that two people gave different values has decided between them.
fn decide_fields(world: &mut World, node: usize, path: &VaultPath, after: &[u8]) {
    let Some(core) = &world.nodes[node].core else { return };
    let (conflicts, file) = (core.vault().conflicts(), core.file_at(path));
    for item in conflicts.iter().filter(|item| Some(item.file) == file && item.field.is_some()) {
        let kept = String::from_utf8_lossy(after).contains(&item.merged);
        for side in item.sides.iter().filter(|_| !kept) {
            world.ledger.replaced(side.text.as_bytes(), after);
        }
    }
}

fn word_for(world: &mut World, node: usize, path: &VaultPath, in_text: bool) -> String {
    let private = is_private(world, node, path);
    world.ledger.word(node, private && world.nodes[node].role == Role::Local, in_text)
}

fn new_note(world: &mut World, node: usize) {
    let Some(path) = some_place(world, node) else { return };
    if world.nodes[node].disk.files.contains_key(&path) {
        return edit(world, node);
    }
    let word = word_for(world, node, &path, true);
    let text = if world.rng.chance(50) {
        format!("---\ntype: note\nstatus: open\n---\n# Note {word}\n\nFirst line.\nSecond line.\n")
    } else {
        format!("# Note {word}\n")
    };
    save(world, node, path, text.into_bytes());
}

fn new_draft(world: &mut World, node: usize) {
    let Ok(path) = VaultPath::join("Pending_Approval/email", NAMES[world.rng.below(2)]) else { return };
    if world.nodes[node].disk.files.contains_key(&path) {
        return edit(world, node);
    }
    let word = word_for(world, node, &path, true);
    let text = format!("---\naction: email\nto: a@client.test\nsubject: About {word}\n---\n\nHello.\n");
    save(world, node, path, text.into_bytes());
}

fn new_binary(world: &mut World, node: usize) {
    let Some(place) = some_place(world, node) else { return };
    let Ok(path) = VaultPath::join(place.folder(), "scan.bin") else { return };
    let word = word_for(world, node, &path, false);
    let mut bytes = vec![0, 159, 146, 150, b' '];
    bytes.extend_from_slice(word.as_bytes());
    if world.rng.chance(3) {
        bytes.resize(1_200_000, 0);
    }
    save(world, node, path, bytes);
}

/// The text of a mail that has never been seen.
pub fn mail(number: u64, word: &str) -> Vec<u8> {
    let date = if number.is_multiple_of(3) { "some day" } else { "Wed, 7 Jan 2026 10:30:00 +0000" };
    format!(
        "Message-ID: <{number}@client.test>\r\nFrom: Client <a@client.test>\r\nTo: me@mine.test\r\n\
         Date: {date}\r\nSubject: Question {number}\r\n\r\nPlease answer {word}.\r\n"
    )
    .into_bytes()
}

fn drop_mail(world: &mut World, node: usize) {
    let number = world.rng.next() % 1_000_000;
    let path = VaultPath::join("Inbox", &format!("m{number}.eml")).expect("a plain name");
    let word = word_for(world, node, &path, true);
    save(world, node, path, mail(number, &word));
}

/// The same mail comes in on two nodes.
fn drop_mail_twice(world: &mut World, node: usize) {
    let number = world.rng.next() % 1_000_000;
    let path = VaultPath::join("Inbox", &format!("m{number}.eml")).expect("a plain name");
    let word = word_for(world, node, &path, true);
    let other = world.rng.below(world.nodes.len());
    save(world, node, path.clone(), mail(number, &word));
    save(world, other, path, mail(number, &word));
}

fn some_file(world: &mut World, node: usize) -> Option<VaultPath> {
    let at = world.rng.below(world.nodes[node].disk.files.len());
    world.nodes[node].disk.files.keys().nth(at).cloned()
}

fn rename(world: &mut World, node: usize) {
    let (Some(from), Some(place)) = (some_file(world, node), some_place(world, node)) else { return };
    let to = if world.rng.chance(60) { VaultPath::join(place.folder(), from.name()).unwrap_or(place) } else { place };
    if world.nodes[node].disk.files.contains_key(&to) {
        return;
    }
    if let Some(bytes) = world.nodes[node].disk.files.remove(&from) {
        if !is_private(world, node, &to) {
            world.ledger.published(&bytes);
        }
        if world.nodes[node].role == Role::Local {
            world.ledger.saved_at_local(&to, &bytes);
        }
        world.nodes[node].disk.files.insert(to.clone(), bytes);
        world.tell(node, || format!("renames {from} to {to}"));
        world.touched(node, from);
        world.touched(node, to);
    }
}

fn delete(world: &mut World, node: usize) {
    let Some(path) = some_file(world, node) else { return };
    if let Some(bytes) = world.nodes[node].disk.files.remove(&path) {
        world.ledger.replaced(&bytes, b"");
        world.tell(node, || format!("deletes {path}"));
        world.touched(node, path);
    }
}

fn edit(world: &mut World, node: usize) {
    let Some(path) = some_file(world, node) else { return };
    if path.extension() == "eml" {
        return;
    }
    let Some(Ok(text)) = world.nodes[node].disk.files.get(&path).cloned().map(String::from_utf8) else { return };
    if text.len() > 20_000 {
        return;
    }
    let word = word_for(world, node, &path, true);
    // Told by the word itself, so that the rest of the story stays as it was. Of a field with two values a hidden text
    // shows one.
    if text.contains('\0') || (word.ends_with("4x") && !text.starts_with("---\n")) {
        let kind = if text.contains('\0') { "# Again" } else { "\0" };
        world.ledger.is_of_whole_file(&word);
        return save(world, node, path, format!("{kind} {word}\n").into_bytes());
    }
    // What stands between the dashboard's markers is the node's, not the person's.
    let own_part = text.contains("<!-- aiemp:begin -->");
    let after = if own_part { format!("{text}\n{word}\n") } else { edited(&mut world.rng, &text, &word) };
    save(world, node, path, after.into_bytes());
}

/// The text with one edit, which brings `word` in.
fn edited(rng: &mut Rng, text: &str, word: &str) -> String {
    let mut note = Lines::of(text);
    let at = note.body + rng.below(note.lines.len() + 1 - note.body);
    match (rng.below(10), note.fence) {
        (0 | 1, Some(fence)) => note.set_field(fence, "status", word),
        (2, Some(fence)) => note.set_field(fence, "noted", word),
        (3 | 4, _) if at < note.lines.len() => note.lines[at] = format!("{word} instead\n"),
        (5, _) if at < note.lines.len() => {
            let line = &mut note.lines[at];
            let half = (0..=line.len() / 2).rev().find(|byte| line.is_char_boundary(*byte)).unwrap_or(0);
            let cut = line[..half].rfind(' ').map_or(0, |space| space + 1);
            line.insert_str(cut, &format!("{word} "));
        }
        (6, _) if at < note.lines.len() => note.move_to_top(at, word),
        (7, _) => note.lines.push(format!("- {word}\n")),
        // Told by the word itself, so that the rest of the story stays as it was.
        _ if word.contains(['0', '7']) => note.lines.insert(at, format!("![{word}](https://track.test/p.png)\n")),
        _ => note.lines.insert(at, format!("{word} here\n")),
    }
    note.lines.concat()
}
