//! The review session: what waits, one after the other, with one unlock.
//!
//! The key is opened at the first approval and stays open until the session ends, at the latest ten minutes after the
//! last line that was typed; an editor that is open for longer locks it, a passphrase that is asked for once more does not.
//! What is signed is what was shown: before each signature the drafts are asked for again, and one that changed is shown
//! again instead.

use std::{
    collections::{BTreeSet, VecDeque},
    thread,
    time::{Duration, Instant},
};

use aiemp_protocol::{
    action::spelt,
    ids::{ContentHash, FileId},
    roster::Roster,
};
use anyhow::Result;

use super::{
    super::{
        Passphrase,
        owner::{self, Unlocked},
        print,
        terminal::{self, Typed},
    },
    decide,
    editor::Editor,
    listing::list_unsent,
    show_item,
};
use crate::{
    fault::Fault,
    home::Home,
    reviewer::{Desk, Item},
    shell::{
        control::{Client, Request, Response, unexpected},
        walls::Wall,
    },
};

/// How long the key stays open without a line typed.
const IDLE_MAX: Duration = Duration::from_secs(600);
/// How long an edit may take to come back from the node, and how often it is looked for.
const EDIT_PATIENCE: Duration = Duration::from_secs(10);
const EDIT_PAUSE: Duration = Duration::from_millis(50);
const HELP: &str = "[a]pprove, [r]eject, [e]dit, [n]ext, [l]ater, [q]uit";

/// What one decision leads to.
enum Then {
    /// The same draft, shown again.
    Again,
    /// The next one; this one comes round again.
    Next,
    /// The next one; this one is decided.
    Decided,
    /// The next one; this one not in this session.
    Later,
    /// The end.
    Quit,
}

struct Session<'a> {
    home: &'a Home,
    roster: &'a Roster,
    own: &'a str,
    desk: Desk,
    client: Client,
    editor: Editor,
    unlocked: Option<Unlocked>,
    /// Approved or rejected.
    decided: BTreeSet<FileId>,
    /// Not in this session.
    later: BTreeSet<FileId>,
}

/// Runs until nothing waits, or the person ends it.
pub(super) fn run(home: &Home, roster: &Roster, own: &str, desk: Desk, client: Client) -> Result<()> {
    let editor = Editor::start(home)?;
    let (decided, later) = (BTreeSet::new(), BTreeSet::new());
    let mut session = Session { home, roster, own, desk, client, editor, unlocked: None, decided, later };
    list_unsent(home, &session.desk);
    if let Some(trouble) = &session.desk.handed_in.trouble {
        print::talk(format!("What you approve is not sent yet: {}.\n  {}", spelt(&trouble.what), spelt(&trouble.fix)));
    }
    let mut queue = VecDeque::new();
    loop {
        session.refresh()?;
        let waiting = session.waiting();
        queue.retain(|file| waiting.contains(file));
        let new: Vec<_> = waiting.into_iter().filter(|file| !queue.contains(file)).collect();
        queue.extend(new);
        let Some(file) = queue.front().copied() else { break };
        match session.decide(file, queue.len())? {
            Then::Again => {}
            Then::Next => queue.rotate_left(1),
            Then::Decided => {
                session.decided.insert(file);
            }
            Then::Later => {
                session.later.insert(file);
            }
            Then::Quit => break,
        }
    }
    // What was decided is listed until the node has heard of it.
    let left = session.desk.items.iter().filter(|item| !session.decided.contains(&item.file)).count();
    let told = format!("{left} {} for another time.", if left == 1 { "waits" } else { "wait" });
    print::talk(if left == 0 { "Nothing waits any more.".to_owned() } else { told });
    Ok(())
}

