//! Fingerprints of known secrets: a process recognises a secret in text without ever holding it.

use std::{collections::BTreeMap, fmt};

use thiserror::Error;

use crate::{
    cbor::{self, CborError, Fields},
    hash::Hash,
    random::{self, RandomError},
    secret::Secret,
};

const FORMAT_VERSION: u64 = 2;

/// Shorter secrets would be found in clean text, and guessed from their fingerprint.
const SECRET_LEN_MIN: usize = 8;

/// Bytes from the middle of a secret that are looked for first; as many as one machine word holds.
const CORE_LEN: usize = SECRET_LEN_MIN;

const FILTER_LABEL: &str = "aiemp-node 2026 fingerprint filter";
const MARK_LABEL: &str = "aiemp-node 2026 fingerprint mark";

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

    /// The 32 bytes, for storing the key beside what was made with it.
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// A keyed hash that stands for a value in a list of values that the person spoke about, and says nothing of it
    /// without the key.
    pub fn mark(&self, value: &[u8]) -> Hash {
        let key = blake3::derive_key(MARK_LABEL, self.0.expose());
        Hash::from_bytes(*blake3::keyed_hash(&key, value).as_bytes())
    }

    /// An odd number: what a core is multiplied by.
    fn factor(&self) -> u64 {
        let bytes = blake3::derive_key(FILTER_LABEL, self.0.expose());
        u64::from_le_bytes(*bytes.first_chunk().expect("a digest has eight bytes")) | 1
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

/// Why stored fingerprints cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FingerprintsError {
    /// The bytes are damaged.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// Another version wrote them.
    #[error(
        "the fingerprints have format {found}, this version reads {FORMAT_VERSION}: move the file away and add each \
         secret again with `aiemp-node secrets add`"
    )]
    Format {
        /// The version they name.
        found: u64,
    },
}

/// Keyed fingerprints of named secrets and canaries.
///
/// A canary is a made-up secret, planted where nobody should read; seen anywhere else, it tells on who read it.
///
/// Finding is one pass: each run of eight bytes is multiplied by an odd number from the key, and the upper 16 bits of
/// the product are looked up among those of the secrets' middle eight bytes. A hit is confirmed by keyed BLAKE3 of the
/// whole secret. The middle, for keys begin alike and PEM files end alike: nobody who does not know a secret can write
/// text that makes the look-up hit more often than by chance.
///
/// Of the product only 16 bits are kept: a multiplication by an odd number can be undone, so all 64 bits beside the
/// key would give a short secret away, while 16 leave one false hit in 65,536 runs to the confirming hash.
///
/// Whoever has the set can test guesses: keep it private, and random secrets long.
pub struct Fingerprints {
    key: FingerprintKey,
    entries: BTreeMap<String, Entry>,
    index: Index,
}

/// A known secret found in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// The name that it was added under.
    pub name: &'a str,
    /// Whether it is a canary.
    pub canary: bool,
    /// Where it begins in the text.
    pub start: usize,
    /// How many bytes it has.
    pub length: usize,
}

struct Entry {
    canary: bool,
    /// The secret as it is and, if white space stands in it, as it is without.
    prints: Vec<Print>,
}

#[derive(Clone, Copy)]
struct Print {
    length: usize,
    filter: u16,
    confirm: Hash,
}

/// What is looked up at each byte of a text.
struct Index {
    factor: u64,
    /// One bit for each value that a filter may have.
    bits: Box<[u64; 1024]>,
    /// By filter.
    prints: Vec<(Print, String)>,
}

impl Fingerprints {
    /// An empty set.
    pub fn new(key: FingerprintKey) -> Self {
        let index = Index { factor: key.factor(), bits: Box::new([0; 1024]), prints: Vec::new() };
        Self { key, entries: BTreeMap::new(), index }
    }

    /// Adds a secret under a name, in place of an earlier one of that name.
    pub fn add(&mut self, name: &str, secret: &[u8]) -> Result<(), TooShort> {
        self.insert(name, secret, false)
    }

    /// Adds a canary under a name, in place of an earlier canary or secret of that name.
    pub fn add_canary(&mut self, name: &str, planted: &[u8]) -> Result<(), TooShort> {
        self.insert(name, planted, true)
    }

    fn insert(&mut self, name: &str, secret: &[u8], canary: bool) -> Result<(), TooShort> {
        let mut prints = vec![self.print(secret)?];
        let folded: Vec<u8> = secret.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        if folded.len() != secret.len() {
            prints.extend(self.print(&folded).ok());
        }
        self.entries.insert(name.to_owned(), Entry { canary, prints });
        self.index_again();
        Ok(())
    }

