//! Recovery words (BIP39) and the short words that people compare.

use std::fmt;

use bip39::{Language, Mnemonic};
use ring::hkdf;
use thiserror::Error;
use zeroize::Zeroize as _;

use crate::{hash::Hash, secret::Secret};

/// Words for 32 bytes of entropy and their checksum byte.
const WORD_COUNT: usize = 24;

/// Most letters that 24 words of at most eight letters and the spaces between them take.
const PHRASE_LEN_MAX: usize = WORD_COUNT * 9;

const ROOT_LABEL: &[u8] = b"aiemp-node 2026 root key";

/// Why text is no set of recovery words; never quotes the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WordsError {
    /// Another number of words.
    #[error("expected {WORD_COUNT} recovery words, found {found}")]
    Count {
        /// How many there were.
        found: usize,
    },
    /// A word that is not in the English BIP39 list.
    #[error("recovery word {position} is not in the word list: check its spelling")]
    UnknownWord {
        /// Which word, from 1.
        position: usize,
    },
    /// All words exist, but they do not belong together.
    #[error("the recovery words do not fit together: check their order and that none was mistaken for another")]
    Checksum,
}

/// The English BIP39 list, in order: a word's place is the number that it stands for.
pub fn phrase_words() -> &'static [&'static str; 2048] {
    Language::English.word_list()
}

/// Whether these numbers of words are a recovery phrase of this mesh or of a wallet: 12, 15, 18, 21 or 24 words with a
/// checksum that fits, the first bits of SHA-256 behind the entropy (BIP39).
pub fn is_phrase(numbers: &[u16]) -> bool {
    const WORD_BITS: u32 = 11;
    let checksum_bits = numbers.len() / 3;
    if !(12..=WORD_COUNT).contains(&numbers.len()) || !numbers.len().is_multiple_of(3) {
        return false;
    }
    let mut bytes = [0_u8; 34];
    let (mut bits, mut held, mut filled) = (0_u32, 0, 0);
    for number in numbers {
        bits = bits << WORD_BITS | u32::from(*number);
        held += WORD_BITS;
        while held >= 8 {
            held -= 8;
            bytes[filled] = (bits >> held) as u8;
            filled += 1;
        }
    }
    bytes[filled] = (bits << (8 - held)) as u8;
    let entropy_len = checksum_bits * 4;
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes[..entropy_len]);
    // The checksum of 24 words is one byte, that of fewer words a part of one.
    (bytes[entropy_len] ^ digest.as_ref()[0]) >> (8 - checksum_bits) == 0
}

/// The entropy from which every root key of a mesh is derived; shown to its owner once, as 24 words.
pub struct RecoveryWords(Secret<[u8; 32]>);

impl RecoveryWords {
    /// Takes 32 bytes of entropy.
    pub const fn from_entropy(entropy: [u8; 32]) -> Self {
        Self(Secret::new(entropy))
    }

    /// Reads 24 English words, in any case and with any white space between them.
    pub fn parse(text: &str) -> Result<Self, WordsError> {
        let found = text.split_whitespace().count();
        if found != WORD_COUNT {
            return Err(WordsError::Count { found });
        }
        let text = Secret::new(text.to_lowercase());
        let mnemonic =
            Mnemonic::parse_in_normalized(Language::English, text.expose()).map_err(|error| match error {
                bip39::Error::UnknownWord(index) => WordsError::UnknownWord { position: index + 1 },
                bip39::Error::BadWordCount(found) => WordsError::Count { found },
                bip39::Error::BadEntropyBitCount(_)
                | bip39::Error::InvalidChecksum
                | bip39::Error::AmbiguousLanguages(_) => WordsError::Checksum,
            })?;
        let (mut bytes, _) = mnemonic.to_entropy_array();
        let entropy = *bytes.first_chunk().expect("24 words hold 32 bytes");
        bytes.zeroize();
        Ok(Self::from_entropy(entropy))
    }

    /// The 24 words, lower case, one space between them.
    pub fn phrase(&self) -> Secret<String> {
        let mnemonic = Mnemonic::from_entropy(self.0.expose()).expect("BIP39 has words for 32 bytes");
        // Enough room from the start: a growing string would leave copies behind.
        let mut phrase = String::with_capacity(PHRASE_LEN_MAX);
        for word in mnemonic.words() {
            if !phrase.is_empty() {
                phrase.push(' ');
            }
            phrase.push_str(word);
        }
        Secret::new(phrase)
    }

    /// The seed of root key `n`: HKDF-SHA256 (RFC 5869) without salt; info is the label and `n` as four bytes, big
    /// endian.
    pub fn root_seed(&self, n: u32) -> [u8; 32] {
        let key = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(self.0.expose());
        let number = n.to_be_bytes();
        let mut seed = [0; 32];
        key.expand(&[ROOT_LABEL, &number], hkdf::HKDF_SHA256)
            .and_then(|output| output.fill(&mut seed))
            .expect("HKDF-SHA256 gives 32 bytes");
        seed
    }
}

