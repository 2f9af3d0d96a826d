//! The person at Local: what they saved, and what must lie on their disk.

use std::collections::BTreeMap;

use aiemp_crdt::{
    conflict::{Conflict, ConflictKind},
    index::FileRecord,
    vault::Choice,
};
use aiemp_node::core::{Input, Question};
use aiemp_protocol::{vault_path::VaultPath, zone::Zone};

use super::{Allowance, CLOUD, LISTED, LISTED_COUNT, LOCAL, core, tell};
use crate::{Violation, brake, executor, people, standing, world::World};

const PRIVATE: [&str; OWNED.len()] = ["Private/diary.md", "Accounting/2026/Salaries.md", "Notes.md"];
const OWNED: [&str; 3] = ["Company_Handbook.md", "Business_Goals.md", "Done/report.md"];
const SHARED: [&str; 5] = ["Plans/plan.md", "Plans/Trip.md", "Updates/week.md", "Signals/s.md", "Needs_Action/task.md"];
const DRAFTS: [&str; 3] = ["Pending_Approval/email/a.md", "Pending_Approval/email/b.md", "Pending_Approval/email/c.md"];

/// Who works at Local.
#[derive(Debug)]
pub struct Person {
    /// What they saved last where Cloud may not write.
    own: BTreeMap<VaultPath, Vec<u8>>,
    /// What they saved where Cloud writes too, and did not touch again.
    shared: BTreeMap<VaultPath, Vec<u8>>,
    saved: u64,
    /// What may go out unseen.
    allowance: Allowance,
}

fn path(text: &str) -> VaultPath {
    VaultPath::parse(text).expect("a path of the person's")
}

impl Person {
    /// Somebody with a vault of some notes.
    pub(super) fn at_work(world: &mut World, allowance: Allowance) -> Self {
        let mut person = Self { own: BTreeMap::new(), shared: BTreeMap::new(), saved: 0, allowance };
        for at in PRIVATE.into_iter().chain(OWNED) {
            person.save_own(world, at);
        }
        for at in SHARED {
            person.save_shared(world, at);
        }
        let binary = b"scan\0\x01\x02 before".to_vec();
        people::save(world, LOCAL, path("Plans/scan.bin"), binary.clone());
        person.shared.insert(path("Plans/scan.bin"), binary);
        for (number, at) in DRAFTS.into_iter().enumerate() {
            person.save_draft(world, at, number);
        }
        person
    }

    /// Signs a standing approval, where the round has one.
    pub(super) fn allow(&self, world: &mut World) -> Result<(), Violation> {
        match self.allowance {
            Allowance::Nothing => Ok(()),
            Allowance::TextByLocal => standing::sign(world, &LISTED, LISTED_COUNT, false),
            Allowance::TextByCloud => standing::sign(world, &LISTED, LISTED_COUNT, true),
        }
    }

    /// One thing that they do.
    pub(super) fn act(&mut self, world: &mut World) -> Result<(), Violation> {
        self.saved += 1;
        let at = world.rng.below(OWNED.len());
        match world.rng.below(14) {
            0..=1 => self.save_own(world, OWNED[at]),
            2..=3 => self.save_own(world, PRIVATE[at]),
            4 => self.save_shared(world, &format!("Plans/of-{}.md", self.saved)),
            5 => self.save_draft(world, &format!("Pending_Approval/email/d{}.md", self.saved), self.saved as usize),
            6 if world.rng.chance(30) => brake::freeze(world, LOCAL)?,
            6 if world.rng.chance(20) => {
                standing::end(world)?;
                self.allow(world)?;
            }
            6 => brake::unfreeze(world)?,
            7..=9 => executor::review(world)?,
            10 => self.move_to_drafts(world),
            11 => take_both(world)?,
            _ => executor::act(world)?,
        }
        Ok(())
    }

    fn save_own(&mut self, world: &mut World, at: &str) {
        let private = PRIVATE.contains(&at);
        let word = world.ledger.word(LOCAL, private, true);
        let at = path(at);
        let before = self.own.get(&at).cloned().unwrap_or_default();
        let mut text = format!("# Mine {word}\n\n{}", String::from_utf8_lossy(&before));
        text.truncate(600);
        people::save(world, LOCAL, at.clone(), text.clone().into_bytes());
        self.own.insert(at, text.into_bytes());
    }

