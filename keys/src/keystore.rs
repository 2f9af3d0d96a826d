//! The keystore: the key files of one home directory.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use thiserror::Error;

use crate::{
    owner_keys::{self, OwnerKeys},
    private_file::{self, PrivacyError},
    random::{self, RandomError},
    seal::{self, SealError},
    secret::{Secret, SecretBytes},
    signer::Signer,
    words::RecoveryWords,
};

/// Why keys could not be made or read; each text says what to do next.
#[derive(Debug, Error)]
pub enum KeystoreError {
    /// There is no such key file.
    #[error(
        "{path} is missing: restore it from a backup of this home, or, where no node was made yet, run `aiemp-node init`",
        path = path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Keys exist and are never overwritten.
    #[error("{path} exists already and was left as it is: to start anew, move it away first", path = path.display())]
    Exists {
        /// The file found.
        path: PathBuf,
    },
    /// Both a sealed and an unprotected file of owner keys exist.
    #[error(
        "both {sealed} and {unprotected} exist: move away the one that is not in use",
        sealed = sealed.display(),
        unprotected = unprotected.display()
    )]
    Ambiguous {
        /// The sealed file.
        sealed: PathBuf,
        /// The unprotected file.
        unprotected: PathBuf,
    },
    /// The owner keys are sealed and no passphrase was given.
    #[error("{path} is sealed: give its passphrase", path = path.display())]
    PassphraseNeeded {
        /// The sealed file.
        path: PathBuf,
    },
    /// A key file does not hold what it should.
    #[error("{path} does not hold a key in the known format: restore it from a backup", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Sealing or opening failed, by a wrong passphrase above all.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A key file or its directory is not private, or the operating system refused.
    #[error(transparent)]
    Private(#[from] PrivacyError),
    /// There was no randomness for a new key.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// How owner keys lie on disk.
#[derive(Debug)]
pub enum Protection {
    /// Sealed under a passphrase.
    Passphrase(Secret<String>),
    /// In the clear, mode 0600: whoever runs as this user holds the mesh.
    Unprotected,
}

/// The key files under `<home>/keys/`: `node.key` (a seed as hex text), and the owner keys either sealed in `owner.age`
/// or unprotected in `owner.key` (a strict CBOR array).
#[derive(Debug, Clone)]
pub struct Keystore {
    dir: PathBuf,
}

impl Keystore {
    /// The keystore of a home directory; touches nothing yet.
    pub fn at(home: &Path) -> Self {
        Self { dir: home.join("keys") }
    }

    /// The directory of the key files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes the node key and stores it; refuses when there is one.
    pub fn create_node(&self) -> Result<Signer, KeystoreError> {
        let signer = Signer::generate()?;
        let mut text = vec![b'\n'; 65];
        HEXLOWER.encode_mut(signer.seed().expose(), &mut text[..64]);
        self.create(&self.node_path(), &Secret::new(text))?;
        Ok(signer)
    }

    /// Reads the node key.
    pub fn node(&self) -> Result<Signer, KeystoreError> {
        let path = self.node_path();
        let text = read(&path)?;
        let digits = text.expose().strip_suffix(b"\n").unwrap_or(text.expose());
        let mut seed = [0; 32];
        if digits.len() != 64 || HEXLOWER.decode_mut(digits, &mut seed).is_err() {
            return Err(KeystoreError::Damaged { path });
        }
        Ok(Signer::from_seed(seed))
    }

    /// Makes root key 0, its successor's hash and the approve key, and stores them; refuses when there are owner keys.
    ///
    /// The recovery words are returned and stored nowhere.
    pub fn create_owner(&self, protection: &Protection) -> Result<(OwnerKeys, RecoveryWords), KeystoreError> {
        if let Some(path) = [self.sealed_path(), self.unprotected_path()].into_iter().find(|path| is_there(path)) {
            return Err(KeystoreError::Exists { path });
        }
        let words = RecoveryWords::from_entropy(random::array()?);
        let keys = OwnerKeys::from_words(&words, 0, Signer::generate()?);
        let plain = keys.to_bytes();
        match protection {
            Protection::Passphrase(passphrase) => {
                let sealed = seal::seal(plain.expose(), passphrase.expose())?;
                self.create(&self.sealed_path(), &Secret::new(sealed))?;
            }
            Protection::Unprotected => self.create(&self.unprotected_path(), &plain)?,
        }
        Ok((keys, words))
    }

    /// Reads the owner keys; a passphrase is needed exactly if they are sealed, and otherwise ignored.
    pub fn unlock(&self, passphrase: Option<&str>) -> Result<OwnerKeys, KeystoreError> {
        let (sealed, unprotected) = (self.sealed_path(), self.unprotected_path());
        let (path, plain) = match (is_there(&sealed), is_there(&unprotected)) {
            (true, true) => return Err(KeystoreError::Ambiguous { sealed, unprotected }),
            (false, true) => {
                let plain = read(&unprotected)?;
                (unprotected, plain)
            }
            (_, false) => {
                let bytes = read(&sealed)?;
                let Some(passphrase) = passphrase else {
                    return Err(KeystoreError::PassphraseNeeded { path: sealed });
                };
                match seal::open(bytes.expose(), passphrase) {
                    Ok(plain) => (sealed, plain),
                    Err(SealError::Damaged { .. }) => return Err(KeystoreError::Damaged { path: sealed }),
                    Err(error) => return Err(error.into()),
                }
            }
        };
        OwnerKeys::from_bytes(plain.expose()).map_err(|_| KeystoreError::Damaged { path })
    }

    /// Whether the owner keys are sealed; `None` if there are none, false if any lie there unprotected.
    pub fn is_protected(&self) -> Option<bool> {
        match (is_there(&self.sealed_path()), is_there(&self.unprotected_path())) {
            (_, true) => Some(false),
            (true, false) => Some(true),
            (false, false) => None,
        }
    }

    /// Whether the owner keys lie there in their form, as far as it shows without the passphrase and without reading a
    /// seed. Where it says yes, [`unlock`](Self::unlock) may still find them changed.
    pub fn check_owner(&self) -> Result<(), KeystoreError> {
        let (sealed, unprotected) = (self.sealed_path(), self.unprotected_path());
        let (path, has_form) = match (is_there(&sealed), is_there(&unprotected)) {
            (true, true) => return Err(KeystoreError::Ambiguous { sealed, unprotected }),
            (false, true) => {
                let mut file = private_file::open_private(&unprotected, OpenOptions::new().read(true))?;
                let length = file.metadata().map(|found| found.len()).unwrap_or_default();
                let mut head = [0; owner_keys::HEAD.len()];
                let begins = file.read_exact(&mut head).is_ok() && head == owner_keys::HEAD;
                let is_as_long = usize::try_from(length).is_ok_and(|length| owner_keys::LENGTHS.contains(&length));
                (unprotected, begins && is_as_long)
            }
            (_, false) => {
                let has_form = seal::has_form(read(&sealed)?.expose(), &owner_keys::LENGTHS);
                (sealed, has_form)
            }
        };
        if has_form { Ok(()) } else { Err(KeystoreError::Damaged { path }) }
    }

    fn create(&self, path: &Path, bytes: &SecretBytes) -> Result<(), KeystoreError> {
        private_file::create_private_dir(&self.dir)?;
        private_file::create_private(path, bytes.expose()).map_err(|error| {
            if error.is_io(io::ErrorKind::AlreadyExists) {
                KeystoreError::Exists { path: path.to_owned() }
            } else {
                error.into()
            }
        })
    }

    fn node_path(&self) -> PathBuf {
        self.dir.join("node.key")
    }

    fn sealed_path(&self) -> PathBuf {
        self.dir.join("owner.age")
    }

    fn unprotected_path(&self) -> PathBuf {
        self.dir.join("owner.key")
    }
}

fn read(path: &Path) -> Result<SecretBytes, KeystoreError> {
    private_file::read_private(path).map_err(|error| {
        if error.is_io(io::ErrorKind::NotFound) {
            KeystoreError::Missing { path: path.to_owned() }
        } else {
            error.into()
        }
    })
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::owner_keys::next_root_hash;

    fn keystore() -> (tempfile::TempDir, Keystore) {
        let home = tempfile::tempdir().unwrap();
        let keystore = Keystore::at(home.path());
        (home, keystore)
    }

    fn sealed_by(passphrase: &str) -> Protection {
        Protection::Passphrase(Secret::new(passphrase.to_owned()))
    }

    fn seeds(keys: &OwnerKeys) -> [[u8; 32]; 2] {
        [*keys.root.seed().expose(), *keys.approve.seed().expose()]
    }

    #[test]
    fn the_node_key_comes_back_and_is_never_overwritten() {
        let (_home, keystore) = keystore();
        let made = keystore.create_node().unwrap();
        assert_eq!(keystore.node().unwrap().node_id(), made.node_id());
        let path = keystore.node_path();
        let text = keystore.create_node().unwrap_err().to_string();
        let expected =
            format!("{} exists already and was left as it is: to start anew, move it away first", path.display());
        assert_eq!(text, expected);
        assert_eq!(keystore.node().unwrap().node_id(), made.node_id());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(keystore.dir()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn missing_keys_name_the_command_that_makes_them() {
        let (_home, keystore) = keystore();
        let missing = |path: &Path| {
            let what = "is missing: restore it from a backup of this home, or, where no node was made yet, run";
            format!("{} {what} `aiemp-node init`", path.display())
        };
        let expected = missing(&keystore.node_path());
        assert_eq!(keystore.node().unwrap_err().to_string(), expected);
        let expected = missing(&keystore.sealed_path());
        assert_eq!(keystore.unlock(Some("x")).unwrap_err().to_string(), expected);
        assert_eq!(keystore.is_protected(), None);
    }

    #[test]
    fn a_lax_key_file_is_refused_with_the_remedy() {
        let (_home, keystore) = keystore();
        keystore.create_node().unwrap();
        let path = keystore.node_path();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let text = keystore.node().unwrap_err().to_string();
        assert!(text.contains(&format!("run `chmod 600 {}`", path.display())), "{text}");
    }

    #[test]
    fn a_damaged_node_key_is_refused() {
        let (_home, keystore) = keystore();
        keystore.create_node().unwrap();
        for text in ["", "00", &"AB".repeat(32), &"00".repeat(33), &format!("{}\n\n", "00".repeat(32))] {
            private_file::write_private(&keystore.node_path(), text.as_bytes()).unwrap();
            assert!(matches!(keystore.node(), Err(KeystoreError::Damaged { .. })), "{text}");
        }
    }

    #[test]
    fn sealed_owner_keys_open_with_their_passphrase_only() {
        let (_home, keystore) = keystore();
        let (made, _) = keystore.create_owner(&sealed_by("correct horse")).unwrap();
        assert_eq!(keystore.is_protected(), Some(true));
        assert_eq!(seeds(&keystore.unlock(Some("correct horse")).unwrap()), seeds(&made));
        assert_eq!(keystore.unlock(Some("wrong")).unwrap_err().to_string(), "wrong passphrase: try again");
        let expected = format!("{} is sealed: give its passphrase", keystore.sealed_path().display());
        assert_eq!(keystore.unlock(None).unwrap_err().to_string(), expected);
        let sealed = fs::read(keystore.sealed_path()).unwrap();
        assert!(!sealed.windows(32).any(|window| seeds(&made).iter().any(|seed| seed == window)));
        private_file::write_private(&keystore.sealed_path(), &sealed[..sealed.len() / 2]).unwrap();
        let error = keystore.unlock(Some("correct horse")).unwrap_err().to_string();
        assert!(error.contains("owner.age") && error.contains("restore it from a backup"), "{error}");
    }

    #[test]
    fn unprotected_owner_keys_open_without_passphrase_and_say_so() {
        let (_home, keystore) = keystore();
        let (made, _) = keystore.create_owner(&Protection::Unprotected).unwrap();
        assert_eq!(keystore.is_protected(), Some(false));
        assert_eq!(seeds(&keystore.unlock(None).unwrap()), seeds(&made));
    }

    #[test]
    fn owner_keys_are_never_overwritten_by_either_kind() {
        let (_home, keystore) = keystore();
        keystore.create_owner(&Protection::Unprotected).unwrap();
        for protection in [Protection::Unprotected, sealed_by("correct horse")] {
            let refused = keystore.create_owner(&protection);
            assert!(matches!(refused, Err(KeystoreError::Exists { .. })));
        }
        assert!(!is_there(&keystore.sealed_path()));
    }

    #[test]
    fn an_empty_passphrase_makes_no_keys() {
        let (_home, keystore) = keystore();
        let refused = keystore.create_owner(&sealed_by(""));
        assert!(matches!(refused, Err(KeystoreError::Seal(SealError::EmptyPassphrase))));
        assert_eq!(keystore.is_protected(), None);
    }

    #[test]
    fn two_files_of_owner_keys_open_neither() {
        let (_home, keystore) = keystore();
        keystore.create_owner(&Protection::Unprotected).unwrap();
        private_file::write_private(&keystore.sealed_path(), b"").unwrap();
        assert!(matches!(keystore.unlock(None), Err(KeystoreError::Ambiguous { .. })));
        assert_eq!(keystore.is_protected(), Some(false));
    }

    #[test]
    fn owner_keys_without_their_form_are_told_without_a_passphrase() {
        for protection in [Protection::Unprotected, sealed_by("correct horse")] {
            let (_home, keystore) = keystore();
            assert!(matches!(keystore.check_owner(), Err(KeystoreError::Missing { .. })));
            keystore.create_owner(&protection).unwrap();
            keystore.check_owner().unwrap();
            let path = [keystore.sealed_path(), keystore.unprotected_path()].into_iter().find(|path| is_there(path));
            let path = path.unwrap();
            let whole = fs::read(&path).unwrap();
            let mut other = whole.clone();
            other[0] ^= 1;
            for bytes in
                [&[], &whole[..whole.len() - 1], &whole[..whole.len() / 2], &[&whole[..], b"and more"].concat(), &other]
            {
                private_file::write_private(&path, bytes).unwrap();
                assert!(matches!(keystore.check_owner(), Err(KeystoreError::Damaged { .. })), "{}", bytes.len());
            }
            private_file::write_private(&path, &whole).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            assert!(matches!(keystore.check_owner(), Err(KeystoreError::Private(_))));
        }
        let (_home, keystore) = keystore();
        keystore.create_owner(&Protection::Unprotected).unwrap();
        private_file::write_private(&keystore.sealed_path(), b"").unwrap();
        assert!(matches!(keystore.check_owner(), Err(KeystoreError::Ambiguous { .. })));
    }

    #[test]
    fn the_words_give_this_root_and_the_next() {
        let (_home, keystore) = keystore();
        let (made, words) = keystore.create_owner(&Protection::Unprotected).unwrap();
        let words = RecoveryWords::parse(words.phrase().expose()).unwrap();
        assert_eq!(made.root_index, 0);
        assert_eq!(made.root.public(), Signer::from_seed(words.root_seed(0)).public());
        let next = Signer::from_seed(words.root_seed(1)).public();
        assert_eq!(keystore.unlock(None).unwrap().next_root_hash, next_root_hash(&next));
    }
}
