//! The members of a JSON object as programs keep their state in: put together one by one, where two changed the same file.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::array::{blanks, squeezed};

/// Longer files hold data and no state.
const STATE_BYTES_MAX: usize = 64 << 10;

/// An object cut into its members. What is not one, is too long, or names a member twice, is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Object<'a> {
    members: Vec<Member<'a>>,
    /// Which of them has a name.
    by_name: BTreeMap<String, usize>,
    style: Style<'a>,
}

/// A member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    pub(crate) name: String,
    /// Name and value as they stand.
    pub(crate) text: &'a str,
    /// The same, however it is set.
    says: String,
}

/// The blanks around members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Style<'a> {
    head: &'a str,
    first: &'a str,
    between: Option<&'a str>,
    last: &'a str,
    tail: &'a str,
}

impl<'a> Object<'a> {
    /// Reads a whole file.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let head = blanks(text);
        let inner = text.get(head.len()..)?.strip_prefix('{').filter(|_| text.len() <= STATE_BYTES_MAX)?;
        let (mut members, mut by_name): (Vec<Member<'a>>, _) = (Vec::new(), BTreeMap::new());
        let mut style = Style { head, ..Style::default() };
        let mut rest = inner;
        loop {
            let gap = blanks(rest);
            rest = &rest[gap.len()..];
            if let Some(tail) = rest.strip_prefix('}').filter(|_| members.is_empty()) {
                (style.first, style.tail) = (gap, tail);
                break;
            }
            let (name, length) = value_at(rest)?;
            let Value::String(name) = name else { return None };
            let after = &rest[length..];
            let colon = blanks(after).len();
            let value = after[colon..].strip_prefix(':')?;
            let length = length + colon + 1 + blanks(value).len();
            let (_, value_length) = value_at(&rest[length..])?;
            if by_name.insert(name.clone(), members.len()).is_some() {
                return None;
            }
            if members.is_empty() {
                style.first = gap;
            } else {
                style.between.get_or_insert(gap);
            }
            let text = &rest[..length + value_length];
            members.push(Member { name, text, says: squeezed(text) });
            rest = &rest[length + value_length..];
            let gap = blanks(rest);
            rest = &rest[gap.len()..];
            if let Some(next) = rest.strip_prefix(',') {
                rest = next;
            } else {
                (style.last, style.tail) = (gap, rest.strip_prefix('}')?);
                break;
            }
        }
        (blanks(style.tail) == style.tail).then_some(Self { members, by_name, style })
    }

    /// The member of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Member<'a>> {
        self.by_name.get(name).map(|at| &self.members[*at])
    }

    fn says(&self, name: &str) -> Option<&str> {
        self.get(name).map(|member| member.says.as_str())
    }

    fn put(style: &Style<'_>, members: &[&str]) -> String {
        let Style { head, first, between, last, tail } = style;
        let separator = format!(",{}", between.unwrap_or(first));
        format!("{head}{{{first}{}{last}}}{tail}", members.join(&separator))
    }
}

/// The value that a text begins with, and its length.
fn value_at(text: &str) -> Option<(Value, usize)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let value = values.next()?.ok()?;
    Some((value, values.byte_offset()))
}

/// What two sides made of an object. Of a member that both changed, that of the first is taken; of one that one side took
/// out, what the other made of it. What one side alone changed is as that side wrote it. None where one of them is none.
///
/// Where it is not known what they started from, but what that came of, `bases` are several, and what any of them says was
/// there before.
pub(crate) fn merged(bases: &[&str], one: &str, other: &str) -> Option<String> {
    let bases: Vec<_> = bases.iter().map(|base| Object::read(base)).collect::<Option<_>>()?;
    let ([one, other], base) = ([Object::read(one)?, Object::read(other)?], bases.first()?);
    let of = |name: &str| {
        let [here, there] = [&one, &other].map(|object| object.says(name));
        let side = match (was(&bases, name, here), was(&bases, name, there)) {
            // Neither changed it, but one may have set it in another way.
            (true, true) if base.get(name) == one.get(name) => &other,
            (false, false) if here.is_none() => &other,
            (true, true) | (false, _) => &one,
            (true, false) => &other,
        };
        side.get(name).map(|member| member.text)
    };
    // What the other alone has follows what it follows there.
    let (mut added, mut at) = (vec![Vec::new(); one.members.len() + 1], 0);
    for member in &other.members {
        match one.by_name.get(&member.name) {
            Some(there) => at = there + 1,
            None => added[at].push(member.name.as_str()),
        }
    }
    let with_added =
        |(at, added): (usize, Vec<_>)| added.into_iter().chain(one.members.get(at).map(|member| member.name.as_str()));
    let names = added.into_iter().enumerate().flat_map(with_added);
    let members: Vec<_> = names.filter_map(of).collect();
    Some(Object::put(if one.style == base.style { &other.style } else { &one.style }, &members))
}

