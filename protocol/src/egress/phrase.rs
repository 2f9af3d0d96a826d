//! Recovery phrases: the words that a wallet or this mesh is restored from.

use std::{collections::BTreeSet, sync::LazyLock};

use aiemp_keys::{is_phrase, phrase_words};

/// Twelve words of three letters, and what stands between them.
const PHRASE_BYTES_MIN: usize = 47;
const WORDS_MIN: usize = 12;
/// Longer sequences are a list of words, not a phrase.
const WORDS_MAX: usize = 36;
const WORD_LEN_MIN: usize = 3;
const WORD_LEN_MAX: usize = 8;
/// Most that stands between two words: a line end and a number.
const BETWEEN_MAX: usize = 6;

/// Finds every phrase whose checksum fits, with the place where it begins.
///
/// A phrase that begins at `from` or behind covers the byte that lies its least length behind `from`, or lies behind
/// that byte: so one word is looked up in each such stretch of text.
pub(super) fn phrases(text: &[u8], mut found: impl FnMut(usize, &[u8])) {
    let mut from = 0;
    while from + PHRASE_BYTES_MIN <= text.len() {
        let probe = from + PHRASE_BYTES_MIN - 1;
        let Some(word) = word_at_or_behind(text, probe) else {
            from = probe + 1;
            continue;
        };
        from = word.1;
        if listed(text, word) {
            let mut words = vec![word];
            while let Some(before) = word_before(text, words[words.len() - 1].0).filter(|word| listed(text, *word)) {
                words.push(before);
            }
            words.reverse();
            while let Some(next) = word_behind(text, from).filter(|word| listed(text, *word)) {
                words.push(next);
                from = next.1;
            }
            judge(text, &words, &mut found);
        }
    }
}

/// First byte of a word, and first byte behind it.
type Word = (usize, usize);

const SLOTS: usize = 1 << 13;

/// The words of the list by a hash of their letters: each slot holds the letters of a word and its number. Words that
/// share a slot stand one behind the other.
static LISTED: LazyLock<Box<[(u64, u16)]>> = LazyLock::new(|| {
    let mut slots = vec![(0, 0); SLOTS].into_boxed_slice();
    for (number, word) in (0..).zip(phrase_words()) {
        let letters = packed(word.as_bytes());
        let mut slot = slot(letters);
        while slots[slot].0 != 0 {
            slot = (slot + 1) % SLOTS;
        }
        slots[slot] = (letters, number);
    }
    slots
});

/// Up to eight letters as a number that no other word has.
fn packed(word: &[u8]) -> u64 {
    word.iter().fold(0, |letters, letter| letters << 8 | u64::from(*letter))
}

const fn slot(letters: u64) -> usize {
    (letters.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 51) as usize
}

/// The number of a word of the list.
fn number(text: &[u8], (start, end): Word) -> Option<u16> {
    if !(WORD_LEN_MIN..=WORD_LEN_MAX).contains(&(end - start)) {
        return None;
    }
    #[cfg(test)]
    if super::plain::is_on() {
        let word = std::str::from_utf8(&text[start..end]).ok()?;
        return phrase_words().binary_search(&word).ok().map(|number| number as u16);
    }
    let letters = packed(&text[start..end]);
    let slots = &**LISTED;
    let mut slot = slot(letters);
    while slots[slot].0 != 0 {
        if slots[slot].0 == letters {
            return Some(slots[slot].1);
        }
        slot = (slot + 1) % SLOTS;
    }
    None
}

fn letters<'a>(bytes: impl Iterator<Item = &'a u8>) -> usize {
    bytes.take(WORD_LEN_MAX + 1).take_while(|byte| byte.is_ascii_lowercase()).count()
}

/// How much stands here that is no letter; none if it is more than stands between two words.
fn between<'a>(bytes: impl Iterator<Item = &'a u8>) -> Option<usize> {
    let length = bytes.take(BETWEEN_MAX + 1).take_while(|byte| !byte.is_ascii_alphabetic()).count();
    (length <= BETWEEN_MAX).then_some(length)
}

