//! Paths inside the vault: the only way to name a file that goes to disk or onto the wire.

use std::{fmt, sync::Arc};

use thiserror::Error;
use unicode_normalization::UnicodeNormalization;

use crate::limits::{PATH_BYTES_MAX, PATH_NAME_BYTES_MAX};

/// What is longer is no extension that a program goes by.
const EXTENSION_BYTES_MAX: usize = 32;

/// A relative, `/`-separated path below the vault's top, valid on every platform we write to.
///
/// Holds the spelling as given; [`VaultPath::key`] is what equality of places means. Clones share it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VaultPath(Arc<str>);

/// Why text is no path inside the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum VaultPathError {
    /// Nothing at all, or longer than 1,024 bytes.
    #[error("a path has 1 to {PATH_BYTES_MAX} bytes")]
    Length,
    /// An empty name, `.` or `..`, also where that is all that can be seen of it: the path would leave its folder.
    #[error("empty, `.` and `..` parts are not allowed")]
    Escape,
    /// A name of more than 255 bytes, which no file system takes.
    #[error("a name has at most {PATH_NAME_BYTES_MAX} bytes")]
    NameLength,
    /// A backslash, colon or control character.
    #[error("backslashes, colons and control characters are not allowed")]
    Character,
}

impl VaultPath {
    /// Checks `text` and keeps its spelling.
    pub fn parse(text: &str) -> Result<Self, VaultPathError> {
        if text.is_empty() || text.len() > PATH_BYTES_MAX {
            return Err(VaultPathError::Length);
        }
        for name in text.split('/') {
            if name.is_empty() || name == "." || name == ".." || is_unseen(name) {
                return Err(VaultPathError::Escape);
            }
            if name.len() > PATH_NAME_BYTES_MAX {
                return Err(VaultPathError::NameLength);
            }
            if name.chars().any(|c| c.is_control() || c == '\\' || c == ':') {
                return Err(VaultPathError::Character);
            }
        }
        Ok(Self(text.into()))
    }

    /// The spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The canonical key: NFC, full case folding, trailing dots and spaces of each name removed.
    ///
    /// Two paths with one key are one place on some file system that people use.
    pub fn key(&self) -> String {
        let ends_plainly = |name: &str| !name.ends_with(['.', ' ']);
        if self.0.is_ascii() && self.0.split('/').all(ends_plainly) {
            return self.0.to_ascii_lowercase();
        }
        self.0.split('/').map(canonical_name).collect::<Vec<_>>().join("/")
    }

    /// What each name is taken for where invisible characters and the styles of letters do not count.
    ///
    /// That is how some file systems compare names, and how a reader sees them. It decides what may never be written,
    /// not which places are one: see [`VaultPath::key`].
    pub(crate) fn likenesses(&self) -> impl Iterator<Item = String> + '_ {
        self.0.split('/').map(likeness)
    }

    /// The last name.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The last name without its extension.
    pub fn stem(&self) -> &str {
        let name = self.name();
        name.rsplit_once('.').map_or(name, |(stem, _)| stem)
    }

    /// The extension in lower case, without its dot; empty when there is none.
    pub fn extension(&self) -> String {
        self.name().rsplit_once('.').map(|(_, extension)| extension.to_lowercase()).unwrap_or_default()
    }

    /// All names but the last; empty for a file at the top.
    pub fn folder(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The path `folder/name`, or `name` at the top.
    pub fn join(folder: &str, name: &str) -> Result<Self, VaultPathError> {
        if folder.is_empty() { Self::parse(name) } else { Self::parse(&format!("{folder}/{name}")) }
    }

    /// Same folder and extension, `suffix` added to the stem: `a.md` and ` (2)` make `a (2).md`.
    pub fn with_stem_suffix(&self, suffix: &str) -> Result<Self, VaultPathError> {
        let name = match self.name().rsplit_once('.') {
            Some((stem, extension)) => format!("{stem}{suffix}.{extension}"),
            None => format!("{}{suffix}", self.name()),
        };
        Self::join(self.folder(), &name)
    }

    /// As [`VaultPath::with_stem_suffix`], with only so much of the stem as leaves room for the suffix.
    pub fn with_fitted_suffix(&self, suffix: &str) -> Result<Self, VaultPathError> {
        let (mut stem, extension) = match self.name().rsplit_once('.') {
            Some((stem, extension)) if extension.len() < EXTENSION_BYTES_MAX => (stem, format!(".{extension}")),
            Some(_) | None => (self.name(), String::new()),
        };
        loop {
            let fitted = Self::join(self.folder(), &format!("{stem}{suffix}{extension}"));
            if fitted.is_ok() || stem.is_empty() {
                return fitted;
            }
            stem = &stem[..stem.char_indices().last().map_or(0, |(last, _)| last)];
        }
    }

    /// The path that `with_stem_suffix` with a number made this one from: `a (2).md` came from `a.md`.
    pub fn without_stem_suffix(&self) -> Option<Self> {
        let (stem, extension) = self.name().rsplit_once('.').map_or((self.name(), None), |(s, e)| (s, Some(e)));
        let (bare, number) = stem.strip_suffix(')')?.rsplit_once(" (")?;
        let numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let name = extension.map_or_else(|| bare.to_owned(), |extension| format!("{bare}.{extension}"));
        Self::join(self.folder(), &name).ok().filter(|_| numbered)
    }
}

