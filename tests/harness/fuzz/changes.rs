//! automerge changes of a hostile member: as bytes, and as operations that no edit of ours makes.

use aiemp_crdt::{
    document::{self, Document},
    vet::{self, Refused},
};
use aiemp_keys::Hash;
use aiemp_protocol::ids::ContentHash;
use automerge::{
    ActorId, AutoCommit, Change, ExpandedChange, ObjId, ObjType, Prop, ROOT, ReadDoc as _, ScalarValue, TextEncoding,
    legacy::{ElementId, Key, ObjectId, OpId},
    transaction::{CommitOptions, Transactable as _},
};

use super::seeds;

/// The document that every change here is for.
pub(super) const BASE: &str = "---\ntype: email\nstatus: pending\n---\nHello wörld\nsecond line\n";
/// Edits that follow: each must be possible, whatever the change before did.
const EDITS: [&str; 4] = ["", BASE, "---\n---\nx\n", "---\nstatus: done\nnew: 1\n---\nHello there\r\nwörld\n"];
/// Where the checksum of a chunk lies.
const CHECKSUM: std::ops::Range<usize> = 4..8;

/// What passes the vetting applies, and leaves a note that can be edited, here and at every peer.
pub fn vet(bytes: &[u8]) {
    let base = Document::import(BASE);
    judge(&base, bytes);
    if let Ok(change) = Change::from_bytes(bytes.to_vec()) {
        let mut raw = bytes.to_vec();
        raw[CHECKSUM].copy_from_slice(&change.hash().0[..4]);
        judge(&base, &raw);
    }
    let honest = Document::import(BASE).edit(EDITS[3], actor(0)).expect("a change");
    let expanded = Change::from_bytes(honest).expect("decodes").decode();
    judge(&base, &bent(expanded, bytes));
    let mut document = base;
    let mut hostile = import();
    for part in bytes.split(|byte| *byte == 0xff) {
        operate(&mut hostile, part);
        hostile.commit_with(CommitOptions::default().with_time(0));
        let Some(change) = hostile.get_last_local_change().map(|change| change.raw_bytes().to_vec()) else { return };
        match judge(&document, &change) {
            Some(next) => document = next,
            None => return,
        }
    }
}

/// The document after the change, if it passes.
fn judge(document: &Document, raw: &[u8]) -> Option<Document> {
    let (author, doc) = (seeds::node().node_id(), seeds::doc());
    let change = match vet::vet(document, doc, author, 0, raw) {
        Ok(change) => change,
        Err(_) => return None,
    };
    let mut after = document.clone();
    after.apply(change.clone()).expect("what was vetted applies");
    assert_eq!(vet::vet(&after, doc, author, 0, raw).err(), Some(Refused::Again));
    let mut again = document.clone();
    again.apply(change).expect("what was vetted applies");
    assert_eq!(after.text(), again.text());
    let _conflicts = after.field_conflicts();
    for text in EDITS {
        let (mut mine, mut peer) = (after.clone(), after.clone());
        let edit = mine.edit(text, actor(1));
        assert_eq!(mine.text(), text);
        if let Some(edit) = edit {
            let change = vet::vet(&peer, doc, author, 0, &edit).expect("an honest edit passes");
            peer.apply(change).expect("what was vetted applies");
        }
        assert_eq!(peer.text(), text, "after {:?}", after.text());
    }
    Some(after)
}

fn actor(lane: u64) -> ActorId {
    document::actor(seeds::node().node_id(), seeds::doc(), 0, lane)
}

/// What [`Document::import`] makes of the base, open to every operation.
fn import() -> AutoCommit {
    let importer = Hash::labelled("aiemp-node 2026 import actor", [ContentHash::of(BASE.as_bytes()).to_value()]);
    let mut doc = AutoCommit::new_with_encoding(TextEncoding::Utf8CodeUnit);
    doc.set_actor(ActorId::from(&importer.as_bytes()[..16]));
    let fields = doc.put_object(ROOT, "fm", ObjType::Map).expect("a new document");
    let body = doc.put_object(ROOT, "body", ObjType::Text).expect("a new document");
    let registers: [(&str, ScalarValue); 4] =
        [("fence", true.into()), ("order", "type\nstatus".into()), ("eol", "lf".into()), ("bom", false.into())];
    for (key, value) in registers {
        doc.put(ROOT, key, value).expect("a new document");
    }
    doc.put(&fields, "status", "status: pending\n").expect("a new document");
    doc.put(&fields, "type", "type: email\n").expect("a new document");
    doc.splice_text(&body, 0, 0, "\nHello wörld\nsecond line\n").expect("a new document");
    doc.commit_with(CommitOptions::default().with_time(0));
    assert_eq!(doc.get_heads(), Document::import(BASE).heads(), "the document's form is another one");
    doc.set_actor(actor(0));
    doc
}