fn was(bases: &[Object<'_>], name: &str, says: Option<&str>) -> bool {
    bases.iter().any(|base| base.says(name) == says)
}

/// The names of members to which two sides gave different values.
pub(crate) fn disputed(bases: &[&str], one: &str, other: &str) -> Option<Vec<String>> {
    let bases: Vec<_> = bases.iter().map(|base| Object::read(base)).collect::<Option<_>>()?;
    let [one, other] = [Object::read(one)?, Object::read(other)?];
    let is_disputed = |name: &str| {
        let [here, there] = [&one, &other].map(|object| object.says(name));
        let are_new = !was(&bases, name, here) && !was(&bases, name, there);
        here.is_some() && there.is_some() && are_new && here != there
    };
    Some(one.members.iter().map(|member| member.name.clone()).filter(|name| is_disputed(name)).collect())
}

/// The object with this member in place of the one of its name.
pub(crate) fn with(text: &str, name: &str, member: &str) -> Option<String> {
    let object = Object::read(text)?;
    let there = |known: &Member<'_>| if known.name == name { member.to_owned() } else { known.text.to_owned() };
    let members: Vec<_> = object.members.iter().map(there).collect();
    Some(Object::put(&object.style, &members.iter().map(String::as_str).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn members_that_one_side_changed_are_as_it_wrote_them() {
        let of = |base, one, other| merged(&[base], one, other).expect("objects");
        let base = "{\n  \"seen\": [1, 2],\n  \"last\": \"a\",\n  \"on\": true\n}\n";
        let one = base.replace("[1, 2]", "[1, 2,  3]");
        let other = base.replace("\"a\"", "\"b\"").replace("true\n", "true,\n  \"new\": {\"x\": 1}\n");
        let both = "{\n  \"seen\": [1, 2,  3],\n  \"last\": \"b\",\n  \"on\": true,\n  \"new\": {\"x\": 1}\n}\n";
        assert_eq!(of(base, &one, &other), both);
        assert_eq!(of(base, &other, &one), both);
        assert_eq!(
            of(base, "{\"last\":\"c\",\"on\":true,\"seen\":[1,2]}", base),
            "{\"last\":\"c\",\"on\":true,\"seen\":[1,2]}"
        );
        assert_eq!(of("{}", "{\"a\":1}", "{\"b\": 2}"), "{\"b\": 2,\"a\":1}");
        assert_eq!(of("{\"a\":1,\"b\":2}", "{\"b\":2}", "{\"a\":1,\"b\":3}"), "{\"b\":3}", "one took a out");
        assert_eq!(of("{\"a\":1}", "{}", "{\"a\":2}"), "{\"a\":2}", "and the other changed it");
        assert_eq!(of("{\"a\":1}", "{\"a\":2}", "{\"a\":3}"), "{\"a\":2}");
        let sides = ["{\"a\":1,\"b\":2}", "{\"a\":2,\"b\":1}"];
        let both = merged(&sides, "{\"a\":3,\"b\":2}", "{\"a\":2,\"b\":2}");
        assert_eq!(both.as_deref(), Some("{\"a\":3,\"b\":2}"), "they started from what came of both");
    }

    #[test]
    fn a_member_with_two_values_is_disputed_and_decided_alone() {
        let of = |base, one, other| disputed(&[base], one, other).expect("objects");
        assert_eq!(of("{\"a\":1,\"b\":1}", "{\"a\":2,\"b\":2}", "{\"a\": 3, \"b\": 2}"), ["a"]);
        assert!(of("{\"a\":[1,2]}", "{\"a\":[1, 2]}", "{\"a\":[2]}").is_empty(), "set in another way");
        assert_eq!(of("{}", "{\"a\":1}", "{\"a\":2}"), ["a"]);
        assert_eq!(with("{ \"a\": 1, \"b\": 2 }\n", "a", "\"a\": 3").as_deref(), Some("{ \"a\": 3, \"b\": 2 }\n"));
    }

    #[test]
    fn what_is_no_small_object_or_names_a_member_twice_is_merged_as_a_text() {
        let long = format!("{{\"a\": \"{}\"}}", "x".repeat(STATE_BYTES_MAX));
        for text in ["[1]", "{\"a\":1,}", "{\"a\":1,\"a\":2}", "{\"a\":1} x", "{\"a\":1", "", &long] {
            assert_eq!(merged(&["{}"], "{}", text), None, "{text:.40}");
        }
    }

    fn object() -> impl Strategy<Value = String> {
        let member = ("[abc]", prop_oneof![Just("1"), Just("\"x\""), Just("[1, 2]"), Just("{\"y\": null}")]);
        let members = proptest::collection::btree_map("[abcd]", member.prop_map(|(_, value)| value), 0..4);
        let set = prop_oneof![Just([" ", ", "]), Just(["", ","]), Just(["\n  ", ",\n  "])];
        (members, set).prop_map(|(members, [first, between])| {
            let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            format!("{{{first}{}}}\n", members.join(between))
        })
    }

    proptest! {
        #[test]
        fn a_merge_with_what_nobody_changed_is_the_other_side(base in object(), side in object()) {
            prop_assert_eq!(merged(&[&base], &base, &side).map(|text| serde_json::from_str::<Value>(&text).ok()),
                Some(serde_json::from_str(&side).ok()));
            prop_assert_eq!(merged(&[&base], &side, &side), Some(side.clone()));
            let read = Object::read(&side).expect("an object");
            let members: Vec<_> = read.members.iter().map(|member| member.text).collect();
            prop_assert_eq!(Object::put(&read.style, &members), side);
        }

        #[test]
        fn a_merge_of_objects_is_an_object_with_all_that_one_side_changed(base in object(), one in object(), other in object()) {
            let both = merged(&[&base], &one, &other).expect("objects");
            let [base, one, other, both] = [&base, &one, &other, &both].map(|text| Object::read(text).expect("an object"));
            for name in ["a", "b", "c", "d"] {
                let [was, here, there, is] = [&base, &one, &other, &both].map(|object| object.says(name));
                if here == was || there == was {
                    prop_assert_eq!(is, if here == was { there } else { here });
                } else {
                    prop_assert!(is == here || is == there);
                }
            }
        }
    }
}
