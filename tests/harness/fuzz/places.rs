//! Paths, zones and ids.

use aiemp_protocol::{ids::FileId, vault_path::VaultPath, zone::Zone};

use super::{seeds, text_of};

/// One place has one key and one zone, however it is spelt, and no path leaves the vault.
pub fn path(bytes: &[u8]) {
    if let Some(file) = FileId::from_bytes(bytes) {
        assert_eq!(file.to_bytes(), bytes);
        assert_eq!(file.to_string().parse(), Ok(file));
    }
    if let Some(zone) = Zone::from_bytes(bytes) {
        assert_eq!(zone.to_bytes(), bytes);
    }
    let text = text_of(bytes);
    let Ok(path) = VaultPath::parse(&text) else { return };
    assert_eq!(path.as_str(), text);
    assert!(!text.starts_with('/') && text.split('/').all(|name| !["", ".", ".."].contains(&name)));
    assert_eq!(VaultPath::join(path.folder(), path.name()).as_ref(), Ok(&path));
    let roster = seeds::chain().current().clone();
    let zone = roster.zone_of(&path);
    if let Ok(key) = VaultPath::parse(&path.key()) {
        assert_eq!(key.key(), path.key(), "the key of {path:?} has another key");
        assert_eq!(roster.zone_of(&key), zone, "another spelling of {path:?}");
    }
    for other in [text.to_uppercase(), text.to_lowercase(), format!("{text}."), format!("{text} ")] {
        let Ok(other) = VaultPath::parse(&other) else { continue };
        if other.key() == path.key() {
            assert_eq!(roster.zone_of(&other), zone, "{other:?} is the place of {path:?}");
        }
    }
    if let Ok(numbered) = path.with_stem_suffix(" (2)") {
        assert_eq!(numbered.without_stem_suffix().as_ref(), Some(&path));
    }
}
