//! Fingerprints of known secrets: a process recognises a secret in text without ever holding it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use thiserror::Error;

use crate::{
    cbor::{self, CborError, Fields},
    hash::Hash,
    random::{self, RandomError},
    secret::Secret,
};

const FORMAT_VERSION: u64 = 1;

/// Shorter secrets would be found in clean text, and guessed from their fingerprint.
const SECRET_LEN_MIN: usize = 8;

const BASE_LABEL: &str = "aiemp-node 2026 fingerprint base";

/// The Mersenne prime 2^61 - 1: reduction is a shift and an addition, products fit `u128`.
const MODULUS: u64 = (1 << 61) - 1;

/// The key of a fingerprint set: without it nobody can test guesses against the set.
#[derive(Debug)]
pub struct FingerprintKey(Secret<[u8; 32]>);

impl FingerprintKey {
    /// Makes a new key from the operating system's randomness.
    pub fn generate() -> Result<Self, RandomError> {
        random::array().map(Self::from_bytes)
    }

    /// Takes 32 bytes as they are.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    fn base(&self) -> u64 {
        let bytes = blake3::derive_key(BASE_LABEL, self.0.expose());
        u64::from_le_bytes(*bytes.first_chunk().expect("a digest has eight bytes")) % MODULUS
    }

    fn confirm(&self, bytes: &[u8]) -> Hash {
        Hash::from_bytes(*blake3::keyed_hash(self.0.expose(), bytes).as_bytes())
    }
}

/// A secret that is too short to be recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a secret of {length} bytes is too short to be recognised in text: use one of at least {SECRET_LEN_MIN}")]
pub struct TooShort {
    /// Its length in bytes.
    pub length: usize,
}

/// Keyed fingerprints of named secrets.
///
/// Finding is Rabin–Karp over windows of each distinct length, with a base from the key, modulo 2^61 - 1; hits are
/// confirmed by keyed BLAKE3. Of the rolling value only 16 bits are kept: it is linear in the secret's bytes, so all 61
/// bits beside the key would give a short secret away, while 16 leave one false hit in 65,536 windows to the confirming
/// hash.
///
/// Whoever has the set can test guesses: keep it private, and random secrets long.
pub struct Fingerprints {
    key: FingerprintKey,
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    length: usize,
    filter: u16,
    confirm: Hash,
}

impl Fingerprints {
    /// An empty set.
    pub const fn new(key: FingerprintKey) -> Self {
        Self { key, entries: BTreeMap::new() }
    }

    /// Adds a secret under a name, in place of an earlier one of that name.
    pub fn add(&mut self, name: &str, secret: &[u8]) -> Result<(), TooShort> {
        let length = secret.len();
        if length < SECRET_LEN_MIN {
            return Err(TooShort { length });
        }
        let filter = filter(roll(self.key.base(), secret));
        let entry = Entry { length, filter, confirm: self.key.confirm(secret) };
        self.entries.insert(name.to_owned(), entry);
        Ok(())
    }

