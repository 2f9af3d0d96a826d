//! Vetting: what an automerge change from a peer must satisfy before automerge sees it applied.
//!
//! automerge 0.12 trusts its peers: a small compressed change can unfold to gigabytes, an operation counter near its
//! limit breaks every later edit, a change under another's actor id shuts the true author out, and one that refers to
//! what is not there makes it panic. Each rule here refuses one of these; honest changes satisfy all of them.

use std::collections::BTreeSet;

use aiemp_keys::NodeId;
use aiemp_protocol::{
    ids::DocId,
    limits::{CHANGE_BYTES_MAX, CHANGE_OPS_MAX, DOCUMENT_OPS_MAX, LANES_MAX},
};
use automerge::Change;
use thiserror::Error;

use crate::document::{self, Document};

/// Magic bytes, checksum, then the chunk type: 1 is a plain change.
const CHUNK_TYPE_AT: usize = 8;
const PLAIN_CHANGE: u8 = 1;
const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];

/// Why a change is not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refused {
    /// Longer than a change may be.
    #[error("too long")]
    Length,
    /// A compressed chunk, a whole document, a bundle, or no chunk at all.
    #[error("not a plain change")]
    ChunkType,
    /// automerge cannot decode it.
    #[error("cannot be decoded")]
    Decode,
    /// A wrong checksum, or bytes that automerge would carry along without knowing what they mean.
    #[error("checksum or trailing bytes")]
    Extra,
    /// automerge decodes it and cannot apply it.
    #[error("cannot be applied")]
    Apply,
    /// More operations than a note can need, or than its bytes and its document account for.
    #[error("too many operations")]
    Operations,
    /// Written under an actor id that is not the author's.
    #[error("another author's actor")]
    Actor,
    /// It was applied before.
    #[error("already there")]
    Again,
    /// Not the next of its actor.
    #[error("not the actor's next change")]
    Sequence,
    /// It depends on changes that are not held.
    #[error("unknown dependencies")]
    Dependencies,
    /// It depends on changes that the entry which carries it had not seen.
    #[error("dependencies that its entry had not seen")]
    Unseen,
    /// Its operation counter does not follow from its dependencies.
    #[error("operation counter does not follow")]
    Counter,
    /// It does what no edit of a note does, or refers to what its author cannot have had.
    #[error("not an edit of a note")]
    Form,
}

/// What can be said of a raw change without its document; done where a fault of the decoder does no harm.
pub fn screen(raw: &[u8]) -> Result<(), Refused> {
    decode(raw).map(|_| ())
}

/// What a raw change typed; none if it cannot be read.
pub(crate) fn typed(raw: &[u8]) -> Option<String> {
    decode(raw).ok().map(|change| crate::form::typed(&change))
}

fn decode(raw: &[u8]) -> Result<Change, Refused> {
    if raw.len() > CHANGE_BYTES_MAX {
        return Err(Refused::Length);
    }
    if raw.get(..4) != Some(&MAGIC) || raw.get(CHUNK_TYPE_AT) != Some(&PLAIN_CHANGE) {
        return Err(Refused::ChunkType);
    }
    let change = Change::from_bytes(raw.to_vec()).map_err(|_| Refused::Decode)?;
    // automerge takes the checksum as it comes; it is the beginning of the change's hash.
    if !change.extra_bytes().is_empty() || change.raw_bytes() != raw || raw[4..8] != change.hash().0[..4] {
        return Err(Refused::Extra);
    }
    if change.len() > CHANGE_OPS_MAX {
        return Err(Refused::Operations);
    }
    Ok(change)
}

