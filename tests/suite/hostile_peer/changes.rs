//! automerge changes that no node of ours makes, each to a note of its own.

use aiemp_crdt::document::{self, Document};
use aiemp_protocol::{
    ids::{ContentHash, FileId},
    zone::Zone,
};
use automerge::{
    ActorId, AutoCommit, Change, ExpandedChange, ObjType, ROOT,
    legacy::{ElementId, Key, ObjectId, OpId},
    transaction::Transactable as _,
};

use super::{
    Case, Expect,
    attack::Attack,
    forge::{self, Item},
};
use crate::{decoder::bomb, node::PATIENCE};

const TEXT: &str = "---\nstatus: pending\n---\none\ntwo\n";
const NEXT: &str = "---\nstatus: done\n---\none\nthree\n";
/// Where a chunk's checksum and kind lie.
const CHECKSUM: std::ops::Range<usize> = 4..8;
const KIND: usize = 8;
const DROPPED: Expect = Expect::Refused("dropped");

/// A note that Local holds.
fn note(attack: &mut Attack, name: &str) -> FileId {
    let (file, path) = (forge::file(Zone::Drafts, name), format!("Plans/{name}.md"));
    attack.append(vec![Item::new(file, &path, TEXT.as_bytes())]);
    assert!(attack.pump(PATIENCE, |attack| attack.pair.local.read(&path).is_some()), "{path} is there");
    file
}

fn actor(attack: &Attack, file: FileId, lane: u64) -> ActorId {
    document::actor(attack.me, document::doc_id(file, ContentHash::of(TEXT.as_bytes())), attack.generation, lane)
}

fn honest(actor: ActorId) -> Vec<u8> {
    Document::import(TEXT).edit(NEXT, actor).expect("a change")
}

/// What is made of an honest change.
fn raw(name: &str, expect: Expect, bend: impl Fn(ActorId) -> Vec<u8> + 'static) -> Case {
    let file = name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    Case::new(name, expect, move |attack| {
        let note = note(attack, &file);
        let raw = bend(actor(attack, note, 0));
        attack.append(vec![Item::change(note, TEXT.as_bytes(), &raw)]);
        assert!(attack.settle());
        let path = format!("Plans/{file}.md");
        if !matches!(expect, Expect::Ignored) {
            assert_eq!(attack.pair.local.read(&path).as_deref(), Some(TEXT.as_bytes()));
        } else {
            assert!(attack.pump(PATIENCE, |attack| attack.pair.local.read(&path).as_deref() == Some(NEXT.as_bytes())));
        }
    })
}

fn bent(name: &str, expect: Expect, bend: impl Fn(&mut ExpandedChange) + 'static) -> Case {
    raw(name, expect, move |actor| {
        let mut change = Change::from_bytes(honest(actor)).expect("decodes").decode();
        bend(&mut change);
        Change::from(change).raw_bytes().to_vec()
    })
}

fn chunks() -> Vec<Case> {
    vec![
        raw("an honest change", Expect::Ignored, honest),
        raw("a compressed chunk", DROPPED, |actor| {
            let text = TEXT.repeat(200);
            let edit = Document::import(TEXT).edit(&text, actor).expect("a change");
            let mut change = Change::from_bytes(edit).expect("decodes");
            let packed = change.bytes().to_vec();
            assert_eq!(packed[KIND], 2);
            packed
        }),
        raw("a whole document", DROPPED, |actor| {
            let mut document = AutoCommit::new().with_actor(actor);
            document.put(ROOT, "body", "x").expect("puts");
            document.save()
        }),
        raw("a bundle", DROPPED, |actor| {
            let mut raw = honest(actor);
            raw[KIND] = 3;
            raw
        }),
        raw("a chunk of an unknown kind", DROPPED, |actor| {
            let mut raw = honest(actor);
            raw[KIND] = 200;
            raw
        }),
        raw("another magic", DROPPED, |actor| {
            let mut raw = honest(actor);
            raw[0] ^= 1;
            raw
        }),
        raw("a wrong checksum", DROPPED, |actor| {
            let mut raw = honest(actor);
            raw[CHECKSUM.start] ^= 1;
            raw
        }),
        raw("trailing bytes", DROPPED, |actor| [honest(actor), vec![0]].concat()),
        raw("two changes in one", DROPPED, |actor| [honest(actor.clone()), honest(actor)].concat()),
        raw("a change that breaks off", DROPPED, |actor| {
            let mut raw = honest(actor);
            raw.truncate(raw.len() - 5);
            raw
        }),
        raw("a change of no byte", DROPPED, |_| Vec::new()),
        raw("a change of 1 MiB of zeros", DROPPED, |_| vec![0; 1 << 20]),
        raw("a bomb of 2^33 deletions", DROPPED, |_| bomb(1 << 33)),
    ]
}

fn wrong_senses() -> Vec<Case> {
    let sequence = Expect::Refused("not the actor's next change");
    let counter = Expect::Refused("operation counter does not follow");
    let form = Expect::Refused("not an edit of a note");
    vec![
        raw("another actor", Expect::Refused("another author's actor"), |_| honest(ActorId::from(&[7; 16]))),
        bent("the place 2 in its actor's sequence", sequence, |change| {
            change.seq = std::num::NonZeroU64::new(2).expect("not 0").get();
        }),
        bent("an unknown dependency", Expect::Refused("unknown dependencies"), |change| {
            change.deps = vec![automerge::ChangeHash([7; 32])];
        }),
        bent("no dependency", Expect::Refused("unknown dependencies"), |change| change.deps = Vec::new()),
        bent("an operation counter near 2^32", counter, |change| {
            change.start_op = std::num::NonZeroU64::new(u64::from(u32::MAX) - 3).expect("not 0");
        }),
        bent("an operation counter of 1", counter, |change| {
            change.start_op = std::num::NonZeroU64::new(1).expect("not 0");
        }),
        bent("an object that there is not", form, |change| {
            for op in &mut change.operations {
                op.obj = ObjectId::Id(OpId(3, ActorId::from(&[9; 16])));
            }
        }),
        bent("an element that there is not", form, |change| {
            for op in change.operations.iter_mut().filter(|op| matches!(op.key, Key::Seq(_))) {
                op.key = Key::Seq(ElementId::Id(OpId(4000, ActorId::from(&[9; 16]))));
            }
        }),
        bent("predecessors that there are not", form, |change| {
            for op in &mut change.operations {
                op.pred = vec![OpId(4000, ActorId::from(&[9; 16]))].into();
            }
        }),
        bent("everything into the root", form, |change| {
            for op in &mut change.operations {
                op.obj = ObjectId::Root;
                op.key = Key::Map("body".into());
                op.insert = false;
            }
        }),
        raw("an object of its own", form, |actor| {
            let mut document = AutoCommit::new().with_actor(actor.clone());
            document.put_object(ROOT, "body", ObjType::List).expect("puts");
            let own = document.get_last_local_change().expect("a change").decode();
            let mut change = Change::from_bytes(honest(actor)).expect("decodes").decode();
            change.operations = own.operations;
            Change::from(change).raw_bytes().to_vec()
        }),
        raw("the same change again", sequence, |actor| {
            let mut document = Document::import(TEXT);
            document.edit(NEXT, actor.clone()).expect("a change");
            document.edit(TEXT, actor).expect("a second change")
        }),
    ]
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![Case::new("a log for notes", Expect::Ignored, Attack::new_log)];
    cases.extend(chunks());
    cases.extend(wrong_senses());
    cases
}
