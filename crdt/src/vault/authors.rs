//! Who wrote the words of a note that is open.

use std::collections::BTreeMap;

use aiemp_keys::NodeId;
use aiemp_protocol::{ids::FileId, limits::LANES_MAX};
use automerge::ActorId;

use super::{Vault, open::DocState};
use crate::{document, index::Origin};

/// A run of a note's text that one member wrote into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its length in bytes.
    pub bytes: usize,
    /// Who; none where it is nobody's, as the fences of the front matter.
    pub author: Option<NodeId>,
}

impl Vault {
    /// Who wrote the text that an open file stands for, run by run; empty where it is not open.
    ///
    /// Where entries or members came together nobody's letters are told apart: all of it is named for one of those who wrote,
    /// and for nobody whose word counts first if another did.
    ///
    /// What the file began with is its creator's, and a content that replaced it is whose it is: nobody can tell where a
    /// member had the words from.
    pub fn written(&self, file: FileId) -> Vec<Written> {
        let Some(record) = self.index.get(file) else { return Vec::new() };
        let rank = |author: &NodeId| (self.boundaries.names_first(*author), *author == self.me, *author);
        let (one, several) = (record.base.writes().next(), record.writers_of_start());
        // Where the document started anew, its changes say no more who wrote what.
        let base = if record.has_compaction(|_| true) {
            several.map(Origin::author).min_by_key(rank)
        } else {
            one.map(|(origin, _)| origin.author())
        };
        match self.docs.get(&file) {
            Some(DocState::Note(note)) => {
                let doc = document::doc_id(file, note.base);
                let mut authors: BTreeMap<ActorId, NodeId> = BTreeMap::new();
                for change in record.current_changes() {
                    let (author, generation) = (change.origin.author(), change.origin.log.generation);
                    authors.extend((0..LANES_MAX).map(|lane| (document::actor(author, doc, generation, lane), author)));
                }
                if note.merged.is_mended() {
                    let author = authors.into_values().chain(base).min_by_key(rank);
                    return vec![Written { bytes: note.merged.text().len(), author }];
                }
                let author_of = |actor: &ActorId| authors.get(actor).copied().or(base);
                let runs = note.merged.writers().into_iter();
                runs.map(|(bytes, actor)| Written { bytes, author: actor.as_ref().and_then(author_of) }).collect()
            }
            Some(DocState::Plain(bytes)) => vec![Written { bytes: bytes.len(), author: base }],
            Some(DocState::Uncreated(_) | DocState::Loading { .. } | DocState::Incomplete(_)) | None => Vec::new(),
        }
    }
}