/// Decodes and checks a raw change of `author` in `generation` for `document`.
pub fn vet(document: &Document, doc: DocId, author: NodeId, generation: u64, raw: &[u8]) -> Result<Change, Refused> {
    let change = decode(raw)?;
    if !(0..LANES_MAX).any(|lane| document::actor(author, doc, generation, lane) == *change.actor_id()) {
        return Err(Refused::Actor);
    }
    if document.has(&change.hash()) {
        return Err(Refused::Again);
    }
    let last = document.last.get(change.actor_id()).map_or(0, |(seq, _)| *seq);
    if change.seq() != last + 1 {
        return Err(Refused::Sequence);
    }
    let dependencies: Option<Vec<_>> = change.deps().iter().map(|dep| document.known.get(dep)).collect();
    let dependencies = dependencies.ok_or(Refused::Dependencies)?;
    // Each is the last of its actor that the author had. Of thousands, every pair would be looked at as a merge.
    let mut actors = BTreeSet::new();
    if !dependencies.iter().all(|known| actors.insert(&known.actor)) {
        return Err(Refused::Dependencies);
    }
    let max_op = dependencies.iter().map(|known| known.max_op).max().ok_or(Refused::Dependencies)?;
    if change.start_op().get() != max_op + 1 {
        return Err(Refused::Counter);
    }
    let past = document.past_of(&change).ok_or(Refused::Dependencies)?;
    // A few bytes can stand for millions of deletions. An honest change inserts at most a character a byte, and deletes
    // at most what its author had. What else has arrived here says nothing about it: all nodes must judge alike.
    let had = past.values().sum::<u64>();
    if change.len() as u64 > raw.len() as u64 + had || max_op + change.len() as u64 > DOCUMENT_OPS_MAX {
        return Err(Refused::Operations);
    }
    // Written beside the actor's last change, it would give its operations the ids of those of that one.
    let own = document.last.get(change.actor_id()).and_then(|(_, hash)| document.known.get(hash));
    if past.get(change.actor_id()).copied() < own.map(|known| known.max_op) {
        return Err(Refused::Sequence);
    }
    if !document.form.admits(&change, &past) {
        return Err(Refused::Form);
    }
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aiemp_keys::{Hash, Signer};
    use automerge::{
        ObjType, ScalarValue,
        legacy::{ElementId, Key, ObjectId, Op, OpId, OpType},
    };

    fn setting() -> (Document, DocId, NodeId) {
        let author = Signer::from_seed([1; 32]).node_id();
        (Document::import("one\n"), DocId(Hash::of_content(b"doc")), author)
    }

    #[test]
    fn an_honest_edit_passes_once() {
        let (mut document, doc, author) = setting();
        let raw = document.clone().edit("one\ntwo\n", document::actor(author, doc, 0, 0)).expect("a change");
        let change = vet(&document, doc, author, 0, &raw).expect("honest");
        document.apply(change).expect("applies");
        assert_eq!(vet(&document, doc, author, 0, &raw).err(), Some(Refused::Again));
    }

    #[test]
    fn a_change_beside_its_actors_last_one_is_refused() {
        let (before, doc, author) = setting();
        let actor = document::actor(author, doc, 0, 0);
        let mut document = before.clone();
        let first = document.edit("one\ntwo\n", actor.clone()).expect("a change");
        let mut beside = Change::from_bytes(before.clone().edit("one\nthree\n", actor).expect("a change"))
            .expect("it decodes")
            .decode();
        beside.seq = 2;
        let beside = Change::from(beside).raw_bytes().to_vec();
        let mut peer = before;
        peer.apply(vet(&peer, doc, author, 0, &first).expect("honest")).expect("applies");
        assert_eq!(vet(&peer, doc, author, 0, &beside).err(), Some(Refused::Sequence));
    }

    #[test]
    fn what_automerge_alone_would_take_is_refused() {
        let (document, doc, author) = setting();
        let stranger = Signer::from_seed([2; 32]).node_id();
        let edit = |actor| document.clone().edit("one\ntwo\n", actor).expect("a change");
        let raw = edit(document::actor(author, doc, 0, 0));
        assert_eq!(vet(&document, doc, stranger, 0, &raw).err(), Some(Refused::Actor));
        assert_eq!(vet(&document, doc, author, 1, &raw).err(), Some(Refused::Actor));
        let other = Document::import("other\n");
        assert_eq!(vet(&other, doc, author, 0, &raw).err(), Some(Refused::Dependencies));
        let mut compressed = raw.clone();
        compressed[CHUNK_TYPE_AT] = 2;
        assert_eq!(vet(&document, doc, author, 0, &compressed).err(), Some(Refused::ChunkType));
        let mut trailing = raw.clone();
        trailing.push(0);
        assert!(vet(&document, doc, author, 0, &trailing).is_err());
        for index in 0..raw.len() {
            let mut flipped = raw.clone();
            flipped[index] ^= 1;
            assert!(vet(&document, doc, author, 0, &flipped).is_err(), "byte {index}");
        }
    }

    /// The honest edit with its operations changed, under the author's own actor.
    fn forged(document: &Document, doc: DocId, author: NodeId, change: impl Fn(&mut Vec<Op>)) -> Vec<u8> {
        let raw =
            document.clone().edit("---\na: 1\n---\none\ntwo\n", document::actor(author, doc, 0, 0)).expect("a change");
        let mut expanded = Change::from_bytes(raw).expect("decodes").decode();
        change(&mut expanded.operations);
        Change::from(expanded).raw_bytes().to_vec()
    }

    /// Each pair of them would be looked at as a merge: a megabyte of them takes more memory than there is.
    #[test]
    fn what_one_actor_wrote_is_had_once() {
        let (mut document, doc, author) = setting();
        let other = Signer::from_seed([2; 32]).node_id();
        let mut written = document.heads();
        for number in 1..20 {
            let raw = document.edit(&format!("one\n{number}\n"), document::actor(other, doc, 0, 0)).expect("a change");
            written.push(Change::from_bytes(raw).expect("decodes").hash());
        }
        let raw = document.clone().edit("one\ntwo\n", document::actor(author, doc, 0, 0)).expect("a change");
        let honest = Change::from_bytes(raw).expect("decodes").decode();
        let [import, last] = [written[0], written[19]];
        for deps in [vec![last; 2], vec![last; 20_000], written.clone(), vec![written[18], last]] {
            let raw = Change::from(automerge::ExpandedChange { deps, ..honest.clone() }).raw_bytes().to_vec();
            assert_eq!(vet(&document, doc, author, 0, &raw).err(), Some(Refused::Dependencies));
        }
        let raw = Change::from(automerge::ExpandedChange { deps: vec![import, last], ..honest }).raw_bytes().to_vec();
        assert!(vet(&document, doc, author, 0, &raw).is_ok(), "one of each");
    }

    #[test]
    fn what_arrived_before_a_change_does_not_decide_about_it() {
        let (document, doc, author) = setting();
        let hostile = forged(&document, doc, author, |operations| {
            let at = operations.iter().position(|op| op.key == Key::Map("fence".into())).expect("the fence is set");
            let again = Op { pred: Vec::new().into(), ..operations[at].clone() };
            operations.extend(std::iter::repeat_n(again, 800));
        });
        let other = Signer::from_seed([2; 32]).node_id();
        let mut later = document.clone();
        let long = format!("one\n{}", "x".repeat(1_000));
        later.edit(&long, document::actor(other, doc, 0, 0)).expect("a change");
        for document in [document, later] {
            assert_eq!(vet(&document, doc, author, 0, &hostile).err(), Some(Refused::Operations));
        }
    }

    #[test]
    fn what_two_wrote_apart_can_be_deleted_by_one() {
        let (document, doc, author) = setting();
        let raws = [2, 3].map(|seed| {
            let other = Signer::from_seed([seed; 32]).node_id();
            let text = format!("one\n{}", "x".repeat(1_000));
            (other, document.clone().edit(&text, document::actor(other, doc, 0, 0)).expect("a change"))
        });
        let mut merged = document;
        for (other, raw) in &raws {
            let change = vet(&merged, doc, *other, 0, raw).expect("honest");
            merged.apply(change).expect("applies");
        }
        let raw = merged.clone().edit("", document::actor(author, doc, 0, 0)).expect("a change");
        assert!(vet(&merged, doc, author, 0, &raw).is_ok(), "{} bytes delete 2,000 characters", raw.len());
    }

    #[test]
    fn a_key_that_the_order_repeats_stands_once() {
        let (mut document, doc, author) = setting();
        let raw = forged(&document, doc, author, |operations| {
            let order = operations.iter_mut().find(|op| op.key == Key::Map("order".into())).expect("the order is set");
            order.action = OpType::Put(ScalarValue::Str("a\n".repeat(500_000).into()));
        });
        let change = vet(&document, doc, author, 0, &raw).expect("one operation, as long as a text may be");
        document.apply(change).expect("applies");
        assert_eq!(document.text(), "---\na: 1\n---\none\ntwo\n");
    }

    #[test]
    fn a_few_bytes_that_stand_for_many_deletions_are_refused() {
        let (document, doc, author) = setting();
        let raw = document.clone().edit("ne\n", document::actor(author, doc, 0, 0)).expect("a change");
        let mut expanded = Change::from_bytes(raw).expect("decodes").decode();
        let deletion = expanded.operations.last().expect("a deletion").clone();
        expanded.operations.extend(std::iter::repeat_n(deletion, 1_000_000));
        let bomb = Change::from(expanded).raw_bytes().to_vec();
        assert!(bomb.len() < 300, "{} bytes", bomb.len());
        assert_eq!(vet(&document, doc, author, 0, &bomb).err(), Some(Refused::Operations));
    }

    #[test]
    fn a_change_that_refers_to_what_is_not_there_is_refused_and_no_panic() {
        let (document, doc, author) = setting();
        let stranger = document::actor(Signer::from_seed([2; 32]).node_id(), doc, 0, 0);
        let own = document::actor(author, doc, 0, 0);
        let importer = document.last.keys().next().expect("the import").clone();
        for id in [OpId(1, stranger), OpId(999, own.clone()), OpId(1, own), OpId(0, importer)] {
            let at = |op: &mut Op| op.obj = ObjectId::Id(id.clone());
            let after = |op: &mut Op| op.key = Key::Seq(ElementId::Id(id.clone()));
            let over = |op: &mut Op| op.pred = vec![id.clone()].into();
            for bend in [&at as &dyn Fn(&mut Op), &after, &over] {
                for index in 0..4 {
                    let raw = forged(&document, doc, author, |ops| bend(&mut ops[index]));
                    assert_eq!(vet(&document, doc, author, 0, &raw).err(), Some(Refused::Form), "{id:?}, {index}");
                }
            }
        }
    }

    #[test]
    fn what_no_edit_of_a_note_does_is_refused() {
        let (document, doc, author) = setting();
        let put = |key: &str, action: OpType| Op {
            action,
            obj: ObjectId::Root,
            key: Key::Map(key.into()),
            pred: Vec::new().into(),
            insert: false,
        };
        let text = |text: &str| OpType::Put(ScalarValue::Str(text.into()));
        for op in [
            put("body", OpType::Make(ObjType::Map)),
            put("body", OpType::Make(ObjType::Text)),
            put("fm", OpType::Make(ObjType::List)),
            put("body", text("gone")),
            put("body", OpType::Delete),
            put("fence", OpType::Increment(1)),
            put("fence", text("yes")),
            put("order", OpType::Put(ScalarValue::Null)),
            put("else", text("x")),
        ] {
            let raw = forged(&document, doc, author, |ops| ops.push(op.clone()));
            assert_eq!(vet(&document, doc, author, 0, &raw).err(), Some(Refused::Form), "{op:?}");
        }
        for action in [text("two characters"), text(""), OpType::Put(ScalarValue::Int(1)), OpType::Make(ObjType::Map)] {
            let raw = forged(&document, doc, author, |ops| {
                let character = ops.iter_mut().rfind(|op| op.insert).expect("a character");
                character.action = action.clone();
            });
            assert_eq!(vet(&document, doc, author, 0, &raw).err(), Some(Refused::Form), "{action:?}");
        }
        let honest = forged(&document, doc, author, |_| {});
        assert!(vet(&document, doc, author, 0, &honest).is_ok());
    }

    #[test]
    fn a_change_may_refer_only_to_what_its_author_had() {
        let (mut document, doc, author) = setting();
        let other = Signer::from_seed([2; 32]).node_id();
        let theirs = document.clone().edit("one\ntwo\n", document::actor(other, doc, 0, 0)).expect("a change");
        let theirs = vet(&document, doc, other, 0, &theirs).expect("honest");
        let id = OpId(theirs.start_op().get(), theirs.actor_id().clone());
        let raw = forged(&document, doc, author, |ops| {
            ops.iter_mut().rfind(|op| op.insert).expect("a character").key = Key::Seq(ElementId::Id(id.clone()));
        });
        document.apply(theirs).expect("applies");
        assert_eq!(vet(&document, doc, author, 0, &raw).err(), Some(Refused::Form), "it is here, but was not there");
    }

    #[test]
    fn a_field_that_is_put_back_where_one_of_two_orders_still_has_it_reaches_every_peer() {
        let (doc, author) = (DocId(Hash::of_content(b"doc")), |byte: u8| Signer::from_seed([byte; 32]).node_id());
        let actor = |byte: u8| document::actor(author(byte), doc, 0, 0);
        for [adds, takes_out] in [[1, 2], [2, 1]] {
            let base = Document::import("---\na: 1\nb: 2\nc: 3\n---\n");
            let (mut left, mut right) = (base.clone(), base.clone());
            let added = left.edit("---\na: 1\nb: 2\nc: 3\nd: 4\n---\n", actor(adds)).expect("a change");
            let taken_out = right.edit("---\na: 1\nb: 2\n---\n", actor(takes_out)).expect("a change");
            let change = vet(&left, doc, author(takes_out), 0, &taken_out).expect("an honest change");
            left.apply(change).expect("applies");
            let put_back = "---\na: 1\nb: 2\nc: 5\nd: 4\n---\n";
            let again = left.edit(put_back, actor(adds)).expect("a change");
            assert_eq!(left.text(), put_back);
            let mut other = base;
            for (by, raw) in [(adds, added), (takes_out, taken_out), (adds, again)] {
                let change = vet(&other, doc, author(by), 0, &raw).expect("an honest change");
                other.apply(change).expect("applies");
            }
            assert_eq!(other.text(), put_back);
        }
    }

    #[test]
    fn a_fence_without_fields_reaches_every_peer() {
        let (_, doc, author) = setting();
        // A field that comes with a fence taken away at the same time shows the fence all the same.
        let mut left = Document::import("---\na: 1\n---\n");
        let mut right = left.clone();
        let gone = left.edit("x\n", document::actor(author, doc, 0, 0)).expect("a change");
        right.edit("---\na: 1\nb: 2\n---\n", document::actor(author, doc, 0, 1)).expect("a change");
        right.apply(vet(&right, doc, author, 0, &gone).expect("honest")).expect("applies");
        let mut peer = right.clone();
        let raw = right.edit("---\n---\n", document::actor(author, doc, 0, 1)).expect("a change");
        peer.apply(vet(&peer, doc, author, 0, &raw).expect("honest")).expect("applies");
        assert_eq!(peer.text(), "---\n---\n");
    }
}
