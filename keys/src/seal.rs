//! Sealing under a passphrase: the age format (age-encryption.org/v1) with its scrypt recipient.

use std::{io::Read as _, ops::RangeInclusive};

use age::{DecryptError, Decryptor, scrypt, secrecy::SecretString};
use thiserror::Error;

use crate::secret::{Secret, SecretBytes};

/// Work for sealing, as the power of two of scrypt's N: 32 MiB and about a tenth of a second.
///
/// Fixed, because age would otherwise measure the machine, so that a busy one made weaker files; and this size still
/// runs beside everything else on the smallest VM.
const WORK_FACTOR: u8 = 15;

/// Most work accepted for opening: 1 GiB. More is a file that wants to exhaust the machine.
const WORK_FACTOR_MAX: u8 = 20;

/// What age adds behind each 64 KiB.
const TAG_BYTES: usize = 16;

/// Why sealing or opening failed.
#[derive(Debug, Error)]
pub enum SealError {
    /// An empty passphrase protects nothing.
    #[error("the passphrase is empty: choose one, or ask for unprotected keys explicitly")]
    EmptyPassphrase,
    /// The passphrase does not open the file.
    #[error("wrong passphrase: try again")]
    WrongPassphrase,
    /// The file asks for more work than any that we seal.
    #[error(
        "the sealed file asks for scrypt work 2^{required}, the limit is 2^{WORK_FACTOR_MAX}: it was not made here"
    )]
    TooMuchWork {
        /// The power of two asked for.
        required: u8,
    },
    /// No age file, or a changed or shortened one.
    #[error("the sealed file is damaged: restore it from a backup")]
    Damaged {
        /// What age found.
        source: DecryptError,
    },
    /// age could not seal.
    #[error("sealing failed")]
    Failed {
        /// What age found.
        source: age::EncryptError,
    },
}

/// Seals bytes under a passphrase, which must not be empty.
pub fn seal(plain: &[u8], passphrase: &str) -> Result<Vec<u8>, SealError> {
    if passphrase.is_empty() {
        return Err(SealError::EmptyPassphrase);
    }
    let mut recipient = scrypt::Recipient::new(SecretString::from(passphrase));
    recipient.set_work_factor(WORK_FACTOR);
    age::encrypt(&recipient, plain).map_err(|source| SealError::Failed { source })
}

/// Opens what [`seal`] made.
pub fn open(sealed: &[u8], passphrase: &str) -> Result<SecretBytes, SealError> {
    let mut identity = scrypt::Identity::new(SecretString::from(passphrase));
    identity.set_max_work_factor(WORK_FACTOR_MAX);
    let decryptor = Decryptor::new_buffered(sealed).map_err(refusal)?;
    let mut reader = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity)).map_err(refusal)?;
    // Plain text is shorter than sealed text, so the buffer never moves and leaves no copy behind.
    let mut buffer = Vec::with_capacity(sealed.len());
    let read = reader.read_to_end(&mut buffer);
    let plain = Secret::new(buffer);
    read.map_err(|source| SealError::Damaged { source: DecryptError::Io(source) })?;
    Ok(plain)
}

/// Whether this has the form of what [`seal`] makes of so many bytes. What cannot be told without the passphrase is
/// whether it is unchanged.
pub(crate) fn has_form(mut sealed: &[u8], lengths: &RangeInclusive<usize>) -> bool {
    let is_header_whole = Decryptor::new_buffered(&mut sealed).is_ok_and(|decryptor| decryptor.is_scrypt());
    is_header_whole && sealed.len().checked_sub(TAG_BYTES).is_some_and(|length| lengths.contains(&length))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all that is no matter of passphrase or work is damage")]
fn refusal(error: DecryptError) -> SealError {
    match error {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed => SealError::WrongPassphrase,
        DecryptError::ExcessiveWork { required, .. } => SealError::TooMuchWork { required },
        source => SealError::Damaged { source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> Vec<u8> {
        seal(b"root seed", "correct horse").unwrap()
    }

    #[test]
    fn opens_with_the_passphrase_only() {
        let sealed = sealed();
        assert_eq!(open(&sealed, "correct horse").unwrap().expose(), b"root seed");
        assert!(matches!(open(&sealed, "Correct horse"), Err(SealError::WrongPassphrase)));
        assert!(matches!(open(&sealed, ""), Err(SealError::WrongPassphrase)));
    }

    #[test]
    fn the_work_factor_is_in_the_header() {
        let sealed = sealed();
        let text = String::from_utf8_lossy(&sealed);
        assert!(text.lines().nth(1).unwrap().ends_with(" 15"), "{text}");
    }

    #[test]
    fn an_empty_passphrase_is_refused() {
        assert!(matches!(seal(b"root seed", ""), Err(SealError::EmptyPassphrase)));
    }

    #[test]
    fn a_changed_or_shortened_file_is_damaged() {
        let sealed = sealed();
        assert!(matches!(open(&sealed[..sealed.len() - 1], "correct horse"), Err(SealError::Damaged { .. })));
        let mut changed = sealed.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(matches!(open(&changed, "correct horse"), Err(SealError::Damaged { .. })));
        assert!(matches!(open(b"no age file", "correct horse"), Err(SealError::Damaged { .. })));
    }

    #[test]
    fn the_form_is_a_whole_header_and_the_length_behind_it() {
        let sealed = sealed();
        let length = b"root seed".len();
        assert!(has_form(&sealed, &(length..=length)));
        assert!(!has_form(&sealed, &(length + 1..=length + 1)));
        for cut in 0..sealed.len() {
            assert!(!has_form(&sealed[..cut], &(length..=length)), "{cut}");
        }
        assert!(!has_form(&[&sealed[..], b"x"].concat(), &(length..=length)));
    }

    #[test]
    fn a_file_that_asks_for_too_much_work_is_refused_unworked() {
        let text = String::from_utf8_lossy(&sealed()).replacen(" 15\n", " 21\n", 1);
        let header = &text.as_bytes()[..text.find("---").unwrap()];
        let sealed = sealed();
        let rest = sealed.windows(3).position(|window| window == b"---").unwrap();
        let changed = [header, &sealed[rest..]].concat();
        assert!(matches!(open(&changed, "correct horse"), Err(SealError::TooMuchWork { required: 21 })));
    }

    #[test]
    fn operator_texts_say_what_to_do() {
        assert_eq!(SealError::WrongPassphrase.to_string(), "wrong passphrase: try again");
        assert_eq!(
            SealError::EmptyPassphrase.to_string(),
            "the passphrase is empty: choose one, or ask for unprotected keys explicitly"
        );
        assert_eq!(
            SealError::TooMuchWork { required: 21 }.to_string(),
            "the sealed file asks for scrypt work 2^21, the limit is 2^20: it was not made here"
        );
    }
}