    fn save_shared(&mut self, world: &mut World, at: &str) {
        let word = world.ledger.word(LOCAL, false, true);
        let text = format!("---\nstatus: open\n---\n# Note {word}\n\nfirst\nsecond\n\nthird\n");
        if world.nodes[LOCAL].disk.files.contains_key(&path(at)) {
            return;
        }
        people::save(world, LOCAL, path(at), text.clone().into_bytes());
        self.shared.insert(path(at), text.into_bytes());
    }

    fn save_draft(&mut self, world: &mut World, at: &str, number: usize) {
        if world.nodes[LOCAL].disk.files.contains_key(&path(at)) {
            return;
        }
        let word = world.ledger.word(LOCAL, false, true);
        let text = format!("---\naction: email\nto: a{number}@client.test\nsubject: About {word}\n---\n\nHello.\n");
        world.executor.allowances.by_person.insert(text.clone().into_bytes());
        people::save(world, LOCAL, path(at), text.into_bytes());
    }

    /// Takes a note of Cloud's for one that should go on.
    fn move_to_drafts(&self, world: &mut World) {
        let files = &mut world.nodes[LOCAL].disk.files;
        let is_clouds = |(at, text): &(&VaultPath, &Vec<u8>)| {
            at.as_str().starts_with("Needs_Action/") && text.ends_with(b"\nSend money.\n")
        };
        let Some(from) = files.iter().find(is_clouds).map(|(at, _)| at.clone()) else { return };
        let to = path(&format!("Pending_Approval/email/m{}.md", self.saved));
        let text = files.remove(&from).expect("it was found");
        files.insert(to.clone(), text);
        world.touched(LOCAL, from);
        world.touched(LOCAL, to);
    }

    /// Whether they saved a shared note there.
    pub(super) fn knows(&self, at: &VaultPath) -> bool {
        self.shared.contains_key(at)
    }

    /// Their owner's and private notes lie where and as they saved them.
    pub(super) fn own_notes_stand(&self, world: &World) -> Result<(), Violation> {
        self.stand(world, &self.own, "the person's own notes stand")
    }

    /// Their shared notes lie where and as they saved them; but for those that they turned down or approved themselves,
    /// where Cloud had put them among the drafts.
    pub(super) fn shared_notes_stand(&self, world: &World) -> Result<(), Violation> {
        let mut shared = self.shared.clone();
        shared.retain(|at, _| !was_filed(world, at));
        self.stand(world, &shared, "full undo")
    }

    fn stand(&self, world: &World, notes: &BTreeMap<VaultPath, Vec<u8>>, rule: &str) -> Result<(), Violation> {
        for (at, saved) in notes {
            let found = world.nodes[LOCAL].disk.files.get(at);
            if found != Some(saved) {
                let shown = found.map(|bytes| String::from_utf8_lossy(bytes));
                let wanted = String::from_utf8_lossy(saved);
                return Err(format!("{rule}: {at} is {shown:?}, not {wanted:?}: {}", tell(world, at)));
            }
        }
        Ok(())
    }

    /// An honest edit still enters the log, and a note of Cloud's zone can be made and shown.
    pub(super) fn still_works(&mut self, world: &mut World) -> Result<(), Violation> {
        self.save_own(world, OWNED[0]);
        self.save_shared(world, "Plans/afterwards.md");
        world.run_for(30_000)?;
        self.own_notes_stand(world)?;
        self.shared_notes_stand(world)?;
        let file = core(world).vault().file_at(&path("Plans/afterwards.md"));
        if file.is_none() {
            return Err("progress: an honest note is not taken any more".to_owned());
        }
        Ok(())
    }
}

/// Keeps what is hidden of a draft as a draft of its own.
fn take_both(world: &mut World) -> Result<(), Violation> {
    let is_hidden =
        |item: &Conflict| item.kind == ConflictKind::Content && item.path.as_str().starts_with("Pending_Approval/");
    let Some(item) = core(world).vault().conflicts().into_iter().find(is_hidden) else { return Ok(()) };
    let question = Question::Resolve { id: item.id, choice: Choice::Both };
    world.input(LOCAL, Input::Asked { request: 4_000, question })
}

/// Whether the person moved the note that they saved there to a folder of theirs.
fn was_filed(world: &World, at: &VaultPath) -> bool {
    let index = core(world).vault().index();
    let cloud = world.nodes[CLOUD].id();
    let by_person = |record: &FileRecord| {
        record.path.without(|origin| origin.author() == cloud).shown().is_some_and(|path| path == at)
    };
    let mut files = index.iter().filter(|(_, record)| by_person(record)).map(|(file, _)| file);
    files.any(|file| index.get(file.moved_to(Zone::Owner)).is_some())
}
