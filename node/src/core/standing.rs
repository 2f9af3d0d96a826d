//! Drafts that a standing approval may cover: found, left alone until they stand still, and offered to the executor.
//!
//! Nothing is decided here: the executor judges each request again, by the same rules and by its own clock and journal.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aiemp_crdt::index::Index;
use aiemp_keys::NodeId;
use aiemp_protocol::{
    approval::{Outcome, Standing, standing::Request},
    ids::{ContentHash, FileId, WorkId},
    time::Timestamp,
    zone::Zone,
};

use super::{Core, agent::is_by_agent, filing::later_copy, output::Output, work::Reading};

/// How long a draft has to stand still: a person who types into it is not done, and editors save by themselves.
const STILL: Duration = Duration::from_secs(30);
/// When a draft is offered again that the executor did not take: it may have been away, or frozen.
const AGAIN: Duration = Duration::from_secs(900);
/// How many files and places are looked at for what a draft and its like are copies of: each costs a hash, and a member may
/// make any number of both.
const LOOKS_MAX: usize = 1_000_000;

impl Core {
    pub(super) fn standing_changed(&mut self, now: Timestamp, standing: Vec<Standing>) {
        if self.work.standing == standing {
            return;
        }
        self.work.standing = standing;
        self.work.offers.clear();
        let drafts: Vec<_> = self.waiting_drafts().map(|(file, _)| file).collect();
        for file in drafts {
            self.draft_seen(now, file);
        }
    }

    /// A draft changed, or came to lie where drafts wait.
    pub(super) fn draft_seen(&mut self, now: Timestamp, file: FileId) {
        if !self.work.standing.is_empty() && self.is_executor() {
            self.work.offers.insert(file, now + STILL);
        }
    }

    /// Looks at the drafts that stood still.
    pub(super) fn offers_due(&mut self, now: Timestamp) {
        let due: Vec<_> = self.work.offers.iter().filter(|(_, at)| **at <= now).map(|(file, _)| *file).collect();
        if due.is_empty() {
            return;
        }
        let waiting: BTreeMap<_, _> = self.waiting_drafts().collect();
        let open = self.vault.conflicts().into_iter().filter(|conflict| conflict.kind.is_about_content());
        let conflicting: BTreeSet<_> = open.map(|conflict| conflict.file).collect();
        for file in due {
            let Some(path) = waiting.get(&file) else {
                self.work.offers.remove(&file);
                continue;
            };
            let is_blocked = conflicting.contains(&file) || self.work.held.contains(path);
            let next = now + if is_blocked { STILL } else { AGAIN };
            self.work.offers.insert(file, next);
            if !is_blocked {
                self.read(now, file, Reading::Offer { file, next });
            }
        }
    }

    pub(super) fn offer_read(&mut self, now: Timestamp, file: FileId, next: Timestamp, bytes: Option<Vec<u8>>) {
        // Another time to look at it: it changed while it was read.
        if self.work.offers.get(&file) != Some(&next) || self.work.is_stopped {
            return;
        }
        if let Some(request) = bytes.and_then(|note| self.request_for(now, file, &note)) {
            self.outputs.push_back(Output::AskExecutor(Box::new(request)));
        }
    }

    /// What the executor would be asked for a draft; none where no standing approval covers it, or it went out before.
    pub(super) fn request_for(&self, now: Timestamp, file: FileId, note: &[u8]) -> Option<Request> {
        let roster = self.replication.rosters().current();
        let answered = self.newest_receipt(file).is_some_and(|receipt| receipt.outcome != Outcome::Failed);
        // What somebody deleted goes out by no standing approval, whoever closed the item.
        let is_odd = || self.vault.is_in_dispute(file) || self.vault.has_overlaps(file);
        if answered || self.work.standing.is_empty() || is_odd() {
            return None;
        }
        let path = self.path_of(file)?;
        // What the person's own disk does not show, or shows no longer, goes nowhere.
        if !self.vault.shows(file, note) || !self.vault.waits_for(file, &path, note).is_empty() {
            return None;
        }
        let in_force = |standing: &&Standing| {
            standing.in_force(roster, self.work.me, now).is_ok() && self.used(standing) < standing.count
        };
        self.work.standing.iter().filter(in_force).find_map(|standing| {
            let (path, authors) = (path.clone(), self.vault.index().get(file)?.authors());
            let mut request = Request { standing: standing.id, file, path, note: note.to_vec(), authors, asked: now };
            let action = standing.read(&request, roster, now).ok()?;
            // Where the file came from takes a look at all files, so only few drafts come to that.
            request.authors = self.authors_of(file, action.work);
            standing.read(&request, roster, now).ok()?;
            // One that failed is not tried again by itself.
            (!self.work.receipts.contains_key(&action.hash())).then_some(request)
        })
    }

