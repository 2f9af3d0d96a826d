//! How far a mailbox is read, on disk.

use std::path::Path;

use aiemp_keys::{
    cbor::{self, Fields},
    private_file,
};

/// The last mail that was taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Under which numbering of the folder (UIDVALIDITY).
    pub(super) validity: u32,
    /// Its number; 0 for none.
    pub(super) uid: u32,
}

/// What was noted of this mailbox. Of another one, or of another numbering, nothing: it is read from its begin, and what was
/// taken up before is known by what it is.
pub(super) fn read(path: &Path, mailbox: &str, validity: u32) -> Position {
    let noted = private_file::find_private(path).ok().flatten();
    let noted = noted.and_then(|bytes| decode(bytes.expose()));
    let uid = noted.filter(|(name, position)| name == mailbox && position.validity == validity);
    Position { validity, uid: uid.map_or(0, |(_, position)| position.uid) }
}

fn decode(bytes: &[u8]) -> Option<(String, Position)> {
    let mut fields = Fields::decode(bytes, "mail position").ok()?;
    let name = fields.text().ok()?;
    let position =
        Position { validity: fields.uint().ok()?.try_into().ok()?, uid: fields.uint().ok()?.try_into().ok()? };
    fields.end().ok()?;
    Some((name, position))
}

/// Notes it; on disk when this returns.
pub(super) fn write(path: &Path, mailbox: &str, position: Position) -> Result<(), String> {
    let fields = [cbor::text(mailbox), cbor::uint(position.validity.into()), cbor::uint(position.uid.into())];
    private_file::write_private(path, &cbor::encode(&cbor::array(fields))).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_for_its_mailbox_and_its_numbering_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("mail-in");
        assert_eq!(read(&path, "me", 7), Position { validity: 7, uid: 0 });
        let position = Position { validity: 7, uid: 4_000_000_000 };
        write(&path, "me", position).expect("noted");
        assert_eq!(read(&path, "me", 7), position);
        assert_eq!(read(&path, "me", 8), Position { validity: 8, uid: 0 });
        assert_eq!(read(&path, "you", 7), Position { validity: 7, uid: 0 });
        private_file::write_private(&path, b"damaged").expect("written");
        assert_eq!(read(&path, "me", 7), Position { validity: 7, uid: 0 });
    }
}
