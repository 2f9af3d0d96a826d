//! Copies of one note in the claim folders of several nodes: which are listed, and how it is decided.

use aiemp_keys::NodeId;
use aiemp_protocol::{
    entry::Item,
    ids::{ContentHash, FileId},
};

use super::{Choice, Vault, open::Task};
use crate::{
    claim::{self, Claim, Rivals},
    conflict::{self, Conflict, ConflictKind, Side},
};

impl Vault {
    /// Items for the copies that say something of their own, and for work that two people took up by hand.
    pub(super) fn claim_items(&self) -> Vec<Conflict> {
        let rivals = claim::all_rivals(&self.index, |author| self.boundaries.names_first(author));
        let is_told = |rivals: &Rivals<'_>| rivals.is_edited || (rivals.holder.by_hand && rivals.other.by_hand);
        rivals.into_iter().filter(is_told).filter_map(|rivals| self.claim_item(&rivals)).collect()
    }

    fn claim_item(&self, rivals: &Rivals<'_>) -> Option<Conflict> {
        let path_of = |claim: &Claim| self.index.get(claim.to)?.path.shown().cloned();
        let (held, path) = (path_of(rivals.holder)?, path_of(rivals.other)?);
        let side =
            |claim: &Claim, text: String| Side { node: Some(claim.origin.author()), text, hlc: claim.origin.hlc };
        let hidden = if rivals.is_edited { "" } else { " (not shown)" };
        let file = rivals.other.to;
        Some(Conflict {
            id: conflict::id_of(file, "claim", rivals.holder.to.to_value(), file.to_value()),
            kind: ConflictKind::Claim,
            file,
            path: path.clone(),
            field: None,
            line: None,
            base: None,
            sides: vec![
                side(rivals.holder, format!("{held} (has the work)")),
                side(rivals.other, format!("{path}{hidden}")),
            ],
            merged: held.to_string(),
            found: Vec::new(),
        })
    }

    /// The copies of the two sides.
    fn copies_of(&self, item: &Conflict) -> Option<[FileId; 2]> {
        let rivals = claim::rivals_of(&self.index, item.file, |author: NodeId| self.boundaries.names_first(author))?;
        Some([rivals.holder.to, rivals.other.to])
    }

    /// Whichever side has it, the copy of the other goes.
    fn given_up(&self, item: &Conflict, side: usize) -> Option<FileId> {
        self.copies_of(item)?.into_iter().rev().nth(side).filter(|copy| self.is_live(*copy))
    }

    pub(super) fn can_resolve_claim(&self, item: &Conflict, choice: &Choice) -> bool {
        match choice {
            Choice::Side(side) => {
                let copy = self.given_up(item, *side);
                copy.is_some_and(|copy| self.boundaries.may_archive(copy.zone))
            }
            Choice::Both => self.boundaries.may_resolve(self.me, item.file.zone),
            Choice::With(_) => false,
        }
    }

    /// A copy that goes closes the item on every node; both stay as they are by a word.
    pub(super) fn resolve_claim(&mut self, item: &Conflict, choice: &Choice) {
        match choice {
            Choice::Side(side) => {
                let Some(copy) = self.given_up(item, *side) else { return };
                let Some(seen) = self.seen_of(copy) else { return };
                self.with_document(copy, Task::ArchiveAs(seen));
            }
            Choice::Both => {
                let resolved = Item::Resolve { id: item.id, choice: "both".to_owned() };
                self.push_item(item.file.zone.audience(), resolved, None);
            }
            Choice::With(_) => {}
        }
    }

    /// What whoever decides has before them.
    fn seen_of(&self, copy: FileId) -> Option<ContentHash> {
        self.projection_of(copy).map(|(_, there)| there.hash).or_else(|| self.shown_base(copy))
    }
}