    /// How many went out under it, as far as receipts tell.
    fn used(&self, standing: &Standing) -> u64 {
        let counts = self.work.receipts.values().filter(|receipt| receipt.standing == Some(standing.id));
        counts.filter(|receipt| receipt.outcome != Outcome::Failed).count() as u64
    }

    /// Everybody who had a hand in a draft, in the files that it came from, and in those that ever had the same content.
    fn authors_of(&self, file: FileId, work: WorkId) -> BTreeSet<NodeId> {
        let index = self.vault.index();
        let zones: BTreeSet<_> = index.iter().map(|(file, _)| file.zone).collect();
        let mut came_from: BTreeMap<FileId, Vec<FileId>> = BTreeMap::new();
        let mut began_with: BTreeMap<ContentHash, Vec<FileId>> = BTreeMap::new();
        for (from, record) in index.iter() {
            let became = zones.iter().flat_map(|zone| [from.moved_to(*zone), from.beside(*zone)]);
            for to in became.filter(|to| index.get(*to).is_some()) {
                came_from.entry(to).or_default().push(from);
            }
            for (_, content) in record.contents() {
                began_with.entry(content.hash).or_default().push(from);
            }
        }
        for receipt in self.work.receipts.values() {
            came_from.entry(later_copy(receipt)).or_default().push(receipt.file);
        }
        // Many notes begin empty.
        began_with.remove(&ContentHash::of(b""));
        let (mut family, mut open) = (BTreeSet::new(), vec![file]);
        let (mut looks, mut is_anybodys) = (0, false);
        while let Some(one) = open.pop() {
            if !family.insert(one) {
                continue;
            }
            match copied_from(index, one, &mut looks) {
                Some(source) => open.extend(source),
                None => is_anybodys = true,
            }
            open.extend(came_from.remove(&one).unwrap_or_default());
            let contents = index.get(one).into_iter().flat_map(|record| record.contents().map(|(_, content)| content));
            open.extend(contents.filter_map(|content| began_with.remove(&content.hash)).flatten());
        }
        let records = || family.iter().filter_map(|one| index.get(*one));
        let mut authors: BTreeSet<_> = records().flat_map(|record| record.authors()).collect();
        let members = || self.replication.rosters().current().members.iter().map(|member| member.node);
        // The id of a day log follows from its place, so nobody knows where its first words are from. Nor does anybody know
        // who had an agent write what it wrote: a mail may have.
        let is_by_agent = || family.iter().any(|one| is_by_agent(*one, work, members()));
        if is_anybodys || records().any(|record| record.shape().is_day_log()) || is_by_agent() {
            authors.extend(members());
        }
        authors
    }
}

/// What a file is a copy of, if of anything: its id follows from that and from the place where it was made. None where that
/// would take too long to find.
fn copied_from(index: &Index, file: FileId, looks: &mut usize) -> Option<Option<FileId>> {
    let Some(record) = index.get(file).filter(|_| file.zone == Zone::Drafts) else { return Some(None) };
    let made: BTreeSet<_> = record.base.all().map(|(origin, _)| origin.hash).collect();
    let made_there = record.path.all().filter(|(origin, _)| made.contains(&origin.hash));
    let places: BTreeSet<_> = made_there.map(|(_, path)| path.key()).collect();
    for (from, place) in places.iter().flat_map(|place| index.iter().map(move |(from, _)| (from, place))) {
        if *looks == LOOKS_MAX {
            return None;
        }
        *looks += 1;
        if from.copied_to(file.zone, place) == file {
            return Some(Some(from));
        }
    }
    Some(None)
}
