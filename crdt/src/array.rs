//! JSON arrays as day logs hold them: their elements, also where a merge left commas and brackets out of order.

use serde_json::Value;

/// An array, or what a merge of arrays left, cut into its elements.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Array<'a> {
    /// The text of each element, as it stands.
    pub(crate) elements: Vec<&'a str>,
    /// Whether the text is one JSON array, and not only what is left of some.
    pub(crate) is_whole: bool,
    style: Style<'a>,
}

/// The blanks around elements.
#[derive(Debug, Default, PartialEq, Eq)]
struct Style<'a> {
    head: &'a str,
    first: Option<&'a str>,
    between: Option<&'a str>,
    last: Option<&'a str>,
    tail: &'a str,
}

/// What stood before.
#[derive(PartialEq, Eq)]
enum Before {
    Opening,
    Element,
    Comma,
    Closing,
}

impl<'a> Array<'a> {
    /// Reads a text of arrays: commas may be missing or too many, and one array may follow the other. None where there is
    /// anything else beside whole values.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let (mut elements, mut is_whole, mut style) = (Vec::new(), true, Style::default());
        let (mut is_inside, mut before, mut at) = (false, Before::Closing, 0);
        let mut arrays = 0;
        loop {
            let gap = blanks(&text[at..]);
            at += gap.len();
            let Some(next) = text.as_bytes().get(at) else { break };
            match next {
                b'[' if !is_inside => {
                    if arrays == 0 {
                        style.head = gap;
                    }
                    arrays += 1;
                    is_whole &= arrays == 1;
                    (is_inside, before) = (true, Before::Opening);
                    at += 1;
                }
                b']' => {
                    is_whole &= is_inside && before != Before::Comma;
                    if before == Before::Element {
                        style.last.get_or_insert(gap);
                    }
                    (is_inside, before) = (false, Before::Closing);
                    at += 1;
                    style.tail = &text[at..];
                }
                b',' => {
                    is_whole &= is_inside && before == Before::Element;
                    before = Before::Comma;
                    at += 1;
                }
                _ if !is_inside => return None,
                _ => {
                    let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
                    values.next()?.ok()?;
                    is_whole &= before != Before::Element;
                    match before {
                        Before::Opening => style.first.get_or_insert(gap),
                        Before::Comma if !elements.is_empty() => style.between.get_or_insert(gap),
                        Before::Comma | Before::Element | Before::Closing => &mut "",
                    };
                    let end = at + values.byte_offset();
                    elements.push(&text[at..end]);
                    (before, at) = (Before::Element, end);
                }
            }
        }
        is_whole &= !is_inside && arrays > 0;
        style.tail = blanks(style.tail);
        (arrays > 0).then_some(Self { elements, is_whole, style })
    }

    /// What is read of no text at all.
    pub(crate) fn or_empty(text: &'a str) -> Option<Self> {
        if text.trim().is_empty() {
            return Some(Self { elements: Vec::new(), is_whole: true, style: Style::default() });
        }
        Self::read(text)
    }

    /// The text of an array with these elements, set as this one is.
    pub(crate) fn with(&self, elements: &[&str]) -> String {
        let Style { head, first, between, last, tail } = &self.style;
        let first = first.unwrap_or_default();
        let separator = format!(",{}", between.unwrap_or(first));
        // An array that was empty has no style of its own.
        let last = last.unwrap_or_default();
        format!("{head}[{first}{}{last}]{tail}", elements.join(&separator))
    }
}

/// The text as one array, where a merge of arrays left something else.
pub(crate) fn mended(text: &str) -> Option<String> {
    let array = Array::read(text).filter(|array| !array.is_whole)?;
    Some(array.with(&array.elements))
}

/// A value without the blanks that say nothing: what tells it from others, however it was set.
pub(crate) fn squeezed(value: &str) -> String {
    let (mut is_string, mut is_escaped) = (false, false);
    let says_something = |c: &char| {
        let is_quote = *c == '"' && !is_escaped;
        is_escaped = is_string && *c == '\\' && !is_escaped;
        is_string ^= is_quote;
        is_string || !c.is_ascii_whitespace()
    };
    value.chars().filter(says_something).collect()
}

/// The blanks that a text begins with, as JSON has them.
pub(crate) fn blanks(text: &str) -> &str {
    let is_blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
    &text[..text.len() - text.trim_start_matches(is_blank).len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_merge_of_arrays_left_is_one_array() {
        let cases = [
            (
                "[\n  {\"a\": 1},,\n  {\"a\": 2}\n  {\"a\": 3}\n]\n",
                "[\n  {\"a\": 1},\n  {\"a\": 2},\n  {\"a\": 3}\n]\n",
            ),
            ("[\n  1\n]\n[\n  2,\n  3\n]\n", "[\n  1,\n  2,\n  3\n]\n"),
            ("[{\"a\":1}][{\"a\":2}]", "[{\"a\":1},{\"a\":2}]"),
            ("[][1, 2]", "[1, 2]"),
            ("[\n  [1],\n  [2]\n]\n[[3]]\n", "[\n  [1],\n  [2],\n  [3]\n]\n"),
            ("[\"a]\", \"b,\" \"c\"", "[\"a]\", \"b,\", \"c\"]"),
        ];
        for (torn, whole) in cases {
            assert_eq!(mended(torn).as_deref(), Some(whole), "{torn:?}");
        }
    }

    #[test]
    fn what_is_one_array_or_none_at_all_stays_as_it_is() {
        for text in
            ["[1, 2]\n", "[]", " [\n1\n]\n", "{\"a\": 1}\n{\"a\": 2}\n", "[1, tru", "[1]\nnot this", "", "- a\n"]
        {
            assert_eq!(mended(text), None, "{text:?}");
        }
    }

    #[test]
    fn elements_are_compared_and_not_how_they_are_set() {
        assert_eq!(squeezed("{ \"a b\" : [1,\n 2], \"c\": \"\\\" d\" }"), "{\"a b\":[1,2],\"c\":\"\\\" d\"}");
    }

    proptest! {
        #[test]
        fn whatever_is_mended_is_an_array_of_all_that_was_there(text in "(\\[|\\]|,| |\n|1|\"a\\]\"|\\{\"b\": \\[\\]\\}){0,14}") {
            if let Some(array) = Array::read(&text) {
                let whole = array.with(&array.elements);
                let values: Vec<Value> = serde_json::from_str(&whole).expect("an array");
                prop_assert_eq!(values.len(), array.elements.len());
                prop_assert_eq!(array.is_whole, serde_json::from_str::<Vec<Value>>(&text).is_ok());
                prop_assert_eq!(mended(&whole), None);
            }
        }
    }
}