    fn print(&self, secret: &[u8]) -> Result<Print, TooShort> {
        let length = secret.len();
        if length < SECRET_LEN_MIN {
            return Err(TooShort { length });
        }
        let core = *secret[core_offset(length)..].first_chunk().expect("eight bytes from the middle of at least eight");
        Ok(Print { length, filter: filter(self.index.factor, core), confirm: self.key.confirm(secret) })
    }

    fn index_again(&mut self) {
        let prints = self.entries.iter().flat_map(|(name, entry)| entry.prints.iter().map(|p| (*p, name.clone())));
        self.index.prints = prints.collect();
        self.index.prints.sort_by_key(|(print, _)| print.filter);
        self.index.bits.fill(0);
        for (print, _) in &self.index.prints {
            self.index.bits[usize::from(print.filter >> 6)] |= 1 << (print.filter & 63);
        }
    }

    /// Forgets a name; false if there was none.
    pub fn remove(&mut self, name: &str) -> bool {
        let removed = self.entries.remove(name).is_some();
        self.index_again();
        removed
    }

    /// The names of the secrets and canaries, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The names of the canaries, in order.
    pub fn canaries(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(|(_, entry)| entry.canary).map(|(name, _)| name.as_str())
    }

    /// Finds a known secret anywhere in `text` and returns its name; the first, if there are several.
    pub fn find(&self, text: &[u8]) -> Option<&str> {
        self.scan(text).next().map(|found| found.name)
    }

    /// Finds every known secret and canary in `text`, in the order of their middles.
    ///
    /// One pass, whatever their number; a hit costs a hash of the secret's length.
    pub fn scan<'a>(&'a self, text: &[u8]) -> impl Iterator<Item = Found<'a>> {
        self.index.candidates(text).into_iter().flat_map(|(at, filter)| self.confirmed(text, at, filter))
    }

    /// The secrets whose middle begins at `at`.
    fn confirmed<'a>(&'a self, text: &[u8], at: usize, filter: u16) -> impl Iterator<Item = Found<'a>> {
        let first = self.index.prints.partition_point(|(print, _)| print.filter < filter);
        let candidates = self.index.prints[first..].iter().take_while(move |(print, _)| print.filter == filter);
        candidates.filter_map(move |(print, name)| {
            let start = at.checked_sub(core_offset(print.length))?;
            let window = text.get(start..start + print.length)?;
            let confirmed = self.key.confirm(window) == print.confirm;
            let canary = self.entries.get(name).is_some_and(|entry| entry.canary);
            confirmed.then_some(Found { name, canary, start, length: print.length })
        })
    }

    /// Encodes the set, its key included, as a strict CBOR array.
    pub fn to_bytes(&self) -> Vec<u8> {
        let entries = self.entries.iter().map(|(name, entry)| {
            let prints = entry.prints.iter().map(|print| {
                cbor::array([
                    cbor::uint(print.length as u64),
                    cbor::uint(print.filter.into()),
                    print.confirm.to_value(),
                ])
            });
            cbor::array([cbor::text(name), cbor::Value::Bool(entry.canary), cbor::array(prints)])
        });
        let key = cbor::bytes(self.key.0.expose());
        cbor::encode(&cbor::array([cbor::uint(FORMAT_VERSION), key, cbor::array(entries)]))
    }

    /// Decodes what [`to_bytes`](Self::to_bytes) made; names must ascend.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FingerprintsError> {
        let mut fields = Fields::decode(bytes, "fingerprints")?;
        let found = fields.uint()?;
        if found != FORMAT_VERSION {
            return Err(FingerprintsError::Format { found });
        }
        let mut set = Self::new(FingerprintKey::from_bytes(fields.fixed()?));
        for (name, entry) in fields.list_of(Entry::read)? {
            if set.entries.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err(fields.invalid().into());
            }
            set.entries.insert(name, entry);
        }
        fields.end()?;
        set.index_again();
        Ok(set)
    }
}

impl Index {
    /// Where a run of eight bytes passes the filter, and its filter; nowhere if there is nothing to find.
    fn candidates(&self, text: &[u8]) -> Vec<(usize, u16)> {
        let mut candidates = Vec::new();
        if self.prints.is_empty() {
            return candidates;
        }
        let hit = |filter: u16| self.bits[usize::from(filter >> 6)] >> (filter & 63) & 1;
        let mut at = 0;
        // One branch for eight runs.
        while let Some(block) = text[at..].first_chunk::<{ 2 * CORE_LEN - 1 }>() {
            let mut hits = 0;
            let mut filters = [0; CORE_LEN];
            let mut offset = 0;
            while offset < CORE_LEN {
                let core = *block[offset..].first_chunk().expect("eight runs of eight bytes stand in the block");
                filters[offset] = filter(self.factor, core);
                hits |= hit(filters[offset]);
                offset += 1;
            }
            if hits != 0 {
                candidates.extend((at..).zip(filters).filter(|(_, filter)| hit(*filter) == 1));
            }
            at += CORE_LEN;
        }
        let rest = (at..).zip(text[at..].array_windows()).map(|(at, core)| (at, filter(self.factor, *core)));
        candidates.extend(rest.filter(|(_, filter)| hit(*filter) == 1));
        candidates
    }
}

