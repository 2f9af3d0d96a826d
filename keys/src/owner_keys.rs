//! The keys by which a person holds a mesh.

use std::ops::RangeInclusive;

use crate::{
    cbor::{self, CborError, Fields},
    hash::Hash,
    public_key::PublicKey,
    secret::{Secret, SecretBytes},
    signer::Signer,
    words::RecoveryWords,
};

const FORMAT_VERSION: u64 = 1;
/// How the encoding begins: an array of five, the version, and a string of 32 bytes, the first seed.
pub(crate) const HEAD: [u8; 4] = [0x85, 0x01, 0x58, 0x20];
/// How long it is, by the digits that the root's number takes.
pub(crate) const LENGTHS: RangeInclusive<usize> = 105..=109;
const NEXT_ROOT_LABEL: &str = "aiemp-node 2026 next root key";

/// The root and approve keys of a mesh's owner.
#[derive(Debug, Clone)]
pub struct OwnerKeys {
    /// Signs rosters: who is in the mesh.
    pub root: Signer,
    /// Signs approvals: what may be done.
    pub approve: Signer,
    /// Commits to the root key after this one, see [`next_root_hash`].
    pub next_root_hash: Hash,
    /// The number of `root` among those that the recovery words give.
    pub root_index: u32,
}

/// The commitment by which a roster names the next root key without showing it.
pub fn next_root_hash(next_root: &PublicKey) -> Hash {
    Hash::labelled(NEXT_ROOT_LABEL, [next_root.to_value()])
}

impl OwnerKeys {
    /// Derives root key `root_index` and its successor's hash from the words.
    pub(crate) fn from_words(words: &RecoveryWords, root_index: u32, approve: Signer) -> Self {
        let root = Signer::from_seed(words.root_seed(root_index));
        let next_root = Signer::from_seed(words.root_seed(root_index + 1));
        Self { root, approve, next_root_hash: next_root_hash(&next_root.public()), root_index }
    }

    /// Encodes the keys as a strict CBOR array.
    pub(crate) fn to_bytes(&self) -> SecretBytes {
        Secret::new(cbor::encode(&cbor::array([
            cbor::uint(FORMAT_VERSION),
            cbor::bytes(self.root.seed().expose()),
            cbor::uint(self.root_index.into()),
            self.next_root_hash.to_value(),
            cbor::bytes(self.approve.seed().expose()),
        ])))
    }

    /// Decodes what `to_bytes` made.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, CborError> {
        let mut fields = Fields::decode(bytes, "owner keys")?;
        if fields.uint()? != FORMAT_VERSION {
            return Err(fields.invalid());
        }
        let root = Signer::from_seed(fields.fixed()?);
        let root_index = u32::try_from(fields.uint()?).map_err(|_| fields.invalid())?;
        let next_root_hash = fields.hash()?;
        let approve = Signer::from_seed(fields.fixed()?);
        fields.end()?;
        Ok(Self { root, approve, next_root_hash, root_index })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seeds(keys: &OwnerKeys) -> [[u8; 32]; 2] {
        [*keys.root.seed().expose(), *keys.approve.seed().expose()]
    }

    #[test]
    fn debug_shows_no_seed() {
        let keys = OwnerKeys::from_words(&RecoveryWords::from_entropy([0; 32]), 0, Signer::from_seed([9; 32]));
        let text = format!("{keys:?}");
        assert!(seeds(&keys).iter().all(|seed| !text.contains(&data_encoding::HEXLOWER.encode(&seed[..4]))), "{text}");
    }

    proptest! {
        #[test]
        fn owner_keys_come_back(root: [u8; 32], approve: [u8; 32], next: [u8; 32], root_index: u32) {
            let (root, approve) = (Signer::from_seed(root), Signer::from_seed(approve));
            let keys = OwnerKeys { root, approve, next_root_hash: Hash::from_bytes(next), root_index };
            let bytes = keys.to_bytes();
            prop_assert!(bytes.expose().starts_with(&HEAD) && LENGTHS.contains(&bytes.expose().len()));
            let back = OwnerKeys::from_bytes(bytes.expose()).unwrap();
            prop_assert_eq!(seeds(&back), seeds(&keys));
            prop_assert_eq!((back.next_root_hash, back.root_index), (keys.next_root_hash, root_index));
        }

        #[test]
        fn arbitrary_bytes_are_no_owner_keys(input in any::<Vec<u8>>()) {
            prop_assert!(OwnerKeys::from_bytes(&input).is_err());
        }
    }
}