impl fmt::Debug for RecoveryWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RecoveryWords").field(&self.0).finish()
    }
}

/// Four words that stand for the first 44 bits of a hash, for two people to compare at pairing.
pub fn short_words(hash: &Hash) -> String {
    let first = hash.as_bytes().first_chunk().expect("a hash has eight bytes");
    let bits = u64::from_be_bytes(*first);
    // The word list has 2^11 words.
    let word = |shift: u32| Language::English.word_list()[usize::try_from(bits >> shift & 0x7ff).unwrap_or_default()];
    [53, 42, 31, 20].map(word).join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ZERO_PHRASE: &str = concat!(
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon ",
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art",
    );

    #[test]
    fn a_phrase_is_known_by_its_words_and_their_checksum() {
        let number = |word: &str| phrase_words().binary_search(&word).unwrap() as u16;
        let zero: Vec<u16> = ZERO_PHRASE.split(' ').map(number).collect();
        assert!(is_phrase(&zero));
        assert!(!is_phrase(&zero[..23]));
        assert!(!is_phrase(&[0; 12]));
        assert!(phrase_words().binary_search(&"egress").is_err());
        for length in [16, 20, 24, 28, 32_u8] {
            for seed in 0..20 {
                let entropy: Vec<u8> = (0..length).map(|at| at.wrapping_mul(71) ^ seed).collect();
                let phrase = Mnemonic::from_entropy(&entropy).unwrap();
                let mut numbers: Vec<u16> = phrase.words().map(number).collect();
                assert!(is_phrase(&numbers), "{phrase}");
                numbers[0] ^= 1;
                let words: Vec<&str> = numbers.iter().map(|number| phrase_words()[usize::from(*number)]).collect();
                let reference = Mnemonic::parse_in_normalized(Language::English, &words.join(" ")).is_ok();
                assert_eq!(is_phrase(&numbers), reference);
            }
        }
    }

    #[test]
    fn first_test_vector_of_bip39() {
        assert_eq!(RecoveryWords::from_entropy([0; 32]).phrase().expose(), ZERO_PHRASE);
    }

    #[test]
    fn golden_root_seeds() {
        let words = RecoveryWords::from_entropy([7; 32]);
        let hex = |n| data_encoding::HEXLOWER.encode(&words.root_seed(n));
        assert_eq!(hex(0), "657b904fe2126742649d1135491ee210f4be6f737aebb620d4651a6b041969f6");
        assert_eq!(hex(1), "b43a9cf9c0ee670cacbd8739dc1dbda1d4d45467b80877d4b94ab66ca88a3bd5");
    }

    #[test]
    fn case_and_white_space_do_not_matter() {
        let text = format!("  {}\n", ZERO_PHRASE.to_uppercase().replace(' ', "\n\t"));
        assert_eq!(RecoveryWords::parse(&text).unwrap().phrase().expose(), ZERO_PHRASE);
    }

    #[test]
    fn wrong_words_are_refused_by_position_and_never_quoted() {
        let refusal = |text: &str| RecoveryWords::parse(text).unwrap_err();
        assert_eq!(refusal("abandon art"), WordsError::Count { found: 2 });
        let twelve = format!("{}about", "abandon ".repeat(11));
        assert_eq!(refusal(&twelve), WordsError::Count { found: 12 });
        let unknown = refusal(&ZERO_PHRASE.replacen("abandon", "secretword", 1));
        assert_eq!(unknown, WordsError::UnknownWord { position: 1 });
        assert_eq!(unknown.to_string(), "recovery word 1 is not in the word list: check its spelling");
        assert_eq!(refusal(&ZERO_PHRASE.replace("art", "zoo")), WordsError::Checksum);
    }

    #[test]
    fn short_words_take_eleven_bits_each() {
        let mut bytes = [0; 32];
        assert_eq!(short_words(&Hash::from_bytes(bytes)), "abandon abandon abandon abandon");
        bytes[..6].copy_from_slice(&[0xff, 0xe0, 0x04, 0x00, 0x00, 0x1f]);
        assert_eq!(short_words(&Hash::from_bytes(bytes)), "zoo ability abandon ability");
    }

    #[test]
    fn debug_shows_no_word() {
        assert_eq!(format!("{:?}", RecoveryWords::from_entropy([0; 32])), "RecoveryWords([redacted])");
    }

    proptest! {
        #[test]
        fn every_entropy_comes_back(entropy in any::<[u8; 32]>()) {
            let phrase = RecoveryWords::from_entropy(entropy).phrase();
            let back = RecoveryWords::parse(phrase.expose());
            prop_assert_eq!(*back.unwrap().0.expose(), entropy);
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            prop_assert!(RecoveryWords::parse(&text).is_err());
        }
    }
}