impl Entry {
    fn read(value: cbor::Value) -> Result<(String, Self), CborError> {
        let mut fields = Fields::of(value, "fingerprint")?;
        let name = fields.text()?;
        let canary = fields.bool()?;
        let prints = fields.list_of(Print::read)?;
        if prints.is_empty() {
            return Err(fields.invalid());
        }
        fields.end()?;
        Ok((name, Self { canary, prints }))
    }
}

impl Print {
    fn read(value: cbor::Value) -> Result<Self, CborError> {
        let mut fields = Fields::of(value, "fingerprint")?;
        let length = usize::try_from(fields.uint()?).map_err(|_| fields.invalid())?;
        if length < SECRET_LEN_MIN {
            return Err(fields.invalid());
        }
        let filter = u16::try_from(fields.uint()?).map_err(|_| fields.invalid())?;
        let confirm = fields.hash()?;
        fields.end()?;
        Ok(Self { length, filter, confirm })
    }
}

impl fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fingerprints").field(&self.entries.keys()).finish()
    }
}

/// Where the middle eight bytes of a secret begin.
const fn core_offset(length: usize) -> usize {
    (length - CORE_LEN) / 2
}

/// The part of a product that is kept.
const fn filter(factor: u64, core: [u8; CORE_LEN]) -> u16 {
    (u64::from_le_bytes(core).wrapping_mul(factor) >> 48) as u16
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
        let (mine, other) = (set().entries["model"].prints[0], other.entries["model"].prints[0]);
        assert_ne!(mine.filter, other.filter);
        assert_ne!(mine.confirm, other.confirm);
    }

    #[test]
    fn a_secret_with_white_space_is_found_without_it() {
        let mut set = set();
        set.add("app", b"abcd efgh ijkl mnop").unwrap();
        assert_eq!(set.find(b"it is abcdefghijklmnop."), Some("app"));
        assert_eq!(set.find(b"it is abcd efgh ijkl mnop."), Some("app"));
    }

    #[test]
    fn every_place_is_found_and_canaries_are_told_apart() {
        let mut set = set();
        set.add_canary("bait", b"planted-by-hand").unwrap();
        let text = b"planted-by-hand, correct horse, planted-by-hand";
        let found: Vec<_> = set.scan(text).map(|found| (found.name, found.canary, found.start)).collect();
        assert_eq!(found, [("bait", true, 0), ("smtp", false, 17), ("bait", true, 32)]);
        assert_eq!(set.canaries().collect::<Vec<_>>(), ["bait"]);
        let back = Fingerprints::from_bytes(&set.to_bytes()).unwrap();
        assert_eq!(back.canaries().collect::<Vec<_>>(), ["bait"]);
    }

    #[test]
    fn marks_are_keyed_and_no_fingerprints() {
        let (mine, other) = (FingerprintKey::from_bytes([7; 32]), FingerprintKey::from_bytes([8; 32]));
        assert_ne!(mine.mark(TOKEN), other.mark(TOKEN));
        assert_ne!(mine.mark(TOKEN), mine.confirm(TOKEN));
    }

    #[test]
    fn another_format_is_refused_with_the_remedy() {
        let old = cbor::encode(&cbor::array([cbor::uint(1), cbor::bytes(&[7; 32]), cbor::array([])]));
        let expected = "the fingerprints have format 1, this version reads 2: move the file away and add each secret \
                        again with `aiemp-node secrets add`";
        assert_eq!(Fingerprints::from_bytes(&old).unwrap_err().to_string(), expected);
    }

    #[test]
    fn unsorted_and_doubled_names_are_refused() {
        let print = || cbor::array([cbor::uint(8), cbor::uint(1), cbor::bytes(&[0; 32])]);
        let entry = |name: &str| cbor::array([cbor::text(name), cbor::Value::Bool(false), cbor::array([print()])]);
        let encoded = |names: [&'static str; 2]| {
            let entries = cbor::array(names.map(entry));
            cbor::encode(&cbor::array([cbor::uint(FORMAT_VERSION), cbor::bytes(&[7; 32]), entries]))
        };
        assert!(Fingerprints::from_bytes(&encoded(["a", "b"])).is_ok());
        assert!(Fingerprints::from_bytes(&encoded(["b", "a"])).is_err());
        assert!(Fingerprints::from_bytes(&encoded(["a", "a"])).is_err());
    }

    proptest! {
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
