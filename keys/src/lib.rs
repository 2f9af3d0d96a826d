//! Floor 0: identities, signing (COSE), sealing (age), the keystore and known-secret fingerprints.
//!
//! **Decides** what a key, a signature, a hash and a canonical encoding are, how keys lie on disk, and whether a piece
//! of text holds a known secret. The crate is synchronous. It uses the operating system's randomness and touches its
//! own key files, nothing else: no network, no clock, no environment.
//!
//! **Does not decide** who is trusted, what a signature permits or where a text may go: rosters, approvals and egress
//! rules are the `protocol` crate's. Nor does it ask people for anything; passphrases come as arguments.
//!
//! # Life-cycle of the keys
//!
//! 1. `init` calls [`Keystore::create_node`] on every node, and where a person holds the mesh also
//!    [`Keystore::create_owner`]: root key 0, the hash of root key 1, the approve key. The 24 [`RecoveryWords`] are
//!    shown once and not stored.
//! 2. A running node reads [`Keystore::node`]. Pairing and review call [`Keystore::unlock`] for as long as they last.
//! 3. Everything signed goes through [`cose`] under a domain tag, over arrays in the one encoding of [`cbor`].
//! 4. The words give root key 1 when root key 0 is lost; a roster commits to it by [`next_root_hash`].
//!
//! Secrets live in [`Secret`], which prints nothing and is overwritten on drop. No private key has a text form beyond
//! its own file.

pub mod cbor;
pub mod cose;
mod fingerprint;
pub mod hash;
mod keystore;
mod owner_keys;
pub mod private_file;
mod public_key;
pub mod random;
pub mod seal;
mod secret;
mod signer;
mod words;

pub use cbor::{CborError, Value};
pub use cose::CoseError;
pub use fingerprint::{FingerprintKey, Fingerprints, FingerprintsError, Found, TooShort};
pub use hash::Hash;
pub use keystore::{Keystore, KeystoreError, Protection};
pub use owner_keys::{OwnerKeys, next_root_hash};
pub use private_file::PrivacyError;
pub use public_key::{NodeId, PublicKey, PublicKeyError};
pub use random::RandomError;
pub use seal::SealError;
pub use secret::{Secret, SecretBytes};
pub use signer::{BadSignature, Signer, verify};
pub use words::{RecoveryWords, WordsError, is_phrase, phrase_words, short_words};