/// Does four bytes' worth of anything at a time: operation, object, place, value.
fn operate(doc: &mut AutoCommit, bytes: &[u8]) {
    const KEYS: [&str; 12] = ["fm", "body", "order", "fence", "eol", "bom", "type", "status", "", "new", "a\nb", "---"];
    const TYPES: [ObjType; 4] = [ObjType::Map, ObjType::List, ObjType::Text, ObjType::Table];
    let object = |doc: &AutoCommit, key| doc.get(ROOT, key).ok().flatten().map(|(_, id)| id);
    let mut objects: Vec<ObjId> = vec![ROOT];
    objects.extend(["fm", "body"].into_iter().filter_map(|key| object(doc, key)));
    for step in bytes.as_chunks::<4>().0.iter().take(64) {
        let [operation, object, place, value] = step.map(usize::from);
        let object = objects[object % objects.len()].clone();
        let length = doc.length(&object);
        let at = place % (length + 1);
        let key: Prop = match doc.object_type(&object) {
            Ok(ObjType::Map | ObjType::Table) => KEYS[place % KEYS.len()].into(),
            Ok(ObjType::List | ObjType::Text) | Err(_) => at.into(),
        };
        // Whatever automerge refuses to make is simply not made.
        let _done = match operation % 8 {
            // automerge panics when it is told to put over an element that is gone; `bent` makes such operations.
            0 | 5 if matches!(key, Prop::Seq(_)) => Ok(()),
            0 => doc.put(&object, key, scalar(value)),
            1 => doc.delete(&object, key),
            2 => doc.put_object(&object, key, TYPES[value % TYPES.len()]).map(|id| objects.push(id)),
            3 => doc.insert(&object, at, scalar(value)),
            4 => doc.insert_object(&object, at, TYPES[value % TYPES.len()]).map(|id| objects.push(id)),
            5 => doc.increment(&object, key, 1),
            6 => doc.splice_text(&object, at, 0, ["é", "x\n", "---\n", "\u{feff}"][value % 4]),
            _ => doc.splice_text(&object, at, isize::from(value % 4 != 0 && at < length), ""),
        };
    }
}

fn scalar(value: usize) -> ScalarValue {
    match value % 12 {
        0 => "x".into(),
        1 => "abc".into(),
        2 => "status: no\n".into(),
        3 => "status\nstatus\ntype".into(),
        4 => "crlf".into(),
        5 => "".into(),
        6 => true.into(),
        7 => ScalarValue::Null,
        8 => 7_i64.into(),
        9 => ScalarValue::Bytes(vec![0xff]),
        10 => ScalarValue::counter(1),
        _ => "é".into(),
    }
}

/// An honest change in which references point elsewhere: four bytes for each, operation, what, counter, actor.
fn bent(mut change: ExpandedChange, bytes: &[u8]) -> Vec<u8> {
    let importer = import().get_actor().clone();
    let first = change.operations.iter().find_map(|op| match &op.obj {
        ObjectId::Id(OpId(_, actor)) => Some(actor.clone()),
        ObjectId::Root => None,
    });
    let actors = [first.unwrap_or(importer), actor(0), actor(1), actor(2)];
    let count = change.operations.len();
    for [operation, what, counter, actor] in bytes.as_chunks::<4>().0.iter().take(16) {
        let op = &mut change.operations[usize::from(*operation) % count];
        let id = OpId(u64::from(*counter), actors[usize::from(*actor) % actors.len()].clone());
        match what % 5 {
            0 => op.obj = ObjectId::Id(id),
            1 => op.pred = vec![id].into(),
            2 => op.key = Key::Seq(ElementId::Id(id)),
            3 => op.key = Key::Map(["fm", "body", "type", "x"][usize::from(*counter) % 4].into()),
            _ => op.insert = !op.insert,
        }
    }
    Change::from(change).raw_bytes().to_vec()
}
