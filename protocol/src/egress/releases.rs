//! What the person released: contents, and the values in them.

use std::collections::{BTreeMap, BTreeSet};

use aiemp_keys::{
    CborError, FingerprintKey, Hash,
    cbor::{self, Fields},
};
use thiserror::Error;

use crate::ids::ContentHash;

const FORMAT_VERSION: u64 = 1;

/// One decision of the person: this content may leave, with the values that stand in it.
///
/// Values are keyed hashes of the matched bytes. [`Guard::release`](super::Guard::release) makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    pub(super) content: ContentHash,
    pub(super) values: BTreeSet<Hash>,
}

/// Every release that stands, and the key that their values are hashed with.
#[derive(Debug)]
pub struct Releases {
    key: FingerprintKey,
    contents: BTreeMap<ContentHash, BTreeSet<Hash>>,
}

/// Why stored releases cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReleasesError {
    /// The bytes are damaged.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// Another version wrote them.
    #[error(
        "the releases have format {found}, this version reads {FORMAT_VERSION}: move the file away and release again \
         what `aiemp-node egress list` then shows"
    )]
    Format {
        /// The version they name.
        found: u64,
    },
}

impl Release {
    /// The content that it is about.
    pub const fn content(&self) -> ContentHash {
        self.content
    }
}

impl Releases {
    /// No release. The key is drawn once and stored with them: under another key, none of them holds.
    pub const fn new(key: FingerprintKey) -> Self {
        Self { key, contents: BTreeMap::new() }
    }

    /// Adds a release, in place of an earlier one of the same content.
    pub fn add(&mut self, release: Release) {
        self.contents.insert(release.content, release.values);
    }

    /// Takes a release back; false if there was none. What has left stays outside.
    pub fn withdraw(&mut self, content: ContentHash) -> bool {
        self.contents.remove(&content).is_some()
    }

    /// The released contents, in order.
    pub fn contents(&self) -> impl Iterator<Item = ContentHash> {
        self.contents.keys().copied()
    }

    pub(super) fn has_content(&self, content: ContentHash) -> bool {
        self.contents.contains_key(&content)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.contents.is_empty()
    }

    pub(super) fn have_all(&self, values: &BTreeSet<Hash>) -> bool {
        values.iter().all(|value| self.contents.values().any(|released| released.contains(value)))
    }

    pub(super) fn mark(&self, value: &[u8]) -> Hash {
        self.key.mark(value)
    }

    /// Encodes them, the key included, as a strict CBOR array.
    pub fn to_bytes(&self) -> Vec<u8> {
        let contents = self.contents.iter().map(|(content, values)| {
            cbor::array([content.to_value(), cbor::array(values.iter().map(|value| value.to_value()))])
        });
        cbor::encode(&cbor::array([cbor::uint(FORMAT_VERSION), cbor::bytes(self.key.expose()), cbor::array(contents)]))
    }

    /// Decodes what [`to_bytes`](Self::to_bytes) made; contents and values must ascend.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ReleasesError> {
        let mut fields = Fields::decode(bytes, "releases")?;
        let found = fields.uint()?;
        if found != FORMAT_VERSION {
            return Err(ReleasesError::Format { found });
        }
        let mut releases = Self::new(FingerprintKey::from_bytes(fields.fixed()?));
        for release in fields.list_of(Release::read)? {
            if releases.contents.last_key_value().is_some_and(|(last, _)| *last >= release.content) {
                return Err(fields.invalid().into());
            }
            releases.add(release);
        }
        fields.end()?;
        Ok(releases)
    }
}

impl Clone for Releases {
    fn clone(&self) -> Self {
        Self { key: FingerprintKey::from_bytes(*self.key.expose()), contents: self.contents.clone() }
    }
}

impl Release {
    fn read(value: cbor::Value) -> Result<Self, CborError> {
        let mut fields = Fields::of(value, "release")?;
        let content = ContentHash::read(&mut fields)?;
        let listed = fields.list()?;
        let mut values = BTreeSet::new();
        for value in &listed {
            let bytes = value.as_bytes().and_then(|bytes| bytes.as_slice().try_into().ok());
            let value = Hash::from_bytes(bytes.ok_or_else(|| fields.invalid())?);
            if values.last().is_some_and(|last| *last >= value) {
                return Err(fields.invalid());
            }
            values.insert(value);
        }
        fields.end()?;
        Ok(Self { content, values })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn another_format_is_refused_with_the_remedy() {
        let other = cbor::encode(&cbor::array([cbor::uint(9), cbor::bytes(&[7; 32]), cbor::array([])]));
        let expected = "the releases have format 9, this version reads 1: move the file away and release again what \
                        `aiemp-node egress list` then shows";
        assert_eq!(Releases::from_bytes(&other).unwrap_err().to_string(), expected);
    }

    proptest! {
        #[test]
        fn releases_come_back(contents in prop::collection::btree_map(any::<[u8; 4]>(), prop::collection::btree_set(any::<[u8; 32]>(), 0..4), 0..5)) {
            let mut releases = Releases::new(FingerprintKey::from_bytes([7; 32]));
            for (content, values) in contents {
                let values = values.into_iter().map(Hash::from_bytes).collect();
                releases.add(Release { content: ContentHash::of(&content), values });
            }
            let bytes = releases.to_bytes();
            let back = Releases::from_bytes(&bytes).unwrap();
            prop_assert_eq!(back.contents().collect::<Vec<_>>(), releases.contents().collect::<Vec<_>>());
            prop_assert_eq!(back.to_bytes(), bytes);
        }

        #[test]
        fn arbitrary_bytes_never_panic(input in any::<Vec<u8>>()) {
            if let Ok(releases) = Releases::from_bytes(&input) {
                prop_assert_eq!(releases.to_bytes(), input);
            }
        }
    }
}