    /// Forgets a name; false if there was none.
    pub fn remove(&mut self, name: &str) -> bool {
        self.entries.remove(name).is_some()
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Finds a known secret anywhere in `text` and returns its name; the shortest, if there are several.
    ///
    /// One pass over the text for each distinct length.
    pub fn find(&self, text: &[u8]) -> Option<&str> {
        let lengths: BTreeSet<usize> = self.entries.values().map(|entry| entry.length).collect();
        lengths.into_iter().filter(|length| *length <= text.len()).find_map(|length| self.find_of_length(text, length))
    }

    fn find_of_length(&self, text: &[u8], length: usize) -> Option<&str> {
        let mut filters: Vec<u16> =
            self.entries.values().filter(|entry| entry.length == length).map(|entry| entry.filter).collect();
        filters.sort_unstable();
        let base = self.key.base();
        let leaving = leaving(base, length);
        let mut rolling = roll(base, &text[..length]);
        for start in 0..=text.len() - length {
            if filters.binary_search(&filter(rolling)).is_ok()
                && let Some(name) = self.confirmed(&text[start..start + length])
            {
                return Some(name);
            }
            if let Some(entering) = text.get(start + length) {
                rolling = step(base, rolling, u64::from(*entering) + leaving[usize::from(text[start])]);
            }
        }
        None
    }

    fn confirmed(&self, window: &[u8]) -> Option<&str> {
        let confirm = self.key.confirm(window);
        let found = self.entries.iter().find(|(_, entry)| entry.length == window.len() && entry.confirm == confirm);
        found.map(|(name, _)| name.as_str())
    }

    /// Encodes the set, its key included, as a strict CBOR array.
    pub fn to_bytes(&self) -> Vec<u8> {
        let entries = self.entries.iter().map(|(name, entry)| {
            let filter = cbor::uint(entry.filter.into());
            cbor::array([cbor::text(name), cbor::uint(entry.length as u64), filter, entry.confirm.to_value()])
        });
        let key = cbor::bytes(self.key.0.expose());
        cbor::encode(&cbor::array([cbor::uint(FORMAT_VERSION), key, cbor::array(entries)]))
    }

    /// Decodes what [`to_bytes`](Self::to_bytes) made; names must ascend.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let mut fields = Fields::decode(bytes, "fingerprints")?;
        if fields.uint()? != FORMAT_VERSION {
            return Err(fields.invalid());
        }
        let mut set = Self::new(FingerprintKey::from_bytes(fields.fixed()?));
        for (name, entry) in fields.list_of(Entry::read)? {
            if set.entries.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err(fields.invalid());
            }
            set.entries.insert(name, entry);
        }
        fields.end()?;
        Ok(set)
    }
}

impl Entry {
    fn read(value: cbor::Value) -> Result<(String, Self), CborError> {
        let mut fields = Fields::of(value, "fingerprint")?;
        let name = fields.text()?;
        let length = usize::try_from(fields.uint()?).map_err(|_| fields.invalid())?;
        if length < SECRET_LEN_MIN {
            return Err(fields.invalid());
        }
        let filter = u16::try_from(fields.uint()?).map_err(|_| fields.invalid())?;
        let confirm = fields.hash()?;
        fields.end()?;
        Ok((name, Self { length, filter, confirm }))
    }
}

impl fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fingerprints").field(&self.entries.keys()).finish()
    }
}

/// The part of a rolling value that is kept.
const fn filter(rolling: u64) -> u16 {
    (rolling & 0xffff) as u16
}

/// The polynomial of `bytes` at `base`, first byte highest.
fn roll(base: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |rolling, byte| step(base, rolling, u64::from(*byte)))
}

/// `rolling * base + added`; the operands below `MODULUS`, except `added`, below twice that.
fn step(base: u64, rolling: u64, added: u64) -> u64 {
    let wide = u128::from(rolling) * u128::from(base) + u128::from(added);
    let folded = (wide as u64 & MODULUS) + (wide >> 61) as u64;
    if folded >= MODULUS { folded - MODULUS } else { folded }
}