fn word_at_or_behind(text: &[u8], at: usize) -> Option<Word> {
    let at = at + between(text[at..].iter())?;
    Some((at - letters(text[..at].iter().rev()), at + letters(text[at..].iter())))
}

fn word_behind(text: &[u8], end: usize) -> Option<Word> {
    let start = end + between(text[end..].iter())?;
    Some((start, start + letters(text[start..].iter())))
}

fn word_before(text: &[u8], start: usize) -> Option<Word> {
    let end = start - between(text[..start].iter().rev())?;
    Some((end - letters(text[..end].iter().rev()), end))
}

fn listed(text: &[u8], word: Word) -> bool {
    number(text, word).is_some()
}

/// Looks for a phrase among words of the list that stand one after the other.
fn judge(text: &[u8], listed: &[Word], found: &mut impl FnMut(usize, &[u8])) {
    if !(WORDS_MIN..=WORDS_MAX).contains(&listed.len()) {
        return;
    }
    let numbers: Vec<u16> = listed.iter().filter_map(|word| number(text, *word)).collect();
    for first in 0..=listed.len() - WORDS_MIN {
        let fits = |count: &&usize| {
            numbers.get(first..first + **count).is_some_and(|numbers| !is_prose(numbers) && is_phrase(numbers))
        };
        if let Some(count) = [24, 21, 18, 15, 12].iter().find(fits) {
            let words: Vec<&[u8]> = listed[first..first + count].iter().map(|(a, b)| &text[*a..*b]).collect();
            found(listed[first].0, &words.join(&b' '));
            return;
        }
    }
}

/// Whether more words stand twice than in a phrase drawn by chance: that has so many in one of two thousand. In prose of
/// everyday words every sixteenth checksum fits, and words come back all the time.
fn is_prose(numbers: &[u16]) -> bool {
    let distinct: BTreeSet<_> = numbers.iter().collect();
    let repeated = numbers.len() - distinct.len();
    repeated > if numbers.len() < 18 { 1 } else { 2 }
}

#[cfg(test)]
mod tests {
    use aiemp_keys::RecoveryWords;

    use super::*;

    fn found(text: &str) -> usize {
        let mut count = 0;
        phrases(text.as_bytes(), |_, _| count += 1);
        count
    }

    #[test]
    fn phrases_are_found_in_lines_lists_and_sentences() {
        let words = RecoveryWords::from_entropy(std::array::from_fn(|at| (at * 37) as u8)).phrase().expose().clone();
        let list: Vec<String> = words.split(' ').enumerate().map(|(at, word)| format!("{}. {word}", at + 1)).collect();
        assert_eq!(found(&words), 1);
        assert_eq!(found(&format!("The words: {}.", words.replace(' ', "\n"))), 1);
        assert_eq!(found(&list.join("\n")), 1);
        assert_eq!(found(&format!("it is my {words} for ever")), 1);
    }

    #[test]
    fn a_word_that_comes_back_leaves_a_phrase_one_and_several_do_not() {
        let listed = phrase_words();
        let phrase_of = |repeated: usize| {
            let numbers = |last: u16| {
                let first = (0..11 - repeated as u16).map(|number| number * 97);
                first.chain(std::iter::repeat_n(0, repeated)).chain([last]).collect::<Vec<_>>()
            };
            let fits = |last: &u16| {
                let numbers = numbers(*last);
                is_phrase(&numbers) && !numbers[..11].contains(last)
            };
            let last = (0..2_048).find(fits).expect("one in sixteen fits");
            numbers(last).iter().map(|number| listed[usize::from(*number)]).collect::<Vec<_>>().join(" ")
        };
        assert_eq!([0, 1, 2, 3].map(|repeated| found(&phrase_of(repeated))), [1, 1, 0, 0]);
    }

    #[test]
    fn prose_and_words_without_their_checksum_are_none() {
        assert_eq!(found(&"abandon ".repeat(12)), 0);
        assert_eq!(
            found(&"zoo about ability able above absent absorb abstract absurd abuse access account ".repeat(9)),
            0
        );
        assert_eq!(found(&"the order was sent on time and will reach you before the end of this week ".repeat(9)), 0);
    }
}