/// Whether nothing is left of a name that some file system would keep.
fn is_unseen(name: &str) -> bool {
    if name.is_ascii() {
        return name.trim_end_matches(['.', ' ']).is_empty();
    }
    canonical_name(&visible(name)).is_empty()
}

fn canonical_name(name: &str) -> String {
    if name.is_ascii() {
        return name.trim_end_matches(['.', ' ']).to_ascii_lowercase();
    }
    let composed: String = name.nfc().collect();
    let folded = caseless::default_case_fold_str(&composed);
    let recomposed: String = folded.nfc().collect();
    recomposed.trim_end_matches(['.', ' ']).to_owned()
}

fn likeness(name: &str) -> String {
    let seen = visible(name);
    if seen.is_ascii() {
        return canonical_name(&seen);
    }
    // An ellipsis is no row of dots: many a title begins with one.
    let is_hidden = seen.starts_with(['.', '\u{ff0e}', '\u{fe52}', '\u{2024}']);
    let plain: String = seen.nfkc().collect();
    let bare = canonical_name(&caseless::default_case_fold_str(&plain).nfkc().collect::<String>());
    let bare = bare.trim_start_matches('.');
    if is_hidden { format!(".{bare}") } else { bare.to_owned() }
}

fn visible(name: &str) -> String {
    name.chars().filter(|c| !is_ignorable(*c)).collect()
}

/// Unicode's Default_Ignorable_Code_Point: what no font shows, and some file systems skip.
const fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

impl fmt::Display for VaultPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for VaultPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_vault_are_refused() {
        for text in
            ["", "/etc/passwd", "a//b", "../x", "a/../../x", "./a", "a/.", "a/. . ", "a/", "a\\b", "c:d", "a\nb"]
        {
            assert!(VaultPath::parse(text).is_err(), "{text:?}");
        }
        assert_eq!(VaultPath::parse(&"é".repeat(128)), Err(VaultPathError::NameLength));
        assert!(VaultPath::parse(&"x".repeat(255)).is_ok());
    }

    #[test]
    fn a_name_gives_up_what_a_suffix_needs_and_keeps_its_extension() {
        let fitted = |text: &str| {
            VaultPath::parse(text).expect("valid").with_fitted_suffix(" (2)").map(|path| path.as_str().to_owned())
        };
        assert_eq!(fitted("a/b.md"), Ok("a/b (2).md".to_owned()));
        assert_eq!(fitted(&format!("{}.md", "é".repeat(126))), Ok(format!("{} (2).md", "é".repeat(124))));
        assert_eq!(fitted(&format!("a.{}", "x".repeat(250))), Ok(format!("a.{} (2)", "x".repeat(249))));
        let deep = ["x".repeat(250), "x".repeat(250), "x".repeat(250), "x".repeat(250), "y".repeat(16)].join("/");
        assert_eq!(fitted(&format!("{deep}/z")), Err(VaultPathError::Length));
    }

    #[test]
    fn one_place_has_one_key() {
        let key = |text| VaultPath::parse(text).expect("valid").key();
        assert_eq!(key("Café/Note.md"), key("CAFE\u{301}/note.md"));
        assert_eq!(key("Done./x.md "), key("done/x.md"));
        assert_ne!(key("a.md"), key("b.md"));
    }
}
