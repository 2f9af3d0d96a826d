//! Recovery phrases: the words that a wallet or this mesh is restored from.

use aiemp_keys::{is_phrase, is_phrase_word};

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

fn listed(text: &[u8], (start, end): Word) -> bool {
    (WORD_LEN_MIN..=WORD_LEN_MAX).contains(&(end - start))
        && std::str::from_utf8(&text[start..end]).is_ok_and(is_phrase_word)
}

/// Looks for a phrase among words of the list that stand one after the other.
fn judge(text: &[u8], listed: &[Word], found: &mut impl FnMut(usize, &[u8])) {
    if !(WORDS_MIN..=WORDS_MAX).contains(&listed.len()) {
        return;
    }
    for first in 0..=listed.len() - WORDS_MIN {
        let phrase = [24, 21, 18, 15, 12].iter().find_map(|count| {
            let words: Vec<&[u8]> = listed.get(first..first + count)?.iter().map(|(a, b)| &text[*a..*b]).collect();
            String::from_utf8(words.join(&b' ')).ok().filter(|phrase| is_phrase(phrase))
        });
        if let Some(phrase) = phrase {
            found(listed[first].0, phrase.as_bytes());
            return;
        }
    }
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
        let words = RecoveryWords::from_entropy([9; 32]).phrase().expose().clone();
        let list: Vec<String> = words.split(' ').enumerate().map(|(at, word)| format!("{}. {word}", at + 1)).collect();
        assert_eq!(found(&words), 1);
        assert_eq!(found(&format!("The words: {}.", words.replace(' ', "\n"))), 1);
        assert_eq!(found(&list.join("\n")), 1);
        assert_eq!(found(&format!("it is my {words} for ever")), 1);
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