impl Session<'_> {
    fn refresh(&mut self) -> Result<()> {
        self.desk.refresh(self.home, self.roster, &mut self.client)
    }

    /// What is to be decided in this session.
    fn waiting(&self) -> Vec<FileId> {
        let files = self.desk.items.iter().map(|item| item.file);
        files.filter(|file| !self.decided.contains(file) && !self.later.contains(file)).collect()
    }

    fn item(&self, file: FileId) -> Option<&Item> {
        self.desk.items.iter().find(|item| item.file == file)
    }

    /// Shows a draft and does what the person says. What goes wrong with one draft ends no session.
    fn decide(&mut self, file: FileId, waiting: usize) -> Result<Then> {
        let Some(item) = self.item(file).cloned() else { return Ok(Then::Next) };
        print::talk(format!("\n── {} ── {waiting} to decide ──", spelt(&item.path)));
        show_item(&self.desk, &item, self.own);
        let typed = terminal::ask(&format!("{HELP}: "), IDLE_MAX)?;
        let Typed::Line(line) = typed else { return Ok(self.stopped(&typed)) };
        let then = match line.as_str() {
            "a" | "approve" => self.approve(&item),
            "r" | "reject" => self.reject(&item),
            "e" | "edit" => self.edit(&item),
            "n" | "next" => Ok(Then::Next),
            "l" | "later" => Ok(Then::Later),
            "q" | "quit" => Ok(Then::Quit),
            _ => Ok(Then::Again),
        };
        then.or_else(|error| match error.downcast::<Fault>() {
            Ok(fault) => {
                print::talk(format!("{fault}"));
                Ok(Then::Again)
            }
            Err(error) => Err(error),
        })
    }

    fn stopped(&mut self, typed: &Typed) -> Then {
        self.unlocked = None;
        if *typed == Typed::Nothing {
            let minutes = IDLE_MAX.as_secs() / 60;
            print::talk(format!("Locked after {minutes} minutes without a word. Run `aiemp-node approvals` to go on."));
        }
        Then::Quit
    }

    fn approve(&mut self, item: &Item) -> Result<Then> {
        let readable = decide::approvable(&self.desk, item, false)?;
        let typed = decide::type_new_values(readable, IDLE_MAX)?;
        let Typed::Line(_) = typed else { return Ok(self.stopped(&typed)) };
        let asks_again = self.desk.policy.rules.get(&readable.action.kind()).is_some_and(|rule| rule.passphrase);
        match &self.unlocked {
            None => self.unlocked = Some(owner::open(self.home, &Passphrase::default(), &Wall::Reviewer)?),
            Some(unlocked) if asks_again => unlocked.ask_again()?,
            Some(_) => {}
        }
        self.refresh()?;
        if self.item(item.file).is_none_or(|now| now.id != item.id || now.blocked_by != item.blocked_by) {
            let fix = "Nothing was signed; it is shown again as it is now.";
            return Err(Fault::operator("changed", "the draft changed since it was shown", fix).into());
        }
        let Some(unlocked) = &self.unlocked else { return Ok(Then::Again) };
        let who = (self.home, self.roster);
        decide::sign(who, &mut self.desk, &mut self.client, &unlocked.keys, item, false)?;
        print::talk(format!("Approved {}.", item.id));
        Ok(Then::Decided)
    }

    fn reject(&mut self, item: &Item) -> Result<Then> {
        let typed = terminal::ask("Why, for whoever drafted it (empty: not rejected): ", IDLE_MAX)?;
        let reason = match typed {
            Typed::Line(reason) if reason.is_empty() => return Ok(Then::Again),
            Typed::Line(reason) => reason,
            Typed::Nothing | Typed::Ended => return Ok(self.stopped(&typed)),
        };
        let Response::Done = self.client.ask(&Request::Reject { file: item.file.to_string(), reason })? else {
            return Err(unexpected());
        };
        print::talk("Rejected.");
        Ok(Then::Decided)
    }

    /// Waits until the node has taken in what the editor saved; then the draft is shown as it is now.
    fn edit(&mut self, item: &Item) -> Result<Then> {
        let unlocked = &mut self.unlocked;
        let was_open = unlocked.is_some();
        let saved = self.editor.edit(&item.path, IDLE_MAX, || *unlocked = None)?;
        if was_open && self.unlocked.is_none() {
            print::talk("Locked while you edited: the next approval asks for the passphrase.");
        }
        let Some(saved) = saved else {
            print::talk("The note is gone from there.");
            return Ok(Then::Again);
        };
        let until = Instant::now() + EDIT_PATIENCE;
        while Instant::now() < until {
            self.refresh()?;
            if self.item(item.file).is_none_or(|now| ContentHash::of(&now.note) == saved) {
                return Ok(Then::Again);
            }
            thread::sleep(EDIT_PAUSE);
        }
        print::talk(
            "The node has not taken in what you saved, or merged it with another edit: look before you approve.",
        );
        Ok(Then::Again)
    }
}