/// What to add for each byte that leaves a window of `length`: minus the byte times `base^length`.
fn leaving(base: u64, length: usize) -> [u64; 256] {
    let power = (0..length).fold(1, |power, _| step(base, power, 0));
    std::array::from_fn(|byte| (MODULUS - step(power, byte as u64, 0)) % MODULUS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &[u8] = b"sk-test-4eC39HqLyjWDarjtT1zdp7dc";

    fn set() -> Fingerprints {
        let mut set = Fingerprints::new(FingerprintKey::from_bytes([7; 32]));
        set.add("smtp", b"correct horse").unwrap();
        set.add("model", TOKEN).unwrap();
        set
    }

    /// Deterministic text that repeats nothing long.
    fn clean(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(b"clean").finalize_xof().fill(&mut bytes);
        bytes.iter().map(|byte| b'a' + byte % 26).collect()
    }

    #[test]
    fn finds_a_secret_at_every_position() {
        let set = set();
        for start in 0..300 {
            let mut text = clean(300);
            text.splice(start..start, TOKEN.iter().copied());
            assert_eq!(set.find(&text), Some("model"), "at {start}");
        }
        assert_eq!(set.find(TOKEN), Some("model"));
        assert_eq!(set.find(b"a correct horse"), Some("smtp"));
    }

    #[test]
    fn finds_nothing_in_a_megabyte_of_clean_text() {
        assert_eq!(set().find(&clean(1 << 20)), None);
        assert_eq!(set().find(b""), None);
        assert_eq!(set().find(&TOKEN[1..]), None);
    }

    #[test]
    fn short_secrets_are_refused_with_the_remedy() {
        let error = set().add("pin", b"1234567").unwrap_err();
        let expected = "a secret of 7 bytes is too short to be recognised in text: use one of at least 8";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_removed_or_replaced_secret_is_no_longer_found() {
        let mut set = set();
        set.add("smtp", b"battery staple").unwrap();
        assert!(set.remove("model"));
        assert!(!set.remove("model"));
        assert_eq!(set.names().collect::<Vec<_>>(), ["smtp"]);
        assert_eq!(set.find(TOKEN), None);
        assert_eq!(set.find(b"correct horse"), None);
        assert_eq!(set.find(b"battery staple"), Some("smtp"));
    }

    #[test]
    fn never_holds_the_secret() {
        let set = set();
        let bytes = set.to_bytes();
        assert!(!bytes.windows(SECRET_LEN_MIN).any(|part| TOKEN.windows(SECRET_LEN_MIN).any(|known| known == part)));
        assert_eq!(format!("{set:?}"), r#"Fingerprints(["model", "smtp"])"#);
    }

    #[test]
    fn another_key_gives_other_fingerprints() {
        let mut other = Fingerprints::new(FingerprintKey::from_bytes([8; 32]));
        other.add("model", TOKEN).unwrap();
        let (mine, other) = (&set().entries["model"], &other.entries["model"]);
        assert_ne!(mine.filter, other.filter);
        assert_ne!(mine.confirm, other.confirm);
    }

    #[test]
    fn unsorted_and_doubled_names_are_refused() {
        let entry = |name: &str| cbor::array([cbor::text(name), cbor::uint(8), cbor::uint(1), cbor::bytes(&[0; 32])]);
        let encoded = |names: [&'static str; 2]| {
            let entries = cbor::array(names.map(entry));
            cbor::encode(&cbor::array([cbor::uint(1), cbor::bytes(&[7; 32]), entries]))
        };
        assert!(Fingerprints::from_bytes(&encoded(["a", "b"])).is_ok());
        assert!(Fingerprints::from_bytes(&encoded(["b", "a"])).is_err());
        assert!(Fingerprints::from_bytes(&encoded(["a", "a"])).is_err());
    }

    proptest! {
        #[test]
        fn rolling_equals_starting_anew(base in 0..MODULUS, text in prop::collection::vec(any::<u8>(), 9..200)) {
            let leaving = leaving(base, 8);
            let mut rolling = roll(base, &text[..8]);
            for start in 0..text.len() - 8 {
                rolling = step(base, rolling, u64::from(text[start + 8]) + leaving[usize::from(text[start])]);
                prop_assert_eq!(rolling, roll(base, &text[start + 1..start + 9]));
            }
        }

        #[test]
        fn every_secret_is_found_after_a_round_trip(
            secret in prop::collection::vec(any::<u8>(), 8..64), before in any::<Vec<u8>>(), after in any::<Vec<u8>>(),
        ) {
            let mut set = Fingerprints::new(FingerprintKey::from_bytes([7; 32]));
            set.add("it", &secret).unwrap();
            let bytes = set.to_bytes();
            let back = Fingerprints::from_bytes(&bytes).unwrap();
            prop_assert_eq!(back.to_bytes(), bytes);
            prop_assert_eq!(back.find(&[before, secret, after].concat()), Some("it"));
        }

        #[test]
        fn arbitrary_bytes_never_panic(input in any::<Vec<u8>>()) {
            if let Ok(set) = Fingerprints::from_bytes(&input) {
                prop_assert_eq!(set.to_bytes(), input);
            }
        }
    }
}
