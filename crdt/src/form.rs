//! The form of a note's document: which operations a change may hold, and what its references may point to.
//!
//! automerge takes any operation on any object, and expects that every operation and actor that a change refers to is
//! there; otherwise it panics. A change may do here what an edit does, and nothing else: write a register, write or
//! take out a field, insert one character, delete one. What it refers to lies in its own causal past, so every node
//! judges it alike, whatever else the node has applied.

use std::collections::BTreeMap;

use automerge::{
    ActorId, Change, ExpandedChange, ObjId, ScalarValue,
    legacy::{ElementId, Key, ObjectId, Op, OpId, OpType},
};

use crate::note::Note;

/// For each actor, its last operation in the past of a change, the change included.
pub(crate) type Clock = BTreeMap<ActorId, u64>;

/// What an operation made.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// The object of the fields, or that of the text.
    Object,
    /// A value of a register.
    Register(String),
    /// A value of a field.
    Field(String),
    /// A character of the text.
    Character,
    /// Nothing that anything can refer to.
    Nothing,
}

/// Which operations a document holds, by runs of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Form {
    fields: OpId,
    body: OpId,
    /// By actor and first operation: the last one, and what each made.
    runs: BTreeMap<(ActorId, u64), (u64, Place)>,
}

impl Form {
    /// The form of an import, which wrote these objects, then the registers, the fields and the text of `note`.
    pub(crate) fn of_import(fields: &ObjId, body: &ObjId, registers: &[&str], note: &Note) -> Self {
        let id = |object: &ObjId| match object {
            ObjId::Id(counter, actor, _) => OpId(*counter, actor.clone()),
            ObjId::Root => unreachable!("an import makes both objects"),
        };
        let (fields, body) = (id(fields), id(body));
        let actor = body.1.clone();
        let mut form = Self { fields, body, runs: BTreeMap::new() };
        let mut counter = 1;
        let mut note_one = |place| {
            form.note(&actor, counter, place);
            counter += 1;
        };
        note_one(Place::Object);
        note_one(Place::Object);
        registers.iter().for_each(|key| note_one(Place::Register((*key).to_owned())));
        for key in note.front_matter.iter().flat_map(|front_matter| front_matter.blocks.keys()) {
            note_one(Place::Field(key.clone()));
        }
        note.body.chars().for_each(|_| note_one(Place::Character));
        form
    }

    /// Whether an edit could have made the change, after what lies in `past`.
    pub(crate) fn admits(&self, change: &Change, past: &Clock) -> bool {
        let knows = |actor: &ActorId| past.contains_key(actor);
        if !change.other_actor_ids().iter().all(knows) {
            return false;
        }
        let raw = change.raw_bytes();
        let change = change.decode();
        let mut own = Self { fields: self.fields.clone(), body: self.body.clone(), runs: BTreeMap::new() };
        let is_edit = each(&change, |counter, op| {
            let place = self.place_of(op, |id| {
                let held = if id.1 == change.actor_id && id.0 >= change.start_op.get() {
                    own.at(id)
                } else {
                    self.at(id).filter(|_| past.get(&id.1).is_some_and(|last| id.0 <= *last))
                };
                held.cloned()
            });
            place.is_some_and(|place| {
                own.note(&change.actor_id, counter, place);
                true
            })
        });
        // What is read is all there is: the columns can say the same in ways that automerge itself stumbles over.
        is_edit && Change::from(change).raw_bytes() == raw
    }

    /// Takes up what a change made; operations that no edit makes are passed over.
    pub(crate) fn record(&mut self, change: &Change) {
        let change = change.decode();
        each(&change, |counter, op| {
            let place = self.place_of(op, |id| self.at(id).cloned()).unwrap_or(Place::Nothing);
            self.note(&change.actor_id, counter, place);
            true
        });
    }

    fn at(&self, id: &OpId) -> Option<&Place> {
        let ((actor, _), (last, place)) = self.runs.range(..=(id.1.clone(), id.0)).next_back()?;
        (*actor == id.1 && id.0 <= *last).then_some(place)
    }

    fn note(&mut self, actor: &ActorId, counter: u64, place: Place) {
        let before = self.runs.range_mut(..(actor.clone(), counter)).next_back();
        if let Some(((of, _), (last, same))) = before
            && of == actor
            && *last + 1 == counter
            && *same == place
        {
            *last = counter;
        } else {
            self.runs.insert((actor.clone(), counter), (counter, place));
        }
    }

    /// What the operation makes, if an edit may do it; `held` says what an earlier one made.
    fn place_of(&self, op: &Op, held: impl Fn(&OpId) -> Option<Place>) -> Option<Place> {
        let replaces = |place: &Place| op.pred.iter().all(|id| held(id).as_ref() == Some(place));
        match (&op.obj, &op.key, &op.action, op.insert) {
            (ObjectId::Root, Key::Map(key), OpType::Put(value), false) if is_register(key, value) => {
                Some(Place::Register(key.to_string())).filter(replaces)
            }
            (ObjectId::Id(object), Key::Map(key), OpType::Put(ScalarValue::Str(_)), false)
                if *object == self.fields =>
            {
                Some(Place::Field(key.to_string())).filter(replaces)
            }
            (ObjectId::Id(object), Key::Map(key), OpType::Delete, false) if *object == self.fields => {
                let deletes = op.pred.iter().next().is_some() && replaces(&Place::Field(key.to_string()));
                deletes.then_some(Place::Nothing)
            }
            (ObjectId::Id(object), Key::Seq(after), OpType::Put(ScalarValue::Str(text)), true)
                if *object == self.body && op.pred.iter().next().is_none() =>
            {
                let follows = match after {
                    ElementId::Head => true,
                    ElementId::Id(id) => held(id) == Some(Place::Character),
                };
                (follows && text.chars().count() == 1).then_some(Place::Character)
            }
            (ObjectId::Id(object), Key::Seq(ElementId::Id(at)), OpType::Delete, false) if *object == self.body => {
                let deletes = op.pred.iter().eq([at]) && held(at) == Some(Place::Character);
                deletes.then_some(Place::Nothing)
            }
            _ => None,
        }
    }
}

fn is_register(key: &str, value: &ScalarValue) -> bool {
    match key {
        "fence" | "bom" => matches!(value, ScalarValue::Boolean(_)),
        "order" | "eol" => matches!(value, ScalarValue::Str(_)),
        _ => false,
    }
}

/// What a change typed, whether it can be applied or not.
pub(crate) fn typed(change: &Change) -> String {
    let mut text = String::new();
    each(&change.decode(), |_, op| {
        if let OpType::Put(ScalarValue::Str(value)) = &op.action {
            text.push_str(value);
        }
        true
    });
    text
}

/// Goes through the operations with their counters, until `take` says no.
fn each(change: &ExpandedChange, mut take: impl FnMut(u64, &Op) -> bool) -> bool {
    (change.start_op.get()..).zip(&change.operations).all(|(counter, op)| take(counter, op))
}
